r"""Variable projection: the multipliers are linear, so the search is in the samples alone.

For samples X the best multipliers are a linear least-squares problem; what is left is a function of X, minimised by Levenberg-Marquardt
(Golub & Pereyra 1973, with the Jacobian of Kaufman 1975). Everything is in closed form: with :math:`\sigma_{ij} = \sigma(z_{ij})`,
:math:`p_{ij} = g_{ij}\sigma'_{ij}`, :math:`q_{ij} = g_{ij}\sigma''_{ij}` the blocks of :math:`J^\top J` are

.. math:: \sum_j \bigl[(x_i x_k + \beta)\, q_{ij} q_{kj} + \alpha\, (c_i c_k)\, \sigma'_{ij}\sigma'_{kj}\bigr] w_j w_j^\top
          + q_{ij} p_{kj}\, w_j x_i^\top + p_{ij} q_{kj}\, x_k w_j^\top + p_{ij} p_{kj} I

(:math:`\alpha, \beta` = 1 if second-layer and bias rows are observed), and no Jacobian with all equations is ever formed.
Columns are gradients of unit length, and two penalties can be added:

- a weight for each sample times the square of its size :math:`\|c_i \nabla f(x_i)\|`, which keeps
  multipliers from growing;
- a decay times :math:`\sum_i \|x_i\|^2`.

Both together make the cost coercive. Without them the infimum over n samples is seldom attained: sequences escape to infinity
(:math:`c x^{\otimes p}` stays as x grows and c vanishes), or samples coalesce while their multipliers grow (de Silva & Lim 2008 on low
rank approximation), and most starts end on such a way. So searches begin with penalties, and end without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Float

from identify.base.compiled import bounded
from identify.base.least_squares import Rest
from identify.base.limits import memory_allowed
from identify.problem.activation import horner
from identify.problem.gradients import Observed, unflatten
from identify.problem.network import TwoLayerNetwork
from identify.recovery.least_squares import minimise
from identify.recovery.multistart import Proposal, Search
from identify.recovery.reduce import Reduced
from identify.recovery.starts import random_points, start_scale

STEPS = 300
PENALISED_STEPS = 100
"""The first of them."""
WEAKEST, STRONGEST = 1e-8, 1e-3
"""Penalties, relative to the target and the scale of the starts; each start draws its own, since none serves all systems."""
REST = Rest(enough=1e-26)
BLOCK = 25
CHUNK = 128
"""Starts mapped at once."""
RIDGE = 1e-13
"""Added to the Gram matrix of unit columns, so that coincident samples do no harm."""


@dataclass(frozen=True, eq=False)
class Projected:
    """(S) with the multipliers projected out, for any number of candidate samples."""

    network: TwoLayerNetwork
    observed: Observed
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Target for W (m, d), biases (m,) and the second layer (C, m), of norm one together; zeros if not observed."""
    size: float
    scale: float
    """Root mean square of the coordinates of the starts."""

    @classmethod
    def of(cls, reduced: Reduced) -> Projected:
        net, observed, target = reduced.network, reduced.system.observed, reduced.target
        m, C = len(net.W), net.n_outputs
        size = float(np.linalg.norm(target)) or 1.0
        parts = unflatten(target / size, ((m, net.n_inputs), (m,), (C, m)), observed, np.zeros)
        return cls(net, observed, (parts[0], parts[1], parts[2]), size, start_scale(net))

    def arrays(self) -> tuple:
        """The arguments of the compiled functions, on the device."""
        net, sigma = self.network, self.network.activation
        derivatives = tuple(tuple(jax.device_put(np.float64(s)) for s in sigma.floats(order)) for order in range(3))
        seen = jax.device_put(np.array(self.observed, float))
        return (
            tuple(jax.device_put(part) for part in (net.W, net.A, net.offsets)),
            tuple(map(jax.device_put, self.parts)),
            derivatives,
            seen,
        )

    def minimised(
        self,
        X: Float[np.ndarray, "starts N d"],
        search: Search,
        *,
        weights: Float[np.ndarray, "starts N"] | Float[np.ndarray, " starts"] | float = 0.0,
        decay: Float[np.ndarray, " starts"] | float = 0.0,
        steps: int = STEPS,
        block: int = BLOCK,
    ) -> tuple[Float[np.ndarray, "starts N d"], Float[np.ndarray, " starts"]]:
        """Descend from every start, with penalties relative to the target and to the scale of the starts; samples and costs."""
        starts, N, d = X.shape
        own = np.empty((starts, N + 1))
        own[:, :N] = np.reshape(weights, (starts, -1)) if np.ndim(weights) else weights
        own[:, N] = np.asarray(decay) / (d * self.scale**2)
        with jax.enable_x64(True):
            arrays = self.arrays()
        points = X.reshape(starts, -1)
        block = min(block, steps)
        ended, costs = minimise(
            normal, arrays, points, own=own, steps=steps, block=block, rest=REST, go_on=search.go_on, allows=search.allows
        )
        return ended.reshape(X.shape), np.where(np.isfinite(costs), costs, np.inf)

    def multipliers(
        self, X: Float[np.ndarray, "starts N d"], weights: Float[np.ndarray, "starts N"] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Multipliers (starts, N, C) and the sizes of the terms, (starts, N): norms of c_i grad f(x_i) relative to the target."""
        with jax.enable_x64(True):
            own = np.zeros(X.shape[:2]) if weights is None else weights
            b, lengths = map(np.asarray, _multipliers(self.arrays(), jax.device_put(X), jax.device_put(own)))
        return b / lengths * self.size, np.sqrt((b**2).sum(axis=2))

    def solved(self, X: Float[np.ndarray, "starts N d"], costs: Float[np.ndarray, " starts"], search: Search) -> dict[str, np.ndarray]:
        """The outcome of a chunk: those of its samples whose residual is below the tolerance, with their multipliers, and all costs."""
        good = costs <= search.tolerance**2
        if not good.any():
            return {"X": X[:0], "c": np.zeros((0, X.shape[1], self.network.n_outputs)), "costs": costs}
        return {"X": X[good], "c": self.multipliers(X)[0][good], "costs": costs}  # of all: another number would compile anew

    def thinned(self, X: Float[np.ndarray, "starts N d"], count: int) -> Float[np.ndarray, "starts N-{count} d"]:
        """Without ``count`` samples: one after the other, that whose removal raises the residual least."""
        for _ in range(count):
            with jax.enable_x64(True):
                rise = np.asarray(_removal(self.arrays(), jax.device_put(X)))
            kept = np.arange(X.shape[1])[None] != np.argmin(np.nan_to_num(rise), axis=1)[:, None]
            X = X[kept].reshape(len(X), -1, X.shape[2])
        return X


def projection_operations(m: int, N: int, d: int, C: int) -> float:
    """Operations of one start with N candidates."""
    return STEPS * N**2 * (m * d**2 + N * (d + C) ** 3)


def _features(arrays, X):
    (W, _A, offsets), _, derivatives, _ = arrays
    Z = X @ W.T + offsets
    return tuple(horner(derivative, Z, lambda value: value) for derivative in derivatives)


def _solve(arrays, X, weights):
    """Best multipliers b (N, C) of the unit columns, the lengths of the columns, the Cholesky factor of their Gram matrix, features."""
    (_W, A, _), (tW, tb, ta), _, (on_W, on_b, on_a) = arrays
    s0, s1, s2 = _features(arrays, X)
    N, C = len(X), len(A)
    products = on_W * (X @ X.T) + on_b
    first = jnp.einsum("ij,oj,pj,kj->iokp", s1, A, A, s1, optimize=True) * products[:, None, :, None]
    second = on_a * (s0 @ s0.T)[:, None, :, None] * jnp.eye(C)[None, :, None, :]
    gram = (first + second).reshape(N * C, N * C)
    right = jnp.einsum("oj,ij,ij->io", A, s1, X @ tW.T + tb) + s0 @ ta.T
    lengths = jnp.sqrt(jnp.diag(gram)) + jnp.finfo(gram.dtype).tiny
    unit = gram / lengths[:, None] / lengths
    cholesky = jnp.linalg.cholesky(unit + jnp.diag(RIDGE + jnp.repeat(weights, C)))
    b = cho_solve((cholesky, True), right.reshape(-1) / lengths)
    return b.reshape(N, C), lengths.reshape(N, C), cholesky, (s0, s1, s2)


@bounded
@jax.jit
def _multipliers(arrays, X, weights):
    return jax.vmap(lambda x, own: _solve(arrays, x, own)[:2])(X, weights)


@bounded
@jax.jit
def _removal(arrays, X):
    """By how much the squared residual rises without each sample: b_i (R^-1)_ii^-1 b_i, for the Gram matrix R of unit columns."""

    def rise(x):
        b, _, cholesky, _ = _solve(arrays, x, jnp.zeros(len(x)))
        N, C = b.shape
        inverse = cho_solve((cholesky, True), jnp.eye(N * C)).reshape(N, C, N, C)
        blocks = jnp.einsum("iokp,ik->iop", inverse, jnp.eye(N))
        return (b * jnp.linalg.solve(blocks, b[..., None])[..., 0]).sum(axis=1)

    return jax.vmap(rise)(X)


def _residual(arrays, X, c, s0, s1):
    (_, A, _), (tW, tb, ta), _, (on_W, on_b, on_a) = arrays
    p = (c @ A) * s1
    return on_W * (p.T @ X - tW), on_b * (p.sum(axis=0) - tb), on_a * (c.T @ s0 - ta)


def _value(r, b, X, weights, decay):
    return sum((part**2).sum() for part in r) + (weights[:, None] * b**2).sum() + decay * (X**2).sum()


def normal(arrays, point, own):
    """Cost, gradient and Gauss-Newton matrix in the samples, with the multipliers projected out."""
    (W, A, _), _, _, (on_W, on_b, on_a) = arrays
    weights, decay = own[:-1], own[-1]
    X = point.reshape(len(weights), -1)
    (N, d), C = X.shape, len(A)
    b, lengths, cholesky, (s0, s1, s2) = _solve(arrays, X, weights)
    c = b / lengths
    g = c @ A
    p, q = g * s1, g * s2
    rW, rb, ra = r = _residual(arrays, X, c, s0, s1)
    gradient = (q * (X @ rW.T + rb) + s1 * (c @ ra)) @ W + p @ rW + decay * X

    products = on_W * (X @ X.T) + on_b
    pairs = products[:, :, None] * q[:, None] * q[None] + on_a * (c @ c.T)[:, :, None] * s1[:, None] * s1[None]
    H = (pairs.reshape(N * N, -1) @ (W[:, :, None] * W[:, None, :]).reshape(-1, d * d)).reshape(N, N, d, d)
    crossed = ((q[:, None] * p[None]).reshape(N * N, -1) @ W).reshape(N, N, d)
    H += on_W * (crossed[:, :, :, None] * X[:, None, None, :] + jnp.swapaxes(crossed, 0, 1)[:, :, None, :] * X[None, :, :, None])
    H += (on_W * (p @ p.T) + decay * jnp.eye(N))[:, :, None, None] * jnp.eye(d)
    H = jnp.swapaxes(H, 1, 2)

    As1 = A[None] * s1[:, None]
    B = products[:, None, :, None] * ((As1[:, :, None] * q).reshape(N * C * N, -1) @ W).reshape(N, C, N, d)
    B += on_W * (As1.reshape(N * C, -1) @ p.T).reshape(N, C, N, 1) * X[:, None, None, :]
    B += on_a * ((s0[:, None] * s1).reshape(N * N, -1) @ W).reshape(N, 1, N, d) * c.T[:, :, None]
    B /= lengths[:, :, None, None]

    # weights add rows sqrt(weight) b, and b is the multiplier times the length of its column, which changes with the sample
    same = jnp.eye(N)
    alpha = _radial(arrays, X, s0, s1, s2, lengths) * c[:, :, None]
    gradient += weights[:, None] * (b[:, :, None] * alpha).sum(axis=1)
    H += (same * weights)[:, None, :, None] * (jnp.swapaxes(alpha, 1, 2) @ alpha)[:, :, None, :]
    B += (same * weights)[:, None, :, None] * alpha[:, :, None, :]
    whitened = solve_triangular(cholesky, B.reshape(N * C, N * d), lower=True)
    return _value(r, b, X, weights, decay), gradient.reshape(-1), H.reshape(N * d, N * d) - whitened.T @ whitened


def _radial(arrays, X, s0, s1, s2, lengths):
    """(gradient of output o at x_i) . (its derivative by x_i) / length."""
    (W, A, _), _, _, (on_W, on_b, on_a) = arrays
    size = on_W * (X**2).sum(axis=1) + on_b
    A2 = A**2
    along = size[:, None, None] * jnp.einsum("oj,ij,jr->ior", A2, s1 * s2, W, optimize=True)
    along += on_W * (A2 @ (s1**2).T).T[:, :, None] * X[:, None, :]
    along += on_a * ((s0 * s1) @ W)[:, None, :]
    return along / lengths[:, :, None]


def chunk_size(N: int, d: int, C: int) -> int:
    """How many starts with N candidates are mapped at once: 128, or what fits in a quarter of the memory allowed."""
    bytes_of_a_start = 8 * 6 * (N * (d + C)) ** 2
    return int(np.clip(memory_allowed() / 4 / bytes_of_a_start, 1, CHUNK))


def random_strengths(rng: np.random.Generator, size: int) -> Float[np.ndarray, " size"]:
    """Penalties for that many starts, log-uniform between the weakest and the strongest."""
    return 10 ** rng.uniform(np.log10(WEAKEST), np.log10(STRONGEST), size)


def projection(reduced: Reduced, samples: int, search: Search) -> Iterator[Proposal]:
    """Data sets with a residual below the tolerance, found from random samples.

    Cost O(n^2 (m d^2 + (d + C)^3 n)) for each step of each start.
    """
    problem = Projected.of(reduced)

    def chunk(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        X = random_points(problem.network, rng, size * samples).reshape(size, samples, -1)
        strength = random_strengths(rng, size)
        X, _ = problem.minimised(X, search, weights=strength, decay=strength, steps=PENALISED_STEPS)
        X, costs = problem.minimised(X, search, steps=STEPS - PENALISED_STEPS)
        return problem.solved(X, costs, search)

    evidence: dict = {"candidates": samples}
    search.evidence["projection"] = evidence
    size = chunk_size(samples, problem.network.n_inputs, problem.network.n_outputs)
    for outcome in search.chunks("projection", chunk, size):
        evidence |= {"starts": search.starts_done, "smallest_residual": float(np.sqrt(outcome["costs"].min(initial=np.inf)))}
        for X, c in zip(outcome["X"], outcome["c"], strict=True):
            yield Proposal(X, c)

r"""Variable projection: the multipliers are linear, so the search is in the samples alone.

For samples X the best multipliers are a linear least-squares problem; what is left is a function of X, minimised by Levenberg-Marquardt
(Golub & Pereyra 1973, with the Jacobian of Kaufman 1975). Everything is in closed form: with :math:`\sigma_{ij} = \sigma(z_{ij})`,
:math:`p_{ij} = g_{ij}\sigma'_{ij}`, :math:`q_{ij} = g_{ij}\sigma''_{ij}` the blocks of :math:`J^\top J` are

.. math:: \sum_j \bigl[(x_i x_k + \beta)\, q_{ij} q_{kj} + \alpha\, (c_i c_k)\, \sigma'_{ij}\sigma'_{kj}\bigr] w_j w_j^\top
          + q_{ij} p_{kj}\, w_j x_i^\top + p_{ij} q_{kj}\, x_k w_j^\top + p_{ij} p_{kj} I

(:math:`\alpha, \beta` = 1 where second-layer and bias rows are observed), and no Jacobian with all equations is ever formed.
Columns are gradients of unit length; a weight for each sample penalises its size, which :mod:`identify.recovery.measure` uses
to make samples disappear.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from identify.activation import horner
from identify.limits import memory_allowed
from identify.recovery.least_squares import minimise
from identify.recovery.multistart import Found, Search
from identify.recovery.reduce import Reduced, ReducedNetwork
from identify.recovery.starts import random_points
from identify.stationarity import Observed

STEPS = 300
CHUNK = 128
"""Starts mapped at once."""
RIDGE = 1e-13
"""Added to the Gram matrix of unit columns, so that coincident samples do no harm."""


@dataclass(frozen=True, eq=False)
class Projected:
    """(S) with the multipliers projected out, for any number of candidate samples."""

    network: ReducedNetwork
    observed: Observed
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Target for W (m, d), biases (m,) and the second layer (C, m), of norm one together; zeros where not observed."""
    size: float

    @classmethod
    def of(cls, reduced: Reduced) -> Projected:
        net, observed, target = reduced.network, reduced.system.observed, reduced.target
        m, C = len(net.W), net.n_outputs
        parts, start = [], 0
        size = float(np.linalg.norm(target)) or 1.0
        for shape, seen in zip(((m, net.n_inputs), (m,), (C, m)), observed, strict=True):
            count = int(np.prod(shape)) if seen else 0
            parts.append(target[start : start + count].reshape(shape) / size if seen else np.zeros(shape))
            start += count
        return cls(net, observed, (parts[0], parts[1], parts[2]), size)

    def arrays(self) -> tuple:
        """What the compiled functions take, on the device."""
        net, sigma = self.network, self.network.activation
        derivatives = tuple(tuple(jnp.asarray(s) for s in sigma.floats(order)) for order in range(3))
        seen = jnp.asarray([float(each) for each in self.observed])
        return tuple(jnp.asarray(part) for part in (net.W, net.A, net.offsets)), tuple(map(jnp.asarray, self.parts)), derivatives, seen

    def multipliers(self, X: Float[np.ndarray, "starts N d"], weights: Float[np.ndarray, "starts N"]) -> tuple[np.ndarray, np.ndarray]:
        """Multipliers (starts, N, C) and the sizes of the terms, (starts, N): norms of c_i grad f(x_i) relative to the target."""
        import jax

        with jax.enable_x64(True):
            arrays = self.arrays()
            shape = (X.shape[1], self.network.n_inputs)
            solve = jax.vmap(lambda x, w: _solve(arrays, x.reshape(shape), w)[:2])
            b, lengths = solve(jnp.asarray(X), jnp.asarray(weights))
        b, lengths = np.asarray(b), np.asarray(lengths)
        return b / lengths * self.size, np.sqrt((b**2).sum(axis=2))


def projection_operations(m: int, N: int, d: int, C: int) -> float:
    """Operations of one start with N candidates."""
    return STEPS * N**2 * (m * d**2 + N * (d + C) ** 3)


def _features(arrays, X):
    (W, A, offsets), _, derivatives, _ = arrays
    Z = X @ W.T + offsets
    return tuple(horner(derivative, Z, lambda value: value) for derivative in derivatives)


def _solve(arrays, X, weights):
    """Best multipliers b (N, C) of the unit columns, the lengths of the columns, and what was computed on the way."""
    (W, A, _), (tW, tb, ta), _, (on_W, on_b, on_a) = arrays
    s0, s1, s2 = _features(arrays, X)
    N, C = len(X), len(A)
    products = on_W * (X @ X.T) + on_b
    first = jnp.einsum("ij,oj,pj,kj->iokp", s1, A, A, s1, optimize=True) * products[:, None, :, None]
    second = on_a * (s0 @ s0.T)[:, None, :, None] * jnp.eye(C)[None, :, None, :]
    gram = (first + second).reshape(N * C, N * C)
    right = jnp.einsum("oj,ij,ij->io", A, s1, X @ tW.T + tb) + s0 @ ta.T
    lengths = jnp.sqrt(jnp.diag(gram)) + jnp.finfo(gram.dtype).tiny
    unit = gram / lengths[:, None] / lengths
    regular = unit + jnp.diag(RIDGE + jnp.repeat(weights, C))
    b = jnp.linalg.solve(regular, right.reshape(-1) / lengths)
    return b.reshape(N, C), lengths.reshape(N, C), unit, regular, (s0, s1, s2)


def _residual(arrays, X, c, s0, s1):
    (_, A, _), (tW, tb, ta), _, (on_W, on_b, on_a) = arrays
    p = (c @ A) * s1
    return on_W * (p.T @ X - tW), on_b * (p.sum(axis=0) - tb), on_a * (c.T @ s0 - ta)


def _value(r, b, weights):
    return sum((part**2).sum() for part in r) + (weights[:, None] * b**2).sum()


def cost(arrays, point, weights):
    """Squared residual relative to the target, and the penalty."""
    X = point.reshape(len(weights), -1)
    b, lengths, _, _, (s0, s1, _) = _solve(arrays, X, weights)
    return _value(_residual(arrays, X, b / lengths, s0, s1), b, weights)


def normal(arrays, point, weights):
    """Cost, gradient and Gauss-Newton matrix in the samples, with the multipliers projected out."""
    (W, A, _), _, _, (on_W, on_b, on_a) = arrays
    X = point.reshape(len(weights), -1)
    (N, d), C = X.shape, len(A)
    b, lengths, unit, regular, (s0, s1, s2) = _solve(arrays, X, weights)
    c = b / lengths
    g = c @ A
    p, q = g * s1, g * s2
    rW, rb, ra = r = _residual(arrays, X, c, s0, s1)
    gradient = (q * (X @ rW.T + rb) + s1 * (c @ ra)) @ W + p @ rW

    products = on_W * (X @ X.T) + on_b
    outer = W[:, :, None] * W[:, None, :]
    pairs = products[:, :, None] * q[:, None] * q[None] + on_a * (c @ c.T)[:, :, None] * s1[:, None] * s1[None]
    crossed = jnp.einsum("ij,kj,jp->ikp", q, p, W, optimize=True)
    H = jnp.einsum("ikj,jpr->ikpr", pairs, outer, optimize=True)
    H += on_W * (crossed[:, :, :, None] * X[:, None, None, :] + jnp.swapaxes(crossed, 0, 1)[:, :, None, :] * X[None, :, :, None])
    H += on_W * (p @ p.T)[:, :, None, None] * jnp.eye(d)
    H = jnp.swapaxes(H, 1, 2).reshape(N * d, N * d)

    As1 = A[None] * s1[:, None]
    B = products[:, None, :, None] * jnp.einsum("ioj,kj,jr->iokr", As1, q, W, optimize=True)
    B += on_W * jnp.einsum("ioj,kj->iok", As1, p)[..., None] * X[:, None, None, :]
    B += on_a * jnp.einsum("ij,kj,jr,ko->iokr", s0, s1, W, c, optimize=True)
    B = B.reshape(N * C, N * d) / lengths.reshape(-1, 1)

    # derivatives of unit columns: what a column gains in length is taken out of it
    own = jnp.repeat(jnp.eye(N), C, axis=0)[:, :, None] * jnp.ones(d)
    radial = _radial(arrays, X, s0, s1, s2, lengths)  # (N, C, d): unit column . derivative of the column, for c = 1
    alpha = (own * (radial * c[:, :, None]).reshape(N * C, 1, d)).reshape(N * C, N * d)
    gradient = gradient.reshape(-1) + alpha.T @ (jnp.repeat(weights, C) * b.reshape(-1))
    mixed = alpha.T @ B
    H = H - mixed - mixed.T + alpha.T @ unit @ alpha
    B = B - unit @ alpha
    return _value(r, b, weights), gradient, H - B.T @ jnp.linalg.solve(regular, B)


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


def projection(reduced: Reduced, samples: int, search: Search, *, candidates: int | None = None) -> Iterator[Found]:
    """Data sets with a residual below the tolerance, found from random samples.

    ``candidates``: how many samples the search uses, by default n. Cost O(N^2 (m d^2 + (d + C)^3 N)) for each step of each start.
    """
    problem, N = Projected.of(reduced), samples if candidates is None else candidates
    with search.doubles():
        arrays = problem.arrays()

    def chunk(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        points = random_points(problem.network, rng, size * N).reshape(size, -1)
        weights = np.zeros((size, N))
        found, costs = minimise(cost, normal, arrays, points, own=weights, steps=STEPS, enough=1e-26, go_on=search.go_on)
        good = costs <= search.tolerance**2
        X = found[good].reshape(-1, N, problem.network.n_inputs)
        c, _ = problem.multipliers(X, weights[good])
        return {"X": X, "c": c, "costs": costs}

    evidence: dict = {"candidates": N}
    search.evidence["projection" if candidates is None else "over-parameterised"] = evidence
    size = chunk_size(N, problem.network.n_inputs, problem.network.n_outputs)
    for outcome in search.chunks(f"projection {N}", chunk, size):
        finite = outcome["costs"][np.isfinite(outcome["costs"])]
        evidence |= {"starts": search.starts_done, "smallest_residual": float(np.sqrt(finite.min(initial=np.inf)))}
        for X, c in zip(outcome["X"], outcome["c"], strict=True):
            yield Found(X, c)

r"""The interpolation matrix as a linear map, for systems whose matrix does not fit in memory.

For a neuron w with offset b, and moments of degree k written as a matrix :math:`Y_k[e, i] = y_{e + 1_i}`, |e| = k - 1,

.. math:: P_k(w) = \sum_e \frac{w^e}{e!}\, Y_k[e, \cdot] \in \mathbb{R}^d, \qquad
          \sum_{|e| = k} \frac{w^e}{e!}\, y_e = \tfrac1k\, w \cdot P_k(w) \quad\text{(Euler)},

and these are the first-layer rows and the others. So all neurons cost one product of an m x N_(k-1) matrix with an N_(k-1) x d one for
each degree: O(m N d / k) operations if the interpolation matrix has m d N entries.
"""

from __future__ import annotations

from math import factorial

import jax
import numpy as np
from jaxtyping import Float, Int
from scipy.sparse.linalg import LinearOperator, lsmr

from identify.base.limits import OPERATIONS_PER_SECOND, refuse_above, refuse_late, refuse_when_spent
from identify.problem.gradients import Observed, unflatten
from identify.problem.interpolation import Monomials, moment_count
from identify.problem.network import TwoLayerNetwork

ROUND = 1e-7
"""Relative accuracy of one round; the next solves for the correction."""
ROUNDS = 6
STALLED = 0.1
"""A round that leaves more than this part of the residual was the last: what is left is noise."""
ITERATIONS = 5000
PROBES = 16
UNDETERMINED = 1e-2


class DegreePart:
    """One degree k of the map: the neurons' monomials of degree k - 1, and how moments are laid out in Y_k."""

    def __init__(self, W: Float[np.ndarray, "m d"], k: int) -> None:
        d = W.shape[1]
        monomials = Monomials.of(d, k)
        self.k, self.size = k, len(monomials)
        self.root = np.sqrt(monomials.factorials() / factorial(k))
        """e! w_e, with w_e the weights of orthonormal coordinates."""
        if not k:
            return
        lower = Monomials.of(d, k - 1)
        self.powers = lower.values(W, lambda value: value) / lower.factorials()
        places = [lower.raised(monomials, i) for i in range(d)]
        self.place: Int[np.ndarray, " N_lower*d"] = np.array(places, dtype=np.int64).T.reshape(-1)
        self._on_device = None
        if jax.default_backend() != "cpu":
            with jax.enable_x64(True):
                self._on_device = jax.device_put(self.powers)

    def times(self, v: Float[np.ndarray, " N"]) -> Float[np.ndarray, "m d"]:
        """P_k of all neurons."""
        return self._product((self.root * v)[self.place].reshape(self.powers.shape[1], -1), transposed=False)

    def transposed(self, U: Float[np.ndarray, "m d"]) -> Float[np.ndarray, " N"]:
        """The transposed map."""
        return self.root * np.bincount(self.place, weights=self._product(U, transposed=True).reshape(-1), minlength=self.size)

    def _product(self, right: np.ndarray, *, transposed: bool) -> np.ndarray:
        if self._on_device is None:
            return (self.powers.T if transposed else self.powers) @ right
        with jax.enable_x64(True):
            left = self._on_device.T if transposed else self._on_device
            return np.asarray(left @ jax.device_put(right))


class MomentMap:
    """From orthonormal coordinates of the visible moments to the rows of (S): the interpolation matrix with scaled columns."""

    def __init__(self, net: TwoLayerNetwork, observed: Observed, degrees: tuple[int, ...]) -> None:
        refuse_above(map_bytes(net, degrees), "the monomials of the neurons")
        self.net, self.observed = net, observed
        self.parts = [DegreePart(net.W, k) for k in degrees]
        self.slopes = [net.activation(net.offsets, order) for order in range(degrees[-1] + 2)]
        m, d, C = len(net.W), net.n_inputs, net.n_outputs
        self.shape = (m * d * observed.W + m * observed.bias + C * m * observed.a, C * sum(part.size for part in self.parts))

    def times(self, v: Float[np.ndarray, " N"]) -> Float[np.ndarray, " equations"]:
        """Rows of (S) in the order of ``KKTSystem.target``. Cost O(m N d)."""
        W, A = self.net.W, self.net.A
        first, biases, second = np.zeros_like(W), np.zeros(len(W)), np.zeros_like(A)
        start = 0
        for o in range(len(A)):
            for part in self.parts:
                own, start = v[start : start + part.size], start + part.size
                k = part.k
                if k:
                    P = part.times(own)
                    first += (A[o] * self.slopes[k])[:, None] * P
                    values = (P * W).sum(axis=1) / k
                else:
                    values = np.full(len(W), own[0])
                biases += A[o] * self.slopes[k + 1] * values
                second[o] += self.slopes[k] * values
        return np.concatenate([rows.reshape(-1) for rows, seen in zip((first, biases, second), self.observed, strict=True) if seen])

    def transposed(self, t: Float[np.ndarray, " equations"]) -> Float[np.ndarray, " N"]:
        """The transposed map. Cost O(m N d)."""
        W, A = self.net.W, self.net.A
        first, biases, second = unflatten(t, (W.shape, (len(W),), A.shape), self.observed, np.zeros)
        columns = []
        for o in range(len(A)):
            for part in self.parts:
                k = part.k
                values = A[o] * self.slopes[k + 1] * biases + self.slopes[k] * second[o]
                if k:
                    columns.append(part.transposed((A[o] * self.slopes[k])[:, None] * first + W * (values / k)[:, None]))
                else:
                    columns.append(values.sum(keepdims=True))
        return np.concatenate(columns)

    @property
    def seconds(self) -> float:
        """An estimate for one product."""
        return 2.0 * self.net.W.size * self.shape[1] / OPERATIONS_PER_SECOND

    def scales(self, rng: np.random.Generator) -> Float[np.ndarray, " N"]:
        """Estimates of the norms of the columns: of A^T s for random signs s the mean square is the diagonal of A^T A."""
        squares = [self.transposed(rng.choice([-1.0, 1.0], self.shape[0])) ** 2 for _ in range(PROBES)]
        norms = np.sqrt(np.mean(squares, axis=0))
        return np.where(norms > 0, norms, 1.0)


def map_bytes(net: TwoLayerNetwork, degrees: tuple[int, ...]) -> int:
    """Memory of a :class:`MomentMap` and of a solve with it."""
    lower = [moment_count(net.n_inputs, (max(k - 1, 0),)) for k in degrees]
    per_degree = max(size * max(net.n_inputs, 1) for size in lower) * 8 * (degrees[-1] + 6)
    return 8 * 2 * len(net.W) * sum(lower) + per_degree + 64 * moment_count(net.n_inputs, degrees, net.n_outputs)


def solve_by_map(
    net: TwoLayerNetwork,
    observed: Observed,
    degrees: tuple[int, ...],
    target: Float[np.ndarray, " equations"],
    seed: int = 0,
) -> tuple[Float[np.ndarray, " N"] | None, dict]:
    """Least-squares moments in orthonormal coordinates by LSMR (Fong & Saunders 2011), or None; and evidence.

    Rounds of iterative refinement go on until the residual falls no more. Then the last round has solved for the correction to a
    relative 1e-7 of what is left, so that the error of the iteration is below that of the noise in the target as long as the condition of
    the map stays below 1e7. None if LSMR does not converge, or if random moments do not come back from their own target: then the
    map has no full column rank to working precision. Cost O(m N d) for an iteration, hundreds of these: OutOfTimeError where
    :func:`identify.base.limits.limit_time` ends before.
    """
    rng = np.random.default_rng([seed, len(target)])
    whole = MomentMap(net, observed, degrees)
    refuse_late(2 * PROBES * whole.seconds, "a first look at the map from moments to the target")
    scales = whole.scales(rng)

    def forward(v: np.ndarray) -> np.ndarray:
        refuse_when_spent("iteration with the map from moments to the target")
        return whole.times(v / scales)

    operator = LinearOperator(whole.shape, matvec=forward, rmatvec=lambda t: whole.transposed(t) / scales, dtype=float)
    evidence: dict[str, float] = {"moments": whole.shape[1], "equations": len(target), "iterations": 0}

    def solved(right: np.ndarray, accuracy: float) -> tuple[np.ndarray, bool]:
        x, reason, iterations, *_, condition, _ = lsmr(operator, right, atol=accuracy, btol=accuracy, maxiter=ITERATIONS)
        evidence["iterations"] += iterations
        evidence["moment_condition"] = float(condition)
        return x, reason in (0, 1, 2, 4, 5)

    probe = rng.standard_normal(whole.shape[1])
    back, _ = solved(operator.matvec(probe), 1e-2 * ROUND**0.5)
    if not np.linalg.norm(back - probe) <= UNDETERMINED * np.linalg.norm(probe):
        return None, evidence | {"probe_error": float(np.linalg.norm(back - probe) / np.linalg.norm(probe))}
    x, left = np.zeros(whole.shape[1]), target
    for _ in range(ROUNDS):
        correction, converged = solved(left, ROUND)
        if not converged:
            return None, evidence
        trial = target - operator.matvec(x + correction)
        if not np.linalg.norm(trial) < np.linalg.norm(left):
            break
        gained = np.linalg.norm(trial) / np.linalg.norm(left)
        x, left = x + correction, trial
        if gained > STALLED:
            break
    size = np.linalg.norm(target)
    return x / scales, evidence | {"moment_residual": float(np.linalg.norm(left) / size) if size else 0.0}

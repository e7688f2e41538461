r"""Step 2, moment solve: the visible moments by least squares on the interpolation matrix."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
from jaxtyping import Float
from scipy.linalg import lstsq

from identify.base.limits import OPERATIONS_PER_SECOND, memory_allowed, refuse_above, refuse_late
from identify.planting.configuration import is_lifted
from identify.problem.gradients import Observed
from identify.problem.interpolation import Monomials, digits, interpolation_matrix, moment_count
from identify.problem.network import TwoLayerNetwork
from identify.recovery.moment_map import solve_by_map
from identify.recovery.solution import Failure, InapplicableError

MATRIX_FLOPS = 1e11
"""Equations · N^2 up to which the matrix is eliminated."""


@dataclass(frozen=True, eq=False)
class Moments:
    """The moments y_e = sum_i c_i x_i^e of the visible degrees, one array of shape (C, N_k) for each degree k."""

    inputs: int
    values: dict[int, Float[np.ndarray, "C N"]]
    residual: float
    """Relative residual of the least-squares problem (dimensionless)."""

    @property
    def degrees(self) -> tuple[int, ...]:
        return tuple(self.values)

    def top_tensor(self) -> Float[np.ndarray, "C *D"]:
        """The moment of highest degree p as a full symmetric tensor; in lifted coordinates (x, 1) when all degrees are visible."""
        p, lifted = self.degrees[-1], is_lifted(self.degrees)
        D = self.inputs + int(lifted)
        outputs = next(iter(self.values.values())).shape[0]
        refuse_above(8 * D**p * (outputs + p + 2), f"a symmetric tensor of order {p} in dimension {D}")
        index = np.sort(np.indices((D,) * p).reshape(p, -1), axis=0)
        tensor = np.empty((outputs, index.shape[1]))
        for k in range(p + 1) if lifted else (p,):
            chosen = (index < self.inputs).sum(axis=0) == k
            monomials = Monomials.of(self.inputs, k)
            position = np.empty(max(self.inputs, 1) ** k, dtype=np.int64)
            position[monomials.codes(self.inputs)] = np.arange(len(monomials))
            tensor[:, chosen] = self.values[k][:, position[digits(index[:k, chosen], self.inputs)]]
        return tensor.reshape((outputs,) + (D,) * p)


def solve_moments(
    net: TwoLayerNetwork, observed: Observed, degrees: tuple[int, ...], target: Float[np.ndarray, " equations"]
) -> tuple[Moments, dict]:
    """Least-squares moments, and evidence (numerical rank, residual, and what an iterative solve says of the condition).

    By orthogonal elimination of the interpolation matrix while that takes seconds; beyond, by iteration with the map
    (:mod:`identify.recovery.moment_map`), and by elimination again if that does not converge and the matrix fits in memory.

    Raises
    ------
    InapplicableError
        When the matrix does not have full column rank, so that the moments are not determined (condition C1 fails).
    OutOfTimeError
        When :func:`identify.base.limits.limit_time` leaves less time than it takes.
    TooLargeError
        Before allocating, when neither the matrix nor the map fits in memory. Cost O(equations · N^2), or hundreds of times O(m d N).
    """
    N = moment_count(net.n_inputs, degrees, net.n_outputs)
    if len(target) < N:
        raise InapplicableError.of(Failure.FEW_EQUATIONS, equations=len(target), moments=N)
    matrix_bytes = 3 * 8 * len(target) * N
    by_map = None
    if len(target) * N**2 > MATRIX_FLOPS or matrix_bytes > memory_allowed():
        by_map, evidence = solve_by_map(net, observed, degrees, target)
        if by_map is None and matrix_bytes > memory_allowed():
            raise InapplicableError.of(Failure.MOMENT_MAP, evidence, moments=N, equations=len(target))
    if by_map is None:
        solution, evidence = _solve_by_matrix(net, observed, degrees, target)
    else:
        solution = by_map
    values, start = {}, 0
    for k in degrees:
        weights = Monomials.of(net.n_inputs, k).weights()
        # the matrix acts on y_e / e!; its columns were multiplied by w_e = 1 / sqrt(k! e!), so y_e = e! w_e v_e = v_e / (k! w_e)
        values[k] = solution.reshape(net.n_outputs, -1)[:, start : start + len(weights)] / (factorial(k) * weights)
        start += len(weights)
    return Moments(net.n_inputs, values, evidence["moment_residual"]), evidence


def _solve_by_matrix(
    net: TwoLayerNetwork, observed: Observed, degrees: tuple[int, ...], target: Float[np.ndarray, " equations"]
) -> tuple[Float[np.ndarray, " N"], dict]:
    """In orthonormal coordinates of symmetric tensors; columns are scaled to unit norm for the rank."""
    activation = net.activation
    N = moment_count(net.n_inputs, degrees, net.n_outputs)
    refuse_late(2 * len(target) * N**2 / OPERATIONS_PER_SECOND, f"the elimination of a {len(target)} by {N} matrix")
    derivatives = [activation.floats(order) for order in range(activation.degree + 2)]
    matrix = interpolation_matrix(net.W, net.A, net.offsets, derivatives, observed, degrees)
    weights = np.tile(np.concatenate([Monomials.of(net.n_inputs, k).weights() for k in degrees]), net.n_outputs)
    matrix *= weights
    norms = np.linalg.norm(matrix, axis=0)
    norms[norms == 0] = 1.0
    matrix /= norms
    solution, _, rank, _ = lstsq(matrix, target, lapack_driver="gelsy", cond=1e-13)
    residual = float(np.linalg.norm(matrix @ solution - target) / np.linalg.norm(target))
    evidence = {"moments": N, "equations": len(target), "numerical_rank": int(rank), "moment_residual": residual}
    if rank < N:
        raise InapplicableError.of(Failure.MOMENTS, evidence, numerical_rank=int(rank), moments=N)
    return solution / norms, evidence

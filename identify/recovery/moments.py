r"""Step 2, moment solve: the visible moments by least squares on the interpolation matrix."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
from jaxtyping import Float
from scipy.linalg import lstsq

from identify.configuration import is_lifted
from identify.exact.interpolation import Monomials, interpolation_matrix, moment_count
from identify.limits import refuse_above
from identify.recovery.reduce import ReducedNetwork
from identify.recovery.solution import BeyondAlgebraError
from identify.stationarity import Observed


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
            code = _codes(monomials.index.T, self.inputs)
            position = np.empty(max(self.inputs, 1) ** k, dtype=np.int64)
            position[code] = np.arange(len(monomials))
            tensor[:, chosen] = self.values[k][:, position[_codes(index[:k, chosen], self.inputs)]]
        return tensor.reshape((outputs,) + (D,) * p)


def _codes(index: np.ndarray, base: int) -> np.ndarray:
    """Each column of sorted variable indices as one integer."""
    code = np.zeros(index.shape[1], dtype=np.int64)
    for row in index:
        code = code * base + row
    return code


def solve_moments(
    net: ReducedNetwork, observed: Observed, degrees: tuple[int, ...], target: Float[np.ndarray, " equations"]
) -> tuple[Moments, dict]:
    """Least-squares moments, and evidence (numerical rank, condition estimate, residual).

    Columns are scaled so that the unknowns are orthonormal coordinates of symmetric tensors, then to unit norm.

    Raises
    ------
    RecoveryError
        When the matrix has not full column rank, so that the moments are not determined (condition C1 fails).
    TooLargeError
        Before allocating, when the matrix would not fit in memory. Cost O(equations · N^2).
    """
    N = moment_count(net.n_inputs, degrees, net.n_outputs)
    refuse_above(3 * 8 * len(target) * N, f"the interpolation matrix ({len(target)} by {N})")
    if len(target) < N:
        raise BeyondAlgebraError(
            f"interpolation: {len(target)} equations for {N} moments; the algebraic route needs a wider network "
            "(identify.check says how wide)",
            equations=len(target),
            moments=N,
        )
    activation = net.activation
    derivatives = [activation.floats(order) for order in range(activation.degree + 2)]
    matrix = interpolation_matrix(net.W, net.A, net.offsets, derivatives, observed, degrees)
    weights = {k: Monomials.of(net.n_inputs, k).weights() for k in degrees}
    matrix *= np.tile(np.concatenate([weights[k] for k in degrees]), net.n_outputs)
    norms = np.linalg.norm(matrix, axis=0)
    norms[norms == 0] = 1.0
    matrix /= norms
    solution, _, rank, _ = lstsq(matrix, target, lapack_driver="gelsy", cond=1e-13)
    residual = float(np.linalg.norm(matrix @ solution - target) / np.linalg.norm(target))
    evidence = {"moments": N, "equations": len(target), "numerical_rank": int(rank), "moment_residual": residual}
    if rank < N:
        raise BeyondAlgebraError(
            f"interpolation: numerical rank {rank} of {N}; the target does not determine the moments of the data, so the algebraic "
            "route does not apply (identify.check says what would)",
            **evidence,
        )
    solution = (solution / norms).reshape(net.n_outputs, -1)
    values, start = {}, 0
    for k in degrees:
        stop = start + len(weights[k])
        # the matrix acts on y_e / e!; its columns were multiplied by w_e = 1 / sqrt(k! e!), so y_e = e! w_e v_e = v_e / (k! w_e)
        values[k] = solution[:, start:stop] / (factorial(k) * weights[k])
        start = stop
    return Moments(net.n_inputs, values, residual), evidence

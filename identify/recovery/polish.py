r"""Step 5, polish: Levenberg-Marquardt on (S) itself.

Residual and Jacobian are the closed forms of :mod:`identify.problem.system` and :mod:`identify.problem.gradients`, and beyond some size the
products of :mod:`identify.recovery.gauss_newton`. Rows are weighted by the noise of the target (:mod:`identify.recovery.noise`). All in
NumPy: its steps take as long as compiled ones, and compiling takes a second or two for each size, more than all steps of a polish.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from identify.base.least_squares import Rest, State, by_attempts, descend
from identify.recovery.equations import Equations
from identify.recovery.gauss_newton import CONVERGED, MAX_STEPS, gauss_newton

FIRST_DAMPING = 1e-12
"""Relative to Jacobian columns of unit norm: the start is close to the solution."""
MATRIX_FLOPS = 1e8
"""Equations · unknowns^2 up to which the Jacobian is factorised in every step."""

Linear = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Weighted residual, weighted Jacobian with columns of unit norm, and the norms."""


def _linearised(equations: Equations, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Linear:
    J = equations.jacobian(X, c) * equations.weights[:, None]
    norms = np.linalg.norm(J, axis=0)
    norms = np.where(norms > 0, norms, 1.0)
    return equations.residual(X, c) * equations.weights, J / norms, norms


def _step(r: np.ndarray, J: np.ndarray, norms: np.ndarray, damping: float) -> Float[np.ndarray, " unknowns"]:
    """The damped Gauss-Newton step, by the triangular factor of the stacked matrix and one refinement."""
    R = np.linalg.qr(np.concatenate([J, np.sqrt(damping) * np.eye(J.shape[1])]), mode="r")

    def solve(right: np.ndarray) -> np.ndarray:
        return solve_triangular(R, solve_triangular(R, right, trans=1, check_finite=False), check_finite=False)

    step = solve(-J.T @ r)
    return (step + solve(-J.T @ (r + J @ step) - damping * step)) / norms


def polish(
    equations: Equations, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], int]:
    """Levenberg-Marquardt from (X, c); returns the best point and the number of steps.

    Stops when a step gains less than a thousandth of the squared residual, or none. Cost of a step O(equations · unknowns^2); beyond 1e8
    operations O(unknowns^3) once, and some dozens of products with the Jacobian.
    """
    if not equations.is_small(X.size + c.size, MATRIX_FLOPS):
        return gauss_newton(equations, X, c)
    d, steps = X.shape[1], 0
    with np.errstate(over="ignore", invalid="ignore"):  # a trial that goes too far has an infinite cost
        here = np.hstack([X, c]), _linearised(equations, X, c)
        there = here

        def attempt(_rows: np.ndarray, damping: np.ndarray) -> np.ndarray:
            nonlocal there, steps
            point, linear = here
            trial = point + _step(*linear, float(damping[0])).reshape(point.shape)
            there = trial, _linearised(equations, trial[:, :d], trial[:, d:])
            steps += 1
            return np.array([there[1][0] @ there[1][0]])

        def take(_rows: np.ndarray, better: np.ndarray) -> None:
            nonlocal here
            here = there if better[0] else here

        r = here[1][0]
        state, rest = State.first(np.array([r @ r]), FIRST_DAMPING), Rest(equations.rounding, 1, 1 - CONVERGED)
        descend(by_attempts(attempt, take, rest), state, rounds=MAX_STEPS)
    point, _ = here
    return point[:, :d], point[:, d:], steps

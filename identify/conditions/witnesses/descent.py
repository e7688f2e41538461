r"""Levenberg–Marquardt in NumPy, from many starts at once, over the real or the complex numbers: zeros of small systems.

Each start has its own damping. A step solves :math:`(J^* J + \lambda D)\, \delta = -J^* F` with D the diagonal of :math:`J^* J` (Marquardt
1963). Zeros are what is looked for, so a start that no longer descends is given up. Nothing is proved here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Inexact

Batch = Callable[[Inexact[np.ndarray, "starts unknowns"]], tuple[np.ndarray, np.ndarray]]
"""F and J at points, one for each start: of shapes (starts, equations) and (starts, equations, unknowns)."""
STEPS = 400
FIRST_DAMPING, LEAST_DAMPING, LARGEST_DAMPING = 1e-2, 1e-16, 1e4
"""A start is given up when no step with the largest damping descends."""
STALLED, LOOK_BACK = 0.999, 12
"""It is also given up when its norm has not fallen by this factor in so many steps."""


def descend(
    function: Batch,
    starts: Inexact[np.ndarray, "starts unknowns"],
    *,
    enough: float,
    free: Bool[np.ndarray, "starts unknowns"] | None = None,
    steps: int = STEPS,
    go_on: Callable[[], bool] = lambda: True,
) -> tuple[np.ndarray, np.ndarray]:
    """Points where the norm of F is small, one for each start, and these norms (infinite where F is not finite).

    Parameters
    ----------
    function
        F and its derivative.
    starts
        Real or complex; the points have the same type.
    enough
        The norm at which a start has arrived.
    free
        Entries that may change; all of them by default.
    steps
        Evaluations of F for each start, at most.
    go_on
        Asked before each step; where it says no, the points are what they are by then.

    Notes
    -----
    Cost of a step, for each start that is still moving: one evaluation and O(equations · unknowns^2). The starts do not influence each
    other, but the last bits of a result may depend on how many there are.
    """
    points = np.array(starts)
    is_fixed = np.zeros(points.shape, dtype=bool) if free is None else ~free
    damping, sizes = np.full(len(points), FIRST_DAMPING), np.full(len(points), np.inf)
    earlier = np.full(len(points), np.inf)
    moving = np.arange(len(points))
    H, g = _normal_equations(function, points, is_fixed, sizes, moving)
    for step in range(steps):
        keep = np.isfinite(sizes[moving]) & (sizes[moving] > enough) & (damping[moving] <= LARGEST_DAMPING)
        if step % LOOK_BACK == 0:
            keep &= sizes[moving] < STALLED * earlier[moving]
            earlier[moving] = sizes[moving]
        moving, H, g = moving[keep], H[keep], g[keep]
        if not len(moving) or not go_on():
            break
        trial, trial_sizes = points.copy(), sizes.copy()
        trial[moving] -= _steps(H, g, damping[moving])
        trial_sizes[moving] = np.inf
        new_H, new_g = _normal_equations(function, trial, is_fixed, trial_sizes, moving)
        better = trial_sizes[moving] < sizes[moving]
        taken = moving[better]
        points[taken], sizes[taken] = trial[taken], trial_sizes[taken]
        H[better], g[better] = new_H[better], new_g[better]
        damping[moving] = np.where(better, np.maximum(damping[moving] / 5, LEAST_DAMPING), damping[moving] * 4)
    return points, sizes


def _normal_equations(
    function: Batch, points: np.ndarray, is_fixed: np.ndarray, sizes: np.ndarray, moving: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """J* J and J* F at the points of the starts that move; their norms go into ``sizes``."""
    F, J = function(points[moving])
    norms = np.linalg.norm(F, axis=1)
    J = np.where(is_fixed[moving][:, None, :], 0, J)
    adjoint = J.conj().transpose(0, 2, 1)
    H, g = adjoint @ J, (adjoint @ F[:, :, None])[:, :, 0]
    finite = np.isfinite(norms) & np.isfinite(H).all(axis=(1, 2)) & np.isfinite(g).all(axis=1)
    sizes[moving] = np.where(finite, norms, np.inf)
    return np.where(finite[:, None, None], H, 0), np.where(finite[:, None], g, 0)


def _steps(H: np.ndarray, g: np.ndarray, damping: np.ndarray) -> np.ndarray:
    """Solutions of (H + damping · D) δ = g; what does not move F does not move."""
    diagonal = np.einsum("bii->bi", H).real
    scale = np.where(diagonal > 0, diagonal, 1.0) ** -0.5
    unit = H * scale[:, :, None] * scale[:, None, :]
    eye = np.eye(H.shape[1])
    unit = unit + (damping[:, None] + (diagonal <= 0))[:, :, None] * eye
    try:
        found = np.linalg.solve(unit, (g * scale)[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # singular to working precision, which the damping may have become
        found = np.stack([np.linalg.lstsq(one, right, rcond=None)[0] for one, right in zip(unit, g * scale, strict=True)])
    return found * scale

r"""Levenberg–Marquardt in NumPy, from many starts at once, over the real or the complex numbers: zeros of small systems.

The rules are those of :mod:`identify.base.least_squares`. Only zeros are looked for, so a start that hardly descends is given up.
Nothing is proved here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Inexact

from identify.base.least_squares import Rest, State, by_attempts, damped_steps
from identify.base.least_squares import descend as advance_all

Batch = Callable[[Inexact[np.ndarray, "starts unknowns"]], tuple[np.ndarray, np.ndarray]]
"""F and J at points, one for each start: of shapes (starts, equations) and (starts, equations, unknowns)."""
STEPS = 400
FIRST_DAMPING = 1e-2
STALLED = 6, 0.998
"""A start is given up when so many steps leave more than this share of the cost."""


def descend(
    function: Batch,
    starts: Inexact[np.ndarray, "starts unknowns"],
    *,
    enough: float,
    free: Bool[np.ndarray, "starts unknowns"] | None = None,
    steps: int = STEPS,
    go_on: Callable[[], bool] = lambda: True,
) -> tuple[np.ndarray, np.ndarray]:
    """Points where the norm of F is small, one for each start, and these norms (infinite if F is not finite).

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
    count, unknowns = points.shape
    H, g = np.tile(np.eye(unknowns, dtype=points.dtype), (count, 1, 1)), np.zeros_like(points)
    trial: list[np.ndarray] = []

    def attempt(rows: np.ndarray, damping: np.ndarray) -> np.ndarray:
        there = points[rows] - damped_steps(H[rows], g[rows], damping)
        F, J = function(there)
        J = np.where(is_fixed[rows][:, None, :], 0, J)
        adjoint = J.conj().transpose(0, 2, 1)
        trial[:] = there, adjoint @ J, (adjoint @ F[:, :, None])[:, :, 0]
        costs = (np.abs(F) ** 2).sum(axis=1)
        return np.where(np.isfinite(trial[1]).all(axis=(1, 2)) & np.isfinite(trial[2]).all(axis=1), costs, np.inf)

    def take(rows: np.ndarray, better: np.ndarray) -> None:
        for part, new in zip((points, H, g), trial, strict=True):
            part[rows[better]] = new[better]

    state = State.first(np.full(count, np.inf), FIRST_DAMPING)
    costs = advance_all(by_attempts(attempt, take, Rest(enough**2, *STALLED)), state, rounds=steps, go_on=go_on)
    return points, np.sqrt(costs)

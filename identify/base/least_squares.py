r"""Levenberg-Marquardt from many starts at once: one rule for damping and one for rest, whatever computes the steps.

An attempt solves :math:`(J^* J + \lambda D)\,\delta = J^* r`, D the diagonal of :math:`J^* J` (Marquardt 1963), and is taken if the cost
:math:`\|r\|^2` falls. Then :math:`\lambda` is divided by 3, otherwise multiplied by 2, 4, 8, ... until an attempt is taken again (Nielsen
1999, *Damping parameter in Marquardt's method*). A start is at rest when its cost is small enough or hardly falls, or when no damping
helps; it leaves the batch then. Starts do not influence each other.

:func:`settle` is the rule, for arrays of NumPy or JAX; :func:`descend` is the loop. Callers keep the points and compute the attempts: from
batches of normal equations in NumPy (:mod:`identify.conditions.witnesses.descent`, :mod:`identify.recovery.separation.membership`), by
blocks of compiled steps in JAX (:mod:`identify.splitting.traced`), by QR for the last digits (:mod:`identify.recovery.polish`). The one
least-squares method beside it is :mod:`identify.recovery.gauss_newton`, for Jacobians too large to be formed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Inexact, Int

FIRST_DAMPING = 0.1
"""Relative to the diagonal of the normal equations, for starts far from a solution."""
LEAST_DAMPING, MOST_DAMPING = 1e-15, 1e4
"""Below the first it does not fall; a start that would need more than the second is at rest."""
LOWERED, RAISED = 3.0, 2.0
FLOOR = 1e-12
"""The least entry of the diagonal, relative to its largest: unknowns that nothing depends on stay where they are."""
TINY = 1e-200
"""The same if no unknown has any influence."""


class Rest(NamedTuple):
    """When a start is at rest: its cost is at most ``enough``, or ``window`` attempts were taken and left more than ``share`` of it."""

    enough: float = 0.0
    window: int = 12
    share: float = 0.9


class State(NamedTuple):
    """The state of every start on which the rules depend; of one start inside a JAX trace."""

    cost: Any
    """Infinite as long as the start has not been evaluated: its first attempt is to stay where it is."""
    damping: Any
    factor: Any
    """By which the damping is multiplied when the next attempt is not taken."""
    taken: Any
    """Number of attempts that were taken."""
    earlier: Any
    """Cost when the window began."""
    at_rest: Any

    @classmethod
    def first(cls, cost: Float[np.ndarray, " starts"], damping: float = FIRST_DAMPING) -> State:
        """Before the first attempt, at points of these costs, or of costs not known yet: infinite ones."""
        n = len(cost)
        return cls(np.array(cost), np.full(n, damping), np.full(n, RAISED), np.zeros(n, int), np.array(cost), np.zeros(n, bool))


def settle(state: State, new: Any, rest: Rest, xp: ModuleType = np) -> State:
    """The state after an attempt whose cost is ``new``; it was taken if that is lower than before."""
    is_first, better = xp.isinf(state.cost), new < state.cost
    cost = xp.where(better, new, state.cost)
    changed = xp.where(better, xp.maximum(state.damping / LOWERED, LEAST_DAMPING), state.damping * state.factor)
    damping = xp.where(is_first, state.damping, changed)
    factor = xp.where(better, RAISED, RAISED * state.factor)
    taken = state.taken + (better & ~is_first)
    ends = better & ~is_first & (taken % rest.window == 0)
    slow = ends & ~(cost < rest.share * state.earlier)
    earlier = xp.where(ends | xp.isinf(state.earlier), cost, state.earlier)
    at_rest = state.at_rest | slow | ~xp.isfinite(cost) | (cost <= rest.enough) | (damping > MOST_DAMPING)
    return State(cost, damping, factor, taken, earlier, at_rest)


Advance = Callable[[Int[np.ndarray, " live"], State], State]
"""One or more attempts of these starts, of which it keeps the points."""


def descend(advance: Advance, state: State, *, rounds: int, go_on: Callable[[], bool] = lambda: True) -> Float[np.ndarray, " starts"]:
    """Advance the starts that are not at rest, at most that many times, for as long as ``go_on()`` holds; the costs, which never rise."""
    live = np.flatnonzero(~state.at_rest & (state.cost == state.cost))
    for _ in range(rounds):
        if not len(live) or not go_on():
            break
        new = advance(live, State(*(part[live] for part in state)))
        for part, values in zip(state, new, strict=True):
            part[live] = values
        live = live[~np.asarray(new.at_rest)]
    return np.asarray(state.cost)


def by_attempts(
    attempt: Callable[[Int[np.ndarray, " live"], Float[np.ndarray, " live"]], Float[np.ndarray, " live"]],
    take: Callable[[Int[np.ndarray, " live"], Bool[np.ndarray, " live"]], None],
    rest: Rest,
) -> Advance:
    """One attempt at a time: ``attempt(rows, damping)`` returns costs of new points, ``take(rows, better)`` moves to the better of them."""

    def advance(rows: np.ndarray, state: State) -> State:
        new = attempt(rows, state.damping)
        take(rows, new < state.cost)
        return settle(state, new, rest)

    return advance


def raised(diagonal: Any) -> Any:
    """The diagonal of normal equations, by which the damping is multiplied: positive, also if nothing depends on an unknown."""
    return diagonal + FLOOR * diagonal.max(axis=-1, initial=0.0, keepdims=True) + TINY


def damped_steps(
    matrices: Inexact[np.ndarray, "starts k k"], gradients: Inexact[np.ndarray, "starts k"], damping: Float[np.ndarray, " starts"]
) -> Inexact[np.ndarray, "starts k"]:
    """Solutions of (H + damping · D) δ = g; NaN for a matrix that is singular to working precision, so that more damping is tried."""
    damped = np.array(matrices)
    diagonal = np.einsum("sii->si", damped)
    diagonal += damping[:, None] * raised(diagonal.real)
    try:
        return np.linalg.solve(damped, gradients[..., None])[..., 0]
    except np.linalg.LinAlgError:  # one singular matrix fails the whole batch
        out = np.full(gradients.shape, np.nan, gradients.dtype)
        for k, (one, right) in enumerate(zip(damped, gradients, strict=True)):
            with suppress(np.linalg.LinAlgError):
                out[k] = np.linalg.solve(one, right)
        return out

r"""Minimisation of an objective on weighted candidates, which adds candidates at strict saddles of measures.

The inner method runs to a stationary point. If a splitting matrix has a negative eigenvalue, its candidate is split along
the eigenvector, at the best step of a line search, and the inner method resumes. Every split lowers the objective, so a
bounded objective allows only finitely many splits that gain a given amount (Shen et al. 2026, arXiv:2602.08723).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.splitting.inner import Inner, LevenbergMarquardt, gradient_size, lbfgs, value, values
from identify.splitting.matrices import Objective, inherit, smallest
from identify.splitting.objective import KKTObjective
from identify.splitting.simplify import cheapest_reduction

STEPS = tuple(2.0**-i for i in range(16))
"""Steps that the line search tries, relative to max(1, |x_j|)."""
NEGLIGIBLE = 1e-12
"""Relative gain of a split that could be due to rounding."""


@dataclass(frozen=True)
class Split:
    """One split: the objective before it, right after it, and after the inner method resumed."""

    candidate: int
    eigenvalue: float
    step: float
    before: float
    after: float
    resumed: float
    iteration: int = -1
    """Completed iterations of the attack before it; -1 if nothing was counted."""

    @property
    def predicted(self) -> float:
        """Change to second order, eigenvalue · step^2 / 2."""
        return self.eigenvalue * self.step**2 / 2


@dataclass(frozen=True, eq=False)
class SplittingResult:
    """The end point of :func:`minimise`.

    Attributes
    ----------
    status
        ``"zero"``: the objective is below the tolerance. ``"second-order"``: stationary, and no splitting matrix has an
        eigenvalue below minus the threshold. ``"not stationary"``: no such eigenvalue either, but the inner method left a gradient, or
        an eigenvalue is not known.
        ``"no descent"``: no step along the eigenvectors gained anything beyond rounding. ``"full"``: ``cap`` candidates.
        ``"rounds"``: as many splits as allowed.
    eigenvalue
        Smallest eigenvalue of all splitting matrices at the end of the growth; NaN if entries of one are not doubles.
    gradient
        Largest entry of the gradient there.
    splits
        One entry for each split, in order.
    dropped, merged
        Candidates that were removed at the end because the objective does not need them.
    """

    X: Float[np.ndarray, "k d"]
    c: Float[np.ndarray, "k C"]
    objective: Objective
    value: float
    status: str
    eigenvalue: float
    gradient: float
    splits: tuple[Split, ...]
    dropped: int
    merged: int


def split(
    X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k C"], directions: Float[np.ndarray, "k d"], steps: Float[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, "l d"], Float[np.ndarray, "l C"], np.ndarray, np.ndarray]:
    """Every candidate with a step that is not zero becomes two, with half its multiplier, at x + step v and x - step v.

    Returns the candidates, their multipliers, their parents and their shares. The second children come last.
    """
    steps = np.asarray(steps, float)
    second = np.flatnonzero(steps)
    parents = np.concatenate([np.arange(len(X)), second])
    shares = np.where(steps[parents] != 0, 0.5, 1.0)
    moves = steps[:, None] * directions
    return np.concatenate([X + moves, (X - moves)[second]]), c[parents] * shares[:, None], parents, shares


def best_step(objective: Objective, X, c, candidate: int, direction: Float[np.ndarray, " d"]) -> tuple[float, float]:
    """The step of a geometric grid at which splitting the candidate leaves the objective lowest, and that value."""
    directions, steps = np.zeros_like(X), np.zeros(len(X))
    directions[candidate], steps[candidate] = direction, 1.0
    grid = max(1.0, float(np.linalg.norm(X[candidate]))) * np.array(STEPS)
    ends, halved, parents, shares = split(X, c, directions, steps)
    moves = ends - X[parents]
    found = values(inherit(objective, parents, shares), X[parents] + grid[:, None, None] * moves, halved)
    best = int(np.argmin(np.where(np.isnan(found), np.inf, found)))
    return float(grid[best]), float(found[best])


def minimise(
    objective: Objective,
    X: Float[np.ndarray, "k d"],
    c: Float[np.ndarray, "k C"],
    *,
    inner: Inner | None = None,
    rounds: int = 20,
    cap: int | None = None,
    tolerance: float = 1e-24,
    threshold: float = 1e-7,
    stationary: float = 1e-6,
) -> SplittingResult:
    """Minimise an objective on weighted candidates by an inner method and splits.

    Parameters
    ----------
    objective
        See :data:`~identify.splitting.matrices.Objective`.
    X, c
        Candidates (k, d) and multipliers (k, C) to start from, k at least 1.
    inner
        Defaults to Levenberg-Marquardt for a :class:`KKTObjective` and to L-BFGS for anything else.
    rounds
        Largest number of splits.
    cap
        Largest number of candidates; None: limited by ``rounds`` only.
    tolerance
        Value below which the objective counts as zero (units of the objective).
    threshold
        A candidate is split if an eigenvalue is below minus this: sqrt(rho epsilon) in the paper (units of the objective / input^2).
    stationary
        Largest entry of the gradient at a point that counts as second-order stationary.

    Raises
    ------
    ValueError
        Without candidates.

    Examples
    --------
    A candidate between two samples does not move, and is split along the line through them:

    >>> import numpy as np, jax.numpy as jnp
    >>> def objective(X, c):  # match the even moments of two samples at -1 and 1
    ...     return sum((jnp.sum(c[:, 0] * X[:, 0] ** k) - 2) ** 2 for k in (0, 2))
    >>> result = minimise(objective, np.zeros((1, 1)), np.array([[2.0]]), tolerance=1e-12)
    >>> result.status, len(result.splits), result.X.round(4)
    ('zero', 1, array([[ 1.],
           [-1.]]))
    """
    X, c = np.array(X, float), np.array(c, float)
    if not len(X):
        raise InputError("X: received no candidates, expected at least one to start from")
    if inner is None:
        inner = LevenbergMarquardt(capacity=cap, tolerance=tolerance) if isinstance(objective, KKTObjective) else lbfgs
    X, c = inner(objective, X, c)
    splits: list[Split] = []
    status = "rounds"
    eigenvalues, vectors = smallest(objective, X, c)
    for attempt in range(rounds + 1):
        before = value(objective, X, c)
        if before <= tolerance:
            status = "zero"
            break
        wanted = np.flatnonzero(eigenvalues < -threshold)
        if not len(wanted):
            known = np.isfinite(eigenvalues).all()
            status = "second-order" if known and gradient_size(objective, X, c) <= stationary else "not stationary"
            break
        if cap is not None and len(X) >= cap:
            status = "full"
            break
        if attempt == rounds:
            break
        trials = [(*best_step(objective, X, c, int(j), vectors[j]), int(j)) for j in wanted]
        step, after, j = min(trials, key=lambda trial: trial[1])
        if not after < before * (1 - NEGLIGIBLE):
            status = "no descent"
            break
        steps = np.where(np.arange(len(X)) == j, step, 0.0)
        X, c, parents, shares = split(X, c, vectors, steps)
        objective = inherit(objective, parents, shares)
        X, c = inner(objective, X, c)
        splits.append(Split(j, float(eigenvalues[j]), step, before, after, value(objective, X, c)))
        eigenvalues, vectors = smallest(objective, X, c)
    gradient = gradient_size(objective, X, c)
    objective, X, c, counts = _simplify(objective, X, c, tolerance)
    lowest = float(eigenvalues.min())
    end = value(objective, X, c)
    return SplittingResult(X, c, objective, end, status, lowest, gradient, tuple(splits), counts["dropped"], counts["merged"])


def _simplify(objective: Objective, X, c, tolerance: float):
    """Drop and merge candidates as long as the objective does not change."""
    counts = {"dropped": 0, "merged": 0}
    allowed = max(value(objective, X, c) * (1 + 1e-9), tolerance)
    while len(X) > 1:
        lowest, kind, *reduced = cheapest_reduction(objective, X, c)
        if not lowest <= allowed:
            break
        objective, X, c = reduced
        counts[kind] += 1
    return objective, X, c, counts

r"""Gauss-Newton through the unrolled training: the last digits, and everything that is not known beside the data.

All equations are used, or as many of them as are plenty for the unknowns. Where slopes jump, a sample near a kink spoils the equations
of one neuron, and the others a little. They are weighted layer by layer as for a Cauchy distribution, so that most equations, which are
right, move the sample to the right side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr, solve_triangular

from identify.recovery.steps.along import cauchy, width
from identify.recovery.steps.training import Training

PLENTY, ENTRIES = 24, 5e7
"""Equations for each unknown, and entries of the Jacobian, above which equations are left out."""
STEPS = 40
SHORT = 1e-14
"""Relative length of a step after which another one changes rounding only."""
PATIENCE = 12
"""Steps without a smaller residual after which the descent ends."""
RIDGE = 1e-12
LEAST_GAIN = 0.9
SAME_JACOBIAN = 0.05
"""A Jacobian is used again as long as each step leaves less of the residual."""
FEW = 600
"""Unknowns up to which steps are solved by orthogonal factors."""
LEAST, MOST, LARGEST, RAISED, LOWERED = 1e-6, 1e-2, 1e4, 10.0, 5.0
"""Damping, relative to the diagonal of the normal equations: none at first, then from the first on; steps that are damped by the second
are taken although the cost rises, if it is finite; with more than the third the descent ends."""


@dataclass(frozen=True, eq=False)
class Solved:
    """Where a descent ended."""

    point: Float[np.ndarray, " unknowns"]
    residual: float
    """Relative to the changes, in the root mean square over layers; of the equations that were used."""
    jacobian: Float[np.ndarray, "equations unknowns"]
    """Of one of the last points."""
    steps: int
    training: Training
    """With the equations that were used."""


def thinned(training: Training, unknowns: int, rng: np.random.Generator) -> Training:
    """The same with fewer equations, if there are many more than unknowns: of each layer a share."""
    sizes = [size if moves else 0 for size, moves in zip(training.counts, training.moves, strict=True)]
    wanted = max(PLENTY * unknowns, int(ENTRIES / unknowns))
    if sum(sizes) <= wanted and all(training.moves):
        return training
    starts = np.cumsum([0, *training.counts])
    share = min(1.0, wanted / sum(sizes))
    chosen = [
        begin + np.sort(rng.choice(size, min(size, int(share * size) + 1), replace=False))
        for begin, size in zip(starts, sizes, strict=False)
        if size
    ]
    return replace(training, chosen=np.concatenate(chosen))


def descend(
    training: Training,
    point: Float[np.ndarray, " unknowns"],
    labels: Float[np.ndarray, "n C"],
    *,
    enough: float,
    steps: int = STEPS,
    go_on: Callable[[], bool] = lambda: True,
) -> Solved:
    """Steps until the residual is at most ``enough``, a step changes rounding only, or nothing is gained; the best point."""
    bounds = np.cumsum([0, *training.counts])
    numbers = np.arange(bounds[-1]) if training.chosen is None else training.chosen
    layer = np.searchsorted(bounds, numbers, side="right") - 1
    layers = [layer == k for k in np.unique(layer)]
    missing, J, damping = training.missing(point, labels), training.jacobian(point, labels), 0.0
    best = Solved(point, float(np.linalg.norm(missing)), J, 0, training)
    since = 0
    for done in range(1, steps + 1):
        if best.residual <= enough or since > PATIENCE or not go_on() or not np.isfinite(best.residual):
            break
        depends, usual = np.abs(J).max(axis=1) > 0, np.ones(len(missing))
        for own in layers:
            usual[own] = np.median(np.abs(missing[own & depends])) if (own & depends).any() else 0.0
        weighted = J * cauchy(missing, usual)[:, None]
        matrix, gradient = weighted.T @ J, weighted.T @ missing
        diagonal = np.diag(matrix).copy()
        before = _cost(missing, usual, np.abs(missing))
        while True:
            damped = matrix.copy()
            damped[np.diag_indices(len(point))] += (RIDGE + damping) * diagonal + np.finfo(float).tiny
            change = _solved(weighted, J, missing, damped, gradient, damping)
            trial = training.missing(point - change, labels)
            if np.isfinite(trial).all() and _cost(trial, usual, np.abs(missing)) <= before:
                damping = damping / LOWERED if damping > LEAST else 0.0
                break
            damping = max(RAISED * damping, LEAST)
            if damping > MOST and np.isfinite(trial).all():
                break  # across a kink the cost rises on the way to the right side
            if damping > LARGEST:
                return best
        point, earlier, missing = point - change, float(np.linalg.norm(missing)), trial
        size = float(np.linalg.norm(missing))
        if size > SAME_JACOBIAN * earlier:
            J = training.jacobian(point, labels)
        since = 0 if size < LEAST_GAIN * best.residual else since + 1
        if size < best.residual:
            best = Solved(point, size, J, done, training)
        if np.linalg.norm(change) <= SHORT * np.linalg.norm(point):
            break
    return best


def _solved(
    weighted: np.ndarray, J: np.ndarray, missing: np.ndarray, damped: np.ndarray, gradient: np.ndarray, damping: float
) -> Float[np.ndarray, " unknowns"]:
    """The step: by orthogonal factors, which do not square the condition number, if there are few unknowns and no damping."""
    k, tiny = J.shape[1], np.finfo(float).tiny
    try:
        if damping or k > FEW:
            return np.linalg.solve(damped, gradient)
        root = np.sqrt(np.linalg.norm(weighted, axis=1) / np.maximum(np.linalg.norm(J, axis=1), tiny))[:, None]
        scale = np.maximum(np.linalg.norm(root * J, axis=0), tiny)
        rows = np.vstack([np.hstack([root * J / scale, root * missing[:, None]]), RIDGE * np.eye(k, k + 1)])
        both = qr(rows, mode="r", overwrite_a=True, check_finite=False)[0]
        return solve_triangular(both[:k, :k], both[:k, k], check_finite=False) / scale
    except np.linalg.LinAlgError:
        return np.full(k, np.nan)


def _cost(missing: np.ndarray, usual: np.ndarray, before: np.ndarray) -> float:
    """Minus the logarithm of the likelihood for a Cauchy distribution of these widths, up to a constant."""
    with np.errstate(over="ignore"):  # a step that went far costs infinitely much
        return float(np.sum(np.log1p((missing / width(usual, before)) ** 2)))

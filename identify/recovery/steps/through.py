r"""Gauss-Newton through the unrolled training: the last digits, and everything that is not known beside the data.

All equations are used, or as many of them as are plenty for the unknowns. If slopes jump, a sample near a kink spoils the equations
of one neuron, and the others a little. They are weighted layer by layer as for a Cauchy distribution, so that most equations, which are
right, move the sample to the right side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, qr, solve_triangular

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
SAME_JACOBIAN = 0.3
"""A Jacobian is used again as long as each step leaves less of the residual."""
FEW = 600
"""Unknowns up to which steps are solved by orthogonal factors."""
LEAST, MOST, LARGEST, RAISED, LOWERED = 1e-13, 1e-2, 1e4, 10.0, 5.0
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
    has_kinks = any(sigma.kind == "piecewise-linear" for sigma in training.system.initial.activations)
    missing, J, damping = training.missing(point, labels), training.jacobian(point, labels), 0.0
    best = Solved(point, float(np.linalg.norm(missing)), J, 0, training)
    since = 0
    for done in range(1, steps + 1):
        if best.residual <= enough or since > PATIENCE or not go_on() or not np.isfinite(best.residual):
            break
        usual = np.full(len(missing), np.inf)
        if has_kinks:
            depends = np.abs(J).max(axis=1) > 0
            for own in layers:
                usual[own] = np.median(np.abs(missing[own & depends])) if (own & depends).any() else 0.0
        linear = _Factored(J, missing, cauchy(missing, usual) if has_kinks else np.ones(len(missing)))
        before = _cost(missing, usual, np.abs(missing))
        while True:
            change = linear.step(damping)
            trial = training.missing(point - change, labels)
            if np.isfinite(trial).all() and _cost(trial, usual, np.abs(missing)) <= before:
                damping = damping / LOWERED if damping > LEAST else 0.0
                break
            damping = max(RAISED * damping, LEAST)
            if has_kinks and damping > MOST and np.isfinite(trial).all():
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


class _Factored:
    """One linearisation, for steps with any damping: by orthogonal factors, which do not square the condition number, if they are few."""

    def __init__(self, J: np.ndarray, missing: np.ndarray, weights: np.ndarray) -> None:
        root, tiny = np.sqrt(weights)[:, None], np.finfo(float).tiny
        k = J.shape[1]
        self.scale = np.maximum(np.linalg.norm(root * J, axis=0), tiny)
        rows = np.hstack([J / self.scale, missing[:, None]]) * root
        if k <= FEW:
            self.triangle = qr(rows, mode="r", overwrite_a=True, check_finite=False)[0][: k + 1, :]
        else:
            gram = rows[:, :k].T @ rows[:, :k]
            gram[np.diag_indices(k)] += RIDGE
            factor = cholesky(gram, check_finite=False)
            self.triangle = np.hstack([factor, solve_triangular(factor, rows[:, :k].T @ rows[:, k], trans=1, check_finite=False)[:, None]])

    def step(self, damping: float) -> Float[np.ndarray, " unknowns"]:
        """That solves the equations to first order, damped relative to the sizes of the columns."""
        k = len(self.scale)
        both = self.triangle
        if damping or len(both) < k:
            both = qr(np.vstack([both, np.sqrt(max(damping, RIDGE**2)) * np.eye(k, k + 1)]), mode="r", check_finite=False)[0]
        try:
            return solve_triangular(both[:k, :k], both[:k, k], check_finite=False) / self.scale
        except np.linalg.LinAlgError:
            return np.full(k, np.nan)


def _cost(missing: np.ndarray, usual: np.ndarray, before: np.ndarray) -> float:
    """Minus the logarithm of the likelihood for a Cauchy distribution of these widths, up to a constant; squares for infinite widths."""
    if np.isinf(usual).any():
        return float(missing @ missing)
    with np.errstate(over="ignore"):  # a step that went far costs infinitely much
        return float(np.sum(np.log1p((missing / width(usual, before)) ** 2)))

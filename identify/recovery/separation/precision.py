"""How many samples the precision of updates shows, and how small a residual it allows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.problem.precision import DIGITS_KEPT, SLACK
from identify.problem.rank import numerical_rank

SIGNAL = 10.0
"""A singular value counts as signal above so many units of rounding, relative to the largest."""
LARGEST = 0.1
"""Relative residual above which samples never count as a solution, unless a tolerance is given."""
DROP = 3.0
"""Drop of the singular values that is a rank if noise is above rounding and two layers show it at the same place."""


def signal_rank(values: Float[np.ndarray, " k"], unit: float, shape: tuple[int, int]) -> int:
    """How many singular values are signals: those above rounding, or if all are, those before the largest drop.

    Rounding of a format may add up to singular values of some units, but independent errors of all entries spread over all of them, and
    those are much smaller. Between the two the largest drop decides.
    """
    m, columns = shape
    if not values[0] > 0:
        return 0
    spread = unit * np.linalg.norm(values) * (m**0.5 + columns**0.5) / (m * columns) ** 0.5
    surely = int(np.sum(values > SIGNAL * unit * values[0]))
    perhaps = int(np.sum(values > SIGNAL * min(spread, unit * values[0])))
    if perhaps < len(values):
        drops = values[max(surely, 1) - 1 : perhaps] / np.maximum(values[max(surely, 1) : perhaps + 1], np.finfo(float).tiny)
        return max(surely, 1) + int(drops.argmax())
    if surely < len(values):
        return surely
    rank, _ = numerical_rank(values)
    if rank < len(values):
        return rank
    drops = values[:-1] / values[1:]
    return int(drops.argmax()) + 1 if len(drops) and drops.max() >= DROP else len(values)


def lone_rank(values: Float[np.ndarray, " k"], unit: float, shape: tuple[int, int]) -> int:
    """The same for a single update: one of full rank needs a large gap to be taken for one of lower rank and noise."""
    if len(values) and values[-1] > SIGNAL * unit * values[0]:
        return numerical_rank(values)[0]
    return signal_rank(values, unit, shape)


def rank_among(values: Float[np.ndarray, " k"], unit: float, rank: int, samples: int) -> int:
    """The rank of an update that is known to come from so many samples, at most.

    If it has no more rows or columns than there are samples, nothing but rounding makes its rank smaller than that: a drop among its
    singular values is no sign of noise then.
    """
    if len(values) <= samples and values[-1] > SIGNAL * unit * values[0]:
        return len(values)
    return min(rank, samples)


def allowed_residual(noise: float, unit: float, sizes: Float[np.ndarray, " found"], bars: Float[np.ndarray, " found"]) -> float:
    """The largest relative residual at which samples count as a solution.

    Parameters
    ----------
    noise, unit
        Relative noise of the updates, and unit roundoff of the numbers that hold them.
    sizes
        Of the contributions of the samples to the updates, in one unit.
    bars
        Standard errors of the samples relative to their size; their errors are carried into the residual.
    """
    usual = max(SLACK * noise, unit**DIGITS_KEPT)
    known = np.where(np.isfinite(bars), bars, 0.0)  # what the equations do not fix does not change the residual
    carried = float(np.linalg.norm(sizes / np.linalg.norm(sizes) * known)) if len(sizes) else 0.0
    return min(max(usual, min(SLACK * carried, SLACK * usual)), LARGEST)

"""How many samples the precision of updates shows, and how small a residual it allows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.problem.precision import DIGITS_KEPT, SLACK
from identify.problem.rank import LEAST_NOISE, LOUD, SURE, Rest, noise_rank, numerical_rank, rest_behind

SIGNAL = 10.0
"""A singular value counts as signal above so many units of rounding, relative to the largest."""
LARGEST = 0.1
"""Relative residual above which samples never count as a solution, unless a tolerance is given."""

COARSE = 1e-6
"""Unit roundoff from which on rounding is taken as noise: formats of 20 bits or fewer."""
ROUNDING_SIZE = 0.5
"""Spectral norm of rounding, in units of it times the longest row and the longest column: errors have a standard deviation of 0.4 units."""


def signal_rank(values: Float[np.ndarray, " k"], unit: float, shape: tuple[int, int]) -> int:
    """How many singular values are signals: those above rounding, or if all are, those before a drop by a large factor.

    Rounding of a format may add up to singular values of some units, but independent errors of all entries spread over all of them, and
    those are much smaller. Between the two the largest drop decides.
    """
    m, columns = shape
    if not values[0] > 0:
        return 0
    values = values / values[0]
    spread = unit * np.linalg.norm(values) * (m**0.5 + columns**0.5) / (m * columns) ** 0.5
    surely = int(np.sum(values > SIGNAL * unit))
    rank, _ = numerical_rank(values)
    if rank < surely and values[rank] < LOUD * unit:  # sums in another order may differ by more units
        return rank
    perhaps = int(np.sum(values > SIGNAL * min(spread, unit)))
    if perhaps < len(values):
        drops = values[max(surely, 1) - 1 : perhaps] / np.maximum(values[max(surely, 1) : perhaps + 1], np.finfo(float).tiny)
        return max(surely, 1) + int(drops.argmax())
    return surely if surely < len(values) else rank


def rank_among(values: Float[np.ndarray, " k"], unit: float, rank: int, samples: int) -> int:
    """The rank of an update that is known to come from so many samples, at most.

    If it has no more rows or columns than there are samples, nothing but rounding makes its rank smaller than that: a drop among its
    singular values is not a sign of noise then.
    """
    if len(values) <= samples and values[-1] > SIGNAL * unit * values[0]:
        return len(values)
    return min(rank, samples)


def shown_rank(values: Float[np.ndarray, " k"], update: Float[np.ndarray, "m D"], unit: float, *, is_lifted: bool) -> int:
    """How many samples an update shows: :func:`signal_rank`, or how many singular values stand out of noise well above rounding.

    Noise of a bias column may be larger than that of the weights, which would look like one sample more.
    """
    live = _live(update)
    noise = noise_rank(values, live)
    if unit >= COARSE:
        rank = int(np.sum(values > rounding_of(update, unit, float(values[0]))))
        return rank if noise is None else min(rank, noise)
    if noise is None or not values[noise] > LOUD * unit * values[0]:
        return signal_rank(values, unit, update.shape)
    if is_lifted:
        weights = noise_rank(np.linalg.svd(update[:, :-1], compute_uv=False), _live(update[:, :-1]))
        noise = noise if weights is None else min(noise, weights)
    return noise


def left_behind(values: Float[np.ndarray, " k"], rank: int, unit: float, update: Float[np.ndarray, "m D"]) -> Rest:
    """What an update with these singular values leaves behind a rank."""
    rounding = rounding_of(update, unit, float(values[0])) if unit >= COARSE else SURE * unit * float(values[0])
    return rest_behind(values, rank, _live(update), rounding)


def left_behind_layer(values: Float[np.ndarray, " k"], rank: int, unit: float, update: Float[np.ndarray, "m D"], is_last: bool) -> Rest:
    """The same of one layer: behind a softmax loss the rows of the last one add up to zero, so one more singular value is none."""
    rounding = rounding_of(update, unit, float(values[0])) * len(update) ** 0.5
    if is_last and rank == len(update) - 1 > 0 and float(np.linalg.norm(update.sum(axis=0))) <= rounding:
        return Rest.NONE
    return left_behind(values, rank, unit, update)


def rounding_of(update: Float[np.ndarray, "m D"], unit: float, largest: float) -> float:
    """The largest singular value that rounding explains, of an update whose own largest one is given."""
    if unit < COARSE:
        return LOUD * unit * largest
    return ROUNDING_SIZE * unit * sum(float(np.linalg.norm(update, axis=axis).max()) for axis in (0, 1))


def rank_of_quantised(update: Float[np.ndarray, "m D"], step: float) -> int | None:
    """How many samples quantised numbers show: errors are alike only in rows and columns that reach the first level; None if few do."""
    for axis in (1, 0):
        lengths = np.linalg.norm(update, axis=axis) / update.shape[axis] ** 0.5
        update = update[lengths >= step] if axis else update[:, lengths >= step]
        if min(update.shape) < 2 * LEAST_NOISE:
            return None
    return noise_rank(np.linalg.svd(update, compute_uv=False), update.shape)


def _live(update: Float[np.ndarray, "m D"]) -> tuple[int, int]:
    """Rows and columns without those of zeros: dead neurons and silent inputs have no noise."""
    return int(update.any(axis=1).sum()), int(update.any(axis=0).sum())


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

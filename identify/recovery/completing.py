r"""Updates of which single entries were not sent: an update of n samples has rank n, so that most of its entries say the others.

Known entries are fitted by a product of two factors of low rank, by least squares in one and the other in turn (Jain, Netrapalli &
Sanghavi 2013). Changes shrink by a constant factor, and a factor below 1 says that no other matrix of this rank nearby has these entries.
The rank is the smallest one that explains them to their precision. Some known entries are hidden from another fit, and how well it tells
them is the evidence for the rest. It is not a proof: that needs conditions on where the known entries are (Candès & Recht 2009).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from identify.base.limits import check_limits, limit_time, refuse_above, refuse_when_spent
from identify.base.norms import exponent, scaled
from identify.base.options import valid_seed, whole
from identify.problem.arrays import ShapeError
from identify.problem.partial import known_array
from identify.problem.precision import format_of
from identify.recovery.solution import Failure, InapplicableError

STEPS, RESTING, ROUNDED = 200, 1e-15, 1e-12
"""Steps at most, relative change at which they rest, and the one below which it is rounding."""
REFINEMENTS = 2
"""Refinements of each least-squares problem, whose normal equations lose digits."""
WATCHED, STANDING = 6, 0.95
"""A fit ends when its misfit has not become smaller by this factor within so many steps."""
SLOWEST = 0.97
"""Largest factor by which changes may shrink in the end: above, the entries are hardly determined."""
EXPLAINED = 30.0
"""Known entries are explained up to so many units of their rounding, relative to their root mean square."""
HIDDEN_SHARE, FEWEST_HIDDEN = 0.02, 20
"""Part of the known entries that the first fit does not see, and the least number."""
TOLD = 1e4
"""Entries that were hidden are told if they are off by no more than so many times the misfit of the others."""
SPARE = 2.0
"""Known entries for each parameter of a matrix of this rank, at least."""


@dataclass(frozen=True, eq=False)
class Completion:
    """An update with its missing entries filled in.

    Attributes
    ----------
    W, bias
        The update. Rows and columns with too few known entries are NaN as a whole, as :meth:`KKTSystem.gradient` takes them.
    rank
        Of the completion: the number of samples, if they are independent.
    residual
        Misfit of the known entries, relative to their root mean square (dimensionless).
    held_out
        The same of known entries that a first fit did not see: the error to expect of the others.
    rate
        By which changes shrank from step to step in the end; well below 1, the entries are determined nearby.
    filled
        How many entries were filled in.
    """

    W: Float[np.ndarray, "out in"]
    bias: Float[np.ndarray, " out"] | None
    rank: int
    residual: float
    held_out: float
    rate: float
    filled: int

    @property
    def update(self) -> Any:
        """The pair that :meth:`KKTSystem.gradient` takes for a layer."""
        return self.W if self.bias is None else (self.W, self.bias)

    def _repr_html_(self) -> str:
        from identify.report.notebook import of_completion

        return of_completion(self)

    def __repr__(self) -> str:
        return f"Completion(rank {self.rank}, {self.filled} entries filled in, held-out error {self.held_out:.1e}, rate {self.rate:.2f})"


def complete(
    W: Any,
    bias: Any = None,
    *,
    samples: int | None = None,
    seed: int = 0,
    budget: float | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Completion:
    """Fill in single entries of a layer's update that were not sent.

    Parameters
    ----------
    W, bias
        Minus the gradient of one layer by its weights (out, in) and biases (out,), NaN or masked if it is not known.
    samples
        n, an upper bound for the rank; None: any rank that the known entries allow.
    seed
        Of the choice of the entries that are hidden from the first fit.
    budget
        Seconds, above 0; None for no limit.
    progress
        Called with the rank that is tried next.

    Returns
    -------
    Completion
        Evidence, no proof: ``held_out`` is the error of entries that were known but hidden.

    Raises
    ------
    InapplicableError
        When no low rank explains the known entries, or they are too few or too unevenly spread to tell the others.
    OutOfTimeError
        When the budget is spent before a rank explains the known entries.
    TooLargeError
        When the normal equations of a fit would not fit in memory.
    ShapeError
        For arrays that do not fit.

    Notes
    -----
    Cost: for each rank some ten steps, each O(entries · rank²).

    References
    ----------
    Jain, Netrapalli & Sanghavi 2013 (alternating minimisation); Candès & Recht 2009 (when low rank determines entries).

    Examples
    --------
    >>> u, h = np.arange(1.0, 9.0), np.arange(2.0, 12.0)
    >>> W = np.outer(u, h)
    >>> W[[0, 3, 5], [1, 4, 4]] = np.nan
    >>> found = complete(W)
    >>> found.rank, bool(np.allclose(found.W, np.outer(u, h)))
    (1, True)
    """
    check_limits(budget)
    with limit_time(budget):
        return _completed(W, bias, None if samples is None else whole("samples", samples), valid_seed(seed), progress)


def _completed(W: Any, bias: Any, most: int | None, seed: int, progress: Callable[[str], None]) -> Completion:
    W = known_array("W", W, (None, None), "an update of one layer, one row for each neuron")
    matrix = np.array(W, dtype=float)
    if bias is not None:
        matrix = np.hstack([matrix, known_array("bias", bias, (len(matrix),), "one number for each neuron")[:, None]])
    known = ~np.isnan(matrix)
    if not np.any(matrix[known]):
        raise ShapeError("W: every known number is zero; expected a non-zero gradient or change")
    rows, columns = known.any(axis=1), known.any(axis=0)
    unit = exponent(matrix[known])
    matrix = scaled(matrix, -unit)
    size = float(np.sqrt(np.mean(matrix[known] ** 2)))
    precision = EXPLAINED * max(format_of(matrix[known]), 2.0**-53)
    rank = 0
    while True:
        rank += 1
        rows, columns = _rich(known, rank)
        part, present = matrix[np.ix_(rows, columns)] / size, known[np.ix_(rows, columns)]
        allowed = most is None or rank <= most
        if not allowed or present.size == 0 or present.sum() < SPARE * rank * (sum(present.shape) - rank) or rank >= min(present.shape):
            share = float(known.mean())
            raise InapplicableError.of(Failure.INCOMPLETE, rank=rank - 1, share=share, entries=int(known.size - known.sum()))
        progress(f"rank {rank}")
        fit = _fitted(part, present, rank, precision)  # from zeros: a fit of lower rank is a saddle
        if fit.misfit <= precision and fit.rate < SLOWEST:
            break
    hidden = _hidden(present, rank, np.random.default_rng(seed))
    first = _fitted(np.where(hidden, np.nan, part), present & ~hidden, rank, precision)
    held_out = float(np.sqrt(np.mean((first.matrix[hidden] - part[hidden]) ** 2)))
    if not held_out <= TOLD * max(fit.misfit, precision):
        raise InapplicableError.of(Failure.UNTOLD, rank=rank, held_out=held_out, misfit=fit.misfit)
    completed = np.full(matrix.shape, np.nan)
    completed[np.ix_(rows, columns)] = scaled(np.where(present, part, fit.matrix) * size, unit)
    filled = int(np.sum(~np.isnan(completed)) - np.sum(known[np.ix_(rows, columns)]))
    if bias is None:
        return Completion(completed, None, rank, fit.misfit, held_out, fit.rate, filled)
    return Completion(completed[:, :-1], completed[:, -1], rank, fit.misfit, held_out, fit.rate, filled)


@dataclass(frozen=True, eq=False)
class _Fit:
    matrix: np.ndarray
    misfit: float
    rate: float


def _rich(known: Bool[np.ndarray, "m D"], rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns that have more known entries than the rank, among one another."""
    rows, columns = np.ones(known.shape[0], bool), np.ones(known.shape[1], bool)
    while True:
        inside = known & rows[:, None] & columns
        kept = rows & (inside.sum(axis=1) > rank), columns & (inside.sum(axis=0) > rank)
        if np.array_equal(kept[0], rows) and np.array_equal(kept[1], columns):
            return rows, columns
        rows, columns = kept


def _fitted(part: np.ndarray, seen: np.ndarray, rank: int, precision: float) -> _Fit:
    """The factors of alternating least squares, which end early when the misfit of the known entries stands still above their precision."""
    right = np.linalg.svd(np.where(seen, part, 0.0), full_matrices=False)[2][:rank].T
    low, changes, misfits = np.zeros_like(part), list[float](), list[float]()
    for _ in range(STEPS):
        refuse_when_spent(f"a completion of rank {rank}")
        left = np.linalg.qr(_solved(part, seen, right))[0]
        right = _solved(part.T, seen.T, left)
        following = left @ right.T
        changes.append(float(np.linalg.norm(following - low) / np.linalg.norm(following)))
        misfits.append(float(np.sqrt(np.mean((following[seen] - part[seen]) ** 2))))
        low, right = following, np.linalg.qr(right)[0]
        stands = len(misfits) > WATCHED and misfits[-1] > STANDING * misfits[-1 - WATCHED] and misfits[-1] > precision
        if changes[-1] <= RESTING or stands:
            break
    clear = [change for change in changes if change > ROUNDED][-WATCHED:]
    rate = (clear[-1] / clear[0]) ** (1 / (len(clear) - 1)) if len(clear) > 1 else 0.0
    return _Fit(low, misfits[-1], min(rate, 1.0))


def _solved(part: np.ndarray, seen: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """For each row the combination of the columns of a factor that fits its known entries best: normal equations, and two refinements."""
    known, values = seen.astype(float), np.where(seen, part, 0.0)
    rank = factor.shape[1]
    refuse_above(8 * (len(seen) + len(factor)) * rank**2, f"a completion of rank {rank}")
    gram = (known @ (factor[:, :, None] * factor[:, None, :]).reshape(-1, rank**2)).reshape(-1, rank, rank)
    gram += np.finfo(float).eps * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(rank)
    gram[~np.any(gram, axis=(1, 2))] = np.eye(rank)  # a row without known entries, or with zeros where they are
    coefficients = np.linalg.solve(gram, (values @ factor)[..., None])[..., 0]
    for _ in range(REFINEMENTS):
        rest = values - known * (coefficients @ factor.T)
        coefficients += np.linalg.solve(gram, (rest @ factor)[..., None])[..., 0]
    return coefficients


def _hidden(seen: np.ndarray, rank: int, rng: np.random.Generator) -> np.ndarray:
    """Some known entries, no more of a row or a column than it can spare."""
    places = np.argwhere(seen)
    rng.shuffle(places)
    hidden = np.zeros_like(seen)
    left = [seen.sum(axis=1), seen.sum(axis=0)]
    wanted = max(FEWEST_HIDDEN, int(HIDDEN_SHARE * len(places)))
    for i, j in places:
        if left[0][i] > rank + 1 and left[1][j] > rank + 1:
            hidden[i, j] = True
            left[0][i] -= 1
            left[1][j] -= 1
            wanted -= 1
            if not wanted:
                break
    return hidden

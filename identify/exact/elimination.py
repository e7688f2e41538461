r"""Elimination modulo a prime by floating-point matrix products that are exact.

Residues are kept between -q/2 and q/2. A product whose sums stay below :math:`2^{53}` is exact in double precision, and one reduction at
its end is enough (Dumas, Giorgi & Pernet, *Dense linear algebra over word-size prime fields*, ACM TOMS 35, 2008): 2047 terms for
primes below :math:`2^{22}`. For 31-bit primes one factor is split into two halves of 16 bits, which takes two products of 255 terms each.
So the elimination runs at the speed of BLAS, several times that of integer arithmetic.

Let A be the rows and columns of the pivots found so far, C the same columns of the other rows, B the same rows of the other columns. The
recursion over halves of the columns keeps :math:`L = C A^{-1}`, so what is left to do is :math:`D - L B`. Of a matrix with all columns
eliminated, L is the solution of :math:`L A = C`: it expresses every row in the pivot rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from flint import nmod_mat
from jaxtyping import Float, Int

from identify.base.limits import refuse_when_spent

EXACT = 2**53 - 2**33
"""Sums below are exact, and so is their reduction."""
SMALL = 2**22
"""Primes below take one product instead of two, with long sums."""
BASE = 64
"""Columns whose pivots python-flint finds."""
TILE = 1024
"""Rows and columns updated at once: bounds the memory of a product, and its reduction stays near the cache."""


def rank(matrix: Int[np.ndarray, "rows columns"], q: int, *, only_full: bool = False) -> int:
    """Rank modulo the prime q < 2^31; with ``only_full``, any smaller number as soon as the columns are seen to be dependent.

    The rows are shuffled first, which decides how fast pivots are found, not what comes out. Cost: rows · columns² multiplications, a third
    of it for a square matrix; memory 8 bytes per entry beside the matrix.
    """
    if matrix.shape[0] < matrix.shape[1]:
        if only_full:
            return 0
        matrix = matrix.T
    return len(Elimination(_shuffled(matrix, q), q, only_full=only_full).run(factors=False))


def leading_columns(matrix: Int[np.ndarray, "rows columns"], q: int) -> Int[np.ndarray, " rank"]:
    """The columns that are independent of those before them, modulo q. Cost and memory as for :func:`rank`."""
    return np.sort(Elimination(_shuffled(matrix, q), q).run(factors=False))


def _shuffled(matrix: np.ndarray, q: int) -> Int[np.ndarray, "rows columns"]:
    return centred(matrix, q)[np.random.default_rng(len(matrix)).permutation(len(matrix))]


def has_full_column_rank(matrix: Int[np.ndarray, "rows columns"], q: int) -> bool:
    """Whether the columns are independent modulo q; as :func:`rank`, but it ends where a dependent column shows."""
    return rank(matrix, q, only_full=True) == matrix.shape[1]


def centred(values: Int[np.ndarray, "*shape"], q: int) -> Int[np.ndarray, "*shape"]:
    """Residues from 0 to q - 1 as 32-bit integers between -q/2 and q/2."""
    out = values.astype(np.int32, order="C")
    np.subtract(out, np.int32(q), out=out, where=out > q // 2)
    return out


@dataclass(eq=False)
class Elimination:
    """Elimination of a matrix whose entries are as :func:`centred` gives them.

    Attributes
    ----------
    work
        A copy of the given matrix, which is overwritten: elimination never changes an array of its caller, nor a view of one.
    order
        The row of the given matrix that is now in each place; pivot rows come first.
    only_full
        End as soon as a column is seen to be dependent.
    """

    work: Int[np.ndarray, "rows columns"]
    q: int
    only_full: bool = False
    order: Int[np.ndarray, " rows"] = field(init=False)

    def __post_init__(self):
        self.work = np.array(self.work, dtype=np.int32, order="C")
        self.order = np.arange(len(self.work))

    def run(self, factors: bool = True) -> Int[np.ndarray, " rank"]:
        """The pivot columns, in the order of the pivot rows: the columns that are independent of those before them.

        (A column without a pivot among some rows depends on pivot columns before it there, so it cannot be independent of these and
        dependent with later ones.)
        With ``factors``, these columns of the other rows hold L at the end: every row but the first r is L times these.
        """
        return np.array(self._eliminate(0, np.arange(self.work.shape[1]), factors), dtype=np.int64)

    def _eliminate(self, row: int, columns: np.ndarray, factors: bool) -> list[int]:
        """Pivots among these columns, of rows from ``row`` on; they are moved there. Below them the columns hold L."""
        if row == len(self.work) or not len(columns):
            return []
        if len(columns) > BASE:
            half = len(columns) // 2
            left, rest = self._eliminate(row, columns[:half], True), columns[half:]
            if self.only_full and len(left) < half:
                return left
        else:
            left = self._pivots(row, columns)
            rest = np.setdiff1d(columns, left)
        if (not left and len(columns) <= BASE) or not len(rest):
            return left
        below = row + len(left)
        self._subtract(below, rest, left, row)
        right = self._eliminate(below, rest, factors)
        if factors and right and left:
            self._subtract(below + len(right), np.array(left), right, below)
        return left + right

    def _pivots(self, row: int, columns: np.ndarray) -> list[int]:
        """Some pivots among at most 64 columns; none only where all rows are zero there."""
        span = _span(columns)
        rows = np.flatnonzero(self.work[row:, span].any(axis=1))
        if not len(rows):
            return []
        chosen, pivots, inverse = _invertible(self.work[row + rows[: 2 * len(columns)]][:, span], self.q)
        self._bring_up(row, rows[chosen])
        found = _span(columns[pivots])
        for top in range(row + len(pivots), len(self.work), TILE):
            part = slice(top, top + TILE)
            self.work[part, found] = product(self.work[part, found], inverse, self.q)
        return columns[pivots].tolist()

    def _bring_up(self, row: int, chosen: np.ndarray) -> None:
        """Move whole rows so that the chosen ones, counted from ``row``, come first and in this order."""
        first = np.arange(len(chosen))
        places = row + np.concatenate([first, chosen[chosen >= len(first)]])
        rows = row + np.concatenate([chosen, np.setdiff1d(first, chosen)])
        for values in (self.work, self.order):
            values[places] = values[rows]

    def _subtract(self, top: int, columns: np.ndarray, factors: list[int], pivot: int) -> None:
        """D - L B in the rows from ``top`` on and these columns; B is the rows from ``pivot`` on, L the columns ``factors``."""
        if not factors:
            return
        held = _span(np.array(factors))
        for left in range(0, len(columns), TILE):
            span = _span(columns[left : left + TILE])
            B = self.work[pivot : pivot + len(factors), span].astype(np.float64)
            for first in range(top, len(self.work), TILE):
                part = slice(first, first + TILE)
                self.work[part, span] = reduced(self.work[part, span] - product(self.work[part, held], B, self.q), self.q)


def product(L: np.ndarray, B: np.ndarray, q: int) -> Float[np.ndarray, "rows columns"]:
    """L B modulo q, of centred residues: exact, whatever the order in which BLAS adds.

    Every long computation here is made of such products of a tile, so this is where it looks at the clock.
    """
    refuse_when_spent("arithmetic modulo a prime")
    L, B = L.astype(np.float64, copy=False), B.astype(np.float64, copy=False)
    if q < SMALL:
        return _accumulated(L, B, q, q / 2)
    high = np.rint(L / 2**16)
    low = L - high * 2**16
    total = _accumulated(high, B, q, q / 2**17 + 1)
    total *= 2**16
    total += _accumulated(low, B, q, 2**15)
    return reduced(total, q)


def _accumulated(L: np.ndarray, B: np.ndarray, q: int, largest: float) -> np.ndarray:
    """L B modulo q, in pieces short enough for sums of terms up to ``largest`` · q/2 to be exact."""
    terms = int(EXACT / (largest * (q / 2 + 1)))
    total = reduced(L[:, :terms] @ B[:terms], q)
    for start in range(terms, L.shape[1], terms):
        total += reduced(L[:, start : start + terms] @ B[start : start + terms], q)
    return reduced(total, q) if L.shape[1] > terms else total


def reduced(values: Float[np.ndarray, "*shape"], q: int) -> Float[np.ndarray, "*shape"]:
    """Centred residues of integers below 2^53 - 2^33 in size, in place."""
    quotient = values * (1.0 / q)
    np.rint(quotient, out=quotient)
    quotient *= q
    values -= quotient
    return values


def _invertible(panel: np.ndarray, q: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of a largest invertible square part, and its inverse."""
    first = np.arange(panel.shape[1])
    if len(panel) >= len(first):
        try:
            return first, first, _inverse(panel[first], q)
        except ZeroDivisionError:
            pass
    rows = _leading(panel.T, q)
    columns = _leading(panel[rows], q)
    return rows, columns, _inverse(panel[np.ix_(rows, columns)], q)


def _inverse(square: np.ndarray, q: int) -> np.ndarray:
    return centred(to_numpy(to_flint(square, q).inv()), q)


def _leading(matrix: np.ndarray, q: int) -> np.ndarray:
    """The columns of the leading entries of the reduced echelon form."""
    form, size = to_flint(matrix, q).rref()
    return (to_numpy(form)[:size] != 0).argmax(axis=1)


def _span(columns: np.ndarray) -> slice | np.ndarray:
    """A slice, which copies nothing, where the columns are neighbours."""
    first, count = int(columns[0]), len(columns)
    return slice(first, first + count) if np.array_equal(columns, np.arange(first, first + count)) else columns


def to_flint(matrix: np.ndarray, q: int) -> nmod_mat:
    """A matrix of residues, as integers or integral floats, in python-flint."""
    rows, columns = matrix.shape
    return nmod_mat(rows, columns, matrix.astype(np.int64).ravel().tolist(), q)


def to_numpy(matrix: nmod_mat) -> Int[np.ndarray, "rows columns"]:
    return np.array(list(map(int, matrix.entries())), dtype=np.int64).reshape(matrix.nrows(), matrix.ncols())

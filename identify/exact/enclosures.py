r"""Matrices of intervals in midpoint-radius form: floating-point products whose error is bounded, and full rank proved with them.

A product of floats of length k errs by at most :math:`\gamma_k |A| |B|`, :math:`\gamma_k = k u / (1 - k u)`, in whatever order it is
summed (Higham 2002, *Accuracy and Stability of Numerical Algorithms*, section 3.1). So NumPy's products serve, and radii are products
of absolute values. Radii are computed with rounding, too; :data:`SAFETY` covers it. Activations are evaluated in Arb's balls.

A matrix A of intervals has full rank if an approximate inverse R of a square part of its midpoint has
:math:`\|I - R A\|_\infty < 1` for all matrices in A (Rump 1999, *INTLAB*; Neumaier 1990, *Interval Methods*, theorem 4.1.11).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float

from identify.exact.tables import table_of
from identify.problem.activation import Activation, Analytic

UNIT = 2.0**-53
SAFETY = 1.01
"""Radii are sums of products of positive floats, each right to far less than one part in a hundred."""
UNCERTAIN = 1e3
"""Times its radius an entry has to be, to count with its size."""
TINY = 1e-300
"""Added for every product, more than what underflow loses."""


class Enclosure(NamedTuple):
    """All matrices that differ from ``mid`` by at most ``rad``, entry by entry."""

    mid: Float[np.ndarray, "*shape"]
    rad: Float[np.ndarray, "*shape"]

    @classmethod
    def of(cls, values: Float[np.ndarray, "*shape"]) -> Enclosure:
        """Floats as they are."""
        values = np.asarray(values, dtype=float)
        return cls(values, np.zeros_like(values))

    def dot(self, matrix: Float[np.ndarray, "k columns"]) -> Enclosure:
        """The product with a matrix of floats on the right. Cost: two products of floats."""
        size, steps = np.abs(matrix), matrix.shape[0] + 2
        error = steps * UNIT / (1 - steps * UNIT)
        with np.errstate(over="ignore", invalid="ignore"):
            return enclosed(self.mid @ matrix, SAFETY * ((error * np.abs(self.mid) + self.rad) @ size) + TINY * steps)

    def rows_dot(self, matrix: Float[np.ndarray, "rows k"]) -> Enclosure:
        """The inner product of each row with the same row of a matrix of floats."""
        size, steps = np.abs(matrix), matrix.shape[1] + 2
        error = steps * UNIT / (1 - steps * UNIT)
        with np.errstate(over="ignore", invalid="ignore"):
            mid = (self.mid * matrix).sum(axis=1)
            return enclosed(mid, SAFETY * ((error * np.abs(self.mid) + self.rad) * size).sum(axis=1) + TINY * steps)

    def times(self, other: Enclosure) -> Enclosure:
        """Entry by entry."""
        with np.errstate(over="ignore", invalid="ignore"):
            mid, left, right = self.mid * other.mid, np.abs(self.mid), np.abs(other.mid)
            return enclosed(mid, SAFETY * (UNIT * np.abs(mid) + left * other.rad + self.rad * right + self.rad * other.rad) + TINY)

    def plus(self, other: Enclosure) -> Enclosure:
        """Entry by entry."""
        with np.errstate(over="ignore", invalid="ignore"):
            mid = self.mid + other.mid
            return enclosed(mid, SAFETY * (self.rad + other.rad + UNIT * np.abs(mid)))

    def apply(self, sigma: Activation, order: int = 0) -> Enclosure:
        """The activation, or a derivative of it, of each entry.

        Cost: a tenth of a microsecond each for many entries of an analytic activation, by a table; some microseconds in Arb.
        """
        from flint import arb

        mid, rad, known = np.empty(self.mid.size), np.empty(self.mid.size), np.zeros(self.mid.size, bool)
        centres, radii = self.mid.reshape(-1), np.ascontiguousarray(self.rad).reshape(-1)
        if isinstance(sigma, Analytic):
            mid, rad, known = table_of(sigma.name).enclose(centres, radii, order)
        for k in np.flatnonzero(~known):
            ball = sigma.ball(arb(float(centres[k]), float(radii[k])), order)
            mid[k] = float(ball.mid())
            rad[k] = SAFETY * (float(ball.rad()) + UNIT * abs(mid[k])) + TINY
        return enclosed(mid.reshape(self.mid.shape), rad.reshape(self.mid.shape))

    def reshape(self, *shape: int) -> Enclosure:
        return Enclosure(self.mid.reshape(*shape), self.rad.reshape(*shape))

    @property
    def T(self) -> Enclosure:
        return Enclosure(self.mid.T, self.rad.T)


def enclosed(mid: Float[np.ndarray, "*shape"], rad: Float[np.ndarray, "*shape"]) -> Enclosure:
    """With an infinite radius instead of none: what overflowed is any number."""
    return Enclosure(mid, np.where(np.isfinite(mid) & np.isfinite(rad), rad, np.inf))


def has_full_column_rank(matrix: Enclosure) -> bool:
    """Whether every matrix in the enclosure is proved to have independent columns; False proves nothing. Cost O(rows · columns^2)."""
    rows, columns = matrix.mid.shape
    if columns > rows or not (np.isfinite(matrix.mid).all() and np.isfinite(matrix.rad).all()):
        return False
    if not columns:
        return True
    mid, rad = _balanced(matrix)
    _, _, order = scipy.linalg.qr(mid.T, mode="economic", pivoting=True)
    square, radius = mid[order[:columns]], rad[order[:columns]]
    try:
        inverse = np.linalg.inv(square)
    except np.linalg.LinAlgError:
        return False
    error = (columns + 2) * UNIT / (1 - (columns + 2) * UNIT)
    size = np.abs(inverse)
    miss = np.abs(np.eye(columns) - inverse @ square)
    bound = SAFETY * (miss + error * (size @ np.abs(square) + 1) + size @ radius) + TINY * columns
    return bool(np.isfinite(bound).all() and bound.sum(axis=1).max() < 1)


def _balanced(matrix: Enclosure) -> Enclosure:
    """Columns, then rows, of largest entry about 1: multiplied by powers of two, which is exact and changes no rank.

    Rows that are hardly more than their radius stay small, so that they are not chosen.
    """
    mid, rad = matrix
    for axis in (0, 1):
        largest = (np.abs(mid) + UNCERTAIN * rad).max(axis=axis, keepdims=True)
        k = -np.frexp(np.where(largest > 0, largest, 1.0))[1]
        mid, rad = np.ldexp(mid, k), np.ldexp(rad, k) + TINY
    return Enclosure(mid, rad)

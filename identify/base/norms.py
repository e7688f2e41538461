r"""Euclidean norms of numbers of any size: scaled by a power of two before they are squared.

The squares of doubles below 1e-162 underflow, and those above 1e154 overflow, long before the numbers themselves do. A power of two
changes no digit, so that a norm in the ordinary range is the one that NumPy computes.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

ORDINARY_EXPONENT = 256
ORDINARY = 2.0**ORDINARY_EXPONENT
"""Numbers of this size, and their inverses, have squares far from overflow and underflow."""

CLEARLY_ORDINARY = 1e-250, 1e250
"""A sum of squares between these has lost nothing to over- or underflow."""


def _norm(values: np.ndarray, k: int) -> np.floating:
    return np.linalg.norm(scaled(values, -k) if k else np.asarray(values, dtype=float))


def exponent(*arrays: Float[np.ndarray, "*_"]) -> int:
    """k with the largest of all numbers between 2^(k-1) and 2^k in size; 0 for none, for zeros and if one is not finite."""
    ends = [end for values in arrays for end in (values.max(initial=0.0), -values.min(initial=0.0))]  # without an array of absolute values
    largest = float(np.max(ends, initial=0.0))
    return int(np.frexp(largest)[1]) if np.isfinite(largest) else 0


def scaled(values: ArrayLike, k: int | Int[np.ndarray, "*_"]) -> np.ndarray:
    """The numbers times 2^k, for every integer k, or for one k each; what does not fit overflows or underflows."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(np.asarray(values, dtype=float), k)


def size(values: Float[np.ndarray, "*shape"]) -> float:
    """The Euclidean norm of all numbers; infinite only if it is not a double, and not a number if one of them is not."""
    if np.asarray(values).dtype == np.float64:  # sums of shorter formats lose digits
        with np.errstate(over="ignore", invalid="ignore"):
            square = float(np.vdot(values, values))
        if CLEARLY_ORDINARY[0] < square < CLEARLY_ORDINARY[1]:  # one pass over them, and what underflows in it is too small to count
            return float(np.sqrt(square))
    k = exponent(values)
    if abs(k) < ORDINARY_EXPONENT:
        return float(np.linalg.norm(np.asarray(values, dtype=float)))  # squares of shorter formats overflow earlier
    return float(scaled(np.linalg.norm(scaled(values, -k)), k))


def row_sizes(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The Euclidean norm of each row."""
    rows = np.asarray(rows, dtype=float)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", rows, rows)
    if ((squares > CLEARLY_ORDINARY[0]) & (squares < CLEARLY_ORDINARY[1])).all():  # one pass over them, as in :func:`size`
        return np.sqrt(squares)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    k = np.where(np.isfinite(largest), np.frexp(np.where(np.isfinite(largest), largest, 1.0))[1], 0)
    usual = scaled(rows, -k[:, None])
    return scaled(np.sqrt(np.einsum("ij,ij->i", usual, usual)), k)


def relative_size(change: Float[np.ndarray, "*shape"], reference: Float[np.ndarray, "*shape"]) -> float:
    """‖change‖ / ‖reference‖ (dimensionless), also if neither norm is a double; infinite for a reference of zeros."""
    above, below = exponent(change), exponent(reference)
    if max(abs(above), abs(below)) < ORDINARY_EXPONENT:
        above = below = 0  # as they are, which costs less
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _norm(change, above) / _norm(reference, below)
    return float(scaled(ratio, above - below))

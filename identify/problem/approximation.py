"""Polynomials close to a function on an interval, and how close they are."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from identify.problem.formulas import ActivationError

POINTS = 2001
"""Points of an interval, equally spaced, at which two functions are compared."""
ROUNDING = 1e-12
"""Largest coefficient, relative to the others and to the size of z, that rounding leaves for a zero."""


def interpolant(f: Callable[..., Any], degree: int, interval: Any) -> list[float]:
    """Coefficients, in increasing powers, of the interpolant of that degree at Chebyshev points; a zero for those at rounding level.

    Raises :class:`ActivationError` for an interval that is none, or a function that is not finite there.
    """
    low, high = _ends(interval)
    series = Chebyshev.interpolate(lambda z: np.asarray(f(z), dtype=float), degree, domain=[low, high])
    coefficients = np.asarray(series.convert(kind=Polynomial).coef, dtype=float)
    if not np.isfinite(coefficients).all():
        raise ActivationError(f"f: not finite on [{low:g}, {high:g}]; expected a function that is")
    # coefficients at rounding level (those of the wrong parity) would change the ambiguity group
    size = max(abs(low), abs(high), 1.0) ** np.arange(len(coefficients))
    significant = np.where(np.abs(coefficients) * size > ROUNDING * np.abs(coefficients * size).max(), coefficients, 0.0)
    return significant.tolist()


def distance(f: Callable[..., Any], g: Callable[..., Any], interval: Any) -> float:
    """The largest :math:`|f - g|` on equally spaced points of the interval (dimensionless)."""
    z = np.linspace(*_ends(interval), POINTS)
    return float(np.max(np.abs(f(z) - np.asarray(g(z), dtype=float))))


def _ends(interval: Any) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in interval)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (isfinite(low) and isfinite(high) and low < high):
        raise ActivationError(f"interval: received {interval!r}, expected two finite numbers (low, high) with low < high")
    return low, high

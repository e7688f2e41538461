r"""Piecewise-linear activations written with their slopes: polynomials in z and a few indicators, with sign inequalities.

One breakpoint t, slopes :math:`\alpha` to its left and :math:`\beta` to its right, value v at t: the indicator is the slope s itself, with
:math:`(s-\alpha)(s-\beta) = 0`, :math:`\sigma(z) = v + s\,(z-t)` and :math:`\sigma'(z) = s`, and the inequalities
:math:`\tfrac{s-\alpha}{\beta-\alpha}(z-t) \ge 0` and :math:`\tfrac{\beta-s}{\beta-\alpha}(z-t) \le 0`.

For ReLU these are :math:`s^2 = s`, :math:`\sigma = s z`, :math:`s z \ge 0` and :math:`(1-s) z \le 0`. With breakpoints
:math:`t_1 < \dots < t_K`, K > 1, and slopes :math:`\alpha_0, \dots, \alpha_K`, of which some may be equal (hard tanh: 0, 1, 0), the slope
does not tell the piece. The indicators are then :math:`s_k = 1[z > t_k]`, with :math:`s_k^2 = s_k` and :math:`s_{k+1}(1 - s_k) = 0`, and
:math:`\sigma` is a sum of hinges, :math:`\sigma(z) = v + \alpha_0 (z-t_1) + \sum_k (\alpha_k-\alpha_{k-1})\,s_k\,(z-t_k)` and
:math:`\sigma'(z) = \alpha_0 + \sum_k (\alpha_k-\alpha_{k-1})\,s_k`,
with :math:`s_k (z-t_k) \ge 0` and :math:`(1-s_k)(z-t_k) \le 0`. Both forms are exact off the breakpoints. On a breakpoint
the inequalities leave the slope of either side; the derivative that frameworks use there is one of these for all named activations but
:math:`|z|` (0, which is neither).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from identify.problem.lines import Lines
from identify.problem.signals import Nonlinearity

Number = Callable[[Fraction], Any]
"""A rational number in the ring of the computation."""


def jumps(lines: Lines) -> list[Fraction]:
    """By how much the slope changes at each breakpoint."""
    return [right - left for left, right in pairwise(lines.slopes)]


def through_indicators(lines: Lines, indicators: Sequence[Any], number: Number) -> Nonlinearity:
    """The activation as a function of z and the indicators: one for each breakpoint, each of the shape of z."""

    def value(z: Any, order: int) -> Any:
        if len(indicators) == 1:
            (s,) = indicators
            if order:
                return s
            product = s * _shifted(z, lines.breakpoints[0], number)
            return product + number(lines.value) if lines.value else product
        total = z * number(lines.slopes[0] * (1 - order)) + number(lines.slopes[0] if order else lines.intercepts[0])
        for t, jump, s in zip(lines.breakpoints, jumps(lines), indicators, strict=True):
            if jump:
                total = total + (s if order else s * _shifted(z, t, number)) * number(jump)
        return total

    return value


def split(slopes: Any, lines: Lines) -> list[Any]:
    """One array for each breakpoint, from one that has them all."""
    many = len(lines.breakpoints)
    return [slopes] if many == 1 else [slopes[..., k] for k in range(many)]


def in_cell(lines: Lines, pieces: Any, number: Number) -> Nonlinearity:
    """The activation as the affine function that it is on given pieces: an integer, or an array of them of the shape of z."""
    rates, offsets = ([number(value) for value in values] for values in (lines.slopes, lines.intercepts))
    if isinstance(pieces, np.ndarray):
        kind = object if not isinstance(rates[0], float) else float
        slope, intercept = (np.array([values[k] for k in pieces.ravel()], kind).reshape(pieces.shape) for values in (rates, offsets))
    else:
        slope, intercept = rates[pieces], offsets[pieces]

    def value(z: Any, order: int) -> Any:
        return z * 0 + slope if order else z * slope + intercept

    return value


def constraints(lines: Lines, indicators: Sequence[Any], number: Number) -> list[Any]:
    """The polynomials in the indicators that vanish: :func:`n_constraints` of them."""
    if len(indicators) == 1:
        (s,), (left, right) = indicators, lines.slopes
        return [s * s - s * number(left + right) + number(left * right)]
    out = [s * s - s for s in indicators]
    return out + [after - before * after for before, after in pairwise(indicators)]


def n_constraints(lines: Lines) -> int:
    return 2 * len(lines.breakpoints) - 1


def conditions(lines: Lines, indicators: Sequence[Any], z: Any, number: Number) -> list[tuple[Any, bool]]:
    """Products of an indicator and of the distance to its breakpoint, two for each; True for at least 0, False for at most 0."""
    out: list[tuple[Any, bool]] = []
    for t, s in zip(lines.breakpoints, indicators, strict=True):
        distance = _shifted(z, t, number)
        left, right = lines.slopes if len(indicators) == 1 else (Fraction(0), Fraction(1))
        if left < right:
            out += [((s - number(left)) * distance, True), ((number(right) - s) * distance, False)]
        else:
            out += [((number(left) - s) * distance, True), ((s - number(right)) * distance, False)]
    return out


def bounds(lines: Lines, piece: int) -> list[tuple[Fraction, bool]]:
    """The ends of a piece: (t, True) for z of at least t, (t, False) for z of at most t."""
    low = [(lines.breakpoints[piece - 1], True)] if piece else []
    return low + ([(lines.breakpoints[piece], False)] if piece < len(lines.breakpoints) else [])


class Case(NamedTuple):
    """The place of z, and the indicators there: bounds (None without), whether z may be equal to them, one number for each indicator."""

    low: Fraction | None
    low_included: bool
    high: Fraction | None
    high_included: bool
    indicators: tuple[Fraction, ...]


def cases(lines: Lines) -> tuple[list[Case], list[Fraction]]:
    """All values of z, each once, with the indicators that give the value and the *stated* derivative there.

    A breakpoint belongs to the piece whose slope is stated there, and is a case of its own if that is neither. Second, the breakpoints that
    are left out, because no indicator gives the derivative that is stated: those at which the slope itself does not change.
    """
    points, slopes, many = lines.breakpoints, lines.slopes, len(lines.breakpoints)
    ends: list[list[bool]] = [[False, False] for _ in slopes]
    own: list[Case] = []
    left_out: list[Fraction] = []
    for k, (t, kink) in enumerate(zip(points, lines.kinks, strict=True)):
        if kink == slopes[k]:
            ends[k][1] = True
        elif kink == slopes[k + 1]:
            ends[k + 1][0] = True
        elif slopes[k] == slopes[k + 1]:
            left_out.append(t)
        else:
            share = (kink - slopes[k]) / (slopes[k + 1] - slopes[k])
            values = (kink,) if many == 1 else (*[Fraction(1)] * k, share, *[Fraction(0)] * (many - k - 1))
            own.append(Case(t, True, t, True, values))
    out = []
    for k, slope in enumerate(slopes):
        values = (slope,) if many == 1 else (*[Fraction(1)] * k, *[Fraction(0)] * (many - k))
        out.append(Case(points[k - 1] if k else None, ends[k][0], points[k] if k < many else None, ends[k][1], values))
    return out + own, left_out


def indicator_values(lines: Lines, z: Any) -> list[np.ndarray]:
    """The values of the indicators at pre-activations in floating point; on a breakpoint those that give the stated derivative."""
    z = np.asarray(z, dtype=float)
    if len(lines.breakpoints) == 1:
        return [lines.evaluate(z, 1, np)]
    out = []
    for t, jump, left, kink in zip(lines.breakpoints, jumps(lines), lines.slopes, lines.kinks, strict=False):
        share = float((kink - left) / jump) if jump else 0.0
        out.append(np.where(z == float(t), share, (z > float(t)).astype(float)))
    return out


def _shifted(z: Any, t: Fraction, number: Number) -> Any:
    return z - number(t) if t else z

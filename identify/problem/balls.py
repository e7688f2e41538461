r"""Analytic activations in ball arithmetic: enclosures of values and derivatives on an interval (Arb, through python-flint).

Monotone functions are evaluated at both ends, and those that are even and fall with :math:`|z|` at the smallest and largest
:math:`|z|`, so that wide balls give intervals of the right width. If the formula of a derivative takes an argument
several times, its enclosure is intersected with the mean value form
:math:`f(\operatorname{mid} B) + f'(B)(B - \operatorname{mid} B)`. The working precision is that of ``flint.ctx``.
Reference: Johansson, *Arb: efficient arbitrary-precision midpoint-radius interval arithmetic* (IEEE Trans. Comput. 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from numbers import Rational

from flint import arb, ctx, fmpq

from identify.base.errors import InputError
from identify.problem.functions import HIGHEST_ORDER, Formula, Kernel


def ball(value) -> arb:
    """A number as a ball: integers, fractions and floats are taken exactly, up to the working precision."""
    if isinstance(value, arb):
        return value
    if isinstance(value, Rational) and not isinstance(value, bool):
        return arb(fmpq(int(value.numerator), int(value.denominator)))
    try:
        return arb(float(value) if not isinstance(value, fmpq) else value)
    except (TypeError, ValueError):
        raise InputError(f"z: received {value!r}, expected a ball (flint.arb), an integer, a fraction or a float") from None


def enclosure(formula: Formula, z, order: int) -> arb:
    """A ball that contains the derivative of that order at every point of ``z``. Cost: a few elementary functions."""
    B = ball(z)
    kernel = _kernel(ctx.prec)
    direct = formula(kernel, B, order)
    if B.is_exact() or order == HIGHEST_ORDER:
        return direct
    middle = B.mid()
    by_mean_value = formula(kernel, middle, order) + formula(kernel, B, order + 1) * (B - middle)
    if not (direct.is_finite() and by_mean_value.is_finite()):
        return direct if direct.is_finite() else by_mean_value
    return direct.intersection(by_mean_value)


def piecewise(breakpoints: Sequence[Fraction], lines: Sequence[tuple[Fraction, Fraction]], kinks: Sequence[Fraction], z, order: int) -> arb:
    """The hull of all values (or slopes) of a piecewise-linear function on a ball; ``lines`` are slopes and intercepts."""
    B = ball(z)
    if order > 1:
        return arb(0)
    parts = []
    ends = [None, *map(ball, breakpoints), None]
    for (slope, intercept), low, high in zip(lines, ends, ends[1:], strict=False):
        if (low is not None and bool(low > B)) or (high is not None and bool(high < B)):
            continue
        parts.append(ball(slope) if order else ball(slope) * _cut(B, low, high) + ball(intercept))
    if order:
        parts += [ball(slope) for t, slope in zip(breakpoints, kinks, strict=True) if B.overlaps(ball(t))]
    return _hull(parts)


def _cut(B: arb, low: arb | None, high: arb | None) -> arb:
    """A ball around the part of B between two points that it may reach beyond."""
    if B.is_exact():
        return B
    lower, upper = B.lower(), B.upper()
    if low is not None and lower < low:
        lower = low
    if high is not None and upper > high:
        upper = high
    return lower.union(upper)


def _hull(parts: Sequence[arb]) -> arb:
    hull = parts[0]
    for part in parts[1:]:
        hull = hull.union(part)
    return hull


def _rising(function: Callable[[arb], arb]) -> Callable[[arb], arb]:
    """A function that never falls, by its values at both ends."""
    return lambda B: function(B) if B.is_exact() else function(B.lower()).union(function(B.upper()))


def _even(function: Callable[[arb], arb]) -> Callable[[arb], arb]:
    """An even function that falls with \\|z\\|, by its values at the smallest and the largest \\|z\\|."""
    return lambda B: function(B) if B.is_exact() else function(B.abs_lower()).union(function(B.abs_upper()))


def _logistic(z: arb) -> arb:
    return 1 / (1 + (-z).exp()) if z >= 0 else z.exp() / (1 + z.exp())


def _bump(z: arb) -> arb:
    e = (-abs(z)).exp()
    return e / (1 + e) ** 2


def _sech2(z: arb) -> arb:
    e = (-2 * abs(z)).exp()
    return 4 * e / (1 + e) ** 2


def _softplus(z: arb) -> arb:
    return z.exp().log1p() if z <= 0 else z + (-z).exp().log1p()


@lru_cache(maxsize=16)
def _kernel(precision: int) -> Kernel:
    """The functions for the working precision of the moment, which the constants have too."""
    root_two_pi = (2 * arb.pi()).sqrt()
    root_half = (arb(1) / 2).sqrt()
    return Kernel(
        exp=_rising(arb.exp),
        tanh=_rising(arb.tanh),
        sech2=_even(_sech2),
        logistic=_rising(_logistic),
        bump=_even(_bump),
        softplus=_rising(_softplus),
        erf=_rising(arb.erf),
        normal=_even(lambda z: (-z * z / 2).exp() / root_two_pi),
        normal_cdf=_rising(lambda z: (-z * root_half).erfc() / 2),
        sin=arb.sin,
        cos=arb.cos,
        arctan=_rising(arb.atan),
        inverse=_even(lambda z: 1 / (1 + z * z)),
        bounded=lambda z, size: z,
        two_over_root_pi=2 / arb.pi().sqrt(),
        root_two_over_pi=(2 / arb.pi()).sqrt(),
        cubic=arb(fmpq(44715, 10**6)),
    )

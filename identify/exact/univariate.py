"""Polynomials in one unknown over the rationals: exact values, common roots, and how many of these are real."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from flint import fmpq, fmpq_poly

BISECTIONS = 200
"""Halvings of an interval around a real root: far below the resolution of doubles."""


def composed(coefficients: Sequence[Fraction], slope: Fraction, offset: Fraction) -> fmpq_poly:
    """The polynomial with these coefficients at slope · t + offset."""
    inner, out = fmpq_poly([_rational(offset), _rational(slope)]), fmpq_poly([])
    for value in reversed(coefficients):
        out = out * inner + _rational(value)
    return out


def common_divisor(polynomials: Iterable[fmpq_poly]) -> fmpq_poly:
    """The monic greatest common divisor; zero if all are zero."""
    out = fmpq_poly([])
    for each in polynomials:
        out = out.gcd(each)
    return out


def without_roots_of(polynomial: fmpq_poly, other: fmpq_poly) -> fmpq_poly:
    """``polynomial`` divided by every power of each factor that it shares with ``other``. Both are not zero."""
    while True:
        shared = polynomial.gcd(other)
        if shared.degree() < 1:
            return polynomial
        polynomial = polynomial // shared


def real_roots(polynomial: fmpq_poly) -> int:
    """The number of distinct real roots, by Sturm's theorem. The polynomial is not zero."""
    chain = _sturm(polynomial)
    at_minus = [f[f.degree()] * (-1) ** f.degree() for f in chain]
    return _changes(at_minus) - _changes([f[f.degree()] for f in chain])


def a_real_root(polynomial: fmpq_poly) -> float:
    """One real root, to the resolution of doubles: by bisection with exact counts. There is at least one."""
    chain = _sturm(polynomial)
    lead = abs(polynomial[polynomial.degree()])
    bound = 1 + max(abs(polynomial[k]) / lead for k in range(polynomial.degree() + 1))
    low, high = -bound, bound

    def roots(a: fmpq, b: fmpq) -> int:
        return _changes([f(a) for f in chain]) - _changes([f(b) for f in chain])

    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if roots(low, middle):
            high = middle
        else:
            low = middle
    return float(Fraction(int(high.p), int(high.q)))


def fractions_of(polynomial: fmpq_poly) -> list[str]:
    """The coefficients, in increasing powers, as texts of exact fractions."""
    return [str(value) for value in polynomial.coeffs()]


def _sturm(polynomial: fmpq_poly) -> list[fmpq_poly]:
    free = polynomial // polynomial.gcd(polynomial.derivative()) if polynomial.degree() > 0 else polynomial
    chain = [free, free.derivative()]
    while chain[-1].degree() >= 0:
        chain.append(-(chain[-2] % chain[-1]))
    return [f for f in chain if f.degree() >= 0]


def _changes(values: list[fmpq]) -> int:
    signs = [value > 0 for value in values if value != 0]
    return sum(a != b for a, b in pairwise(signs))


def _rational(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)

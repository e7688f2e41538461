r"""Activations as a certificate names them: polynomials, piecewise-linear functions, and a table of analytic functions.

Each analytic function is written once, as a power series in Arb's balls: its value and two derivatives at z are the coefficients of
:math:`\sigma(z + \epsilon)`.

Part of the checker: imports the standard library, python-flint, and the checker's own reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import factorial
from typing import Any

from flint import arb, arb_series, fmpq

from identify.checker.reading import MAX_DEGREE, choice, fraction, keys, need

MAX_PIECES = 64
ORDERS = 3
"""Value, slope and curvature."""
KINDS = {
    "polynomial": ("coefficients",),
    "piecewise-linear": ("breakpoints", "slopes", "value", "kinks"),
    "analytic": ("name",),
}


@dataclass(frozen=True)
class Polynomial:
    """s_0 + s_1 z + ... + s_p z^p."""

    coefficients: tuple[Fraction, ...]
    kind = "polynomial"

    @property
    def parity(self) -> int:
        """1 if it is even, -1 if it is odd up to a constant, 0 otherwise."""
        odd = {k % 2 for k, s in enumerate(self.coefficients) if k and s}
        return 0 if len(odd) == 2 else 1 if odd == {0} else -1

    @property
    def degree_of_scale(self) -> int:
        """p if it is s z^p, 0 otherwise."""
        return 0 if any(self.coefficients[:-1]) else len(self.coefficients) - 1

    @property
    def is_odd(self) -> bool:
        return self.parity == -1 and not self.coefficients[0]

    slopes_vanish = False
    """Whether it has a slope of zero on an interval."""

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    @property
    def numbers(self) -> tuple[Fraction, ...]:
        return self.coefficients

    def derivatives(self, z: Any, number: Callable[[Fraction], Any]) -> list[Any]:
        """Value, slope and curvature in the ring of z."""
        found = []
        for order in range(ORDERS):
            value = number(Fraction(0))
            for k in range(len(self.coefficients) - 1, order - 1, -1):
                value = value * z + number(self.coefficients[k] * (factorial(k) // factorial(k - order)))
            found.append(value)
        return found

    def __str__(self) -> str:
        return "polynomial " + " ".join(map(str, self.coefficients))


@dataclass(frozen=True)
class Piecewise:
    """Continuous; slopes from left to right, the value at the first breakpoint, and the slope that is used at each breakpoint."""

    breakpoints: tuple[Fraction, ...]
    slopes: tuple[Fraction, ...]
    value: Fraction
    kinks: tuple[Fraction, ...]
    kind = "piecewise-linear"
    degree = 1
    """On each piece."""

    @property
    def numbers(self) -> tuple[Fraction, ...]:
        return (*self.slopes, *self.intercepts, *self.kinks)

    @property
    def intercepts(self) -> list[Fraction]:
        found = [self.value - self.slopes[0] * self.breakpoints[0]]
        for t, (left, right) in zip(self.breakpoints, pairwise(self.slopes), strict=True):
            found.append(found[-1] + (left - right) * t)
        return found

    @property
    def is_homogeneous(self) -> bool:
        """sigma(t z) = t sigma(z) for t > 0."""
        return len(self.breakpoints) == 1 and self.breakpoints[0] == self.value == 0

    @property
    def degree_of_scale(self) -> int:
        return int(self.is_homogeneous)

    @property
    def parity(self) -> int:
        if tuple(-t for t in self.breakpoints[::-1]) != self.breakpoints:
            return 0
        if self.slopes == self.slopes[::-1]:
            return -1
        return int(self.slopes == tuple(-s for s in self.slopes[::-1]))

    @property
    def is_odd(self) -> bool:
        """At zero its value is the intercept of the piece, or of either piece, that zero is on."""
        return self.parity == -1 and not self.intercepts[sum(t < 0 for t in self.breakpoints)]

    @property
    def slopes_vanish(self) -> bool:
        return 0 in self.slopes or 0 in self.kinks

    def piece(self, z: Any) -> int:
        """The number of the piece of an exact number; of a breakpoint, the piece to its left."""
        return sum(as_rational(t) < z for t in self.breakpoints)

    def __str__(self) -> str:
        return f"slopes {' '.join(map(str, self.slopes))} with breaks at {' '.join(map(str, self.breakpoints))}"


@dataclass(frozen=True)
class Analytic:
    """A function of the table below, not a polynomial."""

    name: str
    kind = "analytic"
    degree_of_scale = 0
    slopes_vanish = False
    numbers = ()

    @property
    def parity(self) -> int:
        return 1 if self.name == "cos" else -1 if self.name in ("sigmoid", *ODD) else 0

    @property
    def is_odd(self) -> bool:
        return self.name in ODD

    def derivatives(self, z: arb, number: Callable[[Fraction], Any]) -> list[arb]:
        """Value, slope and curvature, as balls."""
        series = SERIES[self.name](arb_series([z, 1], prec=ORDERS))
        return [series[k] * factorial(k) for k in range(ORDERS)]

    def __str__(self) -> str:
        return self.name


Activation = Polynomial | Piecewise | Analytic
ODD = ("tanh", "erf", "sin", "arctan", "tanh_shrink")
"""Odd; sigmoid is odd up to a constant, and cos is even. The others are neither."""


def _logistic(z: arb_series) -> arb_series:
    return 1 / (1 + (-z).exp())


def _tanh(z: arb_series) -> arb_series:
    """2 / (1 + e^-2z) - 1; at zero itself, the value is exact."""
    series = 2 / (1 + (-2 * z).exp()) - 1
    return arb_series([z[0].tanh(), series[1], series[2]], prec=ORDERS)


def _softplus(z: arb_series) -> arb_series:
    """log(1 + e^z) of z + epsilon: its derivative is the logistic function."""
    slope, at = _logistic(z), z[0]
    value = at.exp().log1p() if at <= 0 else at + (-at).exp().log1p()
    return arb_series([value, slope[0], slope[1] / 2], prec=ORDERS)


def _normal(z: arb_series) -> arb_series:
    """The distribution function of the standard normal distribution."""
    return (z * (-(arb(1) / 2).sqrt())).erfc() / 2


def _gelu_tanh(z: arb_series) -> arb_series:
    inner = z + arb(fmpq(44715, 10**6)) * z * z * z
    return z * _logistic(inner * (2 * (2 / arb.pi()).sqrt()))


def _mish(z: arb_series) -> arb_series:
    return z * (1 - 2 / (1 + (2 * _softplus(z)).exp()))


SERIES: dict[str, Callable[[arb_series], arb_series]] = {
    "tanh": _tanh,
    "sigmoid": _logistic,
    "softplus": _softplus,
    "log_sigmoid": lambda z: z - _softplus(z),
    "silu": lambda z: z * _logistic(z),
    "mish": _mish,
    "gelu": lambda z: z * _normal(z),
    "gelu_tanh": _gelu_tanh,
    "erf": lambda z: z.erf(),
    "sin": lambda z: z.sin(),
    "cos": lambda z: z.cos(),
    "exp": lambda z: z.exp(),
    "arctan": lambda z: z.atan(),
    "tanh_shrink": lambda z: z - _tanh(z),
}
"""Of z + epsilon, up to epsilon^2."""


def as_rational(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


def read(value: Any) -> Activation:
    """An activation as a certificate writes it; anything else is refused."""
    need(type(value) is dict and type(value.get("kind")) is str and value["kind"] in KINDS, "activations: no such kind")
    keys("activations", value, ("kind", *KINDS[value["kind"]]))
    if value["kind"] == "analytic":
        return Analytic(choice("activations", value["name"], list(SERIES)))
    if value["kind"] == "polynomial":
        coefficients = _fractions(value["coefficients"], MAX_DEGREE + 1)
        need(len(coefficients) >= 3 and coefficients[-1], "activations: expected a polynomial of degree 2 to 20")
        return Polynomial(coefficients)
    points, slopes, kinks = (_fractions(value[name], MAX_PIECES) for name in ("breakpoints", "slopes", "kinks"))
    need(points and len(slopes) == len(points) + 1 and len(kinks) == len(points), "activations: breakpoints, slopes and kinks do not fit")
    need(all(u < v for u, v in pairwise(points)), "activations: expected increasing breakpoints")
    need(any(u != v for u, v in pairwise(slopes)), "activations: the slope never changes")
    return Piecewise(points, slopes, fraction("activations", value["value"]), kinks)


def _fractions(values: Any, most: int) -> tuple[Fraction, ...]:
    need(type(values) is list and len(values) <= most, f"activations: expected at most {most} fractions")
    return tuple(fraction("activations", value) for value in values)


def product_of_degrees(activations: Sequence[Activation]) -> int:
    """k with f(t x) = t^k f(x) for t > 0, without biases; 0 if there is none."""
    degree = 1
    for sigma in activations:
        degree *= sigma.degree_of_scale
    return degree

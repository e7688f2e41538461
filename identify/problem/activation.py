"""Activation functions: polynomials with exact rational coefficients.

Every verdict of this package rests on the activation being a polynomial
``sigma(z) = s_0 + s_1 z + ... + s_p z^p``, so its coefficients are kept as exact rationals and only rounded
where a floating-point method asks for them. This is the first module of the data flow: it imports nothing else.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, isfinite
from numbers import Rational

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from identify.base.errors import InputError

MAX_DEGREE = 20
_VARIABLE = "z"


class ActivationError(InputError):
    """An activation that this package cannot work with; the message says what to write instead."""


@dataclass(frozen=True, init=False)
class Activation:
    r"""A polynomial activation :math:`\sigma(z) = \sum_{k=0}^p s_k z^k` of degree :math:`p \ge 2`.

    Parameters
    ----------
    coefficients
        :math:`s_0, \dots, s_p`, dimensionless: integers, fractions or floats. A float is taken as the exact dyadic
        rational that it is; write ``Fraction(1, 3)`` or use :meth:`parse` for a third. Trailing zeros are dropped.

    Raises
    ------
    ActivationError
        For an empty list, a coefficient that is not a finite real number, a degree below 2 (a linear network's
        gradients see only the first moment of the data) or above 20.

    Examples
    --------
    >>> Activation([0, 1, 0.5, 1])
    Activation.parse("z + z^2/2 + z^3")
    >>> Activation.parse("z^3").support
    (3,)
    """

    coefficients: tuple[Fraction, ...]

    def __init__(self, coefficients: Sequence[int | float | Fraction]):
        exact = [_exact(value) for value in coefficients]
        while exact and exact[-1] == 0:
            exact.pop()
        degree = len(exact) - 1
        if degree < 2:
            raise ActivationError(
                f"activation of degree {max(degree, 0)}: expected a polynomial of degree 2 or more, because the "
                "gradients of a linear network reveal nothing of the data beyond sum_i c_i x_i"
            )
        if degree > MAX_DEGREE:
            raise ActivationError(f"activation of degree {degree}: expected a degree of at most {MAX_DEGREE}")
        object.__setattr__(self, "coefficients", tuple(exact))

    @classmethod
    def parse(cls, text: str) -> Activation:
        """Read a polynomial in ``z``, such as ``"z + z^2/2 + z^3"``; decimals are read as exact fractions.

        Raises
        ------
        ActivationError
            If the text is not a polynomial in ``z``; the message names the part that is not.

        Examples
        --------
        >>> Activation.parse("(z + 1)**2 - 0.1").coefficients
        (Fraction(9, 10), Fraction(2, 1), Fraction(1, 1))
        """
        if not isinstance(text, str) or not text.strip() or len(text) > 500:
            raise ActivationError(f"activation {text!r}: expected a polynomial in z such as 'z + z^2/2 + z^3'")
        source = text.strip().replace("^", "**")
        try:
            tree = ast.parse(source, mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ActivationError(
                f"activation {text!r}: not a formula; expected a polynomial in z such as 'z + z^2/2 + z^3' "
                "(write products with *, as in 2*z)"
            ) from None
        return cls(_polynomial(tree.body, source, text))

    @classmethod
    def approximate(cls, f: Callable, degree: int, interval: tuple[float, float]) -> Activation:
        """A polynomial close to ``f`` on an interval: its interpolant at Chebyshev points (within a small factor of the best).

        What that loses: statements about the polynomial network are exact, but about another network; how far the two
        activations are apart is told by :meth:`deviation`. Outside the interval the polynomial may be arbitrarily far off.

        Parameters
        ----------
        f
            A function of a float array, such as ``numpy.tanh``.
        degree
            2 to 20.
        interval
            ``(low, high)`` with low < high: where the pre-activations lie (units of w·x).

        Raises
        ------
        ActivationError
            For a bad degree or interval, or an ``f`` that is not finite there.

        Examples
        --------
        >>> import numpy as np
        >>> sigma = Activation.approximate(np.tanh, 5, (-2.0, 2.0))
        >>> sigma.degree, bool(sigma.deviation(np.tanh, (-2.0, 2.0)) < 0.02)
        (5, True)
        """
        if not isinstance(degree, int) or not 2 <= degree <= MAX_DEGREE:
            raise ActivationError(f"degree: received {degree!r}, expected an integer from 2 to {MAX_DEGREE}")
        low, high = _interval(interval)
        series = Chebyshev.interpolate(lambda z: np.asarray(f(z), dtype=float), degree, domain=[low, high])
        coefficients = np.asarray(series.convert(kind=Polynomial).coef, dtype=float)
        if not np.isfinite(coefficients).all():
            raise ActivationError(f"f: not finite on [{low:g}, {high:g}]; expected a function that is")
        # coefficients at rounding level (those of the wrong parity) would change the ambiguity group
        size = max(abs(low), abs(high), 1.0) ** np.arange(len(coefficients))
        kept = np.where(np.abs(coefficients) * size > 1e-12 * np.abs(coefficients * size).max(), coefficients, 0.0)
        return cls(kept.tolist())

    def deviation(self, f: Callable, interval: tuple[float, float]) -> float:
        """The largest |sigma - f| on 2001 equally spaced points of the interval (dimensionless)."""
        low, high = _interval(interval)
        z = np.linspace(low, high, 2001)
        return float(np.max(np.abs(self(z) - np.asarray(f(z), dtype=float))))

    @property
    def degree(self) -> int:
        """p, the largest power with a non-zero coefficient."""
        return len(self.coefficients) - 1

    @property
    def support(self) -> tuple[int, ...]:
        """K: the powers k >= 1 with s_k non-zero, in increasing order (theory, section 0)."""
        return tuple(k for k, s in enumerate(self.coefficients) if k and s)

    @property
    def constant(self) -> Fraction:
        """s_0."""
        return self.coefficients[0]

    @property
    def is_monomial(self) -> bool:
        """Whether sigma is c z^p: the only polynomials for which the network is homogeneous in its parameters."""
        return self.support == (self.degree,) and self.constant == 0

    def derivative(self, order: int = 1) -> tuple[Fraction, ...]:
        """Coefficients of the derivative of the given order, in increasing powers; ``(0,)`` beyond the degree."""
        values = self.coefficients
        for _ in range(order):
            values = tuple(k * s for k, s in enumerate(values))[1:]
        return values or (Fraction(0),)

    def floats(self, order: int = 0) -> tuple[float, ...]:
        """The coefficients of the derivative of that order, rounded to double precision."""
        return tuple(float(s) for s in self.derivative(order))

    def __call__(self, z, order: int = 0):
        """Value (or derivative of the given order) at z: a float, or an array of floats."""
        return horner(self.floats(order), z)

    def __str__(self) -> str:
        terms = []
        for k, s in enumerate(self.coefficients):
            if not s:
                continue
            size = abs(s)
            power = "" if k == 0 else _VARIABLE if k == 1 else f"{_VARIABLE}^{k}"
            if not power:
                body = str(size)
            elif size == 1:
                body = power
            else:
                body = (f"{size.numerator}*" if size.numerator != 1 else "") + power
                body += f"/{size.denominator}" if size.denominator != 1 else ""
            terms.append(("- " if s < 0 else "+ ") + body)
        text = " ".join(terms)
        return text[2:] if text.startswith("+ ") else "-" + text[2:]

    def __repr__(self) -> str:
        return f'Activation.parse("{self}")'


def horner(coefficients: Sequence, z, reduce: Callable = lambda value: value):
    """Evaluate a polynomial with + and * only, so that any ring (floats, fractions, residues, JAX arrays) will do.

    ``reduce`` is applied after every product: the remainder modulo a prime, for integers that stand for residues.
    """
    value = coefficients[-1] + 0 * z
    for s in reversed(coefficients[:-1]):
        value = reduce(value * z) + s
    return reduce(value)


def root_group(degrees: Sequence[int]) -> str:
    """The real solutions t of t^(k-l) = 1 for all k, l in ``degrees``: ``"scaling"``, ``"sign"`` or ``"none"``.

    ``scaling`` (every t != 0) for a single degree, ``sign`` (t = 1, -1) when all differences are even. Theory, section 3.
    """
    step = 0
    for k in degrees:
        step = gcd(step, abs(k - degrees[0]))
    return "scaling" if step == 0 else "sign" if step % 2 == 0 else "none"


def _interval(interval) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in interval)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (isfinite(low) and isfinite(high) and low < high):
        raise ActivationError(f"interval: received {interval!r}, expected two finite numbers (low, high) with low < high")
    return low, high


def _exact(value) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, (Rational, float)) or (isinstance(value, float) and not isfinite(value)):
        raise ActivationError(f"activation coefficient {value!r}: expected a finite integer, fraction or float")
    return Fraction(int(value.numerator), int(value.denominator)) if isinstance(value, Rational) else Fraction(value)


def _polynomial(node: ast.expr, source: str, text: str) -> list[Fraction]:
    """Coefficients of a parsed formula, by recursion on its syntax tree."""

    def refuse(why: str) -> ActivationError:
        part = ast.get_source_segment(source, node) or source
        return ActivationError(f"activation {text!r}: {part!r} {why}; expected a polynomial in z such as 'z + z^2/2 + z^3'")

    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        literal = ast.get_source_segment(source, node) or repr(node.value)
        if not isfinite(float(node.value)) if isinstance(node.value, float) else abs(node.value) >= 2**1000:
            raise refuse("is too large a number")
        try:
            return [Fraction(literal.replace("_", ""))]
        except ValueError:
            raise refuse("is not a decimal number") from None
    if isinstance(node, ast.Name) and node.id == _VARIABLE:
        return [Fraction(0), Fraction(1)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        sign = -1 if isinstance(node.op, ast.USub) else 1
        return [sign * s for s in _polynomial(node.operand, source, text)]
    if isinstance(node, ast.BinOp):
        left = _polynomial(node.left, source, text)
        right = _polynomial(node.right, source, text)
        if isinstance(node.op, (ast.Add, ast.Sub)):
            sign = -1 if isinstance(node.op, ast.Sub) else 1
            size = max(len(left), len(right))
            left, right = left + [Fraction(0)] * (size - len(left)), right + [Fraction(0)] * (size - len(right))
            return [u + sign * v for u, v in zip(left, right, strict=True)]
        if isinstance(node.op, ast.Mult):
            return product(left, right)
        if isinstance(node.op, ast.Div):
            if len(right) > 1 or not right[0]:
                raise refuse("divides by something that is not a non-zero number")
            return [s / right[0] for s in left]
        if isinstance(node.op, ast.Pow):
            if len(right) > 1 or right[0].denominator != 1 or not 0 <= right[0] <= MAX_DEGREE:
                raise refuse(f"has an exponent that is not an integer from 0 to {MAX_DEGREE}")
            power = [Fraction(1)]
            for _ in range(int(right[0])):
                power = product(power, left)
            return power
    raise refuse("is not polynomial (Activation.approximate gives a polynomial close to a function, and deviation what that loses)")


def product(left: Sequence[Fraction], right: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of the product of two polynomials. Raises :class:`ActivationError` for a degree that is too large to expand."""
    if len(left) + len(right) > 4 * MAX_DEGREE:
        raise ActivationError(f"activation: a product of degree {len(left) + len(right) - 2} is too large to expand")
    out = [Fraction(0)] * (len(left) + len(right) - 1)
    for i, u in enumerate(left):
        for j, v in enumerate(right):
            out[i + j] += u * v
    return out

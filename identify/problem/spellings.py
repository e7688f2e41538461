"""Activations given as SymPy expressions, NumPy polynomials, or lists of coefficients.

What is read here ends as the name or the coefficients that :class:`~identify.problem.activation.Activation` takes. SymPy is not imported:
whoever passes one of its expressions has done it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np
from numpy.polynomial import Polynomial as Series

from identify.problem.formulas import ActivationError


def coefficients_of(value: Any) -> list[Any] | None:
    """The coefficients, from the constant upwards, of a NumPy polynomial, a polynomial of SymPy, or a list of them; else None."""
    if isinstance(value, Series):
        return list(map(float, value.convert().coef))
    if isinstance(value, np.poly1d):
        return list(map(float, value.coeffs[::-1]))
    if isinstance(value, np.ndarray) and value.ndim == 1 and len(value):
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str) and value and all(isinstance(part, Real) for part in value):
        return list(value)
    return _of_sympy(value) if is_sympy(value) else None


def is_sympy(value: Any) -> bool:
    """Whether it is an expression or a polynomial of SymPy."""
    return hasattr(value, "free_symbols") and hasattr(value, "as_poly")


def name_of(value: Any) -> str | None:
    """The name of the function, of an expression of SymPy such as ``tanh(z)``; None for others."""
    arguments: tuple[Any, ...] = getattr(value, "args", ())
    if is_sympy(value) and getattr(value, "is_Function", False) and len(arguments) == 1 and getattr(arguments[0], "is_Symbol", False):
        return type(value).__name__
    return None


def _of_sympy(value: Any) -> list[Any] | None:
    symbols = sorted(value.free_symbols, key=str)
    if len(symbols) != 1:
        names = ", ".join(map(str, symbols)) or "none"
        raise ActivationError(f"activation {value}: has the symbols {names}; expected one, the pre-activation")
    polynomial = value if getattr(value, "is_Poly", False) else value.as_poly(symbols[0], domain="EX")
    return None if polynomial is None else [_number(c, value) for c in polynomial.all_coeffs()[::-1]]


def _number(c: Any, value: Any) -> Any:
    if getattr(c, "is_Rational", False):
        return Fraction(int(c.p), int(c.q))
    if getattr(c, "is_Float", False):
        return float(c)
    raise ActivationError(f"activation {value}: the coefficient {c} is not a rational number or a float; round it first, as by float(...)")

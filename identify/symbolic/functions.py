r"""Activations as SymPy expressions of a pre-activation, and their derivatives.

Polynomials are written out. Of the analytic functions, those that SymPy has (tanh, erf, sin, cos, exp, arctan) are SymPy's own, exactly;
the others are functions of their own names, so that an equation stays short: ``gelu(z)``, and ``gelu(z, 1)`` for the derivative. SymPy
differentiates them, and ``doit()`` writes them in elementary functions, by the formulas of :mod:`identify.problem.functions`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sympy import Add, Dummy, Expr, Function, Integer, Pow, Rational, atan, cos, erf, exp, log, pi, sin, sqrt, tanh
from sympy.core.function import ArgumentIndexError

from identify.problem.activation import Activation, Analytic
from identify.problem.functions import FORMULAS, HIGHEST_ORDER, Kernel

KERNEL = Kernel(
    exp=exp,
    tanh=tanh,
    sech2=lambda z: 1 - tanh(z) ** 2,
    logistic=lambda z: 1 / (1 + exp(-z)),
    bump=lambda z: exp(-z) / (1 + exp(-z)) ** 2,
    softplus=lambda z: log(1 + exp(z)),
    erf=erf,
    normal=lambda z: exp(-(z**2) / 2) / sqrt(2 * pi),
    normal_cdf=lambda z: (1 + erf(z / sqrt(2))) / 2,
    sin=sin,
    cos=cos,
    arctan=atan,
    inverse=lambda z: 1 / (1 + z**2),
    bounded=lambda z, size: z,
    two_over_root_pi=2 / sqrt(pi),
    root_two_over_pi=sqrt(2 / pi),
    cubic=Rational(44715, 10**6),
)
"""SymPy's elementary functions."""

OWN = ("tanh", "erf", "sin", "cos", "exp", "arctan", "tanh_shrink")
"""Written with SymPy's functions at once."""


VARIABLE = Dummy("z")


@cache
def formula(name: str, order: int) -> Expr:
    """A derivative of an analytic activation, in elementary functions of :data:`VARIABLE`."""
    known = min(order, HIGHEST_ORDER)
    return FORMULAS[name](KERNEL, VARIABLE, known).diff((VARIABLE, order - known))


class NamedActivation(Function):
    """An activation by its name: ``f(z)``, or ``f(z, k)`` for the derivative of order k."""

    nargs = (1, 2)

    @classmethod
    def eval(cls, z: Expr, order: Any = None) -> Expr | None:
        return cls(z) if order is not None and order == 0 else None

    @property
    def order(self) -> int:
        """The order of the derivative; 0 for the function itself."""
        return int(self.args[1]) if len(self.args) > 1 else 0

    def fdiff(self, argindex: int = 1) -> Expr:
        if argindex != 1:
            raise ArgumentIndexError(self, argindex)
        return self.func(self.args[0], Integer(self.order + 1))

    def doit(self, **hints: Any) -> Expr:
        """The same value in elementary functions."""
        inner = self.args[0].doit(**hints) if hints.get("deep", True) else self.args[0]
        return formula(self.func.__name__, self.order).xreplace({VARIABLE: inner})

    def _eval_evalf(self, prec: int) -> Expr:
        return self.doit()._eval_evalf(prec)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        power = "" if exp is None else f"^{{{exp}}}"
        return rf"{named_latex(self)}\left({printer.doprint(self.args[0])}\right){power}"


NAMED: dict[str, type[NamedActivation]] = {
    name: type(name, (NamedActivation,), {"__module__": __name__}) for name in FORMULAS if name not in OWN
}
"""By name; what SymPy must know to read the text of an equation: ``sympify(text, NAMED)``."""


def _at(expression: Expr, z: Expr) -> Expr:
    """The formula at z. Functions of a sum are made as they stand: SymPy would examine every term for what it knows of its sign."""
    if expression == VARIABLE:
        return z
    if not expression.has(VARIABLE):
        return expression
    parts = [_at(part, z) for part in expression.args]
    return expression.func(*parts, evaluate=False) if expression.is_Function and parts[0].is_Add else expression.func(*parts)


def named_latex(function: NamedActivation) -> str:
    """The name, with as many primes as derivatives."""
    name = function.func.__name__.replace("_", r"\_")
    return rf"\operatorname{{{name}}}" + "'" * function.order


def sigma(activation: Activation, z: Expr, order: int) -> Expr:
    """A polynomial or analytic activation, or a derivative of it, at an expression; a polynomial keeps ``z`` as one factor."""
    if isinstance(activation, Analytic):
        if activation.name in OWN:
            return _at(formula(activation.name, order), z)
        return NAMED[activation.name](z, Integer(order))
    return Add(*(Rational(s.numerator, s.denominator) * Pow(z, k) for k, s in enumerate(activation.derivative(order)) if s))

r"""Polynomial expressions as text and as LaTeX, with indices in the order of numbers.

SymPy sorts symbols by name, so that x_10 comes before x_2, and its printers examine every subexpression for what it might need.
Equations of a KKT system are sums, products and powers of symbols, rationals and values of functions; for these the order of terms and the
brackets follow from a few rules, which are SymPy's except for the order of names. Text of polynomials below index 10 is the text
that ``str`` gives.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import NamedTuple

from sympy import Expr, Rational, Symbol
from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan
from sympy.printing.latex import LatexPrinter

from identify.base.options import natural
from identify.symbolic.functions import NamedActivation, named_latex
from identify.symbolic.names import has_superscript, latex_name

RELATIONS = {
    GreaterThan: (">=", r"\geq"),
    LessThan: ("<=", r"\leq"),
    StrictGreaterThan: (">", ">"),
    StrictLessThan: ("<", "<"),
}
"""Their signs as text, and in LaTeX."""
FUNCTIONS = {"tanh": r"\tanh", "sin": r"\sin", "cos": r"\cos", "exp": r"\exp", "log": r"\log", "atan": r"\arctan"}
"""LaTeX of SymPy's functions; the names of others are written as they are."""
Order = tuple
"""A key by which expressions are sorted."""


class Term(NamedTuple):
    """A rational number and powers of symbols, sums, functions and constants such as pi."""

    numerator: int
    denominator: int
    powers: tuple[tuple[Expr, Rational], ...]


class _Foreign(Exception):
    """The expression is not a sum of products of powers."""


class _Latex(LatexPrinter):
    """SymPy's printer with the field's names."""

    def _print_Symbol(self, expr, style="plain"):
        return latex_name(expr)


class Printer:
    """Writes expressions; whatever equations have in common is written once."""

    def __init__(self, *, tex: bool) -> None:
        self.tex = tex
        self._sums: dict[Expr, tuple[str, Order]] = {}

    def __call__(self, expression: Expr) -> str:
        """The text of an expression or a relation; SymPy's, if it is not a sum of products of powers."""
        relation = RELATIONS.get(type(expression))
        try:
            if relation is not None:
                left, right = (self._sum(side)[0] for side in expression.args)
                return f"{left} {relation[self.tex]} {right}"
            return self._sum(expression)[0]
        except _Foreign:
            return _Latex({"order": "none"}).doprint(expression) if self.tex else str(expression)

    def _sum(self, expression: Expr) -> tuple[str, Order]:
        """The text of a sum, or of its only term, and its place among factors."""
        made = self._sums.get(expression)
        if made is None:
            ordered = self._terms(expression)
            parts = [self._term(term) for term in ordered]
            text = parts[0] + "".join(f" - {part[1:].lstrip()}" if part[0] == "-" else f" + {part}" for part in parts[1:])
            place = (1, len(ordered), tuple(self._place_of(term) for term in ordered))
            made = self._sums[expression] = text, place
        return made

    def _terms(self, expression: Expr) -> list[Term]:
        terms = [_term(part) for part in (expression.args if expression.is_Add else (expression,))]
        if len(terms) < 2:
            return terms
        if len(terms) == 2:  # 1 - 2*x, for a number and a multiple of one factor
            number, other = sorted(terms, key=lambda term: len(term.powers))
            if not number.powers and number.numerator > 0 > other.numerator and len(other.powers) == 1:
                return [number, other]
        return sorted(terms, key=self._rank)

    def _rank(self, term: Term) -> Order:
        """Lexicographic by exponents, the first name first; then by the coefficient."""
        powers = sorted((self._place(base), -power) for base, power in term.powers)
        return *powers, (_LAST,), term.numerator / term.denominator

    def _place(self, base: Expr) -> Order:
        """Constants, symbols by name, sums by length, then functions by name."""
        if base.is_Symbol:
            return _symbol_place(base)
        if base.is_Function:
            return (2, str(base.func), tuple(self._sum(argument)[1] for argument in base.args))
        return self._sum(base)[1] if base.is_Add else (-1, 0, str(base))

    def _place_of(self, term: Term) -> Order:
        powers = sorted((self._place(base), power) for base, power in term.powers)
        return len(powers), tuple(powers), term.numerator / term.denominator

    def _term(self, term: Term) -> str:
        sign = "-" if term.numerator < 0 else ""
        ordered = sorted(term.powers, key=lambda power: (self._place(power[0]), power[1]))
        factors = [self._power(base, power) for base, power in ordered if power > 0]
        below = [self._power(base, -power) for base, power in ordered if power < 0]
        number = abs(term.numerator)
        if number != 1 or not factors:
            factors.insert(0, str(number))
        if term.denominator != 1:
            below.insert(0, str(term.denominator))
        if not self.tex:
            divided = below[0] if len(below) == 1 else f"({'*'.join(below)})"
            return sign + "*".join(factors) + (f"/{divided}" if below else "")
        product = " ".join(factors)
        if below:
            product = rf"\frac{{{product}}}{{{' '.join(below)}}}"
        return f"{sign} {product}" if sign else product

    def _power(self, base: Expr, power: Rational) -> str:
        if base.is_Symbol:
            text = latex_name(base) if self.tex else base.name
        elif base.is_Add:
            text = self._sum(base)[0]
            text = rf"\left({text}\right)" if self.tex else f"({text})"
        elif base.is_Function:
            text = self._function(base)
        else:
            text = _Latex().doprint(base) if self.tex else str(base)
        if power == 1:
            return text
        if self.tex and base.is_Symbol and has_superscript(base):
            return rf"\left({text}\right)^{{{power}}}"
        if self.tex:
            return f"{text}^{{{power}}}"
        return f"{text}**{power}" if power.is_Integer else f"{text}**({power})"

    def _function(self, value: Expr) -> str:
        if not self.tex:
            return f"{value.func}({', '.join(self._sum(argument)[0] for argument in value.args)})"
        if isinstance(value, NamedActivation):
            return rf"{named_latex(value)}\left({self._sum(value.args[0])[0]}\right)"
        name = FUNCTIONS.get(str(value.func), rf"\operatorname{{{value.func}}}")
        return rf"{name}\left({', '.join(self._sum(argument)[0] for argument in value.args)}\right)"


_LAST = (inf,)
"""After every place: a term without another power."""


@lru_cache(maxsize=2**16)
def _symbol_place(symbol: Symbol) -> Order:
    return (0, 0, tuple(natural(symbol.name)))


def _term(expression: Expr) -> Term:
    numerator, denominator, powers = 1, 1, []
    for factor in expression.args if expression.is_Mul else (expression,):
        if factor.is_Rational:
            numerator, denominator = numerator * int(factor.p), denominator * int(factor.q)
            continue
        base, power = (factor.base, factor.exp) if factor.is_Pow else (factor, Rational(1))
        if not power.is_Rational or not (base.is_Symbol or base.is_Add or base.is_Function or base.is_NumberSymbol or base.is_Rational):
            raise _Foreign
        powers.append((base, power))
    return Term(numerator, denominator, tuple(powers))

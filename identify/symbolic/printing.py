r"""Polynomial expressions as text and as LaTeX, with indices in the order of numbers.

SymPy sorts symbols by name, so that x_10 comes before x_2, and its printers examine every subexpression for what it might need.
Equations of a KKT system are sums, products and powers of symbols and rationals; for these the order of terms and the brackets follow
from a few rules, which are SymPy's except for the order of names. Text below index 10 is the text that ``str`` gives.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import NamedTuple

from sympy import Expr, Integer, Symbol
from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan
from sympy.printing.latex import LatexPrinter

from identify.base.options import natural
from identify.symbolic.names import latex_name

RELATIONS = {
    GreaterThan: (">=", r"\geq"),
    LessThan: ("<=", r"\leq"),
    StrictGreaterThan: (">", ">"),
    StrictLessThan: ("<", "<"),
}
"""As text, and as LaTeX."""
Order = tuple
"""A key by which expressions are sorted."""


class Term(NamedTuple):
    """A rational number and powers of symbols and sums."""

    numerator: int
    denominator: int
    powers: tuple[tuple[Expr, int], ...]


class _Foreign(Exception):
    """The expression is not a polynomial."""


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
        """The text of an expression or a relation; SymPy's, if it is not polynomial."""
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
        """Symbols by name, then sums by length."""
        return _symbol_place(base) if base.is_Symbol else self._sum(base)[1]

    def _place_of(self, term: Term) -> Order:
        powers = sorted((self._place(base), power) for base, power in term.powers)
        return len(powers), tuple(powers), term.numerator / term.denominator

    def _term(self, term: Term) -> str:
        sign = "-" if term.numerator < 0 else ""
        ordered = sorted(term.powers, key=lambda power: (self._place(power[0]), power[1]))
        factors = [self._power(base, power) for base, power in ordered]
        number = abs(term.numerator)
        if number != 1 or not factors:
            factors.insert(0, str(number))
        if not self.tex:
            return sign + "*".join(factors) + (f"/{term.denominator}" if term.denominator != 1 else "")
        product = " ".join(factors)
        if term.denominator != 1:
            product = rf"\frac{{{product}}}{{{term.denominator}}}"
        return f"{sign} {product}" if sign else product

    def _power(self, base: Expr, power: int) -> str:
        if base.is_Symbol:
            text = latex_name(base) if self.tex else base.name
        else:
            text = self._sum(base)[0]
            text = rf"\left({text}\right)" if self.tex else f"({text})"
        if power == 1:
            return text
        return f"{text}^{{{power}}}" if self.tex else f"{text}**{power}"


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
        elif factor.is_Symbol or factor.is_Add:
            powers.append((factor, 1))
        elif factor.is_Pow and isinstance(factor.exp, Integer) and factor.exp > 0 and (factor.base.is_Symbol or factor.base.is_Add):
            powers.append((factor.base, int(factor.exp)))
        else:
            raise _Foreign
    return Term(numerator, denominator, tuple(powers))

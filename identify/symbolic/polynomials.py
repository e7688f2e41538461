"""Expanded equations: python-flint polynomials inside, SymPy polynomials and expressions on demand.

The equations of different neurons are the same polynomials in different symbols. Where weights are symbols, those of one
neuron are expanded and the others are the same coefficients over a ring with other names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flint import fmpq_mpoly
from sympy import QQ, Add, Expr, Mul, Rational, Symbol
from sympy.polys.orderings import grevlex
from sympy.polys.rings import PolyElement, PolyRing

from identify.symbolic.names import Names

if TYPE_CHECKING:
    from identify.symbolic.system import SymbolicSystem


@dataclass(frozen=True, eq=False)
class Polynomials(Sequence):
    """The expanded equations, in the order of ``SymbolicSystem.equations``; each vanishes at a solution.

    Index it for SymPy sparse polynomials (:class:`sympy.polys.rings.PolyElement`); :meth:`expression` and :attr:`flint` give
    SymPy expressions and python-flint polynomials.
    """

    system: SymbolicSystem
    flint: tuple[fmpq_mpoly, ...]
    blocks: tuple[tuple[tuple[Symbol, ...], tuple[int, ...]], ...]
    """For each neuron (or one block): its variables, and the flint polynomials that are its equations."""
    where: tuple[tuple[int, int], ...]
    """For each equation: its block, and its place in it."""

    @classmethod
    def of(cls, system: SymbolicSystem) -> Polynomials:
        n = system.names
        one = _one_neuron(system) if system.numbers is None and not system.has_margins and n.width > 1 else None
        if one is None:
            context, generators = system.in_ring()
            flint = tuple(system.flint_polynomials(context, generators))
            return cls(system, flint, ((system.variables, tuple(range(len(flint)))),), tuple((0, k) for k in range(len(flint))))
        context, generators = one.in_ring()
        flint = tuple(one.flint_polynomials(context, generators))
        places = tuple(range(len(flint)))
        blocks = tuple((tuple(_rename(symbol, j, n) for symbol in one.variables), places) for j in range(n.width))
        index = []
        start = 0
        for seen, each in zip(system.observed, (n.inputs, 1, 1), strict=True):
            if seen:
                index += [(j, start + k) for j in range(n.width) for k in range(each)]
                start += each
        return cls(system, flint, blocks, tuple(index))

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, at) -> Any:
        if isinstance(at, slice):
            return tuple(self[k] for k in range(*at.indices(len(self))))
        block, place = self.where[range(len(self))[at]]
        # the terms are shared between neurons: SymPy's polynomials are used as values, and never changed in place
        return PolyElement(self._ring(block), self._terms(self.blocks[block][1][place]))

    def __iter__(self):
        return (self[k] for k in range(len(self)))

    def polynomial(self, at: int) -> tuple[fmpq_mpoly, tuple[Symbol, ...], int]:
        """One equation as a python-flint polynomial, its variables, and an index that equal polynomials share."""
        block, place = self.where[range(len(self))[at]]
        variables, places = self.blocks[block]
        return self.flint[places[place]], variables, places[place]

    def expression(self, at: int) -> Expr:
        """One equation as an expanded SymPy expression."""
        return self[at].as_expr()

    @property
    def n_terms(self) -> int:
        """Total number of terms."""
        return sum(len(self.polynomial(k)[0]) for k in range(len(self)))

    def _ring(self, block: int) -> PolyRing:
        if block not in _cache(self, "_rings"):
            _cache(self, "_rings")[block] = PolyRing(self.blocks[block][0], QQ, grevlex)
        return _cache(self, "_rings")[block]

    def _terms(self, place: int) -> dict:
        if place not in _cache(self, "_dicts"):
            _cache(self, "_dicts")[place] = self.flint[place].to_dict()
        return _cache(self, "_dicts")[place]

    def __repr__(self) -> str:
        return f"Polynomials({len(self)} equations, {self.n_terms} terms in {len(self.system.variables)} variables)"


def _cache(owner: Polynomials, name: str) -> dict:
    return owner.__dict__.setdefault(name, {})


def _one_neuron(system: SymbolicSystem) -> SymbolicSystem | None:
    """The same system with its first neuron only; None where outputs share second-layer rows in another order."""
    n = system.names
    if n.outputs > 1:
        return None
    return replace(system, names=Names(n.inputs, n.samples, 1, 1, n.bias, n.signed))


def _rename(symbol: Symbol, neuron: int, names: Names) -> Symbol:
    """The symbol of the first neuron as that of another: w_1_k, a_1, b_1 and the targets carry the neuron in their first index."""
    stem, *index = symbol.name.split("_")
    if stem in ("w", "a", "b", "tw", "tb", "ta"):
        return Symbol("_".join([stem, str(neuron + 1), *index[1:]]))
    return symbol


def to_expression(polynomial: fmpq_mpoly, variables: tuple[Symbol, ...]) -> Expr:
    """A python-flint polynomial as a SymPy expression."""
    terms = []
    for exponents, value in polynomial.to_dict().items():
        powers = [variable ** int(e) for variable, e in zip(variables, exponents, strict=True) if e]
        terms.append(Mul(Rational(int(value.p), int(value.q)), *powers))
    return Add(*terms)

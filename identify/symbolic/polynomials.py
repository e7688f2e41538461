"""Expanded equations: python-flint polynomials inside, SymPy polynomials and expressions on demand.

The equations of different neurons are the same polynomials in different symbols. If weights are symbols, those of one
neuron are expanded and the others are the same coefficients over a ring with other names; so is slackness, by samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flint import fmpq, fmpq_mpoly
from sympy import QQ, Add, Expr, Mul, Rational, Symbol
from sympy.polys.orderings import grevlex
from sympy.polys.rings import PolyRing

from identify.base.limits import refuse_above
from identify.symbolic.ring import polynomials_in, ring_of
from identify.symbolic.system import SymbolicSystem
from identify.symbolic.two_layers import PolynomialSystem

BYTES_PER_TERM = 400
"""Measured memory of one term on its way from flint to a SymPy polynomial, for up to a hundred variables."""


@dataclass(frozen=True, eq=False)
class Polynomials(Sequence):
    """The expanded equations, in the order of ``SymbolicSystem.equations``; each vanishes at a solution.

    Index it for SymPy sparse polynomials (:class:`sympy.polys.rings.PolyElement`); :meth:`expression` and :attr:`flint` give
    SymPy expressions and python-flint polynomials.
    """

    system: SymbolicSystem
    flint: tuple[fmpq_mpoly, ...]
    blocks: tuple[tuple[tuple[Symbol, ...], tuple[int, ...]], ...]
    """The blocks, one for each neuron and each sample (or one for all): the variables, and the flint polynomials that are the equations."""
    where: tuple[tuple[int, int], ...]
    """The block of each equation, and its place in it."""

    @classmethod
    def of(cls, system: SymbolicSystem) -> Polynomials:
        terms = system.n_terms()
        refuse_above(BYTES_PER_TERM * terms, f"the expanded system ({terms} terms; the structured form .equations needs no expansion)")
        if system.numbers is not None or not isinstance(system, PolynomialSystem):
            flint = _in_one_ring(system)
            return cls(system, flint, ((system.variables, tuple(range(len(flint)))),), tuple((0, k) for k in range(len(flint))))
        n = system.names
        neuron = replace(system, names=replace(n, width=1))
        flint = _in_one_ring(neuron)[: neuron.n_stationarity]
        places = tuple(range(len(flint)))
        blocks = [(tuple(_rename(symbol, NEURON, j) for symbol in neuron.variables), places) for j in range(n.width)]
        index = []
        start = 0
        for seen, outer, inner in zip(system.observed, (1, 1, n.outputs), (n.inputs, 1, 1), strict=True):
            if seen:
                index += [(j, start + o * inner + k) for o in range(outer) for j in range(n.width) for k in range(inner)]
                start += outer * inner
        if system.has_margins:
            sample = replace(system, names=replace(n, samples=1))
            flint += _in_one_ring(sample)[-1:]
            blocks += [(tuple(_rename(symbol, SAMPLE, i) for symbol in sample.variables), (start,)) for i in range(n.samples)]
            index += [(n.width + i, 0) for i in range(n.samples)]
        return cls(system, flint, tuple(blocks), tuple(index))

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, at) -> Any:
        if isinstance(at, slice):
            return tuple(self[k] for k in range(*at.indices(len(self))))
        block, place = self.where[range(len(self))[at]]
        # the terms are shared between neurons: SymPy's polynomials are used as values, and never changed in place
        return self._ring(block).zero.new(self._terms(self.blocks[block][1][place]))

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
            terms = self.flint[place].to_dict().items()
            # python-flint's exponents are objects of 32 bytes each; SymPy's are Python's small integers
            _cache(self, "_dicts")[place] = {(*map(int, e),): v if QQ.dtype is fmpq else QQ(int(v.p), int(v.q)) for e, v in terms}
        return _cache(self, "_dicts")[place]

    def __repr__(self) -> str:
        return f"Polynomials({len(self)} equations, {self.n_terms} terms in {len(self.system.variables)} variables)"


def _cache(owner: Polynomials, name: str) -> dict:
    return owner.__dict__.setdefault(name, {})


NEURON = {"w": 0, "b": 0, "a": -1, "tw": 0, "tb": 0, "ta": -1}
"""The symbols that belong to one neuron, and which of their indices says to which."""
SAMPLE = {"x": 0, "lambda": 0, "y": 0}
"""The symbols that belong to one sample, for one output."""


def _in_one_ring(system: SymbolicSystem) -> tuple[fmpq_mpoly, ...]:
    return tuple(polynomials_in(system, *ring_of(system)))


def _rename(symbol: Symbol, owned: dict[str, int], number: int) -> Symbol:
    """A symbol of the first neuron (or sample) as that of another."""
    stem, *index = symbol.name.split("_")
    if stem in owned:
        index[owned[stem]] = str(number + 1)
    return Symbol("_".join([stem, *index]))


def to_expression(polynomial: fmpq_mpoly, variables: tuple[Symbol, ...]) -> Expr:
    """A python-flint polynomial as a SymPy expression."""
    terms = []
    for exponents, value in polynomial.to_dict().items():
        powers = [variable ** int(e) for variable, e in zip(variables, exponents, strict=True) if e]
        terms.append(Mul(Rational(int(value.p), int(value.q)), *powers))
    return Add(*terms)

r"""Macaulay matrices modulo a prime, one degree at a time: in how many points can equations vanish?

The equations are forms :math:`\sum_o F_{fo}(\xi, \xi_0)\,\gamma_o`: linear in :math:`\gamma` (with one output there is no
:math:`\gamma`), weighted homogeneous in the variables :math:`\xi` of weight 1 and :math:`\xi_0` of weight g (absent if g = 0); only
monomials with at least ``lowest`` factors :math:`\xi` are used. With :math:`I_D` the span of all multiples of degree D, the *corank* is the
number of monomials less dim :math:`I_D`. Every zero of the equations is a linear functional on the monomials of degree D that vanishes
on :math:`I_D`, so the corank bounds the number of zeros whose functionals are independent.

The matrix is never there. Let :math:`Q_D` be the monomials of degree D modulo :math:`I_D`, with a basis B of monomials. Then
:math:`Q_{D+1}` is spanned by the products of B with single variables, and its relations come from the monomials outside B that are
such products of the degree before. So each step eliminates a matrix whose columns are a few times dim :math:`Q_D`, where the Macaulay
matrix has all monomials. All multiples that are used lie in :math:`I_{D+1}`: what is computed is never below the true corank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from jaxtyping import Int

from identify.base.limits import TooLargeError, memory_allowed, refuse_above, refuse_late, refuse_when_spent
from identify.exact.elimination import TILE, centred
from identify.exact.kernel import SPARE, Kernel
from identify.exact.modular import MULTIPLICATIONS
from identify.problem.interpolation import Monomials

HIGHEST = 60
"""Degrees beyond are not looked at."""
CHUNK = 2**22
"""Entries of a matrix of relations that are built at once."""


@dataclass(frozen=True)
class Module:
    """The monomials of every degree: :math:`\\xi^e \\xi_0^k \\gamma_o` with |e| + g k the degree.

    Attributes
    ----------
    variables, outputs
        How many :math:`\\xi` and :math:`\\gamma`, at least 1 each.
    weight
        g, of :math:`\\xi_0`; 0: there is none.
    lowest
        The least |e|.
    """

    variables: int
    outputs: int = 1
    weight: int = 1
    lowest: int = 0

    def sizes(self, degree: int) -> list[int]:
        """The values of |e| in that degree, the largest first."""
        if degree < self.lowest:
            return []
        return list(range(degree, self.lowest - 1, -self.weight)) if self.weight else [degree]

    def count(self, degree: int) -> int:
        """The number of monomials of that degree."""
        return self.outputs * sum(comb(self.variables + k - 1, k) for k in self.sizes(degree))

    @cached_property
    def bits(self) -> tuple[int, int]:
        """Of the field of one exponent, and of the output, in the code of a monomial. Raises TooLargeError if codes do not fit."""
        output = max(self.outputs - 1, 0).bit_length()
        each = (62 - output) // (self.variables + 1)
        if each < 3:
            raise TooLargeError(f"monomials in {self.variables} variables", 2**60, memory_allowed())
        return each, output

    @property
    def highest(self) -> int:
        """The largest degree whose monomials have codes."""
        return min(HIGHEST, 2 ** self.bits[0] - 1)

    @property
    def factors(self) -> list[tuple[int, int]]:
        """What a product with each variable adds to the code of a monomial, and to its degree."""
        each, output = self.bits
        one = 1 << (output + each * self.variables)
        of_xi = [((1 << (output + each * k)) + one, 1) for k in range(self.variables)]
        return of_xi + [(0, self.weight)] * bool(self.weight)

    def powers(self, size: int) -> Int[np.ndarray, " monomials"]:
        """Codes of the monomials with that |e|, of the first output, in the order of ``Monomials``."""
        shifts = np.array([shift for shift, _ in self.factors[: self.variables]], dtype=np.int64)
        return shifts[Monomials.of(self.variables, size).index].sum(axis=1, dtype=np.int64)

    def codes(self, degree: int) -> Int[np.ndarray, " monomials"]:
        """Of all monomials of that degree, those with the largest |e| first."""
        parts = [self.of_all_outputs(self.powers(size)) for size in self.sizes(degree)]
        return -np.sort(-np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)

    def of_all_outputs(self, codes: Int[np.ndarray, " monomials"]) -> Int[np.ndarray, " more"]:
        """These monomials times each output, output by output."""
        return (np.arange(self.outputs)[:, None] + codes).ravel()


@dataclass(frozen=True, eq=False)
class Generators:
    """Forms of one degree: for each size |e|, their coefficients, output by output, in the order of ``Monomials``."""

    degree: int
    blocks: dict[int, Int[np.ndarray, "forms monomials"]]

    def __len__(self) -> int:
        return len(next(iter(self.blocks.values())))

    @property
    def least(self) -> int:
        """The least |e| of their monomials."""
        return min(self.blocks)


@dataclass(frozen=True, eq=False)
class Quotient:
    """The monomials of one degree modulo the equations: a basis of monomials, and other monomials in terms of it."""

    basis: Int[np.ndarray, " corank"]
    border: Int[np.ndarray, " border"]
    forms: Int[np.ndarray, "border corank"]


@dataclass(frozen=True)
class Step:
    """What one degree took: unknowns that were eliminated, equations between them, and the corank that is left."""

    degree: int
    columns: int
    rows: int
    corank: int


def coranks(module: Module, generators: Sequence[Generators], q: int) -> Iterator[Step]:
    """The coranks of degree after degree, from the first one in which every generator has a multiple.

    Raises TooLargeError and OutOfTimeError before a step that exceeds the limits. Upper bounds on the coranks of the Macaulay matrices
    modulo q, hence also over the rationals if the generators are integral at q.
    """
    first = max(part.degree + max(module.lowest - part.least, 0) for part in generators)
    known: dict[int, Quotient] = {}
    for degree in range(max(first - max(module.weight, 1) + 1, 0), first + 1):
        known[degree], step = _all_multiples(module, generators, degree, q)
    yield step
    for degree in range(first + 1, module.highest + 1):
        known[degree], step = _next(module, known, degree, q)
        known.pop(degree - max(module.weight, 1), None)
        yield step


def _all_multiples(module: Module, generators: Sequence[Generators], degree: int, q: int) -> tuple[Quotient, Step]:
    """The whole Macaulay matrix of one small degree."""
    codes = module.codes(degree)
    order = np.argsort(codes)
    kernel, total = Kernel(len(codes), q), 0
    _refuse(sum(_multiples(module, part, degree) for part in generators), len(codes), len(codes), f"the Macaulay matrix of degree {degree}")
    for part in generators:
        extra = degree - part.degree
        sizes = range(extra, -1, -module.weight) if module.weight else [extra]
        for size in (size for size in sizes if size >= max(module.lowest - part.least, 0)):
            for multiplier in module.powers(size):
                refuse_when_spent("a Macaulay matrix")
                rows = np.zeros((len(part), len(codes)), dtype=np.int32)
                for block, values in part.blocks.items():
                    shifted = module.of_all_outputs(module.powers(block)) + multiplier
                    rows[:, order[np.searchsorted(codes, shifted, sorter=order)]] = values
                kernel.add(np.arange(len(codes)), rows)
                total += len(rows)
    if not total:
        kernel.free = np.arange(len(codes))
    return _quotient(kernel, codes), Step(degree, len(codes), total, len(kernel.free))


def _multiples(module: Module, part: Generators, degree: int) -> int:
    extra = degree - part.degree
    sizes = range(extra, -1, -module.weight) if module.weight else [extra]
    return len(part) * sum(comb(module.variables + k - 1, k) for k in sizes if k >= max(module.lowest - part.least, 0))


def _next(module: Module, known: dict[int, Quotient], degree: int, q: int) -> tuple[Quotient, Step]:
    """The quotient of the next degree: products of the bases before with variables, modulo what their borders imply."""
    sources = [(shift, known[degree - weight]) for shift, weight in module.factors if degree - weight in known]
    columns = -np.unique(-np.concatenate([part.basis + shift for shift, part in sources]))
    reached = np.concatenate([part.border + shift for shift, part in sources])
    first = np.concatenate([np.arange(len(part.border)) for _, part in sources])
    number = np.repeat(np.arange(len(sources)), [len(part.border) for _, part in sources])
    relations = _Relations(sources, columns, reached, number, first, q)
    pairs = relations.pairs()
    _refuse(len(pairs), len(columns), len(columns), f"a Macaulay matrix of degree {degree}")
    kernel = Kernel(len(columns), q)
    step = max(CHUNK // max(len(columns), 1), len(columns) // 2 + SPARE)
    order = np.random.default_rng(degree).permutation(len(pairs))
    for start in range(0, len(pairs), step):
        kernel.add(np.arange(len(columns)), relations.rows(pairs[order[start : start + step]]))
    if not len(pairs):
        kernel.free = np.arange(len(columns))
    return _quotient(kernel, columns), Step(degree, len(columns), len(pairs), len(kernel.free))


@dataclass(frozen=True, eq=False)
class _Relations:
    """Monomials reached from a border: each is a combination of ``columns`` for every way in which it is reached."""

    sources: list[tuple[int, Quotient]]
    columns: np.ndarray
    reached: np.ndarray
    number: np.ndarray
    first: np.ndarray
    q: int

    def pairs(self) -> np.ndarray:
        """Two ways to the same monomial in each row; -1 - k in place of the second for the monomial ``columns[k]`` itself."""
        place = self._places(self.reached)
        inside = np.flatnonzero(place >= 0)
        itself = np.stack([inside, -1 - place[inside]], axis=1)
        outside = np.flatnonzero(place < 0)
        outside = outside[np.argsort(self.reached[outside], kind="stable")]
        same = self.reached[outside][1:] == self.reached[outside][:-1]
        return np.vstack([itself, np.stack([outside[1:][same], outside[:-1][same]], axis=1)])

    def rows(self, pairs: np.ndarray) -> Int[np.ndarray, "pairs columns"]:
        """The relations, centred modulo q."""
        out = np.zeros((len(pairs), len(self.columns)), dtype=np.int64)
        self._add(out, pairs[:, 0], 1)
        direct = pairs[:, 1] < 0
        out[np.flatnonzero(direct), -1 - pairs[direct, 1]] -= 1
        part = np.zeros((int((~direct).sum()), len(self.columns)), dtype=np.int64)
        self._add(part, pairs[~direct, 1], 1)
        out[~direct] -= part
        return centred(out % self.q, self.q)

    def _add(self, out: np.ndarray, ways: np.ndarray, sign: int) -> None:
        for k, (shift, part) in enumerate(self.sources):
            rows = np.flatnonzero(self.number[ways] == k)
            if len(rows) and len(part.basis):
                out[np.ix_(rows, self._places(part.basis + shift))] += sign * part.forms[self.first[ways[rows]]]

    def _places(self, codes: np.ndarray) -> np.ndarray:
        """Where each monomial is among the columns, which are in decreasing order; -1 for one that is not."""
        if not len(self.columns):
            return np.full(len(codes), -1)
        at = np.minimum(np.searchsorted(-self.columns, -codes), len(self.columns) - 1)
        return np.where(self.columns[at] == codes, at, -1)


def _quotient(kernel: Kernel, codes: np.ndarray) -> Quotient:
    """Read off the kernel: functionals on the monomials are given by their values on the free ones."""
    resolved = np.concatenate([np.zeros(0, dtype=np.int64), *(which for which, _ in kernel.blocks)]).astype(np.int64)
    forms = np.vstack([np.zeros((0, len(kernel.free)), dtype=np.int32), *(values.T for _, values in kernel.blocks)])
    return Quotient(codes[kernel.free], codes[resolved], forms)


def _refuse(rows: int, columns: int, rank: int, what: str) -> None:
    refuse_above(24 * (min(rows, columns + TILE) + columns) * columns, what)
    refuse_late(step_seconds(rows, columns, rank), what)


def step_seconds(rows: int, columns: int, rank: int) -> float:
    """An estimate of the CPU time of the elimination of that many relations between so many monomials."""
    return 4e-8 * rows * columns + rank * columns * min(rows, 2 * columns) / MULTIPLICATIONS

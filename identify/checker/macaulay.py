r"""The step for equations of a single sample: a Macaulay matrix of theirs has so small a corank that they have no other solutions.

If the first-layer update has rank n, each sample :math:`x'` of a competitor satisfies :math:`(A^\top\gamma')\circ\sigma'(Wx' + b) \in
\operatorname{col} S`, S the slopes of the given data; if the second-layer update has rank n, it satisfies :math:`\sigma(Wx' + b) \in
\operatorname{col} V`, V the values. These are forms in x and a variable of weight g, linear in :math:`\gamma'`. A solution is a functional
on the monomials of degree D with at least L factors x, and vanishes on all multiples of the equations. The given samples are n independent
ones. Suppose that there are no others, so that the functional of :math:`x'` is a combination of them.

*Independent samples* (with biases: the (x, 1)). In coordinates in which they are unit vectors, the mixed monomials show that :math:`x'`
is a multiple t of one of them, or zero. The monomials with k and with k - g factors x show that t^g = 1, and that multipliers are in
proportion.

*Dependent samples.* A product of linear forms and of forms l^g - c separates :math:`x'` from all of them.

*Zero.* If samples are independent, or if sigma(0) = 0 and values are, x' = 0 is not a sample of a competitor. Otherwise L = 0; if
x' = 0 were a solution, the coefficients of the monomials with fewest factors x would vanish on all multiples too, and be one functional
more.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from math import comb, factorial, gcd
from typing import Any

from flint import nmod_mat

from identify.checker.examination import Examination, rational
from identify.checker.matrices import Point, dense_rank, dot, rank_of_rows, rational_rank
from identify.checker.reading import integer, integers, need, need_small

MAX_COLUMNS = 2000
"""Monomials of the degree in question."""
MAX_ROWS = 10**6
"""Multiples of the equations, of which some are chosen."""


@dataclass(frozen=True)
class Module:
    r"""The monomials :math:`\xi^e \xi_0^k \gamma_o` of one degree |e| + g k, those with at least ``lowest`` factors :math:`\xi`."""

    variables: int
    outputs: int
    weight: int
    lowest: int
    degree: int

    def sizes(self, degree: int, lowest: int) -> list[int]:
        """The values of |e| in that degree."""
        return list(range(degree, max(lowest, 0) - 1, -self.weight)) if self.weight else [degree] * (degree >= max(lowest, 0))

    def codes(self, size: int) -> list[int]:
        """A number for each monomial of that many factors: products have the sum of these."""
        powers = [(self.degree + 1) ** k for k in range(self.variables)]
        return [sum(e) for e in combinations_with_replacement(powers, size)]

    def count(self) -> int:
        """The number of monomials."""
        d = self.variables
        return self.outputs * sum(comb(d + k - 1, k) if d else int(k == 0) for k in self.sizes(self.degree, self.lowest))

    @cached_property
    def columns(self) -> dict[int, int]:
        """The place of each monomial, of the first output."""
        names = [code for size in self.sizes(self.degree, self.lowest) for code in self.codes(size)]
        return {code: at for at, code in enumerate(names)}


@dataclass(frozen=True)
class Form:
    """An equation: its degree, the least number of factors of its monomials, and its coefficients by monomial and output."""

    degree: int
    least: int
    terms: list[tuple[int, int, int]]


@dataclass(frozen=True)
class System:
    """The equations of a single sample modulo the prime, in one degree."""

    q: int
    module: Module
    forms: list[Form]

    @cached_property
    def multiples(self) -> list[tuple[int, int]]:
        """All products of a form with a monomial that lie in the module: the number of the form, and the code of the monomial."""
        m, found = self.module, []
        for number, form in enumerate(self.forms):
            for size in m.sizes(m.degree - form.degree, m.lowest - form.least):
                found += [(number, code) for code in m.codes(size)]
                need_small(len(found) <= MAX_ROWS, "the multiples of the equations are too many")
        return found

    def rows(self, chosen: Sequence[int]) -> Iterator[dict[int, int]]:
        """Rows of the Macaulay matrix."""
        place, each = self.module.columns, len(self.module.columns)
        for at in chosen:
            number, factor = self.multiples[at]
            yield {place[code + factor] + o * each: value for code, o, value in self.forms[number].terms}


def macaulay(e: Examination, layers: Any, basis: Any, degree: Any, lowest: Any, rows: Any) -> str:
    """See the module. ``basis``: neurons of which the values at the samples are independent, for the second layer."""
    c = e.claim
    need("decomposition" not in e.facts, "must come before the decomposition")
    e.need_data()
    seen = layers_of(layers)
    e.fixed = set(_known_degrees(e, seen, basis))
    e.facts |= {"macaulay", "decomposition"}
    if not e.point.d:
        need(seen == [1] and [degree, lowest, rows] == [0, 0, []], "there is no coordinate: expected layer 1, zeros and no rows")
        return _shown(e)
    system = system_of(e, seen, basis, integer("degree", degree, 0, 60), lowest)
    columns, chosen = system.module.count(), integers("rows", rows, len(system.multiples))
    solved = c.n if e.points is None else e.points[0]
    need(len(chosen) >= columns - solved, f"fewer than {columns - solved} rows")
    found = rank_of_rows(system.rows(chosen), len(chosen), columns, system.q)
    need(found == columns - solved, f"these rows have rank {found}, not {columns - solved}")
    return (
        f"{len(chosen)} multiples of degree {degree} of the equations of a single sample have rank {found} modulo {system.q}: "
        f"{columns} monomials less {solved}, {'one for each sample' if e.points is None else 'the sum of these multiplicities'}"
    )


def layers_of(layers: Any) -> list[int]:
    seen = [integer("layers", layer, 1, 2) for layer in layers] if type(layers) is list else []
    need(seen in ([1], [2], [1, 2]), "layers: expected some of 1 and 2")
    return seen


def outputs_of(e: Examination, seen: Sequence[int]) -> list[int]:
    """The outputs whose multipliers the equations have; one stands for none."""
    return _independent_outputs(e) if 1 in seen else [0]


def system_of(e: Examination, layers: Sequence[int], basis: Any, degree: int, lowest: Any) -> System:
    """The equations that these layers give, in a degree that is large enough."""
    c, point = e.claim, e.point
    first, second = 1 in layers, 2 in layers
    outputs = outputs_of(e, layers)
    weight = 1 if c.bias else _gcd([k - 1 for k in _support(e)] * first + [k - 1 for k in _values(e)] * second)
    open_at_zero = not first and not c.bias and bool(c.s[0])
    least = integer("lowest", lowest, 0, 0 if c.bias or open_at_zero else degree)
    independent = first or dense_rank([x + [1] * c.bias for x in point.X], point.q) == c.n
    needed = max(2, least + weight) if independent else max(2, least + c.n * max(weight, 1))
    is_a_point = weight == 1 and not least  # zero is one like others, with the constant as a monomial
    if e.points is not None:
        need(weight and not degree % weight, "multiplicities: needs a homogenising variable, in a multiple of its degree")
        need(is_a_point or all(map(any, point.X)), "multiplicities: a sample is zero")
        needed = weight * e.points[1] + least
    need(degree >= needed, f"degree {degree} proves nothing, {needed} is the least that does")
    need(independent or is_a_point or all(map(any, point.X)), "a sample is zero")
    module = Module(point.d, len(outputs), weight, least, degree)
    need_small(module.count() <= MAX_COLUMNS, f"a Macaulay matrix with {module.count()} columns is too large")
    forms: list[Form] = []
    if first:
        slopes = [point.slopes(j) for j in range(c.m)]
        forms += _forms(e, module, e.neurons, slopes, 1, [[point.A[o][j] for o in outputs] for j in range(c.m)])
    if second:
        values = values_of(point)
        for o in range(len(outputs)):
            forms += _forms(e, module, basis, values, 0, [[int(o == k) for k in range(len(outputs))]] * c.m)
    return System(point.q, module, forms)


def values_of(point: Point) -> list[list[int]]:
    """sigma(w_j x_i + b_j), neuron by neuron."""
    return [[point.sigma(0, dot(w, x) + b) for x in point.X] for w, b in zip(point.W, point.b, strict=True)]


def _known_degrees(e: Examination, layers: Sequence[int], basis: Any) -> list[int]:
    """The degrees k with every c_i x_i^(tensor k) known, once each sample is known up to t with t^g = 1.

    First layer: A^T gamma'_i is t_i^-k A^T gamma_i for the degrees k of sigma but 0, because G_1 is a sum of n independent terms. Second
    layer: values of rank n at the samples determine the multipliers. A constant term in sigma is seen by the second layer alone, so
    if all other terms are known, so is the moment of degree 0.
    """
    c, point, first = e.claim, e.point, 1 in layers
    if first:
        need("reduction" in e.facts, "layer 1 needs the step reduction")
    if 2 in layers:
        need(c.sees_a and c.n <= c.C, "layer 2 needs the second layer of the target, and as many outputs as samples")
        need(dense_rank(point.c, point.q) == c.n, "the multipliers are dependent")
        chosen, values = integers("basis", basis, c.m), values_of(point)
        need(len(chosen) == c.n, f"basis: expected {c.n} neurons")
        need(dense_rank([values[j] for j in chosen], point.q) == c.n, "the values of these neurons are dependent")
        return c.degrees
    need(basis is None, "basis: layer 1 takes that of the step reduction; expected null")
    if dense_rank(point.A, point.q) == c.C:
        return c.degrees if c.bias else _support(e)
    same = c.bias or _gcd(_support(e)) == _gcd(c.degrees)
    need(c.sees_a and same and dense_rank(values_of(point), point.q) == c.n, "the multipliers are not determined, given the samples")
    return c.degrees


def _shown(e: Examination) -> str:
    """Observed biases show the only sample, x' = x; the multipliers are a linear question."""
    c, point = e.claim, e.point
    live = [j for j in range(c.m) if point.sigma(1, dot(point.W[j], point.X[0]) + point.b[j])]
    seen = c.sees_a and any(any(row) for row in values_of(point))
    need(seen or dense_rank([[row[j] for j in live] for row in point.A], point.q) == c.C, "the multipliers are not determined")
    return "the updates of the first layer and of its biases show the only sample"


def _independent_outputs(e: Examination) -> list[int]:
    """Rows of A that span all of them: A^T gamma is a combination of these."""
    point = e.point
    chosen: list[int] = []
    for o in range(e.claim.C):
        if dense_rank([point.A[k] for k in [*chosen, o]], point.q) > len(chosen):
            chosen.append(o)
    if len(chosen) < min(e.claim.C, e.claim.m):
        need(e.numbers["A"] is not None, "the second layer of a generic network has full rank")
        table = ({j: rational(v) for j, v in enumerate(row)} for row in e.numbers["A"])
        need(rational_rank(table, e.claim.C, e.claim.m) == len(chosen), "the second layer has less rank modulo this prime")
    return chosen


def _forms(e: Examination, module: Module, basis: Sequence[int], columns: list[list[int]], order: int, weights: Any) -> Iterator[Form]:
    """For each neuron outside the basis the combination with those of the basis that vanishes at the given samples.

    ``order``: 0 for sigma, 1 for sigma'. ``weights``: of each neuron, by output.
    """
    c, point, q = e.claim, e.point, e.point.q
    degrees = range(order, c.p + 1) if c.bias else _support(e) if order else _values(e)
    n, sizes = c.n, [k - order for k in degrees]
    inverse = nmod_mat(n, n, [v for j in basis for v in columns[j]], q).inv()
    monomials = {k: list(combinations_with_replacement(range(point.d), k)) for k in sizes}
    codes = {k: module.codes(k) for k in sizes}
    many = {k: [_multinomial(of) for of in monomials[k]] for k in sizes}

    def terms(j: int) -> list[int]:
        """Coefficients of the function of neuron j, by output and monomial."""
        by_size = []
        for k in sizes:
            taylor = point.sigma(k + order, point.b[j]) * pow(factorial(k), -1, q)
            for of, count in zip(monomials[k], many[k], strict=True):
                value = taylor * count
                for t in of:
                    value = value * point.W[j][t] % q
                by_size.append(value)
        return [a * value % q for a in weights[j] for value in by_size]

    names = [(code, o) for o in range(module.outputs) for k in sizes for code in codes[k]]
    of_basis = nmod_mat(n, len(names), [v for j in basis for v in terms(j)], q)
    for j in range(c.m):
        if j in basis:
            continue
        factors = nmod_mat(1, n, columns[j], q) * inverse * of_basis
        rest = [(v - int(factors[0, k])) % q for k, v in enumerate(terms(j))]
        yield Form(c.p - order, min(sizes), [(*name, v) for name, v in zip(names, rest, strict=True) if v])


def _support(e: Examination) -> list[int]:
    """Degrees of sigma, but for the constant."""
    return [k for k, s in enumerate(e.claim.s) if k and s]


def _values(e: Examination) -> list[int]:
    """Degrees of sigma."""
    return [k for k, s in enumerate(e.claim.s) if s]


def _multinomial(factors: tuple[int, ...]) -> int:
    """How many words have these letters."""
    value = factorial(len(factors))
    for t in set(factors):
        value //= factorial(factors.count(t))
    return value


def _gcd(degrees: Sequence[int]) -> int:
    """Of their differences; 0 for one degree."""
    return gcd(*(k - degrees[0] for k in degrees))

r"""How often a point solves polynomial equations: its local dual space, order by order (Macaulay 1916).

Equations are written around the point, as polynomials in the displacement :math:`\delta`. A functional of order k at the point is a
combination of the coefficients of the monomials :math:`\delta^\alpha`, :math:`|\alpha| \le k`. Those that vanish on all multiples of the
equations are the local dual space of order k, the kernel of a matrix whose rows are the multiples :math:`\delta^\beta f`,
:math:`|\beta| < k`, without their terms beyond order k. If two orders give the same dimension, all further ones do, the point is an
isolated solution, and this dimension is its multiplicity.

A rank modulo a prime is at most the rational one, so that dimensions modulo a prime are upper bounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations_with_replacement
from itertools import product as iterated
from math import comb
from typing import Any

from flint import fmpq_mat, nmod, nmod_mat

from identify.base.limits import refuse_when_spent

Exponents = tuple[int, ...]
Germ = Mapping[Exponents, Any]
"""A polynomial in the displacement: the coefficient of each monomial that has one."""
ENTRIES = 3 * 10**5
"""Of one matrix, beyond which no further order is looked at."""


@cache
def monomials(variables: int, order: int) -> tuple[Exponents, ...]:
    """All exponents of at most that order, the small ones first."""
    found = []
    for k in range(order + 1):
        for chosen in combinations_with_replacement(range(variables), k):
            exponents = [0] * variables
            for at in chosen:
                exponents[at] += 1
            found.append(tuple(exponents))
    return tuple(found)


def taylor(derivatives: Sequence[Any], w: Sequence[Any]) -> dict[Exponents, Any]:
    r"""The germ of :math:`f(z + w\cdot\delta)` from :math:`f(z), f'(z), \dots`: coefficients :math:`f^{(|e|)}(z)\, w^e / e!`."""
    found: dict[Exponents, Any] = {}
    for e in monomials(len(w), len(derivatives) - 1):
        value = derivatives[sum(e)]
        for u, k in zip(w, e, strict=True):
            for i in range(k):
                value = value * u / (i + 1)
        if value:
            found[e] = value
    return found


def product(f: Germ, g: Germ) -> dict[Exponents, Any]:
    found: dict[Exponents, Any] = {}
    for (e, u), (d, v) in iterated(f.items(), g.items()):
        at = tuple(i + k for i, k in zip(e, d, strict=True))
        found[at] = found[at] + u * v if at in found else u * v
    return {e: value for e, value in found.items() if value}


def added(germs: Iterable[Germ]) -> dict[Exponents, Any]:
    found: dict[Exponents, Any] = {}
    for germ in germs:
        for e, value in germ.items():
            found[e] = found[e] + value if e in found else value
    return {e: value for e, value in found.items() if value}


def vanishing(germ: Germ) -> dict[Exponents, Any]:
    """Without its constant term: the germ of f less its value at the point."""
    return {e: value for e, value in germ.items() if any(e)}


def reduced(germ: Germ, q: int) -> dict[Exponents, int] | None:
    """Fractions modulo a prime; None if it divides one of their denominators."""
    found = {}
    for e, value in germ.items():
        if not int(value.q) % q:
            return None
        found[e] = int(nmod(value, q))
    return {e: value for e, value in found.items() if value}


def dual_dimensions(germs: Sequence[Germ], variables: int, q: int | None, entries: int = ENTRIES) -> Iterator[int]:
    """Dimensions of the local dual spaces of order 0, 1, 2, …; coefficients are python-flint's, residues modulo q or fractions.

    Ends where the next matrix would have more than so many entries. Cost: cubic in the monomials of that order.
    """
    order = 0
    germs = [germ for germ in germs if germ]
    while True:
        refuse_when_spent("local dual spaces")
        columns = {e: at for at, e in enumerate(monomials(variables, order))}
        if max(len(germs), 1) * comb(variables + max(order - 1, 0), variables) * len(columns) > entries:
            return
        rows = []
        for germ in germs:
            for factor in monomials(variables, order - 1) if order else [(0,) * variables]:
                row = [0] * len(columns)
                for e, value in germ.items():
                    at = columns.get(tuple(u + v for u, v in zip(e, factor, strict=True)))
                    if at is not None:
                        row[at] = value
                if any(row):
                    rows.append(row)
        yield len(columns) - _rank(rows, q)
        order += 1


def _rank(rows: list[list[Any]], q: int | None) -> int:
    if not rows:
        return 0
    if q is None:
        return int(fmpq_mat(rows).rank())
    return int(nmod_mat(len(rows), len(rows[0]), [int(v) % q for row in rows for v in row], q).rank())


def multiplicity(germs: Sequence[Germ], variables: int, q: int | None, entries: int = ENTRIES) -> tuple[int, int] | None:
    """The dimension at which the local dual spaces stay, and their order; None if they have not come to rest within the limit."""
    before, order = 0, -1
    for dimension in dual_dimensions(germs, variables, q, entries):
        if dimension == before:
            return dimension, order
        before, order = dimension, order + 1
    return None

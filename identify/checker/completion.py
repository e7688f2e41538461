r"""The step for moments that the target does not show: all data sets of at most n samples with this target have the same ones.

Their moments are y + K s, y those of the data and K a basis of the kernel of the interpolation matrix. The matrices
:math:`\sum_i \gamma_i \otimes \varphi_S(x_i) \otimes \varphi_T(x_i)` of moments have rank at most n, so determinants of size n + 1 of
:math:`L M R` vanish, for all L and R: polynomials in s. Two solutions are two functionals on the polynomials of degree at most D that
vanish on all multiples. If the multiples have codimension one, the functionals agree, and so s = 0. A kernel that is larger modulo the
prime only weakens this.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import comb, factorial, prod
from random import Random
from typing import Any

from flint import nmod_mat

from identify.checker.examination import Examination
from identify.checker.macaulay import MAX_COLUMNS, Form, Module, System
from identify.checker.matrices import need_fit, rank_of_rows
from identify.checker.reading import integer, integers, need, need_small
from identify.checker.watch import watch

MAX_SIZE = 7
"""Rows of a determinant: the number of its terms is a power of two of that."""
Polynomial = dict[int, int]


def completion(e: Examination, flattenings: Any, forms: Any, degree: Any, rows: Any) -> str:
    """See the module. ``flattenings``: pairs of sets of degrees; ``forms``: how many determinants are drawn."""
    c = e.claim
    e.need_data()
    system = system_of(e, flattenings, forms, degree)
    columns, chosen = system.module.count(), integers("rows", rows, len(system.multiples))
    need(len(chosen) >= columns - 1, f"fewer than {columns - 1} rows")
    found = rank_of_rows(system.rows(chosen), len(chosen), columns, system.q)
    need(found == columns - 1, f"these rows have rank {found}, not {columns - 1}")
    e.facts.add("completion")
    unseen = system.module.variables
    return (
        f"{len(chosen)} multiples of minors of size {c.n + 1} have rank {found} modulo {system.q}, one less than there are monomials in "
        f"the {unseen} {'moment' if unseen == 1 else 'moments'} that the target does not show"
    )


def system_of(e: Examination, flattenings: Any, forms: Any, degree: Any) -> System:
    """The determinants, as polynomials in the coordinates of the kernel."""
    c, point, size = e.claim, e.point, e.claim.n + 1
    need_small(size <= MAX_SIZE, "determinants of that size are too large")
    need(type(flattenings) is list and flattenings, "flattenings: expected a list of pairs")
    pairs = []
    for pair in flattenings:
        need(type(pair) is list and len(pair) == 2, "flattenings: expected pairs of sets of degrees")
        S, T = (integers("flattenings", degrees, c.p + 1) for degrees in pair)
        need(S and T and {s + t for s in S for t in T} <= set(c.degrees), "flattenings: a sum of these degrees is not visible")
        pairs.append((S, T))
    vectors = _moments(e)
    k = len(vectors) - 1
    need(k > 0, "the target shows all moments")
    module = Module(k, 1, 1, 0, integer("degree", degree, size, 60))
    need_small(module.count() <= MAX_COLUMNS, f"a Macaulay matrix with {module.count()} columns is too large")
    count, draw, found = integer("forms", forms, 1, 2 * comb(k + size, size) + 20), Random(0), []
    matrices = [_flattened(e, S, T, vectors) for S, T in pairs]
    variables = [0] + [(module.degree + 1) ** t for t in range(k)]
    for number in range(count):
        watch().look()
        tables = matrices[number % len(pairs)]
        left = nmod_mat(size, tables[0].nrows(), [draw.randrange(point.q) for _ in range(size * tables[0].nrows())], point.q)
        right = nmod_mat(tables[0].ncols(), size, [draw.randrange(point.q) for _ in range(size * tables[0].ncols())], point.q)
        entries = [left * table * right for table in tables]
        linear = [[{v: int(m[i, j]) for v, m in zip(variables, entries, strict=True)} for j in range(size)] for i in range(size)]
        found.append(Form(size, 0, [(code, 0, value) for code, value in _determinant(linear, point.q).items() if value]))
    return System(point.q, module, found)


def _moments(e: Examination) -> list[list[int]]:
    """The moments y_e = sum_i c_i x_i^e/e! of the data, and a basis of those that the target does not show."""
    c, point, q = e.claim, e.point, e.point.q
    equations, N = e.equations(list(range(e.n_equations(point.d))), point.d), e.moments(point.d)
    need_small(N <= MAX_COLUMNS, f"{N} moments are too many")
    need_fit(len(equations), N)
    matrix = nmod_mat(len(equations), N, q)
    for i, row in enumerate(point.moment_rows(equations, c.degrees)):
        for j, value in row.items():
            matrix[i, j] = value
    basis, nullity = matrix.nullspace()
    data = []
    for o in range(c.C):
        for power in _monomials(point.d, c.degrees):
            scale = pow(_factorials(power), -1, q)
            data.append(scale * sum(g[o] * prod(x[t] for t in power) for x, g in zip(point.X, point.c, strict=True)) % q)
    return [data] + [[int(basis[i, k]) for i in range(N)] for k in range(nullity)]


def _flattened(e: Examination, S: Sequence[int], T: Sequence[int], vectors: list[list[int]]) -> list[nmod_mat]:
    """The matrix of each vector of moments: rows by output and monomial of a degree in S, columns by monomial of a degree in T."""
    c, d, q = e.claim, e.point.d, e.point.q
    place = {power: at for at, power in enumerate(_monomials(d, c.degrees))}
    left, right = _monomials(d, S), _monomials(d, T)
    need(min(c.C * len(left), len(right)) > c.n, "flattenings: a matrix has no minors of that size")
    products = [tuple(sorted(u + v)) for u in left for v in right]
    where = [(o * len(place) + place[power], _factorials(power)) for o in range(c.C) for power in products]
    return [nmod_mat(c.C * len(left), len(right), [vector[at] * scale % q for at, scale in where], q) for vector in vectors]


def _determinant(matrix: list[list[Polynomial]], q: int) -> Polynomial:
    """Of a matrix of linear polynomials, row by row: the minors of the first rows, by the set of their columns."""
    minors: dict[int, Polynomial] = {0: {0: 1}}
    for row in matrix:
        following: dict[int, Polynomial] = {}
        for used, minor in minors.items():
            for column, entry in enumerate(row):
                if used >> column & 1:
                    continue
                sign = -1 if (used >> column).bit_count() % 2 else 1
                total = following.setdefault(used | 1 << column, {})
                for code, value in entry.items():
                    for other, factor in minor.items():
                        total[code + other] = (total.get(code + other, 0) + sign * value * factor) % q
        minors = following
    return minors[(1 << len(matrix)) - 1]


def _monomials(d: int, degrees: Sequence[int]) -> list[tuple[int, ...]]:
    return [power for k in degrees for power in combinations_with_replacement(range(d), k)]


def _factorials(power: tuple[int, ...]) -> int:
    return prod(map(factorial, Counter(power).values()))

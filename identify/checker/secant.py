r"""The step for generic global uniqueness: Massarenti & Mella 2024, Theorem 1.5, from ranks at one point.

One sample contributes a point of the cone :math:`V` of all :math:`\sum_o \gamma_o\nabla_\theta f_o(x)`, of dimension
:math:`t = d + C`, or one less if a scale is free; the target is a sum of n such points. Three things are re-derived here. The
tangent spaces of V at n + 1 points are independent: the rank of one Jacobian (then V has the dimension t, its span has room for them,
and it is not defective). The Gauss map is not degenerate: its differential, taken along each parameter, has rank t - 1. And a
general point of V comes from one sample, modulo the ambiguity. Generic data fill an open set of sums, so the theorem speaks of them.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from math import factorial, gcd, perm
from typing import Any

from flint import nmod_mat, nmod_poly

from identify.checker.examination import Equation, Examination
from identify.checker.matrices import MAX_ENTRIES, Point, dense_rank, dot
from identify.checker.reading import need, need_small
from identify.checker.watch import watch

FORMS = 12
"""Forms on the normal space that are tried before all of them."""
PIECE = 2**18
"""Second derivatives that are computed at once."""
PROJECTIONS = 3
"""Polynomials in t whose common roots are taken."""


def generic_global(e: Examination, rows: Any, gauss: Any, moments: Any, solutions: Any = None) -> str:
    """See the module. ``rows`` of the Jacobian, ``gauss`` those for the Gauss map, ``moments`` rows of the interpolation matrix or null."""
    c = e.claim
    need(c.data == "generic data", "needs generic data")
    where, draw = e.point, random.Random(0)
    q, d = where.q, where.d
    X, multipliers = random_samples(draw, c.n + 1, d, c.C, q)
    point = replace(where, X=X, c=multipliers)
    t = d + c.C - c.has_free_scale
    known = e.need_rank_of_jacobian(point, e.equations(rows, d), (c.n + 1) * t, solutions)
    one = replace(point, X=point.X[:1], c=point.c[:1])
    found = _gauss_rank(e, one, e.equations(gauss, d), t)
    need(found == t - 1, f"the differential of the Gauss map has rank {found} in these rows, not {t - 1}")
    if moments is None:
        how = scales(e, one, draw)
    else:
        rank, N = e.rank_of_moments(moments, where)
        need(rank == N, f"these rows of the interpolation matrix have rank {rank}, not {N}")
        how = f"it determines all {N} moments"
    e.facts.add("generic-global")
    return (
        f"{c.n + 1} tangent spaces of dimension {t} are independent modulo {q}{known}, the Gauss map has rank {t - 1}, and a "
        f"gradient comes from one sample: {how}"
    )


def random_samples(draw: random.Random, n: int, d: int, outputs: int, q: int) -> tuple[list[list[int]], list[list[int]]]:
    """Samples and multipliers modulo q, drawn one after the other."""
    X = [[draw.randrange(q) for _ in range(d)] for _ in range(n)]
    return X, [[draw.randrange(q) for _ in range(outputs)] for _ in range(n)]


def _gauss_rank(e: Examination, one: Point, equations: list[Equation], t: int) -> int:
    """Rank of the differential of the tangent space: second derivatives modulo first ones, one row for each parameter."""
    q, size = one.q, one.d + len(one.A)
    need_small(len(equations) * size**2 <= MAX_ENTRIES // 10, "the differential of the Gauss map is too large")
    tangent = nmod_mat(len(equations), size, q)
    for r, row in enumerate(one.jacobian_rows(equations)):
        for k, value in enumerate(row):
            tangent[r, k] = value
    need(tangent.rank() == t, f"these equations see a tangent space of dimension {tangent.rank()}, not {t}")
    kernel, normal = tangent.transpose().nullspace()
    found = 0
    for count in sorted({min(FORMS, normal), normal}):  # a few forms on the normal space show it, as a rule
        found = _rank_along(one, equations, [[int(kernel[r, k]) for r in range(len(equations))] for k in range(count)], size)
        if found == t - 1:
            break
    return found


def _rank_along(one: Point, equations: list[Equation], forms: list[list[int]], size: int) -> int:
    """Rank of the second derivatives of these forms of the equations, by one parameter and by another one and the form."""
    q, count = one.q, len(forms)
    second = nmod_mat(count, size**2, q)
    step = max(PIECE // size**2, 1)
    for start in range(0, len(equations), step):
        watch().look()
        some = equations[start : start + step]
        part = nmod_mat(count, len(some), [v for form in forms for v in form[start : start + step]], q)
        second += part * nmod_mat(len(some), size**2, [v for equation in some for v in _second_derivatives(one, equation)], q)
    table = [[int(second[k, a * size + b]) for k in range(count) for b in range(size)] for a in range(size)]
    return dense_rank(table, q)


def _second_derivatives(one: Point, equation: Equation) -> list[int]:
    """By all pairs of (x, gamma): of g sigma'(z) x_t, g sigma'(z) or gamma_t sigma(z), with z = w x + b and g = sum_o A_oj gamma_o."""
    part, j, t = equation
    w, a, x, gamma, q = one.W[j], [row[j] for row in one.A], one.X[0], one.c[0], one.q
    z = dot(w, x) + one.b[j]
    s0, s1, s2, s3 = (one.sigma(k, z) for k in range(4))
    if part == "a":  # gamma_t sigma
        g, a, s1, s2, s3 = gamma[t], [int(o == t) for o in range(len(a))], s0, s1, s2
    else:
        g = dot(a, gamma)
    # now the equation is g s1 (times x_t), where s1 has the derivatives s2 w, s3 w w
    n = len(x)
    axis = [int(k == t) for k in range(n)] if part == "W" else [0] * n
    factor = x[t] if part == "W" else 1
    in_x = [[g * (s3 * w[k] * w[r] * factor + s2 * (w[k] * axis[r] + w[r] * axis[k])) % q for r in range(n)] for k in range(n)]
    mixed = [[v * (s2 * w[k] * factor + s1 * axis[k]) % q for v in a] for k in range(n)]
    rows = [u + v for u, v in zip(in_x, mixed, strict=True)] + [[row[o] for row in mixed] + [0] * len(a) for o in range(len(a))]
    return [v for row in rows for v in row]


def scales(e: Examination, one: Point, draw: random.Random) -> str:
    """That one sample is determined by its gradient, modulo the group; needs the first layer.

    Its rows are multiples of x, so another sample with this gradient is t x (or x itself, if the rows of the biases are the same
    multiples of 1). Its multipliers follow: the Jacobian has full rank. It remains that t^g = 1, with g from the degrees.
    """
    c = e.claim
    slopes = [one.slopes(j)[0] for j in range(c.m)]
    need(c.sees_W and any(slopes) and any(one.X[0]), "needs first-layer rows that are not zero")
    if c.sees_bias:
        return "the bias rows show its scale"
    if c.has_free_scale:
        return "the first layer shows it up to scale"
    group = gcd(*(k - c.degrees[0] for k in c.degrees))
    low, top = _orders(e)
    common, missing = nmod_poly([0], one.q), None
    for _ in range(PROJECTIONS):
        polynomial, columns = _condition_on_scale(e, one, draw)
        if polynomial == 0:
            continue
        common = common.gcd(polynomial)
        degree = columns * top - polynomial.degree()
        missing = degree if missing is None else min(missing, degree)
    # homogeneous of fixed degree columns * top, divisible by t^(columns * low): a common factor in general is one here
    need(missing is not None, "its scale is not seen")
    scales = common.degree() - columns * low + (missing or 0)
    need(scales == group, f"{scales} scales t x may have this gradient, not {group}")
    return f"t x has this gradient for {group} complex t only" if group > 1 else "its scale is seen"


def _orders(e: Examination) -> tuple[int, int]:
    """Order in t, at least, and degree, at most, of the equations at t x: those of t sigma'(t z + b_j), and of sigma(t z + b_j)."""
    c = e.claim
    given = e.numbers["bias"]
    if c.bias and given is None:
        return (0 if c.sees_a else 1), c.p
    at = {Fraction(b) for b in given} if c.bias else {Fraction(0)}
    return min(_order(c.s, b, 0 if c.sees_a else 1) for b in at), c.p


def _order(s: list[Fraction], b: Fraction, least: int) -> int:
    """The first k from ``least`` on for which the k-th derivative of the activation at b is not zero."""
    k = least
    while not sum(perm(j, k) * value * b ** (j - k) for j, value in enumerate(s) if j >= k):
        k += 1
    return k


def _condition_on_scale(e: Examination, one: Point, draw: random.Random) -> tuple[nmod_poly, int]:
    """A polynomial in t that vanishes where grad f(t x), for some multipliers, is the gradient v at x; and how many columns it is made of.

    Forms on the equations that vanish on v vanish on the combination of the grad f_o(t x) that equals v, so the matrix of the
    former on the latter is singular. If the second layer is seen, or with one output, the multipliers are known up to a factor.
    """
    c, q = e.claim, one.q
    columns = 1 if c.sees_a or c.C == 1 else c.C
    table: list[tuple[list[nmod_poly], int]] = []  # equation: as polynomials in t, and its value v
    values = []
    for j, w in enumerate(one.W):
        y = dot(w, one.X[0]) % q
        taylor = [one.sigma(k, one.b[j]) * pow(factorial(k), -1, q) for k in range(c.p + 1)]  # of sigma at b
        slope = nmod_poly([0] + [k * taylor[k] * pow(y, k - 1, q) % q for k in range(1, c.p + 1)], q)  # t sigma'(t y + b)
        a = [row[j] for row in one.A]
        weights = [dot(a, one.c[0])] if columns == 1 else a
        table.append(([w * slope for w in weights], int(slope(1)) * dot(a, one.c[0]) % q))
        if c.sees_a:
            value = nmod_poly([v * pow(y, k, q) % q for k, v in enumerate(taylor)], q)
            values.append(value(1) != 0)
            table.append(([value], int(value(1))))
    need(not c.sees_a or c.C == 1 or any(values), "the second layer shows no multipliers")
    forms = []
    for _ in range(columns):
        first, second = ([draw.randrange(q) for _ in table] for _ in range(2))
        on_first, on_second = (dot(form, [v for _, v in table]) % q for form in (first, second))
        need(on_second, "a form that vanishes by chance")
        forms.append([(u * on_second - w * on_first) % q for u, w in zip(first, second, strict=True)])
    zero = nmod_poly([0], q)

    def applied(form: list[int], o: int) -> nmod_poly:
        return sum((f * row[o] for f, (row, _) in zip(form, table, strict=True)), zero)

    matrix = [[applied(form, o) for o in range(columns)] for form in forms]
    return _determinant(matrix, q), columns


def _determinant(matrix: list[list[nmod_poly]], q: int) -> nmod_poly:
    """By values at as many points as it has coefficients, and Lagrange's formula."""
    size = len(matrix)
    if size == 1:
        return matrix[0][0]
    count = size * max(max(entry.degree() for entry in row) for row in matrix) + 1
    need(count > 0, "its scale is not seen")
    whole = nmod_poly([1], q)
    for at in range(count):
        whole *= nmod_poly([-at % q, 1], q)
    total = nmod_poly([0], q)
    for at in range(count):
        value = nmod_mat(size, size, [int(entry(at)) for row in matrix for entry in row], q).det()
        rest = whole // nmod_poly([-at % q, 1], q)
        total += rest * (int(value) * pow(int(rest(at)), -1, q) % q)
    return total

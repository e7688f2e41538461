r"""The step for a second solution: a box that holds other data with exactly the same target, by Krawczyk's test in ball arithmetic.

The target is :math:`\mathcal A\,M`, linear in the moments. Where :math:`\mathcal A` has as many independent rows as there are unknowns,
and no more, those rows are a square system, and whatever solves it solves all of (S). For a box Y with midpoint y, an enclosure J of
the derivatives on Y and any matrix C, a zero lies in Y if :math:`y - C f(y) + (I - C J)(Y - y)` lies in the interior of Y (Krawczyk 1969).

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

from flint import arb, arb_mat, ctx, fmpq

from identify.checker.examination import Equation, Examination, rank_of_samples
from identify.checker.matrices import Point, dot, rank_of_rows, rational_rank
from identify.checker.reading import choice, double, doubles, need, need_small
from identify.checker.tangents import family

BITS = 320
MAX_UNKNOWNS = 100
Matrix = list[list[Any]]


def second_solution(e: Examination, coordinates: Any, X: Any, c: Any, radius: Any, rows: Any) -> str:
    """See the module. ``X``, ``c``: the centre, in all coordinates or in those on the span of the samples."""
    claim = e.claim
    need(claim.data == "this data" and claim.regime != "max-margin", "needs data, and (S) as the only equations")
    spans = [claim.d] + [claim.n - claim.sees_bias] * (claim.n < claim.d + claim.sees_bias)
    d = choice("coordinates", coordinates, spans)
    centre = [u + v for u, v in zip(doubles("X", X, claim.n, d), doubles("c", c, claim.n, claim.C), strict=True)]
    unknowns, equations = e.parameters(d), e.equations(rows, d)
    need_small(unknowns <= MAX_UNKNOWNS, f"{unknowns} unknowns are too many")
    need(len(equations) == unknowns, f"expected {unknowns} rows")
    _need_square(e, d, equations)
    relative = double("radius", radius)
    need(0 < relative < 1, "radius: expected a number between 0 and 1")
    with ctx.workprec(BITS):
        point = _in_frame(e, d, e.in_ring(arb, lambda s: arb(fmpq(s.numerator, s.denominator))))
        box = _proved_box(e, point, equations, centre, relative)
        _need_another(e, point, box)
    family(e, 1)
    return f"{unknowns} equations, of which all others are combinations, have a zero within {relative:.1e} of other data"


def _in_frame(e: Examination, d: int, point: Point) -> Point:
    return point if d == e.claim.d else point.on_span(e.claim.sees_bias)


def _need_square(e: Examination, d: int, equations: list[Equation]) -> None:
    """The interpolation matrix has rank U: in these U rows modulo the prime, and by a count or over the rationals in all."""
    c = e.claim
    need(d == c.d or rank_of_samples(e, c.sees_bias) == c.n, "the samples are not independent")
    point = _in_frame(e, d, e.full)
    size, N = len(equations), e.moments(d)
    need(rank_of_rows(point.moment_rows(equations, c.degrees), size, N, point.q) == size, "these rows are dependent")
    if e.largest_rank(d) == size:
        return
    every = e.equations(list(range(e.n_equations(d))), d)
    exact = _in_frame(e, d, e.rational_point())
    rank = rational_rank(exact.moment_rows(every, c.degrees), len(every), N)
    need(rank == size, f"the interpolation matrix has rank {rank}, not {size}")


def _proved_box(e: Examination, point: Point, equations: list[Equation], centre: list[list[float]], relative: float) -> Matrix:
    """The box, one row (x_i, c_i) for each sample, once it is proved to hold a zero."""
    c, d = e.claim, point.d
    middle = [arb(v) for row in centre for v in row]
    sizes = [max((abs(v) for row in centre for v in part(row)), default=1.0) for part in (lambda row: row[:d], lambda row: row[d:])]
    need(all(sizes), "the centre is zero")
    radii = [relative * sizes[k % (d + c.C) >= d] for k in range(len(middle))]
    free = list(range(len(middle)))
    if c.has_free_scale:  # the largest coordinate of each sample stays as it is
        largest = [max(range(d), key=[abs(v) for v in row[:d]].__getitem__) for row in centre]
        free = [k for k in free if k % (d + c.C) != largest[k // (d + c.C)]]
    box = [arb(y, r) if k in set(free) else y for k, (y, r) in enumerate(zip(middle, radii, strict=True))]

    def rows(flat: list[arb]) -> Matrix:
        return [flat[k : k + d + c.C] for k in range(0, len(flat), d + c.C)]

    def derivatives(data: Matrix) -> Matrix:
        at = replace(point, X=[row[:d] for row in data], c=[row[d:] for row in data])
        return list(at.jacobian_rows(equations))

    def values(data: Matrix, table: Matrix) -> list[arb]:
        """(S) is linear in the multipliers."""
        multipliers = [v if k >= d else 0 for row in data for k, v in enumerate(row)]
        return [dot(row, multipliers) for row in table]

    given = [x + gamma for x, gamma in zip(point.X, point.c, strict=True)]
    target, table = values(given, derivatives(given)), derivatives(rows(middle))
    U = len(free)
    step = arb_mat(U, 1, [u - v for u, v in zip(values(rows(middle), table), target, strict=True)])
    try:
        inverse = arb_mat([[row[k] for k in free] for row in table]).inv()
    except ZeroDivisionError:
        need(False, "the derivatives at the centre are singular")
    inverse = arb_mat(U, U, [v.mid() for v in inverse.entries()])
    enclosure = arb_mat([[row[k] for k in free] for row in derivatives(rows(box))])
    rest = arb_mat([[arb(int(i == j)) for j in range(U)] for i in range(U)]) - inverse * enclosure
    image = arb_mat(U, 1, [middle[k] for k in free]) - inverse * step + rest * arb_mat(U, 1, [box[k] - middle[k] for k in free])
    need(all(box[k].contains_interior(image[j, 0]) for j, k in enumerate(free)), "Krawczyk's test does not hold in this box")
    return rows(box)


def _need_another(e: Examination, point: Point, box: Matrix) -> None:
    """All data in the box have distinct samples, multipliers that are not zero, and one sample that is no image of a given one.

    The ambiguity keeps the c x^(tensor k) of the visible degrees k; samples trade places only.
    """
    d, degrees = point.d, e.claim.degrees

    def terms(x, gamma) -> list[arb]:
        return [g * v for g in gamma for k in degrees for v in ([u ** (k - 1) * v for u in x for v in x] if k else [1])]

    def differ(u, v) -> bool:
        return any(not (a - b).contains(0) for a, b in zip(u, v, strict=True))

    need(all(differ(u[:d], v[:d]) for u, v in combinations(box, 2)), "two samples may coincide")
    need(all(any(not v.contains(0) for v in row[d:]) for row in box), "a multiplier may be zero")
    given = [terms(x, gamma) for x, gamma in zip(point.X, point.c, strict=True)]
    found = [terms(row[:d], row[d:]) for row in box]
    need(any(all(differ(u, v) for v in given) for u in found), "these may be the given data")

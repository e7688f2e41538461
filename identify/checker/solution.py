r"""The step for a solution near given data, for every target within a stated error: Krawczyk's test with an interval right-hand side.

T is the box of targets, R as many equations as unknowns, Y a box of data with midpoint y, C any matrix, and J(Y) an enclosure of the
derivatives on Y. If :math:`K = y - C (F_R(y) - T_R) + (I - C J_R(Y)) (Y - y)` lies in the interior of Y, then for *every* t in T
the equations :math:`F_R(u) = t_R` have exactly one solution u in Y, and it lies in K (Krawczyk 1969, for each t on its own). For the other
equations, with :math:`\tilde J \in J(Y)` from the mean value theorem,

.. math:: F_k(u) = F_k(y) - \tilde J_k C (F_R(y) - t_R) + \tilde J_k (I - C \tilde J_R) (u - y),

which is enclosed over all t at once. An enclosure that misses its part of T proves that no data in Y give any target in T.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf, nextafter
from typing import Any

from flint import arb, arb_mat, ctx, fmpq

from identify.checker.examination import Equation, Examination
from identify.checker.matrices import dot
from identify.checker.reading import doubles, need, need_small

BITS = 192
ROUNDS = 12
MAX_UNKNOWNS = 256
MAX_ENTRIES = 10**6
"""Equations times unknowns: about ten seconds."""
Matrix = list[list[Any]]


@dataclass(frozen=True)
class Proved:
    """What Krawczyk's test gives, apart from the fact.

    Attributes
    ----------
    factor
        By which the box shrinks, below 1.
    bounds
        For each entry of the data (x_1, c_1, x_2, ...) how far that of any solution can be from the given one.
    deviation
        Bound on the relative error to which solutions satisfy the other equations; 0 without any.
    missed
        Equations, by number, whose enclosure misses its part of the target: then there is no solution at all.
    beyond
        How far the nearest point of such an enclosure is from the target, as a relative error, at most.
    is_attained
        Whether some target within the stated error is proved to have an exact solution of all equations in the box: the data at its
        centre, as the exact numbers that they are, or where the other equations stay within the error at all solutions.
    """

    factor: float
    bounds: list[list[float]]
    deviation: float
    missed: list[int]
    beyond: float
    is_attained: bool


def solution(e: Examination, rows: Any, X: Any, c: Any, X_radii: Any, c_radii: Any) -> str:
    """See the module. ``X``, ``c``: the midpoint of the box, ``X_radii``, ``c_radii``: its half-widths, 0 for a coordinate that is held."""
    claim = e.claim
    found = e.proved = prove(e, rows, X, c, X_radii, c_radii)
    need(not found.missed, f"equation {found.missed[:1]} excludes every solution in the box: off by {found.beyond:.1e}, relatively")
    e.facts.add("solution")
    others = e.n_equations(claim.d) - len(rows)
    rest = f"; {others} others hold there to {found.deviation:.1e}, and none excludes them" if others else ""
    nearest = max(max(bounds[: claim.d]) for bounds in found.bounds)
    how = "a target" if found.is_attained else "not shown that any target"
    return (
        f"{len(rows)} equations have exactly one solution in the box, for every target (factor {found.factor:.1e}); its samples are within "
        f"{nearest:.1e} of the given ones, in each coordinate{rest}; {how} within the error has a solution of all"
    )


def prove(e: Examination, rows: Any, X: Any, c: Any, X_radii: Any, c_radii: Any) -> Proved:
    """Krawczyk's test in this box, and the other equations over what is left of it. Raises Rejected if the test does not hold."""
    claim = e.claim
    need(claim.verdict == "SOLUTION", "belongs to the claim of a solution")
    d, unknowns, equations = claim.d, e.parameters(claim.d), e.n_equations(claim.d)
    need_small(unknowns <= MAX_UNKNOWNS, f"{unknowns} unknowns are too many")
    need_small(equations * unknowns <= MAX_ENTRIES, f"a Jacobian of {equations} by {unknowns} balls is too large")
    chosen = e.equations(rows, d)
    need(len(chosen) == unknowns, f"expected {unknowns} rows")
    centre = list(_rows(doubles("X", X, claim.n, d), doubles("c", c, claim.n, claim.C)))
    radii = list(_rows(doubles("X_radii", X_radii, claim.n, d), doubles("c_radii", c_radii, claim.n, claim.C)))
    _need_gauge(e, radii)
    given = list(_rows(e.numbers["X"], e.numbers["c"]))
    with ctx.workprec(BITS):
        inside = all(abs(arb(u) - arb(y)) <= arb(r) for u, y, r in zip(_flat(given), _flat(centre), _flat(radii), strict=True))
        need(inside, "the given data are not in the box")
        return _Krawczyk(e, rows, chosen, centre, radii).proved(given)


def _need_gauge(e: Examination, radii: Matrix) -> None:
    """All entries are unknowns; if scales are free, all but one coordinate of each sample."""
    need(all(r >= 0 for r in _flat(radii)), "radii: expected no negative numbers")
    held = int(e.claim.has_free_scale)
    right = all(row[: e.claim.d].count(0.0) == held and all(row[e.claim.d :]) for row in radii)
    need(right, f"radii: expected {held} zeros for each sample, among its coordinates")


class _Krawczyk:
    """The test in one box; inside a working precision."""

    def __init__(self, e: Examination, rows: list[int], chosen: list[Equation], centre: Matrix, radii: Matrix):
        self.e, self.rows, self.chosen, self.d = e, rows, chosen, e.claim.d
        self.every = e.equations(list(range(e.n_equations(self.d))), self.d)
        self.point = e.in_ring(arb, lambda s: arb(fmpq(s.numerator, s.denominator)))
        self.y, self.radii = [arb(v) for v in _flat(centre)], list(_flat(radii))
        self.free = [k for k, r in enumerate(self.radii) if r]
        self.targets, self.errors = _targets(e)

    def proved(self, given: Matrix) -> Proved:
        y, free, U = self.y, self.free, len(self.free)
        at_centre = self.derivatives(y, self.every)
        values = self.values(at_centre)
        try:
            inverse = self.columns([at_centre[k] for k in self.rows]).inv()
        except ZeroDivisionError:
            need(False, "the derivatives at the centre are singular")
        C = arb_mat(U, U, [v.mid() for v in inverse.entries()])
        off = [values[k] - arb(self.targets[k], self.errors[k]) for k in self.rows]
        step = C * arb_mat(U, 1, off)

        box = self.spread([arb(self.radii[k]) for k in free])
        rest = _identity(U) - C * self.columns(self.derivatives(box, self.chosen))
        moved = rest * arb_mat(U, 1, [arb(0, self.radii[k]) for k in free]) - step
        widths = [moved[j, 0].abs_upper() for j in range(U)]
        need(all(w < arb(self.radii[k]) for w, k in zip(widths, free, strict=True)), "Krawczyk's test does not hold in this box")
        factor = max(_up(w / arb(self.radii[k])) for w, k in zip(widths, free, strict=True))

        # again, in ever smaller boxes that hold all solutions
        for _ in range(ROUNDS):
            rest = _identity(U) - C * self.columns(self.derivatives(self.spread(widths), self.chosen))
            moved = rest * arb_mat(U, 1, [arb(0, w) for w in widths]) - step
            last, widths = widths, [min(moved[j, 0].abs_upper(), w) for j, w in enumerate(widths)]
            if all(w > 0.9 * v for w, v in zip(widths, last, strict=True)):
                break
        table = self.derivatives(self.spread(widths), self.every)
        rest = _identity(U) - C * self.columns([table[k] for k in self.rows])
        second = rest * arb_mat(U, 1, [arb(0, w) for w in widths])
        moved = second - step
        solutions = list(y)
        for j, k in enumerate(free):
            solutions[k] = y[k] + moved[j, 0]
        self.need_distinct(self.by_sample(solutions))
        distances = self.others(table, values, C, off, second)
        deviation = max((_up(v.abs_upper() / self.scale(k)) for k, v in distances.items()), default=0.0)
        missed = [k for k, v in distances.items() if v.abs_lower() > self.errors[k]]
        beyond = max((_up(distances[k].abs_lower() / self.scale(k)) for k in missed), default=0.0)
        central = {k: v - t for k, (v, t) in enumerate(zip(values, self.targets, strict=True))}
        attained = any(all(v.abs_upper() <= self.errors[k] for k, v in each.items()) for each in (distances, central))
        bounds = [_up((u - v).abs_upper()) for u, v in zip(solutions, _flat(given), strict=True)]
        return Proved(factor, self.by_sample(bounds), deviation, missed, beyond, attained)

    def others(self, table: Matrix, values: list[arb], C: arb_mat, off: list[arb], second: arb_mat) -> dict[int, arb]:
        """The equations outside R less their targets, at all solutions, by the formula of the module.

        ``table``: their derivatives; ``off``: F_R(y) - T_R; ``second``: what (I - C J) (u - y) can be.
        """
        chosen = set(self.rows)
        numbers = [k for k in range(len(values)) if k not in chosen]
        if not numbers:
            return {}
        J = self.columns([table[k] for k in numbers])
        along, across = (J * C) * arb_mat(len(off), 1, off), J * second
        return {k: values[k] - along[j, 0] + across[j, 0] - self.targets[k] for j, k in enumerate(numbers)}

    def scale(self, k: int) -> arb:
        """The largest number of the part to which equation k belongs; 1 if all are zero."""
        return arb(_scales(self.e)[self.every[k][0]] or 1.0)

    def derivatives(self, flat: list[arb], equations: list[Equation]) -> Matrix:
        data, d = self.by_sample(flat), self.d
        at = replace(self.point, X=[row[:d] for row in data], c=[row[d:] for row in data])
        return list(at.jacobian_rows(equations))

    def values(self, table: Matrix) -> list[arb]:
        """(S) is linear in the multipliers: its derivatives by them, times the multipliers."""
        size = self.d + self.e.claim.C
        multipliers = [v if k % size >= self.d else arb(0) for k, v in enumerate(self.y)]
        return [dot(row, multipliers) for row in table]

    def columns(self, table: Matrix) -> arb_mat:
        return arb_mat([[row[k] for k in self.free] for row in table])

    def spread(self, widths: list[arb]) -> list[arb]:
        """The box around the centre with these half-widths in the entries that are free."""
        box = list(self.y)
        for k, width in zip(self.free, widths, strict=True):
            box[k] = arb(self.y[k], width)
        return box

    def by_sample(self, flat: list) -> list[list]:
        size = self.d + self.e.claim.C
        return [flat[k : k + size] for k in range(0, len(flat), size)]

    def need_distinct(self, solutions: Matrix) -> None:
        """No two samples are images of each other under the group, and no multiplier is zero."""
        c = self.e.claim
        for u, v in combinations((row[: self.d] for row in solutions), 2):
            need(_apart(u, v, c.group), "two samples may coincide")
        need(all(any(not v.contains(0) for v in row[self.d :]) for row in solutions), "a multiplier may be zero")


def _apart(u: list[arb], v: list[arb], group: str) -> bool:
    if group == "scaling":
        minors = (u[i] * v[j] - u[j] * v[i] for i, j in combinations(range(len(u)), 2))
        return any(not minor.contains(0) for minor in minors)
    same = [u] if group == "none" else [u, [-a for a in u]]
    return all(any(not (a - b).contains(0) for a, b in zip(image, v, strict=True)) for image in same)


def _targets(e: Examination) -> tuple[list[float], list[arb]]:
    """The target in the order of the equations, and its error for each, exactly."""
    scales, error = _scales(e), arb(e.claim.relative_error)
    parts = {name: list(_flat(_as_rows(e.numbers[f"target_{name}"]))) for name in scales}
    targets = [v for values in parts.values() for v in values]
    return targets, [error * scales[name] for name, values in parts.items() for _ in values]


def _scales(e: Examination) -> dict[str, float]:
    """The largest absolute value of each observed part of the target, in the order of the equations."""
    found = {name: e.numbers[f"target_{name}"] for name in ("W", "bias", "a")}
    return {name: max(map(abs, _flat(_as_rows(value)))) for name, value in found.items() if value is not None}


def _as_rows(values: list) -> Matrix:
    return values if type(values[0]) is list else [values]


def _flat(rows: Matrix) -> Iterator[Any]:
    for row in rows:
        yield from row


def _rows(X: Matrix, c: Matrix) -> Iterator[list]:
    for x, gamma in zip(X, c, strict=True):
        yield x + gamma


def _identity(size: int) -> arb_mat:
    return arb_mat([[int(i == j) for j in range(size)] for i in range(size)])


def _up(value: arb) -> float:
    """A double not below ``value``."""
    return nextafter(float(value.upper()), inf)

r"""Linear equations and inequalities over the rational numbers, strict ones included: exact, for a few dozen unknowns.

The simplex method with Bland's rule, which cannot cycle. A set of solutions is described by one point of its relative interior and
by the directions of its affine hull, so that its dimension is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flint import fmpq, fmpq_mat

Vector = list[fmpq]
ZERO, ONE = fmpq(0), fmpq(1)


class Row(NamedTuple):
    """The function ``constant + coefficients · v``."""

    coefficients: Vector
    constant: fmpq

    def at(self, v: Sequence[fmpq]) -> fmpq:
        return dot(self.coefficients, v) + self.constant


class Hull(NamedTuple):
    """A point and a basis of the directions of an affine space."""

    point: Vector
    directions: list[Vector]


def dot(u: Sequence[fmpq], v: Sequence[fmpq]) -> fmpq:
    return sum((a * b for a, b in zip(u, v, strict=True) if a and b), ZERO)


def rank(rows: Sequence[Vector]) -> int:
    return fmpq_mat([list(row) for row in rows]).rref()[1] if rows and rows[0] else 0


def kernel(rows: Sequence[Vector], size: int) -> list[Vector]:
    """A basis of the vectors that all rows map to zero."""
    hull = solutions([Row(row, ZERO) for row in rows], size)
    assert hull is not None
    return hull.directions


def solutions(equations: Sequence[Row], size: int) -> Hull | None:
    """All v with ``row.at(v) == 0``; None without one."""
    if not equations:
        return Hull([ZERO] * size, _units(size))
    form, found = fmpq_mat([[*row.coefficients, -row.constant] for row in equations]).rref()
    rows = [[form[r, k] for k in range(size + 1)] for r in range(found)]
    pivots = [next(k for k, value in enumerate(row) if value) for row in rows]
    if size in pivots:
        return None
    point, directions = [ZERO] * size, []
    for pivot, row in zip(pivots, rows, strict=True):
        point[pivot] = row[size]
    for free in sorted(set(range(size)) - set(pivots)):
        direction = [ZERO] * size
        direction[free] = ONE
        for pivot, row in zip(pivots, rows, strict=True):
            direction[pivot] = -row[free]
        directions.append(direction)
    return Hull(point, directions)


def feasible(equations: Sequence[Row], positive: Sequence[Row], nonnegative: Sequence[Row], size: int) -> Hull | None:
    """The set of all v with equations = 0, ``positive`` > 0 and ``nonnegative`` >= 0: an interior point and its hull; None if empty."""
    space = solutions(equations, size)
    if space is None:
        return None
    strict, closed = ([_restricted(row, space) for row in rows] for rows in (positive, nonnegative))
    k = len(space.directions)
    if k == 0:
        inside = all(row.constant > 0 for row in strict) and all(row.constant >= 0 for row in closed)
        return space if inside else None
    gap = [Row([*row.coefficients, -ONE], row.constant) for row in strict]
    kept = [Row([*row.coefficients, ZERO], row.constant) for row in closed]
    best = maximum(Row([ZERO] * k + [ONE], ZERO), [*gap, *kept, Row([ZERO] * k + [-ONE], ONE)])
    if best is None or best[k] <= 0:
        return None
    t, tight = best[:k], [row for row in closed if row.at(best[:k]) == 0]
    while tight:  # which of these can be positive?
        moved = _lifted(tight, [*strict, *closed], k)
        if moved is None:
            break
        t = [(u + v) / 2 for u, v in zip(t, moved, strict=True)]
        tight = [row for row in tight if row.at(t) == 0]
    flat = kernel([row.coefficients for row in tight], k)
    point = [p + sum((a * d[q] for a, d in zip(t, space.directions, strict=True)), ZERO) for q, p in enumerate(space.point)]
    return Hull(point, [[sum((a * d[q] for a, d in zip(f, space.directions, strict=True)), ZERO) for q in range(size)] for f in flat])


def _lifted(tight: list[Row], rows: list[Row], k: int) -> Vector | None:
    """A point with all rows >= 0 at which one of the tight ones is positive."""
    extra = len(tight)
    constraints = [Row([*row.coefficients, *[ZERO] * extra], row.constant) for row in rows]
    for q, row in enumerate(tight):
        unit = [ONE if q == r else ZERO for r in range(extra)]
        constraints.append(Row([*row.coefficients, *(-u for u in unit)], row.constant))
        constraints.append(Row([ZERO] * k + unit, ZERO))
        constraints.append(Row([ZERO] * k + [-u for u in unit], ONE))
    best = maximum(Row([ZERO] * k + [ONE] * extra, ZERO), constraints)
    return best[:k] if best is not None and any(v > 0 for v in best[k:]) else None


def _restricted(row: Row, space: Hull) -> Row:
    return Row([dot(row.coefficients, direction) for direction in space.directions], row.at(space.point))


def maximum(objective: Row, constraints: Sequence[Row]) -> Vector | None:
    """A point where the objective, bounded above by the constraints ``row >= 0``, is largest; None if no point satisfies them."""
    size = len(objective.coefficients)
    table = [[*row.coefficients, row.constant] for row in constraints]  # slack = table · (nonbasic, 1)
    nonbasic, basic = list(range(size)), [size + r for r in range(len(table))]  # variables below ``size`` are free
    for column in range(size):
        at = next((r for r in range(len(table)) if basic[r] >= size and table[r][column]), None)
        if at is not None:
            _pivot(table, at, column)
            nonbasic[column], basic[at] = basic[at], nonbasic[column]
    if any(table[r][-1] < 0 for r in range(len(table)) if basic[r] >= size) and not _made_feasible(table, basic, nonbasic, size):
        return None
    aim = [ZERO] * len(nonbasic) + [ZERO]
    for variable, weight in enumerate(objective.coefficients):
        if variable in nonbasic:
            aim[nonbasic.index(variable)] += weight
        else:
            aim = [a + weight * v for a, v in zip(aim, table[basic.index(variable)], strict=True)]
    table.append(aim)
    _simplex(table, basic, nonbasic, size)
    values = [ZERO] * size
    for r, variable in enumerate(basic):
        if variable < size:
            values[variable] = table[r][-1]
    return values


def _made_feasible(table: list[Vector], basic: list[int], nonbasic: list[int], size: int) -> bool:
    """Phase one: a slack x_0 >= 0 is added to each row and then made as small as it can be."""
    helper = size + len(table) + len(nonbasic) + 1
    for r, row in enumerate(table):
        row.insert(-1, ONE if basic[r] >= size else ZERO)
    nonbasic.append(helper)
    worst = min((r for r in range(len(table)) if basic[r] >= size), key=lambda r: table[r][-1])
    column = len(nonbasic) - 1
    _pivot(table, worst, column)
    nonbasic[column], basic[worst] = basic[worst], helper
    table.append([-v for v in table[worst]])
    _simplex(table, basic, nonbasic, size)
    reached = table.pop()[-1]
    if reached < 0:
        return False
    if helper in basic:  # at zero: exchanged for any variable that it depends on
        at = basic.index(helper)
        other = next((k for k, v in enumerate(table[at][:-1]) if v and nonbasic[k] >= size), None)
        if other is None:
            table.pop(at)
            basic.pop(at)
            return True
        _pivot(table, at, other)
        nonbasic[other], basic[at] = basic[at], nonbasic[other]
    column = nonbasic.index(helper)
    nonbasic.pop(column)
    for row in table:
        row.pop(column)
    return True


def _simplex(table: list[Vector], basic: list[int], nonbasic: list[int], size: int) -> None:
    """Bland's rule on a feasible table whose last row is the objective, which must be bounded."""
    while True:
        entering = min((k for k, v in enumerate(table[-1][:-1]) if v > 0 and nonbasic[k] >= size), key=nonbasic.__getitem__, default=None)
        if entering is None:
            return
        leaving = [r for r, variable in enumerate(basic) if variable >= size and table[r][entering] < 0]
        row = min(leaving, key=lambda r: (table[r][-1] / -table[r][entering], basic[r]))
        _pivot(table, row, entering)
        nonbasic[entering], basic[row] = basic[row], nonbasic[entering]


def _pivot(table: list[Vector], row: int, column: int) -> None:
    """Exchange the basic variable of a row for the nonbasic one of a column."""
    old = table[row]
    factor = 1 / old[column]
    new = [-v * factor for v in old]
    new[column] = factor
    table[row] = new
    for r, other in enumerate(table):
        if r != row and other[column]:
            weight = other[column]
            other[column] = ZERO
            table[r] = [v + weight * u if u else v for v, u in zip(other, new, strict=True)]


def _units(size: int) -> list[Vector]:
    return [[ONE if q == r else ZERO for q in range(size)] for r in range(size)]

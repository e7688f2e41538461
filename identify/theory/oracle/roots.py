r"""All zeros of a system with at least as many equations as unknowns in a box: subdivision in ball arithmetic, with nothing left out.

A box is dropped if an equation, in mean value form, excludes zero there. Krawczyk's test on as many equations as unknowns proves one
zero of those, or none; the other equations are then evaluated at that zero with many bits. What passes is a *candidate*: the only point
of its box that can be a solution. Reference: Neumaier, *Interval Methods for Systems of Equations*, 1990, chapter 5.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from flint import arb, ctx

from identify.conditions.witnesses.krawczyk import image, refine

Values = Callable[[list[arb]], list[arb]]
Derivatives = Callable[[list[arb]], list[list[arb]]]
BITS, MANY_BITS = 64, 256
SMALLEST = 2.0**-30
"""Width of a box that is not divided further."""


class Zeros(NamedTuple):
    """Enclosures of all candidates, and the boxes that could not be settled."""

    candidates: list[list[arb]]
    unsettled: list[list[arb]]


def zeros_in_box(value: Values, jacobian: Derivatives, box: Sequence[tuple[float, float]], boxes: int) -> Zeros:
    """All points of a box at which every function can be zero.

    Parameters
    ----------
    value, jacobian
        The functions on a list of balls, and their derivatives, one row for each function.
    box
        The ends of each unknown.
    boxes
        The number of boxes after which the search is given up, and the others are returned as not settled.
    """
    with ctx.workprec(BITS):
        queue = [[_ball(low, high) for low, high in box]]
        found: list[tuple[list[arb], list[arb]]] = []
        unsettled: list[list[arb]] = []
        while queue:
            current = queue.pop()
            boxes -= 1
            if boxes < 0:
                return Zeros([point for point, _ in found], [*unsettled, current, *queue])
            if any(all(wide.contains(v) for wide, v in zip(region, current, strict=True)) for _, region in found):
                continue
            rows = jacobian(current)
            if _excluded(value, rows, current):
                continue
            settled, hit = _krawczyk(value, jacobian, current)
            if hit is not None:
                point, region = hit
                if not any(_contains(old, point) for _, old in found):
                    found.append((point, region))
            if settled:
                continue
            widest = max(range(len(current)), key=lambda k: float(current[k].rad()))
            if float(current[widest].rad()) < SMALLEST:
                unsettled.append(current)
                continue
            low, high = current[widest].lower(), current[widest].upper()
            middle = (0.487 * low + 0.513 * high).mid()
            halves = low.union(middle), middle.union(high)
            queue += [[half if k == widest else v for k, v in enumerate(current)] for half in halves]
        return Zeros([point for point, _ in found], unsettled)


def _excluded(value: Values, rows: list[list[arb]], box: list[arb]) -> bool:
    centre = [arb(v.mid()) for v in box]
    direct, middle = value(box), value(centre)
    for f, g, row in zip(direct, middle, rows, strict=True):
        if not f.contains(0):
            return True
        if not (g + sum((d * (v - c) for d, v, c in zip(row, box, centre, strict=True)), arb(0))).contains(0):
            return True
    return False


def _krawczyk(value: Values, jacobian: Derivatives, box: list[arb]) -> tuple[bool, tuple[list[arb], list[arb]] | None]:
    """Whether the box is settled, and the candidate in it (or just beside it) with the box in which it is the only one."""
    centre = [arb(v.mid()) for v in box]
    chosen = independent_rows([[float(v.mid()) for v in row] for row in jacobian(centre)], len(box))
    if chosen is None:
        return False, None

    def f(v: list[arb]) -> np.ndarray:
        values = value(v)
        return np.array([values[r] for r in chosen], dtype=object)

    def df(v: list[arb]) -> np.ndarray:
        rows = jacobian(v)
        return np.array([rows[r] for r in chosen], dtype=object)

    radii = [arb(v.rad() * arb(1.25)) for v in box]
    region = [c + arb(0, r) for c, r in zip(centre, radii, strict=True)]
    moved = image(f, df, centre, radii)
    if moved is None or not all(v.is_finite() for v in moved):
        return False, None
    if any(not k.overlaps(v) for k, v in zip(moved, box, strict=True)):
        return True, None
    if not all(wide.contains_interior(k) for wide, k in zip(region, moved, strict=True)):
        return False, None
    point = _refined(f, df, moved)
    if point is None:
        return False, None
    with ctx.workprec(MANY_BITS):
        if any(not v.contains(0) for v in value(point)):
            return True, None
    return True, (point, region)


def _refined(f: Callable, df: Callable, box: list[arb]) -> list[arb] | None:
    """A much smaller box around the zero, proved again."""
    with ctx.workprec(MANY_BITS):
        centre = refine(f, df, [float(v.mid()) for v in box])
        if centre is None:
            return None
        radii = [arb(2.0**-120) * (1 + abs(c)) for c in centre]
        moved = image(f, df, centre, radii)
        wide = [c + arb(0, r) for c, r in zip(centre, radii, strict=True)]
        if moved is None or not all(w.contains_interior(k) for w, k in zip(wide, moved, strict=True)):
            return None
        return moved if all(b.overlaps(k) for b, k in zip(box, moved, strict=True)) else None


def independent_rows(rows: list[list[float]], count: int) -> list[int] | None:
    """Rows of largest pivots, by Gram-Schmidt; None for fewer than ``count`` that are independent."""
    left = np.array(rows, dtype=float).reshape(len(rows), count)
    if not np.isfinite(left).all():
        return None
    chosen: list[int] = []
    for _ in range(count):
        norms = np.linalg.norm(left, axis=1)
        best = int(norms.argmax()) if len(norms) else 0
        if not len(norms) or not norms[best] > 1e-12:
            return None
        chosen.append(best)
        unit = left[best] / norms[best]
        left = left - np.outer(left @ unit, unit)
    return chosen


def _contains(region: list[arb], point: list[arb]) -> bool:
    return all(wide.contains(v) for wide, v in zip(region, point, strict=True))


def _ball(low: float, high: float) -> arb:
    return arb(low).union(arb(high))

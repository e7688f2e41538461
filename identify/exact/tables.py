r"""Enclosures of analytic activations at many floats at once, from a table of Taylor polynomials with rigorous remainders.

A ball of Arb takes some microseconds for each number. Here the line is cut into cells around :math:`t_k = k/16`. For each cell that is
asked for, Arb gives the Taylor coefficients of the activation at :math:`t_k`, and those at the ball of the whole cell, which bound the
remainder (Lagrange). The polynomials are evaluated in double precision, with a bound on all that this rounds:

* :math:`z - t_k` is exact, because both are multiples of the last bit of z, and their difference is small (Sterbenz 1974);
* in Horner's scheme coefficient i goes through :math:`2i + 1` roundings (Higham 2002, section 5.1);
* an interval of radius :math:`\rho` moves the value by at most :math:`\rho` times the largest slope in the cells that it meets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from math import factorial
from threading import Lock

import numpy as np
from flint import arb, arb_series, ctx, fmpq
from jaxtyping import Bool, Float, Int

from identify.base.limits import refuse_when_spent
from identify.problem.functions import FORMULAS, HIGHEST_ORDER, Kernel

CELLS = 16
"""In one unit of z."""
FARTHEST = 64
"""Beyond this size of z nothing is tabulated."""
DEGREE = 12
"""Of the Taylor polynomials: their remainders are far below rounding, (1/32)^13 times a coefficient."""
TERMS = DEGREE + HIGHEST_ORDER + 3
BITS = 128
"""Precision of the coefficients before they are rounded."""
PAYS = 4
"""Numbers for each new cell from which a table is faster than a ball for each number (measured for GELU: less than two)."""
COARSE = 1e-12
"""Errors of a cell beyond this, relative to its largest coefficient or one, count as none: wide balls blow some formulas up."""
AT_ONCE = 2**13
"""Numbers that are evaluated at once, so that the steps on the way stay in the processor's cache."""
UNIT, SAFETY, TINY = 2.0**-53, 1.01, 1e-300
"""Rounding of one operation; a factor for the rounding of bounds, sums of positive floats; more than underflow loses."""

LOCK = Lock()
"""The number of terms of a series is one setting of python-flint for all threads."""


@dataclass(eq=False)
class Table:
    """The cells of one activation that were asked for so far.

    Attributes
    ----------
    name
        Of the activation.
    place
        Row of each cell in the arrays, -1 if it was not asked for.
    coefficients, errors, steepest
        For each order of derivative, by cell: of the polynomial; a bound on remainder and rounding, infinite if there is none; and on the
        slope anywhere in the cell.
    """

    name: str
    place: Int[np.ndarray, " cells"] = field(default_factory=lambda: np.full(2 * CELLS * FARTHEST + 1, -1))
    coefficients: Float[np.ndarray, "rows orders terms"] = field(default_factory=lambda: np.zeros((0, HIGHEST_ORDER + 1, DEGREE + 1)))
    errors: Float[np.ndarray, "rows orders"] = field(default_factory=lambda: np.zeros((0, HIGHEST_ORDER + 1)))
    steepest: Float[np.ndarray, "rows orders"] = field(default_factory=lambda: np.zeros((0, HIGHEST_ORDER + 1)))

    def enclose(
        self, mid: Float[np.ndarray, " k"], rad: Float[np.ndarray, " k"], order: int
    ) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"], Bool[np.ndarray, " k"]]:
        """Midpoints and radii of the derivative on these intervals, and for which of them the table has an answer."""
        value, bound = np.zeros_like(mid), np.full_like(mid, np.inf)
        with np.errstate(invalid="ignore"):
            known = (np.abs(mid) + rad < FARTHEST - 1) & (rad <= 0.5 / CELLS)
        cells = [np.rint(CELLS * end).astype(np.int64) + CELLS * FARTHEST for end in (mid[known], (mid - rad)[known], (mid + rad)[known])]
        needed = np.unique(np.concatenate(cells)) if len(cells[0]) else np.zeros(0, np.int64)
        new = needed[self.place[needed] < 0]
        if PAYS * len(new) > len(cells[0]):
            return value, bound, np.zeros_like(known)
        self._extend(new)
        own, low, high = (self.place[each] for each in cells)
        slope = np.maximum(self.steepest[own, order], np.maximum(self.steepest[low, order], self.steepest[high, order]))
        moved = mid[known] - (cells[0] - CELLS * FARTHEST) / CELLS
        found = np.empty(len(own))
        for start in range(0, len(own), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            rows, u = self.coefficients[own[part], order], moved[part]
            total = rows[:, DEGREE].copy()
            for k in range(DEGREE - 1, -1, -1):
                total *= u
                total += rows[:, k]
            found[part] = total
        value[known] = found
        with np.errstate(invalid="ignore"):
            bound[known] = SAFETY * (self.errors[own, order] + slope * rad[known]) + TINY
        known &= np.isfinite(bound)
        return value, bound, known

    def _extend(self, new: Int[np.ndarray, " new"]) -> None:
        if not len(new):
            return
        with LOCK:
            added = _cells(self.name, new - CELLS * FARTHEST)
            before = len(self.coefficients)
            old = (self.coefficients, self.errors, self.steepest)
            self.coefficients, self.errors, self.steepest = (np.concatenate(pair) for pair in zip(old, added, strict=True))
            self.place[new] = np.arange(before, before + len(new))


@cache
def table_of(name: str) -> Table:
    """The table of an activation, by its canonical name; kept, at most some megabytes each."""
    return Table(name)


def _cells(name: str, numbers: Int[np.ndarray, " new"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients, errors and slopes of all orders around each number / CELLS."""
    radius = 0.5 / CELLS * (1 + 2.0**-20)  # which cell a number belongs to is decided in floats
    rows, before = [], ctx.cap
    ctx.cap = TERMS
    try:
        with ctx.workprec(BITS):
            kernel = _kernel()
            for number in numbers.tolist():
                refuse_when_spent("tables of activations")
                rows.append(_terms(name, kernel, arb(fmpq(number, CELLS)), radius))
    finally:
        ctx.cap = before
    floats, missed, beyond = (np.array(part) for part in zip(*rows, strict=True))
    shape = len(rows), HIGHEST_ORDER + 1
    coefficients, errors, steepest = np.zeros((*shape, DEGREE + 1)), np.full(shape, np.inf), np.full(shape, np.inf)
    powers = radius ** np.arange(DEGREE + 2)
    with np.errstate(over="ignore", invalid="ignore"):
        for order in range(HIGHEST_ORDER + 2):
            factors = np.array([factorial(i + order) // factorial(i) for i in range(DEGREE + 2)], dtype=float)  # exact
            own = floats[:, order : order + DEGREE + 1] * factors[:-1]
            size = np.abs(own) * powers[:-1]
            remainder = beyond[:, order + DEGREE + 1] * factors[-1] * powers[-1]
            lost = missed[:, order : order + DEGREE + 1] @ (factors * powers)[:-1] + UNIT * size.sum(axis=1)  # the last of the factors
            if order <= HIGHEST_ORDER:
                coefficients[:, order] = own
                errors[:, order] = SAFETY * (remainder + lost + UNIT * (size @ (2.0 * np.arange(DEGREE + 1) + 1))) + TINY
            if order:
                steepest[:, order - 1] = SAFETY * (size.sum(axis=1) + remainder + lost) + TINY
        bad = ~((errors <= COARSE * np.maximum(np.abs(coefficients).max(axis=2), 1.0)) & np.isfinite(steepest))
    coefficients[bad], errors[bad], steepest[bad] = 0.0, np.inf, np.inf
    return coefficients, errors, steepest


def _terms(name: str, kernel: Kernel, centre: arb, radius: float) -> tuple[list[float], list[float], list[float]]:
    """Of the Taylor series at a centre: floats, how far off these may be, and bounds in the whole cell; infinite if there are none."""
    try:
        at, within = (_series(name, kernel, point) for point in (centre, centre + arb(0, radius)))
    except (ValueError, ZeroDivisionError):  # the ball is too wide for a division
        return [0.0] * TERMS, [np.inf] * TERMS, [np.inf] * TERMS
    floats = [float(term.mid()) for term in at]
    missed = [float(abs(term - value).upper()) * SAFETY + TINY for term, value in zip(at, floats, strict=True)]
    return floats, missed, [float(abs(term).upper()) * SAFETY for term in within]


def _series(name: str, kernel: Kernel, point: arb) -> list[arb]:
    terms = FORMULAS[name](kernel, arb_series([point, 1]), 0).coeffs()
    return [*terms, *[arb(0)] * (TERMS - len(terms))]


def _kernel() -> Kernel:
    """Elementary functions of power series; only formulas of order 0 are asked for, whose derivatives the series has."""
    return Kernel(
        exp=lambda z: z.exp(),
        tanh=lambda z: 1 - 2 / (1 + (2 * z).exp()),
        sech2=lambda z: 4 / (z.exp() + (-z).exp()) ** 2,
        logistic=lambda z: 1 / (1 + (-z).exp()),
        bump=lambda z: 1 / ((1 + z.exp()) * (1 + (-z).exp())),
        softplus=lambda z: (1 + z.exp()).log(),
        erf=lambda z: z.erf(),
        normal=lambda z: (-z * z / 2).exp() / (2 * arb.pi()).sqrt(),
        normal_cdf=lambda z: (-z * (arb(1) / 2).sqrt()).erfc() / 2,
        sin=lambda z: z.sin(),
        cos=lambda z: z.cos(),
        arctan=lambda z: z.atan(),
        inverse=lambda z: 1 / (1 + z * z),
        bounded=lambda z, size: z,
        two_over_root_pi=2 / arb.pi().sqrt(),
        root_two_over_pi=(2 / arb.pi()).sqrt(),
        cubic=arb(fmpq(44715, 10**6)),
    )

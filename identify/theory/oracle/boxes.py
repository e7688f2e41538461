r"""All data sets in a box with the first-layer target of a small two-layer analytic network, in ball arithmetic.

If the target has rank n, each sample of a solution lies in the span of the given ones (with biases: in their affine hull), and its
signal :math:`u = (A^\top\gamma) \odot \sigma'(W x + b)` in the column space of the target: m - n equations for single samples.
:func:`identify.theory.oracle.roots.zeros_in_box` finds all candidates for one sample in a box of coordinates; n of them make a
solution only if they give the target together. The given data are among the candidates. Everything but a proof is called open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import combinations, product

from flint import arb, arb_mat, ctx, fmpq

from identify.problem.activation import Analytic
from identify.theory.oracle.polyhedra import rank
from identify.theory.oracle.posed import Posed
from identify.theory.oracle.roots import MANY_BITS, independent_rows, zeros_in_box

BOXES = 6_000
REACH = 2.0
"""Coordinates in the given samples up to which others are looked for."""
ODD = ("tanh", "erf", "sin", "arctan", "tanh_shrink")
SYMMETRIC = (*ODD, "sigmoid", "cos")
"""The derivative is even or odd."""


class InBox(StrEnum):
    """What is true in the box, modulo order, and signs that change no update."""

    UNIQUE = "unique in a box"
    OTHERS = "finitely many"
    FAMILY = "positive-dimensional"
    OPEN = "open"


@dataclass(frozen=True)
class Enclosed:
    """The answer, the candidates for single samples (coordinates in the given ones), how many boxes are not settled, and a dimension."""

    category: InBox
    candidates: tuple[tuple[float, ...], ...] = ()
    unsettled: int = 0
    dimension: int = 0


class AnalyticQuestion(Posed[Analytic]):
    """A network with an analytic activation and data; the first layer's biases are observed."""

    kind = "analytic"

    @property
    def has_sign(self) -> bool:
        """Whether -x can stand for x, with a multiplier of either sign."""
        if self.b is not None:
            return False
        return self.sigma.name in (SYMMETRIC if self.layers == "first" else (*ODD, "cos"))

    def pre(self, x: Sequence[arb]) -> list[arb]:
        offsets = self.b or [fmpq(0)] * len(self.W)
        return [sum((arb(w) * v for w, v in zip(row, x, strict=True)), arb(offset)) for row, offset in zip(self.W, offsets, strict=True)]

    def signals(self, x: Sequence[arb], c: Sequence[arb]) -> list[arb]:
        """u, at a sample and multipliers."""
        return [self._output(j, c) * self.sigma.ball(z, 1) for j, z in enumerate(self.pre(x))]

    def _output(self, j: int, c: Sequence[arb]) -> arb:
        return sum((arb(row[j]) * v for row, v in zip(self.A, c, strict=True)), arb(0))


def enclose_all(question: AnalyticQuestion, *, reach: float = REACH, boxes: int = BOXES) -> Enclosed:
    """All data sets of n samples, n at most 2, whose samples have coordinates up to about ``reach`` in the given ones.

    Parameters
    ----------
    question
        d and n at most 2, C at most 2, m up to about 6. Samples that are dependent, or a target whose rank is below n, give OPEN.
    reach
        Half the width of the box, dimensionless: with biases a sample is :math:`x_1 + s (x_2 - x_1)` with abs(s) up to it, without
        :math:`\\sum_k \\xi_k x_k`.
    boxes
        The number of boxes for one search.

    Returns
    -------
    Enclosed
        ``UNIQUE`` and ``OTHERS`` are proofs for the box, ``FAMILY`` is one for a neighbourhood of the data.
    """
    with ctx.workprec(MANY_BITS):
        dimension = family_by_counting(question)
    if dimension:
        return Enclosed(InBox.FAMILY, dimension=dimension)
    return _Search(question, reach, boxes).run()


def family_by_counting(question: AnalyticQuestion) -> int:
    """If the derivatives have full row rank, fewer than the unknowns: the dimension of the solutions at the data; else 0."""
    X, c = ([[arb(v) for v in row] for row in part] for part in (question.X, question.c))
    columns = [part for x, gamma in zip(X, c, strict=True) for part in _derivatives(question, x, gamma)]
    matrix = [[column[e] for column in columns] for e in range(len(columns[0]))]
    missing = len(columns) - len(matrix)
    if missing <= 0:
        return 0
    chosen = independent_rows([[float(v.mid()) for v in column] for column in columns], len(matrix))
    if chosen is None:
        return 0
    square = arb_mat([[row[k] for k in chosen] for row in matrix])
    return 0 if square.det().contains(0) else missing


def _derivatives(question: AnalyticQuestion, x: list[arb], c: list[arb]) -> list[list[arb]]:
    """Of all observed updates by the coordinates of a sample and by its multipliers."""
    d, m, C = len(x), len(question.W), len(c)
    lifted = [*x, arb(1)] if question.b is not None else x
    balls = [[question.sigma.ball(z, order) for z in question.pre(x)] for order in range(3)]
    out = []
    for q in range(d + C):
        column = []
        for j in range(m):
            signal = question._output(j, c)
            for k, v in enumerate(lifted):
                if q < d:
                    column.append(signal * (balls[2][j] * arb(question.W[j][q]) * v + (balls[1][j] if k == q else 0)))
                else:
                    column.append(arb(question.A[q - d][j]) * balls[1][j] * v)
        if question.layers == "both":
            for o in range(C):
                for j in range(m):
                    if q < d:
                        column.append(c[o] * balls[1][j] * arb(question.W[j][q]))
                    else:
                        column.append(balls[0][j] if o == q - d else arb(0))
        out.append(column)
    return out


class _Search:
    def __init__(self, question: AnalyticQuestion, reach: float, boxes: int) -> None:
        self.question, self.reach, self.boxes = question, reach, boxes
        self.n, self.C = len(question.X), len(question.A)
        self.affine = question.b is not None
        self.coordinates = self.n - self.affine
        self.unknowns = self.coordinates + self.C - 1
        self.tables: dict[int, tuple[list[list[arb]], list[list[arb]]]] = {}

    def run(self) -> Enclosed:
        lifted = [[*x, fmpq(1)] if self.affine else x for x in self.question.X]
        if self.n > 2 or self.C > 2 or rank(lifted) < self.n:
            return Enclosed(InBox.OPEN)
        with ctx.workprec(MANY_BITS):
            given = self._given()
            columns = [[float(v.mid()) for v in row] for row in zip(*given, strict=True)]
            pivots = independent_rows(columns, self.n)
            if pivots is None or arb_mat([[u[p] for u in given] for p in pivots]).det().contains(0):
                return Enclosed(InBox.OPEN)
        self.pivots, self.rest = pivots, [j for j in range(len(self.question.W)) if j not in pivots]
        if len(self.rest) < self.unknowns:
            return Enclosed(InBox.OPEN)
        candidates, unsettled = self._candidates()
        return self._judged(candidates, unsettled)

    def _given(self) -> list[list[arb]]:
        return [
            self.question.signals([arb(v) for v in x], [arb(v) for v in c]) for x, c in zip(self.question.X, self.question.c, strict=True)
        ]

    def _table(self) -> tuple[list[list[arb]], list[list[arb]]]:
        """L with u_rest = L u_pivots on the column space, and the given samples as balls, at the working precision."""
        if ctx.prec not in self.tables:
            given = self._given()
            top = arb_mat([[u[p] for u in given] for p in self.pivots])
            below = arb_mat([[u[j] for u in given] for j in self.rest]) if self.rest else None
            L = [] if below is None else [[(below * top.inv())[r, k] for k in range(self.n)] for r in range(len(self.rest))]
            self.tables[ctx.prec] = L, [[arb(v) for v in x] for x in self.question.X]
        return self.tables[ctx.prec]

    def sample(self, v: Sequence[arb]) -> list[arb]:
        """The sample with these coordinates."""
        _, X = self._table()
        weights = [1 - v[0], v[0]] if self.affine and self.n == 2 else [arb(1)] if self.affine else list(v[: self.n])
        return [sum((w * x[q] for w, x in zip(weights, X, strict=True)), arb(0)) for q in range(len(X[0]))]

    def multipliers(self, v: Sequence[arb], chart: int) -> list[arb]:
        """Up to a factor: 1 for one output, (1, t) or (t, 1) for two."""
        if self.C == 1:
            return [arb(1)]
        return [arb(1), v[-1]] if chart == 0 else [v[-1], arb(1)]

    def value(self, v: list[arb], chart: int) -> list[arb]:
        return self._projected(self.question.signals(self.sample(v), self.multipliers(v, chart)))

    def jacobian(self, v: list[arb], chart: int) -> list[list[arb]]:
        q = self.question
        _, X = self._table()
        c = self.multipliers(v, chart)
        pre = q.pre(self.sample(v))
        directions = [[b - a for a, b in zip(*X, strict=True)]] if self.affine and self.n == 2 else [] if self.affine else X
        columns = []
        for direction in directions:
            moved = [sum((arb(w) * u for w, u in zip(row, direction, strict=True)), arb(0)) for row in q.W]
            columns.append(self._projected([q._output(j, c) * q.sigma.ball(z, 2) * moved[j] for j, z in enumerate(pre)]))
        if self.C == 2:
            columns.append(self._projected([arb(q.A[1 - chart][j]) * q.sigma.ball(z, 1) for j, z in enumerate(pre)]))
        return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in self.rest]

    def _projected(self, u: list[arb]) -> list[arb]:
        L, _ = self._table()
        top = [u[p] for p in self.pivots]
        return [u[j] - sum((a * t for a, t in zip(row, top, strict=True)), arb(0)) for j, row in zip(self.rest, L, strict=True)]

    def _candidates(self) -> tuple[list[tuple[list[arb], int]], int]:
        if not self.unknowns:
            return [([], 0)], 0
        width = [(-self.reach - 0.0371, self.reach + 0.0713)] * self.coordinates
        found: list[tuple[list[arb], int]] = []
        unsettled = 0
        for chart in range(self.C):
            box = width if self.C == 1 else [*width, (-1.0171, 1.0213)]
            zeros = zeros_in_box(partial(self.value, chart=chart), partial(self.jacobian, chart=chart), box, self.boxes)
            unsettled += len(zeros.unsettled)
            found += [(point, chart) for point in zeros.candidates if not self._is_origin(point)]
        return found, unsettled

    def _is_origin(self, point: list[arb]) -> bool:
        """Whether the only candidate of its box is the sample 0, where no neuron has a slope: no part of a target of rank n."""
        at_zero = not self.affine and all(v.contains(0) for v in point[: self.coordinates])
        return at_zero and self.question.sigma.ball(0, 1) == 0

    # --- what candidates mean ---------------------------------------------------------------------------------------------

    def _judged(self, candidates: list[tuple[list[arb], int]], unsettled: int) -> Enclosed:
        with ctx.workprec(MANY_BITS):
            shown = tuple(tuple(float(v.mid()) for v in point) for point, _ in candidates)
            own = [[k for k, each in enumerate(candidates) if self._is_given(i, each)] for i in range(self.n)]
            if not all(own):
                return Enclosed(InBox.OPEN, shown, unsettled)
            known = {k for group in own for k in group}
            possible = [
                chosen
                for chosen in combinations(range(len(candidates)), self.n)
                if not (set(chosen) <= known and all(set(chosen) & set(group) for group in own))
                and not self._are_dependent([candidates[k] for k in chosen])
                and not self._is_excluded([candidates[k] for k in chosen])
            ]
        if not possible:
            return Enclosed(InBox.OPEN if unsettled else InBox.UNIQUE, shown, unsettled)
        with ctx.workprec(MANY_BITS):
            present = any(not w.contains(0) for (k, *_) in possible for w in self._weights(candidates[k][0]))
        is_proof = self.n == 1 and len(self.rest) == self.unknowns and self.question.layers == "first" and present
        return Enclosed(InBox.OTHERS if is_proof else InBox.OPEN, shown, unsettled)

    def _weights(self, v: Sequence[arb]) -> list[arb]:
        if self.affine:
            return [arb(1)] if self.n == 1 else [1 - v[0], v[0]]
        return list(v[: self.n])

    def _is_given(self, i: int, candidate: tuple[list[arb], int]) -> bool:
        """Whether a candidate is the given sample i: the only candidate of its box, which holds that sample; or minus it, by symmetry."""
        point, chart = candidate
        signs = (1, -1) if self.question.has_sign else (1,)
        weights = self._weights(point)
        same = any(all(w.contains(sign * (k == i)) for k, w in enumerate(weights)) for sign in signs)
        if self.C == 1 or not same:
            return same
        first, second = (arb(v) for v in self.question.c[i])
        top, bottom = self.multipliers(point, chart)
        return (top * second - bottom * first).contains(0)

    def _are_dependent(self, chosen: Sequence[tuple[list[arb], int]]) -> bool:
        """Whether one of two candidates is minus the other, by symmetry: each is the only candidate of its box."""
        if len(chosen) < 2 or self.affine or self.question.sigma.name not in SYMMETRIC:
            return False
        (first, chart), (second, other) = chosen
        k = self.coordinates
        return (
            chart == other
            and all((u + v).contains(0) for u, v in zip(first[:k], second[:k], strict=True))
            and _overlap(first[k:], second[k:])
        )

    def _is_excluded(self, chosen: Sequence[tuple[list[arb], int]]) -> bool:
        """Whether these candidates certainly do not give the target together."""
        q = self.question
        weights = arb_mat([self._weights(point) for point, _ in chosen])
        if weights.det().contains(0):
            return False
        inverse, given = weights.inv(), self._given()
        factors = []
        for i, (point, chart) in enumerate(chosen):
            u = q.signals(self.sample(point), self.multipliers(point, chart))
            wanted = [sum((given[k][j] * inverse[k, i] for k in range(self.n)), arb(0)) for j in range(len(q.W))]
            pairs = combinations(range(len(q.W)), 2)
            if any(not (u[j] * wanted[k] - u[k] * wanted[j]).contains(0) for j, k in pairs):
                return True
            at = max(range(len(u)), key=lambda j: float(abs(u[j]).lower()))
            if u[at].contains(0):
                return False
            factors.append(wanted[at] / u[at])
        if q.layers == "first":
            return False
        for o, j in product(range(self.C), range(len(q.W))):
            total = arb(0)
            for x, c in zip(q.X, q.c, strict=True):
                total += arb(c[o]) * q.sigma.ball(q.pre([arb(v) for v in x])[j])
            for factor, (point, chart) in zip(factors, chosen, strict=True):
                total -= factor * self.multipliers(point, chart)[o] * q.sigma.ball(q.pre(self.sample(point))[j])
            if not total.contains(0):
                return True
        return False


def _overlap(first: Sequence[arb], second: Sequence[arb]) -> bool:
    return all(u.overlaps(v) for u, v in zip(first, second, strict=True))

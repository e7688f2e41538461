"""The steps for degenerate data: dependent gradients, and parts of the data that move while all else stays.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from flint import nmod_mat

from identify.checker.examination import Examination
from identify.checker.matrices import Point, dot, need_fit, rational_rank
from identify.checker.reading import choice, integer, integers, need
from identify.checker.tangents import Rows, family, no_more_at_random_points


def multipliers(e: Examination, columns: Any) -> str:
    """Gradients that are dependent over the rationals: (S) is linear in the multipliers, so they can change.

    Column i C + o is the gradient of output o at sample i. The data (X, c + s k) are new for small s, because only finitely many
    images of the given data have the same samples; apart from the scale of a zero sample, if that is free.
    """
    c = e.claim
    need(c.data == "this data", "needs data")
    chosen = integers("columns", columns, c.n * c.C)
    point = e.rational_point()
    if c.has_free_scale and any(not any(point.X[k // c.C]) for k in chosen):
        own = chosen[0] % c.C
        others = any(v for o, v in enumerate(point.c[chosen[0] // c.C]) if o != own)
        need(len(chosen) == 1 and others, "this may change the scale of a zero sample only")
    every = e.equations(list(range(e.n_equations(c.d))), c.d)

    def rows() -> Iterator[dict[int, Any]]:
        for row in point.jacobian_rows(every):  # linear in the multipliers: these columns are the gradients
            yield {at: row[k // c.C * (c.d + c.C) + c.d + k % c.C] for at, k in enumerate(chosen)}

    rank = rational_rank(rows(), len(every), len(chosen))
    need(rank < len(chosen), "these gradients are independent")
    family(e, len(chosen) - rank)
    return f"{len(chosen)} gradients have rank {rank} over the rationals"


def part(e: Examination, samples: Any, span: Any, multipliers: Any, rank: Any, dimension: Any) -> str:
    """Some samples move, in a space that others span; their multipliers as well. The rank is the largest there, yet not full.

    ``span`` and ``multipliers`` are the samples whose x and whose c span the spaces; null for all of the space. The space of the
    samples is affine if that keeps the first-layer rows in it: with observed biases, or without first-layer rows.
    """
    c = e.claim
    need(c.data == "this data", "needs data")
    moving = integers("samples", samples, c.n)
    need(len(moving) > 0, "no sample moves")
    frame = _Frame(e, moving, span, multipliers)
    needed = len(moving) * (frame.inputs + frame.outputs - c.has_free_scale)
    r = integer("rank", rank, 0, needed - 1)
    choice("dimension", dimension, [needed - r])
    need(frame.rank_at(e.full, None) == r, f"the Jacobian has not rank {r}")
    bound = e.largest_rank(frame.inputs, frame.outputs)
    how = f"the count of moments and equations allows at most {bound}"
    if r < bound:
        how = no_more_at_random_points(e, r, lambda q, draw: frame.rank_at(e.at(q, {"bias": None}), draw))
    family(e, dimension)
    return f"the Jacobian of a part has rank {r} for {needed} parameters at the data, and nowhere more: {how}"


class _Frame:
    """The spaces in which a part moves, by vectors that span them."""

    def __init__(self, e: Examination, moving: list[int], span: Any, multipliers: Any):
        c = self.claim = e.claim
        self.e, self.moving = e, moving
        self.span, self.multipliers = (
            None if value is None else integers(name, value, c.n) for name, value in (("span", span), ("multipliers", multipliers))
        )
        need(all(value is None or set(moving) <= set(value) for value in (self.span, self.multipliers)), "a sample outside of its space")
        self.is_affine = self.span is not None and (c.sees_bias or (c.bias and not c.sees_W))
        exact = e.rational_point()
        in_x, in_c = self.directions(exact)
        self.inputs = c.d if self.span is None else _rank(in_x)
        self.outputs = c.C if self.multipliers is None else _rank(in_c)

    def directions(self, point: Point) -> tuple[Rows, Rows]:
        c = self.claim
        in_x = [[int(k == t) for t in range(c.d)] for k in range(c.d)]
        in_c = [[int(k == t) for t in range(c.C)] for k in range(c.C)]
        if self.span is not None:
            origin = self.origin(point)
            in_x = [[u - v for u, v in zip(point.X[i], origin, strict=True)] for i in self.span]
        if self.multipliers is not None:
            in_c = [point.c[i] for i in self.multipliers]
        return in_x, in_c

    def origin(self, point: Point) -> list[int]:
        return point.X[self.span[0]] if self.is_affine and self.span else [0] * self.claim.d

    def rank_at(self, point: Point, draw: Callable[..., Rows] | None) -> int:
        """Rank of the derivatives along these spaces, of all equations: at the data, or at random points of the spaces."""
        c, q, in_x, in_c = self.claim, point.q, *self.directions(point)
        X, gamma = [point.X[i] for i in self.moving], [point.c[i] for i in self.moving]
        if draw is not None:
            X = [[(u + v) % q for u, v in zip(self.origin(point), w, strict=True)] for w in _products(draw(len(X), len(in_x)), in_x, q)]
            gamma = _products(draw(len(gamma), len(in_c)), in_c, q)
        every = self.e.equations(list(range(self.e.n_equations(c.d))), c.d)
        size, height = c.d + c.C, len(in_x) + len(in_c)
        need_fit(len(every), len(X) * size)
        jacobian = nmod_mat(len(every), len(X) * size, q)
        for r, row in enumerate(replace(point, X=X, c=gamma).jacobian_rows(every)):
            for k, value in enumerate(row):
                jacobian[r, k] = value
        along = nmod_mat(len(X) * size, len(X) * height, q)
        for i in range(len(X)):
            for vectors, at, to in ((in_x, i * size, i * height), (in_c, i * size + c.d, i * height + len(in_x))):
                for k, vector in enumerate(vectors):
                    for t, value in enumerate(vector):
                        along[at + t, to + k] = value % q
        return int((jacobian * along).rank())


def _products(left: Rows, right: Rows, q: int) -> Rows:
    return [[dot(row, column) % q for column in zip(*right, strict=True)] for row in left]


def _rank(vectors: list[list[Any]]) -> int:
    return rational_rank(iter([dict(enumerate(v)) for v in vectors]), len(vectors), len(vectors[0]))

r"""Points whose images lie in known subspaces: batched Levenberg-Marquardt on normal equations in closed form.

Every form of separation asks for points p such that vectors :math:`v_l(p)` lie in known row spaces :math:`R_l` (orthonormal rows). The
cost is
scale-free, :math:`F(p) = \sum_l \|v_l - R_l^\top R_l v_l\|^2 / \|v_l\|^2`. With :math:`J = \partial v_l`, :math:`r` the part of :math:`v_l`
outside and :math:`\nu = \|v_l\|`, each term contributes

.. math:: \nu^{-2}\bigl(J^\top J - (R J)^\top (R J)\bigr) - g q^\top - q g^\top + F q q^\top, \qquad
          g = \nu^{-2} J^\top r,\; q = \nu^{-2} J^\top v

to :math:`J_F^\top J_F` and :math:`g - F q` to the gradient, so the projected Jacobian is never formed. The loop is that of
:mod:`identify.base.least_squares`. The products are batched BLAS calls: on a CPU they run about twice as fast as the same
contractions compiled by XLA (``python benchmarks/batches.py --products``), and nothing is compiled for sizes that change with every round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.linalg import LinAlgError, cholesky, qr, solve_triangular
from scipy.linalg.blas import dtrsv

from identify.base.least_squares import LEAST_DAMPING as LEAST_DAMPING
from identify.base.least_squares import Rest, State, by_attempts, damped_steps
from identify.base.least_squares import descend as advance_all
from identify.recovery.separation.softened import softened

FIRST_DAMPING = 1e-3
STALLED = 1, 0.999
"""A start is at rest when one step leaves more than this share of its cost."""
LARGE = 20_000
"""Entries of one Jacobian from which on its rows of zeros are left out."""
AT_ONCE = 2**24
"""Entries of Jacobians that are there together, about, and of normal equations: 128 MiB."""
BY_GRAM, CLEAR = 128, 1e-5
"""Unknowns from which on a point is linearised by J^T J, if the reciprocal condition number of J is above the second: its square is lost
then, which leaves a step of Gauss and Newton with six digits, and the point with all of its own."""
FLAT = 1e-11
"""Reciprocal condition number of the equations from which on they fix a point: rounding leaves less of directions without influence."""


@runtime_checkable
class Images(Protocol):
    """The vectors v_l of a batch of points, and their derivatives."""

    def values(self, points: np.ndarray) -> list[np.ndarray]:
        """One array (starts, size of v_l) for each l."""
        ...

    def jacobians(self, points: np.ndarray) -> list[np.ndarray]:
        """One array (starts, size of v_l, unknowns) for each l."""
        ...


@runtime_checkable
class Gauged(Protocol):
    """Images that a change of the points leaves as they are, up to scale: steps do not go that way."""

    def gauge(self, points: np.ndarray) -> np.ndarray:
        """The direction of that change at each point: an array (starts, unknowns)."""
        ...


@dataclass(eq=False)
class Position:
    """Where every start is: its point and, for each l, v_l, its coordinates in the subspace and its part outside."""

    points: Float[np.ndarray, "starts unknowns"]
    vectors: list[np.ndarray]
    coordinates: list[np.ndarray]
    outside: list[np.ndarray]
    costs: Float[np.ndarray, " starts"]

    @classmethod
    def of(cls, images: Images, subspaces: Sequence[np.ndarray], points: np.ndarray) -> Position:
        vectors = images.values(points)
        coordinates = [v @ R.T for v, R in zip(vectors, subspaces, strict=True)]
        outside = [v - c @ R for v, c, R in zip(vectors, coordinates, subspaces, strict=True)]
        with np.errstate(invalid="ignore", divide="ignore"):
            costs = sum(_squares(r) / _squares(v) for r, v in zip(outside, vectors, strict=True))
        return cls(points, vectors, coordinates, outside, np.where(np.isfinite(costs), costs, np.inf))

    @classmethod
    def joined(cls, parts: Sequence[Position]) -> Position:
        """Several groups of starts as one."""

        def all_of(name: str) -> list[np.ndarray]:
            return [np.concatenate(same) for same in zip(*(getattr(part, name) for part in parts), strict=True)]

        points, costs = (np.concatenate([getattr(part, name) for part in parts]) for name in ("points", "costs"))
        return cls(points, all_of("vectors"), all_of("coordinates"), all_of("outside"), costs)

    def __getitem__(self, rows) -> Position:
        vectors, coordinates, outside = ([part[rows] for part in parts] for parts in (self.vectors, self.coordinates, self.outside))
        return Position(self.points[rows], vectors, coordinates, outside, self.costs[rows])

    def put(self, rows: np.ndarray, other: Position) -> None:
        """Overwrite these starts."""
        self.points[rows], self.costs[rows] = other.points, other.costs
        for mine, theirs in ((self.vectors, other.vectors), (self.coordinates, other.coordinates), (self.outside, other.outside)):
            for into, values in zip(mine, theirs, strict=True):
                into[rows] = values


def _squares(rows: np.ndarray) -> np.ndarray:
    return np.einsum("si,si->s", rows, rows)


def normal_equations(images: Images, subspaces: Sequence[np.ndarray], at: Position) -> tuple[np.ndarray, np.ndarray]:
    """J^T J and J^T r of the cost for every start: arrays (starts, unknowns, unknowns) and (starts, unknowns)."""
    starts, unknowns = at.points.shape
    matrix, gradient = np.zeros((starts, unknowns, unknowns)), np.zeros((starts, unknowns))
    for J, R, v, r in zip(images.jacobians(at.points), subspaces, at.vectors, at.outside, strict=True):
        size = _squares(v)
        size = np.where(size > 0, size, np.inf)  # a start without any value has no direction, and an infinite cost
        r = r - (r @ R.T) @ R  # what rounding left inside meets the large part of J there, and weak directions would take it for a slope
        matrix += _projected_gram(J, R) / size[:, None, None]
        g = np.matmul(r[:, None, : J.shape[1]], J)[:, 0] / size[:, None]
        q = np.matmul(v[:, None, : J.shape[1]], J)[:, 0] / size[:, None]
        cost = _squares(r) / size
        cross = g[:, :, None] * q[:, None]
        matrix += cost[:, None, None] * (q[:, :, None] * q[:, None]) - cross - cross.transpose(0, 2, 1)
        gradient += g - cost[:, None] * q
    if isinstance(images, Gauged):
        d = images.gauge(at.points)
        d = d / np.sqrt(np.maximum(_squares(d), np.finfo(float).tiny))[:, None]
        matrix += np.einsum("sii->s", matrix)[:, None, None] * (d[:, :, None] * d[:, None])
    return matrix, gradient


def _projected_gram(J: Float[np.ndarray, "starts rows unknowns"], R: Float[np.ndarray, "n size"]) -> np.ndarray:
    """J^T J - (R J)^T (R J) for every start. R has a column more where a constant 1 is lifted, whose row of J is zero."""
    starts, rows, unknowns = J.shape
    if rows * unknowns > LARGE:  # neurons that a sample does not activate have rows of zeros: leaving them out repays a copy
        out = np.empty((starts, unknowns, unknowns))
        for k, own in enumerate(J):
            live = np.flatnonzero(own.any(axis=1))
            part = own[live]
            inside = R[:, live] @ part
            np.matmul(part.T, part, out=out[k])
            out[k] -= inside.T @ inside
        return out
    inside = R[:, :rows] @ J
    return np.matmul(J.transpose(0, 2, 1), J) - np.matmul(inside.transpose(0, 2, 1), inside)


@dataclass(frozen=True, eq=False)
class Linearised:
    """The equations of one point to first order, by the orthogonal factors of their Jacobian: its condition number is not squared."""

    blocks: list[Float[np.ndarray, "_ unknowns"]]
    """The Jacobian, the rows of each l by themselves; none if it was not formed."""
    triangle: Float[np.ndarray, "unknowns unknowns"]
    projected: Float[np.ndarray, " unknowns"]
    """What the orthogonal factor makes of the equations' values."""
    fixes: bool
    """Whether the equations fix the point to first order, as far as double precision tells."""

    @classmethod
    def of(
        cls, images: Images, subspaces: Sequence[np.ndarray], at: Position, free: Float[np.ndarray, " unknowns"] | None = None
    ) -> Linearised:
        """At one point. ``free`` is a direction in which it may move without changing the equations: it is left alone.

        Cost about 4 |v| n k + 2 |v| k^2 for k unknowns and subspaces of dimension n; if one vector fixes many unknowns well,
        2 |w| n k + |w| k^2 + n k^2 for the neurons w that the point activates, all of them by matrix products.
        """
        if free is None and len(subspaces) == 1 and at.points.shape[1] >= BY_GRAM and not isinstance(images, Gauged):
            found = cls._by_gram(images, subspaces, at)
            if found is not None:
                return found
        blocks, tall = [], []
        for J, R, v, r in zip(images.jacobians(at.points), subspaces, at.vectors, at.outside, strict=True):
            J, v, r = J[0], v[0], r[0]
            size = max(np.linalg.norm(v), np.finfo(float).tiny)  # a vector of zeros fixes nothing
            part = np.empty((len(v), J.shape[1] + 1), order="F")
            np.matmul(R.T, R[:, : len(J)] @ J, out=part[:, :-1])
            part[:, :-1] *= -1
            part[: len(J), :-1] += J
            part[:, :-1] -= np.outer(r, (v[: len(J)] @ J) / size**2)
            part[:, -1] = r
            part /= size
            blocks.append(part[:, :-1])
            tall.append(part)
        if free is not None:
            tall.append(np.append(np.linalg.norm(blocks[0]) * free / np.linalg.norm(free), 0.0)[None])
        both = qr(np.vstack(tall) if len(tall) > 1 else tall[0], mode="r", check_finite=False)[0]
        unknowns = both.shape[1] - 1
        triangle = np.zeros((unknowns, unknowns))
        triangle[: len(both)] = both[:unknowns, :-1]
        return cls(blocks, triangle, both[:unknowns, -1], is_regular(triangle))

    @classmethod
    def _by_gram(cls, images: Images, subspaces: Sequence[np.ndarray], at: Position) -> Linearised | None:
        """From the normal equations; None if they are too ill-conditioned for that, beside the Jacobian before its projection."""
        (J,) = images.jacobians(at.points)
        whole = float(np.linalg.norm(J) / np.linalg.norm(at.vectors[0]))
        matrix, gradient = normal_equations(images, subspaces, at)
        try:
            triangle = cholesky(matrix[0], check_finite=False)
        except LinAlgError:
            return None
        weakest = float(np.linalg.norm(triangle @ _weakest(triangle)))
        if not weakest > CLEAR * whole:
            return None
        return cls([], triangle, solve_triangular(triangle, gradient[0], trans=1, check_finite=False), True)

    def step(self) -> Float[np.ndarray, " unknowns"]:
        """The move that makes the equations hold to first order."""
        return solve_triangular(self.triangle, self.projected, check_finite=False) if self.triangle.size else np.zeros(0)

    def weakest(self) -> Float[np.ndarray, " unknowns"]:
        """A unit direction that the equations fix least, nearly: by a few steps of inverse iteration."""
        return _weakest(self.triangle)

    def deviation(self, shares: Sequence[float]) -> float:
        r"""Standard deviation of the point in all unknowns together, :math:`\sqrt{\operatorname{tr}\operatorname{Cov}}`.

        ``shares`` are the standard deviations of one entry of :math:`v_l - R_l^\top R_l v_l` relative to :math:`\|v_l\|`, independent of
        each other. Infinite if the equations do not fix the point.
        """
        if not self.fixes:
            return float("inf")
        if not self.triangle.size:  # old versions of LAPACK refuse empty systems
            return 0.0
        if len(shares) == 1:  # the factor is orthogonal
            return float(shares[0] * np.linalg.norm(solve_triangular(self.triangle, np.eye(len(self.triangle)), check_finite=False)))
        parts = []
        for block, share in zip(self.blocks, shares, strict=True):
            factor = solve_triangular(self.triangle, block.T, trans=1, check_finite=False)
            parts.append(share * np.linalg.norm(solve_triangular(self.triangle, factor, check_finite=False)))
        return float(np.linalg.norm(parts))


def _weakest(triangle: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " k"]:
    v = np.ones(len(triangle))
    for _ in range(3):
        for transposed in (0, 1):  # BLAS reads the rows as columns; it makes no checks, which take longer than small solutions
            v = dtrsv(triangle.T, v, lower=1, trans=transposed, overwrite_x=1)
            v /= np.linalg.norm(v)
    return v


def is_regular(triangle: Float[np.ndarray, "k k"]) -> bool:
    """Whether the reciprocal condition number is above :data:`FLAT`, estimated by the weakest direction."""
    pivots = np.abs(np.diag(triangle))
    if not len(pivots):
        return True
    if not pivots.min() > FLAT * pivots.max():
        return False
    return bool(np.linalg.norm(triangle @ _weakest(triangle)) > FLAT * np.linalg.norm(triangle))


def descend(
    images: Images,
    subspaces: Sequence[Float[np.ndarray, "_ _"]],
    points: Float[np.ndarray, "starts unknowns"],
    *,
    steps: int,
    enough: float = 0.0,
    damping: float = FIRST_DAMPING,
    soft: bool = False,
    stalled: tuple[int, float] = STALLED,
    go_on: Callable[[], bool] = lambda: True,
) -> Position:
    """Minimise the cost from every start.

    Parameters
    ----------
    images, subspaces
        The vectors v_l, and orthonormal rows R_l for each.
    points
        Starts.
    steps
        At most that many; a start is at rest when its cost is at most ``enough``, or hardly falls.
    damping
        First damping, relative to the diagonal of the normal equations, dimensionless.
    soft
        Whether steps see kinks ahead (:mod:`~identify.recovery.separation.softened`): for starts far from a solution. A start at rest
        need not be at a minimum then.
    stalled
        The cost hardly falls if so many steps leave more than this share of it, above 0 and below 1.
    go_on
        Asked before every step; on False the points reached so far are returned.

    Notes
    -----
    Cost of a step: :math:`4 \\sum_l |v_l| k^2` multiplications for each start and k unknowns. Memory: a few arrays of 128 MiB, or of
    k^2 numbers, whatever the number of starts.
    """
    together = max(1, AT_ONCE // max(points.shape[1], 1) ** 2)
    if len(points) > together:  # starts do not influence each other, and 256 matrices of a thousand unknowns are 2 GiB
        groups = [points[k : k + together] for k in range(0, len(points), together)]
        own: dict[str, Any] = {"steps": steps, "enough": enough, "damping": damping, "soft": soft, "stalled": stalled, "go_on": go_on}
        return Position.joined([descend(images, subspaces, part, **own) for part in groups])
    at = Position.of(images, subspaces, np.array(points, dtype=float))
    starts, unknowns = at.points.shape
    matrices, gradients = np.zeros((starts, unknowns, unknowns)), np.zeros((starts, unknowns))
    is_new, trial, size = np.ones(starts, bool), [at], unknowns * sum(v.shape[1] for v in at.vectors)

    def attempt(rows: np.ndarray, damping: np.ndarray) -> np.ndarray:
        new = rows[is_new[rows]]
        for few in np.array_split(new, min(len(new), 1 + len(new) * size // AT_ONCE)) if len(new) else ():
            there = softened(images, at.costs[few]) if soft else images
            matrices[few], gradients[few] = normal_equations(there, subspaces, at[few])
        is_new[new] = False
        trial[0] = Position.of(images, subspaces, at.points[rows] - damped_steps(matrices[rows], gradients[rows], damping))
        return trial[0].costs

    def take(rows: np.ndarray, better: np.ndarray) -> None:
        at.put(rows[better], trial[0][better])
        is_new[rows[better]] = True

    state = State.first(at.costs, damping)
    state.at_rest[:] = at.costs <= enough
    advance_all(by_attempts(attempt, take, Rest(enough, *stalled)), state, rounds=steps, go_on=go_on)
    return at

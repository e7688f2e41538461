r"""Descents as in :mod:`~identify.recovery.separation.membership`, for many unknowns: by products with Jacobians, without forming them.

A step solves :math:`(J_F^\top J_F + \lambda\tau)\,\delta = J_F^\top e` by conjugate gradients, :math:`\tau` the mean of the diagonal. With
:math:`e_l = r_l / \nu_l` and :math:`q_l = \nu_l^{-2} J_l^\top v_l`,

.. math:: J_F^\top J_F\,\delta = \sum_l J_l^\top\bigl(\nu_l^{-2}(J_l\delta - R_l^\top R_l J_l\delta)
          - \nu_l^{-1} (q_l\cdot\delta)\,e_l\bigr) - \bigl(\nu_l^{-1} e_l\cdot J_l\delta - \|e_l\|^2\,q_l\cdot\delta\bigr)\,q_l ,

:math:`8\,m k` operations for m neurons and k unknowns, in matrix products of all starts at once; forming the matrix takes :math:`4\,m k^2`.
The matrices are well conditioned if neurons are several times as many as samples that are not alike: some thirty products are a step then.
Steps need not be exact, so these products are in single precision; points, costs and gradients are in double precision. Where
iterations are cut short, descents are slower, and :func:`~identify.recovery.separation.membership.descend` is the better choice. If JAX has
an accelerator or several devices, they compute the products of large networks (:mod:`~identify.recovery.separation.devices`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from identify.base.least_squares import Rest, State, by_attempts
from identify.base.least_squares import descend as advance_all
from identify.recovery.separation.membership import FIRST_DAMPING, STALLED, Position
from identify.recovery.separation.softened import softened

LOOSE, TIGHT, ITERATIONS = 0.03, 1e-3, 60
"""Conjugate gradients end when the residual, relative to the right-hand side, is as small as the misfit of the point, within these bounds,
or after so many products: far from a solution exact steps gain nothing (Eisenstat and Walker 1996)."""


@runtime_checkable
class Tangent(Protocol):
    """The Jacobians J_l at a batch of points, in single precision."""

    def times(self, moves: Float32[np.ndarray, "starts unknowns"]) -> list[np.ndarray]:
        """J_l times one vector for each point: an array (starts, rows of J_l) for each l."""
        ...

    def transposed(self, parts: Sequence[np.ndarray]) -> Float32[np.ndarray, "starts unknowns"]:
        """The sum of all J_l^T times such arrays."""
        ...


@runtime_checkable
class Smooth(Protocol):
    """Images whose Jacobians are given as maps."""

    def values(self, points: np.ndarray) -> list[np.ndarray]: ...

    def jacobians(self, points: np.ndarray) -> list[np.ndarray]: ...

    def tangent(self, points: np.ndarray) -> Tangent: ...


@dataclass(frozen=True, eq=False)
class Equations:
    """The normal equations at some points, as a map. Arrays are those of NumPy, or of JAX where it traces."""

    tangent: Tangent
    subspaces: Sequence[Float32[Any, "_ _"]]
    sizes: list[Float32[Any, "starts 1"]]
    misfits: list[Float32[Any, "starts _"]]
    """e_l, without the row of a constant 1, which does not move."""
    costs: list[Float32[Any, "starts 1"]]
    slants: list[Float32[Any, "starts unknowns"]]
    """q_l."""
    gradient: Float32[Any, "starts unknowns"]

    @classmethod
    def of(cls, images: Smooth, subspaces: Sequence[np.ndarray], at: Position) -> Equations:
        """``subspaces`` in single precision, without the column of a constant 1."""
        tangent, kind = images.tangent(at.points), np.float32
        sizes = [np.linalg.norm(v, axis=1, keepdims=True) for v in at.vectors]
        rows = [R.shape[1] for R in subspaces]
        misfits = [r / size for r, size in zip(at.outside, sizes, strict=True)]
        costs = [dots(e, e) for e in misfits]
        empty = [np.zeros((len(at.points), count), kind) for count in rows]
        slants = []
        for k, (v, size) in enumerate(zip(at.vectors, sizes, strict=True)):
            part = (v[:, : rows[k]] / size**2).astype(kind)
            slants.append(tangent.transposed([part if j == k else zero for j, zero in enumerate(empty)]))
        gradient = tangent.transposed([(e[:, :count] / size).astype(kind) for e, count, size in zip(misfits, rows, sizes, strict=True)])
        gradient = gradient - sum(cost * q for cost, q in zip(costs, slants, strict=True))
        single = [[part.astype(kind) for part in parts] for parts in (sizes, costs)]
        own = [e[:, :count].astype(kind) for e, count in zip(misfits, rows, strict=True)]
        return cls(tangent, subspaces, single[0], own, single[1], slants, gradient.astype(kind))

    def times(self, moves: Float32[Any, "starts unknowns"]) -> Float32[Any, "starts unknowns"]:
        """J_F^T J_F times one vector for each point."""
        parts, rest = [], 0 * moves
        for t, R, size, e, cost, q in zip(
            self.tangent.times(moves), self.subspaces, self.sizes, self.misfits, self.costs, self.slants, strict=True
        ):
            slope = dots(q, moves)
            parts.append((t - (t @ R.T) @ R) / size**2 - (slope / size) * e)
            rest = rest + (dots(e, t) / size - cost * slope) * q
        return self.tangent.transposed(parts) - rest

    def steps(self, damping: Float[np.ndarray, " starts"]) -> Float[np.ndarray, "starts unknowns"]:
        """Solutions of the damped equations, nearly."""
        scale = np.maximum(np.linalg.norm(self.gradient, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        rest = self.gradient / scale
        unknowns = rest.shape[1]
        signs = np.broadcast_to(probe(unknowns), rest.shape)
        raised = (damping[:, None] * dots(signs, self.times(signs)) / unknowns).astype(np.float32)
        accuracy = np.clip(np.sqrt(sum(self.costs)), TIGHT, LOOSE)
        x, p, size = np.zeros_like(rest), rest, dots(rest, rest)
        for _ in range(ITERATIONS):
            image = self.times(p) + raised * p
            curvature = dots(p, image)
            going = (size > accuracy**2) & (curvature > 0)
            if not going.any():
                break
            length = np.where(going, size / np.where(going, curvature, 1), 0)
            x, rest = x + length * p, rest - length * image
            smaller = dots(rest, rest)
            p, size = rest + np.where(going, smaller / np.maximum(size, np.finfo(np.float32).tiny), 0) * p, smaller
        return (x * scale).astype(float)


Solve = Callable[[Equations, Float[np.ndarray, " starts"]], Float[np.ndarray, "starts unknowns"]]
"""Solutions of the damped equations, nearly."""


def probe(unknowns: int) -> Float32[np.ndarray, " unknowns"]:
    """Signs without a pattern: the mean of the diagonal is about the mean of a product with them (Hutchinson 1990)."""
    return np.where(np.cos(np.arange(unknowns) ** 2) < 0, -1.0, 1.0).astype(np.float32)


def dots(a: Any, b: Any) -> Any:
    """Row by row, of arrays of NumPy or JAX: an array (starts, 1)."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.einsum("si,si->s", a, b)[:, None]
    return (a * b).sum(axis=1, keepdims=True)


def descend(
    images: Smooth,
    subspaces: Sequence[Float[np.ndarray, "_ _"]],
    points: Float[np.ndarray, "starts unknowns"],
    *,
    steps: int,
    enough: float = 0.0,
    damping: float = FIRST_DAMPING,
    soft: bool = False,
    go_on: Callable[[], bool] = lambda: True,
    solver: Callable[[Tangent, Sequence[Float32[np.ndarray, "_ _"]]], Solve] | None = None,
) -> Position:
    """Minimise the cost from every start; arguments as for :func:`identify.recovery.separation.membership.descend`.

    ``solver`` makes what takes the place of :meth:`Equations.steps`, once for a descent, from the map and the subspaces in single
    precision.

    Notes
    -----
    Cost of a step: :math:`8 \\sum_l |v_l| k` operations for each start, k unknowns and iteration of conjugate gradients. Memory: some
    arrays (starts, size of v_l).
    """
    at = Position.of(images, subspaces, np.array(points, dtype=float))
    tangent = images.tangent(at.points[:1])
    rows = [part.shape[1] for part in tangent.times(np.zeros((1, at.points.shape[1]), np.float32))]
    single = [R[:, :count].astype(np.float32) for R, count in zip(subspaces, rows, strict=True)]
    trial, solve = [at], Equations.steps if solver is None else solver(tangent, single)

    def attempt(own: np.ndarray, damping: np.ndarray) -> np.ndarray:
        there = softened(images, at.costs[own]) if soft else images
        equations = Equations.of(there, single, at[own])
        trial[0] = Position.of(images, subspaces, at.points[own] - solve(equations, damping))
        return trial[0].costs

    def take(own: np.ndarray, better: np.ndarray) -> None:
        at.put(own[better], trial[0][better])

    state = State.first(at.costs, damping)
    state.at_rest[:] = at.costs <= enough
    advance_all(by_attempts(attempt, take, Rest(enough, *STALLED)), state, rounds=steps, go_on=go_on)
    return at

"""Search for one sample at a time: coordinates in the row space of the first update, starts at its rows, and hits where the others lie.

Neuron j saw :math:`\\sum_i u_{ij}\\tilde x_i`, which is close to one sample if few of the remaining ones move it, and is one sample
exactly if only one does. All rows are screened by their cost, which takes one product; rows that solve the equations already need no
descent. A row from which a descent ended in a local minimum has a low cost again in the next round, when few more samples are known, and
would end there again, so rows that failed wait until all others were starts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from identify.problem.ambiguity import Ambiguity
from identify.recovery.separation import products
from identify.recovery.separation.forward import Chart
from identify.recovery.separation.kept import Kept
from identify.recovery.separation.membership import Images, Position, descend
from identify.recovery.separation.products import Smooth
from identify.recovery.separation.subspace import ROUNDING, Subspace, complement
from identify.recovery.solution import Failure, InapplicableError

STARTS, MOST_STARTS = 16, 256
"""Descents in one round; doubled after a round without a hit, up to the second."""
EXACT = 1e-14
"""Cost at which a row solves the equations as it stands."""
HIT = 1e-7
"""Cost in the deflated spaces at which a start is refined."""
SOLVED = 1e-22
"""Cost at which a descent ends."""
SEARCH_STEPS = 60
ACCEPTED = 4.0
"""A sample is accepted if it misses the subspaces by at most so many times what noise leaves (up to 1.5 times was measured)."""
NEARLY, NEAR = 30.0, 1e-9
"""Before it is polished, a hit is passed on if it misses the subspaces by at most the first times what noise leaves, or the second."""
ROUNDED = 2e-14
"""Relative distance from the subspaces that rounding of the evaluation explains."""
SURE = 1.5
"""Noise that is not alike everywhere moves an exact sample by at most so many times the uncertainty of its row space."""
HIDDEN = 3e-2
"""Relative uncertainty from which on a sample cannot be told from noise."""
SAME = 1e-4
"""Relative distance at which two samples count as one: for the search only; duplicates count once in the rank as well."""
PATIENCE, FEW = 40, 3
"""Rounds without a new sample after which the search ends; so few hits do not make up for descents."""
EVALUATION = 3.0
"""Relative error of activations and signals that whoever computed the updates made, in units of rounding (measured)."""
SPARE = 16
"""Equations beyond the unknowns from which on the misfit of a sample shows its noise."""
SHORT = 1e-5
"""Relative length of a Gauss-Newton step after which another one is not needed: its error is of second order."""
MANY = 128
"""Unknowns from which on descents by products are faster than normal equations (measured)."""
FEW_ROWS = 1024
"""Rows of the first update that are screened in one round."""
ELSEWHERE = 2**18
"""Entries of one Jacobian from which on it is worth while to load JAX, and to look for other devices than one CPU."""


@dataclass(eq=False, kw_only=True)
class Counts:
    """The numbers behind a search."""

    starts: int = 0
    converged: int = 0
    rounds: int = 0
    rejected: int = 0
    """Hits that do not solve the original equations to their precision."""
    mixed: int = 0
    """Hits that solve them, but are not told apart from mixtures with other samples."""
    hidden: int = 0
    """Hits whose signal is too small for this precision."""


def tolerated(expected: Float[np.ndarray, " hits"], uncertain: Float[np.ndarray, " hits"]) -> Float[np.ndarray, " hits"]:
    """The misfit up to which points solve their equations: several times the root mean square of noise, or what all noise can do."""
    return np.maximum(np.maximum(ACCEPTED * expected, SURE * uncertain), ROUNDED)


class SampleSearch(ABC):
    """A search for all samples behind updates, of which the first has rows in the span of the inputs."""

    ambiguity: Ambiguity
    """What the equations leave open for each sample: hits are compared modulo it."""
    n_samples: int
    """How many are sought."""
    found: Any
    """What was found, with :class:`Counts`."""
    patience: int
    """Rounds without a new sample after which the search ends."""
    kept: Kept
    """Takes what was found after each round; a search begins with what an earlier one left there."""
    go_on: Callable[[], bool]
    progress: Callable[[str], None]
    hit: float = HIT
    """Cost in the deflated spaces at which a start is refined."""
    most_starts: int = MOST_STARTS
    """Descents in one round, at most."""

    def set_up(self, first: Subspace, W: Float[np.ndarray, "m d"], bias: Float[np.ndarray, " m"], *, is_lifted: bool, seed: int) -> None:
        """Begin in all coordinates of the row space; with a bias column the last one of a row is 1."""
        self.first = first
        self.map, self.offset = W @ first.right[:, : W.shape[1]].T, bias
        self.unit = first.right[:, -1] if is_lifted else None
        """The bias coordinate of a point with coordinates eta is unit·eta, and is 1."""
        self.rng = np.random.default_rng(seed)
        self.tried = np.full(len(W), -1)
        """For each neuron, how many samples were known when its row was a start for the last time."""
        self.failures = np.zeros(len(W), int)
        """How many descents from its row failed."""
        self.barren = 0
        """Rounds since the last new sample."""
        self.everywhere = self.chart(np.zeros((0, len(first.values))))

    def run(self, known: Float[np.ndarray, "known n"] | None = None) -> Any:
        """Search until all samples are found, or ``go_on`` says no. ``known`` are coordinates of samples from an earlier search.

        Cost: O(m n^2) for each step of each start.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # starts at which numbers overflow have an infinite cost
            self._accept(self.kept.read(self.first.right.shape[1]) @ self.first.right.T if known is None else known)
            per = STARTS
            while not self._is_settled() and self.barren < self.patience and self.go_on():
                before = self.n_known
                self.found.rounds += 1
                hits = self.hits(per)
                self._accept(hits[np.isfinite(hits).all(axis=1)])
                new = self.n_known - before
                per = STARTS if new else min(2 * per, self.most_starts)
                self.barren = 0 if new else self.barren + 1
                if new:
                    self.kept.write(self.coordinates @ self.first.right)
                    self.progress(f"{self.n_known} of {self.n_samples} samples")
            self._finish()
        return self.found

    def _is_settled(self) -> bool:
        """Whether further rounds would add nothing."""
        return self.n_known >= self.n_samples

    @abstractmethod
    def _accept(self, hits: Float[np.ndarray, "hits n"]) -> None:
        """Refine hits on the original equations; keep those that solve them, and deflate."""

    def _finish(self) -> None:
        """What is left to be done once the rounds end."""
        return

    @property
    @abstractmethod
    def n_known(self) -> int:
        """How many samples are taken out."""

    @property
    @abstractmethod
    def coordinates(self) -> Float[np.ndarray, "found n"]:
        """Of the samples that were found, in the row space of the first update."""

    @property
    @abstractmethod
    def n_unknown(self) -> int:
        """How many samples are still sought, about."""

    @abstractmethod
    def known(self) -> tuple[Float[np.ndarray, "_ n"], Float[np.ndarray, "_ n"]]:
        """Of the samples known so far: unit rows to which the coordinates of all others are orthogonal, and their own coordinates."""

    @abstractmethod
    def images(self, chart: Chart) -> Images:
        """The vectors of which all samples have theirs in known spaces."""

    @abstractmethod
    def remaining(self) -> list[Float[np.ndarray, "_ _"]]:
        """These spaces, as the known samples leave them: orthonormal rows."""

    @abstractmethod
    def uncertain(self, vectors: list[np.ndarray]) -> Float[np.ndarray, " starts"]:
        """How far noise may have moved the spaces at these vectors, relative to them."""

    def completed(self, images: Any, spaces: list[np.ndarray], points: np.ndarray) -> np.ndarray:
        """Points of a chart with the further unknowns that the images have, in columns behind them: none here."""
        return points

    def chart(self, avoided: Float[np.ndarray, "known n"]) -> Chart:
        """The coordinates that known samples leave, normalised by the bias if it was observed."""
        within = complement(avoided)
        if self.unit is None:
            return Chart.of(self.map, self.offset, np.zeros(within.shape[1]), within.T)
        direction = within.T @ (within @ self.unit)
        size = np.linalg.norm(direction)
        if not size**2 > 0 or not np.isfinite(size):  # no combination of the rows has the bias 1
            raise InapplicableError.of(Failure.RANGE)
        return Chart.of(self.map, self.offset, direction / size**2, complement(np.vstack([avoided, direction / size])).T)

    def hits(self, per: int) -> Float[np.ndarray, "hits n"]:
        """Coordinates of distinct points that solve the equations in the spaces that the known samples leave."""
        avoided, points = self.known()
        chart = self.chart(avoided)
        images, spaces, unknowns = self.images(chart), self.remaining(), chart.basis.shape[1]
        if not unknowns:
            return chart.origin[None]
        rows, numbers = self._rows(chart, avoided, points)
        if not len(rows):  # none is in the range of doubles
            return np.zeros((0, len(self.first.values)))
        screened = Position.of(images, spaces, self.completed(images, spaces, rows))
        order = np.argsort(screened.costs, kind="stable")
        exact = order[screened.costs[order] < EXACT]
        hits = _distinct(self.ambiguity.representatives(rows[exact]))
        if self.barren or len(hits) < max(FEW, self.n_unknown // STARTS):
            by_products = isinstance(images, Smooth) and unknowns >= MANY and not self.barren
            per = max(per, self.n_unknown // STARTS) if by_products else per
            fresh = self._fresh(numbers, order[len(exact) :], len(points))[:per]
            starts = screened.points[fresh] if len(fresh) else self.completed(images, spaces, self._mixtures(rows, per))
            descended: Any = partial(products.descend, solver=_solver(unknowns, spaces, len(starts))) if by_products else descend
            soft = descended(images, spaces, starts, steps=SEARCH_STEPS, enough=NEAR**2, soft=True, go_on=self.go_on)
            enough = NEAR**2 if by_products else SOLVED
            reached = descended(images, spaces, soft.points, steps=SEARCH_STEPS, enough=enough, go_on=self.go_on)
            self.found.starts += len(starts)
            explained = np.minimum(ACCEPTED * self.uncertain(images.values(reached.points)), HIDDEN) ** 2  # by noise
            good = np.flatnonzero(reached.costs < np.maximum(self.hit, explained))
            self._note(numbers[fresh], good, len(points))
            self.found.converged += len(good)
            best_first = reached.points[good[np.argsort(reached.costs[good], kind="stable")], :unknowns]
            hits = _distinct(np.vstack([hits, self.ambiguity.representatives(best_first)]))
        return chart.coordinates(hits)

    def _fresh(self, numbers: Int[np.ndarray, " rows"], by_cost: Int[np.ndarray, " others"], known: int) -> Int[np.ndarray, " fresh"]:
        """Rows that were no start yet with so many samples known: those that failed seldom first, then those of low cost."""
        own = numbers[by_cost]
        fresh = by_cost[self.tried[own] != known]
        return fresh[np.argsort(self.failures[numbers[fresh]], kind="stable")]

    def _note(self, numbers: Int[np.ndarray, " starts"], good: Int[np.ndarray, " good"], known: int) -> None:
        """That descents began at the rows of these neurons, and which of them reached a solution."""
        self.tried[numbers] = known
        failed = np.ones(len(numbers), bool)
        failed[good[good < len(numbers)]] = False
        self.failures[numbers[failed]] += 1

    def _rows(self, chart: Chart, avoided: np.ndarray, points: np.ndarray) -> tuple[Float[np.ndarray, "rows unknowns"], np.ndarray]:
        """Rows of the first update without the share of the known samples, as points of the chart, and which neurons they are."""
        rows = self.first.left * self.first.values
        numbers = np.arange(len(rows))
        if len(rows) > FEW_ROWS:
            numbers = np.sort(self.rng.choice(len(rows), FEW_ROWS, replace=False))
            rows = rows[numbers]
        if len(avoided):  # as far as the shares are known
            rows = rows - rows @ avoided.T @ np.linalg.pinv(points @ avoided.T) @ points
        if self.unit is not None:
            weight = rows @ self.unit
            clear = np.abs(weight) > 1e-6 * np.abs(weight).max(initial=0.0)
            rows, numbers = rows[clear] / weight[clear, None], numbers[clear]
        else:
            size = np.linalg.norm(rows, axis=1)
            clear = size > 1e-6 * size.max(initial=0.0)
            signs = self.rng.choice([-1.0, 1.0], int(clear.sum()))
            rows, numbers = rows[clear] * (signs / size[clear])[:, None] * self._typical_size(), numbers[clear]
        return chart.points(rows), numbers

    def _typical_size(self) -> float:
        """Of the coordinates of a start whose scale no bias fixes: pre-activations of size one."""
        spread = np.linalg.norm(self.map) / np.sqrt(self.map.size)
        return float(self.rng.lognormal(0.0, 1.0) / max(spread, ROUNDING) / self.map.shape[1] ** 0.25)

    def _mixtures(self, rows: Float[np.ndarray, "rows unknowns"], per: int) -> Float[np.ndarray, "starts unknowns"]:
        """Affine combinations of two or three rows, for when all rows were tried."""
        chosen = self.rng.integers(len(rows), size=(per, 3))
        weights = self.rng.standard_normal((per, 3))
        weights[:, 0] = 1 - weights[:, 1:].sum(axis=1)
        return np.einsum("sk,sku->su", weights, rows[chosen])


def _solver(unknowns: int, spaces: Sequence[np.ndarray], starts: int) -> Any:
    """Where JAX has other devices than one CPU, and products are large enough for the way there: what computes steps on them."""
    if max(space.shape[1] for space in spaces) * unknowns < ELSEWHERE:
        return None
    from identify.recovery.separation import devices  # loads JAX

    return partial(devices.OnDevices.solver, starts=starts) if devices.is_better() else None


def _distinct(points: Float[np.ndarray, "points unknowns"]) -> Float[np.ndarray, "distinct unknowns"]:
    """The first of each group of points that agree to a relative distance of :data:`SAME`, at most :data:`MOST_STARTS`."""
    chosen: list[int] = []
    left, reach = np.arange(len(points)), SAME * np.linalg.norm(points, axis=1)
    while len(left) and len(chosen) < MOST_STARTS:
        first, left = left[0], left[1:]
        chosen.append(first)
        left = left[np.linalg.norm(points[left] - points[first], axis=1) > reach[left]]
    return points[chosen]

r"""Sample after sample: search in the spaces that the known samples leave, refine on the original equations, accept, deflate.

Random starts meet easy samples again and again, and the last ones seldom. So each sample that is found is taken out exactly
(:mod:`~identify.recovery.separation.subspace`), and the search goes on where the others lie, in one unknown less. Errors do not add up,
because every hit is refined on the equations as they were given, and is accepted only if it solves them to the precision that noise
leaves *it*: an exact sample with coordinates :math:`\eta` misses the computed row space by about
:math:`\nu\,\|\Sigma^{-1}\eta\|`, more for small signals than for large ones.

Starts are the rows of the first update: neuron j saw :math:`\sum_i u_{ij}\tilde x_i`, which is close to one sample if few of the
remaining ones
move it, and is one sample exactly if only one does. All rows are screened by their cost, which takes one product; rows that solve the
equations already need no descent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from identify.recovery.separation.forward import Chart, HiddenActivations, Layer, signals
from identify.recovery.separation.membership import LEAST_DAMPING, Position, descend, deviations
from identify.recovery.separation.subspace import ROUNDING, Subspace, complement

STARTS, MOST_STARTS = 16, 256
"""Descents in one round; doubled after a round without a hit, up to the second."""
EXACT = 1e-14
"""Cost at which a row solves the equations as it stands."""
HIT = 1e-7
"""Cost in the deflated spaces at which a start is refined."""
SOLVED = 1e-22
"""Cost at which a descent ends."""
SEARCH_STEPS, REFINEMENT_STEPS = 60, 4
ACCEPTED = 4.0
"""A sample is accepted if it misses the subspaces by at most so many times what noise leaves (up to 1.2 times was measured)."""
ROUNDED = 2e-14
"""Relative distance from the subspaces that rounding of the evaluation explains."""
HIDDEN = 3e-2
"""Relative uncertainty from which on a sample cannot be told from noise."""
SAME = 1e-4
"""Relative distance at which two samples count as one: for the search only; duplicates count once in the rank as well."""
TOLD_APART, APART = 10.0, 1e-12
"""A sample stands alone if the second smallest singular value of the equations for its signals is more than the first times the
smallest, and more than the second relative to the largest."""
PATIENCE, FEW = 40, 3
"""Rounds without a new sample after which the search ends; after the second if all hits were mixtures and there are more equations."""
FORWARD = 3.0
"""Relative error of the hidden activations that whoever computed the updates made, in units of rounding (measured)."""
LOOSELY, DEEP = 30.0, 1e4
"""A sample fits a deeper layer if it misses its row space by at most the first times its uncertainty, or the second times rounding: errors
of the sample grow on the way."""
SPARE = 16
"""Equations beyond the unknowns from which on the misfit of a sample shows its noise."""
FEW_ROWS = 1024
"""Rows of the first update that are screened in one round."""


@dataclass(eq=False)
class Peeled:
    """What was found, in the coordinates of the first update (or the inputs themselves), and the numbers behind it."""

    coordinates: Float[np.ndarray, "found r"]
    misfits: list[float] = field(default_factory=list)
    """Relative distance of each from the subspaces (dimensionless)."""
    signals: list[Float[np.ndarray, " m"]] = field(default_factory=list)
    """The signal of each at the layer after the hidden ones, if it is determined by itself (deflation)."""
    bars: list[float] = field(default_factory=list)
    """First-order standard error of each sample, in the units of the inputs."""
    uncertainties: list[float] = field(default_factory=list)
    """What noise explains of it (dimensionless)."""
    starts: int = 0
    converged: int = 0
    rounds: int = 0
    rejected: int = 0
    """Hits that do not solve the original equations to their precision."""
    mixed: int = 0
    """Hits that solve them, but are not told apart from mixtures with other samples."""
    hidden: int = 0
    """Hits whose signal is too small for this precision."""


@dataclass(frozen=True, eq=False)
class Deeper:
    """Further hidden layers, and the subspaces of the updates of the layers after them."""

    layers: Sequence[Layer]
    """All hidden layers, those that are searched included."""
    lifted: Sequence[bool]
    """For each, whether the update of the next layer has a bias column."""
    subspaces: Sequence[Subspace]
    """Of the updates of the layers after them, those that are searched included."""


@dataclass(eq=False)
class Peeling:
    """The search for all samples behind the updates of some dense layers.

    Attributes
    ----------
    layers
        The hidden layers that are used, from the first on.
    W_next
        Weights of the layer after them.
    subspaces
        Of the updates of these layers and of the next, from the first on. All but the first have as many triples as there are samples;
        the first may have fewer, and then nothing is deflated (more samples than inputs, or dependent ones).
    lifted
        For each update, whether it has a bias column.
    seed
        Of the random starts.
    """

    layers: Sequence[Layer]
    W_next: Float[np.ndarray, "k m"]
    subspaces: list[Subspace]
    lifted: Sequence[bool]
    seed: int = 0
    unit_roundoff: float = ROUNDING / 2
    """Of the arithmetic in which the updates were computed."""
    go_on: Callable[[], bool] = lambda: True
    progress: Callable[[str], None] = lambda step: None
    deeper: Deeper | None = None
    """The hidden layers beyond, if their updates were observed too: they are not searched, but every sample must fit them."""
    group: str = "none"
    """What the equations leave open for each sample (:class:`~identify.problem.ambiguity.Ambiguity`): hits are compared modulo it."""
    gives_up_on_mixtures: bool = False
    """End after a few rounds in which all hits are mixtures: for a caller that has more equations."""

    def __post_init__(self) -> None:
        first = self.subspaces[0]
        self.map = self.layers[0].W @ first.right[:, : self.layers[0].W.shape[1]].T
        self.offset = self.layers[0].bias
        self.unit = first.right[:, -1] if self.lifted[0] else None
        """The bias coordinate of a point with coordinates eta is unit·eta, and is 1."""
        self.rng = np.random.default_rng(self.seed)
        self.n_samples = len(self.subspaces[-1].values)
        self.is_deflating = len(first.values) == self.n_samples
        self.found = Peeled(np.zeros((0, len(first.values))))
        self.everywhere = self._chart(np.zeros((0, len(first.values))))
        self.tried: set[tuple[int, int]] = set()

    def run(self) -> Peeled:
        """Search until all samples are found, or ``go_on`` says no."""
        n, per, barren = self.n_samples, STARTS, 0
        while len(self.found.coordinates) < n and self.go_on():
            before = len(self.found.coordinates)
            self.found.rounds += 1
            hits = self._hits(per)
            if len(hits):
                self._accept(hits)
            new = len(self.found.coordinates) - before
            per = STARTS if new else min(2 * per, MOST_STARTS)
            barren = 0 if new else barren + 1
            if barren >= PATIENCE or (self.gives_up_on_mixtures and barren >= FEW and self.found.mixed):
                break
            if new:
                self.progress(f"{before + new} of {n} samples")
        return self.found

    def _chart(self, avoided: Float[np.ndarray, "known n"]) -> Chart:
        """The coordinates that known samples leave, normalised by the bias if it was observed."""
        n = avoided.shape[1]
        if self.unit is None:
            return Chart.of(self.map, self.offset, np.zeros(n), complement(avoided).T)
        within = complement(avoided)
        direction = within.T @ (within @ self.unit)
        size = np.linalg.norm(direction)
        basis = complement(np.vstack([avoided, direction / size])).T
        return Chart.of(self.map, self.offset, direction / size**2, basis)

    def _images(self, chart: Chart) -> HiddenActivations:
        return HiddenActivations(self.layers, chart, self.lifted[1:])

    def _hits(self, per: int) -> Float[np.ndarray, "hits n"]:
        """Coordinates of distinct points that solve the equations in the spaces that the known samples leave."""
        chart = self._chart(self.subspaces[0].inputs_avoid) if self.is_deflating else self.everywhere
        images = self._images(chart)
        spaces = [complement(space.inputs_avoid) @ space.right for space in self.subspaces[1:]]
        if not chart.basis.shape[1]:
            return chart.origin[None]
        rows, numbers = self._rows(chart)
        screened = Position.of(images, spaces, rows)
        order = np.argsort(screened.costs, kind="stable")
        exact = order[screened.costs[order] < EXACT]
        hits = _distinct(self._representatives(screened.points[exact]), MOST_STARTS)
        if len(hits) < max(3, self.subspaces[-1].n_unknown // STARTS):
            known = len(self.found.coordinates) if self.is_deflating else 0
            fresh = [k for k in order[len(exact) :] if (int(numbers[k]), known) not in self.tried][:per]
            self.tried.update((int(numbers[k]), known) for k in fresh)
            starts = rows[fresh] if fresh else self._mixtures(rows, per)
            reached = descend(images, spaces, starts, steps=SEARCH_STEPS, enough=SOLVED, go_on=self.go_on)
            self.found.starts += len(starts)
            good = np.flatnonzero(reached.costs < np.maximum(HIT, self._explained(chart, reached.points)))
            self.found.converged += len(good)
            best_first = reached.points[good[np.argsort(reached.costs[good], kind="stable")]]
            hits = _distinct(np.vstack([hits, self._representatives(best_first)]), MOST_STARTS)
        return chart.coordinates(hits)

    def _representatives(self, points: Float[np.ndarray, "points unknowns"]) -> Float[np.ndarray, "points unknowns"]:
        """One of all points that the group exchanges: of unit length, or positive along a fixed direction. Such charts are linear."""
        if self.group == "positive scaling":
            return points / np.linalg.norm(points, axis=1, keepdims=True)
        if self.group == "sign":
            along = points @ np.cos(np.arange(1.0, points.shape[1] + 1))
            return points * np.where(along < 0, -1.0, 1.0)[:, None]
        return points

    def _explained(self, chart: Chart, points: np.ndarray) -> Float[np.ndarray, " starts"]:
        """The cost that noise explains at these points of the chart, in the equations as they were given; at most that of HIDDEN."""
        vectors = self._images(chart).values(points)
        shares = [s.uncertainty(v @ s.right.T) / np.linalg.norm(v, axis=1) for s, v in zip(self.subspaces[1:], vectors, strict=True)]
        return np.minimum(ACCEPTED * np.linalg.norm(shares, axis=0), HIDDEN) ** 2

    def _rows(self, chart: Chart) -> tuple[Float[np.ndarray, "rows unknowns"], np.ndarray]:
        """Rows of the first update without the share of the known samples, as points of the chart, and which neurons they are."""
        first, known = self.subspaces[0], self.found.coordinates
        rows = first.left * first.values
        numbers = np.arange(len(rows))
        if len(rows) > FEW_ROWS:
            numbers = np.sort(self.rng.choice(len(rows), FEW_ROWS, replace=False))
            rows = rows[numbers]
        if len(known) and self.is_deflating:
            avoid = first.inputs_avoid
            rows = rows - (rows @ avoid.T) @ np.linalg.solve(avoid @ known.T, np.eye(len(known))).T @ known
        if self.unit is not None:
            weight = rows @ self.unit
            clear = np.abs(weight) > 1e-6 * np.abs(weight).max(initial=0.0)
            rows, numbers = rows[clear] / weight[clear, None], numbers[clear]
        else:
            size = np.linalg.norm(rows, axis=1)
            clear = size > 1e-6 * size.max(initial=0.0)
            signs = self.rng.choice([-1.0, 1.0], int(clear.sum()))
            rows, numbers = rows[clear] * (signs / size[clear])[:, None] * self.typical_size(), numbers[clear]
        return chart.points(rows), numbers

    def typical_size(self) -> float:
        """Of the coordinates of a start whose scale no bias fixes: pre-activations of size one."""
        spread = np.linalg.norm(self.map) / np.sqrt(self.map.size)
        return float(self.rng.lognormal(0.0, 1.0) / max(spread, ROUNDING) / np.sqrt(self.map.shape[1]) ** 0.5)

    def _mixtures(self, rows: Float[np.ndarray, "rows unknowns"], per: int) -> Float[np.ndarray, "starts unknowns"]:
        """Affine combinations of two or three rows, for when all rows were tried."""
        chosen = self.rng.integers(len(rows), size=(per, 3))
        weights = self.rng.standard_normal((per, 3))
        weights[:, 0] = 1 - weights[:, 1:].sum(axis=1)
        return np.einsum("sk,sku->su", weights, rows[chosen])

    def _accept(self, hits: Float[np.ndarray, "hits n"]) -> None:
        """Refine hits on the original equations; keep those that solve them, and deflate."""
        found, chart = self.found, self.everywhere
        images = self._images(chart)
        spaces = [space.right for space in self.subspaces[1:]]
        refined = descend(images, spaces, chart.points(hits), steps=REFINEMENT_STEPS, damping=LEAST_DAMPING)
        at = Position.of(images, spaces, self._representatives(refined.points))
        slopes = images.slopes(at.points)
        misfits = np.sqrt(at.costs)
        expected = self._expected(at)
        fits = self._fits_deeper(at.points)
        shares = [
            space.uncertainty(c) / np.linalg.norm(v, axis=1)
            for space, c, v in zip(self.subspaces[1:], at.coordinates, at.vectors, strict=True)
        ]
        uncertain = np.linalg.norm(shares, axis=0)
        coordinates = chart.coordinates(at.points)
        bars = self._bars(images, spaces, at, coordinates)
        for k in np.argsort(misfits, kind="stable"):
            eta = coordinates[k]
            if len(found.coordinates) == self.n_samples:
                return
            if any(np.linalg.norm(eta - other) < SAME * np.linalg.norm(other) for other in found.coordinates):
                continue
            if misfits[k] > max(ACCEPTED * expected[k], ROUNDED):
                found.rejected += 1
                continue
            if not fits[k]:
                found.mixed += 1
                continue
            if uncertain[k] > HIDDEN:
                found.hidden += 1
                continue
            if not np.isfinite(bars[k]):  # on a line of mixtures of samples, or too close to one for this precision
                found.mixed += 1
                continue
            if self.is_deflating and not self._deflated([slope[k] for slope in slopes], [eta, *(c[k] for c in at.coordinates)]):
                found.mixed += 1
                continue
            found.coordinates = np.vstack([found.coordinates, eta])
            found.misfits.append(float(misfits[k]))
            found.bars.append(float(bars[k]))
            found.uncertainties.append(float(uncertain[k]))

    def _expected(self, at: Position) -> Float[np.ndarray, " starts"]:
        """The misfit that noise leaves an exact sample, in the root mean square, and that of evaluating the network in this precision."""
        terms = []
        for space, v, c in zip(self.subspaces[1:], at.vectors, at.coordinates, strict=True):
            beyond = max(v.shape[1] - len(space.values), 1)
            terms.append(np.hypot(space.deviation(c) * beyond**0.5 / np.linalg.norm(v, axis=1), FORWARD * self.unit_roundoff))
        return np.linalg.norm(terms, axis=0)

    def _fits_deeper(self, points: np.ndarray) -> np.ndarray:
        """Whether samples that fit the layers that are searched fit the deeper ones as well, up to noise and how it grows on the way."""
        if self.deeper is None:
            return np.ones(len(points), dtype=bool)
        vectors = HiddenActivations(self.deeper.layers, self.everywhere, self.deeper.lifted).values(points)
        fits = np.ones(len(points), dtype=bool)
        for v, space in zip(vectors, self.deeper.subspaces, strict=True):
            size, c = np.linalg.norm(v, axis=1), v @ space.right.T
            fits &= np.linalg.norm(v - c @ space.right, axis=1) <= np.maximum(
                LOOSELY * space.uncertainty(c), DEEP * self.unit_roundoff * size
            )
        return fits

    def _bars(self, images: HiddenActivations, spaces: list[np.ndarray], at: Position, coordinates: np.ndarray) -> np.ndarray:
        """Standard errors: within the row space of the first update by the equations, outside it by the noise of that row space.

        How far a refined sample misses the row spaces shows the noise of its own equations, whatever its cause (rounding of the updates, or
        of the activations that they were computed from), if there are enough equations. It is no less than what noise and the rounding of
        the computation here predict; few equations are also helped by the rounding of whoever computed the updates.
        """
        shares = []
        for space, v, c, outside in zip(self.subspaces[1:], at.vectors, at.coordinates, at.outside, strict=True):
            size = np.linalg.norm(v, axis=1)
            spare = v.shape[1] - len(space.values) - at.points.shape[1] / len(at.vectors)
            share = np.linalg.norm(outside, axis=1) / size / max(spare, 1.0) ** 0.5
            evaluation = FORWARD * (ROUNDING / 2 if spare >= SPARE else self.unit_roundoff) / v.shape[1] ** 0.5
            shares.append(np.maximum(share, np.hypot(space.deviation(c) / size, evaluation)))
        first = self.subspaces[0]
        beyond = first.right.shape[1] - len(first.values)
        across = first.deviation(coordinates) * np.sqrt(beyond)
        free = at.points if self.group == "positive scaling" else None
        return np.hypot(deviations(images, spaces, at, shares, free), across)

    def _deflated(self, slopes: list[np.ndarray], inputs: list[np.ndarray]) -> bool:
        """Take a sample out, unless its signals are not determined."""
        own = signals(self.layers, slopes, self.subspaces, self.W_next)
        if self.subspaces[0].n_unknown > 1 and own.kernel[1] < max(TOLD_APART * own.kernel[0], APART):
            return False
        last, y = self.subspaces[-1], own.coordinates[-1]
        self.found.signals.append(last.left @ y / (inputs[-1] @ (y / last.values)))
        self.subspaces = [space.without(h, y) for space, h, y in zip(self.subspaces, inputs, own.coordinates, strict=True)]
        return True


def _distinct(points: Float[np.ndarray, "points unknowns"], most: int) -> Float[np.ndarray, "distinct unknowns"]:
    """The first of each group of points that agree to a relative distance of :data:`SAME`."""
    kept: list[int] = []
    for k, point in enumerate(points):
        if len(kept) == most:
            break
        if not kept or np.linalg.norm(points[kept] - point, axis=1).min() > SAME * np.linalg.norm(point):
            kept.append(k)
    return points[kept]

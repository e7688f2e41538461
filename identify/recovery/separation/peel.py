r"""Sample after sample: search in the spaces that the known samples leave, refine on the original equations, accept, deflate.

Random starts meet easy samples again and again, and the last ones seldom. So each sample that is found is taken out exactly
(:mod:`~identify.recovery.separation.subspace`), and the search goes on where the others lie, in one unknown less. Errors do not add up,
because every hit is refined on the equations as they were given, and is accepted only if it solves them to the precision that noise
leaves *it*: an exact sample with coordinates :math:`\eta` misses the computed row space by about
:math:`\nu\,\|\Sigma^{-1}\eta\|`, more for small signals than for large ones.

A hit may solve the equations along a whole line: samples with the same slopes in the first hidden layers enter their row spaces through
their span alone. Its signals may be determined all the same, by the slopes in the layers above. Then it is *held*: its signals are taken
out, and when those of all samples on the line are known, each sample is the point that is orthogonal to the duals of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from identify.problem.ambiguity import NO_AMBIGUITY, Ambiguity
from identify.recovery.separation.forward import Chart, HiddenActivations, Signals, Stack, signals
from identify.recovery.separation.kept import Kept
from identify.recovery.separation.membership import LEAST_DAMPING, Linearised, Position, descend
from identify.recovery.separation.search import (
    EVALUATION,
    FEW,
    HIDDEN,
    NEAR,
    NEARLY,
    PATIENCE,
    SAME,
    SEARCH_STEPS,
    SHORT,
    SPARE,
    Counts,
    SampleSearch,
    tolerated,
)
from identify.recovery.separation.subspace import ROUNDING, Subspace, complement

REFINEMENT_STEPS, POLISHING_STEPS = 4, 3
UNDETERMINED = 0.1
"""Relative standard error from which on a point counts as not fixed by the equations that are searched."""
LOOSELY, DEEP, DEEPEST = 30.0, 1e4, 1e-2
"""A sample fits a deeper layer, or has signals, if it misses their spaces by at most the first times its uncertainty, or the second times
rounding, at most the third: errors of the sample grow on the way."""
SLOPES = 5.0
"""Standard errors by which pre-activations may be off when the uncertainty of slopes is taken."""
BESIDE = 1e-7
"""Relative distance to which a point is known at most, when kinks beside it are looked for."""
KINK = 0.1
"""Relative change of a slope that is a kink."""
STRIDES = 24
"""Points on each side of a hit at which a line of mixtures is looked at."""


@dataclass(eq=False)
class Peeled(Counts):
    """What was found, in the coordinates of the first update (or the inputs themselves), and the numbers behind it."""

    coordinates: Float[np.ndarray, "found r"]
    misfits: list[float] = field(default_factory=list)
    """Relative distance of each from the subspaces (dimensionless)."""
    multipliers: list[Float[np.ndarray, " C"]] = field(default_factory=list)
    bars: list[float] = field(default_factory=list)
    """First-order standard error of each sample, in the units of the inputs."""
    impostors: int = 0
    """Hits that solve them, but have no signals, or do not fit the deeper layers."""
    together: int = 0
    """Samples that have the same slopes as one another in every layer."""
    held: int = 0
    """Samples whose signals are determined, although the equations leave them a line."""


@dataclass(frozen=True, eq=False)
class Known:
    """A point that was taken out, with everything that the network says about it."""

    coordinates: Float[np.ndarray, " r"]
    bar: float
    """Standard error; infinite if the equations that are searched leave it a line."""
    misfit: float
    entering: list[np.ndarray]
    """Coordinates of what enters each layer in the row space of its update."""
    distances: list[float]
    """Of the same from the row space, relative to its size."""
    blur: float
    """Relative uncertainty of the slopes in all hidden layers."""
    signals: Signals


@dataclass(eq=False)
class Peeling(SampleSearch):
    """The search for all samples behind the updates of some dense layers.

    Attributes
    ----------
    stack
        The network.
    hidden
        How many hidden layers are searched, from the first on. Further ones, if their updates were observed, only test what was found.
    subspaces
        Of the updates, from the first on. The second has as many triples as there are samples to be found, those beyond have as many or
        more; the first may have fewer (more samples than inputs, or dependent ones).
    lifted
        For each update, whether it has a bias column.
    seed
        Of the random starts.
    """

    stack: Stack
    hidden: int
    subspaces: list[Subspace]
    lifted: Sequence[bool]
    seed: int = 0
    unit_roundoff: float = ROUNDING / 2
    """Of the arithmetic in which the updates were computed."""
    go_on: Callable[[], bool] = lambda: True
    progress: Callable[[str], None] = lambda step: None
    kept: Kept = field(default_factory=Kept)
    """Takes what was found after each round; a search begins with what an earlier one left there."""
    ambiguity: Ambiguity = NO_AMBIGUITY
    """What the equations leave open for each sample: hits are compared modulo it."""
    patience: int = PATIENCE
    """Rounds without a new sample after which the search ends."""
    gives_up_on_mixtures: bool = False
    """End after a few rounds in which all hits are mixtures: for a caller that has more equations."""

    def __post_init__(self) -> None:
        first, layer = self.subspaces[0], self.stack.layers[0]
        self.set_up(first, layer.W, layer.bias, is_lifted=self.lifted[0], seed=self.seed)
        self.n_samples = len(self.subspaces[1].values)
        self.complete = [len(space.values) >= self.n_samples for space in self.subspaces]
        self.found = Peeled(np.zeros((0, len(first.values))))
        self.taken: list[Known] = []
        self.groups: list[Float[np.ndarray, "n freedom"]] = []

    @property
    def searched(self) -> list[Subspace]:
        """Whose row spaces are searched."""
        return self.subspaces[1 : self.hidden + 1]

    def _is_settled(self) -> bool:
        """All are taken out, or no more are to be learned: the others share regions, or all hits of some rounds are mixtures."""
        if super()._is_settled() or self.n_known + self.found.together == self.n_samples:
            return True
        return self.gives_up_on_mixtures and self.barren >= FEW and self.found.mixed > 0

    def _finish(self) -> None:
        self._release()
        self.kept.write(self.found.coordinates @ self.first.right)

    @property
    def n_known(self) -> int:
        return len(self.taken)

    @property
    def coordinates(self) -> Float[np.ndarray, "found n"]:
        return self.found.coordinates

    @property
    def n_unknown(self) -> int:
        return self.subspaces[1].n_unknown

    def known(self) -> tuple[Float[np.ndarray, "_ n"], Float[np.ndarray, "_ n"]]:
        """Those that were taken out; nothing is taken out of a first update that does not show all samples."""
        points = np.array([own.coordinates for own in self.taken])
        return self.subspaces[0].avoid, points.reshape(len(self.taken), len(self.first.values))

    def images(self, chart: Chart) -> HiddenActivations:
        return HiddenActivations(self.stack.layers[: self.hidden], chart, self.lifted[1 : self.hidden + 1])

    def remaining(self) -> list[Float[np.ndarray, "_ _"]]:
        return [complement(space.avoid) @ space.right for space in self.searched]

    def uncertain(self, vectors: list[np.ndarray]) -> Float[np.ndarray, " starts"]:
        shares = [space.uncertainty(v @ space.right.T) / np.linalg.norm(v, axis=1) for space, v in zip(self.searched, vectors, strict=True)]
        return np.linalg.norm(shares, axis=0)

    def _accept(self, hits: Float[np.ndarray, "hits n"]) -> None:
        if not len(hits):
            return
        found, chart = self.found, self.everywhere
        images = self.images(chart)
        spaces = [space.right for space in self.searched]
        at = Position.of(images, spaces, self.ambiguity.representatives(chart.points(hits)))
        far = np.flatnonzero(np.sqrt(at.costs) > self._nearly(at))  # the others would only move along lines that the equations leave
        refined = descend(images, spaces, at.points[far], steps=REFINEMENT_STEPS, damping=LEAST_DAMPING)
        at.put(far, Position.of(images, spaces, self.ambiguity.representatives(refined.points)))
        misfits = np.sqrt(at.costs)
        near = misfits <= self._nearly(at)
        found.rejected += int(np.sum(~near))
        walks = FEW if self.barren < FEW else 0
        for k in [k for k in np.argsort(misfits, kind="stable") if near[k]]:
            if len(self.taken) == self.n_samples:
                return
            point, bar, line = self._polished(chart, spaces, at[k : k + 1])
            eta = chart.coordinates(point.points)[0]
            taken = np.array([own.coordinates for own in self.taken]).reshape(-1, len(eta))
            if np.linalg.norm(taken - eta, axis=1).min(initial=np.inf) < SAME * np.linalg.norm(eta):
                continue
            misfit = float(np.sqrt(point.costs[0]))
            if misfit > self._tolerated(point)[0]:
                found.rejected += 1
            elif self.uncertain(point.vectors)[0] > HIDDEN:
                found.hidden += 1
            elif not self._take(self._known(eta, bar, misfit)) and not np.isfinite(bar) and walks:
                walks -= 1
                self._walk(chart, spaces, point, np.linalg.svd(line.triangle)[2][-1])

    def _walk(self, chart: Chart, spaces: list[np.ndarray], at: Position, direction: Float[np.ndarray, " unknowns"]) -> None:
        """Look along a line of mixtures for a point that has signals: those of a sample do not change until a slope does."""
        lengths = np.linalg.norm(chart.coordinates(at.points)) * np.logspace(-5, 0, STRIDES)
        steps = np.stack([lengths, -lengths], axis=1).reshape(-1, 1)
        beside = Position.of(self.images(chart), spaces, self.ambiguity.representatives(at.points + steps * direction))
        misfits = np.sqrt(beside.costs)
        near = [k for k in range(len(steps)) if misfits[k] <= self._tolerated(beside)[k]]
        etas = [chart.coordinates(beside.points[k : k + 1])[0] for k in near]
        groups, same = len(self.groups), dict[bytes, Signals]()
        points = [self._known(eta, float("inf"), float(misfits[k]), same) for eta, k in zip(etas, near, strict=True)]
        for own in points:  # samples that nothing tells apart make signals of others up beyond their own region
            self._shares_region(own)
        if len(self.groups) == groups:
            for own in points:
                if self._take(own):
                    return

    def _tolerated(self, at: Position) -> Float[np.ndarray, " starts"]:
        """The misfit up to which points solve the equations."""
        return tolerated(self._expected(at), self.uncertain(at.vectors))

    def _nearly(self, at: Position) -> Float[np.ndarray, " starts"]:
        """The misfit up to which points are polished."""
        return np.maximum(NEARLY * self._expected(at), NEAR)

    def _polished(self, chart: Chart, spaces: list[np.ndarray], at: Position) -> tuple[Position, float, Linearised]:
        """One hit after Gauss-Newton steps by orthogonal factors, which do not square the condition number, and its standard error."""
        images = self.images(chart)
        for _ in range(POLISHING_STEPS):
            line = Linearised.of(images, spaces, at, at.points[0] if self.ambiguity.has_free_scale else None)
            if not line.fixes:
                break
            step = line.step()
            moved = Position.of(images, spaces, self.ambiguity.representatives(at.points - step))
            if moved.costs[0] > at.costs[0]:
                break
            jumped = _have_kinks(images, np.vstack([moved.points, at.points]))[0]
            at = moved
            if not jumped and np.linalg.norm(step) < SHORT * np.linalg.norm(at.points):  # the equations are the same to first order
                break
        else:
            line = Linearised.of(images, spaces, at, at.points[0] if self.ambiguity.has_free_scale else None)
        coordinates = chart.coordinates(at.points)
        size, bar = float(np.linalg.norm(coordinates)), self._bar(line, at, coordinates)
        if np.isfinite(bar) and at.points.size:
            move = line.weakest() * max(SLOPES * bar, BESIDE * size)
            beside = at.points + np.array([[0.0], [1.0], [-1.0]]) * move
            for k in np.flatnonzero(_have_kinks(images, beside)):  # on a kink, to the precision of this noise, both sides count
                other = Linearised.of(images, spaces, Position.of(images, spaces, beside[k + 1 : k + 2]))
                bar = max(bar, self._bar(other, at, coordinates))
        return at, bar if bar <= UNDETERMINED * size else float("inf"), line

    def _take(self, own: Known) -> bool:
        """Take this point out as a sample, if its signals are determined; hold it, if its equations leave it a line.

        Returns whether there is nothing more to be learned here: it was taken, or is known, or two samples are the same to all layers.
        """
        found, bar = self.found, own.bar
        if own.signals.group.shape[1] != 1:
            found.mixed += 1
            return self._shares_region(own)
        if not self._is_sample(own):
            found.impostors += 1
            return False
        if not np.isfinite(bar):  # on a line of mixtures of samples, or too close to one for this precision
            y = own.signals.coordinates[-1]
            if any(_alike(y, other.signals.coordinates[-1]) for other in self.taken) or any(_within(y, group) for group in self.groups):
                return True
            found.held += 1
        self.taken.append(own)
        self.subspaces = [
            space.without(y) if complete else space
            for space, y, complete in zip(self.subspaces, own.signals.coordinates, self.complete, strict=True)
        ]
        if np.isfinite(bar):
            self._keep(own)
        return True

    def _known(self, eta: Float[np.ndarray, " n"], bar: float, misfit: float, same: dict[bytes, Signals] | None = None) -> Known:
        """What the network says about the point with these coordinates; ``same`` keeps signals, which depend on the slopes alone."""
        return Known(eta, bar, misfit, *self._evaluated(eta, bar, {} if same is None else same))

    def _shares_region(self, own: Known) -> bool:
        """Whether a point lies in one linear region with several samples: these updates hold no more of them than what they span.

        Notes their signals, and drops what was held in their name.
        """
        group, exact = own.signals.group, own.signals.kernel[1] <= min(DEEP * self.unit_roundoff, DEEPEST)
        if group.shape[1] < 2 or not exact or not self._is_sample(own):
            return False
        if not any(_within(column, known) for known in self.groups for column in group.T):
            self.groups.append(group)
            self.found.together = sum(known.shape[1] for known in self.groups)
            made_up = [not np.isfinite(other.bar) and _within(other.signals.coordinates[-1], group) for other in self.taken]
            if any(made_up):
                self.taken = [other for other, gone in zip(self.taken, made_up, strict=True) if not gone]
                self.found.held -= sum(made_up)
                kept = ~np.array(made_up)
                self.subspaces = [replace(space, avoid=space.avoid[kept]) if len(space.avoid) else space for space in self.subspaces]
        return True

    def _evaluated(
        self, eta: Float[np.ndarray, " n"], bar: float, same: dict[bytes, Signals]
    ) -> tuple[list[np.ndarray], list[float], float, Signals]:
        """One point on its way through the whole network: for each observed update the coordinates of what enters the layer and its
        distance from the row space, the uncertainty of all slopes, and the signals."""
        layers = self.stack.layers
        images = HiddenActivations(layers, self.everywhere, [*self.lifted[1:], *[False] * (1 + len(layers) - len(self.lifted))])
        point = self.everywhere.points(eta[None])
        passed = images.passed(point)
        entering, distances = [eta], [0.0]
        for v, space in zip(images.of_passed(passed), self.subspaces[1:], strict=False):
            c = v[0] @ space.right.T
            entering.append(c)
            distances.append(float(np.linalg.norm(v[0] - c @ space.right) / np.linalg.norm(v[0])))
        blur, share = 0.0, SLOPES * bar / np.linalg.norm(eta) if np.isfinite(bar) else 0.0
        slopes = []
        for layer, (z, _) in zip(layers, passed, strict=True):
            about = share * np.sqrt(np.mean(z[0] ** 2))
            own, above, below = layer.activation(z + np.array([[0.0], [about], [-about]]), order=1)
            slopes.append(own)
            change = above - below
            blur += float(np.linalg.norm(change)) / max(float(np.linalg.norm(slopes[-1])), ROUNDING)
        key = b"".join(own.tobytes() for own in slopes)
        if key not in same:
            same[key] = signals(self.stack, slopes, self.subspaces, self.complete)
        return entering, distances, blur, same[key]

    def _is_sample(self, own: Known) -> bool:
        """Whether a point that fits the layers that are searched fits the deeper ones, and has signals in every column space.

        Both up to noise and how it grows on the way; slopes are as uncertain as the point is.
        """
        deeper, rounding = self.hidden + 1, min(DEEP * self.unit_roundoff, DEEPEST)
        for space, c, distance in zip(self.subspaces[deeper:], own.entering[deeper:], own.distances[deeper:], strict=True):
            noise = float(space.uncertainty(c[None])[0]) / max(float(np.linalg.norm(c)), np.finfo(float).tiny)
            if not distance <= max(LOOSELY * noise, rounding):
                return False
        for space, y, misfit in zip(self.subspaces, own.signals.coordinates, own.signals.misfits, strict=True):
            noise = float(space.uncertainty(y[None])[0]) / max(float(np.linalg.norm(y)), ROUNDING)
            if not float(misfit) <= max(LOOSELY * noise, rounding) + own.blur:
                return False
        return True

    def _keep(self, own: Known) -> None:
        """Add a sample to the answer, with its multipliers: duals fix the scale of its signals."""
        found, y = self.found, own.signals.coordinates[-1]
        found.coordinates = np.vstack([found.coordinates, own.coordinates])
        found.multipliers.append(own.signals.multipliers / (own.entering[-1] @ (y / self.subspaces[-1].values)))
        found.bars.append(own.bar)
        found.misfits.append(own.misfit)

    def _release(self) -> None:
        """Find the samples that were held in what the signals of all others leave."""
        for k, held in enumerate(self.taken):
            if np.isfinite(held.bar):
                continue
            avoid = [
                np.delete(space.avoid, k, axis=0) if complete else space.avoid
                for space, complete in zip(self.subspaces, self.complete, strict=True)
            ]
            chart = self.chart(avoid[0])
            images = self.images(chart)
            spaces = [complement(rows) @ space.right for rows, space in zip(avoid[1:], self.searched, strict=False)]
            at = descend(images, spaces, chart.points(held.coordinates[None]), steps=SEARCH_STEPS, damping=LEAST_DAMPING)
            at, bar, _ = self._polished(chart, spaces, at)
            eta = chart.coordinates(at.points)[0]
            bar = float(np.hypot(bar, self._from_others(k, eta)))
            everywhere = Position.of(self.images(self.everywhere), [s.right for s in self.searched], self.everywhere.points(eta[None]))
            misfit = float(np.sqrt(everywhere.costs[0]))
            own = self._known(eta, bar, misfit)
            good = misfit <= self._tolerated(everywhere)[0] + bar / np.linalg.norm(eta)
            if good and np.isfinite(bar) and _alike(own.signals.coordinates[-1], held.signals.coordinates[-1]) and self._is_sample(own):
                self._keep(own)

    def _from_others(self, k: int, eta: Float[np.ndarray, " n"]) -> float:
        """Standard error of a sample with these coordinates by that of the signals of the others: it is orthogonal to their duals.

        With the signals of all samples the inputs are linear, X = U^+ G_1, so errors dU of the signals move them by -U^+ dU X.
        """
        last = self.subspaces[-1]
        spread = np.sqrt(np.mean(last.spread**2))
        own = self.taken[k]
        dual = np.linalg.norm(own.entering[-1] / last.values)  # of the k-th row of U^+
        total = 0.0
        for j, other in enumerate(self.taken):
            if j != k:
                y = other.signals.coordinates[-1] / last.values
                total += (spread * np.linalg.norm(y) / abs(other.entering[-1] @ y) * np.linalg.norm(other.coordinates)) ** 2
        return float(dual * np.sqrt(total))

    def _expected(self, at: Position) -> Float[np.ndarray, " starts"]:
        """The misfit that noise leaves an exact sample, in the root mean square, and that of evaluating the network in this precision."""
        terms = []
        for space, v, c in zip(self.searched, at.vectors, at.coordinates, strict=True):
            c = v @ space.right.T
            beyond = max(v.shape[1] - len(space.values), 1)
            terms.append(np.hypot(space.deviation(c) * beyond**0.5 / np.linalg.norm(v, axis=1), EVALUATION * self.unit_roundoff))
        return np.linalg.norm(terms, axis=0)

    def _bar(self, line: Linearised, at: Position, coordinates: Float[np.ndarray, "1 n"]) -> float:
        """Standard error: within the row space of the first update by the equations, outside it by the noise of that row space.

        How far a refined sample misses the row spaces shows the noise of its own equations, whatever its cause (rounding of the updates, or
        of the activations that they were computed from), if there are enough equations. With few of them it is no less than what the
        noise of the update predicts: they are also helped by the rounding of whoever computed it.
        """
        shares = []
        for space, v, outside in zip(self.searched, at.vectors, at.outside, strict=True):
            size = np.linalg.norm(v)
            spare = v.shape[1] - len(space.values) - at.points.shape[1] / len(at.vectors)
            share = np.linalg.norm(outside) / size / max(spare, 1.0) ** 0.5
            evaluation = EVALUATION * self.unit_roundoff / v.shape[1] ** 0.5
            predicted = 0.0 if spare >= SPARE else float(np.hypot(space.deviation(v @ space.right.T)[0] / size, evaluation))
            shares.append(max(share, predicted))
        first = self.subspaces[0]
        beyond = first.right.shape[1] - len(first.values)
        return float(np.hypot(line.deviation(shares), first.deviation(coordinates)[0] * np.sqrt(beyond)))


def _have_kinks(images: HiddenActivations, points: Float[np.ndarray, "points unknowns"]) -> np.ndarray:
    """For each point but the first, whether its slopes differ from those of the first by a kink."""
    slopes = np.hstack(images.slopes(points))
    return np.abs(slopes[1:] - slopes[0]).max(axis=1) > KINK * np.abs(slopes[0]).max()


def _within(y: Float[np.ndarray, " n"], group: Float[np.ndarray, "n k"]) -> bool:
    """Whether a vector lies in the span of orthonormal columns."""
    return bool(np.linalg.norm(y - group @ (group.T @ y)) < SAME * np.linalg.norm(y))


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two vectors have the same direction, or opposite ones."""
    return bool(1 - abs(one @ other) / (np.linalg.norm(one) * np.linalg.norm(other)) < SAME**2)

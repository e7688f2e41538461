r"""Closed separation: samples behind weights at a stationary point of weight decay, one by one, with the multipliers of the loss.

Let :math:`G = \sum_i g_i\tilde x_i^\top` be the first of two layers, of rank n, at such a point. Its second layer has too small a rank to
count the samples, so their features need not be in a known space. But if the loss is known, :math:`g_i = g(x_i, y_i)` is a function of the
sample and its label (:mod:`~identify.recovery.separation.closures`), and every sample solves

.. math:: g(x, y) \in \operatorname{col}(G), \qquad \tilde x \in \operatorname{row}(G), \qquad \tilde x^\top G^+ g(x, y) = 1,

for its label: K - n + 1 equations for K distinct neurons, in n - 1 unknowns (n without a bias). Equal neurons solve equal equations, and
at such points many are equal. Two samples of one data set satisfy :math:`\tilde x_i^\top G^+ g_k = 0`. With more equations than unknowns
no other points are expected, and those that are found are taken out, as in :mod:`~identify.recovery.separation.columns`. With as many of
both there are other points, and the samples are the n points that satisfy these conditions pairwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from identify.problem.ambiguity import NO_AMBIGUITY, Ambiguity
from identify.recovery.separation.closures import ClosedColumns, Closure, labels_of
from identify.recovery.separation.columns import spreads
from identify.recovery.separation.forward import Activation, Chart
from identify.recovery.separation.kept import Kept
from identify.recovery.separation.membership import LEAST_DAMPING, Linearised, Position, descend
from identify.recovery.separation.search import ACCEPTED, EVALUATION, HIDDEN, SAME, SOLVED, Counts, SampleSearch, _distinct, tolerated
from identify.recovery.separation.subspace import ROUNDING, Subspace, complement

SCREENED, AT_ONCE = 2**14, 2**11
"""Random points of one round, of which those of least cost are starts, and how many of them are evaluated together."""
STARTS, STEPS, STALLED = 128, 400, (1, 0.999)
MOST_STARTS, MOST_STEPS, PATIENTLY = 256, 1000, (12, 0.99)
"""Descents of one round, and when they rest: in the first one after a new sample, and in all others. The equations have long valleys."""
REFINEMENT_STEPS = 20
PATIENCE = 6
"""Rounds without another sample after which the search ends."""
OTHERWISE = 0.2
"""Part of the starts whose label is random, and not that of the network."""
MISFIT, SHARE = 1e-11, 1e-8
"""Distance from the column space, and from the product 1, that count as rounding: how far weights are from a stationary point within the
row space does not show in what is left of the update."""
MOST_HITS = 64
"""Points of least cost that are refined in one round."""
UNIT = np.full((1, 2), 0.5**0.5)
"""Where the second vector of a sample is."""
TOGETHER, LEAST_TOGETHER, MOST_TOGETHER = 10.0, 1e-6, 0.05
"""Two points belong together if their products, which are 0 for samples of one data set and about 1 otherwise, are below so many standard
errors, within these limits."""


@dataclass(eq=False)
class Points(Counts):
    """Points that solve the equations of one sample, in coordinates of the row space and of the column space, with their labels."""

    inputs: Float[np.ndarray, "found n"]
    signals: Float[np.ndarray, "found n"]
    labels: Int[np.ndarray, " found"]
    bars: Float[np.ndarray, " found"]
    """First-order standard error of each input, in its units."""
    chosen: Int[np.ndarray, " chosen"] = field(default_factory=lambda: np.zeros(0, int))
    """Those that belong together, the most that were found."""


@dataclass(eq=False)
class ClosedSearch(SampleSearch):
    """The search for all samples behind the first of two layers.

    Attributes
    ----------
    update
        With its bias column, if ``is_lifted``.
    space
        Its leading singular triples, as many as there are samples.
    W, bias, activation, output, output_bias
        The network.
    closure
        Its loss.
    scale
        The update divided by the weights.
    """

    update: Float[np.ndarray, "m D"]
    space: Subspace
    W: Float[np.ndarray, "m d"]
    bias: Float[np.ndarray, " m"]
    activation: Activation
    output: Float[np.ndarray, "C m"]
    output_bias: Float[np.ndarray, " C"]
    closure: Closure
    scale: float
    is_lifted: bool
    unit_roundoff: float = ROUNDING / 2
    ambiguity: Ambiguity = NO_AMBIGUITY
    seed: int = 0
    patience: int = PATIENCE
    go_on: Callable[[], bool] = lambda: True
    progress: Callable[[str], None] = lambda step: None
    kept: Kept = field(default_factory=Kept)

    def __post_init__(self) -> None:
        n = self.n_samples = len(self.space.values)
        self.set_up(self.space, self.W, self.bias, is_lifted=self.is_lifted, seed=self.seed)
        self.found = Points(np.zeros((0, n)), np.zeros((0, n)), np.zeros(0, int), np.zeros(0))
        self.spreads = spreads(self.update, self.space)
        self.inverse = self.space.left.T / self.space.values[:, None]

    @property
    def n_known(self) -> int:
        return len(self.found.chosen)

    @property
    def coordinates(self) -> Float[np.ndarray, "found n"]:
        return self.found.inputs[self.found.chosen]

    @property
    def n_unknown(self) -> int:
        return self.n_samples - self.n_known - self.is_lifted

    def known(self) -> tuple[Float[np.ndarray, "_ n"], Float[np.ndarray, "_ n"]]:
        duals = self.found.signals[self.found.chosen] / self.space.values
        return duals / np.linalg.norm(duals, axis=1, keepdims=True), self.coordinates

    def images(self, chart: Chart) -> ClosedColumns:
        return ClosedColumns(chart, self.output_bias, self.output, self.activation, self.closure, self.inverse)

    def remaining(self) -> list[Float[np.ndarray, "_ _"]]:
        return [complement(self.coordinates / self.space.values) @ self.space.left.T, UNIT]

    def uncertain(self, vectors: list[np.ndarray]) -> Float[np.ndarray, " starts"]:
        v = vectors[0]
        return self.space.uncertainty(v @ self.space.left) / np.linalg.norm(v, axis=1)

    def hits(self, per: int) -> Float[np.ndarray, "hits n"]:
        """From random points; every third round without a sample among those that the known ones leave out as well."""
        leaves_out = self.barren % 3 < 2
        chart = self.chart(self.known()[0]) if leaves_out else self.everywhere
        images, spaces = self.images(chart), self.remaining() if leaves_out else [self.space.left.T, UNIT]
        if not chart.basis.shape[1]:
            return chart.origin[None]
        number, steps, stalled = (MOST_STARTS, MOST_STEPS, PATIENTLY) if self.barren else (STARTS, STEPS, STALLED)
        starts = self._starts(images, spaces, number)
        reached = descend(images, spaces, starts, steps=steps, enough=SOLVED, stalled=stalled, go_on=self.go_on)
        explained = np.minimum(tolerated(*self._expected(images, reached)), HIDDEN) ** 2
        good = np.flatnonzero(reached.costs < np.maximum(self.hit, explained))
        self.found.starts += len(starts)
        self.found.converged += len(good)
        best_first = reached.points[good[np.argsort(reached.costs[good], kind="stable")], :-1]
        return chart.coordinates(_distinct(best_first)[:MOST_HITS])

    def _starts(self, images: ClosedColumns, spaces: list[np.ndarray], number: int) -> Float[np.ndarray, "starts unknowns"]:
        """Random points of least cost, most of them with the label that the network gives them."""
        unknowns, best, costs = images.chart.basis.shape[1], np.zeros((0, images.chart.basis.shape[1] + 1)), np.zeros(0)
        spread = np.linalg.norm(images.chart.slopes) / np.sqrt(images.chart.slopes.size)
        for _ in range(SCREENED // AT_ONCE):
            sizes = self.rng.lognormal(0.0, 0.7, (AT_ONCE, 1)) / max(float(spread), ROUNDING) / unknowns**0.5
            points = sizes * self.rng.standard_normal((AT_ONCE, unknowns))
            labels = self.closure.labels(images.outputs(points))
            others = self.rng.random(AT_ONCE) < OTHERWISE
            labels[others] = self.rng.integers(self.closure.classes, size=int(others.sum()))
            points = np.column_stack([points, labels])
            best = np.vstack([best, points])
            costs = np.append(costs, Position.of(images, spaces, points).costs)
            order = np.argsort(costs, kind="stable")[:number]
            best, costs = best[order], costs[order]
        return best

    def _expected(self, images: ClosedColumns, at: Position) -> tuple[Float[np.ndarray, " starts"], Float[np.ndarray, " starts"]]:
        """The distance of g from the column space, relative to its size, that noise leaves in the root mean square, and at most."""
        v, y = at.vectors[0], at.vectors[0] @ self.space.left
        deviation = np.linalg.norm((y / self.space.values) @ (self.space.right * self.spreads[1]), axis=1)
        beyond = max(v.shape[1] - len(self.space.values), 1) ** 0.5
        sizes = np.linalg.norm(v, axis=1)
        expected = np.hypot(deviation, self._evaluated(images, at)) * beyond / sizes
        return np.hypot(expected, EVALUATION * self.unit_roundoff), self.uncertain(at.vectors)

    def _evaluated(self, images: ClosedColumns, at: Position) -> Float[np.ndarray, " starts"]:
        """Standard deviation of an entry of g by the noise of the weights with which it is evaluated: those are the update itself."""
        noise = float(np.sqrt(np.mean(self.space.spread**2))) / self.scale
        z, slopes, f, back = images.parts(at.points)
        before = noise * np.linalg.norm(images.chart.coordinates(at.points[:, :-1]), axis=1)
        outputs = np.hypot(before * np.linalg.norm(slopes @ self.output.T**2, axis=1), noise * np.linalg.norm(self.activation(z), axis=1))
        moves = np.matmul(self.output.T, self.closure.tangent(f, np.tile(np.eye(len(self.output)), (len(f), 1, 1))))
        c = self.closure.multipliers(f, labels_of(at.points))
        moved = [
            before * np.linalg.norm(back * self.activation(z, order=2), axis=1),
            outputs * np.linalg.norm(slopes[:, :, None] * moves, axis=(1, 2)),
            noise * np.linalg.norm(c, axis=1) * np.linalg.norm(slopes, axis=1),
        ]
        return np.sqrt(sum(part**2 for part in moved) / z.shape[1])

    def _share_error(self, images: ClosedColumns, at: Position) -> Float[np.ndarray, " starts"]:
        """The standard error of the product that is 1 for a sample: noise E moves it by G^+ E G^+, and that of g by G^+."""
        eta, y = images.chart.coordinates(at.points[:, :-1]), at.vectors[0] @ self.space.left
        inputs, signals = (np.linalg.norm(part / self.space.values, axis=1) for part in (eta, y))
        noise = np.maximum(float(np.max(self.space.spread)), EVALUATION * self.unit_roundoff * self.space.values[0])
        return inputs * np.hypot(noise * signals, self._evaluated(images, at))

    def outside(self, inputs: Float[np.ndarray, "samples n"]) -> Float[np.ndarray, " samples"]:
        """Standard error of samples with these coordinates outside the row space, by the noise of its rows."""
        across = np.linalg.norm((inputs / self.space.values) @ (self.space.left * self.spreads[0][:, None]).T, axis=1)
        return across * max(self.space.right.shape[1] - len(self.space.values), 0) ** 0.5

    def doubt(self) -> Float[np.ndarray, " chosen"]:
        """For each chosen sample, how much larger the noise of g is than that of the update, if the weights have it, too."""
        found, images = self.found, self.images(self.everywhere)
        points = np.column_stack([self.everywhere.points(self.coordinates), found.labels[found.chosen]])
        at = Position.of(images, [self.space.left.T, UNIT], points)
        own = np.sqrt(np.mean(self.space.spread**2)) * np.linalg.norm(found.signals[found.chosen] / self.space.values, axis=1)
        return np.hypot(1.0, self._evaluated(images, at) / own)

    def _accept(self, hits: Float[np.ndarray, "hits n"]) -> None:
        if not len(hits):
            return
        found, images, spaces = self.found, self.images(self.everywhere), [self.space.left.T, UNIT]
        points = self.everywhere.points(hits)
        each = [np.column_stack([points, np.full(len(points), label)]) for label in range(self.closure.classes)]
        costs = np.stack([Position.of(images, spaces, at).costs for at in each])
        labels = costs.argmin(axis=0)
        at = descend(images, spaces, np.column_stack([points, labels]), steps=REFINEMENT_STEPS, enough=ROUNDING**2, damping=LEAST_DAMPING)
        expected, uncertain = self._expected(images, at)
        misfits = np.linalg.norm(at.outside[0], axis=1) / np.linalg.norm(at.vectors[0], axis=1)
        allowed, share = np.maximum(tolerated(expected, uncertain), MISFIT), self._share_error(images, at)
        shares = np.abs(at.vectors[1][:, 0] - 1)
        for j in np.argsort(at.costs, kind="stable"):
            eta, label = self.everywhere.coordinates(at.points[[j], :-1])[0], int(labels_of(at.points[[j]])[0])
            alike = found.labels == label
            if np.linalg.norm(found.inputs[alike] - eta, axis=1).min(initial=np.inf) < SAME * np.linalg.norm(eta):
                continue
            if not misfits[j] <= allowed[j] or not shares[j] <= max(ACCEPTED * share[j], SHARE):
                found.rejected += 1
                continue
            if uncertain[j] > HIDDEN:
                found.hidden += 1
                continue
            noise = [max(expected[j], misfits[j]) / at.vectors[0].shape[1] ** 0.5, max(share[j], shares[j]) / 2]
            bar = Linearised.of(images, spaces, at[[j]], images.gauge(at.points[[j]])[0]).deviation(noise)
            if not np.isfinite(bar):
                found.mixed += 1
                continue
            bar = float(np.hypot(bar, self.outside(eta[None])[0]))
            found.inputs, found.signals = np.vstack([found.inputs, eta]), np.vstack([found.signals, at.vectors[0][j] @ self.space.left])
            found.labels, found.bars = np.append(found.labels, label), np.append(found.bars, bar)
        found.chosen = self._together()

    def _together(self) -> Int[np.ndarray, " chosen"]:
        """The largest set of points of one data set that grows from one of them."""
        joined = self._are_joined()
        best: list[int] = []
        for first in range(len(joined)):
            group = [first]
            for k in np.argsort(-joined.sum(axis=1), kind="stable"):
                if k != first and joined[k, group].all():
                    group.append(int(k))
            best = max(best, group, key=len)
        return np.array(best, dtype=int)

    def _are_joined(self) -> Bool[np.ndarray, "found found"]:
        found = self.found
        duals = found.signals / self.space.values
        products = np.abs(found.inputs @ duals.T)
        lengths, sizes = np.linalg.norm(found.inputs, axis=1), np.linalg.norm(duals, axis=1)
        errors = np.outer(found.bars, sizes)  # of the inputs, and of signals, which these move by as much relative to their sizes
        errors += np.outer(np.linalg.norm(found.inputs / self.space.values, axis=1), sizes) * float(np.max(self.space.spread))
        errors += np.outer(lengths, sizes * found.bars / np.maximum(lengths, np.finfo(float).tiny))
        joined = products < np.clip(TOGETHER * errors, LEAST_TOGETHER, MOST_TOGETHER)
        return joined & joined.T


def result_numbers(search: ClosedSearch, neurons: int) -> dict[str, Any]:
    """What the evidence says of a search."""
    found, n = search.found, search.n_samples
    names = ("starts", "converged", "rounds", "rejected", "mixed", "hidden")
    counts = {name: getattr(found, name) for name in names}
    return counts | {
        "points": len(found.inputs),
        "neurons": neurons,
        "equations": neurons - n + 1,
        "unknowns": n - search.is_lifted,
        "loss": search.closure.loss,
    }

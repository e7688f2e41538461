r"""Separation behind a known map: every sample satisfies :math:`\tilde\varphi(x)\in\operatorname{row}(G)`, whatever the network.

The update of a dense layer that reads :math:`\varphi` is :math:`G = \sum_i u_i\,\tilde\varphi(x_i)^\top`. If its rank is n, the number of
samples, all :math:`\tilde\varphi(x_i)` lie in its row space: columns − n equations in the d entries of *one* sample. Levenberg-Marquardt
from random starts solves them. Samples that are known are taken out by the size by which the misfit is divided
(:mod:`~identify.recovery.separation.feature_map`), so the last sample is found as easily as the first.

One layer does not show the signal of a known sample by itself: :math:`u_i = G w_i` for the :math:`w_i` with
:math:`\tilde\varphi(x_k)\cdot w_i = \delta_{ik}`, and that depends on all the others. So nothing is taken out of G. When all samples are
known, the signals are a linear least-squares problem; before, they are not determined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from identify.problem.ambiguity import Ambiguity
from identify.problem.features import FeatureSystem
from identify.recovery.separation.feature_map import FeatureMap, FeatureVectors
from identify.recovery.separation.membership import LEAST_DAMPING, Linearised, Position, descend
from identify.recovery.separation.search import ACCEPTED, EVALUATION, HIDDEN, NEARLY, SAME, SHORT, SPARE, tolerated
from identify.recovery.separation.subspace import ROUNDING, Subspace

STARTS, PATIENCE = 4, 64
"""Descents at a time, and descents without a new sample after which the search ends, unless the caller says how many."""
HIT, SOLVED = 1e-7, 1e-26
"""Cost at which a descent is refined, and at which it ends."""
SEARCH_STEPS, STAGE_STEPS, REFINEMENT_STEPS, POLISHING_STEPS = 60, 25, 6, 8
UNSEEN = 1e-10
"""Singular value of a Jacobian, relative to the largest, that counts as zero."""
DEPENDENT = 1e-6
"""Relative distance from the span of known feature vectors from which on a point is a sample of its own."""
SPREAD, TEXTURE = 2.0, 0.15
"""Standard deviation of the logarithm (base 2) of the size of a start without a box, and of its entries about their level with one."""

ENOUGH, WIDER = 3, 2.0
"""Known samples from which on every second start is drawn after them, with so many times their standard deviations: what samples have in
common, such as a background and strokes, is seldom met by chance."""


@dataclass(eq=False)
class Found:
    """Samples and the numbers behind them."""

    X: Float[np.ndarray, "found d"]
    vectors: Float[np.ndarray, "found columns"]
    """The feature vectors of the samples, with a 1 for the bias."""
    bars: list[float] = field(default_factory=list)
    """First-order standard error of each; infinite if the map does not see all of a sample."""
    starts: int = 0
    converged: int = 0
    """Descents that ended at a point that solves the equations."""
    again: int = 0
    """Of these, how many ended at a sample that another one had found."""
    others: int = 0
    """Points that solve the equations, but whose feature vectors depend on those of the samples: other data with the same features."""
    mixed: int = 0
    """Points from which mixtures of samples lead away."""
    hidden: int = 0
    """Points whose signal is too small for this precision."""
    rejected: int = 0
    """Points that do not solve the equations to the precision that noise leaves them."""


@dataclass(eq=False)
class FeatureSearch:
    """The search for all samples behind one layer that reads a known map.

    Attributes
    ----------
    space
        Of the update, with as many triples as there are samples.
    unit
        Unit roundoff of the numbers of the update.
    ambiguity
        What the equations leave open for each sample.
    smoothed
        Maps through which every descent goes first.
    at_a_time
        Descents that fit in memory together.
    most
        Descents in all; None: until :data:`PATIENCE` of them have found nothing new.
    """

    system: FeatureSystem
    map: FeatureMap
    smoothed: Sequence[FeatureMap]
    space: Subspace
    unit: float
    ambiguity: Ambiguity
    seed: int = 0
    at_a_time: int = STARTS
    most: int | None = None
    go_on: Callable[[], bool] = lambda: True
    progress: Callable[[str], None] = lambda step: None

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.n_samples, columns = self.space.right.shape
        self.found = Found(np.zeros((0, self.system.n_inputs)), np.zeros((0, columns)))

    def run(self) -> Found:
        """Search until all samples are found and a few descents without deflation confirm them, or ``go_on`` says no."""
        found, barren = self.found, 0
        while len(found.X) < self.n_samples and self._may_start(barren):
            before = len(found.X)
            self.round(deflated=True)
            new = len(found.X) - before
            barren = 0 if new else barren + self.at_a_time
            if new:
                self.progress(f"{len(found.X)} of {self.n_samples} samples")
        if len(found.X) == self.n_samples and self.go_on():
            self.round(deflated=False)
        return found

    def _may_start(self, barren: int) -> bool:
        within = barren < PATIENCE if self.most is None else self.found.starts < self.most
        return within and self.go_on()

    def _known(self) -> Float[np.ndarray, "known columns"]:
        """Orthonormal rows that span the feature vectors of the samples that are known."""
        return np.linalg.qr(self.found.vectors.T)[0].T

    def _vectors(self, *, deflated: bool) -> list[FeatureVectors]:
        """Of the smoothed maps and of the map itself."""
        known = self._known() if deflated else self.found.vectors[:0]
        return [FeatureVectors(map, self.system.bias is not None, known) for map in (*self.smoothed, self.map)]

    def starts(self, count: int) -> Float[np.ndarray, "count d"]:
        """Random points: a level each, and entries about it; within the box if there is one, else of sizes over some powers of two."""
        shape = (count, self.system.n_inputs)
        if self.system.box is None:
            size = 2.0 ** self.rng.normal(-1.0, SPREAD, (count, 1))
            return size * (self.rng.standard_normal((count, 1)) + 0.5 * self.rng.standard_normal(shape))
        low, high = self.system.box
        inside = np.clip(self.rng.random((count, 1)) + TEXTURE * self.rng.standard_normal(shape), 0.0, 1.0)
        return low + (high - low) * inside

    def _like_known(self, count: int) -> Float[np.ndarray, "count d"]:
        """Random points with the mean of the samples that are known, and their covariance times a factor."""
        mean = self.found.X.mean(axis=0)
        weights = WIDER * self.rng.standard_normal((count, len(self.found.X))) / len(self.found.X) ** 0.5
        return mean + weights @ (self.found.X - mean)

    def round(self, *, deflated: bool) -> None:
        """A few descents from random starts, without the samples that are known if ``deflated``; what they find goes to ``found``."""
        rows, stages = self.space.right, self._vectors(deflated=deflated)
        points = self.starts(self.at_a_time)
        if len(self.found.X) >= ENOUGH:
            some = slice(self.rng.integers(2), None, 2)
            points[some] = self._like_known(len(points[some]))
        self.found.starts += len(points)
        points = points[np.isfinite(Position.of(stages[0], [rows], points).costs)]
        if not len(points):
            return
        for images in stages[:-1]:
            points = descend(images, [rows], points, steps=STAGE_STEPS, enough=SOLVED, go_on=self.go_on).points
        reached = descend(stages[-1], [rows], points, steps=SEARCH_STEPS, enough=SOLVED, go_on=self.go_on)
        size = np.linalg.norm(reached.vectors[0], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            explained = np.minimum(ACCEPTED * self._expected(reached.coordinates[0], size, size), HIDDEN) ** 2
        good = reached.costs < np.maximum(HIT, explained)
        if good.any():
            self._accept(reached.points[good])

    def _expected(self, coordinates: np.ndarray, size: np.ndarray, relative_to: np.ndarray) -> Float[np.ndarray, " starts"]:
        """The misfit that noise leaves an exact sample, in the root mean square, and that of evaluating the map in this precision."""
        beyond = max(self.space.right.shape[1] - self.n_samples, 1)
        evaluation = EVALUATION * max(self.unit, self.map.rounding) * size / relative_to
        return np.hypot(self.space.deviation(coordinates) * beyond**0.5 / relative_to, evaluation)

    def _accept(self, hits: Float[np.ndarray, "hits d"]) -> None:
        """Refine hits on the equations as they were given, and sort them: samples, samples again, other solutions, mixtures, noise."""
        found, rows = self.found, self.space.right
        images = self._vectors(deflated=False)[-1]
        hits = self.ambiguity.representatives(hits)
        refined = descend(images, [rows], hits, steps=REFINEMENT_STEPS, damping=LEAST_DAMPING)
        at = Position.of(images, [rows], self.ambiguity.representatives(refined.points))
        (vectors,), (coordinates,) = at.vectors, at.coordinates
        size = np.linalg.norm(vectors, axis=1)
        expected = self._expected(coordinates, size, size)
        uncertain = self.space.uncertainty(coordinates) / size
        misfits, allowed = np.sqrt(at.costs), tolerated(expected, uncertain)
        for k in np.argsort(misfits, kind="stable"):
            if not misfits[k] <= max(NEARLY * expected[k], HIT**0.5):
                found.rejected += 1
                continue
            if uncertain[k] > HIDDEN:
                found.hidden += 1
                continue
            distances = np.linalg.norm(found.X - at.points[k], axis=1)
            if len(found.X) and distances.min() <= SAME * np.linalg.norm(at.points[k]):
                found.converged += 1
                found.again += 1
                continue
            polished, bar = self._polished(images, at[k : k + 1])
            if not polished.costs[0] ** 0.5 <= allowed[k]:
                found.rejected += 1
                continue
            found.converged += 1
            if bar is None:
                found.mixed += 1
                continue
            x, v = polished.points[0], polished.vectors[0][0]
            distances = np.linalg.norm(found.X - x, axis=1)
            near = np.maximum(SAME * np.linalg.norm(x), ACCEPTED * np.hypot(found.bars, bar) if np.isfinite(bar) else 0.0)
            if (distances <= near).any():
                found.again += 1
                continue
            basis = self._known()
            rest = v - (basis @ v) @ basis
            if np.linalg.norm(rest) <= max(DEPENDENT, ACCEPTED * uncertain[k]) * size[k]:
                found.others += 1
                continue
            found.X, found.vectors, found.bars = np.vstack([found.X, x]), np.vstack([found.vectors, v]), [*found.bars, bar]

    def _polished(self, images: FeatureVectors, at: Position) -> tuple[Position, float | None]:
        """One hit after Gauss-Newton steps by orthogonal factors, and its standard error.

        The error is infinite if the map does not see all of the sample, None if the point lies on a family of mixtures.
        """
        for _ in range(POLISHING_STEPS):
            line = Linearised.of(images, [self.space.right], at, at.points[0] if self.ambiguity.has_free_scale else None)
            if not line.fixes:
                break
            step = line.step()
            moved = Position.of(images, [self.space.right], self.ambiguity.representatives(at.points - step))
            if moved.costs[0] > at.costs[0]:
                break
            at = moved
            if np.linalg.norm(step) < SHORT * np.linalg.norm(at.points):  # the equations are the same there to first order
                break
        if line.fixes:
            return at, self._bar(line, at)
        (J,) = images.jacobians(at.points)
        if not np.isfinite(J).all():  # at a singular point of the map its equations say nothing
            return at, None
        return at, np.inf if _flat_directions(J[0]) == _flat_directions(line.triangle) else None

    def _bar(self, line: Linearised, at: Position) -> float:
        """How far a refined sample misses the row space shows the noise of its own equations, if enough are left over.

        If few are left over, the noise is at least what the update and the rounding of the map predict.
        """
        (v,), (c,), (outside,) = at.vectors, at.coordinates, at.outside
        size, columns = np.linalg.norm(v), v.shape[1]
        spare = columns - self.n_samples - at.points.shape[1]
        share = max(np.linalg.norm(outside) / size / max(spare, 1) ** 0.5, ROUNDING / 2 / columns**0.5)
        evaluation = EVALUATION * max(self.unit, self.map.rounding) / columns**0.5
        predicted = 0.0 if spare >= SPARE else float(np.hypot(self.space.deviation(c)[0] / size, evaluation))
        return line.deviation([max(float(share), predicted)])


def _flat_directions(matrix: Float[np.ndarray, "rows d"]) -> int:
    """How many independent directions the matrix maps to nothing, as far as double precision tells."""
    values = np.linalg.svd(matrix, compute_uv=False)
    return matrix.shape[1] - int(np.sum(values > UNSEEN * values[0]))

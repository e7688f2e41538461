r"""Backward separation: the signal of every sample lies in the column space of the first update.

Let the first layer of a network of two layers be observed, :math:`G = \sum_i u_i\tilde x_i^\top` of rank n. Then every sample of every data
set with this update satisfies

.. math:: (A^\top\gamma)\circ\sigma'(Wx + b) \in \operatorname{col}(G), \qquad \tilde x \in \operatorname{row}(G),

m - n equations in n - 1 unknowns for x (n without an observed bias) and C - 1 for the direction of its multipliers :math:`\gamma`. The
multipliers stay among the unknowns, and start at their best values for the x of a start: the largest generalised singular vector of
:math:`(U^\top D A^\top, D A^\top)`, :math:`D = \operatorname{diag}\sigma'(Wx + b)`, U a basis of the column space.

A sample that is found is taken out exactly, as in :mod:`~identify.recovery.separation.peel`: with coordinates :math:`\eta` of its input in
the row space and y of its signal in the column space, those of all others are orthogonal to :math:`\Sigma^{-1}y` and
:math:`\Sigma^{-1}\eta`. Here the signal is the image itself. Every hit is refined on the equations as they were given, and accepted if it
misses them by no more than noise explains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr, solve_triangular

from identify.problem.ambiguity import NO_AMBIGUITY, Ambiguity
from identify.recovery.separation.forward import Activation, Chart
from identify.recovery.separation.kept import Kept
from identify.recovery.separation.membership import LEAST_DAMPING, Position, descend, is_regular
from identify.recovery.separation.search import (
    EVALUATION,
    HIDDEN,
    PATIENCE,
    SAME,
    SPARE,
    Counts,
    SampleSearch,
    tolerated,
)
from identify.recovery.separation.subspace import ROUNDING, Subspace, complement

REFINEMENT_STEPS = 6
LOUD = 100.0
"""Units of rounding from which on the rest of an update is not that of its decomposition."""
MOST_NUMBERS = 2**22
"""In one array of the search for multipliers."""


@dataclass(frozen=True, eq=False)
class SignalColumns:
    r"""The vectors :math:`(A^\top\gamma)\circ\sigma'(z)` of a batch of points: images in the sense of
    :mod:`~identify.recovery.separation.membership`.

    A point is that of a chart, followed by :math:`\gamma` if there are several outputs; one output has :math:`\gamma = 1`.
    """

    chart: Chart
    output: Float[np.ndarray, "C m"]
    activation: Activation

    @property
    def n_coordinates(self) -> int:
        """Unknowns of the chart: the first of a point."""
        return self.chart.basis.shape[1]

    def _parts(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(z, A^T gamma)."""
        k = self.n_coordinates
        z = self.chart.offset + points[:, :k] @ self.chart.slopes.T
        return z, points[:, k:] @ self.output if len(self.output) > 1 else self.output

    def values(self, points: np.ndarray) -> list[np.ndarray]:
        z, back = self._parts(points)
        return [back * self.activation(z, order=1)]

    def jacobians(self, points: np.ndarray) -> list[np.ndarray]:
        z, back = self._parts(points)
        J = (back * self.activation(z, order=2))[:, :, None] * self.chart.slopes
        if len(self.output) > 1:
            J = np.concatenate([J, self.activation(z, order=1)[:, :, None] * self.output.T], axis=2)
        return [J]

    def gauge(self, points: np.ndarray) -> np.ndarray:
        """The scale of the multipliers."""
        direction = points.copy()
        direction[:, : self.n_coordinates] = 0.0
        return direction

    def with_multipliers(self, space: Float[np.ndarray, "n m"], points: Float[np.ndarray, "starts _"]) -> Float[np.ndarray, "starts _"]:
        """Points of the chart with their best multipliers, of unit length, behind. Cost O(m n C) for each."""
        C, m = self.output.shape
        if C == 1:
            return points
        most = max(MOST_NUMBERS // (m * C), 1)
        if len(points) > most:
            return np.vstack([self.with_multipliers(space, points[i : i + most]) for i in range(0, len(points), most)])
        slopes = self.activation(self.chart.offset + points @ self.chart.slopes.T, order=1)
        largest = np.abs(slopes).max(axis=1, keepdims=True)
        slopes = np.where(np.isfinite(largest) & (largest > 0), slopes, 1.0) / np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)
        back = slopes[:, :, None] * self.output.T
        gram = np.matmul(back.transpose(0, 2, 1), back)
        size = np.maximum(np.einsum("scc->s", gram), np.finfo(float).tiny)[:, None, None]
        lower = np.linalg.cholesky(gram / size + 1e-14 * np.eye(C))
        share = np.linalg.solve(lower, np.matmul(space, back).transpose(0, 2, 1) / np.sqrt(size))
        gamma = np.linalg.solve(lower.transpose(0, 2, 1), np.linalg.svd(share)[0][:, :, :1])[:, :, 0]
        return np.hstack([points, gamma / np.linalg.norm(gamma, axis=1, keepdims=True)])


@dataclass(eq=False)
class Columns(Counts):
    """What is known of all samples behind one update, in coordinates of its row space and of its column space.

    Attributes
    ----------
    inputs, signals
        Of each sample, the second scaled so that the sum of the products is the update.
    bars
        First-order standard error of each input, in its units.
    """

    inputs: Float[np.ndarray, "found n"]
    signals: Float[np.ndarray, "found n"]
    bars: list[float] = field(default_factory=list)


@dataclass(eq=False)
class ColumnSearch(SampleSearch):
    """The search for all samples behind the update of the first of two layers.

    Attributes
    ----------
    update
        With its bias column, if ``is_lifted``.
    space
        Its leading singular triples, as many as there are samples.
    W, bias, activation, output
        The network.
    ambiguity
        What the equations leave open for each sample: hits are compared modulo it.
    seed
        Of the random starts.
    """

    update: Float[np.ndarray, "m D"]
    space: Subspace
    W: Float[np.ndarray, "m d"]
    bias: Float[np.ndarray, " m"]
    activation: Activation
    output: Float[np.ndarray, "C m"]
    is_lifted: bool
    unit_roundoff: float = ROUNDING / 2
    ambiguity: Ambiguity = NO_AMBIGUITY
    seed: int = 0
    patience: int = PATIENCE
    go_on: Callable[[], bool] = lambda: True
    progress: Callable[[str], None] = lambda step: None
    kept: Kept = field(default_factory=Kept)
    """Takes what was found after each round; a search begins with what an earlier one left there."""

    def __post_init__(self) -> None:
        n = self.n_samples = len(self.space.values)
        self.set_up(self.space, self.W, self.bias, is_lifted=self.is_lifted, seed=self.seed)
        self.found = Columns(np.zeros((0, n)), np.zeros((0, n)))
        self.spreads = spreads(self.update, self.space)

    @property
    def n_known(self) -> int:
        return len(self.found.inputs)

    @property
    def coordinates(self) -> Float[np.ndarray, "found n"]:
        return self.found.inputs

    @property
    def n_unknown(self) -> int:
        return len(self.space.values) - len(self.found.inputs) - self.is_lifted

    def known(self) -> tuple[Float[np.ndarray, "_ n"], Float[np.ndarray, "_ n"]]:
        return _units(self.found.signals / self.space.values), self.found.inputs

    def images(self, chart: Chart) -> SignalColumns:
        return SignalColumns(chart, self.output, self.activation)

    def remaining(self) -> list[Float[np.ndarray, "_ _"]]:
        return [complement(_units(self.found.inputs / self.space.values)) @ self.space.left.T]

    def completed(self, images: SignalColumns, spaces: list[np.ndarray], points: np.ndarray) -> np.ndarray:
        """With the best multipliers for each point."""
        return images.with_multipliers(spaces[0], points)

    def uncertain(self, vectors: list[np.ndarray]) -> Float[np.ndarray, " starts"]:
        (v,) = vectors
        return self.space.uncertainty(v @ self.space.left) / np.linalg.norm(v, axis=1)

    def _accept(self, hits: Float[np.ndarray, "hits n"]) -> None:
        if not len(hits):
            return
        found, space, images = self.found, self.space, self.images(self.everywhere)
        spaces = [space.left.T]
        starts = images.with_multipliers(spaces[0], self.everywhere.points(hits))
        refined = descend(images, spaces, starts, steps=REFINEMENT_STEPS, damping=LEAST_DAMPING)
        k = images.n_coordinates
        refined.points[:, :k] = self.ambiguity.representatives(refined.points[:, :k])
        at = Position.of(images, spaces, refined.points)
        misfits, uncertain = np.sqrt(at.costs), self.uncertain(at.vectors)
        allowed = tolerated(self.expected(at.coordinates[0], at.vectors[0]), uncertain)
        for j in np.argsort(misfits, kind="stable"):
            eta, y = self.everywhere.coordinates(at.points[[j], :k])[0], at.coordinates[0][j]
            if len(found.inputs) == len(space.values):
                return
            if len(found.inputs) and np.linalg.norm(found.inputs - eta, axis=1).min() < SAME * np.linalg.norm(eta):
                continue
            if not misfits[j] <= allowed[j]:
                found.rejected += 1
                continue
            if uncertain[j] > HIDDEN:
                found.hidden += 1
                continue
            bar = self._bar(images, at[[j]], eta)
            if not np.isfinite(bar):
                found.mixed += 1
                continue
            found.inputs = np.vstack([found.inputs, eta])
            found.signals = np.vstack([found.signals, y / (eta @ (y / space.values))])
            found.bars.append(bar)

    def expected(self, y: Float[np.ndarray, "starts n"], v: Float[np.ndarray, "starts m"]) -> Float[np.ndarray, " starts"]:
        """The misfit that noise leaves an exact sample, in the root mean square, and that of evaluating the network in this precision."""
        beyond = max(v.shape[1] - len(self.space.values), 1)
        return np.hypot(self._deviation(y) * beyond**0.5 / np.linalg.norm(v, axis=1), EVALUATION * self.unit_roundoff)

    def _deviation(self, y: Float[np.ndarray, "starts n"]) -> Float[np.ndarray, " starts"]:
        """Standard deviation of each entry of a signal with these coordinates outside the column space."""
        return np.linalg.norm((y / self.space.values) @ (self.space.right * self.spreads[1]), axis=-1)

    def _bar(self, images: SignalColumns, at: Position, eta: Float[np.ndarray, " n"]) -> float:
        """Standard error of one input: within the row space by the equations, outside it by the noise of that row space.

        The misfit of a sample shows the noise of its equations. With few equations the noise is at least what the update predicts.
        """
        J, v, r, y = images.jacobians(at.points)[0][0], at.vectors[0][0], at.outside[0][0], at.coordinates[0]
        left, size, k = self.space.left, np.linalg.norm(v), images.n_coordinates
        outside = (J - left @ (left.T @ J) - np.outer(r, v @ J) / size**2) / size
        free = [images.gauge(at.points)[0]] if len(self.output) > 1 else []
        if self.ambiguity.has_free_scale:
            free.append(at.points[0] - images.gauge(at.points)[0] if len(self.output) > 1 else at.points[0])
        fixed = [np.linalg.norm(outside) * direction[None] / np.linalg.norm(direction) for direction in free]
        triangle = qr(np.vstack([outside, *fixed]), mode="r", check_finite=False)[0][: J.shape[1]]
        if not is_regular(triangle):
            return float("inf")
        inverse = solve_triangular(triangle, np.eye(len(triangle)), check_finite=False)[:k] if triangle.size else triangle
        spare = len(v) - len(self.space.values) - len(triangle)
        share = np.linalg.norm(r) / size / max(spare, 1.0) ** 0.5
        if spare < SPARE:
            share = max(share, np.hypot(self._deviation(y)[0] / size, EVALUATION * self.unit_roundoff / len(v) ** 0.5))
        across = np.linalg.norm((eta / self.space.values) @ (left * self.spreads[0][:, None]).T)
        beyond = self.space.right.shape[1] - len(self.space.values)
        return float(np.hypot(share * np.linalg.norm(inverse), across * beyond**0.5))


def spreads(update: Float[np.ndarray, "m D"], space: Subspace) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " D"]]:
    """Standard deviations of the noise in the entries of each row and of each column: what the samples leave of the update shows them.

    With few rows or columns beyond the samples, or at the rounding of doubles, the whole tells more than each.
    """
    m, D = update.shape
    n = len(space.values)
    rest = update - (space.left * space.values) @ space.right
    least = float(space.spread.min())
    if min(m, D) - n < SPARE or np.linalg.norm(rest) <= LOUD * ROUNDING * np.linalg.norm(update):
        size = np.linalg.norm(update, axis=0)
        across = size * np.sqrt(np.mean(space.spread**2) * D) / max(float(np.linalg.norm(size)), np.finfo(float).tiny)
        return space.spread, np.maximum(across, least)
    return np.linalg.norm(rest, axis=1) / (D - n) ** 0.5, np.linalg.norm(rest, axis=0) / (m - n) ** 0.5


def _units(rows: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)

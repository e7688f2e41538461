r"""Starts: separation at the middle of the path, where several steps look like one up to second order.

The change of the second layer is :math:`\sum_t U_2(t)\,\tilde h(t)^\top` with hidden activations that move. So only its leading n
directions are near the span of the :math:`\tilde h_i`, nearest to that of the network halfway. Points that nearly solve these equations
are near samples: hits are accepted far above rounding, and known samples are taken out as exactly as they are known.

After long training that span is not among the leading n directions any more: the drift of one sample weighs more than what tells two
samples of one class apart. The leading 2n directions hold both the activations and their drift, and still leave far more equations than
one sample has unknowns (:func:`in_twice_the_directions`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from identify.problem.ambiguity import NO_AMBIGUITY, Ambiguity
from identify.recovery.separation.forward import Chart, HiddenActivations, Stack, signals
from identify.recovery.separation.kept import Kept
from identify.recovery.separation.membership import Position, descend
from identify.recovery.separation.search import PATIENCE, STARTS, Counts, SampleSearch
from identify.recovery.separation.subspace import Subspace, complement

HIT = 3e-2
"""Cost, in the spaces that the samples known so far leave, at which a point is refined."""
REFINEMENT_STEPS = 40
MOST_ROWS, SEARCH_STEPS = 512, 60
"""Rows of the first layer's change from which descents start, at most; and steps of each."""
SPARE = 2
"""Equations for each unknown that the doubled directions must leave."""


@dataclass(eq=False)
class MiddleSearch(SampleSearch):
    """Points near all samples.

    Attributes
    ----------
    stack
        The network halfway.
    subspaces
        Of the changes of the first two layers.
    lifted
        Whether their biases moved.
    loose
        Cost in the original spaces up to which a point is near a sample.
    apart
        Relative distance from which on two points are two samples.
    """

    stack: Stack
    subspaces: list[Subspace]
    lifted: Sequence[bool]
    seed: int
    loose: float
    apart: float
    go_on: Callable[[], bool] = lambda: True
    ambiguity: Ambiguity = NO_AMBIGUITY
    hit: float = HIT
    patience: int = PATIENCE
    most_starts: int = STARTS
    progress: Callable[[str], None] = lambda step: None
    kept: Kept = field(default_factory=Kept)
    found: Counts = field(default_factory=Counts)
    taken: list[Float[np.ndarray, " r"]] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        first, layer = self.subspaces[0], self.stack.layers[0]
        self.set_up(first, layer.W, layer.bias, is_lifted=self.lifted[0], seed=self.seed)
        self.n_samples = len(self.subspaces[1].values)
        self.complete = [len(space.values) >= self.n_samples for space in self.subspaces]

    @property
    def n_known(self) -> int:
        return len(self.taken)

    @property
    def coordinates(self) -> Float[np.ndarray, "found r"]:
        return np.array(self.taken).reshape(len(self.taken), len(self.first.values))

    @property
    def n_unknown(self) -> int:
        return self.subspaces[1].n_unknown

    def known(self) -> tuple[Float[np.ndarray, "_ r"], Float[np.ndarray, "_ r"]]:
        return self.subspaces[0].avoid, self.coordinates

    def images(self, chart: Chart) -> HiddenActivations:
        return HiddenActivations(self.stack.layers[:1], chart, self.lifted[1:2])

    def remaining(self) -> list[Float[np.ndarray, "_ _"]]:
        return [complement(self.subspaces[1].avoid) @ self.subspaces[1].right]

    def uncertain(self, vectors: list[np.ndarray]) -> Float[np.ndarray, " starts"]:
        space, (v,) = self.subspaces[1], vectors
        return space.uncertainty(v @ space.right.T) / np.linalg.norm(v, axis=1)

    def _accept(self, hits: Float[np.ndarray, "hits r"]) -> None:
        if not len(hits):
            return
        chart = self.everywhere
        at = descend(self.images(chart), [self.subspaces[1].right], chart.points(hits), steps=REFINEMENT_STEPS)
        for k in np.argsort(at.costs, kind="stable"):
            if at.costs[k] > self.loose or len(self.taken) == self.n_samples:
                return
            eta = chart.coordinates(at.points[k : k + 1])[0]
            if not any(np.linalg.norm(eta - other) < self.apart * np.linalg.norm(eta) for other in self.taken):
                self._take(eta, at[k : k + 1])

    def _take(self, eta: Float[np.ndarray, " r"], at: Position) -> None:
        layers = self.stack.layers
        passed = HiddenActivations(layers, self.everywhere, [False] * len(layers)).passed(at.points)
        slopes = [layer.activation(z[0], order=1) for layer, (z, _) in zip(layers, passed, strict=True)]
        own = signals(self.stack, slopes, self.subspaces, self.complete)
        self.taken.append(eta)
        self.costs.append(float(at.costs[0]))
        self.subspaces = [
            space.without(y) if complete else space
            for space, y, complete in zip(self.subspaces, own.coordinates, self.complete, strict=True)
        ]


def in_twice_the_directions(search: MiddleSearch, change: Float[np.ndarray, "m columns"]) -> Float[np.ndarray, "found r"]:
    """Points near samples whose activations halfway lie nearly in the leading 2n directions of the second layer's change, at most n.

    Descents start from rows of the first layer's change, and no sample is taken out on the way.
    """
    n, chart = search.n_samples, search.everywhere
    if 2 * n + SPARE * chart.basis.shape[1] > min(change.shape):
        return np.zeros((0, len(search.first.values)))
    space = Subspace.of(change, 2 * n)
    starts, _ = search._rows(chart, *search.known())
    starts = starts[np.argsort(np.linalg.norm(starts, axis=1), kind="stable")][:MOST_ROWS]
    search.found.starts += len(starts)
    at = descend(search.images(chart), [space.right], starts, steps=SEARCH_STEPS, go_on=search.go_on)
    taken: list[np.ndarray] = []
    for k in np.argsort(at.costs, kind="stable"):
        eta = chart.coordinates(at.points[k : k + 1])[0]
        if len(taken) < n and not any(np.linalg.norm(eta - other) < search.apart * np.linalg.norm(eta) for other in taken):
            taken.append(eta)
    return np.array(taken).reshape(len(taken), len(search.first.values))

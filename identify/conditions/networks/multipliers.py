"""Whether the multipliers of given samples follow from the samples and from what reaches the first hidden layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from identify.base.rows import equal_rows
from identify.exact.modular import rank
from identify.exact.rings import Modular, Passes, sample_of

if TYPE_CHECKING:
    from identify.conditions.networks.question import NetworkQuestion

SPARE = 20
"""Neurons beyond the outputs, from which a rank is proved."""


def multipliers_are_determined(question: NetworkQuestion) -> bool:
    """Whether the multipliers of given samples are proved to follow from the samples and their signals.

    For two layers these are the same. For more, either the last layer's update says it, if what enters that layer is independent,
    or γ ↦ u^2 is injective at each sample; and their images under the ambiguity must look alike to the deeper layers.
    """
    if not question.orbits_are_whole:
        return False
    if question.depth == 2 or (question.known.at is not None and _follow(question, question.known.at)):
        return True
    if (question.is_exact and question.pieces is not None) and _signals_are_injective(question):
        return True
    return _follow(question, question.passes())


def _follow(question: NetworkQuestion, at: Passes) -> bool:
    """Whether passes at these data, or at more of them, prove it."""
    if question.observed[-1][0] and at.ring.is_full(question.lifted(at, question.depth - 1)):
        return True
    assert question.system is not None
    net = question.system.network
    eye = np.eye(question.outputs)
    for i in range(question.samples):
        signals = at.ring.read(eye)
        for layer in range(question.depth - 2, 0, -1):
            signals = at.ring.dot(signals, net.weights[layer + 1])
            signals = at.ring.times(signals, sample_of(at.slopes[layer], i))
        if not at.ring.is_full(signals.T):
            return False
    return True


def _signals_are_injective(question: NetworkQuestion) -> bool:
    """Whether γ ↦ u^2 is injective at each sample, by the pieces alone: without a pass through the network.

    Of three layers the last weights, of the neurons that have a slope, must have rank C. Of more, the neurons that pass a signal on in
    every layer are few enough to multiply.
    """
    pieces, ring = question.pieces, question.ring()
    if pieces is None or not isinstance(ring, Modular) or question.system is None:
        return False
    outputs, weights = question.outputs, question.system.network.weights
    if question.depth > 3:
        return all(rank(signals.T, ring.q) == outputs for signals in _signals(question, ring))
    last = ring.of_weights(weights[2].T)
    sloped = (np.array(pieces.table(1)) != 0)[pieces.codes(1)]
    for active in sloped[equal_rows(sloped)[0]]:
        found = np.flatnonzero(active)
        if rank(last[found[: outputs + SPARE]], ring.q) < outputs and rank(last[found], ring.q) < outputs:
            return False
    return True


def _signals(question: NetworkQuestion, ring: Modular) -> np.ndarray:
    """For each sample, u^2 of every output by itself: an array (n, C, width of the second layer)."""
    assert question.system is not None
    net, n, C = question.system.network, question.samples, question.outputs
    signals = np.broadcast_to(np.eye(C, dtype=np.int64), (n, C, C))
    for layer in range(question.depth - 2, 0, -1):
        signals = ring.times(ring.dot(signals, net.weights[layer + 1]), ring.slopes(layer)[:, None])
    return signals

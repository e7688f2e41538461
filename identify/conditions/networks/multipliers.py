"""Whether the multipliers of given samples follow from the samples and from what reaches the first hidden layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from identify.base.rows import equal_rows
from identify.exact.modular import rank, residues
from identify.exact.rings import Modular, sample_of

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
    if question.depth == 2 or (question.is_exact and question.depth == 3 and _signals_are_injective(question)):
        return True
    at = question.passes()
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
    """Whether γ ↦ u^2 is injective at each sample of three layers: the last weights, of the neurons that have a slope, have rank C."""
    pieces, ring = question.pieces, question.ring()
    if pieces is None or not isinstance(ring, Modular) or question.system is None:
        return False
    outputs, weights = question.outputs, residues(np.ascontiguousarray(question.system.network.weights[2].T), ring.q)
    sloped = (np.array(pieces.table(1)) != 0)[pieces.codes(1)]
    for active in sloped[equal_rows(sloped)[0]]:
        found = np.flatnonzero(active)
        if rank(weights[found[: outputs + SPARE]], ring.q) < outputs and rank(weights[found], ring.q) < outputs:
            return False
    return True

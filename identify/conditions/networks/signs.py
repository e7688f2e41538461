"""Whether the signs of given samples are known although the first activation is odd up to a constant, σ(−z) = 2 σ(0) − σ(z)."""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from identify.exact.rings import concatenated, passes, sample_of, shaped

if TYPE_CHECKING:
    from identify.conditions.networks.question import NetworkQuestion

MOST_IN_SUMS = 24
"""Samples, at most, of which all sets are added up."""


class FixedSigns(StrEnum):
    """Why the sign of a sample is known although the first activation is odd up to a constant."""

    SUMS = "sums"
    """The multipliers of no set of samples add up to zero, and the second update sees such sums."""
    FEATURES = "features"
    """The features of images are not in the row space of the second layer's update."""
    SIGNALS = "signals"
    """No multipliers give an image the signal that its features would need."""


def fixed_signs(question: NetworkQuestion) -> FixedSigns | None:
    """By what it is proved that no (−x, −γ) can take the place of given data, if σ(−z) = 2 σ(0) − σ(z); None if it is not.

    The features of −x are 2 σ(0) − h. If G_2 has rank n, they lie in the span of those of the samples (sum of coefficients 1 if
    the bias is known) only if a certain vector does; and −x needs the signal −u^2, if σ(0) = 0. For two layers, the images of a set of
    samples change the second update by a multiple of the sum of their multipliers.
    """
    sigma = question.sigma
    if question.data is None or question.is_partial or question.biases[0] or sigma.parity >= 0:
        return None
    constant = float(sigma(0.0))
    if sigma.kind != "analytic" and Fraction(constant) != sigma.exact(Fraction(0)):
        return None
    W, bias = question.observed[1]
    if question.depth == 2 and (bias or (W and constant)) and not some_sum_vanishes(question.data[1]):
        return FixedSigns.SUMS
    if not question.counted[1]:
        return None
    at = question.passes()
    if constant or bias:
        both = np.full((1, question.neurons + bias), constant)  # half of h(x) + h(−x)
        both[0, question.neurons :] = 1.0
        if at.ring.is_full(concatenated([question.lifted(at, 1).T, at.ring.read(both)], axis=0).T):
            return FixedSigns.FEATURES
    if constant or question.depth == 2 or sigma.kind == "piecewise-linear":
        return None
    return FixedSigns.SIGNALS if all(_image_needs_other_multipliers(question, i) for i in range(question.samples)) else None


def _image_needs_other_multipliers(question: NetworkQuestion, i: int) -> bool:
    """Whether no multipliers give −x_i the signal −u_i^2: it is independent of all that they can give."""
    assert question.system is not None and question.data is not None
    net, (X, c), at = question.system.network, question.data, question.passes()
    image = passes(at.ring, net, -X[[i]], c[[i]])
    signals = at.ring.read(np.eye(question.outputs))
    for layer in range(question.depth - 2, 0, -1):
        signals = at.ring.times(at.ring.dot(signals, net.weights[layer + 1]), sample_of(image.slopes[layer], 0))
    own = shaped(at.signals[1], lambda values: values[[i]])
    return at.ring.is_full(concatenated([signals, own], axis=0).T)


def some_sum_vanishes(c: np.ndarray) -> bool:
    """Whether the multipliers of some samples add up to zero, exactly; True if there are too many sets of samples to say.

    Numbers are integers times a power of two, so that sums of halves meet in a table.
    """
    if len(c) > MOST_IN_SUMS:
        return True
    rows = [tuple(Fraction(float(v)) for v in row) for row in c]
    half = len(rows) // 2
    zero = (Fraction(0),) * c.shape[1]
    first, second = _sums(rows[:half], zero), _sums(rows[half:], zero)
    if zero in first[1:] or zero in second[1:]:
        return True
    known = set(first[1:])
    return any(tuple(-v for v in each) in known for each in second[1:])


def _sums(rows: list[tuple[Fraction, ...]], zero: tuple[Fraction, ...]) -> list[tuple[Fraction, ...]]:
    """Over every set of rows; the empty one comes first."""
    found = [zero]
    for row in rows:
        found += [tuple(u + v for u, v in zip(each, row, strict=True)) for each in found]
    return found

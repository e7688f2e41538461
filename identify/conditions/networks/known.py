"""What a caller has computed of given data before it asks about them, so that the conditions need not do it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from identify.exact.pieces import Pieces, pieces_within
from identify.exact.rings import Passes
from identify.problem.activation import Activation, PiecewiseLinear

if TYPE_CHECKING:
    from identify.conditions.networks.question import NetworkQuestion


@dataclass(frozen=True, eq=False)
class Known:
    """What whoever asks has computed of the given data already.

    Attributes
    ----------
    residual
        Of (S) at these data, relative; None if it is not known.
    at
        Both passes in intervals, of a set of data that has these among them. What is proved for all of them holds for these.
    """

    residual: float | None = None
    at: Passes | None = None
    _full: dict[int, bool] = field(default_factory=dict, repr=False)

    def counts(self, question: NetworkQuestion, layer: int) -> bool:
        """Whether the intervals prove that the known part of the update of a layer, from 0, has rank n."""
        if self.at is None:
            return False
        if layer not in self._full:
            self._full[layer] = all(
                self.at.ring.is_full(part) for part in (question.lifted(self.at, layer), question.heard(self.at, layer))
            )
        return self._full[layer]

    def pieces(self, sigmas: Sequence[Activation]) -> Pieces | None:
        """Where the data are, if the intervals say it for every hidden layer, with these activations: then they are on no kink."""
        if self.at is None:
            return None
        found, index = [], []
        for sigma, z in zip(sigmas, self.at.before, strict=True):
            if not isinstance(sigma, PiecewiseLinear):
                return None
            own, unclear = pieces_within(sigma, z)
            if unclear.any():
                return None
            found.append(sigma)
            index.append(own)
        return Pieces(tuple(found), tuple(index), tuple(np.zeros(own.shape, bool) for own in index))

"""How many neurons point in different directions, in floating point."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

BLOCK = 256
"""Neurons whose cosines with all others are computed at once."""
MARGIN = 1e-6
"""Far above the rounding of the square of a cosine."""


def distinct_directions(lifted: Float[np.ndarray, "m D"], alive: Bool[np.ndarray, " m"], tolerance: float) -> int:
    """The number of pairwise non-parallel rows, without those that are not alive or much shorter than the longest; sines below
    ``tolerance`` count as zero."""
    norms = np.linalg.norm(lifted, axis=1)
    alive = (norms > tolerance * max(norms.max(), 1e-300)) & alive
    units = lifted[alive] / norms[alive, None]
    kept = np.zeros(len(units), bool)
    for start in range(0, len(units), BLOCK):
        cosines = units[start : start + BLOCK] @ units.T
        near = cosines**2 >= 1 - tolerance**2 - MARGIN  # of few pairs, so that few sines are computed
        for j, row in enumerate(near, start):
            others = units[:j][row[:j] & kept[:j]]
            sines = np.linalg.norm(units[j] - (others @ units[j])[:, None] * others, axis=1)
            kept[j] = sines.min(initial=np.inf) > tolerance
    return int(kept.sum())

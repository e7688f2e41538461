"""Updates of which only the largest entries were sent: the others are not zero, but not known, and smaller than any that was sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

FEWEST_ZEROS = 0.2
"""Share of zeros among the entries of live rows and columns from which on an update counts as sparse."""
HOLE = 4.0
"""The smallest entry that was sent is at least the root mean square of all that were, divided by this: without a threshold many are
smaller."""

FEWEST_SENT = 40
"""Entries from which on that tells: of so many normal ones none is smaller with probability 1e-4."""


@dataclass(frozen=True, eq=False)
class Largest:
    """Which entries of an update were sent, and the smallest size among them."""

    seen: Bool[np.ndarray, "m D"]
    threshold: float

    @classmethod
    def of(cls, update: Float[np.ndarray, "m D"]) -> Largest | None:
        """None for an update without zeros but those of dead neurons and silent inputs, or without a threshold."""
        if np.count_nonzero(update) > (1 - FEWEST_ZEROS) * update.size:  # as most updates: nothing else is needed
            return None
        seen = update != 0
        live = seen[seen.any(axis=1)][:, seen.any(axis=0)]
        if not live.size or np.mean(live) > 1 - FEWEST_ZEROS:
            return None
        sizes = np.abs(update[seen])
        if len(sizes) < FEWEST_SENT:
            return None
        threshold = float(sizes.min())
        return cls(seen, threshold) if threshold * HOLE > np.sqrt(np.mean(sizes**2)) else None

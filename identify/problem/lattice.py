"""Quantised numbers: all of them are whole multiples of one step, or lie so many steps from one offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MOST_LEVELS = 2**16
"""Numbers on more levels than that are not called quantised."""
REPEATED = 4
"""Numbers for each level, at least: fewer prove nothing."""
OFF = 1e-2
"""Distance from the nearest level, in steps, that rounding of the levels explains."""


@dataclass(frozen=True)
class Lattice:
    """The levels of quantised numbers.

    Attributes
    ----------
    step
        Distance of neighbouring levels, in the units of the numbers.
    levels
        How many there are from the smallest number to the largest, used or not.
    used
        How many of them occur.
    """

    step: float
    levels: int
    used: int

    @property
    def is_sign(self) -> bool:
        """Whether nothing but signs is left, with or without zeros."""
        return self.used <= 3 and self.levels <= 3

    @classmethod
    def of(cls, numbers: Float[np.ndarray, "*shape"]) -> Lattice | None:
        """The lattice of these numbers; None if they are on no lattice, or too few to tell. Zeros alone tell nothing."""
        most = min(MOST_LEVELS, numbers.size // REPEATED)
        if len(np.unique(numbers.reshape(-1)[: 2 * most + 2])) > most:  # so many already
            return None
        used = np.unique(numbers)
        if not 2 <= len(used) <= MOST_LEVELS or numbers.size < REPEATED * len(used):
            return None
        gaps = np.diff(used)
        size = np.abs(used).max()
        step = gaps[gaps > OFF * size / MOST_LEVELS].min(initial=np.inf)
        if not np.isfinite(step):
            return None
        places = (used - used[0]) / step
        levels = int(np.rint(places[-1])) + 1
        # a step that is known from one gap alone would be off by its rounding, times the number of levels
        step = float(step * places[-1] / (levels - 1))
        places = (used - used[0]) / step
        if levels > MOST_LEVELS or np.abs(places - np.rint(places)).max() > OFF:
            return None
        return cls(step, levels, len(used))

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


LOOKED_AT = 64
"""Places along each axis at which pairs are looked for that no lattice explains, before all numbers are sorted."""
MARGIN = 1.01
"""A factor for the rounding of differences."""


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
        if _is_off_every_lattice(numbers):
            return None
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


def _is_off_every_lattice(numbers: Float[np.ndarray, "*shape"]) -> bool:
    """Whether a few of the numbers prove that :meth:`Lattice.of` finds none for all of them; False proves nothing.

    Every difference of two numbers is, in steps, within twice ``OFF`` of a whole number. So one that is smaller than the smallest possible
    step is hardly any of it: the step is at least that difference over twice ``OFF``. With a larger smallest step other differences
    are too small in turn, until none is left below the range of the numbers.
    """
    span = float(numbers.max(initial=0.0)) - float(numbers.min(initial=0.0))
    if not 0 < span < np.inf:
        return False
    some = np.unique(numbers[tuple(slice(None, None, max(size // LOOKED_AT, 1)) for size in numbers.shape)])
    gaps = np.unique(np.concatenate([np.diff(some), some[1:] - some[0]]))
    step = span / MOST_LEVELS
    while step <= MARGIN * span:
        small = gaps[gaps < step * (1 - 2 * MARGIN * OFF)]
        larger = float(small[-1]) / (2 * MARGIN * OFF) if len(small) else 0.0
        if larger <= step:
            return False
        step = larger
    return True

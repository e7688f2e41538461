"""Random search over the settings of an attack: each run draws its own, and runs are ordered without the true data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from identify.attacks.objectives import Attack
from identify.base.errors import InputError
from identify.base.options import valid_seed

LOGARITHMIC = ("start_scale", "rate", "multiplier_rate")
"""Settings that are drawn on a logarithmic scale; others uniformly."""


@dataclass(frozen=True)
class RandomSearch:
    """Settings for :func:`identify.reconstruct` to draw, a set for every run.

    Parameters
    ----------
    make
        Makes the attack from its settings, such as ``partial(haim, network)``.
    ranges
        Setting -> (low, high), low at most high; positive for those that are drawn on a logarithmic scale.
    fixed
        Settings that all runs share.

    Raises
    ------
    ValueError
        For a range whose ends are not numbers in this order.

    Notes
    -----
    Objectives with other settings are not comparable, so runs are ordered by the residual of stationarity alone. The papers choose
    by similarity to the true data, which an attacker does not have.
    """

    make: Callable[..., Attack]
    ranges: Mapping[str, tuple[float, float]]
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (low, high) in self.ranges.items():
            if not (np.isfinite([low, high]).all() and low <= high and (low > 0 or name not in LOGARITHMIC)):
                wanted = "two positive numbers" if name in LOGARITHMIC else "two numbers"
                raise InputError(f"ranges: received {name} from {low} to {high}, expected {wanted}, the smaller first")

    def draw(self, seed: int) -> Attack:
        """The attack of the run with that seed, from 0 to 2^53 - 1."""
        rng = np.random.default_rng([valid_seed(seed), len(self.ranges)])
        drawn = {name: _between(rng, low, high, name in LOGARITHMIC) for name, (low, high) in sorted(self.ranges.items())}
        return self.make(**drawn, **self.fixed)


def _between(rng: np.random.Generator, low: float, high: float, logarithmic: bool) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))) if logarithmic else rng.uniform(low, high))

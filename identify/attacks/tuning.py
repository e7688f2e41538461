"""Random search over the settings of an attack: each run draws its own, and runs are ordered without the true data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from identify.attacks.objectives import Attack
from identify.base.errors import InputError, WrongTypeError
from identify.base.options import instance, valid_seed

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
        if not callable(self.make):
            raise WrongTypeError(f"make: received {type(self.make).__name__}, expected a function of the settings that makes an Attack")
        for name, given in (("ranges", self.ranges), ("fixed", self.fixed)):
            instance(name, given, Mapping, "settings by name")
        for name, ends in self.ranges.items():
            wanted = "two positive numbers" if name in LOGARITHMIC else "two numbers"
            if not isinstance(ends, Sequence) or len(ends) != 2 or not all(isinstance(end, Real) for end in ends):
                raise InputError(f"ranges: received {ends!r} for {name}, expected {wanted}, the smaller first")
            low, high = ends
            if not (-np.inf < low <= high < np.inf and (low > 0 or name not in LOGARITHMIC)):
                raise InputError(f"ranges: received {name} from {low} to {high}, expected {wanted}, the smaller first")

    def draw(self, seed: int) -> Attack:
        """The attack of the run with that seed, from 0 to 2^53 - 1."""
        rng = np.random.default_rng([valid_seed(seed), len(self.ranges)])
        drawn = {name: _between(rng, low, high, name in LOGARITHMIC) for name, (low, high) in sorted(self.ranges.items())}
        return self.make(**drawn, **self.fixed)


def _between(rng: np.random.Generator, low: float, high: float, logarithmic: bool) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))) if logarithmic else rng.uniform(low, high))

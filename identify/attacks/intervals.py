"""Confidence intervals for means over seeds and for shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtrit

from identify.base.errors import InputError
from identify.problem.network import finite_array


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level: received {level!r}, expected a confidence level between 0 and 1, such as 0.95")


def confidence(values: Float[np.ndarray, " k"], level: float = 0.95) -> tuple[float, float]:
    """Student-t interval for the mean of independent values, one for each seed; the whole line for a single value.

    Equal values give an interval of length zero: it says nothing about values not seen. For a share of successes use
    :func:`wilson`. Raises ValueError for no values, values that are not finite, or a level outside (0, 1).
    """
    _check_level(level)
    sample = finite_array("values", values, (None,), "one number for each seed")
    if len(sample) == 1:
        return -np.inf, np.inf
    half = stdtrit(len(sample) - 1, (1 + level) / 2) * sample.std(ddof=1) / np.sqrt(len(sample))
    return float(sample.mean() - half), float(sample.mean() + half)


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval, within [0, 1], for the probability behind ``successes`` of ``trials`` independent trials.

    Raises ValueError unless 0 <= successes <= trials, both whole and trials positive, and level is in (0, 1).
    Reference: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    _check_level(level)
    whole = isinstance(successes, (int, np.integer)) and isinstance(trials, (int, np.integer))
    if not whole or trials < 1 or not 0 <= successes <= trials:
        raise InputError(f"successes, trials: received {successes}, {trials}; expected whole numbers, 0 <= successes <= trials, trials > 0")
    z2 = ndtri((1 + level) / 2) ** 2
    centre = (successes + z2 / 2) / (trials + z2)
    half = np.sqrt(z2 * (successes * (trials - successes) / trials + z2 / 4)) / (trials + z2)
    # Exactly 0 and 1 at the ends, where rounding would leave an interval without the observed share.
    return (0.0 if successes == 0 else float(centre - half)), (1.0 if successes == trials else float(centre + half))


@dataclass(frozen=True)
class Estimate:
    """A mean, and a 95 % Student-t interval for it."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float], bounds: tuple[float, float]) -> Estimate:
        """The mean of values known to lie within the bounds, which the interval does not leave either."""
        low, high = confidence(np.asarray(values, float))
        return cls(float(np.mean(values)), max(low, bounds[0]), min(high, bounds[1]))

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"

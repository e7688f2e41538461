"""Confidence intervals for means over seeds and for shares. SciPy's statistics are slow to load, so they are loaded when needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from identify.base.options import positive, whole
from identify.problem.arrays import finite_array

LEVEL = ": a confidence level, such as 0.95"


def confidence(values: Float[np.ndarray, " k"], level: float = 0.95) -> tuple[float, float]:
    """Student-t interval for the mean of independent values, one for each seed; the whole line for a single value.

    Equal values give an interval of length zero, which says nothing about other values. For a share of successes use
    :func:`wilson`. Raises InputError for no values, values that are not finite, or a level outside (0, 1).
    """
    from scipy import stats

    level = positive("level", level, below=1, advice=LEVEL)
    sample = finite_array("values", values, (None,), "one number for each seed")
    if len(sample) == 1:
        return -np.inf, np.inf
    half = stats.t.ppf((1 + level) / 2, len(sample) - 1) * stats.sem(sample)
    return float(sample.mean() - half), float(sample.mean() + half)


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval, within [0, 1], for the probability behind ``successes`` of ``trials`` independent trials.

    Raises InputError unless 0 <= successes <= trials, both integers and trials positive, and level is in (0, 1).
    Reference: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    from scipy import stats

    level = positive("level", level, below=1, advice=LEVEL)
    trials = whole("trials", trials)
    successes = whole("successes", successes, least=0, most=trials)
    interval = stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Estimate:
    """A mean, and a 95 % Student-t interval for it."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float], bounds: tuple[float, float]) -> Estimate:
        """The mean of values that lie within known bounds; the interval does, too."""
        low, high = confidence(np.asarray(values, float))
        return cls(float(np.mean(values)), max(low, bounds[0]), min(high, bounds[1]))

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({self.low:.3g} to {self.high:.3g})"

"""Up to how many samples a network of any activation and depth determines its data: thresholds from counts, and from ranks at one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from identify.base.limits import TooLargeError, is_affordable, readable_seconds, seconds_left
from identify.conditions.networks.isolated import isolated, isolated_seconds
from identify.conditions.networks.judge import count
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.separation import separation
from identify.conditions.networks.some_layers import is_its_own_question, may_add, some_layers
from identify.planting.configuration import Configuration
from identify.problem.system import KKTSystem

DRAWS = 3


def largest(holds: Callable[[int], bool], known: int, most: int) -> int:
    """The largest n from ``known`` to ``most`` with ``holds(n)``, which is true up to some n and false from there on."""
    low, high = known, most
    if low < high and holds(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


class NetworkThresholds:
    """The same question for every number of samples."""

    def __init__(self, problem: Configuration | KKTSystem, seed: int):
        self.problem, self.seed = problem, seed
        self.left_out: dict[int, str] = {}
        """Why the derivative was not ranked, by the number of samples for which there was no time or memory."""
        if isinstance(problem, KKTSystem):
            self.question = NetworkQuestion.of_system(problem, 1, seed)
        else:
            self.question = NetworkQuestion.of_configuration(replace(problem, samples=1), seed)

    def at(self, samples: int) -> NetworkQuestion:
        return replace(self.question, samples=samples)

    @property
    def counted(self) -> int:
        """The largest n that counting allows."""
        one = self.at(1)
        free = one.ambiguity.has_free_scale
        return one.equations // (one.inputs + one.outputs - one.open_multipliers - free)

    def excess(self) -> int | None:
        """The smallest n whose unknowns are more than the equations."""
        return self.counted + 1 if count(self.at(self.counted + 1)).holds is False else None

    def by_separation(self) -> int:
        """The largest n for which Theorem A holds, or the theorem about some layers: their numbers of neurons grow with n."""
        return largest(self._is_separated, 0, max(self.counted, 1) + 1)

    def _is_separated(self, samples: int) -> bool:
        question = self.at(samples)
        return separation(question).is_proved or ((may_add(question) or is_its_own_question(question)) and some_layers(question).is_proved)

    def by_rank(self, known: int) -> int:
        """The largest n with a derivative of full rank at one random point, as far as time allows: for analytic and polynomial networks."""
        return largest(self._isolates, known, self.counted) if self.question.is_smooth else known

    def _isolates(self, samples: int) -> bool:
        rng = np.random.default_rng([self.seed, samples])
        system = self.problem
        if not isinstance(system, KKTSystem):
            system = replace(system, samples=samples).plant(self.seed)[0]
        for _ in range(DRAWS):
            X, c = (rng.standard_normal((samples, size)) for size in (self.question.inputs, self.question.outputs))
            point = NetworkQuestion.of_system(system, samples, self.seed, (X, c))
            seconds = isolated_seconds(point)
            if not is_affordable(seconds):
                self.left_out[samples] = f"it needs about {readable_seconds(seconds)}, and {seconds_left():.2g} s are left"
                return False
            try:
                if isolated(point).is_proved:
                    return True
            except TooLargeError as error:  # a smaller number of samples may fit
                self.left_out[samples] = str(error)
                return False
        return False

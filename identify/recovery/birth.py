r"""Births and deaths (of samples): from a local minimum with n samples through n + 2 and back, keeping what is lower.

At a local minimum of the residual r a new sample is almost always a descent direction, since
:math:`\eta(x) = \langle r, \nabla f(x)\rangle` vanishes at the candidates only. So two random samples are added, all are
optimised, the two whose removal costs least are dropped, and the rest is optimised again; the result is kept if the cost is
smaller. A start that is half right keeps its half, which a new start would not. Many starts run at once.

All this is done with the penalties of :mod:`identify.recovery.projection`, each start with a strength of its own; without them samples
escape, and births do not bring them back. Now and then all starts descend without penalties, to see which have reached a solution.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from identify.recovery.multistart import Proposal, Search
from identify.recovery.projection import PENALISED_STEPS, Projected, chunk_size, random_strengths
from identify.recovery.reduce import Reduced
from identify.recovery.starts import random_points

BORN = 2
CYCLES = 20
STEPS = 50
"""Steps of Levenberg-Marquardt between two changes."""
PATIENCE = 5
"""Cycles between two descents without penalties."""
STARTS = 64
"""Mapped at once, at most."""


def birth(reduced: Reduced, samples: int, search: Search) -> Iterator[Proposal]:
    """Data sets with a residual below the tolerance. Cost: 20 times that of a start with n + 2 candidates and 50 steps, twice."""
    problem = Projected.of(reduced)
    d, C = problem.network.n_inputs, problem.network.n_outputs

    def chunk(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        def random_samples(count: int) -> np.ndarray:
            return random_points(problem.network, rng, size * count).reshape(size, count, d)

        strength = random_strengths(rng, size)

        def penalised(X: np.ndarray, steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
            return problem.minimised(X, search, weights=strength, decay=strength, steps=steps)

        X, costs = penalised(random_samples(samples), PENALISED_STEPS)
        best, residuals = problem.minimised(X, search, steps=STEPS)
        for cycle in range(1, CYCLES + 1):
            solved = residuals <= search.tolerance**2
            if solved.all() or (search.one_is_enough and solved.any()) or not search.go_on():
                break
            grown, _ = penalised(np.concatenate([X, random_samples(BORN)], axis=1))
            if not search.go_on():
                break
            X, costs = _lower(X, costs, *penalised(problem.thinned(grown, BORN)))
            if cycle % PATIENCE == 0:
                best, residuals = _lower(best, residuals, *problem.minimised(X, search, steps=STEPS))
        return problem.solved(best, residuals, search)

    evidence: dict = {"candidates": samples + BORN}
    search.evidence["birth"] = evidence
    for outcome in search.chunks("birth", chunk, min(chunk_size(samples + BORN, d, C), STARTS)):
        evidence |= {"starts": search.starts_done, "smallest_residual": float(np.sqrt(outcome["costs"].min(initial=np.inf)))}
        for X, c in zip(outcome["X"], outcome["c"], strict=True):
            yield Proposal(X, c)


def _lower(X: np.ndarray, costs: np.ndarray, new: np.ndarray, new_costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every start the samples whose cost is lower, the first if they are equal; and the costs."""
    lower = new_costs < costs
    return np.where(lower[:, None, None], new, X), np.where(lower, new_costs, costs)

r"""Births and deaths: from a local minimum with n samples through n + 2 and back, keeping what is lower.

At a local minimum of the residual r a new sample is almost always a descent direction, since
:math:`\eta(x) = \langle r, \nabla f(x)\rangle` vanishes at the candidates only. So two random samples are added, all are
optimised, the two that contribute least are dropped, and the rest is optimised again; the result is kept if the residual is
smaller. A start that is half right keeps its half, which a new start would not. Many starts run at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from identify.recovery.least_squares import minimise
from identify.recovery.multistart import Found, Search
from identify.recovery.projection import Projected, chunk_size, cost, normal
from identify.recovery.reduce import Reduced
from identify.recovery.starts import random_points

BORN = 2
CYCLES = 30
"""A start that has not succeeded after so many seldom does."""
STEPS = 50
"""Of Levenberg-Marquardt between two changes."""
SOLVED = 1e-24


def birth(reduced: Reduced, samples: int, search: Search) -> Iterator[Found]:
    """Data sets with a residual below the tolerance. Cost: 30 times that of a start with n + 2 candidates and 50 steps, twice."""
    problem = Projected.of(reduced)
    d, C = problem.network.n_inputs, problem.network.n_outputs
    with search.doubles():
        arrays = problem.arrays()

    def optimised(X: Float[np.ndarray, "starts N d"]) -> tuple[np.ndarray, np.ndarray]:
        own = np.zeros(X.shape[:2])
        found, costs = minimise(cost, normal, arrays, X.reshape(len(X), -1), own=own, steps=STEPS, block=STEPS, go_on=search.go_on)
        return found.reshape(X.shape), np.where(np.isfinite(costs), costs, np.inf)

    def chunk(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        X, costs = optimised(random_points(problem.network, rng, size * samples).reshape(size, samples, d))
        for _ in range(CYCLES):
            if (costs <= SOLVED).all() or not search.go_on():
                break
            born = random_points(problem.network, rng, size * BORN).reshape(size, BORN, d)
            grown, _ = optimised(np.concatenate([X, born], axis=1))
            sizes = problem.multipliers(grown, np.zeros(grown.shape[:2]))[1]
            kept = np.sort(np.argsort(-np.nan_to_num(sizes), axis=1)[:, :samples], axis=1)
            new, new_costs = optimised(np.take_along_axis(grown, kept[:, :, None], axis=1))
            lower = new_costs < costs
            X, costs = np.where(lower[:, None, None], new, X), np.where(lower, new_costs, costs)
        good = costs <= search.tolerance**2
        return {"X": X[good], "c": problem.multipliers(X[good], np.zeros((good.sum(), samples)))[0], "costs": costs}

    evidence: dict = {"candidates": samples + BORN}
    search.evidence["birth"] = evidence
    for outcome in search.chunks("birth", chunk, min(chunk_size(samples + BORN, d, C), 64)):
        evidence |= {"starts": search.starts_done, "smallest_residual": float(np.sqrt(outcome["costs"].min(initial=np.inf)))}
        for X, c in zip(outcome["X"], outcome["c"], strict=True):
            yield Found(X, c)

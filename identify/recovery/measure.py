r"""Over-parameterise, then sparsify: solve with more samples than there are, and walk along the solutions to fewer.

With about 1.5 n candidates variable projection reaches residual zero from many more starts than with n, but at other exact
decompositions: samples in a common subspace can be replaced by more of them, so from n + 2 candidates on the solutions form
families. A concave penalty :math:`\tau \sum_i \|c_i \nabla f(x_i)\|^{1/2}`, small beside the target, moves along them to where
candidates vanish (iteratively reweighted least squares); what remains is merged, cut to n and polished. A penalty from the
start, before the residual is zero, finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np
from jaxtyping import Float

from identify.recovery.multistart import Found, Search
from identify.recovery.projection import Projected, chunk_size
from identify.recovery.reduce import Reduced
from identify.recovery.starts import random_points

FACTOR = 1.5
PENALTY = 1e-5
"""Relative to the squared norm of the target."""
ROUNDS, STEPS_PER_ROUND = 24, 20
LARGEST, SMALLEST = 1e-1, 1e-6
"""Sizes, relative to the target, at which the penalty is rounded off: from the first to the last in the first half of the rounds."""
MERGED = 0.05
"""Candidates nearer than that, relative, are one."""


def over_parameterised(samples: int) -> int:
    """How many candidates the search begins with."""
    return max(ceil(FACTOR * samples), samples + 2)


def measure(reduced: Reduced, samples: int, search: Search) -> Iterator[Found]:
    """Data sets with a residual below the tolerance. Cost as of :func:`~identify.recovery.projection.projection`, for 1.5 n candidates."""
    problem, N = Projected.of(reduced), over_parameterised(samples)
    d = problem.network.n_inputs

    def chunk(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        found, costs = problem.minimised(random_points(problem.network, rng, size * N).reshape(size, N, d), search)
        exact = found[costs <= search.tolerance**2]
        few = [kept for kept in (_largest(X, sizes, samples) for X, sizes in _sparsified(exact)) if kept is not None]
        if not few:
            return {"X": np.zeros((0, samples, d)), "c": np.zeros((0, samples, problem.network.n_outputs)), "exact": np.array(len(exact))}
        last, costs = problem.minimised(np.array(few), search)
        X = last[costs <= search.tolerance**2]
        return {"X": X, "c": problem.multipliers(X)[0], "exact": np.array(len(exact))}

    def _sparsified(X: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if not len(X):
            return
        sizes = problem.multipliers(X)[1]
        for k in range(ROUNDS):
            share = min(2 * k / ROUNDS, 1.0)
            rounding = LARGEST * (SMALLEST / LARGEST) ** share
            penalty = PENALTY * 10 ** (-7 * max(2 * k / ROUNDS - 1, 0.0))
            weights = penalty * (sizes**2 + rounding**2) ** -0.75
            X, _ = problem.minimised(X, search, weights=weights, steps=STEPS_PER_ROUND)
            sizes = problem.multipliers(X, weights)[1]
        yield from zip(X, sizes, strict=True)

    evidence: dict = {"candidates": N, "over_parameterised_solutions": 0}
    search.evidence["measure"] = evidence
    for outcome in search.chunks("measure", chunk, chunk_size(N, d, problem.network.n_outputs)):
        evidence["starts"] = search.starts_done
        evidence["over_parameterised_solutions"] += int(outcome["exact"])
        for X, c in zip(outcome["X"], outcome["c"], strict=True):
            yield Found(X, c)


def _largest(X: Float[np.ndarray, "N d"], sizes: Float[np.ndarray, " N"], samples: int) -> Float[np.ndarray, "n d"] | None:
    """The largest candidates that are not near a larger one; None where fewer than n are left."""
    kept: list[int] = []
    for i in np.argsort(-sizes):
        if np.isfinite(X[i]).all() and all(np.linalg.norm(X[i] - X[k]) > MERGED * np.linalg.norm(X[i]) for k in kept):
            kept.append(int(i))
    return X[kept[:samples]] if len(kept) >= samples else None

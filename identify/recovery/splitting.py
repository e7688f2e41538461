"""The rung of the solver ladder that splits: from local minima with n candidates through n + 1 and back to lower ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.recovery.equations import Equations
from identify.recovery.multistart import Proposal, Search
from identify.recovery.polish import polish
from identify.recovery.reduce import Reduced
from identify.recovery.starts import start_scale
from identify.splitting.inner import Inner, LevenbergMarquardt
from identify.splitting.matrices import smallest
from identify.splitting.minimise import best_step, split
from identify.splitting.objective import KKTObjective
from identify.splitting.simplify import cheapest_reduction

SOLVED = 1e-22
"""Squared relative residual at which a start is done."""
STEPS = 60
"""Steps of Levenberg-Marquardt between two changes: most starts that succeed need fewer, most that fail would crawl on."""
RADIUS = 3.0
"""Radius of the ball of candidates, relative to the expected norm of a start."""
LOWER = 1e-6
"""Relative decrease of the objective for which a cycle counts as a success; a step that gains a hundredth of it ends a run."""


CHUNK = 4
"""Starts between two looks at the clock."""


def splitting(reduced: Reduced, samples: int, search: Search) -> Iterator[Proposal]:
    """Data sets with a residual below the tolerance, as a search of :func:`identify.recover`."""
    equations = Equations.of(reduced.network, reduced.system.observed, reduced.target)
    deadline = np.inf if search.deadline is None else search.deadline

    def chunk(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        points = solve_by_splitting(equations, samples, rng, starts=size, spread=start_scale(reduced.network), deadline=deadline)
        good = [(X, c) for X, c, residual in points if residual <= search.tolerance]
        sizes = reduced.network.n_inputs, reduced.network.n_outputs
        X, c = (np.array([pair[k] for pair in good]).reshape(len(good), samples, size) for k, size in enumerate(sizes))
        return {"X": X, "c": c}

    search.evidence["splitting"] = evidence = {"candidates": samples + 1}
    for outcome in search.chunks("splitting", chunk, CHUNK):
        evidence["starts"] = search.starts_done
        for X, c in zip(outcome["X"], outcome["c"], strict=True):
            yield Proposal(X, c)


def solve_by_splitting(
    equations: Equations,
    samples: int,
    rng: np.random.Generator,
    *,
    starts: int = 20,
    cycles: int = 10,
    spread: float = 1.0,
    deadline: float = np.inf,
    progress: Callable[[str], None] = lambda step: None,
) -> list[tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], float]]:
    """Solutions of (S) with that many samples, from random starts that escape local minima by splits.

    A start runs Levenberg-Marquardt (multipliers eliminated) with n candidates. Then, up to ``cycles`` times, a candidate
    whose splitting matrix has a negative eigenvalue is split, the n + 1 candidates are optimised, the one that costs least is
    dropped or merged, and the n candidates are optimised again; the result is kept if it is lower. The end is polished.

    Parameters
    ----------
    equations
        In the coordinates in which the candidates are sought.
    samples
        n, at least 1.
    rng
        Source of the starts and choices; one generator state gives one result.
    starts
        Number of starts, at least 1.
    cycles
        Splits for each start; 0 is plain multistart.
    spread
        Standard deviation of the coordinates of a start, in the units of the inputs.
    deadline
        Value of ``time.monotonic()`` after which no more work is begun; what was found by then is returned.
    progress
        Called after each start with a line on the best so far.

    Returns
    -------
    list
        (X, c, relative residual) for every start, lowest residual first. Residuals are unweighted. A start that the deadline
        cut short is among them.

    Raises
    ------
    ValueError
        For fewer than one sample or start, a spread that is not positive, or a target that is zero.

    Examples
    --------
    >>> from identify.planting.configuration import Configuration
    >>> from identify.recovery.reduce import Reduced
    >>> system, truth = Configuration(inputs=3, samples=2, width=4, activation="z + z^3").plant(seed=1)
    >>> reduced = Reduced.of(system, 2)
    >>> equations = Equations.of(reduced.network, system.observed, reduced.target)
    >>> found = solve_by_splitting(equations, 2, np.random.default_rng(0), starts=4)
    >>> found[0][2] < 1e-12
    True
    """
    if samples < 1:
        raise InputError(f"samples: received {samples}, expected at least 1")
    if starts < 1 or cycles < 0:
        raise InputError(f"starts, cycles: received {starts} and {cycles}, expected at least 1 and at least 0")
    if not 0 < spread < np.inf:
        raise InputError(f"spread: received {spread:g}, expected a positive number, the scale of the inputs")
    objective = KKTObjective.of(equations)
    d, outputs = objective.n_inputs, equations.network.n_outputs
    inner = LevenbergMarquardt(steps=STEPS, capacity=samples + 1, radius=RADIUS * spread * d**0.5, gain=LOWER / 100)
    norm = np.linalg.norm(equations.target)
    solutions: list[tuple[np.ndarray, np.ndarray, float]] = []
    for start in range(starts):
        if solutions and time.monotonic() > deadline:
            break
        X, c = inner(objective, spread * rng.standard_normal((samples, d)), np.zeros((samples, outputs)))
        for _ in range(cycles):
            if objective(X, c) <= SOLVED or time.monotonic() > deadline:
                break
            X, c = _cycle(objective, inner, X, c, rng)
        X, c, _ = polish(equations, X, c)
        solutions.append((X, c, float(np.linalg.norm(equations.residual(X, c)) / norm)))
        progress(f"start {start + 1} of {starts}: best relative residual {min(residual for *_, residual in solutions):.1e}")
    return sorted(solutions, key=lambda solution: solution[2])


def _cycle(objective: KKTObjective, inner: Inner, X: np.ndarray, c: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A lower point with as many candidates by one split and one reduction, or the same point."""
    eigenvalues, vectors = smallest(objective, X, c)
    saddles = np.flatnonzero(eigenvalues < 0)
    if not len(saddles):
        return X, c
    # at random, not the split that gains most: that one leads back to the same minimum every time
    j = int(rng.choice(saddles))
    step, _ = best_step(objective, X, c, j, vectors[j])
    grown = split(X, c, vectors, np.where(np.arange(len(X)) == j, step, 0.0))
    *_, new_X, new_c = cheapest_reduction(objective, *inner(objective, *grown[:2]))
    new_X, new_c = inner(objective, new_X, new_c)
    return (new_X, new_c) if objective(new_X, new_c) < (1 - LOWER) * objective(X, c) else (X, c)

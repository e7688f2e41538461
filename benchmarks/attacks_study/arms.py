"""The arms of the comparison: each gets a problem and the same wall-clock time, and returns candidates."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import identify
from attacks_study.problems import Problem
from identify.attacks import Attack, RandomSearch, corners, in_row_space, score, stationarity

PRECISION = "float32"
ENDLESS = 10**8
DRAWS, STEPS_PER_DRAW = 12, 500
SPLITTING = {True: identify.Splitting(every=2000, most=4, cap=2), False: identify.Splitting(every=2000, most=20, cap=2)}
"""For few candidates, and for many, of which more must be split at once: a check takes as long as a thousand iterations."""
FEW = 20
LEARNED = 1e-3
"""Samples whose best multiplier is smaller than that, relative to the largest, do not enter the equation, and are not counted."""


class Outcome(NamedTuple):
    """What an arm left; ``objective`` is nan where the arm minimises another one, and infinite where it diverged."""

    X: np.ndarray
    objective: float
    iterations: int
    splits: int
    seconds: float


def settings(problem: Problem, seconds: float) -> dict[str, float]:
    """Learning rates and the like: of random draws the one with the least residual after some steps, if both n and 2n candidates survive.

    Nothing looks at the true data.
    """
    search, k = RandomSearch(partial(_made, problem), problem.ranges), 2 * len(problem.X)
    found = identify.reconstruct(search, candidates=k, steps=STEPS_PER_DRAW, trials=DRAWS, precision=PRECISION, budget=4 * seconds)
    for trial in found.trials:
        chosen = {name: trial.settings[name] for name in problem.ranges}
        if all(np.isfinite(attack(problem, chosen, 0, seconds, factor=factor).objective) for factor in (1, 2)):
            break
    return chosen


def _made(problem: Problem, **chosen: float) -> Attack:
    """In the row space of the first layer where the images are large: iterations are faster, and nothing is lost there."""
    attack = problem.make(**chosen)
    return in_row_space(attack, noise=problem.noise) if problem.X.shape[1] > 100 else attack


def attack(
    problem: Problem, chosen: dict[str, float], seed: int, seconds: float, *, factor: int = 1, split: bool = False, rows: bool = False
) -> Outcome:
    n = len(problem.X)
    made = _made(problem, **chosen)
    if rows and made.basis is None:
        made = in_row_space(made, noise=problem.noise)
    started = time.perf_counter()
    try:
        found = identify.reconstruct(
            made,
            candidates=factor * n,
            steps=ENDLESS,
            seed=seed,
            splitting=SPLITTING[n <= FEW] if split else None,
            precision=PRECISION,
            budget=seconds,
        ).trials[0]
    except FloatingPointError:
        return Outcome(np.zeros((1, problem.X.shape[1])), np.inf, 0, 0, time.perf_counter() - started)
    return Outcome(found.X, found.value, found.iterations, len(found.splits), time.perf_counter() - started)


def solver(problem: Problem, chosen: dict[str, float], seed: int, seconds: float, *, method: str) -> Outcome:
    started = time.perf_counter()
    try:
        X = np.asarray(identify.recover(problem.system, samples=len(problem.X), method=method, budget=seconds, seed=seed).X)
    except (identify.RecoveryError, identify.TooLargeError):
        X = np.zeros((1, problem.X.shape[1]))
    return Outcome(X, np.nan, 0, 0, time.perf_counter() - started)


def meeting_points(problem: Problem, chosen: dict[str, float], seed: int, seconds: float) -> Outcome:
    started = time.perf_counter()
    found = corners(problem.network, -problem.mean, 1 - problem.mean, noise=problem.noise, seed=seed, budget=seconds)
    return Outcome(found.X[: 2 * len(problem.X)], np.nan, 0, 0, time.perf_counter() - started)


ARMS: dict[str, Callable[..., Outcome]] = {
    "n": attack,
    "n, split": partial(attack, split=True),
    "2n": partial(attack, factor=2),
    "2n, row space": partial(attack, factor=2, rows=True),
    "corners": meeting_points,
    "recover": partial(solver, method="auto"),
}


def fits(arm: str, problem: Problem) -> bool:
    """Whether the arm can be asked, and is another than those before."""
    if arm == "2n, row space":
        return problem.X.shape[1] <= 100
    if arm == "corners":
        return problem.network is not None
    return problem.system is not None or arm != "recover"


def scored(problem: Problem, found: Outcome, *, chance: bool) -> dict[str, Any]:
    """What is kept of an outcome: judged against the true images, and where asked beside held-out ones."""
    support = _support(problem)
    # candidates that stayed where they started, or flew off, would only slow the assignment
    X = found.X[np.isfinite(found.X).all(axis=1)]
    judged = score(
        X,
        problem.X,
        mean=problem.mean,
        shape=problem.shape,
        group=problem.group,
        support=support,
        held_out=problem.held_out if chance else None,
        trials=3,
    )
    kept = {
        "objective": found.objective,
        "iterations": found.iterations,
        "splits": found.splits,
        "seconds": found.seconds,
        "candidates": len(found.X),
        "images": int(support.sum()),
        "recall": judged.recall(),
        "ssim": judged.mean_ssim,
    }
    if judged.chance is not None:
        kept |= {"chance recall": judged.chance.recall().mean, "chance ssim": judged.chance.mean_ssim.mean}
    return kept


def _support(problem: Problem) -> np.ndarray:
    c = np.abs(stationarity(problem.make(), problem.X, problem.labels, signed=problem.signed).multipliers).max(axis=1)
    return c > LEARNED * c.max()

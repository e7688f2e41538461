"""``reconstruct``: run an attack, once or from several seeds, with or without sample splitting, and pick a run without the true data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from identify.attacks.descent import DivergedError
from identify.attacks.objectives import Attack
from identify.attacks.running import Run
from identify.attacks.runs import SAME, Reconstruction, Splitting, Trial
from identify.attacks.store import Store
from identify.attacks.tuning import RandomSearch
from identify.base.compiled import dropping
from identify.base.limits import Clock, Stopped
from identify.base.options import PRECISIONS, choice, instance, positive, valid_seed, whole

KEPT_EVERY = 60.0
"""Seconds after which a run is kept, at the end of a block of iterations."""


@dropping()
def reconstruct(
    attack: Attack | RandomSearch,
    *,
    candidates: int,
    steps: int | None = None,
    trials: int = 1,
    seed: int = 0,
    splitting: Splitting | None = None,
    precision: str = "float64",
    budget: float | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Reconstruction:
    """Minimise the objective of an attack from random candidates.

    Parameters
    ----------
    attack
        :func:`~identify.attacks.published.haim`, ``buzaglo``, ``loo``, your own :class:`~identify.attacks.objectives.Attack`, or a
        :class:`~identify.attacks.tuning.RandomSearch` over the settings of one.
    candidates
        Number of candidates at the start, at least 1; the papers take twice the number of samples.
    steps
        Iterations, at least 1; None: as published.
    trials
        Runs, with the seeds ``seed``, ``seed`` + 1, ..., each from 0 to 2^53 - 1.
    splitting
        Splits candidates at strict saddles. None: their number is constant.
    precision
        Precision of the iterations: ``"float64"``, or ``"float32"``, which is faster. Splits are checked in float64.
    budget
        Seconds of wall-clock time for all runs. When it is spent, or at a keyboard interrupt, the results so far are returned.
    checkpoint
        A folder that keeps finished runs, and the state of the one that is under way: about every minute, when time is over, and at an
        interrupt. A later call with the same options goes on from there, to the same bits as without a break.
    progress
        Called with a line of text now and then.

    Raises
    ------
    ValueError
        For numbers out of range, or a checkpoint of another attack.
    DivergedError
        When every run diverges; smaller learning rates help.

    Notes
    -----
    Cost: each iteration about six times a forward pass of the network for all candidates. A check for splits costs, for each
    candidate, d (up to 100 inputs) or some 20 to 100 (above) products, each a few passes of that candidate. After the first split
    iterations cost as much as with the largest number of candidates.

    References
    ----------
    Haim et al. 2022, Buzaglo et al. 2023, Loo et al. 2024 (objectives); Shen et al. 2026 (sample splitting).

    Examples
    --------
    >>> import numpy as np
    >>> from identify import Network
    >>> from identify.attacks import buzaglo
    >>> network = Network([np.eye(2), np.ones((1, 2))], activation="z + z^2/2")
    >>> found = reconstruct(buzaglo(network, kind="weight-decay", rate=1e-3), candidates=2, steps=100)
    >>> found.X.shape, found.trials[0].iterations
    ((2, 2), 100)
    """
    instance("attack", attack, (Attack, RandomSearch), "an Attack, such as that of identify.attacks.haim, or a RandomSearch")
    if splitting is not None:
        instance("splitting", splitting, Splitting, "a Splitting, or None")
    candidates, trials = whole("candidates", candidates), whole("trials", trials)
    seed = valid_seed(seed, runs=trials)
    first = _drawn(attack, seed)
    total = whole("steps", first.steps if steps is None else steps)
    budget = None if budget is None else positive("budget", budget, unit="seconds")
    choice("precision", precision, PRECISIONS)
    clock = Clock(deadline=None if budget is None else time.monotonic() + budget)
    store = None if checkpoint is None else Store.open(Path(checkpoint), attack, first, f"{candidates} {total} {splitting} {precision}")
    objective_of = lru_cache(1)(lambda made: made.objective(candidates))  # functions made anew in it would compile anew
    done: list[Trial] = []
    for number in range(seed, seed + trials):
        made = _drawn(attack, number)
        trial = None if store is None else store.load(number, made)
        if trial is None:
            try:
                run = Run.begin(made, objective_of(made), candidates, total, number, splitting, precision)
                trial = _run(run, clock, store, progress)
            except KeyboardInterrupt:
                clock.interrupted = Stopped.INTERRUPTED
                break
        done.append(trial)
        if not clock.go_on():
            break
    finite = [trial for trial in done if np.isfinite([trial.value, trial.distance]).all() and _are_finite(trial.X, trial.c)]
    if not finite:
        if not done:
            raise KeyboardInterrupt
        began = Run.begin(first, objective_of(first), candidates, total, seed, None, precision).trial()
        if not np.isfinite(began.value):
            more = "" if precision == "float64" else "; precision 'float64' has more room"
            raise DivergedError(
                f"{first.name}: the objective is not finite at the start, before any step; give the network in other units, or smaller "
                f"first candidates{more}"
            )
        raise DivergedError(f"{first.name}: all {len(done)} runs diverged; try smaller learning rates than {first.settings}")
    ordered = sorted(finite, key=lambda trial: trial.value if attack is first else trial.distance)
    agreed = tuple(replace(trial, agreement=_agreement(trial, ordered)) for trial in ordered)
    return Reconstruction(first.name, agreed, len(done) - len(finite), clock.interrupted)


def _are_finite(*arrays: np.ndarray) -> bool:
    return all(np.isfinite(array).all() for array in arrays)


def _drawn(attack: Attack | RandomSearch, seed: int) -> Attack:
    return attack if isinstance(attack, Attack) else attack.draw(seed)


def _run(run: Run, clock: Clock, store: Store | None, progress: Callable[[str], None]) -> Trial:
    """To the end, or as far as time goes; what was begun before is continued, and kept now and then."""
    if store is None:
        run.go(clock, progress, lambda: None)
        return run.trial()
    store.resume(run)
    last, kept = time.monotonic(), run.state

    def keep() -> None:
        nonlocal last, kept
        if time.monotonic() - last >= KEPT_EVERY:
            store.keep(run)
            last, kept = time.monotonic(), run.state

    try:
        run.go(clock, progress, keep)
    finally:
        if run.state is not kept and not run.is_done:
            store.keep(run)
    trial = run.trial()
    if run.is_done:
        store.save(trial)
    return trial


def _agreement(trial: Trial, trials: list[Trial]) -> float:
    others = [other.X for other in trials if other is not trial]
    if not others:
        return np.nan
    near = [min(np.linalg.norm(other - x, axis=1).min() for other in others) <= SAME * np.linalg.norm(x) for x in trial.X]
    return float(np.mean(near))

"""``reconstruct``: run an attack, once or from several seeds, with or without sample splitting, and pick a run without the true data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from identify.attacks.descent import DivergedError
from identify.attacks.objectives import Attack, Objective
from identify.attacks.runs import SAME, Reconstruction, Splitting, Trial
from identify.attacks.splits import checked
from identify.attacks.store import Store
from identify.attacks.tuning import RandomSearch
from identify.base.limits import Clock, Stopped
from identify.base.options import PRECISIONS, choice, positive, valid_seed, whole
from identify.splitting.minimise import Split

BLOCK = 250
"""Iterations between two looks at the clock, if there is time. With a budget the first block is one iteration, and the second, after
which nothing more is compiled for them, measures their speed."""
JUDGING = 0.25
"""Seconds to judge the result, relative to the first iteration: mostly those of compiling."""


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
        A folder that keeps finished runs, so that a later call continues from them.
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
                trial = _run(made, objective_of(made), candidates, total, number, splitting, precision, clock, progress)
            except KeyboardInterrupt:
                clock.interrupted = Stopped.INTERRUPTED
                break
            if store is not None and not clock.interrupted:
                store.save(trial)
        done.append(trial)
        if not clock.go_on():
            break
    finite = [trial for trial in done if np.isfinite(trial.value) and np.isfinite(trial.X).all()]
    if not finite:
        if not done:
            raise KeyboardInterrupt
        raise DivergedError(f"{first.name}: all {len(done)} runs diverged; try smaller learning rates than {first.settings}")
    ordered = sorted(finite, key=lambda trial: trial.value if attack is first else trial.distance)
    agreed = tuple(replace(trial, agreement=_agreement(trial, ordered)) for trial in ordered)
    return Reconstruction(first.name, agreed, len(done) - len(finite), clock.interrupted)


def _drawn(attack: Attack | RandomSearch, seed: int) -> Attack:
    return attack if isinstance(attack, Attack) else attack.draw(seed)


def _run(
    attack: Attack,
    objective: Objective,
    candidates: int,
    total: int,
    seed: int,
    splitting: Splitting | None,
    precision: str,
    clock: Clock,
    progress: Callable[[str], None],
) -> Trial:
    X, c = attack.start(np.random.default_rng(seed), candidates)
    used = candidates
    history: list[tuple[int, float]] = []
    splits: list[Split] = []
    pending: list[Split] = []
    with jax.enable_x64(True):
        rough = jax.tree.map(lambda array: array.astype(precision), objective)
        point = {"X": jnp.asarray(X, precision), "c": jnp.asarray(c, precision)}
        state = attack.optimiser.init(point)
        at, pace, reserved = 0, 0.0, 0.0
        while at < total and (_go_on(clock, reserved) or not history):
            until_check = splitting.every - at % splitting.every if splitting else total
            count = min(_block(at, clock, pace, reserved), total - at, until_check)
            started = time.monotonic()
            try:
                new = _iterate(attack.optimiser.update, attack.sharpness, attack.pace, rough, point, state, used, at, count)
                reached = float(new[2])  # here the iterations are waited for
            except KeyboardInterrupt:
                if not history:
                    raise
                clock.interrupted = Stopped.INTERRUPTED
                break
            point, state, _ = new
            at += count
            seconds = time.monotonic() - started
            if history:
                pace = seconds / count
            elif clock.deadline is not None:
                reserved = JUDGING * seconds
            history.append((at, reached))
            if not np.isfinite(history[-1][1]):
                break
            progress(f"{attack.name}, seed {seed}: {at} of {total} iterations, objective {history[-1][1]:.4g}")
            if splitting and at % splitting.every == 0 and at < total:
                splits += [replace(each, resumed=history[-1][1]) for each in pending]
                objective = _sharpened(objective, attack.sharpness, at)
                objective, point, made = checked(objective, point, used, splitting, int(candidates * splitting.cap))
                pending = [replace(each, iteration=at) for each in made]
                used += len(pending)
                if pending:  # momenta belong to candidates that are no more
                    rough, point = jax.tree.map(lambda array: array.astype(precision), (objective, point))
                    state = attack.optimiser.init(point)
        splits += [replace(each, resumed=history[-1][1]) for each in pending]
        X, c = (np.asarray(point[name], float) for name in ("X", "c"))
        # with the free places, which add nothing: as many as are used would compile anew
        distance, value = map(float, _judged(_sharpened(objective, attack.sharpness, at), jax.device_put(X), jax.device_put(c)))
    return Trial(seed, attack.lifted(X[:used]), c[:used], value, distance, np.array(history), tuple(splits), dict(attack.settings))


def _go_on(clock: Clock, reserved: float) -> bool:
    """Whether there is time left beside the ``reserved`` seconds."""
    if clock.deadline is not None and time.monotonic() > clock.deadline - reserved:
        clock.interrupted = clock.interrupted or Stopped.OUT_OF_TIME
    return clock.go_on()


def _block(at: int, clock: Clock, pace: float, reserved: float) -> int:
    """Iterations to the next multiple of ``BLOCK``, or fewer if time is short; ``pace``: seconds of one, 0 while it is not known."""
    block = BLOCK - at % BLOCK
    if clock.deadline is None:
        return block
    return min(block, max(int((clock.deadline - reserved - time.monotonic()) / pace), 1) if pace else 1)


@jax.jit
def _judged(objective: Objective, X: Array, c: Array) -> Any:
    """The first term of the objective, and all of it."""
    return objective.distance(X, c), objective(X, c)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _iterate(
    update: optax.TransformUpdateFn, sharpness: Any, pace: Any, objective: Objective, point: Any, state: Any, used: Any, at: Any, count: Any
) -> Any:
    """``count`` iterations of the first ``used`` candidates; the point, the optimiser's state, the objective before the last of them."""
    free = jnp.arange(len(point["X"]))[:, None] < used

    def body(i: Any, carried: Any) -> Any:
        point, state, _ = carried
        current = _sharpened(objective, sharpness, at + i)
        value, gradient = jax.value_and_grad(lambda p: current(p["X"], p["c"]))(point)
        gradient = jax.tree.map(lambda part: jnp.where(free, part, 0), gradient)
        updates, state = update(gradient, state, point)
        if pace is not None:
            updates = jax.tree.map(lambda part: part * pace(at + i).astype(part.dtype), updates)
        return optax.apply_updates(point, updates), state, value

    return jax.lax.fori_loop(0, count, body, (point, state, jnp.zeros((), point["X"].dtype)))


def _sharpened(objective: Objective, sharpness: Any, at: Any) -> Objective:
    if sharpness is None:
        return objective
    return replace(objective, sharpness=jnp.asarray(sharpness(jnp.asarray(at, float)), objective.sharpness.dtype))


def _agreement(trial: Trial, trials: list[Trial]) -> float:
    others = [other.X for other in trials if other is not trial]
    if not others:
        return np.nan
    near = [min(np.linalg.norm(other - x, axis=1).min() for other in others) <= SAME * np.linalg.norm(x) for x in trial.X]
    return float(np.mean(near))

"""One run of an attack: blocks of iterations and checks for splits, from a state that can be kept, and continued to the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from identify.attacks.objectives import Attack
from identify.attacks.runs import Splitting, Trial
from identify.attacks.splits import checked
from identify.base.compiled import bounded
from identify.base.errors import InputError
from identify.base.limits import Clock, Stopped
from identify.splitting.matrices import traceable
from identify.splitting.minimise import Split

BLOCK = 250
"""Iterations between two looks at the clock, if there is time. With a budget the first block is one iteration, and the second, after
which nothing more is compiled for them, measures their speed."""
JUDGING = 0.25
"""Seconds to judge the result, relative to the first iteration: mostly those of compiling."""


class State(NamedTuple):
    """What is needed to go on. Random numbers are not: they are drawn at the start only."""

    point: Any
    memory: Any
    """Of the optimiser."""
    objective: Any
    used: int
    at: int = 0
    due: bool = False
    """Whether a check for splits comes next."""
    history: tuple[tuple[int, float], ...] = ()
    splits: tuple[Split, ...] = ()
    pending: int = 0
    """How many of the last splits wait for the objective after the iterations that follow."""

    def told(self) -> tuple[Split, ...]:
        """The splits, of which the last ones are told the objective that was reached since."""
        done = len(self.splits) - self.pending
        return self.splits[:done] + tuple(replace(each, resumed=self.history[-1][1]) for each in self.splits[done:])


@dataclass(eq=False)
class Run:
    """A run from one seed; ``state`` is replaced as a whole, so that an interrupt leaves one that is complete."""

    attack: Attack
    fresh: Any
    """The objective of the start."""
    candidates: int
    total: int
    seed: int
    splitting: Splitting | None
    precision: str
    state: State

    @classmethod
    def begin(
        cls, attack: Attack, objective: Any, candidates: int, total: int, seed: int, splitting: Splitting | None, precision: str
    ) -> Run:
        with jax.enable_x64(True):
            X, c = attack.start(np.random.default_rng(seed), candidates)
            with np.errstate(over="ignore"):  # beyond single precision, which the objective shows
                point = {"X": jnp.asarray(X, precision), "c": jnp.asarray(c, precision)}
            fresh = traceable(objective)
            if attack.sharpness is not None and not hasattr(fresh, "sharpness"):
                raise InputError("attack: received a sharpness that changes, and an objective without one; expected a field of that name")
            state = State(point, attack.optimiser.init(point), fresh, candidates)
        return cls(attack, fresh, candidates, total, seed, splitting, precision, state)

    @property
    def is_done(self) -> bool:
        return self.state.at >= self.total or bool(self.state.history and not np.isfinite(self.state.history[-1][1]))

    def go(self, clock: Clock, progress: Callable[[str], None], keep: Callable[[], None]) -> None:
        """To the end, or until the time is over or an interrupt comes; ``keep`` is called after every block and check."""
        pace = reserved = 0.0
        blocks = 0
        with jax.enable_x64(True):
            rough = self._rough()
            while not self.is_done and (_go_on(clock, reserved) or not self.state.history):
                started, at = time.monotonic(), self.state.at
                if self.state.due:
                    self._check()
                    rough = self._rough()
                    keep()
                    continue
                until_check = self.splitting.every - at % self.splitting.every if self.splitting else self.total
                count = min(_block(at, clock, pace, reserved), self.total - at, until_check)
                try:
                    self._iterate(rough, count)
                except KeyboardInterrupt:
                    if not self.state.history:
                        raise
                    clock.interrupted = Stopped.INTERRUPTED
                    break
                seconds = time.monotonic() - started
                if blocks:
                    pace = seconds / count
                elif clock.deadline is not None:
                    reserved = JUDGING * seconds
                blocks += 1
                keep()
                if not self.is_done or self.state.at >= self.total:
                    at, value = self.state.history[-1]
                    progress(f"{self.attack.name}, seed {self.seed}: {at} of {self.total} iterations, objective {value:.4g}")

    def trial(self) -> Trial:
        state = self.state
        with jax.enable_x64(True):
            X, c = (np.asarray(state.point[name], float) for name in ("X", "c"))
            # with the free places, which add nothing: as many as are used would compile anew
            objective = _sharpened(state.objective, self.attack.sharpness, state.at)
            distance, value = map(float, _judged(objective, jax.device_put(X), jax.device_put(c)))
        X, c = self.attack.lifted(X[: state.used]), c[: state.used]
        return Trial(self.seed, X, c, value, distance, np.array(state.history), state.told(), dict(self.attack.settings))

    def arrays(self) -> dict[str, Any]:
        """The state as arrays by name; of the objective what differs from that of the start."""
        state = self.state
        leaves, first = jax.tree.leaves(state.objective), jax.tree.leaves(self.fresh)
        changed = {f"objective_{i}": np.asarray(leaf) for i, (leaf, own) in enumerate(zip(leaves, first, strict=True)) if leaf is not own}
        memory = {f"memory_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state.memory))}
        point = {name: np.asarray(part) for name, part in state.point.items()}
        numbers = {"used": state.used, "at": state.at, "due": state.due, "pending": state.pending}
        return changed | memory | point | numbers | {"history": np.array(state.history, float).reshape(-1, 2)}

    def resume(self, saved: Mapping[str, np.ndarray], splits: tuple[Split, ...]) -> None:
        """Go on from :meth:`arrays`. KeyError if one is missing."""
        with jax.enable_x64(True):
            point = {name: jax.device_put(saved[name]) for name in self.state.point}
            empty, shape = jax.tree.flatten(self.attack.optimiser.init(point))
            leaves = [
                jax.device_put(saved[f"objective_{i}"]) if f"objective_{i}" in saved else leaf
                for i, leaf in enumerate(jax.tree.leaves(self.fresh))
            ]
            self.state = State(
                point,
                jax.tree.unflatten(shape, [jax.device_put(saved[f"memory_{i}"]) for i in range(len(empty))]),
                jax.tree.unflatten(jax.tree.structure(self.fresh), leaves),
                int(saved["used"]),
                int(saved["at"]),
                bool(saved["due"]),
                tuple((int(at), float(value)) for at, value in saved["history"]),
                splits,
                int(saved["pending"]),
            )

    def _rough(self) -> Any:
        return _as(self.state.objective, self.precision)

    def _iterate(self, rough: Any, count: int) -> None:
        state, attack = self.state, self.attack
        update = attack.optimiser.update
        new = _iterate(update, attack.sharpness, attack.pace, rough, state.point, state.memory, state.used, state.at, count)
        value, at = float(new[2]), state.at + count  # here the iterations are waited for
        due = self.splitting is not None and at % self.splitting.every == 0 and at < self.total
        self.state = state._replace(point=new[0], memory=new[1], at=at, due=due, history=(*state.history, (at, value)))

    def _check(self) -> None:
        state = self.state
        assert self.splitting is not None
        objective = _sharpened(state.objective, self.attack.sharpness, state.at)
        objective, point, made = checked(objective, state.point, state.used, self.splitting, int(self.candidates * self.splitting.cap))
        memory = state.memory
        if made:  # momenta belong to candidates that are gone
            point = _as(point, self.precision)
            memory = self.attack.optimiser.init(point)
        splits = state.told() + tuple(replace(each, iteration=state.at) for each in made)
        used, pending = state.used + len(made), len(made)
        self.state = State(point, memory, objective, used, state.at, False, state.history, splits, pending)


def _as(tree: Any, precision: str) -> Any:
    """Its real numbers in this precision."""

    def cast(leaf: Any) -> Any:
        array = jnp.asarray(leaf)
        return array.astype(precision) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(cast, tree)


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


@bounded
@jax.jit
def _judged(objective: Any, X: Array, c: Array) -> Any:
    """The first term of the objective, and all of it; all of it twice if the objective does not tell its first term."""
    value = objective(X, c)
    return (objective.distance(X, c) if hasattr(objective, "distance") else value), value


@bounded
@partial(jax.jit, static_argnums=(0, 1, 2))
def _iterate(
    update: optax.TransformUpdateFn, sharpness: Any, pace: Any, objective: Any, point: Any, state: Any, used: Any, at: Any, count: Any
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


def _sharpened(objective: Any, sharpness: Any, at: Any) -> Any:
    if sharpness is None:
        return objective
    return replace(objective, sharpness=jnp.asarray(sharpness(jnp.asarray(at, float)), objective.sharpness.dtype))


def is_compiled(iterations: Any = _iterate) -> bool:
    """Whether this process has compiled the iterations of an attack, of any size."""
    return iterations._cache_size() > 0

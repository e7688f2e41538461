r"""Levenberg-Marquardt from many starts at once in JAX, on normal equations in closed form.

One start is a vector of unknowns; a problem gives the cost and the normal equations :math:`J^\top J,\ J^\top r` there, and JAX maps the
steps of :mod:`identify.splitting.traced` over the starts. They come in batches of one size, for which they are compiled, and in blocks,
after which starts at rest are left out; a block comes in slices of a fraction of a second, between which the caller looks at the clock and
an interrupt is heard. Compiling takes seconds and cannot be stopped, so it is not begun if the caller says that there is no time for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from identify.base.compiled import at_drop, bounded
from identify.base.least_squares import Rest, State
from identify.base.least_squares import descend as advance_all
from identify.splitting.traced import damped_step, descend

SMALLEST_BATCH, BATCH, LARGE_BATCH = 8, 64, 512
"""Starts mapped at once on a CPU, least and most, and on an accelerator. Fewer are filled up: compiling takes seconds for each size."""
OPERATIONS = 1e9
"""Operations of a block of a batch on a CPU, about, unless the batch is the smallest: filling up costs no more than that."""
SLICE = 0.25
"""Seconds between two looks at the clock, once the speed is known."""

COMPILING = 16.0
"""Time in which :func:`_attempts` is compiled, relative to that of one damped step (measured)."""
_compiled: set[Any] = set()
"""The functions and sizes whose programs this process holds."""
at_drop(_compiled.clear)

Normal = Callable[..., tuple[Array, Array, Array]]
"""(arrays of the problem, unknowns of one start, its own constants) -> cost, J^T r, J^T J."""
Here = tuple[Any, State]
"""Points with their gradients and matrices, and the state of the descent."""


@bounded
@partial(jax.jit, static_argnums=0)
def _attempts(normal: Normal, arrays: Any, own: Float[Array, "starts constants"], rest: Rest, here: Here, steps: Any) -> Here:
    """``steps`` attempts of every start."""

    def one(own, point, state):
        def attempt(here, damping):
            point, gradient, matrix = here
            trial = point - damped_step(matrix, gradient, damping)
            cost, gradient, matrix = normal(arrays, trial, own)
            return (trial, gradient, matrix), cost

        return descend(attempt, point, state, rest, steps)

    return jax.vmap(one)(own, *here)


@cache
def seconds_to_compile() -> float:
    """About how long compiling a descent takes on this machine, as busy as it is: from one damped step, which is compiled to see."""
    devices = jax.devices()  # what JAX begins with counts once only
    with jax.enable_x64(True), jax.default_device(devices[0]):
        began = time.monotonic()
        jax.jit(partial(damped_step, damping=0.1)).lower(np.eye(3), np.ones(3)).compile()
        return COMPILING * (time.monotonic() - began)


def spread(starts: np.ndarray) -> Array:
    """Starts on the device; on all devices in equal parts, if there are several and the number allows it."""
    devices = jax.devices()
    if len(devices) == 1 or len(starts) % len(devices):
        return jax.device_put(starts)
    mesh = jax.sharding.Mesh(np.array(devices), ("starts",))
    return jax.device_put(starts, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("starts")))


def minimise(
    normal: Normal,
    arrays: Any,
    points: Float[np.ndarray, "starts unknowns"],
    *,
    steps: int,
    rest: Rest,
    own: Float[np.ndarray, "starts constants"] | None = None,
    block: int = 25,
    go_on: Callable[[], bool] = lambda: True,
    allows: Callable[[Callable[[], float]], bool] = lambda seconds: True,
) -> tuple[Float[np.ndarray, "starts unknowns"], Float[np.ndarray, " starts"]]:
    """Descend from every start until ``steps`` are done, it is at rest, or ``go_on()`` says no.

    ``own``: constants of each start. ``allows``: asked before anything is compiled, with the function that estimates how long. Returns
    points, and costs: infinite ones of starts that were not reached. The same starts give the same bits on the same machine.
    """
    constants = np.zeros((len(points), 0)) if own is None else own
    at, unknowns = np.array(points, float), points.shape[1]
    size = min(len(at), _batch(block * (unknowns + 1) ** 3))
    pace: list[float] = []
    kind = normal, size, unknowns, constants.shape[1], *(np.shape(leaf) for leaf in jax.tree.leaves(arrays))
    if kind not in _compiled and not allows(seconds_to_compile):
        return at, np.full(len(at), np.inf)
    _compiled.add(kind)
    is_over = False

    def look() -> bool:
        nonlocal is_over
        is_over = is_over or not go_on()
        return not is_over

    def batch(rows: Int[np.ndarray, " live"], state: State) -> State:
        if is_over:
            return state
        filled = np.resize(np.arange(len(rows)), size)
        first = State(*(spread(part[filled]) for part in state._replace(cost=np.full(len(rows), np.inf))))
        flat = np.zeros((size, unknowns)), np.broadcast_to(np.eye(unknowns), (size, unknowns, unknowns))
        run = partial(_attempts, normal, arrays, spread(constants[rows[filled]]), rest)
        (moved, *_), new = _in_slices(run, ((spread(at[rows[filled]]), *map(spread, flat)), first), block + 1, pace, look)
        at[rows] = np.asarray(moved)[: len(rows)]
        return State(*(np.asarray(part)[: len(rows)] for part in new))

    def advance(live: Int[np.ndarray, " live"], state: State) -> State:
        parts = [slice(begin, begin + size) for begin in range(0, len(live), size)]
        return State(*map(np.concatenate, zip(*(batch(live[own], State(*(part[own] for part in state))) for own in parts), strict=True)))

    with jax.enable_x64(True):
        state = State.first(np.full(len(at), np.inf))
        costs = advance_all(advance, state, rounds=-(-steps // block), go_on=lambda: not is_over)
    return at, costs


def _in_slices(run: Callable[[Here, int], Here], here: Here, steps: int, pace: list[float], go_on: Callable[[], bool]) -> Here:
    """``steps`` attempts, or fewer when ``go_on()`` says no; the slices make no difference to the result.

    ``pace``: seconds of an attempt, after one that also compiles.
    """
    done = 0
    while done < steps:
        count = int(np.clip(SLICE / max(pace[-1], 1e-9), 1, steps - done)) if len(pace) > 1 else 1
        began = time.monotonic()
        here = jax.block_until_ready(run(here, count))
        pace.append((time.monotonic() - began) / count)
        done += count
        if not go_on():
            break
    return here


def _batch(operations: float) -> int:
    """How many starts to map at once, if a block of one takes so many operations."""
    if jax.default_backend() != "cpu":
        return LARGE_BATCH
    return int(np.clip(OPERATIONS / operations, SMALLEST_BATCH, BATCH))

r"""Levenberg-Marquardt from many starts at once, on normal equations in closed form.

One start is a vector of unknowns; a problem gives the cost and the normal equations :math:`J^\top J,\ J^\top r` there, and JAX maps them
over the starts. The damping of every start is its own. Steps come in blocks, after which starts at rest are left out, and a block in
slices of a fraction of a second, between which the caller looks at the clock and an interrupt is heard.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

FIRST_DAMPING = 1e-1
"""Relative to the diagonal of the normal equations."""
LEAST_DAMPING, MOST_DAMPING = 1e-14, 1e8
FLOOR = 1e-9
"""Of the diagonal, relative to its mean: unknowns that nothing depends on stay where they are."""

STALLED = 0.8
"""A start whose cost a block of steps leaves above this share is at rest."""
SMALLEST_BATCH = 8
SLICE = 0.25
"""Seconds between two looks at the clock, once the speed is known."""
WORTH_COMPILING = 1e9
"""Operations of a block, at least, for which a smaller batch repays the second or two that its program takes to compile."""

Normal = Callable[..., tuple[Array, Array, Array]]
"""(arrays of the problem, unknowns of one start, its own constants) -> cost, J^T r, J^T J."""
Cost = Callable[..., Array]
"""The same -> the cost alone."""


State = tuple[Float[Array, "starts unknowns"], Float[Array, "starts unknowns"], Float[Array, " starts"], Float[Array, " starts"]]
"""Points, the trials that follow them, dampings, and the costs of the points."""


@partial(jax.jit, static_argnums=(0, 1))
def descend(cost: Cost, normal: Normal, arrays: Any, state: State, own: Float[Array, "starts constants"], steps: int | Array) -> State:
    """``steps`` damped Gauss-Newton steps of every start. Costs never rise.

    A step judges the trial of the one before and makes the next, so that the program holds ``cost`` and ``normal`` once: compiling
    them takes longer than most descents.
    """

    def one(point, trial, damping, value, own):
        def step(_, state):
            point, trial, damping, value = state
            new = cost(arrays, trial, own)
            better = new < value
            point, value = jnp.where(better, trial, point), jnp.where(better, new, value)
            damping = jnp.clip(jnp.where(better, damping / 4, damping * 3), LEAST_DAMPING, MOST_DAMPING)
            _, gradient, matrix = normal(arrays, point, own)
            diagonal = jnp.diag(matrix)
            diagonal = diagonal + FLOOR * diagonal.mean() + jnp.finfo(diagonal.dtype).tiny
            trial = point - cho_solve(cho_factor(matrix + damping * jnp.diag(diagonal)), gradient)
            return point, trial, damping, value

        return jax.lax.fori_loop(0, steps, step, (point, trial, damping, value))

    return jax.vmap(one)(*state, own)


def _spread(starts: np.ndarray) -> Array:
    """Starts on the device; on all devices in equal parts, where there are several and the number allows it."""
    devices = jax.devices()
    if len(devices) == 1 or len(starts) % len(devices):
        return jnp.asarray(starts)
    mesh = jax.sharding.Mesh(np.array(devices), ("starts",))
    return jax.device_put(jnp.asarray(starts), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("starts")))


def minimise(
    cost: Cost,
    normal: Normal,
    arrays: Any,
    points: Float[np.ndarray, "starts unknowns"],
    *,
    steps: int,
    own: Float[np.ndarray, "starts constants"] | None = None,
    block: int = 25,
    enough: float = 0.0,
    go_on: Callable[[], bool] = lambda: True,
) -> tuple[Float[np.ndarray, "starts unknowns"], Float[np.ndarray, " starts"]]:
    """Descend from every start until ``steps`` are done, its cost is at most ``enough`` or stays, or ``go_on()`` says no.

    Starts that are at rest are left out of the next block. ``own``: constants of each start. Returns points and costs; the same
    starts give the same bits on the same machine.
    """
    constants = np.zeros((len(points), 0)) if own is None else own
    at, costs, moving = np.array(points, float), np.full(len(points), np.inf), np.arange(len(points))
    trials, damping = at.copy(), np.full(len(points), 4 * FIRST_DAMPING)  # the first step judges the start
    operations = block * (at.shape[1] + 1) ** 3
    pace: dict[int, float] = {}
    with jax.enable_x64(True):
        for _ in range(0, steps, block):
            rows = np.resize(moving, _batch(len(moving), len(points), operations))
            state = (_spread(at[rows]), _spread(trials[rows]), _spread(damping[rows]), _spread(costs[rows]))
            state = _in_slices(partial(descend, cost, normal, arrays, own=_spread(constants[rows])), state, block, pace, go_on)
            values = np.asarray(state[3])
            stays = ~(values < STALLED * costs[rows])
            at[rows], trials[rows], damping[rows], costs[rows] = map(np.asarray, state)
            moving = rows[: len(moving)][((values > enough) & ~stays)[: len(moving)]]
            if not len(moving) or not go_on():
                break
    return at, costs


def _in_slices(run: Callable[..., State], state: State, steps: int, pace: dict[int, float], go_on: Callable[[], bool]) -> State:
    """``steps`` steps, or fewer when ``go_on()`` says no; the slices make no difference to the result.

    ``pace``: seconds of a step by the number of starts, 0 after the first one, which also compiles.
    """
    size, done = len(state[0]), 0
    while done < steps:
        count = int(np.clip(SLICE / pace[size], 1, steps - done)) if pace.get(size) else 1
        began = time.monotonic()
        state = jax.block_until_ready(run(state=state, steps=count))
        pace[size] = (time.monotonic() - began) / count if size in pace else 0.0
        done += count
        if not go_on():
            break
    return state


def _batch(wanted: int, most: int, operations: float) -> int:
    """How many starts to map at once: few different numbers, since each is compiled anew, and only where that is repaid."""
    size = most
    while size >= 2 * max(wanted, SMALLEST_BATCH) and size * operations > WORTH_COMPILING:
        size = -(-size // 2)
    return size

"""Levenberg-Marquardt inside a JAX trace: the rules of :mod:`identify.base.least_squares` for one start, to be compiled or mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float, PyTree

from identify.base.least_squares import Rest, State, raised, settle

Attempt = Callable[[PyTree, Array], tuple[PyTree, Array]]
"""(point, damping) -> a new point, of arrays of any kind, and its cost."""


def descend(attempt: Attempt, point: PyTree, state: State, rest: Rest, steps: Any) -> tuple[PyTree, State]:
    """At most ``steps`` attempts from a point; the first one evaluates it when its cost is not known yet."""

    def step(carry: tuple[PyTree, State, Array]) -> tuple[PyTree, State, Array]:
        point, state, count = carry
        trial, new = attempt(point, state.damping)
        better = new < state.cost
        return jax.tree.map(lambda a, b: jnp.where(better, a, b), trial, point), settle(state, new, rest, jnp), count + 1

    return jax.lax.while_loop(lambda carry: (carry[2] < steps) & ~carry[1].at_rest, step, (point, state, jnp.array(0)))[:2]


def damped_step(matrix: Float[Array, "k k"], gradient: Float[Array, " k"], damping: Any) -> Float[Array, " k"]:
    """The solution of (H + damping · D) δ = g; NaN if that is not positive definite to working precision."""
    return cho_solve(cho_factor(matrix + damping * jnp.diag(raised(jnp.diag(matrix)))), gradient)

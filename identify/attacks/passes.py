"""Full-batch descent that time and a keyboard interrupt can end between two steps, or within one if it is long."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from identify.attacks.objectives import Parameters, in_order
from identify.base.compiled import bounded
from identify.base.errors import OutOfTimeError
from identify.base.limits import Clock
from identify.problem.signals import forward

PIECE = 0.25
"""Seconds between two looks at the clock."""
WORK = 5e8
"""Products in a pass through the network that is not divided. With more, some samples pass at a time: a pass would take a second."""

Measured = tuple[Any, Any, Any, Any]
"""Mean loss without decay, the norms of the gradient and of the parameters, and the outputs (n, C)."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Problem:
    """The training loss. A pytree: compiled once, whatever the numbers."""

    nonlinearity: Callable[[Array], Array]
    loss: str = field(metadata={"static": True})
    linearised: bool = field(metadata={"static": True})

    def outputs(self, arrays: tuple, parameters: Parameters) -> Array:
        start, X, *_ = arrays

        def network(p: Parameters) -> Array:
            weights, biases = in_order(p)
            return forward(weights, biases, [lambda z, order: self.nonlinearity(z)] * (len(weights) - 1), X).outputs

        if not self.linearised:
            return network(parameters)
        value, change = jax.jvp(network, (start,), (jax.tree.map(jnp.subtract, parameters, start),))
        return value + change

    def mean_loss(self, arrays: tuple, parameters: Parameters) -> Array:
        outputs, labels = self.outputs(arrays, parameters), arrays[2]
        if self.loss == "logistic":
            return jax.nn.softplus(-labels * outputs[:, 0]).mean()
        if self.loss == "square":
            return ((outputs - labels) ** 2).sum(axis=1).mean() / 2
        return optax.softmax_cross_entropy_with_integer_labels(outputs, labels).mean()

    def total(self, arrays: tuple, parameters: Parameters) -> Array:
        return self.mean_loss(arrays, parameters) + arrays[3] / 2 * sum((part**2).sum() for part in parameters.values())


def _norm(parameters: Parameters) -> Array:
    return jnp.sqrt(sum((part**2).sum() for part in parameters.values()))


@bounded
@jax.jit
def _measured(problem: Problem, arrays: tuple, parameters: Parameters) -> tuple[Array, Array, Array, Array]:
    """Loss without decay, the norms of the gradient and of the parameters, and the outputs: one program."""
    gradient = jax.grad(partial(problem.total, arrays))(parameters)
    return problem.mean_loss(arrays, parameters), _norm(gradient), _norm(parameters), problem.outputs(arrays, parameters)


@bounded
@partial(jax.jit, static_argnums=1)
def _descend(problem: Problem, update: optax.TransformUpdateFn, arrays, parameters, state, count):
    def body(_, carried):
        parameters, state = carried
        updates, state = update(jax.grad(partial(problem.total, arrays))(parameters), state, parameters)
        return optax.apply_updates(parameters, updates), state

    return jax.lax.fori_loop(0, count, body, (parameters, state))


class At(NamedTuple):
    """Where a descent is. One value, so that an interrupt finds all of it or nothing."""

    parameters: Parameters
    state: Any
    done: int
    measured: Measured | None = None
    gradient: Parameters | None = None
    """Known if the samples are divided."""


@dataclass(eq=False)
class Descent:
    """A descent from the start of ``arrays`` on, whose ``clock`` notes what ended it.

    Raises OutOfTimeError if time is over before the samples have passed once.
    """

    problem: Problem
    arrays: tuple
    optimiser: optax.GradientTransformation
    clock: Clock
    at: At = field(init=False)
    pace: float = 0.0
    """Seconds of a step, once it is known."""

    def __post_init__(self) -> None:
        start, state = self.arrays[0], self.optimiser.init(self.arrays[0])
        self.at_once = max(int(WORK / sum(part.size for part in start.values())), 1)
        self.at = At(start, state, 0)
        if self.is_divided:
            gradient, measured = self._pass(start)
            if self.clock.interrupted:
                raise OutOfTimeError("train: the budget was spent before all samples had passed through the network once")
            self.at = At(start, state, 0, measured, gradient)

    @property
    def is_divided(self) -> bool:
        return len(self.arrays[1]) > self.at_once

    def measured(self) -> Measured:
        """At the present parameters."""
        if self.at.measured is None:
            self.at = self.at._replace(measured=_measured(self.problem, self.arrays, self.at.parameters))
        return self.at.measured  # type: ignore[return-value]

    def go_on(self, count: int) -> None:
        """At most so many steps, at least the first of all if it is not a long one."""
        if self.is_divided:
            self._long_step()
            return
        last = self.at.done + count
        while self.at.done < last and (self.at.done == 0 or self.clock.go_on()):
            self._short_steps(last - self.at.done)

    def _short_steps(self, most: int) -> None:
        """About a quarter of a second of them, by the pace of those before."""
        began, count = time.monotonic(), min(max(int(PIECE / self.pace), 1), most) if self.pace else 1
        parameters, state, done, *_ = self.at
        parameters, state = jax.block_until_ready(_descend(self.problem, self.optimiser.update, self.arrays, parameters, state, count))
        self.at = At(parameters, state, done + count)
        if done:  # the first one compiled
            self.pace = (time.monotonic() - began) / count

    def _long_step(self) -> None:
        """One step, and a pass of all samples at its end; nothing, if that is stopped."""
        parameters, state = _moved(self.optimiser.update, self.at.gradient, self.at.state, self.at.parameters)
        gradient, measured = self._pass(parameters)
        if not self.clock.interrupted:
            self.at = At(parameters, state, self.at.done + 1, measured, gradient)

    def _pass(self, parameters: Parameters) -> tuple[Parameters, Measured]:
        """The gradient, and what is measured, of all samples; of no use once the clock says that time is over."""
        start, X, labels, decay = self.arrays
        loss, gradient, outputs = 0.0, jax.tree.map(jnp.zeros_like, parameters), []
        for first in range(0, len(X), self.at_once):
            if not self.clock.go_on():
                break
            part = slice(first, first + self.at_once)
            some = (start, X[part], labels[part], decay)
            added, gradient, out = _added(self.problem, some, parameters, gradient, len(X[part]) / len(X))
            loss += float(added)
            outputs.append(np.asarray(out))
        gradient, *norms = _with_decay(gradient, parameters, decay)
        return gradient, (loss, *norms, np.concatenate(outputs) if outputs else np.empty((0, 0)))


@bounded
@jax.jit
def _added(problem: Problem, some: tuple, parameters: Parameters, gradient: Parameters, share: Any) -> tuple[Array, Parameters, Array]:
    """The part of these samples in the mean loss, the gradient with theirs added, and their outputs."""
    loss, own = jax.value_and_grad(lambda p: share * problem.mean_loss(some, p))(parameters)
    return loss, jax.tree.map(jnp.add, gradient, own), problem.outputs(some, parameters)


@bounded
@jax.jit
def _with_decay(gradient: Parameters, parameters: Parameters, decay: Any) -> tuple[Parameters, Array, Array]:
    whole = jax.tree.map(lambda part, own: part + decay * own, gradient, parameters)
    return whole, _norm(whole), _norm(parameters)


@bounded
@partial(jax.jit, static_argnums=0)
def _moved(update: optax.TransformUpdateFn, gradient: Parameters, state: Any, parameters: Parameters) -> tuple[Parameters, Any]:
    updates, state = update(gradient, state, parameters)
    return optax.apply_updates(parameters, updates), state

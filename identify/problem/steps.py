r"""Several steps of training between two observed networks: what federated clients send, and what two checkpoints hold.

With stochastic gradient descent, :math:`v_{t+1} = \mu v_t - \sum_i w_{ti}\gamma_i(\theta_t)\nabla f(\theta_t; x_i) + \lambda\theta_t` and
:math:`\theta_{t+1} = \theta_t - \eta\, v_{t+1}`, the change of the first layer is

.. math:: W_1(T) - \rho\, W_1(0) = \sum_t \sum_i u_i^1(t)\, x_i^\top,

with a number :math:`\rho` that the learning rate, the momentum and the weight decay give (1 without weight decay). So its row space is
spanned by the samples exactly, after any number of steps, of any batches, for any loss. The layers above see hidden activations that move
with the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, ClassVar

import numpy as np

from identify.base.errors import InputError, WrongTypeError
from identify.base.options import TRAINING_LOSSES, choice, number, positive, whole
from identify.problem.arrays import ShapeError
from identify.problem.network import Network, check_same_architecture
from identify.problem.refusals import Unsupported


@dataclass(frozen=True, eq=False)
class StepsSystem:
    """Two networks, and how one was trained to the other. Use :meth:`identify.KKTSystem.steps`.

    Attributes
    ----------
    initial, final
        The networks before and after.
    learning_rate
        Of every step; None if it is not known.
    steps, epochs
        How many steps, or how many passes through the data; one of them is None.
    batch_size
        Samples in one step; None for all of them.
    momentum, weight_decay, dampening, nesterov
        As in ``torch.optim.SGD``.
    loss
        One of :data:`TRAINING_LOSSES`; None if it is not known.
    order
        For each step, the numbers of the samples in its batch, from 0; None if that is not known.
    shuffled
        Whether the batches of different epochs differ.
    """

    recovery_only: ClassVar[Unsupported] = Unsupported.STEPS
    """Why other verbs refuse it."""

    initial: Network
    final: Network
    learning_rate: float | None
    steps: int | None
    epochs: int | None
    batch_size: int | None
    momentum: float
    weight_decay: float
    loss: str | None
    order: tuple[tuple[int, ...], ...] | None
    shuffled: bool
    dampening: float = 0.0
    nesterov: bool = False

    @classmethod
    def of(
        cls,
        initial: Network,
        final: Network,
        *,
        learning_rate: float | None = None,
        steps: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        loss: str | None = None,
        order: Sequence[Sequence[int]] | None = None,
        shuffled: bool = True,
        dampening: float = 0.0,
        nesterov: bool = False,
    ) -> StepsSystem:
        """Checked; see :meth:`identify.KKTSystem.steps`."""
        check_same_architecture(initial, final)
        if all(np.array_equal(part, final.parameters[name]) for name, part in initial.parameters.items()):
            raise ShapeError("final: every number is that of initial; expected a network that was trained")
        if learning_rate is not None:
            learning_rate = positive("learning_rate", learning_rate, advice=", or None if it is not known")
        elif weight_decay:
            raise InputError("learning_rate: received None, expected a number: with weight decay the change of the weights depends on it")
        if (steps is None) == (epochs is None):
            raise InputError(f"steps, epochs: received {steps!r} and {epochs!r}, expected one of them as a whole number")
        steps = None if steps is None else whole("steps", steps)
        epochs = None if epochs is None else whole("epochs", epochs)
        batch_size = None if batch_size is None else whole("batch_size", batch_size, advice=", or None for all samples in every step")
        momentum, weight_decay = number("momentum", momentum, below=1.0), number("weight_decay", weight_decay)
        dampening, nesterov = number("dampening", dampening), bool(nesterov)
        if nesterov and (not momentum or dampening):
            raise InputError(f"nesterov: needs momentum and no dampening, received momentum {momentum:g} and dampening {dampening:g}")
        if loss is not None:
            choice("loss", loss, TRAINING_LOSSES)
            if loss == "logistic" and initial.n_outputs > 1:
                raise InputError(f"loss: {loss!r} is for one output, the network has {initial.n_outputs}; pass 'softmax', 'square' or None")
            if loss == "softmax" and initial.n_outputs == 1:
                raise InputError("loss: 'softmax' is for two outputs or more, the network has 1; pass 'logistic', 'square' or None")
        batches = None if order is None else _batches(order)
        if batches is not None and steps is not None and len(batches) != steps:
            raise InputError(f"order: received {len(batches)} batches, expected one for each of the {steps} steps")
        optimiser = learning_rate, steps, epochs, batch_size, momentum, weight_decay
        return cls(initial, final, *optimiser, loss, batches, bool(shuffled), dampening, nesterov)

    def batches_in_epoch(self, samples: int) -> int:
        """Steps of one pass through that many samples."""
        return 1 if self.batch_size is None else -(-samples // self.batch_size)

    def n_steps(self, samples: int) -> int:
        """T."""
        if self.order is not None:
            return len(self.order)
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return self.epochs * self.batches_in_epoch(samples)

    def factors(self, n_steps: int) -> list[float]:
        """How much of the gradient of each step enters the velocity: all of it in the first, as in PyTorch, and without momentum."""
        later = 1.0 - self.dampening if self.momentum else 1.0
        return [1.0, *[later] * (n_steps - 1)]

    def outcome(self, n_steps: int, value: float, pushed: int | None = None) -> float:
        """A parameter after the steps, if it had this value and no gradient, or a gradient of 1 at one step only."""
        velocity = 0.0
        for t, factor in enumerate(self.factors(n_steps)):
            gradient = self.weight_decay * value + (t == pushed)
            velocity = self.momentum * velocity + factor * gradient
            value -= (self.learning_rate or 1.0) * (gradient + self.momentum * velocity if self.nesterov else velocity)
        return value

    def kept(self, samples: int) -> float:
        r""":math:`\rho`: what the steps leave of a parameter without a gradient, relative to its size before."""
        return self.outcome(self.n_steps(samples), 1.0) if self.weight_decay else 1.0

    def changes(self, kept: float = 1.0) -> dict[int, tuple[np.ndarray | None, np.ndarray | None]]:
        """The contribution of the samples to the weights and biases of each layer; None for parts that did not move at all."""
        before, after = self.initial.parameters, self.final.parameters
        moved = {name: after[name] - kept * before[name] for name in before if np.any(after[name] != before[name])}
        return {k: (moved.get(f"W{k}"), moved.get(f"b{k}")) for k in range(1, self.initial.depth + 1)}

    @property
    def n_inputs(self) -> int:
        return self.initial.n_inputs

    @property
    def n_outputs(self) -> int:
        return self.initial.n_outputs

    @property
    def network(self) -> Network:
        """The network before."""
        return self.initial

    def n_unknowns(self, samples: int) -> int:
        """Number of scalar unknowns for that many samples: their entries, and one label each."""
        return samples * (self.n_inputs + 1)

    @property
    def n_equations(self) -> int:
        return sum(part.size for pair in self.changes().values() for part in pair if part is not None)

    def describe(self) -> tuple[str, ...]:
        """The equations in words."""
        rate = "a learning rate that is not known" if self.learning_rate is None else f"learning rate {self.learning_rate:g}"
        count = f"{self.steps} steps" if self.steps is not None else f"{self.epochs} epochs"
        batch = "all samples" if self.batch_size is None else f"batches of {self.batch_size}"
        return (f"θ_T = θ_0 after {count} of gradient descent on {batch}, with {rate}",)

    def __repr__(self) -> str:
        return f"StepsSystem({self.describe()[0].partition('after ')[2]}, {self.initial!r})"


TRAINING = tuple(name for name in signature(StepsSystem.of).parameters if name not in ("initial", "final"))
"""What is said of a training, as arguments of :meth:`identify.KKTSystem.steps`."""


def check_training(training: Any) -> dict[str, Any]:
    """These arguments by name, as a dictionary; their values are checked with the networks."""
    if not isinstance(training, Mapping):
        raise WrongTypeError(f"training: received {type(training).__name__}, expected arguments of KKTSystem.steps by name")
    for name in training:
        choice("training", name, TRAINING)
    return dict(training)


def _batches(order: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    try:
        batches = tuple(tuple(int(i) for i in batch) for batch in order)
    except (TypeError, ValueError):
        raise ShapeError("order: expected for each step the numbers of the samples in its batch, such as [[0, 1], [2, 3]]") from None
    if not batches or not all(batches) or min(map(min, batches)) < 0:
        raise ShapeError("order: expected for each step one or more numbers of samples, from 0, such as [[0, 1], [2, 3]]")
    return batches

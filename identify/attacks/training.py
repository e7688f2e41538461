"""Training as the attacks assume it: to a margin, to a stationary point of weight decay, or in the lazy regime."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from identify.attacks import descent
from identify.attacks.passes import Descent, Problem
from identify.attacks.smoothing import RELU, exact
from identify.base.compiled import dropping
from identify.base.errors import InputError
from identify.base.limits import Clock, Stopped, check_limits, refuse_above
from identify.base.options import choice, number, positive, valid_seed, whole
from identify.problem.activation import Activation
from identify.problem.arrays import ShapeError, finite_array
from identify.problem.network import Network, check_network, from_parameters
from identify.splitting.matrices import traceable

LOSSES = ("logistic", "square", "cross-entropy")
BIASES = ("none", "first", "hidden", "all")
BLOCK = 1000
"""Steps between two looks at the loss."""


@dataclass(frozen=True, eq=False)
class Training:
    """A network before and after, and how far training got.

    Attributes
    ----------
    initial, final
        The networks. Of a linearised training ``final`` has the parameters that the linearised network reached.
    loss
        Mean loss over the samples at the end, without weight decay.
    gradient
        ‖gradient of loss + decay/2 ‖θ‖²‖ / ‖decay θ‖ with weight decay (0 at a stationary point), ‖gradient‖ / ‖first gradient‖ without.
    margins
        y f(x) for two classes, f_y − max f_c for several, y − f for the square loss; (n,), or (n, C) for the square loss.
    steps
        Steps taken.
    interrupted
        What ended it before its last step, if anything did.
    """

    initial: Network
    final: Network
    loss: float
    gradient: float
    margins: Float[np.ndarray, "n ..."]
    steps: int
    interrupted: Stopped | None = None

    def __repr__(self) -> str:
        stopped = f"; {self.interrupted}" if self.interrupted else ""
        return f"Training({self.final!r}, {self.steps} steps, loss {self.loss:.2g}, gradient {self.gradient:.2g}{stopped})"


def random_network(
    sizes: Sequence[int],
    activation: Activation | str = RELU,
    *,
    biases: str = "first",
    first_scale: float | None = None,
    seed: int = 0,
) -> Network:
    """A network as the papers begin: later layers uniform in ± 1/sqrt(fan-in), the first layer Gaussian.

    Parameters
    ----------
    sizes
        d, the widths of the hidden layers, C: at least three numbers.
    biases
        ``"first"`` (Haim, Buzaglo), ``"hidden"``, ``"all"`` (Loo) or ``"none"``.
    first_scale
        Standard deviation of the first layer and its bias; small (1e-4) for the max-margin regime, None for 1/sqrt(d).
    seed
        Of all random numbers, from 0 to 2^53 - 1.

    Raises
    ------
    ValueError
        For fewer than three sizes, sizes below 1, or another word for biases.
    TooLargeError
        Before the weights would not fit in memory.
    """
    choice("biases", biases, BIASES)
    read = [whole(f"sizes[{k}]", size) for k, size in enumerate(sizes)] if np.ndim(sizes) == 1 else []
    if len(read) < 3:
        raise InputError(f"sizes: received {sizes!r}, expected inputs, hidden widths and outputs: three or more positive integers")
    sizes = read
    refuse_above(2 * 8 * sum(inside * out for inside, out in itertools.pairwise(sizes)), "a network of these sizes")
    rng, depth = np.random.default_rng(valid_seed(seed)), len(sizes) - 1
    scale = sizes[0] ** -0.5 if first_scale is None else number("first_scale", first_scale)
    with_bias = {"none": 0, "first": 1, "hidden": depth - 1, "all": depth}[biases]
    parts = {}
    for k, (inside, out) in enumerate(itertools.pairwise(sizes), 1):
        edge = inside**-0.5
        parts[f"W{k}"] = scale * rng.standard_normal((out, inside)) if k == 1 else rng.uniform(-edge, edge, (out, inside))
        if k <= with_bias:
            parts[f"b{k}"] = scale * rng.standard_normal(out) if k == 1 else rng.uniform(-edge, edge, out)
    return from_parameters(parts, activation)


@dropping()
def train(
    network: Network,
    X: Float[np.ndarray, "n d"],
    y: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"],
    *,
    loss: str = "logistic",
    decay: float = 0.0,
    rate: float = 0.01,
    momentum: float = 0.0,
    steps: int = 100_000,
    enough: float = 0.0,
    linearised: bool = False,
    budget: float | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Training:
    """Full-batch gradient descent in double precision.

    Parameters
    ----------
    network
        Network at the start of training.
    X, y
        Data, and labels: ±1 for ``"logistic"``, classes 0, 1, ... for ``"cross-entropy"``, responses (n,) or (n, C) for ``"square"``.
    loss
        Mean over the samples; ``"square"`` is (f - y)^2 / 2, summed over the outputs.
    decay
        Weight decay λ: (λ/2) ‖θ‖² is added; at least 0.
    rate, momentum, steps
        Learning rate, momentum and number of steps of the descent. ``enough``: the loss (with decay: ``gradient``) at which it ends.
    linearised
        Train the first-order expansion of the network at its start, as theory on lazy training assumes.
    budget
        Seconds of wall-clock time, above 0; None for no limit. When it is spent, or at a keyboard interrupt, the network so far is
        returned.
    progress
        Called with a line of text now and then.

    Raises
    ------
    ShapeError, ValueError
        For data, labels or settings that do not fit.
    DivergedError
        When the loss or its gradient is not finite.
    OutOfTimeError
        If the budget ends before the loss is known once. KeyboardInterrupt at an interrupt before that.

    Notes
    -----
    Cost of a step: about three times a forward pass for all samples; linearised, five times. Where training is stopped does not change
    the steps before.
    """
    check_network("network", network)
    choice("loss", loss, LOSSES)
    X = finite_array("X", X, (None, network.n_inputs), "samples, one per row")
    labels = _labels(y, loss, len(X), network.n_outputs)
    decay, rate, enough = number("decay", decay), positive("rate", rate), number("enough", enough)
    momentum, steps = number("momentum", momentum), whole("steps", steps)
    check_limits(budget)
    clock = Clock(deadline=None if budget is None else time.monotonic() + budget)
    with jax.enable_x64(True):
        start = {name: jax.device_put(value) for name, value in network.parameters.items()}
        problem = Problem(traceable(exact(network.activation)), loss, linearised)
        arrays = (start, jax.device_put(X), jax.device_put(labels), jnp.asarray(decay, float))
        reached = Descent(problem, arrays, descent.momentum(rate, momentum), clock)
        first = float(reached.measured()[1])
        try:
            while True:
                value, size = _judged(reached, decay, first, rate)
                progress(f"training: {reached.at.done} of {steps} steps, loss {value:.3g}, gradient {size:.3g}")
                if reached.at.done >= steps or clock.interrupted or (size if decay else value) <= enough:
                    break
                reached.go_on(min(BLOCK, steps - reached.at.done))
        except KeyboardInterrupt:
            clock.interrupted = Stopped.INTERRUPTED
            value, size = _judged(reached, decay, first, rate)
        outputs = np.asarray(reached.measured()[3])
        final = network.with_parameters({name: np.asarray(part) for name, part in reached.at.parameters.items()})
    return Training(network, final, value, size, _margins(outputs, labels, loss), reached.at.done, clock.interrupted)


def _judged(reached: Descent, decay: float, first: float, rate: float) -> tuple[float, float]:
    """``loss`` and ``gradient`` of a Training; ``first`` is the norm of the first gradient."""
    value, slope, norm = map(float, reached.measured()[:3])
    size = slope / ((decay * norm if decay else first) or 1.0)
    if not np.isfinite([value, size]).all():
        done = reached.at.done
        advice = f"try a rate smaller than {rate:g}" if done else "expected a network and data in units in which they are about one"
        raise descent.DivergedError(f"train: the loss or its gradient is not finite after {done} steps; {advice}")
    return value, size


def _labels(y, loss: str, n: int, outputs: int) -> np.ndarray:
    values = finite_array("y", y, (n, outputs) if np.ndim(y) == 2 else (n,), "one label, or one row of responses, for each sample")
    if loss == "square":
        if values.ndim == 1 and outputs > 1:
            raise ShapeError(f"y: received shape {values.shape}, expected ({n}, {outputs}): one response for each output")
        return values.reshape(n, outputs)
    if values.ndim == 2 or (loss == "logistic") != (outputs == 1):
        raise InputError(f"loss: {loss!r} does not fit {outputs} outputs and labels of shape {values.shape}; logistic is for one output")
    allowed = [-1.0, 1.0] if loss == "logistic" else list(range(outputs))
    wrong = np.setdiff1d(values, allowed)
    if wrong.size:
        raise InputError(f"y: received {wrong[:5].tolist()}, expected only {', '.join(f'{label:g}' for label in allowed)}")
    return values if loss == "logistic" else values.astype(int)


def _margins(outputs: np.ndarray, labels: np.ndarray, loss: str) -> np.ndarray:
    if loss == "square":
        return labels - outputs
    if loss == "logistic":
        return labels * outputs[:, 0]
    own = np.arange(outputs.shape[1]) == labels[:, None]
    return outputs[own] - np.where(own, -np.inf, outputs).max(axis=1)

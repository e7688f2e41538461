r"""Defences of a client that sends updates: number formats, clipping, differential privacy, several local steps, layers that are kept back.

**Clipping alone protects nothing.** It multiplies the gradient of each sample by a positive number, so what is sent is
:math:`\sum_i (t_i\gamma_i)\nabla f(x_i)`: equation (S) with the same network and the same samples, and other multipliers. Multipliers
are unknowns of (S), so every statement about samples for all multipliers holds before and after. Only the weight of a sample beside noise
changes.

**Several steps.** The first layer's change is :math:`\sum_t\sum_i u_i(t)\,\tilde x_i^\top`, so its rows lie in the span of the samples
exactly, after any number of steps. The deeper layers' activations drift. The levels here are those of forward separation that takes the
change for one step at the mean of the visited weights, were the path straight: for more than one step an approximation. An attack that
unrolls the training does not meet this limit; for few steps it is made, and observed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, softmax

from identify.base.errors import InputError
from identify.conditions.diagnostics.perturbations import round_to_bits
from identify.defence.levels import Defence, Level, Owner, Problem, Tried, alike, exact_system
from identify.defence.privacy import concentrated
from identify.problem.network import Network
from identify.problem.signals import layer_updates
from identify.problem.steps import StepsSystem
from identify.problem.system import KKTSystem

FORMATS = ("float32", "float16", "bfloat16", "int8")
EIGHT_BITS = 127
"""Largest integer of the signed eight-bit format; each tensor has its own scale."""
LOSS_AGREES = 1e-6
"""Relative difference up to which multipliers are taken for those of a loss."""
DIVERGED = 1e100
"""Gradients from which on training counts as diverged: soon after, they are not doubles."""


def as_format(values: np.ndarray, name: str) -> np.ndarray:
    """The numbers as that format holds them: small ones underflow, as they do when they are sent."""
    if name == "int8":
        scale = float(np.abs(values).max(initial=0.0)) / EIGHT_BITS or 1.0
        return np.rint(values / scale) * scale
    if name == "bfloat16":
        return round_to_bits(values, 8)
    largest = float(np.finfo(name).max)
    return np.clip(values, -largest, largest).astype(name).astype(float)


def formats(owner: Owner, levels: tuple[Level, ...]) -> Defence:
    """Send the update in a number format."""

    def problem(name: Level) -> Problem:
        sent = np.concatenate([as_format(part, str(name)).reshape(-1) for part in owner.system.parts.values()])
        return Problem(owner.system, len(owner.X), (owner.X, owner.c), owner.system.with_target(sent))

    return Defence("formats", "number format of the update, int8 with one scale for each tensor", levels, problem, hides=True)


def sizes(system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, " n"]:
    """The norm of each sample's gradient in the observed parameters, as of a mean loss: n times its part of the update."""
    squares = np.zeros(len(X))
    for update, h, u in zip(system.updates, system.network.forward(X).entering, system.network.signals(X, c), strict=True):
        inner = (h**2).sum(axis=1) * (update.W is not None) + (update.bias is not None)
        squares += (u**2).sum(axis=1) * inner
    return len(X) * np.sqrt(squares)


def median_size(owner: Owner) -> float:
    """The median of these norms, without samples whose gradient is zero, as that of a sample that activates no neuron."""
    every = sizes(owner.system, owner.X, owner.c)
    return float(np.median(every[every > 0]))


@dataclass(frozen=True, eq=False)
class Clipped:
    """The owner's update with every sample's gradient cut to a norm."""

    owner: Owner
    norm: float
    system: KKTSystem
    c: Float[np.ndarray, "n C"]

    @classmethod
    def of(cls, owner: Owner, norm: float) -> Clipped:
        system, X = owner.system, owner.X
        own = sizes(system, X, owner.c)
        c = owner.c * np.where(own > norm, norm / np.where(own > norm, own, 1.0), 1.0)[:, None]
        return cls(owner, norm, exact_system(system.network, system.updates, system.regime, X, c), c)


def clipping(owner: Owner, levels: tuple[Level, ...]) -> Defence:
    """Clip the gradient of each sample, without noise."""
    median = median_size(owner)

    def problem(part: Level) -> Problem:
        cut = Clipped.of(owner, float(part) * median)
        return owner.rounded(cut.system, owner.X, cut.c)

    axis = "norm to which each sample's gradient is clipped, relative to the median one (dimensionless)"
    return Defence("clipping", axis, levels, problem)


def dp_sgd(owner: Owner, levels: tuple[Level, ...], clip: float | None) -> Defence:
    """Clip, and add Gaussian noise of the clipping norm times the multiplier to the sum (of which the mean is sent)."""
    cut = Clipped.of(owner, median_size(owner) if clip is None else clip)

    def problem(multiplier: Level) -> Problem:
        rng, size = np.random.default_rng([owner.seed, 7, levels.index(multiplier)]), float(multiplier) * cut.norm / len(owner.X)
        seen = cut.system.with_target(cut.system.target + size * rng.standard_normal(cut.system.n_equations))
        return Problem(cut.system, len(owner.X), (owner.X, cut.c), seen, rho=concentrated(float(multiplier)), deviation=size)

    return Defence("dp_sgd", f"noise multiplier z of DP-SGD, clipped to {cut.norm:.2g} (dimensionless)", levels, problem, hides=True)


def withheld(owner: Owner, levels: Sequence[tuple[int, ...]]) -> Defence:
    """Do not send the updates of some layers."""
    names = {kept_back(layers): layers for layers in levels}

    def problem(name: Level) -> Problem:
        kept = {k: update for k, update in owner.system.layers.items() if k not in names[str(name)]}
        return owner.rounded(KKTSystem(owner.system.network, kept, owner.system.regime), owner.X, owner.c)

    return Defence("withheld", "layers whose update is not sent", tuple(names), problem)


def kept_back(layers: Sequence[int]) -> str:
    """Names of the layers that are kept back, as the level of a curve: "UNIQUE at none" would read as "never"."""
    return "all layers sent" if not layers else f"layer {layers[0]}" if len(layers) == 1 else f"layers {', '.join(map(str, layers))}"


def loss_signals(network: Network, X: np.ndarray, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n C"]:
    """Multipliers of the mean softmax loss for classes y, or for one output of the mean logistic loss for labels y."""
    f = network.outputs(X)
    if network.n_outputs == 1:
        return (y * expit(-y * f[:, 0]))[:, None] / len(X)
    return (np.eye(network.n_outputs)[y.astype(int)] - softmax(f, axis=1)) / len(X)


def labels_of(network: Network, X: np.ndarray, c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, " n"] | None:
    """Labels with which the multipliers are those of that loss; None if there are none."""
    y = np.sign(c[:, 0]) if network.n_outputs == 1 else c.argmax(axis=1).astype(float)
    return y if np.linalg.norm(loss_signals(network, X, y) - c) <= LOSS_AGREES * np.linalg.norm(c) else None


def path(owner: Owner, y: Float[np.ndarray, " n"], rate: float) -> Iterator[tuple[Float[np.ndarray, "n C"], Network]]:
    """Steps of gradient descent: the multipliers at the beginning of each, and the network after it. It ends before training diverges."""
    net, X = owner.system.network, owner.X
    while True:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite ends it
            c = loss_signals(net, X, y)
            made = layer_updates(net.weights, net.biases, net.activations, X, c)
            moves = [rate * part for update in made for part in update if part is not None]
        if not _are_ordinary([c, *moves]):
            return
        net = moved(net, owner.system, made, rate)
        yield c, net


def _are_ordinary(arrays: Sequence[np.ndarray]) -> bool:
    """Whether all numbers are finite, and so small that their squares are."""
    return all(bool((np.abs(part) < DIVERGED).all()) for part in arrays)


def steps(owner: Owner, levels: tuple[Level, ...], rate: float) -> Defence:
    """Take several full-batch steps of gradient descent before the change of the weights is sent.

    Its levels are those before the first at which training diverges, or reaches weights without gradients.
    """
    net, X, y = owner.system.network, owner.X, labels_of(owner.system.network, owner.X, owner.c)
    if y is None:
        raise InputError(f"steps: received {levels}, but the multipliers are not those of a mean softmax or logistic loss; leave steps out")

    def problem(count: Level) -> Problem:
        final, total, taken = net, np.zeros_like(owner.c), 0
        for c, final in islice(path(owner, y, rate), int(count)):  # noqa: B007 (the last network is used)
            total, taken = total + c / int(count), taken + 1
        if taken < int(count):
            raise InputError(f"learning_rate: gradient descent at rate {rate:g} diverges in step {taken + 1}; expected a smaller one")
        part = (int(count) - 1) / (2 * int(count))  # the mean of the weights at which gradients were taken, on a straight path
        middle = alike(
            net,
            [start + part * (end - start) for start, end in zip(net.weights, final.weights, strict=True)],
            [None if b is None or end is None else b + part * (end - b) for b, end in zip(net.biases, final.biases, strict=True)],
        )
        exact = exact_system(middle, owner.system.updates, "lazy", X, total)
        before, after = net.parameters, final.parameters
        pairs = enumerate(owner.system.updates, 1)
        names = [name for k, seen in pairs for name, part in zip((f"W{k}", f"b{k}"), seen, strict=True) if part is not None]
        mean = np.concatenate([(after[name] - before[name]).reshape(-1) for name in names]) / (rate * int(count))
        loss = "softmax" if net.n_outputs > 1 else "logistic"
        several = StepsSystem.of(net, final, learning_rate=rate, steps=int(count), loss=loss)
        facts: dict[str, Any] = {"systematic": True, "unrolled": several, "approximate": int(count) > 1}
        return Problem(exact, len(X), (X, total), exact.with_target(mean), owner.system, **facts)

    # recover judges each layer by its own noise, and the drift is none in the first: several steps are a question of their own for it
    axis = f"full-batch local steps at rate {rate:g}, taken for one step at the mean of the path"
    return Defence("steps", axis, tuple(takewhile(partial(_has_problem, problem), levels)), problem, hides=True, tried=Tried.UNROLLED)


def _has_problem(problem: Callable[[Level], Problem], level: Level) -> bool:
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # at the mean of a path that diverges
            problem(level)
    except InputError:
        return False
    return True


def moved(network: Network, system: KKTSystem, made: list, rate: float) -> Network:
    """After one step in the observed parameters."""
    weights, biases = list(network.weights), list(network.biases)
    for k, (update, (W, b)) in enumerate(zip(system.updates, made, strict=True)):
        weights[k] = weights[k] if update.W is None else weights[k] + rate * W
        old = biases[k]
        biases[k] = old if update.bias is None or old is None else old + rate * b
    return alike(network, weights, biases)

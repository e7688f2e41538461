r"""Defences as maps from a level to a changed problem: one mechanism for noise, rounding, width, degree and batch size.

A problem has two sides: equations that the data solve exactly, for verdicts and Jacobians, and the observed equations of an analyst.
Noise and rounding change the observed equations only; another network, activation or batch
has other exact equations, observed at a stated precision. Multipliers stay the same throughout, although a loss would change them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import norm

from identify.conditions.diagnostics.perturbations import round_to_bits
from identify.problem.activation import Activation
from identify.problem.network import Network, TwoLayerNetwork
from identify.problem.signals import layer_updates
from identify.problem.steps import StepsSystem
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.updates import Update

Level = float | int | str
Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Problem:
    """Exact equations, the data behind them (None if only their number is known), and the observed equations."""

    system: KKTSystem
    samples: int
    data: tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]] | None = None
    seen: KKTSystem | None = None
    judged: KKTSystem | None = None
    """The system that verdicts are about, if it is not ``system``."""
    rho: float = np.nan
    """Zero-concentrated differential privacy of what is published, for one sample (dimensionless); nan for a defence without it."""
    deviation: float | None = None
    """Standard deviation of the Gaussian noise in each number of the target; None if the change is another."""
    systematic: bool = False
    """Whether the change of the target is not noise, but follows from the data."""
    unrolled: StepsSystem | None = None
    """The same numbers as several steps of training, which :func:`identify.recover` takes as they are."""
    approximate: bool = False
    """Whether the exact equations are those of a simpler problem that is near: then so is the error estimate."""

    @property
    def change(self) -> float:
        """Residual of the data in the observed equations, relative to the exact target (dimensionless); nan without data."""
        if self.seen is None or self.data is None:
            return np.nan
        return self.seen.residual(*self.data) * float(norm(self.seen.target) / norm(self.system.target))


class Tried(StrEnum):
    """Which recoveries are made to check a defence; the values say what is observed."""

    PROMISING = "the result of recover for the observed numbers, if the estimate promises something"
    UNROLLED = (
        "the result of recover by training unrolled (KKTSystem.steps), for few steps; typical errors are those of an attack that does not"
    )


@dataclass(frozen=True, eq=False)
class Defence:
    """A name, the meaning of its levels, the levels from weak to strong, and the problem at each."""

    name: str
    axis: str
    levels: tuple[Level, ...]
    problem: Callable[[Level], Problem]
    hides: bool = False
    """Whether it changes only the observed equations; then the verdict, about the exact ones, is the same at all levels."""
    tried: Tried = Tried.PROMISING


@dataclass(frozen=True, eq=False)
class Owner:
    """The problem without a defence, as the owner of the data knows it, and the defences of it."""

    system: KKTSystem
    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, "n C"]
    precision: int
    """Significant bits of observed targets if the defence is not about them."""
    seed: int

    def noise(self, levels: tuple[Level, ...]) -> Defence:
        """Add independent Gaussian noise to the published numbers."""

        def problem(level: Level) -> Problem:
            rng, size = np.random.default_rng([self.seed, levels.index(level)]), float(level) * self._published_size()
            seen = self._seen(lambda values: values + size * rng.standard_normal(values.shape))
            return seen if self.system.regime in SELF_TRAINED else replace(seen, deviation=size)

        axis = f"standard deviation of the noise, relative to the root mean square of {self._published} (dimensionless)"
        return Defence("noise", axis, levels, problem, hides=True)

    def rounding(self, levels: tuple[Level, ...]) -> Defence:
        """Round the published numbers to significant bits."""
        axis = f"significant bits of {self._published}"
        return Defence("rounding", axis, levels, lambda bits: self._seen(lambda v: round_to_bits(v, int(bits))), hides=True)

    def weights(self, levels: tuple[Level, ...]) -> Defence:
        """Take gradients at a network with weights rounded to significant bits; the analyst knows this network."""

        def problem(bits: Level) -> Problem:
            return self._at(changed(self.system.network, lambda values: round_to_bits(values, int(bits))), self.X, self.c)

        return Defence("weights", "significant bits of the weights", levels, problem)

    def width(self, levels: tuple[Level, ...]) -> Defence:
        """Drop neurons in a random order, or add random ones of the same root mean square size; the same part in every hidden layer."""
        net = self.system.network
        first, rng = net.widths[0], np.random.default_rng(self.seed)
        orders = [rng.permutation(width) for width in net.widths]

        def resized(part: np.ndarray, axis: int, width: int, order: np.ndarray, child: int) -> np.ndarray:
            """Neurons along ``axis``: wider networks contain narrower ones."""
            part = np.moveaxis(part, axis, 0)
            draw = np.random.default_rng([self.seed, child])
            added = _size(part) * draw.standard_normal((max(width - len(order), 0), part[0].size)).reshape(-1, *part.shape[1:])
            return np.moveaxis(np.concatenate([part[np.sort(order[:width])], added]), 0, axis)

        def problem(level: Level) -> Problem:
            weights, biases = list(net.weights), list(net.biases)
            for k, order in enumerate(orders):
                width, bias = max(round(len(order) * int(level) / first), 1), biases[k]
                weights[k] = resized(weights[k], 0, width, order, 3 * k)
                weights[k + 1] = resized(weights[k + 1], 1, width, order, 3 * k + 1)
                biases[k] = None if bias is None else resized(bias, 0, width, order, 3 * k + 2)
            return self._at(alike(net, weights, biases), self.X, self.c)

        others = ", the other hidden layers in proportion" if len(orders) > 1 else ""
        return Defence("width", f"width m{' of the first hidden layer' if others else ''} (neurons){others}", levels, problem)

    def degree(self, activations: tuple[Activation, ...]) -> Defence:
        """The same weights with another activation."""
        net, by_name = self.system.network, {str(activation): activation for activation in activations}

        def problem(name: Level) -> Problem:
            return self._at(TwoLayerNetwork(net.W, net.a, by_name[str(name)], bias=net.bias), self.X, self.c)

        return Defence("degree", "activation", tuple(by_name), problem)

    def batch(self, levels: tuple[Level, ...]) -> Defence:
        """Sum the target over the first samples; beyond the known ones there are only generic samples."""

        def problem(level: Level) -> Problem:
            n = int(level)
            return self._at(self.system.network, self.X[:n], self.c[:n]) if n <= len(self.X) else Problem(self.system, n)

        return Defence("batch", "batch size n (samples)", levels, problem)

    @property
    def _published(self) -> str:
        return {"gradient": "the gradient", "lazy": "the change of the weights"}.get(self.system.regime, "the weights")

    def _published_size(self) -> float:
        """Root mean square of the published numbers."""
        if self.system.regime not in SELF_TRAINED:
            return _size(self.system.target)
        return _size(np.concatenate([part.reshape(-1) for part in self.system.network.parameters.values()]))

    def _seen(self, change: Change) -> Problem:
        """The same exact problem with a changed observed target or, for a network trained on its data, changed observed weights."""
        return Problem(self.system, len(self.X), (self.X, self.c), published(self.system, change))

    def _at(self, network: Network, X: np.ndarray, c: np.ndarray) -> Problem:
        return self.rounded(exact_system(network, self.system.updates, self.system.regime, X, c), X, c)

    def rounded(self, system: KKTSystem, X: np.ndarray, c: np.ndarray, **facts: Any) -> Problem:
        """Exact equations that these data solve, seen with the precision of the owner."""
        return Problem(system, len(X), (X, c), published(system, lambda values: round_to_bits(values, self.precision)), **facts)


def exact_system(network: Network, seen: Sequence[Update], regime: str, X: np.ndarray, c: np.ndarray) -> KKTSystem:
    """The system that these data solve at a network that does not depend on them, with the parts that ``seen`` has."""
    made = layer_updates(network.weights, network.biases, network.activations, X, c)
    pairs = ((None if part is None else found for part, found in zip(*both, strict=True)) for both in zip(seen, made, strict=True))
    return KKTSystem(network, {k: tuple(pair) for k, pair in enumerate(pairs, 1)}, regime)


def published(system: KKTSystem, change: Change) -> KKTSystem:
    """The system that an analyst sees if every published number is changed."""
    if system.regime not in SELF_TRAINED:
        return system.with_target(change(system.target))
    moved, factor = changed(system.network, change), 1.0 if system.decay is None else system.decay
    parts = zip(system.updates, moved.weights, moved.biases, strict=True)
    updates = [Update(None if old.W is None else factor * W, None if old.bias is None or b is None else factor * b) for old, W, b in parts]
    if isinstance(moved, TwoLayerNetwork) and updates[1].W is not None:
        updates[1] = Update(updates[1].W.reshape(moved.a.shape), None)
    return replace(system, network=moved, updates=tuple(updates))


def changed(network: Network, change: Change) -> Network:
    """The network with every weight and bias changed."""
    return alike(network, [change(W) for W in network.weights], [None if b is None else change(b) for b in network.biases])


def alike(network: Network, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray | None]) -> Network:
    """A network of this kind with other numbers."""
    if isinstance(network, TwoLayerNetwork):
        a = weights[1][0] if network.a.ndim == 1 else weights[1]
        return TwoLayerNetwork(weights[0], a, network.activation, bias=biases[0])
    return Network(weights, biases=biases, activation=network.activations)


def _size(values: np.ndarray) -> float:
    return float(norm(values.reshape(-1)) / np.sqrt(values.size))

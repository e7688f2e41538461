r"""Defences as maps from a level to a changed problem: one mechanism for noise, rounding, width, degree and batch size.

A problem has two sides: equations that the data solve exactly, for verdicts and Jacobians, and the observed equations of an analyst.
Noise and rounding change the observed equations only; another network, activation or batch
has other exact equations, observed at a stated precision. Multipliers stay the same throughout, although a loss would change them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import norm

from identify.conditions.diagnostics.perturbations import round_to_bits
from identify.problem.activation import Activation
from identify.problem.gradients import Observed, weighted_gradients
from identify.problem.network import Network, TwoLayerNetwork
from identify.problem.system import SELF_TRAINED, KKTSystem, Update

Level = float | int | str
Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Problem:
    """Exact equations, the data behind them (None if only their number is known), and the observed equations."""

    system: KKTSystem
    samples: int
    data: tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]] | None = None
    seen: KKTSystem | None = None

    @property
    def change(self) -> float:
        """Residual of the data in the observed equations, relative to the exact target (dimensionless); nan without data."""
        if self.seen is None or self.data is None:
            return np.nan
        return self.seen.residual(*self.data) * float(norm(self.seen.target) / norm(self.system.target))


@dataclass(frozen=True, eq=False)
class Defence:
    """A name, the meaning of its levels, the levels from weak to strong, and the problem at each."""

    name: str
    axis: str
    levels: tuple[Level, ...]
    problem: Callable[[Level], Problem]
    hides: bool = False
    """Whether it changes only the observed equations; then the verdict, about the exact ones, is the same at all levels."""


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
            return self._seen(lambda values: values + size * rng.standard_normal(values.shape))

        axis = f"standard deviation of the noise, relative to the root mean square of {self._published} (dimensionless)"
        return Defence("noise", axis, levels, problem, hides=True)

    def rounding(self, levels: tuple[Level, ...]) -> Defence:
        """Round the published numbers to significant bits."""
        axis = f"significant bits of {self._published}"
        return Defence("rounding", axis, levels, lambda bits: self._seen(lambda v: round_to_bits(v, int(bits))), hides=True)

    def weights(self, levels: tuple[Level, ...]) -> Defence:
        """Take gradients at a network with weights rounded to significant bits; the analyst knows this network."""

        def problem(bits: Level) -> Problem:
            net = self.system.network
            rounded = (None if part is None else round_to_bits(part, int(bits)) for part in (net.W, net.a, net.bias))
            return self._at(_network(net.activation, *rounded), self.X, self.c)

        return Defence("weights", "significant bits of the weights", levels, problem)

    def width(self, levels: tuple[Level, ...]) -> Defence:
        """Drop neurons in a random order, or add random ones of the same root mean square size."""
        net = self.system.network
        order = np.random.default_rng(self.seed).permutation(net.width)

        def resized(part: np.ndarray | None, width: int, child: int) -> np.ndarray | None:
            if part is None:
                return None
            axis = 0 if part is net.W else -1
            remaining = np.take(part, np.sort(order[:width]), axis)
            rng, extra = np.random.default_rng([self.seed, child]), max(width - net.width, 0)
            added = rng.standard_normal((extra, part.size // net.width)) * _size(part)  # row by row: wider networks contain narrower ones
            shape = (extra, *part.shape[1:]) if axis == 0 else (extra, *part.shape[:-1])
            added = added.reshape(shape)
            return np.concatenate([remaining, added if axis == 0 or part.ndim == 1 else added.T], axis)

        def problem(width: Level) -> Problem:
            parts = (resized(part, int(width), child) for child, part in enumerate((net.W, net.a, net.bias)))
            return self._at(_network(net.activation, *parts), self.X, self.c)

        return Defence("width", "width m (neurons)", levels, problem)

    def degree(self, activations: tuple[Activation, ...]) -> Defence:
        """The same weights with another activation."""
        net, by_name = self.system.network, {str(activation): activation for activation in activations}

        def problem(name: Level) -> Problem:
            return self._at(_network(by_name[str(name)], net.W, net.a, net.bias), self.X, self.c)

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
        net = self.system.network
        if self.system.regime not in SELF_TRAINED:
            return _size(self.system.target)
        return _size(np.concatenate([part.reshape(-1) for part in (net.W, net.a, net.bias) if part is not None]))

    def _seen(self, change: Change) -> Problem:
        """The same exact problem with a changed observed target or, for a network trained on its data, changed observed weights."""
        return Problem(self.system, len(self.X), (self.X, self.c), _published(self.system, change))

    def _at(self, network: Network, X: np.ndarray, c: np.ndarray) -> Problem:
        system = exact_system(network, self.system.observed, self.system.regime, X, c)
        return Problem(system, len(X), (X, c), _published(system, lambda values: round_to_bits(values, self.precision)))


def exact_system(network: Network, observed: Observed, regime: str, X: np.ndarray, c: np.ndarray) -> KKTSystem:
    """The system that these data solve at a network that does not depend on them."""
    sigma = network.activation
    W, bias, a = weighted_gradients(network.W, network.A, network.offsets, sigma.floats(), sigma.floats(1), X, c)
    a = a.reshape(network.a.shape)
    return KKTSystem(network, {1: (W if observed.W else None, bias if observed.bias else None), 2: a if observed.a else None}, regime)


def _published(system: KKTSystem, change: Change) -> KKTSystem:
    if system.regime not in SELF_TRAINED:
        return system.with_target(change(system.target))
    net, factor = system.network, 1.0 if system.decay is None else system.decay
    moved = _network(net.activation, change(net.W), change(net.a), None if net.bias is None else change(net.bias))
    parts = zip((moved.W, moved.offsets, moved.a), system.observed, strict=True)
    W, bias, a = (factor * part if seen else None for part, seen in parts)
    return replace(system, network=moved, updates=(Update(W, bias), Update(a, None)))


def _network(activation: Activation, W: np.ndarray | None, a: np.ndarray | None, bias: np.ndarray | None) -> TwoLayerNetwork:
    assert W is not None and a is not None
    return TwoLayerNetwork(W, a, activation, bias=bias)


def _size(values: np.ndarray) -> float:
    return float(norm(values.reshape(-1)) / np.sqrt(values.size))

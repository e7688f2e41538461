"""(S) as a least-squares problem in the coordinates of a recovery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from identify.base.limits import memory_allowed
from identify.problem.gradients import Observed, flatten, jacobian, unflatten, weighted_gradients
from identify.problem.network import TwoLayerNetwork


@dataclass(frozen=True, eq=False)
class Equations:
    """A network, the observed rows, their target, and a weight for every row."""

    network: TwoLayerNetwork
    observed: Observed
    target: Float[np.ndarray, " equations"]
    weights: Float[np.ndarray, " equations"]

    @classmethod
    def of(cls, network: TwoLayerNetwork, observed: Observed, target: np.ndarray, weights: np.ndarray | None = None) -> Equations:
        """The equations, with equal weights unless others are given."""
        return cls(network, observed, target, np.ones(len(target)) if weights is None else weights)

    def residual(self, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, " equations"]:
        """Right-hand side minus target, unweighted."""
        net, sigma = self.network, self.network.activation
        parts = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)
        return flatten(parts, self.observed) - self.target

    @property
    def rounding(self) -> float:
        """Squared weighted residual at which only rounding is left."""
        return float(2.0**-104 * np.sum((self.target * self.weights) ** 2))

    def jacobian(self, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "equations unknowns"]:
        """Unweighted Jacobian of the right-hand side, in NumPy."""
        net = self.network
        return jacobian(net.W, net.A, net.offsets, [net.activation.floats(k) for k in range(3)], self.observed, X, c)

    def is_small(self, unknowns: int, operations: float) -> bool:
        """Whether the Jacobian fits in memory, and its factorisation takes no more than about so many operations."""
        rows = len(self.target)
        return rows * unknowns**2 <= operations and 24 * rows * unknowns <= memory_allowed()

    def parts(self, rows: Shaped[np.ndarray, " equations"]) -> list[np.ndarray]:
        """Rows as arrays (m, d), (m,) and (C, m), with zeros for what was not observed."""
        net = self.network
        return unflatten(rows, (net.W.shape, net.offsets.shape, net.A.shape), self.observed, np.zeros)

    def rows_of(self, neurons: Int[np.ndarray, " k"]) -> Int[np.ndarray, " rows"]:
        """Which rows belong to these neurons, in the order that their own equations have."""
        numbers = self.parts(np.arange(len(self.target)))
        own = (numbers[0][neurons], numbers[1][neurons], numbers[2][:, neurons])
        return flatten(own, self.observed).astype(np.int64)

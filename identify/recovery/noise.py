"""How noise is spread over the rows of the target: alike, or in proportion to the terms that were added up.

A gradient computed in floating point carries errors in proportion to the terms of its sums, so that neurons with large slopes are
noisier by orders of magnitude, while deliberate noise is uniform. The residual of a solution decides between the two, by likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from identify.problem.gradients import Observed, flatten
from identify.problem.system import KKTSystem


@dataclass(frozen=True, eq=False)
class Noise:
    """Weights of the rows, inverse to the size of their noise; one for all inputs of a neuron, so that projections keep them."""

    name: str
    W: Float[np.ndarray, " m"]
    bias: Float[np.ndarray, " m"]
    a: Float[np.ndarray, "C m"]

    def weights(self, inputs: int, observed: Observed) -> Float[np.ndarray, " equations"]:
        """In the order of the target, for that many inputs."""
        return flatten((np.repeat(self.W[:, None], inputs, axis=1), self.bias, self.a), observed)

    def level(self, system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"], free: int = 0) -> float:
        """Root mean square of the noise of a row of weight one, estimated from the residual; at least the rounding of doubles.

        ``free``: unknowns that the equations leave free.
        """
        w = self.weights(system.network.n_inputs, system.observed)
        freedom = max(len(w) - X.size - c.size + free, 1)
        # each of the products and powers that make a term is rounded
        rounding = 2.0**-53 * np.sqrt(system.network.activation.degree + 1) * np.linalg.norm(system.target * w) / np.sqrt(len(w))
        return max(float(np.linalg.norm((system.right_hand_side(X, c) - system.target) * w)) / np.sqrt(freedom), float(rounding))


def noise(system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Noise:
    """The likelier of two models at the given solution, Gaussian.

    ``"uniform"``: the same noise in every number of the target. ``"relative"``: in proportion to the root sum of squares
    of the terms that were added up, as floating-point summation leaves it.
    """
    net, sigma, seen = system.network, system.network.activation, system.observed
    Z = X @ net.W.T + net.offsets
    slopes = ((c @ net.A) * sigma(Z, order=1)) ** 2
    inputs = max(X.shape[1], 1)
    sizes = [np.sqrt(part) for part in (slopes.T @ (X**2).sum(axis=1) / inputs, slopes.sum(axis=0), (c**2).T @ sigma(Z) ** 2)]
    uniform = Noise("uniform", *(np.ones_like(size) for size in sizes))
    every = Noise("", *sizes).weights(inputs, seen)
    floor = 1e-6 * np.median(every)
    floor = floor if floor > 0 else 1.0
    mean = np.exp(np.log(np.maximum(every, floor)).mean())
    relative = Noise("relative", *(mean / np.maximum(size, floor) for size in sizes))
    r = system.right_hand_side(X, c) - system.target
    # both sets of weights have geometric mean 1, so the likelihoods differ only through the sums of squares
    return relative if np.linalg.norm(relative.weights(inputs, seen) * r) < np.linalg.norm(r) else uniform

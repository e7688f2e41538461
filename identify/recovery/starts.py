"""The starts of searches: samples of random direction, at the scale at which the powers of the activation balance."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.problem.network import TwoLayerNetwork

TOLERANCE = 1e-6
"""Relative residual from which on a proposal of a search is refined; and the tolerance of targets whose noise is not estimated."""
ENOUGH_CONVERGED = 10
"""Successes from which on the number of solutions that were not seen is estimated."""
SPREAD = 0.5
"""Scales are spread over this many decades to either side."""


def random_points(net: TwoLayerNetwork, rng: np.random.Generator, count: int) -> Float[np.ndarray, "count d"]:
    """Random samples in the coordinates of the network.

    Directions are Gaussian; the root mean square of w x is the size at which the linear and the top term of the derivative are
    equal, between a tenth and ten, times a random factor.
    """
    directions = rng.standard_normal((count, net.n_inputs))
    return directions * start_scale(net) * 10 ** rng.uniform(-SPREAD, SPREAD, (count, 1))


def start_scale(net: TwoLayerNetwork) -> float:
    """The standard deviation of the coordinates of a start, in the units of the inputs."""
    return _balance(net) / (float(np.sqrt((net.W**2).sum() / max(len(net.W), 1))) or 1.0)


def _balance(net: TwoLayerNetwork) -> float:
    """The size of z at which the lowest and the highest power in the activation are equal."""
    powers = [(k, abs(float(s))) for k, s in enumerate(net.activation.coefficients) if k and s]
    (low, first), (high, last) = powers[0], powers[-1]
    return float(np.clip((first / last) ** (1 / (high - low)), 0.1, 10.0)) if high > low else 1.0

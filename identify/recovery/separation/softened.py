r"""Derivatives that see the kinks ahead, for descents behind piecewise-linear activations.

Where a neuron changes its slope, the cost of :mod:`~identify.recovery.separation.membership` has a crease. Descents end on creases: each
side says that the cost falls towards the other. A step that takes the mean of the slopes within a distance of a pre-activation sees both
sides: the derivative of the activation convolved with a box (a graduated, non-smooth optimisation; Blake and Zisserman 1987). The cost is
not changed, and only steps that lower it are taken. The box is as wide as the point misses its equations, so that near a solution steps
are those of Gauss and Newton.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from identify.problem.activation import PiecewiseLinear
from identify.recovery.separation.forward import HiddenActivations, HiddenTangent

SOFT, MOST = 15.0, 0.75
"""Half the width of the box, relative to the root mean square of a layer's pre-activations: the first times the root of the cost, at most
the second (measured: 10 to 20, and 0.5 to 1, find about as many)."""
NARROW = 1e-200
"""Half the width of a box so narrow that it changes nothing."""


@dataclass(frozen=True, eq=False)
class Softened:
    """Hidden activations, and derivatives by softened slopes (an :class:`~identify.recovery.separation.membership.Images`)."""

    exact: HiddenActivations
    softness: Float[np.ndarray, " starts"]
    """Half the width of the box for each point, relative to the root mean square of a layer's pre-activations."""

    def values(self, points: np.ndarray) -> list[np.ndarray]:
        return self.exact.values(points)

    def slopes(self, points: np.ndarray) -> list[np.ndarray]:
        out = []
        for layer, (z, _) in zip(self.exact.layers, self.exact.passed(points), strict=True):
            width = self.softness * np.sqrt(np.mean(z * z, axis=1))
            out.append(mean_slopes(layer.activation, z, width[:, None]))
        return out

    def jacobians(self, points: np.ndarray) -> list[np.ndarray]:
        return self.exact.jacobians_along(self.slopes(points))

    def tangent(self, points: np.ndarray) -> HiddenTangent:
        return self.exact.tangent_along(self.slopes(points))


def softened(images: Any, costs: Float[np.ndarray, " starts"]) -> Any:
    """The images with derivatives for points of these costs; as they are if nothing has a kink."""
    if not isinstance(images, HiddenActivations) or not any(isinstance(layer.activation, PiecewiseLinear) for layer in images.layers):
        return images
    return Softened(images, np.minimum(SOFT * np.sqrt(np.minimum(costs, 1.0)), MOST))


def mean_slopes(sigma: Any, z: Float[np.ndarray, "starts m"], width: Float[np.ndarray, "starts 1"]) -> Float[np.ndarray, "starts m"]:
    """The mean slope of a piecewise-linear function from z - width to z + width; of other functions the slope at z."""
    if not isinstance(sigma, PiecewiseLinear):
        return sigma(z, order=1)
    scale = 0.5 / np.maximum(width, NARROW)
    first, *others = (float(slope) for slope in sigma.slopes)
    out, before = np.full(z.shape, first), first
    for at, slope in zip(sigma.breakpoints, others, strict=True):
        out += (slope - before) * np.clip((z - float(at)) * scale + 0.5, 0.0, 1.0)
        before = slope
    return out

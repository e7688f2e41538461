"""Activations as attacks differentiate them, in JAX: kinks smoothed, polynomials with coefficients that do not compile anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import jax
import jax.numpy as jnp
from jaxtyping import Array

from identify.problem.activation import Activation, PiecewiseLinear
from identify.problem.formulas import horner

Smooth = Callable[[Array, Array], Array]
"""Pre-activations and a sharpness (positive, dimensionless) -> activations."""

RELU = Activation.parse("relu")


@jax.custom_jvp
def sigmoid_relu(z: Array, sharpness: Array) -> Array:
    """ReLU with the derivative sigmoid(sharpness · z), so that it has curvature (Haim et al. 2022); sharpness > 0, dimensionless."""
    return jnp.maximum(z, 0.0)


@sigmoid_relu.defjvp
def _(primals, tangents):
    z, sharpness = primals
    # the value again through sigmoid_relu: with jnp.maximum here, outer derivatives would be those of the hard ReLU
    return sigmoid_relu(z, sharpness), jax.nn.sigmoid(sharpness * z) * tangents[0]


def softplus_relu(z: Array, sharpness: Array) -> Array:
    """softplus(sharpness · z) / sharpness, which smooths the values too (Loo et al. 2024)."""
    return jax.nn.softplus(sharpness * z) / sharpness


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Polynomial:
    """A polynomial activation, compared by value, or a pytree of its coefficients; the sharpness of a smoothing is not used."""

    coefficients: tuple[float, ...]

    def __call__(self, z: Array, sharpness: Array | None = None) -> Array:
        return horner(self.coefficients, z)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Elementwise:
    """Any activation as it is; the sharpness of a smoothing is not used."""

    sigma: Activation = field(metadata={"static": True})

    def __call__(self, z: Array, sharpness: Array | None = None) -> Array:
        return self.sigma.jax(z)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SmoothedKinks:
    r"""A piecewise-linear activation :math:`s_0 z + t_0 + \sum_k (s_k - s_{k-1}) \,\mathrm{relu}(z - z_k)` with a smoothed ReLU."""

    sigma: PiecewiseLinear = field(metadata={"static": True})
    relu: Smooth = field(metadata={"static": True})

    def __call__(self, z: Array, sharpness: Array) -> Array:
        slopes, points = self.sigma.slopes, self.sigma.breakpoints
        value = float(slopes[0]) * z + float(self.sigma.intercepts[0])
        for (left, right), point in zip(pairwise(slopes), points, strict=True):
            value = value + float(right - left) * self.relu(z - float(point), sharpness)
        return value


def exact(sigma: Activation) -> Callable[[Array], Array]:
    """The activation itself."""
    if sigma.kind == "polynomial":
        return Polynomial(sigma.floats())
    return jax.nn.relu if sigma == RELU else Elementwise(sigma)


def smoothed(sigma: Activation, relu: Smooth) -> Smooth:
    """The activation with every kink smoothed as ``relu`` smooths that of ReLU; smooth ones as they are."""
    if isinstance(sigma, PiecewiseLinear):
        return relu if sigma == RELU else SmoothedKinks(sigma, relu)
    return Polynomial(sigma.floats()) if sigma.kind == "polynomial" else Elementwise(sigma)

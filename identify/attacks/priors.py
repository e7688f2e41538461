"""Priors on candidates and penalties on multipliers: pytrees, so that other numbers do not cause a compilation."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from identify.attacks.objectives import Prior

BLUR = ((1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Box:
    """weight · squared distance to the box [low, high], summed over the coordinates; bounds are numbers, or one for each coordinate."""

    low: ArrayLike = -1.0
    high: ArrayLike = 1.0
    weight: float = 1.0

    def __call__(self, X: Float[Array, "k d"]) -> Float[Array, " k"]:
        low, high = jnp.asarray(self.low, X.dtype), jnp.asarray(self.high, X.dtype)
        return self.weight * (jnp.maximum(X - high, 0) ** 2 + jnp.maximum(low - X, 0) ** 2).sum(axis=1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class HighFrequency:
    """weight · squared norm of an image less its blur by the 3x3 binomial kernel, zeros outside (Loo et al. 2024).

    ``shape`` is (height, width), or (height, width, channels); their product is the number of inputs.
    """

    shape: tuple[int, ...] = field(metadata={"static": True})
    weight: float = 1.0

    def __call__(self, X: Float[Array, "k d"]) -> Float[Array, " k"]:
        images = X.reshape(len(X), *self.shape[:2], -1)
        kernel = jnp.asarray(BLUR, X.dtype) / 16
        blur = jax.vmap(lambda image: jax.scipy.signal.convolve2d(image, kernel, mode="same"), in_axes=-1, out_axes=-1)
        return self.weight * ((images - jax.vmap(blur)(images)) ** 2).sum(axis=(1, 2, 3))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Sum:
    """Several priors."""

    priors: tuple[Prior, ...]

    def __call__(self, X: Float[Array, "k d"]) -> Float[Array, " k"]:
        return sum((prior(X) for prior in self.priors), jnp.zeros(len(X), X.dtype))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Sparse:
    """weight · sum of the sizes of a candidate's multipliers."""

    weight: float

    def __call__(self, c: Float[Array, "k q"], bounds: Float[Array, " k"]) -> Float[Array, " k"]:
        return self.weight * jnp.abs(c).sum(axis=1)


def no_penalty(c: Float[Array, "k q"], bounds: Float[Array, " k"]) -> Float[Array, " k"]:
    """No penalty, for multipliers of any sign and size."""
    return jnp.zeros(len(c), c.dtype)

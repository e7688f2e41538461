"""Activations in JAX, with derivatives by their own formulas: the next order, and at kinks the slope that is stated.

Loaded only when JAX is wanted.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array

from identify.problem.functions import HIGHEST_ORDER

if TYPE_CHECKING:
    from identify.problem.activation import Activation


def derivative_of(sigma: Activation, order: int, z) -> Array:
    """The derivative of that order at z; traceable, and differentiable to any order."""
    if sigma.kind == "polynomial" or (sigma.kind == "analytic" and order == HIGHEST_ORDER):
        return sigma._jax(z, order)
    return _by_rule(sigma, order, jnp.asarray(z))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _by_rule(sigma: Activation, order: int, z: Array) -> Array:
    return sigma._jax(z, order)


@_by_rule.defjvp
def _(sigma: Activation, order: int, primals, tangents):
    (z,), (tangent,) = primals, tangents
    return _by_rule(sigma, order, z), derivative_of(sigma, order + 1, z) * tangent

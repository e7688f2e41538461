"""The optimisers of the attacks, from optax, with rates in the state: neither other rates nor a new optimiser cause a compilation.

Compiled code takes the update as a constant and compares it by identity; optax makes a new one at every call, with its rates inside.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from identify.base.compiled import bounded
from identify.base.errors import IdentifyError


class DivergedError(IdentifyError, FloatingPointError):
    """A loss or an objective that became infinite or NaN, whatever was tried."""


class _Momentum(NamedTuple):
    rates: Any
    decay: Any
    trace: Any


class _Adam(NamedTuple):
    rate: Any
    moments: Any


def momentum(rates: Any, decay: float) -> optax.GradientTransformation:
    """``optax.sgd`` with the momentum ``decay``; ``rates`` is one number, or one for each part of the point, by name."""

    def init(point: Any) -> _Momentum:
        return _Momentum(_numbers(rates, point), _numbers(decay, point), jax.tree.map(_zeros, point))

    return optax.GradientTransformation(init, _momentum_update)


def adam(rate: float) -> optax.GradientTransformation:
    """``optax.adam``."""
    return optax.GradientTransformation(lambda point: _Adam(_numbers(rate, point), _first_moments(point)), _adam_update)


_MOMENTS = optax.scale_by_adam()
_first_moments = bounded(jax.jit(_MOMENTS.init))


def _momentum_update(gradient: Any, state: _Momentum, point: Any = None) -> tuple[Any, _Momentum]:
    trace = jax.tree.map(lambda new, old: new + state.decay * old, gradient, state.trace)
    moves = jax.tree.map(lambda rate, part: jax.tree.map(lambda each: -rate * each, part), state.rates, trace)
    return moves, state._replace(trace=trace)


def _adam_update(gradient: Any, state: _Adam, point: Any = None) -> tuple[Any, _Adam]:
    moves, moments = _MOMENTS.update(gradient, state.moments, point)
    return jax.tree.map(lambda part: -state.rate * part, moves), _Adam(state.rate, moments)


def _zeros(part: Any) -> Any:
    """Made by NumPy: JAX would compile a program for every size, and keep it."""
    return jax.device_put(np.zeros(part.shape, part.dtype))


def _numbers(values: Any, point: Any) -> Any:
    """The values as arrays of the point's type; those beyond it are infinite, and the first step shows it."""
    with np.errstate(over="ignore"):
        return _as_arrays(values, point)


def _as_arrays(values: Any, point: Any) -> Any:
    return jax.tree.map(lambda value: jnp.asarray(value, jax.tree.leaves(point)[0].dtype), values)

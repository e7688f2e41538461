r"""Analytic activations and their first three derivatives, each written once, for floats, JAX arrays and balls.

A formula asks a *kernel* for elementary functions (:math:`\tanh`, the logistic function, the normal distribution, ...) and combines
them with + and ×. Three kernels exist: NumPy with SciPy (:data:`FLOATS`), JAX (:func:`jax_kernel`, imported on first use) and
Arb's balls (:mod:`identify.problem.balls`). The formulas avoid cancellation, and factors that vanish at infinity are evaluated at
``bounded`` arguments, beyond which they are zero in double precision: nothing overflows for any finite z.

Names are those of PyTorch, JAX and Keras. ``gelu`` is :math:`z\,\Phi(z)` with the normal distribution function
(PyTorch, Keras); ``gelu_tanh`` is the approximation that JAX and Flax mean by ``gelu``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import pi, sqrt
from typing import Any, NamedTuple

import numpy as np
import scipy

Formula = Callable[["Kernel", Any, int], Any]
"""A kernel, an argument and an order from 0 to 3 -> that derivative of a function there."""

HIGHEST_ORDER = 3


class Kernel(NamedTuple):
    """Elementary functions over one kind of number."""

    exp: Callable
    tanh: Callable
    sech2: Callable
    """1 / cosh(z)^2."""
    logistic: Callable
    """1 / (1 + e^-z)."""
    bump: Callable
    """The derivative of the logistic function."""
    softplus: Callable
    """log(1 + e^z)."""
    erf: Callable
    normal: Callable
    """The density of the standard normal distribution."""
    normal_cdf: Callable
    sin: Callable
    cos: Callable
    arctan: Callable
    inverse: Callable
    """1 / (1 + z^2)."""
    bounded: Callable
    """An argument cut off at ± a size beyond which what multiplies it is zero; balls stay as they are."""
    two_over_root_pi: Any
    root_two_over_pi: Any
    cubic: Any
    """0.044715, of ``gelu_tanh``."""


def _bump(exp, z):
    e = exp(-abs(z))
    return e / (1 + e) ** 2


def _sech2(exp, z):
    e = exp(-abs(z))
    return 4 * (e / (1 + e * e)) ** 2


FLOATS = Kernel(
    exp=np.exp,
    tanh=np.tanh,
    sech2=lambda z: _sech2(np.exp, z),
    logistic=lambda z: scipy.special.expit(z),  # loaded on first use: it takes a fifth of a second
    bump=lambda z: _bump(np.exp, z),
    softplus=lambda z: np.logaddexp(0, z),
    erf=lambda z: scipy.special.erf(z),
    normal=lambda z: np.exp(-0.5 * z * z) / sqrt(2 * pi),
    normal_cdf=lambda z: scipy.special.ndtr(z),
    sin=np.sin,
    cos=np.cos,
    arctan=np.arctan,
    inverse=lambda z: (1 / np.hypot(1, z)) ** 2,
    bounded=lambda z, size: np.clip(z, -size, size),
    two_over_root_pi=2 / sqrt(pi),
    root_two_over_pi=sqrt(2 / pi),
    cubic=0.044715,
)


@cache
def jax_kernel() -> Kernel:
    """The kernel of JAX arrays."""
    import jax
    import jax.numpy as jnp

    return Kernel(
        exp=jnp.exp,
        tanh=jnp.tanh,
        sech2=lambda z: _sech2(jnp.exp, z),
        logistic=jax.nn.sigmoid,
        bump=lambda z: _bump(jnp.exp, z),
        softplus=jax.nn.softplus,
        erf=jax.scipy.special.erf,
        normal=lambda z: jnp.exp(-0.5 * z * z) / sqrt(2 * pi),
        normal_cdf=jax.scipy.special.ndtr,
        sin=jnp.sin,
        cos=jnp.cos,
        arctan=jnp.arctan,
        inverse=lambda z: (1 / jnp.hypot(1.0, z)) ** 2,
        bounded=lambda z, size: jnp.clip(z, -size, size),
        two_over_root_pi=2 / sqrt(pi),
        root_two_over_pi=sqrt(2 / pi),
        cubic=0.044715,
    )


def tanh(k: Kernel, z, order: int):
    if order == 0:
        return k.tanh(z)
    s = k.sech2(z)
    if order == 1:
        return s
    t = k.tanh(z)
    return -2 * t * s if order == 2 else s * (4 - 6 * s)


def sigmoid(k: Kernel, z, order: int):
    if order == 0:
        return k.logistic(z)
    s = k.bump(z)
    if order == 1:
        return s
    return -k.tanh(z / 2) * s if order == 2 else s * (1 - 6 * s)


def softplus(k: Kernel, z, order: int):
    return k.softplus(z) if order == 0 else sigmoid(k, z, order - 1)


def log_sigmoid(k: Kernel, z, order: int):
    value = softplus(k, -z, order)
    return value if order % 2 else -value


def silu(k: Kernel, z, order: int):
    if order == 0:
        return z * k.logistic(z)
    z = k.bounded(z, 800)
    s = k.bump(z)
    if order == 1:
        return k.logistic(z) + z * s
    d = -k.tanh(z / 2)
    return s * (2 + z * d) if order == 2 else s * (3 * d + z * (1 - 6 * s))


def gelu(k: Kernel, z, order: int):
    if order == 0:
        return z * k.normal_cdf(z)
    z = k.bounded(z, 50)
    p = k.normal(z)
    if order == 1:
        return k.normal_cdf(z) + z * p
    return p * (2 - z * z) if order == 2 else p * z * (z * z - 4)


def gelu_tanh(k: Kernel, z, order: int):
    y = k.bounded(z, 50)
    u = k.root_two_over_pi * y * (1 + k.cubic * y * y)
    g = k.logistic(2 * u)
    if order == 0:
        return z * g
    u1 = k.root_two_over_pi * (1 + 3 * k.cubic * y * y)
    s = k.bump(2 * u)
    g1 = 2 * s
    if order == 1:
        return g + y * g1 * u1
    u2 = 6 * k.root_two_over_pi * k.cubic * y
    g2 = -4 * k.tanh(u) * s
    if order == 2:
        return 2 * g1 * u1 + y * (g2 * u1 * u1 + g1 * u2)
    u3 = 6 * k.root_two_over_pi * k.cubic
    g3 = 8 * s * (1 - 6 * s)
    return 3 * (g2 * u1 * u1 + g1 * u2) + y * (g3 * u1 * u1 * u1 + 3 * g2 * u1 * u2 + g1 * u3)


def erf(k: Kernel, z, order: int):
    if order == 0:
        return k.erf(z)
    z = k.bounded(z, 40)
    e = k.two_over_root_pi * k.exp(-z * z)
    return e if order == 1 else -2 * z * e if order == 2 else (4 * z * z - 2) * e


def sin(k: Kernel, z, order: int):
    return k.sin(z) if order == 0 else k.cos(z) if order == 1 else -k.sin(z) if order == 2 else -k.cos(z)


def cos(k: Kernel, z, order: int):
    return k.cos(z) if order == 0 else -k.sin(z) if order == 1 else -k.cos(z) if order == 2 else k.sin(z)


def exp(k: Kernel, z, order: int):
    return k.exp(z)


def arctan(k: Kernel, z, order: int):
    if order == 0:
        return k.arctan(z)
    w = k.inverse(z)
    return w if order == 1 else -2 * (z * w) * w if order == 2 else w * w * (6 - 8 * w)


def tanh_shrink(k: Kernel, z, order: int):
    if order > 1:
        return -tanh(k, z, order)
    return z - k.tanh(z) if order == 0 else k.tanh(z) * k.tanh(z)


def mish(k: Kernel, z, order: int):
    t = k.tanh(k.softplus(z))
    if order == 0:
        return z * t
    z = k.bounded(z, 800)
    p, q, s = k.logistic(z), k.logistic(-z), k.bump(z)
    t1 = k.sech2(k.softplus(z)) * p
    if order == 1:
        return t + z * t1
    r = q - 2 * t * p
    t2 = t1 * r
    if order == 2:
        return 2 * t1 + z * t2
    return 3 * t2 + z * t1 * (r * r - s - 2 * t1 * p - 2 * t * s)


FORMULAS: dict[str, Formula] = {
    function.__name__: function
    for function in (
        *(tanh, sigmoid, softplus, log_sigmoid, silu, mish, gelu, gelu_tanh),
        *(erf, sin, cos, exp, arctan, tanh_shrink),
    )
}
"""By canonical name."""
EVEN = frozenset({"cos"})
ODD_UP_TO_A_CONSTANT = frozenset({"tanh", "sigmoid", "erf", "sin", "arctan", "tanh_shrink"})
"""Every other function here is neither: the even and the odd part of each have infinitely many terms, or one of them is z/2
(softplus, log_sigmoid, silu, gelu and gelu_tanh are z/2 or -z/2 plus an even function)."""


def as_numbers(z: Any) -> Any:
    """Lists and integers of NumPy in double precision, in which minus z does not wrap around; everything else as it is."""
    if isinstance(z, (list, tuple)) or (isinstance(z, (np.ndarray, np.generic)) and z.dtype.kind in "bui"):
        return np.asarray(z, dtype=float)[()]
    return z

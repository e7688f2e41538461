r"""The Jacobian of the right-hand side of (S) in the data and the multipliers, in closed form.

With :math:`z_{ij} = w_j\cdot x_i + b_j` and :math:`g_{ij} = \sum_o A_{oj}\gamma_{io}`, the first-layer rows are
:math:`\sum_i g_{ij}\,\sigma'(z_{ij})\,x_i`, so

.. math:: \partial_{x_{iq}}: \; g_{ij}\bigl(\sigma''(z_{ij})\,w_{jq}\,x_{it} + \sigma'(z_{ij})\,\delta_{qt}\bigr), \qquad
          \partial_{\gamma_{io}}: \; A_{oj}\,\sigma'(z_{ij})\,x_{it},

and likewise for the other rows. Generic over the ring, like :mod:`identify.problem.interpolation`: the exact ranks modulo a prime
and the floating-point iterations of the recovery use this one function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from identify.base.options import LAYERS, choice
from identify.problem.activation import Activation, horner
from identify.problem.signals import layer_updates


class Observed(NamedTuple):
    """Which rows of (S) are available: those of the first-layer weights, of their biases, of the second layer."""

    W: bool
    bias: bool
    a: bool

    @classmethod
    def of(cls, layers: str, has_bias: bool) -> Observed:
        """The rows of ``layers``: ``"both"``, ``"first"`` (weights and biases) or ``"second"``."""
        choice("layers", layers, LAYERS)
        return cls(layers != "second", has_bias and layers != "second", layers != "first")


def weighted_gradients(W, A, offsets, s: Sequence, ds: Sequence, X, c):
    r"""Right-hand side of (S): :math:`\sum_i c_i \nabla_\theta f(\theta; x_i)` for the three groups of parameters.

    Parameters
    ----------
    W, A, offsets
        Weights of shapes (m, d), (C, m) and (m,).
    s, ds
        Coefficients of the activation and of its derivative, in the same ring as the arrays.
    X, c
        Data (n, d) and multipliers (n, C).

    Returns
    -------
    tuple
        Arrays (m, d), (m,) and (C, m). Only ``+``, ``*``, ``@`` and ``.T`` are used: NumPy arrays (of floats, or of
        objects such as fractions or residues) and JAX arrays all serve. Cost O(n m (d + C + p)).
    """
    (of_W, of_bias), (of_a, _) = layer_updates((W, A), (offsets, None), (lambda z, order: horner(ds if order else s, z),), X, c)
    return of_W, of_bias, of_a


def visible_degrees(activation: Activation, has_bias: bool, observed: Observed) -> tuple[int, ...]:
    """The degrees k for which the moment M_k = sum_i c_i x_i^(tensor k) enters the observed rows (theory, section 2)."""
    if has_bias:
        return tuple(range(0 if observed.bias or observed.a else 1, activation.degree + 1))
    zero = (0,) if activation.constant and observed.a else ()
    return zero + activation.support


def flatten(parts: Iterable[Any], observed: Iterable[bool]) -> np.ndarray:
    """The observed parts of a gradient as one vector."""
    return np.concatenate([np.asarray(part).reshape(-1) for part, seen in zip(parts, observed, strict=True) if seen])


def unflatten(
    vector: np.ndarray,
    shapes: Iterable[tuple[int, ...]],
    observed: Iterable[bool],
    absent: Callable[[tuple[int, ...]], Any] = lambda shape: None,
) -> list[Any]:
    """The inverse of :func:`flatten`: a part for each shape, ``absent(shape)`` for one that was not observed."""
    parts, start = [], 0
    for shape, seen in zip(shapes, observed, strict=True):
        size = prod(shape) if seen else 0
        parts.append(vector[start : start + size].reshape(shape) if seen else absent(shape))
        start += size
    return parts


def jacobian(
    W: Shaped[Any, "m d"],
    A: Shaped[Any, "C m"],
    offsets: Shaped[Any, " m"],
    derivatives: Sequence[Sequence],
    observed: Observed,
    X: Shaped[Any, "n d"],
    c: Shaped[Any, "n C"],
    multiply: Callable = np.matmul,
    reduce: Callable = lambda value: value,
    xp: Any = np,
) -> Shaped[Any, "equations unknowns"]:
    """Jacobian with rows in the order of ``KKTSystem.target`` and columns (x_1, gamma_1, ..., x_n, gamma_n).

    Parameters
    ----------
    W, A, offsets, derivatives, observed, reduce
        As for :func:`identify.problem.interpolation.interpolation_matrix`.
    X, c
        Data (n, d) and multipliers (n, C) in the same ring.
    multiply
        Matrix product of that ring.
    xp
        The array module: NumPy, or ``jax.numpy`` (then the function can be traced).

    Returns
    -------
    array of shape (equations, n (d + C))
        Cost O(m d n (d + C)).
    """
    m, d = W.shape
    n, outputs = c.shape
    Z = (multiply(X, W.T) + offsets).T
    s0, s1, s2 = (horner(derivatives[order], reduce(Z), reduce) for order in range(3))
    g = multiply(c, A).T
    gs1, gs2 = reduce(g * s1), reduce(g * s2)
    one = xp.eye(d, dtype=W.dtype)[None, :, None, :]
    rows = []
    if observed.W:
        samples = X.T[None]
        in_x = reduce(reduce(reduce(gs2[:, None, :] * samples)[..., None] * W[:, None, None, :]) + gs1[:, None, :, None] * one)
        in_c = reduce(reduce(s1[:, None, :] * samples)[..., None] * A.T[:, None, None, :])
        rows.append(xp.concatenate([in_x, in_c], axis=3).reshape(m * d, n * (d + outputs)))
    if observed.bias:
        in_x, in_c = reduce(gs2[..., None] * W[:, None]), reduce(s1[..., None] * A.T[:, None])
        rows.append(xp.concatenate([in_x, in_c], axis=2).reshape(m, n * (d + outputs)))
    if observed.a:
        own = xp.eye(outputs, dtype=W.dtype)
        for o in range(outputs):
            in_x = reduce(reduce(c[:, o] * s1)[..., None] * W[:, None])
            in_c = s0[..., None] * own[o]
            rows.append(xp.concatenate([in_x, in_c], axis=2).reshape(m, n * (d + outputs)))
    return xp.concatenate(rows)

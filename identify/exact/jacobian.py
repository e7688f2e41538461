r"""The Jacobian of the right-hand side of (S) in the data and the multipliers, in closed form.

With :math:`z_{ij} = w_j\cdot x_i + b_j` and :math:`g_{ij} = \sum_o A_{oj}\gamma_{io}`, the first-layer rows are
:math:`\sum_i g_{ij}\,\sigma'(z_{ij})\,x_i`, so

.. math:: \partial_{x_{iq}}: \; g_{ij}\bigl(\sigma''(z_{ij})\,w_{jq}\,x_{it} + \sigma'(z_{ij})\,\delta_{qt}\bigr), \qquad
          \partial_{\gamma_{io}}: \; A_{oj}\,\sigma'(z_{ij})\,x_{it},

and likewise for the other rows. Generic over the ring, like :mod:`identify.exact.interpolation`: the exact ranks modulo a prime
and the floating-point iterations of the recovery use this one function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from identify.activation import horner
from identify.stationarity import Observed


def jacobian(
    W: np.ndarray,
    A: np.ndarray,
    offsets: np.ndarray,
    derivatives: Sequence[Sequence],
    observed: Observed,
    X: np.ndarray,
    c: np.ndarray,
    multiply: Callable = np.matmul,
    reduce: Callable = lambda value: value,
    xp: Any = np,
) -> np.ndarray:
    """Jacobian with rows in the order of ``KKTSystem.target`` and columns (x_1, gamma_1, ..., x_n, gamma_n).

    Parameters
    ----------
    W, A, offsets, derivatives, observed, reduce
        As for :func:`identify.exact.interpolation.interpolation_matrix`.
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

r"""J^T J of the Jacobian of (S) in the data, without forming J: for systems with many more equations than unknowns.

With :math:`u_{ij} = g_{ij}\sigma''(z_{ij})`, :math:`v_{ij} = g_{ij}\sigma'(z_{ij})` and first-layer rows only, the block of
:math:`x_i` and :math:`x_k` is

.. math:: \sum_j u_{ij}u_{kj}(x_i\cdot x_k)\, w_j w_j^\top + u_{ij}v_{kj}\, w_j x_i^\top + v_{ij}u_{kj}\, x_k w_j^\top + v_{ij}v_{kj}\, I,

and likewise for the other rows and for the multipliers: O(m · unknowns^2) operations instead of O(m d · unknowns^2). Squaring
halves the digits: singular values below about 1e-7 of the largest are lost.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.problem.system import KKTSystem

RESOLUTION = 1e-7
"""Singular values below this part of the largest are not resolved."""


def gram(
    system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"], size: float
) -> Float[np.ndarray, "unknowns unknowns"]:
    """J^T J / size^2, unknowns in the order of :func:`identify.problem.gradients.jacobian`. Memory O(unknowns^2 + m · unknowns)."""
    net, seen = system.network, system.observed
    W, A = net.W, net.A
    n, d = X.shape
    Z = X @ W.T + net.offsets
    s0, s1, s2 = (net.activation(Z, order) / size for order in range(3))
    g = c @ A
    u, v = g * s2, g * s1
    K = seen.W * (X @ X.T) + float(seen.bias)
    L = seen.a * (c @ c.T)
    G = np.zeros((n, d + c.shape[1], n, d + c.shape[1]))
    for i in range(n):
        both = u[i] * u * K[i][:, None] + s1[i] * s1 * L[i][:, None]
        xx = (both[:, None, :] * W.T) @ W
        xc = ((u[i] * s1 * K[i][:, None])[:, None, :] * A) @ W
        cc = ((s1[i] * s1 * K[i][:, None])[:, None, :] * A) @ A.T
        if seen.W:
            xx += ((u[i] * v) @ W)[:, :, None] * X[i] + X[:, :, None] * ((v[i] * u) @ W)[:, None, :]
            xx += (v @ v[i])[:, None, None] * np.eye(d)
            xc += ((v[i] * s1) @ A.T)[:, :, None] * X[:, None, :]
        if seen.a:
            xc += c[i][:, None] * ((s1[i] * s0) @ W)[:, None, :]
            cc += (s0 @ s0[i])[:, None, None] * np.eye(c.shape[1])
        G[i, :d, :, :d] = xx.transpose(1, 0, 2)
        G[i, :d, :, d:] = xc.transpose(2, 0, 1)
        G[:, d:, i, :d] = xc
        G[i, d:, :, d:] = cc.transpose(1, 0, 2)
    return G.reshape(n * (d + c.shape[1]), -1)


def reduced_gram(G: Float[np.ndarray, "unknowns unknowns"], T: Float[np.ndarray, "n D k"]) -> Float[np.ndarray, "k k"]:
    """(J T)^T (J T), for changes T of the samples, one block for each."""
    n, size, kept = T.shape
    left = (T.transpose(0, 2, 1) @ G.reshape(n, size, n * size)).reshape(n * kept, n, size)
    return (left.transpose(1, 0, 2) @ T).transpose(1, 0, 2).reshape(n * kept, n * kept)

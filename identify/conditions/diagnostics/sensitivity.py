r"""First-order sensitivity of the data to the target: the pseudo-inverse of the Jacobian of (S), modulo the ambiguity.

With T a basis of the changes of :math:`(x_i, \gamma_i)` that are looked at, J T = Q R gives
:math:`J^+ = T R^{-1} Q^\top`, so that the rows of :math:`T R^{-1}` have the norms of those of :math:`J^+`. If (S) leaves
the scale of each sample free, T holds the norm of the sample, which fixes one representative of each orbit. Floating point:
evidence, never proof. Error bars of the recovery and the conditioning of a report share this module.
"""

from __future__ import annotations

import numpy as np
import scipy
from jaxtyping import Float

from identify.base.norms import row_sizes
from identify.problem.ambiguity import free_scales
from identify.problem.system import KKTSystem

DEFICIENT = 1e-14
"""Ratio of diagonal entries of R, for columns of one size, below which J T counts as rank deficient."""


def leaves_scale_free(system: KKTSystem) -> bool:
    """Whether (S) alone leaves (t x_i, t^(-k) c_i) free for each sample: one visible degree k."""
    return bool(free_scales(system.degrees))


def changes(X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"], hold_scale: bool) -> Float[np.ndarray, "n unknowns k"]:
    """T, one block for each sample: relative changes of x_i and of gamma_i, those along a free scale left out.

    The scale is held by fixing the norm of x_i, or, for a sample at the origin, the size of its multiplier.
    """
    point = np.hstack([X, c])
    d, size = X.shape[1], point.shape[1]
    sizes = np.ones_like(point)
    for part in (slice(None, d), slice(d, None)):
        norms = row_sizes(point[:, part])
        sizes[:, part] = np.where(norms > 0, norms, 1.0)[:, None]
    blocks = np.tile(np.eye(size), (len(X), 1, 1))
    if hold_scale:
        blocks = np.stack([scipy.linalg.null_space(_held(x / max(np.abs(x).max(), 1e-300), d)[None]) for x in point])
    return sizes[:, :, None] * blocks


def _held(x: np.ndarray, d: int) -> np.ndarray:
    row = np.zeros_like(x)
    part = slice(None, d) if x[:d].any() else slice(d, None)
    row[part] = x[part]
    return row if row.any() else np.eye(1, len(x))[0]


def triangular_factor(J: Float[np.ndarray, "equations unknowns"], T: Float[np.ndarray, "n D k"]) -> Float[np.ndarray, "rows k"]:
    """R of the factorisation J T = Q R; square if there are enough equations. Cost O(equations · unknowns^2)."""
    n, size, _ = T.shape
    columns = [J[:, i * size : (i + 1) * size] @ T[i] for i in range(n)]
    return np.asarray(np.linalg.qr(np.hstack(columns), mode="r"))


def left_inverse(R: Float[np.ndarray, "rows k"], T: Float[np.ndarray, "n D k"]) -> Float[np.ndarray, "n D unknowns"] | None:
    """T R^(-1), sample by sample: J^+ but for an orthogonal factor on the right. None for a rank-deficient R."""
    n, _size, kept = T.shape
    norms = np.abs(R).max(axis=0, initial=0)  # not Euclidean: squares of extreme numbers overflow
    if len(R) < n * kept or not norms.all():
        return None
    diagonal = np.abs(np.diag(R)) / norms
    if not diagonal.min() > DEFICIENT * diagonal.max():
        return None
    inverse = scipy.linalg.solve_triangular(R / norms, np.eye(n * kept)) / norms[:, None]
    return T @ inverse.reshape(n, kept, n * kept)

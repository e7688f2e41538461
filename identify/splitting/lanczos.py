"""Smallest eigenpairs of many symmetric operators: Lanczos for all at once, one product of all in each step, or one after another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

BROKEN = 1e-12
"""Off-diagonal entry, relative to the largest, at which the space of one operator is complete."""
MOST = 1e150
"""Size of the entries of a product whose squares are doubles: larger ones are as good as none."""
LOOK = 5
"""Steps between two looks at whether all have converged."""

Product = Callable[[Float[np.ndarray, "k d"]], Float[np.ndarray, "k d"]]


def start(d: int) -> Float[np.ndarray, " d"]:
    """The unit vector from which every operator begins: it is fixed, so that results repeat."""
    first = np.cos(np.arange(1.0, d + 1))
    return first / np.linalg.norm(first)


def lowest(
    product: Product, k: int, d: int, *, steps: int, tolerance: float = 0.0
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k d"], Bool[np.ndarray, " k"]]:
    """Smallest Ritz value of each of k symmetric operators, its vector, and whether it has converged.

    The value is NaN, which counts as converged, if a product has entries that are not finite. Every vector is made orthogonal to those
    before. Values are upper bounds of the smallest eigenvalues.

    Parameters
    ----------
    product
        Vectors (k, d), one for each operator -> their products (k, d).
    steps
        At most so many.
    tolerance
        Ends as soon as every residual is below this, relative to the operator's size (dimensionless); 0: after all steps.

    Notes
    -----
    Cost of ``steps`` products, and O(k d steps^2); memory of k d numbers for each step.
    """
    steps = min(steps, d)
    Q, T = np.zeros((steps, k, d)), np.zeros((k, steps, steps))
    v, live, largest, unknown = np.tile(start(d), (k, 1)), np.ones(k, bool), np.zeros(k), np.zeros(k, bool)
    for s in range(steps):
        Q[s] = np.where(live[:, None], v, 0.0)
        w = product(Q[s])
        unknown |= ~(np.abs(w).max(axis=1) < MOST)
        w = np.where(unknown[:, None], 0.0, w)
        T[:, s, s] = np.einsum("kd,kd->k", Q[s], w)
        for _ in range(2):
            for earlier in Q[: s + 1]:
                w = w - np.einsum("kd,kd->k", earlier, w)[:, None] * earlier
        beta = np.linalg.norm(w, axis=1)
        largest = np.maximum(largest, np.maximum(beta, np.abs(T[:, s, s])))
        live = live & (beta > BROKEN * largest)
        done = s + 1 == steps or not live.any()
        if done or (tolerance and (s + 1) % LOOK == 0):
            values, vectors = np.linalg.eigh(T[:, : s + 1, : s + 1])
            left = np.where(live, beta * np.abs(vectors[:, -1, 0]), 0.0)
            converged = (left <= tolerance * largest) | (s + 1 == d)
            if done or converged.all():
                return np.where(unknown, np.nan, values[:, 0]), np.einsum("ks,skd->kd", vectors[:, :, 0], Q[: s + 1]), converged
        T[:, s, s + 1] = T[:, s + 1, s] = np.where(live, beta, 0.0)
        v = w / np.where(live, beta, 1.0)[:, None]
    return np.zeros(k), v, np.ones(k, bool)


def alone(product: Callable[[Float[np.ndarray, " d"]], Float[np.ndarray, " d"]], d: int) -> tuple[float, Float[np.ndarray, " d"]]:
    """Smallest eigenpair of one operator by ARPACK, which restarts; if that does not converge, the matrix is formed.

    The eigenvalue is NaN if a product has entries that are not finite.
    """
    first, known = start(d), True

    def finite(v: np.ndarray) -> np.ndarray:
        nonlocal known
        w = product(v)
        known = known and bool(np.abs(w).max() < MOST)
        return w if known else np.zeros(d)

    if not finite(first).any():
        return 0.0 if known else np.nan, first
    try:
        values, vectors = eigsh(LinearOperator((d, d), matvec=finite, dtype=float), k=1, which="SA", v0=first, tol=1e-8)
    except ArpackNoConvergence:
        S = np.array([finite(e) for e in np.eye(d)])
        values, vectors = np.linalg.eigh((S + S.T) / 2)
    except ArpackError:
        if known:
            raise
        return np.nan, first
    return float(values[0]) if known else np.nan, vectors[:, 0]

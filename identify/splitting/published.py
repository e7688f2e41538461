r"""Splitting as its paper does it: Lanczos with a fixed number of products, one step for all candidates, thresholds for how many split.

After a public copy of the code of Shen et al. 2026 (arXiv:2602.08723), written anew: 20 Lanczos steps for each candidate; if few
eigenvalues are negative, all of these are split, otherwise those clearly below zero, up to a number; all at one step
:math:`\varepsilon` that a bounded search finds; multipliers are halved, the optimiser begins anew, nothing is merged. Unlike with
:func:`~identify.splitting.minimise.best_step` the objective may be higher afterwards: every candidate that was chosen is split.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

LANCZOS = 20
SMALLEST_STEP, LARGEST_STEP, TRIALS = 1e-5, 0.02, 25
"""Range of the common step (units of the inputs), and evaluations of the objective, at most."""
FEW, FEW_OF_MANY, MANY = 0.3, 0.1, 1000
"""Share of negative eigenvalues below which all of them are split: of fewer than so many candidates, and of more."""
CLEARLY, SHARE, MOST = -0.1, 0.5, 150
"""Otherwise those below this are split, at most this share of all candidates, and at most this number."""
BROKEN = 1e-12
"""Off-diagonal entry, relative to the largest, at which the space of one candidate is complete."""


def lowest(
    product: Callable[[Float[np.ndarray, "k d"]], Float[np.ndarray, "k d"]], k: int, d: int, *, steps: int = LANCZOS
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k d"]]:
    """Smallest Ritz value of each of k symmetric operators, and its vector: Lanczos for all at once, one product of all in each step.

    Every vector is made orthogonal to those before. The first is the same for all, so that results repeat. The values are upper bounds
    of the smallest eigenvalues. Cost of ``steps`` products, and O(k d steps^2).
    """
    steps = min(steps, d)
    Q, T = np.zeros((k, steps, d)), np.zeros((k, steps, steps))
    start = np.cos(np.arange(1.0, d + 1))
    v, live = np.tile(start / np.linalg.norm(start), (k, 1)), np.ones(k, bool)
    largest = np.zeros(k)
    for s in range(steps):
        Q[:, s] = np.where(live[:, None], v, 0.0)
        w = product(Q[:, s])
        T[:, s, s] = np.einsum("kd,kd->k", Q[:, s], w)
        for _ in range(2):
            w = w - np.einsum("ksd,ks->kd", Q[:, : s + 1], np.einsum("ksd,kd->ks", Q[:, : s + 1], w))
        beta = np.linalg.norm(w, axis=1)
        largest = np.maximum(largest, np.maximum(beta, np.abs(T[:, s, s])))
        live = live & (beta > BROKEN * largest)
        if s + 1 < steps:
            T[:, s, s + 1] = T[:, s + 1, s] = np.where(live, beta, 0.0)
            v = w / np.where(live, beta, 1.0)[:, None]
    values, vectors = np.linalg.eigh(T)
    return values[:, 0], np.einsum("ks,ksd->kd", vectors[:, :, 0], Q)


def chosen(values: Float[np.ndarray, " k"]) -> Int[np.ndarray, " split"]:
    """The candidates that are split, those with the most negative eigenvalues first."""
    k = len(values)
    order = np.argsort(values, kind="stable")
    negative = order[values[order] < 0]
    if len(negative) < (FEW if k < MANY else FEW_OF_MANY) * k:
        return negative
    return negative[values[negative] < CLEARLY][: min(int(SHARE * k), MOST)]


def common_step(value: Callable[[float], float]) -> tuple[float, float]:
    """The step at which a bounded search leaves the objective lowest, and that value."""
    found = minimize_scalar(value, bounds=(SMALLEST_STEP, LARGEST_STEP), method="bounded", options={"maxiter": TRIALS})
    return float(found.x), float(found.fun)

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

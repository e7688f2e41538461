r"""Step 4 for one visible degree: margins or closures fix the scale that (S) leaves free.

For :math:`\sigma = s z^p` without bias, (x, c) and :math:`(t x, t^{-p} c)` give the same target, and
:math:`f(t x) = t^p f(x)`. The margin equation :math:`|f| = 1` fixes |t|. The logistic closure
:math:`\lambda = 1/(n(1 + e^{y f}))` becomes, with u = t^p and F = y f(x) > 0, :math:`u = n\lambda(1 + e^{uF})`, which has
up to two roots; the one with the larger margin is taken, since trained networks fit their data.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import lambertw

from identify.problem.system import KKTSystem
from identify.recovery.solution import Failure, InapplicableError

LEAST = 1e-280
"""Multipliers, times the number of samples, below which no scale is looked for."""


def fix_free_scale(system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]):
    """Scaled (X, c), and evidence. Returned unchanged when no side equation is in force.

    Raises
    ------
    InapplicableError
        When a sample cannot meet its margin or closure at any scale.
    """
    if system.labels is None and system.loss != "logistic":  # the square loss leaves the scale free: responses are unknown
        return X, c, {}
    p = system.network.activation.degree
    outputs = system.network(X).reshape(-1)
    if system.labels is not None:
        size = np.abs(outputs)
        if size.min() < 1e-12:
            raise InapplicableError.of(Failure.NO_MARGIN)
        t = size ** (-1 / p)
        evidence: dict = {"margin_before_scaling": [float(size.min()), float(size.max())]}
    else:
        roots = [_closure_roots(abs(float(w)), float(np.sign(w) * f), len(X)) for w, f in zip(c[:, 0], outputs, strict=True)]
        if not all(roots):
            raise InapplicableError.of(Failure.NO_CLOSURE)
        t = np.array([max(r) if np.sign(w) * f > 0 else r[0] for r, w, f in zip(roots, c[:, 0], outputs, strict=True)]) ** (1 / p)
        evidence = {"samples_with_two_scales": sum(len(r) > 1 for r in roots)}
    return t[:, None] * X, t[:, None] ** float(-p) * c, evidence


def choose_signs(system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]):
    """One sign pattern that the labels allow: the k samples with the largest signed multipliers stay or become positive."""
    assert system.labels is not None
    positive = int((system.labels > 0).sum())
    wanted = np.full(len(X), -1.0)
    wanted[np.argsort(-c[:, 0])[:positive]] = 1.0
    t = np.where(np.sign(c[:, 0]) == wanted, 1.0, -1.0)[:, None]
    return t * X, t * c


def _closure_roots(weight: float, margin: float, samples: int) -> list[float]:
    """All u > 0 with u = samples · weight · (1 + exp(u · margin)): scales at which the closure holds. None for a weight of zero."""
    level = samples * weight
    if level < LEAST:  # no multiplier of the logistic loss vanishes, and gaps below would underflow
        return []

    def gap(u: float) -> float:
        return u / (1 + np.exp(min(u * margin, 700.0))) - level

    if margin <= 0:
        high = 2 * level + 1.0
        while gap(high) < 0:
            high *= 2
        return [brentq(gap, 0.0, high, xtol=1e-300, rtol=1e-15)]
    peak = (1 + float(np.real(lambertw(np.exp(-1.0))))) / margin
    if gap(peak) < 0:
        return []
    high = 2 * peak
    while gap(high) > 0:
        high *= 2
    return [brentq(gap, lower, upper, xtol=1e-300, rtol=1e-15) for lower, upper in ((0.0, peak), (peak, high))]

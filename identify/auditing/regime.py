r"""The equation that the parameters solve: given, or inferred from the data.

At a stationary point of training :math:`\theta = \sum_i c_i \nabla f(x_i)` up to a factor, in both self-trained regimes. They differ in
the multipliers: with weight decay and the logistic loss :math:`\lambda_i \propto 1/(1 + e^{m_i})` for every sample of margin
:math:`m_i`; at maximal margin :math:`\lambda_i > 0` only if :math:`m_i` is smallest. Floating point, so no verdict rests on it.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls
from scipy.special import expit

from identify.auditing.reading import TELLING, Subject
from identify.base.errors import InputError, MissingArgumentError
from identify.base.limits import refuse_above
from identify.base.norms import size
from identify.conditions.diagnostics.quality import gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem

MUCH, ROUNDING = 2.0, 1e-8
"""Ratio to the least residual up to which another is hardly larger, and part of the target below which residuals are rounding errors."""
OPERATIONS_PER_SECOND = 2e9
FITS = 0.05
"""Largest misfit at which multipliers count as those of a regime."""


def closure_misfit(multipliers: Float[np.ndarray, " n"], margins: Float[np.ndarray, " n"]) -> float:
    """Distance of the multipliers from a multiple of 1/(1 + exp(margin)), from 0 to 1."""
    expected = expit(-margins)
    scale = float(multipliers @ expected) / max(float(expected @ expected), np.finfo(float).tiny)
    return size(multipliers - scale * expected) / (size(multipliers) or 1.0)


def slackness(multipliers: Float[np.ndarray, " n"], margins: Float[np.ndarray, " n"]) -> float:
    """Mean distance of the margins from the smallest one, relative to it, weighted by the multipliers; inf if it is not positive."""
    smallest = margins.min()
    if smallest <= 0 or not multipliers.any():
        return float("inf")
    return float(multipliers @ (margins / smallest - 1) / multipliers.sum())


def best_multipliers(system: KKTSystem, X: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"] | None, budget: float) -> np.ndarray:
    """c, shape (n,) or (n, C), with the least residual of (S), and with the signs of ``y`` if that hardly makes it larger.

    Cost O(equations · (n C)^2): a ValueError if the estimate exceeds ``budget`` (seconds). TooLargeError if the gradients of
    all samples would not fit in memory.
    """
    C = system.network.n_outputs
    seconds = float(system.n_equations) * (len(X) * C) ** 2 / OPERATIONS_PER_SECOND
    if seconds > budget:
        raise InputError(
            f"data: the best multipliers of {len(X)} samples take about {seconds:.2g} s, more than the budget; give fewer samples, "
            "their multipliers c, or a larger budget"
        )
    refuse_above(32 * system.n_equations * len(X) * C, f"gradients of {len(X)} samples")
    G = gradients(system, X)
    scales = np.abs(G).max(axis=0, initial=0)
    scales[scales == 0] = 1.0
    Q, R = np.linalg.qr(G / scales)
    t = Q.T @ system.target
    free = np.linalg.lstsq(R, t, rcond=None)[0]
    if C > 1:
        return (free / scales).reshape(len(X), C)
    if y is not None and set(np.unique(y)) <= {-1.0, 1.0}:
        with suppress(RuntimeError):  # the active-set iteration did not end
            signed, _ = nnls(R * y, t)
            least = max(size(R @ free - t), ROUNDING * size(t))
            if size(R @ (y * signed) - t) <= MUCH * least:
                free = y * signed
    return free / scales


def told(c: Float[np.ndarray, " n"], outputs: Float[np.ndarray, " n"]) -> tuple[str, dict[str, float]]:
    """The self-trained regime that multipliers of one output fit better, and both misfits."""
    margins, sizes = np.sign(c) * outputs, np.abs(c)
    kept = sizes > 0
    fits = {"weight-decay": closure_misfit(sizes[kept], margins[kept]), "max-margin": slackness(sizes[kept], margins[kept])}
    return min(fits, key=lambda name: fits[name]), fits


def how_told(fits: dict[str, float]) -> str:
    """How well the data distinguish the two regimes, in words."""
    if max(fits.values()) <= FITS:
        return "taken: both fit, and their equations are the same up to the scale of the multipliers"
    if min(fits.values()) > FITS:
        return "taken, with the smaller misfit: neither fits well"
    return "told from the data, which fit it alone"


def network_of(subject: Subject, layers: dict[str, np.ndarray], activation) -> TwoLayerNetwork:
    """The two layers; the bias of the output is left out."""
    a = layers["W2"]
    return TwoLayerNetwork(layers["W1"], a[0] if len(a) == 1 else a, activation, bias=layers.get("b1"))


def system_of(subject: Subject, regime: str, activation) -> KKTSystem:
    """The equations of a two-layer network, with this polynomial for its activation.

    In ``weight-decay`` without a known decay it is set to 1: multipliers are then those divided by it.
    """
    net = network_of(subject, subject.layers, activation)
    if regime == "lazy":
        assert subject.initial is not None
        return KKTSystem.lazy(network_of(subject, subject.initial, activation), net)
    if regime == "gradient":
        assert subject.gradient is not None
        W, bias, a = (None if (g := subject.gradient.get(name)) is None else -g for name in ("W1", "b1", "W2"))
        return KKTSystem.gradient(net, W=W, bias=bias, a=None if a is None else a.reshape(net.a.shape))
    if regime == "weight-decay":
        return KKTSystem.weight_decay(net, decay=subject.decay or 1.0)
    return KKTSystem.max_margin(net)


def unknown_regime(name: str) -> MissingArgumentError:
    """The error for weights without what tells their equation."""
    text = (
        "regime: weights alone do not tell which equation {model} solves; give {data} (the training data), {gradient}, {initial} (the "
        "network before training), or {regime} (weight-decay or max-margin)"
    )
    return MissingArgumentError(text, TELLING, model=name)

r"""Samples whose scale the updates do not show to working precision, although their error bars say so.

An analytic activation is nearly linear, or constant, for large arguments: GELU, SiLU, softplus and mish are z up to :math:`e^{-z}`, which
doubles do not see from z = 40 on. A network without biases then has nearly the same update for :math:`(t x, c / \varrho)` for all t from
some size on, or for all small t. A descent ends where the difference falls below rounding, anywhere in that valley, and the derivative
there is not that of the whole valley: error bars of first order are much too small. So each sample is compared with one of twice and of
half the size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from identify.problem.partial import has_unknown
from identify.problem.precision import SLACK, Precision
from identify.problem.signals import backward, forward
from identify.problem.system import KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.solution import Recovery

FACTORS = (2.0, 0.5)
"""Of the samples that are compared with those that were found."""
FIXED = 1e-3
"""Change of the logarithm of a multiplier above which it is open together with the scale of its sample, whatever the bars say."""
BARS = 12.0
"""Such a step is larger than so many error bars, or the bars say themselves that it might be taken; and of noise as many deviations."""
TINY = np.finfo(float).tiny


def without_open_scales(system: KKTSystem, recovery: Recovery) -> Recovery:
    """The same recovery with infinite error bars where the scale of a sample is open, and without support then. Cost: two passes."""
    if recovery.ambiguity.has_free_scale or not np.isfinite(recovery.X).all() or not np.isfinite(recovery.c).all():
        return recovery
    is_open = scales_are_open(system, recovery)
    if not is_open.any():
        return recovery
    bars = np.where(is_open, np.inf, recovery.error_bars)
    known = recovery.uniqueness
    if known.is_supported:
        numbers = {"samples": recovery.n_samples, "open_scales": int(is_open.sum())}
        known = Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.FREE, numbers=numbers)
    return replace(recovery, error_bars=bars, uniqueness=known)


def scales_are_open(system: KKTSystem, recovery: Recovery) -> Bool[np.ndarray, " n"]:
    """For each sample, whether a larger or smaller one has the same updates, up to noise, rounding and what the recovery misses itself."""
    X, c = recovery.X, recovery.c.reshape(recovery.n_samples, -1)
    known = recovery.evidence.get("precision", {})
    if "noise" in known and "allowed" in known:
        noise, most = float(known["noise"]), float(known["allowed"])
    else:
        precision = Precision.of(system)
        noise, most = precision.noise, precision.allowed
    missed = recovery.residual if SLACK * noise < recovery.residual <= most else 0.0  # beyond, samples are missing
    rounding = SLACK * max(missed, float(np.finfo(float).eps))
    with np.errstate(all="ignore"):
        claimed = np.linalg.norm(X, axis=1) > BARS * recovery.error_bars
        before = _passes(system, X, c)
        found = [_are_same(system, before, _passes(system, t * X, c), noise, rounding) for t in FACTORS]
        return np.any([same & (claimed | (np.abs(np.log(ratio)) > FIXED)) for same, ratio in found], axis=0)


def _are_same(
    system: KKTSystem,
    before: list[tuple[np.ndarray, np.ndarray]],
    after: list[tuple[np.ndarray, np.ndarray]],
    noise: float,
    rounding: float,
) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Whether the observed updates of samples are the same after other multipliers, which the last layer tells; and by which factor.

    Up to rounding, or to so many standard deviations of the noise as one direction has: noise fills all others as well.
    """

    n = len(before[0][0])
    top = max(k for k, update in enumerate(system.updates) if update.W is not None or update.bias is not None)
    ratio = _sizes(*after[top]) / _sizes(*before[top]) if system.updates[top].W is not None else np.ones(n)
    same = np.isfinite(ratio)

    def is_hidden(away: Float[np.ndarray, " n"], part: np.ndarray) -> Bool[np.ndarray, " n"]:
        return away <= max(rounding, BARS * noise / part.size**0.5) * _size_of_known(part)

    def differences() -> Iterator[tuple[Float[np.ndarray, " n"], np.ndarray]]:
        """What changes in each part of the target, and the part; the smaller parts first, as one of them is enough."""
        signals = [signal / ratio[:, None] for _, signal in after]
        for update, (_, u), signal in zip(system.updates, before, signals, strict=True):
            if update.bias is not None:
                yield np.linalg.norm(signal - u, axis=1), update.bias
        for update, (h, u), (further, _), signal in reversed(list(zip(system.updates, before, after, signals, strict=True))):
            if update.W is not None:
                along = (further * h).sum(axis=1, keepdims=True) / np.maximum((h**2).sum(axis=1, keepdims=True), TINY)
                yield _sizes(further - along * h, signal) + _sizes(h, along * signal - u), update.W

    for away, part in differences():
        if not same.any():
            break
        same &= is_hidden(away, part)
    return same, ratio


def _size_of_known(part: Float[np.ndarray, "..."]) -> float:
    """The norm of the entries that were observed."""
    return float(np.linalg.norm(np.nan_to_num(part) if has_unknown(part) else part))


def _passes(system: KKTSystem, X: np.ndarray, c: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each layer what enters it, and its signals."""
    net = system.network
    entering, before = forward(net.weights, net.biases, net.activations, X)
    return list(zip(entering, backward(net.weights, net.activations, before, c), strict=True))


def _sizes(h: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Of the products of these vectors, row by row."""
    return np.linalg.norm(h, axis=1) * np.linalg.norm(u, axis=1)

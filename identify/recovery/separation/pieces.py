r"""Samples of a piecewise-linear network from the slopes of all of them: everything else is linear.

With slopes and multipliers known, so are the signals up to scale, :math:`u_i \propto v_i`, and :math:`G = \sum_i u_i\tilde x_i^\top` gives
the inputs as rows of :math:`V^+G`. Their scales are fixed by the bias column, if it is observed. Otherwise slopes change where
:math:`t\,w_j\cdot x + b_j` meets a breakpoint, which leaves an interval for the scale t of each sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solve_triangular

from identify.recovery.separation.columns import LOUD, spreads
from identify.recovery.separation.quadrics import Pattern
from identify.recovery.separation.search import EVALUATION, SPARE
from identify.recovery.separation.subspace import ROUNDING, Subspace

ACCEPTED = 6.0
"""A signal is accepted if it misses the column space by at most so many times what noise leaves."""
ROUNDED = 1e-12
"""Relative distance from the column space that rounding explains."""
CLEAR = 20.0
"""The two values that a signal may have differ by more than so many times what noise explains, or it does not show the slope."""
ENTRIES = 2.0
"""Rounding of each entry of the update by whoever computed it, in units of rounding (measured)."""
COMPUTED = 10.0
"""Rounding of the factors here, in units of rounding of a usual entry (measured)."""
BESIDE = 12.0
"""Standard errors of a pre-activation within which its slope may be that of the other side of a breakpoint."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """All samples behind one update.

    Attributes
    ----------
    inputs
        With a last 1, if biases were observed.
    signals
        The sum of the products of both is the update.
    slopes
        Of every neuron at every sample.
    bars
        First-order standard errors of the inputs, in their units.
    misfits
        Distances of the signals from the column space relative to their sizes, in units of what noise explains.
    wrong
        Numbers of neurons whose slope at the sample is another one, breakpoints next to it apart: zero for a sample.
    beside
        Neurons for which it lies on the other side of a breakpoint within the error bars.
    intervals
        If the scale of a sample is open: how far it may be multiplied without changing a slope.
    """

    inputs: Float[np.ndarray, "n D"]
    signals: Float[np.ndarray, "n m"]
    slopes: Float[np.ndarray, "n m"]
    bars: Float[np.ndarray, " n"]
    misfits: Float[np.ndarray, " n"]
    wrong: list[int]
    beside: list[int]
    intervals: Float[np.ndarray, "n 2"]

    def __getitem__(self, chosen: Bool[np.ndarray, " n"]) -> Pieces:
        """These samples."""
        wrong, beside = ([own for own, take in zip(numbers, chosen, strict=True) if take] for numbers in (self.wrong, self.beside))
        inputs, signals, slopes = self.inputs[chosen], self.signals[chosen], self.slopes[chosen]
        return Pieces(inputs, signals, slopes, self.bars[chosen], self.misfits[chosen], wrong, beside, self.intervals[chosen])


@dataclass(frozen=True, eq=False)
class OneLayer:
    """An update of the first of two layers, with the network: what :func:`samples_of` needs."""

    update: Float[np.ndarray, "m D"]
    space: Subspace
    W: Float[np.ndarray, "m d"]
    bias: Float[np.ndarray, " m"]
    activation: Any
    """Piecewise linear for :func:`samples_of`."""
    output: Float[np.ndarray, "C m"]
    is_lifted: bool
    unit_roundoff: float = ROUNDING / 2

    @cached_property
    def spreads(self) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " D"]]:
        """Standard deviations of the noise in the entries of each row, and of each column."""
        return spreads(self.update, self.space)


def samples_of(layer: OneLayer, pattern: Pattern) -> Pieces | None:
    """The samples with these slopes; None if their signals are dependent. Cost O(n^2 m C)."""
    space, d = layer.space, layer.W.shape[1]
    y = space.left.T @ pattern.signals.T
    size = np.linalg.norm(pattern.signals, axis=1)
    if not np.isfinite(y).all() or not np.all(size > 0) or np.linalg.cond(y / size) > 1 / ROUNDING:
        return None
    # by orthogonal factors of the exact signals: the decomposition of the update adds its own rounding
    factor, triangle = np.linalg.qr(pattern.signals.T)
    dual = solve_triangular(triangle, factor.T)
    inputs, signals, slopes = solve_triangular(triangle, factor.T @ layer.update), pattern.signals.copy(), pattern.slopes.copy()
    outside = np.linalg.norm(pattern.signals.T - space.left @ y, axis=0)
    expected = np.hypot(_deviation(layer, y.T) * max(len(layer.W) - len(y), 1) ** 0.5, EVALUATION * layer.unit_roundoff * size)
    misfits = outside / np.maximum(ACCEPTED * expected, ROUNDED * size)
    spare = len(layer.W) - len(y)
    bars = _bars(layer, pattern, inputs, dual, (outside if spare >= SPARE else np.maximum(outside, expected)) / max(spare, 1) ** 0.5)
    # what the multipliers hide tells nothing of a slope
    back = np.abs(pattern.multipliers @ layer.output)
    shown = back * np.ptp([float(s) for s in layer.activation.slopes]) > CLEAR * expected[:, None] / len(layer.W) ** 0.5
    shown &= back > ROUNDED * back.max(axis=1, keepdims=True)
    intervals = np.ones((len(y), 2))
    opposite = bool(sum(layer.activation.slopes[:2]) == 0)
    wrong, beside = [], []
    widths = np.linalg.norm(layer.W, axis=1)
    breakpoints = np.array([float(p) for p in layer.activation.breakpoints])
    for i in range(len(y)):
        own, live, z = slopes[i], shown[i], layer.W @ inputs[i, :d]
        if layer.is_lifted:
            scale = float(inputs[i, -1])
        else:
            fits = [_interval(layer, z, sign * own, live) for sign in ((1, -1) if opposite else (1,))]
            low, high, _ = min(fits, key=lambda fit: fit[2])
            scale = 1 / _within(low, high, float(np.linalg.norm(inputs[i])))
            intervals[i] = sorted((low * scale, high * scale))
        with np.errstate(divide="ignore", invalid="ignore"):
            inputs[i], signals[i], z, bars[i] = inputs[i] / scale, signals[i] * scale, z / scale + layer.bias, bars[i] / abs(scale)
        there = layer.activation(z, order=1)
        if opposite and np.sum((there != own) & live) > np.sum((there != -own) & live):
            own *= -1
        other = (there != own) & live
        gap = np.abs(z[:, None] - breakpoints).min(axis=1)
        near = gap <= BESIDE * bars[i] / d**0.5 * widths + 64 * ROUNDING * (np.abs(z - layer.bias) + np.abs(layer.bias))
        wrong.append(int(np.sum(other & ~near)) if np.isfinite(z).all() else len(z))
        beside.append(int(np.sum(other & near)))
        own[~live] = there[~live]
    return Pieces(inputs, signals, slopes, bars, misfits, wrong, beside, intervals)


def _deviation(layer: OneLayer, y: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """Standard deviation of each entry of a signal with these coordinates outside the column space."""
    return np.linalg.norm((y / layer.space.values) @ (layer.space.right * layer.spreads[1]), axis=1)


def _bars(
    layer: OneLayer,
    pattern: Pattern,
    lifted: Float[np.ndarray, "n D"],
    rows: Float[np.ndarray, "n m"],
    deviation: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Standard errors of the inputs, still to be scaled: by the noise of the update, and by that of the multipliers of all samples.

    X = V^+ G, so noise E moves it by V^+ E, and errors of the signals by -V^+ dV X. ``deviation``: standard deviation of the entries of
    each signal outside the column space.
    """
    space, C, d = layer.space, len(layer.output), layer.W.shape[1]
    sizes = np.linalg.norm(layer.update, axis=1) / layer.update.shape[1] ** 0.5
    usual, spread = np.sqrt(np.mean(sizes**2)), layer.spreads[0]
    if np.sqrt(np.mean(spread**2)) < LOUD * ROUNDING * usual:  # that of the decomposition
        spread = ENTRIES * layer.unit_roundoff * sizes
    own = np.linalg.norm(rows * np.hypot(spread, COMPUTED * ROUNDING * usual), axis=1)
    if layer.is_lifted:
        scale = lifted[:, -1]
        points = lifted[:, :-1] / scale[:, None]
        variance = own**2 * (d + np.sum(points**2, axis=1))
        leverage = np.array([np.linalg.norm(point - points, axis=1) * abs(t) for point, t in zip(points, scale, strict=True)])
    else:
        variance = own**2 * d
        leverage = np.tile(np.linalg.norm(lifted, axis=1)[:, None], len(lifted))
    variance += np.linalg.norm(rows, axis=1) ** 2 * np.sum((leverage * deviation[:, None]) ** 2, axis=0)
    if C == 1:
        return np.sqrt(variance)
    for k, (slopes, multipliers) in enumerate(zip(pattern.slopes, pattern.multipliers, strict=True)):
        back = slopes[:, None] * layer.output.T
        outside = back - space.left @ (space.left.T @ back)
        # the scale of the multipliers does not count
        directions = np.linalg.svd(multipliers[None])[2][1:].T
        _, values, right = np.linalg.svd(outside @ directions, full_matrices=False)
        clear = values > 1e-12 * max(float(np.linalg.norm(back)), np.finfo(float).tiny)
        covariance = directions @ (right[clear].T / values[clear]) * deviation[k]
        variance += (np.linalg.norm(rows @ back @ covariance, axis=1) * leverage[k]) ** 2
    return np.sqrt(variance)


def _interval(
    layer: OneLayer, z: Float[np.ndarray, " m"], slopes: Float[np.ndarray, " m"], live: Bool[np.ndarray, " m"]
) -> tuple[float, float, int]:
    """The interval of scales t for which fewest slopes at t z + b are others than these, and how many: a sweep over all breakpoints."""
    chosen = live & (z != 0)
    z, b, slopes = z[chosen], layer.bias[chosen], slopes[chosen]
    events = np.sort((np.array([float(p) for p in layer.activation.breakpoints]) - b[:, None]) / z[:, None], axis=1)
    ends = np.abs(events).max(axis=1, keepdims=True) + 1
    probes = np.hstack([-ends, (events[:, 1:] + events[:, :-1]) / 2, ends])
    wrong = (layer.activation(probes * z[:, None] + b[:, None], order=1) != slopes[:, None]).astype(int)
    order = np.argsort(events, axis=None, kind="stable")
    at = np.concatenate([[-np.inf], events.reshape(-1)[order], [np.inf]])
    counts = wrong[:, 0].sum() + np.concatenate([[0], np.cumsum(np.diff(wrong, axis=1).reshape(-1)[order])])
    lengths = np.diff(at)
    counts = np.where(lengths > 0, counts, len(z) + 1)
    best = np.flatnonzero(counts == counts.min())
    k = int(best[np.argmax(lengths[best])])
    return float(at[k]), float(at[k + 1]), int(counts[k])


def _within(low: float, high: float, size: float) -> float:
    """A scale in an interval: that of a sample of length one, if it is there."""
    for one in (1 / size, -1 / size):
        if low < one < high:
            return one
    if high <= 0:
        return -_within(-high, -low, size)
    low = max(low, 0.0)
    return 2 * low if np.isinf(high) else high / 2 if low == 0 else float(np.sqrt(low * high))

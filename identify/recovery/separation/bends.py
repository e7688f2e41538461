"""Piecewise-linear activations without the kinks that stop a descent: rounded ones, and the lines of fixed pieces.

At a kink a descent stands still: the neuron is on the wrong side, and the cost does not know that the other side is better. Rounded kinks
show it from afar. Near the end the update itself says on which piece each neuron is: with the wrong one its row misses the signal of a
sample, which stands out of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit

from identify.problem.activation import PiecewiseLinear
from identify.recovery.separation.forward import Stack

SURE, MOSTLY, BESIDE = 16.0, 0.5, 0.1
"""The piece of a neuron is changed if its squared misfit falls by so many times the variance of the noise, and by this part of itself; and
if the pre-activation is so near to the kink, relative to the root mean square of all."""


@dataclass(frozen=True, eq=False)
class Rounded:
    r"""Each kink :math:`\max(0, z - t)` replaced by :math:`\tau\log(1 + e^{(z - t)/\tau})`."""

    sigma: PiecewiseLinear
    width: float

    def __call__(self, z: np.ndarray, order: int = 0) -> np.ndarray:
        slopes = np.array(self.sigma.slopes, dtype=float)
        out = np.full_like(z, slopes[0] if order == 1 else 0.0)
        if order == 0:
            out = slopes[0] * z + float(self.sigma.intercepts[0])
        for t, jump in zip(self.sigma.breakpoints, np.diff(slopes), strict=True):
            s = (z - float(t)) / self.width
            out += jump * (self.width * np.logaddexp(0, s), expit(s), expit(s) * expit(-s) / self.width)[order]
        return out


@dataclass(frozen=True, eq=False)
class Fixed:
    """The activation, but on the stated pieces where these are not negative, whatever the pre-activation."""

    sigma: PiecewiseLinear
    pieces: Int[np.ndarray, "n m"]

    def __call__(self, z: np.ndarray, order: int = 0) -> np.ndarray:
        if order == 2:
            return np.zeros_like(z)
        own = np.where(self.pieces >= 0, self.pieces, pieces(self.sigma, z))
        slopes, intercepts = (np.array(each, dtype=float)[own] for each in (self.sigma.slopes, self.sigma.intercepts))
        return slopes if order else slopes * z + intercepts


def pieces(sigma: PiecewiseLinear, z: Float[np.ndarray, "n m"]) -> Int[np.ndarray, "n m"]:
    """The piece of each pre-activation; at a breakpoint the one to its left."""
    return np.searchsorted(np.array(sigma.breakpoints, dtype=float), z)


def better_pieces(
    sigma: PiecewiseLinear,
    z: Float[np.ndarray, "n m"],
    fixed: Int[np.ndarray, "n m"],
    rest: Float[np.ndarray, "m D"],
    arriving: Float[np.ndarray, "n m"],
    entering: Float[np.ndarray, "n D"],
    variance: float,
) -> Int[np.ndarray, "n m"]:
    """``fixed`` with the one change that a row of one update asks for most; only pieces beside a near kink are taken.

    A change of slope by s makes the row of neuron j miss :math:`s\\,v_{ij}\\,\tilde h_i` less, v what arrives at it. ``variance``: of the
    noise of an entry. A change counts if it explains what noise does not, and most of what the row misses beyond noise.
    """
    slopes, kinks = np.array(sigma.slopes, dtype=float), np.array(sigma.breakpoints, dtype=float)
    now = np.where(fixed >= 0, fixed, pieces(sigma, z))
    near = BESIDE * np.sqrt(np.mean(z**2))
    sizes, along = np.sum(entering**2, axis=1), entering @ rest.T
    beyond = np.sum(rest**2, axis=1) - rest.shape[1] * variance
    least, out, best = np.maximum(MOSTLY * beyond, SURE * variance), fixed.copy(), 0.0
    for step in (-1, 1):
        other = np.clip(now + step, 0, len(slopes) - 1)
        kink = kinks[np.clip(np.minimum(now, other), 0, len(kinks) - 1)]
        moved = (slopes[other] - slopes[now]) * arriving
        gain = 2 * moved * along - moved**2 * sizes[:, None]
        gain[(np.abs(z - kink) > near) | (gain < least)] = 0.0
        i, j = np.unravel_index(gain.argmax(), gain.shape)
        if gain[i, j] > best:
            best, out = gain[i, j], fixed.copy()
            out[i, j] = other[i, j]
    return out


def with_activations(stack: Stack, activations: list) -> Stack:
    """The same network with other functions in its hidden layers."""
    return Stack([replace(layer, activation=own) for layer, own in zip(stack.layers, activations, strict=True)], stack.output)

r"""All samples on all observed layers at once: the last refinement, if the updates carry noise well above rounding.

Separation finds a sample by the row spaces of few layers. The least-squares solution of
:math:`G_l = \sum_i u_i^l (\tilde h_i^{l-1})^\top` for all observed layers and all samples together, each layer weighted by its noise, uses
everything that the updates say: tests/recovery/separation/test_jointly.py measures how much smaller its errors are.
Gauss-Newton steps by LSMR; a product with the Jacobian, or its transpose, is one more pass forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, lsmr

from identify.recovery.separation.forward import Stack

STEPS, ITERATIONS = 2, 100
ACCURACY = 1e-4
GAIN = 1e-3
"""Relative decrease of the squared residual below which the iteration stops."""
PROBES = 3
"""Draws of noise whose effect on the samples is averaged for error bars."""


@dataclass(frozen=True, eq=False)
class Observed:
    """The updates of the first layers, with bias columns if ``lifted``, and the standard deviation of the noise in each."""

    stack: Stack
    matrices: Sequence[Float[np.ndarray, "_ _"]]
    lifted: Sequence[bool]
    noise: Sequence[float]


@dataclass(frozen=True, eq=False)
class Passed:
    """One point (X, c), everything that passes through the network there, and the Jacobian of its weighted updates."""

    observed: Observed
    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, "n C"]

    @cached_property
    def forward(self) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """What enters each layer, and slopes and curvatures of each hidden layer."""
        entering, slopes, curvatures = [self.X], [], []
        for layer in self.observed.stack.layers:
            z = entering[-1] @ layer.W.T + layer.bias
            entering.append(layer.activation(z))
            slopes.append(layer.activation(z, order=1))
            curvatures.append(layer.activation(z, order=2))
        return entering, slopes, curvatures

    @cached_property
    def backward(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The signals of all layers, and what arrives at each hidden layer before its slopes."""
        signals, arriving = [self.c], []
        for k in range(len(self.weights) - 2, -1, -1):
            arriving.append(signals[-1] @ self.weights[k + 1])
            signals.append(self.forward[1][k] * arriving[-1])
        return signals[::-1], arriving[::-1]

    @cached_property
    def weights(self) -> list[Float[np.ndarray, "_ _"]]:
        return [*(layer.W for layer in self.observed.stack.layers), self.observed.stack.output]

    def _rows(self, products: list[np.ndarray], signals: list[np.ndarray]) -> np.ndarray:
        """Weighted updates as one vector, from the parts of the weights and the signals, whose sums are those of the biases."""
        out = []
        for product, u, lifted, noise in zip(products, signals, self.observed.lifted, self.observed.noise, strict=False):
            whole = np.hstack([product, u.sum(axis=0)[:, None]]) if lifted else product
            out.append(whole.reshape(-1) / noise)
        return np.concatenate(out)

    def missing(self) -> Float[np.ndarray, " equations"]:
        """What the point leaves of the weighted updates."""
        signals, _ = self.backward
        given = np.concatenate([m.reshape(-1) / s for m, s in zip(self.observed.matrices, self.observed.noise, strict=True)])
        return given - self._rows([u.T @ h for u, h in zip(signals, self.forward[0], strict=True)], signals)

    def times(self, dX: Float[np.ndarray, "n d"], dc: Float[np.ndarray, "n C"]) -> Float[np.ndarray, " equations"]:
        """The Jacobian times a change of the samples and multipliers."""
        (entering, slopes, curvatures), (signals, arriving) = self.forward, self.backward
        moved, bends = [dX], []
        for k, W in enumerate(self.weights[:-1]):
            dz = moved[-1] @ W.T
            moved.append(slopes[k] * dz)
            bends.append(curvatures[k] * dz)
        changed = [dc]
        for k in range(len(slopes) - 1, -1, -1):
            changed.append(slopes[k] * (changed[-1] @ self.weights[k + 1]) + bends[k] * arriving[k])
        changed.reverse()
        products = [du.T @ h + u.T @ dh for du, h, u, dh in zip(changed, entering, signals, moved, strict=True)]
        return self._rows(products, changed)

    def transposed(self, rows: Float[np.ndarray, " equations"]) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
        """The transposed Jacobian times weighted updates."""
        (entering, slopes, curvatures), (signals, arriving) = self.forward, self.backward
        by_signal, by_entering = [np.zeros_like(u) for u in signals], [np.zeros_like(h) for h in entering]
        start = 0
        for k, (matrix, lifted, noise) in enumerate(zip(self.observed.matrices, self.observed.lifted, self.observed.noise, strict=True)):
            part = rows[start : start + matrix.size].reshape(matrix.shape) / noise
            start += matrix.size
            by_weights = part[:, :-1] if lifted else part
            by_signal[k] += entering[k] @ by_weights.T + (part[:, -1] if lifted else 0.0)
            by_entering[k] += signals[k] @ by_weights
        by_pre_activation = []
        for k in range(len(slopes)):
            by_pre_activation.append(by_signal[k] * curvatures[k] * arriving[k])
            by_signal[k + 1] += (by_signal[k] * slopes[k]) @ self.weights[k + 1].T
        for k in range(len(slopes) - 1, -1, -1):
            by_entering[k] += (by_pre_activation[k] + by_entering[k + 1] * slopes[k]) @ self.weights[k]
        return by_entering[0], by_signal[-1]

    def scales(self) -> tuple[Float[np.ndarray, "n 1"], Float[np.ndarray, "n 1"]]:
        """Sizes of the columns of the Jacobian for each sample, about: to make unknowns alike for LSMR."""
        signals, entering = self.backward[0], self.forward[0]
        own = np.linalg.norm(signals[0], axis=1) / self.observed.noise[0]
        last = len(self.observed.matrices) - 1
        ratio = np.linalg.norm(signals[last], axis=1) / np.maximum(np.linalg.norm(self.c, axis=1), np.finfo(float).tiny)
        other = np.linalg.norm(entering[last], axis=1) * ratio / self.observed.noise[last]
        return own[:, None], other[:, None]

    def solve(
        self, rows: Float[np.ndarray, " equations"], accuracy: float = ACCURACY
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
        """The change that explains weighted updates best."""
        (n, d), (own, other) = self.X.shape, self.scales()
        tiny = np.finfo(float).tiny
        own, other = np.maximum(own, tiny), np.maximum(other, tiny)

        def apart(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return v[: n * d].reshape(n, d) / own, v[n * d :].reshape(n, -1) / other

        def back(rows: np.ndarray) -> np.ndarray:
            dX, dc = self.transposed(rows)
            return np.concatenate([(dX / own).reshape(-1), (dc / other).reshape(-1)])

        shape = (len(rows), self.X.size + self.c.size)
        operator = LinearOperator(shape, matvec=lambda v: self.times(*apart(v)), rmatvec=back, dtype=float)
        return apart(lsmr(operator, rows, atol=accuracy, btol=accuracy, conlim=0, maxiter=ITERATIONS)[0])


def jointly(
    observed: Observed,
    X: Float[np.ndarray, "n d"],
    c: Float[np.ndarray, "n C"],
    rng: np.random.Generator,
    go_on: Callable[[], bool] = lambda: True,
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], Float[np.ndarray, " n"] | None]:
    """Refine samples and multipliers; returns them with the standard errors of the samples, or None for these if nothing was gained.

    Errors are the root mean square of what draws of the noise do to the solution, to first order. Cost: some hundred passes forward and
    backward through the network with all samples.
    """
    at = Passed(observed, X, c)
    rest = at.missing()
    cost, moved = float(rest @ rest), False
    for _ in range(STEPS):
        if not go_on():
            break
        dX, dc = at.solve(rest)
        trial = Passed(observed, at.X + dX, at.c + dc)
        left = trial.missing()
        if not left @ left < cost:
            break
        gain = 1 - float(left @ left) / cost
        at, rest, cost, moved = trial, left, float(left @ left), True
        if gain < GAIN:
            break
    if not moved or not go_on():
        return X, c, None
    draws = [at.solve(rng.standard_normal(len(rest)))[0] for _ in range(PROBES)]
    return at.X, at.c, np.sqrt(np.mean([np.sum(draw**2, axis=1) for draw in draws], axis=0))

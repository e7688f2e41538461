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
import scipy
from jaxtyping import Float

from identify.recovery.separation.forward import Stack
from identify.recovery.separation.reduced import Coordinates, Point, normal_equations

STEPS, ITERATIONS = 12, 100
ACCURACY = 1e-4
HALVINGS = 3
"""Times that a step which makes the misfit larger is halved."""
GAIN = 1e-3
"""Relative decrease of the squared residual below which the iteration stops."""
FIRST_DAMPING, MOST_DAMPING, FLOOR = 1e-3, 1e8, 1e-9
"""Of steps from rough starts, relative to the diagonal; the last is added to it, relative to its largest entry."""
SLOW, PATIENCE = 1e-3, 8
"""They end after so many steps in a row of which each gains less than this share of the squared residual."""
MOST_LOST = 0.5
"""Share of the noise that a fit is taken to have removed, at most."""
PROBES = 6
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

    @property
    def before(self) -> list[np.ndarray]:
        """Pre-activations of the hidden layers."""
        return [h @ layer.W.T + layer.bias for h, layer in zip(self.forward[0], self.observed.stack.layers, strict=False)]

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

    @cached_property
    def basis(self) -> Float[np.ndarray, "r d"]:
        """Of the span of the samples: orthonormal rows."""
        return np.linalg.svd(self.X, full_matrices=False)[2]

    @cached_property
    def normal_equations(self) -> Float[np.ndarray, "k k"]:
        """Those of changes in the span of the samples, and of the multipliers."""
        (entering, slopes, curvatures), (signals, arriving) = self.forward, self.backward
        point = Point(self.weights, entering, signals, slopes, curvatures, arriving)
        return normal_equations(point, self.basis, self.observed.lifted, self.observed.noise)

    @cached_property
    def coordinates(self) -> Coordinates:
        """In which the problem is well conditioned."""
        return Coordinates.of(self.basis, self.normal_equations, self.backward[0][0] / self.observed.noise[0], self.c.shape[1])

    def solve(
        self, rows: Float[np.ndarray, " equations"], accuracy: float = ACCURACY
    ) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
        """The change that explains weighted updates best."""
        own = self.coordinates
        operator = scipy.sparse.linalg.LinearOperator(
            (len(rows), own.size),
            matvec=lambda v: self.times(*own.change(v.reshape(-1))),
            rmatvec=lambda v: own.transposed(*self.transposed(v.reshape(-1))),
            dtype=float,
        )
        return own.change(scipy.sparse.linalg.lsmr(operator, rows, atol=accuracy, btol=accuracy, conlim=0, maxiter=ITERATIONS)[0])


def jointly(
    observed: Observed,
    X: Float[np.ndarray, "n d"],
    c: Float[np.ndarray, "n C"],
    rng: np.random.Generator,
    go_on: Callable[[], bool] = lambda: True,
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], Float[np.ndarray, " n"] | None]:
    """Refine samples and multipliers; returns them with the standard errors of the samples, or None for these if nothing was gained.

    Errors are the root mean square of what the residual does to the solution, to first order, with signs drawn for its entries: so noise
    may differ from entry to entry, as that of rounding does. Cost: some hundred passes forward and backward through the network with all
    samples.
    """
    at, moved = refined(observed, X, c, go_on)
    if not moved or not go_on():
        return X, c, None
    return at.X, at.c, bars(at, rng)


def refined(
    observed: Observed, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"], go_on: Callable[[], bool] = lambda: True
) -> tuple[Passed, bool]:
    """Where Gauss-Newton steps in all unknowns end, and whether any was taken."""
    at = Passed(observed, X, c)
    rest = at.missing()
    cost, moved = float(rest @ rest), False
    for _ in range(STEPS):
        if not go_on():
            break
        dX, dc = at.solve(rest)
        for halving in range(HALVINGS + 1):
            trial = Passed(observed, at.X + dX / 2**halving, at.c + dc / 2**halving)
            left = trial.missing()
            if left @ left < cost:
                break
        else:
            break
        gain = 1 - float(left @ left) / cost
        at, rest, cost, moved = trial, left, float(left @ left), True
        if gain < GAIN:
            break
    return at, moved


def bars(at: Passed, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
    """Standard errors of the samples by draws of the noise: the residual itself, with signs drawn for its entries."""
    rest = at.missing()
    lost = min((at.X.size + at.c.size) / max(int(np.count_nonzero(rest)), 1), MOST_LOST)  # what the fit took out of the noise
    draws = [at.solve(rest * rng.choice([-1.0, 1.0], len(rest)))[0] for _ in range(PROBES)]
    return np.sqrt(np.mean([np.sum(draw**2, axis=1) for draw in draws], axis=0) / (1 - lost))


def approached(
    observed: Observed,
    X: Float[np.ndarray, "n d"],
    c: Float[np.ndarray, "n C"],
    go_on: Callable[[], bool] = lambda: True,
    patience: int = PATIENCE,
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
    """All samples together from rough starts, each as a combination of them: Levenberg-Marquardt on the small normal equations."""
    at = Passed(observed, X, c)
    rest = at.missing()
    cost, damping, waited = float(rest @ rest), FIRST_DAMPING, 0
    while waited < patience and damping < MOST_DAMPING and go_on():
        basis = at.basis
        matrix = at.normal_equations
        dX, dc = at.transposed(rest)
        gradient = np.concatenate([dX @ basis.T, dc], axis=1).reshape(-1)
        diagonal = np.diag(matrix)
        while damping < MOST_DAMPING:
            step = np.linalg.solve(matrix + damping * np.diag(diagonal + FLOOR * diagonal.max()), gradient).reshape(len(X), -1)
            r = len(basis)
            trial = Passed(observed, at.X + step[:, :r] @ basis, at.c + step[:, r:])
            left = trial.missing()
            if left @ left < cost:
                break
            damping *= 4
        else:
            break
        gain = 1 - float(left @ left) / cost
        waited = waited + 1 if gain < SLOW else 0
        at, rest, cost, damping = trial, left, float(left @ left), damping / 3
    return at.X, at.c

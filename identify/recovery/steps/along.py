r"""The path taken as known: every row of the second layer's change is a combination of hidden activations averaged along it.

With signals :math:`u_{ik}(t)` (times learning rate) of neuron k for sample i, row k of the change is

.. math:: \Delta_k = \sum_i v_{ik}\, \bar h_{ik}, \qquad v_{ik} = \sum_t u_{ik}(t), \quad
          \bar h_{ik} = \sum_t \frac{u_{ik}(t)}{v_{ik}}\, \tilde h(W_1(t) x_i + b_1(t)) .

The totals :math:`v` are eliminated (variable projection, Golub & Pereyra 1973). The rest depends on the data through the hidden
activations, which are continuous where slopes jump, and on the path and the profiles :math:`u/v` only to second order in the drift. So
Gauss-Newton steps for the data, with path and profiles taken from the present data, and then new ones, contract. A neuron of the second
layer whose slope is wrong spoils its own row only. Such rows are outliers, as are neurons of the first layer on the wrong side of a kink:
equations are weighted as for a Cauchy distribution (Holland & Welsch 1977).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from identify.recovery.steps.training import Path, Training

INNER = 3
"""Gauss-Newton steps for one path."""
CAUCHY = 3.0
"""Equations that miss by so many times the median count half."""
LEAST_WIDTH = 1e-12
"""Of the same, relative to the largest that is missed."""
FEWEST_ROWS, OPERATIONS = 48, 2e10
"""Rows of the second layer that are used at least; and operations of a step that are spent on more."""
SILENT = 1e-3
"""Share of the usual signal: neurons with less in total are silent, and have the profile of their sample."""
RIDGE = 1e-10


@dataclass(frozen=True, eq=False)
class Along:
    """The equations for one path."""

    training: Training
    path: Path
    rows: Int[np.ndarray, " K"]
    profiles: Float[np.ndarray, "T n K"]

    @classmethod
    def of(cls, training: Training, path: Path, effects: Float[np.ndarray, " T"], rng: np.random.Generator) -> Along:
        """``effects``: of a gradient of each step on the final network."""
        change = training.after[1] - training.before[1] * training.system.kept(training.n)
        wanted = max(FEWEST_ROWS, int(OPERATIONS / (2 * change.shape[1] * training.n_coordinates**2)))
        sizes = np.linalg.norm(change, axis=1)
        live = np.flatnonzero(sizes > SILENT * sizes.max(initial=0.0))
        rows = np.sort(rng.choice(live, min(wanted, len(live)), replace=False))
        u = path.signals[:, :, rows] * effects[:, None, None]
        size, total = np.abs(u), u.sum(axis=0)
        usual = size.mean(axis=2)
        mean = usual / np.maximum(usual.sum(axis=0), np.finfo(float).tiny)
        speaks = np.abs(total) > SILENT * size.mean() * len(u)
        profiles = np.where(speaks, u / np.where(speaks, total, 1.0), mean[:, :, None])
        return cls(training, path, rows, profiles)

    def solve(self, eta: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n r"]:
        """Coordinates after Gauss-Newton steps; not finite if the path runs away from the data."""
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(INNER):
                eta = eta + self._step(eta) @ self.training.basis.T
        return eta

    def _step(self, eta: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n unknowns"]:
        training, (n, q) = self.training, (len(eta), self.training.basis.shape[1])
        sigma, offset = training.system.initial.activations[0], training.offsets[0]
        Z = np.einsum("ir,tmr->tim", eta, self.path.first) + (0.0 if offset is None else offset)
        H, slopes, directions = sigma(Z), sigma(Z, order=1), self.path.first @ training.basis
        m = H.shape[2]
        lifted = np.concatenate([H, np.ones((*H.shape[:2], 1))], axis=2) if training.lifted[1] else H
        change = training.after[1] - training.before[1] * training.system.kept(n)
        bars = np.einsum("tik,tim->kim", self.profiles, lifted, optimize=True)
        grams = bars @ bars.transpose(0, 2, 1)
        grams += (RIDGE * np.trace(grams, axis1=1, axis2=2)[:, None, None] / n + np.finfo(float).tiny) * np.eye(n)  # of silent samples 0
        targets = change[self.rows]
        totals = np.linalg.solve(grams, (bars @ targets[:, :, None]))[:, :, 0]
        missing = targets - np.einsum("ki,kim->km", totals, bars)
        weights = cauchy(missing)
        matrix, gradient = np.zeros((n * q, n * q)), np.zeros(n * q)
        for k in range(len(self.rows)):
            moved = np.einsum("tim,tmq->miq", totals[k][None, :, None] * self.profiles[:, :, k, None] * slopes, directions, optimize=True)
            moved = np.concatenate([moved.reshape(m, n * q), np.zeros((1, n * q))]) if training.lifted[1] else moved.reshape(m, n * q)
            moved -= bars[k].T @ np.linalg.solve(grams[k], bars[k] @ moved)
            weighted = moved * weights[k][:, None]
            matrix += weighted.T @ moved
            gradient += weighted.T @ missing[k]
        matrix[np.diag_indices(n * q)] *= 1 + RIDGE
        matrix[np.diag_indices(n * q)] += np.finfo(float).tiny
        return np.linalg.solve(matrix, gradient).reshape(n, q)


def cauchy(missing: Float[np.ndarray, "*shape"], scale: float | np.ndarray | None = None) -> Float[np.ndarray, "*shape"]:
    """Weights of equations by what they miss; ``scale``: what they usually miss, else the median."""
    size = np.abs(missing)
    usual = np.median(size) if scale is None else scale
    with np.errstate(over="ignore"):  # of no weight
        return 1 / (1 + (size / width(usual, size)) ** 2)


def width(usual: float | np.ndarray, size: Float[np.ndarray, "*shape"]) -> float | np.ndarray:
    """Half the width of the distribution; equations that are solved exactly have that of rounding."""
    return np.maximum(CAUCHY * usual, LEAST_WIDTH * float(size.max(initial=0.0)) + np.finfo(float).tiny)


def effects(training: Training) -> Float[np.ndarray, " T"]:
    """The change of the final parameters by a unit of gradient at each step, relative to the learning rate."""
    system, T = training.system, training.n_steps
    return np.array([-system.outcome(T, 0.0, pushed=t) / (system.learning_rate or 1.0) for t in range(T)])

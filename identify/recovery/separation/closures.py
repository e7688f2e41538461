r"""Multipliers that a loss gives, and signals that follow from them.

At a stationary point of mean loss + (decay/2)·‖θ‖² the multipliers of a sample are :math:`\gamma = -\partial\ell(f(x), y)/\partial f / n`,
so its signal in the first of two layers, :math:`g(x, y) = (A^\top\gamma)\circ\sigma'(Wx + b)`, is a function of its inputs and its label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, softmax

from identify.recovery.separation.forward import Activation, Chart


@dataclass(frozen=True)
class Closure:
    """The loss with classes for labels, numbered from 0: softmax cross-entropy, or of one output the logistic loss with two classes.

    ``weight``: that of one sample in the target, 1/n in the units of the loss.
    """

    outputs: int
    weight: float

    @property
    def loss(self) -> str:
        return "softmax" if self.outputs > 1 else "logistic"

    @property
    def classes(self) -> int:
        return max(self.outputs, 2)

    def labels(self, f: Float[np.ndarray, "starts C"]) -> Int[np.ndarray, " starts"]:
        """The likeliest ones."""
        return f.argmax(axis=1) if self.outputs > 1 else (f[:, 0] > 0).astype(int)

    def multipliers(self, f: Float[np.ndarray, "starts C"], labels: Int[np.ndarray, " starts"]) -> Float[np.ndarray, "starts C"]:
        if self.outputs == 1:
            signs = 2.0 * labels[:, None] - 1
            return self.weight * signs * expit(-signs * f)
        return self.weight * (np.eye(self.outputs)[labels] - softmax(f, axis=1))

    def tangent(self, f: Float[np.ndarray, "starts C"], moves: Float[np.ndarray, "starts C k"]) -> Float[np.ndarray, "starts C k"]:
        """How the multipliers change when the outputs do; the labels do not matter."""
        if self.outputs == 1:
            return -self.weight * (expit(f) * expit(-f))[:, :, None] * moves
        p = softmax(f, axis=1)[:, :, None]
        return -self.weight * p * (moves - (p * moves).sum(axis=1, keepdims=True))


def labels_of(points: Float[np.ndarray, "starts unknowns"]) -> Int[np.ndarray, " starts"]:
    """The last coordinates; of points that left the range of doubles, and have no cost, the first label."""
    return np.nan_to_num(points[:, -1], nan=0.0, posinf=0.0, neginf=0.0).round().astype(int)


@dataclass(frozen=True, eq=False)
class ClosedColumns:
    r"""The vectors :math:`g(x, y)` and :math:`(\tilde x^\top G^+ g, 1)` of a batch of points: images in the sense of
    :mod:`~identify.recovery.separation.membership`.

    A point is that of a chart, followed by its label, which no step changes. The first vector of a sample is in the column space of the
    update G, and both entries of the second are 1.
    """

    chart: Chart
    bias: Float[np.ndarray, " C"]
    output: Float[np.ndarray, "C m"]
    activation: Activation
    closure: Closure
    inverse: Float[np.ndarray, "n m"]
    """Of the update, in coordinates of its row space."""

    def values(self, points: np.ndarray) -> list[np.ndarray]:
        z, _, _, back = self.parts(points)
        g = back * self.activation(z, order=1)
        share = np.einsum("sn,sn->s", self.chart.coordinates(points[:, :-1]), g @ self.inverse.T)
        return [g, np.column_stack([share, np.ones(len(g))])]

    def jacobians(self, points: np.ndarray) -> list[np.ndarray]:
        z, slopes, f, back = self.parts(points)
        g = back * slopes
        moves = self.closure.tangent(f, np.matmul(self.output, slopes[:, :, None] * self.chart.slopes))
        J = np.zeros((*g.shape, points.shape[1]))
        J[:, :, :-1] = (back * self.activation(z, order=2))[:, :, None] * self.chart.slopes
        J[:, :, :-1] += slopes[:, :, None] * np.matmul(self.output.T, moves)
        share = np.zeros((len(g), 2, points.shape[1]))
        share[:, 0, :-1] = (g @ self.inverse.T) @ self.chart.basis
        eta = self.chart.coordinates(points[:, :-1])
        share[:, 0] += np.einsum("sm,smk->sk", eta @ self.inverse, J)
        return [J, share]

    def gauge(self, points: np.ndarray) -> np.ndarray:
        """The labels."""
        direction = np.zeros_like(points)
        direction[:, -1] = 1.0
        return direction

    def outputs(self, coordinates: Float[np.ndarray, "starts unknowns"]) -> Float[np.ndarray, "starts C"]:
        """Of the network, at points without their labels."""
        return self.activation(self.chart.offset + coordinates @ self.chart.slopes.T) @ self.output.T + self.bias

    def parts(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(z, sigma'(z), f, A^T gamma)."""
        z = self.chart.offset + points[:, :-1] @ self.chart.slopes.T
        f = self.activation(z) @ self.output.T + self.bias
        return z, self.activation(z, order=1), f, self.closure.multipliers(f, labels_of(points)) @ self.output

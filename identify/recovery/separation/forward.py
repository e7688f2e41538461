r"""Forward separation: the hidden activations of every sample lie in the row space of the next layer's update.

Let two dense layers or more be observed, :math:`G_l = \sum_i u_i^l (\tilde h_i^{l-1})^\top`, with rank n from the second on. Then every
sample
of every data set with these updates satisfies, for each such layer,

.. math:: \tilde h^{l-1}(x) \in \operatorname{row}(G_l), \qquad \tilde x \in \operatorname{row}(G_1) \text{ if that has rank n as well,}

where :math:`h^{l}` is the network's own map and :math:`\tilde h = (h, 1)` if the biases of layer l are observed. These are
:math:`m_{l-1} + 1 - n` equations in the unknowns of *one* sample: its n coordinates in the row space of :math:`G_1`, less one if these are
normalised by the bias, or its d inputs.

A known sample's signals follow from the same updates. Its slopes :math:`D_l = \operatorname{diag}\sigma'(z^l)` are known in *every* layer,
observed or not, so with its multipliers :math:`\gamma` (C numbers for C outputs)

.. math:: u^l = D_l W_{l+1}^\top D_{l+1} \cdots W_L^\top \gamma \in \operatorname{col}(G_l) \qquad \text{for every observed layer } l,

linear equations in :math:`\gamma` with a kernel of dimension one, unless the network does not tell the sample from a mixture of others:
samples with the same slopes in every neuron of every layer (for ReLU: the same activation pattern) enter all updates through their span
alone. A point that is not a sample has no solution, although its hidden activations may be combinations of those of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from scipy.linalg import qr

from identify.recovery.separation.subspace import ROUNDING, Subspace

TOLD_APART, APART = 3.0, 1e-12
"""Signals are determined if the second smallest singular value of their equations is more than the first times the smallest, and more than
the second relative to the largest."""

Activation = Callable[..., np.ndarray]
"""``sigma(z, order=k)``: the k-th derivative at every entry."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A hidden layer of a network."""

    W: Float[np.ndarray, "m d"]
    bias: Float[np.ndarray, " m"]
    activation: Activation


@dataclass(frozen=True, eq=False)
class Stack:
    """All hidden layers of a network, and the weights of its output layer."""

    layers: Sequence[Layer]
    output: Float[np.ndarray, "C m"]

    def backward(self, slopes: Sequence[Float[np.ndarray, " _"]], down_to: int) -> Float[np.ndarray, "_ C"]:
        """How the signal of the layer with this index, from 0, depends on the multipliers, for one sample with these slopes."""
        through = np.eye(len(self.output))
        for k in range(len(self.layers), down_to, -1):
            through = self.down(through, slopes, k - 1)
        return through

    def down(self, signals: Float[np.ndarray, "_ q"], slopes: Sequence[Float[np.ndarray, " _"]], k: int) -> Float[np.ndarray, "_ q"]:
        """Signals of the hidden layer with index k from those of the layer after it."""
        W = self.output if k + 1 == len(self.layers) else self.layers[k + 1].W
        return slopes[k][:, None] * (W.T @ signals)


@dataclass(frozen=True, eq=False)
class Chart:
    r"""Unknowns of one sample: :math:`\eta = \eta_0 + N t`, first pre-activations :math:`z_0 + B t`.

    ``origin`` and ``basis`` hold :math:`\eta_0` and the columns of N; coordinates :math:`\eta` are those in the row space of the first
    update,
    or the inputs themselves.
    """

    origin: Float[np.ndarray, " r"]
    basis: Float[np.ndarray, "r unknowns"]
    offset: Float[np.ndarray, " m"]
    slopes: Float[np.ndarray, "m unknowns"]

    @classmethod
    def of(cls, map: Float[np.ndarray, "m r"], bias: Float[np.ndarray, " m"], origin: np.ndarray, basis: np.ndarray) -> Chart:
        return cls(origin, basis, bias + map @ origin, map @ basis)

    def coordinates(self, points: Float[np.ndarray, "starts unknowns"]) -> Float[np.ndarray, "starts r"]:
        return self.origin + points @ self.basis.T

    def points(self, coordinates: Float[np.ndarray, "starts r"]) -> Float[np.ndarray, "starts unknowns"]:
        return (coordinates - self.origin) @ self.basis


@dataclass(frozen=True, eq=False)
class HiddenActivations:
    """The vectors :math:`\\tilde h^1, \\tilde h^2, \\dots` of a batch of points in a chart (an :class:`Images`)."""

    layers: Sequence[Layer]
    chart: Chart
    lifted: Sequence[bool]
    """For each layer, whether the update of the next one has a bias column, so that a 1 is appended."""

    def values(self, points: np.ndarray) -> list[np.ndarray]:
        return self.of_passed(self.passed(points))

    def of_passed(self, passed: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        """The vectors, from what :meth:`passed` gives."""
        pairs = zip(passed, self.lifted, strict=True)
        return [np.concatenate([h, np.ones((len(h), 1))], axis=1) if lifted else h for (_, h), lifted in pairs]

    def passed(self, points: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The pre-activations and activations of each layer."""
        out: list[tuple[np.ndarray, np.ndarray]] = []
        for layer in self.layers:
            z = out[-1][1] @ layer.W.T + layer.bias if out else self.chart.offset + points @ self.chart.slopes.T
            out.append((z, layer.activation(z)))
        return out

    def slopes(self, points: np.ndarray) -> list[np.ndarray]:
        """sigma'(z^l), one array (starts, m_l) for each layer."""
        return [layer.activation(z, order=1) for layer, (z, _) in zip(self.layers, self.passed(points), strict=True)]

    def jacobians(self, points: np.ndarray) -> list[np.ndarray]:
        return self.jacobians_along(self.slopes(points))

    def jacobians_along(self, slopes: Sequence[Float[np.ndarray, "starts _"]]) -> list[np.ndarray]:
        """The derivatives if the activations have these slopes."""
        J, out = self.chart.slopes, []
        for k, (layer, slope) in enumerate(zip(self.layers, slopes, strict=True)):
            J = slope[:, :, None] * (layer.W @ J if k else J)
            out.append(J)
        return out

    @cached_property
    def single(self) -> list[Float32[np.ndarray, "_ _"]]:
        """How each layer depends on the one before, or on the unknowns, in single precision."""
        return [part.astype(np.float32) for part in (self.chart.slopes, *(layer.W for layer in self.layers[1:]))]

    def tangent(self, points: np.ndarray) -> HiddenTangent:
        return self.tangent_along(self.slopes(points))

    def tangent_along(self, slopes: Sequence[Float[np.ndarray, "starts _"]]) -> HiddenTangent:
        """The same as :meth:`jacobians_along`, as a map."""
        return HiddenTangent(self.single, [slope.astype(np.float32) for slope in slopes])


@dataclass(frozen=True, eq=False)
class HiddenTangent:
    """Jacobians of hidden activations as maps (a :class:`~identify.recovery.separation.products.Tangent`)."""

    weights: Sequence[Float32[Any, "_ _"]]
    slopes: Sequence[Float32[Any, "starts _"]]

    def times(self, moves: Float32[Any, "starts unknowns"]) -> list[Any]:
        out = [moves]
        for W, slope in zip(self.weights, self.slopes, strict=True):
            out.append((out[-1] @ W.T) * slope)
        return out[1:]

    def transposed(self, parts: Sequence[Any]) -> Float32[Any, "starts unknowns"]:
        back: Any = 0.0  # also where JAX traces it
        for W, slope, part in zip(reversed(self.weights), reversed(self.slopes), reversed(parts), strict=True):
            back = ((back + part) * slope) @ W
        return back


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals of one known sample, in coordinates of the column spaces, layer by layer, and how well they are determined."""

    coordinates: list[Float[np.ndarray, " _"]]
    multipliers: Float[np.ndarray, " C"]
    """Of the same scale as the coordinates, which is arbitrary."""
    misfits: Float[np.ndarray, " layers"]
    """For each layer, how far its signal is from the column space, relative to its size: zero for a sample, up to rounding."""
    kernel: tuple[float, float]
    """The two smallest singular values of the equations relative to the largest: one at rounding, the next well above."""
    group: Float[np.ndarray, "_ freedom"]
    """Coordinates of all signals in the kernel, orthonormal: one column if they are determined."""


def signals(stack: Stack, slopes: Sequence[Float[np.ndarray, " _"]], subspaces: Sequence[Subspace], complete: Sequence[bool]) -> Signals:
    r"""The signals of a known sample from its slopes :math:`\sigma'(z^l)` in all hidden layers.

    Parameters
    ----------
    stack, slopes
        The network, and the sample's slopes in each hidden layer.
    subspaces
        Of the updates of the first layers.
    complete
        Which of them have as many triples as there are samples, so that every signal lies in the column space.

    Notes
    -----
    Cost O(m q (n + q)) for each layer, q the number of outputs, or of samples, if this is less.
    """
    top = len(subspaces) - 1
    last = subspaces[top]
    through = stack.backward(slopes, top)
    is_finite = bool(np.isfinite(through).all())  # else the point lies beyond what the activation maps to doubles
    left, values, right = np.linalg.svd(through if is_finite else np.zeros_like(through), full_matrices=False)
    kept = values > values[0] * len(left) * ROUNDING
    if not kept.any():  # no neuron passes anything on
        none = [np.zeros(len(space.values)) for space in subspaces]
        return Signals(none, np.zeros(through.shape[1]), np.full(len(subspaces), np.inf), (0.0, 0.0), np.zeros((len(last.values), 0)))
    reached = left[:, kept]
    if reached.shape[1] <= len(last.values):
        V, equations = reached, []
    else:
        V = last.left
        equations = [V - reached @ (reached.T @ V)]
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for k in range(top, -1, -1):
        if k < top:
            V = stack.down(V, slopes, k)
        else:
            start = V
        within = subspaces[k].left.T @ V
        parts.append((V, within))
        if complete[k]:
            equations.append(V - subspaces[k].left @ within)
    triangle = qr(np.vstack(equations), mode="r", check_finite=False)[0][: V.shape[1]]
    _, singular, rows = np.linalg.svd(triangle)
    y = rows[-1]
    size = max(singular[0], np.linalg.norm(V))
    kernel = (float(singular[-1] / size), float(singular[-2] / size) if len(singular) > 1 else 1.0)
    freedom = int(np.sum(singular <= size * max(TOLD_APART * kernel[0], APART)))
    own = [(V @ y, w @ y) for V, w in reversed(parts)]
    misfits = [np.linalg.norm(u - space.left @ c) / np.linalg.norm(u) for (u, c), space in zip(own, subspaces, strict=True)]
    multipliers = right[kept].T @ ((reached.T @ (start @ y)) / values[kept])
    return Signals(
        [c for _, c in own],
        multipliers,
        np.array(misfits) * np.array(complete),
        kernel,
        last.left.T @ (start @ rows[len(rows) - freedom :].T),
    )

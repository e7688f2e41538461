r"""Forward separation: the hidden activations of every sample lie in the row space of the next layer's update.

Let two dense layers or more be observed, :math:`G_l = \sum_i u_i^l (\tilde h_i^{l-1})^\top`, with rank n from the second on. Then every
sample
of every data set with these updates satisfies, for each such layer,

.. math:: \tilde h^{l-1}(x) \in \operatorname{row}(G_l), \qquad \tilde x \in \operatorname{row}(G_1) \text{ if that has rank n as well,}

where :math:`h^{l}` is the network's own map and :math:`\tilde h = (h, 1)` if the biases of layer l are observed. These are
:math:`m_{l-1} + 1 - n` equations in the unknowns of *one* sample: its n coordinates in the row space of :math:`G_1`, less one if these are
normalised by the bias, or its d inputs.

A known sample's signals follow from the same updates: with :math:`D_l = \operatorname{diag}\sigma'(z^l)` they are

.. math:: u^{L} = U_L y, \qquad u^{l} = D_l W_{l+1}^\top u^{l+1} \in \operatorname{col}(G_l),

linear equations in y with a kernel of dimension one, unless these layers do not tell the sample from a mixture of others: samples with the
same slopes in every neuron that was used (for ReLU: the same activation pattern) enter these updates through their span alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr

from identify.recovery.separation.subspace import Subspace, complement

Activation = Callable[..., np.ndarray]
"""``sigma(z, order=k)``: the k-th derivative at every entry."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A hidden layer of a network."""

    W: Float[np.ndarray, "m d"]
    bias: Float[np.ndarray, " m"]
    activation: Activation


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
        pairs = zip(self._passed(points), self.lifted, strict=True)
        return [np.concatenate([h, np.ones((len(h), 1))], axis=1) if lifted else h for (_, h), lifted in pairs]

    def _passed(self, points: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """(z^l, h^l) for each layer."""
        out: list[tuple[np.ndarray, np.ndarray]] = []
        for layer in self.layers:
            z = out[-1][1] @ layer.W.T + layer.bias if out else self.chart.offset + points @ self.chart.slopes.T
            out.append((z, layer.activation(z)))
        return out

    def slopes(self, points: np.ndarray) -> list[np.ndarray]:
        """sigma'(z^l), one array (starts, m_l) for each layer."""
        return [layer.activation(z, order=1) for layer, (z, _) in zip(self.layers, self._passed(points), strict=True)]

    def jacobians(self, points: np.ndarray) -> list[np.ndarray]:
        J, out = self.chart.slopes, []
        for k, (layer, slope) in enumerate(zip(self.layers, self.slopes(points), strict=True)):
            J = slope[:, :, None] * (layer.W @ J if k else J)
            out.append(J)
        return out


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals of one known sample, in coordinates of the column spaces, layer by layer, and how well they are determined.

    ``kernel`` holds the smallest singular values of the equations for them relative to the largest: one at rounding, the next well above.
    """

    coordinates: list[Float[np.ndarray, " n"]]
    kernel: tuple[float, float]


def signals(
    layers: Sequence[Layer], slopes: Sequence[Float[np.ndarray, " m"]], subspaces: Sequence[Subspace], W_next: Float[np.ndarray, "k m"]
) -> Signals:
    r"""The signals of a known sample from its slopes :math:`\sigma'(z^l)`.

    Parameters
    ----------
    layers, slopes
        The hidden layers that were used, and the sample's slopes in each.
    subspaces
        Of the updates of these layers and of the next: one more than layers.
    W_next
        Weights of that next layer.

    Notes
    -----
    Cost O(m n k) for k samples that are not known yet: the signal lies in what they leave of the last column space.
    """
    last = subspaces[-1]
    inner = complement(last.signals_avoid)
    V = last.left @ inner.T
    parts, equations = [], []
    for k in range(len(layers) - 1, -1, -1):
        W = W_next if k == len(layers) - 1 else layers[k + 1].W
        V = slopes[k][:, None] * (W.T @ V)
        within = subspaces[k].left.T @ V
        parts.append(within)
        equations.append(V - subspaces[k].left @ within)
    triangle = qr(np.vstack(equations), mode="r", check_finite=False)[0][: V.shape[1]]
    _, values, right = np.linalg.svd(triangle)
    y = right[-1]
    size = max(values[0], np.linalg.norm(V))
    kernel = (float(values[-1] / size), float(values[-2] / size) if len(values) > 1 else 1.0)
    return Signals([*(within @ y for within in reversed(parts)), inner.T @ y], kernel)

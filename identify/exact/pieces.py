r"""On which piece of a piecewise-linear activation each sample is at each neuron: exactly, in every hidden layer.

Weights and samples are taken as the exact numbers that they are. A float with a bound on its error tells the piece of nearly every
pre-activation; those that it leaves open are computed as fractions. So a sample that lies exactly on a kink is known to lie there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float, Int

from identify.base.limits import refuse_when_spent
from identify.exact.enclosures import UNIT, Enclosure
from identify.problem.activation import Activation, PiecewiseLinear


@dataclass(frozen=True, eq=False)
class Pieces:
    """For each hidden layer, by sample and neuron.

    Attributes
    ----------
    index
        The number of the piece, from 0; of a sample on a kink, the one to its left.
    on_kink
        Whether the pre-activation is exactly a breakpoint, the one to the right of that piece.
    """

    activations: tuple[PiecewiseLinear, ...]
    index: tuple[Int[np.ndarray, "n _"], ...]
    on_kink: tuple[Bool[np.ndarray, "n _"], ...]

    @property
    def kinks(self) -> int:
        """How many pre-activations lie exactly on a kink."""
        return sum(int(own.sum()) for own in self.on_kink)

    def codes(self, layer: int) -> Int[np.ndarray, "n m"]:
        """Positions in :meth:`table`: of a sample on a kink, the position of the stated slope."""
        return np.where(self.on_kink[layer], len(self.activations[layer].slopes) + self.index[layer], self.index[layer])

    def table(self, layer: int) -> tuple[Fraction, ...]:
        """The slopes of a hidden layer (from 0), then those stated at its kinks."""
        return (*self.activations[layer].slopes, *self.activations[layer].kinks)

    def slopes(self, layer: int) -> np.ndarray:
        """σ' at each sample and neuron of a hidden layer, as fractions: on a kink the stated one."""
        return np.array(self.table(layer), dtype=object)[self.codes(layer)]

    def regions(self) -> Int[np.ndarray, " n"]:
        """A number for each sample: equal for samples on the same pieces in every layer, off the kinks; own ones for those on a kink."""
        key = np.hstack(self.index)
        _, group = np.unique(key, axis=0, return_inverse=True)
        on = np.hstack(self.on_kink).any(axis=1)
        return np.where(on, len(key) + np.arange(len(key)), group.reshape(-1))


def pieces_of(
    weights: Sequence[np.ndarray], biases: Sequence[np.ndarray | None], activations: Sequence[Activation], X: Float[np.ndarray, "n d"]
) -> Pieces:
    """The pieces in as many hidden layers as activations are passed, all piecewise-linear. Cost of a forward pass with error bounds."""
    exact = _Fractions(list(weights), list(biases), [], [], X)
    h, found, kinks = Enclosure.of(X), [], []
    for layer, sigma in enumerate(activations):
        assert isinstance(sigma, PiecewiseLinear)
        z = h.dot(weights[layer].T)
        bias = biases[layer]
        if bias is not None:
            z = z.plus(Enclosure.of(np.broadcast_to(bias, z.mid.shape)))
        index, on_kink = _located(sigma, z, layer, exact)
        found.append(index)
        kinks.append(on_kink)
        exact.activations.append(sigma)
        exact.index.append(index)
        h = on_pieces(sigma, z, index, 0)
    return Pieces(tuple(exact.activations), tuple(found), tuple(kinks))


def pieces_within(sigma: PiecewiseLinear, z: Enclosure) -> tuple[Int[np.ndarray, "*shape"], Bool[np.ndarray, "*shape"]]:
    """The piece of each interval, and whether the interval touches a kink, so that the piece is not certain."""
    points = [float(t) for t in sigma.breakpoints]
    slack = [abs(t) * UNIT for t in points]  # of a breakpoint that is no float
    low = sum((z.mid - z.rad > t + more for t, more in zip(points, slack, strict=True)), np.zeros(z.mid.shape, int))
    high = sum((z.mid + z.rad >= t - more for t, more in zip(points, slack, strict=True)), np.zeros(z.mid.shape, int))
    return np.asarray(low), (low != high) | ~np.isfinite(z.rad)


def on_pieces(sigma: PiecewiseLinear, z: Enclosure, index: Int[np.ndarray, "*shape"], order: int) -> Enclosure:
    """Values or slopes of intervals that lie on these pieces."""
    slopes = _rounded(sigma.slopes, index)
    return slopes if order == 1 else slopes.times(z).plus(_rounded(sigma.intercepts, index))


def _located(sigma: PiecewiseLinear, z: Enclosure, layer: int, exact: _Fractions) -> tuple[np.ndarray, np.ndarray]:
    index, unclear = pieces_within(sigma, z)
    on_kink = np.zeros(z.mid.shape, bool)
    for i, j in np.argwhere(unclear):
        refuse_when_spent("exact signs")
        value = exact.product(layer, int(i), int(j))
        index[i, j] = sum(t < value for t in sigma.breakpoints)
        on_kink[i, j] = value in sigma.breakpoints
    return index, on_kink


def _rounded(values: Sequence[Fraction], index: np.ndarray) -> Enclosure:
    floats = np.array([float(value) for value in values])
    error = np.array([0.0 if Fraction(f) == v else abs(f) * UNIT for f, v in zip(floats.tolist(), values, strict=True)])
    return Enclosure(floats[index], error[index])


@dataclass(eq=False)
class _Fractions:
    """The network over the rationals, evaluated where floats leave a sign open."""

    weights: list[np.ndarray]
    biases: list[np.ndarray | None]
    activations: list[PiecewiseLinear]
    index: list[np.ndarray]
    X: np.ndarray
    known: dict[tuple[int, int], list[Fraction]] = field(default_factory=dict)

    def product(self, layer: int, i: int, j: int) -> Fraction:
        """The pre-activation of sample i at neuron j."""
        entering, bias = self.entering(layer, i), self.biases[layer]
        row = self.weights[layer][j]
        start = Fraction(0) if bias is None else Fraction(float(bias[j]))
        return sum((Fraction(float(w)) * h for w, h in zip(row, entering, strict=True) if w and h), start)

    def entering(self, layer: int, i: int) -> list[Fraction]:
        """What enters a layer at sample i."""
        if (layer, i) not in self.known:
            if layer == 0:
                values = [Fraction(float(value)) for value in self.X[i]]
            else:
                sigma, index = self.activations[layer - 1], self.index[layer - 1][i]
                values = []
                for j, k in enumerate(index.tolist()):
                    refuse_when_spent("exact signs")
                    slope = sigma.slopes[k]
                    values.append((slope * self.product(layer - 1, i, j) if slope else Fraction(0)) + sigma.intercepts[k])
            self.known[layer, i] = values
        return self.known[layer, i]

r"""One pass through a network of any depth in two arithmetics: residues modulo a prime, and intervals.

Piecewise-linear and polynomial networks have exact values modulo a prime, once the piece of each pre-activation is known
(:mod:`identify.exact.pieces`). Analytic ones have enclosures. Both know products with the given weights, products and sums entry by
entry, and the activation with its derivatives; that is all that the equations (S) and their derivatives need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol, runtime_checkable

import numpy as np

from identify.exact.enclosures import Enclosure, has_full_column_rank
from identify.exact.modular import multiply, rank_up_to, residue, residues
from identify.exact.pieces import Pieces, on_pieces, pieces_within
from identify.problem.activation import Activation, PiecewiseLinear, horner
from identify.problem.network import Network

MOST_KEPT = 2**23
"""Entries of matrices whose residues are kept: 64 MiB."""


@runtime_checkable
class Ring(Protocol):
    """Arithmetic with matrices. Values are arrays of residues, or enclosures."""

    def read(self, values: np.ndarray) -> Any:
        """Floats as numbers of the ring."""

    def dot(self, A: Any, matrix: np.ndarray) -> Any:
        """The product with a matrix of floats on the right."""

    def times(self, A: Any, B: Any) -> Any: ...

    def plus(self, A: Any, B: Any) -> Any: ...

    def activation(self, layer: int, z: Any, order: int) -> Any:
        """σ of a hidden layer (from 0), or a derivative, entry by entry of all samples."""

    def is_full(self, A: Any) -> bool:
        """Whether the columns are proved to be independent."""


@dataclass(frozen=True, eq=False)
class Modular:
    """Residues modulo the prime q. Those of the matrices of a network are kept: both passes, and every condition, multiply with them."""

    q: int
    activations: Sequence[Activation]
    pieces: Pieces | None
    kept: dict[tuple, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)
    """By address, shape and strides: the floats, which are held so that the address stays theirs, and their residues."""

    def read(self, values: np.ndarray) -> np.ndarray:
        return residues(values, self.q)

    def dot(self, A: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        flat = multiply(A.reshape(-1, A.shape[-1]), self.of_weights(matrix), self.q)
        return flat.reshape(*A.shape[:-1], matrix.shape[1])

    def of_weights(self, matrix: np.ndarray) -> np.ndarray:
        """The residues of a matrix of floats, or of its transpose, which are computed once."""
        if not matrix.flags.c_contiguous and matrix.flags.f_contiguous:
            return self.of_weights(matrix.T).T
        key = (matrix.__array_interface__["data"][0], matrix.shape, matrix.strides)
        if key not in self.kept:
            found = residues(np.ascontiguousarray(matrix), self.q)
            if matrix.size + sum(floats.size for floats, _ in self.kept.values()) > MOST_KEPT:
                return found
            self.kept[key] = matrix, found
        return self.kept[key][1]

    def times(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        return A * B % self.q

    def plus(self, A: np.ndarray, B: np.ndarray) -> np.ndarray:
        return (A + B) % self.q

    def activation(self, layer: int, z: np.ndarray, order: int) -> np.ndarray:
        sigma = self.activations[layer]
        if not isinstance(sigma, PiecewiseLinear):
            coefficients = [residue(s, self.q) for s in sigma.derivative(order)]
            return horner(coefficients, z, lambda value: value % self.q)
        assert self.pieces is not None
        if order > 1:
            return np.zeros_like(z)
        if order:
            return self.slopes(layer)
        index = self.pieces.index[layer]  # on a kink the value is that of either side
        return (self._table(sigma.slopes)[index] * z + self._table(sigma.intercepts)[index]) % self.q

    def slopes(self, layer: int) -> np.ndarray:
        """Those of a piecewise-linear layer, which its pieces alone say."""
        assert self.pieces is not None
        return self._table(self.pieces.table(layer))[self.pieces.codes(layer)]

    def _table(self, values: Sequence[Fraction]) -> np.ndarray:
        return np.array([residue(value, self.q) for value in values], dtype=np.int64)

    def is_full(self, A: np.ndarray) -> bool:
        rows, columns = A.shape
        return columns <= rows and rank_up_to(A, self.q, columns, np.random.default_rng(rows)) == columns

    def second_signals(self, net: Network, c: np.ndarray) -> np.ndarray:
        """u^2 of a piecewise-linear network: the pieces say the slopes, so that there is no forward pass."""
        second = self.read(c)
        for layer in range(net.depth - 2, 0, -1):
            second = self.times(self.dot(second, net.weights[layer + 1]), self.slopes(layer))
        return second

    def at_neurons(self, net: Network, X: np.ndarray, c: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of a piecewise-linear network: features and signals of some neurons of the first layer, and the signals of the second.

        The pieces say the slopes, so that there is no pass through the deeper layers. Cost: n times these neurons, and the weights
        behind the second layer.
        """
        assert self.pieces is not None
        sigma, bias, index = self.activations[0], net.biases[0], self.pieces.index[0][:, chosen]
        assert isinstance(sigma, PiecewiseLinear)
        z = self.dot(self.read(X), net.weights[0][chosen].T)
        if bias is not None:
            z = self.plus(z, self.read(bias[chosen]))
        features = (self._table(sigma.slopes)[index] * z + self._table(sigma.intercepts)[index]) % self.q
        second = self.second_signals(net, c)
        codes = self.pieces.codes(0)[:, chosen]
        first = self.times(self.dot(second, net.weights[1][:, chosen]), self._table(self.pieces.table(0))[codes])
        return features, first, second


@dataclass(frozen=True, eq=False)
class Intervals:
    """Enclosures."""

    activations: Sequence[Activation]

    def read(self, values: np.ndarray) -> Enclosure:
        return Enclosure.of(values)

    def dot(self, A: Enclosure, matrix: np.ndarray) -> Enclosure:
        shape = A.mid.shape
        return A.reshape(-1, shape[-1]).dot(matrix).reshape(*shape[:-1], matrix.shape[1])

    def times(self, A: Enclosure, B: Enclosure) -> Enclosure:
        return A.times(B)

    def plus(self, A: Enclosure, B: Enclosure) -> Enclosure:
        return A.plus(B)

    def activation(self, layer: int, z: Enclosure, order: int) -> Enclosure:
        sigma = self.activations[layer]
        if isinstance(sigma, PiecewiseLinear) and order < 2:
            index, unclear = pieces_within(sigma, z)
            found = on_pieces(sigma, z, index, order)
            if unclear.any():
                some = Enclosure(z.mid[unclear], z.rad[unclear]).apply(sigma, order)
                mid, rad = found.mid.copy(), found.rad.copy()
                mid[unclear], rad[unclear] = some
                return Enclosure(mid, rad)
            return found
        return z.apply(sigma, order)

    def is_full(self, A: Enclosure) -> bool:
        return has_full_column_rank(A)


@dataclass(frozen=True, eq=False)
class Passes:
    """What two passes leave: by layer, one row for each sample.

    Attributes
    ----------
    entering
        h^0 = x, h^1, ...: what enters each layer.
    signals
        u^1, ..., u^L.
    weighted
        W_(l+1)ᵀ u^(l+1) for each hidden layer: signals before the slopes.
    slopes, before
        σ'(z) and z of each hidden layer.
    """

    ring: Ring
    entering: list[Any]
    signals: list[Any]
    weighted: list[Any]
    slopes: list[Any]
    before: list[Any]


def passes(ring: Ring, net: Network, X: Any, c: Any) -> Passes:
    """Forward and backward in the ring, from floats or from numbers of the ring.

    Cost O(n · number of weights), and two evaluations of every activation.
    """
    X, c = (ring.read(values) if isinstance(values, np.ndarray) else values for values in (X, c))
    n = len(X.mid if isinstance(X, Enclosure) else X)
    entering, before, slopes = [X], [], []
    for k, (W, b) in enumerate(zip(net.weights[:-1], net.biases[:-1], strict=True)):
        z = ring.dot(entering[-1], W.T)
        if b is not None:
            z = ring.plus(z, ring.read(np.broadcast_to(b, (n, len(b)))))
        before.append(z)
        entering.append(ring.activation(k, z, 0))
        slopes.append(ring.activation(k, z, 1))
    signals, weighted = [c], []
    for W, slope in zip(reversed(net.weights[1:]), reversed(slopes), strict=True):
        weighted.append(ring.dot(signals[-1], W))
        signals.append(ring.times(weighted[-1], slope))
    return Passes(ring, entering, signals[::-1], weighted[::-1], slopes, before)


def shaped(values: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Numbers of a ring in another shape or order."""
    return Enclosure(change(values.mid), change(values.rad)) if isinstance(values, Enclosure) else change(values)


def concatenated(parts: Sequence[Any], axis: int = -1) -> Any:
    """Arrays of a ring, one after the other."""
    if isinstance(parts[0], Enclosure):
        return Enclosure(*(np.concatenate([part[k] for part in parts], axis=axis) for k in range(2)))
    return np.concatenate(parts, axis=axis)


def sample_of(values: Any, i: int) -> Any:
    """One row."""
    return shaped(values, lambda part: part[i])

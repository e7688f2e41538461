"""On which piece of its activation each sample is at each neuron: in balls, and in rationals where balls leave it open.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from flint import arb, arb_mat, fmpq

from identify.checker.networks.activations import Piecewise, as_rational
from identify.checker.reading import need_small
from identify.checker.watch import watch

MAX_RATIONAL = 10**7
"""Products of rationals, at most."""
Net = tuple[list[list[list[float]]], list[list[float] | None]]


class Place(NamedTuple):
    """A piece, from 0; on a kink, the piece to its left."""

    piece: int
    on_kink: bool


def places(net: Net, activations: Sequence[Piecewise], X: list[list[float]]) -> list[list[list[Place]]]:
    """For as many hidden layers as activations are passed: by sample, by neuron."""
    exact = _Rationals(net, activations, X)
    h = [[arb(v) for v in x] for x in X]
    for layer, sigma in enumerate(activations):
        watch().look()
        W, b = net[0][layer], net[1][layer]
        z = (arb_mat(h) * arb_mat([[arb(v) for v in row] for row in W]).transpose()).table()
        if b is not None:
            z = [[value + beta for value, beta in zip(row, b, strict=True)] for row in z]
        found = [[_placed(sigma, value, exact, layer, i, j) for j, value in enumerate(row)] for i, row in enumerate(z)]
        exact.found.append(found)
        slopes, starts = [arb(as_rational(s)) for s in sigma.slopes], [arb(as_rational(t)) for t in sigma.intercepts]
        h = [
            [slopes[at.piece] * value + starts[at.piece] for at, value in zip(places, row, strict=True)]
            for places, row in zip(found, z, strict=True)
        ]
    return exact.found


def _placed(sigma: Piecewise, z: arb, exact: _Rationals, layer: int, i: int, j: int) -> Place:
    piece = 0
    for t in sigma.breakpoints:
        point = arb(as_rational(t))
        if z > point:
            piece += 1
        elif not z < point:
            value = exact.before(layer, i, j)
            return Place(sigma.piece(value), any(as_rational(t) == value for t in sigma.breakpoints))
    return Place(piece, False)


class _Rationals:
    """The network over the rationals, if it is needed."""

    def __init__(self, net: Net, activations: Sequence[Piecewise], X: list[list[float]]):
        self.net, self.activations, self.X, self.spent = net, activations, X, 0
        self.found: list[list[list[Place]]] = []
        self.known: dict[tuple[int, int], list[fmpq]] = {}

    def before(self, layer: int, i: int, j: int) -> fmpq:
        """The pre-activation of a sample at a neuron."""
        entering, bias = self.entering(layer, i), self.net[1][layer]
        self.spent += len(entering)
        need_small(self.spent <= MAX_RATIONAL, "a network with this many pre-activations near kinks is too large")
        value = rational(bias[j]) if bias is not None else fmpq(0)
        for w, v in zip(self.net[0][layer][j], entering, strict=True):
            if w and v:
                value += rational(w) * v
        return value

    def entering(self, layer: int, i: int) -> list[fmpq]:
        """What enters a layer at a sample."""
        if (layer, i) not in self.known:
            if layer == 0:
                values = [rational(v) for v in self.X[i]]
            else:
                sigma, values = self.activations[layer - 1], []
                slopes, starts = [as_rational(s) for s in sigma.slopes], [as_rational(t) for t in sigma.intercepts]
                for j, at in enumerate(self.found[layer - 1][i]):
                    watch().look()
                    slope = slopes[at.piece]
                    values.append((slope * self.before(layer - 1, i, j) if slope else fmpq(0)) + starts[at.piece])
            self.known[layer, i] = values
        return self.known[layer, i]


def rational(value: float) -> fmpq:
    """A double as the rational number that it is."""
    return fmpq(*value.as_integer_ratio())


def slope_at(sigma: Piecewise, at: Place) -> Any:
    """The slope there; on a kink the stated one."""
    return sigma.kinks[at.piece] if at.on_kink else sigma.slopes[at.piece]

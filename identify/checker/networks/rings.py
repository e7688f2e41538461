r"""A network and its updates in two arithmetics, residues modulo a prime and balls: what enters each layer, its signals, and tangents.

:math:`h^0 = x`, :math:`z^l = W_l h^{l-1} + b_l`, :math:`h^l = \sigma(z^l)`; :math:`u^L = \gamma`,
:math:`u^l = \sigma'(z^l) \odot W_{l+1}^\top u^{l+1}`. The update of layer l is :math:`\sum_i u_i^l (h_i^{l-1})^\top`.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from flint import arb, arb_mat, nmod, nmod_mat

from identify.checker.matrices import residue
from identify.checker.networks.activations import Activation, Piecewise, as_rational
from identify.checker.networks.pieces import Place, slope_at
from identify.checker.reading import Unclear, need

Rows = list[list[Any]]
SPREAD = 64
"""Random functionals have integers from -64 to 64."""


class Residues:
    """Modulo the prime q: polynomials, and piecewise-linear functions on known pieces."""

    def __init__(self, q: int, activations: Sequence[Activation], places: list[list[list[Place]]] | None):
        self.q, self.activations, self.places = q, activations, places

    def number(self, value: float | int) -> Any:
        return nmod(residue(value, self.q), self.q)

    def fraction(self, value: Fraction) -> Any:
        need(value.denominator % self.q, f"point: {self.q} divides a denominator of an activation")
        return nmod(value.numerator % self.q * pow(value.denominator, -1, self.q) % self.q, self.q)

    def matrix(self, rows: Rows) -> Any:
        return nmod_mat(len(rows), len(rows[0]) if rows else 0, [int(v) for row in rows for v in row], self.q)

    def derivatives(self, layer: int, i: int, j: int, z: Any) -> list[Any]:
        sigma = self.activations[layer]
        if not isinstance(sigma, Piecewise):
            return sigma.derivatives(z, self.fraction)
        assert self.places is not None
        at = self.places[layer][i][j]
        slopes, starts, stated = self._lines[layer]
        slope = slopes[at.piece]
        return [slope * z + starts[at.piece], stated[at.piece] if at.on_kink else slope, nmod(0, self.q)]

    @cached_property
    def _lines(self) -> list[tuple[list[Any], list[Any], list[Any]]]:
        """Slopes, intercepts and stated slopes of each layer, where all are piecewise-linear."""

        def read(values: Sequence[Fraction]) -> list[Any]:
            return [self.fraction(value) for value in values]

        return [(read(s.slopes), read(s.intercepts), read(s.kinks)) for s in self.activations if isinstance(s, Piecewise)]

    def rank(self, rows: Rows) -> int:
        return int(self.matrix(rows).rank())

    def is_full(self, rows: Rows, seed: int = 0) -> bool:
        """Whether the columns are independent."""
        return len(rows) >= len(rows[0]) and self.rank(rows) == len(rows[0])


class Balls:
    """Enclosures of real numbers, at the working precision of the moment."""

    def __init__(self, activations: Sequence[Activation]):
        self.activations = activations

    def number(self, value: float) -> Any:
        return arb(value)

    def fraction(self, value: Fraction) -> Any:
        return arb(as_rational(value))

    def matrix(self, rows: Rows) -> Any:
        return arb_mat(rows)

    def derivatives(self, layer: int, i: int, j: int, z: Any) -> list[Any]:
        sigma = self.activations[layer]
        if not isinstance(sigma, Piecewise):
            return sigma.derivatives(z, self.fraction)
        points = [arb(as_rational(t)) for t in sigma.breakpoints]
        if not all(z > t or z < t for t in points):
            raise Unclear(f"sample {i} may lie on a kink of layer {layer + 1}")
        piece = sum(bool(z > t) for t in points)
        slope = self.fraction(slope_at(sigma, Place(piece, False)))
        return [slope * z + self.fraction(sigma.intercepts[piece]), slope, arb(0)]

    def is_full(self, rows: Rows, seed: int = 0) -> bool:
        """Whether the columns are proved to be independent: as many random combinations of the rows are a regular matrix."""
        columns = len(rows[0])
        if len(rows) < columns:
            return False
        square = arb_mat(rows)
        if len(rows) > columns:
            draw = random.Random(seed)
            square = arb_mat([[draw.randint(-SPREAD, SPREAD) for _ in rows] for _ in range(columns)]) * square
        try:
            square.inv()
        except ZeroDivisionError:
            return False
        return True


Ring = Residues | Balls


@dataclass
class Passes:
    """By layer, one row for each sample."""

    ring: Ring
    weights: list[Any]
    """Matrices of the ring."""
    entering: list[Rows]
    before: list[Rows]
    slopes: list[Rows]
    bends: list[Rows]
    weighted: list[Rows]
    """The transposed weights times the signals of the next layer, for each hidden layer."""
    signals: list[Rows]


def passes(ring: Ring, weights: list[Rows], biases: list[list[Any] | None], X: Rows, c: Rows) -> Passes:
    """Of numbers that the ring reads."""
    matrices = [ring.matrix([[ring.number(v) for v in row] for row in W]) for W in weights]
    entering = [[[ring.number(v) for v in x] for x in X]]
    before, slopes, bends = list[Rows](), list[Rows](), list[Rows]()
    for layer, (W, b) in enumerate(zip(matrices[:-1], biases[:-1], strict=True)):
        z = (ring.matrix(entering[-1]) * W.transpose()).table()
        if b is not None:
            offsets = [ring.number(v) for v in b]
            z = [[value + offset for value, offset in zip(row, offsets, strict=True)] for row in z]
        at = [[ring.derivatives(layer, i, j, value) for j, value in enumerate(row)] for i, row in enumerate(z)]
        before.append(z)
        for order, kept in enumerate((entering, slopes, bends)):
            kept.append([[values[order] for values in row] for row in at])
    signals, weighted = [[[ring.number(v) for v in gamma] for gamma in c]], []
    for W, slope in zip(matrices[:0:-1], slopes[::-1], strict=True):
        weighted.append((ring.matrix(signals[-1]) * W).table())
        signals.append(times(weighted[-1], slope))
    return Passes(ring, matrices, entering, before, slopes, bends, weighted[::-1], signals[::-1])


def times(left: Rows, right: Rows) -> Rows:
    """Entry by entry."""
    return [[u * v for u, v in zip(a, b, strict=True)] for a, b in zip(left, right, strict=True)]


def transposed(rows: Rows) -> Rows:
    return [list(column) for column in zip(*rows, strict=True)]

r"""On which piece of a piecewise-linear activation each sample is at each neuron: exactly, in every hidden layer.

Weights and samples are taken as the exact numbers that they are. A float with a bound on its error tells the piece of nearly every
pre-activation; those that it leaves open are computed as fractions. So a sample that lies exactly on a kink is known to lie there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from identify.base.limits import refuse_when_spent
from identify.base.norms import row_sizes
from identify.base.rows import equal_rows
from identify.exact.enclosures import SAFETY, TINY, UNIT, Enclosure, enclosed
from identify.problem.activation import Activation, PiecewiseLinear
from identify.problem.signals import Forward

AT_ONCE = 4096
"""Entries that are enclosed more closely at once."""


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
        _, group = equal_rows(np.hstack(self.index))
        on = np.hstack(self.on_kink).any(axis=1)
        return np.where(on, len(group) + np.arange(len(group)), group)


def pieces_of(
    weights: Sequence[np.ndarray],
    biases: Sequence[np.ndarray | None],
    activations: Sequence[Activation],
    X: Float[np.ndarray, "n d"],
    passed: Forward | None = None,
) -> Pieces:
    """The pieces in as many hidden layers as activations are passed, all piecewise-linear.

    Cost of a forward pass in floats, which may be given: its error is bounded by the inequality of Cauchy and Schwarz, from the lengths of
    the rows alone. Entries that this leaves open are enclosed more closely, then computed as fractions.
    """
    exact = _Fractions(list(weights), list(biases), [], [], X)
    found, kinks = [], []
    h, error = X, start_of_errors(X)
    for layer, sigma in enumerate(activations):
        assert isinstance(sigma, PiecewiseLinear)
        W, bias = weights[layer], biases[layer]
        if passed is None:
            z = h @ W.T if bias is None else h @ W.T + bias
        else:
            h, z = passed.entering[layer], passed.before[layer]
        before = error.before(h, W, z)

        def closer(i: np.ndarray, j: np.ndarray, h: np.ndarray = h, layer: int = layer, error: _Error = error) -> Enclosure:
            value = Enclosure(h[i], error.at(i)).rows_dot(weights[layer][j])
            own = biases[layer]
            return value if own is None else value.plus(Enclosure.of(own[j]))

        index, on_kink = _located(sigma, Enclosure(z, before.whole()), layer, exact, closer)
        found.append(index)
        kinks.append(on_kink)
        exact.activations.append(sigma)
        exact.index.append(index)
        if layer + 1 < len(activations):
            h = sigma(z) if passed is None else passed.entering[layer + 1]
            error = before.after(sigma, h)
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
    if order == 0 and set(sigma.slopes) <= {-1, 0, 1} and not any(sigma.intercepts):  # exact in floats
        signs = np.array([float(slope) for slope in sigma.slopes])[index]
        with np.errstate(invalid="ignore"):  # the slope zero, and an interval without an end
            return enclosed(signs * z.mid, np.abs(signs) * z.rad)
    slopes = _rounded(sigma.slopes, index)
    return slopes if order == 1 else slopes.times(z).plus(_rounded(sigma.intercepts, index))


def _located(
    sigma: PiecewiseLinear, z: Enclosure, layer: int, exact: _Fractions, closer: Callable[[np.ndarray, np.ndarray], Enclosure]
) -> tuple[np.ndarray, np.ndarray]:
    """By the enclosures, by closer ones of the entries that these leave open, and by fractions."""
    index, unclear = pieces_within(sigma, z)
    on_kink = np.zeros(z.mid.shape, bool)
    rows, columns = np.nonzero(unclear)
    for start in range(0, len(rows), AT_ONCE):
        i, j = rows[start : start + AT_ONCE], columns[start : start + AT_ONCE]
        index[i, j], unclear[i, j] = pieces_within(sigma, closer(i, j))
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


class _Error(NamedTuple):
    r"""Bounds on the errors of a float pass: :math:`a_i w_j + s\, |v_{ij}| + t` for sample i and neuron j."""

    a: Float[np.ndarray, " n"]
    w: Float[np.ndarray, " _"]
    values: Float[np.ndarray, "n _"]
    scale: float = 0.0
    more: float = 0.0

    def at(self, rows: np.ndarray) -> Float[np.ndarray, "rows _"]:
        """The bounds of some samples."""
        found = self.a[rows, None] * self.w + self.scale * np.abs(self.values[rows]) + self.more
        return SAFETY * found + TINY

    def whole(self) -> Float[np.ndarray, "n _"]:
        return self.at(np.arange(len(self.a)))

    def before(self, h: np.ndarray, W: np.ndarray, z: np.ndarray) -> _Error:
        """Of z = W h + b, if these are the bounds of h."""
        steps = W.shape[1] + 2
        of_h = self.a * float(row_sizes(self.w[None])[0]) + self.scale * row_sizes(self.values) + (self.more + TINY) * W.shape[1] ** 0.5
        rounding = steps * UNIT / (1 - steps * UNIT)
        return _Error(SAFETY**2 * (rounding * row_sizes(h) + of_h), row_sizes(W), z, UNIT, steps * TINY)

    def after(self, sigma: PiecewiseLinear, h: np.ndarray) -> _Error:
        r"""Of :math:`h = \sigma(z)`, if these are the bounds of z.

        The steepest slope times these, and what floats lose in slope, product, intercept and breakpoint.
        """
        steepest = SAFETY * max(float(abs(slope)) for slope in sigma.slopes)
        largest = max(float(abs(value)) for value in (*sigma.intercepts, Fraction(0)))
        farthest = max(float(abs(t)) for t in sigma.breakpoints)
        more = steepest * self.more + UNIT * (8 * largest + 4 * steepest * farthest)
        return _Error(steepest * self.a, self.w, h, 4 * UNIT, more)


def start_of_errors(X: Float[np.ndarray, "n d"]) -> _Error:
    """Of the samples, which are exact."""
    return _Error(np.zeros(len(X)), np.zeros(X.shape[1]), np.zeros_like(X))


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

r"""A question about a two-layer network with a piecewise-linear activation, in rational numbers, and the states of its neurons.

On each piece :math:`\sigma(z) = s z + t` and :math:`\sigma' = s`. A breakpoint belongs to the neighbouring piece whose slope is the
one stated there (ReLU: the left one), and is a state of its own if neither is (``abs``: slope 0 at 0). States are therefore disjoint
intervals that cover the line, open or closed at either end, and a sample exactly on a kink is in exactly one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from flint import fmpq

from identify.base.errors import InputError
from identify.problem.activation import PiecewiseLinear, as_activation
from identify.theory.oracle.polyhedra import ZERO, Vector, dot


class End(NamedTuple):
    """One end of a state, and whether it belongs to it."""

    at: fmpq
    closed: bool


class State(NamedTuple):
    """An interval on which the activation is ``slope · z + intercept``, with this derivative; an end of None is infinite."""

    slope: fmpq
    intercept: fmpq
    low: End | None
    high: End | None

    def contains(self, z: fmpq) -> bool:
        above = self.low is None or z > self.low.at or (self.low.closed and z == self.low.at)
        return above and (self.high is None or z < self.high.at or (self.high.closed and z == self.high.at))

    @property
    def is_point(self) -> bool:
        return self.low is not None and self.high is not None and self.low.at == self.high.at


def states_of(sigma: PiecewiseLinear) -> tuple[State, ...]:
    """From left to right."""
    slopes, intercepts = [_rational(s) for s in sigma.slopes], [_rational(t) for t in sigma.intercepts]
    points, kinks = [_rational(t) for t in sigma.breakpoints], [_rational(s) for s in sigma.kinks]
    out: list[State] = []
    low: End | None = None
    for k, (t, kink) in enumerate(zip(points, kinks, strict=True)):
        left, right = kink == slopes[k], kink == slopes[k + 1]
        out.append(State(slopes[k], intercepts[k], low, End(t, left)))
        if not left and not right:
            value = slopes[k] * t + intercepts[k]
            out.append(State(kink, value - kink * t, End(t, True), End(t, True)))
        low = End(t, right and not left)
    out.append(State(slopes[-1], intercepts[-1], low, None))
    return tuple(out)


class Atom(NamedTuple):
    """A sample and its multipliers, one for each output."""

    x: tuple[fmpq, ...]
    c: tuple[fmpq, ...]


@dataclass(frozen=True, eq=False)
class Question:
    """A network, data that make the target, and which layers are seen: ``"first"`` (weights, and biases if there are any) or ``"both"``.

    ``b`` is None without biases; ``A`` has one row and ``c`` one column for each output. Numbers are taken exactly, floats as the
    dyadic rationals that they are.
    """

    sigma: PiecewiseLinear
    W: list[Vector]
    b: Vector | None
    A: list[Vector]
    X: list[Vector]
    c: list[Vector]
    layers: str

    @classmethod
    def of(cls, activation: Any, W: Any, b: Any, A: Any, X: Any, c: Any, layers: str) -> Question:
        """From arrays of integers, floats or fractions."""
        sigma = as_activation(activation)
        if not isinstance(sigma, PiecewiseLinear):
            raise InputError(f"activation: received {sigma}, expected a piecewise-linear one")
        if layers not in ("first", "both"):
            raise InputError(f"layers: received {layers!r}, expected 'first' or 'both'")
        return cls(sigma, _matrix(W), None if b is None else _matrix([b])[0], _matrix(A), _matrix(X), _matrix(c), layers)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """d, n, m, C."""
        return len(self.X[0]), len(self.X), len(self.W), len(self.A)

    @cached_property
    def states(self) -> tuple[State, ...]:
        return states_of(self.sigma)

    @cached_property
    def is_homogeneous(self) -> bool:
        """Whether (t x, c / t), t > 0, has the same updates as (x, c)."""
        return self.b is None and self.sigma.breakpoints == (0,) and not any(self.sigma.intercepts)

    @cached_property
    def is_even(self) -> bool:
        """Whether (-x, c) has the same updates as (x, c) as well."""
        low, *_, high = self.states
        return self.is_homogeneous and low.slope == -high.slope and self.sigma.kinks == (0,)

    @cached_property
    def neurons(self) -> list[int]:
        """Those that an observed row sees, in an order in which the most informative come first."""
        seen = [j for j in range(len(self.W)) if any(row[j] for row in self.A) or self.layers == "both"]
        return sorted(seen, key=lambda j: (not any(self.first[j]), j))

    def weights(self, j: int) -> Vector:
        """Of neuron j, for the vectors of :meth:`lifted`."""
        return [*self.W[j], ZERO if self.b is None else self.b[j]]

    def lifted(self, x: Sequence[fmpq]) -> Vector:
        """(x, 1)."""
        return [*x, fmpq(1)]

    def signal(self, j: int, c: Sequence[fmpq]) -> fmpq:
        """(A^T c)_j."""
        return dot([row[j] for row in self.A], c)

    @cached_property
    def first(self) -> list[Vector]:
        """The update of the first layer, row by row: weights, and the bias if there is one."""
        return self.updates([Atom(tuple(x), tuple(c)) for x, c in zip(self.X, self.c, strict=True)])[0]

    @cached_property
    def second(self) -> list[Vector]:
        """The update of the second layer: one row for each output."""
        return self.updates([Atom(tuple(x), tuple(c)) for x, c in zip(self.X, self.c, strict=True)])[1]

    def pattern(self, x: Sequence[fmpq]) -> tuple[int, ...]:
        """The state of every neuron."""
        values = [dot(self.weights(j), self.lifted(x)) for j in range(len(self.W))]
        return tuple(next(k for k, state in enumerate(self.states) if state.contains(z)) for z in values)

    def updates(self, atoms: Sequence[Atom]) -> tuple[list[Vector], list[Vector]]:
        """Of both layers, from their definition; the activation is evaluated by its own class."""
        m, C, columns = len(self.W), len(self.A), len(self.W[0]) + (self.b is not None)
        first, second = [[ZERO] * columns for _ in range(m)], [[ZERO] * m for _ in range(C)]
        for x, c in atoms:
            lifted = self.lifted(x)
            for j in range(m):
                z = dot(self.weights(j), lifted)
                signal = self.signal(j, c) * _rational(self.sigma.exact(_fraction(z), 1))
                value = _rational(self.sigma.exact(_fraction(z)))
                first[j] = [v + signal * u for v, u in zip(first[j], lifted, strict=False)]
                for o in range(C):
                    second[o][j] += c[o] * value
        return first, second

    def is_solved_by(self, atoms: Sequence[Atom]) -> bool:
        """Whether these data have the observed updates, by their definition."""
        first, second = self.updates(atoms)
        return first == self.first and (self.layers == "first" or second == self.second)

    def canonical(self, atom: Atom) -> Atom:
        """One of the samples that give the same updates for every network: norm 1 (largest entry) if it has a free scale."""
        if not self.is_homogeneous or not any(atom.x):
            return atom
        size = max(abs(v) for v in atom.x)
        sign = 1 if not self.is_even or next(v for v in atom.x if v) > 0 else -1
        return Atom(tuple(sign * v / size for v in atom.x), tuple(size * v for v in atom.c))


def _rational(value: Any) -> fmpq:
    if isinstance(value, fmpq):
        return value
    numerator, denominator = value.as_integer_ratio()
    return fmpq(int(numerator), int(denominator))


def _fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))


def _matrix(rows: Any) -> list[Vector]:
    return [[_rational(v) for v in row] for row in np.array(rows, dtype=object).tolist()]

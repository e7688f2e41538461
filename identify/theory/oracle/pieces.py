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
from typing import NamedTuple

from flint import fmpq

from identify.problem.activation import PiecewiseLinear
from identify.theory.oracle.polyhedra import ZERO, Vector, dot
from identify.theory.oracle.posed import Posed, rational


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
    slopes, intercepts = [rational(s) for s in sigma.slopes], [rational(t) for t in sigma.intercepts]
    points, kinks = [rational(t) for t in sigma.breakpoints], [rational(s) for s in sigma.kinks]
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
class Question(Posed[PiecewiseLinear]):
    """A network with a piecewise-linear activation, data that make the target, and which layers are seen."""

    kind = "piecewise-linear"

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
                signal = self.signal(j, c) * rational(self.sigma.exact(_fraction(z), 1))
                value = rational(self.sigma.exact(_fraction(z)))
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


def _fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))

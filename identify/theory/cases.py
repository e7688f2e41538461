r"""Random instances with exact numbers, and the questions that conditions answer about them.

Numbers are small dyadic rationals, so that the target is exact in double precision. An algebra program can solve such a system
over the rationals, and its scale also suits floating point.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from flint import fmpq, fmpq_mat

from identify.conditions.interpolation import interpolation, width_needed
from identify.conditions.question import ambiguity_of, instance_of, setting_of
from identify.conditions.setting import Setting
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.arrays import ShapeError
from identify.problem.gradients import flatten, weighted_gradients
from identify.problem.network import Network, TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Scope

DRAWS = 100
"""Number of instances that one seed tries until the target is not zero."""


@dataclass(frozen=True, eq=False)
class Case:
    """An instance: a system and data that solve it. ``is_exact``: the float64 target is the exact one."""

    config: Configuration
    system: KKTSystem
    X: np.ndarray
    c: np.ndarray
    seed: int
    is_exact: bool

    @cached_property
    def of_these_data(self) -> Setting:
        """The question about this network and these data."""
        instance = instance_of(self.system, len(self.X), self.X, self.c)
        return Setting(
            instance, Scope("this network", "this data"), ambiguity_of(self.system), True, self.seed, self.system, (self.X, self.c)
        )

    @cached_property
    def of_generic_data(self) -> Setting:
        """The question about this network and generic data."""
        return setting_of(self.system, len(self.X), self.seed)

    @property
    def shows_its_moments(self) -> bool:
        """Whether the interpolation matrix has full column rank, proved."""
        return interpolation(self.of_these_data).is_proved

    def target_of(self, X: np.ndarray, c: np.ndarray) -> np.ndarray:
        """The right-hand side of (S) at other data, in their ring (fractions, polynomials, complex numbers)."""
        net, sigma = self.system.network, self.system.network.activation
        if X.dtype == object:
            W, A, offsets = (exactly(part) for part in (net.W, net.A, net.offsets))
            parts = weighted_gradients(W, A, offsets, sigma.coefficients, sigma.derivative(), X, c)
        else:
            parts = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)
        return flatten(parts, self.system.observed)


def draw(config: Configuration, seed: int) -> Case:
    """A random instance; the regime does not matter here, because every regime has the same equation (S).

    For small sizes the target may be zero, which is not an equation: then another is drawn. Raises ShapeError if all are zero.
    """
    rng = np.random.default_rng(seed)
    m, d, n, C = config.neurons, config.inputs, config.samples, config.outputs
    most, unit = (24, 16) if config.activation.degree < 4 else (12, 8)

    def numbers(*shape: int) -> np.ndarray:
        return rng.integers(-most, most + 1, shape) / unit

    def nonzero(*shape: int) -> np.ndarray:
        return rng.choice([-1, 1], shape) * rng.integers(most // 3, most + 1, shape) / unit

    def instance() -> Case:
        W, A, b, X, c = numbers(m, d), nonzero(C, m), numbers(m), numbers(n, d), nonzero(n, C)
        net = TwoLayerNetwork(W, A[0] if C == 1 else A, config.activation, bias=b if config.bias else None)
        return case_of(config, net, X, c, seed)

    for _ in range(DRAWS - 1):
        with suppress(ShapeError):
            return instance()
    return instance()


def case_of(config: Configuration, net: Network, X: np.ndarray, c: np.ndarray, seed: int) -> Case:
    """The instance with that network and these data."""
    A, B, b, Y, e = (exactly(part) for part in (net.W, net.A, net.offsets, X, c))
    sigma = net.activation
    tW, tb, ta = weighted_gradients(A, B, b, sigma.coefficients, sigma.derivative(), Y, e)
    rows = config.observed
    floats = [part.astype(float) for part in (tW, tb, ta.reshape(net.a.shape))]
    parts = [value if shown else None for value, shown in zip(floats, (rows.W, rows.bias, rows.a), strict=True)]
    system = KKTSystem.gradient(net, W=parts[0], bias=parts[1], a=parts[2])
    exact = [Fraction(value) for value in system.target] == list(flatten((tW, tb, ta), rows))
    return Case(config, system, X, c, seed, exact)


def draw_wide(config: Configuration, seed: int) -> Case | None:
    """A random instance of a network so wide that a generic one determines every moment: then (S) is a system in the moments alone."""
    instance = setting_of(config, config.samples, 0).instance
    needed = width_needed(instance)["width_needed"]
    return None if needed is None else draw(replace(config, width=max(needed, config.neurons)), seed)


def changed(make=draw, **sizes):
    """Draws from a configuration with some sizes moved by the given amounts, or None below 1."""

    def moved(config: Configuration, seed: int) -> Case | None:
        values = {name: getattr(config, name) + step for name, step in sizes.items()}
        return make(replace(config, **values), seed) if min(values.values()) >= 1 else None

    return moved


def with_activation(change, make=draw):
    """Draws from a configuration with another activation, given the coefficients of the first."""

    def moved(config: Configuration, seed: int) -> Case | None:
        return make(replace(config, activation=Activation(change(list(config.activation.coefficients)))), seed)

    return moved


def exactly(values) -> np.ndarray:
    """Floats as exact fractions, in an object array."""
    values = np.asarray(values)
    out = np.empty(values.shape, dtype=object)
    for index, value in np.ndenumerate(values):
        out[index] = Fraction(float(value))
    return out


def rational_matrix(values: np.ndarray) -> fmpq_mat:
    """A matrix of fractions or floats over the rationals."""
    exact = values if values.dtype == object else exactly(values)
    rows, columns = exact.shape
    return fmpq_mat(rows, columns, [fmpq(value.numerator, value.denominator) for value in exact.flat])


def rational_rank(values: np.ndarray) -> int:
    """Rank over the rationals of a matrix of fractions or floats."""
    return int(rational_matrix(values).rank()) if values.size else 0


def fractions(matrix: fmpq_mat) -> np.ndarray:
    """A rational matrix as an object array of fractions."""
    return np.array([[Fraction(int(v.p), int(v.q)) for v in row] for row in matrix.table()], dtype=object)

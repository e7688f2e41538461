r"""(S) as functions of the data, in coordinates on an affine space, over floats or any exact ring.

With :math:`x_i = o + z_i B` for a frame (o, B), the first-layer rows are
:math:`\sum_i g_{ij}\sigma'(z_{ij})\,x_i = o\, s_j + r_j B`, where :math:`r_j` are the rows of the network
:math:`(W B^\top, b + W o)` at :math:`z_i`, and :math:`s_j` its bias row. So data in the space have the same target as
others as soon as they have the same rows in the frame, for o = 0 or with observed bias rows. (Residues are a class of their own,
:mod:`identify.exact.instance`: they are reduced after every product, and drawn anew for each prime if network or data are generic.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, fmpq
from jaxtyping import Float

from identify.conditions.setting import Setting
from identify.problem.gradients import Observed, flatten, jacobian, weighted_gradients
from identify.problem.interpolation import interpolation_matrix
from identify.problem.system import KKTSystem


@dataclass(frozen=True)
class Frame:
    """Coordinates z with x = origin + z·directions, over one ring."""

    origin: np.ndarray
    directions: np.ndarray

    @classmethod
    def of_data(cls, setting: Setting, X: np.ndarray) -> Frame:
        """The frame in which ``setting.instance`` is examined, from the data ``X`` in any ring."""
        nowhere = np.zeros(X.shape[1], dtype=int)
        if setting.instance.span == "full":
            return cls(nowhere, np.eye(X.shape[1], dtype=int))
        if setting.instance.observed.bias:
            return cls(X[-1], X[:-1] - X[-1])
        return cls(nowhere, X)

    def orthonormal(self) -> Frame:
        """The same space with orthonormal directions, in floats."""
        return Frame(self.origin, np.linalg.qr(self.directions.T)[0].T)

    def coordinates(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """z of the points of the space that are nearest to ``X``, in floats."""
        return np.linalg.lstsq(self.directions.T, (X - self.origin).T, rcond=None)[0].T

    def points(self, Z: np.ndarray) -> np.ndarray:
        """x of the coordinates ``Z``, one row for each sample."""
        return self.origin + Z @ self.directions


@dataclass(frozen=True, eq=False)
class Equations:
    """A network in a frame, over one ring: arrays of floats, or of objects that add and multiply."""

    W: np.ndarray
    A: np.ndarray
    offsets: np.ndarray
    derivatives: tuple[tuple, ...]
    observed: Observed

    @classmethod
    def floats(cls, system: KKTSystem, frame: Frame) -> Equations:
        return cls._of(system, frame, lambda values: values, float)

    @classmethod
    def balls(cls, system: KKTSystem, frame: Frame) -> Equations:
        """In ball arithmetic of the precision of the flint context; the frame in balls."""
        return cls._of(system, frame, balls, lambda s: arb(rational(s)))

    @classmethod
    def rationals(cls, system: KKTSystem, frame: Frame) -> Equations:
        """In exact rational numbers, like the frame."""
        return cls._of(system, frame, rationals, rational)

    @classmethod
    def _of(cls, system: KKTSystem, frame: Frame, lift: Callable[[np.ndarray], np.ndarray], number: Callable[[Fraction], Any]) -> Equations:
        net = system.network
        sigma = net.activation
        W = lift(net.W)
        derivatives = tuple(tuple(number(s) for s in sigma.derivative(order)) for order in range(sigma.degree + 2))
        return cls(W @ frame.directions.T, lift(net.A), lift(net.offsets) + W @ frame.origin, derivatives, system.observed)

    def value(self, point: np.ndarray) -> np.ndarray:
        """Right-hand side at ``point``, rows (z_i, c_i), in the order of ``KKTSystem.target``."""
        k = self.W.shape[1]
        s, ds = self.derivatives[:2]
        return flatten(weighted_gradients(self.W, self.A, self.offsets, s, ds, point[:, :k], point[:, k:]), self.observed)

    def jacobian(self, point: np.ndarray) -> np.ndarray:
        """Its derivative in the entries of ``point``, row by row."""
        k = self.W.shape[1]
        return jacobian(self.W, self.A, self.offsets, self.derivatives, self.observed, point[:, :k], point[:, k:])

    def interpolation(self, degrees: tuple[int, ...]) -> np.ndarray:
        """The interpolation matrix in these coordinates."""
        return interpolation_matrix(self.W, self.A, self.offsets, self.derivatives, self.observed, degrees)


def rational(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


def rationals(values: np.ndarray) -> np.ndarray:
    """Doubles as the rational numbers that they are."""
    return _each(values, lambda value: rational(Fraction(float(value))))


def balls(values: np.ndarray) -> np.ndarray:
    """Doubles as balls of radius zero."""
    return _each(values, lambda value: arb(float(value)))


def _each(values: np.ndarray, convert: Callable) -> np.ndarray:
    out = np.empty(values.shape, dtype=object)
    for at, value in np.ndenumerate(values):
        out[at] = convert(value)
    return out

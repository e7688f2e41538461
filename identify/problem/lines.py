r"""Continuous piecewise-linear functions of one variable with exact rational breakpoints, slopes and intercepts.

:math:`\sigma(z) = s_k z + t_k` between consecutive breakpoints. At a breakpoint the derivative is stated, as frameworks do; the
value is that of either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from identify.problem.formulas import ActivationError, exact

ZERO = Fraction(0)


@dataclass(frozen=True)
class Lines:
    """Breakpoints and slopes in lowest terms, the value at the first breakpoint, and the derivative at each."""

    breakpoints: tuple[Fraction, ...]
    slopes: tuple[Fraction, ...]
    value: Fraction
    kinks: tuple[Fraction, ...]

    @classmethod
    def of(cls, breakpoints: Sequence, slopes: Sequence, value=ZERO, kinks: Sequence | None = None) -> Lines:
        """Checked, and without breakpoints at which nothing changes."""
        points, rates = [exact(t) for t in breakpoints], [exact(s) for s in slopes]
        at = rates[:-1] if kinks is None else [exact(s) for s in kinks]
        if len(rates) != len(points) + 1 or len(at) != len(points) or sorted(set(points)) != points:
            raise ActivationError(
                f"activation: received {len(points)} breakpoints, {len(rates)} slopes and {len(at)} slopes at breakpoints; expected "
                "increasing breakpoints, one slope more than those, and one at each"
            )
        bends = [k for k in range(len(points)) if not rates[k] == rates[k + 1] == at[k]]
        if not any(rates[k] != rates[k + 1] for k in bends):
            raise ActivationError(
                "activation without a breakpoint at which the slope changes: expected one that is not linear, because the gradients of a "
                "linear network reveal nothing of the data beyond sum_i c_i x_i"
            )
        start = exact(value)
        for k in range(bends[0]):  # the value at the first breakpoint that remains
            start += rates[k + 1] * (points[k + 1] - points[k])
        return cls(tuple(points[k] for k in bends), (*(rates[k] for k in bends), rates[-1]), start, tuple(at[k] for k in bends))

    @property
    def intercepts(self) -> tuple[Fraction, ...]:
        """One for each slope."""
        out = [self.value - self.slopes[0] * self.breakpoints[0]]
        for t, left, right in zip(self.breakpoints, self.slopes, self.slopes[1:], strict=False):
            out.append(out[-1] + (left - right) * t)
        return tuple(out)

    @cached_property
    def is_relu(self) -> bool:
        """Whether it is the maximum with 0, with slope 0 there."""
        return self == RELU

    def evaluate(self, z, order: int, xp: Any):
        """In floating point, for an array module: NumPy, or ``jax.numpy``. NaN stays NaN."""
        z = xp.asarray(z)
        z = z if xp.issubdtype(z.dtype, xp.floating) else z.astype(float)
        if order > 1:
            return xp.where(xp.isnan(z), z, 0 * xp.zeros_like(z))[()]
        if xp is np and self.is_relu:  # some twenty times as fast, and most of what a search evaluates
            return (np.maximum(z, 0) if order == 0 else np.where(np.isnan(z), z, z > 0))[()]
        pieces = [_line(slope, intercept, z, order, xp) for slope, intercept in zip(self.slopes, self.intercepts, strict=True)]
        out = pieces[0]
        for t, kink, piece in zip(self.breakpoints, self.kinks, pieces[1:], strict=True):
            out = xp.where(z > float(t), piece, out)
            if order:
                out = xp.where(z == float(t), xp.asarray(float(kink), z.dtype), out)
        return xp.where(xp.isnan(z), z, out)[()]

    def exact(self, z, order: int):
        """The exact value at a rational number, or at an object array of them."""
        if isinstance(z, np.ndarray):
            return np.frompyfunc(lambda value: self.exact(value, order), 1, 1)(z)
        z = exact(z)
        if order > 1:
            return ZERO
        if order and z in self.breakpoints:
            return self.kinks[self.breakpoints.index(z)]
        piece = sum(t < z for t in self.breakpoints)
        return self.slopes[piece] if order else self.slopes[piece] * z + self.intercepts[piece]

    def __str__(self) -> str:
        if self.breakpoints == (0,) and self.value == 0 and self.slopes[1] == 1:
            (slope, _), (kink,) = self.slopes, self.kinks
            if slope == -1 and kink == 0:
                return "abs"
            if kink == slope:
                return f"leaky_relu({slope})" if slope else "relu"
        if self.kinks == (0, 0):
            low, high = self.breakpoints
            if self.slopes == (0, 1, 0) and self.value == low:
                return {"0, 6": "relu6", "-1, 1": "hard_tanh"}.get(f"{low}, {high}", f"hard_tanh({low}, {high})")
            if self == HARD_SIGMOID:
                return "hard_sigmoid"
            if self.slopes == (1, 0, 1) and low == -high and self.value == 0:
                return "soft_shrink" if high == Fraction(1, 2) else f"soft_shrink({high})"
        parts = [_listed(self.breakpoints), _listed(self.slopes), str(self.value)]
        if self.kinks != self.slopes[:-1]:
            parts.append(_listed(self.kinks))
        return f"piecewise_linear({', '.join(parts)})"


RELU = Lines((ZERO,), (ZERO, Fraction(1)), ZERO, (ZERO,))
HARD_SIGMOID = Lines((Fraction(-3), Fraction(3)), (ZERO, Fraction(1, 6), ZERO), ZERO, (ZERO, ZERO))


def _line(slope: Fraction, intercept: Fraction, z, order: int, xp: Any):
    if order or not slope:  # no product with an infinite z
        return xp.asarray(float(slope if order else intercept), z.dtype)
    return float(slope) * z + float(intercept)


def _listed(values: Sequence[Fraction]) -> str:
    return f"[{', '.join(map(str, values))}]"

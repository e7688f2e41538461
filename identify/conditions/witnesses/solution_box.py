"""A box around given data in which a solution can be proved for every target within an error: found in floats, tried in balls.

The Gauss-Newton steps that improve the data are few and not damped: data that need more are not next to a solution, and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy
from flint import arb, ctx

from identify.base.errors import InputError
from identify.conditions.witnesses.box import free_entries, put
from identify.conditions.witnesses.equations import Equations, Frame, balls
from identify.conditions.witnesses.krawczyk import image
from identify.problem.ambiguity import free_scales
from identify.problem.system import KKTSystem

BITS = 192
SINGULAR = 1e-13
"""Ratio of pivots, rows and columns scaled, below which the derivatives count as singular."""
NEWTON_STEPS = 12
INFLATIONS = 3
LARGEST_FACTOR = 2.0**40


class NotCertifiedError(InputError):
    """No solution could be proved near these data. ``evidence`` holds the numbers behind the message."""

    def __init__(self, message: str, **evidence: Any):
        super().__init__(f"certify: {message}")
        self.evidence = evidence


class SolutionBox:
    """The centre, the rows and the box, in floats, and Krawczyk's test of the box. Nothing here is trusted."""

    def __init__(self, system: KKTSystem, X: np.ndarray, c: np.ndarray, error: float):
        self.system, self.error, self.given = system, error, np.hstack([X, c])
        _n, d = X.shape
        self.has_free_scale = bool(free_scales(system.degrees))
        self.free = free_entries(X, self.given.shape[1], self.has_free_scale)
        self.unknowns = int(self.free.sum())
        E, U = system.n_equations, self.unknowns
        if E < U:
            raise NotCertifiedError(
                f"{E} equations in {U} unknowns: solutions lie in families; expected at least as many equations", equations=E, unknowns=U
            )
        self.scales = np.concatenate([np.full(part.size, np.abs(part).max()) for part in _parts(system)])
        self.weights = 1 / np.where(self.scales > 0, self.scales, self.scales.max())
        self.sizes = np.hstack([np.full(X.shape, np.abs(X).max()), np.full(c.shape, np.abs(c).max())]).ravel()[self.free]
        if not self.sizes.all():
            raise NotCertifiedError("every sample, or every multiplier, is zero; expected data with this target")
        frame = Frame(np.zeros(d, dtype=int), np.eye(d, dtype=int))
        self.frame, self.equations = frame, Equations.floats(system, frame)
        with np.errstate(all="ignore"):  # what overflows is not finite, and is refused below
            self.centre = self._improved()
            self.rows = self._chosen_rows()
            J = self._jacobian(self.centre)[self.rows]
            self.base = np.abs(np.linalg.inv(J)) @ (self.error * self.scales + np.abs(self._residual(self.centre)))[self.rows]
        moved = np.abs(self.given - self.centre).ravel()[self.free]
        self.base = np.maximum(self.base, 1.01 * moved) + 2.0**-50 * self.sizes
        self.spread, self.growth = float((self.base / self.sizes).max()), np.inf

    def _residual(self, point: np.ndarray) -> np.ndarray:
        return self.equations.value(point) - self.system.target

    def _jacobian(self, point: np.ndarray) -> np.ndarray:
        return self.equations.jacobian(point)[:, self.free]

    def _improved(self) -> np.ndarray:
        """The given data if their target is within the error, or else after Gauss-Newton steps for as long as these help."""
        point = self.given
        residual = self.weights * self._residual(point)
        for _ in range(NEWTON_STEPS):
            if np.abs(residual).max() <= self.error / 2:
                break
            J = self.weights[:, None] * self._jacobian(point) * self.sizes
            if not (np.isfinite(J).all() and np.isfinite(residual).all()):
                raise NotCertifiedError("these data, or their target, are too large for doubles; rescale the inputs")
            step = self.sizes * np.linalg.lstsq(J, -residual, rcond=None)[0]
            trial = put(point.ravel(), self.free, point.ravel()[self.free] + step).reshape(point.shape)
            new = self.weights * self._residual(trial)
            if not np.linalg.norm(new) < np.linalg.norm(residual):
                break
            point, residual = trial, new
        return point

    def _chosen_rows(self) -> list[int]:
        """As many equations as unknowns, by pivoted QR of the derivatives, rows and columns scaled, then of largest volume nearby."""
        J = self.weights[:, None] * self._jacobian(self.centre) * self.sizes
        if not np.isfinite(J).all():
            raise NotCertifiedError("the derivatives at these data are too large for doubles; rescale the inputs")
        R, order = scipy.linalg.qr(J.T, mode="r", pivoting=True)
        pivots = np.abs(np.diag(R))
        if not pivots[-1] > SINGULAR * pivots[0]:
            rank = int((pivots > SINGULAR * pivots[0]).sum())
            raise NotCertifiedError(
                f"the derivatives at these data are singular, or close to it (rank {rank} of {self.unknowns}): solutions near them "
                "need not be isolated; samples that coincide or are parallel, and multipliers near zero, do this; "
                "check(system, data=(X, c)) says more",
                rank=rank,
                unknowns=self.unknowns,
            )
        return sorted(_larger_volume(J, order[: self.unknowns]).tolist())

    def half_widths(self) -> Iterator[np.ndarray]:
        """Half-widths of boxes in which the test holds, the largest first: multiples of ``base``, the first-order error.

        K is within (1 + growth factor^2) base for the box factor base, which contains it while factor stays below 1/growth.
        """
        with ctx.workprec(BITS):
            for _ in range(INFLATIONS):
                moved = self._image(2 * self.base)
                if moved is None:
                    return
                growth = max(float(((moved - self.base) / self.base).max()) / 4, 1 / LARGEST_FACTOR)
                self.growth = min(self.growth, growth)
                yield from self._multiples(growth)
                self.base = np.maximum(self.base, moved)  # what the entries with the largest errors do to the others, to second order

    def _multiples(self, growth: float) -> Iterator[np.ndarray]:
        """Multiples of ``base`` in which the test holds."""
        for factor in sorted({0.5 / growth, 0.1 / growth, growth**-0.5, 2.0}, reverse=True) if growth < 0.5 else ():
            radii = factor * self.base
            moved = self._image(radii) if factor >= 1.5 else None
            if moved is not None and (moved < 0.9 * radii).all():
                yield radii

    def _image(self, radii: np.ndarray) -> np.ndarray | None:
        """How far Krawczyk's image of this box reaches from its centre, rounded; None if it is not finite."""
        equations = Equations.balls(self.system, self.frame)
        start, rows = balls(self.centre).ravel(), self.rows
        errors = self.error * self.scales[rows]
        target = np.array([arb(t, e) for t, e in zip(self.system.target[rows].tolist(), errors.tolist(), strict=True)])

        def point(v: list[arb]) -> np.ndarray:
            return put(start, self.free, v).reshape(self.centre.shape)

        moved = image(
            lambda v: equations.value(point(v))[rows] - target,
            lambda v: equations.jacobian(point(v))[rows][:, self.free],
            start[self.free].tolist(),
            [arb(r) for r in radii.tolist()],
        )
        if moved is None:
            return None
        reach = np.array([float((k - y).abs_upper()) for k, y in zip(moved, start[self.free], strict=True)])
        return reach if np.isfinite(reach).all() else None

    def failed(self, reason: str) -> NotCertifiedError:
        """Why no box was found. To first order the derivatives change in proportion to the error."""
        off = float(np.abs(self.weights * self._residual(self.centre)).max())
        evidence = {"spread": self.spread, "growth": self.growth, "residual": off}
        why = (
            f"{reason}; to first order solutions lie within {self.spread:.1e} of the size of the data, and over such a box the derivatives "
            f"change by {self.growth:.1e} of themselves, where 0.25 is allowed. "
        )
        if off > 10 * self.error:
            why += f"These data leave a relative residual of {off:.1e}: recover them more exactly, or with the right number of samples"
        else:
            why += (
                f"The target is not exact enough: with a relative_error of about {0.2 * self.error / self.growth:.1e} in place of "
                f"{self.error:.1e} it would be; if it is no better, take more neurons, or fewer samples"
            )
        return NotCertifiedError(why, **evidence)


def _larger_volume(J: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Exchange single rows while that enlarges the determinant (Goreinov et al. 2010): the other rows then are small combinations."""
    rows = rows.copy()
    for _ in range(2 * len(rows)):
        combinations = np.linalg.solve(J[rows].T, J.T).T
        into, out = np.unravel_index(np.abs(combinations).argmax(), combinations.shape)
        if not abs(combinations[into, out]) > 1.05:
            break
        rows[out] = into
    return rows


def _parts(system: KKTSystem) -> list[np.ndarray]:
    return [part for part in (system.target_W, system.target_bias, system.target_a) if part is not None]

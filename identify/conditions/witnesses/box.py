"""Proof that a candidate found in floats is a solution of (S) other than the given data: a box in ball arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from flint import arb, ctx

from identify.conditions.setting import Setting
from identify.conditions.witnesses.equations import Equations, Frame, balls
from identify.conditions.witnesses.krawczyk import contraction, refine

BITS = 320
RADII = tuple(2.0**-k for k in (20, 40, 60, 90, 120))
"""Relative radii of the box, tried in this order."""


@dataclass(frozen=True, eq=False)
class Proof:
    """A box with exactly one solution, which is not the given data: its centre, relative radius, and how far the test shrank it."""

    X: np.ndarray
    c: np.ndarray
    radius: float
    contraction: float


def certify(setting: Setting, rows: tuple[int, ...], X: np.ndarray, c: np.ndarray) -> Proof | None:
    """Prove that a solution other than the given data, with distinct samples and non-zero multipliers, is near (X, c).

    ``rows`` are those of :func:`square_rows`. None when that cannot be proved.
    """
    assert setting.system is not None and setting.data is not None
    Z = Frame.of_data(setting, setting.data[0]).coordinates(X)
    k = Z.shape[1]
    free = free_entries(Z, k + c.shape[1], bool(setting.scales_per_sample))
    sizes = np.hstack([np.full(Z.shape, np.abs(Z).max()), np.full(c.shape, np.abs(c).max())]).ravel()[free]
    with ctx.workprec(BITS):
        given = balls(setting.data[0]), balls(setting.data[1])
        frame = Frame.of_data(setting, given[0])
        equations = Equations.balls(setting.system, frame)
        target = equations.value(np.hstack([_own_coordinates(setting, given[0]), given[1]]))[list(rows)]
        start = balls(np.hstack([Z, c])).ravel()

        def point(v) -> np.ndarray:
            return put(start, free, v).reshape(len(Z), -1)

        def value(v) -> np.ndarray:
            return equations.value(point(v))[list(rows)] - target

        def jacobian(v) -> np.ndarray:
            return equations.jacobian(point(v))[list(rows)][:, free]

        centre = refine(value, jacobian, np.hstack([Z, c]).ravel()[free])
        if centre is None:
            return None
        for radius in RADII:
            radii = [arb(radius * size) for size in sizes.tolist()]
            shrunk = contraction(value, jacobian, centre, radii)
            if shrunk is None:
                continue
            box = point([arb(y, r) for y, r in zip(centre, radii, strict=True)])
            if _is_other_data(frame.points(box[:, :k]), box[:, k:], *given, setting.instance.degrees):
                middle = point(centre)
                X, c = (part.astype(float) for part in (frame.points(middle[:, :k]), middle[:, k:]))
                return Proof(X, c, radius, shrunk)
    return None


def _own_coordinates(setting: Setting, X: np.ndarray) -> np.ndarray:
    """Coordinates of the given data in their own frame, exactly."""
    if setting.instance.span == "full":
        return X
    return np.eye(len(X), setting.instance.coordinates, dtype=int)


def _is_other_data(X: np.ndarray, c: np.ndarray, X_given: np.ndarray, c_given: np.ndarray, degrees: tuple[int, ...]) -> bool:
    """Whether all data in the box have distinct samples, non-zero multipliers, and a sample that no given one stands for."""
    apart = all(_differ(X[i], X[j]) for i in range(len(X)) for j in range(i))
    present = all(any(not value.contains(0) for value in row) for row in c)
    known = [_terms(x, gamma, degrees) for x, gamma in zip(X_given, c_given, strict=True)]
    new = [_terms(x, gamma, degrees) for x, gamma in zip(X, c, strict=True)]
    return apart and present and any(all(_differ(mine, theirs) for theirs in known) for mine in new)


def _terms(x: np.ndarray, gamma: np.ndarray, degrees: tuple[int, ...]) -> list[arb]:
    """Entries of γ ⊗ x^(⊗k) for the visible degrees k: those that are powers, and powers times one other coordinate."""
    powers = [[u ** (k - 1) * v for u in x for v in x] if k else [arb(1)] for k in degrees]
    return [g * value for g in gamma for part in powers for value in part]


def _differ(first, second) -> bool:
    return any(not u.overlaps(v) for u, v in zip(first, second, strict=True))


def free_entries(Z: np.ndarray, columns: int, scales_are_free: bool) -> np.ndarray:
    """Which entries of the points (z_i, c_i) are unknown: all, or all but the largest coordinate of each sample."""
    free = np.ones((len(Z), columns), dtype=bool)
    if scales_are_free:
        free[np.arange(len(Z)), np.abs(Z).argmax(axis=1)] = False
    return free.ravel()


def put(u: np.ndarray, where: np.ndarray, values) -> np.ndarray:
    """A copy of ``u`` with these entries replaced."""
    out = u.copy()
    out[where] = values
    return out

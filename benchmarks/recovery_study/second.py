"""Other data with the same update, by descents in double precision that share no code with the package but the equations themselves.

A descent is no proof, but data far from the planted ones that leave a residual of rounding, with many equations to spare or a Jacobian
of full rank, are what a statement of uniqueness excludes.
"""

from __future__ import annotations

from time import process_time
from typing import Any, NamedTuple

import numpy as np
import scipy

from identify.problem.ambiguity import Ambiguity
from identify.problem.system import KKTSystem
from recovery_study.digits import is_deficient

SOLVED, FAR, SEEN = 1e-13, 1e-4, 1e-7
"""Relative residual of data that solve, distance of other data, and the part of an update below which a sample is not seen."""
CONDITION = 1e-7
"""Smallest singular value of the Jacobian relative to the largest, from which such a residual says that exact data are nearby."""
FURTHER = 0.03
"""Distance of other data of a family."""
MOST_UNKNOWNS = 60


class Other(NamedTuple):
    """A second data set: how far it is, its residual, and its smallest relative singular value."""

    distance: float
    residual: float
    smallest: float


def other_data(system: KKTSystem, X: np.ndarray, c: np.ndarray, ambiguity: Ambiguity, seed: int, seconds: float) -> Other | None:
    """Data of as many samples with the update of (X, c), found by descents from near and far; None if none were."""
    posed = _posed(system, X, c)
    if posed is None:
        return None
    data, misfit, truth, scale = posed
    free = len(X) * ambiguity.dimension_per_sample
    # in doubles, data of which a part is isolated by their last digits only have a family about them
    spare = len(misfit(truth)) > 2 * len(truth) and _smallest(misfit, truth, scale, free) > CONDITION
    rng, began = np.random.default_rng(seed), process_time()
    starts = 0
    while process_time() - began < seconds:
        spread = (0.1, 1.0, 0.5, 2.0)[starts % 4]
        starts += 1
        v = truth * (spread < 1) + spread * scale * rng.standard_normal(len(truth))
        try:
            v = _descended(misfit, v, scale)
        except ValueError:  # not finite on the way
            continue
        residual = float(np.linalg.norm(misfit(v)))
        if not residual <= SOLVED:
            continue
        Z, gamma = data(v)
        distance = far(system, (Z, gamma), (X, c), ambiguity)
        smallest = _smallest(misfit, v, scale, free)
        if distance > FAR and (smallest > CONDITION or spare):
            return Other(distance, residual, smallest)
    return None


def _smallest(misfit: Any, v: np.ndarray, scale: np.ndarray, free: int) -> float:
    """Singular value of the Jacobian, relative to the largest, behind which only those of the ambiguity are."""
    values = np.linalg.svd(_jacobian(misfit, v, scale), compute_uv=False)
    return float(values[len(v) - free - 1] / values[0]) if len(values) >= len(v) - free else 0.0


def family(system: KKTSystem, X: np.ndarray, c: np.ndarray, ambiguity: Ambiguity) -> Other | None:
    """Data of the same update a little way off, along a direction in which it does not change to first order, in many digits."""
    posed = _posed(system, X, c)
    if posed is None:
        return None
    data, misfit, truth, scale = posed
    _, values, right = np.linalg.svd(_jacobian(misfit, truth, scale))
    values = np.concatenate([values, np.zeros(len(right) - len(values))])
    for row in right[values < 1e-8 * values[0]]:
        for size in (0.2, -0.2):  # so far that an isolated solution in a flat valley is left
            try:
                v = _descended(misfit, truth + size * scale * row, scale)
            except ValueError:
                continue
            residual, distance = float(np.linalg.norm(misfit(v))), far(system, data(v), (X, c), ambiguity)
            if residual <= SOLVED and distance > FURTHER:
                return Other(distance, residual, 0.0) if is_deficient(system, X, c, len(X) * ambiguity.dimension_per_sample) else None
    return None


def _posed(system: KKTSystem, X: np.ndarray, c: np.ndarray) -> tuple[Any, Any, np.ndarray, np.ndarray] | None:
    """Data of a vector of unknowns, how far they miss the update of (X, c), that vector, and its scale; None if it is too long."""
    n, d = X.shape
    C = 1 if c.ndim == 1 else c.shape[1]
    if n * (d + C) > MOST_UNKNOWNS:
        return None
    target = system.right_hand_side(X, c)
    norm = float(np.linalg.norm(target))

    def data(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gamma = v[n * d :].reshape(n, C)
        return v[: n * d].reshape(n, d), gamma[:, 0] if c.ndim == 1 else gamma

    def misfit(v: np.ndarray) -> np.ndarray:
        return (system.right_hand_side(*data(v)) - target) / norm

    truth = np.concatenate([X.reshape(-1), np.reshape(c, -1)])
    return data, misfit, truth, np.concatenate([np.full(n * d, np.abs(X).max() or 1.0), np.full(n * C, np.abs(c).max())])


def _descended(misfit: Any, v: np.ndarray, scale: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        ended = scipy.optimize.least_squares(
            lambda w: misfit(w * scale),
            v / scale,
            method="trf" if len(misfit(v)) < len(v) else "lm",
            max_nfev=None if len(misfit(v)) < len(v) else 100 * len(v),
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
        )
        w = ended.x * scale
        for _ in range(3):  # the slopes of differences are good to half of the digits
            w = w - scale * np.linalg.lstsq(_jacobian(misfit, w, scale), misfit(w), rcond=1e-9)[0]
    return w


def _jacobian(misfit: Any, v: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """By central differences, in the units of the scale."""
    h = 6e-6
    return np.array([(misfit(v + h * s * e) - misfit(v - h * s * e)) / (2 * h) for s, e in zip(scale, np.eye(len(v)), strict=True)]).T


def far(system: KKTSystem, data: tuple[np.ndarray, np.ndarray], reference: tuple[np.ndarray, np.ndarray], ambiguity: Ambiguity) -> float:
    """The largest relative distance of a sample of one that the update shows from the nearest of the other; both ways."""
    a, b = _shown(system, *data), _shown(system, *reference)
    size = float(np.linalg.norm(reference[0], axis=1).max()) or 1.0
    return max(_away(a, b, ambiguity, size), _away(b, a, ambiguity, size))


def _shown(system: KKTSystem, X: np.ndarray, c: np.ndarray) -> np.ndarray:
    parts = np.array([np.linalg.norm(system.right_hand_side(x[None], u[None])) for x, u in zip(X, c, strict=True)])
    return X[parts > SEEN * parts.max(initial=0.0)]


def _away(X: np.ndarray, Y: np.ndarray, ambiguity: Ambiguity, size: float) -> float:
    if not len(X) or not len(Y):
        return float("inf") if len(X) else 0.0
    if ambiguity.has_free_scale:
        X, Y, size = X / _norms(X), Y / _norms(Y), 1.0
    signs = (1.0, -1.0) if ambiguity.group in ("sign", "scaling", "even scaling") else (1.0,)
    return max(min(float(np.linalg.norm(x - s * y)) for y in Y for s in signs) / size for x in X)


def _norms(X: np.ndarray) -> np.ndarray:
    return np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-300)

"""Data as callers give them: samples, multipliers and labels, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from identify.problem.arrays import ShapeError, finite_array
from identify.problem.features import FeatureSystem
from identify.problem.heads import HeadSystem
from identify.problem.network import Network


def check_data(X: ArrayLike | None, c: ArrayLike | None, n_inputs: int, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Data and multipliers as float64 arrays of shapes (n, d) and (n, C). Raises :class:`ShapeError`."""
    X = finite_array("X", X, (None, n_inputs), "samples, one per row")
    meaning = "signed multipliers, one for each sample" if n_outputs == 1 else "signed multipliers, one row per sample"
    flat = n_outputs == 1 and not _is_matrix(c)
    return X, finite_array("c", c, (len(X),) if flat else (len(X), n_outputs), meaning).reshape(len(X), n_outputs)


def check_pair(
    name: str, value: Any, network: Network | FeatureSystem | HeadSystem, expected: str = "a pair (X, c) of samples and multipliers"
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`check_data` of a pair (X, c) for this network; ``expected`` says so in the error."""
    try:
        X, c = value
    except (TypeError, ValueError):
        raise ShapeError(f"{name}: received {type(value).__name__}, expected {expected}") from None
    return check_data(X, c, network.n_inputs, network.n_outputs)


def _is_matrix(value: Any) -> bool:
    try:
        return np.ndim(value) == 2
    except ValueError:
        return False


def check_labels(labels: ArrayLike) -> np.ndarray:
    """Labels as float64, each +1 or -1. Raises :class:`ShapeError` otherwise."""
    values = finite_array("labels", labels, (None,), "one label, +1 or -1, for each sample")
    wrong = np.setdiff1d(values, [-1.0, 1.0])
    if wrong.size:
        raise ShapeError(f"labels: received {wrong[:5].tolist()}, expected only +1 and -1; map your classes to these")
    return values

"""Undoing splits: unnecessary candidates are dropped, and those that can be one are merged."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.splitting.inner import value
from identify.splitting.matrices import Objective, inherit


def without(objective: Objective, X, c, j: int) -> tuple[Objective, np.ndarray, np.ndarray]:
    """The candidates but j."""
    rest = np.delete(np.arange(len(X)), j)
    return inherit(objective, rest, np.ones(len(rest))), X[rest], c[rest]


def merged(objective: Objective, X, c, i: int, j: int) -> tuple[Objective, np.ndarray, np.ndarray]:
    """Candidates i and j as one, with the sum of their multipliers, at their mean weighted by the multipliers' sizes."""
    sizes = np.linalg.norm(c[[i, j]], axis=1)
    at = np.average(X[[i, j]], axis=0, weights=sizes if sizes.any() else None)
    rest = np.delete(np.arange(len(X)), j)
    shares = np.ones(len(X))
    shares[i] = _growth(c[i], c[j])
    X, c = X.copy(), c.copy()
    X[i], c[i] = at, c[i] + c[j]
    return inherit(objective, rest, shares[rest]), X[rest], c[rest]


def _growth(own: np.ndarray, other: np.ndarray) -> float:
    """Share of its old multiplier that a candidate has after taking over another's."""
    size = own @ own
    return float(1 + other @ own / size) if size > 0 else 1.0


def cheapest_reduction(objective: Objective, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k C"]):
    """The drop or merge of one candidate that leaves the objective lowest: (value, kind, objective, X, c).

    Cost: k drops and, for every candidate, a merge with its nearest neighbour: 2k values.
    """
    trials = [("dropped", *without(objective, X, c, j)) for j in range(len(X))]
    distances = np.linalg.norm(X[:, None] - X[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    if len(X) > 1:
        trials += [("merged", *merged(objective, X, c, i, int(j))) for i, j in enumerate(distances.argmin(axis=1))]
    values = [value(reduced, X, c) for _, reduced, X, c in trials]
    best = int(np.argmin(np.where(np.isnan(values), np.inf, values)))
    return (values[best], *trials[best])

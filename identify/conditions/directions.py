"""Which vectors are parallel: exactly, on the dyadic rationals that doubles are, and nearly, within an angle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from math import gcd

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BLOCK = 512
"""Rows of the matrix of inner products that are formed at a time."""


def primitive(vector: Float[np.ndarray, " D"]) -> tuple[int, ...]:
    """The integers without common factor on the line of the vector, the first non-zero one positive; () for zero.

    Two vectors are parallel exactly when these agree. Cost O(D) operations on integers as long as the exponents differ.

    Examples
    --------
    >>> primitive(np.array([0.0, -0.75, 1.5])), primitive(np.zeros(2))
    ((0, 1, -2), ())
    """
    pairs = [value.as_integer_ratio() for value in vector.tolist()]
    common = max((bottom for _, bottom in pairs), default=1)
    whole = [top * (common // bottom) for top, bottom in pairs]
    lead = next((value for value in whole if value), 0)
    if not lead:
        return ()
    divisor = gcd(*whole) * (1 if lead > 0 else -1)
    return tuple(value // divisor for value in whole)


def groups(keys: Iterable[tuple[int, Hashable]]) -> list[list[int]]:
    """Members, two or more, that have the same key, from pairs (member, key)."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for member, key in keys:
        found[key].append(member)
    return [members for members in found.values() if len(members) > 1]


def near_parallel(vectors: Float[np.ndarray, "k D"], angle: float) -> list[list[int]]:
    """Clusters of two or more non-zero vectors that a chain of angles (up to sign) of at most ``angle`` radians links.

    In double precision, and every exactly parallel pair is among them. Cost O(k^2 D), memory O(k) unless many are near.
    """
    scale = np.abs(vectors).max(axis=1)
    alive = np.flatnonzero(scale > 0)
    U = vectors[alive] / scale[alive, None]
    U /= np.linalg.norm(U, axis=1)[:, None]
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    for start in range(0, len(U), BLOCK):
        i, j = np.nonzero(np.abs(U[start : start + BLOCK] @ U.T) > np.cos(angle) - 1e-12)
        i, j = i[i + start < j], j[i + start < j]
        near = _sines(U[i + start], U[j]) <= np.sin(angle) + 1e-14
        rows.append(i[near] + start)
        columns.append(j[near])
    links = np.concatenate(rows or [np.zeros(0, int)]), np.concatenate(columns or [np.zeros(0, int)])
    graph = coo_array((np.ones(len(links[0])), links), shape=(len(U), len(U)))
    labels = connected_components(graph, directed=False)[1] if len(U) else []
    return [alive[np.array(members)].tolist() for members in groups((k, int(label)) for k, label in enumerate(labels))]


def _sines(U: Float[np.ndarray, "k D"], V: Float[np.ndarray, "k D"]) -> Float[np.ndarray, " k"]:
    """Sines of the angles between unit vectors, accurate for small angles where cosines are not."""
    return np.linalg.norm(U - np.sum(U * V, axis=1, keepdims=True) * V, axis=1)


def blocks(incidence: Bool[np.ndarray, "m n"]) -> list[tuple[list[int], list[int]]]:
    """Connected components of a bipartite graph, as (rows, columns); isolated vertices are components."""
    m, n = incidence.shape
    i, j = np.nonzero(incidence)
    graph = coo_array((np.ones(len(i)), (i, j + m)), shape=(m + n, m + n))
    count, labels = connected_components(graph, directed=False)
    return [(np.flatnonzero(labels[:m] == k).tolist(), np.flatnonzero(labels[m:] == k).tolist()) for k in range(count)]

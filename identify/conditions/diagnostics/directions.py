"""Which vectors are parallel: exactly, on the dyadic rationals that doubles are, and nearly, within an angle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from math import gcd

import numpy as np
import scipy
from jaxtyping import Bool, Float

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

    In double precision, and every exactly parallel pair is among them. Cost O(k^2 D), memory O(k) for each of 512 rows.
    """
    scale = np.abs(vectors).max(axis=1)
    alive = np.flatnonzero(scale > 0)
    U = vectors[alive] / scale[alive, None]
    U /= np.linalg.norm(U, axis=1)[:, None]
    labels = np.arange(len(U))
    for start in range(0, len(U), BLOCK):
        i, j = np.nonzero(np.abs(U[start : start + BLOCK] @ U.T) > np.cos(angle) - 1e-12)
        i, j = i[i + start < j] + start, j[i + start < j]
        first = np.unique(j, return_index=True)[1]  # one link for each j joins most of a large cluster, and few are left
        labels = _joined(labels, U, angle, i[first], j[first])
        apart = labels[i] != labels[j]
        labels = _joined(labels, U, angle, i[apart], j[apart])
    return [alive[members].tolist() for members in groups(enumerate(labels.tolist()))]


def _joined(labels: np.ndarray, U: Float[np.ndarray, "k D"], angle: float, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Labels after the clusters of i and j have become one, for each pair within the angle."""
    near = _sines(U[i], U[j]) <= np.sin(angle) + 1e-14
    if not near.any():
        return labels
    links, k = (labels[i[near]], labels[j[near]]), len(labels)
    count, cluster = scipy.sparse.csgraph.connected_components(scipy.sparse.coo_array((near[near], links), shape=(k, k)), directed=False)
    smallest = np.full(count, k)
    np.minimum.at(smallest, cluster, np.arange(k))
    return smallest[cluster][labels]


def _sines(U: Float[np.ndarray, "k D"], V: Float[np.ndarray, "k D"]) -> Float[np.ndarray, " k"]:
    """Sines of the angles between unit vectors, accurate for small angles where cosines are not."""
    return np.linalg.norm(U - np.sum(U * V, axis=1, keepdims=True) * V, axis=1)


def blocks(incidence: Bool[np.ndarray, "m n"]) -> list[tuple[list[int], list[int]]]:
    """Connected components of a bipartite graph, as (rows, columns); isolated vertices are components."""
    m, n = incidence.shape
    i, j = np.nonzero(incidence)
    graph = scipy.sparse.coo_array((np.ones(len(i)), (i, j + m)), shape=(m + n, m + n))
    count, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return [(np.flatnonzero(labels[:m] == k).tolist(), np.flatnonzero(labels[m:] == k).tolist()) for k in range(count)]

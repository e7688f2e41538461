r"""The batch behind one layer's update by the zeros of its signals: ReLU and its like, any network above.

A signal :math:`u_i = \sigma'(z_i)\circ(\dots)` is zero at every neuron that sample i does not activate, about half of them. All signals lie
in :math:`\operatorname{col}(G)`, so with an orthonormal basis U each is :math:`u_i = U y_i`, and the rows of U at its zeros are orthogonal
to :math:`y_i`. n - 1 such rows tell :math:`y_i`, up to its size. Rows are drawn at random: :math:`2^{n-1}/n` draws for each hit, if half
of the neurons are inactive. A vector from a good draw is zero at many other neurons, too, and these fix it by themselves. With all
signals the samples follow from :math:`G = \sum_i u_i \tilde x_i^\top`, their sizes from the 1 of the bias, and each must activate the
neurons at which its signal is not zero.

This is the idea of SPEAR (Dimitrov, Baader, Müller & Vechev, NeurIPS 2024), whose checks differ.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from identify.conditions.networks.parts import SURPLUS

DRAWS, MOST_DRAWS = 2048, 2**18
"""At a time, and in all."""
ZERO, AGAIN = 1e-4, 0.999
"""Entries relative to the largest that may be zeros, and cosine of two vectors that are one."""
RANK = 1e-6
"""Ratio of singular values below which the drawn rows leave more than one vector."""
WRONG, SILENT = 0.01, 0.05
"""Part of the neurons at which a sample may disagree with its signal: not zero at an inactive neuron, or almost zero at an active one."""
REFINEMENTS = 2
"""Times that signals are computed anew from the neurons that their samples do not activate."""
EXTRA, CHOICES = 6, 500
"""Vectors beyond n that are kept, as some may be mixtures, and choices of n among them that are tried, those with most zeros first."""


class Sparse(NamedTuple):
    """The samples and signals of a whole batch."""

    X: Float[np.ndarray, "n d"]
    signals: Float[np.ndarray, "n m"]
    inverse: Float[np.ndarray, "n m"]
    """With ``inverse @ G`` the samples with their 1: the rows of the pseudo-inverse of the signals."""
    draws: int
    hits: int


def by_zeros(
    update: Float[np.ndarray, "m columns"],
    left: Float[np.ndarray, "m n"],
    W: Float[np.ndarray, "m d"],
    bias: Float[np.ndarray, " m"],
    rng: np.random.Generator,
    go_on: Callable[[], bool],
) -> tuple[Sparse | None, int, int]:
    """All samples, or None; and how many rows were drawn, how many signals were found.

    ``update`` has the bias' column last; ``left`` is an orthonormal basis of its column space. Cost: O(n^3 + m n) for each draw.
    """
    n = left.shape[1]
    sizes = np.linalg.norm(left, axis=1)
    alive = left[sizes > ZERO * sizes.max()]  # a neuron that no sample activates says nothing
    found, draws, tried = np.zeros((0, n)), 0, 0
    while draws < MOST_DRAWS and go_on():
        found, draws = _more(found, alive, rng), draws + (DRAWS if n > 1 else 1)
        if n <= len(found) and len(found) != tried:
            tried = len(found)
            order = np.argsort(-np.sum(_zeros(found @ left.T), axis=1), kind="stable")
            for members in islice(combinations(order, n), CHOICES):
                batch = _batch(update, found[list(members)] @ left.T, W, bias)
                if batch is None:
                    continue
                for _ in range(REFINEMENTS):  # an entry may be small without being zero
                    active = batch[0] @ W.T + bias > 0
                    exact = np.array([np.linalg.svd(left[~own])[2][-1] for own in active])
                    batch = _batch(update, exact @ left.T, W, bias) or batch
                return Sparse(*batch, draws, len(found)), draws, len(found)
        if len(found) == n + EXTRA:
            break
    return None, draws, len(found)


def _batch(
    update: Float[np.ndarray, "m columns"],
    signals: Float[np.ndarray, "n m"],
    W: Float[np.ndarray, "m d"],
    bias: Float[np.ndarray, " m"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Samples, signals and the inverse of these; None unless each sample activates the neurons at which its signal is not zero."""
    inverse = np.linalg.pinv(signals.T)
    rows = inverse @ update
    ones = rows[:, -1:]
    if not np.abs(ones).min() > RANK * np.abs(rows).max():
        return None
    X = rows[:, :-1] / ones
    active = X @ W.T + bias > 0
    # where no signal arrives, it is zero at active neurons too, but at inactive ones always
    if np.mean(~active & ~_zeros(signals), axis=1).max() > WRONG or np.mean(active & _zeros(signals), axis=1).max() > SILENT:
        return None
    return X, signals * ones, inverse / ones


def _zeros(vectors: Float[np.ndarray, "k m"]) -> Bool[np.ndarray, "k m"]:
    return np.abs(vectors) <= ZERO * np.abs(vectors).max(axis=1, keepdims=True)


def _more(found: Float[np.ndarray, "k n"], left: Float[np.ndarray, "alive n"], rng: np.random.Generator) -> Float[np.ndarray, "_ n"]:
    """What some draws add to the coordinates that are known.

    A mixture of signals is zero where all of them are, and at drawn rows that fix their shares: so the other zeros must fix a vector alone.
    """
    alive, n = left.shape
    if n == 1:
        return np.ones((1, 1))
    chosen = rng.integers(0, alive, (DRAWS, n - 1))
    _, values, right = np.linalg.svd(left[chosen])
    vectors = right[:, -1] @ left.T
    good = (np.sum(_zeros(vectors), axis=1) >= n - 1 + SURPLUS) & (values[:, -1] > RANK * values[:, 0])
    for rows, vector in zip(chosen[good], vectors[good], strict=True):
        zeros = _zeros(vector[None])[0]
        zeros[rows] = False
        _, spread, again = np.linalg.svd(left[zeros])
        if len(spread) < n or not spread[-2] > RANK * spread[0]:
            continue
        y = again[-1]
        if len(found) < n + EXTRA and not (len(found) and np.abs(found @ y).max() > AGAIN):
            found = np.vstack([found, y])
    return found

r"""SPEAR, implemented after the paper's description: the batch of a ReLU layer from the sparsity of its signals.

The update of a layer is :math:`G = U X` with signals :math:`U` (m × n) and inputs :math:`X` (n × d). For a factorisation
:math:`G = L R` of rank n there is one invertible Q with :math:`U = L Q`, :math:`X = Q^{-1} R`. Column i of U is zero at the neurons that
sample i does not activate, so the kernel of n − 1 rows of L is column i of Q (up to scale) if all of these rows are such neurons. Rows are
drawn at random, kernel vectors whose image has many zeros are kept, and independent ones with the most zeros are chosen greedily. The bias
update fixes the scales, :math:`G_b = U 1`. The search ends when signals are zero just where pre-activations are negative.

Choices of this implementation, for speed: n rows are drawn at a time, and the columns of their inverse are the kernel vectors of all
their subsets of n − 1; a column is first tried on a few other neurons; only the greedy choice is kept, because what it leaves out would
never come in again (the zeros of a combination are common to its parts, so it ranks behind them); the paper's exchanges by agreeing signs
are therefore not needed, and the share of agreeing signs only ends the search. Arithmetic in float64.

References
----------
Dimitrov, Baader, Müller, Vechev, "SPEAR: Exact Gradient Inversion of Batches in Federated Learning", NeurIPS 2024 (arXiv:2403.03945).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from identify.recovery.separation.factors import factors_of

ZERO = 1e-6
"""Entry of a signal that counts as zero, relative to the largest one."""
SPARSE = 0.1
"""Share of zeros from which on a direction is kept: half of the neurons are expected before training, a quarter was seen after it."""
TESTED, LEAST = 16, 2
"""Neurons on which a direction is first tried, and zeros among them: one direction of 4000 is lost by chance."""
DRAWN = 2**14
"""Kernel vectors of one round, about."""
INDEPENDENT = 1e-6
"""Distance of a unit vector from the span of others, at least."""


class Search:
    """Rows of L are drawn; the greedy choice among all directions so far is kept, as unit columns, with their shares of zeros."""

    def __init__(self, L: np.ndarray, seed: int):
        self.L, self.rng, self.looked_at = L, np.random.default_rng(seed), 0
        self.kept, self.shares = np.zeros((L.shape[1], 0)), np.zeros(0)
        size = np.linalg.norm(L, axis=1)
        alive = size > 1e-12 * size.max()
        rows = L[alive] / size[alive, None]
        self.rows = rows
        self.first = ~np.triu(np.abs(rows @ rows.T) > 1 - 1e-12, 1).any(axis=0)
        """Whether no earlier row is parallel, as those of neurons are that one and the same sample alone activates."""

    def round(self) -> bool:
        """Draw rows, and keep what is sparse; whether the choice has changed."""
        n = self.L.shape[1]
        if n == 1:
            return self._choose(np.ones((1, 1)))
        order = self.rng.permutation(len(self.rows))
        tests, pool = self.rows[order[:TESTED]], self.rows[order[TESTED:][self.first[order[TESTED:]]]]
        if len(pool) < n:
            return False
        blocks = len(pool) // n  # disjoint sets of rows in each permutation
        permuted = self.rng.permuted(np.tile(np.arange(len(pool)), (max(DRAWN // (n * blocks), 1), 1)), axis=1)
        vectors = self._inverses(pool[permuted[:, : n * blocks].reshape(-1, n)])
        self.looked_at += len(vectors) * n
        at_tests = np.abs(np.matmul(tests, vectors))
        good = np.argwhere(np.sum(at_tests < ZERO * at_tests.max(axis=1, keepdims=True), axis=1) >= LEAST)
        return len(good) > 0 and self._choose(vectors[good[:, 0], :, good[:, 1]].T)

    def _inverses(self, matrices: np.ndarray) -> np.ndarray:
        try:
            return np.linalg.inv(matrices)
        except np.linalg.LinAlgError:  # one of them is singular, exactly
            return np.linalg.inv(matrices + 1e-10 * self.rng.standard_normal(matrices.shape))

    def _choose(self, fresh: np.ndarray) -> bool:
        fresh = fresh / np.linalg.norm(fresh, axis=0)
        images = np.abs(self.L @ fresh)
        shares = np.mean(images < ZERO * images.max(axis=0), axis=0)
        together = np.hstack([self.kept, fresh[:, shares >= SPARSE]])
        own = np.append(self.shares, shares[shares >= SPARSE])
        before, order = self.kept.shape[1], np.argsort(-own, kind="stable")
        chosen = order[independent(together[:, order])]
        if len(chosen) == before and chosen.max(initial=-1) < before:
            return False
        refined = [self._refined(together[:, k]) if k >= before else together[:, k] for k in chosen]
        self.kept, self.shares = np.array(refined).T, own[chosen]
        return True

    def _refined(self, q: np.ndarray) -> np.ndarray:
        """The kernel of all rows that are zero."""
        image = np.abs(self.L @ q)
        return np.linalg.svd(self.L[image < ZERO * image.max()])[2][-1]


def independent(directions: np.ndarray) -> list[int]:
    """The first columns that are independent of those before them."""
    n, chosen = len(directions), []
    basis = np.zeros((n, 0))
    for k, q in enumerate(directions.T):
        rest = q - basis @ (basis.T @ q)
        rest -= basis @ (basis.T @ rest)
        size = np.linalg.norm(rest)
        if size > INDEPENDENT:
            basis = np.hstack([basis, (rest / size)[:, None]])
            chosen.append(k)
            if len(chosen) == n:
                break
    return chosen


def spear(
    W: np.ndarray,
    b: np.ndarray,
    target: np.ndarray,
    target_bias: np.ndarray,
    samples: int,
    *,
    seed: int,
    go_on: Callable[[], bool],
    sketched: bool = False,
) -> tuple[np.ndarray, dict[str, float]]:
    """Candidates for the inputs of a ReLU layer from its update, and numbers of the search.

    Parameters
    ----------
    W, b
        The layer.
    target, target_bias
        Its update.
    samples
        n, at most the rank of the update.
    seed
        Of the rows.
    go_on
        Asked after every round.
    sketched
        With identify's decomposition of the update in place of LAPACK's.
    """
    U, s, V = factors_of(target, 2.0**-53) if sketched else np.linalg.svd(target, full_matrices=False)
    n = min(samples, int(np.sum(s > 1e-13 * s[0])), len(V))
    L, R = U[:, :n], s[:n, None] * V[:n]
    search, WR = Search(L, seed), W @ R.T

    def answer(Q: np.ndarray) -> tuple[np.ndarray, float]:
        """The samples, and the share of (neuron, sample) pairs whose signal is zero just when the neuron is off."""
        inverse = np.linalg.inv(Q)
        scale = inverse @ (L.T @ target_bias)
        inverse = inverse / np.where(np.abs(scale) > 1e-300, scale, 1e-300)[:, None]
        image = np.abs(L @ Q)
        return inverse @ R, float(np.mean((image < ZERO * image.max(axis=0)) == (WR @ inverse.T + b[:, None] <= 0)))

    best = np.zeros((0, len(V[0]))), 0.0
    while best[1] < 1:
        if search.round() and search.kept.shape[1] == n:
            best = max(best, answer(search.kept), key=lambda found: found[1])
        if not go_on():
            break
    directions = search.kept.shape[1]
    if directions < n:  # any others in place of those that are missing: every sample needs all of them
        filled = np.hstack([search.kept, np.eye(n)])
        best = answer(filled[:, independent(filled)])
    return best[0], {"directions": directions, "looked at": search.looked_at, "signs": best[1]}

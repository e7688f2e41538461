r"""Theorem A2 from disjoint bases of slopes: for more samples than inputs, for the second update alone, and for the first one alone.

Let :math:`s_j` be the slopes of neuron j at the n samples. Forward: a competitor x' has features :math:`\sum_i \eta_i h(x_i)`, so that
neuron j asks :math:`\tilde w_j\cdot(s'_j \tilde x' - \sum_i \eta_i s_{ij} \tilde x_i) = 0`. Backward, in two layers: its column is
:math:`\sum_i \zeta_i u_i`, so that :math:`a_j\cdot(s'_j \gamma' - \sum_i \zeta_i s_{ij} \gamma_i) = 0`. In both cases a hyperplane for
weights of neuron j, unless the vector in parentheses vanishes: then the neuron is *free*. Write :math:`y_i` for :math:`\tilde x_i`
or :math:`\gamma_i`, vectors in D = d + 1 or C dimensions, any :math:`\kappa` of them independent, and E for the support of
:math:`\eta` or :math:`\zeta`.

* If no neuron that sees a sample of E is free, there are :math:`D + |E| - 1 - q` dimensions, and all neurons that see one of E.
* Otherwise there are at most :math:`|E| - 1`, and :math:`D - \kappa` more if :math:`|E| > \kappa`. The vectors
  :math:`(s_j|_E, s'_j)` of free neurons are in the kernel of the matrix with columns :math:`\eta_i y_i` and :math:`-y'`, of dimension
  at most :math:`|E| + 1 - \min(|E|, \kappa)`. Of every basis of :math:`\mathbb{R}^n` among the :math:`s_j` at least
  :math:`\min(|E|, \kappa) - 1` are not free.

So these networks have measure zero if every sample is seen by :math:`D + n - q` neurons, and there are k disjoint bases with
:math:`k \ge 2` and :math:`k(\kappa - 1) \ge n + D - \kappa` if :math:`n > \kappa`. If multipliers may depend on the network, the
:math:`\zeta_i\gamma_i` are arbitrary vectors, any two of them independent: C (n + 1) neurons and 2 C bases are enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Int

from identify.base.limits import is_affordable, refuse_when_spent
from identify.base.rows import equal_rows
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.separation import Route
from identify.exact.elimination import leading_columns
from identify.exact.modular import rank, rank_seconds, residue, residues
from identify.exact.rings import Modular
from identify.problem.activation import PiecewiseLinear

MOST_SETS = 5000
"""Sets of vectors whose independence is looked at."""
ORDERS = 3
"""Orders of the neurons that are tried."""


@dataclass(frozen=True)
class Requirement:
    """What one route needs: neurons that see each sample, and disjoint bases; of which layers' updates (from 1) the rank must be n."""

    route: Route
    seen: int
    bases: int
    ranks: tuple[int, ...]
    any_multipliers: bool
    independent: int
    """κ: so many of the vectors are independent, whichever are taken."""


@dataclass(frozen=True)
class Found:
    """A requirement that is met, with the bases."""

    requirement: Requirement
    seen: int
    bases: list[list[int]]


def is_about(question: NetworkQuestion) -> list[Route]:
    """The routes that the observed layers allow."""
    sigma = question.sigma
    if not isinstance(sigma, PiecewiseLinear) or not question.is_exact or question.data is None or question.is_self_trained:
        return []
    rows = question.affine[0] or (not question.biases[0] and sigma.is_homogeneous)
    forward = question.features_can_count and sigma.is_homogeneous and question.biases[0]
    backward = question.rows_can_count and question.depth == 2 and rows and question.outputs > 1
    return [Route.FORWARD] * bool(forward) + [Route.BACKWARD] * bool(backward)


def by_bases(question: NetworkQuestion) -> Found | None:
    """The first requirement that is met. Cost: the independence of sets of vectors, and k eliminations of n by m slopes."""
    for route in is_about(question):
        ring, pieces = question.ring(), question.first_pieces
        assert isinstance(ring, Modular) and pieces is not None
        if pieces.on_kink[0].any():
            return None
        table = np.array([residue(s, ring.q) for s in pieces.table(0)], dtype=np.int64)
        slopes = table[pieces.codes(0)]
        least = int((np.array(pieces.table(0)) != 0)[pieces.codes(0)].sum(axis=1).min())
        for needed in requirements(question, route, ring.q):
            if least < needed.seen or question.neurons < needed.bases * question.samples:
                continue
            if not all(question.counted[layer - 1] for layer in needed.ranks):
                continue
            if route is Route.FORWARD and not question.multipliers_are_determined:
                continue
            bases = disjoint_bases(slopes, needed.bases, ring.q, np.random.default_rng([question.seed, 0xBA5E]))
            if bases is not None:
                return Found(needed, least, bases)
    return None


def requirements(question: NetworkQuestion, route: Route, q: int) -> list[Requirement]:
    """Those of one route at the given data: for any multipliers first."""
    assert question.data is not None
    n, C, (X, c) = question.samples, question.outputs, question.data
    if route is Route.FORWARD:
        vectors = np.hstack([residues(X, q), np.ones((n, 1), np.int64)])
        kappa, size = independent(vectors, q), question.inputs + 1
        if n > 1 and kappa < 2:
            return []
        return [Requirement(route, size + n - question.affine[1], _bases(n, size, kappa), (2,), True, kappa)]
    kappa = independent(residues(np.reshape(c, (n, C)), q), q)
    if n > 1 and kappa < 2:
        return []
    rows, features = question.affine
    ranks = (1, 2) if features and not rows and question.features_can_count else (1,)
    every = Requirement(route, C * (n + 1), 2 * C * (n > 1), ranks, True, min(kappa, 2))
    return [every, Requirement(route, C + n, _bases(n, C, kappa), ranks, False, kappa)]


def _bases(n: int, size: int, kappa: int) -> int:
    """k."""
    if n == 1:
        return 0
    return 2 if n <= kappa else max(2, -(-(n + size - kappa) // (kappa - 1)))


def independent(vectors: Int[np.ndarray, "n D"], q: int) -> int:
    """κ such that any κ of the vectors are independent modulo q: the largest for which the sets are not too many."""
    n, size = vectors.shape
    for kappa in range(min(n, size), 2, -1):
        if comb(n, kappa) <= MOST_SETS and all(rank(vectors[list(chosen)], q) == kappa for chosen in combinations(range(n), kappa)):
            return kappa
        refuse_when_spent("sets of vectors")
    lines = set()
    for vector in vectors:
        lead = vector[np.flatnonzero(vector)[:1]]
        if not len(lead):
            return 0
        lines.add(tuple((vector * pow(int(lead[0]), -1, q) % q).tolist()))
    return min(n, 2 if len(lines) == n else 1)


def disjoint_bases(slopes: Int[np.ndarray, "n m"], count: int, q: int, rng: np.random.Generator) -> list[list[int]] | None:
    """So many sets of n neurons, no two with one in common, each with independent slopes; None if a greedy search finds fewer."""
    n, m = slopes.shape
    if not is_affordable(ORDERS * count * rank_seconds(n, m)):
        return None
    _, pattern = equal_rows(np.ascontiguousarray(slopes.T))
    for attempt in range(ORDERS):
        left, found = rng.permutation(m), list[list[int]]()
        while len(found) < count:
            refuse_when_spent("bases of slopes")
            if not attempt:  # neurons of frequent patterns first: the rare ones are kept for bases that need them
                left = left[np.argsort(-np.bincount(pattern[left])[pattern[left]], kind="stable")]
            chosen = leading_columns(slopes[:, left], q)
            if len(chosen) < n:
                break
            found.append(sorted(left[chosen].tolist()))
            left = np.delete(left, chosen)
        if len(found) == count:
            return found
    return None

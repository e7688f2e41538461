r"""Theorem A2: counts of the activation pattern that make the data unique, for almost every network with that pattern.

:math:`\sigma` has two slopes and its kink at 0 (ReLU, leaky ReLU, abs). Let :math:`G_1` and :math:`G_2` have rank n. A competitor is
:math:`x' = \sum_i \xi_i x_i` with :math:`h(x') = \sum_i \eta_i h(x_i)`. Neuron j, with slopes :math:`s_{ij}` at the samples and
:math:`s'_j` at x', asks :math:`\tilde w_j\cdot\sum_i (s'_j \xi_i - \eta_i s_{ij})\,\tilde x_i = 0`: a hyperplane for its weights, unless
:math:`s'_j \xi_i = \eta_i s_{ij}` for all i, and then it is free. If for every set E of samples (the support of :math:`\eta`) more neurons
are not free than :math:`(\xi, \eta)` has dimensions, the networks that have a competitor are a set of measure zero. Counting leads to

* at least :math:`n - p + |E| - q + 1` neurons see one of E (with a slope that is not zero);
* at least :math:`|E| - \max(p, q) + 1` neurons see the samples of E with more than one slope, for :math:`|E| \ge 2`;
* two slopes that are not zero: for every two samples :math:`n - \max(p, q) + 1` neurons see them alike, and every sample is seen with
  either slope by :math:`2 - \max(p, q)` neurons (not needed for abs, which does not tell opposite samples apart),

with p, q = 1 if the updates of the first and the second bias are known. For pairs these are counts; for all sets they are matchings
(Hall 1935; König), one maximum flow for each sample or pair. If only one of the updates has rank n, or another activation is in the first
layer, disjoint bases take the place of the counts: :mod:`identify.conditions.networks.bases`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Int

from identify.base.limits import is_affordable, refuse_when_spent
from identify.conditions.networks.bases import by_bases
from identify.conditions.networks.question import NetworkQuestion
from identify.problem.activation import PiecewiseLinear
from identify.problem.verdict import Arithmetic, Condition

REFERENCE = "Theorem A2 (docs, theory); Hall 1935 for all sets of samples"
FLOW_SECONDS = 3e-8
"""Per edge and unit of a flow, on one core (measured)."""


@dataclass(frozen=True)
class Counts:
    """Numbers of neurons: at the sample and at the pair of samples where they are smallest."""

    seen: int
    """with a slope that is not zero at a sample"""
    apart: int
    """with different slopes at two samples"""
    alike: int
    """with equal slopes at two samples"""
    either: int
    """with the rarer of the two slopes at a sample"""


def counts_of(high: Bool[np.ndarray, "n m"], zero_low: bool) -> Counts:
    """From which neurons are on the right piece at which sample; ``zero_low``: the left slope is zero. Cost O(n^2 m)."""
    on = high.astype(np.float32)
    n, m = high.shape
    total = on.sum(axis=1)
    both = on @ on.T
    apart = total[:, None] + total[None] - 2 * both
    off_diagonal = ~np.eye(n, dtype=bool)
    smallest = int(apart[off_diagonal].min()) if n > 1 else m
    largest = int(apart[off_diagonal].max()) if n > 1 else 0
    seen = int(total.min()) if zero_low else m
    return Counts(seen, smallest, m - largest, int(np.minimum(total, m - total).min()))


def pattern(question: NetworkQuestion) -> Condition:
    """Evaluate Theorem A2 at given data: by counts, or else by bases (:mod:`identify.conditions.networks.bases`).

    Cost: exact signs, two ranks modulo a prime, O(n^2 m); n^2 flows if the counts of pairs fail.
    """
    by_counts = _by_counts(question)
    found = None if by_counts.is_proved else by_bases(question)
    if found is None:
        return by_counts
    needed = found.requirement
    evidence = {"seen": found.seen, "bases": needed.bases, "needed": {"seen": needed.seen, "bases": needed.bases}}
    evidence |= {"neurons": question.neurons, "sets": "bases", "chosen": found.bases, "independent": needed.independent}
    evidence |= {"route": needed.route.name, "rank_of_layers": list(needed.ranks), "any_multipliers": needed.any_multipliers}
    statement = (
        f"every sample is seen by {needed.seen} neurons or more, and the slopes of {needed.bases} sets of {question.samples} neurons are "
        f"independent ({needed.route.value}): for almost every network with this pattern no other data fit"
    )
    if not needed.any_multipliers:
        statement += "; multipliers are taken as given beforehand, those of a loss depend on the network"
    return _condition(True, statement, evidence, Arithmetic.PROOF)


def _by_counts(question: NetworkQuestion) -> Condition:
    """The theorem for updates of the first two layers of rank n."""
    sigma, n = question.sigma, question.samples
    if question.is_self_trained:
        return _condition(None, "is about networks that do not depend on their data, unlike this one", {}, Arithmetic.NONE)
    if question.data is None:
        return _condition(None, "the data are needed: pass data=(X, c)", {}, Arithmetic.NONE)
    if not (isinstance(sigma, PiecewiseLinear) and sigma.is_homogeneous):
        return _condition(None, "is about activations with one kink, at 0, in the first layer", {}, Arithmetic.NONE)
    if not (question.rows_can_count and question.features_can_count):
        statement = "needs the updates of the first two layers, and of a width that allows rank n in both"
        return _condition(None, statement, {}, Arithmetic.NONE)
    pieces, rows, features = question.first_pieces, *question.affine
    assert pieces is not None
    if pieces.on_kink[0].any():
        statement = f"{int(pieces.on_kink[0].sum())} pre-activations lie exactly on a kink, as those of almost no network do"
        return _condition(None, statement, {}, Arithmetic.PROOF)
    zero, least = 0 in sigma.slopes, max(rows, features)
    high = pieces.index[0] == (0 if zero and sigma.slopes[1] == 0 else 1)
    found = counts_of(high, zero)
    needed = {"seen": 2 * n - rows - features + 1, "apart": n - least + 1 if n > 1 else 0}
    if not zero:
        needed["alike"] = n - least + 1 if n > 1 else 0
        if sigma.parity != 1:  # else the opposite of a sample is not another sample
            needed["either"] = 2 - least
    numbers = vars(found)
    evidence: dict = {name: numbers[name] for name in needed} | {"needed": needed, "neurons": question.neurons, "sets": "pairs"}
    failing = [name for name in needed if numbers[name] < needed[name]]
    by_sets = False
    if failing and zero and _sets_are_affordable(high):
        by_sets = holds_for_all_sets(high, n - rows - features + 1, 2 - least)
        evidence["sets"] = "all"
    if failing and not by_sets:
        listed = ", ".join(f"{WORDS[name]} {numbers[name]}, needed {needed[name]}" for name in failing)
        return _condition(False, f"the pattern tells the samples apart too little: {listed}", evidence, Arithmetic.PROOF)
    if not all(question.counted):
        return _condition(None, "the ranks of the first two updates are not proved to be n at these data", evidence, Arithmetic.NONE)
    if not question.multipliers_are_determined:
        return _condition(None, "the signals of these samples are not proved to determine their multipliers", evidence, Arithmetic.NONE)
    how = "for every set of samples, by matchings" if by_sets else ", ".join(f"{WORDS[name]} {numbers[name]}" for name in needed)
    statement = f"the activation pattern tells the samples apart ({how}): for almost every network with this pattern no other data fit"
    return _condition(True, statement, evidence, Arithmetic.PROOF)


WORDS = {
    "seen": "neurons that see a sample: at least",
    "apart": "neurons that tell two samples apart: at least",
    "alike": "neurons that see two samples alike: at least",
    "either": "neurons that see a sample with the rarer slope: at least",
}


def holds_for_all_sets(high: Bool[np.ndarray, "n m"], seen: int, apart: int) -> bool:
    """Whether at least |E| + ``seen`` neurons see one of E for every set E, and at least |E| - 1 + ``apart`` tell E apart for |E| >= 2.

    A set is told apart by the neurons that see some sample of it otherwise than a fixed one of it. So both are of the form: every set F of
    samples has at least |F| + k neighbours. That holds if and only if, for each sample taken k + 1 times, all can be matched.
    """
    if not _has_neighbours(high, seen):
        return False
    for first in range(len(high)):
        refuse_when_spent("matchings")
        differs = np.delete(high ^ high[first], first, axis=0)
        if len(differs) and not _has_neighbours(differs, apart):
            return False
    return True


def _has_neighbours(edges: Bool[np.ndarray, "n m"], more: int) -> bool:
    """Whether every set F of rows, not empty, has at least |F| + more columns."""
    n, m = edges.shape
    if more < 0:
        return _has_neighbours(np.hstack([edges, np.ones((n, -more), bool)]), 0)
    i, j = np.nonzero(edges)
    for chosen in range(n if more else 1):
        capacity = np.ones(n, np.int32)
        capacity[chosen] += more
        source, sink = n + m, n + m + 1
        heads = np.concatenate([np.full(n, source), i, n + np.arange(m)])
        tails = np.concatenate([np.arange(n), n + j, np.full(m, sink)])
        graph = scipy.sparse.csr_matrix(
            (np.concatenate([capacity, np.ones(len(i) + m, np.int32)]), (heads, tails)), shape=(n + m + 2, n + m + 2)
        )
        if scipy.sparse.csgraph.maximum_flow(graph, source, sink).flow_value < n + more:
            return False
    return True


def _sets_are_affordable(high: Int[np.ndarray, "n m"]) -> bool:
    n, m = high.shape
    return n * (n + 1) <= 3000 and is_affordable(FLOW_SECONDS * n * (n + 1) * n * m)


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("pattern", holds, statement, evidence, arithmetic, REFERENCE)

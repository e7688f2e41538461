r"""Whether a proof about recovered numbers carries over to data within their error bars.

Exact ranks see every rounding error: samples x, y and x + y that were recovered to sixteen digits are independent as numbers,
though the data are dependent, and a proof that rests on it says nothing about them. So each independence that a proof of uniqueness
rests on is looked at again in floating point: the smallest singular value of the (normalised) vectors must exceed what the error bars
can do to them. The vectors are :math:`(x_i^{\otimes k})_{k \in S}`, times the multipliers in one factor, and enter by their Gram matrix
:math:`\sum_{k \in S} (x_i \cdot x_j)^k`. Floating point: this withholds claims, and makes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Float

from identify.base.norms import row_sizes
from identify.conditions.judgement import ALMOST_EVERY, CELL_OFF_KINKS_SCOPE, CELL_SCOPE, SINGLE, scope_by
from identify.conditions.networks.known import Known
from identify.conditions.networks.question import NetworkQuestion, passes_seconds
from identify.exact.enclosures import TINY, UNIT, Enclosure, enclosed
from identify.exact.pieces import pieces_within
from identify.exact.rings import Intervals, Passes, passes
from identify.problem.activation import PiecewiseLinear
from identify.problem.system import KKTSystem
from identify.problem.verdict import Condition, Report, Scope
from identify.recovery.solution import Recovery

CELLS = (CELL_SCOPE, CELL_OFF_KINKS_SCOPE)
"""Scopes of proofs that read the activation pattern only."""
SAFETY = 10.0
"""Singular values must exceed the effect of the error bars by this factor: the bars are standard deviations, to first order."""
LEAST = 1e-6
"""Singular values below this count as zero: they come from Gram matrices in double precision."""
MARGIN = 1.01
"""A factor for the rounding of a product of two norms."""
SUBSETS = 3000
"""Subsets looked at for a Kruskal rank, at most; larger ones are not claimed by the conditions either."""


ONLY_EXACT = ("one-sample", "macaulay", "completion")
"""Conditions whose ranks are not looked at in floating point, so that proofs by them stay with the exact numbers."""


def rests_on_exact_numbers(report: Report) -> str | None:
    """The condition in :data:`ONLY_EXACT` without which the report would not say UNIQUE; None if others prove it."""
    proved = {condition.name for condition in report.conditions if condition.is_proved}
    if {"interpolation", "decomposition", "scale"} <= proved:
        return None
    return next((name for name in ONLY_EXACT if name in proved), None)


def carries_over(system: KKTSystem, recovery: Recovery, report: Report) -> bool:
    """Whether the conditions that prove uniqueness of the recovered numbers hold beyond their error bars.

    Cost O(n^3), and that of up to 3000 small eigenvalue problems for each Kruskal rank.
    """
    if rests_on_exact_numbers(report) is not None:
        return False
    size = float(np.sqrt((recovery.X**2).sum(axis=1).mean())) or 1.0
    error = float(recovery.error_bars.max()) / size
    degree = system.network.activation.degree
    least = max(SAFETY * degree * error, LEAST)
    if not least < 1:  # infinite, or not known
        return False
    X, c = recovery.X / size, recovery.c.reshape(recovery.n_samples, -1)
    conditions = {condition.name: condition for condition in report.conditions}
    if conditions["reduction"].holds and _smallest(_gram(X, (0, 1) if system.observed.bias else (1,))) <= least:
        return False
    evidence = conditions["decomposition"].evidence
    for place, (degrees, rank) in enumerate(zip(evidence.get("degree_sets", ()), evidence.get("kruskal_ranks", ()), strict=True)):
        multipliers = c if place == 0 and c.shape[1] > 1 else None
        if not _has_kruskal_rank(_gram(X, degrees, multipliers), rank, least):
            return False
    fixing = set(conditions["scale"].evidence.get("fixing_degrees", ())) - set(evidence.get("fixed_degrees", ()))
    return all(_smallest(_gram(X, (k,), c)) > least for k in fixing)


@dataclass(frozen=True, eq=False)
class _Near(Intervals):
    """Intervals around samples that are known to a distance: a pre-activation moves by that distance times the norm of its weights."""

    X: Enclosure
    room: Float[np.ndarray, "n 1"]

    def dot(self, A: Enclosure, matrix: Float[np.ndarray, "k columns"]) -> Enclosure:
        if A is not self.X:
            return super().dot(A, matrix)
        steps = A.mid.shape[1] + 2
        rounding = steps * UNIT / (1 - steps * UNIT)  # relative to the product of the sizes, and so to that of the norms (Cauchy, Schwarz)
        with np.errstate(over="ignore", invalid="ignore"):  # where nothing is known, the radius is infinite
            reach = rounding * MARGIN * row_sizes(A.mid)[:, None] + self.room
            return enclosed(A.mid @ matrix, MARGIN * reach * row_sizes(matrix.T) + TINY * steps)


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """All data within the error bars of a recovery, in intervals: both passes through the network."""

    question: NetworkQuestion
    known: Known
    at: Passes

    @classmethod
    def of(cls, system: KKTSystem, recovery: Recovery, seconds: float = np.inf) -> Neighbourhood | None:
        """None if an error bar is not finite, or if the passes would take longer."""
        if not np.isfinite(recovery.error_bars).all():
            return None
        net, n = system.network, recovery.n_samples
        c = recovery.c.reshape(n, -1)
        question = NetworkQuestion.of_system(system, n, 0, (recovery.X, c))
        if passes_seconds(question) > seconds:
            return None
        lengths = np.maximum(np.linalg.norm(recovery.X, axis=1), 1e-300)
        room = SAFETY * recovery.error_bars[:, None]
        X = Enclosure(recovery.X, np.broadcast_to(room, recovery.X.shape))
        with np.errstate(over="ignore", invalid="ignore"):
            multipliers = enclosed(c, np.abs(c) * (room / lengths[:, None]))  # of a sample of zeros any number
        at = passes(_Near(net.activations, X, room), net, X, multipliers)
        return cls(question, Known(at=at), at)


def scope_that_carries_over(near: Neighbourhood, report: Report) -> Scope | None:
    """The same for a network of any activation and depth: the scope of a proof, in intervals, for all data within the error bars.

    Which condition decided depends on the time that there was; any other one that proves uniqueness serves as well.

    In the first layer the pieces of a piecewise-linear activation must be the same for all of them, and the ranks that count the samples
    full; a slope of a deeper layer may be either one. A proof that rests on the numbers themselves, beyond the activation pattern, is not
    carried over.
    """
    for name in SINGLE:
        condition = next((each for each in report.conditions if each.name == name), None)
        if condition is not None and condition.is_proved and not (name in ALMOST_EVERY and _is_doubted(report)):
            scope, _ = scope_by(condition, data_are_given=True)
            if _carries_over(near, condition, scope):
                return scope
    return None


def _is_doubted(report: Report) -> bool:
    """Whether a competitor was found in this network, so that theorems about almost every network do not speak of it."""
    return any(each.name == "competitors" and each.holds is False for each in report.conditions)


def _carries_over(near: Neighbourhood, condition: Condition, scope: Scope) -> bool:
    if scope.network == "this network" and scope.data not in CELLS:
        return False
    if condition.name == "pattern" and condition.evidence["sets"] == "bases":
        return False
    first = near.question.activations[0]
    if isinstance(first, PiecewiseLinear) and pieces_within(first, near.at.before[0])[1].any():
        return False
    layers = (0,) if scope.data in CELLS else (0, 1)
    if scope.network == "generic network":
        layers = tuple(layer - 1 for layer in condition.evidence["rank_of_layers"])
    return all(near.known.counts(near.question, layer) for layer in layers)


def _gram(
    X: Float[np.ndarray, "n d"], degrees: Sequence[int], multipliers: Float[np.ndarray, "n C"] | None = None
) -> Float[np.ndarray, "n n"]:
    """Inner products of the vectors, each of unit length unless it is zero."""
    inner = X @ X.T
    gram = np.sum([inner**k for k in degrees], axis=0)
    if multipliers is not None:
        gram = gram * (multipliers @ multipliers.T)
    lengths = np.sqrt(np.diag(gram))
    lengths = np.where(lengths > 0, lengths, 1.0)
    return gram / lengths[:, None] / lengths


def _smallest(gram: Float[np.ndarray, "n n"]) -> float:
    """The smallest singular value of the vectors with these inner products."""
    return float(np.sqrt(max(np.linalg.eigvalsh(gram)[0], 0.0)))


def _has_kruskal_rank(gram: Float[np.ndarray, "n n"], rank: int, least: float) -> bool:
    """Whether every so many of the vectors are independent, with singular values above ``least``."""
    n = len(gram)
    if rank == n:
        return _smallest(gram) > least
    if comb(n, rank) > SUBSETS:
        return False
    rows = np.array(list(combinations(range(n), rank)))
    values = np.linalg.eigvalsh(gram[rows[:, :, None], rows[:, None, :]])
    return bool(np.sqrt(np.maximum(values[:, 0], 0.0)).min() > least)

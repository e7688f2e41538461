r"""Theorem B: for a piecewise-linear network the quadrics of single samples have a kernel of dimension n, so the data are unique.

Let :math:`\sigma'` take the values :math:`\alpha, \beta`. Whatever the sample, each neuron satisfies a quadric:

* backward (the first layer's update has rank n): :math:`(v_j - \alpha r_j)(v_j - \beta r_j) = 0` for its column
  :math:`v = \sum_i z_i u_i^1`. For two layers :math:`r_j = a_j\cdot\gamma`; for more :math:`r = W_2^\top \sum_i y_i u_i^2`, if
  :math:`G_2` has rank n too;
* forward (both have rank n, kink at 0): :math:`(h_j - \alpha z_j)(h_j - \beta z_j) = 0` for :math:`h = \sum_i \eta_i h_i` and
  :math:`z_j = \sum_i \xi_i \tilde w_j \cdot \tilde x_i`.

They are linear in the products of the unknowns: of the coefficients of v (or h) with one another, with those of r (or z), and of these with
one another, as far as :math:`\alpha + \beta` and :math:`\alpha\beta` are not zero. The n samples are n vectors in the kernel, with
independent first blocks :math:`e_i e_i^\top`. If the kernel has dimension n, a competitor's first block is a combination of these and of
rank one, so its coefficients are a multiple of one :math:`e_k`, and the other blocks give the same multiple of the rest. A rank modulo a
prime that is the number of columns minus n proves it. In coordinates of the samples themselves nothing is rounded.

With one output and two layers, all coefficients divide out and only the activation pattern remains: then the statement holds for all
independent data in the same activation cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import partial

import numpy as np
from jaxtyping import Int

from identify.base.limits import refuse_above
from identify.conditions.networks.question import NetworkQuestion
from identify.exact.enclosures import Enclosure, has_full_column_rank
from identify.exact.modular import (
    BLOCKED,
    LARGE,
    RankResult,
    certified_rank,
    certified_rank_seconds,
    multiply,
    rank_up_to,
    residue,
    residues,
)
from identify.exact.rings import Modular, Passes, concatenated, passes
from identify.problem.activation import PiecewiseLinear
from identify.problem.verdict import Arithmetic, Condition

REFERENCE = "Theorem B (docs, theory): a kernel of linearised quadrics, and rank one"
AT_ONCE = 2**22
"""Entries that are built at once, about: 32 MiB for each array on the way."""


class Equations(Enum):
    """Which quadrics; the value says of what."""

    BACKWARD = "columns of the first layer's update"
    BOTH_SIGNALS = "columns of the first two layers' updates"
    FORWARD = "features of the first layer"


@dataclass(frozen=True)
class Quadrics:
    """The quadrics (v - α r)(v - β r) = 0, v and r linear in unknowns: n of them in v, ``others`` in r; ``lines``: linear ties of both."""

    equations: Equations
    samples: int
    others: int
    low: Fraction
    high: Fraction
    neurons: int
    ranks: tuple[int, ...]
    """The layers, from 1, whose update must have rank n."""
    off_kinks: bool = False
    """Whether they hold for samples on no kink only."""
    ties: bool = False

    @property
    def columns(self) -> int:
        """Products of unknowns that enter."""
        n, k = self.samples, self.others
        return n * (n + 1) // 2 + n * k * bool(self.low + self.high) + k * (k + 1) // 2 * bool(self.low * self.high)

    @property
    def rows(self) -> int:
        return self.neurons + self._tied

    @property
    def needed(self) -> int:
        """The rank that proves a kernel of dimension n, and the columns of the matrix."""
        return self.columns - self.samples

    @property
    def _tied(self) -> int:
        if not self.ties:
            return 0
        return self.samples * bool(self.low + self.high) + self.others * bool(self.low * self.high and self.low + self.high)

    def matrix(self, v: Int[np.ndarray, "m n"], r: Int[np.ndarray, "m k"], q: int) -> Int[np.ndarray, "rows needed"]:
        """Modulo q; one row for each neuron, and for each tie.

        The columns of the squares of the first n unknowns are left out. For each sample the kernel has a vector with one 1 and otherwise 0
        there, so they depend on the others; what is left has full column rank if and only if the kernel has dimension n.
        """
        linear, square = residue(-(self.low + self.high), q), residue(self.low * self.high, q)
        out, mixed = np.empty((self.rows, self.needed), dtype=np.int64), self.samples * (self.samples - 1) // 2
        step = max(AT_ONCE // self.columns, 1)
        for top in range(0, len(v), step):
            few, forms, into = v[top : top + step], r[top : top + step], out[top : min(top + step, len(v))]
            into[:, :mixed] = _products(few, 1, q)
            if self.low + self.high:
                across = (linear * forms % q)[:, None, :] * few[:, :, None]
                into[:, mixed : mixed + self.samples * self.others] = across.reshape(len(few), -1) % q
            if self.low * self.high:
                pairs = self.others * (self.others + 1) // 2
                into[:, -pairs:] = square * _products(forms, 0, q) % q
        if self._tied:
            out[len(v) :] = np.delete(self._ties(q), np.diag(_positions(self.samples)), axis=1)
        return out

    def _ties(self, q: int) -> np.ndarray:
        """Σ η - Σ ξ = 0 times each η_i, and times each ξ_i if all products are there; in all columns."""
        n, k = self.samples, self.others
        own, mixed, other = _positions(n), n * (n + 1) // 2 + np.arange(n * k).reshape(n, k), n * (n + 1) // 2 + n * k + _positions(k)
        rows = np.zeros((self._tied, self.columns), dtype=np.int64)
        for i in range(n):
            rows[i, own[i]] = 1
            rows[i, mixed[i]] = q - 1
        for i in range(len(rows) - n):
            rows[n + i, mixed[:, i]] = 1
            rows[n + i, other[i]] = q - 1
        return rows


def _products(v: Int[np.ndarray, "m n"], above: int, q: int) -> Int[np.ndarray, "m pairs"]:
    """Coefficients of the products z_i z_k, k >= i + above, in the squares of linear forms."""
    first, second = np.triu_indices(v.shape[1], above)
    out = v[:, first]
    out *= v[:, second]
    out %= q
    out *= np.where(first == second, 1, 2)
    out %= q
    return out


def _positions(n: int) -> Int[np.ndarray, "n n"]:
    """Where the product of two unknowns is in that list."""
    at = np.zeros((n, n), dtype=int)
    at[np.triu_indices(n)] = np.arange(n * (n + 1) // 2)
    return np.maximum(at, at.T)


def slopes_of(sigma: PiecewiseLinear) -> tuple[Fraction, Fraction] | None:
    """The two values of the slope, if there are two."""
    values = sorted(set(sigma.slopes))
    return (values[0], values[1]) if len(values) == 2 else None


def candidates(question: NetworkQuestion) -> list[Quadrics]:
    """The quadrics that the observed layers allow, those of the smallest matrix first."""
    sigma = question.sigma
    slopes = slopes_of(sigma) if isinstance(sigma, PiecewiseLinear) else None
    if slopes is None:
        return []
    assert isinstance(sigma, PiecewiseLinear)
    n, m, (rows, features) = question.samples, question.neurons, question.affine
    scale_is_settled = rows or (not question.biases[0] and sigma.is_homogeneous)
    off_kinks = not set(sigma.kinks) <= set(slopes)  # another sample that lies on a kink may not solve the quadrics of columns
    found = []
    if question.rows_can_count and question.depth == 2 and scale_is_settled:
        fixes = features and not rows and question.features_can_count  # the second update fixes scales, by a rank of n
        ranks = (1, 2) if fixes else (1,)
        found.append(Quadrics(Equations.BACKWARD, n, question.outputs, *slopes, m, ranks, off_kinks))
    if question.rows_can_count and question.features_can_count:
        signed = scale_is_settled or slopes[0] + slopes[1] != 0  # opposite slopes leave a sign, which the second bias does not fix
        if question.depth > 2 and (scale_is_settled or features) and signed:
            found.append(Quadrics(Equations.BOTH_SIGNALS, n, n, *slopes, m, (1, 2), off_kinks))
        if sigma.is_homogeneous:
            extra = question.biases[0] and not rows
            found.append(Quadrics(Equations.FORWARD, n, n + extra, *slopes, m, (1, 2), ties=bool(rows and features)))
    return sorted(found, key=lambda each: (each.off_kinks, each.needed))


def quadrics_seconds(question: NetworkQuestion) -> float:
    """Of the rank of the smallest matrix that can have it."""
    possible = [each for each in candidates(question) if each.needed <= each.rows]
    return certified_rank_seconds(possible[0].rows, possible[0].needed) if possible and question.data is not None else 0.0


def quadrics(question: NetworkQuestion) -> Condition:
    """Evaluate Theorem B at given data. Cost: exact signs, and a rank modulo a prime of m rows and about n²/2 to 3n²/2 columns."""
    every = candidates(question)
    if question.data is None:
        return _condition(None, "the data are needed: pass data=(X, c)", {}, Arithmetic.NONE)
    if not question.is_exact or not every:
        statement = "is about piecewise-linear activations of two slopes, and the update of the first layer, with its bias if it has one"
        return _condition(None, statement, {}, Arithmetic.NONE)
    evidence: dict = {"neurons": question.neurons, "needed": {each.equations.name.lower(): each.needed for each in every}}
    pieces = question.pieces
    assert pieces is not None
    stated = {question.sigma.kinks[k] for k in np.unique(pieces.index[0][pieces.on_kink[0]])}
    if not stated <= {every[0].low, every[0].high}:
        return _condition(None, "a sample lies on a kink whose stated slope is neither of the two", evidence, Arithmetic.PROOF)
    every = [each for each in every if each.needed <= each.rows]
    if not every:
        fewest = min(evidence["needed"].values())
        statement = f"{question.neurons} neurons give too few quadrics: a rank of {fewest} is needed"
        return _condition(False, statement, evidence, Arithmetic.PROOF)
    counted, tried = question.counted, []
    for each in every:
        if not all(counted[layer - 1] for layer in each.ranks):
            continue
        if each.equations is not Equations.BACKWARD and not question.multipliers_are_determined:
            continue
        refuse_above(16 * each.rows * each.needed, f"a {each.rows} by {each.columns} matrix of quadrics")
        found = (
            _rank_in_intervals(question, each)
            or _rank_at_first(question, each)
            or certified_rank(partial(_matrix, question, each), each.needed, seed=question.seed + 11, most=each.needed)
        )
        tried.append({"equations": each.equations.name.lower(), "rank": found.rank, "needed": each.needed, "columns": each.columns})
        if found.is_full:
            cell = each.equations is Equations.BACKWARD and question.outputs == 1
            evidence |= {"tried": tried, "rank": found.rank, "columns": each.columns, "primes": list(found.primes), "whole_cell": cell}
            evidence |= {"equations": each.equations.name.lower(), "rank_of_layers": list(each.ranks), "off_kinks": each.off_kinks}
            statement = (
                f"the quadrics of the {each.equations.value} have rank {found.rank} of {each.columns}, so their kernel has dimension "
                f"n = {question.samples}: only these samples solve them"
            )
            return _condition(True, statement, evidence, Arithmetic.PROOF)
    evidence["tried"] = tried
    if not tried:
        statement = "the ranks of the updates, or that signals determine multipliers, are not proved at these data"
        return _condition(None, statement, evidence, Arithmetic.NONE)
    best = tried[0]
    statement = (
        f"the quadrics have rank {best['rank']} modulo a prime, needed {best['needed']}: their kernel may contain more than the samples"
    )
    return _condition(False, statement, evidence, Arithmetic.EVIDENCE)


def _rank_in_intervals(question: NetworkQuestion, each: Quadrics) -> RankResult | None:
    """Full rank by intervals that were computed for another reason; None if they do not prove it.

    The n samples make up the kernel, which meets no vector without the squares of the first unknowns; so these columns are left out,
    as in :meth:`Quadrics.matrix`.
    """
    at = question.known.at
    if at is None or each.equations is not Equations.BOTH_SIGNALS or each.needed >= BLOCKED:
        return None
    v, r = at.signals[0].T, at.weighted[0].T
    parts = [_in_pairs(v, v, *np.triu_indices(each.samples, 1))]
    if each.low + each.high:
        parts.append(_in_pairs(v, r, *np.indices((each.samples, each.others)).reshape(2, -1)))
    if each.low * each.high:
        parts.append(_in_pairs(r, r, *np.triu_indices(each.others)))
    full = has_full_column_rank(concatenated(parts))
    return RankResult(each.needed, each.needed, (), 0.0, Arithmetic.PROOF) if full else None


def _in_pairs(A: Enclosure, B: Enclosure, i: np.ndarray, j: np.ndarray) -> Enclosure:
    """Column i of A times column j of B, entry by entry, for each pair."""
    return Enclosure(A.mid[:, i], A.rad[:, i]).times(Enclosure(B.mid[:, j], B.rad[:, j]))


def _rank_at_first(question: NetworkQuestion, each: Quadrics) -> RankResult | None:
    """Full rank modulo the prime of other conditions, which leave residues behind; None if it is not full there, or a large matrix."""
    if each.needed >= LARGE:
        return None
    ring = question.ring()
    assert isinstance(ring, Modular) and question.system is not None and question.data is not None
    if each.equations is Equations.BOTH_SIGNALS:  # needs no features
        weighted = ring.dot(ring.second_signals(question.system.network, question.data[1]), question.system.network.weights[1])
        matrix = each.matrix(ring.times(weighted, ring.slopes(0)).T, weighted.T, ring.q)
    else:
        matrix = _matrix_at(question, each, question.passes())
    found = rank_up_to(matrix, ring.q, each.needed, np.random.default_rng([question.seed, 0x9AD]))
    return RankResult(found, each.needed, (ring.q,), 0.0, Arithmetic.PROOF) if found >= each.needed else None


def _matrix(question: NetworkQuestion, each: Quadrics, q: int, rng: np.random.Generator) -> np.ndarray:
    assert question.system is not None and question.data is not None
    return _matrix_at(question, each, passes(Modular(q, question.activations, question.pieces), question.system.network, *question.data))


def _matrix_at(question: NetworkQuestion, each: Quadrics, at: Passes) -> np.ndarray:
    system, data = question.system, question.data
    assert system is not None and data is not None and isinstance(at.ring, Modular)
    net, q = system.network, at.ring.q
    if each.equations is Equations.BACKWARD:
        return each.matrix(at.signals[0].T, at.ring.of_weights(net.weights[1].T), q)
    if each.equations is Equations.BOTH_SIGNALS:
        return each.matrix(at.signals[0].T, at.weighted[0].T, q)
    z = at.before[0].T
    bias = net.biases[0]
    if bias is not None and not question.affine[0]:
        products = multiply(at.ring.of_weights(net.weights[0]), residues(np.ascontiguousarray(data[0].T), q), q)
        z = np.hstack([products, residues(bias[:, None], q)])
    return each.matrix(at.entering[1].T, z, q)


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("quadrics", holds, statement, evidence, arithmetic, REFERENCE)

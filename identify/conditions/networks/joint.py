r"""Theorem B for all samples together: every choice of slopes of all samples is tried, when the updates do not count the samples.

If :math:`G_1` has a rank below n, because samples are dependent or more than the inputs, it does not give equations of a single sample.
Two layers give linear ones of all of them: with slopes :math:`s_{ij}` of the activation, neuron j says

.. math:: \sum_i s_{ij}\, a_j^\top M_i = (G_1)_j, \qquad M_i = \gamma_i \tilde x_i^\top .

A neuron's row :math:`s_j \otimes a_j` is either independent of those before it or must agree with them. So a search through the neurons,
with all slopes of all k samples at each, leaves few choices, and after kC independent rows all :math:`M_i` are known over the rationals.
Each is a sample and its multipliers, whose update is computed in fractions. With :math:`M_i` that stay open, the update of the second layer
is linear in them, too: :math:`\sigma(z) = s z + t` on a piece.

Data sets of k = 1, ..., n samples are searched for, so that the list is complete: one only proves uniqueness, another one is a witness.

Residues modulo a prime leave out what they contradict: an augmented row that does not vanish, if its left part depends on the others over
the rationals. Nothing else rests on the prime.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise, product
from math import factorial, log2

import numpy as np
from flint import fmpq, fmpq_mat, nmod

from identify.base.limits import refuse_when_spent
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.realisation import second_data
from identify.conditions.networks.rulings import names
from identify.exact.modular import pivots, random_prime
from identify.exact.updates import Rationals, exact_updates, rational, rationals
from identify.problem.activation import PiecewiseLinear
from identify.problem.verdict import Arithmetic, Condition, Witness

REFERENCE = "Theorem B for all samples together (docs, theory): slopes of all samples, and equations that are linear"
MOST_NODES = 2**16
CHOICE_SECONDS = 3e-5
"""Of the slopes of all samples at one neuron (measured)."""
Slopes = tuple[int, ...]
"""One for each sample, by its number."""
Atoms = list[tuple[list[fmpq], list[fmpq]]]
"""Samples with their multipliers."""


def applies(question: NetworkQuestion) -> bool:
    """Whether the equations are linear once slopes are chosen, and the choices are few enough to be tried."""
    sigma = question.sigma
    if question.data is None or question.depth != 2 or not question.observed[0][0] or question.is_partial:
        return False
    if not isinstance(sigma, PiecewiseLinear):
        return False
    rows, features = question.affine
    settled = rows or (not question.biases[0] and sigma.is_homogeneous and not features)
    return bool(settled) and question.outputs <= question.neurons and _nodes(question) <= MOST_NODES


def joint_seconds(question: NetworkQuestion) -> float:
    """If every choice of so many slopes is met; 0 if it does not apply."""
    return CHOICE_SECONDS * _nodes(question, more=1) if applies(question) else 0.0


def _nodes(question: NetworkQuestion, more: int = 0) -> float:
    """Choices of slopes at kC neurons (and ``more``) for k = n samples, which may be permuted (and turned, if σ is even)."""
    n, sigma = question.samples, question.sigma
    assert isinstance(sigma, PiecewiseLinear)
    each = n * log2(len({*sigma.slopes, *sigma.kinks}))
    ways = log2(factorial(min(n, 100))) + n * _is_even(question)
    return 2.0 ** min(each * (min(n * question.outputs, question.neurons) + more) - ways, 1000.0)


def _is_even(question: NetworkQuestion) -> bool:
    """Whether (-x, γ) has the same updates as (x, γ)."""
    return question.sigma.parity == 1 and not question.biases[0]


def joint(question: NetworkQuestion) -> tuple[Condition, Witness | None]:
    """All data sets of at most n samples with the given update. Cost exponential in n² C, linear in m."""
    if not applies(question):
        return _condition(None, "needs data of two layers, and few samples and outputs", {}, Arithmetic.NONE), None
    search = _Search.of(question)
    given = names(question, *search.data)
    evidence: dict = {"slopes": len(search.slopes), "prime": search.q}
    found: dict[tuple, tuple[Rationals, Rationals]] = {}
    for k in range(1, question.samples + 1):
        for atoms in search.solutions(k):
            if atoms is None:
                statement = "a choice of slopes leaves a sample open: other data may have these updates"
                return _condition(None, statement, evidence | {"choices": search.seen}, Arithmetic.NONE), None
            X, c = [x for x, _ in atoms], [gamma for _, gamma in atoms]
            name = names(question, X, c)
            found[tuple(name)] = X, c
            if name != given:
                return second_data(question, X, c, evidence | {"choices": search.seen}, _condition)
    evidence |= {"choices": search.seen}
    if not found:
        return _condition(None, "a sample without a signal is not seen by these equations", evidence, Arithmetic.NONE), None
    statement = (
        f"all slopes of all samples were tried, in {search.seen} choices: of all data sets of at most n = {question.samples} samples only "
        "these have the update"
    )
    return _condition(True, statement, evidence, Arithmetic.PROOF), None


@dataclass(eq=False)
class _Search:
    """The network, the data and their update in fractions, and the equations modulo a prime."""

    question: NetworkQuestion
    data: tuple[Rationals, Rationals]
    W: Rationals
    """With the bias as a last column, if there is one."""
    A: Rationals
    """By neuron."""
    target: list[fmpq_mat]
    first: Rationals
    """The update of the first layer, with that of the bias: by neuron."""
    second: Rationals | None
    """That of the second layer, by neuron."""
    slopes: list[fmpq]
    order: list[int]
    """The neurons that the update of the first layer depends on, those with a row that is not zero first."""
    q: int
    of_kinks: frozenset[int]
    """The slopes, by number, that are of no piece, if the only kink is at 0."""
    seen: int = 0
    _spans: dict[tuple[int, ...], bool] = field(default_factory=dict)
    _dependent: dict[tuple[tuple[int, Slopes], ...], bool] = field(default_factory=dict)

    @classmethod
    def of(cls, question: NetworkQuestion) -> _Search:
        assert question.system is not None and question.data is not None
        net, sigma = question.system.network, question.sigma
        assert isinstance(sigma, PiecewiseLinear)
        X, c = (rationals(part) for part in question.data)
        target = exact_updates(net, X, c, question.observed)
        parts, (sees_second, _) = iter(target), question.observed[1]
        first = next(parts).tolist()
        if question.observed[0][1]:
            first = [[*row, *more] for row, more in zip(first, next(parts).tolist(), strict=True)]
        second = next(parts).transpose().tolist() if sees_second else None
        W = rationals(net.weights[0])
        if net.biases[0] is not None:
            W = [[*row, rational(float(b))] for row, b in zip(W, net.biases[0], strict=True)]
        A = fmpq_mat(rationals(net.weights[1])).transpose().tolist()
        slopes = [rational(s) for s in sorted({*sigma.slopes, *sigma.kinks})]
        heard = sorted((j for j in range(len(A)) if any(A[j])), key=lambda j: not any(first[j]))
        q = random_prime(np.random.default_rng([question.seed, 0x70]))
        while any(int(s.q) % q == 0 for s in slopes):
            q = random_prime(np.random.default_rng([question.seed, q]))
        of_pieces = {rational(s) for s in sigma.slopes}
        of_kinks = frozenset(i for i, s in enumerate(slopes) if s not in of_pieces and sigma.breakpoints == (0,))
        return cls(question, (X, c), W, A, target, first, second, slopes, heard, q, of_kinks)

    def residue(self, value: fmpq) -> int:
        return int(nmod(value, self.q))

    def solutions(self, k: int) -> Iterator[Atoms | None]:
        """Every data set of k samples with this update, some more than once; None for a choice of slopes that leaves one open."""
        if not self.order:
            return
        columns = self._columns()
        rows = {j: ([self.residue(v) for v in self.A[j]], [self.residue(self.first[j][c]) for c in columns]) for j in self.order}
        residues = [self.residue(s) for s in self.slopes]
        every = list(product(range(len(self.slopes)), repeat=k))
        even, unknowns = _is_even(self.question), k * self.question.outputs
        stack: list[tuple[int, tuple[tuple[int, Slopes], ...], tuple[tuple[int, Slopes], ...], list[tuple[int, list[int]]]]] = [
            (0, (), (), [])
        ]
        while stack:
            at, chosen, kept, form = stack.pop()
            refuse_when_spent("the slopes of all samples")
            if len(form) == unknowns:
                if all(any(not any(self._reduced(rows[j], s, residues, form)) for s in every) for j in self.order[at:]):
                    yield from self._determined(k, chosen, kept)
                continue
            if at == len(self.order):
                yield from self._left_open(k, chosen)
                continue
            j = self.order[at]
            for s in every:
                if not self._is_first(s, chosen, even) or self._is_on_too_many_kinks(j, s, chosen):
                    continue
                self.seen += 1
                row = self._reduced(rows[j], s, residues, form)
                pivot = next((p for p in range(unknowns) if row[p]), None)
                if pivot is not None:
                    inverse = pow(row[pivot], -1, self.q)
                    new = [*form, (pivot, [v * inverse % self.q for v in row])]
                    stack.append((at + 1, (*chosen, (j, s)), (*kept, (j, s)), new))
                elif not any(row) or not self._depends((*kept, (j, s))):
                    stack.append((at + 1, (*chosen, (j, s)), kept, form))

    def _columns(self) -> list[int]:
        """Columns of the update that span the others modulo the prime: what contradicts these contradicts all."""
        table = np.array([[self.residue(v) for v in self.first[j]] for j in self.order], dtype=np.int64)
        return pivots(table, self.q)[1]

    def _reduced(self, row: tuple[list[int], list[int]], s: Slopes, residues: list[int], form: list[tuple[int, list[int]]]) -> list[int]:
        """The row of a neuron with these slopes, reduced by the rows before it."""
        own, right = row
        found = [residues[i] * a % self.q for i in s for a in own] + right
        for pivot, other in form:
            factor = found[pivot]
            if factor:
                found = [(u - factor * v) % self.q for u, v in zip(found, other, strict=True)]
        return found

    def _is_first(self, s: Slopes, chosen: tuple[tuple[int, Slopes], ...], even: bool) -> bool:
        """Whether no permutation of the samples (and no turned sample) gives a choice that comes before this one."""
        for i, (u, v) in enumerate(pairwise(s)):
            if u > v and all(before[i] == before[i + 1] for _, before in chosen):
                return False
        if even:
            for i, u in enumerate(s):
                if self.slopes[u] < 0 and not any(self.slopes[before[i]] for _, before in chosen):
                    return False
        return True

    def _is_on_too_many_kinks(self, j: int, s: Slopes, chosen: tuple[tuple[int, Slopes], ...]) -> bool:
        """Whether a sample is to be on kinks, with a slope of no piece, of so many independent neurons that no point is."""
        for i, u in enumerate(s):
            if u in self.of_kinks:
                own = (*(k for k, before in chosen if before[i] in self.of_kinks), j)
                if len(own) >= len(self.W[j]):
                    if own not in self._spans:
                        self._spans[own] = fmpq_mat([self.W[k] for k in own]).rank() == len(self.W[j])
                    if self._spans[own]:
                        return True
        return False

    def _depends(self, rows: tuple[tuple[int, Slopes], ...]) -> bool:
        """Whether the last of these rows depends on the others over the rationals."""
        if rows not in self._dependent:
            table = fmpq_mat([self._left(j, s) for j, s in rows])
            self._dependent[rows] = table.rank() < len(rows)
        return self._dependent[rows]

    def _left(self, j: int, s: Slopes) -> list[fmpq]:
        return [self.slopes[i] * a for i in s for a in self.A[j]]

    def _determined(self, k: int, chosen: tuple[tuple[int, Slopes], ...], kept: tuple[tuple[int, Slopes], ...]) -> Iterator[Atoms]:
        """The data sets that kC independent rows leave: all M_i are known."""
        M = fmpq_mat([self._left(j, s) for j, s in kept]).inv() * fmpq_mat([self.first[j] for j, _ in kept])
        table, C = M.tolist(), self.question.outputs
        options = []
        for i in range(k):
            options.append(self._fitting(table[i * C : (i + 1) * C], i, chosen))
            if not options[-1]:
                return
        yield from self._data_of(options)

    def _fitting(self, M: Rationals, i: int, chosen: tuple[tuple[int, Slopes], ...]) -> Atoms:
        """What M leaves of a sample that has the slopes chosen for sample i."""
        return [atom for atom in self._atoms(M) if self._has_slopes(atom[0], [(j, s[i]) for j, s in chosen])]

    def _data_of(self, options: list[Atoms]) -> Iterator[Atoms]:
        """Data with the given update, of one of the options for each sample."""
        assert self.question.system is not None
        for atoms in product(*options):
            X, c = [x for x, _ in atoms], [gamma for _, gamma in atoms]
            net, is_distinct = self.question.system.network, len({tuple(x) for x in X}) == len(X)
            if is_distinct and exact_updates(net, X, c, self.question.observed) == self.target:
                yield list(atoms)

    def _atoms(self, M: Rationals) -> Iterator[tuple[list[fmpq], list[fmpq]]]:
        """Samples x and multipliers γ with γ (x, 1)^T = M, or γ x^T = M up to a positive scale."""
        if fmpq_mat(M).rank() != 1:
            return
        row = next(row for row in M if any(row))
        if self.question.affine[0]:
            if row[-1]:
                yield [v / row[-1] for v in row[:-1]], [own[-1] for own in M]
            return
        column = next(c for c, v in enumerate(row) if v)
        for sign in (1, -1):
            yield [sign * v for v in row], [sign * own[column] / row[column] for own in M]

    def _left_open(self, k: int, chosen: tuple[tuple[int, Slopes], ...]) -> Iterator[Atoms | None]:
        """All neurons have slopes, and not all M_i are known from the first layer: the second one may tell the rest."""
        C, D = self.question.outputs, len(self.first[0])
        size = k * C * D
        table: list[list[fmpq]] = []
        for j, s in chosen:
            left = self._left(j, s)
            for column in range(D):
                row = [fmpq(0)] * (size + 1)
                for p, value in enumerate(left):
                    row[p * D + column] = value
                row[size] = self.first[j][column]
                table.append(row)
        if self.second is not None and self.question.sigma.is_homogeneous:
            for j, s in chosen:
                for o in range(C):
                    row = [fmpq(0)] * (size + 1)
                    for i, slope in enumerate(s):
                        for column, w in enumerate(self.W[j]):
                            row[(i * C + o) * D + column] = self.slopes[slope] * w
                    row[size] = self.second[j][o]
                    table.append(row)
        form, rank = fmpq_mat(table).rref()
        rows = [[form[r, c] for c in range(size + 1)] for r in range(rank)]
        leads = [next(c for c, v in enumerate(row) if v) for row in rows]
        if size in leads:
            return
        known = {lead: row[size] for lead, row in zip(leads, rows, strict=True) if not any(row[lead + 1 : size])}
        options = []
        for i in range(k):
            places = range(i * C * D, (i + 1) * C * D)
            if all(place in known for place in places):
                values = [known[place] for place in places]
                options.append(self._fitting([values[o * D : (o + 1) * D] for o in range(C)], i, chosen))
                if not options[-1]:
                    return
        if len(options) == k:
            yield from self._data_of(options)
        else:
            yield None

    def _has_slopes(self, x: list[fmpq], wanted: list[tuple[int, int]]) -> bool:
        """Whether the activation has these slopes at the sample."""
        lifted = [*x, fmpq(1)] if self.question.biases[0] else x
        for j, s in wanted:
            z = sum((u * v for u, v in zip(self.W[j], lifted, strict=True)), fmpq(0))
            if rational(self.question.sigma.exact(Fraction(int(z.p), int(z.q)), 1)) != self.slopes[s]:
                return False
        return True


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("joint-slopes", holds, statement, evidence, arithmetic, REFERENCE)

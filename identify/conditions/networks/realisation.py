r"""Which of the lines that `enumeration` leaves belong to samples: exact signs decide, over the rationals.

A choice of slopes leaves a line of columns modulo a prime. It is at most one line over the rationals, with the slopes that it has modulo
the prime, and often none. A line that is left is that of a sample only if some point has those slopes:

* forward, the line gives the point :math:`\tilde x' = \sum_i \xi_i \tilde x_i` itself, and its features can be compared with
  :math:`\sum_i \eta_i h_i`;
* backward, two layers, it takes n lines together. The columns of a solution are a basis of the column space of :math:`G_1`, so that
  :math:`G_1 = \sum_k v_k \tilde x_k^\top` gives all its samples. Every n independent lines are put together, and the columns
  that their samples really have are compared with the lines.

All that remains is a complete list of the data sets with this update: one only proves uniqueness, another one is a witness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np
from flint import fmpq, fmpq_mat

from identify.base.errors import InternalError
from identify.base.limits import refuse_when_spent
from identify.base.norms import relative_size
from identify.conditions.networks.enumeration import MOST_NODES, Choice, choices, enumeration_seconds, lines_of
from identify.conditions.networks.quadrics import Equations
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.rulings import names, written
from identify.exact.modular import fraction_residues, multiply, random_prime, residue
from identify.exact.rational_kernel import kernel_vectors
from identify.exact.sides import Side, is_empty
from identify.exact.updates import Rationals, exact_updates, rational, rationals
from identify.problem.activation import PiecewiseLinear
from identify.problem.verdict import Arithmetic, Condition, Witness

REFERENCE = "Theorem B by enumeration (docs, theory), with exact signs"
MOST_TOGETHER = 4000
"""Sets of n lines that are put together."""
FEW_TOGETHER, MOST_LINES = 200, 500
"""If there are more sets, lines that no point has the slopes of are left out first, unless there are very many."""
TOGETHER_SECONDS = 4e-4
"""Of one such set (measured)."""


@dataclass(frozen=True)
class Lines:
    """A rational line of the equations of a single sample: coefficients of its column (or features), and those of the other side."""

    own: tuple[fmpq, ...]
    other: tuple[fmpq, ...]

    def of_one_sign(self, is_even: bool) -> Lines:
        """Up to a factor; and if x and -x have the same features, one of their two lines."""
        lead = next(v for v in self.own if v)
        own, other = (tuple(v / lead for v in part) for part in (self.own, self.other))
        if is_even:
            other = max(other, tuple(-v for v in other))
        return Lines(own, other)


def may_decide(question: NetworkQuestion, enumerated: Condition) -> bool:
    """Whether an enumeration left no more than lines, or stopped at a signal that vanishes, which does not matter here."""
    if enumerated.holds is not None:
        return enumerated.holds is False and "lines" in enumerated.evidence
    return _applies(question)


def _applies(question: NetworkQuestion) -> bool:
    """Whether there are equations of single samples to try all slopes in, and the ranks that they need."""
    every = choices(question)
    if question.data is None or not question.is_exact or not every or every[0].nodes > MOST_NODES:
        return False
    return all(question.counted[layer - 1] for layer in every[0].ranks)


def realisation_seconds(question: NetworkQuestion) -> float:
    """An estimate: the search once more, and the sets of lines."""
    return enumeration_seconds(question) + TOGETHER_SECONDS * MOST_TOGETHER


def realisation(question: NetworkQuestion) -> tuple[Condition, Witness | None]:
    """Decide by exact signs what an enumeration with further lines leaves open. Cost: that of the enumeration, and fractions."""
    if not _applies(question):
        return _condition(None, "needs data, and updates that are proved to have rank n", {}, Arithmetic.NONE), None
    each = choices(question)[0]
    if each.equations is Equations.BOTH_SIGNALS or not _scale_is_known(question, each):
        return _condition(None, "not decided by signs: multipliers, or scales of single samples, stay open", {}, Arithmetic.NONE), None
    q = random_prime(np.random.default_rng([question.seed, 0xE9]))
    exact = _Exact.of(question, each)
    F, G = (fraction_residues(part, q) for part in (exact.F, exact.G))
    found = lines_of(F, G, each, q)
    if found is None:
        return _condition(None, "not decided by signs: a choice of slopes leaves more than a line", {}, Arithmetic.NONE), None
    lifted = [_lift(exact, each, line, F, G, q) for line in sorted(found)]
    if any(isinstance(line, Unsettled) for line in lifted):
        return _condition(None, "a line modulo the prime may be several over the rationals", {}, Arithmetic.NONE), None
    every = list(dict.fromkeys(line.of_one_sign(exact.is_even) for line in lifted if isinstance(line, Lines)))
    evidence: dict = {"equations": each.equations.name.lower(), "prime": q, "lines": len(found), "over_the_rationals": len(every)}
    evidence["subspaces_at_most"] = each.nodes
    if each.equations is Equations.FORWARD:
        samples = set(exact.samples())
        real = [line for line in every if line not in samples and any(exact.is_competitor(x, line) for x in exact.points(line))]
        evidence["realised"] = len(real)
        if real:
            return _condition(False, f"{len(real)} other points satisfy the equations of a single sample", evidence, Arithmetic.PROOF), None
        statement = f"{len(every)} lines over the rationals: no point but the samples has the slopes and features of one"
        return _condition(True, statement, evidence, Arithmetic.PROOF), None
    if comb(len(every), question.samples) > FEW_TOGETHER and len(every) <= MOST_LINES:
        own = set(exact.samples())
        every = [line for line in every if line in own or not exact.is_nobodys(line)]
        evidence["of_points"] = len(every)
    evidence["together"] = comb(len(every), question.samples)
    if evidence["together"] > MOST_TOGETHER:
        statement = f"not decided by signs: {evidence['together']} sets of lines are too many"
        return _condition(None, statement, evidence, Arithmetic.NONE), None
    given = names(question, *exact.data)
    times = 0
    for X, c in exact.solutions(every):
        if names(question, X, c) != given:
            return second_data(question, X, c, evidence, _condition)
        times += 1
    if not times:
        raise InternalError("the given data are not among the solutions")
    statement = (
        f"{len(every)} lines over the rationals, and of all sets of n = {question.samples} of them only that of the samples belongs to data"
    )
    return _condition(True, statement, evidence, Arithmetic.PROOF), None


def _scale_is_known(question: NetworkQuestion, each: Choice) -> bool:
    """Whether the other equations leave of each sample's scale one number, or its sign if it is free."""
    if each.equations is Equations.FORWARD:
        return question.multipliers_are_determined
    rows, features = question.affine
    return bool(rows) or not (features and question.features_can_count)


class Unsettled:
    """A line modulo the prime that is not known to be at most one over the rationals."""


def _lift(exact: _Exact, each: Choice, line: tuple[int, ...], F: np.ndarray, G: np.ndarray, q: int) -> Lines | Unsettled | None:
    """The rational line with this residue, None if there is none: solved for with the slopes that it has modulo the prime.

    A rational line has these slopes wherever its other side does not vanish modulo the prime.
    """
    refuse_when_spent("lines over the rationals")
    n, vector = F.shape[1], np.array(line, dtype=np.int64)[:, None]
    f, g = multiply(F, vector[:n], q)[:, 0], multiply(G, vector[n:], q)[:, 0]
    rows = []
    for j in np.flatnonzero(g).tolist():
        slope = next(s for s in each.slopes if (int(f[j]) - residue(s, q) * int(g[j])) % q == 0)
        s = rational(slope)
        rows.append([*exact.F[j], *(-s * v for v in exact.G[j])])
    if each.tied:
        rows.append([fmpq(1)] * n + [fmpq(-1)] * G.shape[1])
    unknowns, determined = n + G.shape[1], fmpq_mat(rows).rank() if rows else 0
    if determined == unknowns:
        return None
    vectors = kernel_vectors([list(column) for column in zip(*rows, strict=True)], 0) if determined == unknowns - 1 else []
    if len(vectors) != 1:
        return Unsettled()
    own, other = tuple(vectors[0][:n]), tuple(vectors[0][n:])
    for left, right in zip(exact.F, exact.G, strict=True):
        value = sum((u * v for u, v in zip(right, other, strict=True)), fmpq(0))
        column = sum((u * v for u, v in zip(left, own, strict=True)), fmpq(0))
        if not any(column == rational(s) * value for s in each.slopes):
            return None
    return Lines(own, other) if any(own) else None


@dataclass(eq=False)
class _Exact:
    """The equations of single samples, and the given data, over the rationals."""

    question: NetworkQuestion
    each: Choice
    F: Rationals
    G: Rationals
    data: tuple[Rationals, Rationals]
    W: fmpq_mat
    offsets: list[fmpq]
    Z: Rationals
    """Pre-activations of the samples, a row for each neuron."""

    @classmethod
    def of(cls, question: NetworkQuestion, each: Choice) -> _Exact:
        assert question.system is not None and question.data is not None
        net, (X, c) = question.system.network, question.data
        W, b = fmpq_mat(rationals(net.weights[0])), net.biases[0]
        offsets = [fmpq(0)] * question.neurons if b is None else [rational(float(v)) for v in b]
        exact = cls(question, each, [], [], (rationals(X), rationals(c)), W, offsets, [])
        Z = [exact.before(x) for x in exact.data[0]]
        exact.Z = _turned(Z)
        if each.equations is Equations.BACKWARD:
            A = fmpq_mat(rationals(net.weights[1]))
            weighted = (fmpq_mat(exact.data[1]) * A).tolist()
            columns = [exact.column(z, r) for z, r in zip(Z, weighted, strict=True)]
            exact.F, exact.G = _turned(columns), A.transpose().tolist()
            return exact
        exact.F = _turned([[exact.value(v, 0) for v in z] for z in Z])
        if b is not None and not question.affine[0]:
            without = [[v - offset for v, offset in zip(z, offsets, strict=True)] for z in Z]
            exact.G = _turned([*without, offsets])
        else:
            exact.G = _turned(Z)
        return exact

    @property
    def is_even(self) -> bool:
        """Whether x and -x have the same features. With biases they do not: then the lines with γ and -γ are not the same."""
        return self.question.sigma.parity == 1 and not self.question.biases[0]

    def before(self, x: list[fmpq]) -> list[fmpq]:
        """Pre-activations."""
        return [v + offset for v, offset in zip((self.W * fmpq_mat([[u] for u in x])).entries(), self.offsets, strict=True)]

    def value(self, z: fmpq, order: int) -> fmpq:
        sigma = self.question.sigma
        assert isinstance(sigma, PiecewiseLinear)
        return rational(sigma.exact(Fraction(int(z.p), int(z.q)), order))

    def column(self, z: list[fmpq], weighted: list[fmpq]) -> list[fmpq]:
        return [self.value(v, 1) * r for v, r in zip(z, weighted, strict=True)]

    def samples(self) -> list[Lines]:
        """The lines of the given samples."""
        n = self.question.samples
        other = self.data[1] if self.each.equations is Equations.BACKWARD else [[fmpq(int(i == k)) for i in range(n)] for k in range(n)]
        extra = (fmpq(1),) * (self.each.others - len(other[0]))
        unit = [[fmpq(int(i == k)) for i in range(n)] for k in range(n)]
        return [Lines(tuple(unit[k]), (*other[k], *extra)).of_one_sign(self.is_even) for k in range(n)]

    def points(self, line: Lines) -> Iterator[list[fmpq]]:
        """Forward: points, other than the samples, that a line may be that of; a bias fixes the scale, or else only its sign matters."""
        n, has_bias = self.question.samples, self.question.biases[0]
        total = sum(line.other[:n], fmpq(0)) if self.question.affine[0] else line.other[-1]
        if has_bias and not total:
            return
        x = [sum((t * v for t, v in zip(line.other[:n], column, strict=True)), fmpq(0)) for column in zip(*self.data[0], strict=True)]
        for scale in (1 / total,) if has_bias else (fmpq(1), fmpq(-1)):
            moved = [scale * v for v in x]
            if moved not in self.data[0]:
                yield moved

    def is_competitor(self, x: list[fmpq], line: Lines) -> bool:
        """Whether the features of the point are those of the line, up to one factor."""
        features = [self.value(v, 0) for v in self.before(x)]
        wanted = [sum((u * v for u, v in zip(row, line.own, strict=True)), fmpq(0)) for row in self.F]
        return fmpq_mat([features, wanted]).rank() < 2

    def is_nobodys(self, line: Lines) -> bool:
        """Backward: whether it is proved that no point in the span of the samples has the slopes of this line."""
        sigma = self.question.sigma
        assert isinstance(sigma, PiecewiseLinear)
        if len(sigma.breakpoints) != 1 or sigma.slopes[0] == sigma.slopes[1] or (not self.question.affine[0] and not self.is_homogeneous):
            return False
        point, (low, high), kink = rational(sigma.breakpoints[0]), map(rational, sigma.slopes), rational(sigma.kinks[0])
        rows, sides = [], []
        for left, right, z in zip(self.F, self.G, self.Z, strict=True):
            value = sum((u * v for u, v in zip(right, line.other, strict=True)), fmpq(0))
            if not value:
                continue
            slope = sum((u * v for u, v in zip(left, line.own, strict=True)), fmpq(0)) / value
            gap = [v - point for v in z]  # with Σ ξ = 1, or a breakpoint at 0
            if slope == kink and kink not in (low, high):
                side = Side.ON
            else:
                side = Side.WEAK if slope == kink else Side.STRICT
            rows.append([-v for v in gap] if slope == low else gap)
            sides.append(side)
        if self.question.affine[0]:
            rows.append([fmpq(1)] * self.question.samples)
            sides.append(Side.STRICT)
        return is_empty(rows, sides)

    @property
    def is_homogeneous(self) -> bool:
        sigma = self.question.sigma
        return not self.question.biases[0] and isinstance(sigma, PiecewiseLinear) and sigma.is_homogeneous

    def solutions(self, every: list[Lines]) -> Iterator[tuple[Rationals, Rationals]]:
        """Backward: every data set with the observed updates and columns on these lines, modulo positive scales if these are free."""
        question, n = self.question, self.question.samples
        assert question.system is not None
        net, observed = question.system.network, question.observed
        target = exact_updates(net, *self.data, observed)
        lifted = [[*x, fmpq(1)] for x in self.data[0]] if question.affine[0] else self.data[0]
        A = fmpq_mat(rationals(net.weights[1]))
        columns = [(fmpq_mat(self.F) * fmpq_mat([[v] for v in line.own])).entries() for line in every]
        weighted = [(fmpq_mat([list(line.other)]) * A).entries() for line in every]
        for chosen in combinations(range(len(every)), n):
            refuse_when_spent("sets of lines")
            basis = fmpq_mat([list(every[k].own) for k in chosen])
            if basis.rank() < n:
                continue
            rows = (basis.transpose().inv() * fmpq_mat(lifted)).tolist()
            options = []
            for row, k in zip(rows, chosen, strict=True):
                options.append(self._samples(row, every[k], columns[k], weighted[k]))
                if not options[-1]:
                    break
            for atoms in product(*options) if len(options) == n else ():
                X, c = [x for x, _ in atoms], [gamma for _, gamma in atoms]
                if exact_updates(net, X, c, observed) == target:
                    yield X, c

    def _samples(self, row: list[fmpq], line: Lines, column: list[fmpq], weighted: list[fmpq]) -> list[tuple[list[fmpq], list[fmpq]]]:
        """The samples and multipliers with this row and a column of this line."""
        if self.question.affine[0]:
            scales = [row[-1]] if row[-1] else []
            row = row[:-1]
        else:
            scales = [fmpq(1), fmpq(-1)]
        found = []
        for t in scales:
            x = [v / t for v in row]
            wanted = [t * v for v in column]
            if self.column(self.before(x), [t * r for r in weighted]) == wanted:
                found.append((x, [t * v for v in line.other]))
        return found


def _turned(rows: Rationals) -> Rationals:
    return [list(column) for column in zip(*rows, strict=True)]


def second_data(
    question: NetworkQuestion, X: Rationals, c: Rationals, evidence: dict, condition: Callable[[bool, str, dict, Arithmetic], Condition]
) -> tuple[Condition, Witness]:
    """Other data with exactly the same update, as what becomes of a condition."""
    system, data = question.system, question.data
    assert system is not None and data is not None
    other = tuple(np.array([[int(v.p) / int(v.q) for v in row] for row in part]) for part in (X, c))
    target = system.right_hand_side(*data)
    residual = relative_size(system.right_hand_side(*other) - target, target)
    description = "other choices of slopes give other data with exactly the same update, in fractions"
    witness = Witness("second solution", 0, description, None, data, (other[0], other[1]), residual)
    return condition(False, description, evidence | {"other": written(X, c)}, Arithmetic.PROOF), witness


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("realisation", holds, statement, evidence, arithmetic, REFERENCE)

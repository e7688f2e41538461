r"""The step for all choices of slopes of all samples together, of a piecewise-linear network of two layers, over the rationals.

With slopes :math:`s_{ij}` the first update says :math:`\sum_i s_{ij}\, a_j^\top M_i = (G_1)_j` for every neuron, with
:math:`M_i = \gamma_i \tilde x_i^\top`. Every data set of k samples has some slopes. The search takes one neuron after the other, with every
slope of every sample: a row that depends on those before it must agree with them. It ends when all :math:`M_i` are known, or at the last
neuron; then all equations of both layers that are linear in the :math:`M_i` are solved. Each :math:`M_i` that is known must have rank one
and the slopes that were chosen; when all are known, the updates of these data are computed from their definition. One that is not known,
when nothing contradicts the choice, refuses the proof. Of data sets that differ by their order one is enough; so it is of those that
differ by turned samples, if the activation is even and the layer does not have biases.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from flint import fmpq, fmpq_mat

from identify.checker.networks.activations import as_rational
from identify.checker.networks.claim import THIS, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.other import Rationals, names, slope_of, updates
from identify.checker.networks.pieces import rational
from identify.checker.reading import need, need_small
from identify.checker.watch import watch

MAX_CHOICES = 100_000
CHOICES_PER_SECOND = 3e3
"""Slopes of all samples at one neuron, on one core (measured)."""
ZERO, ONE = fmpq(0), fmpq(1)
Atom = tuple[list[fmpq], list[fmpq]]
"""A sample and its multipliers."""


class Node(NamedTuple):
    """The slopes of all samples at the first neurons, and what these equations say, reduced."""

    slopes: list[tuple[int, ...]]
    rows: list[tuple[int, list[fmpq]]]


def joint(e: NetworkExamination) -> str:
    """No other data have the update, see the module."""
    c = e.claim
    need(c.verdict == "UNIQUE", "proves uniqueness only")
    e.need_scope((THIS, THIS_DATA))
    need(c.depth == 2 and c.observed[0][0], "needs two layers, and the update of the first")
    sigma = e.piecewise(1)[0]
    need(c.affine[0] or (not c.biases[0] and sigma.is_homogeneous and not c.affine[1]), "scales of single samples are not known")
    search = Search(e)
    given, found = names(e, *search.data), 0
    for k in range(1, c.n + 1):
        for atoms in search.data_sets(k):
            found += 1
            need(names(e, [x for x, _ in atoms], [gamma for _, gamma in atoms]) == given, "other data have the same update")
    need(found, "the given data are not among the solutions")
    e.facts.add("joint-slopes")
    return f"of all data sets of at most {c.n} samples, in {search.choices} choices of slopes, only the given one has this update"


class Search:
    """The network, the data and the updates in fractions."""

    def __init__(self, e: NetworkExamination):
        c = e.claim
        self.e, self.C, self.sigma, self.has_bias = e, c.C, e.piecewise(1)[0], bool(c.affine[0])
        (W, A), (b, _) = e.net
        self.W = [[rational(v) for v in row] + ([] if b is None else [rational(b[j])]) for j, row in enumerate(W)]
        self.A = [[rational(row[j]) for row in A] for j in range(c.m)]
        self.data: tuple[Rationals, Rationals] = tuple([[rational(v) for v in row] for row in e.part(name)] for name in ("X", "c"))  # type: ignore[assignment]
        self.target = updates(e, [self.sigma], *self.data)
        first = self.target[0].tolist()
        self.first = [[*row, *more] for row, more in zip(first, self.target[1].tolist(), strict=True)] if self.has_bias else first
        seen = 1 + c.observed[0][1]
        self.second = self.target[seen].transpose().tolist() if c.observed[1][0] else None
        self.slopes = [as_rational(s) for s in sorted({*self.sigma.slopes, *self.sigma.kinks})]
        of_pieces = {as_rational(s) for s in self.sigma.slopes}
        self.of_kinks = {i for i, s in enumerate(self.slopes) if s not in of_pieces and list(self.sigma.breakpoints) == [0]}
        self.even = self.sigma.parity == 1 and not self.has_bias
        heard = [j for j in range(c.m) if any(self.A[j])]
        self.order = [j for j in heard if any(self.first[j])] + [j for j in heard if not any(self.first[j])]
        self.choices = 0

    def data_sets(self, k: int) -> list[list[Atom]]:
        """All of k samples with these updates, some of them more than once."""
        found: list[list[Atom]] = []
        stack = [Node([], [])]
        while stack:
            watch().look()
            node = stack.pop()
            if len(node.rows) == k * self.C or len(node.slopes) == len(self.order):
                found += self._ended(node.slopes, k)
                continue
            j = self.order[len(node.slopes)]
            for s in product(range(len(self.slopes)), repeat=k):
                if self._comes_first(s, node.slopes) and not self._is_nowhere(j, s, node.slopes):
                    self.choices += 1
                    need_small(self.choices <= MAX_CHOICES, "too many choices of slopes")
                    rows = self._with(node.rows, self._row(j, s), k * self.C)
                    if rows is not None:
                        stack.append(Node([*node.slopes, s], rows))
        return found

    def _row(self, j: int, s: tuple[int, ...]) -> list[fmpq]:
        return [self.slopes[i] * a for i in s for a in self.A[j]] + list(self.first[j])

    def _with(self, rows: list[tuple[int, list[fmpq]]], row: list[fmpq], unknowns: int) -> list[tuple[int, list[fmpq]]] | None:
        """The rows with one more; None if it contradicts them."""
        for pivot, other in rows:
            if row[pivot]:
                factor = row[pivot]
                row = [u - factor * v for u, v in zip(row, other, strict=True)]
        pivot = next((p for p in range(unknowns) if row[p]), unknowns)
        if pivot == unknowns:
            return None if any(row) else rows
        return [*rows, (pivot, [v / row[pivot] for v in row])]

    def _comes_first(self, s: tuple[int, ...], before: list[tuple[int, ...]]) -> bool:
        """Among the choices that a permutation of samples, or a turned sample of an even activation, makes of it."""
        for i in range(len(s) - 1):
            if s[i] > s[i + 1] and all(each[i] == each[i + 1] for each in before):
                return False
        if not self.even:
            return True
        return all(self.slopes[s[i]] >= 0 or any(self.slopes[each[i]] for each in before) for i in range(len(s)))

    def _is_nowhere(self, j: int, s: tuple[int, ...], before: list[tuple[int, ...]]) -> bool:
        """Whether a sample would be on kinks of so many independent neurons that no point is on all of them."""
        for i, u in enumerate(s):
            if u in self.of_kinks:
                own = [self.W[k] for k, each in zip(self.order, before, strict=False) if each[i] in self.of_kinks] + [self.W[j]]
                if len(own) >= len(own[0]) and fmpq_mat(own).rank() == len(own[0]):
                    return True
        return False

    def _ended(self, slopes: list[tuple[int, ...]], k: int) -> list[list[Atom]]:
        """The data sets with these slopes at the first neurons."""
        D, size = len(self.first[0]), k * self.C * len(self.first[0])
        table: list[list[fmpq]] = []
        for j, s in zip(self.order, slopes, strict=False):
            row = self._row(j, s)
            table += [
                [row[p] if at == column else ZERO for p in range(k * self.C) for at in range(D)] + [row[k * self.C + column]]
                for column in range(D)
            ]
            if self.second is not None and self.sigma.is_homogeneous:
                for o in range(self.C):
                    values = [self.slopes[s[i]] * w if own == o else ZERO for i in range(k) for own in range(self.C) for w in self.W[j][:D]]
                    table.append([*values, self.second[j][o]])
        form, rank = fmpq_mat(table).rref()
        rows = [[form[r, at] for at in range(size + 1)] for r in range(rank)]
        known = {}
        for row in rows:
            lead = next(at for at, v in enumerate(row) if v)
            if lead == size:
                return []
            if not any(row[lead + 1 : size]):
                known[lead] = row[size]
        options = []
        for i in range(k):
            places = range(i * self.C * D, (i + 1) * self.C * D)
            if all(at in known for at in places):
                values = [known[at] for at in places]
                atoms = self._atoms([values[o * D : (o + 1) * D] for o in range(self.C)])
                options.append([atom for atom in atoms if self._has(atom[0], [s[i] for s in slopes])])
                if not options[-1]:
                    return []
        need(len(options) == k, "a choice of slopes leaves a sample open")
        found = []
        for chosen in product(*options):
            X, gamma = [x for x, _ in chosen], [g for _, g in chosen]
            if len({tuple(map(str, x)) for x in X}) == k and updates(self.e, [self.sigma], X, gamma) == self.target:
                found.append(list(chosen))
        return found

    def _atoms(self, M: Rationals) -> list[Atom]:
        """What :math:`\\gamma \\tilde x^\\top = M` leaves; without a bias up to a positive scale."""
        if fmpq_mat(M).rank() != 1:
            return []
        row = next(row for row in M if any(row))
        if self.has_bias:
            return [([v / row[-1] for v in row[:-1]], [own[-1] for own in M])] if row[-1] else []
        at = next(column for column, v in enumerate(row) if v)
        gamma = [own[at] / row[at] for own in M]
        return [(row, gamma), ([-v for v in row], [-g for g in gamma])]

    def _has(self, x: list[fmpq], wanted: list[int]) -> bool:
        lifted = [*x, ONE] if len(self.W[0]) > len(x) else x
        for j, s in zip(self.order, wanted, strict=False):
            z = sum((u * v for u, v in zip(self.W[j], lifted, strict=True)), ZERO)
            if slope_of(self.sigma, z) != self.slopes[s]:
                return False
        return True

r"""The step for all choices of slopes of a piecewise-linear network of two layers, over the rationals, with what they lead to.

Let :math:`G_1` have rank n. The column of each sample of other data is :math:`v = \sum_i \zeta_i u_i` with
:math:`v_j = s_j\, a_j\cdot\gamma`, for slopes :math:`s_j` of the activation. A search takes one neuron after the other; each one that the
present subspace of :math:`(\zeta, \gamma)` does not satisfy yet costs it a dimension. Every choice must leave a line, or nothing with a
column that is not zero. The columns :math:`v_1, \dots, v_n` of a solution are independent and lie on such lines, and
:math:`G_1 = \sum_k v_k \tilde x_k^\top` gives its samples. All sets of n lines are put together, and the samples, their columns and the
updates computed in fractions: whatever has the given update must be the given data, up to the ambiguity.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import comb
from typing import Any

from flint import fmpq, fmpq_mat

from identify.checker.networks.activations import Piecewise, as_rational
from identify.checker.networks.claim import THIS, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.other import Rationals, names, slope_of, updates
from identify.checker.networks.pieces import rational
from identify.checker.reading import need, need_small
from identify.checker.watch import watch

MAX_NODES, MAX_SETS = 20_000, 5_000
NODES_PER_SECOND, SETS_PER_SECOND = 1e3, 5e3
"""Subspaces, and sets of lines, on one core (measured)."""
Line = tuple[tuple[fmpq, ...], tuple[fmpq, ...]]


def realisation(e: NetworkExamination) -> str:
    """No other data have the update, see the module."""
    c = e.claim
    need(c.verdict == "UNIQUE", "proves uniqueness only")
    e.need_scope((THIS, THIS_DATA))
    need(c.depth == 2 and 1 in e.ranks, f"needs two layers, and the first update proved to have rank {c.n}")
    sigma = e.piecewise(1)[0]
    homogeneous = not c.biases[0] and sigma.is_homogeneous and not (c.affine[1] and c.features_can_count)
    need(c.affine[0] or homogeneous, "scales of single samples are not known")
    search = _Search(e, sigma)
    lines = search.lines()
    sets = comb(len(lines), c.n)
    need_small(sets <= MAX_SETS, f"more than {MAX_SETS} sets of lines are too many")
    given, found = names(e, *search.data), 0
    for X, gamma in search.solutions(lines):
        found += 1
        need(names(e, X, gamma) == given, "other data have the same update")
    need(found, "the given data are not among the solutions")
    e.facts.add("realisation")
    return f"{len(lines)} lines over the rationals, and of {sets} sets of {c.n} only that of the samples belongs to data with this update"


class _Search:
    """The network and the data in fractions."""

    def __init__(self, e: NetworkExamination, sigma: Piecewise):
        self.e, self.sigma, self.n, self.C = e, sigma, e.claim.n, e.claim.C
        weights, biases = e.net
        self.data: tuple[Rationals, Rationals] = tuple([[rational(v) for v in row] for row in e.part(name)] for name in ("X", "c"))  # type: ignore[assignment]
        self.W, self.A = (fmpq_mat([[rational(v) for v in row] for row in W]) for W in weights)
        self.offsets = [fmpq(0)] * e.claim.m if biases[0] is None else [rational(v) for v in biases[0]]
        signals = (fmpq_mat(self.data[1]) * self.A).tolist()
        columns = [self.column(x, r) for x, r in zip(self.data[0], signals, strict=True)]
        self.F, self.G = fmpq_mat(columns).transpose(), self.A.transpose()
        self.slopes = [as_rational(s) for s in sorted({*sigma.slopes, *sigma.kinks})]
        self.target = updates(e, [sigma], *self.data)

    def column(self, x: list[fmpq], signal: list[fmpq]) -> list[fmpq]:
        """Of a sample, from :math:`A^\\top\\gamma`."""
        Z = (self.W * fmpq_mat([[v] for v in x])).entries()
        return [slope_of(self.sigma, z + b) * r for z, b, r in zip(Z, self.offsets, signal, strict=True)]

    def lines(self) -> list[Line]:
        """Of all choices of slopes; of two lines with opposite multipliers one, if the activation is even and there is no bias."""
        found: dict[Line, None] = {}
        size = self.n + self.C
        stack, nodes = [fmpq_mat([[int(i == k) for k in range(size)] for i in range(size)])], 0
        while stack:
            nodes += 1
            need_small(nodes <= MAX_NODES, "too many choices of slopes")
            watch().look()
            basis = stack.pop()
            rows = basis.tolist()
            if not any(v for row in rows[: self.n] for v in row):
                continue
            f = (self.F * fmpq_mat(rows[: self.n])).tolist()
            g = (self.G * fmpq_mat(rows[self.n :])).tolist()
            open_ = next((j for j in range(len(f)) if not any(self._meets(f[j], g[j], s) for s in self.slopes)), None)
            if open_ is None:
                need(basis.ncols() == 1, "a choice of slopes leaves more than a line")
                found[self._named([row[0] for row in rows])] = None
            elif basis.ncols() > 1:
                for s in self.slopes:
                    form = [u - s * v for u, v in zip(f[open_], g[open_], strict=True)]
                    stack.append(basis * _kernel(form))
        return list(found)

    def _meets(self, f: list[fmpq], g: list[fmpq], s: fmpq) -> bool:
        return all(u == s * v for u, v in zip(f, g, strict=True))

    def _named(self, vector: list[fmpq]) -> Line:
        lead = next(v for v in vector if v)
        own, other = (tuple(v / lead for v in part) for part in (vector[: self.n], vector[self.n :]))
        if self.sigma.parity == 1 and not self.e.claim.biases[0]:  # x and -x have the same features; with biases they do not
            other = max(other, tuple(-v for v in other))
        return own, other

    def solutions(self, lines: list[Line]) -> Iterator[tuple[Rationals, Rationals]]:
        """Data with the given updates, whose columns are on these lines."""
        has_bias = bool(self.e.claim.affine[0])
        lifted = fmpq_mat([[*x, fmpq(1)] if has_bias else x for x in self.data[0]])
        signals = [(fmpq_mat([list(other)]) * self.A).entries() for _, other in lines]
        columns = [(self.F * fmpq_mat([[v] for v in own])).entries() for own, _ in lines]
        for chosen in combinations(range(len(lines)), self.n):
            watch().look()
            basis = fmpq_mat([list(lines[k][0]) for k in chosen])
            if basis.rank() < self.n:
                continue
            options: list[list[Any]] = []
            for row, k in zip((basis.transpose().inv() * lifted).tolist(), chosen, strict=True):
                scales = [row.pop()] if has_bias else [fmpq(1), fmpq(-1)]
                options.append([])
                for t in scales:
                    if t:
                        x = [v / t for v in row]
                        if self.column(x, [t * v for v in signals[k]]) == [t * v for v in columns[k]]:
                            options[-1].append((x, [t * v for v in lines[k][1]]))
                if not options[-1]:
                    break
            else:
                for atoms in product(*options):
                    X, gamma = [x for x, _ in atoms], [g for _, g in atoms]
                    if updates(self.e, [self.sigma], X, gamma) == self.target:
                        yield X, gamma


def _kernel(form: list[fmpq]) -> fmpq_mat:
    """Columns that span the kernel of a form that is not zero."""
    pivot = next(k for k, v in enumerate(form) if v)
    others = [k for k in range(len(form)) if k != pivot]
    return fmpq_mat([[-form[k] / form[pivot] if row == pivot else fmpq(int(row == k)) for k in others] for row in range(len(form))])

r"""The step for Theorem B without products: every choice of slopes is tried, and only the samples are left.

A sample of another solution has :math:`F_j(\zeta) = s_j\, G_j(\gamma)` at every neuron j, with linear forms F and G and some slope
:math:`s_j` of the activation. For fixed slopes this is linear. The search takes the first neuron that a subspace of
:math:`(\zeta, \gamma)` does not satisfy with one slope, and goes on with one smaller subspace for each slope, modulo a prime. So the
solutions of every choice of slopes, taken modulo the prime, are in a subspace where the search ends. It may end in three ways:

* a line that some neuron does not admit: then this choice has no solution modulo the prime, and none over the rationals;
* a line that all neurons admit. Over the rationals it is one line at most. It has to be that of a sample: then each slope is that of the
  sample, because :math:`G_j` of the sample is not zero modulo the prime, so that over the rationals it is the sample's line, too;
* :math:`\zeta = 0`. It has to have n neurons of slope zero: their forms are of :math:`\zeta` alone, and independent, so that
  :math:`\zeta = 0` over the rationals.

A neuron without weights to the next layer (or, for features, without any) satisfies its equation whatever its slope, and is left out.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from fractions import Fraction
from operator import mul
from typing import Any, NamedTuple

from flint import nmod_mat

from identify.checker.networks.activations import Piecewise
from identify.checker.networks.claim import THIS, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.pieces import slope_at
from identify.checker.networks.quadrics import EQUATIONS, FORMS, is_settled, linear_forms, need_layers
from identify.checker.networks.rings import Residues, Rows, transposed
from identify.checker.reading import choice, need, need_small
from identify.checker.watch import watch

MAX_SUBSPACES = 2**20
SUBSPACES_PER_SECOND = 3e4
"""On one core (measured)."""
Vector = tuple[list[int], list[int]]
"""Coefficients in F, and in G."""


def enumeration(e: NetworkExamination, equations: Any) -> str:
    """See the module. ``equations``: of columns of the first update, of the first two, or of features."""
    c = e.claim
    need(c.verdict == "UNIQUE", "proves uniqueness only")
    e.need_scope((THIS, THIS_DATA))
    choice("equations", equations, EQUATIONS)
    sigma = c.activations[0]
    need(isinstance(sigma, Piecewise) and c.is_exact, "needs piecewise-linear activations")
    assert isinstance(sigma, Piecewise)
    need_layers(e, equations)
    forward = equations == "forward"
    need(forward or is_settled(e), "needs a scale that is fixed or free")
    slopes = sorted({*sigma.slopes} if forward else {*sigma.slopes, *sigma.kinks})  # of a feature on the kink, at 0, both are right
    v, r, tied = linear_forms(e, equations)
    ring = e.passes.ring
    assert isinstance(ring, Residues)
    search = Search(_integers(v), _integers(r), slopes, [int(ring.fraction(s)) for s in slopes], ring.q)
    need(len(set(search.residues)) == len(slopes) and all(s == 0 or t for s, t in zip(slopes, search.residues, strict=True)),
         "point: two slopes are equal modulo the prime")  # fmt: skip
    known = _samples(e, equations, search)
    kept = [j for j, silent in enumerate(_silent(e, equations)) if not silent]
    search.keep(kept)
    for _, tail in known:
        need(all(sum(map(mul, row, tail)) % ring.q for row in search.G), "a signal of a sample vanishes modulo the prime")
    found, count = search.lines(tied)
    lines = {_normal(vector, ring.q) for vector in known}
    if sigma.parity == 1:
        lines |= {_normal((head, [-value for value in tail]), ring.q) for head, tail in known}
    for line in found - lines:
        need(not forward and _needs_kinks(e, sigma, search, kept, line), "a choice of slopes has a solution that is not a sample")
    e.facts.add("enumeration")
    return f"all choices of slopes, in {count} subspaces of {FORMS[equations]}, have no solution but the {c.n} samples, modulo {ring.q}"


def _integers(rows: Rows) -> list[list[int]]:
    return [[int(value) for value in row] for row in rows]


def _samples(e: NetworkExamination, equations: str, search: Search) -> list[Vector]:
    """The samples themselves, in the unknowns of F and G."""
    c, k = e.claim, len(search.G[0])
    units = [[int(i == j) for j in range(c.n)] for i in range(c.n)]
    if equations == "backward":
        return list(zip(units, _integers(e.passes.signals[1]), strict=True))
    return [(unit, [*unit, *[1] * (k - c.n)]) for unit in units]


def _silent(e: NetworkExamination, equations: str) -> list[bool]:
    """For each neuron whether its equation is 0 = 0 whatever its slope: exactly, not only modulo the prime."""
    c, (weights, biases) = e.claim, e.net
    if equations == "forward":
        return [not any(row) and not (biases[0] and biases[0][j]) for j, row in enumerate(weights[0])]
    if equations == "backward":
        return [not any(column) for column in transposed(weights[1])]
    heard = [[bool(v) for v in gamma] for gamma in e.part("c")]  # by sample and neuron: where a signal may arrive that is not zero
    sigmas = e.piecewise(c.depth - 1)
    for layer in range(c.depth - 2, 0, -1):
        slopes = [[bool(slope_at(sigmas[layer], at)) for at in row] for row in e.places[layer]]
        arrives = [_reached(own, weights[layer + 1]) for own in heard]
        heard = [[u and v for u, v in zip(a, b, strict=True)] for a, b in zip(arrives, slopes, strict=True)]
    return [not any(column) for column in transposed([_reached(own, weights[1]) for own in heard])]


def _reached(heard: list[bool], W: Rows) -> list[bool]:
    """The neurons with a weight that is not zero to one of these."""
    rows = [row for row, own in zip(W, heard, strict=True) if own]
    return [any(row[j] for row in rows) for j in range(len(W[0]))]


class Search(NamedTuple):
    """F = s G modulo q, a row for each neuron; the slopes as they are, and modulo q."""

    F: list[list[int]]
    G: list[list[int]]
    slopes: list[Fraction]
    residues: list[int]
    q: int

    def keep(self, neurons: list[int]) -> None:
        self.F[:], self.G[:] = [self.F[j] for j in neurons], [self.G[j] for j in neurons]

    def lines(self, tied: bool) -> tuple[set[tuple[int, ...]], int]:
        """All lines that every neuron admits, and the number of subspaces that were met; refuses if more than a line is left."""
        n, k, q = len(self.F[0]), len(self.G[0]), self.q
        basis: list[Vector] = [([int(i == j) for j in range(n)], [0] * k) for i in range(n)]
        basis += [([0] * n, [int(i == j) for j in range(k)]) for i in range(k)]
        if tied:  # the coefficients of both parts have the same sum
            basis = _restricted(basis, [1] * n + [q - 1] * k, q)
        expected = 2 * len(self.slopes) ** (len(basis) - 1)
        need_small(expected <= MAX_SUBSPACES, f"a search through more than {MAX_SUBSPACES} subspaces is too large")
        watch().begin(f"up to {expected} choices of slopes", expected / SUBSPACES_PER_SECOND)
        stack, found, count = [(basis, 0, 0)], set(), 0
        while stack:
            basis, j, zeros = stack.pop()
            count += 1
            if count % 1024 == 0:
                watch().look()
            if not any(any(head) for head, _ in basis):
                need(zeros >= n, "a choice of slopes leaves multipliers without a column")
                continue
            j, f, g = self._first_unmet(basis, j)
            if j == len(self.F):
                need(len(basis) == 1, "a choice of slopes leaves more than a line")
                found.add(_normal(basis[0], q))
            elif len(basis) > 1:
                for slope, s in zip(self.slopes, self.residues, strict=True):
                    form = [(a - s * b) % q for a, b in zip(f, g, strict=True)]
                    stack.append((_restricted(basis, form, q), j + 1, zeros + (slope == 0)))
        return found, count

    def _first_unmet(self, basis: list[Vector], start: int) -> tuple[int, list[int], list[int]]:
        """The first neuron that the subspace does not satisfy with any one slope, and both its forms there."""
        for j in range(start, len(self.F)):
            f = [sum(map(mul, self.F[j], head)) % self.q for head, _ in basis]
            g = [sum(map(mul, self.G[j], tail)) % self.q for _, tail in basis]
            if not any(all((a - s * b) % self.q == 0 for a, b in zip(f, g, strict=True)) for s in self.residues):
                return j, f, g
        return len(self.F), [], []


def _restricted(basis: list[Vector], form: list[int], q: int) -> list[Vector]:
    """A basis of the kernel of a form that is not zero; the form is given by its values at the basis."""
    at = next(i for i, value in enumerate(form) if value)
    (head, tail), inverse = basis[at], pow(form[at], -1, q)
    kept = []
    for i, (own, other) in enumerate(basis):
        if i != at:
            factor = q - form[i] * inverse % q
            kept.append((
                [(u + factor * v) % q for u, v in zip(own, head, strict=True)],
                [(u + factor * v) % q for u, v in zip(other, tail, strict=True)],
            ))  # fmt: skip
    return kept


def _normal(vector: Vector, q: int) -> tuple[int, ...]:
    """The multiple with a first entry of 1."""
    values = [value % q for part in vector for value in part]
    inverse = pow(next(value for value in values if value), -1, q)
    return tuple(value * inverse % q for value in values)


def _needs_kinks(e: NetworkExamination, sigma: Piecewise, search: Search, kept: list[int], line: tuple[int, ...]) -> bool:
    """Whether the line has so many neurons on a kink, at 0, with a slope of no piece, that no point in the span of the samples does."""
    n, q = e.claim.n, search.q
    if sigma.breakpoints != (0,):
        return False
    of_pieces = [t for s, t in zip(search.slopes, search.residues, strict=True) if s in sigma.slopes]
    head, tail = line[:n], line[n:]
    rows = []
    for j, own, other in zip(kept, search.F, search.G, strict=True):
        f, g = sum(map(mul, own, head)), sum(map(mul, other, tail))
        if all((f - s * g) % q for s in of_pieces):
            rows.append([int(z[j]) for z in e.passes.before[0]])
    return len(rows) >= n and int(nmod_mat(len(rows), n, [value for row in rows for value in row], q).rank()) == n

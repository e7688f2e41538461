r"""The step for Theorem A2 from disjoint bases of slopes: for the update of one of the first two layers.

Forward, neuron j asks :math:`\tilde w_j\cdot(s'_j \tilde x' - \sum_i \eta_i s_{ij} \tilde x_i) = 0` of a competitor; backward, in two
layers, :math:`a_j\cdot(s'_j \gamma' - \sum_i \zeta_i s_{ij} \gamma_i) = 0`: a hyperplane for its weights, unless the vector in
parentheses vanishes. Let any :math:`\kappa \ge 2` of the vectors :math:`\tilde x_i` (or :math:`\gamma_i`), in D dimensions, be independent,
and E be the support of the coefficients. If a neuron that sees a sample of E is free of its hyperplane, so that the vectors satisfy a
relation, the competitors have at most :math:`|E| - 1` dimensions, and :math:`D - \kappa` more if :math:`|E| > \kappa`; and the
:math:`(s_j|_E, s'_j)` of free neurons are in the kernel of a matrix of rank :math:`\min(|E|, \kappa)` at least, so that of every
basis of slopes at least :math:`\min(|E|, \kappa) - 1` neurons are not free. Otherwise there are :math:`D + |E| - 1 - q` dimensions, and all
neurons that see a sample of E are not free. More neurons than dimensions: then these networks have measure zero.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Any

from identify.checker.networks.activations import Piecewise
from identify.checker.networks.claim import ANY, PATTERN, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.pieces import slope_at
from identify.checker.networks.quadrics import need_layers
from identify.checker.networks.rings import Residues, Rows
from identify.checker.reading import choice, integer, integers, need, need_small
from identify.checker.watch import watch

MAX_SETS = 200_000
"""Sets of vectors whose rank is taken."""


def bases(e: NetworkExamination, route: Any, bases: Any, independent: Any) -> str:
    """See the module. ``bases``: disjoint sets of n neurons; ``independent``: :math:`\\kappa`."""
    c = e.claim
    need(c.verdict == "UNIQUE" and not c.is_self_trained, "proves uniqueness only, for a network that does not depend on its data")
    e.need_scope((PATTERN, THIS_DATA))
    choice("route", route, ("forward", "backward"))
    sigma = c.activations[0]
    need(isinstance(sigma, Piecewise) and c.is_exact, "needs piecewise-linear activations")
    assert isinstance(sigma, Piecewise)
    need(not any(at.on_kink for row in e.first_places for at in row), "a sample lies on a kink")
    ring = e.passes.ring
    assert isinstance(ring, Residues)
    if route == "forward":
        need(sigma.is_homogeneous and c.biases[0], "needs one kink, at 0, and a bias in the first layer")
        need(c.multipliers == ANY and c.ranks == [], "multipliers, ranks: they may be any, and are those of the data")
        need(2 in e.ranks, f"the rank of the second update is not proved to be {c.n}")
        e.need_multipliers()
        vectors = [[*row, ring.number(1.0)] for row in e.passes.entering[0]]
    else:
        need_layers(e, "backward")
        vectors = e.passes.signals[-1]
    size = len(vectors[0])
    kappa = _independent(ring, vectors, independent)
    seen, count = size + c.n - (c.affine[1] if route == "forward" else 0), _needed(c.n, size, kappa)
    if route == "backward" and c.multipliers == ANY:
        seen, count = c.C * (c.n + 1), 2 * c.C * (c.n > 1)
    slopes = [[slope_at(sigma, at) for at in row] for row in e.first_places]
    least = min(sum(bool(s) for s in row) for row in slopes)
    need(least >= seen, f"a sample is seen by {least} neurons, needed {seen}")
    need(type(bases) is list and len(bases) >= count, f"bases: expected {count}")
    taken = [integers("bases", chosen, c.m) for chosen in bases]
    need(len({j for chosen in taken for j in chosen}) == sum(map(len, taken)), "bases: two of them have a neuron in common")
    watch().begin(f"ranks of {count} sets of {c.n} neurons", count * c.n**3 / 1e9)
    for chosen in taken[:count]:
        need(len(chosen) == c.n, f"bases: expected {c.n} neurons in each")
        rows = [[ring.fraction(row[j]) for j in chosen] for row in slopes]
        need(ring.is_full(rows), "bases: these neurons have dependent slopes")
    e.facts.add("pattern")
    return f"every sample is seen by {seen} neurons, and {count} disjoint sets of {c.n} neurons have independent slopes, modulo {e.prime}"


def _needed(n: int, size: int, kappa: int) -> int:
    """k >= 2 with k (kappa - 1) >= n + D - kappa where n > kappa; none for one sample."""
    if n == 1:
        return 0
    return 2 if n <= kappa else max(2, -(-(n + size - kappa) // (kappa - 1)))


def _independent(ring: Residues, vectors: Rows, independent: Any) -> int:
    """Refuses unless any so many of the vectors are independent."""
    n = len(vectors)
    kappa = integer("independent", independent, min(n, 2), min(n, len(vectors[0])))
    need_small(comb(n, kappa) <= MAX_SETS, f"more than {MAX_SETS} sets of vectors are too many")
    for chosen in combinations(vectors, kappa):
        watch().look()
        need(ring.rank(list(chosen)) == kappa, f"{kappa} of the vectors are dependent")
    return kappa

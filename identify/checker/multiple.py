r"""The step for samples that solve the equations of a single sample more than once: their multiplicities, over the rationals.

Around a sample an equation is a polynomial in the displacement. The combinations of its coefficients up to order k that vanish on all
multiples of the equations are the local dual space of order k. Where two orders have the same dimension :math:`\mu`, it stays; k is the
number of orders until then. Product forms :math:`\prod_i s_i^{k_i}`, with :math:`s_i` linear (or of degree g, for a homogenising variable
of weight g) and zero at sample i alone, show that in degree :math:`g\sum_i k_i + L` the functionals of all samples and that of any other
solution are independent. So a corank of :math:`\sum_i \mu_i` in the step ``macaulay`` leaves no other solution.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb
from typing import Any

from flint import fmpq, fmpq_mat

from identify.checker.examination import Examination
from identify.checker.macaulay import layers_of, outputs_of
from identify.checker.matrices import Point, dot
from identify.checker.reading import integers, need, need_small
from identify.checker.watch import watch

MAX_ENTRIES = 10**6
"""Of a matrix of fractions."""
Names = tuple[int, ...]
"""A monomial: its variables in order."""


def multiple_points(e: Examination, layers: Any, basis: Any) -> str:
    """How often the samples solve the equations of these layers. ``basis``: as in the step ``macaulay``."""
    c, seen = e.claim, layers_of(layers)
    need((c.network, c.data) == ("this network", "this data"), "is about given numbers")
    need("macaulay" not in e.facts and (1 not in seen or "reduction" in e.facts), "must come after the reduction, before macaulay")
    outputs = outputs_of(e, seen)
    need(len(outputs) == 1, "the equations of several outputs have multipliers")
    point: Any = e.rational_point()
    point = point if e.reduced is None else point.on_span(c.sees_bias)
    equations: list[tuple[int, list[int], list[int], Any]] = []
    if 1 in seen:
        equations.append((1, e.neurons, [j for j in range(c.m) if point.A[outputs[0]][j]], point.A[outputs[0]]))
    if 2 in seen:
        chosen = integers("basis", basis, c.m)
        need(len(chosen) == c.n, f"basis: expected {c.n} neurons")
        equations.append((0, chosen, list(range(c.m)), [fmpq(1)] * c.m))
    found = []
    for x in point.X:
        germs: list[dict[Names, fmpq]] = []
        for order, chosen, live, weights in equations:
            germs += _germs(point, order, chosen, live, weights, x)
        found.append(_multiplicity(germs, point.d))
    e.points = sum(mu for mu, _ in found), sum(orders for _, orders in found)
    return f"the samples solve the equations of a single sample {', '.join(str(mu) for mu, _ in found)} times"


def _germs(point: Point, order: int, basis: list[int], live: list[int], weights: Any, x: list[fmpq]) -> list[dict[Names, fmpq]]:
    """For each further neuron the combination with those of the basis that vanishes at all samples, around x."""
    need(set(basis) <= set(live), "basis: a neuron without output weights")
    values = {j: [weights[j] * point.sigma(order, dot(point.W[j], y) + point.b[j]) for y in point.X] for j in live}
    square = fmpq_mat([values[j] for j in basis])
    need(square.rank() == len(basis), "basis: the values of these neurons are dependent")
    inverse, around = square.inv(), {j: _around(point, order, j, weights[j], x) for j in live}
    found = []
    for j in live:
        if j not in basis:
            factors = (fmpq_mat([values[j]]) * inverse).entries()
            germ = dict(around[j])
            for k, factor in zip(basis, factors, strict=True):
                for name, value in around[k].items():
                    germ[name] = germ.get(name, fmpq(0)) - factor * value
            need(not germ.pop((), fmpq(0)), "an equation does not vanish at a sample")
            found.append({name: value for name, value in germ.items() if value})
    return found


def _around(point: Point, order: int, j: int, weight: fmpq, x: list[fmpq]) -> dict[Names, fmpq]:
    """The Taylor series of one neuron, by monomial: the derivative of order k, times the weights, over the factorials."""
    z, series = dot(point.W[j], x) + point.b[j], {}
    for k in range(len(point.s) - order):
        value = weight * point.sigma(order + k, z)
        for name in combinations_with_replacement(range(point.d), k):
            term = value
            for at, t in enumerate(name):
                term = term * point.W[j][t] / (name[: at + 1].count(t))
            series[name] = term
    return series


def _multiplicity(germs: list[dict[Names, fmpq]], d: int) -> tuple[int, int]:
    """The dimension at which the local dual spaces stay, and how many orders there are until then."""
    before, k = 0, 0
    while True:
        names = [name for size in range(k + 1) for name in combinations_with_replacement(range(d), size)]
        factors = names[: comb(d + k - 1, d)] if k else []
        need_small(max(len(germs), 1) * len(factors) * len(names) <= MAX_ENTRIES, "the multiples of the equations are too many")
        watch().look()
        place, rows = {name: at for at, name in enumerate(names)}, []
        for germ in germs:
            for factor in factors:
                row = [fmpq(0)] * len(names)
                for name, value in germ.items():
                    at = place.get(tuple(sorted(name + factor)))
                    if at is not None:
                        row[at] = value
                rows.append(row)
        dimension = len(names) - (fmpq_mat(rows).rank() if rows else 0)
        if dimension == before:
            return dimension, k
        before, k = dimension, k + 1

"""The steps that rest on the rank of the Jacobian: isolated data, and families of data with the same target.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from math import frexp, log2
from typing import Any

from flint import fmpz

from identify.checker.examination import Examination
from identify.checker.reading import DATA, NETWORK, choice, integer, need, need_small

ERROR_BOUND = 1e-12
Rows = list[list[int]]
PRIMES = 105_097_565 - 54_400_028
"""Number of primes between 2^30 and 2^31 (OEIS A007053)."""


def local(e: Examination, rows: Any, solutions: Any = None) -> str:
    """The Jacobian has full column rank modulo the tangent of the scales (inverse function theorem)."""
    e.need_data()
    point, needed = e.point, e.parameters(e.point.d)
    how = e.need_rank_of_jacobian(point, e.equations(rows, point.d), needed, solutions)
    e.facts.add("local")
    return f"{len(rows)} rows of the Jacobian have rank {needed} modulo {point.q}, the number of parameters{how}"


def count(e: Examination, coordinates: Any, parameters: Any, bound: Any) -> str:
    """More parameters than independent numbers in the target: generic fibres have positive dimension."""
    c = e.claim
    need(c.data == "generic data", "counts prove nothing for given data")
    spans = [c.d] + [c.n - c.sees_bias] * (c.n < c.d + c.sees_bias)
    d = choice("coordinates", coordinates, spans)
    choice("parameters", parameters, [e.parameters(d)])
    choice("bound", bound, [e.largest_rank(d)])
    family(e, parameters - bound)
    return f"{parameters} parameters, at most {bound} independent numbers in the target"


def fibre(e: Examination, rank: Any, dimension: Any, rows: Any) -> str:
    """The rank at the data is the largest anywhere, yet not full (constant rank theorem)."""
    e.need_data()
    point, needed = e.point, e.parameters(e.point.d)
    r = integer("rank", rank, 0, needed - 1)
    choice("dimension", dimension, [needed - r])
    need(e.rank_of_jacobian(point, e.equations(rows, point.d)) == r, f"these rows have not rank {r}")
    bound = e.largest_rank(point.d)
    how = f"the count of moments and equations allows at most {bound}"
    if r < bound:
        how = no_more_at_random_points(e, r, lambda q, draw: _rank_at_random_point(e, q, draw))
    family(e, dimension)
    return f"the Jacobian has rank {r} for {needed} parameters at the data, and nowhere more: {how}"


def family(e: Examination, dimension: int) -> None:
    """Record that there are other data with the same target, in a family of that dimension modulo the ambiguity."""
    need(e.claim.is_complete, "equations beyond (S) are in force, and may restrict the family")
    need(e.claim.data != "this target", "a family through data needs data")
    need(dimension >= 1, "the family has dimension 0")
    e.facts.add("witness")


def no_more_at_random_points(e: Examination, rank: int, rank_at: Callable[[int, Callable[..., Rows]], int]) -> str:
    """Ranks at random points modulo random primes, until one above ``rank`` would have shown. ``rank_at(q, draw)`` draws matrices."""
    c, source = e.claim, random.SystemRandom()
    per_trial, bound, trials = _chance(e, rank + 1), 1.0, 0
    need_small(per_trial < 0.1, "the numbers, and so the bound on the error of the generic rank, are too large")
    while bound >= ERROR_BOUND:
        q = source.randrange(2**30 + 1, 2**31) | 1
        if not fmpz(q).is_prime() or not all(s.denominator % q for s in c.s):
            continue

        def draw(rows: int, columns: int, q: int = q) -> Rows:
            return [[source.randrange(q) for _ in range(columns)] for _ in range(rows)]

        need(rank_at(q, draw) <= rank, "the rank is larger at generic data")
        bound, trials = bound * per_trial, trials + 1
    return f"{trials} random points modulo random primes gave no more (wrong with probability below {ERROR_BOUND:g})"


def _rank_at_random_point(e: Examination, q: int, draw: Callable[..., Rows]) -> int:
    """Rank of the Jacobian: random data for the given network, or for a random one."""
    c = e.claim
    drawn = {"W": draw(c.m, c.d), "A": draw(c.C, c.m), "bias": draw(1, c.m)[0], "X": draw(c.n, c.d), "c": draw(c.n, c.C)}
    point = e.at(q, drawn if c.bias else drawn | {"bias": None})
    if e.reduced is not None:
        point = point.on_span(c.sees_bias)
    if c.data == "this data":
        point = replace(point, X=draw(c.n, point.d), c=draw(c.n, c.C))
    return e.rank_of_jacobian(point, e.equations(list(range(e.n_equations(point.d))), point.d))


def _chance(e: Examination, size: int) -> float:
    """Probability that a minor of that size, not zero identically, vanishes at a random point modulo a random prime.

    It is a polynomial of degree at most ``size`` (4p + 4) in what is drawn (Schwartz 1980, Zippel 1979); its integer
    coefficients have at most ``bits`` bits, so that at most bits/30 primes above 2^30 divide them all.
    """
    c = e.claim
    flat = [v for name in NETWORK + DATA for row in e.numbers[name] or () for v in (row if type(row) is list else [row]) if v]
    exponents = [frexp(v)[1] for v in flat] or [0]
    given = max(max(exponents), 0) + max(53 - min(exponents), 0) if flat else 0
    sums = log2((c.d + 1) * (c.n + 1) * (c.C + 1) * (c.p + 1) ** 2)
    entry = (4 * c.p + 4) * (given + sums) + sum(log2(abs(s.numerator) + 1) + log2(s.denominator) for s in c.s)
    return size * (4 * c.p + 4) / 2**30 + size * (entry + log2(size + 1)) / 30 / PRIMES

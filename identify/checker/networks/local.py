r"""The steps that rest on the derivative of (S): isolated data (Theorem D), and data in a manifold of data with the same update.

The derivative is taken along directions of each sample and of its multipliers, and tested with functionals
:math:`\sum_l a_l^\top G_l b_l` of random integers. Their rank is at most that of the derivative.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from math import frexp, log2, prod
from typing import Any

from flint import fmpz

from identify.checker.networks.activations import Analytic
from identify.checker.networks.claim import GENERIC, GENERIC_DATA, THIS, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.rings import SPREAD, Passes, Residues, Rows, passes, times, transposed
from identify.checker.reading import choice, integer, need, need_small
from identify.checker.tangents import ERROR_BOUND, PRIMES

MAX_UNKNOWNS = {True: 3000, False: 1000}
"""Columns of the derivative, modulo a prime (true) and in balls."""
SPARE = 8
"""Functionals beyond the rank that is claimed."""


def local(e: NetworkExamination, in_span: Any, seed: Any) -> str:
    """Full column rank, modulo the scales that (S) leaves free. ``in_span``: samples move in their own span, as the rank of G_1 allows."""
    c = e.claim
    need(c.verdict == "LOCALLY_UNIQUE", "proves isolation only")
    e.need_scope((GENERIC, GENERIC_DATA), (THIS, GENERIC_DATA), (THIS, THIS_DATA))
    need(
        c.needs_data or all(sigma.kind != "piecewise-linear" for sigma in c.activations),
        "one point proves nothing of piecewise-linear ones",
    )
    choice("in_span", in_span, (True, False))
    need(not in_span or 1 in e.ranks, f"the rank of the first update is not proved to be {c.n}")
    e.need_no_kinks()
    rows = _derivative(e, in_span, seed, None)
    columns = len(rows[0])
    need(e.passes.ring.is_full(rows, seed), f"the derivative is not proved to have rank {columns}")
    e.facts.add("local")
    how = f"modulo {e.prime}" if c.is_exact else "in balls"
    return f"the derivative has rank {columns}, the number of unknowns{' in the span of the samples' * in_span}, {how}"


def fibre(e: NetworkExamination, dimension: Any, seed: Any) -> str:
    """The rank at the data is the number of equations, which are fewer than the unknowns (implicit function theorem)."""
    return _fibre(e, dimension, seed, False)


def fibre_in_span(e: NetworkExamination, dimension: Any, seed: Any) -> str:
    """The same for samples that stay in their span (with sum of coefficients 1 if the first bias' update is known).

    Then rows of the first update do, too: for each neuron there are no more than n equations.
    """
    need(1 in e.ranks, f"the rank of the first update is not proved to be {e.claim.n}")
    return _fibre(e, dimension, seed, True)


def _fibre(e: NetworkExamination, dimension: Any, seed: Any, in_span: bool) -> str:
    c = e.claim
    need(c.verdict == "NOT_UNIQUE", "proves non-uniqueness only")
    e.need_scope((THIS, THIS_DATA))
    need(c.is_complete, "equations beyond (S) are in force, and may restrict the family")
    e.need_no_kinks()
    moves, equations = c.d, c.equations
    if in_span:
        moves = c.n - c.affine[0]
        equations += c.m * (c.n - c.d * c.observed[0][0] - c.observed[0][1])
    columns = c.n * (moves + c.C - c.scales)
    choice("dimension", dimension, [columns - equations])
    need(dimension > c.n * (c.has_free_scale and not c.scales), "the family may hold nothing but images of the data")
    rows = _derivative(e, in_span, seed, equations)
    need(e.passes.ring.is_full(transposed(rows), seed), f"the derivative is not proved to have rank {equations}")
    e.facts.add("witness")
    whose = "the number of equations" + " for samples in this span" * in_span
    return f"the derivative has rank {equations}, {whose}, and {columns} columns"


def constant_rank(e: NetworkExamination, rank: Any, in_span: Any, dimension: Any, seed: Any) -> str:
    """The rank at the data is the largest anywhere on these pieces, yet there are more columns (constant rank theorem).

    ``in_span``: samples move in their own span. With the slopes as they are, (S) is a polynomial map. The rank modulo the prime is at most
    that at the data. A larger one somewhere would show at random points, drawn here, modulo random primes.
    """
    c = e.claim
    need(c.verdict == "NOT_UNIQUE", "proves non-uniqueness only")
    e.need_scope((THIS, THIS_DATA))
    need(c.is_complete, "equations beyond (S) are in force, and may restrict the family")
    need(c.is_exact, "needs activations that are all piecewise-linear, or all polynomials")
    e.need_no_kinks()
    choice("in_span", in_span, (True, False))
    need(not in_span or 1 in e.ranks, f"the rank of the first update is not proved to be {c.n}")  # or directions may be dependent
    directions = c.n - c.affine[0] if in_span else c.d
    columns = c.n * (directions + c.C - c.scales)
    r = integer("rank", rank, 0, columns - 1)
    choice("dimension", dimension, [columns - r])
    need(dimension > c.n * (c.has_free_scale and not c.scales), "the family may hold nothing but images of the data")
    rows = _derivative(e, in_span, seed, r + SPARE)
    assert isinstance(e.passes.ring, Residues)
    need(e.passes.ring.rank(rows) == r, f"the derivative does not have rank {r} modulo the prime")
    trials = _no_more_at_random_points(e, in_span, r)
    e.facts.add("witness")
    return (
        f"the derivative has rank {r} at the data, with {columns} columns, and nowhere more on these pieces: {trials} random points modulo "
        f"random primes gave no more (wrong with probability below {ERROR_BOUND:g})"
    )


def _no_more_at_random_points(e: NetworkExamination, in_span: bool, r: int) -> int:
    """How many points were drawn, until a larger rank would have shown."""
    c, source, bound, trials = e.claim, random.SystemRandom(), 1.0, 0
    per_trial = _chance(e, r + 1)
    need_small(per_trial < 0.1, "the numbers, and so the bound on the error of the largest rank, are too large")
    located = e.passes.ring.places if isinstance(e.passes.ring, Residues) else None
    while bound >= ERROR_BOUND:
        q = source.randrange(2**30 + 1, 2**31) | 1
        if not fmpz(q).is_prime() or not all(v.denominator % q for sigma in c.activations for v in sigma.numbers):
            continue
        X, gamma = ([[source.randrange(q) for _ in range(size)] for _ in range(c.n)] for size in (c.d, c.C))
        if not all(map(any, gamma)):
            continue
        at = passes(Residues(q, c.activations, located), *e.net, X, gamma)
        assert isinstance(at.ring, Residues)
        rows = _derivative(e, in_span, None, r + 1, at, gamma, source.randrange)
        need(at.ring.rank(rows) <= r, "the rank is larger elsewhere on these pieces")
        bound, trials = bound * per_trial, trials + 1
    return trials


def _chance(e: NetworkExamination, size: int) -> float:
    r"""Probability that a minor of that size, not zero identically, vanishes at a random point modulo a random prime.

    Let D be the degree of the network in its inputs. Entries are :math:`a^\top G b` along directions: of degree at most 2 D + 4 in what is
    drawn, X, c, a and b, and at most 2 D L in the weights and biases. So their integer coefficients have at most ``entry`` bits, and at
    most bits/30 primes above 2^30 divide all of a minor's.
    """
    c, (weights, biases) = e.claim, e.net
    flat = [v for W in weights for row in W for v in row if v] + [v for b in biases for v in b or () if v]
    exponents = [frexp(v)[1] for v in flat] or [0]
    given = max(max(exponents), 0) + max(53 - min(exponents), 0)
    inside = prod(sigma.degree for sigma in c.activations if not isinstance(sigma, Analytic))
    factors = 2 * inside * c.depth
    sums = log2(max(c.sizes) + 1) + log2(inside + 1)
    own = sum(log2(abs(v.numerator) + 1) + log2(v.denominator) for sigma in c.activations for v in sigma.numbers)
    entry = factors * (given + sums + own) + log2(2 * (c.d + 1) * (c.n + 1) * (c.C + 1) * (2 * c.depth) * (max(c.sizes) + 1) ** 2)
    return size * (2 * inside + 4) / 2**30 + size * (entry + log2(size + 1)) / 30 / PRIMES


def _derivative(
    e: NetworkExamination,
    in_span: bool,
    seed: Any,
    count: int | None,
    at: Passes | None = None,
    gamma: Rows | None = None,
    below: Callable[[int], int] | None = None,
) -> Rows:
    """``count`` functionals, or as many as columns, of the derivative; by sample, directions of x, then multipliers.

    At the data, with small integers from a seed; or where ``at`` is, with residues from ``below``.
    """
    c = e.claim
    if at is None:
        integer("seed", seed, 0, 2**32)
        at, gamma = e.passes, e.part("c")
    assert gamma is not None
    moves = _directions(e, at, in_span)
    size = len(moves[0]) + c.C
    columns = c.n * (size - c.scales)
    count = columns if count is None else count
    need_small(max(count, columns) <= MAX_UNKNOWNS[c.is_exact], f"a derivative of {count} by {columns} is too large")
    work = c.n * sum(size * out * inner + count * (out + inner) * size for inner, out in zip(c.sizes, c.sizes[1:], strict=False))
    e.need_products(work + columns**3, f"the derivative, {count} by {columns}")
    draw = random.Random(seed)

    def number() -> Any:
        if below is None:
            return at.ring.number(float(draw.randint(-SPREAD, SPREAD)))
        assert isinstance(at.ring, Residues)
        return at.ring.number(below(at.ring.q))

    def drawn(length: int) -> Rows:
        return [[number() for _ in range(count)] for _ in range(length)]

    zero = at.ring.number(0.0)
    by_sample = [_tangents(e, at, i, moves[i]) for i in range(c.n)]
    total = [[zero] * (c.n * size) for _ in range(count)]
    for layer, seen in enumerate(c.observed):
        for of_weights in (True, False):
            if not seen[not of_weights]:
                continue
            a = at.ring.matrix(drawn(c.sizes[layer + 1]))
            b = at.ring.matrix(drawn(c.sizes[layer])) if of_weights else None
            left = (at.ring.matrix(at.signals[layer]) * a).table()
            right = None if b is None else (at.ring.matrix(at.entering[layer]) * b).table()
            for i, (in_h, in_u) in enumerate(by_sample):
                along_u = (at.ring.matrix(in_u[layer]) * a).table()
                along_h = None if b is None else (at.ring.matrix(in_h[layer]) * b).table()
                for t in range(size):
                    for k in range(count):
                        value = along_u[t][k]
                        if right is not None and along_h is not None:
                            value = value * right[i][k] + left[i][k] * along_h[t][k]
                        total[k][i * size + t] += value
    if not c.scales:
        return total
    # of every sample one multiplier that is not zero is left out: the scale moves it
    held = {i * size + size - c.C + next(o for o, v in enumerate(gamma[i]) if v) for i in range(c.n)}
    return [[v for k, v in enumerate(row) if k not in held] for row in total]


def _directions(e: NetworkExamination, at: Passes, in_span: bool) -> list[Rows]:
    """Of each sample: along the axes, or towards the other samples; the sample itself if combinations are not affine."""
    c = e.claim
    if not in_span:
        axes = [[at.ring.number(float(k == t)) for k in range(c.d)] for t in range(c.d)]
        return [axes] * c.n
    X = at.entering[0]
    if not c.affine[0]:
        return [X] * c.n
    return [[[u - v for u, v in zip(other, x, strict=True)] for k, other in enumerate(X) if k != i] for i, x in enumerate(X)]


def _tangents(e: NetworkExamination, at: Passes, i: int, moves: Rows) -> tuple[list[Rows], list[Rows]]:
    """Derivatives of what enters each layer at one sample, and of its signals; a row for each direction, those of multipliers last."""
    c = e.claim
    zero, one = at.ring.number(0.0), at.ring.number(1.0)
    size = len(moves) + c.C
    in_h, in_z = [moves + [[zero] * c.d for _ in range(c.C)]], []
    for layer in range(c.depth - 1):
        in_z.append((at.ring.matrix(in_h[-1]) * at.weights[layer].transpose()).table())
        in_h.append(times(in_z[-1], [at.slopes[layer][i]] * size))
    in_u = [[[one if t - len(moves) == o else zero for o in range(c.C)] for t in range(size)]]
    for layer in range(c.depth - 2, -1, -1):
        weighted = (at.ring.matrix(in_u[-1]) * at.weights[layer + 1]).table()
        bent = [u * v for u, v in zip(at.bends[layer][i], at.weighted[layer][i], strict=True)]
        moved, curved = times(weighted, [at.slopes[layer][i]] * size), times(in_z[layer], [bent] * size)
        in_u.append([[u + v for u, v in zip(left, right, strict=True)] for left, right in zip(moved, curved, strict=True)])
    return in_h, in_u[::-1]

r"""The steps that rest on the derivative of (S): isolated data (Theorem D), and data in a manifold of data with the same update.

The derivative is taken along directions of each sample and of its multipliers, and tested with functionals
:math:`\sum_l a_l^\top G_l b_l` of random integers. Their rank is at most that of the derivative.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

import random
from typing import Any

from identify.checker.networks.claim import GENERIC, GENERIC_DATA, THIS, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.rings import SPREAD, Rows, times, transposed
from identify.checker.reading import choice, integer, need, need_small

MAX_UNKNOWNS = {True: 3000, False: 1000}
"""Columns of the derivative, modulo a prime (true) and in balls."""


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


def _derivative(e: NetworkExamination, in_span: bool, seed: Any, count: int | None) -> Rows:
    """``count`` functionals, or as many as columns, of the derivative; by sample, directions of x, then multipliers."""
    c, at = e.claim, e.passes
    integer("seed", seed, 0, 2**32)
    moves = _directions(e, in_span)
    size = len(moves[0]) + c.C
    columns = c.n * (size - c.scales)
    count = columns if count is None else count
    need_small(max(count, columns) <= MAX_UNKNOWNS[c.is_exact], f"a derivative of {count} by {columns} is too large")
    work = c.n * sum(size * out * inner + count * (out + inner) * size for inner, out in zip(c.sizes, c.sizes[1:], strict=False))
    e.need_products(work + columns**3, f"the derivative, {count} by {columns}")
    draw = random.Random(seed)

    def integers(length: int) -> Rows:
        return [[at.ring.number(float(draw.randint(-SPREAD, SPREAD))) for _ in range(count)] for _ in range(length)]

    zero = at.ring.number(0.0)
    by_sample = [_tangents(e, i, moves[i]) for i in range(c.n)]
    total = [[zero] * (c.n * size) for _ in range(count)]
    for layer, seen in enumerate(c.observed):
        for of_weights in (True, False):
            if not seen[not of_weights]:
                continue
            a = at.ring.matrix(integers(c.sizes[layer + 1]))
            b = at.ring.matrix(integers(c.sizes[layer])) if of_weights else None
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
    gamma = e.part("c")  # of every sample one multiplier that is not zero is left out: the scale moves it
    held = {i * size + size - c.C + next(o for o, v in enumerate(gamma[i]) if v) for i in range(c.n)}
    return [[v for k, v in enumerate(row) if k not in held] for row in total]


def _directions(e: NetworkExamination, in_span: bool) -> list[Rows]:
    """Of each sample: along the axes, or towards the other samples; the sample itself where combinations are not affine."""
    c, at = e.claim, e.passes
    if not in_span:
        axes = [[at.ring.number(float(k == t)) for k in range(c.d)] for t in range(c.d)]
        return [axes] * c.n
    X = at.entering[0]
    if not c.affine[0]:
        return [X] * c.n
    return [[[u - v for u, v in zip(other, x, strict=True)] for k, other in enumerate(X) if k != i] for i, x in enumerate(X)]


def _tangents(e: NetworkExamination, i: int, moves: Rows) -> tuple[list[Rows], list[Rows]]:
    """Derivatives of what enters each layer at one sample, and of its signals; a row for each direction, those of multipliers last."""
    c, at = e.claim, e.passes
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

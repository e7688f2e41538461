r"""The step for Theorem B: the quadrics of single samples have a kernel of dimension n.

The slope takes two values :math:`\alpha, \beta`, so that :math:`(v - \alpha r)(v - \beta r) = 0` for the column of a sample, v its
entry at a neuron and r its signal before the slope; or for its features, v a feature and r the pre-activation. Both are linear in unknown
coefficients, so the quadric is linear in their products. If these linear equations have a kernel of dimension n, then the samples are all
there is: the first block of products is of rank one, and a combination of n independent :math:`e_i e_i^\top`.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from flint import nmod_mat

from identify.checker.matrices import need_fit, rank_seconds
from identify.checker.networks.activations import Piecewise
from identify.checker.networks.claim import CELL, CELL_OFF_KINKS, OFF_KINKS, THIS, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.rings import Residues, Rows, transposed
from identify.checker.reading import choice, need
from identify.checker.watch import watch

FORMS = {"backward": "columns", "both_signals": "columns of two layers", "forward": "features"}
"""What the linear forms are of, by the name of the equations."""
EQUATIONS = tuple(FORMS)


def quadrics(e: NetworkExamination, equations: Any) -> str:
    """See the module. ``equations``: of columns of the first update, of the first two, or of features."""
    c = e.claim
    need(c.verdict == "UNIQUE", "proves uniqueness only")
    e.need_scope((THIS, THIS_DATA), (THIS, CELL), (THIS, OFF_KINKS), (THIS, CELL_OFF_KINKS))
    choice("equations", equations, EQUATIONS)
    sigma = c.activations[0]
    need(isinstance(sigma, Piecewise) and len(set(sigma.slopes)) == 2 and c.is_exact, "needs piecewise-linear activations of two slopes")
    assert isinstance(sigma, Piecewise)
    low, high = sorted(set(sigma.slopes))
    off_kinks = equations != "forward" and not set(sigma.kinks) <= {low, high}  # another sample on a kink may have another column
    need(off_kinks == (c.data in (OFF_KINKS, CELL_OFF_KINKS)), "data: another sample may lie on a kink, whose slope is neither of the two")
    need_layers(e, equations)
    if equations == "both_signals":
        need(is_settled(e) or c.affine[1], "needs a scale that is fixed or free")
        need(is_settled(e) or low + high, "needs the update of the first bias, or two slopes that are not opposite")
    if c.data in (CELL, CELL_OFF_KINKS):
        need(equations == "backward" and c.C == 1, "only one output, and columns of one layer, leave nothing but the activation pattern")
    _need_kinks_within(e, {low, high})
    v, r, tied = linear_forms(e, equations)
    rank, columns = _rank(e, v, r, low, high, tied)
    need(rank >= columns - c.n, f"the quadrics have rank {rank} modulo {e.prime}, needed {columns - c.n}")
    e.facts.add("quadrics")
    return f"the quadrics of {FORMS[equations]} have rank {rank} of {columns} modulo {e.prime}: their kernel has dimension {c.n}"


def is_settled(e: NetworkExamination) -> bool:
    """Whether the scale of a column is fixed by the update of the first bias, or free."""
    c, sigma = e.claim, e.claim.activations[0]
    return bool(c.affine[0]) or (not c.biases[0] and isinstance(sigma, Piecewise) and sigma.is_homogeneous)


def need_layers(e: NetworkExamination, equations: str) -> None:
    """The ranks, and what deeper layers must show, for these equations to be those of every sample of every solution."""
    c, sigma = e.claim, e.claim.activations[0]
    p, q = c.affine
    need(c.ranks == [], "ranks: given data have the rank that they have")
    needed = {1, 2}
    if equations == "forward":
        need(isinstance(sigma, Piecewise) and sigma.is_homogeneous, "features: needs one kink, at 0")
    elif equations == "backward":
        need(c.depth == 2 and is_settled(e), "needs two layers, and a scale that is fixed or free")
        needed = {1, 2} if q and not p and c.features_can_count else {1}  # the second update fixes scales, by a rank of n
    else:
        need(c.depth > 2, "needs more than two layers")
    need(needed <= e.ranks, f"the ranks of the updates are not proved to be {c.n}")
    if equations != "backward":
        e.need_multipliers()


def _need_kinks_within(e: NetworkExamination, slopes: set[Fraction]) -> None:
    """On a kink the given data have the slope that is stated there."""
    sigma = e.claim.activations[0]
    assert isinstance(sigma, Piecewise)
    stated = {sigma.kinks[at.piece] for row in e.places[0] for at in row if at.on_kink}
    need(stated <= slopes, "a sample lies on a kink whose stated slope is neither of the two")


def linear_forms(e: NetworkExamination, equations: str) -> tuple[Rows, Rows, bool]:
    """By neuron: v and r as linear forms of the unknowns; and whether their coefficients have the same sum."""
    c, at = e.claim, e.passes
    if equations == "backward":  # r of multipliers
        return transposed(at.signals[0]), transposed(at.weights[1].table()), False
    if equations == "both_signals":  # r of the signals of the second layer
        return transposed(at.signals[0]), transposed(at.weighted[0]), False
    v, r = transposed(at.entering[1]), transposed(at.before[0])
    bias = e.net[1][0]
    if bias is not None and not c.affine[0]:  # the coefficients of the samples, and of the bias
        r = [[u - at.ring.number(beta) for u in row] + [at.ring.number(beta)] for row, beta in zip(r, bias, strict=True)]
    return v, r, all(c.affine)


def _rank(e: NetworkExamination, v: Rows, r: Rows, low: Fraction, high: Fraction, tied: bool) -> tuple[int, int]:
    """Rank of the quadrics in the products of unknowns, and the number of these products."""
    ring, n, k = e.passes.ring, len(v[0]), len(r[0])
    assert isinstance(ring, Residues)
    linear, square = ring.fraction(-(low + high)), ring.fraction(low * high)
    pairs_v = [(i, j) for i in range(n) for j in range(i, n)]
    pairs_r = [(i, j) for i in range(k) for j in range(i, k)] if low * high else []
    mixed = [(i, j) for i in range(n) for j in range(k)] if low + high else []
    columns = len(pairs_v) + len(mixed) + len(pairs_r)
    rows = []
    need_fit(len(v) + n + k, columns)
    watch().begin(f"rank of the quadrics, {len(v)} by {columns}", rank_seconds(len(v), columns))
    for a, b in zip(v, r, strict=True):
        row = [a[i] * a[j] * (1 + (i != j)) for i, j in pairs_v]
        row += [linear * a[i] * b[j] for i, j in mixed]
        row += [square * b[i] * b[j] * (1 + (i != j)) for i, j in pairs_r]
        rows.append([int(value) for value in row])
    if tied:
        rows += _ties(n, k, pairs_v, mixed, pairs_r, ring.q)
    return int(nmod_mat(len(rows), columns, [value for row in rows for value in row], ring.q).rank()), columns


def _ties(n: int, k: int, pairs_v: list, mixed: list, pairs_r: list, q: int) -> list[list[int]]:
    """The coefficients of features and of the sample have the sum 1 both; so their difference is zero, times any unknown."""
    if not mixed:
        return []
    at_v, at_m, at_r = ({pair: number for number, pair in enumerate(pairs)} for pairs in (pairs_v, mixed, pairs_r))
    found = []
    for i in range(n):
        row = [0] * (len(pairs_v) + len(mixed) + len(pairs_r))
        for j in range(n):
            row[at_v[min(i, j), max(i, j)]] = 1
        for j in range(k):
            row[len(pairs_v) + at_m[i, j]] = q - 1
        found.append(row)
    for j in range(k if pairs_r else 0):
        row = [0] * (len(pairs_v) + len(mixed) + len(pairs_r))
        for i in range(n):
            row[len(pairs_v) + at_m[i, j]] = 1
        for i in range(k):
            row[len(pairs_v) + len(mixed) + at_r[min(i, j), max(i, j)]] = q - 1
        found.append(row)
    return found

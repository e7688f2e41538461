r"""The step for other data with exactly the same update, of a piecewise-linear network: in rational numbers, from the definition.

Both data sets go through the network in fractions, with the slopes that the activation states at its kinks. All observed updates must be
equal. The data must differ by more than their order and the ambiguity: what :math:`\gamma_i x_i^\top` says if scales are free, and
:math:`(x_i, \gamma_i)` if not.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from flint import fmpq, fmpq_mat

from identify.checker.networks.activations import Piecewise, as_rational
from identify.checker.networks.claim import THIS, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.pieces import rational
from identify.checker.reading import fraction, need, need_small
from identify.checker.watch import watch

MAX_PRODUCTS = 3 * 10**6
Rationals = list[list[fmpq]]


def other(e: NetworkExamination, X: Any, c: Any) -> str:
    """Other data, of at most n samples, with exactly the given update."""
    claim = e.claim
    need(claim.verdict == "NOT_UNIQUE" and claim.is_complete, "proves that other data have the same update, if nothing else is in force")
    e.need_scope((THIS, THIS_DATA))
    activations = e.piecewise(claim.depth - 1)
    need(type(X) is list and type(c) is list and len(X) == len(c) <= claim.n, f"expected at most {claim.n} samples, and their multipliers")
    products = 3 * claim.n * sum(u * v for u, v in zip(claim.sizes, claim.sizes[1:], strict=False))
    need_small(products <= MAX_PRODUCTS, f"{products} products of fractions are too many")
    Y, gamma = _table("X", X, claim.d), _table("c", c, claim.C)
    need(all(any(row) for row in gamma), "c: a multiplier is zero")
    need(len({tuple(map(str, x)) for x in Y}) == len(Y), "X: two samples coincide")
    given = [[[rational(v) for v in row] for row in e.part(name)] for name in ("X", "c")]
    need(updates(e, activations, Y, gamma) == updates(e, activations, *given), "the updates differ")
    need(names(e, Y, gamma) != names(e, *given), "these are the given data, or an image of them")
    e.facts.add("witness")
    return f"{len(Y)} other samples have exactly the same update, in fractions"


def _table(name: str, rows: Any, columns: int) -> Rationals:
    found = []
    for row in rows:
        need(type(row) is list and len(row) == columns, f"{name}: expected rows of {columns} numbers")
        found.append([as_rational(fraction(name, v)) for v in row])
    return found


def updates(e: NetworkExamination, activations: list[Piecewise], X: Rationals, c: Rationals) -> list[fmpq_mat]:
    """Of every observed layer."""
    sizes = e.claim.sizes
    if not X:
        shapes = zip(sizes, sizes[1:], e.claim.observed, strict=False)
        return [fmpq_mat(out, size) for inner, out, (sees_W, sees_b) in shapes for size in [inner] * sees_W + [1] * sees_b]
    found: list[fmpq_mat] = []
    weights, biases = e.net
    matrices = [fmpq_mat([[rational(v) for v in row] for row in W]) for W in weights]
    h, entering, slopes = fmpq_mat(X), [fmpq_mat(X)], []
    for W, b, sigma in zip(matrices[:-1], biases[:-1], activations, strict=True):
        watch().look()
        Z = (h * W.transpose()).tolist()
        if b is not None:
            Z = [[v + rational(offset) for v, offset in zip(row, b, strict=True)] for row in Z]
        h = fmpq_mat([[value_of(sigma, z) for z in row] for row in Z])
        entering.append(h)
        slopes.append([[slope_of(sigma, z) for z in row] for row in Z])
    u, signals = fmpq_mat(c), [fmpq_mat(c)]
    for W, slope in zip(matrices[:0:-1], slopes[::-1], strict=True):
        weighted = (u * W).tolist()
        u = fmpq_mat([[v * s for v, s in zip(row, along, strict=True)] for row, along in zip(weighted, slope, strict=True)])
        signals.append(u)
    for signal, inner, (sees_W, sees_b) in zip(signals[::-1], entering, e.claim.observed, strict=True):
        found += [signal.transpose() * inner] * sees_W + [signal.transpose() * fmpq_mat([[1]] * len(X))] * sees_b
    return found


def value_of(sigma: Piecewise, z: fmpq) -> fmpq:
    piece = sigma.piece(z)
    return as_rational(sigma.slopes[piece]) * z + as_rational(sigma.intercepts[piece])


def slope_of(sigma: Piecewise, z: fmpq) -> fmpq:
    for t, stated in zip(sigma.breakpoints, sigma.kinks, strict=True):
        if as_rational(t) == z:
            return as_rational(stated)
    return as_rational(sigma.slopes[sigma.piece(z)])


def names(e: NetworkExamination, X: Rationals, c: Rationals) -> list[tuple[Fraction, ...]]:
    """What no image of the samples changes, in order."""
    group, found = e.claim.group, []
    for x, gamma in zip(X, c, strict=True):
        whole = [g * v for g in gamma for v in x] if e.claim.has_free_scale else [*x, *gamma]
        images = [whole]
        if group in ("scaling", "even scaling"):
            images.append([-v for v in whole])
        if group == "sign":
            flips = -1 if e.claim.degree % 2 else 1
            images.append([-v for v in x] + [flips * v for v in gamma])
        found.append(max(tuple(Fraction(int(v.p), int(v.q)) for v in image) for image in images))
    return sorted(found)

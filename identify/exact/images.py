r"""Images t x of a sample, t > 0, before a second hidden layer with biases, if the first layer has none: piecewise-linear networks.

If the updates of the first two layers have rank n, a sample t x of other data has features t h and needs the signal
:math:`u^2 / t`: multipliers with :math:`D(t)\,W_3^\top\gamma' = D(1)\,W_3^\top\gamma / t`, where D(t) are the slopes of the second layer at
:math:`t\,W_2 h + b_2`. As t grows, these change finitely often. If each D(t) other than D(1) leaves no solution, and
:math:`D(1)\,W_3^\top` is injective, γ' = γ / t, and the image is that of the group. Then the update of the last layer changes by
:math:`\sum_i (1/t_i - 1)\,\gamma_i k_i^\top` with the constant terms :math:`k_i = D_i(1)\,b_2` of the second layer's values, so that
t = 1 if these matrices are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from fractions import Fraction
from itertools import pairwise

import numpy as np
from flint import fmpq, fmpq_mat

from identify.exact.modular import fraction_residues, rank
from identify.exact.pieces import Pieces
from identify.exact.updates import rational, rationals
from identify.problem.network import Network

MOST_PRODUCTS = 3 * 10**5
"""Of fractions."""


class Images(Enum):
    """What becomes of the images of given samples."""

    WHOLE = "each image goes with one choice of multipliers, that of the group"
    FIXED = "no image but the sample itself has the same updates"


def images(net: Network, X: np.ndarray, c: np.ndarray, pieces: Pieces, observed: Sequence[tuple[bool, bool]], q: int) -> Images | None:
    """For given data of a network of three layers, the first without bias; None if nothing is proved, or too much would be computed.

    Cost: n m_2^2 evaluations of a slope in fractions, and as many ranks modulo q as patterns that no zero row excludes.
    """
    if net.depth != 3 or net.biases[0] is not None or pieces.on_kink[1].any():
        return None
    (n, d), m, wide = X.shape, len(net.weights[0]), len(net.weights[1])
    if n * (m * d + wide * m + wide * wide * 2 * len(net.activations[1].breakpoints)) > MOST_PRODUCTS:
        return None
    offsets = [fmpq(0)] * wide if net.biases[1] is None else [rational(float(v)) for v in net.biases[1]]
    first, second, third = (fmpq_mat(rationals(W)) for W in net.weights)
    Z = (fmpq_mat(rationals(X)) * first.transpose()).tolist()
    H = fmpq_mat([[rational(net.activations[0].exact(_fraction(z))) for z in row] for row in Z])
    along, weighted = (H * second.transpose()).tolist(), (fmpq_mat(rationals(c)) * third).tolist()
    columns = third.transpose().tolist()
    constants = []
    for i in range(n):
        slopes = _slopes(net, along[i], offsets, fmpq(1))
        signal = [s * r for s, r in zip(slopes, weighted[i], strict=True)]
        if _rank([[s * v for v in row] for s, row in zip(slopes, columns, strict=True)], q) < net.n_outputs:
            return None
        for t in _between(_changes(net, along[i], offsets)):
            other = _slopes(net, along[i], offsets, t)
            if other != slopes and not _is_excluded(other, columns, signal, net.n_outputs, q):
                return None
        constants.append([s * b for s, b in zip(slopes, offsets, strict=True)])
    sees_last, sees_output = observed[2]
    rows = []
    for gamma, k in zip(rationals(c), constants, strict=True):
        rows.append([g * v for g in gamma for v in k] * sees_last + gamma * sees_output)
    homogeneous = net.activations[1].breakpoints == (0,) and net.activations[1].intercepts == (0, 0)
    return Images.FIXED if homogeneous and rows[0] and _rank(rows, q) == n else Images.WHOLE


def _slopes(net: Network, along: list[fmpq], offsets: list[fmpq], t: fmpq) -> list[fmpq]:
    return [rational(net.activations[1].exact(_fraction(t * a + b), 1)) for a, b in zip(along, offsets, strict=True)]


def _changes(net: Network, along: list[fmpq], offsets: list[fmpq]) -> list[fmpq]:
    """Where a slope of the second layer changes, in increasing order."""
    points = [rational(t) for t in net.activations[1].breakpoints]
    return sorted({(p - b) / a for a, b in zip(along, offsets, strict=True) if a for p in points if (p - b) / a > 0})


def _between(points: list[fmpq]) -> list[fmpq]:
    """The points, and one in each interval that they cut the positive numbers into."""
    if not points:
        return [fmpq(1)]
    gaps = [(u + v) / 2 for u, v in pairwise(points)]
    return [points[0] / 2, *points, *gaps, points[-1] + 1]


def _is_excluded(slopes: list[fmpq], columns: list[list[fmpq]], signal: list[fmpq], outputs: int, q: int) -> bool:
    """Whether no multipliers give this signal with these slopes."""
    if any(v and not s for s, v in zip(slopes, signal, strict=True)):
        return True
    rows = [[*(s * v for v in row), u] for s, row, u in zip(slopes, columns, signal, strict=True)]
    return _rank(rows, q) == outputs + 1


def _rank(rows: list[list[fmpq]], q: int) -> int:
    """Modulo q: no more than over the rationals."""
    return rank(fraction_residues(rows, q), q)


def _fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))

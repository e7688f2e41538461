r"""The step for scales behind a second hidden layer with biases, if the first has none: which multipliers go with t x, t > 0.

Three layers, piecewise-linear, :math:`\sigma(tz) = t\sigma(z)` in the first, and ranks n of the first two updates. A sample t x of other
data has features t h and needs the signal :math:`u^2/t`: multipliers with
:math:`D(t) W_3^\top\gamma' = D(1) W_3^\top\gamma / t`, if D(t) are the slopes of the second layer at :math:`t W_2 h + b_2`. These change
at finitely many t. If no D(t) other than D(1) leaves a solution, and :math:`D(1) W_3^\top` is injective, then γ' = γ/t. The
last update then changes by :math:`\sum_i (1/t_i - 1)\,\gamma_i (D_i(1) b_2)^\top` (second layer: a kink at 0 only), so that no scale is
left open if these matrices are independent. All of it in fractions.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from itertools import pairwise

from flint import fmpq, fmpq_mat

from identify.checker.networks.activations import Piecewise, as_rational
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.other import slope_of, value_of
from identify.checker.networks.pieces import rational
from identify.checker.reading import need, need_small
from identify.checker.watch import watch

MAX_PRODUCTS = 10**6


def images(e: NetworkExamination) -> str:
    """Images of samples go with one choice of multipliers; if the claim says so, no scale is open."""
    c = e.claim
    e.need_data()
    need(c.depth == 3 and not c.biases[0] and c.biases[1], "is about three layers, with a bias in the second but not in the first")
    first, second = e.piecewise(2)
    need(first.is_homogeneous and not c.scales, "the first layer is not homogeneous, or scales are free in all layers")
    need({1, 2} <= e.ranks, f"the ranks of the first two updates are not proved to be {c.n}")
    need(not any(at.on_kink for row in e.places[1] for at in row), "a sample lies on a kink of the second layer")
    wide = c.sizes[2]
    products = c.n * (c.m * c.d + wide * c.m + 2 * wide * wide * len(second.breakpoints))
    need_small(products <= MAX_PRODUCTS, f"{products} products of fractions are too many")
    (W1, W2, W3), (_, b, _) = e.net
    X, gamma = (fmpq_mat([[rational(v) for v in row] for row in e.part(name)]) for name in ("X", "c"))
    weights = [fmpq_mat([[rational(v) for v in row] for row in W]) for W in (W1, W2, W3)]
    offsets = [rational(v) for v in b]
    H = fmpq_mat([[value_of(first, z) for z in row] for row in (X * weights[0].transpose()).tolist()])
    along, signals, columns = (H * weights[1].transpose()).tolist(), (gamma * weights[2]).tolist(), weights[2].transpose().tolist()
    rows = []
    sees_last, sees_output = c.observed[2]
    for i in range(c.n):
        slopes = _slopes(second, along[i], offsets, fmpq(1))
        own = [s * r for s, r in zip(slopes, signals[i], strict=True)]
        need(_weighted(slopes, columns).rank() == c.C, f"the signals of sample {i} do not determine its multipliers")
        for t in _points(second, along[i], offsets):
            watch().look()
            other = _slopes(second, along[i], offsets, t)
            need(other == slopes or _excludes(other, columns, own), f"sample {i} times {t}: other multipliers may give its signal")
        constants = [s * v for s, v in zip(slopes, offsets, strict=True)]
        multipliers = gamma.tolist()[i]
        rows.append([g * v for g in multipliers for v in constants] * sees_last + multipliers * sees_output)
    c.images_are_known = True
    if not c.scales_are_fixed:
        return "images of samples go with the multipliers of the group only"
    need(second.is_homogeneous and rows[0] and fmpq_mat(rows).rank() == c.n, "the last update may not see the scales")
    e.facts.add("scales")
    return "images of samples go with the multipliers of the group only, and the last update sees every scale"


def _slopes(sigma: Piecewise, along: list[fmpq], offsets: list[fmpq], t: fmpq) -> list[fmpq]:
    return [slope_of(sigma, t * a + b) for a, b in zip(along, offsets, strict=True)]


def _points(sigma: Piecewise, along: list[fmpq], offsets: list[fmpq]) -> list[fmpq]:
    """Where slopes change, and one point in each interval between."""
    found = set()
    for a, b in zip(along, offsets, strict=True):
        found |= {(as_rational(p) - b) / a for p in sigma.breakpoints if a}
    points = sorted(t for t in found if t > 0)
    if not points:
        return [fmpq(1)]
    return [points[0] / 2, *points, *((u + v) / 2 for u, v in pairwise(points)), points[-1] + 1]


def _weighted(slopes: list[fmpq], columns: list[list[fmpq]]) -> fmpq_mat:
    return fmpq_mat([[s * v for v in row] for s, row in zip(slopes, columns, strict=True)])


def _excludes(slopes: list[fmpq], columns: list[list[fmpq]], signal: list[fmpq]) -> bool:
    """Whether no multipliers give this signal."""
    if any(v and not s for s, v in zip(slopes, signal, strict=True)):
        return True
    left = _weighted(slopes, columns)
    return fmpq_mat([[*row, v] for row, v in zip(left.tolist(), signal, strict=True)]).rank() > left.rank()

r"""The step that fixes signs: without a first bias, a σ that is odd up to a constant leaves (-x, -γ) open, unless other equations do not.

The first layer's update does not tell (x, γ) from (-x, -γ), so that each sample of another data set is a given one or its opposite.

* *sums*: two layers. The opposites of a set of samples change the update of the second bias by twice the sum of their multipliers, and
  that of the second layer's weights by :math:`2\sigma(0)` times it. So there is no such set, if no sum of multipliers is zero.
* *features*: the second update has rank n, so that the features of every sample lie in the span of those of the given ones. Those of -x
  do only if :math:`(\sigma(0), \dots, \sigma(0), 1)` does (without the 1, if the second bias was not observed).
* *signals*: σ(0) = 0, and the rank is n. Then -x needs the signal -u, which no multipliers give.

Part of the checker: imports the standard library, and the checker's own modules.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from identify.checker.networks.activations import Analytic, Piecewise
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.rings import passes, times, transposed
from identify.checker.reading import choice, need, need_small
from identify.checker.watch import watch

MAX_IN_SUMS = 24


def signs(e: NetworkExamination, by: Any) -> str:
    """The signs of all samples are known."""
    c = e.claim
    need(c.signs_are_fixed, "the signs are not claimed to be known")
    e.need_data()
    choice("by", by, tuple(WAYS))
    how = WAYS[by](e, _constant(e))
    e.facts.add("signs")
    return f"no image under the sign has this update: {how}"


def _constant(e: NetworkExamination) -> Fraction:
    sigma = e.claim.activations[0]
    if isinstance(sigma, Analytic):
        return Fraction(0) if sigma.is_odd else Fraction(1, 2)
    return sigma.intercepts[sum(t < 0 for t in sigma.breakpoints)] if isinstance(sigma, Piecewise) else sigma.coefficients[0]


def _sums(e: NetworkExamination, constant: Fraction) -> str:
    c = e.claim
    W, bias = c.observed[1]
    need(c.depth == 2 and (bias or (W and constant != 0)), "the second update does not see sums of multipliers")
    need_small(c.n <= MAX_IN_SUMS, f"{c.n} samples are too many for sums over all sets of them")
    rows = [tuple(Fraction(v) for v in row) for row in e.numbers["c"]]
    zero = (Fraction(0),) * c.C
    halves = []
    for part in (rows[: c.n // 2], rows[c.n // 2 :]):
        found = [zero]
        for row in part:
            watch().look()
            found += [tuple(u + v for u, v in zip(each, row, strict=True)) for each in found]
        halves.append(found)
    need(all(zero not in half[1:] for half in halves), "multipliers of some samples add up to zero")
    known = set(halves[0][1:])
    need(not any(tuple(-v for v in each) in known for each in halves[1][1:]), "multipliers of some samples add up to zero")
    return f"no sum of multipliers of some of the {c.n} samples is zero"


def _features(e: NetworkExamination, constant: Fraction) -> str:
    c = e.claim
    need(2 in e.ranks, f"the rank of the second update is not proved to be {c.n}")
    ring = e.passes.ring
    columns = transposed(e.lifted(1))
    extra = [ring.fraction(constant)] * c.m + [ring.number(1.0)] * c.observed[1][1]
    need(ring.is_full(transposed([*columns, extra])), "features of an image may be in the span of those of the samples")
    return "its features are not in the span of those of the samples"


def _signals(e: NetworkExamination, constant: Fraction) -> str:
    c = e.claim
    need(2 in e.ranks, f"the rank of the second update is not proved to be {c.n}")
    need(not constant and c.depth > 2 and not isinstance(c.activations[0], Piecewise), "features of an image are not the opposite ones")
    at = e.passes
    for i in range(c.n):
        watch().look()
        image = passes(at.ring, *e.net, [[-v for v in e.part("X")[i]]], [e.part("c")[i]])
        rows = [[at.ring.number(float(o == k)) for k in range(c.C)] for o in range(c.C)]
        for layer in range(c.depth - 2, 0, -1):
            rows = (at.ring.matrix(rows) * at.weights[layer + 1]).table()
            rows = times(rows, [image.slopes[layer][0]] * c.C)
        need(at.ring.is_full(transposed([*rows, at.signals[1][i]])), f"multipliers may give the image of sample {i} the opposite signal")
    return "no multipliers give it the opposite signal"


WAYS = {"sums": _sums, "features": _features, "signals": _signals}

r"""The steps for one sample with an observed first layer: a question in one unknown, the factor of the sample.

The rows of the update are multiples of x, so :math:`x' = t x`; if the second layer is observed and not zero, or with one output,
:math:`\gamma' = \lambda\gamma`. Let v(t) list all :math:`t\,g_j\,\sigma'(t\,w_j\cdot x + b_j)`, and if the second layer is observed, all
:math:`\sigma(t\,w_j\cdot x + b_j)`. The equations are :math:`\lambda v(t) = v(1)`: v(t) is not zero, and proportional to v(1). Each such
t gives a solution.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random

from flint import fmpq, fmpq_poly

from identify.checker.examination import Examination
from identify.checker.matrices import dot
from identify.checker.reading import need, roots
from identify.checker.secant import scales
from identify.checker.tangents import family


def one_sample(e: Examination) -> str:
    """No other factor: over the complex numbers at a random point for generic data, over the real ones for given numbers."""
    c = e.claim
    _need_one_unknown(e)
    need("reduction" in e.facts, "must follow a reduction")
    if c.data == "generic data":
        need(not c.has_free_scale, "every multiple of the sample gives this target")
        how = scales(e, replace(e.full, X=e.full.X[:1], c=e.full.c[:1]), Random(0))
    else:
        count = real_roots(_other_factors(e))
        need(count == 0, f"{count} other real multiples of the sample give this target")
        how = "no other real multiple gives the target, by Sturm's theorem"
    e.facts.add("one-sample")
    return how


def multiple(e: Examination) -> str:
    """Another real factor: t x with the multipliers v_k(1) / v_k(t) gives the same target."""
    need(e.claim.data == "this data", "needs data")
    _need_one_unknown(e)
    count = real_roots(_other_factors(e))
    need(count > 0, "no other real multiple of the sample gives this target")
    family(e, 1)
    return f"{count} other real multiple{'s' * (count > 1)} of the sample, with other multipliers, by Sturm's theorem"


def _need_one_unknown(e: Examination) -> None:
    c = e.claim
    e.need_data()
    need(c.n == 1 and c.sees_W and not c.sees_bias, "needs one sample and a first layer without observed biases")
    need(c.sees_a or c.C == 1, "needs one output, or the second layer")


def _other_factors(e: Examination) -> fmpq_poly:
    """A polynomial whose roots are the factors t, but for 1 and for -1 if that is in the group."""
    c, v = e.claim, _vector(e)
    lead = next(f for f in v if f(1) != 0)
    common = fmpq_poly([])
    for f in v:
        common = common.gcd(f * lead(1) - lead * f(1))
    need(common.degree() >= 0, "every multiple of the sample gives this target")
    excluded = [lead, fmpq_poly([-1, 1])] + [fmpq_poly([1, 1])] * (not c.bias and roots(c.degrees) != "none")
    for other in excluded:
        while (shared := common.gcd(other)).degree() > 0:
            common //= shared
    return common


def _vector(e: Examination) -> list[fmpq_poly]:
    """v(t), over the rationals."""
    c, point = e.claim, e.rational_point()
    (x,), (gamma,), v = point.X, point.c, []
    sigma = fmpq_poly(point.s)
    slope = sigma.derivative()
    seen = False
    for j, w in enumerate(point.W):
        inner = fmpq_poly([point.b[j], dot(w, x)])
        v.append(fmpq_poly([0, dot(gamma, [row[j] for row in point.A])]) * slope(inner))
        if c.sees_a:
            v.append(sigma(inner))
            seen = seen or v[-1](1) != 0
    need(seen or c.C == 1, "the second layer shows no multipliers")
    need(any(x), "the sample is zero")
    need(any(f(1) != 0 for f in v), "the target is zero")
    return v


def real_roots(polynomial: fmpq_poly) -> int:
    """The number of distinct real roots of a polynomial that is not zero: changes of sign in its Sturm sequence, at both infinities."""
    chain = [polynomial, polynomial.derivative()]
    while chain[-1].degree() > 0:
        chain.append(-(chain[-2] % chain[-1]))
    leading = [(f.degree(), f[f.degree()]) for f in chain if f.degree() >= 0]
    return _changes([value * (-1) ** degree for degree, value in leading]) - _changes([value for _, value in leading])


def _changes(values: list[fmpq]) -> int:
    return sum((u > 0) != (v > 0) for u, v in pairwise(values))

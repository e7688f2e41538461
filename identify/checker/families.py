"""The steps for families of data with the same target that are known in closed form.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

import random
from typing import Any

from identify.checker.examination import Examination
from identify.checker.matrices import dot, monomial_count
from identify.checker.reading import choice, double, keys, need
from identify.checker.tangents import family


def rotation(e: Examination, example: Any) -> str:
    """A quadratic form is invariant under its orthogonal group."""
    c = e.claim
    need(c.p == 2 and c.C == 1 and c.n >= 2, "needs degree 2, one output and two samples")
    family(e, c.n - 1)
    return "the moments of degree 0, 1 and 2 keep their values under the orthogonal group of diag(c)" + _example(e, example)


def scaling(e: Examination, dimension: Any, example: Any) -> str:
    """More samples than moments of the lower degree: their terms are dependent, and the samples can be rescaled along it."""
    c = e.claim
    need(len(c.degrees) == 2 and not c.is_lifted, "needs two visible degrees")
    choice("dimension", dimension, [c.n - c.C * monomial_count(c.d, c.degrees[0])])
    family(e, dimension)
    return f"{c.n} samples, {c.n - dimension} moments of degree {c.degrees[0]}" + _example(e, example)


def _example(e: Examination, example: Any) -> str:
    """Two members of the family, in doubles: the powers sum_i c_i (w x_i)^k of which the target is made agree to rounding."""
    if example is None:
        return ""
    c = e.claim
    keys("example", example, ("X", "c", "other_X", "other_c"))
    read = {name: c.array(name[-1], value, True, double) for name, value in example.items()}
    X, multipliers, other_X, other = (read[name] for name in ("X", "c", "other_X", "other_c"))
    need(c.data != "this data" or (X, multipliers) == (e.numbers["X"], e.numbers["c"]), "example: not the data")
    need((X, multipliers) != (other_X, other), "example: twice the same data")
    draw = random.Random(0)
    for _ in range(20):
        w = [draw.uniform(-1, 1) for _ in range(c.d)]
        for k in c.degrees:
            for o in range(c.C):
                terms = [v[o] * dot(w, x) ** k for x, v in zip(X, multipliers, strict=True)]
                terms += [-v[o] * dot(w, x) ** k for x, v in zip(other_X, other, strict=True)]
                need(abs(sum(terms)) <= 1e-6 * sum(map(abs, terms)), "example: the moments differ")
    return "; the example has the same moments, to rounding"

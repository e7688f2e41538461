"""The truth about one instance, from Gröbner bases: is its data the only solution, over the complex and over the real numbers?

Solutions with fewer samples come first. Where there are none, no solution with n samples has a zero multiplier or samples
that are the same up to the ambiguity group, so that the bare equations need no saturation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import factorial, prod
from typing import Any

import numpy as np

from identify.symbolic.msolve import PRIME
from soundness_study.algebra import MANY, OracleLimitError, complex_solutions, dimension_at_data, real_solutions
from soundness_study.equations import Problem
from soundness_study.families import excess, family_of_a_part, linear_family

Draw = Callable[[np.random.Generator, int], Problem]
"""A random problem whose generic numbers have at most the given absolute value."""
STANDARD_BASIS = "standard basis at the data"
SMALL = 100
"""Size of the integers that stand for generic numbers where real solutions are counted."""


class Category(StrEnum):
    """What is true of a question. Over the complex numbers unless said otherwise, and up to the ambiguity group."""

    UNIQUE = "unique"
    REAL = "unique over the reals only"
    OTHERS = "other real solutions, no family known"
    FAMILY = "positive-dimensional"
    UNCLEAR = "other complex solutions, unclear over the reals"
    TIMEOUT = "oracle ran out of time"


@dataclass(frozen=True)
class Truth:
    """``local``: dimension of the solutions at the data, modulo the group, where it is known exactly.

    ``solutions`` counts complex ones, where there are finitely many, ``orbit`` those that are the data themselves;
    ``fewer`` says whether fewer samples suffice. ``how`` is what settled the category.
    """

    category: Category
    how: str
    group: str
    local: int | None = None
    solutions: int | None = None
    orbit: int | None = None
    fewer: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def truth(problem: Problem, *, seconds: float, rng: np.random.Generator, redraw: Draw | None = None) -> Truth:
    """The truth about the data of ``problem``, which are distinct, with non-zero multipliers; ``seconds`` for each call of a program.

    ``redraw`` makes the question one about generic data (and perhaps a generic network): ``problem`` is then one random draw, and a
    real solution of another draw with isolated solutions stands for an open set of them.
    """
    d, n, *_ = problem.sizes
    g = problem.roots
    group = "scaling" if g == 0 else "none" if g % 2 else "sign"
    lacking = excess(problem)
    if lacking and (redraw is not None or lacking == excess(problem, False, rng)):
        return Truth(Category.FAMILY, "constant rank", group, lacking)
    found = (linear_family(problem) or family_of_a_part(problem, rng)) if lacking else None
    if found:
        return Truth(Category.FAMILY, found, group)
    local = None if lacking else 0
    form = [int(v) for v in rng.integers(1, PRIME, d)] if g == 0 else None
    modular = problem if form is None else problem.normalised(form, PRIME)
    orbit = _orbit(problem, max(g, 1))
    known: dict[str, Any] = {"group": group, "orbit": orbit}
    try:
        fewer = n > 1 and complex_solutions(modular, n - 1, form, 0, seconds)[0] >= 0
        known["fewer"] = fewer
        dimension, count = (None, None) if fewer else complex_solutions(modular, n, form, MANY, seconds)
    except OracleLimitError as error:
        return Truth(Category.TIMEOUT, str(error).partition(";")[0], local=local, **known)
    if local is None:
        local = 0 if dimension == 0 else _dimension_at_data(modular, form, seconds)
    known["local"] = local
    if local:
        return Truth(Category.FAMILY, STANDARD_BASIS, **known)
    known["solutions"] = count
    if count == orbit:
        return Truth(Category.UNIQUE, "all solutions counted", **known)
    if count is not None and count > MANY:
        return Truth(Category.UNCLEAR, f"more than {MANY} solutions", **known)
    try:
        if redraw is None:
            return _over_the_reals(problem, None, rng, seconds, known)
        return _over_the_reals(redraw(rng, SMALL), (dimension, count), rng, seconds, known)
    except OracleLimitError as error:
        return Truth(Category.UNCLEAR, str(error).partition(";")[0], **known)


def second_opinion(problem: Problem, *, seconds: float, rng: np.random.Generator) -> int | None:
    """The dimension of the solutions at the data by a standard basis, for families found by counting; None without an answer."""
    if problem.roots:
        return _dimension_at_data(problem, None, seconds)
    if not problem.X.any(axis=1).all():
        return None  # no linear form fixes the scale of a zero sample
    form = [int(v) for v in rng.integers(1, PRIME, problem.sizes[0])]
    return _dimension_at_data(problem.normalised(form, PRIME), form, seconds)


def _dimension_at_data(problem: Problem, form: list[int] | None, seconds: float) -> int | None:
    try:
        return dimension_at_data(problem, form, seconds)
    except OracleLimitError:
        return None


def _orbit(problem: Problem, per_sample: int) -> int:
    """Permutations, times a group of that order for each sample that it moves."""
    return factorial(len(problem.X)) * prod(per_sample for x in problem.X if any(x))


def _over_the_reals(
    problem: Problem, generic: tuple[int | None, int | None] | None, rng: np.random.Generator, seconds: float, known: dict[str, Any]
) -> Truth:
    """There are other complex solutions, or fewer samples suffice: are any of them real?

    ``generic``: dimension and number of the solutions of generic data, which those of ``problem`` must have to stand for them.
    """
    d, n, *_ = problem.sizes
    form = [int(v) for v in rng.integers(1000, 9999, d)] if problem.roots == 0 else None
    if known["fewer"]:
        real = bool(real_solutions(problem, n - 1, form, rng, seconds).boxes)
        return Truth(Category.OTHERS if real else Category.UNCLEAR, "fewer samples suffice", **known)
    roots = real_solutions(problem, n, form, rng, seconds)
    if generic is not None and generic != (roots.dimension, roots.degree if roots.dimension == 0 else None):
        return Truth(Category.UNCLEAR, f"{generic[1]} solutions, but another number for data of size {SMALL}", **known)
    if roots.dimension > 0:
        how = f"a family of dimension {roots.dimension} elsewhere"
        return Truth(Category.OTHERS if roots.boxes else Category.UNCLEAR, how, **known)
    known["solutions"] = roots.degree
    if roots.degree == known["orbit"]:
        return Truth(Category.UNIQUE, "all solutions counted, some with multiplicity", **known)
    own = _orbit(problem, 2 if known["group"] == "sign" else 1)
    how = f"{len(roots.boxes)} real solutions, {own} of them the data"
    if len(roots.boxes) > own:
        return Truth(Category.OTHERS, how, **known)
    return Truth(Category.REAL if generic is None else Category.UNCLEAR, how, **known)

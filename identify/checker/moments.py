"""The steps that prove uniqueness by way of the moments: they are determined, and so are the samples that they are made of.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from math import comb
from typing import Any

from flint import nmod_mat

from identify.checker.examination import Examination, powers, rank_of_samples
from identify.checker.matrices import MAX_ENTRIES, dense_rank, monomial_count, residue
from identify.checker.reading import choice, integer, integers, need, need_small, roots

MAX_SUBSETS = 10**4
UNIQUE_AT_THE_GENERIC_RANK = ((3, 4, 5), (5, 3, 7))
SUBGENERIC_BUT_TWO = ((3, 6, 9), (4, 4, 8), (6, 3, 9))


def reduction(e: Examination, neurons: Any) -> str:
    """t^W = G X with both factors of rank n: every competitor has n independent samples in the same span."""
    c, point = e.claim, e.full
    need(not e.facts and c.sees_W, "must be the first step, with the first layer observed")
    chosen = integers("neurons", neurons, c.m)
    need(len(chosen) == c.n, f"expected {c.n} neurons")
    space = c.d + c.sees_bias
    if c.data == "this target":
        need(c.n == space, "the rows of the target prove independence only where they fill the space")
        rows = [e.numbers["target_W"][j] + ([e.numbers["target_bias"][j]] if c.sees_bias else []) for j in chosen]
        need(dense_rank([[residue(v, point.q) for v in row] for row in rows], point.q) == c.n, "this minor of the target is zero")
    else:
        need(rank_of_samples(e, c.sees_bias) == c.n, "the samples are not independent")
        need(dense_rank([point.slopes(j) for j in chosen], point.q) == c.n, "this minor of the slopes is zero")
        if c.n < space:
            e.reduced = point.on_span(c.sees_bias)
    e.neurons = chosen
    e.facts.add("reduction")
    return f"every data set of at most {c.n} samples with this target has {c.n} independent ones, in one known space"


def interpolation(e: Examination, rows: Any) -> str:
    """Full column rank: the target determines all visible moments (Shen et al. 2026)."""
    found, N = e.rank_of_moments(rows, e.point)
    need(found == N, f"these rows have rank {found}, not {N}")
    e.facts.add("interpolation")
    return f"{len(rows)} rows of the interpolation matrix have rank {N} modulo {e.point.q}, the number of moments"


def single_sample(e: Examination) -> str:
    """A tensor of rank one determines its factors up to scale, unless it is zero."""
    c = e.claim
    need(c.n == 1, "there is more than one sample")
    seen = 0 in c.degrees or "reduction" in e.facts or c.data == "generic data"
    need(seen or (c.data == "this data" and any(e.numbers["X"][0])), "the sample is zero, or may be")
    _decomposed(e, c.degrees)
    return "one sample"


def kruskal(e: Examination, degree_sets: Any, kruskal_ranks: Any) -> str:
    """Kruskal 1977, on the tensor sum_i c_i phi_S(x_i) phi_T(x_i) phi_U(x_i) with phi_S(x) = (x^(tensor k)) for k in S.

    It is made of moments, so the sums of the degrees must be visible. With several outputs the first factor carries c_i.
    """
    c = e.claim
    need(type(degree_sets) is list and len(degree_sets) == 3, "degree_sets: expected three")
    need(type(kruskal_ranks) is list and len(kruskal_ranks) == 3, "kruskal_ranks: expected three")
    sets = [integers("degree_sets", degrees, c.p + 1) for degrees in degree_sets]
    sums = {sum(terms) for terms in product(*sets)}
    need(sums and sums <= set(c.degrees), "a sum of these degrees is not visible")
    ranks = [integer("kruskal_ranks", k, 1, c.n) for k in kruskal_ranks]
    need(sum(ranks) >= 2 * c.n + 2, f"{sum(ranks)} < {2 * c.n + 2}")
    for number, (degrees, k) in enumerate(zip(sets, ranks, strict=True)):
        need(_has_kruskal_rank(e, degrees, k, c.C > 1 and number == 0), f"list {number + 1}: {k} of the vectors are dependent")
    _decomposed(e, sums)
    return f"Kruskal ranks {' + '.join(map(str, ranks))} >= {2 * c.n + 2} for the moments of degree {_listed(sums)}"


def _has_kruskal_rank(e: Examination, degrees: Sequence[int], k: int, multipliers: bool) -> bool:
    """Whether every k of the phi_S(x_i), times c_i if ``multipliers``, are independent."""
    c = e.claim
    if k == 1 and 0 in degrees:
        return True  # they contain 1, or c_i, which is not zero
    if "reduction" in e.facts and ({0, 1} <= set(degrees) if c.sees_bias else any(degrees)):
        return True  # they contain powers of independent vectors, x_i or (x_i, 1)
    e.need_data()
    point = e.point
    columns = (c.C if multipliers else 1) * sum(monomial_count(point.d, degree) for degree in degrees)
    need_small(c.n * columns <= MAX_ENTRIES // 10, "the vectors are too long")
    vectors = []
    for x, gamma in zip(point.X, point.c, strict=True):
        values = powers(x, degrees, point.q)
        vectors.append([g * v % point.q for g in gamma for v in values] if multipliers else values)
    if k == c.n or c.data == "generic data":  # samples of generic data are alike: some k of them stand for all
        return dense_rank(vectors[:k], point.q) == k
    need_small(comb(c.n, k) <= MAX_SUBSETS, "there are too many subsets")
    form, size = nmod_mat(c.n, columns, [v for row in vectors for v in row], point.q).transpose().rref()
    short = [[int(form[r, i]) for r in range(size)] for i in range(c.n)]  # the same dependencies
    return all(dense_rank(list(subset), point.q) == k for subset in combinations(short, k))


def generic_decomposition(e: Examination, tensor_dimension: Any) -> str:
    """Generic symmetric tensors below the generic rank (Chiantini, Ottaviani & Vannieuwenhoven 2017), or at it (Galuppi & Mella 2019)."""
    c = e.claim
    need(c.data == "generic data" and c.C == 1 and c.p >= 3, "needs generic data, one output and degree 3 or more")
    D = choice("tensor_dimension", tensor_dimension, [e.point.d + c.is_lifted])
    kind, coefficients = (c.p, D, c.n), comb(D + c.p - 1, c.p)
    below = c.n * D < coefficients and kind not in SUBGENERIC_BUT_TWO
    perfect = kind in UNIQUE_AT_THE_GENERIC_RANK or (D == 2 and c.p == 2 * c.n - 1)
    need(below or perfect, f"no theorem for {c.n} terms of order {c.p} in dimension {D}")
    _decomposed(e, c.degrees if c.is_lifted else [c.p])
    return f"{c.n} terms, order {c.p}, dimension {D}: " + (f"{c.n * D} < {coefficients}, no exception" if below else "a perfect case")


def scale(e: Examination, degrees: Any) -> str:
    """Given c_i x_i^(tensor k), what is left is (t_i x_i, t_i^-k c_i); a moment of degree l with independent terms has t_i^(l-k) = 1."""
    c = e.claim
    need("decomposition" in e.facts, "must follow a decomposition")
    for k in integers("degrees", degrees, c.p + 1):
        need(k in c.degrees and k not in e.fixed, f"degree {k} is not visible, or fixed already")
        independent = k > 0 and "reduction" in e.facts and not c.sees_bias
        need(independent or _has_kruskal_rank(e, [k], c.n, True), f"the terms of the moment of degree {k} are not independent")
    fixing = sorted(e.fixed | set(degrees))
    need(roots(fixing) == roots(c.degrees), "these degrees leave more freedom than is claimed")
    e.facts.add("scale")
    if c.has_free_scale:
        return "one visible degree leaves it free" + ("" if c.group == "scaling" else "; the margins fix its size")
    return f"the moments of degree {_listed(fixing)} fix it"


def _decomposed(e: Examination, degrees: Sequence[int] | set[int]) -> None:
    need("decomposition" not in e.facts, "there is a decomposition already")
    e.facts.add("decomposition")
    e.fixed = set(degrees)


def _listed(degrees: Sequence[int] | set[int]) -> str:
    return ", ".join(map(str, sorted(degrees)))

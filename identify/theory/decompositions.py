"""Theorems on the uniqueness of decompositions (C2): when moments have only one decomposition with at most n terms.

They are observed on (S) for a network wide enough to determine every moment; (S) is then a system in the moments alone.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement
from math import comb

import numpy as np

from identify.conditions.decomposition import (
    JENNRICH,
    PERFECT,
    RESHAPED,
    SYMMETRIC,
    TWO_DECOMPOSITIONS,
    decomposition,
    kruskal_rank,
)
from identify.conditions.scale import scale
from identify.exact.modular import residues
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.interpolation import Monomials
from identify.theory.cases import Case, case_of, changed, draw_wide, rational_rank, with_activation
from identify.theory.search import only_these_data
from identify.theory.theorem import Seen, Theorem

PRIME = 2**31 - 1


def _monomial(config: Configuration, seed: int) -> Case | None:
    """One output, one visible degree: the moments are one symmetric tensor."""
    fits = config.activation.is_monomial and not config.bias and config.outputs == 1 and config.layers != "second"
    return draw_wide(replace(config, layers="first"), seed) if fits else None


def _unique(case: Case, hypothesis: bool, why: str) -> Seen:
    unique, evidence = only_these_data(case)
    return Seen(hypothesis and case.shows_its_moments, unique, f"{why}; {evidence}")


def _power_rank(X: np.ndarray, degree: int) -> int:
    """A proved lower bound on the Kruskal rank of the powers x_i^(tensor k); exact unless a minor vanishes modulo the prime."""
    values = Monomials.of(X.shape[1], degree).values(residues(X, PRIME), lambda value: value % PRIME)
    return kruskal_rank(values, PRIME, min(values.shape))


def _independent(case: Case) -> Seen:
    n, p, rank = len(case.X), case.config.activation.degree, rational_rank(case.X)
    return _unique(case, rank == n and p >= 3, f"rank of the samples {rank}, n = {n}, p = {p}")


def _symmetric(case: Case) -> Seen:
    n, p, k = len(case.X), case.config.activation.degree, _power_rank(case.X, 1)
    left, right = p * k, 2 * n + p - 1
    return _unique(case, p >= 3 and left >= right, f"p k = {left}, 2n + p − 1 = {right}")


def _reshaped(case: Case) -> Seen:
    n, p = len(case.X), case.config.activation.degree
    best, split = max((sum(_power_rank(case.X, k) for k in split), split) for split in _splits(p))
    return _unique(case, best >= 2 * n + 2, f"p = {' + '.join(map(str, split))}, Kruskal ranks add up to {best}, 2n + 2 = {2 * n + 2}")


def _splits(p: int) -> list[tuple[int, ...]]:
    return [split for split in combinations_with_replacement(range(1, p - 1), 3) if sum(split) == p]


def _of_order_three(config: Configuration, seed: int) -> Case | None:
    return _monomial(config, seed) if config.activation.degree >= 3 else None


def _in_general_position(case: Case) -> tuple[bool, str]:
    """The testable part of "generic": on a grid of small numbers, parallel samples do occur."""
    k = _power_rank(case.X, 1)
    return k == min(case.X.shape), f"k_X = {k}"


def _subgeneric(case: Case) -> Seen:
    n, p, D = len(case.X), case.config.activation.degree, case.config.inputs
    total = comb(D + p - 1, p)
    below = p >= 3 and n * D < total and (p, D, n) not in TWO_DECOMPOSITIONS
    general, position = _in_general_position(case)
    return _unique(case, below and general, f"n = {n}, N/D = {total}/{D}, {position}")


def _perfect(case: Case) -> Seen:
    n, p, D = len(case.X), case.config.activation.degree, case.config.inputs
    perfect = (p, D, n) in PERFECT or (D == 2 and p == 2 * n - 1)
    general, position = _in_general_position(case)
    return _unique(case, perfect and general, f"(p, D, n) = ({p}, {D}, {n}), N/D = {comb(D + p - 1, p)}/{D}, {position}")


def _several(config: Configuration, seed: int) -> Case | None:
    fits = config.outputs > 1 and config.activation.is_monomial and not config.bias and config.layers != "second"
    return draw_wide(replace(config, layers="first"), seed) if fits else None


def _with_outputs(case: Case) -> Seen:
    n, k = len(case.X), case.config.activation.degree
    gamma = kruskal_rank(residues(case.c, PRIME), PRIME, min(case.c.shape))
    x = _power_rank(case.X, 1)
    left, right = gamma + k * x, 2 * n + k
    return _unique(case, k >= 2 and gamma >= 1 and left >= right, f"k_Γ + k k_X = {gamma} + {k}·{x} = {left}, 2n + k = {right}")


def _parallel_multipliers(config: Configuration, seed: int) -> Case | None:
    """The last multiplier vector moved to a multiple of the first."""
    case = _several(config, seed)
    if case is None or config.samples < 2:
        return None
    c = case.c.copy()
    c[-1] = -c[0]
    return case_of(case.config, case.system.network, case.X, c, seed)


def _jointly(config: Configuration, seed: int) -> Case | None:
    return draw_wide(config, seed) if len(config.degrees) > 1 else None


def _joint(case: Case) -> Seen:
    """The hypothesis is that of the condition; scales are included, because solutions are counted modulo the group."""
    terms = decomposition(case.of_these_data)
    scales = scale(case.of_these_data, terms)
    return _unique(case, terms.is_proved and scales.is_proved, terms.statement)


_TWO = ", ".join(map(str, sorted(TWO_DECOMPOSITIONS)))
_PERFECT = ", ".join(map(str, sorted(PERFECT)))
_TENSOR = r"$M_p = \sum_{i=1}^n c_i\, x_i^{\otimes p}$, $c_i \ne 0$, $x_i \in \mathbb{R}^D$,"
_ONLY = "no other decomposition with at most n terms, up to order and scale"
_KNOWN = "the moment of degree p ≥ 3 is known, one output, no multiplier is zero (trials: z^p without bias, first layer)"

THEOREMS = (
    Theorem(
        name="jennrich",
        title="Independent samples: one decomposition",
        statement=rf"{_TENSOR} with $p \ge 3$ and linearly independent $x_i$ (so $n \le D$) has only one decomposition with at most "
        r"$n$ terms; simultaneous diagonalisation finds it.",
        hypotheses=(_KNOWN, "the samples are linearly independent"),
        conclusion=_ONLY,
        scope="this data",
        reference=JENNRICH,
        condition="decomposition",
        configuration=Configuration(inputs=2, samples=2, width=2, activation=Activation.parse("z^3"), layers="first"),
        examine=_independent,
        draw=_monomial,
        nearest=(
            ("one sample too many", changed(_monomial, samples=1)),
            ("order 2", with_activation(lambda s: [0, 0, s[-1]], _monomial)),
        ),
    ),
    Theorem(
        name="kruskal",
        title="Kruskal's condition, symmetric",
        statement=rf"{_TENSOR} $p \ge 3$, has only one decomposition with at most $n$ terms if $p\,k_X \ge 2n + p - 1$, where $k_X$ is "
        r"the Kruskal rank: the largest number such that every $k_X$ of the $x_i$ are linearly independent.",
        hypotheses=(_KNOWN, "p k_X ≥ 2n + p − 1"),
        conclusion=_ONLY,
        scope="this data",
        reference=f"Kruskal 1977; {SYMMETRIC}",
        condition="decomposition",
        configuration=Configuration(inputs=2, samples=3, width=6, activation=Activation.parse("z^5"), layers="first"),
        examine=_symmetric,
        draw=_of_order_three,
        nearest=(("one sample too many", changed(_of_order_three, samples=1)),),
    ),
    Theorem(
        name="reshaped-kruskal",
        title="Kruskal's condition, reshaped",
        statement=rf"{_TENSOR} has only one decomposition with at most $n$ terms if $p = p_1 + p_2 + p_3$, $p_k \ge 1$, with Kruskal ranks "
        r"$k(X^{\odot p_1}) + k(X^{\odot p_2}) + k(X^{\odot p_3}) \ge 2n + 2$ of the lists $(x_i^{\otimes p_k})_i$.",
        hypotheses=(_KNOWN, "the Kruskal ranks of some split of p add up to at least 2n + 2"),
        conclusion=_ONLY,
        scope="this data",
        reference=f"{RESHAPED}, arXiv:1609.00123",
        condition="decomposition",
        configuration=Configuration(inputs=3, samples=4, width=6, activation=Activation.parse("z^4"), layers="first"),
        examine=_reshaped,
        draw=_of_order_three,
        nearest=(("one sample too many", changed(_of_order_three, samples=1)),),
    ),
    Theorem(
        name="generic-decomposition",
        title="Generic data below the generic rank",
        statement=rf"For generic data {_TENSOR} $p \ge 3$, with $n < \frac{{1}}{{D}}\binom{{D+p-1}}{{p}}$ has only one decomposition "
        rf"with at most $n$ terms, except for $(p, D, n) = {_TWO}$, which have exactly two.",
        hypotheses=(
            _KNOWN,
            "generic data (tested: every min(n, D) of the samples are linearly independent)",
            "n < C(D+p−1, p)/D",
            "(p, D, n) is none of the exceptions",
        ),
        conclusion=_ONLY,
        scope="generic data",
        reference=f"{RESHAPED} (Trans. AMS), arXiv:1504.00547",
        condition="decomposition",
        configuration=Configuration(inputs=3, samples=3, width=4, activation=Activation.parse("z^3"), layers="first"),
        examine=_subgeneric,
        draw=_of_order_three,
        nearest=(("one sample too many", changed(_of_order_three, samples=1)),),
    ),
    Theorem(
        name="perfect-decomposition",
        title="Generic data at the generic rank",
        statement=rf"For generic data {_TENSOR} $p \ge 3$, with $n$ the generic rank has only one decomposition with $n$ terms exactly "
        rf"for $(p, D, n) = (2k-1, 2, k)$, ${_PERFECT}$.",
        hypotheses=(
            _KNOWN,
            "generic data (tested: every min(n, D) of the samples are linearly independent)",
            f"(p, D, n) is (2k − 1, 2, k) for some k, or one of {_PERFECT}",
        ),
        conclusion=_ONLY,
        scope="generic data",
        reference="Galuppi & Mella 2019, arXiv:1606.06895",
        condition="decomposition",
        configuration=Configuration(inputs=2, samples=3, width=6, activation=Activation.parse("z^5"), layers="first"),
        examine=_perfect,
        draw=_of_order_three,
        nearest=(("order one less", with_activation(lambda s: s[1:], _of_order_three)),),
    ),
    Theorem(
        name="several-outputs",
        title="Two outputs make degree two enough",
        statement=r"With several outputs the moments are $M_k = \sum_i \gamma_i \otimes x_i^{\otimes k}$, $\gamma_i \ne 0$. If "
        r"$k_\Gamma + k\,k_X \ge 2n + k$ (Kruskal ranks of the $\gamma_i$ and the $x_i$, $k \ge 2$), there is no other decomposition with "
        r"at most $n$ terms. So $k = 2$ suffices for independent $x_i$ and pairwise non-parallel $\gamma_i$.",
        hypotheses=(
            "the moment of one degree k ≥ 2 is known, at least two outputs (trials: z^k without bias, first layer)",
            "no γ_i is zero, and k_Γ + k k_X ≥ 2n + k",
        ),
        conclusion=_ONLY,
        scope="this data",
        reference=f"Kruskal 1977; {SYMMETRIC}",
        condition="decomposition",
        configuration=Configuration(inputs=2, samples=2, width=3, activation=Activation.parse("z^2"), outputs=2, layers="first"),
        examine=_with_outputs,
        draw=_several,
        nearest=(("parallel multipliers", _parallel_multipliers), ("one sample too many", changed(_several, samples=1))),
    ),
    Theorem(
        name="joint-moments",
        title="Moments of several degrees, taken jointly",
        statement=r"For sets of degrees $S_1, S_2, S_3$ whose sums are all visible, the moments contain the tensor "
        r"$\sum_i c_i\, \varphi_{S_1}(x_i) \otimes \varphi_{S_2}(x_i) \otimes \varphi_{S_3}(x_i)$, "
        r"$\varphi_S(x) = (x^{\otimes k})_{k \in S}$; with several outputs $\gamma_i \otimes \varphi_{S_1}(x_i)$ takes the place of "
        r"$c_i\, \varphi_{S_1}(x_i)$. If the Kruskal ranks of the three lists of vectors add up to at least $2n + 2$, it has no other "
        r"decomposition with at most $n$ terms, even where $M_p$ alone has.",
        hypotheses=(
            "the moments are known, of several visible degrees, and no multiplier is zero",
            "three sets of degrees, their sums all visible, have Kruskal ranks that add up to at least 2n + 2",
            "the terms that this gives fix the scale of each sample (condition scale)",
        ),
        conclusion="no other data set of at most n samples has these moments, up to the group",
        scope="this data",
        reference="Kruskal 1977",
        condition="decomposition",
        configuration=Configuration(inputs=2, samples=3, width=4, activation=Activation.parse("z + z^2 + z^3")),
        examine=_joint,
        draw=_jointly,
        nearest=(
            ("the top moment alone", with_activation(lambda s: [0] * (len(s) - 1) + s[-1:], draw_wide)),
            ("one sample too many", changed(_jointly, samples=1)),
        ),
    ),
)

r"""C2, decomposition: the highest moment determines its terms.

:math:`M_p = \sum_i c_i \tilde x_i^{\otimes p}` (with one more factor :math:`\gamma_i` for several outputs) has only one
decomposition with at most n terms. Three criteria are tried; any one suffices, and none of them failing proves the
contrary.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np

from identify.conditions.setting import Setting
from identify.exact.modular import Arithmetic, certified_rank, random_prime, rank
from identify.report.verdict import Condition

INDEPENDENT = "Jennrich's algorithm (Harshman 1970; Leurgans, Ross & Abel 1993)"
KRUSKAL = "Kruskal 1977; Sidiropoulos & Bro 2000"
SUBSET_LIMIT = 3000
"""Subsets tried, at most, for a lower bound on a Kruskal rank."""


def decomposition(setting: Setting) -> Condition:
    """Evaluate C2 a (independent samples), b (Kruskal) and e (several outputs)."""
    instance = setting.instance
    n, p, D, C = instance.n_samples, instance.activation.degree, setting.tensor_inputs, instance.n_outputs
    evidence: dict = {"samples": n, "tensor_dimension": D, "order": p + (C > 1), "outputs": C}
    if n == 1:
        return _condition(True, "a single sample: a tensor of rank one determines its factors up to scale", evidence, INDEPENDENT)
    if p == 2 and C == 1:
        statement = (
            f"degree 2 and one output: the second moment of {n} samples is a matrix, and its decompositions form a family of "
            f"dimension n(n−1)/2 = {n * (n - 1) // 2}"
        )
        return _condition(False, statement, evidence, KRUSKAL)

    independent, arithmetic = setting.independence, setting.independence
    if independent is Arithmetic.NONE and n <= D and not setting.data_are_unknown:
        result = certified_rank(lambda q, rng: _samples(setting, q, rng), n, seed=setting.seed)
        evidence |= {"rank_samples": result.rank, "primes": list(result.primes)}
        arithmetic = result.arithmetic if result.is_full else Arithmetic.NONE
    if arithmetic is not Arithmetic.NONE and p >= 3:
        statement = f"{n} linearly independent samples in dimension {D}, tensor of order {evidence['order']}: unique decomposition"
        return _condition(True, statement, evidence | {"criterion": "independent samples"}, INDEPENDENT, arithmetic)
    if setting.data_are_unknown:
        return _condition(None, "needs the data, or samples proved independent by the target", evidence, KRUSKAL, Arithmetic.NONE)

    k_X = n if arithmetic is not Arithmetic.NONE else kruskal_rank(setting, _samples, D)
    k_c = kruskal_rank(setting, _multipliers, C) if C > 1 else 0
    left, right = (p * k_X, 2 * n + p - 1) if C == 1 else (k_c + p * k_X, 2 * n + p)
    evidence |= {"kruskal_rank_samples": k_X, "criterion": "Kruskal", "left": left, "right": right}
    formula = f"{p}·{k_X}"
    if C > 1:
        evidence["kruskal_rank_multipliers"] = k_c
        formula = f"{k_c} + {formula}"
    if left >= right:
        return _condition(True, f"Kruskal's condition holds: {formula} ≥ {right}", evidence, KRUSKAL)
    statement = f"no criterion applies: {n} samples in dimension {D}, and Kruskal's condition fails ({formula} < {right})"
    return _condition(False, statement, evidence, KRUSKAL, Arithmetic.EVIDENCE)


def kruskal_rank(setting: Setting, vectors: Callable, dimension: int) -> int:
    """The largest k such that every k of the vectors are independent; for given data a lower bound, proved modulo a prime.

    For generic data the Kruskal rank is min(n, dimension). For given data the subsets of each size are enumerated, up
    to 3000 of them.
    """
    n = setting.instance.n_samples
    if not setting.instance.data_are_given:
        return min(n, dimension)
    rng = np.random.default_rng(setting.seed)
    q = random_prime(rng)
    matrix = vectors(setting, q, rng)
    for k in range(min(n, dimension), 1, -1):
        if comb(n, k) <= SUBSET_LIMIT and all(rank(matrix[list(rows)], q) == k for rows in combinations(range(n), k)):
            return k
    return 1


def _samples(setting: Setting, q: int, rng: np.random.Generator) -> np.ndarray:
    point = setting.instance.at(q, rng)
    return point.lifted_X if setting.is_lifted else point.X


def _multipliers(setting: Setting, q: int, rng: np.random.Generator) -> np.ndarray:
    return setting.instance.at(q, rng).c


def _condition(holds: bool | None, statement: str, evidence: dict, reference: str, arithmetic: Arithmetic = Arithmetic.PROOF) -> Condition:
    return Condition("decomposition", holds, statement, evidence, arithmetic, reference)

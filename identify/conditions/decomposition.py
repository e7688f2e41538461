r"""C2, decomposition: the visible moments determine the samples that they are made of.

For three sets of degrees :math:`S_1, S_2, S_3` whose sums are all visible, the moments contain the tensor
:math:`\sum_i c_i\, \varphi_{S_1}(x_i)\otimes\varphi_{S_2}(x_i)\otimes\varphi_{S_3}(x_i)` with
:math:`\varphi_S(x) = (x^{\otimes k})_{k\in S}` (one factor carries the vector :math:`\gamma_i` if there are several
outputs). If the Kruskal ranks of the three lists of vectors add up to at least 2n + 2, it has no other decomposition with at most n
terms (Kruskal 1977). Special cases: independent samples (Jennrich), the symmetric and the reshaped Kruskal conditions
(one degree in each set), and moments of several degrees taken jointly. For generic data and one output there is also the
theorem on generic symmetric tensors, with its list of exceptions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement, product
from math import comb

import numpy as np

from identify.base.limits import refuse_when_spent
from identify.conditions.setting import Setting
from identify.conditions.witnesses.families import rotation_dimension
from identify.exact.elimination import Elimination, centred
from identify.exact.modular import Arithmetic, certified_rank, random_prime, rank
from identify.problem.interpolation import moment_count
from identify.problem.verdict import Condition

SYMMETRIC = "Sidiropoulos & Bro 2000"
RESHAPED = "Chiantini, Ottaviani & Vannieuwenhoven 2017"
JENNRICH = "Jennrich's algorithm (Harshman 1970; Leurgans, Ross & Abel 1993)"
KRUSKAL = f"Kruskal 1977; with one degree in each set {SYMMETRIC} and {RESHAPED} (reshaped); for independent samples {JENNRICH}"
GENERIC = "Chiantini, Ottaviani & Vannieuwenhoven 2017 (generic symmetric tensors); perfect cases: Galuppi & Mella 2019"
TWO_DECOMPOSITIONS = {(3, 6, 9), (4, 4, 8), (6, 3, 9)}
"""(p, D, n) below the generic rank with exactly two decompositions."""
PERFECT = {(3, 4, 5), (5, 3, 7)}
"""(p, D, n) at the generic rank with one decomposition, beside the binary forms of odd degree (2k - 1, 2, k)."""
SUBSET_LIMIT = 3000
"""Subsets tried, at most, for a Kruskal rank; beyond, a lower bound."""
SPLITS = 12
"""Splits whose Kruskal ranks are computed, at most."""


@dataclass(frozen=True)
class Split:
    """Three sets of degrees; the first carries the multipliers if there are several outputs."""

    sets: tuple[tuple[int, ...], ...]

    @property
    def degrees(self) -> tuple[int, ...]:
        """All sums: the degrees of the moments that the tensor is made of."""
        return tuple(sorted({sum(choice) for choice in product(*self.sets)}))

    def largest_ranks(self, setting: Setting) -> tuple[int, ...]:
        """What the Kruskal ranks are for generic data, and at most for any."""
        instance = setting.instance
        outputs = (instance.n_outputs, 1, 1)
        sizes = (moment_count(instance.coordinates, degrees, C) for degrees, C in zip(self.sets, outputs, strict=True))
        return tuple(min(instance.n_samples, size) for size in sizes)


def splits(setting: Setting) -> list[Split]:
    """The splits that could prove uniqueness, those first that are made of the most moments."""
    instance = setting.instance
    visible, p = set(instance.degrees), instance.activation.degree
    sets = list(_progressions(p))
    pairs = product(sets, sets) if instance.n_outputs > 1 else combinations_with_replacement(sets, 2)
    found = set()
    for one, two in pairs:
        base = {a + b for a in one for b in two}
        three = tuple(k for k in range(p + 1) if all(a + k in visible for a in base))
        if three:
            found.add(Split((one, *sorted((two, three)))) if instance.n_outputs > 1 else Split(tuple(sorted((one, two, three)))))
    enough = [split for split in found if sum(split.largest_ranks(setting)) >= 2 * instance.n_samples + 2]
    return sorted(enough, key=lambda split: (-len(split.degrees), sum(map(len, split.sets)), split.sets))


def _progressions(largest: int) -> Iterator[tuple[int, ...]]:
    """Arithmetic progressions in 0..largest."""
    for start in range(largest + 1):
        yield (start,)
        for step in range(1, largest - start + 1):
            for stop in range(start + step, largest + 1, step):
                yield tuple(range(start, stop + 1, step))


def decomposition(setting: Setting) -> Condition:
    """Evaluate C2. Cost: ranks of lists of n vectors; subsets of them if they are dependent."""
    instance = setting.instance
    n, p, C = instance.n_samples, instance.activation.degree, instance.n_outputs
    evidence: dict = {"samples": n, "coordinates": instance.coordinates, "degrees": list(instance.degrees), "outputs": C}
    if n == 1:
        return _single(setting, evidence)
    if p == 2 and C == 1:
        dimension = rotation_dimension(setting)
        evidence |= {"dimension": dimension.value, "dimension_is_lower_bound": dimension.is_lower_bound}
        if dimension.arithmetic is Arithmetic.MONTE_CARLO:
            evidence["error_bound"] = dimension.error_bound
        statement = (
            f"degree 2 and one output: the moments of {n} samples form a matrix, and its decompositions a family of dimension {dimension}"
        )
        return _condition(False, statement, evidence, KRUSKAL, dimension.arithmetic)
    ranks = KruskalRanks(setting)
    best: dict = {}
    for split in splits(setting)[:SPLITS]:
        found = ranks.of(split)
        left, right = sum(found), 2 * n + 2
        if not best or left > best["left"]:
            best = {"degree_sets": [list(s) for s in split.sets], "kruskal_ranks": list(found), "left": left, "right": right}
        if left >= right:
            return _kruskal(setting, split, ranks, evidence | best)
    if (theorem := _generic_theorem(setting)) is not None:
        statement = f"{n} generic samples in dimension {setting.tensor_inputs}, order {p}: {theorem}"
        evidence |= {"criterion": "generic decomposition theorem", "tensor_dimension": setting.tensor_inputs, "fixed_degrees": [p]}
        return _condition(True, statement, evidence, GENERIC)
    if setting.data_are_unknown:
        return _condition(None, "the data are needed, or samples proved independent by the target", evidence, KRUSKAL, Arithmetic.NONE)
    if best:
        statement = f"no criterion applies: {_formula(best['kruskal_ranks'])} < {best['right']} at best in Kruskal's condition"
    else:
        statement = f"no criterion applies: {n} samples are too many for Kruskal's condition in dimension {instance.coordinates}"
    return _condition(False, statement, evidence | best, KRUSKAL, Arithmetic.EVIDENCE)


def _single(setting: Setting, evidence: dict) -> Condition:
    instance = setting.instance
    is_zero = instance.data_are_given and not np.any(instance.X)
    if is_zero and 0 not in instance.degrees:
        return _condition(False, "the single sample is zero, and so are its visible moments", evidence, KRUSKAL)
    evidence |= {"criterion": "one sample", "fixed_degrees": list(instance.degrees)}
    if is_zero:
        statement = "a single sample that is zero: the moment of degree 0 is its multiplier, and the others are zero"
        return _condition(True, statement, evidence, KRUSKAL)
    return _condition(True, "a single sample: a tensor of rank one determines its factors up to scale", evidence, KRUSKAL)


def _kruskal(setting: Setting, split: Split, ranks: KruskalRanks, evidence: dict) -> Condition:
    n = setting.instance.n_samples
    independent = evidence["kruskal_ranks"] == [n] * 3 and setting.independence is not Arithmetic.NONE
    evidence |= {"criterion": "independent samples" if independent else "Kruskal", "fixed_degrees": list(split.degrees)}
    if ranks.primes:
        evidence["primes"] = ranks.primes
    if independent:
        statement = f"{n} linearly independent samples: unique decomposition of the moments of degree {_listed(split.degrees)}"
    else:
        statement = (
            f"Kruskal's condition holds for the moments of degree {_listed(split.degrees)}: "
            f"{_formula(evidence['kruskal_ranks'])} ≥ {evidence['right']}"
        )
    arithmetic = Arithmetic.ASSUMED if setting.independence is Arithmetic.ASSUMED else Arithmetic.PROOF
    return _condition(True, statement, evidence, KRUSKAL, arithmetic)


class KruskalRanks:
    """Kruskal ranks of the factors of splits, each computed once: exact for generic data, otherwise proved lower bounds."""

    def __init__(self, setting: Setting):
        self.setting = setting
        self.primes: list[int] = []
        self._known: dict[tuple[tuple[int, ...], bool], int] = {}

    def of(self, split: Split) -> tuple[int, int, int]:
        several = self.setting.instance.n_outputs > 1
        first, second, third = (self._rank(degrees, several and k == 0) for k, degrees in enumerate(split.sets))
        return first, second, third

    def _rank(self, degrees: tuple[int, ...], multipliers: bool) -> int:
        setting, n = self.setting, self.setting.instance.n_samples
        if not multipliers and degrees == (0,):
            return 1
        if self._are_independent(degrees):
            return n
        if setting.data_are_unknown:
            return 1
        if (degrees, multipliers) not in self._known:
            self._known[degrees, multipliers] = self._computed(degrees, multipliers)
        return self._known[degrees, multipliers]

    def _are_independent(self, degrees: tuple[int, ...]) -> bool:
        """Whether the vectors are known to be: powers of independent samples are, but (x, 1) may be independent where x is not."""
        if self.setting.independence is Arithmetic.NONE:
            return False
        return {0, 1} <= set(degrees) if self.setting.instance.observed.bias else degrees != (0,)

    def _computed(self, degrees: tuple[int, ...], multipliers: bool) -> int:
        instance, n = self.setting.instance, self.setting.instance.n_samples
        size = min(n, moment_count(instance.coordinates, degrees, instance.n_outputs if multipliers else 1))
        if not instance.data_are_given:
            return size

        def vectors(q: int, rng: np.random.Generator) -> np.ndarray:
            return instance.at(q, rng).features(degrees, multipliers, rng)

        if size == n:
            result = certified_rank(vectors, n, seed=self.setting.seed)
            self.primes += result.primes
            if result.is_full:
                return n
        rng = np.random.default_rng(self.setting.seed)
        q = random_prime(rng)
        self.primes.append(q)
        return kruskal_rank(vectors(q, rng), q, min(size, n - 1) if size == n else size)


def kruskal_rank(vectors: np.ndarray, q: int, largest: int) -> int:
    """The largest k such that every k of the vectors are independent modulo q: a lower bound over the rationals.

    Subsets of each size are enumerated, up to 3000 of them; if there are more, that size is not claimed.
    """
    n = len(vectors)
    eliminated = Elimination(centred(vectors, q), q)
    pivots = eliminated.run()
    r = len(pivots)
    if r == n:
        return min(largest, n)
    # in the basis of the pivot rows, which has the same dependences; and all dependences, in the same order
    short = np.vstack([np.eye(r, dtype=np.int64), eliminated.work[r:, pivots]]).astype(np.int64) % q
    kernel = np.hstack([-short[r:] % q, np.eye(n - r, dtype=np.int64)])

    def are_independent(rows: tuple[int, ...]) -> bool:
        refuse_when_spent("Kruskal ranks")
        k = len(rows)
        if k * r <= (n - r) * (n - k):
            return rank(short[list(rows)], q) == k
        return rank(np.delete(kernel, rows, axis=1), q) == n - r  # no dependence is zero outside of these rows

    for k in range(min(largest, r), 0, -1):
        if comb(n, k) <= SUBSET_LIMIT and all(are_independent(rows) for rows in combinations(range(n), k)):
            return k
    return 0


def _generic_theorem(setting: Setting) -> str | None:
    """Why generic symmetric tensors of this kind have one decomposition; None if no theorem says so."""
    n, p, D = setting.instance.n_samples, setting.instance.activation.degree, setting.tensor_inputs
    if setting.scope.data != "generic data" or setting.instance.n_outputs > 1 or p < 3:
        return None
    coefficients = comb(D + p - 1, p)
    if n * D < coefficients and (p, D, n) not in TWO_DECOMPOSITIONS:
        return f"below {coefficients}/{D}, and not among the exceptions"
    if (p, D, n) in PERFECT or (D == 2 and p == 2 * n - 1):
        return "a perfect case"
    return None


def _listed(degrees: tuple[int, ...]) -> str:
    return ", ".join(map(str, degrees))


def _formula(ranks: list[int]) -> str:
    return " + ".join(map(str, ranks))


def _condition(holds: bool | None, statement: str, evidence: dict, reference: str, arithmetic: Arithmetic = Arithmetic.PROOF) -> Condition:
    return Condition("decomposition", holds, statement, evidence, arithmetic, reference)

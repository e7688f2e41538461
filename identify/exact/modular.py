r"""Arithmetic and ranks modulo 31-bit primes.

A double is a dyadic rational, so a network given in floats *is* an exact rational network; modulo an odd prime q it is
a matrix of residues. A rank modulo q never exceeds the rank over the rationals, hence **full rank modulo one prime is
a proof** of full rank. A smaller rank is evidence: it may be due to an unlucky prime or point. The chance of that is
bounded (Schwartz 1980, Zippel 1979, and a count of the primes that can divide a minor), and independent repetitions
drive it below any bound; :func:`certified_rank` prints the bound it reached.

Primes are drawn from (2^30, 2^31), so that products of residues fit in 64-bit integers and NumPy does the arithmetic;
elimination is python-flint's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import fmpz
from jaxtyping import Float, Int

from identify.exact.elimination import SMALL as LARGEST, has_full_column_rank, to_flint
from identify.limits import refuse_above, refuse_late
from identify.report.verdict import Arithmetic

PRIME_BITS = 31
PRIMES_IN_RANGE = 105_097_565 - 54_400_028
"""Number of primes between 2^30 and 2^31 (OEIS A007053)."""
ERROR_BOUND = 1e-12
LARGE = 400
"""Columns from which full rank is looked for with a small prime first (:mod:`identify.exact.elimination`)."""
BYTES_PER_ENTRY = 64
"""Estimate for one matrix entry on its way from NumPy through Python integers into python-flint."""


def random_prime(rng: np.random.Generator, below: int = 2**PRIME_BITS) -> int:
    """A uniformly random prime between half of ``below`` and ``below``, by default between 2^30 and 2^31."""
    while True:
        q = int(rng.integers(below // 2 + 1, below)) | 1
        if fmpz(q).is_prime():
            return q


def residues(values: Float[np.ndarray, "*shape"], q: int) -> Int[np.ndarray, "*shape"]:
    """Doubles as exact dyadic rationals modulo the odd prime q."""
    values = np.asarray(values, dtype=np.float64)
    fraction, exponent = np.frexp(values)
    mantissa = np.ldexp(fraction, 53).astype(np.int64)
    powers, where = np.unique(exponent, return_inverse=True)
    table = np.array([pow(2, int(e) - 53, q) for e in powers], dtype=np.int64)
    return mantissa % q * table[where].reshape(values.shape) % q


def residue(value: Fraction, q: int) -> int:
    """A fraction modulo q. Raises ZeroDivisionError when q divides its denominator (choose another prime)."""
    if value.denominator % q == 0:
        raise ZeroDivisionError(f"{q} divides the denominator of {value}")
    return value.numerator * pow(value.denominator, -1, q) % q


def multiply(A: Int[np.ndarray, "r k"], B: Int[np.ndarray, "k c"], q: int) -> Int[np.ndarray, "r c"]:
    """Matrix product modulo q, exact: one factor is split into 16-bit halves so that sums stay below 2^63."""
    block = 2**15
    if A.shape[-1] > block:
        return (multiply(A[..., :block], B[:block], q) + multiply(A[..., block:], B[block:], q)) % q
    high, low = A >> 16, A & 0xFFFF
    return ((high @ B % q << 16) + low @ B) % q


def rank(matrix: Int[np.ndarray, "rows columns"], q: int) -> int:
    """Rank modulo q. Cost O(rows · columns · min(rows, columns)), by python-flint."""
    rows, columns = matrix.shape
    if not rows or not columns:
        return 0
    refuse_above(BYTES_PER_ENTRY * rows * columns, f"the rank of a {rows} by {columns} matrix")
    refuse_late(rows * columns * (1.5e-7 + min(rows, columns) / 1.5e9), f"the rank of a {rows} by {columns} matrix")
    return int(to_flint(matrix, q).rank())


def rank_seconds(rows: int, columns: int) -> float:
    """An estimate of the CPU time of :func:`certified_rank` for a matrix of that size, with what it costs to build."""
    height = min(rows, columns + 20)
    return 6e-8 * height * columns + height * columns * min(height, columns) / (4e9 if columns > LARGE else 1.5e9)


def rank_up_to(matrix: Int[np.ndarray, "rows columns"], q: int, needed: int, rng: np.random.Generator) -> int:
    """The rank, or ``needed`` as soon as a random subset of the rows attains it (a subset can only have less)."""
    rows = len(matrix)
    if rows > 1.2 * needed + 40:
        subset = np.sort(rng.choice(rows, needed + 20, replace=False))
        if rank(matrix[subset], q) >= needed:
            return needed
    return rank(matrix, q)


def pivots(matrix: Int[np.ndarray, "rows columns"], q: int) -> tuple[list[int], list[int]]:
    """Rows and columns of one largest non-singular square submatrix modulo q."""
    rows, columns = matrix.shape
    form, size = to_flint(matrix, q).rref()
    chosen = [next(j for j in range(columns) if int(form[i, j])) for i in range(size)]
    form, size = to_flint(matrix[:, chosen].T, q).rref()
    return [next(j for j in range(rows) if int(form[i, j])) for i in range(size)], chosen


@dataclass(frozen=True)
class MinorBound:
    """What is needed to bound the error of a deficient rank: bounds on any minor of the wanted size.

    ``degree``: its degree in the coordinates drawn at random; ``bits``: the size of its integer coefficients.
    """

    degree: float
    bits: float

    def per_trial(self) -> float:
        """Probability that one random prime and point give a rank below the generic one."""
        return self.degree / 2 ** (PRIME_BITS - 1) + self.bits / (PRIME_BITS - 1) / PRIMES_IN_RANGE


@dataclass(frozen=True)
class RankResult:
    """A rank, how it was found, and what it is worth."""

    rank: int
    needed: int
    primes: tuple[int, ...]
    error_bound: float
    arithmetic: Arithmetic

    @property
    def is_full(self) -> bool:
        return self.rank >= self.needed


Builder = Callable[[int, np.random.Generator], Int[np.ndarray, "rows columns"]]


def certified_rank(
    build: Builder,
    needed: int,
    *,
    seed: int,
    most: int | None = None,
    minors: MinorBound | None = None,
    trials: int = 2,
    some_rows: Builder | None = None,
) -> RankResult:
    """The rank of ``build(q, rng)`` over random primes q and random points, stopping at ``needed``.

    Reaching ``needed``, or ``most``, a known bound on the rank, is a proof (modulo one prime, at one point). Otherwise ``trials``
    independent primes and points are tried, or, with ``minors``, as many as bring the probability of an underestimate
    below 1e-12. ``some_rows`` builds a random part of the rows, which is tried first: it can only have less rank.
    """
    rng = np.random.default_rng([seed, 0x1DE])
    goal = needed if most is None else min(needed, most)
    prime = _full_rank_prime(build if some_rows is None else some_rows, goal, rng)
    if prime is None and some_rows is not None and goal >= LARGE:
        prime = _full_rank_prime(build, goal, rng)
    if prime is not None:
        return RankResult(goal, needed, (prime,), 0.0, Arithmetic.PROOF)
    best, primes, bound = 0, [], 1.0
    while True:
        q = random_prime(rng)
        try:
            matrix = build(q, rng)
        except ZeroDivisionError:
            continue
        best = max(best, rank_up_to(matrix, q, goal, rng))
        primes.append(q)
        if best >= goal:
            return RankResult(best, needed, tuple(primes), 0.0, Arithmetic.PROOF)
        if minors is None:
            if len(primes) >= trials:
                return RankResult(best, needed, tuple(primes), 1.0, Arithmetic.EVIDENCE)
            continue
        bound *= min(minors.per_trial(), 1.0)
        if bound < ERROR_BOUND:
            return RankResult(best, needed, tuple(primes), bound, Arithmetic.MONTE_CARLO)
        if minors.per_trial() > 0.1:
            return RankResult(best, needed, tuple(primes), 1.0, Arithmetic.EVIDENCE)


def _full_rank_prime(build: Builder, goal: int, rng: np.random.Generator) -> int | None:
    """A prime modulo which the matrix attains ``goal``, by the fast way that only large matrices of full rank have."""
    if goal < LARGE:
        return None
    q = random_prime(rng, LARGEST)
    try:
        matrix = build(q, rng)
    except ZeroDivisionError:
        return None
    rows, columns = matrix.shape
    if columns > goal:  # as many random rows have full row rank, or perhaps not: then nothing is said
        matrix = matrix[rng.choice(rows, goal, replace=False)].T if rows > goal else matrix.T
    refuse_late(rank_seconds(len(matrix), goal), f"the rank of a {rows} by {columns} matrix")
    return q if matrix.shape[1] == goal and has_full_column_rank(matrix, q, rng) else None

r"""Arithmetic and ranks modulo 31-bit primes.

A double is a dyadic rational, so a network given in floats *is* an exact rational network; modulo an odd prime q it is
a matrix of residues. A rank modulo q never exceeds the rank over the rationals, hence **full rank modulo one prime is
a proof** of full rank. A smaller rank is evidence: it may be due to an unlucky prime or point. The chance of that is
bounded (Schwartz 1980, Zippel 1979, and a count of the primes that can divide a minor), and independent repetitions
drive it below any bound; :func:`certified_rank` prints the bound it reached.

Primes are drawn from (2^30, 2^31), so that products of residues fit in 64-bit integers and NumPy does the arithmetic;
large matrices are eliminated by blocks (:mod:`identify.exact.elimination`), small ones by python-flint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import fmpq, fmpz, nmod
from jaxtyping import Float, Int

from identify.base.limits import refuse_above, refuse_late, refuse_when_spent
from identify.exact import elimination
from identify.exact.elimination import SMALL, TILE, centred, product, to_flint
from identify.exact.kernel import SPARE, tall_rank
from identify.problem.verdict import Arithmetic

PRIME_BITS = 31
MULTIPLICATIONS = 1e10
"""Multiplications per second of elimination by blocks on one core (measured: 1.3 to 2.5 of these)."""
PRIMES_IN_RANGE = 105_097_565 - 54_400_028
"""Number of primes between 2^30 and 2^31 (OEIS A007053)."""
ERROR_BOUND = 1e-12
BLOCKED = 200
"""Rows and columns from which :mod:`identify.exact.elimination` is faster than python-flint (measured)."""
TALL = 1.3
"""Ratio of rows to columns from which most rows are looked at only after the others are eliminated."""
LARGE = 400
"""Columns from which full rank is looked for with a small prime first, which halves the time."""
BY_TILES = 2**17
"""Multiplications from which a product is faster in floating point (measured)."""
PIECE = 2**20
"""Entries of a matrix that python-flint is given at once: a fraction of a second."""
IN_CACHE = 2**13
"""Floats that become residues at once: the steps on the way stay in the processor's cache, which is several times as fast."""
BYTES_PER_ENTRY = {True: 16, False: 64}
"""Estimate for one matrix entry in elimination by blocks, or on its way through Python integers into python-flint."""


def random_prime(rng: np.random.Generator, below: int = 2**PRIME_BITS) -> int:
    """A uniformly random prime between half of ``below`` and ``below``, by default between 2^30 and 2^31."""
    while True:
        q = int(rng.integers(below // 2 + 1, below)) | 1
        if fmpz(q).is_prime():
            return q


def residues(values: Float[np.ndarray, "*shape"], q: int) -> Int[np.ndarray, "*shape"]:
    """Doubles as exact dyadic rationals modulo the odd prime q."""
    values = np.asarray(values, dtype=np.float64)
    out = np.empty(values.shape, dtype=np.int64)
    flat, found = values.reshape(-1), out.reshape(-1)
    least, above = 0, 0  # exponents whose powers are there
    for start in range(0, values.size, IN_CACHE):
        if not start % PIECE:
            refuse_when_spent("residues")
        fraction, exponent = np.frexp(flat[start : start + IN_CACHE])
        smallest, largest = int(exponent.min()), int(exponent.max())
        if not start or smallest < least or largest >= above:
            least, above = (smallest, largest + 1) if not start else (min(least, smallest), max(above, largest + 1))
            high, low = (np.array([pow(2, e - bits, q) for e in range(least, above)], dtype=np.int64) for bits in (27, 53))
        exponent -= least
        fraction *= 2.0**27  # 27 bits, then the other 26: sums stay below 2^59, so one reduction is enough
        leading = np.floor(fraction)
        fraction -= leading
        fraction *= 2.0**26
        whole = leading.astype(np.int64) * high[exponent]
        whole += fraction.astype(np.int64) * low[exponent]
        found[start : start + IN_CACHE] = whole - whole // q * q  # NumPy divides by a number faster than it takes the rest
    return out


def residue(value: Fraction, q: int) -> int:
    """A fraction modulo q. Raises ZeroDivisionError when q divides its denominator (choose another prime)."""
    if value.denominator % q == 0:
        raise ZeroDivisionError(f"{q} divides the denominator of {value}")
    return value.numerator * pow(value.denominator, -1, q) % q


def fraction_residues(rows: Sequence[Sequence[fmpq]], q: int) -> Int[np.ndarray, "rows columns"]:
    """Fractions of python-flint modulo a prime.

    Raises
    ------
    ZeroDivisionError
        When the prime divides a denominator.
    """
    return np.array([[int(nmod(v, q)) for v in row] for row in rows], dtype=np.int64)


def multiply(A: Int[np.ndarray, "r k"], B: Int[np.ndarray, "k c"], q: int) -> Int[np.ndarray, "r c"]:
    """Matrix product modulo q, exact: of large matrices tile by tile in floating point, of small ones in 64-bit integers.

    For these one factor is split into 16-bit halves, so that sums stay below 2^63.
    """
    if A.ndim == B.ndim == 2 and A.size * B.shape[1] >= BY_TILES:
        return _multiplied_by_tiles(A, B, q)
    block = 2**15
    if A.shape[-1] > block:
        return (multiply(A[..., :block], B[:block], q) + multiply(A[..., block:], B[block:], q)) % q
    high, low = A >> 16, A & 0xFFFF
    return ((high @ B % q << 16) + low @ B) % q


def _multiplied_by_tiles(A: np.ndarray, B: np.ndarray, q: int) -> np.ndarray:
    """A B, a square of the result at a time: at BLAS's speed, in little memory beside the result, and stopped within a moment."""
    out = np.empty((len(A), B.shape[1]), dtype=np.int64)
    for left in range(0, B.shape[1], TILE):
        columns = slice(left, left + TILE)
        right = centred(B[:, columns], q)
        for top in range(0, len(A), TILE):
            rows = slice(top, top + TILE)
            out[rows, columns] = product(centred(A[rows], q), right, q)
    return np.mod(out, q, out=out)


def rank(matrix: Int[np.ndarray, "rows columns"], q: int) -> int:
    """Rank modulo q. Cost O(rows · columns · min(rows, columns)): by blocks, or for small matrices by python-flint."""
    rows, columns = matrix.shape
    if not rows or not columns:
        return 0
    blocked = min(rows, columns) >= BLOCKED
    refuse_above(BYTES_PER_ENTRY[blocked] * rows * columns, f"the rank of a {rows} by {columns} matrix")
    refuse_late(rank_seconds(rows, columns), f"the rank of a {rows} by {columns} matrix")
    if not blocked and matrix.size <= PIECE:
        return _small_rank(matrix if rows >= columns else matrix.T, q)
    if max(rows, columns) > TALL * min(rows, columns):
        return tall_rank(matrix if rows > columns else matrix.T, q)
    return elimination.rank(matrix, q)


def _small_rank(matrix: np.ndarray, q: int) -> int:
    """By python-flint, of a matrix with as many rows as columns or more: a few of many rows are asked first, which mostly suffice."""
    rows, needed = matrix.shape
    if rows > 2 * needed + 40:
        some = np.sort(np.random.default_rng(rows).choice(rows, needed + 20, replace=False))
        if to_flint(matrix[some], q).rank() == needed:
            return needed
    return int(to_flint(matrix, q).rank())


def rank_seconds(rows: int, columns: int) -> float:
    """An estimate of the CPU time of one rank modulo a 31-bit prime, with what the matrix costs to build."""
    low, high = sorted((rows, columns))
    multiplications = low * low * (high - 2 * low / 3)
    return 1e-7 * low * high + (multiplications / MULTIPLICATIONS if low >= BLOCKED else low * low * high / 1.5e9)


def multiplication_seconds(rows: int, inner: int, columns: int) -> float:
    """An estimate of the CPU time of :func:`multiply`, with what its result costs to write."""
    return rows * columns * (2e-8 + 2 * inner / MULTIPLICATIONS)


def certified_rank_seconds(rows: int, columns: int) -> float:
    """The same for a :func:`certified_rank` that is full: it needs few more rows than columns."""
    return rank_seconds(min(rows, columns + SPARE), columns)


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
    refuse_above(BYTES_PER_ENTRY[True] * rows * columns, f"a minor of a {rows} by {columns} matrix")
    refuse_late(rank_seconds(rows, columns), f"a minor of a {rows} by {columns} matrix")
    eliminated = elimination.Elimination(centred(matrix, q), q)
    chosen = eliminated.run(factors=False)
    return sorted(eliminated.order[: len(chosen)].tolist()), sorted(map(int, chosen))


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
RankModulo = Callable[[int, np.random.Generator], int]


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
    """The rank of ``build(q, rng)`` over random primes q and random points, as :func:`certified` has it.

    ``some_rows`` builds a random part of the rows, which is tried first: it can only have less rank.
    """
    goal = needed if most is None else min(needed, most)

    def has_goal(builder: Builder) -> RankModulo:
        return lambda q, rng: _rank_if_full(builder(q, rng), q, goal, rng)

    if goal >= LARGE:
        first = [has_goal(build)] if some_rows is None else [has_goal(some_rows), has_goal(build)]
        return certified(lambda q, rng: rank(build(q, rng), q), needed, seed=seed, most=most, minors=minors, trials=trials, first=first)
    return certified(lambda q, rng: rank_up_to(build(q, rng), q, goal, rng), needed, seed=seed, most=most, minors=minors, trials=trials)


def certified(
    rank_modulo: RankModulo,
    needed: int,
    *,
    seed: int,
    most: int | None = None,
    minors: MinorBound | None = None,
    trials: int = 2,
    first: Sequence[RankModulo] = (),
) -> RankResult:
    """A rank over random primes and random points, stopping at ``needed``.

    Reaching ``needed``, or ``most``, a known bound on the rank, is a proof (modulo one prime, at one point). Otherwise ``trials``
    independent primes and points are tried, or, with ``minors``, as many as bring the probability of an underestimate
    below 1e-12. ``first`` are lower bounds on the rank, each tried once with a small prime.
    """
    rng = np.random.default_rng([seed, 0x1DE])
    goal = needed if most is None else min(needed, most)
    for lower_bound in first:
        q = random_prime(rng, SMALL)
        with suppress(ZeroDivisionError):
            if lower_bound(q, rng) >= goal:
                return RankResult(goal, needed, (q,), 0.0, Arithmetic.PROOF)
    best, primes, bound = 0, [], 1.0
    while True:
        q = random_prime(rng)
        try:
            best = max(best, rank_modulo(q, rng))
        except ZeroDivisionError:
            continue
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


def _rank_if_full(matrix: np.ndarray, q: int, goal: int, rng: np.random.Generator) -> int:
    """The rank if it is ``goal``, a smaller number otherwise, by elimination that ends where a dependent column shows."""
    rows, columns = matrix.shape
    if columns > goal:  # as many random rows have full row rank, or perhaps not: then nothing is said
        matrix = matrix[rng.choice(rows, goal, replace=False)].T if rows > goal else matrix.T
    refuse_late(rank_seconds(*matrix.shape), f"the rank of a {rows} by {columns} matrix")
    return elimination.rank(matrix, q, only_full=True) if matrix.shape[1] == goal else 0

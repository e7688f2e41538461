"""Residues and ranks modulo primes, against fractions, integers and singular values."""

from fractions import Fraction

import numpy as np
import pytest
from flint import fmpz, fmpz_mat
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expi

from identify.base.limits import TooLargeError
from identify.exact.modular import (
    ERROR_BOUND,
    PRIMES_IN_RANGE,
    MinorBound,
    certified_rank,
    multiply,
    pivots,
    random_prime,
    rank,
    rank_up_to,
    residue,
    residues,
)
from identify.problem.verdict import Arithmetic

Q = 2**31 - 1
small_integers = st.integers(1, 5).flatmap(
    lambda columns: st.lists(st.lists(st.integers(-4, 4), min_size=columns, max_size=columns), min_size=1, max_size=6)
)


def product_of_rank(r: int, rows: int, columns: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-3, 4, (rows, r)) @ rng.integers(-3, 4, (r, columns))


def test_random_primes():
    rng = np.random.default_rng(0)
    primes = [random_prime(rng) for _ in range(50)]
    assert all(fmpz(q).is_prime() and 2**30 < q < 2**31 for q in primes) and len(set(primes)) == 50


def test_number_of_primes_agrees_with_the_logarithmic_integral():
    estimate = expi(np.log(2.0**31)) - expi(np.log(2.0**30))
    assert pytest.approx(estimate, rel=1e-4) == PRIMES_IN_RANGE


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5), st.sampled_from([3, 101, 2**30 + 3, Q]))
def test_residues_of_floats_are_those_of_the_exact_fractions(values, q):
    expected = [Fraction(v).numerator * pow(Fraction(v).denominator, -1, q) % q for v in values]
    found = residues(np.array(values), q)
    assert found.tolist() == expected
    assert residues(np.array([values, values]), q).tolist() == [expected, expected]
    assert [residue(Fraction(v), q) for v in values] == expected


def test_residues_of_many_floats_of_ever_wider_ranges_are_those_of_each():
    rng = np.random.default_rng(3)
    widths = np.repeat([1.0, 40.0, 300.0, 5.0], 5000)  # more than are looked at at once
    values = rng.standard_normal(len(widths)) * 2.0 ** np.rint(rng.uniform(-1, 1, len(widths)) * widths)
    found = residues(values, Q)
    assert all(found[k] == residue(Fraction(values[k]), Q) for k in range(0, len(values), 37))


def test_residue_of_a_fraction_with_the_prime_below():
    assert residue(Fraction(1, 3), 7) == 5
    with pytest.raises(ZeroDivisionError, match="7 divides the denominator of 1/14"):
        residue(Fraction(1, 14), 7)


def test_products_do_not_overflow():
    rng = np.random.default_rng(1)
    A, B = rng.integers(Q - 9, Q, (3, 300)), rng.integers(Q - 9, Q, (300, 2))
    assert np.array_equal(multiply(A, B, Q), (A.astype(object) @ B.astype(object)) % Q)
    widest = np.full((1, 2**15 - 1), Q - 1)
    assert multiply(widest, widest.T, Q)[0, 0] == 2**15 - 1


def test_long_products_do_not_overflow():
    wide = np.full((1, 2**16 + 3), Q - 1, dtype=np.int64)
    assert multiply(wide, wide.T, Q)[0, 0] == (2**16 + 3) % Q


@pytest.mark.parametrize(("r", "rows", "columns"), [(1, 4, 4), (3, 7, 5), (5, 5, 9), (6, 20, 6)])
def test_rank_has_two_witnesses(r, rows, columns):
    matrix = product_of_rank(r, rows, columns)
    assert rank(matrix % Q, Q) == r == np.linalg.matrix_rank(matrix) == fmpz_mat(matrix.tolist()).rank()


@given(small_integers, st.sampled_from([2, 3, 5, 101, Q]))
def test_rank_modulo_a_prime_never_exceeds_the_rank_over_the_rationals(rows, q):
    matrix = np.array(rows)
    over_the_rationals = fmpz_mat(rows).rank()
    assert rank(matrix % q, q) <= over_the_rationals
    if q == Q:  # the minors here are far below q
        assert rank(matrix % q, q) == over_the_rationals


def test_an_unlucky_prime_lowers_the_rank():
    assert rank(np.diag([1, 7]) % 7, 7) == 1 and rank(np.diag([1, 7]), Q) == 2


def test_rank_without_entries_and_without_memory(monkeypatch):
    assert rank(np.zeros((0, 3), dtype=np.int64), Q) == rank(np.zeros((3, 0), dtype=np.int64), Q) == 0
    monkeypatch.setenv("IDENTIFY_MEMORY", "1e-6")
    with pytest.raises(TooLargeError, match="the rank of a 10 by 10 matrix needs about"):
        rank(np.zeros((10, 10), dtype=np.int64), Q)


@pytest.mark.parametrize(("r", "needed", "expected"), [(4, 4, 4), (4, 6, 4), (5, 3, 3)])
def test_rank_up_to_stops_at_what_is_needed(r, needed, expected):
    found = rank_up_to(product_of_rank(r, 200, 6) % Q, Q, needed, np.random.default_rng(0))
    assert found == expected if r <= needed else found >= expected


def test_rank_up_to_looks_at_every_row_where_a_subset_is_not_enough():
    matrix = np.zeros((300, 3), dtype=np.int64)
    matrix[[7, 150, 299], [0, 1, 2]] = 1
    assert all(rank_up_to(matrix, Q, 3, np.random.default_rng(seed)) == 3 for seed in range(5))


@pytest.mark.parametrize(("r", "rows", "columns"), [(1, 4, 4), (3, 7, 5), (5, 5, 9)])
def test_pivots_name_a_largest_non_singular_submatrix(r, rows, columns):
    matrix = product_of_rank(r, rows, columns) % Q
    chosen_rows, chosen_columns = pivots(matrix, Q)
    assert len(chosen_rows) == len(chosen_columns) == r
    assert rank(matrix[np.ix_(chosen_rows, chosen_columns)], Q) == r


def test_minor_bound():
    assert MinorBound(degree=8, bits=0).per_trial() == 8 / 2**30
    assert MinorBound(degree=0, bits=3000).per_trial() == pytest.approx(100 / PRIMES_IN_RANGE)


def test_full_rank_is_a_proof_at_the_first_prime():
    result = certified_rank(lambda q, rng: rng.integers(0, q, (5, 3)), 3, seed=4)
    assert (result.rank, result.arithmetic, result.error_bound, len(result.primes)) == (3, Arithmetic.PROOF, 0, 1)
    assert result.is_full
    assert result.primes == certified_rank(lambda q, rng: rng.integers(0, q, (5, 3)), 3, seed=4).primes
    assert result.primes != certified_rank(lambda q, rng: rng.integers(0, q, (5, 3)), 3, seed=5).primes


def deficient(q, rng):
    return product_of_rank(2, 5, 4) % q


def test_deficient_rank_without_a_bound_is_evidence():
    result = certified_rank(deficient, 3, seed=0, trials=3)
    assert (result.rank, result.arithmetic, len(set(result.primes)), result.is_full) == (2, Arithmetic.EVIDENCE, 3, False)


@pytest.mark.parametrize(("bits", "primes"), [(100.0, 2), (1e7, 6)])
def test_deficient_rank_with_a_bound_is_repeated_until_the_bound_is_small(bits, primes):
    minors = MinorBound(degree=10, bits=bits)
    result = certified_rank(deficient, 3, seed=0, minors=minors)
    assert result.arithmetic is Arithmetic.MONTE_CARLO and result.error_bound < ERROR_BOUND
    assert len(result.primes) == primes and result.error_bound == pytest.approx(minors.per_trial() ** primes)


def test_a_bound_that_says_nothing_gives_evidence():
    result = certified_rank(deficient, 3, seed=0, minors=MinorBound(degree=2**30, bits=0))
    assert result.arithmetic is Arithmetic.EVIDENCE and result.error_bound == 1


def test_the_largest_rank_that_was_seen_counts():
    ranks = iter([1, 3, 2])
    result = certified_rank(lambda q, rng: np.eye(4, dtype=np.int64)[: next(ranks)], 4, seed=0, trials=3)
    assert result.rank == 3 and len(result.primes) == 3 and not result.is_full


def test_bad_primes_are_skipped():
    seen = []

    def unlucky_at_first(q, rng):
        seen.append(q)
        if len(seen) == 1:
            return residue(Fraction(1, q), q)
        return np.diag([1, seen[1]]) % q

    result = certified_rank(unlucky_at_first, 2, seed=0)
    assert result.rank == 2 and len(seen) == 3 and result.primes == tuple(seen[1:])

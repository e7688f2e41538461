"""Elimination by floating-point products: exact, and never in favour of independence that is not there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identify.exact.elimination import SMALL, has_full_column_rank, to_flint, to_numpy
from identify.exact.modular import certified_rank, random_prime, rank
from identify.report.verdict import Arithmetic

Q = 4194301


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (40, 30), (300, 300), (700, 520), (600, 257)])
def test_random_matrices_and_one_dependent_column(rows, columns):
    matrix = rng().integers(0, Q, (rows, columns))
    assert has_full_column_rank(matrix, Q) and rank(matrix, Q) == columns
    for at in {0, columns // 2, columns - 1}:
        dependent = matrix.copy()
        others = np.delete(matrix, at, axis=1)
        dependent[:, at] = others @ rng(1).integers(0, 5, columns - 1) % Q
        assert not has_full_column_rank(dependent, Q)


@given(seed=st.integers(0, 10**6), columns=st.integers(1, 12), rows=st.integers(1, 20), largest=st.sampled_from([2, 3, Q]))
@settings(max_examples=60)
def test_agrees_with_flint_on_small_and_sparse_matrices(seed, columns, rows, largest):
    matrix = rng(seed).integers(0, largest, (rows, columns)) * rng(seed + 1).integers(0, 2, (rows, columns))
    assert has_full_column_rank(matrix, Q) == (rank(matrix, Q) == columns)


def test_pivots_far_down_are_found():
    matrix = np.zeros((2000, 300), dtype=np.int64)
    matrix[1500 + rng().permutation(300), np.arange(300)] = 1 + np.arange(300)
    assert has_full_column_rank(matrix, Q)
    matrix[:, 299] = 2 * matrix[:, 298]
    assert not has_full_column_rank(matrix, Q)


def test_largest_residues_do_not_overflow():
    """All entries q - 1, that is -1: rank one; plus the identity: full rank for 520 columns, since q does not divide 519."""
    ones = np.full((520, 520), Q - 1)
    assert not has_full_column_rank(ones, Q)
    matrix = (ones + np.eye(520, dtype=np.int64)) % Q
    assert has_full_column_rank(matrix, Q) and rank(matrix, Q) == 520


def test_wide_matrices_have_dependent_columns():
    assert not has_full_column_rank(np.ones((2, 3), dtype=np.int64), Q)


def test_ranks_of_large_matrices_use_it_first():
    def build(q, rng):
        return np.random.default_rng(0).integers(0, 100, (450, 420))

    found = certified_rank(build, 420, seed=0)
    assert (found.rank, found.arithmetic) == (420, Arithmetic.PROOF) and found.primes[0] < SMALL
    poor = certified_rank(lambda q, rng: np.hstack([build(q, rng)[:, :419], build(q, rng)[:, :1]]), 420, seed=0)
    assert (poor.rank, poor.arithmetic) == (419, Arithmetic.EVIDENCE) and min(poor.primes) > 2**30


def test_some_rows_are_enough_or_all_are_tried():
    whole = np.random.default_rng(0).integers(0, 100, (900, 420))
    sizes = []

    def build(rows):
        def inner(q, rng):
            sizes.append(rows)
            return whole[:rows]

        return inner

    assert certified_rank(build(900), 420, seed=0, some_rows=build(450)).is_full and sizes == [450]
    assert certified_rank(build(900), 420, seed=0, some_rows=build(300)).is_full and sizes[1:] == [300, 900]


def test_primes_below_a_bound():
    assert all(2**21 < random_prime(rng(seed), SMALL) < 2**22 for seed in range(20))


def test_conversion_keeps_entries():
    matrix = rng().integers(0, Q, (3, 4))
    assert np.array_equal(to_numpy(to_flint(matrix, Q)), matrix)
    assert np.array_equal(to_numpy(to_flint(matrix.T.astype(float), Q)), matrix.T)

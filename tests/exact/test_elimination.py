"""Elimination by floating-point products: exact, and never in favour of independence that is not there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.marks import thinned

from identify.exact import elimination
from identify.exact.elimination import (
    EXACT,
    SMALL,
    Elimination,
    centred,
    has_full_column_rank,
    leading_columns,
    product,
    reduced,
    to_flint,
    to_numpy,
)
from identify.exact.kernel import Kernel, tall_rank
from identify.exact.modular import certified_rank, random_prime, rank
from identify.problem.verdict import Arithmetic

pytestmark = pytest.mark.smoke

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


LARGE_Q = 2**31 - 1


@st.composite
def matrices(draw):
    """A prime, and a matrix modulo it: full, sparse or a product of low rank, with zero rows and columns."""
    q = draw(st.sampled_from([2, 3, 101, Q, LARGE_Q, 1073741827]))
    rows, columns, seed = draw(st.integers(1, 150)), draw(st.integers(1, 150)), draw(st.integers(0, 10**6))
    random, density = rng(seed), draw(st.sampled_from([0.03, 0.3, 1.0]))

    def part(*shape):
        return random.integers(0, min(q, 2**25), shape) * (random.random(shape) < density)

    inner = draw(st.one_of(st.none(), st.integers(1, 100)))
    matrix = part(rows, columns) if inner is None else part(rows, inner).astype(object) @ part(inner, columns) % q
    matrix = matrix.astype(np.int64) % q
    if draw(st.booleans()):
        matrix[random.integers(0, rows, rows // 2)] = 0
        matrix[:, random.integers(0, columns, columns // 3)] = 0
    return matrix, q


def by_flint(matrix, q) -> int:
    return to_flint(matrix, q).rank()


@pytest.mark.once
@given(matrices())
@settings(max_examples=40, deadline=None)
def test_ranks_agree_with_flint(drawn):
    matrix, q = drawn
    expected = by_flint(matrix, q)
    assert elimination.rank(matrix, q) == elimination.rank(matrix.T, q) == tall_rank(matrix, q) == expected
    assert has_full_column_rank(matrix, q) == (expected == matrix.shape[1])
    form, _ = to_flint(matrix, q).rref()
    assert leading_columns(matrix, q).tolist() == [np.flatnonzero(row)[0] for row in to_numpy(form)[:expected]]


@pytest.mark.once
@pytest.mark.parametrize(
    ("rows", "columns", "inner", "q"),
    thinned(
        [
            *[(500, 450, 300, Q), (500, 450, 300, LARGE_Q), (450, 500, 449, LARGE_Q), (450, 500, 449, Q)],
            *[(1300, 300, 299, Q), (1300, 300, 299, LARGE_Q), (400, 400, 400, LARGE_Q), (400, 400, 400, Q)],
        ],
        2,
    ),
)
def test_ranks_agree_with_flint_beyond_one_block(rows, columns, inner, q):
    matrix = to_numpy(to_flint(rng(0).integers(0, q, (rows, inner)), q) * to_flint(rng(1).integers(0, q, (inner, columns)), q))
    assert rank(matrix, q) == elimination.rank(matrix, q) == tall_rank(matrix, q) == by_flint(matrix, q) == inner


@given(matrices())
@settings(max_examples=40, deadline=None)
def test_factors_express_all_rows_in_the_pivot_rows(drawn):
    matrix, q = drawn
    found = Elimination(centred(matrix, q), q)
    pivots = found.run()
    r, rows = len(pivots), matrix[found.order].astype(object)
    assert sorted(found.order) == list(range(len(matrix))) and r == by_flint(matrix, q)
    assert not r or by_flint(matrix[found.order[:r]][:, pivots], q) == r
    assert not ((found.work[r:, pivots].astype(object) @ rows[:r] - rows[r:]) % q).any()


@pytest.mark.parametrize("q", [Q, LARGE_Q])
@pytest.mark.parametrize("inner", [1, 255, 256, 2047, 2048, 5000])
def test_products_of_the_largest_residues_are_exact(q, inner):
    """Every term has the largest size, and all have one sign: partial sums are as large as they can be."""
    half = q // 2
    for left, right in ((half, half), (-half, half), (half - 12345, -half)):
        L, B = np.full((2, inner), left, dtype=np.int32), np.full((inner, 3), right, dtype=np.int32)
        found = product(L, B, q)
        assert (np.abs(found) <= q / 2 + 1).all() and all(int(value) % q == left * right * inner % q for value in found.flat)


@given(st.integers(-int(EXACT), int(EXACT)), st.sampled_from([2, 3, Q, 2097169, LARGE_Q]))
@settings(max_examples=150)
def test_reduction_is_exact_and_centred(value, q):
    found = reduced(np.array([float(value)]), q)[0]
    assert (int(found) - int(float(value))) % q == 0 and abs(found) <= q / 2 + 1


def test_a_kernel_that_grows_and_shrinks():
    """Equations in few unknowns each, one group after the other: the rank of the whole matrix after each."""
    random, q = rng(1), Q
    for _ in range(20):
        size, kernel, whole = 60, Kernel(60, q), []
        for _ in range(12):
            seen = random.permutation(size)[: random.integers(1, 30)]
            equations = random.integers(0, q, (random.integers(1, 20), len(seen))) * random.integers(0, 2, (1, len(seen)))
            rows = np.zeros((len(equations), size), dtype=np.int64)
            rows[:, seen] = equations
            whole.append(rows)
            kernel.add(seen, centred(equations, q))
            assert kernel.rank == by_flint(np.concatenate(whole), q) and kernel.is_zero == (kernel.rank == size)


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

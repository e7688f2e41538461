"""Norms of numbers of any size: those of NumPy, scaled by powers of two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identify.base.norms import exponent, relative_size, row_sizes, scaled, size
from identify.base.rows import equal_rows

POWERS = (-1000, -590, -300, 0, 300, 590, 1000)


@given(st.lists(st.floats(0.5, 2**20), min_size=1, max_size=8), st.sampled_from(POWERS))
def test_norms_scale_exactly(values, k):
    values = np.array(values)
    plain = float(np.linalg.norm(values))
    assert size(scaled(values, k)) == scaled(size(values), k) and size(values) == pytest.approx(plain, rel=1e-15)
    assert row_sizes(scaled(values[None], k)) == pytest.approx([size(scaled(values, k))], rel=1e-15, abs=0)
    assert np.array_equal(row_sizes(scaled(values[None], k)), scaled(row_sizes(values[None]), k))


@given(st.lists(st.floats(0.5, 2**10), min_size=2, max_size=8), st.sampled_from(POWERS), st.sampled_from(POWERS))
def test_ratios_of_any_two_sizes(values, k, other):
    values = np.array(values)
    ratio = float(np.linalg.norm(values[::-1] * 3) / np.linalg.norm(values))
    assert relative_size(scaled(values[::-1] * 3, k), scaled(values, k)) == pytest.approx(ratio, rel=1e-14)
    expected = float(scaled(ratio, k - other))
    assert relative_size(scaled(values[::-1] * 3, k), scaled(values, other)) == pytest.approx(expected, rel=1e-14)


def test_what_is_no_number():
    assert size(np.zeros(3)) == size(np.zeros(0)) == 0 and exponent(np.zeros(3)) == exponent(np.zeros(0)) == 0
    assert size(np.array([np.inf, 1.0])) == np.inf and np.isnan(size(np.array([np.nan, 1.0])))
    assert relative_size(np.ones(2), np.zeros(2)) == np.inf and relative_size(np.zeros(2), np.ones(2)) == 0
    assert relative_size(np.array([np.inf]), np.ones(1)) == np.inf and np.isnan(relative_size(np.array([np.nan]), np.ones(1)))
    assert size(np.full(100, 1.7e308)) == np.inf and size(np.full(4, 5e-324)) == 1e-323
    assert np.isnan(row_sizes(np.array([[np.nan, 1.0], [3.0, 4.0]]))[0]) and row_sizes(np.array([[np.inf, 1.0], [3.0, 4.0]]))[1] == 5.0


def test_numbers_of_shorter_formats_are_squared_as_doubles():
    values = np.array([3e30, 4e30], np.float32)
    assert size(values) == pytest.approx(5e30, rel=1e-6) and row_sizes(values[None]) == pytest.approx([5e30], rel=1e-6)
    assert relative_size(values, values) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_equal_rows(seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-1, 2, (12, 2)) * rng.choice([-1.0, 1.0], (12, 1))  # zeros of both signs
    first, group = equal_rows(rows)
    assert np.array_equal(rows[first][group], rows) and len(np.unique(rows, axis=0)) == len(first)
    assert np.array_equal(np.sort(first), first) and np.array_equal(group[first], np.arange(len(first)))

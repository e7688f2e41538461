"""Least squares in pieces and in a process of their own: the same answers as in one call, and an end when time is over."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.optimize import nnls

from identify.base import algebra
from identify.base.errors import InternalError, OutOfTimeError
from identify.base.limits import limit_time

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(400, 7), (5, 5), (3, 8), (50, 1)])
def test_a_matrix_reduced_in_pieces_has_the_same_solutions(monkeypatch, shape):
    monkeypatch.setattr(algebra, "PIECE", 1000.0)  # sixteen rows at a time
    J, t = RNG.standard_normal(shape), RNG.standard_normal(shape[0])
    R, right = algebra.reduced(J, t, "a test")
    assert np.allclose(R.T @ R, J.T @ J) and np.allclose(R.T @ right, J.T @ t)
    assert np.allclose(algebra.least_squares(R, right, "a test"), np.linalg.lstsq(J, t)[0])
    assert np.allclose(algebra.nonnegative(R, right, "a test"), nnls(J, t)[0])


def test_a_process_of_its_own_has_the_same_answers(monkeypatch):
    R, t = RNG.standard_normal((6, 4)), RNG.standard_normal(6)
    work = (algebra.least_squares, algebra.nonnegative)
    here = [each(R, t, "a test") for each in work]
    monkeypatch.setattr(algebra, "APART", 0.0)
    for each, expected in zip(work, here, strict=True):
        assert np.array_equal(each(R, t, "a test"), expected)
    sizes, rows = algebra.rows_of(R, "a test")
    assert np.array_equal(sizes, np.linalg.svd(R, full_matrices=False)[1]) and np.allclose(rows @ rows.T, np.eye(4))


def test_active_sets_that_do_not_settle_are_none(monkeypatch):
    def unsettled(R, t):
        raise RuntimeError("Maximum number of iterations reached.")

    monkeypatch.setattr("scipy.optimize.nnls", unsettled)
    assert algebra.nonnegative(np.eye(2), np.ones(2), "a test") is None


class TestTime:
    def test_what_would_take_longer_is_not_begun(self):
        with limit_time(0.5), pytest.raises(OutOfTimeError, match="a test takes about"):
            algebra.least_squares(np.empty((2000, 2000)), np.empty(2000), "a test")

    def test_pieces_look_at_the_clock(self):
        with limit_time(1e-9), pytest.raises(OutOfTimeError, match="a test"):
            algebra.reduced(np.ones((4, 2)), np.ones(4), "a test")

    def test_a_process_is_ended(self, monkeypatch):
        monkeypatch.setattr(algebra, "APART", 0.0)
        monkeypatch.setattr(algebra, "COMMAND", "import time; time.sleep(600)")
        began = time.monotonic()
        with limit_time(0.3), pytest.raises(OutOfTimeError, match="a test"):
            algebra.least_squares(np.eye(2), np.ones(2), "a test")
        assert time.monotonic() - began < 60

    def test_a_process_that_dies_is_a_fault_of_the_package(self, monkeypatch):
        monkeypatch.setattr(algebra, "APART", 0.0)
        monkeypatch.setattr(algebra, "COMMAND", "raise SystemExit(3)")
        with pytest.raises(InternalError, match="status 3"):
            algebra.least_squares(np.eye(2), np.ones(2), "a test")

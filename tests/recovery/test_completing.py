"""Single entries that were not sent: low rank fills them in, says how sure it is, and refuses where they cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

import identify as idf
from identify.base.limits import limit_memory
from identify.problem.arrays import ShapeError
from identify.recovery.solution import Failure, InapplicableError


@pytest.fixture(scope="module")
def planted():
    return idf.Configuration(inputs=24, samples=3, width=(40, 30), activation="gelu", outputs=5, bias=True).plant(0)


def lost(W, share, kind, seed=0):
    """Without this share of the entries: at random, or the smallest ones."""
    W = W.copy()
    W[np.random.default_rng(seed).random(W.shape) < share if kind == "random" else np.abs(W) < np.quantile(np.abs(W), share)] = np.nan
    return W


@pytest.mark.parametrize("kind", ["random", "smallest"])
def test_nine_of_ten_entries_are_enough(planted, kind):
    system, truth = planted
    found = {k: idf.complete(lost(system.layers[k].W, 0.1, kind), system.layers[k].bias) for k in (1, 2)}
    for k, own in found.items():
        assert own.rank == 3 and own.held_out < 1e-12 and 0 < own.rate < 0.9
        assert np.abs(own.W - system.layers[k].W).max() < 1e-11 * np.abs(system.layers[k].W).max()
        assert own.filled == pytest.approx(0.1 * own.W.size, rel=0.2)
    recovered = idf.recover(idf.KKTSystem.gradient(system.network, layers={k: own.update for k, own in found.items()}), judge=False)
    assert recovered.match(truth.X, truth.c).errors.max() < 1e-10


def test_float32_and_masks(planted):
    system, _ = planted
    W = np.ma.masked_invalid(lost(system.layers[1].W.astype(np.float32), 0.2, "random"))
    found = idf.complete(W)
    assert found.bias is None and found.rank == 3 and 1e-9 < found.held_out < 1e-4
    assert np.linalg.norm(found.W - system.layers[1].W) < 1e-5 * np.linalg.norm(system.layers[1].W)


def test_a_row_with_too_few_entries_stays_missing(planted):
    system, _ = planted
    W = lost(system.layers[1].W, 0.1, "random")
    W[4, 2:], W[:, 7] = np.nan, np.nan
    found = idf.complete(W, system.layers[1].bias)
    assert np.isnan(found.W[4]).all() and np.isnan(found.W[:, 7]).all() and np.isnan(found.bias[4])
    rest = np.delete(np.delete(found.W, 4, axis=0), 7, axis=1)
    assert np.abs(rest - np.delete(np.delete(system.layers[1].W, 4, axis=0), 7, axis=1)).max() < 1e-10
    idf.KKTSystem.gradient(system.network, layers={1: found.update})


def test_the_largest_tenth_is_too_little(planted):
    system, _ = planted
    with pytest.raises(InapplicableError) as caught:
        idf.complete(lost(system.layers[1].W, 0.9, "smallest"))
    assert caught.value.obstacle.kind is Failure.INCOMPLETE


def test_full_rank_is_not_completed():
    """Negative control: entries of a random matrix say nothing of the others."""
    W = np.random.default_rng(0).standard_normal((20, 15))
    with pytest.raises(InapplicableError) as caught:
        idf.complete(lost(W, 0.1, "random"))
    assert caught.value.obstacle.kind is Failure.INCOMPLETE
    with pytest.raises(InapplicableError, match="rank up to 2") as caught:
        idf.complete(lost(W, 0.1, "random"), samples=2)
    with pytest.raises(idf.ShapeError):
        idf.complete(W, np.ones(3))


@pytest.mark.parametrize("k", [-1000, -590, 590, 1000])
def test_numbers_whose_squares_are_no_doubles(k):
    W = np.outer(np.arange(1.0, 9.0), np.arange(2.0, 12.0))
    known = W.copy()
    known[[0, 3, 5], [1, 4, 4]] = np.nan
    usual, found = idf.complete(known), idf.complete(np.ldexp(known, k))
    assert found.rank == usual.rank == 1 and found.rate == pytest.approx(usual.rate, rel=1e-6)
    assert np.allclose(np.ldexp(found.W, -k), W, rtol=1e-14)


@pytest.mark.parametrize("W", [[1.0, np.nan, 2.0], [[0.0, np.nan], [0.0, 0.0]], [[1.0], [2.0, 3.0]], np.zeros((0, 3))])
def test_what_is_no_update_is_refused(W):
    with pytest.raises(ShapeError, match="W: "):
        idf.complete(W)


def test_a_budget_is_kept_and_ranks_are_told(planted):
    W = np.where(np.random.default_rng(0).random((60, 50)) < 0.9, np.random.default_rng(1).standard_normal((60, 50)), np.nan)
    told = []
    with pytest.raises(idf.OutOfTimeError, match="a completion of rank"):
        idf.complete(W, budget=0.02, progress=told.append)
    assert told[0] == "rank 1"
    with pytest.raises(idf.InputError, match="budget: received 0"):
        idf.complete(W, budget=0)


def test_what_does_not_fit_in_memory_is_refused():
    with limit_memory(1000), pytest.raises(idf.TooLargeError, match="a completion of rank 1 needs"):
        idf.complete(np.where(np.eye(300) == 1, np.nan, np.ones((300, 300))))

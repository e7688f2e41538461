"""Decompositions of updates of small rank by sketches: as good as LAPACK's, or left to it."""

import numpy as np
import pytest

from identify.recovery.separation import factors
from identify.recovery.separation.factors import factors_of, factors_of_all
from identify.recovery.separation.subspace import ROUNDING

UNIT = 2.0**-53
SIZES = (160, 240)


def update(values, seed=0, sizes=SIZES):
    """With these singular values."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((size, len(values))))[0] for size in sizes)
    return (left * values) @ right.T


@pytest.mark.parametrize("rank", [1, 7, 30])
def test_triples_are_those_of_lapack_up_to_rounding(rank):
    matrix = update(np.logspace(0, -6, rank), rank)
    U, values, R = factors_of(matrix, UNIT)
    exact = np.linalg.svd(matrix, compute_uv=False)
    assert U.shape == (SIZES[0], rank) and R.shape == (rank, SIZES[1])  # by a sketch
    assert len(values) == min(SIZES) and np.abs(values[:rank] - exact[:rank]).max() <= 16 * ROUNDING
    assert values[rank:].max() <= factors.REST
    assert np.linalg.norm(matrix - (U * values[:rank]) @ R) <= 32 * ROUNDING
    assert np.abs(U.T @ U - np.eye(rank)).max() <= 32 * ROUNDING and np.abs(R @ R.T - np.eye(rank)).max() <= 32 * ROUNDING


def test_a_sketch_is_widened():
    matrix = update(np.logspace(0, -2, 60), sizes=(600, 520))
    assert factors_of(matrix, UNIT)[0].shape[1] == 60


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([1.0, 0.5, 1e-14], UNIT),  # it would be lost among what a sketch leaves
        ([1.0, 0.5, 1e-10, 3e-13], UNIT),  # it is a triple or a rest, who knows
        ([1.0, 0.5], 2.0**-24),  # a format whose rounding is part of the update
        (np.ones(50), UNIT),  # too many
        ([0.0], UNIT),
    ],
)
def test_what_a_sketch_leaves_in_doubt_is_decomposed_by_lapack(values, unit):
    matrix = update(np.array(values))
    found, expected = factors_of(matrix, unit), np.linalg.svd(matrix, full_matrices=False)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_noise_is_decomposed_by_lapack():
    matrix = update(np.ones(3)) + 1e-9 * np.random.default_rng(1).standard_normal(SIZES)
    assert len(factors_of(matrix, UNIT)[2]) == min(SIZES)


def test_a_rest_that_stands_out_in_one_direction_is_seen():
    rng = np.random.default_rng(2)
    noise = rng.standard_normal(SIZES)
    noise /= np.linalg.norm(noise, 2)
    assert 0.7 <= factors._largest(noise) <= 1.001
    assert factors._largest(noise + update([40.0], 5)) == pytest.approx(40, rel=0.05)


@pytest.mark.parametrize("ranks", [(5, 5, 5), (5, 5, 60), (60, 60, 60), (5, 3, 0)])
def test_updates_of_one_batch_are_decomposed_together_whatever_their_ranks(ranks):
    shapes = [(300, 700), (160, 240), (10, 160)]
    matrices = [update(np.logspace(0, -4, min(rank, *shape)), k, shape) for k, (rank, shape) in enumerate(zip(ranks, shapes, strict=True))]
    for matrix, rank, (U, values, R) in zip(matrices, ranks, factors_of_all(matrices, UNIT), strict=True):
        exact = np.linalg.svd(matrix, compute_uv=False)
        assert len(values) == len(exact) and np.abs(values - exact).max() <= 16 * ROUNDING
        kept = min(len(R), rank)
        assert np.linalg.norm(matrix - (U[:, :kept] * values[:kept]) @ R[:kept]) <= 32 * ROUNDING


def test_a_rank_that_is_expected_makes_a_sketch_narrow(monkeypatch):
    widths = []
    monkeypatch.setattr(factors, "_sketched", lambda matrix, width, own=factors._sketched: widths.append(width) or own(matrix, width))
    factors_of_all([update(np.ones(3), 1, (300, 700)), update(np.ones(3))], UNIT)
    assert widths == [factors.NARROW, 3 + factors.MORE]

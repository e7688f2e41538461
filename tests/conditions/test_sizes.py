"""Sizes at which nothing may be computed: the cheapest condition decides, and every product and elimination looks at the clock."""

from __future__ import annotations

import time
import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identify.base.errors import OutOfTimeError
from identify.base.limits import limit_time
from identify.conditions.check import check
from identify.conditions.decomposition import kruskal_rank
from identify.conditions.question import setting_of
from identify.exact.elimination import Elimination, centred
from identify.exact.modular import BY_TILES, multiply, pivots, rank, residues
from identify.exact.secant import n_scales, second_fundamental_rank
from identify.planting.configuration import Configuration
from identify.problem.verdict import Verdict

CUBIC = "z + z^2/2 + z^3"
Q = 2**31 - 1


@pytest.mark.parametrize("activation", [CUBIC, "z + z^2", "1 + z^3"])
@pytest.mark.parametrize(("samples", "options"), [(60000, {}), (20000, {}), (2000, {"budget": 10.0}), (4000, {"budget": 10.0})])
def test_counting_decides_alone(samples, options, activation):
    config = Configuration(inputs=784, samples=samples, width=1000, activation=activation)
    tracemalloc.start()
    began = time.monotonic()
    report = check(config, **options)
    assert time.monotonic() - began < 2
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
    assert report.verdict is Verdict.NOT_UNIQUE and report["count"].holds is False
    assert report.witness is not None and report.witness.dimension == report["count"].evidence["excess"]


@pytest.mark.parametrize("activation", [CUBIC, "z^2 + z^3"])
def test_the_scale_of_generic_data_needs_no_matrix(activation):
    """As many generic points of a cone that spans its space as fit are independent; the same with the rank of given generic data."""
    config = Configuration(inputs=3, samples=6, width=20, activation=activation)
    system, truth = config.plant(0)
    generic, given = check(config), check(system, data=(truth.X, truth.c))
    assert generic["scale"].evidence["fixing_degrees"] == given["scale"].evidence["fixing_degrees"]
    assert generic["scale"].evidence["primes"] == [] != given["scale"].evidence["primes"]


def _random(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, Q, (rows, columns))


def _one_sample(inputs: int, width: int, outputs: int = 1, layers: str = "both"):
    config = Configuration(inputs=inputs, samples=1, width=width, activation=CUBIC, outputs=outputs, layers=layers)
    return setting_of(config, 1, 0).instance.at(Q, np.random.default_rng(0))


LONG = {
    "product": (lambda: np.ones((20000, 4000), dtype=np.int64), lambda A: multiply(A, A.T, Q)),
    "elimination": (lambda: centred(_random(5000, 5000), Q), lambda A: Elimination(A, Q).run()),
    "rank of few columns": (lambda: np.repeat(_random(4000, 150), 50, axis=0), lambda A: rank(A, Q)),
    "minor": (lambda: _random(4000, 4000), lambda A: pivots(A, Q)),
    "residues": (lambda: np.ones(4 * 10**7), lambda A: residues(A, Q)),
    "Kruskal ranks": (lambda: _random(2500, 2499), lambda A: kruskal_rank(A, Q, 2500)),
    "Jacobian": (lambda: _one_sample(300, 40).at_random_point(np.random.default_rng(0), 100), lambda p: p.jacobian()),
    "second fundamental form": (lambda: _one_sample(1500, 1600), lambda p: second_fundamental_rank(p, np.random.default_rng(0))),
    "scales": (lambda: _one_sample(3, 400, 150, "first"), n_scales),
}
"""What is computed, from what."""


@pytest.mark.parametrize("name", LONG)
def test_long_computations_end_with_the_time(name):
    prepare, compute = LONG[name]
    prepared = prepare()
    began = time.monotonic()
    with limit_time(0.05), pytest.raises(OutOfTimeError):
        compute(prepared)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("rows", "inner", "columns", "q"), [(70, 80, 90, Q), (1100, 3, 1030, Q), (5, 30000, 7, Q), (60, 2100, 61, 4194301)]
)
def test_products_by_tiles_are_those_of_integers(rows, inner, columns, q):
    rng = np.random.default_rng(0)
    A, B = rng.integers(q - 9, q, (rows, inner)), rng.integers(q - 9, q, (inner, columns))
    assert rows * inner * columns > BY_TILES
    at = rng.integers(0, rows, 20), rng.integers(0, columns, 20)
    expected = [(A[i].astype(object) @ B[:, k].astype(object)) % q for i, k in zip(*at, strict=True)]
    assert multiply(A, B, q)[at].tolist() == expected


def test_minors_are_not_zero():
    for rank_, rows, columns in ((3, 5, 4), (2, 2, 7), (150, 260, 200)):
        rng = np.random.default_rng(rank_)
        matrix = multiply(rng.integers(0, Q, (rows, rank_)), rng.integers(0, Q, (rank_, columns)), Q)
        chosen, among = pivots(matrix, Q)
        assert len(chosen) == len(among) == rank_ and chosen == sorted(set(chosen)) and among == sorted(set(among))
        assert rank(matrix[np.ix_(chosen, among)], Q) == rank_
    assert pivots(np.zeros((3, 2), dtype=np.int64), Q) == ([], [])


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32))
def test_kruskal_ranks_by_their_definition(n, length, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-1, 2, (n, length))[rng.integers(0, n, n)] % Q
    expected = max(k for k in range(n + 1) if all(rank(vectors[list(rows)], Q) == k for rows in combinations(range(n), k)))
    assert kruskal_rank(vectors, Q, n) == expected


def test_one_sample_of_many_inputs():
    """A few neurons show the second fundamental form of all parameters: no matrix has d^3 entries."""
    tracemalloc.start()
    assert second_fundamental_rank(_one_sample(220, 740), np.random.default_rng(0)) == (220, 221)
    assert tracemalloc.get_traced_memory()[1] < 8 * 220**3
    tracemalloc.stop()


def test_the_determinant_of_many_outputs_is_not_expanded():
    assert n_scales(_one_sample(3, 30, 9, "first")) == 1

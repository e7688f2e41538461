"""Ranks of interpolation matrices without the matrix, against python-flint's rank of the matrix."""

from dataclasses import replace

import numpy as np
import pytest

from identify import Configuration, TooLargeError
from identify.base.limits import OutOfTimeError, limit_memory, limit_time
from identify.conditions.interpolation import interpolation
from identify.conditions.question import setting_of
from identify.exact import slices
from identify.exact.elimination import to_flint
from identify.exact.instance import Instance
from identify.exact.modular import random_prime
from identify.exact.slices import expected_work, interpolation_rank, interpolation_seconds, slice_rank
from identify.problem.verdict import Arithmetic

CUBIC = "z + z^2/2 + z^3"
CASES = [
    (3, 4, CUBIC, 1, False, "both"),
    (4, 6, "z^3", 1, False, "first"),
    (3, 14, "z^4", 1, False, "both"),
    (5, 7, "z^3", 1, False, "first"),
    (4, 6, "z + z^3", 2, False, "both"),
    (4, 9, "1 + z + z^3", 2, False, "both"),
    (4, 5, "z + z^2 + z^3", 1, True, "both"),
    (3, 5, "z^2 + z^4", 3, True, "first"),
    (4, 8, "z + z^2 + z^3", 2, True, "both"),
    (4, 40, CUBIC, 1, False, "second"),
    (4, 20, "1 + z + z^2 + z^3", 2, True, "second"),
    (1, 3, CUBIC, 1, True, "both"),
]


def instance(d: int, m: int, activation: str = CUBIC, outputs: int = 1, bias: bool = False, layers: str = "both") -> Instance:
    config = Configuration(inputs=d, samples=d, width=m, activation=activation, outputs=outputs, bias=bias, layers=layers)
    return setting_of(config, d, 0).instance


def by_flint(point) -> int:
    return to_flint(point.interpolation(), point.q).rank()


@pytest.mark.parametrize(("d", "m", "activation", "outputs", "bias", "layers"), CASES)
@pytest.mark.parametrize("below", [2**22, 2**31])
def test_rank_of_the_matrix_without_the_matrix(d, m, activation, outputs, bias, layers, below):
    """Full and deficient, narrow and wide; parallel neurons, neurons twice and outputs that are proportional too."""
    for width in (max(m // 2, 1), m, 2 * m):
        rng = np.random.default_rng(width)
        point = instance(d, width, activation, outputs, bias, layers).at(q := random_prime(rng, below), rng)
        assert slice_rank(point) == by_flint(point)
        W, A = point.W.copy(), point.A.copy()
        W[-1], A[-1] = 2 * W[0] % q, 3 * A[0] % q
        degenerate = replace(point, W=W, A=A)
        assert slice_rank(degenerate) == by_flint(degenerate)


@pytest.mark.parametrize(("p", "D", "m", "expected"), [(3, 5, 7, 34), (4, 3, 5, 14), (4, 4, 9, 34), (4, 5, 14, 69)])
def test_exceptions_of_alexander_and_hirschowitz(p, D, m, expected):
    rng = np.random.default_rng(0)
    assert slice_rank(instance(D, m, f"z^{p}", layers="first").at(random_prime(rng), rng)) == expected


class TestLarge:
    def test_a_width_that_suffices_and_one_that_does_not(self):
        """N = 454 in 12 dimensions: at least 35 neurons with 13 equations each, and parallel ones do not count."""
        full, narrow = interpolation_rank(instance(12, 40), seed=0), interpolation_rank(instance(12, 34), seed=0)
        assert (full.rank, full.arithmetic, len(full.primes)) == (454, Arithmetic.PROOF, 1) and full.primes[0] < 2**22
        assert (narrow.rank, narrow.arithmetic) == (442, Arithmetic.EVIDENCE) and min(narrow.primes) > 2**30

    def test_parallel_neurons_do_not_count(self):
        config = Configuration(inputs=12, samples=12, width=50, activation="z^3")
        system, _truth = config.plant(0)
        setting = setting_of(system, 12, 0)
        W = system.network.W.copy()
        W[20:] = 2 * W[0]
        assert interpolation(setting).is_proved
        assert interpolation(replace(setting, instance=replace(setting.instance, W=W))).evidence["rank"] == 20 * 12

    def test_seeds_repeat(self):
        assert interpolation_rank(instance(12, 40), seed=3) == interpolation_rank(instance(12, 40), seed=3)

    def test_refused_before_it_begins(self, monkeypatch):
        monkeypatch.setattr(slices, "slice_rank", None)
        large = instance(128, 1000)
        with limit_memory(2**33), pytest.raises(TooLargeError, match="the rank of an interpolation matrix with 366144 columns needs about"):
            interpolation_rank(large, seed=0)
        with limit_memory(2**60), limit_time(10.0), pytest.raises(OutOfTimeError, match="the rank of an interpolation matrix"):
            interpolation_rank(large, seed=0)

    def test_work_and_memory_are_those_of_the_free_moments(self):
        """As many independent equations in a slice as it has moments: nothing is ever free, and what is stored is the slice."""
        wide = instance(12, 91)
        work, stored = expected_work(wide)
        assert stored < 8 * 454 * 91 * 4 and work < 454**3
        assert expected_work(instance(60, 1000))[1] < 2**30 < 4 * 39710**2
        assert 60 < interpolation_seconds(instance(60, 1000)) < 600

"""Theorem A2 from disjoint bases: where it decides, where it must not, and its two searches against plain ones."""

from itertools import combinations

import numpy as np
import pytest

import identify as idf
from identify.conditions.networks.bases import by_bases, disjoint_bases, independent, is_about, requirements
from identify.conditions.networks.pattern import pattern
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.separation import Route
from identify.exact.modular import rank

Q = 2147483629


def question(seed=0, **options) -> NetworkQuestion:
    sizes = {"inputs": 2, "samples": 4, "width": (30, 6), "activation": "relu", "outputs": 2, "bias": True} | options
    system, truth = idf.Configuration(**sizes).plant(seed)
    return NetworkQuestion.of_system(system, len(truth.X), 0, (truth.X, np.reshape(truth.c, (len(truth.X), -1))))


FORWARD = {"layers": (2, 3)}
BACKWARD = {"inputs": 8, "samples": 5, "width": 28, "outputs": 3, "layers": "first"}


@pytest.mark.parametrize(
    ("options", "route", "any_multipliers"),
    [
        (FORWARD, Route.FORWARD, True),
        (FORWARD | {"activation": "leaky_relu", "samples": 5, "width": (30, 12), "seed": 1}, Route.FORWARD, True),
        ({"samples": 6, "width": (40, 16), "seed": 2}, Route.FORWARD, True),
        (BACKWARD, Route.BACKWARD, False),
        (BACKWARD | {"width": 60}, Route.BACKWARD, True),
        (BACKWARD | {"activation": "hard_tanh", "width": 28}, Route.BACKWARD, False),
        (BACKWARD | {"bias": False}, Route.BACKWARD, False),
    ],
    ids=["second", "leaky", "more samples than inputs", "first", "any multipliers", "hard_tanh", "scales"],
)
def test_what_it_decides(options, route, any_multipliers):
    asked = question(**options)
    found, judged = by_bases(asked), pattern(asked)
    assert found is not None and found.requirement.route is route and found.requirement.any_multipliers is any_multipliers
    assert judged.is_proved and judged.evidence["sets"] == "bases"
    chosen = [j for basis in found.bases for j in basis]
    assert len(found.bases) == found.requirement.bases and len(set(chosen)) == len(chosen)
    report = idf.check(asked.system, data=asked.data)
    assert report.verdict is idf.Verdict.UNIQUE
    assert idf.verify(report.certificate())


def test_too_few_neurons():
    """Six see each sample, or one less; and 2 n neurons are needed for two bases."""
    for width, enough in ((30, True), (7, False)):
        asked = question(width=(width, 6), **FORWARD)
        assert (by_bases(asked) is not None) is enough
        assert pattern(asked).is_proved is enough


def test_multipliers_that_are_parallel():
    """Backward any two must be independent: with one output, or with equal rows, nothing follows."""
    asked = question(**BACKWARD)
    X, c = asked.data
    c = np.repeat(c[:1], len(c), axis=0)
    system = asked.system.with_target(asked.system.right_hand_side(X, c))
    assert by_bases(NetworkQuestion.of_system(system, len(X), 0, (X, c))) is None
    assert is_about(question(**BACKWARD | {"outputs": 1})) == []


def test_backward_as_a_theorem():
    """Where it holds no column but those of the samples is found, and with few neurons others are."""
    config = idf.Configuration(inputs=4, samples=3, width=20, outputs=3, bias=True, layers="first", activation="relu")
    found = idf.theorems["bases"].verify(config, trials=4)
    assert found.passed and not found.counterexamples and any(row.hypothesis for row in found.rows)
    narrow = [row for row in found.violations if row.conclusion is False]
    assert narrow, str(found)


def test_what_is_needed():
    """In general position kappa is d + 1 forward, and C backward."""
    (forward,) = requirements(question(**FORWARD), Route.FORWARD, Q)
    assert (forward.seen, forward.bases, forward.independent, forward.ranks) == (3 + 4 - 1, 2, 3, (2,))
    every, own = requirements(question(**BACKWARD), Route.BACKWARD, Q)
    assert (every.seen, every.bases, own.seen, own.bases, own.independent) == (18, 6, 8, 3, 3)
    large = requirements(question(samples=7, width=(40, 8), **FORWARD), Route.FORWARD, Q)[0]
    assert large.bases == 4 and large.bases * (large.independent - 1) >= 7


@pytest.mark.parametrize("seed", range(20))
def test_independent_sets(seed):
    rng = np.random.default_rng(seed)
    n, size = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    vectors = rng.integers(0, 3, (n, size))
    found = independent(vectors, Q)
    ranks = {k: all(rank(vectors[list(s)], Q) == k for s in combinations(range(n), k)) for k in range(1, min(n, size) + 1)}
    assert found == max((k for k, holds in ranks.items() if holds), default=0)


@pytest.mark.parametrize("seed", range(10))
def test_bases_are_disjoint_and_regular(seed):
    rng = np.random.default_rng(seed)
    n, m, count = int(rng.integers(2, 5)), 20, 3
    slopes = rng.integers(0, 2, (n, m))
    found = disjoint_bases(slopes, count, Q, rng)
    if found is None:
        assert np.linalg.matrix_rank(slopes) < n or min((slopes != 0).sum(axis=1)) < 3 * count
        return
    assert all(rank(slopes[:, basis], Q) == n == len(basis) for basis in found)
    assert len({j for basis in found for j in basis}) == n * count

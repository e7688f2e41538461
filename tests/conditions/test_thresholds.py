"""Thresholds in n against the verdicts for neighbouring numbers of samples."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from support.oracles import random_network

import identify
from identify.base.errors import InputError
from identify.base.options import CONDITIONS
from identify.conditions.check import check
from identify.conditions.thresholds import NETWORK_STEPS, STEPS, Thresholds, largest_identifiable
from identify.planting.configuration import Configuration
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Verdict

CUBIC = "z + z^2 + z^3"
RANK = {Verdict.NOT_UNIQUE: 0, Verdict.LOCALLY_UNIQUE: 1, Verdict.UNIQUE: 2}
CONFIGURATIONS = [
    {"inputs": 4, "width": 8, "activation": CUBIC},
    {"inputs": 3, "width": 4, "activation": CUBIC},
    {"inputs": 2, "width": 5, "activation": CUBIC, "bias": True},
    {"inputs": 3, "width": 5, "activation": "z + z^3"},
    {"inputs": 4, "width": 4, "activation": "z^3", "layers": "first"},
    {"inputs": 2, "width": 4, "activation": "z^3"},
    {"inputs": 2, "width": 6, "activation": CUBIC, "layers": "second"},
    {"inputs": 3, "width": 5, "activation": "z + z^2"},
    {"inputs": 3, "width": 5, "activation": "z^2"},
    {"inputs": 3, "width": 4, "activation": "z + z^2", "outputs": 2},
    {"inputs": 4, "width": 6, "activation": "z + z^2", "outputs": 3, "bias": True},
    {"inputs": 1, "width": 3, "activation": "z + z^4"},
    {"inputs": 4, "width": 1, "activation": CUBIC},
    {"inputs": 2, "width": 2, "activation": "1 + z^3", "regime": "lazy"},
]


@pytest.mark.parametrize("sizes", CONFIGURATIONS, ids=lambda sizes: "-".join(str(v).replace(" ", "") for v in sizes.values()))
def test_thresholds_are_those_of_check(sizes):
    found = largest_identifiable(Configuration(samples=1, **sizes))
    last = max(found.locally_unique, found.unique) + 2
    limits = (found.unique_by_moments, found.unique_by_generic_global, found.unique, found.locally_unique)
    both_sides = {n for limit in limits for n in (limit, limit + 1)}
    for n in sorted({1, *both_sides, last, min(found.not_identifiable or last, last)} - {0}):
        report = check(Configuration(samples=n, **sizes), conditions=CONDITIONS)
        by_moments = all(report[name].is_proved for name in ("interpolation", "decomposition", "scale"))
        assert (n <= found.unique_by_moments) is by_moments, n
        assert (n <= found.unique_by_generic_global) is report["generic-global"].is_proved, n
        assert (n <= found.locally_unique) is report["local"].is_proved, n
        if found.not_identifiable is not None and n >= found.not_identifiable:
            assert report.verdict is Verdict.NOT_UNIQUE, n
        if n <= found.unique:
            assert report.verdict is Verdict.UNIQUE, n
    assert found.unique == max(found.unique_by_moments, found.unique_by_generic_global) <= max(found.locally_unique, found.unique)


def test_given_networks():
    """Duplicated neurons count once; the scope says that it is this network."""
    net = random_network(np.random.default_rng(0), CUBIC, inputs=4, width=8)
    system = KKTSystem.gradient(net, W=np.ones((8, 4)), a=np.ones(8))
    found = largest_identifiable(system)
    assert (found.unique, found.locally_unique, found.not_identifiable) == (6, 6, 7) and found.scope.network == "this network"
    copies = TwoLayerNetwork(net.W[[0, 1, 2, 3, 3, 3, 3, 3]], net.a, CUBIC)
    fewer = largest_identifiable(KKTSystem.gradient(copies, W=np.ones((8, 4)), a=np.ones(8)))
    half = largest_identifiable(Configuration(inputs=4, samples=1, width=4, activation=CUBIC))
    assert fewer.locally_unique == half.locally_unique < found.locally_unique and fewer.unique == half.unique


def test_samples_of_the_configuration_do_not_matter():
    one, many = (largest_identifiable(Configuration(inputs=3, samples=n, width=5, activation=CUBIC)) for n in (1, 50))
    assert one == many


def test_one_seed_one_answer():
    config = Configuration(inputs=3, samples=1, width=5, activation=CUBIC)
    assert largest_identifiable(config, seed=3) == largest_identifiable(config, seed=3)
    assert largest_identifiable(config, seed=4).unique == largest_identifiable(config, seed=3).unique


def test_text_and_json():
    found = largest_identifiable(Configuration(inputs=4, samples=1, width=8, activation=CUBIC))
    assert isinstance(found, Thresholds) and identify.Thresholds is Thresholds
    assert "unique up to 6 samples" in found.explain() and "not identifiable: from 7 samples on" in found.explain()
    assert "generic network, generic data" in found.explain() and "permutation" in found.explain()
    content = json.loads(json.dumps(found.to_dict()))
    assert content["unique"] == 6 and content["not_identifiable"] == 7 and content["arithmetic"] == Arithmetic.PROOF.value


def test_monte_carlo_bounds_are_printed():
    """The count of parameters allows more samples than the rank does: a deficient rank, with its error bound."""
    found = largest_identifiable(Configuration(inputs=3, samples=1, width=5, activation="z^2"))
    assert found.arithmetic is Arithmetic.MONTE_CARLO and 0 < found.error_bound < 1e-12 and "error below" in found.explain()


def test_progress():
    said: list[str] = []
    largest_identifiable(Configuration(inputs=2, samples=1, width=3, activation=CUBIC), progress=said.append)
    assert said == [step.name for step in STEPS]


@pytest.mark.parametrize("regime", ["max-margin", "weight-decay"])
def test_self_trained_networks_are_refused(regime):
    with pytest.raises(ValueError, match=f"regime: received {regime}, expected gradient or lazy"):
        largest_identifiable(Configuration(inputs=2, samples=2, width=3, activation="z^3", regime=regime))


def test_too_large(monkeypatch):
    monkeypatch.setenv("IDENTIFY_MEMORY", "0.001")
    found = largest_identifiable(Configuration(inputs=30, samples=1, width=60, activation=CUBIC))
    assert list(found.left_out) == [STEPS[1].name] and "the Jacobian of all samples" in found.explain()
    assert (found.unique, found.locally_unique) == (0, 0)
    assert found.not_identifiable == 61 and found.arithmetic is Arithmetic.PROOF, "counting needs no matrix"
    assert largest_identifiable(Configuration(inputs=30, samples=1, width=60, activation=CUBIC), memory=2**33).not_identifiable == 61


def test_a_budget_leaves_out_what_takes_longer():
    began = time.monotonic()
    found = largest_identifiable(Configuration(inputs=60, samples=1, width=300, activation=CUBIC), budget=0.5)
    assert time.monotonic() - began < 5
    assert list(found.left_out) == [STEPS[1].name] and found.not_identifiable == 301 and found.to_dict()["left_out"]


@pytest.mark.parametrize("options", [{"budget": 0.0}, {"budget": True}, {"memory": 0}, {"memory": 1.5}])
def test_limits_out_of_range(options):
    with pytest.raises(InputError, match=next(iter(options))):
        largest_identifiable(Configuration(inputs=2, samples=1, width=3, activation=CUBIC), **options)


@pytest.mark.parametrize("budget", [3, None])
def test_ranks_of_networks_keep_to_the_budget_and_without_one_to_half_a_minute(budget):
    """64-128-10: ranks in intervals of more than 59 samples have 4140 columns; before, they were estimated at a third of their time."""
    began = time.process_time()
    found = largest_identifiable(Configuration(inputs=64, samples=1, width=128, activation="gelu", outputs=10, bias=True), budget=budget)
    assert time.process_time() - began < 20
    assert found.unique == found.locally_unique == 59 and found.not_identifiable == 130
    assert list(found.left_out) == [NETWORK_STEPS[-1].name] and "from 60 samples on: it needs about" in found.explain()


def test_what_does_not_fit_in_memory_ends_no_search():
    sizes = Configuration(inputs=8, samples=1, width=(12, 10), activation="gelu", outputs=3, bias=True)
    whole, narrow = largest_identifiable(sizes), largest_identifiable(sizes, memory=2**20)
    assert whole.unique == narrow.unique < narrow.locally_unique < whole.locally_unique, "smaller numbers of samples fit"
    assert not whole.left_out and "needs about" in narrow.explain()


def test_no_number_of_samples_is_a_sentence_of_its_own():
    found = largest_identifiable(Configuration(inputs=8, samples=1, width=30, activation="relu", outputs=3, bias=True))
    assert (
        not found.unique and "unique: not proved for any number; given data may still" in found.explain() and " 0 " not in found.explain()
    )

"""Reduction to the span of the samples: exact in the conditions, numerical in the recovery."""

from dataclasses import replace

import numpy as np
import pytest
from support.oracles import random_network, system_of

from identify.conditions.check import check
from identify.planting.configuration import Configuration
from identify.problem.gradients import flatten, weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.rank import Spectrum, numerical_rank, target_rows
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Verdict
from identify.recovery.reduce import Reduced, slopes

CUBIC = "z + z^2 + z^3"


def size(d: int, n: int, m: int, **options) -> Configuration:
    return Configuration(**{"inputs": d, "samples": n, "width": m, "activation": CUBIC} | options)


@pytest.mark.parametrize(("bias", "coordinates"), [(False, 3), (True, 2)])
def test_holds_for_fewer_samples_than_inputs_and_neurons(bias, coordinates):
    condition = check(size(7, 3, 3, bias=bias))["reduction"]
    assert condition.is_proved and condition.arithmetic is Arithmetic.PROOF
    assert condition.evidence["rank_samples"] == condition.evidence["rank_slopes"] == 3
    assert condition.evidence["coordinates"] == coordinates


@pytest.mark.parametrize(
    ("config", "statement"),
    [
        (size(2, 3, 9), "3 samples exceed the input dimension"),
        (size(5, 3, 2), "3 samples exceed the width"),
        (size(5, 3, 40, layers="second"), "the first layer was not observed"),
    ],
)
def test_fails_where_the_target_cannot_show_the_span(config, statement):
    condition = check(config)["reduction"]
    assert condition.holds is False and statement in condition.statement


def test_fails_for_dependent_samples():
    net = random_network(np.random.default_rng(0), CUBIC, inputs=4, width=30)
    X = np.array([[1.0, 0, 2, 0], [0, 1, 1, 0], [1, 1, 3, 0]])
    condition = check(system_of(net, X, [1, 2, -1]), data=(X, [1, 2, -1]))["reduction"]
    assert condition.holds is False and condition.evidence["rank_samples"] == 2
    just = X + np.diag([0, 0, 2.0**-50, 0])[:3]
    assert check(system_of(net, just, [1, 2, -1]), data=(just, [1, 2, -1]))["reduction"].is_proved


def test_affine_dependence_does_not_matter_without_bias_rows_and_linear_dependence_not_with_them():
    X = np.array([[1.0, 2], [2, 4], [0, 1]])
    net = random_network(np.random.default_rng(0), CUBIC, inputs=2, width=20, bias=True)
    assert check(system_of(net, X, [1, 2, -1]), data=(X, [1, 2, -1]))["reduction"].is_proved
    collinear = np.array([[1.0, 2], [2, 4], [3, 6]])
    assert check(system_of(net, collinear, [1, 2, -1]), data=(collinear, [1, 2, -1]))["reduction"].holds is False


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("d", [3, 6, 40])
def test_more_inputs_than_samples_change_nothing(bias, d):
    reports = [check(size(d, 3, m, bias=bias)) for m in (4, 5, 12)]
    assert [r.verdict for r in reports] == [check(size(3, 3, m, bias=bias)).verdict for m in (4, 5, 12)]
    assert {r["interpolation"].evidence["needed"] for r in reports} == {10 if bias else 19}


class TestUnknownData:
    """The span is read off the target of a self-trained network."""

    def plant(self, d, n, m):
        return Configuration(inputs=d, samples=n, width=m, activation="z^3", regime="max-margin").plant(0)

    def test_proved_where_the_target_fills_the_space(self):
        system, _ = self.plant(3, 3, 7)
        report = check(system, samples=3)
        assert report["reduction"].is_proved and report.verdict is Verdict.UNIQUE

    def test_assumed_on_a_numerical_row_space(self):
        system, truth = self.plant(6, 3, 7)
        report = check(system, samples=3)
        assert report["reduction"].arithmetic is Arithmetic.ASSUMED and report["reduction"].evidence["gap"] > 1e6
        assert report["interpolation"].arithmetic is report["decomposition"].arithmetic is Arithmetic.ASSUMED
        assert report.verdict is Verdict.UNDECIDED and "it would be UNIQUE if the assumption held" in report.reasons[-1]
        assert check(system, data=(truth.X, truth.c)).verdict is Verdict.UNIQUE

    @pytest.mark.parametrize(("n", "statement"), [(2, "no data set of 2 samples produces it"), (4, "dependent samples cannot be excluded")])
    def test_another_number_of_samples(self, n, statement):
        system = replace(self.plant(6, 3, 7)[0], labels=None)
        report = check(system, samples=n)
        assert report["reduction"].holds is False and statement in report["reduction"].statement
        assert report["reduction"].evidence["numerical_rank"] == 3 and report.verdict is Verdict.UNDECIDED

    def test_no_witness_is_claimed_for_data_that_may_not_exist(self):
        net = random_network(np.random.default_rng(0), "z^2", inputs=3, width=9)
        report = check(KKTSystem.max_margin(net), samples=2)
        assert report["witness"].holds is None and report.verdict is Verdict.UNDECIDED

    def test_first_layer_weights_of_zero_show_no_samples(self):
        system = KKTSystem.max_margin(TwoLayerNetwork(np.zeros((3, 2)), np.ones(3), "1 + z^3"))
        report = check(system, samples=1)
        assert report["reduction"].holds is False and report.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("values", "expected"),
    [([4, 2, 1], 3), ([4, 2, 1e-9], 2), ([1, 1e-5, 1e-15], 2), ([1, 0, 0], 1), ([5], 1)],
)
def test_numerical_rank(values, expected):
    assert numerical_rank(np.array(values, float))[0] == expected


@pytest.mark.parametrize("bias", [False, True])
def test_target_factors_through_the_samples(bias):
    system, truth = size(5, 3, 8, bias=bias).plant(0)
    G = slopes(system.network, truth.X, truth.c[:, None])
    tall = np.hstack([truth.X, np.ones((3, 1))]) if bias else truth.X
    assert np.allclose(target_rows(system), G @ tall, rtol=1e-12)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layers", ["both", "first"])
def test_reduced_system_holds_at_reduced_samples(bias, layers):
    system, truth = size(9, 3, 8, bias=bias, layers=layers).plant(0)
    reduced = Reduced.of(system, 3)
    assert reduced.dimension == 3 - bias and np.allclose(reduced.Q.T @ reduced.Q, np.eye(3 - bias))
    assert np.allclose(reduced.origin @ reduced.Q, 0) and reduced.origin.any() == bias
    Z, c = reduced.project(truth.X), truth.c[:, None]
    assert np.allclose(reduced.origin + Z @ reduced.Q.T, truth.X, rtol=1e-12)
    net, sigma = reduced.network, system.network.activation
    parts = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), Z, c)
    assert np.allclose(flatten(parts, system.observed), reduced.target, rtol=1e-11, atol=1e-12)
    assert np.allclose(reduced.lift(Z, c), truth.X, rtol=1e-11)
    again = reduced.respan(truth.X)
    assert again.dimension == 3 - bias and np.allclose(again.origin + again.project(truth.X) @ again.Q.T, truth.X)


@pytest.mark.parametrize("d", [3, 2])
def test_nothing_is_reduced_where_it_would_not_help(d):
    system, truth = size(d, 3, 12).plant(0)
    reduced = Reduced.of(system, 3)
    assert reduced.dimension == d and np.array_equal(reduced.Q, np.eye(d))
    assert np.array_equal(reduced.lift(truth.X, truth.c[:, None]), truth.X)


@pytest.mark.parametrize(("d", "n", "m"), [(8, 5, 12), (5, 5, 12), (40, 7, 50)])
@pytest.mark.parametrize("noise", [0, 1e-8, 1e-6])
def test_number_of_samples_is_estimated(d, n, m, noise):
    system, _ = size(d, n, m).plant(0)
    perturbation = noise * np.linalg.norm(system.target) / np.sqrt(system.n_equations)
    noisy = system.with_target(system.target + perturbation * np.random.default_rng(1).standard_normal(system.n_equations))
    assert Spectrum.of(noisy).rank == n


@pytest.mark.parametrize(("d", "n", "m"), [(40, 7, 50), (40, 7, 400), (8, 5, 200)])
def test_number_of_samples_from_single_precision(d, n, m):
    system, _ = size(d, n, m).plant(0)
    rounded = system.with_target(system.target.astype(np.float32))
    spectrum = Spectrum.of(rounded)
    assert spectrum.rank == n and spectrum.gap > 1e3 and len(spectrum.values) == d and not spectrum.is_full


def test_number_of_samples_needs_the_first_layer():
    system, _ = size(3, 2, 30, layers="second").plant(0)
    with pytest.raises(ValueError, match="samples: the first layer was not observed.*pass samples=n"):
        Spectrum.of(system)

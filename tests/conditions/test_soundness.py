"""Verdicts that were once wrong, or nearly so; each was found by comparing random instances with Groebner bases."""

import numpy as np
import pytest

import identify as idf
from identify.problem.gradients import weighted_gradients


@pytest.fixture
def network():
    W = np.random.default_rng(0).integers(-4, 5, (6, 2)).astype(float)
    return idf.TwoLayerNetwork(W, [1.0, 2.0, -1.0, 3.0, 1.0, -2.0], "1 + z + z^2")


def targets(net, X, c):
    sigma = net.activation
    tW, _, ta = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c.reshape(-1, 1))
    return tW, ta[0]


def test_rotation_of_two_samples_is_no_witness_for_a_target_of_one(network):
    X, c = np.array([[1.0, 2.0]]), np.array([3.0])
    tW, ta = targets(network, X, c)
    system = idf.KKTSystem(network, {1: tW, 2: ta}, "weight-decay")
    report = idf.check(system, samples=2)
    assert report.verdict is idf.Verdict.UNDECIDED and report.witness is None
    assert idf.check(system, data=(X, c)).verdict is idf.Verdict.UNIQUE


def test_multipliers_of_coincident_samples_are_added_exactly(network):
    X = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [3.0, -1.0]])
    for c in ([1, 2.0**-60, -1, 1], [1, -1, 2.0**-60, 1]):
        system = idf.KKTSystem.gradient(network, W=targets(network, X, np.array(c, float))[0])
        report = idf.check(system, data=(X, c))
        assert report.subject["samples"] == 2 and report.verdict is idf.Verdict.NOT_UNIQUE
    with pytest.raises(ValueError, match=r"coincident samples \[0, 1, 2\] have a sum that is not a float64"):
        idf.check(system, data=(X, [1, 2.0**-60, 1, 1]))


def test_labels_must_be_those_of_the_data(network):
    net = idf.TwoLayerNetwork(network.W, network.a, "z + z^3")
    system = idf.KKTSystem.max_margin(net, labels=[1, 1])
    with pytest.raises(ValueError, match="labels: 2 positive and 0 negative, but .* 1 positive and 1 negative"):
        idf.check(system, data=([[1.0, 2.0], [3.0, -1.0]], [3.0, -1.0]))
    with pytest.raises(ValueError, match="labels: 2 positive"):
        idf.check(system, data=([[1.0, 2.0]], [3.0]))


def test_margins_that_are_not_one_do_not_fix_the_scale(network):
    net = idf.TwoLayerNetwork(network.W, network.a, "z^3")
    report = idf.check(idf.KKTSystem.max_margin(net, labels=[1, 1]), data=([[1.0, 2.0], [3.0, -1.0]], [3.0, 1.0]))
    assert any("scale of each sample" in line for line in report.ambiguity)
    assert any("margin equations were left out" in note for note in report.notes)


def test_slackness_counts_even_without_labels():
    """sigma = z + z^2 in the max-margin regime: margins restrict the rotation family, so it is no witness."""
    net = idf.TwoLayerNetwork([[1.0], [2.0], [-1.0]], [1.0, -1.0, 2.0], "z + z^2")
    report = idf.check(idf.KKTSystem.max_margin(net), data=([[1.0], [2.0]], [1.0, -1.0]))
    assert report["witness"].holds is None and report.verdict is not idf.Verdict.NOT_UNIQUE
    config = idf.Configuration(inputs=2, samples=2, width=3, activation="z + z^2", regime="max-margin")
    assert idf.check(config).verdict is idf.Verdict.UNDECIDED


def test_outputs_of_generic_data_are_not_those_of_softmax():
    config = idf.Configuration(inputs=2, samples=2, width=6, activation="z + z^2", outputs=2)
    report = idf.check(config)
    assert report.verdict is idf.Verdict.UNIQUE and any("softmax" in note for note in report.notes)
    system, truth = config.plant()
    c = np.array([[1.0, -1.0], [2.0, -2.0]])
    net = system.network
    tW, _, ta = weighted_gradients(net.W, net.A, net.offsets, net.activation.floats(), net.activation.floats(1), truth.X, c)
    softmax = idf.KKTSystem.gradient(net, W=tW, a=ta)
    assert idf.check(softmax, data=(truth.X, c)).verdict not in (idf.Verdict.UNIQUE, idf.Verdict.LOCALLY_UNIQUE)


def test_too_few_samples_for_the_target_is_not_uniqueness(network):
    net = idf.TwoLayerNetwork(network.W, network.a, "z + z^3")
    X, c = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([3.0, -1.0])
    tW, ta = targets(net, X, c)
    assert idf.check(idf.KKTSystem(net, {1: tW, 2: ta}, "weight-decay"), samples=1).verdict is idf.Verdict.UNDECIDED


@pytest.mark.parametrize("layers", ["both", "first", "second"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_one_sample_with_bias(layers, outputs):
    config = idf.Configuration(inputs=2, samples=1, width=6, activation="z^3", bias=True, layers=layers, outputs=outputs)
    assert idf.check(config).verdict is idf.Verdict.UNIQUE


def test_data_that_overflow_are_refused(network):
    tW, ta = targets(network, np.array([[1.0, 2.0]]), np.array([3.0]))
    system = idf.KKTSystem.gradient(network, W=tW, a=ta)
    with pytest.raises(idf.InconsistentDataError, match="differs from the target by"):
        idf.check(system, data=([[1e160, -1e160], [1.0, 2.0]], [1.0, 1.0]))


def test_zero_target_of_the_first_layer():
    net = idf.TwoLayerNetwork([[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0], "1 + z^3")
    system = idf.KKTSystem(net, {1: np.zeros((2, 2)), 2: np.array([2.0, 2.0])}, "weight-decay")
    assert idf.check(system, samples=1).verdict is idf.Verdict.UNDECIDED

"""Second solutions of analytic networks: proved in balls, different from the given data, and none where there is none."""

import numpy as np
import pytest
from flint import ctx

import identify as idf
from identify.conditions.networks import second
from identify.conditions.networks.question import NetworkQuestion
from identify.problem.signals import layer_updates


def question(seed=0, **options):
    sizes = {"inputs": 3, "samples": 2, "width": 2, "activation": "tanh", "bias": True, "layers": "first"} | options
    system, truth = idf.Configuration(**sizes).plant(seed)
    return NetworkQuestion.of_system(system, len(truth.X), 0, (truth.X, np.reshape(truth.c, (len(truth.X), -1))))


CASES = {
    "first layer": {},
    "three samples": {"activation": "sigmoid", "samples": 3, "width": 3, "seed": 1},
    "second layer, exchange": {"width": 5, "outputs": 2, "layers": "second"},
    "second layer, one output": {"activation": "softplus", "width": 8, "layers": "second"},
    "last of three layers, exchange": {"width": (6, 5), "outputs": 2, "layers": (3,), "activation": "gelu"},
    "unknowns that stay": {"activation": "gelu", "width": 4, "outputs": 2, "layers": "second"},
}


@pytest.mark.parametrize("name", CASES)
def test_the_other_data_have_the_same_update(name):
    asked = question(**CASES[name])
    condition, witness, box = second.second_solution(asked)
    assert condition.is_proved and condition.evidence["contraction"] < 1 and witness.residual < 1e-12
    net, (X, _), (Y, e) = asked.system.network, witness.original, witness.example
    assert np.linalg.norm(Y[box.sample] - X, axis=1).min() > 1e-3 and np.abs(e[box.sample]).max() > 1e-3
    given, moved = (layer_updates(net.weights, net.biases, net.activations, *data) for data in (witness.original, witness.example))
    pairs = zip(given, moved, asked.observed, strict=True)
    for first, other, seen in pairs:
        for u, v, known in zip(first, other, seen, strict=True):
            assert not known or np.abs(u - v).max() < 1e-11 * np.abs(u).max()
    pinned = second.systems(asked)[0](second.Values(asked.sigma, False)).unknowns - len(box.free)
    assert pinned == witness.dimension == (name == "unknowns that stay")


def test_more_equations_than_unknowns_are_not_tried():
    for options in ({"width": 3}, {"width": 6, "outputs": 2, "layers": "second"}, {"layers": "both"}, {"activation": "z^3 + z"}):
        asked = question(**options)
        assert second.systems(asked) == [] and second.second_solution(asked) is None
    assert second.systems(question(width=(2, 2))) == []  # three layers, and not the last one alone


def test_the_given_data_and_their_images_are_no_other_data():
    """tanh without biases: x and -x; the data in another order; a sample without multipliers."""
    asked = question(bias=False, width=3, outputs=2, samples=2)
    with ctx.workprec(second.BITS):
        joint = second.Joint(asked, second.Values(asked.sigma, True))
        T, gamma = joint.parts(joint.given)
        for sign, order in ((1.0, [0, 1]), (1.0, [1, 0]), (-1.0, [0, 1])):
            same = joint.values.numbers(np.concatenate([sign * T[order].ravel(), sign * gamma[order].ravel()]))
            assert max(abs(float(v)) for v in joint.value(same)) < 1e-12
            assert second.other_sample(asked, joint, same) is None
        moved = joint.values.numbers(np.concatenate([[1.0, 0.5, 0.0, 1.0], [0.0, 0.0], gamma[1]]))
        assert second.other_sample(asked, joint, moved) is None  # the sample that differs does not count
        moved = joint.values.numbers(np.concatenate([[1.0, 0.5, 0.0, 1.0], gamma.ravel()]))
        assert second.other_sample(asked, joint, moved) == 0


def test_a_point_that_is_no_solution_is_not_proved():
    asked = question()
    condition, _, box = second.second_solution(asked)
    with ctx.workprec(second.BITS):
        system = second.Joint(asked, second.Values(asked.sigma, True))
        at = np.array(box.values)
        assert condition.is_proved and second._proved(asked, system, at, box.free) is not None
        assert second._proved(asked, system, at + 1e-3, box.free) is None


def test_derivatives_are_those_of_the_equations():
    rng = np.random.default_rng(1)
    for options in ({"outputs": 2, "layers": "both"}, {"bias": False, "layers": "both"}, {"layers": "second"}, {"samples": 5}):
        asked = question(**options)
        system = second.Joint(asked, second.Values(asked.sigma, False))
        y = system.given + 0.1 * rng.standard_normal(system.unknowns)
        numeric = np.array([(system.value(y + step) - system.value(y - step)) / 2e-6 for step in 1e-6 * np.eye(system.unknowns)]).T
        assert np.abs(system.jacobian(y) - numeric).max() < 1e-6
        assert np.abs(system.value(system.given)).max() < 1e-12


def test_the_verdict():
    """Below the counts of Theorem A; and above them the second solution of an exchange is no solution for both layers."""
    asked = question(width=5, outputs=2, layers="second")
    report = idf.check(asked.system, data=asked.data)
    assert report.verdict is idf.Verdict.NOT_UNIQUE and report.witness.kind == "second solution"
    net, (X, c) = asked.system.network, asked.data
    (first, beta), (last, _) = layer_updates(net.weights, net.biases, net.activations, X, c)
    both = idf.KKTSystem.gradient(net, layers={1: (first, beta), 2: (last, None)})
    assert both.residual(*report.witness.example) > 1e-3
    assert idf.check(both, data=(X, c)).verdict is not idf.Verdict.NOT_UNIQUE

"""Other data with the same update that are easily overlooked: on kinks, opposite or zero, scaled, and behind layers that hide multipliers.

Each test holds such data in its hands, and asks that no verdict denies them.
"""

import numpy as np
import pytest

import identify as idf
from identify.conditions.judgement import APART_SCOPE, CELL_OFF_KINKS_SCOPE, CELL_SCOPE, RANK_SCOPE
from identify.problem.network import Network
from identify.problem.signals import layer_updates

WEIGHTS, BOTH, NOTHING = (True, False), (True, True), (False, False)


def observed(net, X, c, seen):
    """The system of these data, if of each layer the updates of weights and bias are known as ``seen`` says."""
    X, c = np.array(X, float), np.array(c, float)
    updates = layer_updates(net.weights, net.biases, net.activations, X, c)
    chosen = [tuple(p if s else None for p, s in zip(*each, strict=True)) for each in zip(updates, seen, strict=True)]
    parts = dict(enumerate(chosen, 1))
    system = idf.KKTSystem.gradient(net, layers={k: pair for k, pair in parts.items() if any(p is not None for p in pair)})
    return system, idf.check(system, data=(X, c))


def network(*sizes, activation, biases=None, seed=0):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape) for shape in zip(sizes[1:], sizes[:-1], strict=True)]
    given = [None] * len(weights) if biases is None else biases
    return Network(weights, biases=given, activation=activation), rng


def test_samples_on_kinks():
    """PyTorch's slope of abs at its kink is 0, neither of the two: there the quadrics of columns do not hold."""
    net = Network([np.array([[0, 1.0], [1, 0], [2, 0]]), np.ones((1, 3))], activation="abs")
    system, report = observed(net, [[1, 1], [-1, 1]], [[1], [1]], [WEIGHTS, NOTHING])
    assert np.array_equal(system.right_hand_side([[0, 2.0], [2, 0]], [[1.0], [1]]), system.target)
    assert report.scope.data == CELL_OFF_KINKS_SCOPE
    stated = Network(net.weights, activation="piecewise_linear([0], [-1, 1], 0)")  # here it is -1
    system, report = observed(stated, [[1, 1], [-1, 1]], [[1], [1]], [WEIGHTS, NOTHING])
    assert not np.array_equal(system.right_hand_side([[0, 2.0], [2, 0]], [[1.0], [1]]), system.target)
    assert report.verdict is idf.Verdict.UNIQUE and report.scope.data == CELL_SCOPE


def test_opposite_samples_and_the_second_layer_alone():
    """softplus(z) - softplus(-z) = z, so that x, -x, y and y, -y tell no more than x, -x and y."""
    net, rng = network(1, 12, 3, activation="softplus")
    c = rng.normal(size=(3, 3))
    X, other = np.array([[1.0], [-1], [2]]), np.array([[1.0], [-1], [-2]])
    system, report = observed(net, X, c, [NOTHING, WEIGHTS])
    moved = np.array([c[0] + 2 * c[2], c[1] - 2 * c[2], c[2]])
    assert np.allclose(system.right_hand_side(other, moved), system.target, atol=1e-12) and report.verdict is not idf.Verdict.UNIQUE
    generic = idf.check(system, samples=3)
    assert generic.verdict is idf.Verdict.UNIQUE and generic.scope.data == APART_SCOPE
    wide = idf.Configuration(inputs=4, samples=3, width=12, activation="softplus", outputs=3)
    assert idf.check(wide).scope.data == RANK_SCOPE  # independent samples are neither zero nor opposite


def test_scales_that_the_output_bias_fixes_in_sum_only():
    """ReLU, one output, three samples: Σ γ_i / t_i is known, and leaves two scales."""
    net, rng = network(4, 40, 1, activation="relu", biases=[None, [0.3]])
    X, c = rng.normal(size=(3, 4)), np.array([[1.0], [2.0], [-0.5]])
    t = np.array([[2.0], [0.8], [1.0]])
    for last in (BOTH, (False, True)):
        system, report = observed(net, X, c, [WEIGHTS, last])
        assert np.allclose(system.right_hand_side(t * X, c / t), system.target, atol=1e-12)
        assert report.verdict is idf.Verdict.NOT_UNIQUE or report.question.ambiguity.group == "positive scaling"


def test_scales_of_deep_monomials():
    """f(tx) = t^9 f(x): no sample is isolated but up to its scale."""
    config = idf.Configuration(inputs=3, samples=2, width=(5, 4), activation="z^3")
    system, truth = config.plant(0)
    t = np.array([[1.01], [0.99]])
    assert np.allclose(system.right_hand_side(t * truth.X, t[:, 0] ** -9.0 * truth.c), system.target)
    for report in (idf.check(config), idf.check(system, data=(truth.X, truth.c))):
        assert report.verdict is idf.Verdict.LOCALLY_UNIQUE
        assert (report.question.ambiguity.group, report.question.ambiguity.degree) == ("scaling", 9)
    biased = idf.check(idf.Configuration(inputs=3, samples=2, width=(5, 4), activation="z^3", bias=True))
    assert biased.question.ambiguity.group == "none"


@pytest.mark.parametrize("width", [12, 30])
def test_a_family_of_scaled_samples_is_no_second_solution(width):
    """A bias in the second layer, whose update is not known: near the data, all that is free are scales, which the ambiguity lists."""
    net, rng = network(4, width, 6, 2, activation="leaky_relu", biases=[None, np.full(6, 0.3), None])
    _, report = observed(net, rng.normal(size=(2, 4)), rng.normal(size=(2, 2)), [WEIGHTS, WEIGHTS, NOTHING])
    assert report.question.ambiguity.group == "positive scaling" and report.verdict is not idf.Verdict.NOT_UNIQUE


def test_multipliers_behind_images_of_samples():
    """Leaky ReLU: on its ray a sample meets the other side of a kink of the second layer, and other multipliers go with it there."""
    net, rng = network(4, 30, 2, 2, activation="leaky_relu(1/2)")
    X, c = rng.normal(size=(1, 4)), rng.normal(size=(1, 2))
    offset = -net.forward(X).before[1][0, 0] / 2  # the first neuron changes sides at t = 1/2, the second does not
    net = Network(net.weights, biases=[None, np.array([offset, 0.0]), None], activation=net.activations)
    system, report = observed(net, X, c, [WEIGHTS, WEIGHTS, NOTHING])
    signal = net.signals(X, c)[1]
    for t, is_image in ((0.9, True), (0.1, False)):
        slopes = np.where(net.forward(t * X).before[1] > 0, 1.0, 0.5)
        gamma = np.linalg.solve(net.weights[2].T, (signal / t / slopes)[0])[None]
        assert np.allclose(system.right_hand_side(t * X, gamma), system.target) and np.allclose(gamma, c / t) == is_image
    assert report.verdict is not idf.Verdict.UNIQUE


def test_multipliers_behind_dead_neurons_of_a_deeper_layer():
    net, rng = network(3, 40, 2, 2, activation=["gelu", "relu"], biases=[np.linspace(-1, 1, 40), np.array([-100.0, 100]), None])
    X, c = rng.normal(size=(1, 3)), rng.normal(size=(1, 2))
    system, report = observed(net, X, c, [BOTH, BOTH, NOTHING])
    A = net.weights[2]
    unseen = np.array([[-A[1, 1], A[0, 1]]])
    assert np.allclose(system.right_hand_side(X, c + unseen), system.target) and report.verdict is not idf.Verdict.UNIQUE


def test_signs_where_biases_are_zero():
    """The biases are there, and zero, and their update is not known: slopes of -1 and 1 do not tell x from -x."""
    biases = [np.zeros(60), np.linspace(-1, 1, 20), None]
    net, rng = network(4, 60, 20, 2, activation="piecewise_linear([0], [-1, 1], 0)", biases=biases)
    X, c = rng.normal(size=(3, 4)), rng.normal(size=(3, 2))
    system, report = observed(net, X, c, [WEIGHTS, BOTH, NOTHING])
    assert np.allclose(system.right_hand_side(-X, c), system.target) and report.verdict is not idf.Verdict.UNIQUE


@pytest.mark.parametrize("width", [20, (20, 10)])
@pytest.mark.parametrize("bias", [True, False])
def test_points_at_which_nothing_is_seen_are_no_competitors(width, bias):
    """tanh: far away its slope is zero, at 0 it is itself: both solve the equations of a sample, as no sample of a solution does."""
    system, truth = idf.Configuration(inputs=6, samples=3, width=width, activation="tanh", outputs=2, bias=bias).plant(0)
    report = idf.check(system, data=(truth.X, truth.c))
    assert report.verdict is idf.Verdict.UNIQUE and report["competitors"].evidence["others"] == 0

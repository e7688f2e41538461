"""Without a bias in the first layer: when the signs and scales of samples are known, and when not."""

import numpy as np
import pytest

import identify as idf
from identify.conditions.networks.signs import FixedSigns, some_sum_vanishes
from identify.exact.images import Images
from identify.problem.network import Network
from identify.problem.signals import layer_updates

RNG = np.random.default_rng(11)
W, X = RNG.standard_normal((9, 3)), RNG.standard_normal((2, 3))
DEEP = [W, RNG.standard_normal((6, 9)), RNG.standard_normal((2, 6))]
FIRST, BOTH = [(True, False), (False, False)], [(True, False)] * 2


def updates(net, X, c):
    return layer_updates(net.weights, net.biases, net.activations, X, c)


def judged(net, c, observed, X=X):
    pairs = zip(updates(net, X, c), observed, strict=True)
    seen = [tuple(part if known else None for part, known in zip(*each, strict=True)) for each in pairs]
    layers = {k: pair for k, pair in enumerate(seen, 1) if any(part is not None for part in pair)}
    return idf.check(idf.KKTSystem.gradient(net, layers=layers), data=(X, c))


def two_layers(activation, bias=False):
    return Network([W, np.ones((1, 9))], biases=[None, np.zeros(1) if bias else None], activation=activation)


def changed(net, c, flipped, observed):
    """How much the observed updates change when these samples are replaced by their images."""
    t = np.where(np.isin(np.arange(len(X)), flipped), -1.0, 1.0)[:, None]
    pairs = zip(updates(net, X, c), updates(net, t * X, t * c), observed, strict=True)
    return max(np.abs(u - v).max() for first, second, seen in pairs for u, v, known in zip(first, second, seen, strict=True) if known)


@pytest.mark.parametrize(
    ("activation", "bias", "observed", "c", "by"),
    [
        ("sigmoid", False, BOTH, [[1.0], [2.0]], FixedSigns.SUMS),
        ("sigmoid", False, BOTH, [[1.0], [-1.0]], None),  # both together have the same update
        ("sigmoid", False, FIRST, [[1.0], [2.0]], None),
        ("tanh", False, BOTH, [[1.0], [2.0]], None),
        ("tanh", True, [(True, False), (True, True)], [[1.0], [2.0]], FixedSigns.SUMS),
        ("tanh", True, [(True, False), (True, True)], [[1.0], [-1.0]], None),
        ("cos", True, [(True, False), (True, True)], [[1.0], [2.0]], None),
    ],
)
def test_two_layers(activation, bias, observed, c, by):
    net, c = two_layers(activation, bias), np.array(c)
    report = judged(net, c, observed)
    assert report.question.signs_are_fixed is by
    assert (len(report.ambiguity) == 1) == (by is not None)
    assert report.verdict is idf.Verdict.UNIQUE
    if activation == "cos":
        return
    moves = [changed(net, c, flipped, observed) > 1e-9 for flipped in ([0], [1], [0, 1])]
    assert all(moves) == (by is not None)


def test_deeper_layers():
    c = RNG.standard_normal((2, 2))
    for activation, by in (("sigmoid", FixedSigns.FEATURES), ("tanh", FixedSigns.SIGNALS)):
        report = judged(Network(DEEP, biases=[None, np.ones(6), None], activation=activation), c, [(True, False)] * 3)
        assert report.question.signs_are_fixed is by
        assert report.verdict is idf.Verdict.UNIQUE and len(report.ambiguity) == 1
    odd = judged(Network(DEEP, activation="tanh"), c, [(True, False)] * 3)
    assert odd.question.signs_are_fixed is None and odd.verdict is idf.Verdict.UNIQUE and len(odd.ambiguity) == 2


def test_sums_are_exact():
    third = np.array([[1 / 3], [1.0], [-4 / 3], [5.0]])
    assert not some_sum_vanishes(third)  # 1/3 + 1 is rounded in float64
    assert some_sum_vanishes(np.array([[1.0, 2.0], [7.0, 0.0], [-0.5, -1.0], [-0.5, -1.0]]))
    assert not some_sum_vanishes(np.array([[1.0, 2.0], [-1.0, 2.0], [3.0, 1.0]]))
    assert some_sum_vanishes(np.ones((60, 1)))  # not known


@pytest.mark.parametrize("bias", [False, True])
def test_rows_of_the_first_update_lie_in_the_span(bias):
    """Fewer equations than unknowns only for samples in their span: a family, although (S) has more equations than unknowns."""
    config = idf.Configuration(inputs=6, samples=2, width=2, activation="tanh", outputs=3, bias=bias, layers="first")
    system, truth = config.plant(0)
    report = idf.check(system, data=(truth.X, truth.c))
    assert config.n_equations < config.n_unknowns or not bias
    assert report.verdict is idf.Verdict.NOT_UNIQUE and report["local"].evidence["in_span"]
    assert report.witness.dimension == 2 * (2 - bias + 3) - 2 * 2 and report.witness.residual < 1e-9
    tight = idf.Configuration(inputs=6, samples=2, width=3 + 2 - bias, activation="tanh", outputs=3, bias=bias, layers="first")
    system, truth = tight.plant(0)
    assert idf.check(system, data=(truth.X, truth.c))["local"].is_proved


ALL, FIRST_TWO = [(True, False)] * 3, [(True, False), (True, False), (False, False)]


def later_bias(activation, outputs=2, wide=8):
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((14, 4)), rng.standard_normal((wide, 14)), rng.standard_normal((outputs, wide))]
    net = Network(weights, biases=[None, rng.standard_normal(wide), None], activation=activation)
    return net, rng.standard_normal((2, 4)), rng.standard_normal((2, outputs))


@pytest.mark.parametrize(
    ("activation", "observed", "images", "lines"),
    [
        ("relu", ALL, Images.FIXED, 1),
        ("relu", FIRST_TWO, Images.WHOLE, 2),
        ("abs", ALL, Images.FIXED, 2),  # x and -x
        ("leaky_relu(1/4)", ALL, Images.FIXED, 1),
    ],
)
def test_scales_behind_a_later_bias(activation, observed, images, lines):
    net, X, c = later_bias(activation)
    report = judged(net, c, observed, X)
    assert report.verdict is idf.Verdict.UNIQUE and report.question.images is images and len(report.ambiguity) == lines
    given = updates(net, X, c)
    for t in (0.5, 1 - 1e-6, 1 + 1e-6, 3.0):
        scale = np.array([[t], [1.0]])
        moved = updates(net, scale * X, c / scale)
        change = [np.abs(u - v).max() for (u, _), (v, _) in zip(given, moved, strict=True)]
        assert change[2] > 1e-8  # the last layer sees every scale; the first two do not see small changes
        assert abs(t - 1) > 1e-3 or max(change[:2]) < 1e-8


def test_multipliers_that_go_with_any_image():
    """As many outputs as neurons in the second layer: whatever signal an image needs, some multipliers give it."""
    net, X, c = later_bias("leaky_relu(1/4)", outputs=3, wide=3)
    report = judged(net, c, FIRST_TWO, X)
    assert report.question.images is None and report.verdict is not idf.Verdict.UNIQUE
    t = 5.0
    slopes = [
        net.activations[1](net.weights[1] @ net.activations[0](net.weights[0] @ x) + net.biases[1], order=1) for x in (X[0], t * X[0])
    ]
    wanted = slopes[0] * (net.weights[2].T @ c[0]) / t / slopes[1]
    other = np.vstack([np.linalg.solve(net.weights[2].T, wanted), c[1]])
    first, moved = updates(net, X, c), updates(net, np.vstack([t * X[0], X[1]]), other)
    assert all(np.allclose(u, v) for (u, _), (v, _) in zip(first[:2], moved[:2], strict=True))
    assert not np.allclose(other[0], c[0] / t)

"""Functions that are odd up to a constant, without a bias in the first layer: when the signs of samples are known, and when not."""

import numpy as np
import pytest

import identify as idf
from identify.conditions.networks.question import FixedSigns, some_sum_vanishes
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

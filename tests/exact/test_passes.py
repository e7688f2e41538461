"""Pieces and passes: exact signs against fractions, residues against fractions, intervals against floats."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from identify.exact.modular import residue
from identify.exact.pieces import pieces_of, start_of_errors
from identify.exact.rings import Intervals, Modular, passes
from identify.problem.activation import Activation
from identify.problem.network import Network
from identify.problem.signals import backward, forward

Q = 2147483629


def network(activation, seed=0, sizes=(3, 6, 5, 2), integers=True, bias=True):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.integers(-3, 4, shape).astype(float) if integers else rng.standard_normal(shape)

    weights = [draw(out, inside) for inside, out in pairwise(sizes)]
    biases = [draw(out) if bias else None for out in sizes[1:-1]] + [None]
    return Network(weights, biases=biases, activation=activation), draw(4, sizes[0]), draw(4, sizes[-1])


def exactly(values):
    return None if values is None else np.vectorize(Fraction, otypes=[object])(values)


def in_fractions(net, X, c):
    weights, biases = [exactly(W) for W in net.weights], [exactly(b) for b in net.biases]
    steps = [lambda z, order, sigma=sigma: sigma.exact(z, order) for sigma in net.activations]
    entering, before = forward(weights, biases, steps, exactly(X))
    return entering, before, backward(weights, steps, before, exactly(c))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.3)", "abs", "hard_tanh", "hard_sigmoid", "soft_shrink(1)"])
@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_those_of_exact_arithmetic(activation, seed):
    net, X, _ = network(activation, seed)  # small integers: many of them on kinks
    found = pieces_of(net.weights, net.biases, net.activations, X)
    _, before, _ = in_fractions(net, X, np.zeros((4, 2)))
    on_kinks = 0
    for layer, sigma in enumerate(net.activations):
        for index, z in np.ndenumerate(before[layer]):
            assert found.index[layer][index] == sum(t < z for t in sigma.breakpoints)
            assert found.on_kink[layer][index] == (z in sigma.breakpoints)
            assert found.slopes(layer)[index] == sigma.exact(z, 1)
            on_kinks += z in sigma.breakpoints
    assert found.kinks == on_kinks


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.3)", "hard_sigmoid", "piecewise_linear([-1/3, 5], [0, 2, 1/7], 1)"])
@pytest.mark.parametrize("seed", range(6))
def test_errors_of_a_float_pass_are_bounded(activation, seed):
    """Neurons of any size, and biases that nearly cancel the rest: bounds from lengths alone hold, and are not far off."""
    rng = np.random.default_rng(seed)
    net, X, _ = network(activation, seed, sizes=(5, 9, 7, 6, 2), integers=False)
    weights = [W * 2.0 ** rng.integers(-40, 40, (len(W), 1)) for W in net.weights]
    X *= 2.0 ** rng.integers(-20, 20, (len(X), 1))
    biases = [
        None if b is None else b - W @ h for W, b, h in zip(weights, net.biases, net.forward(X).entering, strict=True) for h in [h[0]]
    ]
    net = Network(weights, biases=biases, activation=activation)
    floats, (_, exact, _) = net.forward(X), in_fractions(net, X, np.zeros((4, 2)))
    h_error = start_of_errors(X)
    for layer, sigma in enumerate(net.activations):
        error = h_error.before(floats.entering[layer], net.weights[layer], floats.before[layer])
        bound = error.whole()
        missed = np.array(
            [[abs(Fraction(v) - z) for v, z in zip(*rows, strict=True)] for rows in zip(floats.before[layer], exact[layer], strict=True)]
        )
        assert (missed <= exactly(bound)).all() and np.isfinite(bound).all()
        h_error = error.after(sigma, floats.entering[layer + 1])
    for passed in (None, floats):
        found = pieces_of(net.weights, net.biases, net.activations, X, passed)
        for layer, sigma in enumerate(net.activations):
            assert all(found.index[layer][index] == sum(t < z for t in sigma.breakpoints) for index, z in np.ndenumerate(exact[layer]))


@pytest.mark.parametrize("scale", [1e-180, 1e180])
def test_signs_of_numbers_whose_squares_are_no_doubles(scale):
    W, X = np.array([[1.0, -1.0], [1.0, 1.0], [1.0, -1.0 + 2**-52]]) * scale, np.array([[1.0, 1.0], [1.0, 1.0 + 2**-52]])
    found, z = pieces_of([W], [None], [Activation.parse("relu")], X), exactly(X) @ exactly(W).T
    assert np.array_equal(found.index[0], z > 0) and np.array_equal(found.on_kink[0], z == 0) and found.kinks == 1


def test_some_neurons_are_those_of_the_whole_pass():
    net, X, c = network("leaky_relu(0.3)", 3, sizes=(3, 9, 5, 4, 2))
    ring = Modular(Q, net.activations, pieces_of(net.weights, net.biases, net.activations, X))
    at, chosen = passes(ring, net, X, c), np.array([1, 4, 8])
    features, first, second = ring.at_neurons(net, X, c, chosen)
    assert np.array_equal(features, at.entering[1][:, chosen]) and np.array_equal(first, at.signals[0][:, chosen])
    assert np.array_equal(second, at.signals[1])


def test_regions_tell_samples_apart_in_any_layer():
    net = Network([np.eye(2), [[1.0, -1.0], [1.0, 1.0]], np.ones((1, 2))], activation="relu")
    X = np.array([[2.0, 1.0], [3.0, 1.0], [1.0, 2.0], [-1.0, 1.0], [4.0, 4.0], [5.0, 5.0]])
    found = pieces_of(net.weights, net.biases, net.activations, X).regions()
    assert found[0] == found[1] and found[0] != found[2] and found[3] not in found[:3]
    assert found[4] != found[5]  # on a kink of the second layer: no open region


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.3)", "hard_sigmoid", "z + z^2/3"])
@pytest.mark.parametrize("bias", [True, False])
def test_residues_are_those_of_the_exact_values(activation, bias):
    net, X, c = network(activation, 1, bias=bias)
    pieces = None if net.activations[0].kind == "polynomial" else pieces_of(net.weights, net.biases, net.activations, X)
    at = passes(Modular(Q, net.activations, pieces), net, X, c)
    entering, before, signals = in_fractions(net, X, c)
    for mine, exact in ((at.entering, entering), (at.before, before[:-1]), (at.signals, signals)):
        for own, values in zip(mine, exact, strict=True):
            assert np.array_equal(own, np.vectorize(lambda v: residue(v, Q), otypes=[np.int64])(values))


@pytest.mark.parametrize("activation", ["gelu", "tanh", ["relu", "sigmoid"], ["z^2", "silu"]])
def test_intervals_enclose_both_passes(activation):
    net, X, c = network(activation, 2, integers=False)
    at = passes(Intervals(net.activations), net, X, c)
    floats = net.forward(X)
    for own, values in zip([*at.entering, *at.signals], [*floats.entering, *net.signals(X, c)], strict=True):
        assert (np.abs(own.mid - values) <= own.rad + 1e-13 * (1 + np.abs(values))).all() and (own.rad < 1e-12).all()


@pytest.mark.parametrize(
    ("name", "parity"),
    [
        *[("tanh", -1), ("sigmoid", -1), ("cos", 1), ("gelu", 0), ("softplus", 0), ("exp", 0), ("relu", 0), ("abs", 1), ("hard_tanh", -1)],
        *[("hard_tanh(-1, 2)", 0), ("soft_shrink", -1), ("hard_sigmoid", -1), ("z^2 + z^4", 1), ("1 + z^3", -1), ("z + z^2", 0)],
    ],
)
def test_parities_are_those_of_the_functions(name, parity):
    sigma = Activation.parse(name)
    z = np.linspace(0.1, 4, 40)
    even, odd = np.ptp(sigma(z) - sigma(-z)) < 1e-12, np.ptp(sigma(z) + sigma(-z)) < 1e-12
    assert sigma.parity == parity and (bool(even), bool(odd)) == (parity == 1, parity == -1)

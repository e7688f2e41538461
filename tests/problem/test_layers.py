"""Networks of any depth, their two passes, and systems with updates by layer."""

import copy
import itertools
import pickle
from fractions import Fraction

import jax
import numpy as np
import pytest

import identify as idf
from identify.problem.arrays import ShapeError
from identify.problem.network import Network, TwoLayerNetwork, from_parameters
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.signals import backward, forward, layer_updates
from identify.problem.system import KKTSystem
from identify.problem.updates import Update, layer_numbers

SHAPES = [
    ((4, 6, 1), ("relu",), (1,)),
    ((4, 6, 3), ("gelu",), (1, 2)),
    ((3, 5, 4, 2), ("leaky_relu(1/10)", "tanh"), (1, 3)),
    ((3, 5, 5, 4, 1), ("z + z^2/2", "silu", "hard_tanh"), ()),
]


def build(sizes, activation, biases, seed=0) -> Network:
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((out, inside)) / np.sqrt(inside) for inside, out in itertools.pairwise(sizes)]
    return Network(
        weights, biases=[rng.standard_normal(len(W)) if k in biases else None for k, W in enumerate(weights, 1)], activation=activation
    )


def data(net, n=5, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, net.n_inputs)), rng.standard_normal((n, net.n_outputs))


def automatic(net, X, c):
    """The weighted sum of gradients by JAX's automatic differentiation of the composed layers."""
    with jax.enable_x64(True):

        def total(parameters):
            H = jax.device_put(X)
            for k in range(1, net.depth + 1):
                H = H @ parameters[f"W{k}"].T + parameters.get(f"b{k}", 0.0)
                H = net.activations[k - 1].jax(H) if k < net.depth else H
            return (H * c).sum()

        return jax.jit(jax.grad(total))({name: jax.device_put(part) for name, part in net.parameters.items()})


class TestNetworks:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_outputs(self, shape):
        net = build(*shape)
        X, _ = data(net)
        H = X
        for layer in net.layers:
            H = H @ layer.weights.T + (0 if layer.bias is None else layer.bias)
            H = H if layer.activation is None else layer.activation(H)
        assert np.array_equal(net(X), H) and net(X).shape == (5, net.n_outputs)
        assert net.sizes == shape[0] and net.widths == shape[0][1:-1] and net.depth == len(shape[0]) - 1
        assert [b is not None for b in net.biases] == [k in shape[2] for k in range(1, net.depth + 1)]

    @pytest.mark.parametrize("shape", SHAPES)
    def test_parameters_read_back(self, shape):
        net = build(*shape)
        X, _ = data(net)
        copies = [net.with_parameters(net.parameters), pickle.loads(pickle.dumps(net)), copy.deepcopy(net)]
        copies.append(Network.of(net.parameters, activation=net.activations))
        for again in copies:
            assert np.array_equal(again(X), net(X)) and repr(again) == repr(net)
        assert Network.of(net) is net

    def test_values_are_frozen(self):
        W = np.ones((2, 2))
        net = Network([W, W], activation="relu")
        W[0, 0] = 7
        assert net.weights[0][0, 0] == 1
        with pytest.raises(ValueError, match="read-only"):
            net.weights[0][0, 0] = 7
        for change in (lambda: setattr(net, "weights", ()), lambda: delattr(net, "weights")):
            with pytest.raises(AttributeError, match="cannot"):
                change()

    def test_two_layer_networks_are_networks(self):
        two = TwoLayerNetwork([[1.0, 2.0], [0.0, 1.0]], [1.0, -1.0], "z^2", bias=[1, 0])
        assert isinstance(two, Network) and two.depth == 2 and two.weights[1].shape == (1, 2)
        assert two.layers[0].bias.tolist() == [1, 0] and two.layers[1].bias is None
        X = np.ones((3, 2))
        assert two(X).shape == (3,) and two.outputs(X).shape == (3, 1)
        assert np.array_equal(Network(two.weights, biases=two.biases, activation="z^2")(X)[:, 0], two(X))
        assert copy.deepcopy(two).a.shape == (2,) and pickle.loads(pickle.dumps(two)).bias.tolist() == [1, 0]

    def test_a_network_of_two_layers_has_their_names(self):
        net = Network([np.eye(2), np.ones((3, 2))], biases=[[1, 2], [1, 2, 3]], activation="relu")
        assert net.W.shape == (2, 2) and net.A.shape == net.a.shape == (3, 2) and net.width == 2
        assert net.bias.tolist() == net.offsets.tolist() == [1, 2] and net.has_bias and net.has_output_bias
        assert repr(net.two_layers()) == "TwoLayerNetwork(2-2-3, sigma = relu, bias)"

    @pytest.mark.parametrize("name", ["W", "a", "A", "bias", "offsets", "width", "has_bias", "two_layers"])
    def test_deeper_ones_do_not(self, name):
        net = build(*SHAPES[2])
        with pytest.raises(UnsupportedError) as caught:
            value = getattr(net, name)
            value()
        assert caught.value.reason is Unsupported.DEPTH and caught.value.depth == 3

    def test_one_activation_for_several_layers(self):
        assert str(build((2, 3, 3, 1), "relu", ()).activation) == "relu"
        with pytest.raises(UnsupportedError) as caught:
            build(*SHAPES[2]).activation  # noqa: B018
        assert caught.value.reason is Unsupported.LAYER_KINDS and len(caught.value.kinds) == 2
        assert not hasattr(build(*SHAPES[2]), "weight")

    @pytest.mark.parametrize(
        ("weights", "options", "error", "message"),
        [
            ([np.eye(2)], {}, ShapeError, "weights: received 1 layers, expected a list of two or more"),
            (np.ones((2, 2, 2)), {}, ShapeError, "weights: received ndarray"),
            ({"W1": np.eye(2)}, {}, ShapeError, "weights: received dict"),
            ([np.eye(2), np.ones((1, 3))], {}, ShapeError, r"W2: received shape \(1, 3\), expected \(any, 2\)"),
            ([np.eye(2), np.ones((2, 2, 2))], {}, ShapeError, "W2: received shape"),
            ([np.eye(2), [[1, np.nan]]], {}, ShapeError, "W2: 1 of 2 values are NaN"),
            ([np.eye(2), np.eye(2)], {"biases": [None]}, ShapeError, "biases: received 1, expected one for each of the 2 layers"),
            ([np.eye(2), np.eye(2)], {"biases": [[1], None]}, ShapeError, r"b1: received shape \(1,\)"),
            ([np.eye(2), np.eye(2)], {"activation": ["relu", "relu"]}, idf.ActivationError, "activation: received 2, expected one"),
            ([np.eye(2), np.eye(2)], {"activation": 3}, idf.ActivationError, "activation: received int"),
        ],
    )
    def test_refused(self, weights, options, error, message):
        with pytest.raises(error, match=message):
            Network(weights, **({"activation": "relu"} | options))

    @pytest.mark.parametrize("names", [{"W1"}, {"W1", "W3"}, {"W1", "W2", "b3"}, {"W1", "W2", "c"}])
    def test_names_refused(self, names):
        with pytest.raises(ShapeError, match="expected W1, W2"):
            from_parameters(dict.fromkeys(names, np.eye(2)), "relu")


class TestPasses:
    @pytest.mark.once
    @pytest.mark.parametrize("shape", SHAPES)
    def test_updates_are_the_gradients(self, shape):
        net = build(*shape)
        X, c = data(net)
        expected = automatic(net, X, c)
        for k, (W, b) in enumerate(layer_updates(net.weights, net.biases, net.activations, X, c), 1):
            assert np.allclose(W, expected[f"W{k}"], rtol=1e-11, atol=1e-12)
            if f"b{k}" in expected:
                assert np.allclose(b, expected[f"b{k}"], rtol=1e-11, atol=1e-12)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_jax_arrays_pass_through(self, shape):
        net = build(*shape)
        X, c = data(net)
        with jax.enable_x64(True):
            made = jax.jit(lambda X, c: layer_updates(net.weights, net.biases, [sigma.jax for sigma in net.activations], X, c))(X, c)
        for (W, b), (V, d) in zip(made, layer_updates(net.weights, net.biases, net.activations, X, c), strict=True):
            assert np.allclose(W, V, rtol=1e-11, atol=1e-12) and np.allclose(b, d, rtol=1e-11, atol=1e-12)

    def test_fractions_pass_through(self):
        def exactly(A):
            return np.vectorize(Fraction, otypes=[object])(A)

        net = build((3, 4, 3, 2), ("leaky_relu(1/4)", "z + z^2"), (1,))
        X, c = data(net)
        b = [None if b is None else exactly(b) for b in net.biases]
        made = layer_updates(list(map(exactly, net.weights)), b, [sigma.exact for sigma in net.activations], exactly(X), exactly(c))
        for (W, _), (V, _) in zip(made, layer_updates(net.weights, net.biases, net.activations, X, c), strict=True):
            assert np.allclose(W.astype(float), V, rtol=1e-12, atol=1e-13)

    def test_signals(self):
        net = build(*SHAPES[2])
        X, c = data(net)
        signals, passed = net.signals(X, c), net.forward(X)
        assert np.array_equal(signals[-1], c) and [u.shape[1] for u in signals] == list(net.sizes[1:])
        h = 1e-6
        for layer, u in enumerate(signals[:-1]):  # by central differences in one pre-activation
            moved = []
            for step in (h, -h):
                z = passed.before[layer].copy()
                z[:, 1] += step
                rest = forward(net.weights[layer + 1 :], net.biases[layer + 1 :], net.activations[layer + 1 :], net.activations[layer](z))
                moved.append((rest.outputs * c).sum(axis=1))
            assert np.allclose(u[:, 1], (moved[0] - moved[1]) / (2 * h), atol=1e-7)
        assert all(np.array_equal(a, b) for a, b in zip(signals, backward(net.weights, net.activations, passed.before, c), strict=True))

    def test_multipliers_of_one_output_may_be_a_vector(self):
        net, X, c = Network([np.eye(2), np.ones((1, 2))], activation="relu"), np.eye(2), np.array([1.0, -2.0])
        assert all(np.array_equal(u, v) for u, v in zip(net.signals(X, c), net.signals(X, c[:, None]), strict=True))
        with pytest.raises(ShapeError, match=r"c: received shape \(3,\), expected \(2\)"):
            net.signals(X, [1.0, 2.0, 3.0])


class TestSystems:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_residuals(self, shape):
        net = build(*shape)
        X, c = data(net)
        found = layer_updates(net.weights, net.biases, net.activations, X, c)
        layers = {k: (W, b if net.biases[k - 1] is not None else None) for k, (W, b) in enumerate(found, 1)}
        system = KKTSystem.gradient(net, layers=layers)
        assert system.residual(X, c) == 0 and system.residual(X, -c) == pytest.approx(2)
        assert system.n_equations == system.target.size == sum(part.size for part in net.parameters.values())
        assert set(system.layers) == set(layers)
        assert np.array_equal(system.with_target(2 * system.target).target, 2 * system.target)
        assert system.describe() and repr(system).startswith("KKTSystem(gradient: ")
        some = KKTSystem.gradient(net, layers={2: layers[2][0]})
        assert some.residual(X, c) == 0 and some.layers[2].bias is None and set(some.layers) == {2}

    @pytest.mark.parametrize("width", [3, 256, 300])
    @pytest.mark.parametrize("as_matrix", [True, False])
    def test_residuals_of_wide_networks_with_one_output(self, width, as_matrix):
        """Rows are subtracted some at a time; of one output the target of the second layer is a vector, as long as it may be."""
        rng = np.random.default_rng(0)
        net = TwoLayerNetwork(rng.standard_normal((width, 4)), rng.standard_normal(width), "z + z^3")
        W, a = rng.standard_normal((width, 4)), rng.standard_normal(width)
        system = KKTSystem.gradient(net, layers={1: W, 2: a[None] if as_matrix else a})
        X, c = rng.standard_normal((2, 4)), rng.standard_normal(2)
        expected = np.linalg.norm(system.target - system.right_hand_side(X, c)) / np.linalg.norm(system.target)
        assert system.residual(X, c) == pytest.approx(expected)
        assert system.about_residual(X, c) == pytest.approx(expected, rel=0.5)

    def test_two_layers_both_ways(self):
        net = TwoLayerNetwork(np.eye(2), [1.0, 2.0], "z^2 + z^3", bias=[1.0, 2.0])
        rng = np.random.default_rng(0)
        W, b, a = rng.standard_normal((2, 2)), rng.standard_normal(2), rng.standard_normal(2)
        named, numbered = KKTSystem.gradient(net, W=W, bias=b, a=a), KKTSystem.gradient(net, layers={1: (W, b), 2: a})
        matrix = KKTSystem.gradient(net, layers={1: Update(W, b), 2: (a[None], None)})
        general = KKTSystem.gradient(
            Network(net.weights, biases=net.biases, activation="z^2 + z^3"), layers={1: (W, b), 2: (a[None], None)}
        )
        for system in (numbered, matrix, general):
            assert np.array_equal(system.target, named.target) and system.observed == named.observed
            assert isinstance(system.network, TwoLayerNetwork) and system.target_a.shape == (2,)

    def test_an_output_bias_matters_when_its_update_is_observed(self):
        net = Network([np.eye(2), np.ones((1, 2))], biases=[None, [0.5]], activation="z + z^2")
        system = KKTSystem.gradient(net, layers={1: np.ones((2, 2)), 2: np.ones((1, 2))})
        assert isinstance(system.network, TwoLayerNetwork) and not system.network.has_output_bias
        whole = KKTSystem.gradient(net, layers={1: np.ones((2, 2)), 2: (np.ones((1, 2)), [3.0])})
        X, c = np.ones((2, 2)), np.array([1.0, 2.0])
        assert whole.n_equations == system.n_equations + 1 and whole.right_hand_side(X, c)[-1] == 3
        for asked in (lambda: whole.target_W, lambda: whole.observed):
            with pytest.raises(UnsupportedError) as caught:
                asked()
            assert caught.value.reason is Unsupported.OUTPUT_BIAS

    def test_lazy_and_self_trained(self):
        before, after = build(*SHAPES[2]), build(*SHAPES[2], seed=9)
        system = KKTSystem.lazy(before, after)
        assert np.array_equal(system.layers[3].bias, after.biases[2] - before.biases[2]) and system.layers[2].bias is None
        same = before.with_parameters(before.parameters | {"W2": after.weights[1]})
        assert list(KKTSystem.lazy(before, same).layers) == [2]
        with pytest.raises(ShapeError, match="does not have the same architecture"):
            KKTSystem.lazy(before, build((3, 5, 4, 2), ("leaky_relu(1/10)", "tanh"), (1,)))
        net = build((3, 4, 4, 1), "relu", (1,))
        decay = KKTSystem.weight_decay(net, decay=0.5, layers=(1, 3))
        assert set(decay.layers) == {1, 3} and np.array_equal(decay.layers[1].bias, net.biases[0] / 2)
        assert set(KKTSystem.max_margin(net, labels=[1, -1]).layers) == {1, 2, 3}

    @pytest.mark.parametrize(
        ("layers", "error", "message"),
        [
            (None, ShapeError, "layers: received None .*expected a mapping"),
            ({}, ShapeError, "no layer was observed"),
            ({4: np.ones((2, 4))}, idf.InputError, "layers: received 4, expected an integer from 1 to 3"),
            ({0: np.ones((2, 4))}, idf.InputError, "layers: received 0"),
            ({"W1": np.ones((5, 3))}, idf.InputError, "layers: received 'W1'"),
            ({1: np.ones((3, 5))}, ShapeError, r"W1: received shape \(3, 5\), expected \(5, 3\)"),
            ({2: (None, np.ones(4))}, ShapeError, "b2: received a target, but the network does not have biases there"),
            ({1: np.zeros((5, 3))}, ShapeError, "every number is zero"),
            ([np.ones((5, 3))], ShapeError, "layers: received list"),
        ],
    )
    def test_refused(self, layers, error, message):
        with pytest.raises(error, match=message):
            KKTSystem.gradient(build(*SHAPES[2]), layers=layers)

    def test_layers_or_names(self):
        net = TwoLayerNetwork(np.eye(2), [1.0, 2.0], "z^2")
        with pytest.raises(idf.InputError, match="beside W, a or bias"):
            KKTSystem.gradient(net, W=np.eye(2), layers={1: np.eye(2)})

    def test_layer_numbers(self):
        assert layer_numbers("both", 4) == (1, 2, 3, 4) and layer_numbers("second", 4) == (2,) and layer_numbers([3, 1], 4) == (1, 3)
        for wrong in ([5], [], [True], "third"):
            with pytest.raises(idf.InputError, match="layers"):
                layer_numbers(wrong, 4)


def systems():
    relu = idf.Configuration(inputs=3, samples=2, width=8, activation="relu").plant(0)
    gelu = idf.Configuration(inputs=3, samples=2, width=8, activation="gelu", outputs=2, bias=True).plant(0)
    deep = idf.Configuration(inputs=3, samples=2, width=(8, 6), activation="z + z^2").plant(0)
    return {"relu": (*relu, Unsupported.ACTIVATION), "gelu": (*gelu, Unsupported.ACTIVATION), "deep": (*deep, Unsupported.DEPTH)}


VERBS = {
    "moment_form": lambda system, truth: idf.kkt_equations(system, samples=2).moment_form(),
    "solve": lambda system, truth: idf.kkt_equations(system, samples=2).solve(),
    "ambiguity": lambda system, truth: idf.kkt_equations(system, samples=2).ambiguity(),
    "is_invariant": lambda system, truth: idf.kkt_equations(system, samples=2).is_invariant({}),
    "certify": lambda system, truth: idf.certify(system, (truth.X, truth.c)),
    "degree": lambda system, truth: idf.defences(system, truth.X, truth.c, degree=("z^2",)),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", ["relu", "gelu", "deep"])
def test_theorems_about_polynomials_are_not_asked_about_others(verb, name):
    system, truth, reason = systems()[name]
    assert system.residual(truth.X, truth.c) < 1e-15
    with pytest.raises(UnsupportedError) as caught:
        VERBS[verb](system, truth)
    assert caught.value.reason is reason and caught.value.question == verb.strip()
    assert caught.value.depth == system.network.depth and "identify.audit" in str(caught.value)


def test_sweeps_take_every_kind(tmp_path):
    grid = {"inputs": [3], "samples": [1, 2], "width": [6], "activation": ["tanh", "relu"], "layers": ["first"], "bias": [True]}
    table = idf.sweep({"measure": "verdict"} | grid, store=tmp_path / "s").table()
    assert [row["verdict"] for row in table if row["activation"] == "tanh"] == ["UNIQUE", "UNIQUE"]
    assert {row["verdict"] for row in table} <= {"UNIQUE", "LOCALLY_UNIQUE", "NOT_UNIQUE", "UNDECIDED"}


@pytest.mark.parametrize("name", ["relu", "deep"])
def test_problem_files_hold_every_kind_and_depth(name, tmp_path):
    system, truth, _ = systems()[name]
    again = idf.load_problem(idf.save_problem(tmp_path / "p.npz", system, truth.X, truth.c)).system
    assert again.network.activations == system.network.activations and np.array_equal(again.target, system.target)

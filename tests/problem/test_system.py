"""The stationarity equation: one definition, checked against automatic differentiation and exact fractions."""

import numpy as np
import pytest
from support.oracles import exact_gradients, exact_target, jax_gradients, random_network, system_of

from identify.base.options import LAYERS, choice
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.arrays import ShapeError
from identify.problem.data import check_data, check_labels
from identify.problem.gradients import Observed, flatten, visible_degrees, weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import AT_ONCE, KKTSystem

pytestmark = pytest.mark.smoke

NET = TwoLayerNetwork([[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]], [1.0, -1.0, 2.0], "z^3")
BIASED = TwoLayerNetwork(NET.W, NET.a, "z^3", bias=[1.0, 0.0, -1.0])


def draw(bias: bool, outputs: int, activation: str = "1/2 + z - z^2/3 + z^4"):
    rng = np.random.default_rng([3, bias, outputs])
    net = random_network(rng, activation, inputs=3, width=4, outputs=outputs, bias=bias)
    return net, rng.standard_normal((5, 3)), rng.standard_normal((5, outputs))


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_weighted_gradients(bias, outputs):
    net, X, c = draw(bias, outputs)
    sigma = net.activation
    parts = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)
    for part, automatic, exact in zip(parts, jax_gradients(net, X, c), exact_gradients(net, X, c), strict=True):
        assert np.allclose(part, automatic, rtol=1e-12, atol=1e-12)
        assert np.allclose(part, exact.astype(float), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layers", LAYERS)
def test_target_and_right_hand_side(layers):
    net, X, c = draw(True, 2)
    system = system_of(net, X, c, layers)
    assert np.allclose(system.target, np.array(exact_target(net, system.observed, X, c), dtype=float), rtol=1e-12)
    assert np.array_equal(system.right_hand_side(X, c), system.target)
    assert system.residual(X, c) == 0
    assert system.residual(X, -c) == pytest.approx(2)
    assert system.n_equations == system.target.size == {"both": 4 * 6, "first": 4 * 4, "second": 4 * 2}[layers]
    assert system.n_unknowns(5) == 5 * (3 + 2)


@pytest.mark.parametrize("width", [AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("layers", ["both", "second"])
def test_residuals_of_wide_networks(width, outputs, layers):
    """Rows are compared some at a time; a second layer of one output is a vector. Against the whole right-hand side."""
    system, truth = Configuration(inputs=3, samples=2, width=width, activation="z + z^3", outputs=outputs, layers=layers).plant(seed=1)
    assert system.residual(truth.X, truth.c) < 1e-14
    X = truth.X + 0.1
    whole = np.linalg.norm(system.target - system.right_hand_side(X, truth.c)) / np.linalg.norm(system.target)
    assert system.residual(X, truth.c) == pytest.approx(whole, rel=1e-12)
    assert system.about_residual(X, truth.c) == pytest.approx(whole, rel=0.5)


@pytest.mark.parametrize("wrong", ["every number", "one number", "one direction", "a bias"])
def test_a_large_residual_is_estimated(wrong):
    """Whatever the difference is: within three standard deviations of an eighth."""
    system, truth = Configuration(inputs=40, samples=7, width=(300, 60), activation="relu", outputs=3, bias=True).plant(seed=3)
    assert system.about_residual(truth.X, truth.c) < 1e-15
    rng = np.random.default_rng(1)
    part = system.updates[0].bias if wrong == "a bias" else system.updates[1].W
    change = {
        "every number": lambda: rng.standard_normal(part.shape),
        "one number": lambda: np.eye(*part.shape) * (np.arange(len(part)) == 5)[:, None],
        "one direction": lambda: np.outer(rng.standard_normal(part.shape[0]), rng.standard_normal(part.shape[1])),
        "a bias": lambda: np.ones(part.shape),
    }[wrong]()
    other = part + 0.01 * np.linalg.norm(system.target) * change / np.linalg.norm(change)
    layers = {k: tuple(other if each is part else each for each in update) for k, update in enumerate(system.updates, 1)}
    moved = KKTSystem.gradient(system.network, layers=layers)
    exact, estimate = (f(truth.X, truth.c) for f in (moved.residual, moved.about_residual))
    assert exact == pytest.approx(0.01, rel=0.05) and estimate == pytest.approx(exact, rel=3 / 8)


@pytest.mark.parametrize("layers", LAYERS)
def test_with_target_replaces_every_part(layers):
    system, _ = Configuration(inputs=2, samples=2, width=3, activation="z^2 + z^3", bias=True, layers=layers).plant(0)
    numbers = np.arange(1.0, system.n_equations + 1)
    changed = system.with_target(numbers)
    assert np.array_equal(changed.target, numbers)
    assert changed.observed == system.observed and changed.network is system.network
    with pytest.raises(ShapeError, match=rf"target: received shape \(2,\), expected \({system.n_equations}\)"):
        system.with_target(np.ones(2))


def test_gradient_takes_what_was_observed():
    system = KKTSystem.gradient(BIASED, W=np.ones((3, 2)), bias=[1, 2, 3])
    assert system.observed == Observed(True, True, False)
    assert np.array_equal(system.target, [1, 1, 1, 1, 1, 1, 1, 2, 3])
    assert "9 equations from W, bias of TwoLayerNetwork(2-3-1" in repr(system)


def test_lazy_drops_layers_that_did_not_move():
    moved = TwoLayerNetwork(NET.W + 0.5, NET.a, "z^3")
    system = KKTSystem.lazy(NET, moved)
    assert system.observed == Observed(True, False, False) and np.array_equal(system.target_W, np.full((3, 2), 0.5))
    assert system.network is NET
    both = KKTSystem.lazy(BIASED, TwoLayerNetwork(BIASED.W + 1, BIASED.a + 2, "z^3", bias=BIASED.bias - 1))
    assert np.array_equal(both.target, [1] * 6 + [-1] * 3 + [2] * 3)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("net", [NET, BIASED])
def test_self_trained_targets_are_the_parameters(net, layers):
    rows = Observed.of(layers, net.has_bias)
    parameters = flatten((net.W, net.offsets, net.a), rows)
    assert np.array_equal(KKTSystem.max_margin(net, layers=layers).target, parameters)
    assert np.array_equal(KKTSystem.weight_decay(net, decay=0.25, layers=layers).target, parameters / 4)


@pytest.mark.parametrize(
    ("activation", "bias", "layers", "degrees"),
    [
        ("z + z^3", False, "both", (1, 3)),
        ("1 + z^3", False, "both", (0, 3)),
        ("1 + z^3", False, "first", (3,)),
        ("1 + z + z^2", False, "second", (0, 1, 2)),
        ("z^3", True, "both", (0, 1, 2, 3)),
        ("z^3", True, "first", (0, 1, 2, 3)),
        ("z^3", True, "second", (0, 1, 2, 3)),
    ],
)
def test_visible_degrees(activation, bias, layers, degrees):
    assert visible_degrees(Activation.parse(activation), bias, Observed.of(layers, bias)) == degrees


def test_first_layer_weights_alone_do_not_show_the_sum_of_multipliers():
    assert visible_degrees(Activation.parse("z^3"), True, Observed(True, False, False)) == (1, 2, 3)


def test_words_follow_the_options():
    def lines(system):
        return "\n".join(system.describe())

    assert "−∂loss/∂b_j" in lines(KKTSystem.gradient(BIASED, bias=[1, 2, 3], a=[1, 0, 0]))
    assert "−∂loss/∂w_j" not in lines(KKTSystem.gradient(BIASED, bias=[1, 2, 3]))
    margin = "for every support sample (labels given)"
    assert margin in lines(KKTSystem.max_margin(NET, labels=[1, -1])) and margin not in lines(KKTSystem.max_margin(NET))
    assert "λ_i ≥ 0" in lines(KKTSystem.max_margin(NET)) and "λ_i ≥ 0" not in lines(KKTSystem.weight_decay(NET, decay=1))
    assert "closure" in lines(KKTSystem.weight_decay(NET, decay=1, loss="logistic"))
    two = TwoLayerNetwork(NET.W, np.ones((2, 3)), "z^3")
    assert "γ_i" in lines(KKTSystem.lazy(two, TwoLayerNetwork(NET.W, np.zeros((2, 3)), "z^3")))


def test_check_data_takes_multipliers_as_a_row_or_a_column():
    X, c = check_data([[1, 2], [3, 4]], [5, 6], 2, 1)
    assert X.shape == (2, 2) and c.tolist() == [[5], [6]]
    assert check_data(X, c, 2, 1)[1].tolist() == [[5], [6]]


@pytest.mark.parametrize(
    ("X", "c", "message"),
    [
        ([[1.0]], [1.0], r"X: received shape \(1, 1\), expected \(any, 2\)"),
        ([[1.0, 2.0]], [1.0, 2.0], r"c: received shape \(2,\), expected \(1\)"),
        ([[1.0, 2.0]], [np.nan], "c: 1 of 1 values are NaN"),
        ([[1.0, 2.0], [3.0, 4.0]], [[1.0], [1.0, 2.0]], "c: received list"),
    ],
)
def test_data_refused(X, c, message):
    with pytest.raises(ShapeError, match=message):
        check_data(X, c, 2, 1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], r"labels: received \[0.0\], expected only \+1 and -1"),
        ([[1, -1]], r"labels: received shape \(1, 2\)"),
        ([], "labels: received shape"),
    ],
)
def test_labels_refused(labels, message):
    with pytest.raises(ShapeError, match=message):
        check_labels(labels)
    with pytest.raises(ShapeError, match=message):
        KKTSystem.max_margin(NET, labels=labels)


def test_choice_lists_the_options():
    assert choice("layers", "both", LAYERS) == "both"
    with pytest.raises(ValueError, match="layers: received 'all', expected one of both, first, second"):
        Observed.of("all", True)


TWO_OUTPUTS = TwoLayerNetwork(NET.W, np.ones((2, 3)), "z^3")


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: KKTSystem.gradient("net", W=[1]), ShapeError, "network: received str, expected a Network or a TwoLayerNetwork"),
        (lambda: KKTSystem.gradient(NET, bias=[1, 2, 3]), ShapeError, "bias: received a target, but the network does not have biases"),
        (lambda: KKTSystem.gradient(NET), ShapeError, "target: no layer was observed"),
        (lambda: KKTSystem.gradient(NET, W=np.ones((2, 2))), ShapeError, r"W: received shape \(2, 2\), expected \(3, 2\)"),
        (lambda: KKTSystem.gradient(NET, a=[1, 2, np.inf]), ShapeError, "a: 1 of 3 values are infinite"),
        (
            lambda: KKTSystem.gradient(NET, a=[np.nan] * 3),
            ShapeError,
            "a: all 3 values are NaN or masked; .* None for parts that were not observed",
        ),
        (lambda: KKTSystem.gradient(NET, W=np.zeros((3, 2)), a=np.zeros(3)), ShapeError, "target: every number is zero"),
        (lambda: KKTSystem(NET, {1: NET.W}, "sgd"), ValueError, "regime: received 'sgd', expected one of gradient, lazy"),
        (lambda: KKTSystem.lazy(NET, BIASED), ShapeError, "final: .* does not have the same architecture as initial"),
        (lambda: KKTSystem.lazy(NET, TWO_OUTPUTS), ShapeError, "final: .* does not have the same architecture as initial"),
        (lambda: KKTSystem.lazy(NET, TwoLayerNetwork(NET.W, NET.a, "z^2")), ShapeError, "final: its activation z.2 is not that of initial"),
        (lambda: KKTSystem.lazy("net", NET), ShapeError, "initial: received str"),
        (lambda: KKTSystem.weight_decay(NET, decay=0), ValueError, "decay: received 0, expected a positive number"),
        (lambda: KKTSystem.weight_decay(NET, decay=float("inf")), ValueError, "decay: received inf"),
        (lambda: KKTSystem.weight_decay(NET, decay=True), ValueError, "decay: received True"),
        (lambda: KKTSystem.weight_decay(NET, decay="1"), ValueError, "decay: received '1'"),
        (lambda: KKTSystem.weight_decay(NET, decay=1, loss="hinge"), ValueError, "loss: received 'hinge', expected one of logistic"),
        (lambda: KKTSystem.weight_decay(TWO_OUTPUTS, decay=1, loss="logistic"), ValueError, "loss: 'logistic' is for one output"),
        (lambda: KKTSystem.weight_decay(NET, decay=1, layers="none"), ValueError, "layers: received 'none'"),
        (lambda: KKTSystem.max_margin(TWO_OUTPUTS, labels=[1, -1]), ValueError, "labels: .* the network has 2; pass labels=None"),
        (lambda: KKTSystem.max_margin("net"), ShapeError, "network: received str"),
        (lambda: KKTSystem(TWO_OUTPUTS, {1: NET.W}, "max-margin", labels=[1, -1]), ValueError, "labels: .* pass labels=None"),
        (lambda: KKTSystem(TWO_OUTPUTS, {1: NET.W}, "weight-decay", loss="square"), ValueError, "loss: 'square' is for one output"),
        (lambda: KKTSystem(NET, {1: NET.W}, "weight-decay", decay=-1.0), ValueError, "decay: received -1.0"),
        (lambda: KKTSystem(NET, {1: NET.W}, "weight-decay", loss="hinge"), ValueError, "loss: received 'hinge'"),
    ],
)
def test_systems_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()

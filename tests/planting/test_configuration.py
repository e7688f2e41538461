"""Configurations and the seeded instances drawn from them."""

import numpy as np
import pytest

from identify.base.limits import TooLargeError
from identify.base.options import LAYERS
from identify.planting.configuration import Configuration, Truth, exact_passes
from identify.planting.kkt_points import PlantingError
from identify.problem.activation import Activation, ActivationError

SIZES = {"inputs": 3, "samples": 2, "width": 4, "activation": "z + z^3"}


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("regime", ["gradient", "lazy"])
def test_planted_data_solve_the_system_and_counts_agree(layers, bias, outputs, regime):
    config = Configuration(**SIZES, layers=layers, bias=bias, outputs=outputs, regime=regime)
    system, truth = config.plant(7)
    assert system.residual(truth.X, truth.c) == 0 and system.regime == regime
    assert system.n_equations == config.n_equations and system.n_unknowns(2) == config.n_unknowns
    assert system.observed == config.observed and system.degrees == config.degrees
    assert truth.X.shape == (2, 3) and truth.c.shape == ((2,) if outputs == 1 else (2, outputs))
    assert ((np.abs(truth.c) >= 0.5) & (np.abs(truth.c) <= 1.5)).all()
    assert system.describe() == config.describe()


@pytest.mark.smoke
def test_the_same_seed_gives_the_same_instance():
    config = Configuration(**SIZES)
    (first, truth), (second, again), (other, _) = (config.plant(seed) for seed in (1, 1, 2))
    assert np.array_equal(first.target, second.target) and np.array_equal(truth.X, again.X)
    assert not np.allclose(first.target, other.target)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize(("activation", "bias"), [("z^3", False), ("-z^3/2", True), ("z^4", False)])
@pytest.mark.parametrize("regime", ["max-margin", "weight-decay"])
def test_self_trained_instances_are_stationary(layers, activation, bias, regime):
    config = Configuration(inputs=4, samples=3, width=4, activation=activation, bias=bias, layers=layers, regime=regime)
    system, truth = config.plant(0)
    assert system.residual(truth.X, truth.c) < 1e-12 and system.observed == config.observed
    margins = truth.labels * system.network(truth.X)
    if regime == "max-margin":
        assert np.allclose(margins, 1, rtol=1e-9) and np.array_equal(system.labels, truth.labels)
    else:
        assert np.allclose(truth.multipliers, 1 / (3 * (1 + np.exp(margins))), rtol=1e-9) and system.loss == "logistic"


@pytest.mark.smoke
def test_truth_splits_signed_multipliers():
    truth = Truth(np.eye(2), np.array([-2.0, 3.0]))
    assert truth.labels.tolist() == [-1, 1] and truth.multipliers.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("activation", "bias", "layers", "group"),
    [
        ("z^3", False, "both", "scaling"),
        ("z + z^3", False, "both", "sign"),
        ("1 + z^2", False, "both", "sign"),
        ("z^3", True, "both", "none"),
    ],
)
def test_ambiguity(activation, bias, layers, group):
    assert Configuration(**SIZES | {"activation": activation}, bias=bias, layers=layers).ambiguity.group == group


def test_sizes_become_plain_integers():
    config = Configuration(**SIZES | {"inputs": np.int32(3)})
    assert type(config.inputs) is int and config == Configuration(**SIZES) and isinstance(config.activation, Activation)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"inputs": 0}, ValueError, "inputs: received 0, expected an integer of at least 1"),
        ({"samples": 2.0}, ValueError, "samples: received 2.0"),
        ({"width": True}, ValueError, "width: received True"),
        ({"outputs": "1"}, ValueError, "outputs: received '1'"),
        ({"bias": 1}, ValueError, "bias: received 1, expected True or False"),
        ({"layers": "third"}, ValueError, "layers: received 'third', expected one of both, first, second"),
        ({"regime": "sgd"}, ValueError, "regime: received 'sgd', expected one of gradient, lazy, weight-decay, max-margin"),
        ({"activation": "exp(z)"}, ActivationError, "not polynomial"),
        ({"activation": 3}, ActivationError, "received int, expected an Activation"),
    ],
)
def test_options_refused(change, error, message):
    with pytest.raises(error, match=message):
        Configuration(**SIZES | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": 2, "activation": "z^3"}, "regime max-margin with 2 outputs: instances are constructed for one output only"),
        ({"activation": "z + z^3"}, "activation z .* can be planted only for sigma = s.z.p"),
        ({"activation": "z^2"}, "activation z.2"),
        ({"activation": "z^3", "samples": 4}, "samples: 4 samples in 3 inputs are linearly dependent"),
        ({"activation": "z^3"}, "width: 4 neurons asked for, 3 available"),
    ],
)
def test_instances_that_cannot_be_planted(change, message):
    with pytest.raises(PlantingError, match=message):
        Configuration(**SIZES | {"regime": "max-margin"} | change).plant()


def test_instances_that_do_not_fit_in_memory_are_refused(monkeypatch):
    monkeypatch.setenv("IDENTIFY_MEMORY", "1")
    with pytest.raises(TooLargeError, match="an instance with 100000000 neurons, 3 inputs and 2 samples"):
        Configuration(**SIZES | {"width": 10**8}).plant()


@pytest.mark.parametrize("sizes", [{"inputs": 10**7}, {"outputs": 10**20}, {"samples": 10**10}, {"width": 10**10}])
def test_sizes_beyond_any_estimate_are_refused_at_once(sizes):
    with pytest.raises(ValueError, match=f"{next(iter(sizes))}: received 10+, expected at most 10+; larger work is not even estimated"):
        Configuration(**{"inputs": 2, "samples": 1, "width": 1, "activation": "z^2"} | sizes)


def test_symbols_that_do_not_fit_in_memory_are_refused():
    from identify.symbolic.posing import kkt_equations

    with pytest.raises(TooLargeError, match="a system with .* symbols needs about"):
        kkt_equations(Configuration(inputs=5, samples=10**9, width=2, activation="z^2"))


@pytest.mark.parametrize(
    ("activation", "width"),
    [("relu", 4), ("abs", (3, 2)), ("leaky_relu(1/4)", 3), ("hard_tanh(-9, 9)", (2, 2)), ("z + z^2", (3, 2)), ("z^3", 4)],
)
def test_integer_instances_are_exact_and_off_the_breakpoints(activation, width):
    config = Configuration(inputs=2, samples=2, width=width, activation=activation, bias=True, outputs=2)
    for seed in range(3):
        system, truth = config.plant(seed, integers=True)
        net = system.network
        numbers = [truth.X, truth.c, *net.weights, *(b for b in net.biases if b is not None)]
        assert all(np.array_equal(part, np.round(part)) and np.abs(part).max() <= 5 for part in numbers)
        before, exact = exact_passes(net, truth.X, truth.c)
        parts = {k: [part for part in (update.W, update.bias) if part is not None] for k, update in system.layers.items()}
        assert all(np.array_equal(target, found) for k, part in parts.items() for target, found in zip(part, exact[k - 1], strict=False))
        breakpoints = getattr(config.activation, "breakpoints", ())
        assert not any(value in breakpoints for z in before for value in z.ravel())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "leaky_relu(1/3)"}, "numbers that doubles hold exactly"),
        ({"activation": "tanh"}, "received regime gradient and activation tanh"),
        ({"activation": "z^2/2"}, "a polynomial with integer coefficients"),
        ({"activation": "z^20"}, "has numbers that no double is equal to"),
        ({"activation": "z^3", "width": (4, 4, 4)}, "has numbers that no double is equal to"),
        ({"activation": "z^2", "regime": "max-margin"}, "received regime max-margin"),
    ],
)
def test_integers_that_cannot_be_exact_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Configuration(**SIZES | options).plant(0, integers=True)


def test_instances_on_breakpoints_are_given_up():
    config = Configuration(inputs=1, samples=200, width=20, activation="relu")
    with pytest.raises(PlantingError, match="integers: none of 1000 instances"):
        config.plant(0, integers=True)

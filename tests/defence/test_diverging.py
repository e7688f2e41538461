"""Training that diverges: its levels are left out and said, nothing warns, and the other defences stand."""

from __future__ import annotations

import numpy as np
import pytest

import identify as idf
from identify.defence import sending

RNG = np.random.default_rng(0)
WEIGHTS = [0.3 * RNG.standard_normal(shape) for shape in ((8, 4), (6, 8), (3, 6))]
X, Y = RNG.standard_normal((3, 4)), np.array([0.0, 1.0, 2.0])


@pytest.fixture(params=["z^2", "z + z^2/2 + z^3", "relu"])
def update(request):
    """The system of an update, and its multipliers."""
    net = idf.Network(WEIGHTS, activation=request.param)
    c = sending.loss_signals(net, X, Y)
    made = sending.layer_updates(net.weights, net.biases, net.activations, X, c)
    return idf.KKTSystem.gradient(net, layers={k: (W, None) for k, (W, _) in enumerate(made, 1)}), c


def asked(system, c, **options) -> idf.Defences:
    none = dict.fromkeys(("noise", "weights", "width", "batch", "formats", "clipping", "dp_sgd", "withheld"), ())
    return idf.defences(system, X, c, **{**none, "spot_checks": 0, **options})


RATES = {"z^2": 10.0, "z + z^2/2 + z^3": 1.0}


@pytest.mark.parametrize("update", RATES, indirect=True)
def test_levels_from_there_on_are_left_out(update):
    """The oracle takes the steps one by one."""
    system, c = update
    rate = RATES[str(system.network.activation)]
    found = asked(system, c, steps=(1, 2, 50), noise=(1e-3,), learning_rate=rate)
    assert found["steps"].levels in ((1,), (1, 2)) and any("levels from" in note for note in found.notes)
    net = system.network
    with np.errstate(all="ignore"):
        for _ in range(50):
            made = sending.layer_updates(net.weights, net.biases, net.activations, X, sending.loss_signals(net, X, Y))
            if not max(np.abs(dW).max() for dW, _ in made) < 1e60:  # NaN as well
                return
            net = idf.Network([W + rate * dW for W, (dW, _) in zip(net.weights, made, strict=True)], activation=net.activation)
    pytest.fail("the oracle's training does not diverge")


@pytest.mark.parametrize("rate", [10.0, 1e4, 1e8])
@pytest.mark.parametrize("update", ["relu"], indirect=True)
def test_networks_that_training_leaves_without_gradients(update, rate):
    """All neurons are off, or the loss is zero: an update of zeros is no question."""
    found = asked(*update, steps=(1, 2, 50), noise=(1e-3,), learning_rate=rate)
    assert found["noise"].levels == (1e-3,)


def test_training_that_does_not_diverge_keeps_all(update):
    system, c = update
    found = asked(system, c, steps=(1, 2, 5), learning_rate=1e-6)
    assert found["steps"].levels == (1, 2, 5) and not any("diverges" in note for note in found.notes)


def test_the_first_step(update):
    system, c = update
    with pytest.raises(idf.InputError, match="learning_rate: gradient descent at rate 1e\\+200 diverges at once"):
        asked(system, c, steps=(1, 5), learning_rate=1e200)
    found = asked(system, c, steps=(1, 5), noise=(1e-3,), learning_rate=1e200)
    assert [curve.name for curve in found.curves] == ["noise"] and any("levels from 1 on" in note for note in found.notes)

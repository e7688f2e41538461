"""Training: it reaches the regimes that the attacks assume, and says how well."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest
from scipy.special import expit, softmax

from identify.attacks import MLP, buzaglo, descent, haim, loo, stationarity, train
from identify.attacks.descent import DivergedError
from identify.attacks.training import random_network
from identify.problem.arrays import ShapeError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((6, 4)), np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])


class TestRegimes:
    def test_weight_decay_reaches_a_stationary_point(self):
        """There theta is a sum of gradients, with the multipliers that the loss prescribes."""
        decay = 0.05
        done = train(random_network((4, 12, 1), "z + z^2/2", seed=1), X, Y, decay=decay, rate=0.2, steps=40_000, enough=1e-9)
        assert done.gradient <= 1e-9 and done.steps < 40_000
        found = stationarity(buzaglo(done.final, kind="weight-decay"), X, signed=True)
        assert found.residual < 1e-8
        assert np.allclose(found.multipliers[:, 0], Y * expit(-done.margins) / (6 * decay), rtol=1e-4)
        assert np.allclose(done.margins, Y * done.final(X)[:, 0])

    def test_cross_entropy_with_decay(self):
        decay, labels = 0.05, np.array([0, 1, 2, 0, 1, 2])
        done = train(
            random_network((4, 12, 3), "z + z^2/2", biases="all"),
            X,
            labels,
            loss="cross-entropy",
            decay=decay,
            rate=0.2,
            steps=30_000,
            enough=1e-8,
        )
        outputs = done.final(X)
        gamma = (np.eye(3)[labels] - softmax(outputs, axis=1)) / (6 * decay)
        found = stationarity(buzaglo(done.final, kind="weight-decay"), X, signed=True)
        assert found.residual < 1e-7
        runner_up = np.where(np.eye(3)[labels] > 0, -np.inf, outputs).max(axis=1)
        assert np.allclose(done.margins, outputs[np.arange(6), labels] - runner_up)
        assert np.allclose(found.multipliers, gamma, rtol=1e-4, atol=1e-6)

    def test_small_starts_come_near_max_margin(self):
        """Much nearer than they began; how near, the residual says."""
        start = random_network((4, 30, 1), first_scale=1e-4)
        done = train(start, X, Y, rate=0.3, steps=20_000)
        before, after = (stationarity(haim(net, sharpness=1e9), X, Y).residual for net in (start, done.final))
        assert done.loss < 1e-3 and done.margins.min() > 1 and after < 0.5 < before

    def test_linearised_training_obeys_the_kernel(self):
        start = random_network((4, 60, 1), "z + z^2/2 + z^3/6", biases="all")
        done = train(start, X, Y, loss="square", rate=2e-3, momentum=0.9, steps=200_000, enough=1e-16, linearised=True)
        assert np.abs(done.margins).max() < 1e-7
        assert stationarity(loo(start, done.final, linearised=True), X, signed=True).residual < 1e-7

    @pytest.mark.parametrize("name", ["momentum", "adam"])
    def test_the_optimisers_are_those_of_optax(self, name):
        """The same bits, step by step, with a rate of its own for each part."""
        rng, rates = np.random.default_rng(0), {"X": 0.3, "c": 1e-4}
        own = descent.momentum(rates, 0.9) if name == "momentum" else descent.adam(0.02)
        parts = {each: optax.sgd(rate, momentum=0.9) for each, rate in rates.items()}
        theirs = optax.multi_transform(parts, {each: each for each in rates}) if name == "momentum" else optax.adam(0.02)
        with jax.enable_x64(True):
            point = {"X": jax.device_put(rng.standard_normal((3, 4))), "c": jax.device_put(rng.standard_normal((3, 1)))}
            state, their_state = own.init(point), theirs.init(point)
            for _ in range(5):
                gradient = jax.tree.map(lambda part: jax.device_put(rng.standard_normal(part.shape)), point)
                moves, state = own.update(gradient, state, point)
                published, their_state = theirs.update(gradient, their_state, point)
                assert all(np.array_equal(moves[part], published[part]) for part in rates)

    def test_momentum_and_progress(self):
        lines: list[str] = []
        start = random_network((4, 8, 1))
        plain, heavy = (train(start, X, Y, steps=2000, momentum=momentum, progress=lines.append) for momentum in (0.0, 0.9))
        assert heavy.loss < plain.loss and any("2000 of 2000 steps" in line for line in lines)
        assert repr(plain).startswith("Training(Network(4-8-1, relu, biases in layer 1), 2000 steps")


class TestStarts:
    @pytest.mark.parametrize(
        ("biases", "names"), [("none", set()), ("first", {"b1"}), ("hidden", {"b1", "b2"}), ("all", {"b1", "b2", "b3"})]
    )
    def test_random_networks(self, biases, names):
        net = random_network((40, 50, 30, 2), biases=biases, first_scale=1e-3, seed=4)
        assert {name for name in net.parameters if name.startswith("b")} == names
        assert 0.9e-3 < net.parameters["W1"].std() < 1.1e-3 and np.abs(net.parameters["W2"]).max() <= 50**-0.5
        assert np.array_equal(
            net.parameters["W3"], random_network((40, 50, 30, 2), biases=biases, first_scale=1e-3, seed=4).parameters["W3"]
        )

    @pytest.mark.parametrize("sizes", [(3, 1), (3, 0, 1)])
    def test_bad_sizes(self, sizes):
        with pytest.raises(ValueError, match="sizes.*: received"):
            random_network(sizes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y": [1, 2, 1, 1, 1, 1]}, r"y: received \[2.0\], expected only -1, 1"),
        ({"y": [1, -1]}, "y: received shape"),
        ({"loss": "hinge"}, "loss: received 'hinge'"),
        ({"loss": "cross-entropy", "y": [0] * 6}, "'cross-entropy' does not fit 1 outputs"),
        ({"rate": 0}, "rate: received 0, expected a positive"),
        ({"decay": -1}, "decay: received -1, expected a number of at least 0"),
        ({"steps": 0}, "steps: received 0"),
    ],
)
def test_bad_settings(options, message):
    y = options.pop("y", Y)
    with pytest.raises(ValueError, match=message):
        train(random_network((4, 5, 1)), X, y, **options)


def test_responses_for_every_output_and_divergence():
    two = random_network((4, 5, 2))
    with pytest.raises(ShapeError, match="one response for each output"):
        train(two, X, Y, loss="square")
    assert train(two, X, np.column_stack([Y, -Y]), loss="square", steps=100).margins.shape == (6, 2)
    with pytest.raises(DivergedError, match="try a rate smaller than 1e"):
        train(MLP({"W1": np.ones((3, 4)), "W2": np.ones((1, 3))}, "z^3"), X, Y, loss="square", rate=1e6, steps=10)

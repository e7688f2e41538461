"""Attacks at sizes at which numbers on the way overflow, underflow or lose what tells samples: answers without NaN, or typed errors."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from support.marks import slow

import identify as idf
from identify import attacks
from identify.attacks import kinks
from identify.attacks.rows import told
from identify.base.errors import IdentifyError, InputError, OutOfTimeError

TWO, THREE, CLASSES = (3, 4, 1), (4, 6, 5, 1), (3, 5, 3)
EXTREMES = [
    (THREE, "z + z^2/2", {"W1": 1e77, "W2": 1e300}),
    slow(CLASSES, "gelu", {"W1": 1e-200, "W2": 1e6, "b": 1e6, "X": 1e-6}),
    (CLASSES, "tanh", {"W1": 1e200, "W2": 1e-150, "X": 1e-150, "rate": 1e-320}),
    (CLASSES, "relu", {"W1": 300.0, "W2": 1e200, "b": 1e38, "X": 1e150}),
    (THREE, "z^3", {"W1": 1e300, "W2": 1e-6, "X": 1e-200}),
    slow(TWO, "relu", {"W1": 1e-320, "b": 1e-300}),
    (TWO, "relu", {"W1": 1e-150, "b": 1e200}),
    slow(TWO, "relu", {"X": 1e160}),
    (TWO, "relu", {"W1": 1e-6, "W2": 1e6, "X": 1e-320, "rate": 1e300}),
    (TWO, "relu", {"W1": 0.0, "W2": 0.0, "b": 0.0, "X": 0.0}),
]


def network(sizes, activation, rng, W1=1.0, W2=1.0, b=1.0, **_):
    layers = list(pairwise(sizes))
    W = [(W2 if k else W1) * rng.standard_normal((out, into)) / into**0.5 for k, (into, out) in enumerate(layers)]
    return idf.Network(W, biases=[b * rng.standard_normal(out) for _, out in layers], activation=activation)


def holds(*values) -> bool:
    return all(np.isfinite(value).all() for value in values)


def attacks_of(net, start, rate):
    """Each attack that fits, with the labels of three samples and whether multipliers have any sign."""
    several = net.n_outputs > 1
    yield lambda: attacks.buzaglo(net, kind="multiclass", rate=rate) if several else attacks.haim(net, rate=rate), not several
    yield lambda: attacks.buzaglo(net, kind="weight-decay", rate=rate), None
    yield lambda: attacks.loo(start, net, rate=rate), None


@pytest.mark.parametrize(("sizes", "activation", "options"), EXTREMES)
def test_extremes_end_in_an_answer_or_a_typed_error(sizes, activation, options):
    rng = np.random.default_rng(0)
    net, start = (network(sizes, activation, rng, **options) for _ in range(2))
    X, y = options.get("X", 1.0) * rng.standard_normal((3, sizes[0])), np.array([-1.0, 1.0, 1.0] if sizes[-1] == 1 else [0.0, 1.0, 2.0])
    for make, binary in attacks_of(net, start, options.get("rate", 1e-3)):
        with suppress(IdentifyError):
            split = idf.Splitting(every=2) if binary else None
            found = idf.reconstruct(make(), candidates=4, steps=4, splitting=split)
            assert holds(found.X, found.c, found.trials[0].value, found.trials[0].distance)
            assert not np.isnan(attacks.score(found.X, X).errors).any()
        with suppress(IdentifyError):
            found = attacks.diagnose(make(), X, None if binary is None else y, signed=binary is None)
            assert 0 <= found.stationarity.residual <= 1 + 1e-9 and holds(found.stationarity.multipliers, found.hidden)
            assert found.free is None or 0 <= found.free <= 1 + 1e-9
            assert not np.isnan(found.objective)
    with suppress(IdentifyError):
        found = attacks.train(net, X, y, loss="logistic" if sizes[-1] == 1 else "cross-entropy", decay=1e-3, steps=3)
        assert holds(found.loss, found.gradient, found.margins)
    with suppress(IdentifyError):
        found = attacks.vertices(net, -1, 1, starts=8)
        assert holds(found.X, found.leverage)
    if activation == "relu":
        with suppress(IdentifyError):
            found = attacks.corners(net, -1, 1, starts=10)
            assert len(found.X) and holds(found.X, found.cost)


class TestUnits:
    """Row spaces, kinks and vertices do not depend on the units of the weights."""

    rng = np.random.default_rng(1)
    X = rng.uniform(0.2, 0.8, (3, 20)) * (rng.uniform(size=(3, 20)) < 0.4)
    signals = rng.standard_normal((8, 3))

    def net(self, factor):
        return idf.Network(
            [factor * (self.signals @ self.X), np.ones((1, 8))], biases=[factor * self.signals.sum(axis=1), None], activation="relu"
        )

    @pytest.mark.parametrize("k", [-900, 900])
    def test_powers_of_two_change_no_bit(self, k):
        here, there = self.net(1.0), self.net(2.0**k)
        W, noise = here.parameters["W1"], 2.0**-20
        noisy = W + noise * self.rng.standard_normal(W.shape)
        assert (attacks.row_space(noisy, noise=noise) == attacks.row_space(noisy * 2.0**k, noise=noise * 2.0**k)).all()
        assert told(noisy) is None or told(noisy)[1] == told(noisy * 2.0**k)[1]
        both = [attacks.vertices(net, 0, 1, starts=8) for net in (here, there)]
        assert (both[0].X == both[1].X).all() and (both[0].met == both[1].met).all() and both[0].credible.any()
        both = [attacks.corners(net, 0, 1, starts=8) for net in (here, there)]
        assert (both[0].X == both[1].X).all() and len(both[0].X)

    def test_noise_is_told_in_the_units_of_the_weights(self):
        rng = np.random.default_rng(0)
        W = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 40)) + 1e-3 * rng.standard_normal((60, 40))
        noise, dimension = told(W)
        assert dimension == 2 and abs(noise / 1e-3 - 1) < 0.1
        assert told(W * 2.0**600) == (noise * 2.0**600, dimension)


class TestSaid:
    """What cannot be attacked is said, in the words of the cause."""

    net = attacks.random_network((3, 4, 1))

    def scaled(self, factor):
        return self.net.with_parameters({name: factor * part for name, part in self.net.parameters.items()})

    @pytest.mark.parametrize("factor", [1e-150, 1e150])
    def test_targets_whose_squares_are_no_doubles(self, factor):
        for make in (attacks.haim, lambda net: attacks.buzaglo(net, kind="weight-decay"), lambda net: attacks.loo(self.net, net)):
            if factor < 1 and make(self.net).name == "loo":
                continue  # the change is that of the network
            with pytest.raises(InputError, match="other units"):
                idf.reconstruct(make(self.scaled(factor)), candidates=2, steps=2)

    def test_targets_of_zeros(self):
        with pytest.raises(InputError, match="all numbers are zero"):
            idf.reconstruct(attacks.loo(self.net, self.net), candidates=2, steps=2)
        with pytest.raises(InputError, match="all numbers are zero"):
            attacks.diagnose(attacks.haim(self.scaled(0.0)), np.ones((2, 3)), [-1.0, 1.0])

    def test_samples_whose_gradients_are_no_doubles(self):
        with pytest.raises(InputError, match="X: "):
            attacks.diagnose(attacks.buzaglo(self.scaled(1e50), kind="weight-decay"), np.full((2, 3), 1e300))

    def test_limits_whose_squares_are_no_doubles(self):
        for low, high in ((-1e200, 1), (0, 1e-200)):
            for search in (attacks.corners, attacks.vertices):
                with pytest.raises(InputError, match="low, high"):
                    search(self.net, low, high)

    def test_kinks_beyond_all_inputs(self):
        far = self.net.with_parameters(self.net.parameters | {"b1": np.full(4, 1e200)})
        with pytest.raises(InputError, match="far away"):
            attacks.corners(far, -1, 1, starts=2)

    def test_training_that_begins_beyond_doubles_does_not_blame_the_rate(self):
        with pytest.raises(FloatingPointError, match="units"):
            attacks.train(self.scaled(1e200), np.ones((2, 3)), [-1.0, 1.0], steps=2)


class TestTime:
    """A start of corners is stopped in its middle: at full size a single one takes many seconds."""

    def corners(self, monkeypatch, **options):
        seconds, real = [0.0], kinks._moved

        def slow(search, u, weights, first, count):
            seconds[0] += 1.0 * count
            return real(search, u, weights, first, count)

        monkeypatch.setattr(kinks, "_moved", slow)
        monkeypatch.setattr("time.monotonic", lambda: seconds[0])
        found = attacks.corners(attacks.random_network((3, 4, 1)), -1, 1, starts=5000, **options)
        return found, seconds[0]

    def test_the_budget_ends_a_start(self, monkeypatch):
        with pytest.raises(OutOfTimeError, match="90 s"):
            self.corners(monkeypatch, budget=10.0)

    def test_finished_starts_are_kept(self, monkeypatch):
        found, seconds = self.corners(monkeypatch, budget=100.0)
        assert found.starts == 1000 and len(found.X) and seconds <= 101

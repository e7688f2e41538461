"""What is said of self-trained networks: how stationary they are, and what stays undetermined."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, nnls
from scipy.special import expit

from identify.conditions.check import check
from identify.conditions.diagnostics import quality, undetermined
from identify.conditions.diagnostics.quality import gradients, margins, stationarity_quality
from identify.planting.configuration import Configuration
from identify.problem.arrays import ShapeError
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Arithmetic, Verdict

DECAY = 0.02


def loss(theta, X, y, sigma, m: int):
    """Mean logistic loss with weight decay, and its gradient."""
    n, d = X.shape
    net = TwoLayerNetwork(theta[: m * d].reshape(m, d), theta[m * d :], sigma)
    margin = y * net(X)
    system = KKTSystem.weight_decay(net, decay=DECAY)
    descent = system.right_hand_side(X, y * expit(-margin) / n)
    return np.logaddexp(0, -margin).mean() + DECAY / 2 * theta @ theta, DECAY * theta - descent


def train(sigma: str, *, steps: int = 5000, d: int = 4, n: int = 3, m: int = 20) -> tuple[KKTSystem, np.ndarray, np.ndarray]:
    """A network trained on its own data, with labels +1, -1, +1, and the multipliers that its outputs give."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((n, d)), np.where(np.arange(n) % 2, -1.0, 1.0)
    start = 0.5 * rng.standard_normal(m * (d + 1))
    options = {"maxiter": steps, "maxfun": 10 * steps, "ftol": 0, "gtol": 1e-15}
    theta = minimize(loss, start, (X, y, sigma, m), jac=True, method="L-BFGS-B", options=options).x
    net = TwoLayerNetwork(theta[: m * d].reshape(m, d), theta[m * d :], sigma)
    return KKTSystem.weight_decay(net, decay=DECAY), X, y * expit(-y * net(X)) / n


@pytest.fixture(scope="module")
def trained():
    return train("z^3")


class TestTrainedNetworks:
    def test_few_neurons_stay_alive(self, trained):
        system, X, c = trained
        report = check(system, data=(X, c))
        assert report["stationarity"].holds and report["stationarity"].evidence["residual"] < 1e-6
        found = report["undetermined"]
        at = found.evidence["at_precision"]["0.0001"]
        assert found.holds is False and found.evidence["effective_width_to_1_percent"] == 2 and at["rank_W"] == 2
        assert (at["rank_in_all_coordinates"], at["moments_in_all_coordinates"]) == (8, 20)
        assert "8 of all 20 moments are seen and 12 dimensions of them stay undetermined" in found.statement
        assert report["structure"].evidence["dead_neurons_to_precision"]["0.01"] == 18

    def test_no_digit_is_left(self, trained):
        system, X, c = trained
        report = check(system, data=(X, c))
        assert report["conditioning"].holds is False and report["conditioning"].statement.startswith("no digit")
        assert report.verdict is Verdict.UNIQUE  # of the exact target that these data give, rounding included
        assert report.precision is not None and "identifiable in exact arithmetic, but to no digit" in report.precision

    @pytest.mark.parametrize("sigma", ["z + z^3", "z + z^2 + z^3"])
    def test_also_for_other_activations(self, sigma):
        system, X, c = train(sigma)
        found = check(system, data=(X, c))["undetermined"]
        at = found.evidence["at_precision"]["0.01"]
        assert found.holds is False and found.evidence["effective_width_to_1_percent"] <= 4
        assert at["rank_in_all_coordinates"] < at["moments_in_all_coordinates"]

    def test_under_training_is_one_more_precision(self):
        system, X, c = train("z + z^2 + z^3", steps=30)
        report = check(system, data=(X, c))
        quality = report["stationarity"].evidence
        assert 1e-6 < quality["residual"] < 0.5 and quality["best_residual"] <= quality["residual"]
        assert report["undetermined"].evidence["residual_of_the_data"] == pytest.approx(quality["residual"])
        assert f"{quality['residual']:.2g}" in report["undetermined"].evidence["at_precision"]

    def test_exact_points_are_determined(self):
        system, truth = Configuration(inputs=3, samples=3, width=7, activation="z^3", regime="max-margin").plant(0)
        report = check(system, data=(truth.X, truth.c))
        found = report["undetermined"]
        assert found.holds and found.evidence["rank"] == found.evidence["needed"] == 10 and found.evidence["effective_width"] == 7
        assert report.precision is not None and "identifiable, to 6 digits" in report.precision


class TestStationarity:
    @pytest.mark.parametrize("outputs", [1, 2])
    @pytest.mark.parametrize("layers", ["both", "first", "second"])
    def test_best_multipliers_against_least_squares(self, outputs, layers):
        rng = np.random.default_rng(3)
        net = TwoLayerNetwork(rng.standard_normal((9, 4)), rng.standard_normal((outputs, 9)), "z + z^2/2", bias=rng.standard_normal(9))
        system = KKTSystem.max_margin(net, layers=layers)
        X, c = rng.standard_normal((3, 4)), rng.standard_normal((3, outputs))
        found = stationarity_quality(system, X, c).evidence
        units = np.eye(3 * outputs).reshape(-1, 3, outputs)
        G = np.stack([system.right_hand_side(X, unit) for unit in units], axis=1)
        np.testing.assert_allclose(gradients(system, X), G, atol=1e-12)
        size = np.linalg.norm(system.target)
        best = np.linalg.lstsq(G, system.target, rcond=None)[0]
        assert found["best_residual"] == pytest.approx(np.linalg.norm(G @ best - system.target) / size)
        np.testing.assert_allclose(np.ravel(found["best_multipliers"]), best, rtol=1e-8)
        assert found["residual"] == pytest.approx(np.linalg.norm(G @ c.ravel() - system.target) / size)
        assert found["best_residual"] <= found["residual"]
        if outputs == 1:
            expected = nnls(G * np.sign(c[:, 0]), system.target)[1] / size
            assert found["best_residual_nonnegative"] == pytest.approx(expected) and expected >= found["best_residual"] - 1e-12

    def test_each_layer_has_its_residual(self):
        system, X, c = train("z^3", steps=30)
        rows = system.target_W.size
        left = system.right_hand_side(X, c)
        found = stationarity_quality(system, X, c).evidence["residual_by_layer"]
        assert found["W"] == pytest.approx(np.linalg.norm(left[:rows] - system.target[:rows]) / np.linalg.norm(system.target[:rows]))
        assert found["a"] == pytest.approx(np.linalg.norm(left[rows:] - system.target[rows:]) / np.linalg.norm(system.target[rows:]))

    def test_margins_support_and_slackness(self):
        system, truth = Configuration(inputs=3, samples=3, width=7, activation="z^3", regime="max-margin").plant(0)
        c = truth.c * np.array([1.0, 1.0, 1e-5])
        found = stationarity_quality(system, truth.X, c)
        assert found.evidence["support_samples"] == 2 and found.evidence["not_support"] == [2] and found.holds is False
        values = np.sign(truth.c) * system.network(truth.X)
        np.testing.assert_allclose(margins(system, truth.X, c[:, None]), values)
        weights = np.abs(c)
        assert found.evidence["complementary_slackness"] == pytest.approx(weights @ np.abs(values - 1) / weights.sum(), abs=1e-12)
        assert found.evidence["margins"]["smallest"] == pytest.approx(1, abs=1e-6)

    def test_margins_of_several_outputs(self):
        net = TwoLayerNetwork(np.eye(3), np.array([[3.0, 0, 0], [0, 2.0, 0], [0, 0, 1.0]]), "z^2")
        system = KKTSystem.max_margin(net)
        X, c = np.array([[1.0, 0.5, 0.0]]), np.array([[2.0, -1.0, -1.0]])
        assert margins(system, X, c) == pytest.approx(3 - 0.5)
        assert margins(system, X, -c) is None and margins(system, X, 0 * c) is None
        assert "margins" not in stationarity_quality(system, X, -c).evidence

    def test_the_closure_of_the_logistic_loss(self):
        system, X, c = train("z^3", steps=3000)
        closed = KKTSystem.weight_decay(system.network, decay=DECAY, loss="logistic")
        assert stationarity_quality(closed, X, c).evidence["closure_residual"] < 1e-12
        assert stationarity_quality(closed, X, 2 * c).evidence["closure_residual"] == pytest.approx(0.5)
        square = KKTSystem.weight_decay(system.network, decay=DECAY, loss="square")
        assert stationarity_quality(square, X, c).evidence["closure_residual"] is None

    def test_odd_input(self, monkeypatch):
        system, truth = Configuration(inputs=3, samples=3, width=7, activation="z^3", regime="max-margin").plant(0)
        overflow = stationarity_quality(system, 1e200 * truth.X, truth.c)
        assert overflow.holds is False and overflow.arithmetic is Arithmetic.FLOAT and "best_residual" not in overflow.evidence
        origin = stationarity_quality(system, 0 * truth.X, truth.c)
        assert origin.evidence["residual"] == 1 and origin.evidence["best_residual"] == pytest.approx(1)
        monkeypatch.setattr(quality, "MAX_ENTRIES", 1)
        assert "best_residual" not in stationarity_quality(system, truth.X, truth.c).evidence
        with pytest.raises(ShapeError, match="X: received shape"):
            stationarity_quality(system, truth.X[:, :2], truth.c)


class TestUndetermined:
    def test_the_number_of_hidden_numbers(self):
        rng = np.random.default_rng(1)
        net = TwoLayerNetwork(np.hstack([rng.standard_normal((2, 2)), np.zeros((2, 3))]), rng.standard_normal(2), "z + z^2")
        data = rng.standard_normal((4, 5)), rng.standard_normal((4, 1))
        both, second = (
            undetermined.undetermined(KKTSystem.max_margin(net, layers=layers), data=data).evidence["at_precision"]["1e-08"]
            for layers in ("both", "second")
        )
        assert both["hidden"] == (4 - 2) * 3 and second["hidden"] == 4 * 3

    def test_exact_rank_when_no_condition_has_it(self, monkeypatch):
        system, _truth = Configuration(inputs=3, samples=3, width=7, activation="z^3", regime="max-margin").plant(0)
        assert undetermined.undetermined(system).evidence["rank"] == 10
        narrow = KKTSystem.max_margin(TwoLayerNetwork(system.network.W[:2], system.network.a[:2], "z^3"))
        found = undetermined.undetermined(narrow)
        assert found.holds is False and "at most 6 of 10 moments" in found.statement and "at least 4 dimensions" in found.statement
        monkeypatch.setattr(undetermined, "MAX_MOMENTS", 5)
        monkeypatch.setattr(undetermined, "MAX_SECONDS", 0.0)
        large = undetermined.undetermined(system)
        assert large.holds is None and "rank" not in large.evidence and "interpolation_rank" not in large.evidence["at_precision"]["0.01"]

    def test_a_network_without_weights(self):
        system = KKTSystem.max_margin(TwoLayerNetwork(np.zeros((3, 2)), np.ones(3), "z^3"))
        found = undetermined.undetermined(system)
        assert found.holds is False and found.evidence["at_precision"]["1e-08"]["rank_W"] == 0

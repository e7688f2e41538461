"""The Fisher information of an update: against a Jacobian by differences, against refits, and against recoveries from noisy updates."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
from numpy.linalg import norm

import identify as idf
from identify.conditions.networks.question import NetworkQuestion
from identify.defence import information as module
from identify.defence.information import information

DEEP = {"inputs": 30, "samples": 3, "width": (12, 10), "outputs": 4, "bias": True}
CASES = {
    "more inputs than the frame": DEEP | {"activation": "gelu"},
    "few inputs": DEEP | {"activation": "relu", "inputs": 6},
    "no bias, so that scales are free": DEEP | {"activation": "relu", "bias": False},
    "without the first update": DEEP | {"activation": "tanh", "inputs": 6, "width": (16, 10), "layers": (2, 3)},
    "the first update alone": DEEP | {"activation": "tanh", "inputs": 20, "width": 15, "outputs": 1, "layers": "first"},
}


def planted(**sizes) -> tuple[idf.KKTSystem, np.ndarray, np.ndarray]:
    system, truth = idf.Configuration(**sizes).plant(seed=0)
    return system, truth.X, truth.c.reshape(len(truth.X), -1)


def noise(system: idf.KKTSystem) -> dict[str, float]:
    rng = np.random.default_rng(1)
    return {name: float(rng.uniform(1, 3)) for name in system.parts}


def jacobian(system: idf.KKTSystem, X: np.ndarray, c: np.ndarray, sizes: dict[str, float]) -> np.ndarray:
    """Weighted, by central differences."""
    weights = np.concatenate([np.full(part.size, 1 / sizes[name]) for name, part in system.parts.items()])
    point, h = np.concatenate([X.ravel(), c.ravel()]), 1e-6

    def side(v: np.ndarray) -> np.ndarray:
        return system.right_hand_side(v[: X.size].reshape(X.shape), v[X.size :].reshape(c.shape)) * weights

    return np.stack([(side(point + h * e) - side(point - h * e)) / (2 * h) for e in np.eye(len(point))], axis=1)


class TestAgainstJacobians:
    @pytest.mark.parametrize("sizes", CASES.values(), ids=CASES)
    def test_covariance_and_information_are_those_of_the_jacobian(self, sizes):
        system, X, c = planted(**sizes)
        (n, d), weights = X.shape, noise(system)
        found = information(system, X, c, weights)
        held = NetworkQuestion.of_system(system, n, 0).scales
        assert held == ("bias" in sizes and not sizes["bias"]) and found.is_joint
        blocks = [scipy.linalg.null_space(x[None]) if held else np.eye(d) for x in X]
        T = scipy.linalg.block_diag(*blocks, np.eye(c.size))
        J = jacobian(system, X, c, weights) @ T
        covariance = T @ np.linalg.inv(J.T @ J) @ T.T
        own = [covariance[i * d : (i + 1) * d, i * d : (i + 1) * d] for i in range(n)]
        np.testing.assert_allclose(found.typical, np.sqrt(np.trace(own, axis1=1, axis2=2)), rtol=1e-4)
        np.testing.assert_allclose(found.largest, [np.linalg.eigvalsh(block)[-1] ** 0.5 for block in own], rtol=1e-4)
        k = d - held
        traces = [np.sum(J[:, i * k : (i + 1) * k] ** 2) for i in range(n)]
        np.testing.assert_allclose(found.informed, k / np.sqrt(traces), rtol=1e-4)

    @pytest.mark.parametrize("name", ["more inputs than the frame", "few inputs"])
    def test_a_change_of_the_target_moves_a_refit_as_stated(self, name):
        system, X, c = planted(**CASES[name])
        rng = np.random.default_rng(0)
        change = {key: 1e-7 * rng.standard_normal(part.shape) for key, part in system.parts.items()}
        moved = system.target + np.concatenate([part.ravel() for part in change.values()])

        def missing(v: np.ndarray) -> np.ndarray:
            return system.right_hand_side(v[: X.size].reshape(X.shape), v[X.size :].reshape(c.shape)) - moved

        start = np.concatenate([X.ravel(), c.ravel()])
        fit = scipy.optimize.least_squares(missing, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
        shift = information(system, X, c, dict.fromkeys(system.parts, 1.0), change).shift
        np.testing.assert_allclose(shift, norm(fit.x[: X.size].reshape(X.shape) - X, axis=1), rtol=1e-3)

    def test_a_sample_that_the_update_does_not_determine_has_no_bar(self):
        """30 inputs behind 12 neurons: without the first update, 18 directions of each sample change nothing."""
        system, X, c = planted(**DEEP, activation="tanh", layers=(2, 3))
        found = information(system, X, c, noise(system))
        assert np.isinf(found.typical).all() and np.isinf(found.largest).all() and np.isfinite(found.informed).all()

    def test_only_the_samples_in_the_kernel_have_no_bar(self):
        """Two samples with one activation pattern in all layers enter through their span alone; the third is determined."""
        system, X, c = planted(**DEEP, activation="relu")
        X = np.array([X[0], X[0] + 1e-3 * X[1], X[2]])
        found = information(system, X, c, noise(system))
        assert np.isinf(found.typical).tolist() == [True, True, False]


class TestBounds:
    @pytest.mark.parametrize("sizes", CASES.values(), ids=CASES)
    def test_knowing_the_others_never_hurts(self, sizes):
        system, X, c = planted(**sizes)
        found = information(system, X, c, noise(system))
        assert (found.informed <= found.typical).all() and (found.largest <= found.typical * (1 + 1e-9)).all()

    @pytest.mark.parametrize("name", ["more inputs than the frame", "few inputs", "no bias, so that scales are free"])
    def test_the_cheap_estimator_is_no_better_than_the_best(self, name, monkeypatch):
        system, X, c = planted(**CASES[name])
        best = information(system, X, c, noise(system))
        monkeypatch.setattr(module, "DENSE", 0)
        cheap = information(system, X, c, noise(system))
        assert best.is_joint and not cheap.is_joint
        assert (cheap.typical >= best.typical * (1 - 1e-9)).all() and (cheap.typical <= 2 * best.typical).all()
        np.testing.assert_allclose(cheap.informed, best.informed)

    def test_a_layer_kept_back_never_helps(self):
        system, X, c = planted(**DEEP, activation="gelu")
        every = information(system, X, c, dict.fromkeys(system.parts, 1.0)).typical
        for layer in (2, 3):
            part = idf.KKTSystem(system.network, {k: v for k, v in system.layers.items() if k != layer}, "gradient")
            assert (information(part, X, c, dict.fromkeys(part.parts, 1.0)).typical >= every * (1 - 1e-9)).all()

    def test_too_large_is_refused_before_anything_is_allocated(self, monkeypatch):
        monkeypatch.setenv("IDENTIFY_MEMORY", "0.0001")
        system, X, c = planted(**DEEP, activation="gelu")
        with pytest.raises(idf.TooLargeError):
            information(system, X, c, noise(system))

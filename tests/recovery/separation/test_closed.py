"""Weights at a stationary point of weight decay: samples one by one, with the multipliers that the loss gives."""

from __future__ import annotations

import numpy as np
import pytest
from support.decayed import DECAY, objective, stationary_network

import identify as idf
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.recovery.separation.closures import ClosedColumns, Closure
from identify.recovery.separation.forward import Chart
from identify.recovery.separation.membership import Position
from identify.recovery.separation.neurons import distinct_neurons
from identify.recovery.separation.with_loss import has_closure, separated_by_loss
from identify.recovery.solution import Failure, InapplicableError, RecoveryError, ResidualError

AS_MANY = {"n": 6, "d": 8, "classes": 5, "width": 20}
"""10 neurons differ: as many equations as unknowns."""
TO_SPARE = {"n": 8, "d": 10, "classes": 6, "width": 24, "seed": 4}
FIRST = {"n": 4, "d": 6, "classes": 3, "width": 14, "first_only": True}
LOGISTIC = {"n": 3, "d": 6, "classes": 1, "width": 12, "first_only": True, "seed": 5}


def system_of(net, *, first_only=False, decay=DECAY, **options):
    return idf.KKTSystem.weight_decay(net, decay=decay, layers="first" if first_only else "both", **options)


def errors(found, X):
    """Of each sample, to the nearest one that was found; no symmetry is left, since the loss is not one of the network."""
    return np.linalg.norm(X[:, None] - found.X, axis=2).min(axis=1) / np.linalg.norm(X, axis=1)


def slope(net, X, labels, *, first_only=False):
    """‖gradient of the regularised loss‖ / ‖decay θ‖ at these samples, by code that is not the package's."""
    W, A = np.column_stack([net.weights[0], net.biases[0]]), net.weights[1]
    theta = np.concatenate([W.ravel()] + [A.ravel()] * (not first_only))
    return np.linalg.norm(objective(theta, X, labels, W, A, DECAY)[1]) / (DECAY * np.linalg.norm(theta))


class TestImages:
    @pytest.mark.parametrize("outputs", [1, 3])
    def test_derivatives(self, outputs):
        rng = np.random.default_rng(outputs)
        m, n, k = 7, 4, 3
        chart = Chart.of(rng.standard_normal((m, n)), rng.standard_normal(m), rng.standard_normal(n), rng.standard_normal((n, k)))
        parts = rng.standard_normal(outputs), rng.standard_normal((outputs, m))
        images = ClosedColumns(chart, *parts, idf.Activation.parse("tanh"), Closure(outputs, 0.3), rng.standard_normal((n, m)))
        points = np.column_stack([rng.standard_normal((5, k)), rng.integers(2, size=5)])
        for which, J in enumerate(images.jacobians(points)):
            for j in range(k):
                moved = 1e-6 * np.eye(k + 1)[j]
                change = (images.values(points + moved)[which] - images.values(points - moved)[which]) / 2e-6
                assert np.allclose(change, J[:, :, j], atol=1e-8)
            assert not J[:, :, k].any()

    def test_points_beyond_doubles_have_no_cost(self):
        chart = Chart.of(np.eye(2), np.zeros(2), np.zeros(2), np.eye(2))
        images = ClosedColumns(chart, np.zeros(3), np.ones((3, 2)), idf.Activation.parse("gelu"), Closure(3, 1.0), np.eye(2))
        with np.errstate(invalid="ignore"):  # as every recovery does
            at = Position.of(images, [np.eye(2)[:1], np.eye(2)[:1]], np.array([[np.nan] * 3, [np.inf, 0, 1], [1.0, 0.5, 2.0]]))
        assert np.isfinite(at.costs).tolist() == [False, False, True]

    @pytest.mark.parametrize("outputs", [1, 3])
    def test_multipliers_are_minus_the_derivative_of_the_loss(self, outputs):
        from support.decayed import loss_and_slopes

        f, labels = np.random.default_rng(0).standard_normal((4, outputs)), np.array([0, 1, 1, 0])
        assert np.allclose(Closure(outputs, 1 / 4).multipliers(f, labels), -loss_and_slopes(f, labels)[1])


class TestTrained:
    @pytest.mark.parametrize(
        ("sizes", "reason"),
        [
            (AS_MANY, UniquenessReason.AMONG_POINTS),
            pytest.param(TO_SPARE, UniquenessReason.CLOSED, marks=pytest.mark.slow),
            (FIRST, UniquenessReason.CLOSED),
            (LOGISTIC, UniquenessReason.CLOSED),
        ],
    )
    def test_all_samples(self, sizes, reason):
        net, X, labels, residual = stationary_network(**sizes)
        assert residual < 1e-12
        first_only = sizes.get("first_only", False)
        found = idf.recover(system_of(net, first_only=first_only), judge=False)
        assert found.method == "closed separation" and found.n_samples == len(X) and found.uniqueness.reason is reason
        assert (found.uniqueness.status is UniquenessStatus.EVIDENCE) == (reason is UniquenessReason.CLOSED)
        assert errors(found, X).max() < 1e-9 and found.residual < 1e-11
        classes = (found.labels > 0).astype(int) if sizes["classes"] == 1 else found.labels
        assert sorted(classes) == sorted(labels)
        assert slope(net, found.X, classes, first_only=first_only) < 1e-10

    def test_the_second_layer_does_not_count_them(self):
        net, X, _, _ = stationary_network(**AS_MANY)
        ranks = [np.linalg.matrix_rank(W, tol=1e-8 * np.linalg.norm(W)) for W in net.weights]
        assert ranks == [len(X), 4] and distinct_neurons(np.column_stack([net.weights[0], net.biases[0]]), net.weights[1]) == 10

    def test_the_same_seed_gives_the_same_samples(self):
        net, *_ = stationary_network(**FIRST)
        one, other = (idf.recover(system_of(net, first_only=True), judge=False, seed=3) for _ in range(2))
        assert np.array_equal(one.X, other.X)

    def test_the_logistic_loss_may_be_named(self):
        net, X, _, _ = stationary_network(**LOGISTIC)
        found = idf.recover(system_of(net, first_only=True, loss="logistic"), judge=False)
        assert found.method == "closed separation" and errors(found, X).max() < 1e-9
        assert not has_closure(system_of(net, first_only=True, loss="square"))

    def test_single_precision(self):
        net, X, _, _ = stationary_network(**AS_MANY)
        rounded = net.with_parameters({name: part.astype(np.float32).astype(float) for name, part in net.parameters.items()})
        found = idf.recover(system_of(rounded), samples=len(X))
        assert found.method == "closed separation" and errors(found, X).max() < 1e-4
        assert found.residual < 1e-6 and not found.uniqueness.is_supported


class TestNothingIsClaimed:
    def refused(self, system, **options):
        with pytest.raises(RecoveryError) as raised:
            separated_by_loss(system, samples=None, seed=0, patience=1, **options)
        return raised.value

    def test_equal_neurons_leave_too_few_equations(self):
        net, X, _, _ = stationary_network(n=4, d=6, classes=5, width=16, seed=1)
        error = self.refused(system_of(net))
        assert isinstance(error, InapplicableError) and error.obstacle.kind is Failure.FEW_NEURONS
        assert error.obstacle.numbers == {"neurons": 4, "equations": 1, "unknowns": 3}
        with pytest.raises(RecoveryError):  # nor does another method take members of a family for samples
            idf.recover(system_of(net), samples=len(X), budget=5)

    @pytest.mark.parametrize("change", ["decay", "output", "square loss"])
    def test_another_question(self, change):
        net, *_ = stationary_network(**FIRST)
        W, A = net.weights
        if change == "output":
            net = idf.Network([W, A[:, ::-1]], biases=[net.biases[0], None], activation="tanh")
        elif change == "square loss":  # the first layer of other multipliers: a combination of gradients, and no multiple of the weights
            rng = np.random.default_rng(0)
            X = rng.standard_normal((4, 6))
            u = net.signals(X, rng.standard_normal((4, 3)))[0]
            net = idf.Network([u.T @ X, A], biases=[u.sum(axis=0), None], activation="tanh")
        error = self.refused(system_of(net, first_only=True, decay=2 * DECAY if change == "decay" else DECAY))
        assert isinstance(error, ResidualError)

    def test_training_that_was_stopped(self):
        net, *_, residual = stationary_network(**FIRST | {"newton": 0, "steps": 12})
        assert residual > 1e-2
        assert isinstance(self.refused(system_of(net, first_only=True)), RecoveryError)

    def test_more_samples_than_the_rank(self):
        net, *_ = stationary_network(**FIRST)
        with pytest.raises(InapplicableError) as raised:
            separated_by_loss(system_of(net, first_only=True), samples=5, seed=0)
        assert raised.value.obstacle.kind is Failure.LOW_RANK

    def test_time_that_is_spent(self):
        net, *_ = stationary_network(**AS_MANY)
        assert isinstance(self.refused(system_of(net), go_on=lambda: False), ResidualError)


def test_neurons_that_differ():
    rng = np.random.default_rng(0)
    W, A = rng.standard_normal((5, 3)), rng.standard_normal((2, 5))
    chosen, signs = np.array([0, 1, 1, 4, 4, 4, 2, 3]), np.array([1, 1, -1, 1, 1, -1, 1, 1])
    many, output = signs[:, None] * W[chosen], signs * A[:, chosen]
    assert distinct_neurons(many, output) == distinct_neurons(many) == 5
    assert distinct_neurons(np.vstack([many, 1e-9 * many]), np.hstack([output, 1e-9 * output])) == 5
    output[0, 1] += 0.1  # the same inputs, but it answers in another way
    assert distinct_neurons(many, output) == 6 and distinct_neurons(many) == 5
    noisy = many + 1e-3 * rng.standard_normal(many.shape)
    assert distinct_neurons(noisy) == 8 and distinct_neurons(noisy, noise=1e-3) == 5

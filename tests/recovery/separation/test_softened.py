"""Softened slopes: means over a box, exact derivatives at solutions, and descents that pass kinks."""

import numpy as np
import pytest

import identify as idf
from identify.problem.activation import as_activation
from identify.recovery.separation import membership, products
from identify.recovery.separation.dense import Updates
from identify.recovery.separation.membership import Position
from identify.recovery.separation.peel import Peeling
from identify.recovery.separation.softened import Softened, mean_slopes, softened
from identify.recovery.separation.subspace import Subspace

KINKED = ["relu", "leaky_relu(0.2)", "abs", "hard_tanh(-1, 1)", "relu6", "piecewise_linear([-1, 1/2, 2], [2, -1, 0, 3], 1)"]


@pytest.mark.smoke
@pytest.mark.parametrize("name", KINKED)
def test_the_mean_slope_is_a_difference_quotient(name):
    sigma = as_activation(name)
    rng = np.random.default_rng(0)
    z, width = 3 * rng.standard_normal((4, 50)), np.array([[0.1], [0.5], [2.0], [9.0]])
    quotient = (sigma(z + width) - sigma(z - width)) / (2 * width)
    assert np.allclose(mean_slopes(sigma, z, width), quotient, atol=1e-12)
    assert np.array_equal(mean_slopes(sigma, z, 0 * width), sigma(z, order=1))  # no sample lies on a kink


def searched(activation="relu", inputs=60, widths=(80, 56), n=30, seed=0):
    """A search for the batch behind an update, its chart, images and spaces, starts, and the samples as points of the chart."""
    question = idf.Configuration(inputs=inputs, samples=n, width=widths, activation=activation, outputs=5, bias=True)
    system, truth = question.plant(seed)
    X = truth.X
    updates = Updates.of(system)
    own = Peeling(updates.stack, 1, [Subspace.of(matrix, n) for matrix in updates.matrices[:2]], updates.lifted[:2])
    avoided, points = own.known()
    chart = own.chart(avoided)
    rows, _ = own._rows(chart, avoided, points)
    samples = chart.points(np.hstack([X, np.ones((n, 1))]) @ own.first.right.T)
    return own.images(chart), own.remaining(), rows, samples


@pytest.mark.parametrize("activation", ["relu", "leaky_relu(0.2)"])
def test_derivatives(activation):
    """At a solution they are exact, elsewhere those of softened slopes, by matrices and by products; a smooth network is left alone."""
    images, spaces, rows, samples = searched(activation)
    exact = softened(images, np.zeros(len(samples)))
    for one, other in zip(exact.jacobians(samples), images.jacobians(samples), strict=True):
        assert np.array_equal(one, other)
    at = Position.of(images, spaces, rows[:3])
    soft = softened(images, at.costs)
    assert isinstance(soft, Softened) and all(map(np.array_equal, soft.values(rows[:3]), images.values(rows[:3])))
    move = np.random.default_rng(0).standard_normal(rows[:3].shape).astype(np.float32)
    for J, other, along in zip(soft.jacobians(rows[:3]), images.jacobians(rows[:3]), soft.tangent(rows[:3]).times(move), strict=True):
        assert np.abs(J - other).max() > 1e-2
        assert np.allclose(np.einsum("siu,su->si", J, move), along, atol=1e-4)
    smooth = searched("gelu")[0]
    assert softened(smooth, np.zeros(3)) is smooth


@pytest.mark.once
@pytest.mark.parametrize("descend", [membership.descend, products.descend], ids=["matrices", "products"])
def test_descents_pass_kinks(descend):
    """More of the same starts end at samples, 25, 23 and 27 of 40 where true slopes lead to 2, 7 and 7; no cost rises."""
    hard = soft = 0
    for seed in range(3):
        images, spaces, rows, samples = searched(seed=seed)
        rows = rows[:40]
        before = Position.of(images, spaces, rows).costs
        for is_soft in (False, True):
            reached = descend(images, spaces, rows, steps=60, enough=1e-18, soft=is_soft)
            away = np.linalg.norm(reached.points[:, None] - samples, axis=2).min(axis=1)
            there = (reached.costs < 1e-12) & (away < 1e-3)
            assert np.all(reached.costs <= before)
            hard, soft = hard + (not is_soft) * there.sum(), soft + is_soft * there.sum()
    assert soft > 2 * hard, (hard, soft)

"""Degree 2, where (S) leaves a rotation: margins and closures of at most three samples fix it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from support.marks import alone, slow
from support.oracles import system_of

import identify as idf
from identify.recovery import joint
from identify.recovery.reduce import Reduced

SQUARE = "z + z^2/2"


def gradient(samples: int, seed: int, side: str, activation: str = SQUARE):
    """A gradient, and its data with margin 1 or with the multipliers that the logistic loss gives them."""
    rng = np.random.default_rng(seed)
    net = idf.Configuration(inputs=4, samples=samples, width=12, activation=activation).plant(seed)[0].network
    X, signs = rng.standard_normal((samples, 4)), np.resize([1.0, -1.0], samples)
    if side == "margins":
        X = np.array([_with_margin(net, x, y) for x, y in zip(X, signs, strict=True)])
        c = signs * rng.uniform(0.5, 1.5, samples)
        return replace(system_of(net, X, c[:, None]), labels=signs), X, c
    c = signs * expit(-signs * net(X).ravel()) / samples
    return replace(system_of(net, X, c[:, None]), loss="logistic"), X, c


def _with_margin(net, x, y):
    """A multiple of x with f = y, or of a random direction along which there is one."""
    rng = np.random.default_rng(0)
    while True:
        linear, square = (net(x[None])[0] - net(-x[None])[0]).item() / 2, (net(x[None])[0] + net(-x[None])[0]).item() / 2
        roots = np.roots([square, linear, -y])
        if np.isreal(roots).all():
            return float(np.real(roots[np.argmin(np.abs(roots))])) * x
        x = rng.standard_normal(len(x))


@pytest.mark.parametrize(
    ("side", "seed", "starts"),
    [
        ("margins", 0, 16),
        slow("closure", 0, 16),
        slow("margins", 0, None),
        slow("closure", 0, None),
        slow("margins", 1, None),
        slow("closure", 1, None),
    ],
)
def test_two_samples(side, seed, starts):
    """(S) leaves a direction free, so the error bars are infinite: they claim nothing about the side equations."""
    system, X, c = gradient(2, seed, side)
    found = idf.recover(system, samples=2, starts=starts)
    assert found.method == "joint" and found.match(X, c).errors.max() < 1e-10
    assert found.evidence["uniqueness"]["solutions"] == 1 and found.evidence["uniqueness"]["converged"] > 1
    assert np.isinf(found.error_bars).any()


@pytest.mark.slow
def test_three_samples_may_have_several_solutions_and_the_evidence_says_so():
    system, *_ = gradient(3, 2, "margins")
    found = idf.recover(system, samples=3, starts=32)
    assert found.residual < 1e-12 and found.evidence["uniqueness"]["solutions"] > 1
    assert np.allclose(np.sort(system.network(found.X).ravel()), [-1, 1, 1]) and (found.c * system.network(found.X).ravel() > 0).all()


@pytest.mark.parametrize("side", ["margins", "closure"])
def test_derivatives(side):
    system, X, _ = gradient(3, 0, side)
    reduced = Reduced.of(system, 3)
    Z = reduced.project(X)
    values, slopes = joint.outputs_and_slopes(reduced, Z)
    assert np.allclose(values, system.network(X).ravel())
    for r in range(Z.shape[1]):
        step = 1e-6 * np.eye(Z.shape[1])[r]
        moved = [joint.outputs_and_slopes(reduced, Z + sign * step)[0] for sign in (1, -1)]
        assert np.allclose((moved[0] - moved[1]) / 2e-6, slopes[:, r], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("samples", "side", "activation"),
    [(4, "closure", SQUARE), (2, "none", SQUARE), (2, "closure", "z^2")],
)
@pytest.mark.parametrize("method", ["auto", "joint", "birth"])
def test_refused_where_a_rotation_is_left(samples, side, activation, method):
    system, *_ = gradient(samples, 0, "closure", activation)
    if side == "none":
        system = replace(system, loss=None)
    with pytest.raises(idf.RecoveryError, match="only up to a rotation"):
        idf.recover(system, samples=samples, method=method)


@alone
def test_other_degrees_may_use_it():
    system, X, c = gradient(2, 1, "closure", "z + z^3")
    assert idf.recover(system, samples=2, method="joint", starts=16).match(X, c).errors.max() < 1e-10


def test_other_degrees_have_no_need_of_it():
    system, *_ = gradient(2, 1, "closure", "z + z^3")
    assert idf.recover(system, samples=2).method == "algebraic"
    with pytest.raises(idf.RecoveryError, match="no side equations"):
        idf.recover(replace(system, loss=None), samples=2, method="joint")

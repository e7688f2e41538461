"""The last refinement against dense linear algebra, and what it gains at noise."""

from __future__ import annotations

import numpy as np
import pytest

import identify as idf
from identify.recovery.separation import dense
from identify.recovery.separation.dense import JOINTLY, Updates
from identify.recovery.separation.jointly import Observed, Passed, jointly

NOISE = 1e-4


def planted(activation, seed=0, **changes):
    config = {"inputs": 20, "samples": 5, "width": (40, 30), "outputs": 3, "bias": True, "activation": activation, **changes}
    system, truth = idf.Configuration(**config).plant(seed)
    updates, rng = Updates.of(system), np.random.default_rng(seed)
    noise = [NOISE * np.sqrt(np.mean(matrix**2)) for matrix in updates.matrices]
    noisy = [matrix + s * rng.standard_normal(matrix.shape) for matrix, s in zip(updates.matrices, noise, strict=True)]
    return Observed(updates.stack, noisy, updates.lifted, noise), system, truth


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
class TestJacobian:
    def test_updates_are_those_of_the_network(self, activation):
        observed, system, truth = planted(activation)
        exact = [np.hstack([u.W, *([] if u.bias is None else [u.bias[:, None]])]) for u in system.updates]
        noisy = np.concatenate([(m - e).reshape(-1) / s for m, e, s in zip(observed.matrices, exact, observed.noise, strict=True)])
        assert np.allclose(Passed(observed, truth.X, truth.c).missing(), noisy, atol=1e-6)

    def test_products_are_derivatives(self, activation):
        observed, _, truth = planted(activation)
        rng = np.random.default_rng(1)
        dX, dc, step = rng.standard_normal(truth.X.shape), rng.standard_normal(truth.c.shape), 1e-6
        plus, minus = (Passed(observed, truth.X + s * dX, truth.c + s * dc).missing() for s in (step, -step))
        along = Passed(observed, truth.X, truth.c).times(dX, dc)
        assert np.allclose(along, (minus - plus) / (2 * step), atol=1e-5 * np.abs(along).max())

    def test_transposed_products_are_adjoint(self, activation):
        observed, _, truth = planted(activation)
        at, rng = Passed(observed, truth.X, truth.c), np.random.default_rng(2)
        dX, dc = rng.standard_normal(truth.X.shape), rng.standard_normal(truth.c.shape)
        rows = rng.standard_normal(len(at.missing()))
        by_X, by_c = at.transposed(rows)
        assert np.sum(by_X * dX) + np.sum(by_c * dc) == pytest.approx(rows @ at.times(dX, dc))

    def test_steps_are_least_squares(self, activation):
        observed, _, truth = planted(activation, inputs=8, samples=3)
        at = Passed(observed, truth.X, truth.c)
        units = np.eye(truth.X.size + truth.c.size)
        J = np.array([at.times(u[: truth.X.size].reshape(truth.X.shape), u[truth.X.size :].reshape(truth.c.shape)) for u in units]).T
        rest = at.missing()
        dX, dc = at.solve(rest, accuracy=1e-10)
        oracle = np.linalg.lstsq(J, rest, rcond=None)[0]
        assert np.allclose(np.concatenate([dX.reshape(-1), dc.reshape(-1)]), oracle, atol=1e-6 * np.abs(oracle).max())


@pytest.mark.once
@pytest.mark.parametrize(("activation", "least"), [("relu", 1.2), ("gelu", 1.6)])
def test_errors_are_smaller_than_without_it_and_bars_are_those_of_the_answer(activation, least, monkeypatch):
    errors: dict[float, list[float]] = {JOINTLY: [], np.inf: []}
    ratios = []
    for seed in range(4):
        observed, system, truth = planted(activation, seed, inputs=30, samples=6, width=(60, 50))
        given = zip(observed.matrices, observed.lifted, strict=True)
        layers = {k: (m[:, :-1], m[:, -1]) if lifted else m for k, (m, lifted) in enumerate(given, 1)}
        for threshold, own in errors.items():
            monkeypatch.setattr(dense, "JOINTLY", threshold)
            found = idf.recover(idf.KKTSystem.gradient(system.network, layers=layers), samples=6, judge=False)
            match = found.match(truth.X, truth.c)
            own.extend(match.errors)
            if threshold == JOINTLY:
                ratios.extend(match.errors * np.linalg.norm(truth.X, axis=1) / found.error_bars[match.order])
                assert found.evidence["separation"]["refined_jointly"]
    assert 0.5 < np.sqrt(np.mean(np.square(ratios))) < 2
    before, after = (np.sqrt(np.mean(np.square(errors[threshold]))) for threshold in (np.inf, JOINTLY))
    assert before > least * after


def test_nothing_is_gained_without_time():
    observed, _, truth = planted("gelu")
    X, c, bars = jointly(observed, truth.X, truth.c, np.random.default_rng(0), go_on=lambda: False)
    assert X is truth.X and c is truth.c and bars is None

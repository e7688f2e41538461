"""Splitting matrices whose entries are not doubles: the end says that it is not known to be stationary, and no library's error leaves."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from identify.attacks.runs import Splitting
from identify.attacks.splits import checked
from identify.splitting.lanczos import alone, lowest
from identify.splitting.matrices import smallest
from identify.splitting.minimise import minimise
from identify.splitting.published import chosen


def steep(X, c):
    return (jnp.sum(c[:, 0] * jnp.exp(X[:, 0])) - 2) ** 2


@pytest.mark.parametrize("d", [1, 101])
@pytest.mark.parametrize("at", [400.0, 1e200])
def test_minimise_ends_without_a_claim(at, d):
    found = minimise(steep, np.full((1, d), at), np.array([[2.0]]), rounds=2)
    assert found.status == "not stationary" and np.isnan(found.eigenvalue) and not np.isfinite(found.value)


@pytest.mark.parametrize("d", [1, 101])
def test_one_candidate_beyond_doubles_does_not_hide_the_others(d):
    X, c = np.zeros((2, d)), np.array([[2.0], [0.5]])
    X[0, 0], X[1, 0] = 400.0, 0.3
    separate = lambda X, c: jnp.sum(c[:, 0] * (jnp.exp(X[:, 0]) - 3 * X[:, -1] ** 2))  # noqa: E731
    far = np.where(X == 400.0, 800.0, X)
    values, vectors = smallest(separate, far, c)
    alone_values, _ = smallest(separate, X[1:], c[1:])
    assert np.isnan(values[0]) and np.isclose(values[1], alone_values[0]) and np.isfinite(vectors).all()


def test_no_split_of_what_is_not_known():
    values = np.array([np.nan, 1.0, np.nan])
    assert not len(chosen(values))
    point = {"X": np.full((1, 1), 800.0), "c": np.ones((1, 1))}
    for rule in ("best", "published"):
        assert not checked(steep, point, 1, Splitting(rule=rule), 2)[2]


def test_operators_that_are_finite_keep_their_eigenvalues():
    A = np.diag([3.0, -2.0, 1.0] + [0.5] * 9)

    def broken(v):
        return np.where(np.arange(12) == 4, np.inf, v)

    values, _, converged = lowest(lambda V: np.stack([V[0] @ A, broken(V[1])]), 2, 12, steps=12)
    assert np.isclose(values[0], -2) and np.isnan(values[1]) and converged.all()
    assert np.isclose(alone(lambda v: A @ v, 12)[0], -2) and np.isnan(alone(broken, 12)[0])

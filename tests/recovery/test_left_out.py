"""Fewer samples asked for than the updates show: what the others add passes for noise, and no mixture of two may pass for a sample."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.marks import slow_unless

import identify as idf
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus


def pair(distance, n=4, d=6, seed=0):
    """The last two samples are that near each other."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, d))
    X[-1] = X[-2] + distance * rng.uniform(-1, 1, d)
    return X, rng


def behind_a_map(distance):
    X, rng = pair(distance)
    W, b, U = rng.standard_normal((40, 6)) / 6**0.5, rng.standard_normal(40), rng.standard_normal((4, 8))

    def phi(x):
        return jax.nn.gelu(W @ x + b, approximate=False)

    with jax.enable_x64(True):
        H = np.array([np.asarray(phi(jnp.asarray(x))) for x in X])
    return idf.KKTSystem.features(phi, 6, W=U.T @ H, bias=U.sum(axis=0), box=(-1, 1)), X, U


def of_layers(activation, layers, width=(60, 40)):
    def made(distance):
        config = idf.Configuration(inputs=12, samples=4, width=width, activation=activation, outputs=5, bias=True)
        net = config.plant(seed=1)[0].network
        X, rng = pair(distance, d=12, seed=3)
        c = rng.standard_normal((4, 5))
        every = range(1, net.depth + 1)
        ones = {k: (np.ones_like(net.weights[k - 1]), net.biases[k - 1]) for k in every if layers is None or k in layers}
        system = idf.KKTSystem.gradient(net, layers=ones)
        return system.with_target(system.right_hand_side(X, c)), X, c

    return made


KINDS = {
    "known map": behind_a_map,
    "relu": of_layers("relu", None),
    "gelu": of_layers("gelu", None),
    "first layer": of_layers("tanh", {1}, width=60),
    "polynomial": of_layers("z + z^2/2 + z^3", None, width=60),
}


@pytest.mark.parametrize(
    ("kind", "distance"),
    slow_unless(lambda kind, distance: distance < 1e-1 or kind == "polynomial", product(KINDS, [1e-1, 1e-3, 1e-5])),
)
def test_what_is_found_is_doubted_unless_it_is_right(kind, distance):
    system, X, c = KINDS[kind](distance)
    try:
        found = idf.recover(system, samples=3, budget=3.0)
    except idf.RecoveryError:
        return
    right = found.match(X, c).errors
    assert not found.uniqueness.is_supported or (np.sum(right < 1e-9) == found.n_samples)


def test_the_reason_is_named():
    system = behind_a_map(1e-3)[0]
    found = idf.recover(system, samples=3)
    assert found.uniqueness.reason is UniquenessReason.LEFT_OUT and found.uniqueness.numbers == {"samples": 3, "shown": 4}
    assert "the updates show 4 samples" in str(found.uniqueness)
    whole = idf.recover(system)
    assert whole.n_samples == 4 and whole.uniqueness.status is UniquenessStatus.EVIDENCE
    asked = idf.recover(system, samples=4)
    assert asked.uniqueness.status is UniquenessStatus.EVIDENCE


def test_the_rest_of_two_outputs_is_looked_at_unless_their_rows_add_up_to_zero():
    """Two samples of one direction: the second update has two singular values, of which the smaller one is no rounding."""
    net = idf.Network([np.array([[0.7], [-1.3]]), np.array([[0.4, 1.1], [-0.9, 0.3]])], activation="sin")
    X, c = np.array([[1.04], [1.06]]), np.array([[0.36, -0.38], [-0.14, 0.02]])
    observed = idf.KKTSystem.gradient(net, layers={1: np.ones((2, 1)), 2: np.ones((2, 2))})
    system = observed.with_target(observed.right_hand_side(X, c))
    try:
        found = idf.recover(system)
    except idf.RecoveryError:
        return
    assert found.n_samples == 2 or not found.uniqueness.is_supported

"""Samples as vertices of the row space: planted ones, linear programmes as a second oracle, and spaces in which there are none."""

from itertools import combinations

import numpy as np
import pytest

from identify import InputError, Network
from identify.attacks import vertices
from identify.attacks.limits import _Search

LOW, HIGH = 0.0, 1.0


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def images(rng, n, d, background=0.6):
    """Values between the limits, many of them at the lower one."""
    return rng.uniform(0.2, 0.8, (n, d)) * (rng.uniform(size=(n, d)) > background)


def network(rng, X, activation="gelu", width=15, noise=0.0):
    """The first layer of a trained network: combinations of the lifted samples, and noise."""
    lifted = rng.standard_normal((width, len(X))) @ np.column_stack([X, np.ones(len(X))])
    lifted += noise * rng.standard_normal(lifted.shape)
    return Network([lifted[:, :-1], np.ones((1, width))], biases=[lifted[:, -1], None], activation=activation)


def errors(found, X):
    return np.array([np.linalg.norm(found - x, axis=1).min() / np.linalg.norm(x) for x in X])


@pytest.mark.parametrize("activation", ["relu", "tanh", "z + z^3"])
def test_planted_samples_are_the_credible_vertices(rng, activation):
    X = images(rng, 5, 60)
    found = vertices(network(rng, X, activation), LOW, HIGH, starts=120)
    assert found.dimension == 4
    assert errors(found.X[: len(X)], X).max() < 1e-10
    assert found.credible[:5].all() and not found.credible[5:].any()


def test_deeper_networks_are_read_by_their_first_layer_alone(rng):
    X = images(rng, 3, 30)
    shallow = network(rng, X)
    above = [rng.standard_normal((4, 15)), rng.standard_normal((2, 4))]
    deep = Network([shallow.weights[0], *above], biases=[shallow.biases[0], None, None], activation="relu")
    found, again = (vertices(net, LOW, HIGH, starts=20) for net in (shallow, deep))
    np.testing.assert_array_equal(found.X, again.X)


def test_with_noise_in_the_weights_samples_are_near_vertices(rng):
    X = images(rng, 4, 60)
    found = vertices(network(rng, X, noise=1e-4), LOW, HIGH, noise=1e-4, starts=120)
    assert found.dimension == 3
    assert 1e-8 < errors(found.X, X).max() < 1e-2
    assert errors(found.X[found.credible], X).max() < 1e-2


def test_no_vertex_of_a_space_without_samples_is_credible(rng):
    """Negative control: a random subspace has vertices, with as many limits as dimensions."""
    found = vertices(network(rng, rng.uniform(-0.5, 0.5, (4, 40))), -1.0, 1.0, starts=100)
    assert len(found.X) > 4
    assert not found.credible.any()
    assert found.met.max() <= found.dimension + 1


def test_without_biases_samples_are_found_up_to_their_scale(rng):
    X = images(rng, 3, 40)
    found = vertices(Network([rng.standard_normal((9, 3)) @ X, np.ones((1, 9))], activation="tanh"), LOW, HIGH, starts=80)
    brightest = X / X.max(axis=1, keepdims=True)
    assert found.dimension == 3
    assert errors(found.X, brightest).max() < 1e-9


def test_gray_images_are_not_found(rng):
    """Negative control: samples none of whose inputs is at a limit are inside the polytope."""
    X = rng.uniform(0.2, 0.8, (4, 40))
    found = vertices(network(rng, X), LOW, HIGH, starts=60)
    assert errors(found.X, X).min() > 0.1
    assert not found.credible.any()


def search_of(X):
    """The search in the affine hull of these points, exactly."""
    origin, basis = X[0], np.linalg.qr((X[1:] - X[0]).T)[0].T
    r = len(basis)
    return origin, _Search(basis, np.zeros((r, r)), np.zeros(r), LOW - origin, HIGH - origin)


def test_a_point_between_two_samples_is_not_confirmed(rng):
    """The line through two samples meets one more limit where it ends; nothing but that limit says where."""
    X = images(rng, 4, 60)
    origin, search = search_of(X)
    for x in X:
        assert search.leverage(search.basis @ (x - origin)) < 0.95
    step = X[1] - X[0]
    reach = np.where(step < 0, -X[1] / np.where(step, step, 1), np.where(step > 0, (1 - X[1]) / np.where(step, step, 1), np.inf))
    beyond, middle = X[1] + reach[reach > 1e-9].min() * step, (X[0] + X[1]) / 2
    assert ((X[0] == 0) & (X[1] == 0)).sum() > 4
    for x in (beyond, middle):
        assert search.leverage(search.basis @ (x - origin)) > 0.95


def test_every_vertex_is_one_of_the_polytope_by_enumeration(rng):
    """Second oracle: all vertices of a small polytope, from all sets of r inputs at a limit."""
    X = images(rng, 3, 12, background=0.5)
    origin, search = search_of(X)
    all_of_them = []
    for pair in combinations(range(12), 2):
        for limits in ((0, 0), (0, 1), (1, 0), (1, 1)):
            columns = search.basis[:, list(pair)].T
            if abs(np.linalg.det(columns)) > 1e-9:
                x = origin + np.linalg.solve(columns, limits - origin[list(pair)]) @ search.basis
                if x.min() > -1e-9 and x.max() < 1 + 1e-9:
                    all_of_them.append((np.sum(X.any(axis=0) & ((abs(x) < 1e-9) | (abs(x - 1) < 1e-9))), x))
    found = vertices(network(rng, X), LOW, HIGH, starts=60)
    assert found.met[0] == max(count for count, _ in all_of_them)
    for x in found.X[found.met > 3]:
        assert min(np.linalg.norm(x - vertex) for _, vertex in all_of_them) < 1e-2


def test_same_seed_same_result_and_a_budget_ends_the_search(rng):
    net = network(rng, images(rng, 3, 30))
    first, second = (vertices(net, LOW, HIGH, starts=12, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.X, second.X)
    assert first.starts == 12 and not first.interrupted and first.seed == 3
    short = vertices(net, LOW, HIGH, starts=10**6, budget=1e-3)
    assert short.interrupted and 1 <= short.starts < 10**6
    assert vertices(net, LOW, HIGH, starts=1).chance == -1, "one start has no control"


def test_repr_counts_the_credible_ones(rng):
    X = images(rng, 2, 30)
    assert "of them credible" in repr(vertices(network(rng, X), LOW, HIGH, starts=20))


@pytest.mark.parametrize(
    "options",
    [{"low": 1.0}, {"high": np.nan}, {"starts": 0}, {"budget": 0.0}, {"noise": 1e9}, {"dimension": 99}, {"dimension": 1}, {"seed": -1}],
)
def test_bad_options_are_refused(rng, options):
    given = {"low": LOW, "high": HIGH} | options
    with pytest.raises(InputError):
        vertices(network(rng, images(rng, 2, 10)), given.pop("low"), given.pop("high"), **given)

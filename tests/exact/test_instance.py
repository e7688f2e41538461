"""Exact instances: what is given is taken exactly, what is generic is random, coordinates may be reduced."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from support.oracles import moments, random_network

from identify.base.limits import TooLargeError
from identify.exact.instance import Instance, dyadic_bits
from identify.exact.modular import multiply, rank, residues
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.gradients import Observed
from identify.problem.rank import target_rows

Q = 2**31 - 1


def sizes(activation="z + z^2 + z^3", d=4, n=3, m=6, outputs=1, bias=False, layers="both") -> Instance:
    return Instance(Activation.parse(activation), d, n, m, outputs, bias, Observed.of(layers, bias))


def test_given_parts_are_exact_and_the_others_random():
    net = random_network(np.random.default_rng(0), "z + z^3", inputs=4, width=6)
    instance = Instance(net.activation, 4, 3, 6, 1, False, Observed.of("both", False), W=net.W, A=net.A, offsets=net.offsets)
    first, second = (instance.at(Q, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.array_equal(first.W, residues(net.W, Q)) and np.array_equal(first.W, second.W)
    assert not np.array_equal(first.X, second.X) and first.X.shape == (3, 4) and first.c.shape == (3, 1)
    assert instance.network_is_given and not instance.data_are_given and not sizes().network_is_given
    elsewhere = first.at_random_point(np.random.default_rng(3))
    assert np.array_equal(elsewhere.W, first.W) and not np.array_equal(elsewhere.X, first.X)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_counts(bias, outputs):
    full, reduced = sizes(bias=bias, outputs=outputs), sizes(bias=bias, outputs=outputs).reduced()
    assert (full.coordinates, reduced.coordinates) == (4, 2 if bias else 3)
    for instance in (full, reduced):
        r = instance.coordinates
        point = instance.at(Q, np.random.default_rng(0))
        assert point.W.shape == (6, r) and point.X.shape == (3, r)
        assert point.interpolation().shape == (6 * (r + bias + outputs), instance.n_moments)
        assert point.jacobian().shape == (6 * (r + bias + outputs), instance.n_unknowns)
        assert instance.n_rows == 6 * (r + bias + outputs)


@pytest.mark.parametrize("bias", [False, True])
def test_reduced_coordinates_pose_the_same_problem(bias):
    """Slopes at the samples do not change, and the Jacobian loses exactly what the first layer fixes linearly."""
    net = random_network(np.random.default_rng(0), "z + z^2 + z^3", inputs=5, width=8, bias=bias)
    X, c = np.random.default_rng(1).standard_normal((3, 5)), np.ones((3, 1))
    full = Instance(net.activation, 5, 3, 8, 1, bias, Observed.of("both", bias), W=net.W, A=net.A, offsets=net.offsets, X=X, c=c)
    points = [instance.at(Q, np.random.default_rng(0)) for instance in (full, full.reduced())]
    assert np.array_equal(points[0].slopes(), points[1].slopes())
    ranks = [rank(point.jacobian(), Q) for point in points]
    assert ranks == [full.n_unknowns, full.reduced().n_unknowns]


@pytest.mark.parametrize("bias", [False, True])
def test_slopes_factor_the_first_layer(bias):
    """t^W = G X, and with observed biases (t^W, t^b) = G (X, 1), exactly."""
    point = sizes(bias=bias).at(Q, np.random.default_rng(0))
    degrees = range(point.degrees[-1] + 1) if bias else point.degrees
    assert tuple(degrees) == point.degrees
    tall = point.lifted_X if bias else point.X
    product = multiply(point.slopes(), tall, Q)
    sigma = [int(s) for s in point.derivatives[1]]
    Z = point.X.astype(object) @ point.W.T.astype(object) + point.offsets
    G = (point.c.astype(object) @ point.A.astype(object)) * sum(s * Z**k for k, s in enumerate(sigma))
    assert np.array_equal(product, G.T @ tall.astype(object) % Q)


@pytest.mark.parametrize("degrees", [(0,), (1,), (2,), (0, 1), (1, 3), (0, 1, 2)])
@pytest.mark.parametrize("multipliers", [False, True])
def test_features_have_the_ranks_of_the_vectors_that_they_stand_for(degrees, multipliers):
    """Of every subset of the samples, among them parallel and equal ones, parallel multipliers, and a zero."""
    X = np.array([[1, 2], [2, 4], [-1, -2], [3, 1], [3, 1], [0, 0]])
    c = np.array([[1, 1], [2, 2], [1, -1], [1, 3], [1, 3], [2, 1]])
    point = replace(sizes(d=2, n=6, outputs=2).at(Q, np.random.default_rng(0)), X=X % Q, c=c % Q)
    forms = point.features(degrees, multipliers, np.random.default_rng(1))
    one = np.ones((1, 1), dtype=object)
    terms = zip(X.astype(object), c.astype(object), strict=True)
    vectors = np.array([moments(x[None], g[None] if multipliers else one, degrees) for x, g in terms])
    for size in (1, 2, 3, 6):
        for rows in combinations(range(6), size):
            assert rank(forms[list(rows)], Q) == rank((vectors[list(rows)] % Q).astype(np.int64), Q)


def test_features_of_many_inputs_are_as_few_as_the_samples():
    point = sizes(d=3000, n=5, m=2).at(Q, np.random.default_rng(0))
    assert point.features((3,), False, np.random.default_rng(0)).shape[1] < 20


@pytest.mark.parametrize(("values", "bits"), [([0.0], 0), ([1.0], 53), ([1.0, 0.0, -0.75], 54), ([1.0, 2.0**-60], 113), ([2.0**60], 61)])
def test_dyadic_bits(values, bits):
    assert dyadic_bits(np.array(values)) == bits


def test_minor_bound_bounds_a_minor():
    """A determinant of the integers behind the floats stays below 2^bits."""
    net = random_network(np.random.default_rng(0), "z^3", inputs=2, width=3, integers=True)
    X, c = np.array([[1.0, 2], [3, -1]]), np.array([[1.0], [2]])
    instance = Instance(net.activation, 2, 2, 3, 1, False, Observed.of("first", False), W=net.W, A=net.A, offsets=np.zeros(3), X=X, c=c)
    bound = instance.minor_bound(4)
    matrix = instance.at(Q, np.random.default_rng(0)).jacobian()[:4, :4].astype(float)
    centred = np.where(matrix > Q / 2, matrix - Q, matrix)
    assert np.log2(max(abs(np.linalg.det(centred)), 1)) < bound.bits
    assert bound.degree >= 4 * 4 and instance.minor_bound(8).bits > bound.bits


@pytest.mark.parametrize("bias", [False, True])
def test_a_basis_of_the_span_gives_the_coordinates_of_the_data(bias):
    """Interpolation on the row space of the target is interpolation on the span of the data."""
    system, truth = Configuration(inputs=5, samples=3, width=8, activation="z + z^2 + z^3", bias=bias).plant(0)
    net = system.network
    rows = target_rows(system)[:3]
    given = {"W": net.W, "A": net.A, "offsets": net.offsets}
    by_target = Instance(net.activation, 5, 3, 8, 1, bias, system.observed, **given, basis=rows, span="data")
    by_data = Instance(net.activation, 5, 3, 8, 1, bias, system.observed, **given, X=truth.X, c=truth.c[:, None], span="data")
    ranks = [rank(instance.at(Q, np.random.default_rng(0)).interpolation(), Q) for instance in (by_target, by_data)]
    assert ranks == [by_data.n_moments] * 2 and by_target.coordinates == by_data.coordinates == 3 - bias


def test_a_basis_at_infinity_modulo_the_prime_is_refused():
    basis = np.array([[1.0, 2, Q], [0, 1, -Q]])
    instance = Instance(Activation.parse("z^3"), 2, 2, 5, 1, True, Observed(True, True, True), basis=basis, span="data")
    with pytest.raises(ZeroDivisionError, match=f"the bias column vanishes modulo {Q}"):
        instance.at(Q, np.random.default_rng(0))


def test_matrices_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setenv("IDENTIFY_MEMORY", "0.0005")
    with pytest.raises(TooLargeError, match=r"the Jacobian \(36 by 1000\) needs about"):
        sizes().refuse_if_too_large(1000, "the Jacobian")
    sizes().refuse_if_too_large(10, "the Jacobian")

"""Exactly stationary networks: (S) from its definition, eigenvectors against closed forms, counts, errors."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from sklearn.datasets import load_digits
from support.marks import slow, slow_unless

from identify.planting.kkt_points import KKTPoint, PlantingError, generic_point, max_margin_point, weight_decay_point
from identify.problem.activation import Activation, ActivationError
from identify.problem.arrays import ShapeError
from identify.problem.system import KKTSystem


def residual_by_definition(point: KKTPoint, decay: float = 1.0) -> float:
    """‖decay·theta - sum_i c_i grad f(x_i)‖ / ‖decay·theta‖ with every gradient written out for sigma = s z^p."""
    net, X = point.network, point.X
    s, p = float(net.activation.coefficients[-1]), net.activation.degree
    W, X = (net.W, X) if net.bias is None else (np.c_[net.W, net.bias], np.c_[X, np.ones(len(X))])
    Z = np.einsum("jk,ik->ij", W, X)
    first = np.einsum("i,j,ij,ik->jk", point.c, net.a, s * p * Z ** (p - 1), X)
    second = np.einsum("i,ij->j", point.c, s * Z**p)
    t, g = decay * np.r_[W.ravel(), net.a], np.r_[first.ravel(), second]
    return float(np.linalg.norm(t - g) / np.linalg.norm(t))


def margins_by_definition(point: KKTPoint) -> np.ndarray:
    net = point.network
    s, p = float(net.activation.coefficients[-1]), net.activation.degree
    bias = np.zeros(net.width) if net.bias is None else net.bias
    return point.labels * np.einsum("j,ij->i", net.a, s * (np.einsum("ik,jk->ij", point.X, net.W) + bias) ** p)


def assert_max_margin(point: KKTPoint) -> None:
    assert residual_by_definition(point) <= 1e-12
    assert point.stationarity <= 1e-13
    np.testing.assert_allclose(margins_by_definition(point), 1, atol=1e-8)
    np.testing.assert_allclose(point.margins, 1, atol=1e-10)
    assert np.all(point.multipliers > 0)
    assert point.network.distinct_directions() == point.network.width <= point.available
    system = KKTSystem.max_margin(point.network, labels=point.labels)
    assert system.residual(point.X, point.c) <= 1e-13


def assert_weight_decay(point: KKTPoint, decay: float) -> None:
    assert residual_by_definition(point, decay) <= 1e-12
    np.testing.assert_allclose(point.multipliers, 1 / (len(point.X) * (1 + np.exp(margins_by_definition(point)))), rtol=1e-9)
    system = KKTSystem.weight_decay(point.network, decay=decay, loss="logistic")
    assert system.residual(point.X, point.c) <= 1e-13


def interpolation_singular_values(point: KKTPoint) -> np.ndarray:
    """Of the map M -> (M(u_j, u_j, .))_j, u_j = w_j/|w_j|, in an orthonormal basis of the symmetric 3-tensors."""
    U = point.network.W / np.linalg.norm(point.network.W, axis=1)[:, None]
    n = U.shape[1]
    columns = []
    for i in range(n):
        for j in range(i, n):
            for k in range(j, n):
                T = np.zeros((n, n, n))
                for a, b, c in {(i, j, k), (i, k, j), (j, i, k), (j, k, i), (k, i, j), (k, j, i)}:
                    T[a, b, c] = 1
                columns.append(np.einsum("abc,ma,mb->mc", T / np.linalg.norm(T), U, U).ravel())
    return np.linalg.svd(np.array(columns).T, compute_uv=False)


def uncorrelated_digits(n: int) -> np.ndarray:
    """The least correlated of 1000 random sets of n digits, mean image removed, unit norm."""
    rng = np.random.default_rng(0)
    images = load_digits().data / 16
    images = images - images.mean(axis=0)
    draws = [images[rng.choice(len(images), n, replace=False)] for _ in range(1000)]
    X = min(draws, key=lambda rows: np.abs(np.corrcoef(rows) - np.eye(n)).max())
    return X / np.linalg.norm(X, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("n", "bias", "more"),
    slow_unless(lambda n, bias, more: n < 5 or bias is (more != "none"), product([3, 4, 5], [False, True], ["none", "as many", "64"])),
)
def test_cubic_full_width(n, bias, more):
    """As many inputs as samples, twice as many, and far more."""
    seed, d = {"none": (0, n), "as many": (1, 2 * n), "64": (2, 64)}[more]
    rng = np.random.default_rng(seed)
    point, decay = generic_point(rng, inputs=d, samples=n, width=2**n - 1, activation="z^3", bias=bias, regime="max-margin")
    assert decay is None
    assert point.X.shape == (n, d) and point.network.has_bias is bias
    assert point.network.width == point.available == 2**n - 1
    assert set(point.labels) == {-1.0, 1.0}
    assert_max_margin(point)


def test_generic_data_are_neither_orthogonal_nor_alike():
    size = {"inputs": 5, "samples": 4, "width": 15, "activation": "z^3", "bias": False, "regime": "max-margin"}
    first, second = (generic_point(np.random.default_rng(seed), **size)[0] for seed in (0, 1))
    assert np.abs(np.corrcoef(first.X) - np.eye(4)).max() > 0.05
    assert np.abs(first.X - second.X).max() > 0.1
    assert np.array_equal(first.network.W, generic_point(np.random.default_rng(0), **size)[0].network.W)


@pytest.mark.parametrize(
    ("activation", "n", "width", "bias"),
    [
        ("z^4", 2, 4, False),
        slow("z^4", 2, 4, True),
        slow("z^4", 3, 13, False),
        ("z^4", 3, 13, True),
        slow("z^4", 3, 5, False),  # few subsets of so few neurons fit
        slow("z^4", 3, 5, True),
        ("z^5", 2, 3, False),
        slow("z^5", 2, 3, True),
        slow("z^5", 3, 7, False),
        ("z^5", 3, 7, True),
        slow("z^6", 2, 4, False),
        ("z^6", 2, 4, True),
        ("-2*z^3", 3, 7, False),
        slow("-2*z^3", 3, 7, True),
        slow("z^4/3", 3, 6, False),
        ("z^4/3", 3, 6, True),
    ],
)
def test_other_monomials(activation, n, width, bias):
    for regime in ("max-margin", "weight-decay"):
        size = {"inputs": 2 * n, "samples": n, "width": width, "activation": activation, "bias": bias}
        point, decay = generic_point(np.random.default_rng(0), **size, regime=regime)
        assert point.network.width == width
        if regime == "max-margin":
            assert_max_margin(point)
        else:
            assert_weight_decay(point, decay)


@pytest.mark.parametrize("y", [1.0, -1.0])
def test_one_sample_in_closed_form(y):
    """a = lambda y (w.x)^3, w = 3 a lambda y (w.x)^2 x and y a (w.x)^3 = 1 give |w|^2 = 3 a^2, a^2 = lambda, w along x."""
    point = max_margin_point(np.array([[2.0, 1.0, 2.0]]), [y], "z^3")
    w, a = point.network.W[0], point.network.a[0]
    assert w @ w == pytest.approx((np.sqrt(3) / 27) ** (1 / 2), rel=1e-12)  # |a| |w|^3 |x|^3 = 1
    assert 3 * a**2 == pytest.approx(w @ w, rel=1e-12)
    assert point.multipliers[0] == pytest.approx(a**2, rel=1e-12)
    np.testing.assert_allclose(np.cross(w, point.X[0]), 0, atol=1e-14)


@pytest.mark.parametrize("degree", [3, 4, 5, 6])
def test_orthonormal_data_have_the_closed_form_eigenvectors(degree):
    """u = sum over S of alpha_i x_i with alpha_i^(p-2) = mu / c_i, and no others."""
    Q = np.linalg.qr(np.random.default_rng(degree).standard_normal((6, 4)))[0].T
    labels = np.array([1.0, -1.0, 1.0, 1.0])
    point = max_margin_point(Q, labels, Activation([0] * degree + [1]))
    seen = set()
    for w in point.network.W:
        alpha = Q @ w / np.linalg.norm(w)
        inside = np.abs(alpha) > 1e-9
        np.testing.assert_allclose(Q.T @ alpha, w / np.linalg.norm(w), atol=1e-12)
        mu = (point.c * alpha ** (degree - 2))[inside]
        np.testing.assert_allclose(mu, mu[0], rtol=1e-10)
        seen.add(tuple(np.sign(np.where(inside, alpha, 0)) * np.sign(alpha[inside][0])))
    # Even p: mu and all c_i of S have one sign, and the signs of alpha are free: (3^3 - 1)/2 from one class, 1 from the other.
    assert len(seen) == point.available == point.network.width == (15 if degree % 2 else 14)


def test_widest_network_reaches_the_bound_for_degree_four():
    point, _ = generic_point(np.random.default_rng(1), inputs=4, samples=4, width=40, activation="z^4", bias=False, regime="max-margin")
    assert point.available == 40 and len(set(point.labels)) == 1  # (3^n - 1)/2, one class
    assert_max_margin(point)


@pytest.mark.parametrize(
    ("n", "d", "width", "bias"),
    [(3, 3, 7, False), slow(3, 3, 7, True), (4, 64, 15, False), slow(4, 64, 15, True), slow(4, 8, 6, False), (4, 8, 6, True)],
)
def test_weight_decay_closure(n, d, width, bias):
    size = {"inputs": d, "samples": n, "width": width, "activation": "z^3", "bias": bias, "regime": "weight-decay"}
    point, decay = generic_point(np.random.default_rng(n), **size)
    assert_weight_decay(point, decay)
    assert point.margins.mean() == pytest.approx(3, abs=1e-9) and point.margins.min() > 0


def test_weight_decay_at_a_given_decay():
    X = uncorrelated_digits(4)
    y = [1, -1, 1, -1]
    least = []
    for wanted in (1e-4, 1e-3, 1e-2, 0.05):
        point, decay = weight_decay_point(X, y, "z^3", decay=wanted, bias=True)
        assert decay == pytest.approx(wanted, rel=1e-12)
        assert_weight_decay(point, decay)
        least.append(point.margins.min())
    assert np.all(np.diff(least) < 0)  # the branch of large margins: less decay, larger margins


@pytest.mark.parametrize("n", [4, 5])
def test_given_digits(n):
    X = uncorrelated_digits(n)
    y = np.where(np.arange(n) % 2 == 0, 1, -1)
    point = max_margin_point(X, y, "z^3")
    assert point.network.width >= {4: 15, 5: 25}[n]
    assert np.array_equal(point.X, X) and np.array_equal(point.labels, y)
    assert_max_margin(point)
    assert_weight_decay(*weight_decay_point(X, y, "z^3"))
    assert_max_margin(max_margin_point(3 * X, y, "z^3"))
    assert_max_margin(max_margin_point(X * np.linspace(0.8, 1.2, n)[:, None], y, "z^3", width=n))
    for width in (1, 2, n + 1):
        few = max_margin_point(X, y, "z^3", bias=True, width=width)
        assert few.network.width == width
        assert_max_margin(few)


def test_correlated_samples_offer_fewer_neurons():
    # No eigenvector has to stay real far from orthogonal data, but for odd p their number stays odd.
    for correlation, available in ((0.0, 7), (0.5, 1)):
        X = np.linalg.cholesky(np.eye(3) + correlation * (1 - np.eye(3)))
        point = max_margin_point(X, [1, 1, 1], "z^3")
        assert point.available == available
        assert_max_margin(point)


@pytest.mark.parametrize("seed", [7, 10])
def test_neurons_that_vanish_on_the_way_are_dropped(seed):
    X = np.random.default_rng(seed).standard_normal((5, 40))
    point = max_margin_point(X, [-1, 1, -1, 1, -1], "z^3")
    assert 15 < point.network.width < point.available
    assert_max_margin(point)


def test_chosen_neurons_determine_the_moments():
    """Rank min(5 m, 35) at n = 5, p = 3, but 34 for m = 7: the exception of Alexander and Hirschowitz."""
    for width, rank in ((6, 30), (7, 34), (8, 35), (31, 35)):
        size = {"inputs": 5, "samples": 5, "width": width, "activation": "z^3", "bias": False, "regime": "max-margin"}
        values = interpolation_singular_values(generic_point(np.random.default_rng(0), **size)[0])
        assert np.sum(values > 1e-9 * values[0]) == rank
        if rank == 35:
            assert values[0] / values[-1] < 100


def test_repr_states_the_counts():
    point = max_margin_point(np.eye(2), [1, -1], "z^3", width=2)
    assert repr(point).startswith("KKTPoint(TwoLayerNetwork(2-2-1, sigma = z^3, no bias), 2 samples, 2 of 3 neurons, ")
    np.testing.assert_array_equal(point.c, point.multipliers * point.labels)


@pytest.mark.parametrize("activation", ["z + z^3", "z^3 + 1", Activation([0, 0, 0, 1, Fraction(1, 7)])])
def test_activation_must_be_a_monomial(activation):
    with pytest.raises(PlantingError, match="only for sigma = s.z.p, p >= 3.*not homogeneous") as caught:
        max_margin_point(np.eye(3), [1, 1, -1], activation)
    assert caught.value.available is None


def test_degree_two_is_refused():
    with pytest.raises(PlantingError, match="for p = 2 they are eigenvectors of a matrix"):
        weight_decay_point(np.eye(3), [1, 1, -1], "z^2")
    with pytest.raises(ActivationError, match="activation: received int"):
        max_margin_point(np.eye(3), [1, 1, -1], 3)


def test_dependent_samples_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(PlantingError, match="4 given samples in 3 inputs are linearly dependent.*at most 3"):
        max_margin_point(rng.standard_normal((4, 3)), [1, 1, -1, 1], "z^3")
    with pytest.raises(PlantingError, match="5 given samples in 3 inputs are affinely dependent.*at most 4"):
        max_margin_point(rng.standard_normal((5, 3)), [1, 1, -1, 1, 1], "z^3", bias=True)
    with pytest.raises(PlantingError, match="linearly dependent, exactly or nearly"):
        max_margin_point([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]], [1, -1], "z^3")
    with pytest.raises(PlantingError, match="linearly dependent, exactly or nearly"):
        max_margin_point([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]], [1, -1], "z^3")
    with pytest.raises(PlantingError, match="4 samples in 3 inputs are linearly dependent"):
        generic_point(rng, inputs=3, samples=4, width=3, activation="z^3", bias=False, regime="max-margin")
    assert generic_point(rng, inputs=3, samples=4, width=3, activation="z^3", bias=True, regime="max-margin")[0].network.has_bias


def test_labels_are_checked():
    with pytest.raises(ShapeError, match="expected only .1 and -1"):
        max_margin_point(np.eye(3), [0, 1, 1], "z^3")
    with pytest.raises(ShapeError, match="received 2 for 3 samples"):
        max_margin_point(np.eye(3), [-1, 1], "z^3")
    with pytest.raises(ShapeError, match="X: received shape"):
        max_margin_point(np.ones(3), [-1, 1, 1], "z^3")


def test_too_wide():
    with pytest.raises(PlantingError, match="8 neurons asked for, 7 available.*cannot have more distinct neurons") as caught:
        max_margin_point(np.eye(3), [1, 1, -1], "z^3", width=8)
    assert caught.value.available == 7
    with pytest.raises(PlantingError, match="32 neurons asked for, 31 available.*samples at degree 3 have 31") as caught:
        generic_point(np.random.default_rng(0), inputs=9, samples=5, width=32, activation="z^3", bias=False, regime="max-margin")
    assert caught.value.available == 31
    # Degree 5: of 21 eigenvectors only 7 are real.
    with pytest.raises(PlantingError, match="8 neurons asked for, 7 available.*degree 5 have 21") as caught:
        generic_point(np.random.default_rng(0), inputs=9, samples=3, width=8, activation="z^5", bias=False, regime="weight-decay")
    assert caught.value.available == 7


def test_too_many_samples_to_follow():
    with pytest.raises(PlantingError, match="13 samples at degree 3 have 8191 complex eigenvectors"):
        max_margin_point(np.eye(13), np.ones(13), "z^3")
    with pytest.raises(PlantingError, match="samples at degree 8"):
        generic_point(np.random.default_rng(0), inputs=9, samples=6, width=2, activation="z^8", bias=False, regime="max-margin")
    with pytest.raises(PlantingError, match="15000 samples at degree 3 have about 10.4515 complex eigenvectors"):
        generic_point(np.random.default_rng(0), inputs=15000, samples=15000, width=2, activation="z^3", bias=False, regime="max-margin")


def test_no_multipliers():
    # Even p: one neuron serves samples of one class only where they are orthogonal.
    with pytest.raises(PlantingError, match="multipliers: none were found.*margins 1 with 1 of the 2 neurons") as caught:
        max_margin_point(np.eye(2), [1, -1], "z^4", width=1)
    assert caught.value.available == 2
    with pytest.raises(PlantingError, match="logistic closure at decay 5 .*smaller decay or decay=None"):
        weight_decay_point(np.eye(3), [1, 1, -1], "z^3", decay=5.0)


def test_precision_is_checked():
    X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.1]])
    with pytest.raises(PlantingError, match="precision: relative stationarity .* too close to dependent"):
        max_margin_point(X, [1, 1, 1], "z^4")


@pytest.mark.parametrize("decay", [0, -1.0, np.nan, np.inf, True, "1"])
def test_decay_must_be_positive(decay):
    with pytest.raises(ValueError, match="decay: received .* expected a positive number, or None"):
        weight_decay_point(np.eye(2), [1, -1], "z^3", decay=decay)


def test_sizes_and_regime_are_checked():
    size = {"inputs": 3, "samples": 2, "width": 2, "activation": "z^3", "bias": False, "regime": "max-margin"}
    for name in ("inputs", "samples", "width"):
        with pytest.raises(ValueError, match=f"{name}: received 0, expected an integer of at least 1"):
            generic_point(np.random.default_rng(0), **{**size, name: 0})
    with pytest.raises(ValueError, match="width: received 1.5"):
        max_margin_point(np.eye(2), [1, -1], "z^3", width=1.5)
    with pytest.raises(ValueError, match="regime: received 'lazy', expected one of weight-decay, max-margin"):
        generic_point(np.random.default_rng(0), **{**size, "regime": "lazy"})

"""The interpolation matrix: the equations written linearly in the moments, and its rank."""

from math import comb, factorial, prod

import numpy as np
import pytest
from flint import fmpz_mat
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracles import moments, random_network
from support.zoo import INTERPOLATION_RANKS

from identify.base.options import LAYERS
from identify.conditions.interpolation import EXCEPTIONS, generic_rank, generic_width
from identify.exact.instance import Instance
from identify.exact.modular import random_prime, rank
from identify.problem.activation import Activation
from identify.problem.gradients import Observed, flatten, visible_degrees, weighted_gradients
from identify.problem.interpolation import Monomials, interpolation_matrix, moment_count, rows_per_neuron

Q = 2**31 - 1
ACTIVATIONS = ("z + z^2", "1/2 + z^2", "z^3", "1/3 + z - 2*z^3", "1 + z^2/7 + z^4")


def matrix_of(net, observed) -> tuple[np.ndarray, tuple[int, ...]]:
    degrees = visible_degrees(net.activation, net.has_bias, observed)
    derivatives = [net.activation.floats(order) for order in range(net.activation.degree + 2)]
    return interpolation_matrix(net.W, net.A, net.offsets, derivatives, observed, degrees), degrees


def factorials(inputs: int, degrees, outputs: int) -> list[int]:
    """e! for every column."""
    return [prod(factorial(int(k)) for k in np.bincount(row)) for k in degrees for row in Monomials.of(inputs, k).index] * outputs


def generic(activation: str, d: int, m: int, *, n: int = 3, outputs: int = 1, bias: bool = False, layers: str = "both") -> Instance:
    return Instance(Activation.parse(activation), d, n, m, outputs, bias, Observed.of(layers, bias))


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
class TestMatrixTimesMomentsIsTheRightHandSide:
    def test_in_floating_point(self, activation, bias, outputs, layers):
        rng = np.random.default_rng(0)
        net = random_network(rng, activation, inputs=3, width=4, outputs=outputs, bias=bias)
        X, c = rng.standard_normal((5, 3)), rng.standard_normal((5, outputs))
        observed = Observed.of(layers, bias)
        matrix, degrees = matrix_of(net, observed)
        sigma = net.activation
        expected = flatten(weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c), observed)
        assert matrix.shape == (len(expected), moment_count(3, degrees, outputs))
        y = np.array(moments(X, c, degrees)) / factorials(3, degrees, outputs)
        assert np.allclose(matrix @ y, expected, rtol=1e-11, atol=1e-11)

    def test_exactly_modulo_a_prime(self, activation, bias, outputs, layers):
        instance = generic(activation, 3, 4, outputs=outputs, bias=bias, layers=layers)
        point = instance.at(Q, np.random.default_rng(0))
        parts = [part.astype(object) for part in (point.W, point.A, point.offsets)]
        X, c = point.X.astype(object), point.c.astype(object)
        expected = flatten(weighted_gradients(*parts, point.derivatives[0], point.derivatives[1], X, c), point.observed) % Q
        inverses = [pow(e, -1, Q) for e in factorials(3, instance.degrees, outputs)]
        y = np.array([u * v % Q for u, v in zip(moments(X, c, instance.degrees), inverses, strict=True)], dtype=object)
        assert np.array_equal(point.interpolation().astype(object) @ y % Q, expected)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ["z^2 + z^3", "1 + z^3", "z^4"])
@pytest.mark.parametrize("width", [3, 9])
def test_three_ranks_agree_on_integer_networks(activation, bias, outputs, layers, width):
    net = random_network(np.random.default_rng(1), activation, inputs=2, width=width, outputs=outputs, bias=bias, integers=True)
    observed = Observed.of(layers, bias)
    matrix, _degrees = matrix_of(net, observed)
    assert np.array_equal(matrix, np.rint(matrix))
    over_the_integers = fmpz_mat([[int(v) for v in row] for row in matrix]).rank()
    instance = Instance(net.activation, 2, 1, width, outputs, bias, observed, W=net.W, A=net.A, offsets=net.offsets)
    rng = np.random.default_rng(0)
    q = random_prime(rng)
    modulo_a_prime = rank(instance.at(q, rng).interpolation(), q)
    norms = np.linalg.norm(matrix, axis=0)
    assert modulo_a_prime == over_the_integers == np.linalg.matrix_rank(matrix / np.where(norms, norms, 1), rtol=1e-11)
    assert over_the_integers <= instance.n_rows


@pytest.mark.parametrize(("inputs", "degree"), [(1, 4), (2, 3), (3, 0), (4, 2), (0, 0), (0, 3)])
def test_monomials(inputs, degree):
    monomials = Monomials.of(inputs, degree)
    assert len(monomials) == moment_count(inputs, (degree,))
    X = np.random.default_rng(0).standard_normal((3, inputs))
    values = monomials.values(X, lambda value: value)
    for row, column in zip(monomials.index, values.T, strict=True):
        assert np.allclose(column, np.prod(X[:, row], axis=1))
    # the moments y_e times k! w_e are orthonormal coordinates: of x^(tensor k) they have norm |x|^k
    orthonormal = values * factorial(degree) * monomials.weights()
    assert np.allclose((orthonormal**2).sum(axis=1), (X**2).sum(axis=1) ** degree)


def test_moment_count_is_a_sum_of_binomials():
    assert moment_count(3, (1, 3), 2) == 2 * (3 + 10)
    assert moment_count(4, range(4)) == comb(4 + 3, 3)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_homogeneous_activations_make_one_row_per_neuron_redundant(bias, outputs):
    d, m = 3, 3
    for activation, homogeneous in (("z^4", True), ("z^3 + z^4", False)):
        instance = generic(activation, d, m, outputs=outputs, bias=bias)
        rows = m * rows_per_neuron(d, instance.observed, outputs, homogeneous)
        assert rank(instance.at(Q, np.random.default_rng(0)).interpolation(), Q) == rows == instance.n_rows


def test_no_row_is_redundant_where_the_bias_rows_are_missing():
    instance = Instance(Activation.parse("z^4"), 3, 1, 3, 1, True, Observed(True, False, True))
    assert rank(instance.at(Q, np.random.default_rng(0)).interpolation(), Q) == 3 * (3 + 1) == instance.n_rows


@pytest.mark.parametrize(("p", "D", "m"), INTERPOLATION_RANKS)
def test_rank_of_named_sizes(p, D, m):
    point = generic(f"z^{p}", D, m, layers="first").at(Q, np.random.default_rng(0))
    assert rank(point.interpolation(), Q) == INTERPOLATION_RANKS[p, D, m] == generic_rank(p, D, m)


@pytest.mark.parametrize("D", range(1, 7))
@pytest.mark.parametrize("p", range(2, 6))
def test_generic_rank_and_width_formulas(p, D):
    total, threshold = comb(D + p - 1, p), generic_width(p, D)
    matrix = generic(f"z^{p}", D, threshold + 1, layers="first").at(Q, np.random.default_rng(p + D)).interpolation()
    ranks = [rank(matrix[: m * D], Q) for m in range(1, threshold + 2)]
    assert ranks == [generic_rank(p, D, m) for m in range(1, threshold + 2)]
    assert ranks[threshold - 1] == total and (threshold == 1 or ranks[threshold - 2] < total)


def test_exceptions_are_one_below_the_count_and_close_to_the_threshold():
    for (p, D, m), exceptional in EXCEPTIONS.items():
        assert exceptional == min(m * D, comb(D + p - 1, p)) - 1 and generic_width(p, D) == m + 1


@pytest.mark.once
@given(
    activation=st.sampled_from(["z^3", "z + z^2", "1 + z^3", "z^2 + z^4"]),
    width=st.integers(1, 6),
    outputs=st.integers(1, 2),
    bias=st.booleans(),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=30)
def test_more_equations_never_lower_the_rank(activation, width, outputs, bias, seed):
    net = random_network(np.random.default_rng(seed), activation, inputs=2, width=width + 1, outputs=outputs, bias=bias, integers=True)

    def rank_of(layers, m):
        sizes = (net.activation, 2, 1, m, outputs, bias, Observed.of(layers, bias))
        instance = Instance(*sizes, W=net.W[:m], A=net.A[:, :m], offsets=net.offsets[:m])
        return rank(instance.at(Q, np.random.default_rng(0)).interpolation(), Q)

    for layers in LAYERS:
        assert rank_of(layers, width) <= rank_of(layers, width + 1)
        assert rank_of(layers, width) <= rank_of("both", width)


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_rank_does_not_see_the_order_or_size_of_neurons_of_a_monomial(seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng, "z^3", inputs=3, width=4)
    order, t = rng.permutation(4), 2.0 ** rng.integers(-2, 3, 4)
    point = [
        Instance(net.activation, 3, 1, 4, 1, False, Observed.of("both", False), W=W, A=A, offsets=np.zeros(4)).at(Q, rng)
        for W, A in ((net.W, net.A), ((t[:, None] * net.W)[order], (net.A / t)[:, order]))
    ]
    assert rank(point[0].interpolation(), Q) == rank(point[1].interpolation(), Q) == generic_rank(3, 3, 4)

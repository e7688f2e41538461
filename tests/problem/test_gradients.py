"""The Jacobian in closed form, against automatic differentiation and exact dual numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracles import exact_jacobian, fractions, jax_jacobian, modulo, random_network

from identify.base.options import LAYERS
from identify.exact.instance import Instance
from identify.exact.modular import rank
from identify.problem.gradients import Observed, jacobian

pytestmark = pytest.mark.smoke

Q = 2**31 - 1
ACTIVATION = "1/2 + z - z^2/3 + z^4"


def draw(bias: bool, outputs: int, n: int = 3, d: int = 2, m: int = 3):
    rng = np.random.default_rng([5, bias, outputs])
    net = random_network(rng, ACTIVATION, inputs=d, width=m, outputs=outputs, bias=bias)
    return net, rng.standard_normal((n, d)), rng.standard_normal((n, outputs))


def instance_of(net, observed, X, c) -> Instance:
    sizes = (net.activation, net.n_inputs, len(X), net.width, net.n_outputs, net.has_bias, observed)
    return Instance(*sizes, W=net.W, A=net.A, offsets=net.offsets, X=X, c=c)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_closed_form(bias, outputs, layers):
    net, X, c = draw(bias, outputs)
    observed = Observed.of(layers, bias)
    derivatives = [net.activation.floats(order) for order in range(3)]
    found = jacobian(net.W, net.A, net.offsets, derivatives, observed, X, c)
    exact = exact_jacobian(net, observed, X, c)
    assert np.allclose(found, exact.astype(float), rtol=1e-11, atol=1e-11)
    point = instance_of(net, observed, X, c).at(Q, np.random.default_rng(0))
    assert np.array_equal(point.jacobian(), modulo(exact, Q))
    derivatives = [net.activation.derivative(order) for order in range(3)]
    parts = (net.W, net.A, net.offsets), (X, c)
    (W, A, b), (X, c) = (map(fractions, part) for part in parts)
    assert np.array_equal(jacobian(W, A, b, derivatives, observed, X, c), exact)


@pytest.mark.once
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_automatic_differentiation(bias, outputs):
    net, X, c = draw(bias, outputs)
    observed = Observed.of("both", bias)
    derivatives = [net.activation.floats(order) for order in range(3)]
    found = jacobian(net.W, net.A, net.offsets, derivatives, observed, X, c)
    assert np.allclose(found, jax_jacobian(net, observed, X, c), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("outputs", [1, 2])
def test_data_without_inputs_have_multipliers_only(layers, outputs):
    rng = np.random.default_rng(0)
    observed = Observed.of(layers, True)
    W, A, b = np.zeros((4, 0)), rng.standard_normal((outputs, 4)), rng.standard_normal(4)
    found = jacobian(W, A, b, [(0, 0, 1), (0, 2), (2,)], observed, np.zeros((1, 0)), np.ones((1, outputs)))
    slopes, values = A.T * 2 * b[:, None], np.kron(np.eye(outputs), (b**2)[:, None])
    assert np.allclose(found, np.concatenate([part for part, seen in ((slopes, observed.bias), (values, observed.a)) if seen]))


@given(seed=st.integers(0, 10**6), layers=st.sampled_from(LAYERS))
@settings(max_examples=25)
def test_rank_is_that_of_the_problem(seed, layers):
    """Neither the order of samples and neurons nor the representative of an orbit matters, and equations only add."""
    rng = np.random.default_rng(seed)
    net = random_network(rng, "z + z^3", inputs=3, width=int(rng.integers(1, 5)), integers=True)
    X, c = rng.integers(-3, 4, (3, 3)).astype(float), rng.integers(1, 4, (3, 1)).astype(float)

    def rank_of(layers, net_rows=slice(None), rows=slice(None), signs=1.0):
        sizes = (net.activation, 3, 3, len(net.W[net_rows]), 1, False, Observed.of(layers, False))
        parts = {"W": net.W[net_rows], "A": net.A[:, net_rows], "offsets": net.offsets[net_rows]}
        instance = Instance(*sizes, **parts, X=(signs * X)[rows], c=(signs * c)[rows])
        return rank(instance.at(Q, rng).jacobian(), Q)

    expected = rank_of(layers)
    assert rank_of(layers, rng.permutation(net.width)) == expected
    assert rank_of(layers, rows=rng.permutation(3)) == expected
    assert rank_of(layers, signs=rng.choice([-1.0, 1.0], (3, 1))) == expected
    assert expected <= rank_of("both")
    assert net.width == 1 or rank_of(layers, slice(1, None)) <= expected

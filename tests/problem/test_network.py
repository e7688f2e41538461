"""Networks: shapes are checked once, values are taken as they are."""

import time

import numpy as np
import pytest
from support.oracles import random_network

from identify.problem.activation import ActivationError
from identify.problem.arrays import ShapeError, finite_array
from identify.problem.network import TwoLayerNetwork

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_value_is_the_sum_over_neurons(outputs, bias):
    rng = np.random.default_rng(0)
    net = random_network(rng, "1 + z/2 - z^3", inputs=3, width=4, outputs=outputs, bias=bias)
    X = rng.standard_normal((5, 3))
    b = net.bias if bias else np.zeros(4)
    expected = np.zeros((5, outputs))
    for i in range(5):
        for j in range(4):
            z = net.W[j] @ X[i] + b[j]
            expected[i] += net.A[:, j] * (1 + z / 2 - z**3)
    assert np.allclose(net(X), expected[:, 0] if outputs == 1 else expected, rtol=1e-13)
    assert (net.n_inputs, net.width, net.n_outputs, net.has_bias) == (3, 4, outputs, bias)


def test_one_row_of_second_layer_weights_is_one_output_as_a_column():
    net = TwoLayerNetwork([[1, 2], [0, 1]], [[1, -1]], "z^2")
    assert net.n_outputs == 1 and net([[1, 1]]).shape == (1, 1) and net([[1, 1]])[0, 0] == 8


def test_values_are_copied_exactly_and_frozen():
    W = np.array([[1.0, 0.1], [2.0, -3.0]])
    net = TwoLayerNetwork(W, [1, 2], "z^3")
    W[0, 0] = 7
    assert net.W[0, 0] == 1 and net.W[0, 1] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        net.W[0, 0] = 7
    with pytest.raises(AttributeError, match="cannot assign"):
        net.W = W


def test_repr():
    assert repr(TwoLayerNetwork([[1.0]], [1.0], "z^2", [0.0])) == "TwoLayerNetwork(1-1-1, sigma = z^2, bias)"


@pytest.mark.parametrize("tolerance", [1e-8, 1e-2, 0.3])
def test_distinct_directions_are_those_of_all_pairs(tolerance):
    """Against loops, with copies and directions on both sides of the tolerance, in several blocks of neurons."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal((600, 3))
    W /= np.linalg.norm(W, axis=1)[:, None]
    for j, times in enumerate((0, 0.5, 0.99, 1.01, 2) * 40):
        apart = rng.standard_normal(3)
        apart -= (apart @ W[j]) * W[j]
        W[300 + j] = -W[j] + np.tan(np.arcsin(times * tolerance)) * apart / np.linalg.norm(apart)
    kept = []
    for w in W / np.linalg.norm(W, axis=1)[:, None]:
        if all(np.linalg.norm(w - (w @ v) * v) > tolerance for v in kept):
            kept.append(w)
    assert TwoLayerNetwork(W, np.ones(600), "z^3").distinct_directions(tolerance) == len(kept) < 600


def test_distinct_directions():
    W = np.array([[1.0, 0], [-2, 0], [0, 1], [1, 1], [0, 0], [3, 5]])
    assert TwoLayerNetwork(W, [1, 1, 1, 1, 1, 0], "z^3").distinct_directions() == 3
    assert TwoLayerNetwork(W, [1, 1, 1, 1, 1, 2], "z^3").distinct_directions() == 4
    lifted = TwoLayerNetwork(W, np.ones(6), "z^3", bias=[1, -2, 0, 0, 1, 0])
    assert lifted.distinct_directions() == 5
    assert TwoLayerNetwork(np.zeros((2, 2)), [1, 1], "z^3").distinct_directions() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"W": [1.0, 2.0]}, r"W: received shape \(2,\), expected \(any, any\)"),
        ({"W": np.zeros((2, 0))}, r"W: received shape \(2, 0\).*positive sizes"),
        ({"W": [[1, np.nan], [0, 1]]}, "W: 1 of 4 values are NaN or infinite"),
        ({"W": [[1, 2], [3]]}, "W: received list .*expected first-layer weights"),
        ({"W": [["a", "b"]]}, "W: received list .*dtype"),
        ({"W": np.ones((2, 2), dtype=complex)}, "W: received ndarray .*complex128"),
        ({"W": np.ones((2, 2), dtype=np.longdouble)}, "W: received ndarray .*dtype"),
        ({"W": np.ones((2, 2), dtype=bool)}, "W: received ndarray .*bool"),
        ({"W": [[2**60 + 1, 0], [0, 1]]}, r"W: has integers that doubles do not hold"),
        ({"a": [1.0]}, r"a: received shape \(1,\), expected \(2\)"),
        ({"a": np.ones((2, 3))}, r"a: received shape \(2, 3\), expected \(any, 2\)"),
        ({"a": np.ones((1, 1, 2))}, r"a: received shape \(1, 1, 2\)"),
        ({"a": None}, "a: received NoneType"),
        ({"a": [[1], [1, 2]]}, "a: received list"),
        ({"bias": [1.0]}, r"bias: received shape \(1,\).*one for each of the 2 neurons"),
        ({"bias": [np.inf, 0]}, "bias: 1 of 2 values are NaN"),
    ],
)
def test_arrays_refused(change, message):
    parts = {"W": [[1.0, 2.0], [3.0, 4.0]], "a": [1.0, 2.0], "activation": "z^2"} | change
    with pytest.raises(ShapeError, match=message):
        TwoLayerNetwork(**parts)


@pytest.mark.parametrize(("activation", "message"), [(3, "received int, expected an Activation"), ("tanh(z)", "is not polynomial")])
def test_activations_refused(activation, message):
    with pytest.raises(ActivationError, match=message):
        TwoLayerNetwork([[1.0]], [1.0], activation)


def test_samples_of_another_dimension_are_refused():
    with pytest.raises(ShapeError, match=r"X: received shape \(1, 3\), expected \(any, 2\)"):
        TwoLayerNetwork([[1.0, 2.0]], [1.0], "z^2")([[1, 2, 3]])


def test_integers_that_doubles_do_not_hold_are_refused():
    assert finite_array("v", [2**53], (None,), "numbers")[0] == 2.0**53
    for wrong in (2**53 + 1, -(2**53) - 1, 2**63 - 1):
        with pytest.raises(ShapeError, match=r"v: has integers that doubles do not hold"):
            finite_array("v", [wrong, 1], (None,), "numbers")


def test_pixels_are_read_about_as_fast_as_floats():
    def seconds(array):
        began = time.process_time()
        finite_array("X", array, (None, None), "images")
        return time.process_time() - began

    pixels = np.ones((1000, 784), np.uint8)
    assert min(seconds(pixels) for _ in range(3)) < 15 * max(min(seconds(pixels.astype(float)) for _ in range(3)), 1e-3)

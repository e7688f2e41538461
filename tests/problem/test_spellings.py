"""Activations as people write them: other letters, missing signs of products, superscripts, SymPy, NumPy, coefficients."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import sympy

import identify as idf
from identify.problem.activation import ActivationError, as_activation

CUBIC = idf.Activation.parse("z + 2*z^3")


@pytest.mark.parametrize(
    "text", ["x + 2x^3", "2z³ + z", "2 z**3 + z", "t·(1 + 2t²)", "x(1 + 2x^2)", "z + 2(z)z^2", "2.0e0z^3 + z", "u − (−2u³)"]
)
def test_formulas_as_people_write_them(text):
    assert idf.Activation.parse(text) == CUBIC


@pytest.mark.parametrize("text", ["z³", "x³", " z³ ", "t^3", "z**3", "1z³"])
def test_a_single_power(text):
    assert idf.Activation.parse(text) == idf.Activation([0, 0, 0, 1])


@pytest.mark.parametrize("text", ["x + z^2", "sin(x) + x^2", "2zz", "e^2 + e", "z^2 + 2j"])
def test_formulas_that_are_not_guessed(text):
    with pytest.raises(ActivationError):
        idf.Activation.parse(text)


def test_objects_that_are_activations():
    x = sympy.Symbol("x")
    for value in (
        x + 2 * x**3,
        sympy.Poly(x + 2 * x**3, x),
        [0, 1, 0, 2],
        (0, 1.0, 0, Fraction(2)),
        np.array([0.0, 1.0, 0.0, 2.0]),
        np.polynomial.Polynomial([0, 1, 0, 2]),
        np.poly1d([2, 0, 1, 0]),
    ):
        assert as_activation(value) == CUBIC, value
    assert as_activation(sympy.tanh(x)) == idf.Activation.parse("tanh")
    assert as_activation(x**2 / 3 + sympy.Float(0.5)).coefficients == (Fraction(1, 2), 0, Fraction(1, 3))
    assert idf.Configuration(inputs=2, samples=1, width=3, activation=x + 2 * x**3).activation == CUBIC
    deep = idf.Network([np.eye(2), np.eye(2), [[1.0, 1.0]]], activation=[0, 1, 0, 2])
    assert deep.activations == (CUBIC, CUBIC)
    assert idf.Network([np.eye(2), np.eye(2), [[1.0, 1.0]]], activation=["relu", [0, 1, 0, 2]]).activations[1] == CUBIC
    scaled = np.polynomial.Polynomial([0, 1], domain=[-2, 2])  # its variable is half of z
    assert as_activation(scaled**2).coefficients == (0, 0, Fraction(1, 4))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (sympy.Symbol("x") * sympy.Symbol("y"), "has the symbols x, y"),
        (sympy.sqrt(2) * sympy.Symbol("x") ** 2, "is not a rational number or a float"),
        (sympy.Abs(sympy.Symbol("x")) + 1, "expected an Activation"),
        (7, "received int"),
        (None, "received NoneType"),
    ],
)
def test_objects_that_are_none(value, message):
    with pytest.raises(ActivationError, match=message):
        as_activation(value)


def test_the_update_of_data_of_ones_own():
    """It equals the gradient that JAX takes, and a batch comes back from it."""
    rng = np.random.default_rng(0)
    net = idf.Network(
        [rng.standard_normal((12, 5)), rng.standard_normal((9, 12)), rng.standard_normal((4, 9))],
        biases=[rng.standard_normal(12), None, None],
        activation="tanh",
    )
    X, gamma = rng.standard_normal((2, 5)), rng.standard_normal((2, 4))
    update = net.update(X, gamma)
    assert list(update) == [1, 2, 3] and update[1][1].shape == (12,) and update[2][1] is None
    system = idf.KKTSystem.gradient(net, layers=update)
    assert system.residual(X, gamma) < 1e-15
    moved = net.with_parameters(net.parameters | {"b1": net.parameters["b1"] + 1e-6 * np.arange(12)})
    slope = (np.sum(gamma * moved(X)) - np.sum(gamma * net(X))) / 1e-6
    assert slope == pytest.approx(update[1][1] @ np.arange(12), rel=1e-4)
    one = idf.TwoLayerNetwork([[1.0, 2.0]], [3.0], "z^2")
    assert one.update([[1.0, 1.0]], [2.0])[2][0].tolist() == [[18.0]]
    with pytest.raises(idf.ShapeError, match="gamma"):
        net.update(X, [1.0, 2.0])

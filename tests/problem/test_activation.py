"""Polynomials with exact coefficients, and the formulas they are read from."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from identify.problem.activation import MAX_DEGREE, Activation, ActivationError, horner, root_group

pytestmark = pytest.mark.smoke

rationals = st.fractions(min_value=-50, max_value=50, max_denominator=60)
activations = st.lists(rationals, min_size=3, max_size=7).filter(lambda s: any(s[2:])).map(Activation)


@pytest.mark.parametrize(
    ("text", "coefficients"),
    [
        ("z + z^2/2 + z^3", (0, 1, Fraction(1, 2), 1)),
        ("0.1*z^2", (0, 0, Fraction(1, 10))),
        ("-z**3", (0, 0, 0, -1)),
        ("+z^2 - 1e-2", (Fraction(-1, 100), 0, 1)),
        ("(z + 1)^2 * (z - 1/3)", (Fraction(-1, 3), Fraction(1, 3), Fraction(5, 3), 1)),
        ("1_000*z^2/(7 - 4)", (0, 0, Fraction(1000, 3))),
        ("z^3 - z^3 + z^2.0", (0, 0, 1)),
    ],
)
def test_parse_keeps_rationals_exact(text, coefficients):
    assert Activation.parse(text).coefficients == coefficients
    for z in (-1.5, 0.25, 2.0):
        assert Activation.parse(text)(z) == pytest.approx(eval(text.replace("^", "**"), {"z": z}), rel=1e-13)


def test_floats_are_the_dyadic_rationals_they_are():
    assert Activation([0, 1, 0.1]).coefficients[2] == Fraction(3602879701896397, 36028797018963968)
    assert Activation.parse("z + 0.1*z^2").coefficients[2] == Fraction(1, 10)


def test_integer_array_coefficients_do_not_overflow():
    assert Activation(np.array([0, 0, 0, 2**62])).derivative() == (0, 0, 3 * 2**62)


@pytest.mark.once
@given(activations)
def test_text_and_repr_read_back(sigma):
    assert Activation.parse(str(sigma)) == sigma
    assert eval(repr(sigma)) == sigma
    assert hash(Activation.parse(str(sigma))) == hash(sigma)


@pytest.mark.parametrize(
    ("text", "degree", "support", "constant", "monomial"),
    [
        ("z^3", 3, (3,), 0, True),
        ("-2*z^4", 4, (4,), 0, True),
        ("1 + z^2", 2, (2,), 1, False),
        ("z + z^3", 3, (1, 3), 0, False),
    ],
)
def test_properties(text, degree, support, constant, monomial):
    sigma = Activation.parse(text)
    assert (sigma.degree, sigma.support, sigma.constant, sigma.is_monomial) == (degree, support, constant, monomial)


@given(activations, st.floats(-3, 3), st.integers(0, 4))
def test_values_and_derivatives(sigma, z, order):
    reference = Polynomial([float(s) for s in sigma.coefficients]).deriv(order)
    assert np.isclose(sigma(z, order=order), reference(z), rtol=1e-10, atol=1e-9)
    exact = horner(sigma.derivative(order), Fraction(z))
    assert np.isclose(sigma(z, order=order), float(exact), rtol=1e-10, atol=1e-9)


def test_derivatives_beyond_the_degree_vanish():
    sigma = Activation.parse("z^2")
    assert sigma.derivative(2) == (2,) and sigma.derivative(3) == sigma.derivative(7) == (0,)
    assert np.array_equal(sigma(np.array([1.0, 2.0]), order=3), [0, 0])


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=6), st.integers(0, 2**31 - 2))
def test_horner_modulo_a_prime(coefficients, z):
    q = 2**31 - 1
    value = horner(coefficients, np.int64(z), lambda value: value % q)
    assert value == sum(s * z**k for k, s in enumerate(coefficients)) % q


@pytest.mark.parametrize(
    ("degrees", "group"),
    [((3,), "scaling"), ((4,), "scaling"), ((1, 3), "sign"), ((2, 4), "sign"), ((0, 2), "sign"), ((0, 3), "none"), ((1, 2, 3), "none")],
)
def test_root_group(degrees, group):
    assert root_group(degrees) == group
    real = [t for t in (1, -1, 2) if all(Fraction(t) ** k == Fraction(t) ** degrees[0] for k in degrees)]
    assert real == {"scaling": [1, -1, 2], "sign": [1, -1], "none": [1]}[group]


@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ([], "degree 0: expected a polynomial of degree 2 or more"),
        ([1, 2, 0.0], "degree 1: expected a polynomial of degree 2 or more"),
        ([0] * (MAX_DEGREE + 1) + [1], "degree 21: expected a degree of at most 20"),
        ([0, 0, float("nan")], "coefficient nan: expected a finite"),
        ([0, float("inf"), 1], "coefficient inf: expected a finite"),
        ([0, True, 1], "coefficient True: expected a finite"),
        ([0, 1j, 1], "expected a finite integer, fraction or float"),
        ([0, "1", 1], "coefficient '1': expected a finite"),
    ],
)
def test_coefficients_refused(coefficients, message):
    with pytest.raises(ActivationError, match=message):
        Activation(coefficients)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (5, "activation 5: expected a polynomial in z"),
        ("  ", "expected a polynomial in z"),
        ("z^2 +" + " " * 500 + "1", "expected a polynomial in z"),
        ("2z^2)", "not a formula.*products as"),
        ("x + y^2", "is not the variable"),
        ("z^2)", "not a formula"),
        ("sin(z)", r"'sin\(z\)' is not polynomial"),
        ("e^2", "'e' is not the variable"),
        ("z % 2", "'z % 2' is not polynomial"),
        ("z^2 + 2j", "'2j' is not polynomial"),
        ("z^2 + True", "'True' is not polynomial"),
        ("z^2 + 1e99999*z", "1e99999"),
        ("z^2 + 0x10", "'0x10' is not a decimal number"),
        ("z^2/z", "divides by something that is not a non-zero number"),
        ("z^2/(1 - 1)", "divides by something that is not a non-zero number"),
        ("z^(1/2)", "exponent that is not an integer from 0 to 20"),
        ("z^-1", "exponent that is not an integer"),
        ("2^z", "exponent that is not an integer"),
        ("z^21", "exponent that is not an integer from 0 to 20"),
        ("z^20*z", "degree 21: expected a degree of at most 20"),
        ("(z^20)^20", "a product of degree [0-9]+ is too large to expand"),
        ("z^2 + 1e-99999999*z", "'1e-99999999' is not a decimal number"),
        ("leaky_relu(1e-99999999)", r"expected leaky_relu\(slope for z < 0\)"),
        ("((((((9^20)^20)^20)^20)^20)^20)*z^2", "a product of numbers with more than"),
        ("*".join(["9^20"] * 17) + "*z^2", "a coefficient is too large"),
        ("z + 1", "degree 1: expected a polynomial of degree 2 or more"),
    ],
)
def test_formulas_refused(text, message):
    with pytest.raises(ActivationError, match=message):
        Activation.parse(text)


@pytest.mark.parametrize("make", [lambda: Activation([0, 0, 10**400]), lambda: Activation.parse("piecewise_linear([0], [0, 1e400])")])
def test_numbers_beyond_doubles_are_refused_before_they_are_rounded(make):
    with pytest.raises(ActivationError, match="too large"):
        make()


def test_the_largest_coefficient_has_derivatives_of_every_order():
    sigma = Activation([0] * 20 + [2**900 - 1])
    assert all(np.isfinite(sigma.floats(order)).all() for order in range(22))

"""Enclosures: they contain the values in high precision, the floats up to rounding, and every point of a wide ball; thin ones are thin."""

import mpmath
import numpy as np
import pytest
from flint import arb, ctx, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st
from support.activations import ANALYTIC, PIECEWISE, REFERENCE, piecewise

from identify.base.errors import InputError
from identify.problem.activation import Activation


def contains(ball: arb, value: mpmath.mpf) -> bool:
    """Up to an error of the reference far below the tolerances here."""
    near = arb(mpmath.nstr(value, 50)) + arb(0, 1e-35 * (1 + abs(float(value))))
    return bool(ball.overlaps(near))


@pytest.mark.parametrize("name", ANALYTIC)
@pytest.mark.parametrize("order", range(4))
def test_thin_balls_contain_the_reference(name, order):
    with ctx.workprec(140), mpmath.workdps(70):
        for z in ("-45", "-7.3", "-1", "-0.001", "0", "0.25", "3.9", "45"):
            ball = Activation.parse(name).ball(arb(z) if "." in z else int(z), order=order)
            value = mpmath.diff(REFERENCE[name], mpmath.mpf(z), order)
            assert contains(ball, value), z
            assert float(ball.rad()) <= 1e-30 * (1 + abs(float(ball.mid())))


@given(st.sampled_from(ANALYTIC), st.integers(0, 3), st.floats(-6, 6), st.floats(0, 3), st.floats(-1, 1))
@settings(max_examples=150)
def test_wide_balls_contain_every_point(name, order, middle, radius, where):
    sigma = Activation.parse(name)
    ball = sigma.ball(arb(middle, radius), order=order)
    value = float(sigma(middle + where * radius, order=order))
    assert (ball + arb(0, 1e-12 * (1 + abs(value)))).contains(value)


@given(st.sampled_from([name for name in ANALYTIC if name != "exp"]), st.integers(0, 3), st.floats(1, 1e6))
def test_the_widest_balls_stay_finite(name, order, radius):
    ball = Activation.parse(name).ball(arb(0, radius), order=order)
    assert ball.is_finite() and ball.contains(float(Activation.parse(name)(0.0, order=order)))


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "mish", "erf"])
@pytest.mark.parametrize("order", range(3))
def test_the_width_of_narrow_balls_is_that_of_the_slope(name, order):
    """The mean value form: an enclosure on a ball of radius r is no wider than about r times the next derivative."""
    sigma, r = Activation.parse(name), 1e-6
    slope = abs(float(sigma(0.8, order=order + 1)))
    assert float(sigma.ball(arb(0.8, r), order=order).rad()) <= 1.1 * slope * r + 1e-10


@given(
    piecewise(), st.fractions(-30, 30, max_denominator=40), st.fractions(0, 10, max_denominator=40), st.fractions(-1, 1, max_denominator=9)
)
def test_piecewise_linear(sigma, middle, radius, where):
    point = middle + where * radius
    ball = arb(fmpq(middle.numerator, middle.denominator)) + arb(0, 1) * arb(fmpq(radius.numerator, radius.denominator))
    for order in (0, 1, 2):
        value = sigma.exact(point, order=order)
        assert sigma.ball(ball, order=order).overlaps(arb(fmpq(value.numerator, value.denominator)))
    assert sigma.ball(ball).is_finite()


def test_piecewise_linear_balls_are_tight():
    relu = Activation.parse("relu")
    assert relu.ball(arb(-2, 1)) == 0 and relu.ball(arb(-2, 1), order=1) == 0
    assert relu.ball(arb(3, 1), order=1) == 1
    hull = relu.ball(arb(0, 2))
    assert hull.contains(0) and hull.contains(2) and float(hull.rad()) < 1.001
    slopes = relu.ball(0, order=1)
    assert slopes.contains(0) and slopes.contains(1)


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=5).filter(lambda s: any(s[2:])), st.integers(0, 5), st.integers(-20, 20))
def test_polynomials(coefficients, order, z):
    sigma = Activation(coefficients)
    value = sigma.exact(z, order=order)
    assert sigma.ball(z, order=order) == fmpq(value.numerator, value.denominator)


@pytest.mark.parametrize("name", ["tanh", "relu", "z^2"])
def test_numbers_are_taken_exactly(name):
    sigma = Activation.parse(name)
    assert sigma.ball(0.1).overlaps(sigma.ball(arb(0.1))) and not sigma.ball(0.1).overlaps(sigma.ball(arb(fmpq(1, 9))))
    with pytest.raises(InputError, match="z: received"):
        sigma.ball("a")


@pytest.mark.parametrize("name", [*ANALYTIC, *PIECEWISE])
def test_floats_lie_in_balls(name):
    sigma = Activation.parse(name)
    for z in np.random.default_rng(0).normal(0, 3, 20):
        for order in range(4 if sigma.kind == "analytic" else 2):
            value = float(sigma(z, order=order))
            assert (sigma.ball(float(z), order=order) + arb(0, 1e-13 * (1 + abs(value)))).contains(value)

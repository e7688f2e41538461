"""Analytic activations as SymPy expressions: values and derivatives, against floats, SymPy's own differentiation, and their texts."""

import numpy as np
import pytest
from sympy import Symbol, cos, diff, erf, exp, sin, symbols, sympify, tanh

from identify.problem.activation import Activation
from identify.problem.functions import FORMULAS
from identify.symbolic.functions import NAMED, OWN, NamedActivation, sigma
from identify.symbolic.printing import Printer

z = Symbol("z")


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_values_are_those_of_the_activation(name, order):
    activation = Activation.parse(name)
    expression = sigma(activation, z, 0).diff((z, order)) if order > 1 else sigma(activation, z, order)
    for value in (-2.5, -0.25, 0.5, 3.0):
        assert float(expression.xreplace({z: sympify(value)}).doit().evalf()) == pytest.approx(
            activation(value, order), rel=1e-11, abs=1e-13
        )


@pytest.mark.parametrize("name", FORMULAS)
def test_derivatives_are_those_of_sympy(name):
    activation = Activation.parse(name)
    explicit = sigma(activation, z, 0).doit()
    for order in (1, 2):
        difference = (sigma(activation, z, order).doit() - diff(explicit, (z, order))).xreplace({z: sympify("7/5")})
        assert abs(difference.evalf(30)) < 1e-25


@pytest.mark.parametrize("name", ["gelu", "sigmoid", "softplus", "erf"])
def test_derivatives_beyond_the_formulas(name):
    activation = Activation.parse(name)
    fifth = sigma(activation, z, 0).diff((z, 5)).doit() - diff(sigma(activation, z, 0).doit(), (z, 5))
    assert abs(fifth.xreplace({z: sympify("3/7")}).evalf(30)) < 1e-22


def test_functions_that_sympy_has_are_its_own():
    for name, function in {"tanh": tanh, "erf": erf, "sin": sin, "cos": cos, "exp": exp}.items():
        assert sigma(Activation.parse(name), z, 0) == function(z)
        assert (sigma(Activation.parse(name), z, 1) - function(z).diff(z)).expand() == 0
    assert sigma(Activation.parse("tanh_shrink"), z, 0) == z - tanh(z)
    assert set(OWN) | set(NAMED) == set(FORMULAS)


def test_named_functions():
    x, y = symbols("x y")
    gelu = NAMED["gelu"]
    assert gelu(x, 0) == gelu(x) and gelu(x * y).diff(x) == y * gelu(x * y, 1) and gelu(x, 1).diff(y) == 0
    assert gelu(x).order == 0 and gelu(x, 2).order == 2
    assert str(gelu(x).diff(x)) == "gelu(x, 1)" and sympify("gelu(x, 1)", NAMED) == gelu(x, 1)
    assert gelu(x, 1)._latex.__self__ is not None and Printer(tex=True)(gelu(x, 2)) == r"\operatorname{gelu}''\left(x\right)"
    assert float(gelu(sympify(1)).evalf()) == pytest.approx(0.8413447460685429)
    assert isinstance(gelu(gelu(x)).doit(deep=False).atoms(NamedActivation).pop(), gelu) and not gelu(gelu(x)).doit().atoms(NamedActivation)


@pytest.mark.parametrize("text", ["z + z^3/2", "1 - z^4"])
def test_polynomials_keep_their_argument_as_one_factor(text):
    x, y = symbols("x y")
    activation = Activation.parse(text)
    made = sigma(activation, x + y, 0)
    assert made.has((x + y) ** activation.degree) and np.isclose(float(made.subs({x: 1, y: 2})), activation(3.0))

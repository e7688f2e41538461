"""Equations of one's own: every verb of a symbolic system, against answers that are known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from support.algebra import in_this_process
from sympy import Eq, Float, Rational, cos, symbols

import identify as idf
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.symbolic.given import GivenSystem
from identify.symbolic.programs import is_rounded

x, y, k = symbols("x y k")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    in_this_process(monkeypatch)


@pytest.fixture(scope="module")
def circle():
    """x² + y² = 5 and x y = 2 meet in (±1, ±2) and (±2, ±1)."""
    return idf.SymbolicSystem.from_sympy([Eq(x**2 + y**2, 5), x * y - 2], [x, "y"])


def test_solutions_are_those_known_by_hand(circle):
    found = circle.solve(method="sympy")
    assert (found.dimension, found.degree, len(found.real)) == (0, 4, 4) and not found.is_rounded
    points = sorted((round(point["x"], 9), round(point["y"], 9)) for point in found.midpoints)
    assert points == [(-2, -1), (-1, -2), (1, 2), (2, 1)]
    assert all(low <= high for box in found.real for low, high in box.values())


def test_structure_jacobian_and_compiled_form(circle):
    assert isinstance(circle, GivenSystem) and len(circle) == 2 and circle.parameters == ()
    assert circle.structure().structural_rank == 2 and circle.jacobian()[0, 0] == 2 * x and circle.jacobian()[1, y] == x
    assert circle.lambdify()(np.array([1.0, 2.0])).tolist() == [0.0, 0.0]
    assert np.allclose(circle.lambdify("jax")(np.array([3.0, 2.0])), [8.0, 4.0])
    with pytest.raises(idf.InputError, match="received shapes"):
        circle.lambdify()([1.0])


def test_parameters_stay_symbols():
    system = idf.SymbolicSystem.from_sympy([x**2 - k, "y - k*x"], ["x", "y"], ["k"])
    assert system.equations[1].free_symbols == {x, y, k} and "ring R = (0, k), (x, y), dp" in system.export("singular")
    assert system.lambdify()([2.0, 8.0], [4.0]).tolist() == [0.0, 0.0]
    with pytest.raises(idf.InputError, match="the parameters k are symbols"):
        system.solve()
    with pytest.raises(idf.InputError, match="takes numbers only"):
        system.export("msolve")


@pytest.mark.parametrize("program", ["msolve", "singular", "macaulay2", "phcpack", "julia", "sage", "smtlib"])
def test_exports_have_these_equations_and_no_saturation(circle, program):
    text = circle.export(program)
    assert "KKT" not in text and "u*" not in text and "5" in text


def test_texts_for_people(circle):
    assert repr(circle) == "SymbolicSystem(2 equations in 2 unknowns, 0 parameters)"
    assert "x*y - 2 = 0" in circle.to_text() and r"\begin{align*}" in circle.to_latex()
    told = circle.to_dict()
    assert told["regime"] == "given" and told["unknowns"] == ["x", "y"] and told["ambiguity"] == []


def test_names_that_mean_something_to_the_programs():
    u, A = symbols("u A")
    for method in ("sympy", "auto"):
        found = idf.SymbolicSystem.from_sympy([u * A - 6, u - 2], [A, u]).solve(method=method)
        assert found.midpoints == ({"A": 3.0, "u": 2.0},)


def test_infinitely_many_and_none():
    many = idf.SymbolicSystem.from_sympy([x * y], [x, y]).solve(method="sympy")
    assert many.dimension == 1 and many.degree is None and "infinitely many" in repr(many)
    none = idf.SymbolicSystem.from_sympy([x - 1, x - 2], [x]).solve(method="sympy")
    assert none.dimension == -1 and "no solution;" in repr(none)


def test_rounded_numbers_are_said_to_be_rounded():
    third = idf.SymbolicSystem.from_sympy([3 * x - 1, x - Float(1 / 3)], [x]).solve(method="sympy")
    assert third.dimension == -1 and third.is_rounded and "look rounded" in repr(third)
    assert not idf.SymbolicSystem.from_sympy([2 * x - Float(0.75)], [x]).solve(method="sympy").is_rounded
    assert is_rounded(1 / idf.Activation.parse("z^2/3").coefficients[2] / 7 + idf.Activation([0, 0, 0.1]).coefficients[2])
    net = idf.TwoLayerNetwork([[1.0, 0.5], [0.25, 1.0]], [1.0, 2.0], "z + z^2 + z^3")
    W = [[1 / 3, 12.0], [17.0, 34.0]]
    found = idf.kkt_equations(idf.KKTSystem.gradient(net, W=W, a=[3.0, 14.0]), samples=1).solve(method="sympy")
    assert found.dimension == -1 and found.is_rounded and "identify.recover" in repr(found)


@pytest.mark.parametrize("text", ["0.1", "1e400", "1e-400", "0.333333333333333333333333333333"])
def test_floats_of_any_precision_are_the_rationals_that_they_are(text):
    (equation,) = idf.SymbolicSystem.from_sympy([x - Float(text, 40)], [x]).equations
    assert abs((x - equation) / Rational(text) - 1) < Rational(1, 10**38)


@pytest.mark.parametrize(
    ("equations", "unknowns", "parameters", "message"),
    [
        ([], [x], (), "equations: received none"),
        ([x], [], (), "unknowns: received none"),
        ([x - y], [x], (), "contains y"),
        ([cos(x)], [x], (), "expected a polynomial"),
        ([x**2 - 2 ** symbols("q")], [x], ["q"], "expected a polynomial"),
        ([x], [x], [x], "named twice"),
        ([x], ["x'"], (), "expected symbols named like"),
        ([x > 1], [x], (), "expected an expression"),
        (["x +"], [x], (), "SymPy cannot read it"),
    ],
)
def test_bad_input(equations, unknowns, parameters, message):
    with pytest.raises(idf.InputError, match=message):
        idf.SymbolicSystem.from_sympy(equations, unknowns, parameters)


def test_questions_about_networks_are_refused(circle):
    for ask in (circle.moment_form, circle.ambiguity, lambda: circle.group, lambda: circle.cell([[0]])):
        with pytest.raises(UnsupportedError) as refused:
            ask()
        assert refused.value.reason is Unsupported.GIVEN
    with pytest.raises(UnsupportedError):
        circle.export("smtlib", another_than=([[1.0]], [1.0]))

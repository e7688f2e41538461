"""The oracle for analytic networks in a box: known zeros, known families, symmetries, and floats from many starts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
from flint import arb, fmpq
from support.marks import slow

from identify.base.errors import InputError
from identify.problem.activation import Activation
from identify.theory.oracle.boxes import AnalyticQuestion, InBox, enclose_all
from identify.theory.oracle.roots import zeros_in_box

W = [[0.5, -1.0], [1.0, 0.25], [-0.75, 0.5], [0.25, 1.0], [1.0, 1.0], [-0.5, 0.75]]
B = [0.25, -0.5, 0.75, 0.125, -0.25, 0.5]
A = [[1.0, -2.0, 0.5, 1.5, -1.0, 2.0], [0.5, 1.0, -1.0, 2.0, 1.0, -0.5]]
X, C = [[1.0, -0.5], [0.5, 1.5]], [[1.0, 2.0], [-1.0, 0.5]]
NAMES = ["tanh", "gelu", "sigmoid", "softplus", "silu", "sin", "erf", "gelu_tanh", "mish", "arctan", "cos"]


def asked(activation="tanh", *, m=6, n=2, outputs=1, bias=True, layers="first", X=X, d=2):
    kept = [row[:d] for row in W[:m]]
    c = [row[:outputs] for row in C[:n]]
    return AnalyticQuestion.of(
        activation, kept, B[:m] if bias else None, [row[:m] for row in A[:outputs]], [x[:d] for x in X[:n]], c, layers
    )


# --- zeros in a box --------------------------------------------------------------------------------------------------------


def test_all_zeros_of_a_function():
    found = zeros_in_box(lambda v: [v[0].sin()], lambda v: [[v[0].cos()]], [(-7.1, 7.2)], 1000)
    assert not found.unsettled
    assert np.allclose(sorted(float(v[0].mid()) for v in found.candidates), np.pi * np.arange(-2, 3), atol=1e-15)


def test_more_equations_than_unknowns():
    """Of the zeros of x^2 + y^2 = 5 and x y = 2, the third equation keeps (1, 2) and (-1, -2)."""

    def value(v):
        x, y = v
        return [x * x + y * y - 5, x * y - 2, (y - 2 * x) * (x + 3)]

    def jacobian(v):
        x, y = v
        return [[2 * x, 2 * y], [y, x], [-4 * x + y - 6, x + 3]]

    found = zeros_in_box(value, jacobian, [(-3.3, 3.1), (-3.2, 3.4)], 5000)
    assert not found.unsettled
    assert sorted(tuple(round(float(w.mid()), 9) for w in v) for v in found.candidates) == [(-1, -2), (1, 2)]
    two = zeros_in_box(lambda v: value(v)[:2], lambda v: jacobian(v)[:2], [(-3.3, 3.1), (-3.2, 3.4)], 5000)
    assert len(two.candidates) == 4


def test_a_double_zero_is_not_settled():
    found = zeros_in_box(lambda v: [v[0] * v[0]], lambda v: [[2 * v[0]]], [(-1.1, 1.3)], 1000)
    assert not found.candidates and len(found.unsettled) >= 1
    stopped = zeros_in_box(lambda v: [v[0].sin()], lambda v: [[v[0].cos()]], [(-700.1, 700.2)], 20)
    assert stopped.unsettled and any(box[0].contains(arb.pi() * 30) for box in stopped.unsettled)


# --- data in a box ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("activation", NAMES)
def test_generic_data_are_unique(activation, layers):
    found = enclose_all(asked(activation, layers=layers))
    assert found.category is InBox.UNIQUE and not found.unsettled
    assert {round(v[0]) for v in found.candidates} == {0, 1}


@pytest.mark.parametrize(("activation", "layers", "has_sign"), [
    ("tanh", "both", True), ("sigmoid", "first", True), ("sigmoid", "both", False), ("cos", "both", True), ("softplus", "first", False),
])  # fmt: skip
def test_signs_without_biases(activation, layers, has_sign):
    question = asked(activation, bias=False, layers=layers, n=1)
    assert question.has_sign is has_sign
    found = enclose_all(question)
    assert found.category is InBox.UNIQUE
    minus = [v for v in found.candidates if abs(v[0] + 1) < 1e-9]
    assert bool(minus) == (activation != "softplus")


def test_two_samples_without_biases():
    found = enclose_all(asked("gelu", bias=False, m=5))
    assert found.category is InBox.UNIQUE and len(found.candidates) == 2


@pytest.mark.parametrize(("sizes", "dimension"), [
    ({"n": 2, "m": 1, "d": 1}, 2), ({"n": 1, "m": 1, "bias": False, "d": 1}, 1), ({"n": 2, "m": 2, "bias": False}, 2),
])  # fmt: skip
def test_families_by_counting(sizes, dimension):
    found = enclose_all(asked("gelu", **sizes))
    assert found.category is InBox.FAMILY and found.dimension == dimension


def test_other_solutions():
    """One sample t x, two neurons: all t at which the slopes have the same quotient as at 1."""
    slope, w, x = Activation.parse("gelu"), np.array([1.0, 2.0]), 1.5

    def gap(t):
        here, there = slope(t * w * x, 1), slope(w * x, 1)
        return here[0] * there[1] - here[1] * there[0]

    found = enclose_all(AnalyticQuestion.of("gelu", [[1], [2]], None, [[1, 1]], [[x]], [[1]], "first"))
    grid = np.linspace(-2.03, 2.07, 4001)
    values = np.array([gap(t) for t in grid])
    changes = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
    known = sorted(round(scipy.optimize.brentq(gap, grid[k], grid[k + 1], xtol=1e-14), 9) for k in changes)
    assert found.category is InBox.OTHERS and not found.unsettled
    assert sorted(round(v[0], 9) for v in found.candidates) == known and len(known) == 4


def test_what_is_not_covered_is_open():
    assert enclose_all(asked(X=[[1.0, 1.0], [2.0, 2.0]], bias=False)).category is InBox.OPEN  # dependent samples
    assert enclose_all(asked(m=2)).category is InBox.OPEN  # fewer equations for a sample than unknowns
    assert enclose_all(asked(n=2, bias=False), boxes=3).category is InBox.OPEN
    with pytest.raises(InputError, match="analytic"):
        AnalyticQuestion.of("relu", W, B, A[:1], X, [[1], [1]], "first")
    with pytest.raises(InputError, match="'first' or 'both'"):
        asked(layers="second")


@pytest.mark.parametrize(("activation", "outputs", "layers"), [("tanh", 1, "first"), slow("gelu", 1, "both"), ("silu", 2, "first")])
def test_against_least_squares_from_many_starts(activation, outputs, layers):
    """Nothing but the given data is found in the box that they are proved to be alone in."""
    m = 6
    found = enclose_all(asked(activation, outputs=outputs, layers=layers))
    assert found.category is InBox.UNIQUE
    sigma, given = Activation.parse(activation), np.hstack([X, np.array(C)[:, :outputs]])
    Wf, b, second = np.array(W), np.array(B), np.array(A)[:outputs, :m]

    def updates(v):
        data = v.reshape(2, 2 + outputs)
        z = data[:, :2] @ Wf.T + b
        signals = (data[:, 2:] @ second) * sigma(z, 1)
        parts = [signals.T @ np.hstack([data[:, :2], np.ones((2, 1))])]
        return np.concatenate([part.ravel() for part in parts + [data[:, 2:].T @ sigma(z)] * (layers == "both")])

    target, rng, converged = updates(given.ravel()), np.random.default_rng(0), 0
    for _ in range(20):
        start = given.ravel() + rng.standard_normal(given.size)
        fit = scipy.optimize.least_squares(lambda v: updates(v) - target, start, method="lm", xtol=1e-15, ftol=1e-15, max_nfev=300)
        point = fit.x.reshape(given.shape)
        if 2 * fit.cost < 1e-22 and np.abs(point).max() < 3:
            converged += 1
            assert min(np.abs(point[order] - given).max() for order in ([0, 1], [1, 0])) < 1e-5
    assert converged >= 3


def test_numbers_are_taken_exactly():
    question = asked()
    assert question.W[0] == [fmpq(1, 2), fmpq(-1)] and question.X[0] == [fmpq(1), fmpq(-1, 2)]

"""Slopes of piecewise-linear activations, cells of a network, and their files for algebra programs."""

from __future__ import annotations

import re
import shutil
import subprocess
from fractions import Fraction
from itertools import pairwise

import jax
import numpy as np
import pytest
from support.marks import slow
from sympy import Ge, Rational

import identify as idf
from identify.problem.activation import Activation
from identify.problem.network import Network
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.signals import layer_updates
from identify.symbolic.cells import OnBreakpointError
from identify.symbolic.msolve import msolve_program, read_solutions, run_within
from identify.symbolic.pieces import cases, conditions, constraints, in_cell, indicator_values, n_constraints, through_indicators
from identify.symbolic.posing import kkt_equations

ACTIVATIONS = [
    *("relu", "leaky_relu(1/3)", "abs", "relu6", "hard_tanh", "hard_sigmoid", "soft_shrink(1/2)"),
    *("piecewise_linear([1/2], [2, -1], 3)", "piecewise_linear([-1, 0, 1], [1, 1/2, -1, 2], 1/4, [1, -1, 5])"),
]
POINTS = [Fraction(k, 4) for k in range(-28, 29)]


def lines_of(text):
    return Activation.parse(text).lines


# --- one neuron -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ACTIVATIONS)
def test_indicators_give_value_and_derivative(text):
    """At every quarter, exactly; the constraints hold, and so do the signs. Off the breakpoints no other indicators satisfy both."""
    sigma, lines = Activation.parse(text), lines_of(text)
    many = len(lines.breakpoints)
    corners = [(Fraction(0), Fraction(1))] * many if many > 1 else [lines.slopes]
    for z in POINTS:
        admitted = []
        for values in (np.array(np.meshgrid(*corners, indexing="ij"), dtype=object).reshape(many, -1).T).tolist():
            vanishing = constraints(lines, values, Fraction)
            assert len(vanishing) == n_constraints(lines)
            signs = conditions(lines, values, z, Fraction)
            assert len(signs) == 2 * many
            if not any(vanishing) and all(product >= 0 if at_least else product <= 0 for product, at_least in signs):
                admitted.append(values)
        for values in admitted:
            assert through_indicators(lines, values, Fraction)(z, 0) == sigma.exact(z)
        slopes = {through_indicators(lines, values, Fraction)(z, 1) for values in admitted}
        if z in lines.breakpoints:
            k = lines.breakpoints.index(z)
            assert slopes == {lines.slopes[k], lines.slopes[k + 1]}
        else:
            assert slopes == {sigma.exact(z, 1)} and len(admitted) == 1


@pytest.mark.parametrize("text", ACTIVATIONS)
def test_cases_are_the_activation_with_its_stated_derivatives(text):
    """Each z lies in exactly one case, also on the breakpoints."""
    sigma, lines = Activation.parse(text), lines_of(text)
    found, left_out = cases(lines)
    assert not left_out
    for z in POINTS:
        inside = [
            case
            for case in found
            if (case.low is None or z > case.low or (case.low_included and z == case.low))
            and (case.high is None or z < case.high or (case.high_included and z == case.high))
        ]
        assert len(inside) == 1
        values = through_indicators(lines, inside[0].indicators, Fraction)
        assert (values(z, 0), values(z, 1)) == (sigma.exact(z), sigma.exact(z, 1))
    z = np.array([float(point) for point in POINTS])
    values = through_indicators(lines, indicator_values(lines, z), float)
    assert np.allclose(values(z, 0), sigma(z), atol=1e-15) and np.allclose(values(z, 1), sigma(z, order=1), atol=1e-15)


def test_a_derivative_that_no_slope_gives_is_left_out():
    lines = lines_of("piecewise_linear([0, 1], [1, 1, 2], 0, [5, 1])")
    assert lines.breakpoints == (0, 1)
    found, left_out = cases(lines)
    assert left_out == [0] and len(found) == 3
    net = idf.TwoLayerNetwork([[1.0]], [1.0], Activation.parse("piecewise_linear([0, 1], [1, 1, 2], 0, [5, 1])"))
    text = kkt_equations(idf.KKTSystem.gradient(net, W=[[1.0]]), samples=1).export("smtlib")
    assert "; Not in this file: pre-activations of hidden layer 1 that are 0" in text


@pytest.mark.parametrize("text", ACTIVATIONS)
def test_pieces_are_affine(text):
    sigma, lines = Activation.parse(text), lines_of(text)
    for z in POINTS:
        if z not in lines.breakpoints:
            piece = sum(t < z for t in lines.breakpoints)
            assert in_cell(lines, piece, Fraction)(z, 0) == sigma.exact(z) and in_cell(lines, piece, Fraction)(z, 1) == sigma.exact(z, 1)


# --- cells of a network ------------------------------------------------------------------------------------------------------------------


def planted(d, widths, n, activation="relu", outputs=1, bias=True, seed=0):
    """Small integers: the target is exact, and no pre-activation is a breakpoint."""
    for trial in range(1000):
        rng = np.random.default_rng((seed, trial))
        sizes = (d, *widths, outputs)
        weights = [rng.integers(-4, 5, (out, inside)).astype(float) for inside, out in pairwise(sizes)]
        biases = [rng.integers(-4, 5, m).astype(float) if bias else None for m in widths]
        net = Network(weights, biases=[*biases, None], activation=activation)
        X, c = rng.integers(-5, 6, (n, d)).astype(float), rng.choice([-3.0, -2.0, -1.0, 1.0, 2.0], (n, outputs))
        updates = layer_updates(net.weights, net.biases, net.activations, X, c)
        layers = {k + 1: update if net.biases[k] is not None else (update[0], None) for k, update in enumerate(updates)}
        if not all(np.any(update[0]) for update in updates):
            continue
        system = kkt_equations(idf.KKTSystem.gradient(net, layers=layers), samples=n)
        try:
            system.pattern_at(X)
        except OnBreakpointError:
            continue
        if len(np.unique(X, axis=0)) == n:
            return system, X, c
    raise AssertionError("no instance")


def holds(system, values) -> bool:
    return all((r.lhs - r.rhs).xreplace(values) * (1 if isinstance(r, Ge) else -1) >= 0 for r in system.inequalities)


@pytest.mark.parametrize(
    ("widths", "activation", "outputs", "bias"),
    [
        ((4,), "relu", 1, True),
        ((3,), "hard_tanh", 2, True),
        ((3, 2), "relu", 1, True),
        ((2, 3), "abs", 2, False),
        ((3,), "leaky_relu(1/4)", 1, False),
    ],
)
def test_a_cell_is_the_system_with_numbers_for_slopes(widths, activation, outputs, bias):
    system, X, c = planted(2, widths, 2, activation, outputs, bias)
    pattern = system.pattern_at(X)
    cell = system.cell(pattern)
    for k, (sigma, pieces) in enumerate(zip(system.activations, pattern, strict=True)):
        z = system.numbers.network.forward(X).before[k]
        assert np.array_equal(pieces, np.searchsorted([float(t) for t in sigma.breakpoints], z))
    values = dict(zip(cell.unknowns, map(Rational, cell.point(X, c)), strict=True))
    assert not any(symbol.name.startswith("s") for symbol in cell.unknowns)
    assert all(equation.xreplace(values) == 0 for equation in cell.equations) and holds(cell, values)
    assert np.abs(cell.lambdify()(cell.point(X, c))).max() == 0
    at = cell.point(X + 0.25, c)
    with jax.enable_x64(True):
        residual = cell.lambdify("jax")
        assert np.allclose(jax.jit(residual)(at), cell.lambdify()(at), rtol=1e-13)
        automatic = np.asarray(jax.jit(jax.jacfwd(residual))(at))
    symbolic = cell.jacobian().to_sympy().xreplace(dict(zip(cell.unknowns, map(Rational, at), strict=True)))
    assert np.allclose(np.array(symbolic, dtype=float), automatic, rtol=1e-12)
    expanded = cell.expand()
    assert {symbol.name[0] for symbol in expanded[0].ring.symbols} <= {"x", "c", "g"}
    for polynomial in expanded:
        assert polynomial(*(values[symbol] for symbol in polynomial.ring.symbols)) == 0
    assert sum(map(len, expanded)) <= cell.n_terms() + len(expanded)
    full = dict(zip(system.unknowns, map(Rational, system.point(X, c)), strict=True))
    assert all(equation.xreplace(full) == 0 for equation in system.equations) and holds(system, full)
    other = tuple(np.where(np.arange(pieces.size).reshape(pieces.shape) == 0, 1 - np.minimum(pieces, 1), pieces) for pieces in pattern)
    assert not holds(system.cell(other), values)
    assert "one activation cell" in repr(cell) and cell.cell(other).pattern is not None


def test_patterns_are_checked():
    system, X, _ = planted(2, (3, 2), 2)
    good = system.pattern_at(X)
    for wrong in (good[0], good[:1], (good[1], good[0]), (good[0], good[1] + 2), (good[0], good[1] - 1), (good[0], good[1] + 0.5)):
        with pytest.raises(idf.InputError, match="pattern: received"):
            system.cell(wrong)
    one, X, _ = planted(2, (3,), 2)
    for wrong in ([[0, 1, 1], [0, 1]], 3, "101", np.zeros((2, 3))):
        with pytest.raises(idf.InputError, match="pattern: received"):
            one.cell(wrong)
    array = one.pattern_at(X)[0]
    assert [str(a) for a in one.cell(array).equations] == [str(a) for a in one.cell([array.tolist()]).equations]
    assert one.cell(array.astype(bool)).pattern[0].tolist() == array.tolist()
    with pytest.raises(idf.InputError, match=r"X: received shape \(1, 2\), expected \(2, 2\)"):
        one.pattern_at(X[:1])
    with pytest.raises(idf.InputError, match="the weights are symbols"):
        kkt_equations(idf.Configuration(inputs=2, samples=2, width=3, activation="relu")).pattern_at(X)
    smooth = kkt_equations(idf.Configuration(inputs=2, samples=2, width=3, activation="tanh"))
    powers = kkt_equations(idf.Configuration(inputs=2, samples=2, width=3, activation="z^2"))
    for others in (smooth, powers):
        for question, ask in (("cell", others.cell), ("pattern_at", others.pattern_at)):
            with pytest.raises(UnsupportedError) as refused:
                ask(array)
            assert refused.value.question == question and refused.value.reason is Unsupported.CELLS


def test_data_on_a_breakpoint_are_reported_exactly():
    """In rational arithmetic 0.1 - 0.1 is zero, and 0.1 + 0.2 - 0.3 is not."""
    net = Network([[[1.0, 1.0], [3.0, 1.0]], [[1.0, 1.0]]], biases=[[0.0, 1.0], None], activation="relu")
    system = kkt_equations(idf.KKTSystem.gradient(net, layers={1: np.ones((2, 2))}), samples=2)
    with pytest.raises(OnBreakpointError) as caught:
        system.pattern_at([[0.1, 5.0], [0.1, -0.1]])
    assert (caught.value.sample, caught.value.layer, caught.value.neuron) == (2, 1, 1)
    net = Network([[[1.0, 1.0]], [[1.0]]], biases=[[-0.3], None], activation="relu")
    system = kkt_equations(idf.KKTSystem.gradient(net, layers={1: np.ones((1, 2))}), samples=1)
    assert system.pattern_at([[0.1, 0.2]])[0].tolist() == [[1]]


# --- files -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("widths", "activation", "n"), [((4,), "relu", 1), ((6,), "relu", 2), ((4, 3), "relu", 1), ((6,), "hard_tanh(-10, 10)", 2)]
)
def test_msolve_solves_a_cell(tmp_path, widths, activation, n):
    """Among the real solutions of the planted cell are the planted data."""
    program = msolve_program()
    if program is None:
        pytest.skip("msolve is not installed (extra algebra)")
    system, X, c = planted(2, widths, n, activation, seed=3)
    cell = system.cell(system.pattern_at(X))
    (tmp_path / "cell.ms").write_text(cell.export("msolve"), encoding="ascii")
    run_within([program, "-P", "1", "-f", str(tmp_path / "cell.ms"), "-o", str(tmp_path / "out")], 60)
    found = read_solutions((tmp_path / "out").read_text(encoding="ascii"))
    assert found.dimension == 0
    truth = dict(zip((symbol.name for symbol in cell.unknowns), cell.point(X, c), strict=True))
    inside = [all(box[name][0] <= Fraction(truth[name]) <= box[name][1] for name in box if name in truth) for box in found.boxes]
    assert inside.count(True) == 1 and found.degree is not None and found.degree >= 1


@pytest.mark.parametrize(("form", "command"), [("singular", ["Singular", "-q"]), ("macaulay2", ["M2", "--script"])])
@pytest.mark.parametrize("bias", [True, slow(False)])
def test_algebra_programs_read_cells_and_slopes(tmp_path, form, command, bias):
    """Without biases a positive scale is free for each sample, and so the dimension is one."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    system, X, _ = planted(2, (4,), 1, bias=bias, seed=1)
    for file, dimension in ((system.cell(system.pattern_at(X)), 0 if bias else 1), (system, None)):
        path = tmp_path / "system"
        text = file.export(form, modulus=32003)
        path.write_text(text, encoding="ascii")
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL, check=True)
        shown = re.findall(r"dimension (-?\d+)", done.stdout)
        assert len(shown) == 1 and (dimension is None or int(shown[0]) == dimension)
        assert ("that belong to the slopes s" in text) == (dimension is None)
        assert ("the ends of the pieces" in text) == (dimension is not None)


@pytest.mark.parametrize("form", ["msolve", "phcpack", "julia", "sage"])
def test_every_program_has_a_file_for_a_cell(form):
    system, X, _ = planted(2, (6,), 1)
    text = system.cell(system.pattern_at(X)).export(form)
    assert "c" in text and "s_1_1" not in text and "s[1,1]" not in text

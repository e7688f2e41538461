"""Exact solution: counts of the truth table, planted data in a box, orbits, limits of time, and what is read from msolve."""

import os
import subprocess
import sys
import time
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from support.algebra import in_this_process
from support.integer_systems import SYSTEMS
from support.marks import slow

from identify.planting.configuration import Configuration
from identify.problem.arrays import ShapeError
from identify.problem.gradients import weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.symbolic.export import problem_of
from identify.symbolic.msolve import (
    Answer,
    WrongSolutionError,
    dimension_of,
    leading_monomials,
    msolve_program,
    read_solutions,
    run_within,
    standard_monomials,
)
from identify.symbolic.posing import kkt_equations
from identify.symbolic.programs import check_boxes
from identify.symbolic.solve import SolveLimitError, gauge_equations, solve

needs_msolve = pytest.mark.skipif(msolve_program() is None, reason="msolve is not installed (extra algebra)")
METHODS = [pytest.param("msolve", marks=needs_msolve), "sympy"]
SMALL = "z+z^2+z^3-both-2x2x3"
HARD = "z+z^2+z^3-both-2x2x2"


def margin(labels, samples=1):
    """Orthonormal data on the margin, with lambda = 1/3: the only real solution up to order, where the labels are given."""
    net = TwoLayerNetwork(np.eye(samples, 2), [1, -1][:samples], "z^3")
    return kkt_equations(KKTSystem.max_margin(net, labels=labels, layers="first"), samples=samples)


# --- counts and boxes --------------------------------------------------------------------------------------------------------


@needs_msolve
@pytest.mark.parametrize("name", SYSTEMS)
def test_truth_table(name):
    known = SYSTEMS[name]
    found = solve(known.system)
    assert (found.dimension, found.degree, found.n_orbits) == (known.dimension, known.solutions, known.orbits)
    assert sorted(index for orbit in found.orbits for index in orbit) == list(range(len(found.real)))
    if known.dimension == 0 and found.gauge is None:
        assert sum(solution.contains(known.X, known.c) for solution in found.real) == 1
        assert sum(solution.contains(known.X[::-1], known.c[::-1]) for solution in found.real) == 1
        assert not any(solution.contains(np.array(known.X) + 2.0**-40, known.c) for solution in found.real)


@pytest.mark.parametrize("name", [slow(SMALL), "z+z^3-both-2x2x3"])
def test_sympy_agrees(name):
    known = SYSTEMS[name]
    found = solve(known.system, method="sympy")
    assert (found.dimension, found.degree, found.n_orbits, found.method) == (0, known.solutions, known.orbits, "sympy")
    assert sum(solution.contains(known.X, known.c) for solution in found.real) == 1


def test_sympy_finds_dimensions():
    """One sample whose scale is free."""
    net = TwoLayerNetwork(np.eye(2), [1, 1], "z^3")
    X, c = np.array([[1.0, 2.0]]), np.array([[1.0]])
    target = weighted_gradients(net.W, net.A, net.offsets, net.activation.floats(), net.activation.floats(1), X, c)[0]
    found = solve(kkt_equations(KKTSystem.gradient(net, W=target), samples=1), method="sympy", gauge=None)
    assert (found.dimension, found.method) == (1, "sympy")


@needs_msolve
def test_planted_data_up_to_scale():
    known = SYSTEMS["z^3-first-3x2x3"]
    found = solve(known.system)
    scale = np.array(known.X) @ found.gauge
    X, c = np.array(known.X) / scale[:, None], np.array(known.c) * scale**3
    errors = [np.abs(each[0] - X).max() + np.abs(each[1] - c).max() / np.abs(c).max() for each in found.midpoints]
    assert min(errors) < 1e-14
    assert len(found.orbits[0]) == 2
    assert "modulo scale" in repr(found)


@needs_msolve
def test_coefficients_of_many_bits():
    # dyadic numbers: coefficients of up to 37 bits once denominators are cleared, more than the prime for the dimension
    W = np.array([[9, 3], [0, -6], [-5, -11], [-11, -12], [-8, 8], [4, 10]]) / 8
    net = TwoLayerNetwork(W, np.array([9, 12, 6, 11, 10, 4]) / 8, "z^5")
    X, c = np.array([[9, -8], [-10, 9], [-12, 1]]) / 8, np.array([[-7], [-7], [-4]]) / 8
    target = weighted_gradients(net.W, net.A, net.offsets, net.activation.floats(), net.activation.floats(1), X, c)[0]
    solution = solve(kkt_equations(KKTSystem.gradient(net, W=target), samples=3), method="msolve")
    assert (solution.dimension, solution.degree, solution.n_orbits) == (0, 6, 1)


@needs_msolve
def test_a_free_scale_is_a_dimension_for_each_sample():
    found = solve(SYSTEMS["z^3-first-3x2x3"].system, gauge=None)
    assert (found.dimension, found.degree, found.real, found.gauge) == (2, None, (), None)
    assert "infinitely many" in repr(found)


@needs_msolve
def test_gauge_is_for_free_scales_only():
    assert gauge_equations(SYSTEMS[SMALL].system) == ()
    assert gauge_equations(margin([1])) == ()
    assert solve(SYSTEMS[SMALL].system).gauge is None


@needs_msolve
def test_rounded_targets_have_no_exact_solution():
    problem = Configuration(inputs=2, samples=2, width=3, activation="z + z^2 + z^3").plant(0)[0]
    found = solve(kkt_equations(problem, samples=2))
    assert (found.dimension, found.degree, found.n_orbits) == (-1, 0, 0)
    assert "no solution" in repr(found)


@needs_msolve
@pytest.mark.parametrize(
    ("sizes", "degree"),
    [
        ({"bias": True, "activation": "z + z^3"}, 2),
        ({"outputs": 2, "activation": "z + z^2"}, 2),
        ({"outputs": 3, "activation": "z + z^3"}, 8),
    ],
)
def test_biases_and_several_outputs(sizes, degree):
    problem, truth = Configuration(inputs=2, samples=2, width=3, **sizes).plant(3, integers=True)
    found = solve(kkt_equations(problem, samples=2))
    assert (found.dimension, found.degree, found.n_orbits) == (0, degree, 1)
    (hit,) = [solution for solution in found.real if solution.contains(truth.X, truth.c)]
    X, c = hit.midpoint
    assert np.allclose(X, truth.X, rtol=1e-15) and np.allclose(c, truth.c, rtol=1e-15) and c.shape == truth.c.shape


@lru_cache
def one_margin(method):
    return solve(margin([1]), method=method)


@pytest.mark.parametrize("method", METHODS)
def test_margins_fix_the_scale(method):
    found = one_margin(method)
    assert (found.degree, len(found.real)) == (3, 1)
    assert found.real[0].feasible
    (low, high), third = found.real[0].c[0][0], Fraction(1, 3)
    assert low <= third <= high and high - low < Fraction(1, 2**120)


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_are_not_given_are_unknowns(method, monkeypatch):
    in_this_process(monkeypatch)
    found = solve(margin(None), method=method)
    assert (found.degree, len(found.real), found.orbits) == (6, 2, ((0, 1),))
    assert sorted(float(c[0]) for _, c in found.midpoints) == pytest.approx([-1 / 3, 1 / 3], abs=1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_orbits_join_trading_places_and_sign(method, monkeypatch):
    """With labels 1, -1 the second real solution is (-x_2, -x_1): a permutation and two signs."""
    in_this_process(monkeypatch)
    found = solve(margin([1, -1], 2), method=method)
    assert (len(found.real), found.n_orbits) == (2, 1)


@needs_msolve
def test_infeasible_multipliers_are_marked():
    """3 a lambda y x^3 = w and y a x^3 = 1 with w = a = 1, y = -1: x = -1, lambda = 1/3. With a = -1, y = 1, w = 1: lambda = 1/3, too;
    a = y = 1 and w = -1 has x = 1 / w, lambda = w / (3 x) > 0. So a negative multiplier needs a target of its own sign."""
    net = TwoLayerNetwork([[1, 0], [0, 1]], [1, 1], "z^3")
    found = solve(kkt_equations(KKTSystem.max_margin(net, labels=[1, 1], layers="first"), samples=2))
    assert found.n_orbits == 1 and all(solution.feasible for solution in found.real)


@needs_msolve
def test_representation():
    assert repr(solve(SYSTEMS[HARD].system)).startswith("Solution(16 complex solutions, 6 real in 3 orbits; msolve, ")


def test_contains_checks_shapes():
    found = one_margin("sympy")
    assert not found.real[0].contains([[0, 1]], [1])
    with pytest.raises(ShapeError, match="X: received shape"):
        found.real[0].contains([[0, 1, 2]], [1])


# --- limits ------------------------------------------------------------------------------------------------------------------


def alive(pid):
    """Whether a process still runs; one that is dead and not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def stand_in(tmp_path, monkeypatch, script):
    """A program called msolve, before all others on the PATH."""
    program = tmp_path / "msolve"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_nothing_runs_on_after_the_time_limit(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, f"sleep 60 &\necho $$ $! > {tmp_path}/pids\nwait\n")
    start = time.monotonic()
    with pytest.raises(SolveLimitError, match="msolve: stopped at the time limit of 0[.][45]\\d* s; 10 equations in 7 unknowns") as caught:
        solve(SYSTEMS[SMALL].system, time_limit=0.5)
    assert time.monotonic() - start < 5
    assert caught.value.dimension is None
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    end = time.monotonic() + 5
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert len(pids) == 2 and not any(map(alive, pids))


@needs_msolve
def test_what_was_reached_is_told(tmp_path, monkeypatch):
    """A program that gives the Gröbner basis modulo the prime, and then hangs."""
    stand_in(tmp_path, monkeypatch, f'case "$*" in *"-g 1"*) exec {msolve_program()} "$@";; esac\nexec sleep 60\n')
    with pytest.raises(SolveLimitError, match="of dimension 0 and degree 16 modulo 1073741827; raise time_limit") as caught:
        solve(SYSTEMS[HARD].system, time_limit=2)
    assert (caught.value.dimension, caught.value.degree) == (0, 16)


def test_a_program_that_fails(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "echo no memory >&2\nexit 7\n")
    with pytest.raises(SolveLimitError, match="msolve: exit status 7 'no memory' within"):
        solve(SYSTEMS[SMALL].system)


def test_sympy_stops_at_the_time_limit():
    start = time.monotonic()
    with pytest.raises(SolveLimitError, match="sympy: stopped at the time limit of 1[.][45]\\d* s, without a Gröbner basis of 7 equations"):
        solve(SYSTEMS[HARD].system, method="sympy", time_limit=1.5)
    assert time.monotonic() - start < 6


def test_sympy_out_of_memory(monkeypatch):
    monkeypatch.setenv("IDENTIFY_MEMORY", "0.01")
    with pytest.raises(SolveLimitError, match="sympy: exit status"):
        solve(SYSTEMS[SMALL].system, method="sympy")


LIE = """import json, pathlib, re, sys
out = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
text = out.read_text()
start, end = text.rindex("[1,") + 4, text.rindex("]")
while text[start - 4 : start] != "[1,\\n":
    start = text.rindex("[1,", 0, start - 4) + 4
boxes = json.loads(re.sub(r"-?[0-9][-0-9^/ ]*", lambda m: json.dumps(m.group().strip()), text[start : text.rindex("]", 0, end)]))
shown = lambda boxes: json.dumps(boxes).replace(chr(34), "")
out.write_text(text[:start] + {} + "]]:")
"""
"""What a program that lies does to its own output."""
LIES = {
    "lost": "shown(boxes[1:])",
    "repeated": "shown(boxes[:1] * len(boxes))",
    "invented": "shown(boxes + boxes[:1])",
    "garbled": "'[[[' + shown(boxes)[:9]",
}


@needs_msolve
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("always", [True, False])
def test_a_program_that_lists_a_wrong_number_of_real_roots(tmp_path, monkeypatch, lie, always):
    """As msolve has done at random (algebraic-solving/msolve#230): FLINT counts them as well; once wrong, it is asked again."""
    real, known = msolve_program(), SYSTEMS[SMALL]
    honest = solve(known.system)
    assert len(honest.real) > 1
    (tmp_path / "lie.py").write_text(LIE.format(LIES[lie]))
    when = '*"-P 1"*' if always else '*"--random-seed 1 -P 1"*'
    stand_in(tmp_path, monkeypatch, f'{real} "$@" || exit $?\ncase "$*" in {when}) {sys.executable} {tmp_path}/lie.py "$@";; esac\n')
    if always:
        with pytest.raises(WrongSolutionError, match="its elimination polynomial has|cannot be read"):
            solve(known.system, time_limit=60)
    else:
        assert [each.X for each in solve(known.system, time_limit=60).real] == [each.X for each in honest.real]


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads limits through /proc")
def test_limits_hold_before_a_program_starts(monkeypatch):
    """The program reads its own as the first thing it does, and what it starts has them too."""
    monkeypatch.setenv("IDENTIFY_MEMORY", "0.5")
    out, _, status = run_within(["sh", "-c", "cat /proc/self/limits; sh -c 'cat /proc/self/limits'"], 3.2)
    assert status == 0
    found = [line.split()[-3:-1] for line in out.splitlines() if line.startswith(("Max cpu time", "Max address space"))]
    assert found == [["5", "5"], [str(2**29), str(2**29)]] * 2
    out, err, status = run_within([sys.executable, "-c", "x = bytearray(2**30)"], 30)
    assert status and "MemoryError" in err


def test_run_within():
    assert run_within(["cat"], 10, "text") == ("text", "", 0)
    with pytest.raises(subprocess.TimeoutExpired):
        run_within(["sleep", "10"], 0.1)


# --- errors ------------------------------------------------------------------------------------------------------------------


def test_arguments():
    system = SYSTEMS[SMALL].system
    with pytest.raises(ValueError, match="method: received 'maple', expected one of auto, msolve, sympy"):
        solve(system, method="maple")
    with pytest.raises(ValueError, match="gauge: received 'unit', expected one of auto"):
        solve(system, gauge="unit")
    for limit in (0, -1.0, float("nan"), float("inf"), True, "60"):
        with pytest.raises(ValueError, match="time_limit: received .*, expected a positive number of seconds"):
            solve(system, time_limit=limit)
    with pytest.raises(ValueError, match="solve: the weights and targets are symbols; give numbers"):
        solve(kkt_equations(Configuration(inputs=1, samples=1, width=1, activation="z^2")))


def test_msolve_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("identify.symbolic.programs.msolve_program", lambda: None)
    with pytest.raises(ValueError, match=r'method: msolve is not installed; pip install "kkt-identify\[algebra\]"'):
        solve(SYSTEMS[SMALL].system, method="msolve")
    assert solve(margin([1])).method == "sympy"


def test_boxes_that_hold_no_solution_are_refused():
    known = SYSTEMS[SMALL]
    problem = problem_of(known.system)
    values = [Fraction(1, 2), *np.ravel(known.X), *known.c]
    names = [symbol.name for symbol in problem.unknowns]
    box = {name: (Fraction(value), Fraction(value)) for name, value in zip(names, map(Fraction, map(str, values)), strict=True)}
    check_boxes(problem, Answer(0, 1, [box]), 128)
    box["x_1_1"] = (Fraction(3), Fraction(3))
    with pytest.raises(WrongSolutionError, match="equation 0 is .* on a box of the program, expected zero"):
        check_boxes(problem, Answer(0, 1, [box]), 128)


# --- what msolve prints ------------------------------------------------------------------------------------------------------


def test_reading_no_solution_and_positive_dimension():
    assert read_solutions("[-1]:\n") == Answer(-1, 0, [])
    assert read_solutions("[1, 7, -1, []]:\n") == Answer(1, None, [])


def test_reading_boxes_with_other_names_and_a_separating_variable():
    text = (
        "[0, [0, \n3, \n4, \n['y', 'x', 'A'],\n[1,2,1],\n[1,\n[[2, [-1, 0, 1]],\n[1, [0, 2]],\n[\n[[0, [0]],\n1],\n[[0, [-1]],\n1]\n]]]],"
        "[1,\n[[[-1 / 2^2, 3 / 2], [0, 0]], [[0, 0], [-1 / 2^1, -1 / 2^1]]]\n]]:\n"
    )
    found = read_solutions(text)
    assert (found.dimension, found.degree) == (0, 2)
    assert found.boxes[0] == {"y": (Fraction(-1, 4), Fraction(3, 2)), "x": (Fraction(0), Fraction(0))}
    assert found.boxes[1]["x"] == (Fraction(-1, 2), Fraction(-1, 2))
    assert read_solutions("[0, [0, \n1, \n2, \n['x'],\n[1],\n[1,\n[[2, [1, 0, 1]],\n[1, [0, 2]],\n[\n]]]],[1,\n[]\n]]:\n") == Answer(
        0, 2, []
    )


def test_reading_leading_monomials():
    text = "#Leading ideal data\n#variable order:       x, y\n#---\n[x^1*y^2,\ny^3]:\n"
    assert leading_monomials(text, ["x", "y"]) == [(1, 2), (0, 3)]
    assert leading_monomials("#---\n[1]:\n", ["x", "y"]) == [(0, 0)]


@pytest.mark.parametrize(
    ("leading", "dimension"),
    [
        ([(0, 0, 0)], -1),
        ([], 3),
        ([(1, 1, 0), (0, 1, 1)], 2),
        ([(1, 1, 0), (0, 1, 1), (1, 0, 1)], 1),
        ([(2, 0, 0), (0, 3, 0), (0, 0, 1)], 0),
    ],
)
def test_dimension_of_a_monomial_ideal(leading, dimension):
    assert dimension_of(leading, 3) == dimension


def test_standard_monomials():
    assert standard_monomials([(2, 0), (1, 1), (0, 3)], 2) == [(0, 0), (0, 1), (1, 0), (0, 2)]

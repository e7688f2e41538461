"""Exported files, run by the programs they are for (each where it is installed), give the counts of the truth table."""

import re
import shutil
import subprocess
from itertools import product

import numpy as np
import pytest
from support.integer_systems import SYSTEMS
from support.marks import slow, thinned
from sympy import Poly, Symbol, sympify

from identify.base.options import PROGRAMS
from identify.planting.configuration import Configuration
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.symbolic.export import PHC_INTEGERS, export
from identify.symbolic.msolve import msolve_program, read_solutions
from identify.symbolic.posing import kkt_equations
from identify.symbolic.solve import gauge_equations

EVERY = pytest.mark.parametrize("name", SYSTEMS)
SYMBOLIC = kkt_equations(Configuration(inputs=2, samples=2, width=2, activation="z + z^3"))


def with_gauge(system):
    gauge = gauge_equations(system)
    return [*system.equations, *gauge] if gauge else None


def exported(name, form, modulus=None):
    system = SYSTEMS[name].system
    return export(system, form, equations=with_gauge(system), modulus=modulus)


def run(tmp_path, text, *command):
    """Standard output of a program, given a file with the text; INPUT and OUTPUT stand for files."""
    path = tmp_path / "system"
    path.write_text(text, encoding="ascii")
    words = [{"INPUT": str(path), "OUTPUT": str(tmp_path / "out")}.get(word, word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def need(program, package):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (Debian: {package})")


def agrees(known, shown):
    found = dict(re.findall(r"^(dimension|degree) (-?\d+)$", shown, re.M))
    assert int(found["dimension"]) == known.dimension
    if known.solutions is not None:
        assert int(found["degree"]) == known.solutions


# --- run by the programs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "modulus"), thinned(product(SYSTEMS, [None, 2**30 + 3])))
def test_singular(tmp_path, name, modulus):
    need("Singular", "singular")
    agrees(SYSTEMS[name], run(tmp_path, exported(name, "singular", modulus), "Singular", "-q", "INPUT"))


@pytest.mark.parametrize("name", thinned(SYSTEMS))
def test_macaulay2_modulo_a_prime(tmp_path, name):
    need("M2", "macaulay2")
    agrees(SYSTEMS[name], run(tmp_path, exported(name, "macaulay2", 32003), "M2", "--script", "INPUT"))


@pytest.mark.parametrize("name", ["z+z^3-both-2x2x3", "z^3-first-2x3x4"])
def test_macaulay2_over_the_rationals(tmp_path, name):
    need("M2", "macaulay2")
    agrees(SYSTEMS[name], run(tmp_path, exported(name, "macaulay2"), "M2", "--script", "INPUT"))


@EVERY
def test_msolve(tmp_path, name):
    program = msolve_program()
    if program is None:
        pytest.skip("msolve is not installed (extra algebra)")
    run(tmp_path, exported(name, "msolve"), program, "-P", "1", "-f", "INPUT", "-o", "OUTPUT")
    found = read_solutions((tmp_path / "out").read_text(encoding="ascii"))
    assert (found.dimension == 0) == (SYSTEMS[name].dimension == 0)
    assert found.degree == SYSTEMS[name].solutions


@pytest.mark.parametrize(
    ("name", "artefacts"),
    [("z+z^2+z^3-both-2x2x2", False), slow("z+z^2+z^3-both-2x2x3", True)],
)
def test_phcpack(tmp_path, name, artefacts):
    """Of a system that was squared up, the solutions are those with every slack unknown zero."""
    need("phc", "phcpack")
    run(tmp_path, exported(name, "phcpack"), "phc", "-b", "-0", "INPUT", "OUTPUT")
    shown = (tmp_path / "system").read_text(encoding="ascii")  # the program appends the solutions to its input
    slack = []
    for block in shown[shown.rindex("THE SOLUTIONS") :].split("\nsolution ")[1:]:
        values = re.findall(r"(?m)^ (zz_\d+) : +(\S+) +(\S+)$", block)
        slack.append(max((abs(complex(float(real), float(imaginary))) for _, real, imaginary in values), default=0.0))
    assert sum(value < 1e-6 for value in slack) == SYSTEMS[name].solutions
    assert (len(slack) > SYSTEMS[name].solutions) == artefacts


@pytest.mark.parametrize("name", ["z+z^3-both-2x2x3", "z^3-first-2x3x4"])
def test_sage(tmp_path, name):
    need("sage", "sagemath, or from PyPI passagemath-singular")
    if subprocess.run(["sage", "-python", "-c", "import sage.libs.singular"], capture_output=True, check=False).returncode:
        pytest.skip("this Sage comes without Singular (PyPI package passagemath-singular)")
    agrees(SYSTEMS[name], run(tmp_path, exported(name, "sage"), "sage", "-python", "INPUT"))


def test_several_outputs_and_labels_that_were_not_given(tmp_path):
    """Two outputs: unique up to order. One sample on the margin: y x^3 = 1 has six complex solutions, three for each label."""
    need("Singular", "singular")
    problem = Configuration(inputs=2, samples=2, width=3, outputs=2, activation="z + z^2").plant(3, integers=True)[0]
    text = export(kkt_equations(problem, samples=2), "singular", modulus=2**30 + 3)
    assert re.findall(r"(?:dimension|degree) \d+", run(tmp_path, text, "Singular", "-q", "INPUT")) == ["dimension 0", "degree 2"]
    margin = KKTSystem.max_margin(TwoLayerNetwork([[1, 0]], [1], "z^3"), layers="first")
    text = export(kkt_equations(margin, samples=1), "singular")
    assert "Not in this file: lambda_i >= 0" in text
    assert re.findall(r"(?:dimension|degree) \d+", run(tmp_path, text, "Singular", "-q", "INPUT")) == ["dimension 0", "degree 6"]


@pytest.mark.parametrize(
    ("form", "program", "package", "options"),
    [("singular", "Singular", "singular", ["-q"]), ("macaulay2", "M2", "macaulay2", ["--script"])],
)
@pytest.mark.parametrize("modulus", [None, 32003])
def test_symbolic_weights_become_parameters(tmp_path, form, program, package, options, modulus):
    need(program, package)
    shown = run(tmp_path, export(SYMBOLIC, form, modulus=modulus), program, *options, "INPUT")
    assert f"generators {len(SYMBOLIC) + 1}" in shown


# --- what the files say ----------------------------------------------------------------------------------------------------


def polynomials(text, form):
    """The polynomials of a file, read by SymPy, with names such as x_1_2."""
    opening, between, closing = {
        "msolve": ("\n0\n", ",\n", "\0"),
        "singular": ("ideal I =\n", ",\n", ";"),
        "macaulay2": ("ideal(\n", ",\n", ");"),
        "phcpack": ("\n", ";\n", "\0"),
        "julia": ("System([\n", ",\n", "\n]"),
        "sage": ("ideal([\n", ",\n", "])"),
    }[form]
    lines = [line for line in text.split(opening, 1)[1].split(closing)[0].split(between) if line.strip()]
    plain = [re.sub(r"(?<=\w)(?:_\(|\[)(\d+)(?:,(\d+))?[\])]", lambda m: "".join(f"_{k}" for k in m.groups() if k), line) for line in lines]
    return [sympify(line.replace("^", "**"), {"lambda_1": Symbol("lambda_1")}, rational=True) for line in plain]


@pytest.mark.parametrize("form", [form for form in PROGRAMS if form != "smtlib"])
def test_files_state_the_equations(form):
    """Every line is a multiple of its equation, for weights with 52 binary places; PHCpack's to 60 decimal places."""
    rng = np.random.default_rng(0)
    net = TwoLayerNetwork(rng.standard_normal((2, 2)), [0.1, -2.0], "z/3 + z^3")
    system = kkt_equations(KKTSystem.gradient(net, W=rng.standard_normal((2, 2)), a=[0.5, 1.5]), samples=2)
    *shown, saturation = polynomials(export(system, form), form)
    assert str(saturation) == "c_1*c_2*u - 1"
    assert len(shown) == len(system)
    for line, equation in zip(shown, system.equations, strict=True):
        left, right = (Poly(part, *system.unknowns, domain="QQ").monic() for part in (line, equation))
        assert all(abs(c) < 1e-55 if form == "phcpack" else c == 0 for c in (left - right).coeffs())


def test_phcpack_is_given_no_integer_that_it_misreads():
    rng = np.random.default_rng(0)
    net = TwoLayerNetwork(rng.standard_normal((2, 2)), [0.1, -2.0], "z^3")
    system = kkt_equations(KKTSystem.gradient(net, W=rng.standard_normal((2, 2)), a=[0.5, 1.5]), samples=1)
    text = export(system, "phcpack")
    assert all(int(number) < PHC_INTEGERS for number in re.findall(r"(?<![.\d])\d+(?![.\d])", text))
    assert not re.search(r"[+-]\s*[+-]", text)


def test_symbols_of_each_program():
    sizes = SYSTEMS["z^3-first-2x3x4"]
    assert export(sizes.system, "msolve").startswith("u,x_1_1,x_1_2,x_2_1,x_2_2,x_3_1,x_3_2,c_1,c_2,c_3\n0\n")
    assert "@var u x[1:3,1:2] c[1:3]\n" in export(sizes.system, "julia")
    assert "R = QQ[u, x_(1,1), x_(1,2)," in export(sizes.system, "macaulay2")
    assert "@var u x[1:2,1:2] lambda[1:2] y[1:2] w[1:2,1:2] a[1:2] tw[1:2,1:2] ta[1:2]\n" in export(
        kkt_equations(Configuration(inputs=2, samples=2, width=2, activation="z^3")), "julia"
    )


@pytest.mark.parametrize("form", ["singular", "macaulay2", "julia", "sage"])
def test_parameters_are_declared_apart_from_unknowns(form):
    text = export(SYMBOLIC, form)
    if form == "sage":
        compile(text, "system.py", "exec")
    declaration = {
        "singular": "ring R = (0, y_1, y_2, w_1_1,",
        "macaulay2": "R = (frac(QQ[y_1, y_2, w_(1,1),",
        "julia": "parameters = [y[1], y[2], w[1,1],",
        "sage": "K = PolynomialRing(QQ, ['y_1', 'y_2', 'w_1_1',",
    }[form]
    assert declaration in text


def test_conditions_that_are_not_in_the_file_are_named():
    system = KKTSystem.weight_decay(TwoLayerNetwork([[1, 0]], [1], "z^3"), decay=0.5, loss="logistic")
    text = export(kkt_equations(system, samples=1), "singular")
    assert "// Not in this file: c_i = y_i / (n (1 + exp(y_i f(x_i))))" in text


def test_without_saturation():
    text = export(SYSTEMS["z^3-first-2x3x4"].system, "msolve", saturate=False)
    assert text.startswith("x_1_1,")
    assert "u" not in text


def test_files_are_written(tmp_path):
    system = SYSTEMS["z^3-first-2x3x4"].system
    text = system.export("singular", path=tmp_path / "system.sing")
    assert (tmp_path / "system.sing").read_text(encoding="utf-8") == text == export(system, "singular")


# --- errors ----------------------------------------------------------------------------------------------------------------


def test_unknown_format():
    with pytest.raises(
        ValueError, match="format: received 'maple', expected one of msolve, singular, macaulay2, phcpack, julia, sage, smtlib"
    ):
        export(SYMBOLIC, "maple")


@pytest.mark.parametrize("form", ["msolve", "phcpack"])
def test_numbers_are_needed(form):
    with pytest.raises(ValueError, match=f"{form}: takes numbers only.*give numbers by kkt_equations"):
        export(SYMBOLIC, form)


@pytest.mark.parametrize("modulus", [4, 2**31 - 1, -7, 1.5, True])
def test_modulus_that_msolve_does_not_take(modulus):
    with pytest.raises(ValueError, match="modulus: received .*, expected an odd prime below 1500000000 for msolve"):
        export(SYSTEMS["z^3-first-2x3x4"].system, "msolve", modulus=modulus)


@pytest.mark.parametrize("form", ["phcpack", "julia"])
def test_modulus_for_numerical_programs(form):
    with pytest.raises(ValueError, match=f"modulus: {form} computes with complex numbers"):
        export(SYSTEMS["z^3-first-2x3x4"].system, form, modulus=32003)


def test_equations_in_foreign_symbols():
    x = SYMBOLIC.unknowns[0]
    with pytest.raises(ValueError, match=r"equations\[1\]: contains q, z; expected only unknowns"):
        export(SYMBOLIC, "singular", equations=[x, Symbol("q") * Symbol("z") - 1])
    with pytest.raises(ValueError, match=r"equations\[0\]: .*expected a polynomial with rational coefficients"):
        export(SYMBOLIC, "singular", equations=[1 / x])


def test_too_few_equations_for_phcpack():
    problem = KKTSystem.gradient(TwoLayerNetwork([[1, 2]], [1], "z^3"), W=[[1, 1]])
    with pytest.raises(ValueError, match="phcpack: 3 equations in 7 unknowns.*export to singular or macaulay2"):
        export(kkt_equations(problem, samples=2), "phcpack")


def test_saturation_of_many_outputs_is_refused_before_it_is_expanded():
    problem = Configuration(inputs=1, samples=60, width=2, outputs=4, activation="z^2").plant(0, integers=True)[0]
    with pytest.raises(ValueError, match="product of 60 linear forms in 4 multipliers; use saturate=False"):
        export(kkt_equations(problem, samples=60), "singular")

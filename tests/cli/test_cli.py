"""The command line as a user meets it: output, JSON, exit status, one clear line for bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest
from support.command_line import run

import identify as idf
from identify.base.options import PROGRAMS

SIZES = ["-d", "5", "-n", "4", "-m", "12", "-a", "z + z^2/2 + z^3"]


@pytest.fixture
def problem(tmp_path):
    system, truth = idf.Configuration(inputs=4, samples=3, width=12, activation="z + z^3").plant(seed=2)
    return idf.save_problem(tmp_path / "p.npz", system, truth.X, truth.c), truth


def test_check_sizes(monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "check", *SIZES)
    assert status == 0 and out.startswith("UNIQUE — for generic network, generic data")


def test_check_json_equals_the_library(monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "check", *SIZES, "--json", "--seed", 5)
    config = idf.Configuration(inputs=5, samples=4, width=12, activation="z + z^2/2 + z^3")
    assert status == 0 and json.loads(out) == json.loads(idf.check(config, seed=5).to_json())


def test_check_file(monkeypatch, capsys, problem, tmp_path):
    path, _ = problem
    status, out, _ = run(monkeypatch, capsys, "check", path, "-n", 3, "--html", tmp_path / "r.html")
    assert status == 0 and out.startswith("UNIQUE — for this network, generic data")
    assert "UNIQUE" in (tmp_path / "r.html").read_text(encoding="utf-8")
    status, out, _ = run(monkeypatch, capsys, "check", path, "--known-data")
    assert status == 0 and out.startswith("UNIQUE — for this network, this data")


def test_thresholds(monkeypatch, capsys, problem):
    sizes = ["-d", 4, "-m", 8, "-a", "z + z^2 + z^3"]
    status, out, err = run(monkeypatch, capsys, "check", *sizes, "--largest")
    assert status == 0 and "unique up to 6 samples" in out and "moments" in err
    _, out, _ = run(monkeypatch, capsys, "check", *sizes, "--largest", "--json")
    assert json.loads(out)["not_identifiable"] == 7
    status, out, _ = run(monkeypatch, capsys, "check", problem[0], "--largest")
    assert status == 0 and "For this network, generic data" in out


def test_which_layers_suffice(monkeypatch, capsys, problem):
    sizes = ["-d", 12, "-n", 3, "-m", "30,24", "-a", "gelu", "--bias", "--outputs", 5]
    status, out, _ = run(monkeypatch, capsys, "check", *sizes, "--exposed", "-v")
    assert status == 0 and "last two (W2 b2 W3)" in out and "recover: " in out
    status, out, _ = run(monkeypatch, capsys, "check", *sizes, "--exposed", "--layers", 3, "--json")
    (row,) = json.loads(out)["rows"]
    assert status == 0 and row["observed"] == ["W3"] and row["samples"]["status"] == "PROVED_GENERIC"
    status, out, _ = run(monkeypatch, capsys, "check", problem[0], "--exposed", "-v")
    assert status == 0 and "identify.check decides" in out
    _, out, _ = run(monkeypatch, capsys, "check", problem[0], "--exposed")
    assert 1 < len(out.splitlines()) <= 15 and "recover: " not in out
    status, _, err = run(monkeypatch, capsys, "check", *sizes, "--exposed", "--largest")
    assert status == 2 and "--exposed: takes only the network" in err


def test_budget_memory_and_demanded_conditions(monkeypatch, capsys):
    _, out, _ = run(monkeypatch, capsys, "check", *SIZES, "--memory", "1e-6")
    assert out.startswith("UNDECIDED") and "needs about" in out
    large = ["-d", "30", "-n", "30", "-m", "120", "-a", "z + z^2 + z^3"]
    _, out, _ = run(monkeypatch, capsys, "check", *large, "--budget", "1e-9", "-v")
    assert out.startswith("UNDECIDED") and "not affordable" in out
    _, out, _ = run(monkeypatch, capsys, "check", *large, "-v")
    assert out.startswith("UNIQUE") and "interpolation: open" in out and "not needed" in out
    _, out, err = run(monkeypatch, capsys, "check", *large, "--condition", "interpolation", "--verbose")
    assert out.startswith("UNIQUE") and "interpolation: open" not in out and "interpolation (about" in err


def test_images_of_a_witness(monkeypatch, capsys, tmp_path):
    system, truth = idf.Configuration(inputs=4, samples=3, width=12, activation="z + z^2").plant(seed=2)
    path, page = idf.save_problem(tmp_path / "p.npz", system, truth.X, truth.c), tmp_path / "r.html"
    status, out, _ = run(monkeypatch, capsys, "check", path, "--known-data", "--html", page, "--image-shape", "2x2")
    assert status == 0 and out.startswith("NOT_UNIQUE") and "What changes" in page.read_text(encoding="utf-8")


def test_recover_file(monkeypatch, capsys, problem, tmp_path):
    path, truth = problem
    status, out, err = run(monkeypatch, capsys, "recover", path, "-n", 3, "--json", "--out", tmp_path / "found.npz")
    found = json.loads(out)
    assert status == 0 and max(found["evidence"]["errors"]) < 1e-9
    assert "solving for the moments" in err
    with np.load(tmp_path / "found.npz") as saved:
        match = idf.Ambiguity("sign", 3).match(saved["X"], saved["c"], truth.X, truth.c)
    assert match.errors.max() < 1e-9


def test_recover_sizes_prints_the_evidence(monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "recover", *SIZES, "-v")
    assert status == 0 and out.startswith("Recovery(4 samples") and "numerical_rank: 34" in out


def test_answers_take_at_most_fifteen_lines(monkeypatch, capsys, problem):
    for arguments in (["check", *SIZES], ["check", problem[0], "--known-data"], ["recover", *SIZES], ["recover", problem[0], "-n", 3]):
        status, out, _ = run(monkeypatch, capsys, *arguments)
        assert status == 0 and len(out.splitlines()) <= 15 and "In practice" in out and "Next" in out
    assert "4 of 4 planted samples found" in run(monkeypatch, capsys, "recover", *SIZES)[1]


def test_recovery_that_fails_has_status_1(monkeypatch, capsys, golden):
    status, out, err = run(monkeypatch, capsys, "recover", "-d", 5, "-n", 4, "-m", 2, "-a", "z^3")
    assert status == 1 and not out
    golden(err.splitlines()[-1])


SMALL = ["-d", "3", "-n", "1", "-m", "1", "-a"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "-d", "3"],
        ["check", "-d", "0", "-n", "1", "-m", "1", "-a", "z^2"],
        ["check", *SMALL, "tanh(z)"],
        ["check", *SMALL, "z"],
        ["check", *SMALL, "z^2", "--layers", "third"],
        ["check", *SMALL, "z^2", "--known-data"],
        ["check", "absent.npz", "-n", "1"],
        ["check", "absent.npz", "-d", "1"],
        ["recover", *SIZES, "--method", "magic"],
        ["recover", "-d", "100000", "-n", "2", "-m", "100000", "-a", "z^2", "--layers", "second"],
        ["check", *SMALL, "z^2", "--html", "absent/r.html"],
        ["check", *SIZES, "--largest"],
        ["check", *SIZES, "--budget", "-1"],
        ["check", *SIZES, "--condition", "rank"],
        ["check", *SIZES, "--image-shape", "2by2"],
        ["demo", "--dtype", "float16"],
    ],
    ids=" ".join,
)
def test_bad_input_has_status_2_and_one_clear_message(monkeypatch, capsys, tmp_path, golden, arguments):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(monkeypatch, capsys, *arguments)
    assert status == 2 and not out
    assert err.startswith("identify: ") and err.count("\n") == 1
    golden(err)


def test_known_data_must_be_in_the_file(monkeypatch, capsys, tmp_path, golden):
    system, _ = idf.Configuration(inputs=2, samples=1, width=3, activation="z^3").plant()
    path = idf.save_problem(tmp_path / "p.npz", system)
    status, _, err = run(monkeypatch, capsys, "check", path, "--known-data")
    assert status == 2
    golden(err)


def test_version_and_installed_entry_point():
    shown = subprocess.run([sys.executable, "-m", "identify", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("kkt-identify ")


def test_importing_the_package_does_not_import_jax():
    code = "import sys, identify; identify.check; sys.exit('jax' in sys.modules or 'sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kkt_writes_symbols_from_sizes(monkeypatch, capsys):
    sizes = ["-d", 1, "-n", 1, "-m", 1, "-a", "z^3", "--layers", "first"]
    status, out, _ = run(monkeypatch, capsys, "kkt", *sizes)
    assert status == 0 and "3*a_1*lambda_1*w_1_1**2*x_1_1**3*y_1 - tw_1_1 = 0" in out
    status, out, _ = run(monkeypatch, capsys, "kkt", *sizes, "--format", "latex")
    assert status == 0 and r"\lambda_{1}" in out and r"t^{W}_{1,1}" in out
    status, out, _ = run(monkeypatch, capsys, "kkt", *sizes, "--json")
    assert status == 0 and json.loads(out)["unknowns"] == ["x_1_1", "lambda_1"]


@pytest.mark.parametrize("form", PROGRAMS)
def test_kkt_writes_program_files_with_planted_integers(monkeypatch, capsys, form):
    status, out, _ = run(monkeypatch, capsys, "kkt", "-d", 2, "-n", 2, "-m", 3, "-a", "z+z^2+z^3", "-f", form)
    system, _ = idf.Configuration(inputs=2, samples=2, width=3, activation="z+z^2+z^3").plant(0, integers=True)
    assert status == 0 and out == idf.kkt_equations(system, samples=2).export(form) + "\n"


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["-m", 2, "-a", "relu"], ["s_1_1**2 - s_1_1 = 0", "s_1_1*(w_1_1*x_1_1 + w_1_2*x_1_2) >= 0"]),
        (["-m", 2, "-a", "tanh", "--bias"], ["lambda_1*y_1*tanh(b_1 + w_1_1*x_1_1 + w_1_2*x_1_2)"]),
        (["-m", "3,2", "-a", "gelu", "--layers", "1,3"], ["h1_1_1 - gelu(z1_1_1) = 0", "layer 3", "pre-activations of layer 2"]),
        (["-m", "2,2", "-a", "relu", "-f", "latex"], [r"s^{(1)}_{1,1} z^{(1)}_{1,1} \geq 0", r"\text{slopes of layer 2}"]),
        (["-m", 2, "-a", "relu", "--cell", "10,01"], ["one activation cell", "w_2_1*x_1_1 + w_2_2*x_1_2 <= 0"]),
        (["-m", "2,1", "-a", "abs", "--cell", "10,01/1,0"], ["h2_2_1 + z2_2_1 = 0", "z1_1_1 >= 0"]),
    ],
)
def test_kkt_of_every_kind_and_depth(monkeypatch, capsys, arguments, shown):
    status, out, _ = run(monkeypatch, capsys, "kkt", "-d", 2, "-n", 2, *arguments)
    assert status == 0 and all(text in out for text in shown), out


@pytest.mark.parametrize("width", [4, (3, 2)])
def test_kkt_writes_cells_and_questions(monkeypatch, capsys, width):
    sizes = ["-d", 2, "-n", 2, "-m", ",".join(map(str, np.atleast_1d(width))), "-a", "relu", "--bias", "--seed", 4]
    numbers, truth = idf.Configuration(inputs=2, samples=2, width=width, activation="relu", bias=True).plant(4, integers=True)
    system = idf.kkt_equations(numbers, samples=2)
    for form in ("msolve", "singular", "macaulay2"):
        status, out, _ = run(monkeypatch, capsys, "kkt", *sizes, "-f", form, "--cell", "data")
        assert status == 0 and out == system.cell(system.pattern_at(truth.X)).export(form) + "\n"
        assert run(monkeypatch, capsys, "kkt", *sizes, "-f", form)[1] == system.export(form) + "\n"
    status, out, _ = run(monkeypatch, capsys, "kkt", *sizes, "-f", "smtlib", "--another")
    assert status == 0 and out == system.export("smtlib", another_than=(truth.X, truth.c)) + "\n"


def test_kkt_of_a_file_with_known_data(monkeypatch, capsys, tmp_path):
    numbers, truth = idf.Configuration(inputs=2, samples=2, width=(3, 2), activation="relu", bias=True).plant(1, integers=True)
    known = idf.save_problem(tmp_path / "known.npz", numbers, truth.X, truth.c)
    status, out, _ = run(monkeypatch, capsys, "kkt", known, "-n", 2, "--cell", "data", "--limit", 1)
    assert status == 0 and "one activation cell" in out
    status, out, _ = run(monkeypatch, capsys, "kkt", known, "-n", 2, "-f", "smtlib", "--another")
    assert status == 0 and "; unsat: no other data set of 2 samples" in out
    unknown = idf.save_problem(tmp_path / "unknown.npz", numbers)
    assert run(monkeypatch, capsys, "kkt", unknown, "-n", 2, "--limit", 1)[0] == 0
    assert run(monkeypatch, capsys, "kkt", unknown, "-n", 2, "-f", "smtlib", "--another")[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", 2, "-a", "gelu", "-f", "singular"],
        ["-m", "2,2", "-a", "tanh", "-f", "smtlib"],
        ["-m", 2, "-a", "z^2", "--cell", "10,01"],
        ["-m", 2, "-a", "relu", "--cell", "12,01"],
        ["-m", 2, "-a", "relu", "--cell", "1x"],
        ["-m", 2, "-a", "relu", "--cell", "data"],
        ["-m", 2, "-a", "relu", "--another"],
        ["-m", "2,0", "-a", "relu"],
        ["-m", "2,2", "-a", "relu", "--layers", "third"],
        ["-m", "2,2", "-a", "relu", "--layers", "4"],
        ["-m", 2, "-a", "leaky_relu", "-f", "msolve"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_kkt_refusals(monkeypatch, capsys, golden, arguments):
    status, out, err = run(monkeypatch, capsys, "kkt", "-d", 2, "-n", 2, *arguments)
    assert status == 2 and not out and err.count("\n") == 1
    golden(err)


def test_kkt_of_a_file(monkeypatch, capsys, golden, problem):
    path, _ = problem
    status, out, _ = run(monkeypatch, capsys, "kkt", path, "-n", 3, "--limit", 1)
    assert status == 0 and "SymbolicSystem(gradient: 60 equations in 15 unknowns, 0 parameters)" in out
    status, _, err = run(monkeypatch, capsys, "kkt", path)
    assert status == 2
    golden(err)
    status, _, err = run(monkeypatch, capsys, "kkt", path, "-n", 3, "-f", "maple")
    assert status == 2
    golden(err)

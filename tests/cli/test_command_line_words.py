"""The words of the command line: what a shell completes, what the help shows, and what an error of the parser says."""

import ast
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import typer
from support.command_line import run
from support.sources import trees

import identify as idf
from identify import checkpoints
from identify.base import options
from identify.cli import app

COMMANDS = typer.main.get_command(app).commands
LONG = re.compile("identify (attack|audit|demo|plot|sweep) ?|.*--(method|initial)")
"""Examples that are parsed only."""


def completed(monkeypatch, capsys, *words) -> list[str]:
    """What bash is given where the last word is being typed."""
    monkeypatch.setenv("_IDENTIFY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(["identify", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    _, out, _ = run(monkeypatch, capsys)
    return out.split()


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], list(COMMANDS)),
        (["re"], ["recover"]),
        (["check", "--la"], ["--layers", "--largest"]),
        (["check", "--layers", ""], options.LAYERS),
        (["check", "--regime", "w"], ["weight-decay"]),
        (["audit", "model.pt", "--regime", ""], options.REGIMES),
        (["check", "--condition", ""], options.CONDITIONS),
        (["recover", "--method", ""], options.METHODS),
        (["attack", "--method", ""], options.ATTACKS),
        (["attack", "--preset", "m"], ["mnist-1", "mnist-2", "multiclass-1", "multiclass-2"]),
        (["attack", "--precision", ""], options.PRECISIONS),
        (["demo", "--dtype", ""], options.PRECISIONS),
        (["kkt", "-f", ""], ["text", "latex", "json", *options.PROGRAMS]),
        (["theorems", ""], options.THEOREMS),
        (["plot", "--format", ""], options.PICTURES),
        (["plot", "runs", "--x", ""], options.AXES),
        (["check", "prob"], []),  # nothing, so that the shell completes names of files
        (["check", "--html", ""], []),
    ],
)
def test_completion(monkeypatch, capsys, words, expected):
    assert completed(monkeypatch, capsys, *words) == list(expected)


def test_completion_loads_no_library_that_computes():
    """It is waited for: a tenth of a second, where the libraries would take one."""
    code = "import sys, identify.cli as c, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); c.main()"
    words = {"_IDENTIFY_COMPLETE": "complete_bash", "COMP_WORDS": "identify\ncheck\n--regime\n", "COMP_CWORD": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(options.REGIMES)
    assert not {"numpy", "jax", "sympy", "scipy", "flint"} & set(done.stderr.split())


def test_lists_of_names_are_those_of_what_they_name():
    from identify.recovery.polynomials import SEARCHES
    from identify.sweeps.task import PARAMETERS

    assert tuple(idf.theorems) == options.THEOREMS
    assert ("auto", "algebraic", *SEARCHES) == options.METHODS
    assert options.AXES == PARAMETERS


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["chek"], "command"),
        (["check", "--lagest"], "--lagest"),
        (["check", "-x"], "-x"),
        (["check", "--samples"], "--samples"),
        (["check", "--json=yes"], "--json"),
        (["check", "-n", "four"], "--samples"),
        (["check", "-n", "1" + 5000 * "0"], "--samples"),
        (["recover", "--tolerance", "small"], "--tolerance"),
        (["recover", "--relative-error", "nan"], "--relative-error"),
        (["check", "--memory", "inf"], "--memory"),
        (["check", "--seed", "-1"], "--seed"),
        (["demo", "--act", "4"], "--act"),
        (["recover", "--method", "seperate"], "--method"),
        (["theorems", "magic"], "theorem"),
        (["audit"], "model"),
        (["check", "problem.npz"], "--samples"),
        (["recover", "--out", "absent/found.npz"], "--out"),
        (["recover", "--out", "found.txt"], "--out"),
        (["check", "--html", "."], "--html"),
        (["demo", "--out", "file/folder"], "--out"),
        (["check", "--image-shape", "0x3"], "--image-shape"),
        (["check", "--image-shape", "2x2"], "--image-shape"),
    ],
    ids=lambda part: " ".join(part)[:40] if isinstance(part, list) else "",
)
def test_errors_of_the_parser(monkeypatch, capsys, tmp_path, golden, arguments, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    idf.save_problem("problem.npz", idf.Configuration(inputs=2, samples=1, width=3, activation="z^3").plant()[0])
    status, out, err = run(monkeypatch, capsys, *arguments)
    assert status == 2 and not out and err.count("\n") == 1 and err.startswith(f"identify: {name}: ")
    golden(re.sub("0{99,}", "0…0", err))


def test_an_argument_too_many(monkeypatch, capsys):
    """In the words of the parser, which differ from version to version."""
    status, out, err = run(monkeypatch, capsys, "verify", "a.json", "b.json")
    assert status == 2 and not out and err.count("\n") == 1
    assert err.startswith("identify: ") and "b.json" in err and err.endswith("; see identify verify --help\n")


def test_image_shape_is_that_of_the_samples(monkeypatch, capsys, tmp_path, golden):
    sizes = ["-d", 5, "-n", 4, "-m", 12, "-a", "z + z^2", "--html", tmp_path / "r.html", "--image-shape", "2x2"]
    status, _, err = run(monkeypatch, capsys, "check", *sizes)
    assert status == 2
    golden(err)


def test_settings_of_an_attack(monkeypatch, capsys, tmp_path, golden):
    path = tmp_path / "network.npz"
    np.savez(path, W1=np.eye(3), W2=np.ones((1, 3)))
    for more, name in [
        (["--set", "pace=1"], "--set"),
        (["--set", "rate"], "--set"),
        (["--preset", "multiclass-1"], "--preset"),
        (["--method", "loo", "--preset", "mnist-1"], "--preset"),
    ]:
        status, _, err = run(monkeypatch, capsys, "attack", path, "-k", 2, *more)
        assert status == 2 and err.startswith(f"identify: {name}: ")
        golden(err)


def test_help(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = run(monkeypatch, capsys, "--help")
    assert status == 0 and "Exit status:" in out and "--install-completion" in out
    assert "..." not in out.partition("Commands:")[2].partition("Exit status")[0], "a line of the list is cut"
    assert [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines()[: len(COMMANDS)]] == list(COMMANDS)
    assert run(monkeypatch, capsys) == run(monkeypatch, capsys, "-h") == (0, out, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(monkeypatch, capsys, command):
    status, out, _ = run(monkeypatch, capsys, command, "-h")
    assert status == 0 and f"Examples:\n    identify {command}" in out
    assert all(option.help for option in COMMANDS[command].params)


def test_help_of_audit_names_every_kind_of_file(monkeypatch, capsys):
    _, out, _ = run(monkeypatch, capsys, "audit", "-h")
    read = (".npz", ".safetensors", ".onnx", *checkpoints.TORCH, *checkpoints.LEAVES, *checkpoints.PYTREES)
    assert [suffix for suffix in read if suffix not in out] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_examples(monkeypatch, capsys, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    system, truth = idf.Configuration(inputs=4, samples=3, width=12, activation="z + z^3").plant(seed=2)
    idf.save_problem("problem.npz", system, truth.X, truth.c)
    idf.check(system, data=(truth.X, truth.c)).certificate().save("proof.json")
    lines = COMMANDS[command].epilog.splitlines()[2:]
    assert lines
    for line in lines:
        program, name, *arguments = shlex.split(line.partition(" > ")[0])
        assert (program, name) == ("identify", command)
        if LONG.match(line.strip()):
            COMMANDS[command].make_context(command, arguments)
        else:
            status, out, err = run(monkeypatch, capsys, command, *arguments)
            assert status == 0 and out, err


def test_every_error_has_the_same_form():
    """It begins with a name, in small letters unless the name has others, and ends without a full stop."""
    wrong = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                text = node.exc.args[0]
                parts = text.values if isinstance(text, ast.JoinedStr) else [text]
                first, last = (one.value if isinstance(one, ast.Constant) else "" for one in (parts[0], parts[-1]))
                if (isinstance(first, str) and re.match(r"[A-Z](?!\w*:)", first)) or str(last).endswith((".", "!")):
                    wrong.append(f"{path.name}:{node.lineno} {ast.unparse(text)}")
    assert wrong == []

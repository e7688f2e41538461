"""How the command ends: one status and at most one line where a signal, a closed pipe, a full disc or a missing package ends it."""

import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from support.command_line import run

import identify as idf
from identify.base.extras import EXTRAS, MissingExtraError, needed
from identify.report import html

SIZES = ["-d", "3", "-n", "2", "-m", "6", "-a", "z + z^3"]
WAITING = """
import signal, sys, time
import identify.conditions.check as conditions

def wait(*arguments, **options):
    try:
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        if {kept}:
            raise ValueError("data: what there was at the interrupt") from None
        raise

conditions.check = wait
from identify.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
"""The command line with a check that does not end; also where a shell has told its background to ignore Ctrl-C."""


@pytest.mark.parametrize(
    ("sent", "kept", "status", "said"),
    [
        (signal.SIGINT, False, 130, "identify: interrupted\n"),
        (signal.SIGTERM, False, 143, "identify: interrupted\n"),
        (signal.SIGINT, True, 130, "identify: data: what there was at the interrupt\nidentify: interrupted\n"),
    ],
)
def test_signals(sent, kept, status, said):
    command = [sys.executable, "-c", WAITING.format(kept=kept), "check", *SIZES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "ready\n"
        process.send_signal(sent)
        assert process.stderr.read() == said and process.stdout.read() == ""
        assert process.wait() == status


@pytest.mark.parametrize("arguments", [["--help"], ["kkt", *SIZES]])
def test_a_reader_that_goes_away(arguments):
    source, sink = os.pipe()
    os.close(source)
    try:
        done = subprocess.run([sys.executable, "-m", "identify", *arguments], stdout=sink, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(sink)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_no_room_for_the_output():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "identify", "kkt", *SIZES], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "identify: output: No space left on device; make room there, or choose another place\n"


def test_handlers_of_signals_are_put_back(monkeypatch, capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert run(monkeypatch, capsys, "theorems")[0] == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_errors_that_are_none_of_the_user_are_shown_whole(monkeypatch):
    from identify import cli

    monkeypatch.setattr(sys, "argv", ["identify", "theorems"])
    monkeypatch.setattr("identify.theory.registry.theorems", {1: None})
    with pytest.raises(AttributeError):
        cli.main()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Problem, network, store and checkpoints of every kind, in the folder of the command."""
    monkeypatch.chdir(tmp_path)
    system, truth = idf.Configuration(inputs=3, samples=2, width=6, activation="z + z^3").plant(seed=2)
    idf.save_problem("problem.npz", system, truth.X, truth.c)
    np.savez("network.npz", W1=np.eye(3), W2=np.ones((1, 3)))
    for suffix in ("pt", "safetensors", "msgpack", "onnx"):
        Path(f"model.{suffix}").write_bytes(b"\x81 anything")
    Path("grid.toml").write_text('inputs = [3]\nsamples = [2]\nwidth = [6]\nactivation = "z + z^3"\n')
    html._template.cache_clear()
    yield
    html._template.cache_clear()


@pytest.mark.parametrize(
    ("package", "install", "arguments"),
    [
        ("jinja2", '"kkt-identify[demo]"', ["check", *SIZES, "--html", "report.html"]),
        ("fpdf", '"kkt-identify[demo]"', ["audit", "problem.npz", "--pdf", "audit.pdf"]),
        ("jinja2", '"kkt-identify[demo]"', ["audit", "problem.npz"]),
        ("jinja2", '"kkt-identify[demo]"', ["attack", "network.npz", "-k", "4", "--html", "report.html"]),
        ("matplotlib", '"kkt-identify[demo]"', ["audit", "problem.npz"]),
        ("matplotlib", '"kkt-identify[demo]"', ["attack", "network.npz", "-k", "4", "--html", "report.html"]),
        ("matplotlib", '"kkt-identify[demo]"', ["demo"]),
        ("matplotlib", '"kkt-identify[demo]"', ["plot", "runs"]),
        ("mlxtend", '"kkt-identify[demo]"', ["demo"]),
        ("mlxtend", '"kkt-identify[demo]"', ["demo", "--act", "1"]),
        ("skimage", '"kkt-identify[faces]"', ["demo", "--act", "1", "--data", "faces"]),
        ("sklearn", '"kkt-identify[demo]"', ["demo"]),
        ("sklearn", '"kkt-identify[demo]"', ["demo", "--act", "2"]),
        ("sklearn", '"kkt-identify[demo]"', ["demo", "--act", "3"]),
        ("torch", "torch, or save the arrays with numpy.savez", ["check", "model.pt", "-n", "2"]),
        ("torch", "torch, or save the arrays with numpy.savez", ["audit", "model.pt"]),
        ("safetensors", '"kkt-identify[checkpoints]"', ["recover", "model.safetensors", "-n", "2"]),
        ("msgpack", '"kkt-identify[checkpoints]"', ["attack", "model.msgpack"]),
        ("onnx", '"kkt-identify[onnx]"', ["audit", "model.onnx"]),
        ("distributed", '"kkt-identify[cluster]"', ["sweep", "grid.toml", "--cluster", "tcp://localhost:1"]),
    ],
)
def test_a_package_that_is_missing_is_named_before_the_work(monkeypatch, capsys, folder, package, install, arguments):
    if arguments[0] == "plot":
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as executor:
            idf.sweep("grid.toml", store="runs", executor=executor)
    monkeypatch.setitem(sys.modules, package, None)

    def work(*arguments, **options):
        raise AssertionError("the work began")

    for place in (
        "identify.conditions.check.check",
        "identify.attacks.reconstruct.reconstruct",
        "identify.cli.demonstration.max_margin_point",
        "identify.cli.batch_act.one_update",
    ):
        monkeypatch.setattr(place, work)
    status, out, err = run(monkeypatch, capsys, *arguments)
    last = err.splitlines()[-1]
    assert status == 2 and not out
    assert re.fullmatch(f"identify: .* needs .*, which is not installed; pip install {re.escape(install)}", last)


def test_what_needs_no_extra_works_without_any(monkeypatch, capsys, folder):
    for package in EXTRAS:
        monkeypatch.setitem(sys.modules, package, None)
    for arguments in (
        ["check", "problem.npz", "--known-data", "--certificate", "proof.json"],
        ["verify", "proof.json", "--problem", "problem.npz"],
        ["recover", "problem.npz", "-n", 2, "--out", "found.npz"],
        ["kkt", "problem.npz", "-n", 2],
        ["theorems"],
    ):
        status, out, err = run(monkeypatch, capsys, *arguments)
        assert status == 0 and out, err


def test_extras_are_those_of_the_distribution():
    path = Path(idf.__file__).parents[1] / "pyproject.toml"
    if not path.exists():
        pytest.skip("the list is part of the repository, not of the package")
    listed = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    brought = {extra: {re.split("[><=]", one)[0] for one in packages} for extra, packages in listed.items()}
    for package, extra in EXTRAS.items():
        assert {"sklearn": "scikit-learn", "skimage": "scikit-image", "fpdf": "fpdf2"}.get(package, package) in brought[extra], package


def test_missing_packages_are_errors_of_two_kinds(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r'^a table needs pandas.*pip install "kkt-identify\[tables\]"$') as caught:
        needed("pandas", "a table")
    assert (
        isinstance(caught.value, ValueError)
        and isinstance(caught.value, ImportError)
        and (caught.value.package, caught.value.extra) == ("pandas", "tables")
    )
    assert needed("re", "matching") is re

"""A slice of the fuzzing: every reader and the command line answer or refuse, from the same seed the same, and failures are seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from support.command_line import built

from identify.checkpoints import read_arrays

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are part of the repository, not of the package", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
import fuzz  # noqa: E402
from fuzzing import commands, judge, targets  # noqa: E402
from fuzzing.mutate import mutate  # noqa: E402

COUNTS = {"npz": 250, "arrays": 60, "safetensors": 150, "state_dict": 60, "msgpack": 150, "equinox": 150, "onnx": 60, "shard": 100}
COUNTS |= {"certificate": 100, "update, npz": 80, "update, pt": 40, "two checkpoints": 60, "payloads": 150, "pickles": 60}


@pytest.mark.parametrize("name", targets.TARGETS)
def test_readers(tmp_path, name):
    target = targets.TARGETS[name]
    if target.missing():
        pytest.skip(target.missing())
    path = tmp_path / f"input{target.suffix}"
    outcomes = []
    for content in target.inputs(COUNTS[name], seed=1):
        path.write_bytes(content)
        outcomes.append(judge.file(target, path))
    assert {"refused"} <= set(outcomes) <= {"refused", "answered"}
    assert list(target.inputs(5, seed=2)) == list(target.inputs(5, seed=2)) != list(target.inputs(5, seed=3))


@pytest.mark.parametrize("name", [name for name in targets.TARGETS if name != "arrays"])
def test_what_is_whole_is_answered(tmp_path, name):
    target = targets.TARGETS[name]
    if target.missing():
        pytest.skip(target.missing())
    for content in target.valid():
        (tmp_path / f"input{target.suffix}").write_bytes(content)
        outcome = judge.file(target, tmp_path / f"input{target.suffix}")
        assert outcome == "answered" or (name in ("shard", "pickles") and outcome == "refused")


def test_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(typer.main, "get_command", built)
    lines = list(commands.lines(50, 1, tmp_path))
    outcomes = [fuzz.limited(lambda a=arguments: judge.command(a), 10) for arguments in lines]
    assert set(outcomes) == {"refused", "answered"}, [
        (o, a) for o, a in zip(outcomes, lines, strict=True) if o not in ("refused", "answered")
    ]
    assert lines == list(commands.lines(50, 1, tmp_path))


def test_failures_are_seen(tmp_path):
    def fail(path):
        raise KeyError("W")

    def foreign(path):
        b"\xff".decode()

    def unclear(path):
        read_arrays(Path("two\nlines"))

    for read, outcome in ((fail, "crash: KeyError"), (foreign, "crash: UnicodeDecodeError"), (unclear, "crash: unclear")):
        assert judge.file(targets.Target(".npz", read, list), tmp_path).startswith(outcome)


def test_commands_that_fail_are_seen(monkeypatch):
    def fail():
        raise KeyError("W")

    monkeypatch.setattr(judge.cli, "main", fail)
    assert judge.command([]).startswith("crash: KeyError")
    monkeypatch.setattr(judge.cli, "main", lambda: sys.exit(2))
    assert judge.command([]).startswith("crash: exit status 2")


def test_what_differs_from_numpy_is_seen(tmp_path, monkeypatch):
    (tmp_path / "n.npz").write_bytes(targets.TARGETS["npz"].valid()[0])
    monkeypatch.setattr(judge, "read_arrays", lambda path: {"W": targets.NETWORK["W2"]})
    assert judge.file(targets.TARGETS["npz"], tmp_path / "n.npz") == "crash: W is not what NumPy reads"


LIMITS = """
import sys, time
sys.path.insert(0, sys.argv[1])
import fuzz
fuzz.judge.allow(200)
print(fuzz.limited(lambda: bytes(2**29), 5), fuzz.limited(lambda: time.sleep(60), 0.2))
"""


def test_limits():
    """Too much memory and too much time end the input, not the run."""
    out = subprocess.run([sys.executable, "-c", LIMITS, BENCHMARKS], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.split() == ["memory", "hang"]


def test_changes_are_changes():
    import numpy as np

    content = bytes(range(256))
    made = [mutate(content, np.random.default_rng(k), [content]) for k in range(50)]
    assert sum(one != content for one in made) > 45 and len(set(made)) > 45

"""The benchmark programs run, and what they compare is the same work."""

import importlib
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks are part of the repository, not of the package")


@pytest.mark.slow
def test_symbolic():
    command = [sys.executable, "-W", "error", BENCHMARKS / "symbolic.py", "--quick"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    lines = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("| z")]
    assert len(lines) == 10 and all(float(cells[2]) > 0 for cells in lines)
    assert [cells[5].strip() for cells in lines] == ["342"] * 4 + ["906"] * 4 + ["18"] * 2
    assert "The methods agree on the number of terms of every system." in out


@pytest.fixture
def run(monkeypatch, capsys):
    """A benchmark in this process, which has imported what it needs: what it prints."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def started(path: Path, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as stop:
            assert not stop.code, path
        return capsys.readouterr().out

    return started


@pytest.mark.slow
def test_check(run):
    out = run(BENCHMARKS / "check.py", "--quick")
    ranks = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("| (8, 8, 16)")]
    assert [cells[5].strip() for cells in ranks] == ["72", "72"] and "The ranks agree." in out
    assert "UNIQUE, generic network, all data of this rank" in out and "almost every network with this activation pattern" in out
    assert "| check, (8, 8, 16) |" in out and "UNIQUE" in out and "isolated up to 18, not identifiable from 19" in out


@pytest.mark.slow
def test_law(run, tmp_path):
    out = run(BENCHMARKS / "law.py", "--quick", "--picture", str(tmp_path / "law.png"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| 8-")]
    assert [row[2:7] for row in rows[:2]] == [["36", "4.5", "3", "4", "5"], ["32", "4.0", "2", "3", "4"]]
    assert rows[2][4:7] == ["8", "17", "18"] and rows[3][4] == "6" and rows[3][6] == "18" and len(rows) == 4
    assert (tmp_path / "law.png").stat().st_size > 10_000


@pytest.mark.slow
def test_ranks():
    command = [sys.executable, "-W", "error", BENCHMARKS / "ranks.py", "--quick"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| 100, 100 |")]
    assert len(rows) == 5 and {row[-1] for row in rows} == {"100"} and "Every rank is full, as it should be." in out
    assert "| 20, 150 | 1770 | 0.12, 1.8 |" in out


@pytest.mark.slow
def test_startup():
    command = [sys.executable, "-W", "error", BENCHMARKS / "startup.py", "--repeats", "1"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout  # slow machines miss its targets
    rows = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("| `")]
    assert len(rows) == 9 and all(float(row[1]) > 0 for row in rows)


@pytest.mark.slow
def test_budgets():
    command = [sys.executable, "-W", "error", BENCHMARKS / "budgets.py", "--budgets", "0.5", "--cases", "3 digits, width 40"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    (row,) = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("| 3 digits")]
    assert float(row[2]) > 0 and float(row[3]) < 60 and int(row[4]) >= 6


@pytest.mark.slow
def test_attacks(tmp_path):
    """A slice of the study; a second call finds every result in the store."""
    command = [
        sys.executable,
        "-W",
        "error",
        BENCHMARKS / "attacks.py",
        "--quick",
        "--store",
        tmp_path / "store",
        "--picture",
        tmp_path / "a.png",
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| digits | 10 |")]
    assert len(found) == 6 and found[1][2] == "lazy, polynomial (exact)" and found[1][9] == "20/20"  # recover
    assert int(found[0][7].split("/")[0]) >= 4  # corners
    assert all(0 <= float(row[-1]) < 1 for row in found[:4]) and (tmp_path / "a-digits.png").stat().st_size > 10_000
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    assert "done before" in again and {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()} == before


@pytest.mark.slow
def test_ways_to_split(run):
    out = run(BENCHMARKS / "attacks.py", "--splitting", "--quick")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| change")]
    arms = {row[1]: row for row in rows}
    assert {"n", "n, split, ours", "n, split, published", "2n", "n, mean kernel", "n, both kernels", "chance"} <= set(arms)
    assert all(len(row) == 10 and float(row[4]) > 0 and 0 <= int(row[7]) <= 10 for name, row in arms.items() if name != "chance")
    assert all(int(row[8]) <= int(row[7]) for row in rows[:-1]) and int(arms["n, split, ours"][8]) == int(arms["n, split, ours"][7])


def test_images(monkeypatch, capsys):
    """A row that is no process of its own."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    images = importlib.import_module("images")
    monkeypatch.setattr(images, "row", images.measure)
    monkeypatch.setattr(sys, "argv", ["images.py", "--samples", "6", "--width", "60", "--side", "4"])
    images.main()
    out = capsys.readouterr().out
    heading, _, row = (line.split("|")[1:-1] for line in out.splitlines() if line.startswith("|"))
    assert len(heading) == len(row) == 11 and float(row[9]) < 1e-8


@pytest.mark.slow
def test_batches_on_a_device(tmp_path):
    """The device is named, and without one the program ends."""
    command = [sys.executable, BENCHMARKS / "batches.py", "--only", "relu 30-64-64-5", "--seeds", "1", "--cpu"]
    flags = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    out = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, check=True, timeout=300, env=flags).stdout
    assert "Devices of JAX: 2 × cpu." in out and "| relu 30-64-64-5, 20 normal, float64 | 20 of 20 |" in out
    out = subprocess.run([*command, "--within", "0"], capture_output=True, text=True, check=True, timeout=300, env=flags).stdout
    assert len(out.splitlines()) == 2  # the heading alone
    if not shutil.which("nvidia-smi"):
        failed = subprocess.run([*command, "--device", "gpu"], capture_output=True, text=True, timeout=300, env=flags)
        assert failed.returncode == 1 and failed.stderr.startswith("--device gpu: JAX finds none") and not failed.stdout


def test_the_largest_recovery(monkeypatch, capsys, tmp_path):
    """With smaller sizes; a checkpoint goes on."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    scaling = importlib.import_module("scaling")
    monkeypatch.setattr(scaling, "LARGEST", [30, 64, 64, 5])
    monkeypatch.setattr(scaling, "SIDE", 50)
    for _ in range(2):
        scaling.largest(8, "normal", 60.0, str(tmp_path / "kept"))
        row = capsys.readouterr().out.splitlines()[-1].split("|")[1:-1]
        assert [cell.strip() for cell in row[:3]] == ["30-64-64-5", "8", "8 of 8"] and float(row[3]) < 1e-9
    assert int(row[4]) == 0  # nothing was left to be searched


def test_every_program_starts(run):
    """All that the programs import is there; what they do is seen by the slow tests."""
    programs = [path for path in sorted(BENCHMARKS.glob("*.py")) if "ArgumentParser" in path.read_text(encoding="utf-8")]
    assert len(programs) > 10
    for path in programs:
        assert run(path, "--help").startswith("usage: "), path

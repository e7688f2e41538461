"""The registry of theorems: what it holds, and that trials confirm what is true and expose what is not."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.command_line import run
from support.marks import alone, slow

import identify as idf
from identify.base.options import CONDITIONS, THEOREMS
from identify.conditions.decomposition import TWO_DECOMPOSITIONS
from identify.conditions.interpolation import EXCEPTIONS
from identify.symbolic.msolve import msolve_program
from identify.theory import search
from identify.theory.cases import draw, exactly
from identify.theory.registry import Theorems
from identify.theory.theorem import Seen
from identify.theory.trials import Trial

MAY_HOLD = {"generic-global", "macaulay", "separation", "pattern", "bases", "quadrics", "some-layers", "softmax-head"}
"""Sufficient conditions whose conclusion is observed at some nearest violations, too."""
TWICE = {*MAY_HOLD, "lines"}
"""And one whose first instance has no violation near it."""
needs_msolve = pytest.mark.skipif(msolve_program() is None, reason="msolve is not installed (extra algebra)")


def broken(name: str, conclusion: str, examine) -> idf.Theorem:
    return replace(idf.theorems[name], name="broken", conclusion=conclusion, examine=examine)


@pytest.mark.smoke
def test_registry():
    assert list(idf.theorems) == [theorem.name for theorem in idf.theorems.values()]
    assert "interpolation" in idf.theorems and "interpolatoin" not in idf.theorems and 3 not in idf.theorems
    assert {theorem.condition for theorem in idf.theorems.values()} == {*CONDITIONS, None} - {"competitors"}
    assert repr(idf.theorems).startswith(f"Theorems({len(THEOREMS)}: reduction, ")
    entry = idf.theorems["interpolation"]
    assert repr(entry) == "Theorem('interpolation': The target determines the moments)"
    with pytest.raises(ValueError, match="expected names that differ"):
        Theorems((entry, entry))


@pytest.mark.parametrize("error", [KeyError, ValueError, idf.IdentifyError, idf.UnknownTheoremError])
def test_unknown_names_are_listed(error):
    with pytest.raises(error, match="^theorem: received 'jenrich', expected one of reduction, interpolation, .*splitting$") as caught:
        idf.theorems["jenrich"]
    assert caught.value.name == "jenrich" and str(caught.value).startswith("theorem: ")


@pytest.mark.smoke
@pytest.mark.parametrize("name", list(idf.theorems))
def test_every_entry_is_complete(name):
    entry = idf.theorems[name]
    texts = [entry.title, entry.statement, entry.conclusion, entry.scope, entry.reference, *entry.hypotheses]
    assert all(texts) and entry.hypotheses and entry.statement.count("$") % 2 == 0
    assert entry.statement in str(entry) and entry.to_dict()["hypotheses"] == list(entry.hypotheses)
    assert json.loads(json.dumps(entry.to_dict())) == entry.to_dict()


def test_statements_list_the_exceptions_of_the_code():
    for p, D, m in EXCEPTIONS:
        assert f"({p}, {D}, {m})" in idf.theorems["interpolation-width"].statement
    for size in TWO_DECOMPOSITIONS:
        assert str(size) in idf.theorems["generic-decomposition"].statement


@pytest.mark.parametrize("least", [1, slow(2)])
@pytest.mark.parametrize("name", list(idf.theorems))
def test_every_theorem_is_confirmed_and_its_violations_fail(name, least):
    entry = idf.theorems[name]
    found = entry.verify(trials=max(len(entry.nearest), 2 if name in TWICE else least), seed=1)
    assert found.passed, str(found)
    assert not found.counterexamples
    failed = [row.conclusion is False for row in found.violations]
    assert any(failed) if name in MAY_HOLD else failed and all(failed), str(found)


def test_the_exceptions_of_alexander_and_hirschowitz_are_seen():
    entry = idf.theorems["interpolation-width"]
    for (p, D, m), rank in EXCEPTIONS.items():
        found = entry.verify(idf.Configuration(inputs=D, samples=1, width=m, activation=f"z^{p}"), trials=1)
        assert not found.rows[0].hypothesis and found.rows[0].conclusion is False
        assert f"rank {rank} over the rationals" in found.rows[0].evidence
    wide = entry.verify(idf.Configuration(inputs=4, samples=1, width=4, activation="z^2"), trials=1)
    assert wide.passed and "m=3" in wide.rows[1].instance and wide.rows[1].conclusion is False


@pytest.mark.parametrize("options", [{"bias": True}, {"outputs": 2}, {"layers": "second"}, {"bias": True, "layers": "first"}])
def test_interpolation_of_other_networks(options):
    config = idf.Configuration(inputs=2, samples=2, width=12, activation="1 + z^2 + z^3", **options)
    found = idf.theorems["interpolation"].verify(config, trials=2)
    assert found.passed and found.violations and all(row.conclusion is False for row in found.violations)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("scale", {"samples": 4, "activation": "z + z^3"}),
        ("scale", {"samples": 2, "activation": "1 + z^2"}),
        ("joint-moments", {"samples": 2, "activation": "z + z^2", "inputs": 1, "bias": True}),
    ],
)
def test_moments_of_several_outputs(name, sizes):
    found = idf.theorems[name].verify(idf.Configuration(**{"inputs": 2, "width": 4, "outputs": 2} | sizes), trials=2)
    assert found.passed and found.violations and all(row.conclusion is False for row in found.violations), str(found)


def test_a_rotation_that_does_not_exist():
    """Of two samples with multipliers -1/2 and 1/2: I - S is singular for K = 1/2."""
    found = idf.theorems["rotation"].verify(idf.Configuration(inputs=2, samples=2, width=2, activation="z + z^2"), trials=1, seed=22)
    assert not found.rows[0].hypothesis and found.rows[0].conclusion is None and "singular" in found.rows[0].evidence


def test_a_row_can_be_drawn_again():
    entry = idf.theorems["several-outputs"]
    first, again = entry.verify(trials=3, seed=4), entry.verify(trials=1, seed=6)
    assert first.rows[2] == again.rows[0] and first.rows[5] == again.rows[1]


@alone
def test_a_wrong_theorem_has_counterexamples():
    """Every network of width two determines the data: false, and the instances say so."""
    right = idf.theorems["moments"]

    def examine(case):
        return replace(right.examine(case), hypothesis=case.config.width == 2)

    wrong = broken("moments", "unique", examine)
    found = wrong.verify(replace(right.configuration, width=2), trials=2)
    assert not found.passed and len(found.counterexamples) == 2
    assert "FAILS in 2 (seeds 0, 1)" in str(found) and json.loads(found.to_json())["passed"] is False


def test_what_is_open_does_not_pass():
    found = broken("local", "never settled", lambda case: Seen(True, None, "")).verify(trials=1)
    assert not found.passed and not found.counterexamples and "open in 2" in found.summary


def test_markdown_says_what_the_text_says():
    for theorem in idf.theorems.values():
        quoted = theorem._repr_markdown_()
        assert all(line.startswith(">") for line in quoted.splitlines()) and theorem.title in quoted
        for part in (theorem.statement, *theorem.hypotheses, theorem.conclusion, theorem.scope, theorem.reference):
            assert part in quoted and part in theorem.to_markdown()
    assert "Condition of the report" not in idf.theorems["splitting"].to_markdown()


def test_the_theory_page_prints_every_theorem_once():
    page = Path(__file__).parents[2] / "docs" / "theory.md"
    if not page.exists():
        pytest.skip("the docs are part of the repository, not of the package")
    assert sorted(re.findall(r'^state\("(.*)"\)$', page.read_text(encoding="utf-8"), re.M)) == sorted(idf.theorems)


def test_table():
    found = idf.theorems["rotation"].verify(trials=2)
    assert idf.TheoremTrials.from_json(found.to_json()) == found
    lines = str(found).splitlines()
    start = lines[2].index("evidence")
    assert all(line[start - 1] == " " and line[start] != " " for line in lines[2:])
    html = replace(found, rows=(Trial(0, "a < b", True, True, "&"),))._repr_html_()
    assert "<td>a &lt; b</td><td>holds</td><td>observed</td><td>&amp;</td>" in html and html.count("<tr>") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials: received 0, expected an integer of at least 1"),
        ({"trials": True}, "trials: received True"),
        ({"seed": -1}, "seed: received -1, expected an integer from 0 to 9007199254740972"),
        ({"config": "z^3"}, "config: received str, expected a Configuration"),
        ({"config": idf.Configuration(inputs=2, samples=2, width=3, activation="z^3", regime="max-margin")}, "received regime max-margin"),
        (
            {"config": idf.Configuration(inputs=2, samples=2, width=3, activation="z + z^3")},
            "has no such instance: the moment of degree p ≥ 3 is known, one output",
        ),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        idf.theorems["jennrich"].verify(**options)


def test_targets_are_exact():
    case = draw(idf.Configuration(inputs=3, samples=3, width=4, activation="z + z^2/2 + z^3"), 0)
    assert case.is_exact and (exactly(case.system.target) == case.target_of(exactly(case.X), exactly(case.c))).all()
    assert not draw(idf.Configuration(inputs=3, samples=3, width=4, activation="z + z^3/3"), 0).is_exact


def test_a_target_of_zeros_is_drawn_again():
    sizes = idf.Configuration(inputs=1, samples=1, width=1, activation="z^2")
    assert all(draw(sizes, seed).system.target.any() for seed in (25, 43, 46))  # whose first draws are zero


@needs_msolve
@pytest.mark.parametrize(("width", "unique"), [(3, True), (2, False)])
def test_counts_and_searches_agree(width, unique):
    case = draw(idf.Configuration(inputs=2, samples=2, width=width, activation="z + z^2 + z^3"), 3)
    counted, searched = search.only_these_data(case), search.only_these_data(replace(case, is_exact=False))
    assert counted[0] is searched[0] is unique
    assert "Gröbner" in counted[1] and "complex starts" in searched[1]


@pytest.mark.parametrize("name", ["jennrich", "several-outputs", slow("joint-moments"), slow("moments")])
def test_without_an_algebra_program(name, monkeypatch):
    monkeypatch.setattr("identify.symbolic.msolve.msolve_program", lambda: None)
    found = idf.theorems[name].verify(trials=2)
    assert found.passed and all("complex starts" in row.evidence for row in found.rows)
    assert all(row.conclusion is False for row in found.violations)


def test_distances_are_modulo_the_group():
    case = draw(idf.Configuration(inputs=2, samples=2, width=4, activation="z + z^3"), 0)
    flipped = np.array([[1.0], [-1.0]])
    assert search.distance_of_terms(case, (flipped * case.X)[::-1], (flipped * case.c)[::-1]) < 1e-15
    assert search.distance_of_terms(case, flipped * case.X, case.c) > 0.01


@pytest.mark.parametrize("first", ["import identify.theory.registry", slow("import identify.theory"), "from identify import theorems"])
def test_the_name_is_the_registry_whatever_was_imported_first(first):
    code = (
        f"{first}\nimport sys, identify\nassert not any(name in sys.modules for name in ('jax', 'sympy'))\n"
        "import identify.theory.registry\nprint(type(identify.theorems).__name__, len(identify.theorems))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == f"Theorems {len(idf.theorems)}\n"


def test_importing_the_package_does_not_load_the_registry():
    code = "import sys, identify\nassert 'identify.theory' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_command_lists(monkeypatch, capsys):
    status, out, _ = run(monkeypatch, capsys, "theorems")
    assert status == 0 and "interpolation: The target determines the moments" in out
    status, out, _ = run(monkeypatch, capsys, "theorems", "--json")
    assert status == 0 and [entry["name"] for entry in json.loads(out)] == list(idf.theorems)


def test_command_verifies(monkeypatch, capsys):
    status, out, err = run(monkeypatch, capsys, "theorems", "rotation", "--trials", 2)
    assert status == 0 and "hypotheses hold in 2 instances: conclusion observed in 2" in out and "rotation: one sample, seed 0" in err
    status, out, _ = run(monkeypatch, capsys, "theorems", "rotation", "--trials", 2, "--seed", 5, "--json")
    trials = json.loads(out)["trials"]
    assert status == 0 and trials == idf.theorems["rotation"].verify(trials=2, seed=5).to_dict()


def test_command_exit_status(monkeypatch, capsys):
    wrong = replace(broken("rotation", "never", lambda case: Seen(True, False, "seen")), name="rotation")
    monkeypatch.setattr("identify.theory.registry.theorems", Theorems((wrong,)))
    status, out, _ = run(monkeypatch, capsys, "theorems", "rotation", "--trials", 1)
    assert status == 1 and "FAILS" in out
    status, _, err = run(monkeypatch, capsys, "theorems", "nothing")
    assert status == 2 and "theorem: received 'nothing', expected one of reduction, " in err
    status, _, err = run(monkeypatch, capsys, "theorems", "rotation", "--trials", 0)
    assert status == 2 and "trials: received 0" in err

"""Short forms for people: at most 15 lines, the scope beside the verdict, no word that contradicts it; nothing is lost in the long form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import identify as idf
from identify.problem.uniqueness import UniquenessStatus
from identify.problem.verdict import Arithmetic, Condition, Verdict
from identify.report.brief import LINES, RECOVERED, WIDTH, of_recovery, of_report, page

CUBIC = "z + z^2/2 + z^3"
CASES = {
    Verdict.UNIQUE: {"inputs": 5, "samples": 4, "width": 12, "activation": CUBIC},
    Verdict.LOCALLY_UNIQUE: {"inputs": 5, "samples": 9, "width": 10, "activation": CUBIC},
    Verdict.NOT_UNIQUE: {"inputs": 5, "samples": 4, "width": 12, "activation": "z^2"},
    Verdict.UNDECIDED: {"inputs": 5, "samples": 4, "width": 12, "activation": CUBIC},
}


@pytest.fixture(scope="module")
def reports():
    return {
        verdict: idf.check(idf.Configuration(**sizes), memory=1000 if verdict is Verdict.UNDECIDED else None)
        for verdict, sizes in CASES.items()
    }


@pytest.mark.parametrize("verdict", CASES)
def test_every_verdict_in_at_most_fifteen_lines(reports, verdict):
    report = reports[verdict]
    assert report.verdict is verdict
    lines = report.brief().splitlines()
    assert len(lines) <= LINES and max(map(len, lines)) <= WIDTH
    assert lines[0] == f"{verdict} — for {report.scope}"
    text = " ".join(" ".join(line.split()) for line in lines)
    assert verdict.in_practice in text and "Next" in text
    assert all(condition.reference not in text for condition in report.conditions)


def test_no_word_of_failure_about_a_search_that_found_no_other_data(reports):
    report = reports[Verdict.UNIQUE]
    assert report["witness"].holds is False and report["witness"].word == "none"
    assert reports[Verdict.NOT_UNIQUE]["witness"].word == "found"
    for text in (report.explain(), repr(report)):
        assert "witness: none" in text and "witness: fails" not in text
    for text in (report._repr_html_(),):
        assert "✗" not in text


def test_a_theorem_that_says_nothing_does_not_fail():
    """The count shows that its hypothesis cannot hold: that is no failure of the data."""
    condition = idf.check(idf.Configuration(inputs=5, samples=40, width=12, activation="z + z^3"))["generic-global"]
    assert condition.holds is False and not condition.applies and condition.word == "does not apply"
    assert condition.to_dict()["applies"] is False
    assert Condition("local", False, "rank 3 of 4", {}, Arithmetic.PROOF, "").word == "fails"


def test_data_that_are_not_determined_differ_by_more_than_the_ambiguity(reports):
    text = " ".join(reports[Verdict.NOT_UNIQUE].explain().split())
    assert "exactly the same target, and differ by more than the ambiguity below." in text
    assert "up to the ambiguity below" not in text
    assert "ambiguity below" not in reports[Verdict.UNDECIDED].explain()


def test_recovered_data_in_short(reports):
    system, _truth = idf.Configuration(inputs=4, samples=3, width=12, activation="z + z^3").plant(seed=2)
    found = idf.recover(system, samples=3)
    for status in UniquenessStatus:
        told = replace(found, uniqueness=replace(found.uniqueness, status=status))
        lines = of_recovery(told, "nothing", beside="3 of 3 planted samples found").splitlines()
        assert len(lines) <= LINES and status.value in lines[0]
        assert RECOVERED[status] in " ".join(" ".join(lines).split())
    assert found.brief().startswith("Recovered 3 samples — uniqueness PROVED for this network, this data")


def test_long_reasons_are_cut_with_a_mark(reports):
    long = replace(reports[Verdict.UNIQUE], reasons=("word " * 2000,) * 9, ambiguity=("order " * 500,))
    lines = of_report(long, "nothing").splitlines()
    assert len(lines) <= LINES and any(line.endswith(" …") for line in lines) and lines[-1].split() == ["Next", "nothing."]
    assert page("head", "", [("a", []), ("b", ["c"])]).splitlines() == ["head", f"  {'b'.ljust(13)}c."]


def test_shares_that_round_to_nothing_are_not_a_range():
    from identify.attacks.diagnosis import Diagnosis

    def said(*hidden: float) -> str:
        return Diagnosis(None, 1.0, None, None, 5, np.array(hidden))._outside()

    assert said(1e-9, 1e-5) == "its rows hold all samples, to 0.5% of their norms"
    assert said(0.2, 0.31) == "outside its rows lie 20% to 31% of the samples' norms"
    assert said(0.2, 0.2) == "outside its rows lies 20% of the samples' norms"

"""What notebooks show of values such as a recovery, thresholds, solutions: complete tables, escaped texts, numbers that agree."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest
from support.algebra import in_this_process
from sympy import symbols

import identify as idf
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.problem.verdict import Witness

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def recovered():
    system, truth = idf.Configuration(inputs=6, samples=3, width=14, activation="z + z^2 + z^3").plant(seed=4)
    return system, truth, idf.recover(system, samples=3)


def well_formed(text: str) -> str:
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Reader().feed(text)
    assert not opened and "<script" not in text
    return re.sub(r"<[^>]*>", " ", text)


def test_a_recovery(recovered):
    _, _, found = recovered
    text = well_formed(found._repr_html_())
    assert "3 samples" in text and "PROVED" in text and "relative error bar" in text and "in practice" in text
    many = replace(found, X=np.ones((20, 6)), c=np.ones((20, 2)), error_bars=np.ones(20), method=HOSTILE)
    text = well_formed(many._repr_html_())
    assert "… and 8 more." in text and "multipliers" in text


def test_a_match(recovered):
    _, truth, found = recovered
    match = found.match(truth.X, truth.c)
    assert "3 of 3 samples matched" in well_formed(match._repr_html_())
    lost = replace(match, errors=np.array([0.5, np.inf, 0.25]))
    text = well_formed(lost._repr_html_())
    assert "2 of 3 samples matched" in text and "not found" in text and "relative error of 5.0e-01" in text


def test_thresholds_and_conditions():
    found = idf.largest_identifiable(idf.Configuration(inputs=4, samples=1, width=8, activation="z + z^2 + z^3"))
    text = well_formed(found._repr_html_())
    assert "up to 6 samples" in text and "from 7 samples on" in text
    report = idf.check(idf.Configuration(inputs=4, samples=3, width=12, activation="z + z^3"))
    for condition in report.conditions:
        text = well_formed(condition._repr_html_())
        assert condition.word in text and condition.reference.split("(")[0].split("&")[0].strip() in text.replace("&amp;", "&")
    assert "&lt;script" in replace(report.conditions[0], statement=HOSTILE)._repr_html_()


def test_uniqueness(recovered):
    known = recovered[2].uniqueness
    text = well_formed(known._repr_html_())
    assert "✓ PROVED" in text and "this network, this data" in text and known.because in text and "in practice" in text
    other = Uniqueness(UniquenessStatus.NOT_UNIQUE, UniquenessReason.WITNESS, None, Witness("family", 1, HOSTILE))
    text = well_formed(other._repr_html_())
    assert "✗ NOT UNIQUE" in text and "&lt;script" in other._repr_html_() and "PROVED" not in text


def test_a_completion():
    W = np.outer(np.arange(1.0, 9.0), np.arange(2.0, 12.0))
    W[[0, 3, 5], [1, 4, 4]] = np.nan
    found = idf.complete(W)
    text = well_formed(found._repr_html_())
    assert "3 entries filled in" in text and "no proof" in text and f"{found.held_out:.1e}" in text


def test_solutions(monkeypatch):
    in_this_process(monkeypatch)
    x, y = symbols("x y")
    system = idf.SymbolicSystem.from_sympy([x**2 + y**2 - 5, x * y - 2], [x, y])
    text = well_formed(system.solve(method="sympy")._repr_html_())
    assert "4 complex solutions, 4 real" in text and "x = -2, y = -1" in text and "by sympy" in text
    none = idf.SymbolicSystem.from_sympy([x, x - 1], [x]).solve(method="sympy")
    assert "no solution" in well_formed(none._repr_html_()) and "<table" not in none._repr_html_()
    net = idf.TwoLayerNetwork([[1, 0], [0, 1]], [1, 1], "z + z^2 + z^3")
    given = idf.KKTSystem.gradient(net, W=[[6, 12], [17, 34]], a=[3, 14])
    text = well_formed(idf.kkt_equations(given, samples=1).solve(method="sympy")._repr_html_())
    assert "1 complex solution, 1 real in 1 orbit" in text and "1, 2" in text and "feasible" in text


def test_exposure():
    found = idf.exposed(idf.Configuration(inputs=20, samples=8, width=(30, 20), activation="gelu", outputs=10, bias=True))
    text = well_formed(found._repr_html_())
    for row in found.rows:
        assert f"{row.name}: {row.observed}" in text and row.limits() in text
        assert all(escape(finding.explain()) in found._repr_html_() for finding in row.findings().values())


def test_a_target_that_the_verdict_does_not_use_is_named(recovered):
    system, truth, _ = recovered
    said = "the verdict does not use the numbers of the target"
    assert any(note.startswith(said) for note in idf.check(system, samples=3).notes)
    assert not any(note.startswith(said) for note in idf.check(system, data=(truth.X, truth.c)).notes)

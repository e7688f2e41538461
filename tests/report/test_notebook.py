"""What notebooks show of a recovery, thresholds, a match, a condition: complete tables, escaped texts, numbers that agree."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import identify as idf

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


def test_a_target_that_the_verdict_does_not_use_is_named(recovered):
    system, truth, _ = recovered
    said = "the verdict does not use the numbers of the target"
    assert any(note.startswith(said) for note in idf.check(system, samples=3).notes)
    assert not any(note.startswith(said) for note in idf.check(system, data=(truth.X, truth.c)).notes)

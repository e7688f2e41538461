"""What a page says once: sentences, lines, and reports below others."""

from __future__ import annotations

from dataclasses import replace

import pytest

import identify as idf
from identify.report.html import Section
from identify.report.once import AS_ABOVE, SEE_WHY, Once, views_of, whole

pytestmark = pytest.mark.smoke
LONG = "these are some words of a sentence"


class TestOnce:
    def test_sentences_that_stand_are_left_out(self):
        once = Once(["One thing. Another thing."])
        assert once.fresh("Another thing. A third thing.") == "A third thing."
        assert once.fresh("a third  thing") == "" and once.fresh("") == ""

    def test_lines_are_whole(self):
        once = Once()
        assert once.new(["a: b", "", "A: b.", "c"]) == ("a: b", "c") and once.new(["c", "d"]) == ("d",)

    def test_a_part_of_a_longer_line_counts_if_it_has_some_words(self):
        once = Once([f"yes: {LONG}; and more"])
        assert once.has(LONG) and not once.has("and more") and not once.has(f"{LONG} that goes on")


@pytest.fixture(scope="module")
def reports():
    system, truth = idf.Configuration(inputs=4, samples=2, width=9, activation="z + z^2/2 + z^3").plant(seed=1)
    return idf.check(system, samples=2), idf.check(system, data=(truth.X, truth.c))


def test_the_second_report_says_what_is_new(reports):
    first, second = views_of([Section("", "", report) for report in reports])
    assert first.meaning == whole(reports[0]).meaning and first.equations == reports[0].equations and first.in_practice
    assert second.meaning == second.in_practice == "" and second.equations == () and second.ambiguity == (AS_ABOVE,)
    assert second.scope == reports[1].scope and "local" in second.alike and set(second.notes) < set(reports[1].notes)
    assert second.subject == {"residual": reports[1].subject["residual"], "reproduces_target": True}
    kept = {name.strip() for view in (first, second) for c in view.conditions for name in c.name.split(",")}
    assert {c.name for report in reports for c in report.conditions} <= kept | set(second.alike)
    assert first.conditions[0].name == "interpolation" and first.conditions[0].statement == SEE_WHY


def test_below_an_answer_practice_is_left_to_it(reports):
    (view,) = views_of([Section("", "", reports[0])], ["Of something else."])
    assert view.in_practice == "" and view.meaning
    (view,) = views_of([Section("", "", reports[0])], [f"So {reports[0].verdict.meaning}."])
    assert view.meaning == ""


def test_a_reference_stands_once(reports):
    views = views_of([Section("", "", replace(reports[0], verdict=report.verdict)) for report in reports])
    assert views[1].conditions == () and all(condition.reference for condition in views[0].conditions)


def test_conditions_that_are_open_for_one_reason_share_a_row_and_a_line():
    config = idf.Configuration(inputs=6, samples=3, width=(12, 8), activation="relu", outputs=3, bias=True)
    report = idf.check(config.plant(seed=0)[0], samples=3)
    (view,) = views_of([Section("", "", report)])
    (row,) = (c for c in view.conditions if "quadrics" in c.name)
    assert {"quadrics", "pattern"} <= set(row.name.split(", ")) and row.holds is None
    assert (
        sum("the data are needed" in reason for reason in report.reasons) == 1
        and "pattern" in report.reasons[0]
        and "are open" in report.reasons[0]
    )

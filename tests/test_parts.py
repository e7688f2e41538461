"""Parts of the tests: what marks and variables leave, and what is run again where it was skipped."""

from types import SimpleNamespace

import pytest
from support import few
from support.marks import slow_unless, thinned


def named(*names):
    return [SimpleNamespace(nodeid=name) for name in names]


def names(items):
    return [item.nodeid for item in items]


def quick(cases):
    """The cases without a mark."""
    return [case for case in cases if not getattr(case, "marks", ())]


def test_the_first_and_the_last_case_of_each_test():
    kept, others = few.chosen(named("a::f[1]", "a::f[2]", "a::g", "a::f[3]", "b::f[x]", "b::f[y]"))
    assert names(kept) == ["a::f[1]", "a::g", "a::f[3]", "b::f[x]", "b::f[y]"] and names(others) == ["a::f[2]"]


@pytest.mark.parametrize(("worker", "written"), [(None, True), ("gw0", False)])
def test_what_was_skipped_is_run_again(monkeypatch, tmp_path, worker, written):
    """Tests by their names, and all of a file that was skipped as a whole; a test that is expected to fail was not skipped."""
    file = tmp_path / "skipped"
    monkeypatch.setattr(few, "_skipped", set())
    monkeypatch.setenv("IDENTIFY_SKIPPED", str(file))
    monkeypatch.setenv("PYTEST_XDIST_WORKER", worker) if worker else monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    for name, skipped in (("a::f[1]", True), ("a::f[2]", False), ("b", True)):
        few.note(SimpleNamespace(nodeid=name, skipped=skipped))
    few.note(SimpleNamespace(nodeid="a::g", skipped=True, wasxfail=""))
    few.write()
    assert file.exists() is written
    if written:
        kept, others = few.skipped_before(named("a::f[1]", "a::f[2]", "a::g", "b::h", "bb::h"), str(file))
        assert names(kept) == ["a::f[1]", "b::h"] and names(others) == ["a::f[2]", "a::g", "bb::h"]


def test_cases_of_a_grid_that_stay_quick():
    assert quick(thinned(range(7))) == [0, 3, 6] and quick(thinned(range(7), 2, 1)) == [1, 3, 5]
    pairs = [(1, "a"), (1, "b"), (2, "a")]
    assert quick(slow_unless(lambda number, letter: number == 1 or letter == "b", pairs)) == pairs[:2]
    (marked,) = (case for case in thinned(pairs, 2) if case not in pairs)
    assert marked.values == (1, "b") and [mark.name for mark in marked.marks] == ["slow"]

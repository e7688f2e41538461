"""Parts of the tests, for runs that repeat them under other conditions: with annotations executed, with old versions, with more packages.

``IDENTIFY_FEW=1``: the first and the last case of each test, because the others meet hardly any other function or type, and fewer
examples. ``IDENTIFY_SKIPPED=FILE`` writes the names of the tests that are skipped. ``IDENTIFY_ONLY=FILE`` runs those among the chosen
ones that such a file names, once what they need is there.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

EXAMPLES = 10
"""Examples of each property."""

_skipped: set[str] = set()


def is_on() -> bool:
    return "1" in (os.environ.get("IDENTIFY_FEW"), os.environ.get("IDENTIFY_TYPES"))


def chosen(items: list[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The first and the last case of each test, and the others."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {id(item) for group in groups.values() for item in (group[0], group[-1])}
    return [item for item in items if id(item) in kept], [item for item in items if id(item) not in kept]


def skipped_before(items: list[pytest.Item], file: str) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests that the file names, by themselves or with all of theirs, and the others."""
    names = set(Path(file).read_text(encoding="utf-8").splitlines())
    kept = {id(item) for item in items if item.nodeid in names or item.nodeid.partition("::")[0] in names}
    return [item for item in items if id(item) in kept], [item for item in items if id(item) not in kept]


def note(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Remember a test, or a file of tests, that is skipped."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.add(report.nodeid)


def write() -> None:
    """The names of what was skipped, if a file for them is named and this process is the one that hears of all tests."""
    if (file := os.environ.get("IDENTIFY_SKIPPED")) and "PYTEST_XDIST_WORKER" not in os.environ:
        Path(file).write_text("".join(f"{name}\n" for name in sorted(_skipped)), encoding="utf-8")

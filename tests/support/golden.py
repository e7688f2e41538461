"""Messages as users read them, in one file: ``tests/golden/messages.txt``.

A test that asserts the class and the fields of an error hands its sentence to the fixture ``golden``, which compares it with what
the file holds under the name of the test. After a change of wording ``pytest -n 0 --golden tests/...`` writes the entries of the
tests that ran anew: read the difference, then commit it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "golden" / "messages.txt"
HEAD = "Messages as users read them, by test. After a change of wording: pytest -n 0 --golden tests\n"
MARK = "== "
made: dict[str, list[str]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write tests/golden/messages.txt anew, for the tests that run (with -n 0)")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--golden") and (os.environ.get("PYTEST_XDIST_WORKER") or config.getoption("numprocesses", None)):
        raise pytest.UsageError("--golden: the messages are written by one process; add -n 0")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--golden") and made:
        write(made)


def entries() -> dict[str, str]:
    """What the file holds, by the names of tests."""
    if not FILE.exists():
        return {}
    parts = FILE.read_text(encoding="utf-8").split(f"\n{MARK}")[1:]
    return {name: text.rstrip("\n") for name, _, text in (part.partition("\n") for part in parts)}


def write(new: dict[str, list[str]]) -> None:
    """Entries of the tests that ran are replaced, with all their parameters; the others stay."""
    ran = {function(name) for name in new}
    whole = {name: text for name, text in entries().items() if function(name) not in ran}
    whole |= {name: "\n".join(texts) for name, texts in new.items()}
    FILE.write_text(HEAD + "".join(f"\n{MARK}{name}\n{text}\n" for name, text in sorted(whole.items())), encoding="utf-8")


def function(name: str) -> str:
    """The name of a test without its parameters."""
    return name.partition("[")[0]


@pytest.fixture
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[object], None]:
    """Compares a message with the golden one; several of a test are compared in their order."""
    path = request.path.relative_to(FILE.parents[1]).as_posix()
    name, heard = f"{path}::{request.node.nodeid.partition('::')[2]}", []
    made.pop(name, None)

    def compare(message: object) -> None:
        heard.append(re.sub(r"[ \t]+$", "", str(message).replace(str(tmp_path), "TMP").rstrip("\n"), flags=re.M))
        if request.config.getoption("--golden"):
            made[name] = list(heard)
            return
        whole = entries().get(name)
        assert whole is not None, f"{name} has no golden message yet: run it with -n 0 --golden"
        assert (whole + "\n").startswith("\n".join(heard) + "\n")

    yield compare
    if heard and not request.config.getoption("--golden"):
        assert entries().get(name) == "\n".join(heard)

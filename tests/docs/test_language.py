"""Phrases that need a second reading, in pages, notebooks, help texts and public docstrings.

A few patterns with few false positives; each has sentences that it must find and sentences that it must leave alone.
"""

import inspect
import re
from functools import cached_property
from pathlib import Path
from types import FunctionType

import pytest
import typer
from docs.test_api_pages import listed, resolved
from docs.test_documentation import DOCS, NOTEBOOKS, PAGES, README, prose

from identify.cli import app

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="the documentation is part of the repository, not of the package")

LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
PATTERNS = {
    "is not a": re.compile(
        r"(?<!\bthere )\b(?:is|are|was|were) no (?!longer\b|larger\b|smaller\b|more\b|less\b|fewer\b|one\b|other\b|matter\b)[a-z]+", re.I
    ),
    "does not have": re.compile(r"\b(?:has|have) not (?:the|an?|any|its|their|all|enough)\b", re.I),
    "someone who": re.compile(r"(?:^|(?<=[.;:!?] ))Who(?:ever)? [^.?!]*[.!]", re.I),
    "a noun": re.compile(r"(?:^|(?<=[.;!?] ))What (?!follows)[^.?!]*[.!]"),
}
"""Words to use instead -> the phrase."""
FOUND = {
    "is not a": ["relu is no polynomial", "A split that is no descent ends it.", "They are no proof."],
    "does not have": ["final: has not the architecture of initial", "networks that have not all layers"],
    "someone who": ["Who knows that knows the folders.", "It is tied; who knows why may say so.", "Yes. Whoever changes it is found."],
    "a noun": ["What is left is a rotation.", "It ends. What cannot be proved is refused."],
}
LEFT_ALONE = [
    "If there is no room, it stays.",
    "It is no longer used, and there are no other data.",
    "Data that have not been rounded.",
    "Who runs the tasks?",
    "Someone who knows the data can choose.",
    "Are they determined? What are they?",
    "One line says what was received and what to do.",
]


def findings(text: str) -> list[str]:
    """Each phrase of the text that is found, with the words to use instead."""
    sentences = [" ".join(LINK.sub("LINK", block).split()) for block in re.split(r"\n\s*\n|\n(?=[#|>*-])|\|", text)]
    return [
        f"write {instead!r}: {match[0]}"
        for sentence in sentences
        if not sentence.startswith("#")
        for instead, pattern in PATTERNS.items()
        for match in pattern.finditer(sentence)
    ]


@pytest.mark.parametrize("instead", PATTERNS)
def test_patterns_find_their_phrases(instead):
    for sentence in FOUND[instead]:
        assert [each for each in findings(sentence) if each.startswith(f"write {instead!r}")], sentence


@pytest.mark.parametrize("sentence", LEFT_ALONE)
def test_patterns_leave_plain_sentences_alone(sentence):
    assert not findings(sentence)


@pytest.mark.parametrize("path", [README, *PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_pages(path: Path):
    assert not findings(prose(path))


def docstrings(value) -> list[str]:
    """Those of a public object and, for a class, of its public methods and properties."""
    members = [member for name, member in vars(value).items() if not name.startswith("_")] if inspect.isclass(value) else []
    members = [member for member in members if isinstance(member, (FunctionType, classmethod, staticmethod, property, cached_property))]
    return [inspect.getdoc(one) or "" for one in (value, *members)]


@pytest.mark.parametrize("name", listed())
def test_public_docstrings(name):
    assert not [found for text in docstrings(resolved(name)) for found in findings(text)]


def test_help_of_commands():
    group = typer.main.get_command(app)
    for name, command in {"identify": group, **group.commands}.items():
        texts = [command.help or "", *(getattr(parameter, "help", None) or "" for parameter in command.params)]
        assert not [found for text in texts for found in findings(text)], name

"""The page of an audit: one answer with its badge, the pictures, what was assumed, what would change it, and the details folded.

No sentence is written twice: one that stands above is left out below. Pictures are files beside the page, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from identify.auditing.findings import PRIVACY, Finding
from identify.auditing.result import WHOSE_DATA, Audit
from identify.problem.verdict import Verdict
from identify.report.html import Answer, Cell, Picture, Section, as_sentence, write_sections
from identify.report.once import AS_ABOVE, Once
from identify.report.pdf import require_pdf, write_pdf

LONG = 24
"""Longest list of numbers on the page; longer ones are in report.json only."""
SENTENCE = 5
"""Words from which on a cell of a table says what details would repeat."""
SHOWN = ("recovery", "unseen", "images", "attack")
"""Findings whose pictures come right after the answer, whatever it is."""


def write_audit_page(folder: Path, audit: Audit) -> list[str]:
    """Write ``report.html`` and a PNG for every picture, and return their names; the page has them inside."""
    drawn = _drawn(audit)
    written = [name for name, pictures in drawn.items() for name in _save(folder, name, pictures)]
    answer, sections = _parts(audit, drawn)
    write_sections(folder / "report.html", sections, title=_title(audit), lead=answer)
    return ["report.html", *written]


def write_audit_pdf(path: Path, audit: Audit) -> Path:
    """The page as a PDF file, with what it folds."""
    require_pdf()  # before the pictures, not after them
    answer, sections = _parts(audit, _drawn(audit))
    return write_pdf(path, sections, title=_title(audit), answer=answer)


def _title(audit: Audit) -> str:
    return f"Audit of {audit.name}"


def _drawn(audit: Audit) -> dict[str, tuple[Picture, ...]]:
    """The pictures of each finding."""
    return {finding.name: () if finding.draw is None else tuple(finding.draw()) for finding in audit.findings}


def _parts(audit: Audit, drawn: dict[str, tuple[Picture, ...]]) -> tuple[Answer, list[Section]]:
    """The answer on top, and the sections below it."""
    standing, once = audit.standing, Once()
    answer = _new((*audit.sentences, audit.ended_early, f"In practice: {standing.in_practice}"), once)
    once.new(audit.answered)
    sections = []
    shown = _shown_first(audit)
    first = tuple(picture for name in shown for picture in _captioned(drawn.get(name, ()), once))
    if first:
        sections.append(Section("What was found", "", pictures=first))
    if "equations" in audit:
        given = audit["equations"]
        lines = (f"Threat: {audit.threat}" if audit.threat else "", f"Network: {given.answer}", *given.details, *audit.said(given))
        sections.append(Section("What was given and assumed", _paragraphs(_new(lines, once))))
    if "defences" in audit:
        change = audit["defences"]
        curves = {name: curve for name, curve in change.values.items() if isinstance(curve, dict)}
        lead = PRIVACY if curves else change.answer
        sections.append(Section("What would change it", _paragraphs(_new((lead,), once)), table=_effects(curves)))
        for name, curve in curves.items():  # the details say it under the name of the defence
            once.new((f"{name}: {curve['axis']}", f"{name}: {curve['summary']}"))
        if any(curve["summary"] in change.answer for curve in curves.values()):
            once.new((change.answer,))
    for finding in _ordered(audit):
        if finding.name == "equations":
            continue
        words = _new(_words(finding, audit.said(finding)), once)
        pictures = () if finding.name in shown else _captioned(drawn[finding.name], once)
        numbers = _shown(finding.values, " ".join(words))
        sections.append(Section(finding.question, _paragraphs(words), finding.report, pictures, finding.table, numbers, is_folded=True))
    return Answer(standing.value, standing.colours, answer, WHOSE_DATA), sections or [Section("Nothing was finished", "")]


def _shown_first(audit: Audit) -> tuple[str, ...]:
    """The findings whose pictures come right after the answer: the data that were found, or other data that fit as well."""
    main = audit.report
    others = () if main is None or main.verdict is not Verdict.NOT_UNIQUE else (f.name for f in audit.findings if f.report is main)
    return (*SHOWN, *others)


def _effects(curves: dict[str, Any]) -> tuple[tuple[Cell, ...], ...]:
    """What is changed, and what follows; defences with the same effect in one row."""
    changed: dict[str, list[str]] = {}
    for curve in curves.values():
        changed.setdefault(curve["summary"], []).append(curve["axis"])
    return (("change", "effect"), *(("; ".join(axes), effect) for effect, axes in changed.items())) if changed else ()


def _captioned(pictures: Iterable[Picture], once: Once) -> tuple[Picture, ...]:
    """With the words that do not stand above."""
    return tuple(replace(p, title=once.fresh(p.title) or as_sentence(AS_ABOVE), caption=once.fresh(p.caption)) for p in pictures)


def _save(folder: Path, name: str, pictures: tuple[Picture, ...]) -> list[str]:
    names = [f"{name}.png"] if len(pictures) == 1 else [f"{name}-{number}.png" for number in range(1, len(pictures) + 1)]
    for file, picture in zip(names, pictures, strict=True):
        (folder / file).write_bytes(picture.png)
    return names


def _ordered(audit: Audit) -> list[Finding]:
    """Findings in the order of the page: hidden parts first, then whether the equation holds, and the main verdict."""
    main = audit.report
    first = [f for f in audit.findings if f.name.startswith("verdict")]
    first.sort(key=lambda f: f.report is not main)
    first = [f for f in audit.findings if f.name == "stationarity"] + first
    first = [f for f in audit.findings if f.name == "hidden"] + first
    return first + [f for f in audit.findings if f not in first]


def _words(finding: Finding, more: tuple[str, ...]) -> tuple[str, ...]:
    if finding.report is not None:  # the box below says the rest
        return tuple(text for text in finding.details if text not in (finding.report.precision, *finding.report.reasons))
    scope = f"{finding.basis}; scope: {finding.scope}" if finding.scope != "–" else str(finding.basis)
    in_table = [cell for row in finding.table for cell in row if isinstance(cell, str) and len(cell.split()) >= SENTENCE]
    return (finding.answer, scope, *(text for text in finding.details if not any(cell in text for cell in in_table)), *more)


def _new(lines: Iterable[str], once: Once) -> tuple[str, ...]:
    """The lines that are not on the page yet, with a capital letter and a full stop."""
    return tuple(f"{as_sentence(text).rstrip('.')}." for text in once.new(lines))


def _paragraphs(lines: tuple[str, ...]) -> str:
    return "\n\n".join(lines)


def _shown(values: dict[str, Any], words: str) -> dict[str, Any]:
    """Values for readers: without arrays of data and tables, and without what the words above say."""
    return {
        name: value
        for name, value in values.items()
        if (isinstance(value, (str, int, float, bool)) or _is_short(value)) and not (isinstance(value, str) and value in words)
    }


def _is_short(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) <= LONG and all(isinstance(part, (str, int, float)) for part in value)

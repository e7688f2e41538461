"""The page of an audit: one answer with its badge, the pictures, what was assumed, what would change it, and the details folded.

No sentence is written twice: one that stands above is left out below. Pictures are files beside the page, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from identify.auditing.findings import PRIVACY, Finding
from identify.auditing.result import Audit
from identify.report.html import Answer, Picture, Section, write_sections
from identify.report.pdf import require_pdf, write_pdf

LONG = 24
"""Longest list of numbers on the page; longer ones are in report.json only."""
SHOWN = ("recovery", "attack")
"""Findings whose pictures come right after the answer."""


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
    standing, said = audit.standing, set[str]()
    answer = _new((*audit.sentences, audit.ended_early, f"In practice: {standing.in_practice}"), said)
    sections = []
    first = tuple(picture for name in SHOWN for picture in drawn.get(name, ()))
    if first:
        sections.append(Section("What was found", "", pictures=first))
    if "equations" in audit:
        given = audit["equations"]
        lines = (f"Threat: {audit.threat}" if audit.threat else "", given.answer, *given.details, *audit.said(given))
        sections.append(Section("What was given and assumed", _paragraphs(_new(lines, said)), evidence=_shown(given.values)))
    if "defences" in audit:
        change = audit["defences"]
        effects = [(v["axis"], v["summary"]) for v in change.values.values() if isinstance(v, dict)]
        lead = PRIVACY if effects else change.answer
        table = (("what is changed", "what follows"), *effects) if effects else ()
        sections.append(Section("What would change it", _paragraphs(_new((lead,), said)), table=table))
    for finding in _ordered(audit):
        if finding.name == "equations":
            continue
        pictures = () if finding.name in SHOWN else drawn[finding.name]
        words = _paragraphs(_new(_words(finding, audit.said(finding)), said))
        sections.append(Section(finding.question, words, finding.report, pictures, finding.table, _shown(finding.values), is_folded=True))
    return Answer(standing.value, standing.colours, answer), sections or [Section("Nothing was finished", "")]


def _save(folder: Path, name: str, pictures: tuple[Picture, ...]) -> list[str]:
    names = [f"{name}.png"] if len(pictures) == 1 else [f"{name}-{number}.png" for number in range(1, len(pictures) + 1)]
    for file, picture in zip(names, pictures, strict=True):
        (folder / file).write_bytes(picture.png)
    return names


def _ordered(audit: Audit) -> list[Finding]:
    """Findings in the order of the page: hidden parts and the main verdict first."""
    main = audit.report
    first = [f for f in audit.findings if f.name.startswith("verdict")]
    first.sort(key=lambda f: f.report is not main)
    first = [f for f in audit.findings if f.name == "hidden" and f.values["hides"]] + first
    return first + [f for f in audit.findings if f not in first]


def _words(finding: Finding, more: tuple[str, ...]) -> tuple[str, ...]:
    if finding.report is not None:  # the box below says the rest
        return tuple(text for text in finding.details if text not in (finding.report.precision, *finding.report.reasons))
    scope = f"For {finding.scope}: {finding.basis}" if finding.scope != "–" else str(finding.basis)
    return (finding.answer, scope, *finding.details, *more)


def _new(lines: Iterable[str], said: set[str]) -> tuple[str, ...]:
    """The sentences that are not on the page yet, with a capital letter and a full stop; ``said`` grows by them."""
    fresh = []
    for text in lines:
        line = f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
        if line and line not in said:
            said.add(line)
            fresh.append(line)
    return tuple(fresh)


def _paragraphs(lines: tuple[str, ...]) -> str:
    return "\n\n".join(lines)


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    """Values for readers: without arrays of data and tables."""
    return {name: value for name, value in values.items() if isinstance(value, (str, int, float, bool)) or _is_short(value)}


def _is_short(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) <= LONG and all(isinstance(part, (str, int, float)) for part in value)

"""The page of an audit: the answer first, every finding with its scope, evidence folded; the pictures beside it as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from identify.auditing.findings import Finding
from identify.auditing.result import Audit
from identify.report.html import Section, write_sections

LONG = 24
"""Longest list of numbers on the page; longer ones are in report.json only."""


def write_audit_page(folder: Path, audit: Audit) -> list[str]:
    """Write ``report.html`` and a PNG for every picture, and return their names; the page has them inside."""
    lead = (*audit.answer, audit.ended_early) if audit.ended_early else audit.answer
    summary = [("question", "answer", "rests on"), *((f.question, _short(f), str(f.basis)) for f in _ordered(audit))]
    sections, written = [Section("Summary", "", table=tuple(summary))], []
    for finding in _ordered(audit):
        drawn = () if finding.draw is None else finding.draw()
        for number, picture in enumerate(drawn, 1):
            written.append(f"{finding.name}.png" if len(drawn) == 1 else f"{finding.name}-{number}.png")
            (folder / written[-1]).write_bytes(picture.png)
        words = _words(finding, audit.said(finding))
        sections.append(Section(finding.question, words, finding.report, drawn, finding.table, _shown(finding.values)))
    write_sections(folder / "report.html", sections, title=f"Audit of {audit.name}", lead=lead)
    return ["report.html", *written]


def _ordered(audit: Audit) -> list[Finding]:
    """Findings in the order of the page: hidden parts and the main verdict first, the network and its equation last."""
    main = audit.report
    first = [f for f in audit.findings if f.name.startswith("verdict")]
    first.sort(key=lambda f: f.report is not main)
    first = [f for f in audit.findings if f.name == "hidden" and f.values["hides"]] + first
    found = [f for f in audit.findings if f not in first]
    return first + [f for f in found if f.name != "equations"] + [f for f in found if f.name == "equations"]


def _short(finding: Finding) -> str:
    return str(finding.report.verdict) + f" for {finding.report.scope}" if finding.report is not None else finding.answer


def _words(finding: Finding, more: tuple[str, ...]) -> str:
    if finding.report is not None:  # the box below says the rest
        said = tuple(text for text in finding.details if text not in (finding.report.precision, *finding.report.reasons))
        return _sentences(said)
    scope = f"For {finding.scope}: {finding.basis}" if finding.scope != "–" else str(finding.basis)
    said = (finding.answer, scope, *finding.details, *more)
    return _sentences(said)


def _sentences(said: tuple[str, ...]) -> str:
    return "\n\n".join(f"{text[0].upper()}{text[1:].rstrip('.')}." for text in said)


def _shown(values: dict[str, Any]) -> dict[str, Any]:
    """Values for readers: without arrays of data and tables."""
    return {name: value for name, value in values.items() if isinstance(value, (str, int, float, bool)) or _is_short(value)}


def _is_short(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) <= LONG and all(isinstance(part, (str, int, float)) for part in value)

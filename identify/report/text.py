"""A report as plain text."""

from __future__ import annotations

import textwrap
from typing import Any

from identify.report.verdict import Report

_MARK = {True: "holds", False: "fails", None: "open"}


def explain(report: Report, width: int = 100) -> str:
    """Verdict, scope, reasons, ambiguity, conditions with evidence, witness, notes; lines of at most ``width`` characters."""
    out = [f"{report.verdict} — for {report.scope}"]
    out += _wrap(report.verdict.meaning + ", up to the ambiguity below.", width, "  ")
    out += ["", "Why"] + [line for reason in report.reasons for line in _wrap(reason, width, "  - ")]
    out += ["", "Up to"] + [f"  - {line}" for line in report.ambiguity]
    out += ["", "Given"] + _wrap(", ".join(f"{k} {_short(v)}" for k, v in report.subject.items()), width, "  ")
    out += [f"  {line}" for line in report.equations]
    out += ["", "Conditions"]
    for c in report.conditions:
        out += _wrap(f"{c.name}: {_MARK[c.holds]} — {c.statement}", width, "  ")
        evidence = ", ".join(f"{k} {_short(v)}" for k, v in c.evidence.items())
        out += _wrap(f"[{c.arithmetic}] {evidence}", width, "      ")
        out += _wrap(c.reference, width, "      ")
    if report.witness is not None:
        w = report.witness
        out += ["", "Witness"] + _wrap(f"{w.kind}, dimension {w.dimension}: {w.description}", width, "  ")
        if w.residual is not None:
            out.append(f"  the other data set changes the target by {w.residual:.1e} relative (rounding)")
    if report.notes:
        out += ["", "Notes"] + [line for note in report.notes for line in _wrap(note, width, "  - ")]
    return "\n".join(out)


def _wrap(text: str, width: int, lead: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=" " * len(lead)) or [lead.rstrip()]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_short(v) for v in value) + "]"
    return str(value)

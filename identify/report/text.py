"""A report as plain text."""

from __future__ import annotations

import textwrap
from typing import Any

from identify.problem.verdict import Condition, Report, Witness

_GRADE = {True: "good", False: "limited", None: "open"}
_LIST_LIMIT = 12


def explain(report: Report, width: int = 100) -> str:
    """Verdict, scope, reasons, ambiguity, conditions with evidence, witness, notes; lines of at most ``width`` characters."""
    out = [f"{report.verdict} — for {report.scope}"]
    out += _wrap(report.meaning + report.beside_ambiguity + ".", width, "  ")
    if report.precision is not None:
        out += _wrap(report.precision + ".", width, "  ")
    out += ["", "Why"] + [line for reason in report.reasons for line in _wrap(reason, width, "  - ")]
    out += ["", "Up to"] + [f"  - {line}" for line in report.ambiguity]
    out += ["", "Given", *_wrap(", ".join(f"{k} {_short(v)}" for k, v in report.subject.items()), width, "  ")]
    out += [f"  {line}" for line in report.equations]
    out += ["", "Conditions"] + [line for c in report.conditions for line in _condition(c, c.word, width)]
    if report.witness is not None:
        w = report.witness
        out += ["", "Witness", *_wrap(f"{w.kind}, dimension {w.dimension}: {w.description}", width, "  ")]
        if w.residual is not None:
            out += _wrap(f"the other data set changes the target by {w.residual:.1e} relative (rounding){same_samples(w)}", width, "  ")
    if report.diagnostics:
        out += ["", "Structure and conditioning (no verdict rests on it)"]
        out += [line for c in report.diagnostics for line in _condition(c, _GRADE[c.holds], width)]
    if report.notes:
        out += ["", "Notes"] + [line for note in report.notes for line in _wrap(note, width, "  - ")]
    return "\n".join(out)


def same_samples(witness: Witness) -> str:
    """To go on with after the residual, if the two data sets have the same samples: inputs are determined then, as far as these show."""
    return "; its samples are the same, and only their multipliers differ" if witness.moves_samples is False else ""


def summary(evidence: dict[str, Any]) -> dict[str, Any]:
    """The evidence without tables of numbers and empty lists: they are for programs, and in the JSON form."""
    return {
        name: value
        for name, value in evidence.items()
        if not (isinstance(value, (dict, list, tuple)) and not value)
        and not (isinstance(value, dict) and any(isinstance(part, (list, tuple)) for part in value.values()))
    }


def _condition(c: Condition, mark: str, width: int) -> list[str]:
    out = _wrap(f"{c.name}: {mark} — {c.statement}", width, "  ")
    evidence = ", ".join(f"{k} {_short(v)}" for k, v in summary(c.evidence).items())
    return out + _wrap(f"[{c.arithmetic}] {evidence}", width, "      ") + _wrap(c.reference, width, "      ")


def _wrap(text: str, width: int, lead: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=" " * len(lead)) or [lead.rstrip()]


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_short(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        more = f", … ({len(value)} in all)" if len(value) > _LIST_LIMIT else ""
        return "[" + ", ".join(_short(v) for v in value[:_LIST_LIMIT]) + more + "]"
    return str(value)

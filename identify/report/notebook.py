"""Values as notebooks show them: a heading and a small table, styled inline, so that they read on light and dark pages alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from identify.problem.verdict import Condition, Verdict
from identify.report.brief import RECOVERED
from identify.report.html import BADGE, KNOWN, condition_mark, show
from identify.report.text import summary

if TYPE_CHECKING:
    from identify.conditions.thresholds import Thresholds
    from identify.problem.ambiguity import Match
    from identify.recovery.solution import Recovery

MOST = 12
"""Samples that a table shows."""
_CELL = (
    "border:0;border-top:1px solid rgba(128,128,128,.4);padding:.25em .8em .25em 0;text-align:left;vertical-align:top;"
    "white-space:normal;background:transparent"
)


def of_recovery(found: Recovery) -> str:
    """What was found, how well it fits, whether anything else does, and the first samples with their error bars."""
    known = found.uniqueness
    head = f"<strong>{found.n_samples} sample{'s' * (found.n_samples != 1)}</strong> recovered by {escape(found.method)}. "
    head += _badge(f"{KNOWN[known.status][0]} {known.status.value.replace('_', ' ')}", BADGE[Verdict(KNOWN[known.status][1].upper())])
    facts = {
        "residual": f"{found.residual:.1e}, relative",
        "uniqueness": str(known),
        "up to": "; ".join(found.ambiguity.describe()),
        "in practice": RECOVERED[known.status],
    }
    C = found.c[:, None] if found.c.ndim == 1 else found.c
    rows = zip(map(str, range(found.n_samples)), *_columns(found.X, found.relative_error_bars, C), strict=True)
    table = _rows(("sample", "norm", "relative error bar", "multiplier" + "s" * (C.shape[1] > 1)), rows, found.n_samples)
    return _frame(head, _facts(facts) + table)


def of_thresholds(found: Thresholds) -> str:
    """For how many samples the answer is yes, and from how many on it is no."""
    no = "not established" if found.not_identifiable is None else f"from {found.not_identifiable} samples on ({found.arithmetic})"
    facts = {
        "proved unique": f"up to {found.unique} samples",
        "isolated": f"up to {found.locally_unique} samples",
        "not identifiable": no,
        "up to": "; ".join(found.ambiguity.describe()),
        **{f"left out: {name}": why for name, why in found.left_out.items()},
    }
    return _frame(f"<strong>How many samples are determined?</strong> For {escape(str(found.scope))}.", _facts(facts))


def of_match(match: Match) -> str:
    """Which candidate stands for which reference sample, and its relative error."""
    errors = np.asarray(match.errors)
    there = errors[np.isfinite(errors)]
    worst = f", the worst to a relative error of {there.max():.1e}" * bool(len(there))
    rows = (
        (str(i), str(int(k)) if np.isfinite(e) else "–", show(float(e)) if np.isfinite(e) else "not found")
        for i, (k, e) in enumerate(zip(match.order, errors, strict=True))
    )
    table = _rows(("reference sample", "candidate", "relative error"), rows, len(errors))
    return _frame(f"<strong>{len(there)} of {len(errors)} samples matched</strong>{worst}.", table)


def of_condition(condition: Condition) -> str:
    """Result, statement, arithmetic, evidence, reference."""
    symbol, _, word = condition_mark(condition)
    evidence = ", ".join(f"{name.replace('_', ' ')} {show(value)}" for name, value in summary(condition.evidence).items())
    facts = {"found": condition.statement, "arithmetic": str(condition.arithmetic), "evidence": evidence, "reference": condition.reference}
    return _frame(f"<strong>{escape(condition.name)}</strong>: {symbol} {word}", _facts(facts))


def _columns(X: np.ndarray, bars: np.ndarray, C: np.ndarray) -> tuple[list[str], list[str], list[str]]:
    norms = [show(float(norm)) for norm in np.linalg.norm(X, axis=1)]
    return norms, [show(float(bar)) for bar in bars], [", ".join(show(float(value)) for value in row) for row in C]


def _badge(text: str, colour: str) -> str:
    return (
        f'<span style="background:{colour};color:#fff;font-weight:700;padding:.1em .6em;border-radius:.3em;white-space:nowrap">'
        f"{escape(text)}</span>"
    )


def _facts(facts: Mapping[str, Any]) -> str:
    lines = "".join(
        f'<tr style="background:transparent"><th scope="row" style="{_CELL};font-weight:600;white-space:nowrap">{escape(name)}</th>'
        f'<td style="{_CELL}">{escape(str(value))}</td></tr>'
        for name, value in facts.items()
        if value
    )
    return f'<table style="border-collapse:collapse;margin:.3em 0 .6em">{lines}</table>'


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]], count: int) -> str:
    top = "".join(f'<th scope="col" style="{_CELL};border-top:0;font-weight:600">{escape(name)}</th>' for name in head)
    shown = [row for _, row in zip(range(MOST), rows, strict=False)]
    body = "".join(
        '<tr style="background:transparent">' + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in shown
    )
    more = f"<p>… and {count - MOST} more.</p>" * (count > MOST)
    return f'<table style="border-collapse:collapse;margin:.3em 0 .6em"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{more}'


def _frame(head: str, body: str) -> str:
    return f'<div style="max-width:54rem;line-height:1.45;overflow-x:auto"><p style="margin:.4em 0">{head}</p>{body}</div>'

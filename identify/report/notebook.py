"""Values as notebooks show them: a heading and a small table, styled inline, so that they read on light and dark pages alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from identify.problem.exposure import HEADS
from identify.problem.verdict import Condition, Verdict
from identify.report.brief import RECOVERED
from identify.report.html import BADGE, KNOWN, condition_mark, show
from identify.report.text import summary

if TYPE_CHECKING:
    from identify.conditions.thresholds import Thresholds
    from identify.problem.ambiguity import Match
    from identify.problem.exposure import Exposure
    from identify.problem.uniqueness import Uniqueness
    from identify.recovery.completing import Completion
    from identify.recovery.solution import Recovery
    from identify.symbolic.given import Roots
    from identify.symbolic.solve import Solution

MOST = 12
"""Samples that a table shows."""
_CELL = (
    "border:0;border-top:1px solid rgba(128,128,128,.4);padding:.25em .8em .25em 0;text-align:left;vertical-align:top;"
    "white-space:normal;background:transparent"
)


def of_recovery(found: Recovery) -> str:
    """What was found, how well it fits, whether anything else does, and the first samples with their error bars."""
    known = found.uniqueness
    head = f"<strong>{found.n_samples} sample{'s' * (found.n_samples != 1)}</strong> recovered by {escape(found.method)}. {_status(known)}"
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


def of_uniqueness(known: Uniqueness) -> str:
    """The status, the network and the data it is about, the reason, and what that means in practice."""
    facts = {"for": known.scope or "", "because": known.because, "in practice": RECOVERED[known.status]}
    return _frame(f"<strong>Are these the only data?</strong> {_status(known)}", _facts(facts))


def of_completion(found: Completion) -> str:
    """How many entries were filled in, and how well entries that were known but hidden are told."""
    head = f"<strong>{found.filled} entries filled in</strong>: evidence, no proof."
    facts = {
        "rank": f"{found.rank}: the number of samples, if they are independent",
        "error of hidden entries": f"{found.held_out:.1e}, relative",
        "misfit of known entries": f"{found.residual:.1e}, relative",
        "rate": f"{found.rate:.2f}; the entries are determined nearby if it is well below 1",
    }
    return _frame(head, _facts(facts))


def of_solution(found: Solution) -> str:
    """How many solutions there are, and the real ones at the midpoints of their boxes, by orbits."""
    orbit = {index: number for number, orbit in enumerate(found.orbits) for index in orbit}
    rows = (
        (str(k), str(orbit[k]), "yes" if found.real[k].feasible else "no", _numbers(X.ravel()), _numbers(np.ravel(c)))
        for k, (X, c) in enumerate(found.midpoints)
    )
    table = _rows(("solution", "orbit", "feasible", "data", "multipliers"), rows, len(found.real)) if found.real else ""
    scale = {"scale": "of each sample fixed by one equation"} if found.gauge is not None else {}
    orbits = {"orbits": f"{found.n_orbits}, up to the order of the samples and the ambiguity"} if found.real else {}
    return _frame(_count(found), _facts(scale | orbits) + table)


def of_roots(found: Roots) -> str:
    """How many solutions there are, and the real ones at the midpoints of their boxes."""
    table = ""
    if found.real:
        rows = ((str(k), ", ".join(f"{name} = {show(value)}" for name, value in one.items())) for k, one in enumerate(found.midpoints))
        table = _rows(("solution", "values"), rows, len(found.real))
    return _frame(_count(found), table)


def of_exposure(found: Exposure) -> str:
    """What each set of observed layers determines."""
    rows: Iterable[Sequence[str | tuple[str, str]]] = (
        (
            f"{row.name}: {row.observed}",
            *((finding.status.word, finding.explain()) for finding in row.findings().values()),
            row.limits() or "–",
        )
        for row in found.rows
    )
    table = _rows(("observed", *HEADS.values(), "samples: for which n"), rows, len(found.rows), most=len(found.rows))
    return _frame(escape(found.headline), table)


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


def _status(known: Uniqueness) -> str:
    symbol, colours = KNOWN[known.status]
    return _badge(f"{symbol} {known.status.value.replace('_', ' ')}", BADGE[Verdict(colours.upper())])


def _count(found: Solution | Roots) -> str:
    return f"<strong>{escape(found.counted)}</strong>, by {escape(found.method)} in {found.seconds:.2g} s."


def _numbers(values: np.ndarray) -> str:
    shown = ", ".join(show(float(value)) for value in values[:MOST])
    return shown + f", … ({len(values)} in all)" * (len(values) > MOST)


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


def _rows(head: Sequence[str], rows: Iterable[Sequence[str | tuple[str, str]]], count: int, most: int = MOST) -> str:
    top = "".join(f'<th scope="col" style="{_CELL};border-top:0;font-weight:600">{escape(name)}</th>' for name in head)
    shown = [row for _, row in zip(range(most), rows, strict=False)]
    body = "".join(
        '<tr style="background:transparent">' + "".join(_cell(*((cell, "") if isinstance(cell, str) else cell)) for cell in row) + "</tr>"
        for row in shown
    )
    more = f"<p>… and {count - most} more.</p>" * (count > most)
    return f'<table style="border-collapse:collapse;margin:.3em 0 .6em"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{more}'


def _cell(text: str, more: str) -> str:
    """A cell; ``more`` is shown beside the pointer."""
    title = f' title="{escape(more)}"' if more else ""
    return f'<td style="{_CELL}"{title}>{escape(text)}</td>'


def _frame(head: str, body: str) -> str:
    return f'<div style="max-width:54rem;line-height:1.45;overflow-x:auto"><p style="margin:.4em 0">{head}</p>{body}</div>'

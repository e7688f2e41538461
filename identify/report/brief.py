"""Answers in at most 15 lines, for people: the verdict with its scope, why, up to what, what it means in practice, what to do next.

Everything else is in the long forms: :func:`identify.report.text.explain`, the JSON and the page.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from identify.problem.uniqueness import UniquenessStatus
from identify.problem.verdict import Report, Verdict
from identify.report.text import same_samples

if TYPE_CHECKING:
    from identify.recovery.solution import Recovery

LINES, WIDTH = 15, 100
COLUMN = 13
"""Width of the words on the left."""
LONGEST = 4
"""Lines that one paragraph may take."""
PYTHON_NEXT = {
    Verdict.UNIQUE: "identify.recover computes them; .certificate() proves it to others; print(report) has every condition",
    Verdict.LOCALLY_UNIQUE: "identify.recover searches; .certificate() proves it to others; print(report) has every condition",
    Verdict.NOT_UNIQUE: "report.witness has other data with the same target, .to_html(path) draws them; print(report) has every condition",
    Verdict.UNDECIDED: "print(report) has the remedy for each condition; identify.recover tries all the same",
}
"""What a Python program may do with each verdict."""
RECOVERED = {
    UniquenessStatus.PROVED: "if the numbers given are right, these are the training data, to about their error bars",
    UniquenessStatus.EVIDENCE: "these are most likely the training data: the searches found nothing else that fits, but nothing is proved",
    UniquenessStatus.NOT_UNIQUE: "these data fit, and others do as well: they need not be the training data",
    UniquenessStatus.UNKNOWN: "these data fit; whether others do as well is not known, so they need not be the training data",
}
"""What each status of recovered data means, in one sentence without mathematics."""
PYTHON_RECOVERED = "found.X and found.c are the data; found.evidence has the numbers of each step"


def of_report(report: Report, advice: str) -> str:
    """The short form of a report."""
    head = f"{report.verdict} — for {report.scope}"
    meaning = report.meaning + (report.beside_ambiguity if report.ambiguity else "")
    parts = [("Why", list(report.reasons))]
    if report.witness is not None and report.witness.residual is not None:
        changed = f"checked on one of them: the target changes by {report.witness.residual:.1e} relative, which is rounding"
        parts[0][1].append(changed + same_samples(report.witness))
    parts += [("Up to", ["; ".join(report.ambiguity)])] if report.ambiguity else []
    parts += [("Precision", [report.precision])] if report.precision is not None else []
    parts += [("In practice", [report.in_practice]), ("Next", [advice])]
    return page(head, f"{meaning}.", parts)


def of_recovery(found: Recovery, advice: str, beside: str = "") -> str:
    """The short form of a recovery; ``beside`` compares it with known data."""
    proof = "" if found.uniqueness.scope is None else f" for {found.uniqueness.scope}"
    head = f"Recovered {found.n_samples} sample{'s' * (found.n_samples != 1)} — uniqueness {found.uniqueness.status}{proof}"
    parts = [("Fit", [f"residual {found.residual:.1e} relative, by {found.method}"])]
    if found.n_samples:
        parts[0][1][0] += f"; largest error bar {found.relative_error_bars.max():.1e} of a sample, to first order"
    parts += [("Known data", [beside])] if beside else []
    parts += [("Why", [found.uniqueness.because])]
    parts += [("Up to", ["; ".join(found.ambiguity.describe())])]
    practice = RECOVERED[found.uniqueness.status]
    if found.uniqueness.is_lower_bound:
        practice = f"if there were no more than {found.n_samples} sample{'s' * (found.n_samples != 1)}: {practice}"
    parts += [("In practice", [practice]), ("Next", [advice])]
    return page(head, "", parts)


def page(head: str, lead: str, parts: Sequence[tuple[str, Sequence[str]]], lines: int = LINES, longest: int = LONGEST) -> str:
    """A headline, a sentence, and paragraphs with a word on the left: at most ``lines`` lines, long paragraphs cut with a mark."""
    out = textwrap.wrap(head, WIDTH, subsequent_indent="  ")
    out += textwrap.wrap(sentence(lead), WIDTH, initial_indent="  ", subsequent_indent="  ") if lead else []
    rest = [(name, texts) for name, texts in parts if texts]
    for number, (name, texts) in enumerate(rest):
        room = max(min(lines - len(out) - 2 * (len(rest) - number - 1), longest), 1)
        out += paragraph(name, texts, room)
    return "\n".join(out[:lines])


def paragraph(name: str, texts: Sequence[str], room: int) -> list[str]:
    """Texts one below the other, with the name on the left of the first, in at most ``room`` lines."""
    out: list[str] = []
    for text in texts:
        lead = f"  {name}".ljust(COLUMN + 2) if not out else " " * (COLUMN + 2)
        out += textwrap.wrap(sentence(text), WIDTH, initial_indent=lead, subsequent_indent=" " * (COLUMN + 2))
    if len(out) <= room:
        return out
    return [*out[: room - 1], out[room - 1][: WIDTH - 2] + " …"]


def sentence(text: str) -> str:
    """A text with a full stop at its end, and nothing else changed."""
    return text if text.endswith((".", "!", "?")) else f"{text}."

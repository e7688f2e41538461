"""No sentence twice on a page: what stands on it already, and a report without that.

A page with an answer on top and several verdicts below would say most of its sentences two or three times: the answer is that of one
of the verdicts, and verdicts about the same network share equations, conditions, references and notes. The page
(:mod:`identify.report.html`) and its PDF (:mod:`identify.report.pdf`) show a :class:`View` of each report, made in the order of reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from identify.problem.verdict import Arithmetic, Condition, Report, Scope, Verdict, Witness

if TYPE_CHECKING:
    from identify.report.html import Section

SEE_WHY, AS_ABOVE = "see “Why”", "as above"
"""In place of a statement that stands among the reasons, or further up."""
GOOD_NUMBERS = "How good the numbers are, and how they hang together. No verdict rests on it."
"""Above the diagnostics."""
WORDS = 5
"""A text of at least so many words is not said again if a longer line has it."""
_END = re.compile(r"(?<=[.!?])\s+")


def _key(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .")


class Once:
    """The sentences that stand on a page so far. A capital letter or a full stop makes no difference."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._said = set[str]()
        self._lines = ""
        for text in texts:
            self.fresh(text)

    def has(self, text: str) -> bool:
        """Whether all of a text stands there: sentence by sentence, or, if it has some words, within a line."""
        key = _key(text)
        within = len(key.split()) >= WORDS and key in self._lines
        return within or key in self._said or all(_key(part) in self._said for part in _END.split(text))

    def fresh(self, text: str) -> str:
        """The sentences of a text that are not there yet; from now on they are."""
        new = [] if self.has(text) else [part for part in _END.split(text) if not self.has(part)]
        self._add(text)
        return " ".join(new)

    def new(self, lines: Iterable[str]) -> tuple[str, ...]:
        """The lines that are not there yet, each as a whole; from now on they are."""
        found = []
        for line in lines:
            if line and not self.has(line):
                found.append(line)
            self._add(line)
        return tuple(found)

    def _add(self, text: str) -> None:
        key = _key(text)
        if key not in self._said:
            self._said |= {key, *map(_key, _END.split(text))}
            self._lines += f"{key}\n"


@dataclass(frozen=True, eq=False)
class View:
    """A report as a page shows it: the fields of :class:`Report`, without what stands on the page already.

    Attributes
    ----------
    meaning, in_practice, precision
        Sentences without their full stops; empty if they stand above, or if there are none.
    alike
        Names of conditions that came out above as they do here.
    diagnostics_lead, witness_caption
        Words above these two; empty if they stand above.
    """

    verdict: Verdict
    scope: Scope
    meaning: str
    in_practice: str
    precision: str
    reasons: tuple[str, ...]
    ambiguity: tuple[str, ...]
    equations: tuple[str, ...]
    conditions: tuple[Condition, ...]
    alike: tuple[str, ...]
    witness: Witness | None
    witness_caption: str
    diagnostics: tuple[Condition, ...]
    diagnostics_lead: str
    subject: dict[str, Any]
    notes: tuple[str, ...]
    seed: int
    versions: dict[str, str]


CAPTION = "Two data sets with the same target"


def whole(report: Report) -> View:
    """All of a report."""
    beside = report.beside_ambiguity if report.ambiguity else ""
    return View(
        verdict=report.verdict,
        scope=report.scope,
        meaning=report.meaning + beside,
        in_practice=f"In practice: {report.in_practice}",
        precision=report.precision or "",
        reasons=report.reasons,
        ambiguity=report.ambiguity,
        equations=report.equations,
        conditions=report.conditions,
        alike=(),
        witness=report.witness,
        witness_caption=CAPTION,
        diagnostics=report.diagnostics,
        diagnostics_lead=GOOD_NUMBERS,
        subject=report.subject,
        notes=report.notes,
        seed=report.seed,
        versions=report.versions,
    )


class _Views:
    """Views of the reports of one page, in the order of reading."""

    def __init__(self, once: Once, *, answered: bool) -> None:
        self.once, self.answered = once, answered
        self._rows = set[tuple[str, str, str, Arithmetic]]()
        self._given: dict[str, Any] = {}
        self._groups = set[tuple[str, ...]]()

    def of(self, report: Report) -> View:
        """What is new of a report."""
        once, everything = self.once, whole(report)
        meaning = "" if once.has(report.meaning) else everything.meaning
        once.new((everything.meaning,))
        in_practice = "" if self.answered else once.fresh(everything.in_practice)
        precision = once.fresh(everything.precision)
        reasons = once.new(report.reasons)
        if report.reasons and not reasons:
            reasons = (AS_ABOVE,)
        ambiguity = report.ambiguity if report.ambiguity not in self._groups else (AS_ABOVE,)
        self._groups.add(report.ambiguity)
        equations = once.new(report.equations)
        conditions, alike = self._conditions(report.conditions, report)
        witness, caption = report.witness, ""
        if witness is not None:
            witness = replace(witness, description=once.fresh(witness.description) or AS_ABOVE)
            caption = once.fresh(CAPTION)
        diagnostics, alike_too = self._conditions(report.diagnostics, report)
        given = {name: value for name, value in report.subject.items() if name not in self._given or self._given[name] != value}
        self._given |= report.subject
        return replace(
            everything,
            meaning=meaning,
            in_practice=in_practice,
            precision=precision,
            reasons=reasons,
            ambiguity=ambiguity,
            equations=equations,
            conditions=conditions,
            alike=(*alike, *alike_too),
            witness=witness,
            witness_caption=caption,
            diagnostics=diagnostics,
            diagnostics_lead=once.fresh(GOOD_NUMBERS) if diagnostics else "",
            subject=given,
            notes=once.new(report.notes),
        )

    def _conditions(self, items: tuple[Condition, ...], report: Report) -> tuple[tuple[Condition, ...], tuple[str, ...]]:
        """Those with something new, the ones without evidence that say the same in one row; and the names of the others."""
        rows: list[Condition] = []
        alike = []
        for item in items:
            row = (item.name, item.word, item.statement, item.arithmetic)
            if row in self._rows:
                alike.append(item.name)
                continue
            self._rows.add(row)
            reference = "; ".join(self.once.new(item.reference.split("; ")))
            same = next((k for k, other in enumerate(rows) if not (other.evidence or item.evidence) and _alike(other, item)), None)
            if same is not None:
                both = "; ".join(filter(None, (rows[same].reference, reference)))
                rows[same] = replace(rows[same], name=f"{rows[same].name}, {item.name}", reference=both)
            else:
                rows.append(replace(item, reference=reference))
        return tuple(replace(row, statement=self._statement(row, report)) for row in rows), tuple(alike)

    def _statement(self, item: Condition, report: Report) -> str:
        """What a condition found, or where it stands."""
        if Once(report.reasons).has(item.statement):
            return SEE_WHY
        return self.once.fresh(item.statement) or AS_ABOVE


def views_of(sections: Iterable[Section], answer: Iterable[str] | None = None) -> list[View | None]:
    """What a page shows of the report of each section, without what stands above it; None for a section without one.

    ``answer`` has the paragraphs of the answer on top, if there is one: it says what follows in practice, for all of the page.
    """
    views = _Views(Once(answer or ()), answered=answer is not None)
    found: list[View | None] = []
    for section in sections:
        views.once.fresh(section.lead)
        found.append(None if section.report is None else views.of(section.report))
    return found


def _alike(one: Condition, other: Condition) -> bool:
    return (one.word, one.statement, one.arithmetic) == (other.word, other.statement, other.arithmetic)

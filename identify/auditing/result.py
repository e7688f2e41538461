"""The result of an audit: its findings, as a page with pictures, as JSON with the same bytes for the same seed, and as text."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identify.auditing.findings import Basis, Finding
from identify.base.errors import UnknownNameError
from identify.base.options import natural
from identify.problem.uniqueness import UniquenessReason, UniquenessStatus
from identify.problem.verdict import Report, Verdict
from identify.report.html import as_sentence, fragment
from identify.report.once import Once

if TYPE_CHECKING:
    from identify.certificates.certify import Certificate
    from identify.recovery.solution import Recovery


THREATS = {
    "gradient": "an honest server with one update: it follows the protocol, knows the network, and looks at one gradient",
    "lazy": "an honest server with the networks before and after training, which is taken as linear in the parameters",
    "steps": "an honest server with the networks before and after several steps of training, which knows the number of these steps",
    "weight-decay": "weights only: someone who has the trained network, and knows that weight decay was used, but nothing of the training",
    "max-margin": "weights only: someone who has the trained network, and knows nothing of its training",
}
"""Threat models, by the regime."""


def _verdict(report: Report, once: Once) -> str:
    """The verdict, with its meaning when that is new."""
    return ": ".join(filter(None, (report.verdict.value, once.fresh(report.meaning))))


class Standing(StrEnum):
    """The answer of an audit in two words: the badge of its page."""

    PROVED_UNIQUE = "PROVED UNIQUE"
    RECOVERED = "RECOVERED, not proved"
    NOT_DETERMINED = "NOT DETERMINED"
    NOT_DECIDED = "NOT DECIDED"

    @property
    def colours(self) -> Verdict:
        """The verdict with the colours of this badge."""
        alike = {"PROVED_UNIQUE": "UNIQUE", "RECOVERED": "LOCALLY_UNIQUE", "NOT_DETERMINED": "NOT_UNIQUE", "NOT_DECIDED": "UNDECIDED"}
        return Verdict(alike[self.name])

    @property
    def in_practice(self) -> str:
        """What follows, in one sentence without mathematics."""
        return {
            "PROVED_UNIQUE": Verdict("UNIQUE").in_practice,
            "RECOVERED": "these are most likely the training data: whoever holds the same files can compute them, too",
            "NOT_DETERMINED": Verdict("NOT_UNIQUE").in_practice,
            "NOT_DECIDED": Verdict("UNDECIDED").in_practice,
        }[self.name]


WHOSE_DATA = (
    "Audit only networks and data of your own, or with the consent of their owners: recovered data are as personal as the originals."
)
"""What every form of an audit for people says at its end."""
COUNT_OPEN = (UniquenessReason.LEFT_OUT, UniquenessReason.REST, UniquenessReason.NOISE)
"""There may be more samples than were asked for or counted, of which a verdict says nothing."""
DOUBTS = (
    *COUNT_OPEN,
    UniquenessReason.PARTIAL,
    UniquenessReason.RESIDUAL,
    UniquenessReason.CLOSE,
    UniquenessReason.ONE_REGION,
    UniquenessReason.OTHER_POINTS,
    UniquenessReason.SEVERAL_SOLUTIONS,
    UniquenessReason.FREE,
)
"""What was recovered may be other data than those of a verdict about generic data of this number."""
VERSION = 1
"""Version of the layout of ``report.json``."""


@dataclass(frozen=True, eq=False)
class Audit:
    """The findings of :func:`identify.audit`, in the order in which they were made: ``audit["verdict"]``.

    Attributes
    ----------
    name
        Name of the file, or type of the object.
    findings
        Answers, each with its scope and basis.
    certificates
        Files for :func:`identify.verify`, by name.
    recovery
        The result of :func:`identify.recover`; None if it did not succeed.
    times
        Seconds of each step, and whatever else depends on the time that there was: ``left_out`` names the steps that there was none for.
    stopped
        Why the audit ended before it was done; empty when it was done.
    """

    name: str
    findings: tuple[Finding, ...]
    certificates: dict[str, Certificate] = field(default_factory=dict)
    recovery: Recovery | None = None
    seed: int = 0
    budget: float = 0.0
    versions: dict[str, str] = field(default_factory=dict, repr=False)
    times: dict[str, Any] = field(default_factory=dict, repr=False)
    stopped: str = ""

    def __getitem__(self, name: str) -> Finding:
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise UnknownNameError("finding", name, (finding.name for finding in self.findings))

    def __contains__(self, name: str) -> bool:
        return any(finding.name == name for finding in self.findings)

    @property
    def report(self) -> Report | None:
        """The report with the main verdict, or None: on the given data if that is decided, else for generic data or this target, else on
        the recovered samples."""
        reports = [(finding.name, finding.report) for finding in self.findings if finding.report is not None]
        found = [report for name, report in reports if name.startswith("verdict")]
        decided = [report for report in found if report.verdict is not Verdict.UNDECIDED]
        recovered = [report for name, report in reports if name == "recovered" and report.verdict is not Verdict.UNDECIDED]
        recovered = [] if self.is_lower_bound or self._doubt in COUNT_OPEN else recovered
        return next(reversed(decided or recovered or found), None)

    @property
    def standing(self) -> Standing:
        """Whether the data are determined, as far as this audit knows. Findings about the recovered data go before general statements."""
        report, known = self.report, None if self.recovery is None else self.recovery.uniqueness
        verdict = None if report is None or report.leaves_samples else report.verdict
        if (self.is_lower_bound or self._doubt in COUNT_OPEN) and verdict is not Verdict.NOT_UNIQUE:
            return Standing.NOT_DECIDED
        if known is not None and known.is_proved:
            return Standing.PROVED_UNIQUE
        if verdict is Verdict.NOT_UNIQUE or (known is not None and known.status is UniquenessStatus.NOT_UNIQUE):
            return Standing.NOT_DETERMINED
        if verdict is Verdict.UNIQUE and not self.is_open_to_several_steps:
            return Standing.PROVED_UNIQUE
        return Standing.RECOVERED if known is not None and known.is_supported else Standing.NOT_DECIDED

    @property
    def is_lower_bound(self) -> bool:
        """Whether there may be more samples than all of this is about: nobody gave their number, and the updates have full rank."""
        counted = "samples" in self and self["samples"].values.get("is_full", False)
        return bool(counted) or (self.recovery is not None and self.recovery.uniqueness.is_lower_bound)

    @property
    def _doubt(self) -> UniquenessReason | None:
        """The reason for which recovered samples need not be the data whatever a verdict about their number says."""
        known = None if self.recovery is None else self.recovery.uniqueness
        return None if known is None or known.is_supported or known.reason not in DOUBTS else known.reason

    @property
    def is_open_to_several_steps(self) -> bool:
        """Whether one step of training was taken for granted, and no data confirm it: a verdict is about one step."""
        takes = "equations" in self and self["equations"].values.get("takes_one_step", False)
        solved = "verdict-data" in self or (self.recovery is not None and self.recovery.uniqueness.is_supported)
        return bool(takes) and not solved

    @property
    def threat(self) -> str:
        """The threat model in one sentence; empty before the regime is known."""
        regime = self["equations"].values.get("regime", "") if "equations" in self else ""
        return THREATS.get(regime, "")

    def brief(self) -> str:
        """The answer in at most 14 lines: its standing, the main sentences, and what it means in practice."""
        from identify.report.brief import page

        head = f"{self.standing} — audit of {self.name}"
        parts = [
            ("Answer", list(self.sentences)),
            ("Assumed", [*filter(None, (self.threat, self["equations"].values.get("unnamed") if "equations" in self else ""))]),
            ("Early end", [self.ended_early] if self.ended_early else []),
        ]
        return page(head, "", [*parts, ("In practice", [self.standing.in_practice]), ("Whose data", [WHOSE_DATA])], lines=14, longest=9)

    @property
    def headline(self) -> str:
        """The answer in a few sentences."""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of the headline."""
        return tuple(
            part if isinstance(part, str) else f"{part.verdict} for {part.scope}. {as_sentence(part.meaning)}." for part in self.answer
        )

    @property
    def answered(self) -> tuple[str, ...]:
        """The answers of findings that the headline holds, as the findings have them."""
        held = (self[name].answer for name in ("hidden", "verdict", "recovery", "unseen", "images", "attack") if name in self)
        return tuple(answer for answer in held if as_sentence(answer) in self.headline)

    @property
    def answer(self) -> tuple[str | Report, ...]:
        """Parts of the headline: hidden parts, the report with the main verdict, its precision, the result of a run; else sentences."""
        if not self.findings:
            return (f"No step was finished: {self.stopped}.",)
        report = self.report
        said: list[str | Report] = []
        if "hidden" in self and self["hidden"].values["hides"]:
            said.append(self["hidden"].answer)
        if report is not None:
            said.append(report)
            said += [report.precision] if report.precision is not None else []
        else:
            said.append(self["verdict"].answer if "verdict" in self else "no verdict was reached")
        for name in ("recovery", "unseen", "images", "attack"):
            if name in self and self[name].basis is not Basis.NONE:
                said.append(self[name].answer + (self._standing(report) if name == "recovery" else ""))
        return tuple(f"{as_sentence(part)}." if isinstance(part, str) else part for part in said)

    def _standing(self, report: Report | None) -> str:
        """What a recovery says of the data, beside the verdict."""
        if self.is_open_to_several_steps and report is not None:
            return "; if there were several steps, the verdict is not about them: give their number (--steps)"
        if self.is_lower_bound:
            return "; their number was not given, and the update has full rank, so it may be that of more samples: give it (--samples)"
        if self._doubt is not None and self.recovery is not None:
            return f"; these need not be the data: {self.recovery.uniqueness.because}"
        if self.recovery is None:
            is_about_it = report is None or report.verdict is not Verdict.UNIQUE or self["recovery"].basis is Basis.NONE
            return "" if is_about_it else "; the verdict is about networks, activations and updates as stated, and these may be others"
        is_open = report is None or report.verdict is Verdict.UNDECIDED or report.leaves_samples
        if is_open and self.recovery.uniqueness.is_supported:
            proved = self.recovery.uniqueness.is_proved
            return f"; that these are the only ones is {'proved' if proved else 'supported by evidence, not proved'}"
        if report is not None and report.verdict is Verdict.LOCALLY_UNIQUE and self.recovery.uniqueness.is_supported:
            return "; nothing else was found that fits, but that there is nothing else is not proved"
        return "; these need not be the data" * (report is None or report.verdict is not Verdict.UNIQUE)

    @property
    def ended_early(self) -> str:
        """Steps that are missing, the reason, and the remedy, in sentences; empty if the audit is complete."""
        said = [f"Stopped early: {self.stopped}. The finished steps are here."] if self.stopped else []
        left_out = self.times.get("left_out", {})
        if left_out:
            budget = f"the budget of {self.budget:g} s"
            said.append(f"Left out, because {budget} was too short: {', '.join(left_out)}. A larger budget (--budget) makes room for them.")
        return " ".join(said)

    def said(self, finding: Finding) -> tuple[str, ...]:
        """The statements of a step that depend on the available time."""
        text = self.times.get("said", {}).get(finding.name)
        return (f"{text} (more time: --budget)",) if text else ()

    def explain(self, width: int = 100) -> str:
        """The findings as text: question, answer, scope, basis."""
        once = Once((*self.sentences, *self.answered))
        out = [f"Audit of {self.name}", *textwrap.wrap(self.headline, width)]
        out += textwrap.wrap(self.ended_early, width)
        for finding in self.findings:
            out += ["", finding.question]
            for answer in once.new((finding.answer,)) if finding.report is None else (_verdict(finding.report, once),):
                out += textwrap.wrap(answer, width, initial_indent="  ", subsequent_indent="  ")
            out += textwrap.wrap(f"[{finding.basis}] {finding.scope}", width, initial_indent="  ", subsequent_indent="    ")
            for detail in once.new((*finding.details, *self.said(finding))):
                out += textwrap.wrap(detail, width, initial_indent="  - ", subsequent_indent="    ")
        return "\n".join([*out, "", *textwrap.wrap(WHOSE_DATA, width)])

    def to_dict(self) -> dict[str, Any]:
        """JSON values; ``times`` alone depends on the machine, unless the budget was spent."""
        return {
            "audit": self.name,
            "version": VERSION,
            "standing": self.standing.value,
            "headline": self.headline,
            "findings": [finding.to_dict() for finding in self.findings],
            "certificates": sorted(self.certificates, key=natural),
            "stopped": self.stopped,
            "seed": self.seed,
            "budget": self.budget,
            "versions": self.versions,
            "times": self.times,
        }

    def to_json(self) -> str:
        """A JSON text; the same seed gives the same text outside ``times``, unless the budget was spent."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def save(self, path: str | Path) -> list[Path]:
        """Write ``report.json``, certificates, ``report.html`` and its pictures into a folder; or the page alone as one PDF file.

        Once all files are written, they replace an older audit together; its other files are removed.

        Parameters
        ----------
        path
            A folder, which is made. A name that ends in ``.pdf`` is a file, unless there is a folder of that name.

        Raises
        ------
        ValueError
            When the path cannot be written; what was there is as it was. Or, as ``MissingExtraError``, without jinja2 or matplotlib,
            or fpdf2 for a PDF file: into a folder, what needs none of them is written.
        """
        from identify.auditing.saving import save, save_pdf

        path = Path(path)
        return save_pdf(self, path) if path.suffix.lower() == ".pdf" and not path.is_dir() else save(self, path)

    def _repr_html_(self) -> str:
        report = self.report
        once = Once(() if report is None else (report.meaning, report.precision or ""))  # the fragment says these
        said = " ".join(once.new(part for part in self.answer if isinstance(part, str)))
        once.new(self.answered)
        rows = ""
        for finding in self.findings:
            answer = once.fresh(finding.answer) if finding.report is None else _verdict(finding.report, once)
            if answer and (finding.report is None or finding.report is not report):
                rows += f"<li><strong>{escape(finding.question)}</strong> {escape(answer)} <em>({escape(str(finding.basis))})</em></li>"
        return (
            f'<div style="max-width:54rem;line-height:1.45"><p><strong>Audit of {escape(self.name)}: {self.standing}.</strong> '
            f"{escape(said)}</p>"
            + (f"<p>{escape(self.ended_early)}</p>" if self.ended_early else "")
            + ("" if report is None else fragment(report))
            + f"<ul>{rows}</ul><p>{escape(WHOSE_DATA)}</p></div>"
        )

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        return f"Audit({self.name}: {', '.join(finding.name for finding in self.findings)})"

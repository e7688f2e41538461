"""What an audit leaves: its findings, as a page with pictures, as JSON with the same bytes for the same seed, and as text."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from identify.auditing.findings import Basis, Finding
from identify.auditing.page import write_audit_page, written_before
from identify.files import replacing
from identify.report.html import fragment
from identify.report.verdict import Report, Verdict

if TYPE_CHECKING:
    from identify.certificates.certify import Certificate
    from identify.recovery.solution import Recovery

VERSION = 1
"""Of the layout of ``report.json``."""


@dataclass(frozen=True, eq=False)
class Audit:
    """The findings of :func:`identify.audit`, in the order in which they were made: ``audit["verdict"]``.

    Attributes
    ----------
    name
        Of the file, or the type of the object.
    findings
        Each with its scope and what it rests on.
    certificates
        Files for :func:`identify.verify`, by name.
    recovery
        What :func:`identify.recover` found; None where it did not.
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
        raise KeyError(f"no finding {name!r}; there are {', '.join(finding.name for finding in self.findings)}")

    def __contains__(self, name: str) -> bool:
        return any(finding.name == name for finding in self.findings)

    @property
    def report(self) -> Report | None:
        """The report with the main verdict: on the given data where that is decided, else for generic data or this target; or None."""
        found = [finding.report for finding in self.findings if finding.report is not None]
        decided = [report for report in found if report.verdict is not Verdict.UNDECIDED]
        return next(reversed(decided or found), None)

    @property
    def headline(self) -> str:
        """The answer in a few sentences."""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Those of the headline: what is hidden, the verdict with its scope, how precise it is, what was found by a run."""
        if not self.findings:
            return (f"No step was finished: {self.stopped}.",)
        report, said = self.report, []
        if "hidden" in self and self["hidden"].values["hides"]:
            said.append(self["hidden"].answer)
        if report is not None:
            said.append(f"{report.verdict} for {report.scope}: {report.verdict.meaning}")
            said += [report.precision] if report.precision is not None else []
        else:
            said.append(self["verdict"].answer if "verdict" in self else "no verdict was reached")
        for name in ("recovery", "attack"):
            if name in self and self[name].basis is not Basis.NONE:
                unsure = name == "recovery" and self.recovery is not None and (report is None or report.verdict is not Verdict.UNIQUE)
                said.append(self[name].answer + "; these need not be the data" * unsure)
        return tuple(f"{part[0].upper()}{part[1:]}." for part in said)

    @property
    def ended_early(self) -> str:
        """What was not done, why, and what to do about it, in sentences; empty where everything was done."""
        said = [f"Stopped early: {self.stopped}. What was finished is here."] if self.stopped else []
        left_out = self.times.get("left_out", {})
        if left_out:
            budget = f"the budget of {self.budget:g} s"
            said.append(f"Left out, because {budget} was too short: {', '.join(left_out)}. A larger budget (--budget) makes room for them.")
        return " ".join(said)

    def said(self, finding: Finding) -> tuple[str, ...]:
        """What a step said that depends on the time that there was."""
        text = self.times.get("said", {}).get(finding.name)
        return (f"{text} (more time: --budget)",) if text else ()

    def explain(self, width: int = 100) -> str:
        """The findings as text: question, answer, scope, what it rests on."""
        out = [f"Audit of {self.name}", *textwrap.wrap(self.headline, width)]
        out += textwrap.wrap(self.ended_early, width)
        for finding in self.findings:
            out += ["", finding.question]
            out += textwrap.wrap(finding.answer, width, initial_indent="  ", subsequent_indent="  ")
            out += textwrap.wrap(f"[{finding.basis}] {finding.scope}", width, initial_indent="  ", subsequent_indent="    ")
            for detail in (*finding.details, *self.said(finding)):
                out += textwrap.wrap(detail, width, initial_indent="  - ", subsequent_indent="    ")
        return "\n".join(out)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; ``times`` alone depends on the machine, unless the budget was spent."""
        return {
            "audit": self.name,
            "version": VERSION,
            "headline": self.headline,
            "findings": [finding.to_dict() for finding in self.findings],
            "certificates": sorted(self.certificates),
            "stopped": self.stopped,
            "seed": self.seed,
            "budget": self.budget,
            "versions": self.versions,
            "times": self.times,
        }

    def to_json(self) -> str:
        """A JSON text; the same seed gives the same text outside ``times``, unless the budget was spent."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``report.json``, certificates, ``report.html`` and its pictures into a folder, which is made.

        Certificates and pictures of an earlier audit there, which this one does not have, are removed; other files stay.

        Raises
        ------
        ValueError
            When the folder cannot be written, or (as ``MissingExtraError``, after ``report.json``) without jinja2 or matplotlib.
        """
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            earlier = written_before(folder)
            with replacing(folder / "report.json") as temporary:
                temporary.write_text(self.to_json() + "\n", encoding="utf-8")
            written = [folder / "report.json"]
            for name, proof in sorted(self.certificates.items()):
                written.append(folder / f"{name}.certificate.json")
                proof.save(written[-1])
            written = [*write_audit_page(folder, self), *written]
            for path in earlier.difference(written):
                path.unlink(missing_ok=True)
            return written
        except OSError as error:
            raise ValueError(f"out: {folder} cannot be written ({error.strerror}); choose another folder") from None

    def _repr_html_(self) -> str:
        report = self.report
        rows = "".join(
            f"<li><strong>{escape(finding.question)}</strong> {escape(finding.answer)} <em>({escape(str(finding.basis))})</em></li>"
            for finding in self.findings
            if finding.report is None or finding.report is not report
        )
        return (
            f'<div style="max-width:54rem;line-height:1.45"><p><strong>Audit of {escape(self.name)}.</strong> {escape(self.headline)}</p>'
            + (f"<p>{escape(self.ended_early)}</p>" if self.ended_early else "")
            + ("" if report is None else fragment(report))
            + f"<ul>{rows}</ul></div>"
        )

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        return f"Audit({self.name}: {', '.join(finding.name for finding in self.findings)})"

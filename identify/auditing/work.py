"""The state of a running audit: its results so far, the clock, and the steps without time; and the type of a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from identify.auditing.findings import Basis, Finding
from identify.auditing.reading import Subject
from identify.base import steps
from identify.base.limits import Stopped
from identify.certificates.certify import Certificate
from identify.defence.curves import DefenceCurve
from identify.problem.system import KKTSystem
from identify.problem.verdict import Report
from identify.recovery.solution import Recovery

LEAST = 0.05
"""Seconds that a step has even after the budget is spent."""
NOTHING = "–"
"""Scope of findings that were not evaluated."""


@dataclass(eq=False)
class Work:
    """Filled by the steps, one after the other."""

    subject: Subject
    samples: int | None
    budget: float
    seed: int
    progress: Callable[[str], None]
    deadline: float
    regime: str = ""
    system: KKTSystem | None = None
    data: tuple[np.ndarray, np.ndarray] | None = None
    """X and c that solve the equations, if they are known."""
    findings: list[Finding] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    certified: list[str] = field(default_factory=list)
    """The statement that each certificate proves."""
    remarks: list[str] = field(default_factory=list)
    """Further remarks on certificates."""
    curves: dict[str, DefenceCurve] = field(default_factory=dict)
    """The effect of each defence."""
    found: Recovery | None = None
    batch: Recovery | None = None
    """All samples behind an update of a network of any depth, if separation found them."""
    separation: str = ""
    """Why separation did not recover the batch."""
    candidates: np.ndarray | None = None
    """Candidates of the attack, (k, d)."""
    said: dict[str, str] = field(default_factory=dict)
    """Statements that depend on the available time."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of steps that later ones repeat."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Steps that were left out for lack of time, and the reason."""
    is_interrupted: bool = False
    """Whether a step noted a keyboard interrupt."""

    @property
    def left(self) -> float:
        """Seconds."""
        return max(self.deadline - time.monotonic(), LEAST)

    def add(self, finding: Finding) -> None:
        """A finding, in place of an earlier one of the same name."""
        names = [known.name for known in self.findings]
        if finding.name in names:
            self.findings[names.index(finding.name)] = finding
        else:
            self.findings.append(finding)

    def not_evaluated(self, name: str, question: str, why: str) -> None:
        """A finding that says so."""
        self.add(Finding(name, question, f"not evaluated: {why}", NOTHING, Basis.NONE))

    def note_interrupt(self, reason: Stopped | None) -> None:
        """Ends the audit after this step, if a keyboard interrupt ended the step."""
        self.is_interrupted |= reason is Stopped.INTERRUPTED


@dataclass(frozen=True)
class Step(steps.Step[Work]):
    """One part of an audit: it adds its findings at its end, so that an interrupt loses this step only."""

    finding: str = ""
    """The name of the finding that says when it was left out; without one only the list of what was left out does."""
    question: str = ""
    decisive: bool = False
    """Whether nothing else can be said without it, so that its errors are those of the audit."""

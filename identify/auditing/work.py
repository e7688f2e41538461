"""The state of an audit under way: what is known so far, the clock, and what there was no time for; and what a step is."""

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
"""Seconds that a step is given even where the budget is spent."""
NOTHING = "–"
"""Scope of what was not evaluated."""


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
    """X and c that solve the equations, where they are known."""
    findings: list[Finding] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    certificates: dict[str, Certificate] = field(default_factory=dict)
    certified: list[str] = field(default_factory=list)
    """What each certificate proves."""
    remarks: list[str] = field(default_factory=list)
    """What else is to be said of certificates."""
    curves: dict[str, DefenceCurve] = field(default_factory=dict)
    """What each defence does."""
    found: Recovery | None = None
    candidates: np.ndarray | None = None
    """Of the attack, (k, d)."""
    said: dict[str, str] = field(default_factory=dict)
    """What depends on the time that there was."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Steps that there was no time for, and why."""
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
    """One part of an audit: what it adds to the findings, it adds when it is done, so that an interrupt loses this step only."""

    finding: str = ""
    """The name of the finding that says when it was left out; without one only the list of what was left out does."""
    question: str = ""
    decisive: bool = False
    """Whether nothing else can be said without it, so that its errors are those of the audit."""

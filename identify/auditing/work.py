"""The state of an audit under way: what is known so far, the clock, and the steps that were cut short."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from identify.auditing.findings import Finding
from identify.auditing.reading import Subject
from identify.certificates.certify import Certificate
from identify.recovery.solution import Recovery
from identify.report.verdict import Report
from identify.stationarity import KKTSystem

LEAST = 0.05
"""Seconds that a step is given even where the budget is spent."""


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
    found: Recovery | None = None
    candidates: np.ndarray | None = None
    """Of the attack, (k, d)."""
    said: dict[str, str] = field(default_factory=dict)
    """What depends on the time that there was."""
    stopped: str = ""

    @property
    def left(self) -> float:
        """Seconds."""
        return max(self.deadline - time.monotonic(), LEAST)

    @property
    def is_spent(self) -> bool:
        return time.monotonic() >= self.deadline

    def add(self, finding: Finding) -> None:
        self.findings.append(finding)

    def note_interrupt(self, reason: str | None) -> None:
        """Ends the audit after this step, if a keyboard interrupt ended the step."""
        if reason and "keyboard" in reason:
            self.stopped = reason


Step = Callable[[Work], None]

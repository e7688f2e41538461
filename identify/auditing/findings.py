"""One answer of an audit: the question, the finding, its scope, and its basis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from identify.problem.verdict import Report, jsonable

if TYPE_CHECKING:
    from identify.report.html import Cell, Picture


PRIVACY = "neither larger error bars nor a recovery that does not succeed prove privacy"
"""What every statement about defences ends with."""


class Basis(StrEnum):
    """The basis of an answer."""

    PROOF = "proved in exact arithmetic"
    OPEN = "exact arithmetic, without a result"
    FLOAT = "floating point, no proof"
    OBSERVED = "observed in a run, no proof"
    GIVEN = "given or assumed, not checked"
    REFUSED = "no theorem applies"
    NONE = "not evaluated"


@dataclass(frozen=True, eq=False)
class Finding:
    """One answer.

    Attributes
    ----------
    name, question
        For programs, and for people.
    answer
        One sentence, to be read with ``scope`` and ``basis``.
    details
        More sentences.
    values
        Numbers behind it (JSON values only), the same for the same seed.
    table
        The first row is the header.
    draw
        Makes the pictures of the page.
    """

    name: str
    question: str
    answer: str
    scope: str
    basis: Basis
    details: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    report: Report | None = None
    table: tuple[tuple[Cell, ...], ...] = ()
    draw: Callable[[], tuple[Picture, ...]] | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "name": self.name,
            "question": self.question,
            "answer": self.answer,
            "scope": self.scope,
            "basis": self.basis.value,
            "details": list(self.details),
            "values": jsonable(self.values),
            "report": None if self.report is None else self.report.to_dict(),
        }

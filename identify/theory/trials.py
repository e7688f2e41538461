"""The result of a verification: one row for each instance, and a summary."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

WIDTH = 140
"""Width of a line in characters; longer evidence is wrapped."""
_HYPOTHESIS = {True: "holds", False: "violated"}
_CONCLUSION = {True: "observed", False: "fails", None: "open"}


@dataclass(frozen=True)
class Trial:
    """One instance.

    Attributes
    ----------
    seed
        ``verify(config, trials=1, seed=seed)`` draws the same instance again.
    instance
        Its origin (as configured, or the violated hypothesis), and its sizes.
    hypothesis
        Whether the hypotheses hold at this instance (computed, except for genericity, and not taken from its origin).
    conclusion
        Whether the conclusion was observed; None if that could not be settled.
    evidence
        The observation in words.
    """

    seed: int
    instance: str
    hypothesis: bool
    conclusion: bool | None
    evidence: str

    @property
    def is_counterexample(self) -> bool:
        """Whether the hypotheses hold and the conclusion fails."""
        return self.hypothesis and self.conclusion is False

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        return str(self.seed), self.instance, _HYPOTHESIS[self.hypothesis], _CONCLUSION[self.conclusion], self.evidence


HEADER = ("seed", "instance", "hypotheses", "conclusion", "evidence")


@dataclass(frozen=True)
class TheoremTrials:
    """The result of :meth:`Theorem.verify`: evidence about a theorem and about the code that tests its hypotheses; never a proof.

    Attributes
    ----------
    theorem, title
        Name and title of the theorem.
    seed
        Seed of the first instance.
    rows
        Instances that were drawn as configured, then nearest violations.
    """

    theorem: str
    title: str
    seed: int
    rows: tuple[Trial, ...]

    @property
    def counterexamples(self) -> tuple[Trial, ...]:
        """Rows whose hypotheses hold and whose conclusion fails."""
        return tuple(row for row in self.rows if row.is_counterexample)

    @property
    def confirmed(self) -> tuple[Trial, ...]:
        """Rows whose hypotheses hold and whose conclusion was observed."""
        return tuple(row for row in self.rows if row.hypothesis and row.conclusion)

    @property
    def violations(self) -> tuple[Trial, ...]:
        """Rows whose hypotheses are violated; there the conclusion may fail."""
        return tuple(row for row in self.rows if not row.hypothesis)

    @property
    def passed(self) -> bool:
        """Whether some row confirms the theorem, and none contradicts it."""
        return bool(self.confirmed) and not self.counterexamples

    @property
    def summary(self) -> str:
        """The table in one sentence."""
        held = [row for row in self.rows if row.hypothesis]
        failed = sum(row.conclusion is False for row in self.violations)
        parts = [f"hypotheses hold in {len(held)} instances: conclusion observed in {len(self.confirmed)}"]
        open_rows = sum(row.conclusion is None for row in held)
        if open_rows:
            parts.append(f"open in {open_rows}")
        if self.counterexamples:
            parts.append(f"FAILS in {len(self.counterexamples)} (seeds {', '.join(str(row.seed) for row in self.counterexamples)})")
        return f"{', '.join(parts)}; violated in {len(self.violations)}: conclusion fails in {failed}"

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON values."""
        return {
            "theorem": self.theorem,
            "title": self.title,
            "seed": self.seed,
            "passed": self.passed,
            "summary": self.summary,
            "rows": [asdict(row) for row in self.rows],
        }

    def to_json(self) -> str:
        """The table as a JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> TheoremTrials:
        """The table that :meth:`to_json` wrote."""
        content = json.loads(text)
        return cls(content["theorem"], content["title"], content["seed"], tuple(Trial(**row) for row in content["rows"]))

    def __str__(self) -> str:
        table = [HEADER, *(row.cells for row in self.rows)]
        widths = [max(len(cells[k]) for cells in table) for k in range(len(HEADER) - 1)]
        room = max(WIDTH - sum(widths) - 2 * len(widths), 40)
        lines = [f"{self.title}: {self.summary}", ""]
        for cells in table:
            lead = "  ".join(cell.ljust(width) for cell, width in zip(cells[:-1], widths, strict=True))
            first, *more = textwrap.wrap(cells[-1], room) or [""]
            lines += [f"{lead}  {first}".rstrip(), *(" " * (len(lead) + 2) + line for line in more)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        def line(cells: tuple[str, ...], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(line(row.cells, "td") for row in self.rows)
        caption = f"<caption>{escape(self.title)}: {escape(self.summary)}</caption>"
        return f"<table>{caption}<thead>{line(HEADER, 'th')}</thead><tbody>{body}</tbody></table>"

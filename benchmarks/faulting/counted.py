"""What became of a fault, counted."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table: ``right`` is the same answer, or the file before or after, whole; anything else is harm."""

    fault: str
    what: str
    number: int
    right: int
    refused: int
    harm: int
    note: str = ""

    def __str__(self) -> str:
        return "| " + " | ".join(map(str, self)) + " |"


HEADER = "| fault | of | number | right | refused | harm | |\n|---|---|---|---|---|---|---|"


def row(fault: str, what: str, outcomes: list[str], note: str = "") -> Row:
    """``right``, ``refused``, or a word for the harm."""
    counts = Counter(outcomes)
    right, refused = counts.pop("right", 0), counts.pop("refused", 0)
    said = "; ".join(f"{number} {word}" for word, number in sorted(counts.items()))
    return Row(fault, what, len(outcomes), right, refused, sum(counts.values()), "; ".join(filter(None, (note, said))))


def is_clear(error: BaseException) -> bool:
    """Whether it is an error for the user: one line, of a kind that the command line turns into exit status 2."""
    return isinstance(error, (ValueError, OSError)) and str(error).isprintable() and bool(str(error))

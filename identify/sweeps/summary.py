"""A sweep in a few lines: the number of tasks, their results, and the reasons of failures."""

from __future__ import annotations

from collections import Counter

from identify.sweeps.exposures import KINDS, kind_of
from identify.sweeps.results import Sweep

LONGEST = 3
"""Largest number of errors in a summary."""


def summary(found: Sweep) -> str:
    """Counts of verdicts, range of thresholds, successes of recoveries, what updates reveal, and the most frequent errors."""
    rows = found.table()
    lines = [repr(found)]
    verdicts = Counter(row["verdict"] for row in rows if row["measure"] == "verdict" and row["state"] == "done")
    if verdicts:
        lines.append("  verdict: " + ", ".join(f"{number} {name}" for name, number in verdicts.most_common()))
    unique = [row["unique"] for row in rows if row["measure"] == "thresholds" and row["state"] == "done"]
    if unique:
        lines.append(f"  thresholds: proved unique up to {min(unique)} to {max(unique)} samples")
    tried = [row["success"] for row in rows if row["measure"] == "recovery" and row["state"] == "done"]
    if tried:
        lines.append(f"  recovery: {sum(tried)} of {len(tried)} within the tolerance")
    updates = [row for row in rows if row["measure"] == "update" and row["state"] == "done"]
    if updates:
        kinds = Counter(kind_of(row) for row in updates)
        lines.append("  updates: " + ", ".join(f"{kinds[kind]} {label}" for kind, label in KINDS.items() if kinds[kind]))
        shown = sum(row["counted"] or 0 for row in updates)
        lines.append(f"  samples: {sum(row['recovered'] for row in updates)} of {shown} that the ranks show")
    errors = Counter(row["error"] for row in rows if row["state"] == "failed")
    lines += [f"  failed ({number}): {error}" for error, number in errors.most_common(LONGEST)]
    if len(errors) > LONGEST:
        lines.append(f"  and {len(errors) - LONGEST} other errors, in the column error of the table")
    return "\n".join(lines)

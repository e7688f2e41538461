"""The checker asked, and its answers held against the truth."""

from __future__ import annotations

from typing import Any

from identify.conditions.check import check
from identify.problem.verdict import Report, Verdict
from soundness_study.instances import Instance, configuration_of, data_of, system_of
from soundness_study.oracle import Category

GROUPS = {"scale of each sample": "scaling", "sign of each sample": "sign"}
FAILED = "ERROR"
"""Stands for the verdict where the checker raised an exception."""


def ask(instance: Instance, form: str) -> dict[str, Any]:
    """The checker's answer to one question, as JSON values."""
    try:
        if form == "configuration":
            report = check(configuration_of(instance), seed=instance.index)
        elif form == "samples":
            report = check(system_of(instance), samples=len(instance.merged.X), seed=instance.index)
        else:
            report = check(system_of(instance), data=data_of(instance), seed=instance.index)
    except Exception as error:  # whatever it is, the study goes on and lists it
        return {"verdict": FAILED, "error": f"{type(error).__name__}: {error}"}
    return answer_of(report)


def answer_of(report: Report) -> dict[str, Any]:
    """What the study keeps of a report."""
    conditions = {c.name: {"holds": c.holds, "arithmetic": c.arithmetic.name, "statement": c.statement} for c in report.conditions}
    groups = [GROUPS[line.partition(":")[0]] for line in report.ambiguity if line.partition(":")[0] in GROUPS]
    found = report.witness
    return {
        "verdict": report.verdict.value,
        "scope": str(report.scope),
        "group": groups[0] if groups else "none",
        "conditions": conditions,
        "witness": None if found is None else {"kind": found.kind, "dimension": found.dimension},
    }


def contradiction(answer: dict[str, Any], truth: dict[str, Any]) -> str | None:
    """Why the answer is wrong, or None where it is right, undecided, or beyond what the oracle can tell.

    Complex solutions do not contradict UNIQUE, a statement about real data. Complex families through the data do: every proof of
    uniqueness or isolation that the checker knows excludes them.
    """
    verdict, category = answer["verdict"], truth["category"]
    if verdict == FAILED:
        return answer["error"]
    if verdict == Verdict.UNDECIDED:
        return None
    if answer["group"] != truth["group"]:
        return f"the ambiguity group is {truth['group']}, not {answer['group']}"
    if verdict in (Verdict.UNIQUE, Verdict.LOCALLY_UNIQUE) and category == Category.FAMILY:
        return f"{verdict}, but the data lie in a family of solutions: {truth['how']}"
    if verdict == Verdict.UNIQUE and category == Category.OTHERS:
        return f"UNIQUE, but there are other real solutions: {truth['how']}"
    if verdict == Verdict.NOT_UNIQUE:
        if category in (Category.UNIQUE, Category.REAL):
            return f"NOT_UNIQUE, but there are no other real solutions: {truth['how']}"
        local, claimed = truth["local"], (answer["witness"] or {}).get("dimension", 0)
        if local is not None and claimed > local:
            return f"a family of dimension {claimed}, but the solutions at the data have dimension {local}"
    return None


def is_decided(verdict: str, category: str) -> bool | None:
    """Whether the full answer was found; None where the truth asks for none (or is not known)."""
    if category == Category.UNIQUE:
        return verdict == Verdict.UNIQUE
    if category == Category.FAMILY:
        return verdict == Verdict.NOT_UNIQUE
    return None

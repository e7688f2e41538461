"""The outcome as markdown: truth against verdict, contradictions, and what is left undecided."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from identify.problem.activation import Activation
from identify.problem.verdict import Verdict
from soundness_study.instances import FORMS
from soundness_study.oracle import Category
from soundness_study.verdicts import FAILED, contradiction, is_decided

TITLES = {
    "data": "this network, this data",
    "samples": "this network, generic data",
    "configuration": "generic network, generic data",
}
Line = dict[str, Any]
"""One instance: its description, and for each form an ``answer`` and a ``truth``."""


def questions(lines: Iterable[Line]) -> list[tuple[Line, str, dict, dict]]:
    """Every question: instance, form, answer, truth."""
    return [(line, form, q["answer"], q["truth"]) for line in lines for form, q in line["questions"].items()]


def verdict_table(lines: Sequence[Line]) -> str:
    """By truth and verdict, with the share of decided questions where the truth is unique or positive-dimensional."""
    counts = Counter((truth["category"], answer["verdict"]) for _, _, answer, truth in questions(lines))
    verdicts = [str(v) for v in Verdict] + [FAILED] * any(v == FAILED for _, v in counts)
    out = ["| truth | " + " | ".join(verdicts) + " | all | decided |", "|---" * (len(verdicts) + 3) + "|"]
    for category in Category:
        row = [counts[category, v] for v in verdicts]
        right = sum(counts[category, v] for v in verdicts if is_decided(v, category))
        share = "" if is_decided(verdicts[0], category) is None or not sum(row) else f"{right / sum(row):.1%}"
        out.append(f"| {category} | " + " | ".join(map(str, row)) + f" | {sum(row)} | {share} |")
    return "\n".join(out)


def shares(lines: Sequence[Line]) -> str:
    """The decided share, in all and by form."""
    out = ["| question | unique: UNIQUE | unique: LOCALLY_UNIQUE | positive-dimensional: NOT_UNIQUE | decided |", "|---" * 5 + "|"]
    for title, forms in {"all": FORMS, **{TITLES[form]: (form,) for form in FORMS}}.items():
        asked = Counter((truth["category"], answer["verdict"]) for _, form, answer, truth in questions(lines) if form in forms)
        total = {c: sum(k for (category, _), k in asked.items() if category == c) for c in (Category.UNIQUE, Category.FAMILY)}
        unique, local = asked[Category.UNIQUE, Verdict.UNIQUE], asked[Category.UNIQUE, Verdict.LOCALLY_UNIQUE]
        family, count = asked[Category.FAMILY, Verdict.NOT_UNIQUE], sum(total.values())
        share = f"{(unique + family) / count:.1%}" if count else "–"
        cells = [f"{k} of {total[c]}" for k, c in ((unique, Category.UNIQUE), (local, Category.UNIQUE), (family, Category.FAMILY))]
        out.append(f"| {title} | {' | '.join(cells)} | {share} |")
    return "\n".join(out)


def contradictions(lines: Sequence[Line]) -> list[str]:
    """One line for every wrong answer."""
    found = [(line, form, contradiction(answer, truth)) for line, form, answer, truth in questions(lines)]
    return [f"instance {line['index']}, {TITLES[form]}: {why}; {_sizes(line)}" for line, form, why in found if why]


def undecided(lines: Sequence[Line]) -> str:
    """Questions without the full answer, grouped by truth, activation, sizes, layers and degeneracies; largest groups first."""
    groups: dict[tuple, list[str]] = defaultdict(list)
    for line, form, answer, truth in questions(lines):
        if is_decided(answer["verdict"], truth["category"]) is False and answer["verdict"] != FAILED:
            failing = ", ".join(name for name, c in answer["conditions"].items() if not c["holds"] and name != "witness")
            kinds = ", ".join(line["kinds"]) if form == "data" else "generic"
            groups[truth["category"], answer["verdict"], _powers(line), _dimensions(line), line["layers"], kinds, failing].append(
                f"{line['index']} {form}"
            )
    out = ["| truth | verdict | powers | d, n, m, C | layers | kind | conditions that fail | questions |", "|---" * 8 + "|"]
    for key, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        out.append("| " + " | ".join(key) + f" | {', '.join(members)} |")
    return "\n".join(out)


def _powers(line: Line) -> str:
    return " ".join(str(k) for k, s in enumerate(Activation.parse(line["activation"]).coefficients) if s)


def _dimensions(line: Line) -> str:
    return f"{line['inputs']}, {line['samples']}, {line['width']}, {line['outputs']}" + ", bias" * line["bias"]


def _sizes(line: Line) -> str:
    kinds = ", ".join(line["kinds"]) or "no degeneracy"
    return f"sigma = {line['activation']}, (d, n, m, C) = ({_dimensions(line)}), {line['layers']}, {kinds}"

"""Are recovered data right whenever ``recover`` says that they are? Planted updates of all kinds, honest ones and others.

``python benchmarks/claims.py --out FILE`` draws networks, batches, multipliers, observed layers and precisions, and targets that are not
what they should be (another network, another activation, permuted neurons or layers, one wrong entry, signs only, another optimiser, a
wrong number of samples), and recovers each; a tenth are layers behind known maps, softmax heads and several steps of training. It prints
tables in markdown: outcomes by trouble, and errors over error bars by precision and by question. One JSON line is saved for each
instance; a file that exists is continued. ``--index K`` examines one instance alone. ``--small`` draws networks of one to ten neurons in
a layer only, asks ``check`` as well, and holds verdicts, recoveries and other data that descents find against each other. ``--audits``
reads badges and headlines of audits in place of recoveries: wrong are data without a doubt in the headline that are not the planted ones,
and the planted ones below ``NOT DETERMINED``, unless there are others.

Exit status: 0, or 1 if data without a word of doubt are not the planted ones, an error is none of this package, answers contradict each
other, or anything warns.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine
from recovery_study.audited import audited
from recovery_study.checked import checked
from recovery_study.judged import Outcome, examine
from recovery_study.planted import QUESTIONS, SMALL, draw
from recovery_study.targets import HONEST
from rich.console import Console
from rich.progress import track

SECONDS = 5.0
GROUPS = ("question", "activation", "bias", "layers", "data", "multipliers", "network", "target", "samples")
Line = dict[str, Any]


def table(lines: Sequence[Line]) -> str:
    """Outcomes in columns, each value of each label in a row."""
    rows = [f"| | {' | '.join(Outcome)} | all |", "|---" * (len(Outcome) + 2) + "|"]
    for title, group in [("all", lines), *_groups(lines)]:
        counts = Counter(line["outcome"] for line in group)
        rows.append(f"| {title} | {' | '.join(str(counts[outcome]) for outcome in Outcome)} | {len(group)} |")
    return "\n".join(rows)


def _groups(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    values = [(name, value) for name in GROUPS for value in dict.fromkeys(line[name] for line in lines)]
    return [(f"{name}: {value}", [line for line in lines if line[name] == value]) for name, value in sorted(values)]


def bars(lines: Sequence[Line]) -> str:
    """Root mean squares of errors over error bars, of right data, by what was asked and by the precision of the target."""
    rows = ["| question | target | samples | error over error bar |", "|---|---|---|---|"]
    right = [line for line in lines if line["target"] in HONEST and line["outcome"] == Outcome.RIGHT]
    for question, target in sorted({(line["question"], line["target"]) for line in right}):
        ratios = [r for line in right if (line["question"], line["target"]) == (question, target) for r in line["ratios"]]
        if ratios:
            rows.append(f"| {question} | {target} | {len(ratios)} | {np.sqrt(np.mean(np.square(ratios))):.2f} |")
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="index of the first instance")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="budget of each recovery")
    parser.add_argument("--out", type=Path, help="file of results, one JSON line each; continued if it exists")
    parser.add_argument("--small", action="store_true", help="small shapes only, about which check is asked too")
    parser.add_argument("--audits", action="store_true", help="badges and headlines of audits, in place of recoveries")
    parser.add_argument("--index", type=int, help="this instance alone; prints its line")
    options = parser.parse_args(arguments)
    questions = SMALL if options.small else QUESTIONS | SMALL
    if options.audits:
        questions = {name: share for name, share in questions.items() if name.endswith("layers")}  # what an audit takes

    def line_of(index: int) -> Line:
        planted = draw(options.seed, index, questions)
        if options.audits:
            return audited(planted, options.seconds)
        line = examine(planted, options.seconds)
        return line | checked(planted, line) if options.small else line

    if options.index is not None:
        print(json.dumps(line_of(options.index), indent=1))
        return 0
    lines = [json.loads(text) for text in options.out.read_text().splitlines()] if options.out and options.out.exists() else []
    done = {line["index"] for line in lines}
    left = [index for index in range(options.first, options.first + options.instances) if index not in done]
    for index in track(left, "recovering", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        line = line_of(index)
        lines.append(line)
        if options.out:
            with options.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
    print(machine("jax", "numpy", "scipy"), f"{len(lines)} instances, seed {options.seed}.", table(lines), bars(lines), sep="\n\n")
    bad = [line for line in lines if line["outcome"] in (Outcome.WRONG, Outcome.CRASHED) or line["warned"] or line.get("contradictions")]
    for line in bad:
        print(json.dumps(line))
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())

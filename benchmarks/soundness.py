"""Are the verdicts true? ``check`` against Gröbner bases, on random small instances, generic and degenerate.

``python benchmarks/soundness.py --out FILE`` draws instances in integers (d, n at most 3, m at most 6, sigma of degree 2 to 4 with at
most three terms, one or two outputs), asks ``identify.check`` three questions about each, finds the truth with msolve and Singular
modulo a prime (real solutions over the rationals), and prints tables in markdown. One JSON line is saved for each instance, with its
numbers, the conditions and the truth; a file that exists is continued. ``--recheck`` asks the checker again and keeps the truths.
``--confirm`` asks Singular about the families through given data that the oracle found by counting.

``--kind`` asks about given data of other networks. ``piecewise-linear``: random small instances, the truth from a complete search in
exact arithmetic. ``analytic``: all solutions in a box, in ball arithmetic. ``hidden``: larger networks, arranged so that a second data
set has exactly the same update, for polynomial and piecewise-linear activations. No program is needed.

``--all`` runs all of these, then forged certificates (``forgeries.py``) and recoveries (``claims.py``), with the date as seed unless one is
given, and prints the tables one after the other: for a night. The numbers of instances are in proportion to ``--instances``.

Exit status: 0 without contradictions, 1 with one, 2 without msolve or Singular.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import claims
import forgeries
import numpy as np
from rich.console import Console
from rich.progress import track
from soundness_study import analytic, hidden, networks, piecewise
from soundness_study.algebra import missing
from soundness_study.instances import FORMS, draw, question
from soundness_study.oracle import STANDARD_BASIS, Category, second_opinion, truth
from soundness_study.table import Line, contradictions, shares, undecided, verdict_table
from soundness_study.verdicts import ask

SECONDS = 20.0
FORGERIES, RECOVERIES = 10, 20
"""With ``--all``, for each instance of the first study."""
POLYNOMIAL = "polynomial"
KINDS = {"piecewise-linear": piecewise, "analytic": analytic, "hidden": hidden}
"""The kinds of instances beside polynomials: modules with ``draw`` and ``truth``."""


def examine(seed: int, index: int, seconds: float, stop: threading.Event | None = None) -> Line | None:
    """One line of the output: an instance, and for each form the answer and the truth; None when stopped."""
    instance = draw(seed, index)
    asked = {}
    for number, form in enumerate(FORMS):
        if stop is not None and stop.is_set():
            return None
        rng = np.random.default_rng([seed, index, number])
        problem, redraw = question(instance, form, rng)
        found = truth(problem, seconds=seconds, rng=rng, redraw=redraw)
        asked[form] = {"answer": ask(instance, form), "truth": found.to_dict()}
    return {"seed": seed, "index": index, **instance.describe(), "questions": asked}


def examine_network(kind: str, seed: int, index: int) -> Line:
    """The same for an instance of another kind, with one question, about the given data."""
    instance = KINDS[kind].draw(seed, index)
    found = KINDS[kind].truth(instance)
    return {"kind": kind, "seed": seed, **instance.describe(), "answer": networks.ask(instance), "truth": found}


def asked_again(line: Line) -> Line:
    """The same line with the answers of the checker as it is now."""
    if kind_of(line) != POLYNOMIAL:
        other = KINDS[line["kind"]].draw(line["seed"], line["index"])
        if json.loads(json.dumps(other.describe()))["numbers"] != line["numbers"]:
            raise SystemExit(f"instance {line['index']} is not drawn as it was: start a new file")
        return line | {"answer": networks.ask(other)}
    instance = draw(line["seed"], line["index"])
    if json.loads(json.dumps(instance.describe()))["numbers"] != line["numbers"]:
        raise SystemExit(f"instance {line['index']} is not drawn as it was: start a new file")
    return line | {"questions": {form: q | {"answer": ask(instance, form)} for form, q in line["questions"].items()}}


def confirmed(lines: Sequence[Line], seconds: float, jobs: int) -> tuple[int, int, list[str]]:
    """Families through given data that were found by counting: how many, how many a standard basis confirms, and what it contradicts."""
    counted = [line for line in lines if by_counting(line["questions"]["data"]["truth"])]

    def dimension(line: Line) -> int | None:
        rng = np.random.default_rng([line["seed"], line["index"]])
        return second_opinion(draw(line["seed"], line["index"]).merged, seconds=seconds, rng=rng)

    with ThreadPoolExecutor(jobs) as pool:
        found = list(track(pool.map(dimension, counted), "confirming", total=len(counted), console=Console(stderr=True)))
    wrong = []
    for line, value in zip(counted, found, strict=True):
        answer, known = (line["questions"]["data"][key] for key in ("answer", "truth"))
        claimed = (answer.get("witness") or {}).get("dimension", 0)
        if value is not None and (value < max(claimed, 1) or known["local"] not in (None, value)):
            wrong.append(f"instance {line['index']}: dimension {value}, but {known['how']}, {known['local']}, and {claimed} claimed")
    return len(counted), sum(value is not None for value in found) - len(wrong), wrong


def by_counting(known: dict) -> bool:
    return known["category"] == Category.FAMILY and known["how"] != STANDARD_BASIS


def kind_of(line: Line) -> str:
    return line.get("kind", POLYNOMIAL)


def seed_of(path: Path) -> int:
    """The seed of the instances in a file; 0 without any."""
    if not path.exists():
        return 0
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    return int(json.loads(first)["seed"]) if first.endswith("\n") else 0


def read(path: Path, seed: int, kind: str = POLYNOMIAL) -> list[Line]:
    """The lines of an earlier run; one that was cut off is left out, in the file too."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    others = sorted({line["seed"] for line in lines} - {seed})
    if others:
        raise SystemExit(f"--out: {path} holds instances of seed {others[0]}, received --seed {seed}; give that seed, or another file")
    if any(kind_of(line) != kind for line in lines):
        raise SystemExit(f"--out: {path} holds instances of another kind than {kind}; give another file")
    if not text.endswith("\n"):
        write(path, lines)
    return lines


def write(path: Path, lines: Sequence[Line]) -> None:
    """Replace the file at once."""
    new = path.with_name(path.name + ".new")
    new.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    os.replace(new, path)


def examined(seed: int, wanted: Sequence[int], seconds: float, jobs: int) -> Iterator[Line]:
    """New lines as they are finished. Interrupted, it waits for the algebra programs that are running, within ``seconds``."""
    stop = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(examine, seed, index, seconds, stop) for index in wanted]
        try:
            for future in as_completed(futures):
                line = future.result()
                if line is not None:
                    yield line
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def examined_networks(kind: str, seed: int, wanted: Sequence[int], jobs: int) -> Iterator[Line]:
    """New lines as they are finished, in processes of their own."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(examine_network, kind, seed, index) for index in wanted]
        try:
            yield from (future.result() for future in as_completed(futures))
        finally:
            pool.shutdown(cancel_futures=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=(POLYNOMIAL, *KINDS), default=POLYNOMIAL, help="of the instances (default: %(default)s)")
    parser.add_argument("--instances", type=int, default=300, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="(default: 0; with --all the date; with --recheck or --confirm that of the file)")
    parser.add_argument("--all", action="store_true", help="every study there is")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit for each call of an algebra program (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="instances at a time (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="one line for each instance (default: soundness.jsonl, or soundness-KIND.jsonl)")
    parser.add_argument("--recheck", action="store_true", help="ask the checker again about the instances in the file")
    parser.add_argument("--confirm", action="store_true", help="ask Singular about the families in the file that were found by counting")
    options = parser.parse_args(arguments)
    if options.all:
        return every_study(options.seed, options.instances, options.jobs, options.out)
    is_polynomial = options.kind == POLYNOMIAL
    if options.out is None:
        options.out = Path("soundness.jsonl" if is_polynomial else f"soundness-{options.kind}.jsonl")
    if options.confirm and not is_polynomial:
        parser.error("--confirm: only with --kind polynomial")
    lacking = missing() if is_polynomial else None
    if lacking is not None and (options.confirm or not options.recheck):
        print(f"soundness: {lacking}", file=sys.stderr)
        return 2
    console = Console(stderr=True)
    if options.seed is None:  # a question about a file has the seed of that file
        options.seed = seed_of(options.out) if options.recheck or options.confirm else 0
    lines = read(options.out, options.seed, options.kind)
    if options.recheck:
        lines = [asked_again(line) for line in track(lines, "asking again", console=console)]
        write(options.out, lines)
    elif not options.confirm:
        done = {line["index"] for line in lines}
        wanted = [index for index in range(options.instances) if index not in done]
        if is_polynomial:
            found = examined(options.seed, wanted, options.seconds, options.jobs)
        else:
            found = examined_networks(options.kind, options.seed, wanted, options.jobs)
        try:
            with options.out.open("a", encoding="utf-8") as file:
                for line in track(found, "instances", total=len(wanted), console=console):
                    file.write(json.dumps(line) + "\n")
                    file.flush()
                    lines.append(line)
        except KeyboardInterrupt:
            found.close()
            print(f"stopped with {len(lines)} instances in {options.out}; the same command goes on from there", file=sys.stderr)
    status = show(lines)
    if options.confirm:
        count, sure, wrong = confirmed(lines, options.seconds, options.jobs)
        print(
            f"\nFamilies through given data found by counting: {count}; a standard basis at the data confirms {sure} of them, with "
            f"their dimensions, contradicts {len(wrong)}, and gives no answer for the others.",
            *wrong,
            sep="\n",
        )
        status = max(status, int(bool(wrong)))
    return status


def every_study(seed: int | None, instances: int, jobs: int, folder: Path | None) -> int:
    """All studies, their results in ``folder``; the worst exit status."""
    seed = int(datetime.now(UTC).strftime("%Y%m%d")) if seed is None else seed
    folder = folder or Path(f"soundness-{seed}")
    folder.mkdir(parents=True, exist_ok=True)
    common = ["--seed", str(seed)]
    portions = {POLYNOMIAL: 1.0, "piecewise-linear": 1.0, "analytic": 0.3, "hidden": 0.5}
    statuses = []
    for kind, portion in portions.items():
        print(f"\n## {kind}, seed {seed}\n", flush=True)
        count = ["--instances", str(max(round(portion * instances), 1)), "--jobs", str(jobs), "--out", str(folder / f"{kind}.jsonl")]
        statuses.append(main(["--kind", kind, *count, *common]))
    print("\n## Forged certificates\n", flush=True)
    statuses.append(forgeries.main(["--forgeries", str(FORGERIES * instances), *common]))
    print("\n## Recoveries\n", flush=True)
    statuses.append(claims.main(["--instances", str(RECOVERIES * instances), "--out", str(folder / "claims.jsonl"), *common]))
    return 1 if 1 in statuses else max(statuses)


def show(lines: Sequence[Line]) -> int:
    """Print the tables; the exit status."""
    if lines and kind_of(lines[0]) != POLYNOMIAL:
        return show_networks(lines)
    wrong = contradictions(lines)
    print(f"{len(lines)} instances, {sum(len(line['questions']) for line in lines)} questions.\n")
    print(verdict_table(lines), shares(lines), sep="\n\n", end="\n\n")
    print("\n".join([f"{len(wrong)} contradictions:", *wrong]) if wrong else "No contradictions.", end="\n\n")
    print("Not decided, where the truth is unique or positive-dimensional:", undecided(lines), sep="\n\n")
    return int(bool(wrong))


def show_networks(lines: Sequence[Line]) -> int:
    """The same for the other kinds."""
    wrong = networks.contradictions(lines)
    print(f"{len(lines)} instances.\n")
    print(networks.verdict_table(lines), networks.class_table(lines), sep="\n\n", end="\n\n")
    print("\n".join([f"{len(wrong)} contradictions:", *wrong]) if wrong else "No contradictions.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

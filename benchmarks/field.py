"""The batch behind one update, by several methods side by side: shares recovered, errors and times on the same updates.

``python benchmarks/field.py --store field.jsonl`` gives every arm the same updates of real images (as ``benchmarks/batches.py`` makes
them), ``--budget`` seconds of processor time and one thread, in a process of its own for each cell. Answers and images are matched one to
one; a sample is recovered if its relative L2 error is below 0.1. Gradient matching and DLG are given the labels and the number of samples,
SPEAR the number of samples, identify neither. The row of chance scores held-out images in place of answers. In brackets, if there are
fewer than samples: those that are alone in their linear region, which alone the update determines.

Results are appended to the store as they come, and a store that exists is continued: ``--seconds`` ends a run early, the next goes on. An
arm that recovered nothing of a network at some number of samples is not asked for larger ones. ``--table`` prints the store as
markdown, ``--short`` has a column for each number of samples, ``--picture FILE`` draws it. ``--nets``, ``--arms`` and ``--samples``
restrict all of these to some of the rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import batches
from field_study.arms import ARMS, CHANCE, DoesNotApplyError
from field_study.cells import MAIN, NETS, SAMPLES, Cell, by_chance, instance, scored
from field_study.report import draw, short_table, table
from measuring import machine, peak

import identify as idf

DEFAULT = ("identify", "SPEAR", "gradient matching", "DLG", CHANCE)
ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1") | {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
}


def measure(cell: Cell) -> dict[str, Any]:
    """One cell, in this process."""
    given = instance(cell)
    if cell.arm == CHANCE:
        return by_chance(cell, given)
    if cell.arm.startswith("identify"):  # imports of what it calls are not counted, as those of the other arms are not
        imported()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        X, numbers = ARMS[cell.arm](cell, given)
    except DoesNotApplyError as error:
        return {"does not apply": str(error)}
    seconds = {"seconds": time.process_time() - cpu, "wall": time.perf_counter() - wall, "MiB": peak()}
    alone = float(batches.determined(given.system.network, given.X))
    return scored(cell, given, X) | seconds | {"determined": alone, "numbers": numbers}


@cache
def imported() -> None:
    """A recovery of three samples."""
    idf.recover(idf.Configuration(inputs=8, samples=3, width=(12, 10), activation="relu", outputs=3, bias=True).plant(0)[0])


def in_process(cell: Cell) -> dict[str, Any]:
    """One cell in a process of its own, which arms without JAX share their imports with; those are not counted anyway."""
    is_single = all(os.environ.get(name) == value for name, value in ONE_THREAD.items() if name != "XLA_FLAGS")
    if is_single and hasattr(os, "fork") and (cell.arm == CHANCE or cell.arm.startswith(("identify", "SPEAR"))):
        return forked(cell)
    command = [sys.executable, __file__, "--cell", json.dumps(asdict(cell))]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{cell}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def forked(cell: Cell) -> dict[str, Any]:
    """One cell in a copy of this process."""
    imported()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of JAX, which the copy does not use
        child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "w", encoding="utf-8") as file:
                file.write(json.dumps(measure(cell)))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as file:
        text = file.read()
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{cell}: its process failed")
    return json.loads(text)


def read(store: Path) -> dict[str, dict[str, Any]]:
    """Results by the key of their cell; a last line that was cut short is left out."""
    found = {}
    for line in store.read_text(encoding="utf-8").splitlines() if store.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[row["key"]] = row
    return found


def cells(nets: Sequence[int], arms: Sequence[str], samples: Sequence[int], seeds: int, budget: float) -> Iterator[Cell]:
    for net in nets:
        for n in samples:
            for arm in arms:
                for seed in range(seeds):
                    yield Cell(net, arm, n, seed, budget)


def is_hopeless(cell: Cell, found: dict[str, dict[str, Any]]) -> bool:
    """Whether the arm recovered nothing of this network, with any seed, at a smaller number of samples."""
    smaller: dict[int, list[float]] = {}
    for row in found.values():
        own = row["cell"]
        if (own["net"], own["arm"]) == (cell.net, cell.arm) and own["samples"] < cell.samples:
            smaller.setdefault(own["samples"], []).append(row["result"].get("found", 0.0))
    return cell.arm != CHANCE and any(max(values) == 0 for values in smaller.values())


def run(asked: Sequence[Cell], store: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    for cell in asked:
        found = read(store)
        if cell.key in found or is_hopeless(cell, found):
            continue
        if time.monotonic() > deadline:
            print("not done yet: run again to go on", file=sys.stderr)
            return
        result = in_process(cell)
        row = {"key": cell.key, "net": NETS[cell.net].name, "cell": asdict(cell), "result": result}
        cut = store.exists() and store.stat().st_size and not store.read_bytes().endswith(b"\n")  # by the end of an earlier run
        with store.open("a", encoding="utf-8") as file:
            file.write("\n" * bool(cut) + json.dumps(row) + "\n")
        shown = {name: value for name, value in result.items() if name != "numbers"}
        print(NETS[cell.net].name, cell.arm, cell.samples, cell.seed, json.dumps(shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("field.jsonl"))
    parser.add_argument("--budget", type=float, default=30.0, help="processor seconds for each cell")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no cell after this time")
    parser.add_argument("--nets", type=int, nargs="+", default=list(MAIN), help="; ".join(f"{k}: {n.name}" for k, n in enumerate(NETS)))
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, CHANCE], default=list(DEFAULT))
    parser.add_argument("--samples", type=int, nargs="+", default=list(SAMPLES))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="print what the store holds")
    parser.add_argument("--short", action="store_true", help="print a row for each network and arm")
    parser.add_argument("--picture", type=Path, help="draw what the store holds")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        print(json.dumps(measure(Cell(**json.loads(given.cell)))))
        return
    asked = list(cells(given.nets, given.arms, given.samples, given.seeds, given.budget))
    if not given.table and not given.short and not given.picture:
        run(asked, given.store, given.seconds)
        return
    found = read(given.store)
    rows = [found[cell.key] for cell in asked if cell.key in found]
    if given.table:
        print(table(rows) + "\n\n" + machine("numpy", "jax"))
    if given.short:
        print(short_table(rows) + "\n\n" + machine("numpy", "jax"))
    if given.picture:
        draw(rows, given.picture)


if __name__ == "__main__":
    main()

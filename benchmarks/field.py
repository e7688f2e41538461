"""The batch behind one update, by several methods side by side: shares recovered, errors and times on the same updates.

``python benchmarks/field.py --picture field.png`` measures what the store does not hold yet, prints the table as markdown and draws it.
Every arm gets the same updates of real images (as ``benchmarks/batches.py`` makes them), ``--budget`` seconds of processor time and one
thread, in a process of its own for each cell. Answers and images are matched one to one; a sample is recovered if its relative L2 error is
below 0.1. Gradient matching and DLG are given the labels and the number of samples, SPEAR the number of samples, identify neither. The
row of chance scores held-out images in place of answers. After "of", if there are fewer than samples: those that are alone in their linear
region, which alone the update determines.

Results are appended to the first of the files ``--store`` as they come; what one of the files holds is not measured again, except with
``--again``. ``--seconds`` ends a run early, the next goes on, and ``--seconds 0`` only shows. An arm that recovered nothing of a network
at some number of samples is not asked for larger ones. ``--seeds`` batches are drawn at each size; the arms of ``--once`` get the first.
``--short`` has a column for each number of samples. ``--nets``, ``--arms`` and ``--samples`` restrict all of these to some of the rows.

``--device gpu`` lets JAX compute there: gradient matching, DLG, and what separation computes on accelerators. All cells are then measured
in this process, by wall-clock time, with as many threads as the environment says. In ten minutes:
``python benchmarks/field.py --device gpu --budget 5 --seeds 1 --seconds 540 --store gpu.jsonl --picture gpu.png``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import batches
from field_study.arms import ARMS, CHANCE, DoesNotApplyError
from field_study.cells import MAIN, NETS, SAMPLES, Cell, by_chance, instance, scored
from field_study.report import draw, short_table, surroundings, table
from measuring import machine, peak, state_of_the_code

import identify as idf

DEFAULT = ("identify", "SPEAR", "gradient matching", "DLG", CHANCE)
ONCE = ("gradient matching", "DLG", CHANCE)
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
    began, wall, cpu = cell.clock(), time.perf_counter(), time.process_time()
    try:
        X, numbers = ARMS[cell.arm](cell, given)
    except DoesNotApplyError as error:
        return {"does not apply": str(error)}
    seconds = {"seconds": cell.clock() - began, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "MiB": peak()}
    alone = float(batches.determined(given.system.network, given.X))
    return scored(cell, given, X) | seconds | {"determined": alone, "numbers": numbers}


@cache
def imported() -> None:
    """A recovery of three samples."""
    idf.recover(idf.Configuration(inputs=8, samples=3, width=(12, 10), activation="relu", outputs=3, bias=True).plant(0)[0])


def in_process(cell: Cell) -> dict[str, Any]:
    """One cell in a process of its own, which arms without JAX share their imports with; those are not counted anyway."""
    if cell.device is not None:
        return on_device(cell)
    is_single = all(os.environ.get(name) == value for name, value in ONE_THREAD.items() if name != "XLA_FLAGS")
    if is_single and hasattr(os, "fork") and (cell.arm == CHANCE or cell.arm.startswith(("identify", "SPEAR"))):
        return forked(cell)
    command = [sys.executable, __file__, "--cell", json.dumps(asdict(cell))]
    done = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{cell}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def on_device(cell: Cell) -> dict[str, Any]:
    """One cell in this process, because an accelerator takes seconds to start; compilation counts as in a process of its own."""
    import jax

    jax.clear_caches()
    jax.block_until_ready(jax.numpy.zeros(1))  # the device has started
    return measure(cell)


def forked(cell: Cell) -> dict[str, Any]:
    """One cell in a copy of this process, which has made the update."""
    imported()
    instance(cell)
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


def read(stores: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Results by the key of their cell, the latest of each store, earlier stores first; a line that was cut short is left out."""
    found = {}
    for store in reversed(stores):
        for line in store.read_text(encoding="utf-8").splitlines() if store.exists() else ():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            found[row["key"]] = row
    return found


def cells(
    nets: Sequence[int],
    arms: Sequence[str],
    samples: Sequence[int],
    seeds: int,
    budget: float,
    *,
    once: Collection[str] = (),
    device: str | None = None,
) -> Iterator[Cell]:
    for net in nets:
        for n in samples:
            for arm in arms:
                for seed in range(1 if arm in once else seeds):
                    yield Cell(net, arm, n, seed, budget, device)


def is_hopeless(cell: Cell, found: dict[str, dict[str, Any]]) -> bool:
    """Whether the arm recovered nothing of this network, with any seed, at a smaller number of samples."""
    smaller: dict[int, list[float]] = {}
    for row in found.values():
        own = Cell(**row["cell"])
        if own.samples < cell.samples and replace(own, samples=cell.samples, seed=cell.seed) == cell:
            smaller.setdefault(own.samples, []).append(row["result"].get("found", 0.0))
    return cell.arm != CHANCE and any(max(values) == 0 for values in smaller.values())


def run(asked: Sequence[Cell], stores: Sequence[Path], seconds: float, *, again: bool = False, devices: str | None = None) -> None:
    """Measure what the stores do not hold, and append it to the first."""
    deadline, store = time.monotonic() + seconds, stores[0]
    where = {"machine": machine("numpy", "jax", load=False), "code": state_of_the_code(), "devices": devices}
    for cell in asked:
        found = read(stores)
        if (cell.key in found and not again) or is_hopeless(cell, found):
            continue
        if time.monotonic() >= deadline:
            print("not done yet: run again to go on", file=sys.stderr)
            return
        result = in_process(cell)
        on = where | {"load": os.getloadavg()[0], "date": time.strftime("%Y-%m-%d %H:%M")}
        row = {"key": cell.key, "net": NETS[cell.net].name, "cell": asdict(cell), "result": result, "on": on}
        cut = store.exists() and store.stat().st_size and not store.read_bytes().endswith(b"\n")  # by the end of an earlier run
        with store.open("a", encoding="utf-8") as file:
            file.write("\n" * bool(cut) + json.dumps(row) + "\n")
        shown = {name: value for name, value in result.items() if name != "numbers"}
        print(NETS[cell.net].name, cell.arm, cell.samples, cell.seed, json.dumps(shown), file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, nargs="+", default=[Path("field.jsonl")])
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for each cell: of processor time, or by the clock on a device")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no cell after this time")
    parser.add_argument("--nets", type=int, nargs="+", default=list(MAIN), help="; ".join(f"{k}: {n.name}" for k, n in enumerate(NETS)))
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, CHANCE], default=list(DEFAULT))
    parser.add_argument("--samples", type=int, nargs="+", default=list(SAMPLES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--once", nargs="*", choices=[*ARMS, CHANCE], default=list(ONCE), help="arms that get one seed")
    parser.add_argument("--again", action="store_true", help="measure also what the store holds")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="let JAX compute there, and say so")
    parser.add_argument("--short", action="store_true", help="print a row for each network and arm")
    parser.add_argument("--picture", type=Path, help="draw what the store holds")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        print(json.dumps(measure(Cell(**json.loads(given.cell)))))
        return
    devices = None if given.device is None else batches.devices_of(given.device)
    asked = list(cells(given.nets, given.arms, given.samples, given.seeds, given.budget, once=given.once, device=given.device))
    run(asked, given.store, given.seconds, again=given.again, devices=devices)
    found = read(given.store)
    rows = [found[cell.key] for cell in asked if cell.key in found]
    if not rows:
        raise SystemExit("the store does not hold any of these rows")
    print((short_table if given.short else table)(rows) + "\n\n" + surroundings(rows))
    if given.picture:
        draw(rows, given.picture)


if __name__ == "__main__":
    main()

"""Faults: files cut short and damaged, a full disk, kill -9 while writing, and several processes that write to one place.

``python benchmarks/faults.py`` prints a table. **Right** is the same answer as without the fault, or the file before or after it, whole;
**refused** is one line that says why, and what was there before is as it was. Anything else is harm, and the exit status is 1. Each
part is a process of its own: ``--part NAME`` runs that one alone. ``--quick`` does a slice.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from faulting.counted import HEADER, Row
from measuring import machine

PARTS = {"damage": "damaged", "disk": "full", "kills": "killed", "shared": "together", "repeats": "repeated", "resumed": "resumed"}
"""A module of faulting, and what in it yields the rows."""


def run_part(name: str, seed: int, quick: bool) -> Iterator[Row]:
    """In this process, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        yield from getattr(import_module(f"faulting.{name}"), PARTS[name])(Path(folder), seed, quick)


def in_a_process(name: str, given: argparse.Namespace) -> Iterator[Row]:
    """The rows as they come, and one more if it fails."""
    command = [sys.executable, __file__, "--seed", str(given.seed), "--part", name, *(["--quick"] if given.quick else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}) as child:
        assert child.stdout is not None
        for line in child.stdout:
            yield Row(*json.loads(line))
    if child.returncode:
        yield Row("part", name, 1, 0, 0, 1, "it failed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the damage and of the moments of the kills")
    parser.add_argument("--part", choices=PARTS, help="this one alone; prints its rows as lines of JSON")
    parser.add_argument("--quick", action="store_true", help="a slice of everything")
    given = parser.parse_args()
    if given.part:
        for made in run_part(given.part, given.seed, given.quick):
            print(json.dumps(made), flush=True)
        return 0
    print(HEADER, flush=True)
    started, rows = time.perf_counter(), list[Row]()
    for name in PARTS:
        for made in in_a_process(name, given):
            rows.append(made)
            print(made, flush=True)
    sums = [sum(getattr(one, column) for one in rows) for column in ("number", "right", "refused", "harm")]
    print("| all | | " + " | ".join(map(str, sums)) + " | |")
    print(f"\nSeed {given.seed}; {time.perf_counter() - started:.0f} s. {machine('numpy')}")
    return int(sums[-1] > 0)


if __name__ == "__main__":
    sys.exit(main())

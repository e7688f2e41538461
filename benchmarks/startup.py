"""How long it takes to begin: imports, help and the first verdict, each in a new process.

``python benchmarks/startup.py`` prints one markdown table: the median of some processes, and the time of Python alone beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter

from measuring import machine, significant

CHECK = ["check", "--inputs", "5", "--samples", "4", "--width", "12", "--activation", "z + z^2/2 + z^3"]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import numpy'": ["-c", "import numpy"],
    "python -c 'import identify'": ["-c", "import identify"],
    "identify --help": ["-m", "identify.cli", "--help"],
    "identify check, 5 inputs, 4 samples, width 12": ["-m", "identify.cli", *CHECK],
}
TARGETS = {"python -c 'import identify'": 0.5, "identify check, 5 inputs, 4 samples, width 12": 2.0}
"""Seconds that are wanted at most."""


def seconds(arguments: Sequence[str]) -> tuple[float, float]:
    """CPU and wall seconds of one process."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    wall, after = perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="processes for each command")
    repeats = parser.parse_args(arguments).repeats
    print(machine("numpy", "scipy", "typer"), end="\n\n")
    print("| command | CPU s | wall s | wanted below |\n|---|---|---|---|")
    late = []
    for name, command in COMMANDS.items():
        seconds(command)  # once to fill the file cache
        cpu, wall = (statistics.median(values) for values in zip(*(seconds(command) for _ in range(repeats)), strict=True))
        target = TARGETS.get(name)
        late += [name] * (target is not None and cpu > target)
        print(f"| `{name}` | {significant(cpu)} | {significant(wall)} | {target or ''} |", flush=True)
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())

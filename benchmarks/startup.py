"""How long it takes to begin: imports, help, the first verdict and the first recovery, each in a new process.

``python benchmarks/startup.py`` prints one markdown table: the median of some processes, and the time of Python alone beside it. Of the
recoveries it has the time of the call, with all that the call imports and compiles, without Python, ``import identify`` and planting.
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

DEEP = ["--inputs", "784", "--samples", "20", "--width", "512,256", "--outputs", "10", "--bias"]
SMALL = ["--inputs", "5", "--samples", "4", "--width", "12"]
CHECKS = {
    "identify check, 5 inputs, 4 samples, width 12": [*SMALL, "--activation", "z + z^2/2 + z^3"],
    "identify check, gelu 784-512-256-10, 20 samples": [*DEEP, "--activation", "gelu"],
    "identify check, relu 784-512-256-10, 20 samples": [*DEEP, "--activation", "relu"],
}
RECOVERY = (
    "import identify, time; sizes = dict(inputs=784, samples=8, width=128, outputs=10, bias=True); "
    "s, _ = identify.Configuration(activation={!r}, **sizes).plant(0); "
    "cpu, wall = time.process_time(), time.perf_counter(); identify.recover(s); "
    "print(time.process_time() - cpu, time.perf_counter() - wall)"
)
"""A program that prints its own seconds."""
RECOVERIES = {f"the first identify.recover, 784-128-10, {sigma}, 8 samples": ["-c", RECOVERY.format(sigma)] for sigma in ("relu", "gelu")}
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import numpy'": ["-c", "import numpy"],
    "python -c 'import identify'": ["-c", "import identify"],
    "identify --help": ["-m", "identify", "--help"],
    **{name: ["-m", "identify", "check", *question] for name, question in CHECKS.items()},
} | RECOVERIES
TARGETS = {"python -c 'import identify'": 0.5} | dict.fromkeys(CHECKS, 2.0) | dict.fromkeys(RECOVERIES, 1.0)
"""Seconds that are wanted at most."""


def seconds(arguments: Sequence[str]) -> tuple[float, float]:
    """CPU and wall seconds of one process, or those that it prints."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), perf_counter()
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment)
    if list(arguments) in RECOVERIES.values():
        own, total = map(float, done.stdout.split())
        return own, total
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
        if repeats > 1:
            seconds(command)  # once to fill the file cache
        cpu, wall = (statistics.median(values) for values in zip(*(seconds(command) for _ in range(repeats)), strict=True))
        target = TARGETS.get(name)
        late += [name] * (target is not None and cpu > target)
        print(f"| `{name}` | {significant(cpu)} | {significant(wall)} | {target or ''} |", flush=True)
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())

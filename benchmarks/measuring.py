"""What the benchmarks share: the machine, peak memory, numbers with two digits."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from math import floor, log10
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

LONG = 10.0
"""Wall seconds from which one measurement is enough."""


def peak(who: int = resource.RUSAGE_SELF) -> float:
    """Peak memory of this process or of its children, in MiB."""
    return resource.getrusage(who).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def significant(value: float) -> str:
    """Two significant digits."""
    digits = max(1 - floor(log10(abs(value))), 0)
    return f"{value:,.{digits}f}"


def machine(*distributions: str, load: bool = True) -> str:
    """Processor, cores, load and versions."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    versions = ", ".join(f"{name} {version(name)}" for name in (*distributions, "kkt-identify"))
    busy = f", load {os.getloadavg()[0]:.1f}" if load else ""
    return f"{model}, {os.cpu_count()} cores{busy}; Python {platform.python_version()}, {versions}"


def state_of_the_code() -> str:
    """The commit, with ``-dirty`` if files differ from it; "not in a repository" if there is none."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "not in a repository"
    return done.stdout.strip() or "not in a repository"


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU and wall seconds of the work, and what came out."""
    wall, cpu = perf_counter(), process_time()
    result = work()
    return process_time() - cpu, perf_counter() - wall, result


def in_processes(script: str, case: Sequence[Any], *, repeats: int, threads: int = 1) -> list[list[Any]]:
    """What ``script --measure CASE`` prints, CPU and wall seconds first, in processes of its own; one if that takes long."""
    command = [sys.executable, script, "--measure", json.dumps(case)]
    environment = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    rows: list[list[Any]] = []
    while len(rows) < repeats and not (rows and rows[0][1] > LONG):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{case}: {done.stderr}")
        rows.append(json.loads(done.stdout))
    return rows

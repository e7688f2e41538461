"""What the benchmarks share: the machine, peak memory, numbers with two digits."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import version
from math import floor, log10
from pathlib import Path


def peak(who: int = resource.RUSAGE_SELF) -> float:
    """Peak memory of this process or of its children, in MiB."""
    return resource.getrusage(who).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def significant(value: float) -> str:
    """Two significant digits."""
    digits = max(1 - floor(log10(abs(value))), 0)
    return f"{value:,.{digits}f}"


def machine(*distributions: str) -> str:
    """Processor, cores, load and versions."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    versions = ", ".join(f"{name} {version(name)}" for name in (*distributions, "kkt-identify"))
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {versions}"

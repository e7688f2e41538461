"""What a process holds: memory, descriptors, threads, processes and files. Read from Linux's /proc."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import jax

OWN = Path("/proc/self")
COUNTS = ("descriptors", "threads", "processes", "files")
_compiled: Counter[str] = Counter()


def count_compilations() -> None:
    """From now on, as XLA reports them."""
    jax.monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: _compiled.update([event]))


def compilations() -> int:
    return _compiled["/jax/core/compile/backend_compile_duration"]


def held(folders: Iterable[Path]) -> dict[str, float]:
    """Resident memory in MiB, after garbage was collected and free memory given back, and counts; files are those below the folders."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library has it
    if trim is not None:
        trim(0)
    return {
        "memory": int((OWN / "statm").read_text().split()[1]) * resource.getpagesize() / 2**20,
        "descriptors": len(os.listdir(OWN / "fd")) - 1,  # that of the listing
        "threads": len(os.listdir(OWN / "task")),
        "processes": sum(len(_children(task)) for task in (OWN / "task").iterdir()),
        "files": sum(path.is_file() for folder in folders for path in folder.rglob("*")),
        "compiled": compilations(),
    }


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except FileNotFoundError:  # the thread has ended
        return []

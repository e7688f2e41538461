"""What a process holds: memory, descriptors, threads, processes and files. Read from Linux's /proc."""

from __future__ import annotations

import ctypes
import gc
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import jax

OWN = Path("/proc/self")
COUNTS = ("descriptors", "threads", "processes", "files")
OF_ITS_OWN = re.compile(r"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB", re.MULTILINE)
_compiled: Counter[str] = Counter()


def count_compilations() -> None:
    """From now on, as XLA reports them."""
    jax.monitoring.register_event_duration_secs_listener(lambda event, seconds, **_: _compiled.update([event]))


def compilations() -> int:
    return _compiled["/jax/core/compile/backend_compile_duration"]


def held(folders: Iterable[Path]) -> dict[str, float]:
    """Memory in MiB, after garbage was collected and free memory given back, and counts; files are those below the folders.

    Memory is what is resident or swapped out, but for mapped files (libraries), which the system takes and brings back as it likes.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library has it
    if trim is not None:
        trim(0)
    return {
        "memory": sum(int(size) for size in OF_ITS_OWN.findall((OWN / "status").read_text())) / 2**10,
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

"""What became of an input: refused in one clear line, answered, or a crash."""

from __future__ import annotations

import contextlib
import io
import resource
import sys
import warnings
from pathlib import Path

import numpy as np

from identify import cli
from identify.checkpoints import read_arrays

from .targets import Target


def allow(mebibytes: int) -> None:
    """Limit the memory of this process to what it has now and that much more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 2**20
    limit = pages * resource.getpagesize() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def file(target: Target, path: Path) -> str:
    """``refused``, ``answered``, or ``crash: reason``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answer = target.read(path)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        if not _is_own(error):
            return f"crash: {type(error).__name__}: {error}"
        return "refused" if _is_clear(str(error)) else f"crash: unclear: {error!r}"
    if path.suffix == ".npz":
        return _as_numpy(path)
    return "refused" if answer is not None and hasattr(answer, "is_valid") and not answer else "answered"


def _is_own(error: Exception) -> bool:
    """Raised on purpose by this package, as ValueError or one of its own."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    ours = last is not None and str(last.tb_frame.f_globals.get("__name__")).startswith("identify")
    return isinstance(error, ValueError) and ours and (type(error) is ValueError or type(error).__module__.startswith("identify"))


def _is_clear(text: str) -> bool:
    return bool(text) and text.isprintable() and len(text) < 2000


def _as_numpy(path: Path) -> str:
    """What was read must be what NumPy reads."""
    found = read_arrays(path)
    try:
        return _compared(path, found)
    except ValueError as error:
        return f"crash: NumPy refuses what was read: {error}"


def _compared(path: Path, found: dict[str, np.ndarray]) -> str:
    with warnings.catch_warnings(), np.load(path, allow_pickle=False) as expected:
        warnings.simplefilter("ignore")
        for name, value in found.items():
            if value.tobytes() != (other := expected[name]).astype(other.dtype.newbyteorder("=")).tobytes() or value.shape != other.shape:
                return f"crash: {name} is not what NumPy reads"
    return "answered"


def command(arguments: list[str]) -> str:
    """As the entry point runs it: the exit status is 0, 1 or 2, and errors are lines on standard error."""
    out, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    before, sys.argv = sys.argv, ["identify", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), warnings.catch_warnings():
            warnings.simplefilter("error")
            cli.main()
    except SystemExit as stop:
        status = stop.code or 0
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        return f"crash: {type(error).__name__}: {error}"
    else:
        status = 0
    finally:
        sys.argv = before
    said, told = _text(out), _text(errors)
    if status not in (0, 1, 2) or "Traceback" in told or (status and not (told + said).strip()):
        return f"crash: exit status {status}: {told[-200:]}"
    return "refused" if status else "answered"


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined]

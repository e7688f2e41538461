"""What every reader does first: it looks at the file before it reads it, so that a wrong or hostile one costs neither time nor memory."""

from __future__ import annotations

import re
import stat
import zipfile
from pathlib import Path

import numpy as np

from identify.base.errors import InputError
from identify.base.limits import readable, refuse_above

UNFOLDED, RATIO = 2**28, 100
"""An archive that is larger than the first once it is unfolded, and more than the second times its size, is no checkpoint."""
LISTED = 12
"""Names that an error lists."""
OPTIMISER = re.compile(r"opt(_states?|imi[sz]ers?(_states?|_state_dicts?)?)?")
"""Keys under which training loops keep what is no part of the network, though it has the same names and shapes."""


class ProblemFileError(InputError):
    """A file that is not a readable problem or network."""


def opened(path: Path) -> tuple[int, bytes]:
    """Size and first bytes of a regular file; ProblemFileError for anything else (a pipe would be waited for without end)."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ProblemFileError(f"{path}: is a folder; expected a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise ProblemFileError(f"{path}: is a device or a pipe; expected a file, so write its content to one first")
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise ProblemFileError(f"{path}: no such file") from None
    except OSError as error:
        raise ProblemFileError(f"{path}: cannot be read ({error.strerror}); expected a file that you may read") from None
    except ValueError as error:
        if isinstance(error, ProblemFileError):
            raise
        raise ProblemFileError(f"{str(path)!r}: no such file ({error})") from None
    if not head:
        raise ProblemFileError(f"{path}: is empty; write it again")
    return status.st_size, head


def refuse_large(path: Path, size: int) -> None:
    """Raise TooLargeError where a file and the arrays from it do not fit in memory together."""
    refuse_above(2 * size, path.name)


def refuse_bomb(path: Path, size: int, entries: list[zipfile.ZipInfo]) -> int:
    """Bytes that the entries of an archive have once they are unfolded; refuses too many, and a small file that becomes a large one."""
    unfolded = sum(entry.file_size for entry in entries)
    refuse_large(path, unfolded)
    if unfolded > max(UNFOLDED, RATIO * size):
        amounts = f"{readable(size)} would unfold to {readable(unfolded)}"
        raise ProblemFileError(f"{path}: {amounts}; expected numbers that hardly compress, so write it uncompressed")
    return unfolded


def shown(name: str | bytes) -> str:
    """A name from a file as an error may print it: short, without control characters; bytes are a text that is not in UTF-8."""
    text = name if isinstance(name, str) and name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= 60 else text[:57] + "..."


def reason_of(error: Exception) -> str:
    """What a library says of a file, as an error may print it: the first line, short; the kind of error where it says nothing."""
    return shown(str(error).partition("\n")[0] or type(error).__name__)


def listing(arrays: dict[str, np.ndarray]) -> str:
    """Names and shapes for an error."""
    parts = [f"{shown(name)} {value.shape}" for name, value in list(arrays.items())[:LISTED]]
    return (", ".join(parts) + (f" and {len(arrays) - LISTED} more" if len(arrays) > LISTED else "")) or "nothing"


def plain(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """In this machine's byte order; bfloat16 and the like, which NumPy has not, as float32, exactly."""
    if array.dtype.kind == "V":
        try:
            if array.dtype.names is not None or array.dtype.itemsize > 2:
                raise TypeError("no number")
            with np.errstate(invalid="ignore"):  # signalling NaNs
                return array.astype(np.float32)
        except (TypeError, ValueError):
            raise ProblemFileError(f"{path}: {shown(name)} is {array.dtype}; expected real numbers or texts") from None
    return array.astype(array.dtype.newbyteorder("="), copy=False)

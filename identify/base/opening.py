"""Every reader first looks at the file before it reads it, so that a wrong or hostile one costs neither time nor memory."""

from __future__ import annotations

import re
import stat
import zipfile
from pathlib import Path
from textwrap import shorten

import numpy as np

from identify.base.errors import InputError
from identify.base.limits import readable, refuse_above

UNFOLDED, RATIO = 2**28, 100
"""An archive is not a checkpoint if it unfolds to more than ``UNFOLDED`` bytes and to more than ``RATIO`` times its size."""
LISTED = 12
"""Names that an error lists."""
OPTIMISER = re.compile(r"opt(_states?|imi[sz]ers?(_states?|_state_dicts?)?)?")
"""Keys under which training loops keep the state of the optimiser, which has the same names and shapes as the network."""


SAVE = "save its arrays with numpy.savez(path, *arrays)"
FOLDERS = {
    ("_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt"): ("is a checkpoint of Orbax", f"restore it with orbax.checkpoint, and {SAVE}"),
    ("saved_model.pb",): ("is a SavedModel of TensorFlow", "load it, and write numpy.savez(path, *model.get_weights())"),
    ("model.safetensors",): ("is a folder", "expected a file in it: model.safetensors"),
    ("pytorch_model.bin",): ("is a folder", "expected a file in it: pytorch_model.bin"),
}
"""By a file inside it what a folder is, and what to do."""
PICKLES = (".pkl", ".pickle", ".joblib", ".dill")
PICKLE = ("is a pickle, which can run any program when it is read", f"load it where you trust it, and {SAVE}")
KERAS = ("is a model of Keras", "load it, and write numpy.savez(path, *model.get_weights())")
HDF5 = ("is HDF5, as Keras writes it", KERAS[1])


class ProblemFileError(InputError):
    """A file that is not a readable problem or network.

    The message is made of three fields: ``where`` (the path, or the argument that named it), ``reason``, and ``advice``.
    """

    def __init__(self, where: object, reason: str, advice: str) -> None:
        super().__init__(f"{where}: {reason}; {advice}")
        self.where, self.reason, self.advice = where, reason, advice


def opened(path: Path) -> tuple[int, bytes]:
    """Size and first bytes of a regular file; ProblemFileError for anything else (a pipe would be waited for without end)."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ProblemFileError(path, *_of_folder(path))
        if not stat.S_ISREG(status.st_mode):
            raise ProblemFileError(path, "is a device or a pipe", "expected a file, so write its content to one first")
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        raise ProblemFileError(path, "no such file", "expected the name of a file that exists") from None
    except OSError as error:
        raise ProblemFileError(path, f"cannot be read ({error.strerror})", "expected a file that you may read") from None
    except ProblemFileError:
        raise
    except ValueError:  # a null character
        raise ProblemFileError(repr(str(path)), "no such file", "expected a name that a file can have") from None
    if not head:
        raise ProblemFileError(path, "is empty", "write it again")
    return status.st_size, head


def _of_folder(path: Path) -> tuple[str, str]:
    """What a folder is, and what to do."""
    found = (told for names, told in FOLDERS.items() if any((path / name).exists() for name in names))
    return next(found, ("is a folder", "expected a file in it"))


def refuse_foreign(path: Path, head: bytes) -> None:
    """Raise ProblemFileError for a file of a format that is known and not read. Its content stays unread."""
    suffix = path.suffix.lower()
    if suffix in PICKLES or (head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5") and suffix in ("", ".npz", ".npy")):
        raise ProblemFileError(path, *PICKLE)
    if head.startswith(b"\x89HDF\r\n"):
        raise ProblemFileError(path, *HDF5)
    if suffix == ".keras":
        raise ProblemFileError(path, *KERAS)


def refuse_large(path: Path, size: int) -> None:
    """Raise TooLargeError if a file and the arrays from it do not fit in memory together."""
    refuse_above(2 * size, path.name)


def refuse_bomb(path: Path, size: int, entries: list[zipfile.ZipInfo]) -> int:
    """Bytes that the entries of an archive have once they are unfolded; refuses too many, and a small file that becomes a large one."""
    unfolded = sum(entry.file_size for entry in entries)
    refuse_large(path, unfolded)
    if unfolded > max(UNFOLDED, RATIO * size):
        amounts = f"{readable(size)} would unfold to {readable(unfolded)}"
        raise ProblemFileError(path, amounts, "expected numbers that hardly compress, so write it uncompressed")
    return unfolded


def shown(name: str | bytes) -> str:
    """A name from a file as an error may print it: short, without control characters; bytes are a text that is not in UTF-8."""
    text = name if isinstance(name, str) and name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= 60 else text[:57] + "..."


def reason_of(error: Exception) -> str:
    """The words of a library about a file, short and on one line; the kind of error if it has none. To be printed, never to be read."""
    return shown(shorten(str(error), 60, placeholder="...") or type(error).__name__)


def listing(arrays: dict[str, np.ndarray]) -> str:
    """Names and shapes for an error."""
    parts = [f"{shown(name)} {value.shape}" for name, value in list(arrays.items())[:LISTED]]
    return (", ".join(parts) + (f" and {len(arrays) - LISTED} more" if len(arrays) > LISTED else "")) or "nothing"


def plain(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """In this machine's byte order; bfloat16 and the like, which NumPy does not have, as float32, exactly."""
    if array.dtype.kind == "V":
        try:
            if array.dtype.names is not None or array.dtype.itemsize > 2:
                raise TypeError("no number")
            with np.errstate(invalid="ignore"):  # signalling NaNs
                return array.astype(np.float32)
        except (TypeError, ValueError):
            raise ProblemFileError(path, f"{shown(name)} is {array.dtype}", "expected real numbers or texts") from None
    return array.astype(array.dtype.newbyteorder("="), copy=False)

"""NumPy's formats, read strictly: ``.npz`` archives, and the ``.npy`` arrays one after another that Equinox writes.

A header is believed only where the bytes that it promises are there: nothing is allocated on the word of a file. Objects, which would
be pickles, and records are refused.
"""

from __future__ import annotations

import lzma
import re
import struct
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from identify.base.limits import TooLargeError
from identify.base.opening import ProblemFileError, plain, reason_of, refuse_bomb, refuse_large, shown

MAGIC, ZIP = b"\x93NUMPY", b"PK\x03\x04"
MAX_HEADER, MAX_LEAVES, MAX_DIMENSIONS = 10_000, 10_000, 32
_BLANK = r"\s*+"
_ENTRY = (
    rf"(?:'descr'{_BLANK}:{_BLANK}(?P<descr>'[^']*+'|\[[^\]]*+\])"
    rf"|'fortran_order'{_BLANK}:{_BLANK}(?P<fortran>True|False)"
    rf"|'shape'{_BLANK}:{_BLANK}\((?P<shape>[\d,\s]*+)\))"
)
HEADER = re.compile(rf"\{{{_BLANK}(?:{_ENTRY}{_BLANK}(?:,{_BLANK}|(?=\}}))){{3}}\}}{_BLANK}", re.ASCII)
NUMBERS = re.compile(r"'[<>|=]?(b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)|[US][1-9]\d{0,5})'")


def read_npz(path: Path, size: int) -> dict[str, np.ndarray]:
    """Every array of an archive, in its order."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            file.seek(0)
            if file.read(4) != ZIP:  # zipfile would look for an archive anywhere in the file
                raise zipfile.BadZipFile("not a zip archive from its beginning")
            entries = archive.infolist()
            refuse_bomb(path, size, entries)
            if any(entry.comment for entry in entries):  # NumPy writes none, and a length that is wrong would hide the entries after it
                raise zipfile.BadZipFile("an entry has a comment")
            arrays: dict[str, np.ndarray] = {}
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                if name in arrays:
                    raise ProblemFileError(f"{path}: holds {shown(name)} twice; expected every name once")
                with archive.open(entry) as member:
                    arrays[name] = read_npy(member, entry.file_size, path, name)
            return arrays
    except (ProblemFileError, TooLargeError):
        raise
    except zipfile.BadZipFile as error:
        reason = "is not an .npz archive" if "not a zip" in str(error) else f"is a damaged archive ({reason_of(error)})"
        raise ProblemFileError(f"{path}: {reason}; expected one written by numpy.savez or identify.save_problem") from None
    # RuntimeError is a password or a compression that zipfile does not know, and damage has many names
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        LookupError,
        struct.error,
        zlib.error,
        lzma.LZMAError,
        zipfile.LargeZipFile,
    ) as error:
        raise ProblemFileError(f"{path}: cannot be read ({reason_of(error)}); expected one written by numpy.savez") from None


def read_leaves(path: Path, size: int) -> dict[str, np.ndarray]:
    """Arrays one after another, as ``leaf0``, ``leaf1``, ...: one ``.npy``, or what ``equinox.tree_serialise_leaves`` writes."""
    refuse_large(path, size)
    arrays: dict[str, np.ndarray] = {}
    with path.open("rb") as file:
        while (left := size - file.tell()) > 0:
            if len(arrays) == MAX_LEAVES:
                raise ProblemFileError(f"{path}: holds more than {MAX_LEAVES} arrays; expected a network")
            name = f"leaf{len(arrays)}"
            arrays[name] = read_npy(file, left, path, name, last=False)
    return arrays


def read_npy(file: IO[bytes], size: int, path: Path, name: str, *, last: bool = True) -> np.ndarray:
    """The array that begins here; ``size`` bytes are left, all of which it must use if it is the last."""

    def need(condition: bool, reason: str) -> None:
        if not condition:
            raise ProblemFileError(f"{path}: {shown(name)} {reason}; expected arrays of numbers and texts as numpy.save writes them")

    head = file.read(8)
    need(head[:6] == MAGIC and len(head) == 8 and head[6] in (1, 2, 3) and not head[7], "cannot be read: it is no array of NumPy")
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    need(length <= MAX_HEADER, "cannot be read: its header is too long")
    text = file.read(length)
    need(len(text) == length, "is cut short")
    found = HEADER.fullmatch(text.decode("latin-1"))
    need(found is not None, "cannot be read: its header is damaged")
    assert found is not None
    need(None not in (found["descr"], found["fortran"], found["shape"]), "cannot be read: its header is damaged")
    need(NUMBERS.fullmatch(found["descr"]) is not None, f"cannot be read: it has the type {shown(found['descr'])}, not numbers")
    sizes = [part.strip() for part in found["shape"].split(",")]
    sizes = sizes[:-1] if not sizes[-1] else sizes
    # more than 15 digits are more than any file has
    need(len(sizes) <= MAX_DIMENSIONS and all(re.fullmatch(r"\d{1,15}", part) for part in sizes), "has an impossible shape")
    shape, dtype = tuple(map(int, sizes)), np.dtype(found["descr"][1:-1])
    promised, left = prod(shape) * dtype.itemsize, size - len(head) - width - length
    need(promised == left if last else promised <= left, f"of shape {shape} would have {promised} bytes, and has {left}")
    need(prod(max(n, 1) for n in shape) * dtype.itemsize < 2**62, "has an impossible shape")
    content = file.read(promised)
    need(len(content) == promised, "is cut short")
    array = np.frombuffer(bytearray(content), dtype) if promised else np.empty(shape, dtype)
    array = array.reshape(shape, order="F" if found["fortran"] == "True" else "C")
    need(array.dtype.kind != "U" or _is_text(array), "has characters that Unicode has not")
    return plain(path, name, array)


def _is_text(array: np.ndarray) -> bool:
    """NumPy fails on such characters as late as when they are looked at."""
    codes = np.ascontiguousarray(array).reshape(-1).astype(array.dtype.newbyteorder("="))
    return not codes.size or not codes.dtype.itemsize or bool((codes.view(np.uint32) <= 0x10FFFF).all())

"""NumPy's formats, read strictly: ``.npz`` archives, and the ``.npy`` arrays one after another that Equinox writes.

NumPy parses the header, which is believed only if the bytes that it promises are there: nothing is allocated on the word of a file.
Objects, which would be pickles, and records are refused.
"""

from __future__ import annotations

import lzma
import struct
import tokenize
import warnings
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from identify.base.limits import TooLargeError
from identify.base.opening import ProblemFileError, plain, reason_of, refuse_bomb, refuse_large, shown

MAGIC, ZIP = b"\x93NUMPY", b"PK\x03\x04"
MAX_HEADER, MAX_LEAVES, MAX_DIMENSIONS = 10_000, 10_000, 32
KINDS = "biufcSU"
"""Kinds of the types that are read: Booleans, numbers and texts."""
WRITERS = "expected one written by numpy.savez or identify.save_problem"
DAMAGE = (OSError, EOFError, RuntimeError, ValueError, LookupError, struct.error, zlib.error, lzma.LZMAError, zipfile.LargeZipFile)
"""Errors of zipfile for a damaged entry; RuntimeError is a password, or a compression that zipfile does not know."""
MISREAD = (ValueError, TypeError, LookupError, SyntaxError, RecursionError, MemoryError, OverflowError, struct.error, tokenize.TokenError)
"""Errors of NumPy's parser, which reads a header as a literal of Python."""


def read_npz(path: Path, size: int) -> dict[str, np.ndarray]:
    """Every array of an archive, in its order."""
    try:
        with path.open("rb") as file:
            if file.read(4) != ZIP:  # zipfile would look for an archive anywhere in the file
                raise ProblemFileError(path, "is not an .npz archive", WRITERS)
            with zipfile.ZipFile(file) as archive:
                return _members(path, size, archive)
    except (ProblemFileError, TooLargeError):
        raise
    except zipfile.BadZipFile as error:
        raise ProblemFileError(path, f"is a damaged archive ({reason_of(error)})", WRITERS) from None
    except DAMAGE as error:
        raise ProblemFileError(path, f"cannot be read ({reason_of(error)})", WRITERS) from None


def _members(path: Path, size: int, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    entries = archive.infolist()
    refuse_bomb(path, size, entries)
    if any(entry.comment for entry in entries):  # NumPy writes none, and a length that is wrong would hide the entries after it
        raise ProblemFileError(path, "is a damaged archive (an entry has a comment)", WRITERS)
    arrays: dict[str, np.ndarray] = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if name in arrays:
            raise ProblemFileError(path, f"holds {shown(name)} twice", "expected every name once")
        with archive.open(entry) as member:
            arrays[name] = read_npy(member, entry.file_size, path, name)
    return arrays


def read_leaves(path: Path, size: int) -> dict[str, np.ndarray]:
    """Arrays one after another, as ``leaf0``, ``leaf1``, ...: one ``.npy``, or the output of ``equinox.tree_serialise_leaves``."""
    refuse_large(path, size)
    arrays: dict[str, np.ndarray] = {}
    with path.open("rb") as file:
        while (left := size - file.tell()) > 0:
            if len(arrays) == MAX_LEAVES:
                raise ProblemFileError(path, f"holds more than {MAX_LEAVES} arrays", "expected a network")
            name = f"leaf{len(arrays)}"
            arrays[name] = read_npy(file, left, path, name, last=False)
    return arrays


class Header(NamedTuple):
    """The array that a header promises."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype


READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0, (3, 0): npy.read_array_header_2_0}
"""By version of the format; the third differs from the second in the encoding of the names of fields, and records are refused."""


def _header(file: IO[bytes], version: tuple[int, int]) -> Header:
    """The header after the magic string, by NumPy's parser; raises one of :data:`MISREAD`."""
    with warnings.catch_warnings(action="ignore"):  # about headers of Python 2, and names of types that are out of use
        return Header(*READERS[version](file, max_header_size=MAX_HEADER))


def read_npy(file: IO[bytes], size: int, path: Path, name: str, *, last: bool = True) -> np.ndarray:
    """The array that begins here; ``size`` bytes are left, all of which it must use if it is the last."""

    def need(condition: bool, reason: str) -> None:
        if not condition:
            raise ProblemFileError(path, f"{shown(name)} {reason}", "expected arrays of numbers and texts as numpy.save writes them")

    start = file.tell()
    magic = file.read(npy.MAGIC_LEN)
    need(magic.startswith(MAGIC) and tuple(magic[-2:]) in READERS, "cannot be read: it is not an array of NumPy")
    try:
        shape, fortran, dtype = _header(file, (magic[-2], magic[-1]))
    except MISREAD:
        need(False, "cannot be read: its header is damaged, cut short or too long")
        raise
    need(dtype.kind in KINDS and dtype.itemsize > 0, f"cannot be read: it has the type {shown(str(dtype))}, not numbers")
    sizes = [int(n) for n in shape if type(n) is int and 0 <= n < 2**50]
    need(len(sizes) == len(shape) <= MAX_DIMENSIONS, "has an impossible shape")
    promised, left = prod(sizes) * dtype.itemsize, size - (file.tell() - start)
    need(promised == left if last else promised <= left, f"of shape {shape} would have {promised} bytes, and has {left}")
    need(prod(max(n, 1) for n in sizes) * dtype.itemsize < 2**62, "has an impossible shape")
    content = file.read(promised)
    need(len(content) == promised, "is cut short")
    array = np.frombuffer(bytearray(content), dtype) if promised else np.empty(shape, dtype)
    array = array.reshape(shape, order="F" if fortran else "C")
    need(array.dtype.kind != "U" or _is_text(array), "has code points outside Unicode")
    return plain(path, name, array)


def _is_text(array: np.ndarray) -> bool:
    """NumPy fails on such characters as late as when they are looked at."""
    codes = np.ascontiguousarray(array).reshape(-1).astype(array.dtype.newbyteorder("="))
    return not codes.size or not codes.dtype.itemsize or bool((codes.view(np.uint32) <= 0x10FFFF).all())

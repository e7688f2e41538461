"""Which classes and functions a pickle names: read from its instructions, none of which is carried out."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

OF_WEIGHTS = {"collections", "torch", "torch._utils", "torch._tensor", "torch.nn.parameter", "torch.serialization", "torch.storage"}
"""Modules whose names stand for tensors and the mappings that hold them."""
MOST = 2**24
"""Bytes of a pickle that are looked at; weights are outside it."""
WRITES = {"PUT", "BINPUT", "LONG_BINPUT"}
READS = {"GET", "BINGET", "LONG_BINGET"}


def foreign_name(path: Path, entries: list[zipfile.ZipInfo]) -> str | None:
    """The first class or function in a file of PyTorch that is not one of weights, as ``module.name``; None if there is none."""
    for name in names(_content(path, entries)):
        if name.rpartition(".")[0] not in OF_WEIGHTS:
            return name
    return None


def names(content: bytes) -> Iterator[str]:
    """Names in the order of the instructions, up to the first that cannot be read."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    top, stored = "", 0
    try:
        for code, value, _ in pickletools.genops(content):
            before, top = top, value if isinstance(value, str) and code.name not in READS | WRITES else ""
            if code.name in ("GLOBAL", "INST"):
                yield str(value).replace(" ", ".")
            elif code.name == "STACK_GLOBAL":
                yield ".".join(texts[-2:])
            elif code.name == "MEMOIZE" or code.name in WRITES:
                memo[stored if value is None else int(value)] = top = before
                stored += 1
            elif code.name in READS:
                top = memo.get(int(str(value)), "")
                texts += [top] if top else []
            elif top:
                texts.append(top)
    except Exception:  # pickletools raises whatever a damaged instruction leads to
        return


def _content(path: Path, entries: list[zipfile.ZipInfo]) -> bytes:
    """The pickle in an archive, or the file itself."""
    try:
        pickle = next((entry for entry in entries if entry.filename.rpartition("/")[2] == "data.pkl"), None)
        if pickle is None:
            with path.open("rb") as file:
                return file.read(MOST)
        with zipfile.ZipFile(path) as archive, archive.open(pickle) as member:
            return member.read(MOST)
    except Exception:  # as names: a damaged archive has many errors
        return b""

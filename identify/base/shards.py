"""Files of a checkpoint folder: the parts of a search or an attack that are done, read back only when they are whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.base.files import replacing
from identify.base.npy import read_npz
from identify.base.opening import ProblemFileError, opened


class Shard(dict[str, np.ndarray]):
    """Arrays by name; one that is missing is an error of the file."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray]):
        super().__init__(arrays)
        self.path = path

    def __missing__(self, name: str) -> np.ndarray:
        raise damaged(self.path, f"has no {name}")


def write_shard(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write it whole or not at all; ValueError if it cannot be written."""
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise InputError(f"checkpoint: {path} cannot be written ({error.strerror}); make room; finished work is not lost") from None


def damaged(path: Path, reason: str) -> ProblemFileError:
    return ProblemFileError("checkpoint", f"{path} is damaged ({reason})", "delete it, and its part is computed again")


def read_shard(path: Path, dimensions: Mapping[str, int] | None = None) -> Shard:
    """The arrays of a finished part, which must be numbers; ``dimensions`` are those of arrays that must be there.

    Raises ProblemFileError for a file that is not whole.
    """
    try:
        size, _ = opened(path)
        shard = Shard(path, read_npz(path, size))
    except ProblemFileError as error:
        raise damaged(path, error.reason) from None
    for name, value in shard.items():
        if value.dtype.kind not in "biufc":
            raise damaged(path, f"{name} is {value.dtype}")
    for name, count in (dimensions or {}).items():
        if shard[name].ndim != count:
            raise damaged(path, f"{name} has {shard[name].ndim} dimensions, not {count}")
    return shard

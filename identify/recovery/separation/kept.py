"""Samples that a search has found so far, in a folder: an interrupted search begins with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from identify.base.files import claim_folder
from identify.base.shards import damaged, read_shard, write_shard
from identify.problem.system import KKTSystem


@dataclass(frozen=True)
class Kept:
    """The folder of one search; without one, nothing is kept.

    Attributes
    ----------
    path
        The file with what was found, one row for each sample: what enters the first layer, with a 1 if its bias update was observed.
    """

    path: Path | None = None

    @classmethod
    def of(cls, folder: Path | None, system: KKTSystem, samples: int | None) -> Kept:
        """A folder is made, or must belong to the same question: the network, its updates, and how many samples are sought.

        Raises
        ------
        InputError
            When it belongs to another question, or cannot be used.
        """
        if folder is None:
            return cls()
        net, digest = system.network, hashlib.sha256()
        for name, part in [*net.parameters.items(), *system.parts.items()]:
            digest.update(f"{name} {np.shape(part)}".encode())
            digest.update(np.ascontiguousarray(part, dtype=float).tobytes())
        names = " ".join(map(str, net.activations))
        claim_folder(folder, f"separation {digest.hexdigest()} {names} samples={samples or 'from the ranks'}", "system")
        return cls(folder / "samples.npz")

    def read(self, columns: int) -> Float[np.ndarray, "kept columns"]:
        """What an earlier search found."""
        if self.path is None or not self.path.exists():
            return np.zeros((0, columns))
        rows = read_shard(self.path, {"rows": 2})["rows"]
        if rows.shape[1] != columns:
            raise damaged(self.path, f"its rows have {rows.shape[1]} numbers, not {columns}")
        return rows

    def write(self, rows: Float[np.ndarray, "found columns"]) -> None:
        """Take the place of what was kept before, if there is more now."""
        if self.path is not None and len(rows) > len(self.read(rows.shape[1])):
            write_shard(self.path, {"rows": rows})

"""Finished runs of an attack in a checkpoint folder."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from identify.attacks.objectives import Attack
from identify.attacks.runs import Trial
from identify.attacks.tuning import RandomSearch
from identify.base.files import claim_folder
from identify.base.shards import damaged, read_shard, write_shard
from identify.splitting.minimise import Split

COLUMNS = len(fields(Split))


@dataclass(frozen=True)
class Store:
    """Finished runs in a folder, one file each, written as soon as the run ends."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, attack: Attack | RandomSearch, first: Attack, options: str) -> Store:
        one = first.objective(1)
        numbers = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves((one.at, one.change)))
        settings = first.settings if attack is first else f"random {attack.ranges} {attack.fixed}"  # type: ignore[union-attr]
        question = f"{first.name} {settings} {options} {hashlib.sha256(numbers).hexdigest()}"
        claim_folder(folder, question, "attack")
        return cls(folder)

    def load(self, seed: int, attack: Attack) -> Trial | None:
        path = self.folder / f"{seed:05d}.npz"
        if not path.exists():
            return None
        saved = read_shard(path, {"X": 2, "value": 0, "distance": 0, "history": 2, "splits": 2})
        if saved["splits"].shape[1] != COLUMNS:
            raise damaged(path, f"splits have {saved['splits'].shape[1]} columns, not {COLUMNS}")
        rows = [_split(row) for row in saved["splits"]]
        value, distance = float(saved["value"]), float(saved["distance"])
        return Trial(seed, saved["X"], saved["c"], value, distance, saved["history"], tuple(rows), dict(attack.settings))

    def save(self, trial: Trial) -> None:
        rows = np.array([astuple(split) for split in trial.splits], float).reshape(-1, COLUMNS)
        parts = {"X": trial.X, "c": trial.c, "value": trial.value, "distance": trial.distance, "history": trial.history, "splits": rows}
        write_shard(self.folder / f"{trial.seed:05d}.npz", parts)


def _split(row: Float[np.ndarray, " columns"]) -> Split:
    candidate, eigenvalue, step, before, after, resumed, iteration = map(float, row)
    return Split(int(candidate), eigenvalue, step, before, after, resumed, int(iteration))

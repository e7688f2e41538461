"""Runs of an attack in a checkpoint folder: finished ones, and the state of one that is under way."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from identify.attacks.objectives import Attack, Objective
from identify.attacks.running import Run
from identify.attacks.runs import Trial
from identify.attacks.tuning import RandomSearch
from identify.base.files import claim_folder
from identify.base.shards import Shard, damaged, read_shard, write_shard
from identify.splitting.minimise import Split

COLUMNS = len(fields(Split))


@dataclass(frozen=True)
class Store:
    """Runs in a folder, one file each: written as soon as the run ends, and before that now and then with its state."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, attack: Attack | RandomSearch, first: Attack, options: str) -> Store:
        one = first.objective(1)
        held = (one.at, one.change) if isinstance(one, Objective) else one
        numbers = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(held))
        settings = first.settings if attack is first else f"random {attack.ranges} {attack.fixed}"  # type: ignore[union-attr]
        question = f"{first.name} {settings} {options} {hashlib.sha256(numbers).hexdigest()}"
        claim_folder(folder, question, "attack")
        return cls(folder)

    def load(self, seed: int, attack: Attack) -> Trial | None:
        path = self.folder / f"{seed:05d}.npz"
        if not path.exists():
            return None
        saved = read_shard(path, {"X": 2, "value": 0, "distance": 0, "history": 2, "splits": 2})
        value, distance = float(saved["value"]), float(saved["distance"])
        return Trial(seed, saved["X"], saved["c"], value, distance, saved["history"], _splits(saved), dict(attack.settings))

    def keep(self, run: Run) -> None:
        """Write the state of a run that is under way in place of the one before."""
        write_shard(self._begun(run.seed), run.arrays() | {"splits": _rows(run.state.splits)})

    def resume(self, run: Run) -> None:
        """Set the run to the state that was kept, if there is one."""
        path = self._begun(run.seed)
        if path.exists():
            saved = read_shard(path, {"X": 2, "c": 2, "at": 0, "used": 0, "due": 0, "pending": 0, "history": 2, "splits": 2})
            run.resume(saved, _splits(saved))

    def _begun(self, seed: int) -> Path:
        return self.folder / f"{seed:05d}-begun.npz"

    def save(self, trial: Trial) -> None:
        parts = {"X": trial.X, "c": trial.c, "value": trial.value, "distance": trial.distance, "history": trial.history}
        write_shard(self.folder / f"{trial.seed:05d}.npz", parts | {"splits": _rows(trial.splits)})
        self._begun(trial.seed).unlink(missing_ok=True)


def _rows(splits: tuple[Split, ...]) -> Float[np.ndarray, "splits columns"]:
    return np.array([astuple(split) for split in splits], float).reshape(-1, COLUMNS)


def _splits(saved: Shard) -> tuple[Split, ...]:
    if saved["splits"].shape[1] != COLUMNS:
        raise damaged(saved.path, f"splits have {saved['splits'].shape[1]} columns, not {COLUMNS}")
    found = []
    for candidate, eigenvalue, step, before, after, resumed, iteration in saved["splits"].tolist():
        found.append(Split(int(candidate), eigenvalue, step, before, after, resumed, int(iteration)))
    return tuple(found)

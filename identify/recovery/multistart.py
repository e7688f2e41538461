"""Parts that all searches share: chunks of random starts, a clock, interrupts, checkpoints, and evidence of uniqueness."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float

from identify.base.files import claim_folder
from identify.base.limits import Clock, Stopped
from identify.base.shards import read_shard, write_shard
from identify.problem.ambiguity import Ambiguity
from identify.recovery.starts import ENOUGH_CONVERGED

UNFINISHED, ROUNDING = 100.0, 1e-10
"""A residual above the first times the smallest, and above the second, is that of a run that has not ended."""
Chunk = Callable[[np.random.Generator, int], dict[str, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Proposal:
    """A data set that a search proposes, in its coordinates."""

    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, "n C"]


@dataclass(eq=False)
class Search(Clock):
    """A budget of starts and seconds, and what was done with it.

    Starts come in chunks. The random numbers of a chunk depend on the seed and on the number of the chunk alone, so a search that was
    interrupted goes on, from its checkpoint, to the same bits as one that was not.
    """

    seed: int
    starts: int
    tolerance: float
    round: int = 0
    """Later rounds draw other starts."""
    one_is_enough: bool = False
    """Whether a chunk may end at its first solution."""
    checkpoint: Path | None = None
    progress: Callable[[str], None] = lambda step: None
    evidence: dict = field(default_factory=dict)
    starts_done: int = 0
    pieces: list[int] | None = None
    """How often each piece of a solution was found, for a search that finds them one by one."""

    @staticmethod
    def doubles() -> AbstractContextManager:
        return jax.enable_x64(True)

    def chunks(self, name: str, work: Chunk, size: int) -> Iterator[dict[str, np.ndarray]]:
        """Outcomes of the chunks, those of the checkpoint first. A keyboard interrupt ends the search, and is noted."""
        self.starts_done = 0
        for number, start in enumerate(range(0, self.starts, size)):
            count = min(size, self.starts - start)
            outcome = self._saved(name, number, count)
            if outcome is None:
                self.progress(f"{name}: starts {start + 1} to {start + count} of {self.starts}")
                tag = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
                try:
                    outcome = work(np.random.default_rng([self.seed, tag, number, self.round]), count)
                except KeyboardInterrupt:
                    self.interrupted = Stopped.INTERRUPTED
                    return
                if self.interrupted:  # a chunk that was cut short would differ on another machine: it is used, but not kept
                    self.starts_done += count
                    yield outcome
                    return
                self._save(name, number, count, outcome)
            self.starts_done += count
            yield outcome
            if not self.go_on():
                return

    def _file(self, name: str, number: int, count: int) -> Path | None:
        # with its size, which follows the memory of the machine
        return None if self.checkpoint is None else self.checkpoint / f"{name}-{self.round:03d}-{number:05d}-{count}.npz"

    def _saved(self, name: str, number: int, count: int) -> dict[str, np.ndarray] | None:
        path = self._file(name, number, count)
        if path is None or not path.exists():
            return None
        return read_shard(path)

    def _save(self, name: str, number: int, count: int, outcome: dict[str, np.ndarray]) -> None:
        path = self._file(name, number, count)
        if path is not None:
            write_shard(path, outcome)

    def open_checkpoint(self, folder: Path, question: str) -> None:
        """Use a folder, which is made, or must belong to the same question: the system and the options."""
        claim_folder(folder, question, "system")
        self.checkpoint = folder


@dataclass
class Tally:
    """Distinct solutions, modulo the ambiguity group, how often each was reached, and its least relative residual."""

    ambiguity: Ambiguity
    tolerance: float
    solutions: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)

    def add(self, X: np.ndarray, c: np.ndarray, residual: float) -> None:
        """Count a solution."""
        for k, known in enumerate(self.solutions):
            if self.ambiguity.match(X, c, *known).errors.max() <= self.tolerance:
                self.times[k] += 1
                self.residuals[k] = min(self.residuals[k], residual)
                return
        self.solutions.append((X, c))
        self.times.append(1)
        self.residuals.append(residual)

    def evidence(self, starts: int) -> dict:
        """The evidence of that many starts: how often each solution was reached, and estimates of what was not seen.

        Runs that are below the tolerance and still on their way would pass for solutions: when others have a residual far smaller, they
        are counted apart.
        """
        finished = max(UNFINISHED * min(self.residuals, default=0.0), ROUNDING)
        times = [t for t, residual in zip(self.times, self.residuals, strict=True) if residual <= finished]
        return {"starts": starts, "solutions": len(times), "unfinished": sum(self.times) - sum(times), **unseen("solutions", times)}


def unseen(name: str, times: Sequence[int]) -> dict:
    """Estimates from how often each of the things seen was seen.

    ``unseen_share``: the probability that one more success would show a new one (Good 1953), 1 without any success.
    ``NAME_estimated``: a lower bound on how many there are (Chao 1984, bias-corrected), None for fewer than ten successes, which say
    nothing. Both speak of what random starts can reach.
    """
    total, once, twice = sum(times), sum(t == 1 for t in times), sum(t == 2 for t in times)
    return {
        "converged": total,
        "times": list(times),
        "unseen_share": once / total if total else 1.0,
        f"{name}_estimated": None if total < ENOUGH_CONVERGED else len(times) + once * (once - 1) / (2 * (twice + 1)),
    }

"""Cells of the comparison: a network, an arm and a number of samples; the instance, and the score of an answer."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from typing import Any

import batches
import numpy as np

import identify as idf
from identify.attacks.scores import Score, score

CLOSE = 0.1
"""Relative L2 error below which a sample counts as recovered."""
DRAWS = 20
"""Of held-out images, for the row of chance."""
CAP = 300.0
"""Decibels: the peak signal-to-noise ratio of float64 is about that of an exact copy."""


@dataclass(frozen=True)
class Net:
    """A network at which updates are taken; ``name`` is its row of the table and its panel of the picture."""

    sizes: tuple[int, ...]
    activation: str
    data: str
    steps: int = 0

    @property
    def name(self) -> str:
        short = f"{self.sizes[0]}-200×6-10" if self.sizes[1:-1] == (200,) * 6 else "-".join(map(str, self.sizes))
        return f"{self.activation} {short}" + (f", after {self.steps} steps" if self.steps else "")

    def row(self, samples: int) -> batches.Row:
        return batches.Row(self.sizes, self.activation, samples, self.data, training_steps=self.steps)


MNIST, SPEARS, TWO = (784, 512, 256, 10), (3072, *[200] * 6, 10), (784, 1000, 10)
NETS = (
    Net(SPEARS, "relu", "patches"),
    Net(MNIST, "relu", "digits"),
    Net(MNIST, "relu", "digits", 500),
    Net(MNIST, "gelu", "digits"),
    Net(TWO, "relu", "digits"),
    Net(TWO, "gelu", "digits", 500),
    Net((784, 256, 128, 10), "relu", "digits"),
    Net((784, 1024, 512, 10), "relu", "digits"),
)
MAIN = range(6)
"""Those of the table; the others have half and twice the width of the second."""
SAMPLES = (1, 5, 10, 20, 25, 30, 50, 100, 200, 500)


@dataclass(frozen=True)
class Cell:
    """One arm at one update, with a limit of seconds."""

    net: int
    """Its number in :data:`NETS`."""
    arm: str
    samples: int
    seed: int = 0
    budget: float = 30.0
    """Seconds by :attr:`clock`."""
    device: str | None = None
    """Where JAX computes, ``cpu`` or ``gpu``, with as many threads as the environment says; if not given, one thread computes."""

    @property
    def clock(self) -> Callable[[], float]:
        """Processor time of one thread, or wall-clock time for an accelerator, whose work costs no time of a processor."""
        return time.process_time if self.device is None else time.perf_counter

    @property
    def key(self) -> str:
        """Everything that the result depends on."""
        return hashlib.sha256(json.dumps([asdict(self), NETS[self.net].name]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Instance:
    """An update, and the batch behind it with its labels; attacks may use the labels, and the number of samples."""

    system: idf.KKTSystem
    X: np.ndarray
    y: np.ndarray
    shape: tuple[int, int, int]


def instance(cell: Cell) -> Instance:
    """The update of a cell, the same for all arms."""
    return _instance(cell.net, cell.samples, cell.seed)


@lru_cache(maxsize=3)
def _instance(number: int, samples: int, seed: int) -> Instance:
    net = NETS[number]
    system, X, y = batches.batch(net.row(samples), seed)
    return Instance(system, X, y, (28, 28, 1) if net.data == "digits" else (32, 32, 3))


@cache
def held_out(data: str, least: int) -> np.ndarray:
    """Images of the same kind that belong to no batch: the first 4000 digits, which only training uses, or other patches."""
    if data == "digits":
        order = np.random.default_rng(12345).permutation(4000)
        return idf_digits()[order]
    return batches.patches(np.random.default_rng(12345), max(least, 1000))


def idf_digits() -> np.ndarray:
    return batches.mnist().X


def scored(cell: Cell, given: Instance, candidates: np.ndarray) -> dict[str, Any]:
    """Measures of an answer: candidates and images matched one to one by the least total relative error."""
    if not len(candidates):
        return {"found": 0.0, "candidates": 0.0, "error": np.inf, "psnr": 0.0, "ssim": 0.0}
    result = score(candidates.reshape(-1, given.X.shape[1]), given.X, shape=given.shape)
    return measures(result, candidates, given.X)


def by_chance(cell: Cell, given: Instance) -> dict[str, Any]:
    """The same of held-out images in place of candidates: the mean over draws."""
    n, pool, rng = len(given.X), held_out(NETS[cell.net].data, 2 * cell.samples), np.random.default_rng(cell.seed)
    draws = [scored(cell, given, pool[rng.choice(len(pool), n, replace=False)]) for _ in range(DRAWS)]
    return {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}


def measures(result: Score, candidates: np.ndarray, X: np.ndarray) -> dict[str, Any]:
    n, hit = len(X), result.order >= 0
    psnr = np.zeros(n)
    if hit.any():
        missed = np.mean((candidates[result.order[hit]] - X[hit]) ** 2, axis=1)
        with np.errstate(divide="ignore"):
            psnr[hit] = np.clip(-10 * np.log10(missed), 0, CAP)
    return {
        "found": float(np.sum(result.errors < CLOSE)),
        "candidates": float(hit.sum()),
        "error": float(np.median(np.minimum(result.errors, 1e6))),
        "psnr": float(np.median(psnr)),
        "ssim": float(result.mean_ssim or 0.0),
    }


def first_only(given: Instance) -> Instance:
    """The same batch, of which only the update of the first layer is observed."""
    system = given.system
    return replace(given, system=idf.KKTSystem.gradient(system.network, layers={1: tuple(system.layers[1])}))

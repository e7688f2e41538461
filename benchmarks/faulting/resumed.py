"""kill -9 in the middle of the work, at a random moment, and once more: the next process goes on, and ends with the bits of one that ran
through (to eight digits if samples are found one by one: what is found first depends on what is known). Hash seeds differ.

Moments and limits are in seconds of the processor, which other programs do not lengthen: a part of the work is the same part at any load,
and work that takes too much, or waits for ever, is ended and counted as harm.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .counted import Row, row

PREPARE = """
import hashlib, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import jax.numpy, numpy as np
import identify

folder = Path(sys.argv[1])
print("begin", flush=True)
"""
SEARCH = """
system, _ = identify.Configuration(inputs=3, samples=3, width=12, activation="z + z^2 + z^3").plant(3)
found = identify.recover(system, samples=3, method="projection", starts=48, checkpoint=folder, judge=False)
parts = [found.X, found.c, found.error_bars, np.array([found.residual])]
"""
SEPARATION = """
config = identify.Configuration(inputs=40, samples=12, width=(60, 40), activation="gelu", outputs=6, bias=True)
system, _ = config.plant(5)
found = identify.recover(system, checkpoint=folder)
parts = [found.X.round(8) + 0.0, found.c.round(8) + 0.0]
"""
ATTACK = """
from identify.attacks import MLP, buzaglo
attack = buzaglo(MLP({"W1": np.eye(2), "W2": np.ones((1, 2))}, "z + z^2/2"), kind="weight-decay", rate=1e-3)
found = identify.reconstruct(attack, candidates=3, steps=300, trials=12, checkpoint=folder)
parts = [part for trial in found.trials for part in (trial.X, np.array([trial.value, trial.seed]))]
"""
SWEEP = """
grid = {"measure": "verdict", "inputs": [3, 4, 5], "samples": [2, 3, 4, 5], "width": 24, "activation": "z + z^3"}
with ThreadPoolExecutor(1) as executor:
    table = identify.sweep(grid, store=folder, executor=executor).table()
rows = sorted(str(sorted((name, value) for name, value in each.items() if name != "seconds")) for each in table)
parts = [np.array(rows)]
"""
ENDED = """
print(hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest())
"""
WORK = {
    "`recover`, a search": SEARCH,
    "`recover`, samples one by one": SEPARATION,
    "`reconstruct`": ATTACK,
    "`sweep`": SWEEP,
}
KILLS = 2
"""Of one piece of work, before it may end."""
MOST, STILL = 120.0, 300.0
"""Processor seconds for one process; seconds on the clock in which it has to get some of them."""
LOOK = 0.02
"""Seconds between two looks at a process."""
HANGS = "did not end"


def begun(code: str, folder: Path, hashing: int) -> subprocess.Popen[str]:
    """A process that has loaded everything and begins the work."""
    environment = os.environ | {"PYTHONHASHSEED": str(hashing), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PREPARE + code + ENDED, str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    if child.stdout.readline().strip() != "begin":
        raise RuntimeError("the work did not begin; it says above why")
    return child


def worked(child: subprocess.Popen[str]) -> float:
    """Its processor seconds so far; Linux."""
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def follow(child: subprocess.Popen[str], most: float) -> float:
    """Wait until it has ended, has taken that many processor seconds, or has not got any for long; those that it has taken."""
    last, since = worked(child), time.monotonic()
    while child.poll() is None and last < most and time.monotonic() - since < STILL:
        time.sleep(LOOK)
        if child.poll() is None and (now := worked(child)) > last:
            last, since = now, time.monotonic()
    return last


def killed(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


def ended(code: str, folder: Path, hashing: int) -> tuple[str, float]:
    """The digest of the result, or that it did not end; and the processor seconds of the work."""
    child = begun(code, folder, hashing)
    loading = worked(child)
    took = follow(child, MOST) - loading
    if child.poll() is None:
        killed(child)
        return HANGS, took
    out, _ = child.communicate()
    if child.returncode:
        raise RuntimeError(f"exit status {child.returncode}; it says above why")
    return out.strip(), took


def judged(digest: str, whole: str, other: str) -> str:
    return HANGS if HANGS in (digest, whole) else "right" if digest == whole else other


def resumed(folder: Path, seed: int, quick: bool) -> Iterator[Row]:
    """Five pieces of work of each kind, each killed twice; one recovery, killed once, if ``quick``."""
    for number, (name, code) in enumerate(list(WORK.items())[: 1 if quick else None]):
        rng, place = np.random.default_rng([seed, number]), folder / str(number)
        whole, seconds = ended(code, place / "whole", 0)
        again, _ = ended(code, place / "again", 1)
        yield row("run again", name, [judged(again, whole, "other bytes")], "another hash seed")
        outcomes, inside = [], 0
        for each in range(1 if quick else 5):
            own = place / f"killed{each}"
            for kill in range(1 if quick else KILLS):
                child = begun(code, own, 2 + kill)
                follow(child, worked(child) + rng.uniform(0.1, 1.0) * seconds)
                inside += child.poll() is None
                killed(child)
            outcomes.append(judged(ended(code, own, 9)[0], whole, "other bits"))
        yield row("kill -9, resumed", name, outcomes, f"{inside} kills while it worked")

"""kill -9 of a process that writes the one content and the other, on and on: what is left is the one or the other."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from .counted import Row, row
from .things import EMPTY, THINGS, Thing, snapshot, states, temporaries

TWO_DAYS = 2 * 86_400
PATIENCE = 10.0
"""Seconds in which a writer makes a temporary file."""


def child(work) -> int:
    """Its process, which ends with status 0 if ``work`` does."""
    process = os.fork()
    if process:
        return process
    try:
        work()
        os._exit(0)
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode())
        os._exit(1)


def one_kill(thing: Thing, folder: Path, delay: float, aimed: bool) -> bool:
    """Kill a process that has written at least once that many seconds later; if ``aimed``, as soon as a new temporary file is there.

    False if it had ended before.
    """
    told, tell = os.pipe()

    def write() -> None:
        for k in count():
            thing.write(folder, k % 2)
            os.write(tell, b".")

    process = child(write)
    os.close(tell)
    os.read(told, 1)
    deadline, before = time.monotonic() + delay, set(temporaries(folder))
    if aimed:
        deadline += PATIENCE
        while time.monotonic() < deadline and set(temporaries(folder)) <= before:
            pass
    else:
        time.sleep(delay)
    os.kill(process, signal.SIGKILL)
    status = os.waitpid(process, 0)[1]
    os.close(told)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def judged(thing: Thing, folder: Path, whole: list[dict[str, bytes]]) -> str:
    """``right`` for one of the contents; ``of both`` where every file is whole, some of one content and some of the other."""
    found = snapshot(folder)
    if found in whole or (thing.may_be_absent and found == EMPTY):
        return "right"
    each = all(any(content == state.get(name) for state in whole) for name, content in found.items())
    return "of both" if each and found else "damaged"


def swept(thing: Thing, folder: Path) -> bool:
    """Whether the next process that writes there, two days later, removes what killed ones left."""
    for path in temporaries(folder):
        os.utime(path, (time.time() - TWO_DAYS,) * 2)
    process = child(lambda: thing.write(folder, 0))
    return os.waitpid(process, 0)[1] == 0 and not temporaries(folder)


def killed(folder: Path, seed: int, quick: bool) -> Iterator[Row]:
    """50 kills of each writer, every second one aimed; 4 if ``quick``."""
    for number, (name, thing) in enumerate(THINGS.items()):
        rng = np.random.default_rng([seed, number])
        whole = states(thing, folder / f"{number}-lone")
        started = time.perf_counter()
        thing.write(folder / f"{number}-lone" / "lone0", 1)
        seconds = time.perf_counter() - started
        place = folder / str(number)
        place.mkdir()
        outcomes, halves, mixed = [], 0, 0
        for each in range(4 if quick else 50):
            before = len(temporaries(place))
            alive = one_kill(thing, place, rng.uniform(0, 2 * seconds), aimed=each % 2 == 1)
            halves += len(temporaries(place)) > before
            found = judged(thing, place, whole) if alive else "ended by itself"
            mixed += found == "of both"
            outcomes.append("right" if found == "of both" else found)
        if not swept(thing, place):
            outcomes.append("leftovers stay")
        note = f"{halves} while a file was half written" + (f"; {mixed} left whole files of both" if mixed else "")
        yield row("kill -9", name, outcomes, note)

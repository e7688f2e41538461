"""Several processes that write to one place at the same time: each ends as if it were alone, or is refused at the door."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np

import identify
from identify.attacks import MLP, buzaglo

from .counted import Row, is_clear, row
from .things import THINGS, snapshot, states, temporaries

PROCESSES = 4
SECONDS = 240
GRID = {"measure": "verdict", "inputs": [3, 4], "width": 6, "activation": "z + z^3"}


@cache
def _planted(k: int) -> identify.KKTSystem:
    return identify.Configuration(inputs=2, samples=2, width=8, activation="z + z^2 + z^3").plant(k)[0]


def _recover(folder: Path | None, k: int) -> Any:
    found = identify.recover(_planted(k), samples=2, method="projection", starts=8, checkpoint=folder)
    return found.X.tobytes(), found.c.tobytes()


def _attack(folder: Path | None, k: int) -> Any:
    network = MLP({"W1": np.eye(2) + k, "W2": np.ones((1, 2))}, "z + z^2/2")
    attack = buzaglo(network, kind="weight-decay", rate=1e-3)
    found = identify.reconstruct(attack, candidates=2, steps=10, trials=4, checkpoint=folder)
    return [(trial.seed, trial.X.tobytes(), trial.value) for trial in found.trials]


def _sweep(folder: Path | None, k: int) -> Any:
    """Grids that share half of their tasks: different ones may share a store."""
    rows = []
    with ThreadPoolExecutor(1) as executor:
        if folder is not None:
            found = identify.sweep(GRID | {"samples": [2, 3 + k]}, store=folder, executor=executor).table()
            rows = [{name: value for name, value in each.items() if name != "seconds"} for each in found]
        else:
            from identify.sweeps.grid import Grid
            from identify.sweeps.measures import run_task

            for task in Grid.of(GRID | {"samples": [2, 3 + k]}).tasks():
                rows.append({"samples": task.samples, "inputs": task.inputs, "verdict": run_task(task).result["verdict"]})
    return sorted((each["inputs"], each["samples"], each["verdict"]) for each in rows)


STORES: dict[str, Callable[[Path | None, int], Any]] = {
    "checkpoint of recover": _recover,
    "checkpoint of attack": _attack,
    "store of sweeps": _sweep,
}
PLACES = ("folder of an audit", "problem file", "task of a sweep")


def member(number: int, barrier: Any, folder: Path, rounds: int, answers: Any) -> None:
    """One of the processes: the same rounds as the others, each begun together."""
    alone = {(name, k): work(None, k) for name, work in STORES.items() for k in (0, 1)}
    for name, work in STORES.items():
        for same in (True, False):
            for each in range(rounds):
                k = 0 if same else number % 2
                barrier.wait(SECONDS)
                try:
                    outcome = "right" if work(_place(folder, name, same, each), k) == alone[name, k] else "wrong"
                except Exception as error:
                    outcome = "refused" if is_clear(error) and "belongs to another" in str(error) else f"crash: {error!r}"
                answers.put((name, same, each, k, outcome))
    for name in PLACES:
        for each in range(rounds):
            place = _place(folder, name, False, each)
            place.mkdir(exist_ok=True)
            barrier.wait(SECONDS)
            try:
                THINGS[name].write(place, number % 2)
                outcome = "right"
            except Exception as error:
                outcome = f"crash: {error!r}"
            answers.put((name, False, each, number % 2, outcome))


def _place(folder: Path, name: str, same: bool, each: int) -> Path:
    return folder / f"{name.replace(' ', '-')}-{'same' if same else 'other'}-{each}"


def together(folder: Path, seed: int, quick: bool) -> Iterator[Row]:
    """Four processes, 25 times each with the same question and with two; two processes, twice, if ``quick``."""
    processes, rounds = (2, 2) if quick else (PROCESSES, 25)
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes), context.Queue()
    members = [context.Process(target=member, args=(k, barrier, folder, rounds, answers)) for k in range(processes)]
    for process in members:
        process.start()
    total = processes * rounds * (2 * len(STORES) + len(PLACES))
    found = []
    while len(found) < total:
        try:
            found.append(answers.get(timeout=1))
        except Empty:
            if not all(process.is_alive() for process in members) and answers.empty():
                raise RuntimeError("one of the processes died; it says above why") from None
    for process in members:
        process.join()
    for name in STORES:
        for same in (True, False):
            mine = [answer for answer in found if answer[:2] == (name, same)]
            outcomes = [outcome for *_, outcome in mine]
            for each in range(rounds):
                winners = {k for _, _, number, k, outcome in mine if number == each and outcome == "right"}
                losers = {k for _, _, number, k, outcome in mine if number == each and outcome == "refused"}
                if not winners or winners & losers:
                    outcomes.append("nobody had it" if not winners else "one question both had it and not")
                if temporaries(_place(folder, name, same, each)):
                    outcomes.append("left a temporary file")
            yield row(f"{processes} processes", name, outcomes, "the same question" if same else "two questions")
    for number, name in enumerate(PLACES):
        whole = states(THINGS[name], folder / f"{number}-lone")
        outcomes = [outcome for what, *_, outcome in found if what == name and outcome != "right"]
        for each in range(rounds):
            place = _place(folder, name, False, each)
            outcomes.append("damaged" if snapshot(place) not in whole or temporaries(place) else "right")
        yield row(f"{processes} processes", name, outcomes, "what is left is that of one")

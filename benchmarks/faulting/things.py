"""What is written: each kind of file and folder with two contents, and how it is read again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import identify
from identify.attacks.runs import Trial
from identify.attacks.store import Store as Runs
from identify.auditing.findings import Basis, Finding
from identify.auditing.result import Audit
from identify.auditing.saving import older_files
from identify.base.files import claim_folder
from identify.base.shards import read_shard, write_shard
from identify.checkpoints.problems import load_problem, save_problem
from identify.report.canvas import to_png
from identify.report.html import Picture
from identify.sweeps.measures import run_task
from identify.sweeps.store import Store as Outcomes
from identify.sweeps.task import Outcome, Task

SIZES = {"inputs": 2, "width": 3, "activation": "z + z^2"}
TASK = Task(measure="verdict", samples=1, **SIZES)
EMPTY: dict[str, bytes] = {}


@dataclass(frozen=True)
class Thing:
    """``write`` puts one of two contents into a folder; ``read`` says what ``file`` in it holds, or raises ValueError."""

    write: Callable[[Path, int], Any]
    file: str
    read: Callable[[Path], Any] | None = None
    may_be_absent: bool = False
    """Whether it is removed before it is written again."""


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file that has its place."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if not _is_temporary(path, folder)}


def temporaries(folder: Path) -> list[Path]:
    """Also while they come and go."""
    return [Path(place, name) for place, below, files in os.walk(folder) for name in (*below, *files) if name.startswith(".identify-")]


def _is_temporary(path: Path, folder: Path) -> bool:
    return any(part.startswith(".identify-") for part in path.relative_to(folder).parts)


@cache
def systems() -> list[identify.KKTSystem]:
    return [identify.Configuration(samples=1, **SIZES).plant(seed)[0] for seed in (0, 1)]


@cache
def reports() -> list[identify.Report]:
    return [identify.check(identify.Configuration(samples=samples, **SIZES)) for samples in (1, 2)]


@cache
def audits() -> list[Audit]:
    """Two audits of which one has pictures and certificates that the other has not."""
    made = []
    for k, report in enumerate(reports()):
        pictures = tuple(Picture(f"Picture {number}", _png(number + k), "a line") for number in range(2 + k))
        found = [Finding("verdict", "Is it determined?", str(report.verdict), "generic", Basis.PROOF, report=report)]
        found.append(
            Finding("attack" if k else "recovery", "Found?", "yes", "this network", Basis.FLOAT, draw=lambda shown=pictures: shown)
        )
        made.append(Audit(f"network {k}", tuple(found), {f"verdict-{k}": report.certificate()}, seed=k))
    return made


@cache
def _png(slope: int) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, slope])
    return to_png(figure)


@cache
def _equations() -> list[Any]:
    return [identify.kkt_equations(system, samples=1) for system in systems()]


def _numbers(k: int) -> dict[str, np.ndarray]:
    return {"X": np.full((4, 2, 3), k + 0.5), "c": np.arange(8.0).reshape(4, 2)}


def _run(folder: Path, k: int) -> None:
    Runs(folder).save(Trial(0, np.full((2, 3), k + 0.5), np.ones((2, 1)), 0.5, 0.25, np.ones((2, 2))))


def _outcome(folder: Path, k: int) -> None:
    store = Outcomes.claim(folder)
    store.save(Outcome(task=TASK, state="done", result={"verdict": "UNIQUE", "proved": f"count {k}"}, seconds=0.25))


def _question(folder: Path, k: int) -> None:
    (folder / "question.txt").unlink(missing_ok=True)
    claim_folder(folder, f"question {k}", "system")


def _pictures(folder: Path, k: int) -> None:
    identify.Sweep.load(stores()[k]).plot(folder)


@cache
def _kept() -> TemporaryDirectory:
    """As long as the program."""
    return TemporaryDirectory(prefix="faults-stores-")


@cache
def stores() -> list[Path]:
    """Of sweeps with two tasks and with three."""
    found = [Path(_kept().name, str(k)) for k in (0, 1)]
    for k, store in enumerate(found):
        for samples in range(1, 3 + k):
            Outcomes.claim(store).save(run_task(Task(measure="verdict", samples=samples, **SIZES)))
    return found


def _read_problem(path: Path) -> Any:
    problem = load_problem(path)
    net = problem.system.network
    return str(net.activation), net.W.tobytes(), net.A.tobytes(), problem.system.target.tobytes(), problem.system.regime


def _read_shard(path: Path) -> Any:
    return {name: (value.shape, value.tobytes()) for name, value in read_shard(path, {"X": 3, "c": 2}).items()}


def _read_run(path: Path) -> Any:
    found = Runs(path.parent).load(0, _Settings())  # type: ignore[arg-type]
    return (
        None
        if found is None
        else (found.X.tobytes(), found.c.tobytes(), found.value, found.distance, found.history.tobytes(), found.splits)
    )


class _Settings:
    settings: dict = {}


def _read_outcome(path: Path) -> Any:
    return Outcomes(path.parent.parent).load(path.stem)


def _read_certificate(path: Path) -> Any:
    answer = identify.verify(path)
    if not answer:
        raise ValueError(answer.reasons[0])
    return json.loads(path.read_bytes())


def _read_audit(path: Path) -> Any:
    """Which files are those of the older audit; where some are not told, they are left alone: a refusal."""
    found = {one.name for one in older_files(path.parent)}
    if found < {one.name for one in path.parent.iterdir()} - {path.name}:
        raise ValueError("files that are not known to be of an older audit")
    return found


def _read_question(path: Path) -> Any:
    claim_folder(path.parent, "question 0", "system")


THINGS = {
    "problem file": Thing(lambda folder, k: save_problem(folder / "p.npz", systems()[k]), "p.npz", _read_problem),
    "certificate": Thing(lambda folder, k: reports()[k].certificate().save(folder / "c.json"), "c.json", _read_certificate),
    "page": Thing(lambda folder, k: reports()[k].to_html(folder / "p.html"), "p.html"),
    "equations": Thing(lambda folder, k: _equations()[k].export("msolve", path=folder / "e.ms"), "e.ms"),
    "part of a search": Thing(lambda folder, k: write_shard(folder / "s.npz", _numbers(k)), "s.npz", _read_shard),
    "run of an attack": Thing(_run, "00000.npz", _read_run),
    "task of a sweep": Thing(_outcome, f"{TASK.key[:2]}/{TASK.key}.json", _read_outcome),
    "label of a folder": Thing(_question, "question.txt", _read_question, may_be_absent=True),
    "folder of an audit": Thing(lambda folder, k: audits()[k].save(folder), "report.json", _read_audit),
    "pictures of a sweep": Thing(_pictures, "verdict.png"),
}


def states(thing: Thing, folder: Path) -> list[dict[str, bytes]]:
    """What the folder holds once either content is written."""
    found = []
    for k in (0, 1):
        (place := folder / f"lone{k}").mkdir(parents=True)
        thing.write(place, k)
        found.append(snapshot(place))
    assert found[0] != found[1]
    return found


def readable(names: dict[str, Thing]) -> Iterator[tuple[str, Thing]]:
    yield from ((name, thing) for name, thing in names.items() if thing.read is not None)

"""``sweep`` and ``sweep_updates``: run every task without a result, and store each result at once."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from identify.base.errors import InputError
from identify.base.options import positive, valid_seed, whole
from identify.sweeps.drive import drive
from identify.sweeps.grid import Grid, GridError
from identify.sweeps.results import Sweep
from identify.sweeps.store import DamagedError, Store
from identify.sweeps.task import AnyTask, Outcome
from identify.sweeps.updates import tasks_of
from identify.sweeps.workers import Given, Processes, cores


@dataclass(frozen=True)
class Progress:
    """Progress of a sweep: ``done`` of ``total`` tasks, ``failed`` of them with an error; ``seconds_left`` is None at first."""

    done: int
    total: int
    failed: int
    seconds_left: float | None

    def __str__(self) -> str:
        failures = f", {self.failed} failed" if self.failed else ""
        left = "" if self.seconds_left is None else f", about {clock(self.seconds_left)} left"
        return f"{self.done} of {self.total} tasks{failures}{left}"


def sweep(
    grid: Mapping[str, Any] | str | Path,
    *,
    store: str | Path,
    executor: Executor | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Callable[[Progress], None] = lambda step: None,
) -> Sweep:
    """Verdicts, thresholds and recoveries over a grid of sizes, activations, seeds and noise.

    Parameters
    ----------
    grid
        A mapping, or a TOML file. ``measure``: some of ``"verdict"``, ``"thresholds"``, ``"recovery"``. Lists of values, whose
        product is taken: ``inputs``, ``samples``, ``width``, ``activation``, ``outputs``, ``bias``, ``layers``, ``regime`` as in
        :class:`Configuration`, and ``seeds`` (or their number). For recoveries: ``noise`` (relative to the target), ``method``, ``starts``,
        ``budget`` (seconds, by default 10 without ``starts``) and ``tolerance`` (the relative error of every sample below which a
        recovery is a success, modulo the ambiguity; by default 1e-3). ``where``: comparisons that every point satisfies, such as
        ``"samples <= 2*inputs"``. A list of integers may be written ``{"first": 2, "last": 20, "step": 2}``.
    store
        A folder, made if needed: one file for each task, named by the hash of its parameters. Tasks with a result are
        not run again, so a sweep that was stopped in any way continues, and a larger grid runs only the new tasks.
    executor
        Any :class:`concurrent.futures.Executor`, such as ``dask.distributed.Client(address).get_executor()``; None starts
        processes on this machine, of one thread each.
    workers
        Number of processes, at least 1; None takes all processors. Not with an executor.
    retry_failed
        Whether tasks that ended with an error are run again.
    progress
        Called at the start, and after every task.

    Returns
    -------
    Sweep
        The results of this grid.

    Raises
    ------
    GridError
        For a grid that cannot be used; nothing is run.
    StoreError
        For a folder that belongs to something else, or cannot be written.
    SweepError
        When processes cannot be started, or the executor breaks. Finished tasks are kept.

    Notes
    -----
    Tasks are run in the order of their hashes, from a random one on: a stopped sweep has covered the grid evenly, the remaining time
    can be estimated, and sweeps that share a store rarely run the same task. Verdicts, and recoveries with ``starts`` and no ``budget``,
    are the same on every machine with the same versions, as long as their matrices fit in memory (``reasons`` names those that did not);
    a budget makes a recovery depend on the machine's speed. Unless IDENTIFY_MEMORY is set, processes on one machine share its default.

    An error in a task is stored as its outcome. A task whose process dies is run again, at most twice on this machine; Dask decides
    for its workers (``distributed.scheduler.allowed-failures``).

    Examples
    --------
    >>> import tempfile
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> grid = {"inputs": [3, 4], "samples": [2, 6], "width": 8, "activation": "z + z^3", "where": "samples < 2*inputs"}
    >>> with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
    ...     found = sweep(grid, store=folder, executor=executor)
    ...     [(row["inputs"], row["samples"], row["verdict"]) for row in found.table()]
    [(3, 2, 'UNIQUE'), (4, 2, 'UNIQUE'), (4, 6, 'NOT_UNIQUE')]
    """
    workers = _workers(workers, executor)
    tasks = list(Grid.of(grid).tasks())
    if not tasks:
        raise GridError("grid: no point satisfies where; expected at least one, relax the constraints")
    return _run(tasks, store, executor, workers, retry_failed, progress)


def sweep_updates(
    updates: str | Path,
    *,
    store: str | Path,
    model: str | Path | None = None,
    activation: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    budget: float = 60.0,
    trust: bool = False,
    training: Mapping[str, Any] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    retry_failed: bool = False,
    progress: Callable[[Progress], None] = lambda step: None,
) -> Sweep:
    """The batches behind all updates of a folder, such as those of a federated round: how many samples each reveals, and how surely.

    Parameters
    ----------
    updates
        A folder with one file for each update: the gradient of the loss by some or all parameters of the model, with their names
        (``W1``, ``b1``, ..., or those of PyTorch and Flax), in any format of :func:`identify.audit`. Without a model: problem files,
        as :func:`identify.save_problem` writes them.
    store
        As for :func:`sweep`; the hash of a task covers the name and the contents of its update's file, the contents of the model's file,
        and the options.
    model, activation
        File of the network at which all updates were taken, and its activation if the file does not name it.
    samples
        Number of samples in every update, at least 1; None reads it off the ranks of each.
    seed, budget
        Of each recovery, as for :func:`identify.recover`; the budget in seconds.
    trust
        As for :func:`identify.load_problem`, of all files.
    training
        How clients trained the model, if each sends its network after several steps in place of a gradient: the arguments of
        :meth:`KKTSystem.steps` by name, such as ``{"steps": 5, "learning_rate": 0.01}``.
    executor, workers, retry_failed, progress
        As for :func:`sweep`. Workers on other machines need the folder and the model at the same paths.

    Returns
    -------
    Sweep
        The results: ``counted`` (samples that the ranks of an update show), ``recovered``, ``status`` (of
        :class:`identify.Uniqueness`), ``error_bar`` (the largest relative one, dimensionless), ``residual``, ``solved_by`` and
        ``not_recovered`` (the reason). The samples themselves are not stored: :func:`identify.recover` returns those of one update.

    Raises
    ------
    UpdatesError
        For a folder or a model that cannot be used; nothing is run.
    StoreError, SweepError
        As :func:`sweep`.

    Notes
    -----
    Every file is read once to be hashed, also when a sweep continues. A file that cannot be read as an update is stored as failed.

    Examples
    --------
    >>> import tempfile
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from pathlib import Path
    >>> from identify import Configuration, save_problem
    >>> with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
    ...     (updates := Path(folder, "round")).mkdir()
    ...     for n in (2, 3):
    ...         system, _ = Configuration(inputs=6, samples=n, width=12, activation="z + z^3").plant(n)
    ...         _ = save_problem(updates / f"client{n}.npz", system)
    ...     found = sweep_updates(updates, store=Path(folder, "runs"), executor=executor)
    ...     [(row["update"], row["counted"], row["recovered"], row["status"]) for row in found.table()]
    [('client2.npz', 2, 2, 'PROVED'), ('client3.npz', 3, 3, 'PROVED')]
    """
    workers = _workers(workers, executor)
    tasks = tasks_of(
        updates,
        model=model,
        activation=activation,
        samples=None if samples is None else whole("samples", samples, advice=", or None to read it off the ranks"),
        seed=valid_seed(seed),
        budget=positive("budget", budget, unit="seconds"),
        trust=trust,
        training=training,
    )
    return _run(tasks, store, executor, workers, retry_failed, progress)


def _workers(workers: int | None, executor: Executor | None) -> int | None:
    workers = None if workers is None else whole("workers", workers, advice=", or None for every processor")
    if workers is not None and executor is not None:
        raise InputError("workers: is for processes on this machine; leave it out with an executor, which has its own")
    return workers


def _run(
    asked: Sequence[AnyTask],
    store: str | Path,
    executor: Executor | None,
    workers: int | None,
    retry_failed: bool,
    progress: Callable[[Progress], None],
) -> Sweep:
    tasks = {task.key: task for task in asked}
    given = None if executor is None else Given(executor)
    folder = Store.claim(store)
    waiting, known_failures = _missing(folder, tasks, retry_failed)
    tally = _Tally(folder, progress, len(tasks), len(tasks) - len(waiting), known_failures)
    if waiting:
        hired = given or Processes(min(workers or cores(), len(waiting)))
        try:
            with hired:
                drive(_still_missing(folder, waiting, tally), hired, tally.finished)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"finished tasks are in {folder.folder}; the same sweep goes on from there")
            raise
    return Sweep(folder, tuple(tasks))


def _missing(store: Store, tasks: Mapping[str, AnyTask], retry_failed: bool) -> tuple[list[AnyTask], int]:
    """Tasks to run, by hash from a random one on, and the number of others that have failed before."""
    missing, failures = [], 0
    for key in sorted(tasks):
        try:
            result = store.load(key)
        except DamagedError:
            result = None
        if result is None or (result.state == "failed" and retry_failed):
            missing.append(tasks[key])
        else:
            failures += result.state == "failed"
    start = secrets.randbelow(len(missing)) if missing else 0
    return missing[start:] + missing[:start], failures


def _still_missing(store: Store, tasks: Sequence[AnyTask], tally: _Tally) -> Iterator[AnyTask]:
    """Those of the tasks that no other sweep has finished by the time their turn comes."""
    for task in tasks:
        if store.is_done(task.key):
            tally.done_elsewhere()
        else:
            yield task


@dataclass(eq=False)
class _Tally:
    """Keeps outcomes and counts them."""

    store: Store
    progress: Callable[[Progress], None]
    total: int
    done: int
    failures: int

    def __post_init__(self) -> None:
        self.here, self.started = 0, time.monotonic()
        self.progress(Progress(self.done, self.total, self.failures, None))

    def finished(self, outcome: Outcome) -> None:
        self.store.save(outcome)
        self.here += 1
        self.failures += outcome.state == "failed"
        self._tell()

    def done_elsewhere(self) -> None:
        self._tell()

    def _tell(self) -> None:
        self.done += 1
        rate = self.here / max(time.monotonic() - self.started, 1e-6)
        self.progress(Progress(self.done, self.total, self.failures, (self.total - self.done) / rate if rate else None))


def clock(seconds: float) -> str:
    """A time in readable units: 40 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"

"""Workers that run the tasks: processes on this machine, an executor of the caller, or a Dask cluster.

Processes are spawned (not forked, because JAX has threads), with one thread each, and end with the sweep that started them, however
it ends: they watch a pipe that the operating system closes when the sweep's process is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Hashable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from identify.base.errors import IdentifyError, InputError, WrongTypeError
from identify.base.extras import needed
from identify.base.limits import memory_allowed
from identify.sweeps.measures import run_task
from identify.sweeps.task import AnyTask, Outcome

AHEAD = 4096
"""Number of tasks that an executor of the caller has at a time: enough for a large cluster, few enough for its scheduler."""
ATTEMPTS = 2
"""Number of times that processes are started, if they die at once."""
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
"""Environment of processes that share one machine; variables that the caller has set stay."""
SIZES = 100
"""Number of sizes whose compiled code a process keeps: JAX never drops any by itself, and recoveries of each size leave some 15 MiB."""


class SweepError(IdentifyError, RuntimeError):
    """A sweep cannot continue: its workers cannot be started, or its executor is gone. Finished tasks are kept."""


class Given:
    """An executor of the caller, which is neither renewed nor shut down here."""

    ahead = AHEAD

    def __init__(self, executor: Executor):
        if not callable(getattr(executor, "submit", None)):
            raise WrongTypeError(
                f"executor: received {type(executor).__name__}, expected a concurrent.futures.Executor; "
                "for a Dask cluster, Client(address).get_executor()"
            )
        self.executor = executor

    def __enter__(self) -> Given:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        pass

    def submit(self, task: AnyTask) -> Future[Outcome]:
        return self.executor.submit(run_task, task)

    def renew(self) -> None:
        raise SweepError("executor: it broke; finished tasks are in the store: sweep again with a new executor to go on")


class Processes:
    """Processes on this machine, started anew when one of them dies."""

    def __init__(self, workers: int):
        self.workers = workers
        self.ahead = 2 * workers

    def __enter__(self) -> Processes:
        self._context = get_context("spawn")
        with ExitStack() as stack:
            stack.enter_context(_environment(self.workers))
            self._alive, self._open = self._context.Pipe(duplex=False)
            stack.callback(self._alive.close)
            stack.callback(self._open.close)
            self._pool = self._start()
            self._ending = stack.pop_all()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._pool.shutdown()
        self._open.close()  # ends the processes at once, in the middle of a task if they have one
        self._pool.shutdown(cancel_futures=True)
        self._ending.close()

    def submit(self, task: AnyTask) -> Future[Outcome]:
        with _no_interrupts():
            return self._pool.submit(run_and_forget, task)

    def renew(self) -> None:
        """New processes in place of those of a broken pool."""
        self._pool.shutdown()
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        for _ in range(ATTEMPTS):
            pool = ProcessPoolExecutor(self.workers, self._context, initializer=_begin, initargs=(self._alive,))
            try:
                with _no_interrupts():
                    ready = pool.submit(os.getpid)
                ready.result()
            except BrokenExecutor:
                pool.shutdown()
                continue
            return pool
        raise SweepError(
            "workers: no process could be started on this machine; a script that sweeps needs its calls under "
            "if __name__ == '__main__': (the output of the process stands above)"
        )


@contextmanager
def _environment(workers: int) -> Iterator[None]:
    """The environment of new processes: one thread, and a share of the memory."""
    wanted = {"IDENTIFY_MEMORY": repr(memory_allowed() / workers / 2**30), **ONE_THREAD}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Processes that are started in this block leave keyboard interrupts to the sweep, from their first moment on."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_compiled: set[Hashable] = set()
"""Each size of a task that ran in this process since compiled code was last dropped."""


def run_and_forget(task: AnyTask) -> Outcome:
    """:func:`run_task` in a process of the sweep's own, which drops all compiled code after ``SIZES`` sizes."""
    outcome = run_task(task)
    _compiled.add(task.size)
    if len(_compiled) >= SIZES:
        _compiled.clear()
        if "jax" in sys.modules:
            sys.modules["jax"].clear_caches()
    return outcome


def _begin(alive: Connection) -> None:
    """In a new process: ignore keyboard interrupts, and end with the sweep."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(alive,), daemon=True).start()


def _end_with(alive: Connection) -> None:
    """Wait until the other end of the pipe is closed, by the sweep or by its death."""
    try:
        alive.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


@contextmanager
def cluster(address: str) -> Iterator[Executor]:
    """The executor of a Dask cluster, for a block: ``tcp://host:port``, or the path of a scheduler file (``.json``).

    Raises
    ------
    ValueError
        When no scheduler answers there, or (as :class:`~identify.base.extras.MissingExtraError`) without Dask.
    """
    Client = needed("distributed", "sweeping on a cluster").Client
    from_file = address.endswith(".json")
    if from_file and not Path(address).is_file():
        raise InputError(f"cluster: {address}: no such file; expected a scheduler file, or an address such as tcp://host:8786")
    try:
        client = Client(scheduler_file=address) if from_file else Client(address)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"cluster: no Dask scheduler answers at {address} ({error}); expected tcp://host:port as dask scheduler prints it"
        ) from None
    with client:
        yield client.get_executor()


def cores() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1

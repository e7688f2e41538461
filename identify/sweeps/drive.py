"""Runs every task once: few are submitted ahead, and those of a process that died are run again.

When one process of a pool dies, all submitted tasks are lost with it, and the faulty one is unknown. All are run again.
A task that was lost twice is run alone: if its process dies then, the task itself is at fault, and is recorded as failed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from queue import SimpleQueue

from identify.sweeps.task import AnyTask, Outcome, failed
from identify.sweeps.workers import Given, Processes, SweepError

LOST = 2
"""Number of losses after which a task is run alone."""
DIED = "its process died while it was run alone (out of memory, or killed)"


def drive(tasks: Iterable[AnyTask], workers: Given | Processes, finished: Callable[[Outcome], None]) -> None:
    """Run the tasks, and yield each outcome as it arrives.

    Raises
    ------
    SweepError
        When an executor of the caller breaks, is shut down, or cannot run tasks at all.
    """
    waiting = iter(tasks)
    again: deque[AnyTask] = deque()
    losses: Counter[AnyTask] = Counter()
    running: dict[Future[Outcome], AnyTask] = {}
    ended: SimpleQueue[Future[Outcome]] = SimpleQueue()

    def submit(task: AnyTask) -> bool:
        try:
            future = workers.submit(task)
        except BrokenExecutor:
            again.append(task)
            return False
        except RuntimeError as error:  # what an executor that was shut down says
            raise SweepError(f"executor: it takes no tasks ({error}); sweep again with a new one to go on") from error
        running[future] = task
        future.add_done_callback(ended.put)
        return True

    try:
        while True:
            whole = True
            while whole and len(running) < workers.ahead and (task := again.popleft() if again else next(waiting, None)) is not None:
                whole = submit(task)
            if not running and whole:
                return
            lost = [] if whole else [again.pop()]
            while running:
                future = ended.get()
                task = running.pop(future)
                outcome = outcome_of(future, task)
                if outcome is not None:
                    finished(outcome)
                else:
                    lost.append(task)
                if not lost:
                    break
            if lost:
                workers.renew()
                losses.update(lost)
                for task in lost:
                    if losses[task] < LOST:
                        again.append(task)
                    else:
                        finished(alone(task, workers))
    finally:
        for future in running:
            future.cancel()


def alone(task: AnyTask, workers: Given | Processes) -> Outcome:
    """The outcome of a task with no other beside it."""
    outcome = outcome_of(workers.submit(task), task)
    if outcome is None:
        workers.renew()
        return failed(task, DIED)
    return outcome


def outcome_of(future: Future[Outcome], task: AnyTask) -> Outcome | None:
    """The result of a future; None if its process died."""
    try:
        return future.result()
    except BrokenExecutor:
        return None
    except CancelledError:
        raise SweepError("executor: it was shut down; finished tasks are in the store: sweep again with a new one to go on") from None
    except Exception as error:
        if type(error).__name__ == "KilledWorker":  # Dask's: several workers died with this task, one after the other
            return failed(task, f"{type(error).__name__}: {error}")
        raise SweepError(
            f"executor: it cannot run tasks ({type(error).__name__}: {error}); is the same version of kkt-identify on every worker?"
        ) from error

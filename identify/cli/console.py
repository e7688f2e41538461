"""Output of the commands: text or JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console

if TYPE_CHECKING:
    from identify.sweeps.sweep import Progress

EVERY = 5.0
"""Seconds between two lines of progress if standard error is not a terminal."""
errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


@contextmanager
def progress(budget: float | None = None) -> Iterator[Callable[[str], None]]:
    """A line on standard error that names the current step and the elapsed time; plain lines if it is not a terminal.

    With a budget (seconds) the lines also say how much of it is spent, and one comes every few seconds, even if the step is silent.
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    if errors.is_terminal:
        of = [] if budget is None else [TextColumn(f"of {budget:g} s")]
        with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), *of, console=errors, transient=True) as bar:
            task = bar.add_task("starting", total=None)
            yield lambda name: bar.update(task, description=name)
    elif budget is None:
        yield lambda name: errors.print(name)
    else:
        with _repeating(budget) as tell:
            yield tell


@contextmanager
def _repeating(budget: float) -> Iterator[Callable[[str], None]]:
    """Lines with the elapsed time; the last one is repeated if nothing new comes. Silent while a library holds Python's lock."""
    began, done = time.monotonic(), threading.Event()
    last, step = began, "starting"

    def tell(name: str, still: str = "") -> None:
        nonlocal last, step
        last, step = time.monotonic(), name
        errors.print(f"{last - began:3.0f} of {budget:g} s: {still}{name}", markup=False)

    def repeat() -> None:
        while not done.wait(EVERY / 5):
            if time.monotonic() - last > 0.8 * EVERY:
                tell(step, "still ")

    watch = threading.Thread(target=repeat, daemon=True)
    watch.start()
    try:
        yield tell
    finally:
        done.set()


@contextmanager
def counting() -> Iterator[Callable[[Progress], None]]:
    """A bar on standard error with counts and the time left; if it is not a terminal, a plain line every few seconds."""
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    if not errors.is_terminal:
        printed = -math.inf

        def tell(step: Progress) -> None:
            nonlocal printed
            if time.monotonic() - printed >= EVERY or step.done == step.total:
                printed = time.monotonic()
                errors.print(str(step))

        yield tell
        return
    with Bar(BarColumn(), TextColumn("{task.description}"), console=errors, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda step: bar.update(task, completed=step.done, total=step.total, description=str(step))


def brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return "[" + ", ".join(brief(v) for v in value) + "]"
    return str(value)


def print_text(text: str) -> None:
    sys.stdout.write(text + "\n")


def print_json(content: Any) -> None:
    print_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))


def tell(message: str) -> None:
    errors.print(f"identify: {message}")


def fail(message: str, status: int) -> NoReturn:
    tell(message)
    raise SystemExit(status)

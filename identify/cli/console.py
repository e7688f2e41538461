"""What commands say, and where: text or JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console

if TYPE_CHECKING:
    from identify.sweeps.sweep import Progress

EVERY = 5.0
"""Seconds between two lines of progress, where it is no terminal."""
errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """A line on standard error that names the step under way and the time so far; plain lines where it is no terminal."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    if not errors.is_terminal:
        yield lambda name: errors.print(name)
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=errors, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda name: bar.update(task, description=name)


@contextmanager
def counting() -> Iterator[Callable[[Progress], None]]:
    """A bar on standard error with counts and the time left; where it is no terminal, a plain line every few seconds."""
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    if not errors.is_terminal:
        told = -math.inf

        def tell(step: Progress) -> None:
            nonlocal told
            if time.monotonic() - told >= EVERY or step.done == step.total:
                told = time.monotonic()
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

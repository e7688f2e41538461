"""What commands say, and where: text or JSON on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from rich.console import Console

errors = Console(stderr=True, highlight=False, soft_wrap=True)


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


def fail(message: str, status: int) -> NoReturn:
    errors.print(f"identify: {message}", markup=False)
    raise SystemExit(status)

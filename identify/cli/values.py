"""What the values of options may be: how each kind is read, what an error says was expected, and what a shell completes.

A shell completes names of files by itself wherever nothing else is completed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from reprlib import repr as short
from typing import Any

from typer import BadParameter

from identify.options import unknown

SHORT = 24
"""Letters of all names together that the help shows in place of ``<name>``."""


def _number(read: Callable[[str], Any], expected: str) -> dict[str, Any]:
    def parse(text: str) -> Any:
        try:
            return read(text)
        except ValueError:
            raise BadParameter(f"received {short(text)}, expected {expected}") from None

    return {"parser": parse, "metavar": f"<{read.__name__}>"}


INTEGER = _number(int, "an integer")
NUMBER = _number(float, "a number")


def between(least: int, most: int | None = None) -> dict[str, Any]:
    """Integers from ``least``, up to ``most`` if given."""
    expected = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise BadParameter(f"received {short(text)}, expected {expected}")
        return value

    return {"parser": parse, "metavar": "<int>"}


def one_of(names: tuple[str, ...]) -> dict[str, Any]:
    """Names from a list, which a shell completes."""

    def parse(text: str) -> str:
        if text not in names:
            raise BadParameter(unknown(text, names))
        return text

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    shown = "|".join(names)
    return {"parser": parse, "autocompletion": complete, "metavar": f"<{shown if len(shown) <= SHORT else 'name'}>"}


def _new_file(text: str | Path) -> Path:
    path = Path(text)
    if path.is_dir():
        raise BadParameter(f"received {str(text)!r}, which is a folder, expected a file to write; add a name")
    if not path.parent.is_dir():
        raise BadParameter(f"received {str(text)!r}, expected a file in a folder that exists; make {path.parent} first")
    return path


OLD_FILE: dict[str, Any] = {"metavar": "<file>"}
NEW_FILE: dict[str, Any] = {"parser": _new_file, "metavar": "<file>"}
FOLDER: dict[str, Any] = {"metavar": "<folder>"}

"""Kinds of values of options: how each is parsed, which values an error names as expected, and which ones a shell completes.

If an option has no completion of its own, the shell completes names of files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from math import inf
from pathlib import Path
from reprlib import repr as short
from typing import Any

from typer import BadParameter

from identify.base.options import LAYERS, unknown

SHORT = 24
"""Longest list of names that the help shows in place of ``<name>``, in characters."""


def _number(kind: Callable[[str], Any], expected: str, fits: Callable[[Any], bool]) -> dict[str, Any]:
    def parse(text: str) -> Any:
        received = text
        try:
            received = kind(text)
            if fits(received):
                return received
        except (ValueError, OverflowError):
            pass
        raise BadParameter(f"received {short(received)}, expected {expected}")

    return {"parser": parse, "metavar": f"<{kind.__name__}>"}


def between(least: int, most: int | None = None) -> dict[str, Any]:
    """Integers from ``least``, up to ``most`` if given."""
    expected = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
    return _number(int, expected, lambda value: least <= value <= (inf if most is None else most))


COUNT = between(1)
POSITIVE = _number(float, "a positive number", lambda value: 0 < value < inf)
NOT_NEGATIVE = _number(float, "a number of at least 0", lambda value: 0 <= value < inf)
SECONDS = _number(float, "a positive number of seconds", lambda value: 0 < value < inf)
GIBIBYTES = _number(float, "a positive number of GiB", lambda value: 2**-30 <= value < 2**33)


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


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in text.lower().split("x"))
    except ValueError:
        sizes = ()
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise BadParameter(f'received {short(text)}, expected sizes as in "28x28" or "32x32x3"')
    return sizes


def _widths(text: str) -> int | tuple[int, ...]:
    try:
        widths = tuple(int(size) for size in text.split(","))
    except ValueError:
        widths = ()
    if not widths or min(widths) < 1:
        raise BadParameter(f'received {short(text)}, expected an integer of at least 1, or one for each hidden layer as in "8,6"')
    return widths if len(widths) > 1 else widths[0]


def _layers(text: str) -> str | tuple[int, ...]:
    if text in LAYERS:
        return text
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise BadParameter(f'received {short(text)}, expected one of {", ".join(LAYERS)}, or numbers of layers as in "1,3"') from None


def _cell(text: str) -> str | list[list[list[int]]]:
    if text == DATA:
        return text
    try:
        return [[[int(piece) for piece in sample] for sample in layer.split(",")] for layer in text.split("/")]
    except ValueError:
        raise BadParameter(
            f'received {short(text)}, expected "{DATA}", or the pieces of all neurons, samples separated by commas and hidden layers by '
            'slashes, as in "101,110/01,11"'
        ) from None


def new_file(suffix: str = "") -> dict[str, Any]:
    """A file to write; a path that cannot be written is refused before the work, not after it."""

    def parse(text: str) -> Path:
        path = Path(text)
        if path.is_dir():
            raise BadParameter(f"received {text!r}, which is a folder, expected a file to write; add a name")
        if not path.parent.is_dir():
            raise BadParameter(f"received {text!r}, expected a file in a folder that exists; make {path.parent} first")
        if path.suffix != suffix and suffix:
            raise BadParameter(f"received {text!r}, expected a name that ends in {suffix}")
        return path

    return {"parser": parse, "metavar": "<file>"}


def _new_folder(text: str | Path) -> Path:
    path = Path(text)
    above = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise BadParameter(f"received {str(path)!r}, expected a folder to write in; choose another place")
    return path


DATA = "data"
"""The activation cell of data that are known."""
WIDTHS: dict[str, Any] = {"parser": _widths, "metavar": "<sizes>"}
OBSERVED: dict[str, Any] = {**one_of(LAYERS), "parser": _layers, "metavar": "<layers>"}
CELL: dict[str, Any] = {"parser": _cell, "metavar": "<pieces>"}
SIZES: dict[str, Any] = {"parser": _sizes, "metavar": "<sizes>"}
OLD_FILE: dict[str, Any] = {"metavar": "<file>"}
NEW_FOLDER: dict[str, Any] = {"parser": _new_folder, "metavar": "<folder>"}

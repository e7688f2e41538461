"""A file that was cut short at any byte, or has one bit the other way at any byte: the same answer as before, or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .counted import Row, is_clear, row
from .things import THINGS, Thing, readable

NAMES = {"folder of an audit": "`report.json` of an audit"}
"""Of the file alone."""


def judged(thing: Thing, path: Path, content: bytes, right: object) -> str:
    path.write_bytes(content)
    assert thing.read is not None
    try:
        found = thing.read(path)
    except Exception as error:
        return "refused" if is_clear(error) else f"crash: {type(error).__name__}"
    return "right" if found == right else "wrong"


def flipped(content: bytes, place: int, rng: np.random.Generator) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << int(rng.integers(8))]) + content[place + 1 :]


def damaged(folder: Path, seed: int, quick: bool) -> Iterator[Row]:
    """Every byte of every kind of file that is read again; every 25th if ``quick``."""
    step = 25 if quick else 1
    for number, (name, thing) in enumerate(readable(THINGS)):
        place = folder / str(number)
        place.mkdir()
        thing.write(place, 0)
        path, rng = place / thing.file, np.random.default_rng([seed, number])
        whole, right = path.read_bytes(), thing.read(path)  # type: ignore[misc]
        name = NAMES.get(name, name)
        yield row("cut short", name, [judged(thing, path, whole[:cut], right) for cut in range(0, len(whole), step)])
        yield row("one bit", name, [judged(thing, path, flipped(whole, at, rng), right) for at in range(0, len(whole), step)])

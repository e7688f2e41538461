"""Axes of a phase diagram, and the points that share a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from identify.base.errors import InputError
from identify.base.options import choice
from identify.sweeps.task import PARAMETERS, varying

Row = dict[str, Any]
MOST = 12
"""Largest number of panels in a picture."""
_SIZES = ("width", "samples", "inputs", "outputs")


@dataclass(frozen=True)
class Panel:
    """Rows that agree in everything but the axes and the seed; ``title`` says how they differ from other panels."""

    title: str
    rows: list[Row]


def axes_of(rows: Sequence[Row], x: str | None, y: str | None) -> tuple[str, str]:
    """The two axes: the requested ones, else the sizes with the most values; the number of samples is vertical."""
    for name, value in (("x", x), ("y", y)):
        if value is not None:
            choice(name, value, PARAMETERS)
    if x is not None and x == y:
        raise InputError(f"y: received {y!r} for both axes, expected another than x")
    free = [name for name in by_number(rows) if name not in (x, y, "seed")]
    if x is None and y is None:
        first, second = free[:2]
        return (second, first) if first == "samples" else (first, second)
    return x or free[0], y or free[0]


def by_number(rows: Sequence[Row]) -> list[str]:
    """Parameters by their number of values, most first: varying sizes, other varying parameters, then constant ones."""
    numbers = {name: len(values_of(rows, name)) for name in (*_SIZES, *PARAMETERS)}
    return sorted(numbers, key=lambda name: (numbers[name] < 2, name not in _SIZES, -numbers[name]))


def values_of(rows: Sequence[Row], name: str) -> list[Any]:
    """Values of a parameter in these rows: numbers by size, strings in their order; missing values come first."""
    values = dict.fromkeys(row.get(name) for row in rows)
    if all(isinstance(value, (int, float)) or value is None for value in values):
        return sorted(values, key=lambda value: -1 if value is None else value)
    return list(values)


def panels_of(rows: Sequence[Row], axes: Sequence[str]) -> list[Panel]:
    """Rows grouped by the parameters that vary besides the axes and the seed. Raises ValueError for more than 12 panels."""
    others = [name for name in varying(rows) if name not in (*axes, "seed")]
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in others), []).append(row)
    if len(groups) > MOST:
        raise InputError(
            f"where: {len(groups)} panels, because {', '.join(others)} vary besides {' and '.join(axes)}; expected at most {MOST}: "
            f"choose some points, as in where '{others[0]} == {rows[0].get(others[0])!r}', or other axes"
        )
    return [Panel(", ".join(f"{name} {shown(value)}" for name, value in zip(others, key, strict=True)), groups[key]) for key in groups]


def fixed(rows: Sequence[Row]) -> str:
    """The values that all rows share, for the title of a picture; defaults are left out."""
    usual = {"outputs": 1, "bias": False, "layers": "both", "regime": "gradient", "noise": 0.0, "method": "auto"}
    common = [name for name in PARAMETERS if name != "seed" and rows[0].get(name) is not None and name not in varying(rows)]
    parts = [f"{name} {shown(rows[0][name])}" for name in common if rows[0][name] != usual.get(name)]
    seeds = len(values_of(rows, "seed"))
    return "".join(f"; {part}" for part in [*parts, *([f"{seeds} seeds"] if seeds > 1 else [])])


def shown(value: Any) -> str:
    """A value as a label."""
    return f"{value:g}".replace("e-0", "e-") if isinstance(value, float) else str(value)

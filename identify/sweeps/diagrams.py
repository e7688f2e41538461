"""Phase diagrams of two axes: the verdict at each point, or the share of successful recoveries. Readable without colour."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from identify.report.canvas import ACCENT, INK, MUTED, RULE, WIDTH, new_figure
from identify.sweeps.panels import Panel, Row, axes_of, fixed, panels_of, shown, values_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTERS = 0.15
"""Smallest size in inches of a cell with a letter; smaller cells are hatched."""
VERDICTS = {
    "UNIQUE": ("U", "#14607a", "white", ""),
    "LOCALLY_UNIQUE": ("L", "#93c3d1", INK, "///"),
    "UNDECIDED": ("?", "#efeee9", INK, "..."),
    "NOT_UNIQUE": ("N", "#d98a4b", INK, "\\\\\\"),
    "differs by seed": ("≠", "#ffffff", INK, "xxx"),
    "failed": ("×", "#ffffff", "#a12020", "+++"),
}
"""Letter, colour, colour of the letter, and hatching of each verdict."""


def verdict_diagram(rows: Sequence[Row], x: str | None, y: str | None) -> Figure:
    """Verdicts over two axes, a panel for each combination of the other varying parameters."""
    from matplotlib.patches import Patch

    across, along = axes_of(rows, x, y)
    panels = panels_of(rows, (across, along))
    scopes = dict.fromkeys(row["scope"] for row in rows if row["state"] == "done")
    figure, grid, size = _canvas(panels, rows, across, along, f"Verdict for {' or '.join(scopes)}, up to the ambiguity")
    lettered = size >= LETTERS
    shown_states: dict[str, None] = {}
    for axes, panel in zip(grid, panels, strict=True):
        for column, row, cell in _cells(panel, rows, across, along):
            states = {one["verdict"] if one["state"] == "done" else "failed" for one in cell}
            name = states.pop() if len(states) == 1 else "differs by seed"
            shown_states[name] = None
            letter, colour, ink, hatch = VERDICTS[name]
            _box(axes, column, row, colour, "" if lettered else hatch)
            if lettered:
                axes.text(column, row, letter, color=ink, fontsize=min(9, 40 * size), ha="center", va="center")
    handles = [
        Patch(
            facecolor=colour,
            edgecolor=MUTED,
            hatch="" if lettered else hatch,
            linewidth=0.5,
            label=f"{letter}  {name}" if lettered else name,
        )
        for name, (letter, colour, _, hatch) in VERDICTS.items()
        if name in shown_states
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), fontsize=8.5, frameon=False)
    return figure


def recovery_diagram(rows: Sequence[Row], x: str | None, y: str | None) -> Figure:
    """The share of seeds whose data were recovered, over two axes; failed tasks are left out."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("success", ["#ffffff", "#93c3d1", ACCENT])
    rows = [row for row in rows if row["state"] == "done"]
    across, along = axes_of(rows, x, y)
    panels = panels_of(rows, (across, along))
    figure, grid, size = _canvas(panels, rows, across, along, "Planted instances recovered, per cent of seeds")
    for axes, panel in zip(grid, panels, strict=True):
        for column, row, cell in _cells(panel, rows, across, along):
            rate = float(np.mean([one["success"] for one in cell]))
            _box(axes, column, row, colours(rate), "")
            if size >= LETTERS:
                text, ink = f"{100 * rate:.0f}", "white" if rate > 0.7 else INK
                axes.text(column, row, text, color=ink, fontsize=float(np.clip(26 * size, 5.5, 8.5)), ha="center", va="center")
    bar = figure.colorbar(ScalarMappable(cmap=colours), ax=list(grid), fraction=0.04, aspect=30)
    bar.set_ticks([0, 0.5, 1], labels=["0 %", "50 %", "100 %"])
    bar.ax.tick_params(labelsize=8, colors=MUTED)
    bar.outline.set_edgecolor(RULE)
    return figure


def _canvas(panels: Sequence[Panel], rows: Sequence[Row], across: str, along: str, what: str) -> tuple[Figure, list[Axes], float]:
    """A figure with an empty grid for each panel, all with the same axes, and the size of a cell in inches."""
    xs, ys = values_of(rows, across), values_of(rows, along)
    columns = 1 if len(panels) == 1 else 2 if len(panels) in (2, 4) or len(xs) > 12 else 3
    lines = -(-len(panels) // columns)
    width = (WIDTH - 0.6) / columns - 0.55
    height = float(np.clip(width / len(xs) * len(ys), 1.1, 4.6 if columns == 1 else 2.8))
    figure = paper(lines * (height + 0.75) + 0.85, f"{what}{fixed(rows)}")
    grid = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid, panels, strict=False):
        axes.set(xlim=(-0.5, len(xs) - 0.5), ylim=(-0.5, len(ys) - 0.5))
        axes.set_title("\n".join(textwrap.wrap(panel.title, max(18, int(14 * width)))), fontsize=8.5, color=INK)
        for axis, values, room, name in ((axes.xaxis, xs, width, across), (axes.yaxis, ys, height, along)):
            step = max(1, int(np.ceil(len(values) * (0.3 if axis is axes.xaxis else 0.17) / room)))
            axis.set_ticks(range(0, len(values), step), [shown(value) for value in values[::step]])
            axis.set_label_text(name, fontsize=9, color=INK)
        axes.tick_params(labelsize=8, colors=MUTED, length=2)
        axes.label_outer()
        for spine in axes.spines.values():
            spine.set_color(RULE)
    return figure, grid[: len(panels)], min(width / len(xs), height / len(ys))


def paper(height: float, title: str) -> Figure:
    """An empty figure with a title, which is broken after semicolons; it arranges its parts by itself."""
    whole = "; ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in title.split("; "))
    lines = [line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(whole, 100)]
    figure = new_figure(WIDTH, height + 0.15 * (len(lines) - 1))
    figure.set_layout_engine("constrained")
    figure.suptitle("\n".join(lines), fontsize=9.5, color=INK)
    return figure


def _cells(panel: Panel, rows: Sequence[Row], across: str, along: str) -> list[tuple[int, int, list[Row]]]:
    """Column, row and tasks of each cell of a panel."""
    xs, ys = values_of(rows, across), values_of(rows, along)
    cells: dict[tuple[Any, Any], list[Row]] = {}
    for row in panel.rows:
        cells.setdefault((row.get(across), row.get(along)), []).append(row)
    return [(xs.index(x), ys.index(y), cell) for (x, y), cell in cells.items()]


def _box(axes: Axes, column: int, row: int, colour: Any, hatch: str) -> None:
    from matplotlib.patches import Rectangle

    edge = MUTED if hatch else "white"
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, edgecolor=edge, linewidth=0 if hatch else 0.6, hatch=hatch))

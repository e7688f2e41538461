"""Curves of a sweep: thresholds as a size grows, and the error of recovery as the noise grows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from identify.base.options import choice
from identify.report.canvas import ACCENT, INK, MUTED, RULE
from identify.sweeps.diagrams import paper
from identify.sweeps.panels import Panel, Row, by_number, fixed, panels_of, shown, values_of
from identify.sweeps.task import PARAMETERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 7
"""Largest number of curves in a panel; with more, each value that distinguishes them gets a panel."""
LINES = {
    "unique": ("proved unique up to", ACCENT, "o", "-"),
    "locally_unique": ("isolated up to", "#5b9fb3", "s", (0, (5, 2))),
    "not_identifiable": ("not identifiable from", "#c0692a", "^", (0, (1.5, 1.5))),
}
"""Label, colour, marker and line of each curve of thresholds."""
MARKERS = "os^DvPX"
STYLES: list[Any] = ["-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), "-", (0, (5, 2)), (0, (1.5, 1.5))]
COLOURS = [ACCENT, "#c0692a", "#5b8c3a", "#7a4f9a", "#333a40", "#2f8fb0", "#a0803a"]


def thresholds_curves(rows: Sequence[Row], x: str | None) -> Figure:
    """Numbers of samples that are determined, isolated or not identifiable, as a size grows; for proofs the minimum over the seeds."""
    rows = [row for row in rows if row["state"] == "done"]
    across = choice("x", x, PARAMETERS) if x is not None else next(name for name in by_number(rows) if name not in ("seed", "samples"))
    panels = panels_of(rows, (across,))
    figure, grid = _panels(panels, f"Thresholds for generic networks and generic data{fixed(rows)}")
    xs = values_of(rows, across)
    for axes, panel in zip(grid, panels, strict=True):
        for name, (label, colour, marker, line) in LINES.items():
            at, heights = [], []
            for value in values_of(panel.rows, across):
                values = [row[name] for row in panel.rows if row.get(across) == value and row[name] is not None]
                if values:
                    at.append(_position(value, xs))
                    heights.append(max(values))  # a proof from one seed is a proof; not_identifiable is one number, or open
            axes.plot(at, heights, color=colour, marker=marker, markersize=4, linewidth=1.2, linestyle=line, label=label)
        _label(axes, across, "samples")
        if _are_texts(xs):
            axes.set_xticks(range(len(xs)), [shown(value) for value in xs])
        axes.set_ylim(bottom=0)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5, frameon=False)
    return figure


def noise_curves(rows: Sequence[Row]) -> Figure:
    """Median of the relative error over seeds against the relative noise, on log axes; a failed recovery counts as infinite."""
    from matplotlib.ticker import NullLocator

    rows = [row for row in rows if row["state"] == "done"]
    others = [name for name in by_number(rows) if name not in ("seed", "noise")]
    apart = next(name for name in others if len(values_of(rows, name)) <= MOST)
    panels = panels_of(rows, ("noise", apart))
    figure, grid = _panels(panels, f"Median error against noise; bars: the middle 80 %; hollow: some not recovered{fixed(rows)}")
    positive = [value for value in values_of(rows, "noise") if value]
    none = min(positive) / 10
    for axes, panel in zip(grid, panels, strict=True):
        axes.plot([min(positive), max(positive)], [min(positive), max(positive)], color=MUTED, linewidth=0.8, label="error = noise")
        for number, value in enumerate(values_of(rows, apart)):
            _noise_curve(axes, [row for row in panel.rows if row.get(apart) == value], none, number, f"{apart} {shown(value)}")
        axes.set_xscale("log")
        axes.set_yscale("log")
        if 0.0 in values_of(rows, "noise"):
            axes.set_xticks([none, *positive], ["0", *(f"{value:.0e}".replace("e-0", "e-") for value in positive)])
            axes.xaxis.set_minor_locator(NullLocator())
        if all(row["relative_error"] is None for row in panel.rows):
            axes.text(0.5, 0.5, "none recovered", transform=axes.transAxes, fontsize=9, color=MUTED, ha="center")
        _label(axes, "relative noise of the target", "relative error")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8.5, frameon=False)
    return figure


def _noise_curve(axes: Axes, rows: Sequence[Row], none: float, number: int, label: str) -> None:
    """One curve, with the middle 80 % of the seeds as bars, and hollow marks if some recoveries failed."""
    marker, line, colour = MARKERS[number], STYLES[number], COLOURS[number]
    at, median, low, high, hollow = [], [], [], [], []
    for noise in values_of(rows, "noise"):
        errors = [np.inf if row["relative_error"] is None else row["relative_error"] for row in rows if row["noise"] == noise]
        values = np.quantile(errors, [0.1, 0.5, 0.9], method="nearest")
        if np.isfinite(values[1]):
            at.append(noise or none)
            low.append(max(values[0], 1e-17))
            median.append(max(values[1], 1e-17))
            high.append(values[2] if np.isfinite(values[2]) else values[1])
            hollow.append(not np.isfinite(errors).all())
    apart = at.index(none) + 1 if none in at else 0  # no line leads to no noise, which has no place on a log axis
    axes.plot(at[:apart], median[:apart], color=colour, linestyle="none", marker=marker, markersize=4.5)
    axes.plot(at[apart:], median[apart:], color=colour, linestyle=line, linewidth=1.2, marker=marker, markersize=4.5, label=label)
    axes.vlines(at, low, high, color=colour, linewidth=0.8)
    some = [index for index, failed in enumerate(hollow) if failed]
    axes.plot([at[i] for i in some], [median[i] for i in some], color=colour, linestyle="none", marker=marker, markersize=4.5, mfc="white")


def _panels(panels: Sequence[Panel], title: str) -> tuple[Figure, list[Axes]]:
    columns = 1 if len(panels) == 1 else 2
    lines = -(-len(panels) // columns)
    figure = paper(lines * (3.3 if columns == 1 else 2.5) + 0.7, title)
    grid = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid, panels, strict=False):
        axes.set_title("\n".join(textwrap.wrap(panel.title, 48)), fontsize=8.5, color=INK)
        axes.tick_params(labelsize=8, colors=MUTED, which="both")
        axes.grid(color=RULE, linewidth=0.5)
        axes.set_axisbelow(True)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(MUTED)
    return figure, grid[: len(panels)]


def _label(axes: Axes, across: str, along: str) -> None:
    axes.set_xlabel(across, fontsize=9, color=INK)
    axes.set_ylabel(along, fontsize=9, color=INK)
    axes.label_outer()


def _are_texts(values: Sequence) -> bool:
    return any(isinstance(value, (str, bool)) for value in values)


def _position(value, values: Sequence) -> float:
    return float(values.index(value)) if _are_texts(values) else value

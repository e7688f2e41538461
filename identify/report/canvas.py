"""Paper and ink of the pictures: figures of a set width, cells in a grid, and how one sample is drawn in a cell.

Figures are made through matplotlib's object-oriented interface only, so no global figure, backend or style is touched.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from identify.base.extras import DRAWING, needed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
WIDTH, NARROWEST = 7.4, 6.2
"""Inches."""
INK, MUTED, RULE, ACCENT, BAND = "#1c1e20", "#565c62", "#d8d9d4", "#14607a", "#e6f0f3"
BARS = 24
"""Up to this many coordinates a sample is drawn as bars, beyond it as a line of steps."""


def new_figure(width: float, height: float) -> Figure:
    needed("matplotlib", DRAWING)
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white")


def to_png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    # Not savefig: it follows the user's rcParams (savefig.bbox, savefig.dpi), which would change the size.
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def to_svg(figure: Figure) -> bytes:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


class Grid:
    """Cells of equal size in rows and columns, in inches: names at the left, heads on top, room below each block for labels."""

    def __init__(
        self, across: int, blocks: Sequence[int], heads: Sequence[str], names: Sequence[str], aspect: float, foot: bool = False
    ) -> None:
        lines = [textwrap.wrap(name, 13) or [""] for name in names]
        head_lines = [textwrap.wrap(head, 14) or [""] for head in heads]
        left = 0.14 + 0.075 * max(len(line) for name in lines for line in name)
        gap = 0.07
        self.width = min((WIDTH - left - 0.1) / across - gap, 1.45 if aspect <= 1 else 1.7)
        self.height = self.width / aspect
        self.pitch = self.width + gap
        self.left = left + max(0.0, NARROWEST - left - 0.1 - across * self.pitch) / 2
        total_width = max(NARROWEST, left + across * self.pitch + 0.1)
        # Long heads would overlap in narrow columns; the smallest size that is readable on the page is 6.5 points.
        widest = max(len(line) for head in head_lines for line in head)
        self.head_size = float(np.clip(self.width / max(widest, 1) * 118, 6.5, 9))
        self.foot_size = float(np.clip(self.width * 13.5, 6.5, 8.5))
        top = 0.1 + (0.19 * max(len(head) for head in head_lines) if any(heads) else 0)
        below = 0.34 if foot else 0.16
        y = top
        self.tops: list[float] = []
        for count in blocks:
            for _ in range(count):
                self.tops.append(y)
                y += self.height + gap
            y += below - gap
        self.total = (total_width, max(y - (0.06 if foot else 0.08), 0.6))
        self.figure = new_figure(*self.total)
        for column, head in enumerate(head_lines):
            x = self.left + column * self.pitch + self.width / 2
            self._text(x, top - 0.05, "\n".join(head), self.head_size, "center", "bottom")
        for row, name in enumerate(lines):
            y = self.tops[row] + self.height / 2
            self._text(self.left - 0.09, y, "\n".join(name), 8.5, "right", "center", MUTED)

    def axes(self, row: int, column: int) -> Axes:
        width, height = self.total
        x, y = self.left + column * self.pitch, self.tops[row] + self.height
        return self.figure.add_axes((x / width, 1 - y / height, self.width / width, self.height / height))

    def label(self, row: int, column: int, text: str) -> None:
        x, y = self.left + column * self.pitch + self.width / 2, self.tops[row] + self.height + 0.05
        self._text(x, y, text, self.foot_size, "center", "top")

    def png(self) -> bytes:
        return to_png(self.figure)

    def _text(self, x: float, y: float, text: str, size: float, across: str, along: str, color: str = INK) -> None:
        width, height = self.total
        self.figure.text(x / width, 1 - y / height, text, fontsize=size, ha=across, va=along, color=color, linespacing=1.15)


def draw_sample(
    axes: Axes, values: np.ndarray, limits: tuple[float, float], shape: tuple[int, ...] | None, accent: bool, missing: bool
) -> None:
    low, high = limits
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=RULE, linewidth=0.6)
    if missing:
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=0.8)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.text(0.5, 0.5, "none", ha="center", va="center", fontsize=7, color=MUTED, backgroundcolor="white")
    elif shape is not None and len(shape) == 3:
        axes.imshow(np.clip((values.reshape(shape) - low) / (high - low), 0, 1), interpolation="nearest", aspect="auto")
    elif shape is not None:
        axes.imshow(values.reshape(shape), cmap="gray", vmin=low, vmax=high, interpolation="nearest", aspect="auto")
    else:
        low, high = min(low, 0.0), max(high, 0.0)
        margin = 0.08 * (high - low)
        color = ACCENT if accent else INK
        if len(values) <= BARS:
            axes.bar(range(len(values)), values, width=0.75, color=color, linewidth=0)
        else:
            axes.step(range(len(values)), values, where="mid", color=color, linewidth=0.8)
        axes.axhline(0, color=MUTED, linewidth=0.5)
        axes.set(xlim=(-0.7, len(values) - 0.3), ylim=(low - margin, high + margin))


def value_range(*candidates: np.ndarray) -> tuple[float, float]:
    """Least and greatest finite value of the first array that is not constant; (0, 1) around what there is otherwise."""
    for values in candidates:
        finite = values[np.isfinite(values)]
        if finite.size and finite.max() > finite.min():
            return float(finite.min()), float(finite.max())
    return (0.0, 1.0) if not np.any(finite) else (min(0.0, 2 * float(finite[0])), max(0.0, 2 * float(finite[0])))


def aspect_ratio(shape: tuple[int, ...] | None) -> float:
    """Width over height of one cell; extreme images are drawn in a cell of bounded shape."""
    return 1.25 if shape is None else float(np.clip(shape[1] / shape[0], 0.25, 4.0))

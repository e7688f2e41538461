"""The picture of splits: every candidate of a run as a line over the iterations, which branches when the candidate is split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from identify.base.errors import InputError
from identify.report.canvas import INK, MUTED, aspect_ratio, draw_sample, new_figure, to_png, value_range
from identify.report.plots import check_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, LEFT, RIGHT = 4.7, 0.45, 0.2
"""Width of the picture and its margins, inches: narrow, so that its letters can be read on a phone."""
ABOVE, BELOW, BAR = 0.3, 0.48, 0.62
"""Inches above the tree, below it, and for the colours below that."""
PICTURE, GAP = 0.34, 0.12
"""Height of a line with a picture, and the gap between two columns of them, inches."""
CLOSE, APART, TALL = 0.02, 0.2, 6.0
"""Limits of the height of a line without a picture, and height of many of them, inches."""
MOST_PICTURES, MOST = 60, 2000


class Branch(NamedTuple):
    """A candidate between its start or a split and the next split or the end of the run."""

    candidate: int
    since: int
    until: int
    height: float
    is_last: bool


class Tree(NamedTuple):
    """Branches, splits as (iteration, lower and upper height of the two children), and the candidates from the top down."""

    branches: list[Branch]
    splits: list[tuple[int, float, float]]
    order: list[int]


def tree(parents: Int[np.ndarray, " k"], born: Int[np.ndarray, " k"], until: int) -> Tree:
    """Where the lines are: children next to each other, so that no two lines cross; a parent is between its children.

    ``parents`` has -1 for candidates of the start, and ``born`` the iteration of the split that made a candidate. Later candidates come
    later.
    """
    groups = {j: [j] for j in range(len(parents))}
    later = [j for j in reversed(range(len(parents))) if parents[j] >= 0]
    for j in later:
        groups[int(parents[j])] += groups.pop(j)
    order = [j for group in groups.values() for j in group]
    at = np.empty(len(parents))
    at[order] = np.arange(len(order))
    ends, last = np.full(len(parents), until), np.ones(len(parents), bool)
    branches, splits = [], []
    for j in later:
        parent, since = int(parents[j]), int(born[j])
        branches += [Branch(k, since, int(ends[k]), float(at[k]), bool(last[k])) for k in (parent, j)]
        splits.append((since, float(at[parent]), float(at[j])))
        at[parent], ends[parent], last[parent] = (at[parent] + at[j]) / 2, since, False
    branches += [Branch(j, 0, int(ends[j]), float(at[j]), bool(last[j])) for j in groups]
    return Tree(branches, splits, order)


def draw_lineage(
    parents: Int[np.ndarray, " k"],
    born: Int[np.ndarray, " k"],
    until: int,
    values: Float[np.ndarray, " k"],
    label: str,
    *,
    span: tuple[float, float],
    images: Sequence[tuple[str, Float[np.ndarray, "k d"]]] = (),
    shape: tuple[int, ...] | None = None,
) -> bytes:
    """The tree as PNG bytes; lines that reach the end have the colour of their value, and what was split before is gray.

    Parameters
    ----------
    parents, born, until
        See :func:`tree`; ``until`` is the last iteration.
    values, label, span
        One value for each candidate, what it is, and the values at the ends of the colours.
    images, shape
        Columns of pictures at the right, each with a heading and one sample for each candidate.

    Raises
    ------
    ValueError
        More than 2000 candidates, or 60 with pictures, or (as :class:`~identify.base.extras.MissingExtraError`) no matplotlib.
    """
    k, most = len(parents), MOST_PICTURES if images else MOST
    if images:
        check_shape(shape, images[0][1].shape[1])
    if k > most:
        raise InputError(f"lineage: received {k} candidates, expected at most {most}" + "; leave out the shape" * bool(images))
    line = PICTURE if images else float(np.clip(TALL / k, CLOSE, APART))
    cell = line * min(aspect_ratio(shape), 1.5)
    height, right = max(k * line, 0.8), RIGHT + (cell + GAP) * len(images)
    total = height + ABOVE + BELOW + BAR
    figure = new_figure(WIDTH, total)
    across = WIDTH - LEFT - right
    axes = figure.add_axes((LEFT / WIDTH, (BELOW + BAR) / total, across / WIDTH, height / total))
    where = tree(parents, born, until)
    _lines(axes, where, values, span, thick=float(np.clip(9 * line, 0.8, 2.2)))
    axes.set(xlim=(0, until), ylim=(k - 0.5, -0.5))
    axes.set_xlabel("iterations", fontsize=9, color=INK)
    axes.locator_params(axis="x", nbins=5)
    named = range(k) if line >= 0.12 else range(0, k, int(np.ceil(0.12 / line)))
    axes.set_yticks(list(named), [str(where.order[row]) for row in named], fontsize=7)
    axes.tick_params(labelsize=8.5, colors=MUTED)
    axes.tick_params(axis="y", labelsize=7, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(MUTED)
    figure.text(0.02, 1 - 0.5 * ABOVE / total, "candidate", fontsize=8.5, color=MUTED, va="center")
    for column, (heading, samples) in enumerate(images):
        left = LEFT + across + GAP + column * (cell + GAP)
        figure.text((left + cell / 2) / WIDTH, 1 - 0.5 * ABOVE / total, heading, fontsize=7.5, color=MUTED, ha="center", va="center")
        for row, j in enumerate(where.order):
            bottom = total - ABOVE - (row + 0.5) * height / k - line / 2
            box = figure.add_axes((left / WIDTH, (bottom + 0.02) / total, cell / WIDTH, (line - 0.04) / total))
            draw_sample(box, samples[j], value_range(samples[j]), shape, accent=True, missing=not np.isfinite(samples[j]).all())
    bar = figure.add_axes((LEFT / WIDTH, 0.36 / total, across / WIDTH, 0.1 / total))
    bar.imshow(np.linspace(0, 1, 256)[None], cmap="viridis", aspect="auto", extent=(*span, 0, 1))
    bar.set_yticks([])
    bar.tick_params(labelsize=8.5, colors=MUTED)
    bar.locator_params(axis="x", nbins=5)
    bar.set_xlabel(label, fontsize=9, color=INK, labelpad=1)
    return to_png(figure)


def _lines(axes: Axes, where: Tree, values: np.ndarray, span: tuple[float, float], thick: float) -> None:
    from matplotlib import colormaps

    low, high = span
    part = np.clip((values - low) / (high - low or 1.0), 0, 1)
    for since, one, other in where.splits:
        axes.plot([since, since], [one, other], color=MUTED, linewidth=0.8, solid_capstyle="butt", zorder=2)
    for each in where.branches:
        color = colormaps["viridis"](part[each.candidate]) if each.is_last and np.isfinite(part[each.candidate]) else MUTED
        width = thick if each.is_last else 0.8
        axes.plot([each.since, each.until], [each.height] * 2, color=color, linewidth=width, solid_capstyle="butt", zorder=3)

"""The picture of a defence: exact verdicts as strips, estimated errors as lines, observed ones as points, as PNG bytes.

It is narrow, so that its letters can be read on a phone.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from identify.problem.verdict import Verdict
from identify.report.canvas import ACCENT, BAND, INK, MUTED, RULE, new_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, PLOT = 4.7, 2.9
"""Width of the picture and height of its plot, inches."""
LEFT, RIGHT = 0.185, 0.975
"""Ends of the plot, parts of the width."""
KEY = "U unique · L locally · N not unique · ? undecided (exact)"
OBSERVED = "#b3501b"
FILL = {"UNIQUE": ACCENT, "LOCALLY_UNIQUE": "#8fbccb", "NOT_UNIQUE": "#e3a57f", "UNDECIDED": RULE}
LETTER = {"UNIQUE": "U", "LOCALLY_UNIQUE": "L", "NOT_UNIQUE": "N", "UNDECIDED": "?"}
WHITE_ON = ("UNIQUE",)
INFORMED = "no unbiased estimator below, best sample"
EXCLUDED = "excluded without prior knowledge"
TYPICAL = "typical, best to worst sample"
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
STRIPS = ("these data", "generic data")


def draw_defence(
    levels: Sequence[float | int | str],
    axis: str,
    *,
    bound: Float[np.ndarray, "levels n"],
    typical: Float[np.ndarray, "levels n"],
    observed: Float[np.ndarray, "levels n"],
    verdicts: Sequence[Sequence[Verdict | None]],
    strips: bool,
    informed: Float[np.ndarray, "levels n"] | None = None,
    excluded: float | None = None,
) -> bytes:
    """Errors of the samples (relative, dimensionless) against levels from weak to strong, as PNG bytes; floats on a logarithmic axis.

    ``strips``: the verdicts for these and for generic data above, one cell for each level, all equally wide. An error that is
    infinite is drawn at the top: a triangle if there is no bound, a cross if nothing was recovered; nan is not drawn.
    ``informed``: a lower bound for estimators who know all but one sample. ``excluded``: the level from which on no attack succeeds.
    """
    numbers = all(not isinstance(level, str) for level in levels)
    x = np.arange(len(levels), dtype=float) if strips or not numbers else np.array(levels, dtype=float)
    if any(isinstance(level, float) for level in levels) and not strips:
        x = np.log10(x)
    names = [
        f"{level:g}"
        if isinstance(level, float)
        else str(level)
        if numbers
        else "\n".join(textwrap.wrap(_raised(str(level)), max(40 // len(levels), 6)))
        for level in levels
    ]
    label = textwrap.wrap(axis + ", not to scale" * (strips and numbers), 56)
    below = 0.34 + 0.16 * len(label) + 0.14 * (max(name.count("\n") for name in names))
    above = 0.8 if strips else 0.12
    height = PLOT + below + above
    figure = new_figure(WIDTH, height)
    axes = figure.add_axes((LEFT, below / height, RIGHT - LEFT, PLOT / height))
    if excluded is not None and np.log10(excluded) < x[-1]:
        axes.axvspan(np.log10(excluded), x[-1] + np.ptp(x), color=RULE, alpha=0.6, linewidth=0, zorder=0, label=EXCLUDED)
    _errors(axes, x, bound, typical, observed, informed, joined=numbers)
    room = (0.5 if strips else 0.06 * np.ptp(x) or 0.5) * (-1 if x[0] > x[-1] else 1)
    ends = (x[0] - room, x[-1] + room)
    axes.set_xlim(*ends)
    _ticks(axes, x, levels, names)
    axes.set_xlabel("\n".join(label), fontsize=9, color=INK)
    axes.set_ylabel("relative error (dimensionless)", fontsize=9, color=INK)
    axes.tick_params(labelsize=8.5, colors=MUTED, which="both")
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
    if strips:
        cells = figure.add_axes((LEFT, (below + PLOT + 0.14) / height, RIGHT - LEFT, 0.42 / height))
        _strips(cells, x, ends, verdicts)
        figure.text(LEFT, 1 - 0.12 / height, KEY, fontsize=8.5, color=INK, va="center")
    return to_png(figure)


def _errors(
    axes: Axes, x: np.ndarray, bound: np.ndarray, typical: np.ndarray, observed: np.ndarray, informed: np.ndarray | None, *, joined: bool
) -> None:
    """Lines, band and points on a logarithmic axis that always shows 1, the size of a sample."""
    worst, low, high = _extreme(bound, np.max), _extreme(typical, np.min), _extreme(typical, np.max)
    there = np.where(np.isinf(observed), np.nan, observed)
    seen_low, seen_high, missed = _extreme(there, np.min), _extreme(there, np.max), np.isinf(observed).any(axis=1)
    found = np.isfinite(seen_high)
    everything = np.concatenate([values[np.isfinite(values) & (values > 0)] for values in (worst, low, high, seen_low, seen_high)])
    floor = max(everything.min(initial=1.0) / (5 if informed is None else 300), 1e-17)  # with room for a longer legend
    ceiling = float(np.clip(everything.max(initial=1.0) * 5, 20, 1e4))
    axes.set_yscale("log")
    axes.set_ylim(floor, ceiling)
    axes.axhline(1, color=MUTED, linewidth=1, linestyle=(0, (5, 3)))
    axes.annotate("as large as the sample", (0, 1), xycoords=axes.get_yaxis_transform(), xytext=(4, 2), textcoords="offset points",
                  ha="left", va="bottom", fontsize=8.5, color=MUTED)  # fmt: skip
    drawn = np.isfinite(worst)
    if joined and drawn.sum() > 1:
        axes.fill_between(x[drawn], low[drawn], high[drawn], color=BAND, edgecolor=ACCENT, linewidth=0.8, label=TYPICAL)
    else:
        for k in np.flatnonzero(drawn):
            label = TYPICAL if k == np.flatnonzero(drawn)[0] else None
            axes.plot([x[k]] * 2, [low[k], high[k]], color=FILL["LOCALLY_UNIQUE"], linewidth=6, label=label)
    if informed is not None and not np.isnan(informed).all():
        axes.plot(x, _extreme(informed, np.min), color=MUTED, linewidth=1.2, linestyle=":", label=INFORMED)
    line: dict[str, Any] = {"linestyle": "-" if joined else "none", "linewidth": 1.4}
    axes.plot(x[drawn], worst[drawn], marker="o", color=ACCENT, markersize=3.5, label="at most, worst sample (first order)", **line)
    style: dict[str, Any] = {"linestyle": "none", "clip_on": False, "zorder": 4}
    if np.isinf(worst).any():
        axes.plot(x[np.isinf(worst)], np.full(np.isinf(worst).sum(), ceiling), "^", color=ACCENT, markersize=6, label="no bound", **style)
    if found.any():
        centre = np.sqrt(np.maximum(seen_low, floor) * np.maximum(seen_high, floor))[found]
        spread = np.stack([centre - np.maximum(seen_low[found], floor), seen_high[found] - centre])
        axes.errorbar(x[found], centre, np.maximum(spread, 0), color=OBSERVED, linewidth=0, elinewidth=2.2, capsize=4, zorder=4,
                      label="observed by recover, best to worst")  # fmt: skip
    if missed.any():
        axes.plot(x[missed], np.full(missed.sum(), ceiling), "X", color=OBSERVED, markersize=7, label="recover did not find all", **style)
    look: dict[str, Any] = {"frameon": True, "framealpha": 0.85, "edgecolor": "none", "borderpad": 0.2, "labelcolor": INK}
    look["loc"], look["bbox_to_anchor"] = _free_corner(axes, x, (worst, low, high, seen_low, seen_high))
    axes.legend(fontsize=8, **look)


def _free_corner(axes: Axes, x: np.ndarray, curves: Sequence[np.ndarray]) -> tuple[str, tuple[float, float]]:
    """The corner below the line of 1 with the fewest points; matplotlib's own search warns where it is slow."""
    low, high = np.log(axes.get_ylim())
    one, across = -low / (high - low), (x - x[0]) / (x[-1] - x[0] or 1.0)
    count = dict.fromkeys(("lower right", "lower left", "upper left", "upper right"), 0)
    for values in curves:
        drawn = np.isfinite(values) & (values > 0)
        up = (np.log(values[drawn]) - low) / (high - low)
        for corner in count:
            vertical = up < 0.36 if "lower" in corner else (up > one - 0.36) & (up < one)
            count[corner] += int((vertical & ((across[drawn] > 0.3) if "right" in corner else (across[drawn] < 0.7))).sum())
    best = min(count, key=lambda corner: count[corner])
    return best, (float("right" in best), 0.0 if "lower" in best else one)


def _extreme(errors: np.ndarray, of: Callable) -> np.ndarray:
    """The extreme over the samples that are known at each level; nan if none is."""
    return np.array([of(row[~np.isnan(row)]) if not np.isnan(row).all() else np.nan for row in errors])


def _ticks(axes: Axes, x: np.ndarray, levels: Sequence, names: Sequence[str]) -> None:
    """Names of the levels as far as there is room, from the last one back; powers of ten for sizes."""
    if not any(isinstance(level, float) for level in levels) or x[0] == 0 < x[-1] == len(x) - 1:
        shown: list[int] = []
        for k in reversed(range(len(x))):
            if not shown or abs(x[k] - x[shown[-1]]) > 0.055 * np.ptp(x):
                shown.append(k)
        axes.set_xticks(x[shown], [names[k] for k in shown])
        return
    marks = np.arange(np.ceil(x.min() - 1e-9), np.floor(x.max() + 1e-9) + 1)
    marks = marks[:: max(1, len(marks) // 6)]
    axes.set_xticks(marks, [f"$10^{{{mark:.0f}}}$" for mark in marks])


def _strips(axes: Axes, x: np.ndarray, ends: tuple[float, float], verdicts: Sequence[Sequence[Verdict | None]]) -> None:
    """One row for each scope, one cell for each level, from half way to the level before to half way to the next."""
    middle = (x[:-1] + x[1:]) / 2
    edges = np.concatenate([[ends[0]], middle, [ends[1]]])
    for row, found in enumerate(verdicts):
        for k, verdict in enumerate(found):
            if verdict is None:
                continue
            left, right = sorted(edges[k : k + 2])
            axes.add_patch(_rectangle((left, -row), right - left, 0.9, FILL[verdict.value]))
            color = "white" if verdict.value in WHITE_ON else INK
            axes.text((left + right) / 2, 0.43 - row, LETTER[verdict.value], fontsize=8.5, ha="center", va="center", color=color)
    axes.set(xlim=ends, ylim=(1 - len(verdicts), 0.9))
    axes.set_xticks([])
    axes.set_yticks([0.45 - row for row in range(len(verdicts))], STRIPS, fontsize=7.5, color=MUTED)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _rectangle(corner: tuple[float, float], width: float, height: float, color: str):
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, facecolor=color, edgecolor="white", linewidth=0.8)


def _raised(text: str) -> str:
    """Exponents as such."""
    return re.sub(r"\^(\d+)", lambda match: match[1].translate(RAISED), text)

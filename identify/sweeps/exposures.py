"""A picture of the data that updates reveal: how many of them give up all samples, some, or none, by the number of samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from identify.problem.uniqueness import UniquenessStatus
from identify.report.canvas import ACCENT, INK, MUTED, RULE
from identify.sweeps.diagrams import paper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS = 24
"""Largest number of bars; with more numbers of samples, neighbours share one."""


class Kind(Enum):
    """How much of its batch an update reveals."""

    PROVED = "all samples, proved unique"
    ALL = "all samples"
    SOME = "some samples"
    NONE = "no sample"


KINDS = {kind: kind.value for kind in Kind}
STYLES = {Kind.PROVED: (ACCENT, ""), Kind.ALL: ("#5b9fb3", "///"), Kind.SOME: ("#efc9a4", "..."), Kind.NONE: ("#ffffff", "")}
"""Colour and hatching, which differ in grey as well."""


def kind_of(row: dict[str, Any]) -> Kind:
    """The kind of a row of the table whose task is done."""
    if not row["recovered"]:
        return Kind.NONE
    if row["recovered"] < row["counted"]:
        return Kind.SOME
    return Kind.PROVED if row["status"] == UniquenessStatus.PROVED else Kind.ALL


def update_diagram(rows: Sequence[dict[str, Any]]) -> Figure:
    """Numbers of updates over their numbers of samples, by what they reveal; failed tasks are left out."""
    from matplotlib.ticker import MaxNLocator

    rows = [row for row in rows if row["state"] == "done"]
    counted = np.array([row["counted"] or 0 for row in rows])
    values = np.unique(counted)
    groups = np.array_split(values, BARS) if len(values) > BARS else [values[k : k + 1] for k in range(len(values))]
    figure = paper(3.4, f"What {len(rows)} updates reveal")
    axes = figure.subplots()
    at, base = np.arange(len(groups)), np.zeros(len(groups))
    for kind, (colour, hatch) in STYLES.items():
        here = Counter(int(n) for n, row in zip(counted, rows, strict=True) if kind_of(row) is kind)
        heights = np.array([sum(here[int(n)] for n in group) for group in groups], float)
        if heights.any():
            axes.bar(at, heights, bottom=base, width=0.8, color=colour, hatch=hatch, edgecolor=INK, linewidth=0.6, label=kind.value)
            base += heights
    axes.set_xticks(at, [_label(group) for group in groups], rotation=45 if len(groups) > 12 else 0)
    axes.set_xlabel("samples in the update, by its ranks", fontsize=9.5, color=INK)
    axes.set_ylabel("updates", fontsize=9.5, color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(labelsize=9, colors=MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure


def _label(group: np.ndarray) -> str:
    first, last = ("not counted" if n == 0 else str(n) for n in (group[0], group[-1]))
    return first if len(group) == 1 else f"{first}\N{EN DASH}{last}"

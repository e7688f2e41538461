"""The table and the picture of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from field_study.arms import CHANCE

STYLES = {
    "identify": ("#14607a", "o", "-"),
    "identify, first layer only": ("#5b9fb3", "v", (0, (5, 2))),
    "identify, no deflation": ("#565c62", "P", (0, (3, 1, 1, 1))),
    "SPEAR": ("#d55e00", "s", (0, (5, 2))),
    "gradient matching": ("#7a4f9a", "^", (0, (1.5, 1.5))),
    "DLG": ("#a0803a", "D", (0, (6, 2, 1, 2))),
}
"""Colour, marker and line of each arm; they differ without colour."""
LIFTS = {"identify": 0.02, "DLG": -0.02}
"""Lines at one and the same height would hide each other."""
Row = dict[str, Any]


def grouped(rows: Sequence[Row]) -> dict[tuple[str, int, str], list[Row]]:
    """Results over the seeds, by network, number of samples and arm, in the order of the rows."""
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["net"], row["cell"]["samples"], row["cell"]["arm"]), []).append(row["result"])
    return groups


def time(seconds: float) -> str:
    """To hundredths if it is below one second."""
    return f"{seconds:.2f}" if seconds < 1 else f"{seconds:.1f}"


def table(rows: Sequence[Row]) -> str:
    """A row for each network and number of samples and arm: means over the seeds."""
    lines = ["| network | n | arm | recovered | relative L2 | PSNR, dB | SSIM | s |", "|---" * 8 + "|"]
    before = ("", 0)
    for (net, n, arm), results in grouped(rows).items():
        first = f"| {net if net != before[0] else ''} | {n if (net, n) != before else ''} | {arm} |"
        before = (net, n)
        if "does not apply" in results[0]:
            if n == min(row["cell"]["samples"] for row in rows):
                lines.append(f"{first} does not apply | | | | |")
            continue

        def mean(name: str, results: list[Row] = results) -> float:
            return float(np.mean([result.get(name, np.nan) for result in results]))

        if not mean("candidates"):
            lines.append(f"{first} 0 ({results[0]['numbers']['error']}) | | | | {time(mean('seconds'))} |")
            continue
        found = f"{mean('found'):.3g}"
        if arm == "identify" and mean("determined") < n:
            found += f" (of {mean('determined'):.3g})"
        seconds = "" if arm == CHANCE else time(mean("seconds"))
        lines.append(f"{first} {found} | {mean('error'):.0e} | {mean('psnr'):.0f} | {mean('ssim'):.2f} | {seconds} |")
    return "\n".join(lines)


def short_table(rows: Sequence[Row]) -> str:
    """A row for each network and arm, and a column for each number of samples: samples recovered, and seconds."""
    groups = grouped(rows)
    columns = sorted({n for _, n, _ in groups})
    lines = ["| network | arm | " + " | ".join(f"n = {n}" for n in columns) + " |", "|---" * (len(columns) + 2) + "|"]
    before = ""
    for net, arm in dict.fromkeys((net, arm) for net, _, arm in groups):
        shown = []
        for n in columns:
            results = groups.get((net, n, arm), [{"does not apply": ""}])
            if "does not apply" in results[0]:
                shown.append("")
                continue
            found, seconds = (float(np.mean([result[name] for result in results])) for name in ("found", "seconds"))
            shown.append(f"{found:.3g} in {time(seconds)} s")
        lines.append(f"| {net if net != before else ''} | {arm} | " + " | ".join(shown) + " |")
        before = net
    return "\n".join(lines)


def draw(rows: Sequence[Row], file: Path) -> None:
    """Recovered share against the number of samples, one panel for each network, a line for each arm."""
    from matplotlib.figure import Figure

    nets = list(dict.fromkeys(row["net"] for row in rows))
    groups = grouped(rows)
    columns = 1 if len(nets) == 1 else 2
    lines = -(-len(nets) // columns)
    figure = Figure(figsize=(6.4, 2.15 * lines + 0.55), dpi=150, facecolor="white", layout="constrained")
    grid = list(figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axes in grid[len(nets) :]:
        axes.set_axis_off()
    for axes, net in zip(grid, nets, strict=False):
        for arm, (colour, marker, line) in STYLES.items():
            shares = {}
            for (name, n, own), results in groups.items():
                if (name, own) == (net, arm) and "does not apply" not in results[0]:
                    shares[n] = np.mean([result["found"] for result in results]) / n
            if shares:
                lift = LIFTS.get(arm, 0.0)
                style: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": line, "markersize": 5.5, "linewidth": 1.8}
                axes.plot(list(shares), [share + lift for share in shares.values()], label=arm, clip_on=False, **style)
        axes.set_title(net, fontsize=10.5, color="#1c1e20")
        axes.set_xscale("log")
        axes.set_xticks([1, 5, 20, 100, 500], ["1", "5", "20", "100", "500"])
        axes.minorticks_off()
        axes.set_yticks([0, 0.5, 1], ["0", "half", "all"])
        axes.set_ylim(-0.05, 1.06)
        axes.tick_params(labelsize=10, colors="#565c62")
        axes.grid(color="#d8d9d4", linewidth=0.6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.supxlabel("samples in the batch", fontsize=10.5, color="#1c1e20")
    figure.supylabel("samples recovered", fontsize=10.5, color="#1c1e20")
    handles: dict[str, Any] = {}
    for axes in grid:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(len(handles), 4), fontsize=10.5, frameon=False)
    figure.savefig(file)

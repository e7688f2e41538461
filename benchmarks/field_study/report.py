"""The table and the picture of the comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def spread(values: Sequence[float], shown: Callable[[float], str], middle: Callable[[Any], Any]) -> str:
    """The middle, and the smallest and the largest in brackets if they are shown differently."""
    low, high = shown(min(values)), shown(max(values))
    between = f" ({low} to {high})" if low != high else ""
    return shown(float(middle(values))) + between.replace(" ", "\N{NO-BREAK SPACE}")  # columns of a page would be as narrow as a word


def table(rows: Sequence[Row]) -> str:
    """A row for each network and number of samples and arm. Over seeds: the mean of what is recovered, else medians."""
    lines = ["| network | n | arm | recovered | relative L2 | PSNR, dB | SSIM | s |", "|---" * 8 + "|"]
    before = ("", 0)
    for (net, n, arm), results in grouped(rows).items():
        first = f"| {net if net != before[0] else ''} | {n if (net, n) != before else ''} | {arm} |"
        before = (net, n)
        if "does not apply" in results[0]:
            if n == min(row["cell"]["samples"] for row in rows):
                lines.append(f"{first} does not apply | | | | |")
            continue

        def median(name: str, results: list[Row] = results) -> float:
            return float(np.median([result.get(name, np.nan) for result in results]))

        seconds = "" if arm == CHANCE else spread([result["seconds"] for result in results], time, np.median)
        found = spread([result["found"] for result in results], "{:.3g}".format, np.mean)
        if not any(result["candidates"] for result in results):
            refusals = ", ".join(sorted({result["numbers"]["error"] for result in results}))
            lines.append(f"{first} {found}: {refusals} | | | | {seconds} |")
            continue
        alone = float(np.mean([result.get("determined", n) for result in results]))
        if arm.startswith("identify") and alone < n:
            found += f" of {alone:.3g}"
        lines.append(f"{first} {found} | {median('error'):.0e} | {median('psnr'):.0f} | {median('ssim'):.2f} | {seconds} |")
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
            found = spread([result["found"] for result in results], "{:.3g}".format, np.mean)
            shown.append(f"{found} in {time(float(np.median([result['seconds'] for result in results])))} s")
        lines.append(f"| {net if net != before else ''} | {arm} | " + " | ".join(shown) + " |")
        before = net
    return "\n".join(lines)


def surroundings(rows: Sequence[Row]) -> str:
    """Seeds of each arm, machines, devices, states of the code, and the load while the rows were measured."""
    seeds: dict[str, set[int]] = {}
    states: dict[str, int] = {}
    for row in rows:
        seeds.setdefault(row["cell"]["arm"], set()).add(row["cell"]["seed"])
        states[row["on"]["code"]] = states.get(row["on"]["code"], 0) + 1
    own = [row["on"] for row in rows]
    lines = ["Seeds: " + ", ".join(f"{arm} {len(of)}" for arm, of in seeds.items()) + "."]
    lines += ["Devices: " + "; ".join(sorted({on["devices"] or "one thread of the processor" for on in own})) + "."]
    lines += ["Measured at " + ", ".join(f"{state} ({count} cells)" for state, count in states.items()) + "; "]
    loads = spread([on["load"] for on in own], "{:.0f}".format, np.median)
    lines[-1] += f"{min(on['date'] for on in own)} to {max(on['date'] for on in own)}, load {loads}. "
    return "\n".join([*lines, "; ".join(sorted({on["machine"] for on in own})) + "."])


def draw(rows: Sequence[Row], file: Path) -> None:
    """Recovered share against the number of samples, one panel for each network, a line for each arm, from worst to best seed."""
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
                    each = [result["found"] / n for result in results]
                    shares[n] = float(np.mean(each)), min(each), max(each)
            if shares:
                middle, low, high = np.array(list(shares.values())).T + LIFTS.get(arm, 0.0)
                style: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": line, "markersize": 5.5, "linewidth": 1.8}
                axes.plot(list(shares), middle, label=arm, clip_on=False, **style)
                axes.vlines(list(shares), low, high, color=colour, linewidth=1.4, clip_on=False)
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

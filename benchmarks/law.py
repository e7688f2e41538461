"""How many parameters hold the data? Proved thresholds against the law p = d n (arXiv:2509.22214), for several architectures.

``python benchmarks/law.py`` prints a table; ``--picture FILE`` draws it. p is the number of observed parameters, d that of inputs. For
polynomial and analytic activations the thresholds are those of ``largest_identifiable``: generic network, generic data. For ReLU the data
decide: the first two numbers are the largest n, found by bisection, whose planted data (seed 0) ``check`` proves unique, or isolated, in
a few seconds; the third is from counting.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measuring import machine

import identify as idf

CUBIC = "z + z^2/2 + z^3"
INPUTS = 8
WIDTHS: dict[str, tuple[tuple[int, ...], ...]] = {
    "polynomial": ((4,), (8,), (16,), (24,), (40,), (64,)),
    "GELU": ((16,), (32,), (64,), (16, 16), (24, 24), (16, 16, 16), (24, 24, 24)),
    "ReLU": ((16,), (32,), (64,), (16, 16), (24, 24), (16, 16, 16), (24, 24, 24)),
}
SERIES: tuple[tuple[str, str, str, str], ...] = (
    (f"two layers, σ = {CUBIC.replace('^2', '²').replace('^3', '³')}", "polynomial", CUBIC, "both"),
    ("the same, first layer only", "polynomial", CUBIC, "first"),
    ("GELU, one to three hidden layers", "GELU", "gelu", "both"),
    ("ReLU, one to three hidden layers", "ReLU", "relu", "both"),
)
"""Title, list of widths, activation, layers that are observed."""
MARKS = {
    "unique": ("proved unique up to", "#14607a", "o"),
    "isolated": ("proved isolated up to", "#5b9fb3", "s"),
    "excluded": ("not determined from", "#c0692a", "^"),
}
SECONDS = 3.0
"""Budget of one check, of wall-clock time."""
ISOLATED = (idf.Verdict.UNIQUE, idf.Verdict.LOCALLY_UNIQUE)


@dataclass(frozen=True)
class Row:
    """Thresholds of one network: numbers of samples."""

    series: str
    layers: tuple[int, ...]
    parameters: int
    unique: int
    isolated: int
    excluded: int | None
    seconds: float

    @property
    def law(self) -> float:
        """n of p = d n."""
        return self.parameters / self.layers[0]


def largest(proved: Sequence[idf.Verdict], config: idf.Configuration, low: int, high: int) -> int:
    """The largest n in [low, high) whose planted data have one of these verdicts; ``low`` has, or is 0."""
    while high - low > 1:
        middle = (low + high) // 2
        system, truth = replace(config, samples=middle).plant(0)
        fits = idf.check(system, data=(truth.X, truth.c), budget=SECONDS).verdict in proved
        low, high = (middle, high) if fits else (low, middle)
    return low


def row(series: str, config: idf.Configuration) -> Row:
    began = time.process_time()
    sizes = idf.largest_identifiable(config)
    unique, isolated, excluded = sizes.unique, sizes.locally_unique, sizes.not_identifiable
    if config.activation.kind == "piecewise-linear":
        assert excluded is not None
        unique = largest(ISOLATED[:1], config, 0, excluded)
        isolated = largest(ISOLATED, config, unique, excluded)
    hidden = config.width if isinstance(config.width, tuple) else (config.width,)
    system, _ = replace(config, samples=1).plant(0)
    observed = sum(int(part.size) for update in system.layers.values() for part in update if part is not None)
    layers = (config.inputs, *hidden, config.outputs)
    return Row(series, layers, observed, unique, isolated, excluded, time.process_time() - began)


def rows(quick: bool) -> Iterator[Row]:
    for series, widths, sigma, layers in SERIES:
        for hidden in WIDTHS[widths][: 1 if quick else None]:
            width: Any = hidden if len(hidden) > 1 else hidden[0]
            bias = sigma != CUBIC
            config = idf.Configuration(inputs=INPUTS, samples=1, width=width, activation=sigma, bias=bias, layers=layers)
            yield row(series, config)


def draw(found: Sequence[Row], file: Path) -> None:
    """A panel for each series; both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 6.0), dpi=150, facecolor="white", layout="constrained")
    grid = figure.subplots(2, 2, sharex=True, sharey=True).flat
    for axes, (series, *_) in zip(grid, SERIES, strict=True):
        own = [each for each in found if each.series == series]
        ends = (3, 250)
        axes.plot(ends, ends, color="#565c62", linewidth=1.2, linestyle=(0, (6, 2)), label="p = d n")
        for each in own:
            axes.plot([each.law] * 2, [max(each.unique, 1), each.excluded or each.isolated], color="#d8d9d4", linewidth=1.2, zorder=1)
        for name, (label, colour, marker) in MARKS.items():
            points = [(each.law, value) for each in own if (value := getattr(each, name))]
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=colour, markersize=5.5, label=label)
        axes.set_title(series, fontsize=9.5, color="#1c1e20")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([4, 10, 30, 100, 200], ["4", "10", "30", "100", "200"])
        axes.set_yticks([1, 3, 10, 30, 100, 200], ["1", "3", "10", "30", "100", "200"])
        axes.minorticks_off()
        axes.grid(color="#ecedea", linewidth=0.6)
        axes.tick_params(labelsize=9.5, colors="#565c62")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.supxlabel("observed parameters p / inputs d", fontsize=10, color="#1c1e20")
    figure.supylabel("samples n", fontsize=10, color="#1c1e20")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9.5, frameon=False)
    figure.savefig(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help="draw the thresholds to this file")
    parser.add_argument("--quick", action="store_true", help="the narrowest network of each series")
    given = parser.parse_args()
    print("| network | observed | p | p / d | proved unique up to | isolated up to | not determined from | CPU s |\n" + "|---" * 8 + "|")
    found = []
    for each in rows(given.quick):
        found.append(each)
        names = "-".join(map(str, each.layers))
        cells = (names, each.series, each.parameters, f"{each.law:.1f}", each.unique, each.isolated, each.excluded, f"{each.seconds:.1f}")
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print(f"\n{machine('numpy', 'python-flint')}")
    if given.picture:
        draw(found, given.picture)


if __name__ == "__main__":
    main()

"""Soak: the demonstration, checks, audits, attacks, recoveries and sweeps again and again in one process, which must stay as it is.

``python benchmarks/soak.py`` does rounds of all of them, as a notebook or a service would, for ``--minutes``, with other numbers and the
same sizes in every round; then, for a fifth of the time each, some of them with sizes that no round had before, once as it is and once with
``jax.clear_caches()`` after every round. Every series is a process with a HOME, a cache, a TMPDIR and a working folder of its own.
After each round it collects garbage, gives free memory back (``malloc_trim``) and counts what it holds. Linux.

Memory is that of the process without mapped files. Its slope is that of Theil and Sen over the rounds after those that warm up, with a 95 %
interval that takes rounds for independent: memory is flat where all of it lies below ``BOUND``. Descriptors, threads, processes and
files grow where their median over the last third of these rounds is above that over the first. Exit status 1 where anything grows
that should not; with new sizes memory may.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import jax
from measuring import machine, significant
from scipy.stats import theilslopes
from soaking import rounds, watch

import identify
from identify.base.files import replacing

BOUND = 0.5
"""MiB per round."""
WARM, FIRST, FEWEST = 0.25, 6, 8
"""Part of the rounds that warm up, and at least so many where there are twice as many; with fewer after them memory is not judged."""
SOME = ("checks", "audit of a gradient", "attacks", "recoveries", "updates of classifiers")
"""Parts of rounds whose sizes are new: what compiles."""
PRIVATE = {"HOME": "home", "XDG_CACHE_HOME": "home/cache", "XDG_CONFIG_HOME": "home/config", "TMPDIR": "tmp"}
WORKING = "work"


class Series(NamedTuple):
    """How rounds differ, and for which part of ``--minutes`` they go on."""

    share: float
    parts: tuple[str, ...]
    grows: bool = False
    clears: bool = False
    is_flat: bool = True
    """Whether memory should be."""


SERIES = {
    "same sizes": Series(1, tuple(rounds.PARTS)),
    "new sizes": Series(0.2, SOME, grows=True, is_flat=False),
    "new sizes, jax.clear_caches()": Series(0.2, SOME, grows=True, clears=True, is_flat=False),
}


def soak(name: str, parts: Sequence[str], seconds: float, most: int, folder: Path) -> Iterator[dict]:
    """Rounds of a series in this process; after each, what it holds and the seconds of its parts."""
    series, begun = SERIES[name], time.monotonic()
    watch.count_compilations()
    for number in range(most):
        spent = {}
        with tempfile.TemporaryDirectory(dir=folder) as own:
            for index, part in enumerate(part for part in series.parts if part in parts):
                started, place = time.perf_counter(), Path(own) / str(index)
                place.mkdir()
                rounds.PARTS[part](rounds.Round(number, number if series.grows else 0, place))
                spent[part] = time.perf_counter() - started
        if series.clears:
            jax.clear_caches()
        yield watch.held([folder]) | {"seconds": spent}
        if time.monotonic() - begun > seconds:
            return


def in_a_process(name: str, parts: Sequence[str], minutes: float, most: int) -> list[dict]:
    """The rounds of a series. Raises CalledProcessError where one fails."""
    command = [
        sys.executable,
        str(Path(__file__).resolve()),
        "--series",
        name,
        "--minutes",
        str(minutes),
        "--rounds",
        str(most),
        "--parts",
        *parts,
    ]
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        for part in {*PRIVATE.values(), WORKING}:
            (Path(folder) / part).mkdir(parents=True, exist_ok=True)
        private = {variable: str(Path(folder) / part) for variable, part in PRIVATE.items()}
        kept, environment = [], os.environ | private | {"PYTHONPATH": str(Path(identify.__file__).parent.parent)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(folder) / WORKING, env=environment) as child:
            assert child.stdout is not None
            for line in child.stdout:
                kept.append(json.loads(line))
                print(f"{name}, round {len(kept)}: {_brief(kept[-1])}", file=sys.stderr, flush=True)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command)
    return kept


def _brief(found: dict) -> str:
    counts = ", ".join(f"{found[what]:.0f} {what}" for what in (*watch.COUNTS, "compiled"))
    return f"{sum(found['seconds'].values()):.1f} s, {found['memory']:.1f} MiB, {counts}"


def steady(kept: Sequence[dict]) -> Sequence[dict]:
    """The rounds after those that warm up."""
    return kept[max(int(len(kept) * WARM), min(FIRST, len(kept) // 2)) :]


def slope(values: Sequence[float]) -> tuple[float, float, float]:
    """In units per round, with the ends of its interval."""
    found = theilslopes(values, range(len(values)), 0.95)
    return float(found.slope), float(found.low_slope), float(found.high_slope)


def grown(kept: Sequence[dict], is_flat: bool = True) -> list[str]:
    """What grows and should not, one sentence each."""
    later, said = steady(kept), []
    third = -(-len(later) // 3)
    for what in watch.COUNTS:
        before, after = (median(found[what] for found in part) for part in (later[:third], later[-third:]))
        if after > before:
            said.append(f"{what} grow from {before:g} to {after:g}")
    if is_flat and len(later) >= FEWEST:
        at, low, high = slope([found["memory"] for found in later])
        if high >= BOUND:
            what = "grows" if low > 0 else "is not known to be flat"
            said.append(f"memory {what}: {at:.2f} MiB per round, 95 % from {low:.2f} to {high:.2f}, expected below {BOUND:g}")
    return said


def row(name: str, kept: Sequence[dict]) -> str:
    later = steady(kept)
    memory = [found["memory"] for found in later]
    at = "{:.2f} ({:.2f} to {:.2f})".format(*slope(memory)) if len(later) >= FEWEST else "too few rounds"
    cells = [name, str(len(kept)), significant(median(sum(found["seconds"].values()) for found in later))]
    cells += [f"{memory[0]:,.0f}", f"{memory[-1]:,.0f}", at, str(int(later[-1]["compiled"] - later[0]["compiled"]))]
    cells += [f"{later[0][what]:.0f}, {later[-1][what]:.0f}" for what in watch.COUNTS]
    return "| " + " | ".join(cells) + " |"


HEADING = (
    "series",
    "rounds",
    "s per round",
    "MiB, warm",
    "MiB at the end",
    "MiB per round (95 %)",
    "compiled since",
    *watch.COUNTS,
)


def table(found: dict[str, list[dict]]) -> str:
    lines = ["| " + " | ".join(HEADING) + " |", "|---" * len(HEADING) + "|", *(row(*each) for each in found.items())]
    first = next(iter(found.values()))
    lines += ["", "| part | s, first round | s, median after warm-up |", "|---|---|---|"]
    lines += [
        f"| {part} | {significant(first[0]['seconds'][part])} | {significant(median(each['seconds'][part] for each in steady(first)))} |"
        for part in first[0]["seconds"]
    ]
    return "\n".join([*lines, "", machine("numpy", "scipy", "jax")])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="of the first series")
    parser.add_argument("--rounds", type=int, default=sys.maxsize, help="of a series, at most")
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES), help="these series alone")
    parser.add_argument("--parts", nargs="+", choices=rounds.PARTS, default=list(rounds.PARTS), help="these parts of rounds alone")
    parser.add_argument("--out", type=Path, help="file for the table, beside standard output")
    parser.add_argument("--series", choices=SERIES, help="this one in this process, in the working folder; prints JSON")
    given = parser.parse_args()
    if given.series:
        for each in soak(given.series, given.parts, 60 * given.minutes, given.rounds, Path.cwd().parent):
            print(json.dumps(each), flush=True)
        return 0
    found = {name: in_a_process(name, given.parts, given.minutes * SERIES[name].share, given.rounds) for name in given.only}
    print(table(found))
    if given.out:
        with replacing(given.out) as temporary:
            temporary.write_text(table(found) + "\n", encoding="utf-8")
    said = [f"{name}: {what}" for name in given.only for what in grown(found[name], SERIES[name].is_flat)]
    print("\n".join(said), file=sys.stderr)
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())

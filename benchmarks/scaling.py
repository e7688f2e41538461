"""How time and memory of recovery grow with samples, width and inputs, beside what must be computed and how fast this machine multiplies.

``python benchmarks/scaling.py`` recovers batches of digits or of normal data behind updates of ReLU networks, each in a process of its own
with one thread, and fits exponents over the last three sizes of a series. "Least" are the operations of one singular value decomposition
of each update and of one linearisation of the equations for each sample (docs/theory.md#forward), as if nothing had to be searched for;
the limit is their time at the speed of matrix products, which is measured in the same process. Seconds are of processor time.
``--largest`` recovers ``--samples`` (1000) coloured digits at 3072-4096-2048-10, within ``--budget`` wall seconds; with
``--checkpoint`` a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import pairwise
from typing import Any

import batches
import numpy as np
from measuring import in_processes, machine, peak, significant

import identify as idf

Case = tuple[list[int], int, str]
"""Sizes, samples and data."""
SERIES: dict[str, list[Case]] = {
    "samples": [([784, 1024, 512, 10], n, "digits") for n in (25, 50, 100, 200)],
    "width": [([784, m, m // 2, 10], 50, "digits") for m in (256, 512, 1024, 2048)],
    "inputs": [([d, 1024, 512, 10], 50, "normal") for d in (200, 400, 800, 1600, 3200)],
}
LARGEST = [3072, 4096, 2048, 10]
SIDE = 1500
"""Of the matrices whose product is the measure of speed."""


def operations(sizes: list[int], samples: int) -> float:
    """Additions and multiplications: thin decompositions of the first two updates, a projected Jacobian for each sample."""
    total = 0.0
    for inputs, outputs in pairwise(sizes[:3]):
        small, large = sorted((inputs + 1, outputs))
        total += 6 * large * small**2
    width = sizes[1] + 1
    return total + samples * (width * samples**2 + width * samples**2 / 2 + samples**3)  # half of the neurons of a sample are active


def speed() -> float:
    """Operations per second of products of matrices."""
    a, best = np.random.default_rng(0).standard_normal((SIDE, SIDE)), np.inf
    for _ in range(3):
        began = time.process_time()
        a @ a
        best = min(best, time.process_time() - began)
    return 2 * SIDE**3 / best


def measure(sizes: list[int], samples: int, data: str) -> list[Any]:
    """Processor and wall seconds, peak memory beyond that of the imports, what was found, starts and the speed of products."""
    row = batches.Row(tuple(sizes), "relu", samples, data)
    system, X = batches.instance(row, 0)
    idf.recover(batches.instance(batches.Row((20, 30, 30, 3), "relu", 3, "normal"), 0)[0])  # imports are not counted
    before = peak()
    wall, cpu = time.perf_counter(), time.process_time()
    found = idf.recover(system, judge=False)
    seconds = [time.process_time() - cpu, time.perf_counter() - wall]
    match = found.match(X, np.zeros((samples, sizes[-1])))
    return [*seconds, peak() - before, int(np.sum(match.errors < 0.05)), found.evidence["separation"]["starts"], speed()]


def series(name: str) -> None:
    print(f"| {name} | network | n | found | starts | s | MiB | least, 10⁹ | limit, s | s / limit |\n" + "|---" * 10 + "|")
    at, took, memory = [], [], []
    for sizes, samples, data in SERIES[name]:
        (values,) = in_processes(__file__, [sizes, samples, data], repeats=1)
        seconds, _, beyond, found, starts, rate = values
        least = operations(sizes, samples)
        at.append({"samples": samples, "width": sizes[1], "inputs": sizes[0]}[name])
        took.append(seconds)
        memory.append(max(beyond, 1.0))
        cells = [
            str(at[-1]),
            "-".join(map(str, sizes)),
            str(samples),
            f"{found} of {samples}",
            str(starts),
            significant(seconds),
            f"{beyond:.0f}",
            significant(least / 1e9),
            significant(least / rate),
            significant(seconds * rate / least),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    exponents = [np.polyfit(np.log(at[-3:]), np.log(values[-3:]), 1)[0] for values in (took, memory)]
    least = [operations(sizes, samples) for sizes, samples, _ in SERIES[name]]
    wanted = np.polyfit(np.log(at[-3:]), np.log(least[-3:]), 1)[0]
    print(f"\nExponents of {name}: time {exponents[0]:.1f}, memory {exponents[1]:.1f}, least operations {wanted:.1f}.\n", flush=True)


def largest(samples: int, data: str, budget: float, checkpoint: str | None) -> None:
    """One recovery at the largest network, judgement left out, with all the memory of its process."""
    sizes = LARGEST
    system, X = batches.instance(batches.Row(tuple(sizes), "relu", samples, data), 0)
    before, rate = peak(), speed()
    wall, cpu = time.perf_counter(), time.process_time()

    def say(step: str) -> None:
        print(f"{time.process_time() - cpu:.0f} s, peak {peak():.0f} MiB: {step}", file=sys.stderr, flush=True)

    found = idf.recover(system, judge=False, budget=budget, checkpoint=checkpoint, progress=say)
    seconds, waited = time.process_time() - cpu, time.perf_counter() - wall
    errors = found.match(X, np.zeros((samples, sizes[-1]))).errors
    there, numbers, least = errors < 0.05, found.evidence["separation"], operations(sizes, samples) / rate
    print("| network | n | found | worst error | descents | converged | s | wall s | limit, s | peak MiB (before) |\n" + "|---" * 10 + "|")
    cells = [
        *("-".join(map(str, sizes)), str(samples), f"{np.sum(there)} of {samples}", f"{errors[there].max(initial=0.0):.0e}"),
        *(str(numbers["starts"]), str(numbers["converged"]), f"{seconds:.0f}", f"{waited:.0f}", f"{least:.0f}"),
        f"{peak():,.0f} ({before:,.0f})",
    ]
    print(f"| {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--largest", action="store_true", help="one recovery at 3072-4096-2048-10, instead")
    parser.add_argument("--samples", type=int, default=1000, help="of that recovery")
    parser.add_argument("--data", choices=("coloured digits", "normal", "patches"), default="coloured digits", help="of that recovery")
    parser.add_argument("--budget", type=float, default=7200.0, help="wall seconds for it")
    parser.add_argument("--checkpoint", help="folder in which it keeps what was found")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        json.dump(measure(*json.loads(given.measure)), sys.stdout)
        return
    if given.largest:
        largest(given.samples, given.data, given.budget, given.checkpoint)
    else:
        for name in given.only:
            series(name)
    print("\n" + machine("numpy", "scipy"))


if __name__ == "__main__":
    main()

"""How time and memory of recovery grow with samples, width and inputs, beside what must be computed and how fast this machine multiplies.

``python benchmarks/scaling.py`` recovers batches of digits or of normal data behind updates of ReLU networks, each in a process of its own
with one thread, and fits exponents over the last three sizes of a series. "Least" are the operations of one singular value decomposition
of each update and of one linearisation of the equations for each sample (docs/theory.md#forward), as if nothing had to be searched for;
the limit is their time at the speed of matrix products, which is measured in the same process. Seconds are of processor time.
``--largest`` measures n = 1000 at 3072-4096-2048-10: one decomposition of each update, and ``--samples`` of the linearisations.
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
from identify.recovery.separation.dense import Updates
from identify.recovery.separation.membership import Linearised, Position
from identify.recovery.separation.peel import Peeling
from identify.recovery.separation.subspace import Subspace

Case = tuple[list[int], int, str]
"""Sizes, samples and data."""
SERIES: dict[str, list[Case]] = {
    "samples": [([784, 1024, 512, 10], n, "digits") for n in (25, 50, 100, 200)],
    "width": [([784, m, m // 2, 10], 50, "digits") for m in (256, 512, 1024, 2048)],
    "inputs": [([d, 1024, 512, 10], 50, "normal") for d in (200, 400, 800, 1600, 3200)],
}
LARGEST: Case = ([3072, 4096, 2048, 10], 1000, "normal")
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


def largest(few: int) -> None:
    """What n = 1000 takes at least, measured on a few samples."""
    sizes, samples, data = LARGEST
    system, X = batches.instance(batches.Row(tuple(sizes), "relu", samples, data), 0)
    updates = Updates.of(system)
    began = time.process_time()
    factors = [np.linalg.svd(matrix, full_matrices=False) for matrix in updates.matrices[:2]]
    decomposed = time.process_time() - began
    spaces = [Subspace.of(matrix, samples, factors=each) for matrix, each in zip(updates.matrices, factors, strict=False)]
    search = Peeling(updates.stack, 1, spaces, updates.lifted[:2])
    images, right = search.images(search.everywhere), [spaces[1].right]
    etas = np.hstack([X, np.ones((samples, 1))])[:few] @ spaces[0].right.T
    began = time.process_time()
    for eta in etas:
        at = Position.of(images, right, search.everywhere.points(eta[None]))
        Linearised.of(images, right, at).deviation([1e-9])
    each = (time.process_time() - began) / few
    rate, least = speed(), operations(sizes, samples)
    print(f"{'-'.join(map(str, sizes))}, {samples} samples: decompositions {decomposed:.0f} s; a linearisation {each:.2f} s, {samples} of")
    print(f"them {samples * each:.0f} s; limit of these operations {least / rate:.0f} s; peak {peak():.0f} MiB with the search set up.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES))
    parser.add_argument("--largest", action="store_true", help="parts of n = 1000, instead")
    parser.add_argument("--samples", type=int, default=10, help="how many samples to linearise for that")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        json.dump(measure(*json.loads(given.measure)), sys.stdout)
        return
    if given.largest:
        largest(given.samples)
    else:
        for name in given.only:
            series(name)
    print("\n" + machine("numpy", "scipy"))


if __name__ == "__main__":
    main()

"""How fast exact ranks are, against python-flint, SymPy and NumPy's singular values (not exact), and by slices without the matrix.

``python benchmarks/ranks.py`` prints two markdown tables, with ratios and with growth exponents against the number of multiplications.
Every measurement is a process of its own, imports and the making of the matrix left out; ``--threads`` sets those of BLAS.
``--quick`` does small cases, ``--largest N`` ends at N columns, ``--slices K`` after the K smallest interpolation matrices.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from math import log
from typing import NamedTuple

import numpy as np
from measuring import in_processes, machine, peak, significant, timed

SQUARE = (50, 100, 500, 1000, 2000, 3500, 5000, 7000, 10000)
SIZES = (*((n, n) for n in SQUARE), (15000, 10000))
SLICES = ((20, 150), (30, 300), (40, 500), (50, 750), (60, 1000))
SMALL, LARGE = 2**22, 2**31
ASYMPTOTIC = 2000
"""Columns from which the growth of the time is fitted."""
MOST = {"SymPy DomainMatrix.rank, over Q": 100, "NumPy matrix_rank (not exact)": 2000}
"""Columns up to which a method is measured."""


class Measured(NamedTuple):
    """CPU and wall seconds of the work, memory in MiB beyond that of the matrix, and the rank."""

    cpu: float
    wall: float
    memory: float
    rank: int


def ours(below: int) -> Callable[[int, int], Callable[[], int]]:
    def prepare(rows: int, columns: int) -> Callable[[], int]:
        from identify.exact.modular import rank

        matrix, q = entries(rows, columns, below)
        return lambda: rank(matrix, q)

    return prepare


def flint(rows: int, columns: int) -> Callable[[], int]:
    from identify.exact.elimination import to_flint

    matrix = to_flint(*entries(rows, columns, LARGE))
    return lambda: int(matrix.rank())


def sympy(rows: int, columns: int) -> Callable[[], int]:
    from sympy import QQ
    from sympy.polys.matrices import DomainMatrix

    matrix = DomainMatrix([[QQ(int(x)) for x in row] for row in entries(rows, columns, 2**10)[0]], (rows, columns), QQ)
    return lambda: int(matrix.rank())


def numpy(rows: int, columns: int) -> Callable[[], int]:
    matrix = entries(rows, columns, LARGE)[0].astype(float)
    return lambda: int(np.linalg.matrix_rank(matrix))


def slices(inputs: int, width: int) -> Callable[[], int]:
    """The interpolation matrix of a random network, activation z + z^2/2 + z^3, both layers."""
    from identify.exact.modular import random_prime
    from identify.exact.slices import slice_rank

    rng = np.random.default_rng(0)
    point = interpolation(inputs, width).at(random_prime(rng, SMALL), rng)
    return lambda: slice_rank(point)


def entries(rows: int, columns: int, below: int) -> tuple[np.ndarray, int]:
    """Random residues, and their prime."""
    from identify.exact.modular import random_prime

    rng = np.random.default_rng(0)
    q = random_prime(rng, below)
    return rng.integers(0, q, (rows, columns)), q


def interpolation(inputs: int, width: int):
    import identify
    from identify.conditions.question import setting_of

    config = identify.Configuration(inputs=inputs, samples=inputs, width=width, activation="z + z^2/2 + z^3")
    return setting_of(config, inputs, 0).instance


OURS, OURS_LARGE, FLINT, BY_SLICES = (
    "identify, 22-bit prime",
    "identify, 31-bit prime",
    "python-flint nmod_mat.rank, matrix given",
    "by slices",
)
METHODS = {FLINT: flint, OURS: ours(SMALL), OURS_LARGE: ours(LARGE), **dict(zip(MOST, (sympy, numpy), strict=True)), BY_SLICES: slices}


def measure_here(method: str, sizes: Sequence[int]) -> Measured:
    work = METHODS[method](*sizes)
    before = peak()
    cpu, wall, rank = timed(work)
    return Measured(cpu, wall, peak() - before, rank)


def measure(method: str, sizes: Sequence[int], threads: int) -> Measured:
    """The fastest of three processes; of one where the work takes more than ten seconds."""
    return min(Measured(*row) for row in in_processes(__file__, [method, sizes], repeats=3, threads=threads))


def multiplications(rows: int, columns: int) -> float:
    return columns**2 * (rows - 2 * columns / 3)


def exponent(counts: Sequence[float], seconds: Sequence[float]) -> float:
    """Of the time as a power of the number of multiplications: 1 where each takes equally long."""
    return float(np.polyfit([log(count) for count in counts], [log(s) for s in seconds], 1)[0])


def dense(sizes: Sequence[tuple[int, int]], threads: int) -> list[str]:
    """The table of random matrices, and the exponents; returns disagreements."""
    print(
        "| rows, columns | method | CPU s | wall s | CPU times python-flint | MiB beside the matrix | rank |\n|---|---|---|---|---|---|---|"
    )
    wrong: list[str] = []
    times: dict[str, list[tuple[float, float]]] = {}
    for size in sizes:
        bare = None
        for method in METHODS:
            if method == BY_SLICES or size[1] > MOST.get(method, size[1]):
                continue
            one = measure(method, size, threads)
            bare = bare or one
            wrong += [f"{size}, {method}: rank {one.rank}"] * (one.rank != size[1])
            if size[1] >= ASYMPTOTIC and size[0] == size[1]:
                times.setdefault(method, []).append((multiplications(*size), one.cpu))
            ratio = significant(one.cpu / bare.cpu)
            print(
                f"| {size[0]}, {size[1]} | {method} | {significant(one.cpu)} | {significant(one.wall)} | {ratio} "
                f"| {one.memory:.0f} | {one.rank} |",
                flush=True,
            )
    fits = [f"{name}: {exponent(*zip(*found, strict=True)):.2f}" for name, found in times.items() if len(found) > 2]
    print(f"\nTime as a power of n^3/3 multiplications, from {ASYMPTOTIC} columns on: {'; '.join(fits) or 'too few sizes'}\n")
    return wrong


def by_slices(sizes: Sequence[tuple[int, int]], threads: int) -> list[str]:
    """The table of interpolation matrices, and the exponent; returns disagreements."""
    from identify.exact.slices import expected_work

    print("| inputs, width | columns | 10^9 multiplications: slices, dense | CPU s | wall s | MiB | estimate MiB | rank |")
    print("|---|---|---|---|---|---|---|---|")
    wrong, times = [], []
    for d, m in sizes:
        instance = interpolation(d, m)
        (work, stored), N = expected_work(instance), instance.n_moments
        one = measure(BY_SLICES, (d, m), threads)
        wrong += [f"slices, {(d, m)}: rank {one.rank} of {N}"] * (one.rank != N)
        times.append((work, one.cpu))
        counts = f"{significant(work / 1e9)}, {significant(multiplications(N, N) / 1e9)}"
        print(
            f"| {d}, {m} | {N} | {counts} | {significant(one.cpu)} | {significant(one.wall)} | {one.memory:.0f} | {stored / 2**20:.0f} "
            f"| {one.rank} |",
            flush=True,
        )
    if len(times) > 2:
        print(f"\nTime as a power of the multiplications: {exponent(*zip(*times, strict=True)):.2f}")
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small cases only")
    parser.add_argument("--largest", type=int, default=10000, help="columns of the largest matrix")
    parser.add_argument("--slices", type=int, default=len(SLICES), help="interpolation matrices, the smallest first")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure_here(*json.loads(options.measure))))
        return 0
    most = 100 if options.quick else options.largest
    print(machine("python-flint", "numpy", "sympy"), f"BLAS threads: {options.threads}.", sep="\n", end="\n\n")
    wrong = dense([size for size in SIZES if size[1] <= most], options.threads)
    wrong += by_slices(SLICES[: 1 if options.quick else options.slices], options.threads)
    print("\n".join(["", *wrong]) if wrong else "\nEvery rank is full, as it should be.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

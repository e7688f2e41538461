"""How far verdicts reach as sizes grow, beside Groebner bases: where each stops.

``python benchmarks/growth.py --seconds 60`` plants integer instances of growing size. ``check`` judges generic data of these sizes, and
the given data; msolve and Singular compute a Groebner basis of the same system with the given numbers modulo a prime, from files that
``kkt_equations(...).export`` writes. Seconds of processor time. A program that has not ended within the limit is asked no more.

``--widths`` prints, for n = d = 3 to 16 samples of the same activation and the first layer alone, the smallest width above 2n for which the
condition ``macaulay`` proves given data unique within the limit (by its estimate before, and on the clock), beside the width that
``interpolation`` needs.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from math import ceil, comb
from pathlib import Path

from measuring import machine, significant

import identify
from identify.conditions.macaulay import macaulay, macaulay_seconds
from identify.conditions.reduction import reduce
from identify.symbolic.msolve import PRIME, SEED, msolve_program, run_within
from identify.symbolic.posing import kkt_equations
from identify.symbolic.system import SymbolicSystem
from identify.theory.cases import draw

ACTIVATION = "z + z^2 + z^3"
SIZES = [(2, 1, 2), (2, 2, 3), (3, 2, 4), (3, 3, 4), (4, 3, 5), (4, 4, 6), (6, 5, 8), (8, 8, 12), (16, 12, 24), (32, 24, 60)]
"""(inputs, samples, width)."""


def msolve(equations: SymbolicSystem, folder: Path, seconds: float) -> str:
    source, target = folder / "in.ms", folder / "out"
    source.write_text(equations.export("msolve", modulus=PRIME), encoding="ascii")
    run_within([str(msolve_program()), "-f", str(source), "-o", str(target), "--random-seed", SEED, "-g", "1"], seconds)
    return "basis" if target.is_file() and target.stat().st_size else "out of memory"


def singular(equations: SymbolicSystem, folder: Path, seconds: float) -> str:
    source = folder / "in.sing"
    source.write_text(equations.export("singular", modulus=PRIME), encoding="ascii")
    out, _, _ = run_within(["Singular", "-q", str(source)], seconds)
    return ", ".join(line.strip() for line in out.splitlines() if line.startswith(("dimension", "degree"))) or "out of memory"


PROGRAMS: dict[str, Callable[[SymbolicSystem, Path, float], str]] = {"msolve": msolve, "Singular": singular}


def spent() -> float:
    """Processor seconds of this process and of those that it started and that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def timed(work: Callable[[], str]) -> str:
    started = spent()
    result = work()
    return f"{significant(spent() - started)}: {result}"


def widths(seconds: float, smallest: int, largest: int) -> None:
    """The smallest width above 2n that is affordable, for each n."""
    print("| n | 2n | width | width for interpolation | degree | largest matrix | s |")
    print("|---" * 7 + "|")
    for n in range(smallest, largest + 1):
        moments = sum(comb(n + k - 1, k) for k in (1, 2, 3))
        for m in range(2 * n + 1, moments):
            sizes = identify.Configuration(inputs=n, samples=n, width=m, activation=ACTIVATION, layers="first")
            _, setting = reduce(draw(sizes, 0).of_these_data)
            if macaulay_seconds(setting) > seconds:
                continue
            started = time.process_time()
            found = macaulay(setting)
            took = time.process_time() - started
            if found.is_proved and took <= seconds:
                rows, columns = max(found.evidence["matrices"], key=lambda size: size[1])
                degree = found.evidence["degree"]
                print(
                    f"| {n} | {2 * n} | {m} | {ceil(moments / n)} | {degree} | {rows:,} × {columns:,} | {significant(took)} |", flush=True
                )
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="limit for each call of an algebra program")
    parser.add_argument("--quick", action="store_true", help="the three smallest sizes")
    parser.add_argument("--widths", action="store_true", help="the smallest widths that the condition macaulay reaches, instead")
    parser.add_argument("--samples", type=int, nargs=2, default=(3, 16), help="of these, for numbers of samples in this range")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if given.widths:
        widths(given.seconds, *given.samples)
        print("\n" + machine("python-flint"))
        return
    asked = {"msolve": msolve_program() is not None, "Singular": shutil.which("Singular") is not None}
    identify.check(identify.Configuration(inputs=2, samples=1, width=2, activation=ACTIVATION))  # imports are not counted
    print("| (inputs, samples, width) | check, generic data | check, given data | " + " | ".join(PROGRAMS) + " |")
    print("|---" * (3 + len(PROGRAMS)) + "|")
    for d, n, m in SIZES[: 3 if given.quick else None]:
        config = identify.Configuration(inputs=d, samples=n, width=m, activation=ACTIVATION)
        system, truth = config.plant(0, integers=True)
        cells = [
            timed(lambda config=config: identify.check(config).verdict.value),
            timed(lambda system=system, truth=truth: identify.check(system, data=(truth.X, truth.c)).verdict.value),
        ]
        for name, program in PROGRAMS.items():
            if not asked[name]:
                cells.append("–")
                continue
            with tempfile.TemporaryDirectory(prefix="growth-") as folder:
                equations = kkt_equations(system, samples=n)
                try:
                    cells.append(timed(lambda p=program, e=equations, f=folder: p(e, Path(f), given.seconds)))
                except subprocess.TimeoutExpired:
                    cells.append(f"not in {given.seconds:g} s")
                    asked[name] = False
        print(f"| ({d}, {n}, {m}) | " + " | ".join(cells) + " |", flush=True)
    print("\n" + machine("python-flint"))


if __name__ == "__main__":
    main()

"""How fast KKT systems are written down: plain SymPy, SymPy's sparse polynomials, and this package, in one run.

``python benchmarks/symbolic.py`` prints one markdown table. Every measurement is a process of its own: CPU time of the work
without imports, and peak memory of the process with them (in brackets: before the work). ``--quick`` does the small cases.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from time import process_time
from typing import Any, NamedTuple

from measuring import machine, peak, significant

LIMIT = 60
"""Seconds after which a measurement is stopped."""
REPEATS = 5
"""Processes for a measurement below one second; the median counts."""


class Case(NamedTuple):
    """Sizes, the activation with its powers, and the trained layers."""

    inputs: int
    samples: int
    width: int
    activation: str
    powers: tuple[int, ...]
    layers: str

    def __str__(self) -> str:
        layers = "both layers" if self.layers == "both" else "first layer"
        return f"{self.activation}, {layers}, ({self.inputs}, {self.samples}, {self.width})"


CUBE, CUBIC = ("z^3", (3,), "first"), ("z + z^2 + z^3", (1, 2, 3), "both")
SIZES = ((3, 3, 6), (5, 5, 10), (8, 8, 16))
TARGET_CASE = Case(8, 8, 16, *CUBE)
STRUCTURED_SIZE = (50, 20, 200)

Prepared = tuple[Callable[[], Any], Callable[[Any], int]]
"""The work to measure, and the number of terms (or equations) of its result."""


def plain_sympy(case: Case) -> Prepared:
    """Symbols, ``diff`` of sum_i lambda_i y_i f(x_i) by every parameter, ``expand``."""
    from sympy import Add, Symbol, diff, expand

    def work():
        d, n, m = case[:3]
        x = [[Symbol(f"x_{i}_{k}") for k in range(d)] for i in range(n)]
        w = [[Symbol(f"w_{j}_{k}") for k in range(d)] for j in range(m)]
        a = [Symbol(f"a_{j}") for j in range(m)]
        z = [[Add(*(u * v for u, v in zip(w[j], x[i], strict=True))) for j in range(m)] for i in range(n)]
        outputs = [Add(*(a[j] * Add(*(z[i][j] ** p for p in case.powers)) for j in range(m))) for i in range(n)]
        total = Add(*(Symbol(f"lambda_{i}") * Symbol(f"y_{i}") * outputs[i] for i in range(n)))
        trained = [v for row in w for v in row] + (a if case.layers == "both" else [])
        return [expand(diff(total, v) - Symbol(f"t{v}")) for v in trained]

    return work, lambda equations: sum(len(Add.make_args(equation)) for equation in equations)


def sympy_rings(case: Case) -> Prepared:
    """a_j sum_i lambda_i y_i sigma'(w_j . x_i) x_i in SymPy's sparse polynomials: differentiated by hand, powers shared."""
    from sympy import QQ, ring

    def work():
        d, n, m = case[:3]
        both = case.layers == "both"
        stems = {"x": n * d, "lambda": n, "y": n, "w": m * d, "a": m, "tw": m * d, "ta": m * both}
        _, *generators = ring([f"{stem}_{k}" for stem, size in stems.items() for k in range(size)], QQ)
        each = iter(generators)
        x, multiplier, y, w, a, tw, ta = ([next(each) for _ in range(size)] for size in stems.values())
        first, second = [], []
        for j in range(m):
            rows, last = [-t for t in tw[j * d : j * d + d]], -ta[j] if both else 0
            for i in range(n):
                sample = x[i * d : i * d + d]
                z = sum(u * v for u, v in zip(w[j * d : j * d + d], sample, strict=True))
                powers = [z**0, z, z * z]
                signed = multiplier[i] * y[i]
                slope = signed * a[j] * sum(p * powers[p - 1] for p in case.powers)
                rows = [row + slope * v for row, v in zip(rows, sample, strict=True)]
                if both:
                    powers.append(powers[2] * z)
                    last += signed * sum(powers[p] for p in case.powers)
            first += rows
            second += [last] * both
        return first + second

    return work, lambda equations: sum(map(len, equations))


def configuration(case: Case) -> Any:
    from identify.planting.configuration import Configuration

    return Configuration(inputs=case.inputs, samples=case.samples, width=case.width, activation=case.activation, layers=case.layers)


def in_flint(case: Case) -> Prepared:
    """``kkt_equations(config).expand()``: exact polynomials, kept in python-flint; neurons share their coefficients."""
    import identify.symbolic.polynomials  # noqa: F401
    from identify.symbolic.posing import kkt_equations

    return (lambda: kkt_equations(configuration(case)).expand()), lambda expanded: expanded.n_terms


def handed_over(case: Case) -> Prepared:
    """The same, with every equation as a SymPy polynomial."""
    import identify.symbolic.polynomials  # noqa: F401
    from identify.symbolic.posing import kkt_equations

    return (lambda: list(kkt_equations(configuration(case)).expand())), lambda polynomials: sum(map(len, polynomials))


def made(case: Case) -> Prepared:
    """The structured system, whose equations are made when they are looked at."""
    from identify.symbolic.posing import kkt_equations

    return (lambda: kkt_equations(configuration(case))), len


def visited(case: Case) -> Prepared:
    """The structured system, with every equation looked at once, as a SymPy expression."""
    import identify.symbolic.structured  # noqa: F401
    from identify.symbolic.posing import kkt_equations

    return (lambda: sum(1 for _ in kkt_equations(configuration(case)).equations)), int


EXPANDED = {
    "SymPy: diff, expand": plain_sympy,
    "sympy.polys.rings": sympy_rings,
    "identify: expanded, in flint": in_flint,
    "identify: expanded, as SymPy polynomials": handed_over,
}
STRUCTURED = {"identify: structured, made": made, "identify: structured, every equation": visited}
METHODS = EXPANDED | STRUCTURED
PLAIN, _, FLINT, POLYNOMIALS = EXPANDED
MADE, VISITED = STRUCTURED


class Measured(NamedTuple):
    """CPU seconds, peak memory in MiB before and after, and number of terms or equations (None for work that was stopped)."""

    seconds: float
    imports: float
    memory: float
    count: int | None


def measure_here(method: str, case: Case) -> Measured:
    """Do the work in this process. No CPU limit is set: under one, Linux counts CPU time in ticks of milliseconds."""
    work, count = METHODS[method](case)
    imports, start = peak(resource.RUSAGE_SELF), process_time()
    result = work()
    seconds = process_time() - start
    return Measured(seconds, imports, peak(resource.RUSAGE_SELF), count(result))


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(method: str, case: Case, limit: int, repeats: int) -> Measured:
    """The median over processes of their own; one process where the work takes more than a second."""
    found: list[Measured] = []
    while len(found) < repeats and not (found and found[0].seconds > 1):
        command = [sys.executable, __file__, "--measure", json.dumps([method, case])]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        before = cpu_of_children()
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return Measured(cpu_of_children() - before, 0, peak(resource.RUSAGE_CHILDREN), None)
        if done.returncode:
            raise RuntimeError(f"{method}, {case}: {done.stderr}")
        found.append(Measured(*json.loads(done.stdout)))
    return Measured(*(statistics.median(values) for values in zip(*found, strict=True)))


def row(case: Case, method: str, one: Measured, plain: Measured | None) -> str:
    """One line of the table; a ratio to work that was stopped is a lower bound."""
    if one.count is None:
        return f"| {case} | {method} | stopped at {one.seconds:.0f} | | {one.memory:.0f} | |"
    ratio = "" if plain is None else f"{'> ' * (plain.count is None)}{significant(plain.seconds / one.seconds)}"
    return f"| {case} | {method} | {significant(one.seconds)} | {ratio} | {one.memory:.0f} ({one.imports:.0f}) | {one.count:,.0f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the two small cases only, measured once")
    parser.add_argument("--limit", type=int, default=LIMIT, help="seconds after which a measurement is stopped")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        method, case = json.loads(options.measure)
        print(json.dumps(measure_here(method, Case(*case))))
        return 0
    print(machine("sympy", "python-flint"), end="\n\n")
    print("| system (inputs, samples, width) | method | CPU s | times plain SymPy's speed | peak MiB (imports) | terms or equations |")
    print("|---|---|---|---|---|---|")
    repeats = 1 if options.quick else REPEATS
    results: dict[tuple[Case, str], Measured] = {}
    wrong = []
    for case in [Case(*size, *kind) for kind in (CUBE, CUBIC) for size in SIZES[: 1 if options.quick else None]]:
        for method in EXPANDED:
            results[case, method] = measure(method, case, options.limit, repeats)
            print(row(case, method, results[case, method], results[case, PLAIN]), flush=True)
        counts = {results[case, method].count for method in EXPANDED} - {None}
        wrong += [f"{case}: the methods disagree on the number of terms: {sorted(counts)}"] * (len(counts) > 1)
    for case in [Case(*SIZES[0], *CUBE)] if options.quick else [Case(*STRUCTURED_SIZE, *kind) for kind in (CUBE, CUBIC)]:
        for method in STRUCTURED:
            results[case, method] = measure(method, case, options.limit, repeats)
            print(row(case, method, results[case, method], None), flush=True)
    print()
    if not options.quick:
        plain = results[TARGET_CASE, PLAIN].seconds
        for name, needed in ((POLYNOMIALS, 30), (FLINT, 500)):
            times = plain / results[TARGET_CASE, name].seconds
            print(f"{TARGET_CASE}, {name}: {times:,.0f} times plain SymPy's speed, at least {needed} wanted")
    print("\n".join(wrong) or "The methods agree on the number of terms of every system.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

"""How fast verdicts are: exact ranks against python-flint alone, and whole checks, in one run.

``python benchmarks/check.py`` prints markdown tables: the ranks of the Jacobian; those of Theorem B (quadrics of a ReLU network with one
output) and of Theorem C (a Macaulay matrix of degree 4, sigma = z + z^2 + z^3, first layer); and whole checks. Every measurement is a
process of its own, on one core, imports left out; peak memory is that of the process. ``--quick`` does small cases.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from measuring import in_processes, machine, peak, significant, timed

ACTIVATION = "z + z^2/2 + z^3"
REPEATS = 3
RANKS = ((8, 8, 16), (16, 16, 32), (30, 30, 60), (40, 40, 80))
CHECKS = ((8, 8, 16), (16, 12, 24), (30, 20, 60), (64, 40, 500), (128, 60, 1000))
THRESHOLDS = ((8, 32), (16, 64), (64, 40))
SIZES_ONLY = (("gelu", 784, 500, (1024, 512)), ("tanh", 784, 32, (512, 256)))
GIVEN = (
    *(("relu", 784, 20, (512, 256)), ("relu", 784, 30, 1000), ("leaky_relu", 784, 20, (512, 256)), ("gelu", 784, 20, (512, 256))),
    *(("relu", 784, 500, (8192, 1024)),),
)
"""Activation, inputs, samples, widths; 10 outputs, with biases, all layers, softmax multipliers."""
QUADRICS = ((64, 40, 1500), (128, 100, 6000))
"""Inputs, samples, width."""
MACAULAY = ((8, 8, 21), (12, 12, 35), (16, 16, 52))
"""Inputs, samples, and the smallest width that reaches corank n in degree 4."""
DEGREE = 4
TARGETS = (RANKS[2], QUADRICS[-1], *MACAULAY[1:])
"""Sizes at which at most twice the time of the bare rank is wanted."""


class Measured(NamedTuple):
    """CPU and wall seconds of the work, peak memory in MiB, and what came out."""

    cpu: float
    wall: float
    memory: float
    result: str


def bare_rank(d: int, n: int, m: int) -> Callable[[], str]:
    """``nmod_mat.rank`` of the Jacobian of generic data, which is built and converted before the clock starts."""
    from flint import nmod_mat

    import identify
    from identify.conditions.question import setting_of

    setting = setting_of(identify.Configuration(inputs=d, samples=n, width=m, activation=ACTIVATION), n, 0)
    matrix, q = jacobian(setting.instance)
    converted = nmod_mat(*matrix.shape, matrix.ravel().tolist(), q)
    return lambda: str(converted.rank())


def jacobian(instance: Any) -> Any:
    import numpy as np

    from identify.exact.modular import random_prime

    rng = np.random.default_rng(0)
    q = random_prime(rng)
    return instance.at(q, rng).jacobian(), q


def our_rank(d: int, n: int, m: int) -> Callable[[], str]:
    """The condition ``local``: drawing the instance, building the Jacobian, and its rank."""
    import identify
    from identify.conditions.local import local
    from identify.conditions.question import setting_of

    setting = setting_of(identify.Configuration(inputs=d, samples=n, width=m, activation=ACTIVATION), n, 0)
    return lambda: str(local(setting).evidence["rank"])


def quadrics_question(d: int, n: int, m: int) -> Any:
    """A planted update of the first layer, and its data."""
    import identify
    from identify.conditions.networks.question import NetworkQuestion

    config = identify.Configuration(inputs=d, samples=n, width=m, activation="relu", bias=True, layers="first")
    system, truth = config.plant(0)
    return NetworkQuestion.of_system(system, n, 0, (truth.X, truth.c.reshape(n, -1)))


def bare_quadrics(d: int, n: int, m: int) -> Callable[[], str]:
    """The same for all products of the unknowns: v_j (v_j - r_j) = 0 for each neuron."""
    import numpy as np

    from identify.exact.elimination import to_flint

    question = quadrics_question(d, n, m)
    at, q = question.passes(), question.ring().q
    v, r = at.signals[0].T, at.ring.of_weights(question.system.network.weights[1].T)
    first, second = np.triu_indices(n)
    squares = np.where(first == second, 1, 2) * (v[:, first] * v[:, second] % q) % q
    converted = to_flint(np.hstack([squares, (q - v * r % q) % q]), q)
    return lambda: str(converted.rank())


def our_quadrics(d: int, n: int, m: int) -> Callable[[], str]:
    """The condition ``quadrics``: signals modulo a prime, building the matrix, and its rank."""
    from identify.conditions.networks.quadrics import quadrics

    question = quadrics_question(d, n, m)
    assert all(question.counted[:1])  # the rank of the update is another condition's
    return lambda: str(quadrics(question).evidence["rank"])


def macaulay_setting(d: int, n: int, m: int) -> Any:
    import identify
    from identify.conditions.reduction import reduce
    from identify.theory.cases import draw

    config = identify.Configuration(inputs=d, samples=n, width=m, activation="z + z^2 + z^3", layers="first")
    return reduce(draw(config, 0).of_these_data)[1]


def bare_macaulay(d: int, n: int, m: int) -> Callable[[], str]:
    """The Macaulay matrix of degree 4: the equations of a single sample, times all monomials of the degree that is left."""
    import numpy as np

    from identify.conditions.macaulay import Shape, generators, point_of
    from identify.exact.elimination import to_flint

    setting = macaulay_setting(d, n, m)
    point = point_of(setting.instance, np.random.default_rng(0))
    module, parts = generators(setting.instance, point, Shape.of(setting))
    place = {code: k for k, code in enumerate(module.codes(DEGREE).tolist())}
    rows = []
    for part in parts:
        for multiplier in module.codes(DEGREE - part.degree):
            values = np.zeros((len(part), len(place)), dtype=np.int64)
            for block, coefficients in part.blocks.items():
                values[:, [place[code] for code in (module.powers(block) + multiplier).tolist()]] = coefficients
            rows.append(values)
    converted = to_flint(np.vstack(rows) % point.q, point.q)
    return lambda: str(converted.rank())


def our_macaulay(d: int, n: int, m: int) -> Callable[[], str]:
    """The condition ``macaulay``: equations modulo a prime, all degrees up to that, and what else the verdict needs."""
    from identify.conditions.macaulay import macaulay
    from identify.exact.macaulay import Module

    setting = macaulay_setting(d, n, m)

    def work() -> str:
        found = macaulay(setting).evidence
        module = Module(found["variables"], found["multipliers"], found["weight"], found["lowest"])
        return str(module.count(found["degree"]) - found["corank"])

    return work


def verdict(d: int, n: int, m: int) -> Callable[[], str]:
    import identify

    config = identify.Configuration(inputs=d, samples=n, width=m, activation=ACTIVATION)
    return lambda: identify.check(config).verdict.value


def thresholds(d: int, m: int) -> Callable[[], str]:
    import identify

    config = identify.Configuration(inputs=d, samples=1, width=m, activation=ACTIVATION)

    def work() -> str:
        found = identify.largest_identifiable(config)
        return f"unique up to {found.unique}, isolated up to {found.locally_unique}, not identifiable from {found.not_identifiable}"

    return work


def network(activation: str, d: int, n: int, width: Any) -> Any:
    import identify

    return identify.Configuration(inputs=d, samples=n, width=width, activation=activation, outputs=10, bias=True)


def sizes_only(*sizes: Any) -> Callable[[], str]:
    import identify

    return lambda: _with_scope(identify.check(network(*sizes)))


def given_data(*sizes: Any) -> Callable[[], str]:
    import identify

    system, truth = network(*sizes).plant(0, multipliers="softmax")
    return lambda: _with_scope(identify.check(system, data=(truth.X, truth.c)))


def _with_scope(report: Any) -> str:
    return f"{report.verdict}, {report.scope}"


BARE, OURS, VERDICT, LARGEST = "nmod_mat.rank, matrix given", "identify: local, building included", "check", "largest_identifiable"
BARE_B, OURS_B, BARE_C, OURS_C = (
    f"{BARE}; B",
    "identify: quadrics, building included",
    f"{BARE}; C",
    "identify: macaulay, building included",
)
ALONE, DATA = "check, sizes only", "check, given data"
METHODS: dict[str, Callable[..., Callable[[], str]]] = {
    **{BARE: bare_rank, OURS: our_rank, VERDICT: verdict, LARGEST: thresholds},
    **{BARE_B: bare_quadrics, OURS_B: our_quadrics, BARE_C: bare_macaulay, OURS_C: our_macaulay},
    **{ALONE: sizes_only, DATA: given_data},
}


def measure_here(method: str, sizes: Sequence[int]) -> Measured:
    cpu, wall, result = timed(METHODS[method](*sizes))
    return Measured(cpu, wall, peak(), result)


def measure(method: str, sizes: Sequence[int], repeats: int) -> Measured:
    """The median over processes of their own; one process where the work takes more than ten seconds."""
    rows = [Measured(*row) for row in in_processes(__file__, [method, sizes], repeats=repeats)]
    cpu, wall, memory = (statistics.median(values) for values in list(zip(*rows, strict=True))[:3])
    return Measured(cpu, wall, memory, rows[0].result)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the smallest case of each kind, measured once")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure_here(*json.loads(options.measure))))
        return 0
    repeats, first = (1, 1) if options.quick else (REPEATS, None)
    print(machine("python-flint", "numpy"), f"activation {ACTIVATION}, both layers.", sep="\n", end="\n\n")
    wrong, ratios = [], {}
    for title, names, cases in (
        ("Jacobian", (BARE, OURS), RANKS),
        ("Theorem B", (BARE_B, OURS_B), QUADRICS),
        ("Theorem C, degree 4", (BARE_C, OURS_C), MACAULAY),
    ):
        print(f"| {title} (inputs, samples, width) | method | CPU s | times the bare rank | peak MiB | rank |\n" + "|---" * 6 + "|")
        for size in cases[:first]:
            bare, ours = (measure(name, size, repeats) for name in names)
            ratios[title, size] = ours.cpu / bare.cpu
            wrong += [f"{title}, {size}: ranks {bare.result} and {ours.result}"] * (bare.result != ours.result)
            for name, one in ((BARE, bare), (names[1], ours)):
                ratio = significant(one.cpu / bare.cpu)
                print(f"| {size} | {name} | {significant(one.cpu)} | {ratio} | {one.memory:.0f} | {one.result} |", flush=True)
        print()
    print("| generic network, generic data | CPU s | peak MiB | result |\n|---|---|---|---|")
    for name, sizes in ((VERDICT, CHECKS[:first]), (LARGEST, THRESHOLDS[:first])):
        for size in sizes:
            one = measure(name, size, repeats)
            words = size if name == VERDICT else f"{size[0]} inputs, width {size[1]}"
            print(f"| {name}, {words} | {significant(one.cpu)} | {one.memory:.0f} | {one.result} |", flush=True)
    print("\n| network, 10 outputs, biases, all layers | samples | question | CPU s | peak MiB | result |\n|---|---|---|---|---|---|")
    for name, cases in ((ALONE, SIZES_ONLY[:first]), (DATA, GIVEN[:first])):
        for activation, d, n, width in cases:
            one = measure(name, (activation, d, n, width), repeats)
            words = "-".join(map(str, (d, *([width] if isinstance(width, int) else width), 10)))
            print(f"| {activation} {words} | {n} | {name} | {significant(one.cpu)} | {one.memory:.0f} | {one.result} |", flush=True)
    late = [f"{title} {size}: {significant(ratio)}" for (title, size), ratio in ratios.items() if ratio > 2 and size in TARGETS]
    print(f"\nAt most twice the bare rank is wanted at {', '.join(map(str, TARGETS))}. Missed: {'; '.join(late) or 'none'}.")
    print("\n".join(["", *wrong]) if wrong else "\nThe ranks agree.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

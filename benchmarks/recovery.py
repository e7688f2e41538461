"""How often, and how fast, planted data are recovered: ``recover`` against multistart with SciPy, in one run.

``python benchmarks/recovery.py`` prints three markdown tables: successes and processor time over instances that are proved unique; starts
per second on the same systems; and, with relative noise on the target, errors against error bars. Success is judged against the planted
data: all samples to 1e-6, modulo the ambiguity. ``--budget`` and ``--instances`` shorten it; ``--quick`` does the smallest case.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from measuring import machine, significant
from scipy.optimize import least_squares

import identify
from identify.recovery.reduce import Reduced
from identify.recovery.starts import random_points

ACTIVATION = "z + z^2/2 + z^3"
CASES = {(5, 4, 12): 10, (5, 4, 6): 10, (8, 8, 16): 60, (16, 12, 24): 300, (8, 8, 10): 300, (10, 12, 20): 120}
"""(inputs, samples, width): seconds for an instance."""
TRUE = 1e-6
NOISE = 1e-6
"""Relative to the target, Gaussian."""
BARS = 10.0
"""Errors are to stay within so many error bars."""
SCIPY_SECONDS = 10.0


class Outcome(NamedTuple):
    """Whether the data were found, in how many seconds, how, and from how many starts."""

    success: bool
    seconds: float
    method: str
    starts: int


def instances(sizes: tuple[int, int, int], count: int):
    """The first planted instances, by seed, of a configuration that is proved unique for generic data."""
    config = identify.Configuration(inputs=sizes[0], samples=sizes[1], width=sizes[2], activation=ACTIVATION)
    report = identify.check(config)
    if report.verdict != "UNIQUE":
        raise SystemExit(f"{sizes}: {report.verdict}, but only data that are proved unique can be judged against")
    return [config.plant(seed) for seed in range(count)]


def ours(system: Any, truth: Any, seconds: float) -> Outcome:
    started = time.process_time()
    try:
        found = identify.recover(system, samples=truth.X.shape[0], budget=seconds, judge=False)
    except identify.RecoveryError as error:
        return Outcome(False, time.process_time() - started, f"none of {len(error.evidence['tried'])}", 0)
    taken = time.process_time() - started
    error = found.match(truth.X, truth.c).errors.max()
    return Outcome(bool(error <= TRUE), taken, found.method, found.evidence.get("uniqueness", {}).get("starts", 0))


def with_noise(system: Any, truth: Any, seconds: float, seed: int) -> float:
    """The largest error of a sample in units of its error bar, from a noisy target; infinite without a result."""
    noise = np.random.default_rng(seed).standard_normal(system.n_equations)
    noisy = system.with_target(system.target + NOISE * np.linalg.norm(system.target) * noise / np.linalg.norm(noise))
    try:
        found = identify.recover(noisy, samples=len(truth.X), budget=seconds, tolerance=3 * NOISE)
    except identify.RecoveryError:
        return np.inf
    match = found.match(truth.X, truth.c)
    return float((match.errors * np.linalg.norm(truth.X, axis=1) / found.error_bars[match.order]).max())


def scipy_multistart(system: Any, truth: Any, seconds: float, method: str) -> Outcome:
    """Random samples, the best multipliers for them, and SciPy with the closed-form Jacobian on all unknowns, reduced as ours are."""
    from identify.recovery.equations import Equations

    n = len(truth.X)
    reduced = Reduced.of(system, n)
    equations = Equations.of(reduced.network, system.observed, reduced.target)
    d, rng = reduced.dimension, np.random.default_rng(0)
    norm = np.linalg.norm(reduced.target)

    def split(v):
        return v[: n * d].reshape(n, d), v[n * d :].reshape(n, 1)

    def order(J):  # columns of one sample after the other, to samples first and multipliers last
        J = J.reshape(len(J), n, d + 1)
        return np.hstack([J[:, :, :d].reshape(len(J), -1), J[:, :, d]])

    started, starts, hit = time.process_time(), 0, False
    while time.process_time() - started < seconds and not hit:
        X = random_points(reduced.network, rng, n)
        columns = np.array([equations.residual(X, one[:, None]) + reduced.target for one in np.eye(n)]).T
        c = np.linalg.lstsq(columns, reduced.target, rcond=None)[0]
        found = least_squares(
            lambda v: equations.residual(*split(v)) / norm,
            np.concatenate([X.ravel(), c]),
            jac=lambda v: order(equations.jacobian(*split(v))) / norm,
            method=method,
            max_nfev=300,
        )
        starts += 1
        if 2 * found.cost < 1e-12:
            X, c = split(found.x)
            hit = system_match(system, reduced.lift(X, c), c, truth)
    return Outcome(hit, time.process_time() - started, method, starts)


def system_match(system: Any, X: np.ndarray, c: np.ndarray, truth: Any) -> bool:
    return bool(identify.Ambiguity("none", system.network.activation.degree).match(X, c, truth.X, truth.c).errors.max() <= 1e-4)


def starts_per_second(system: Any, truth: Any) -> dict[str, float]:
    """Starts per second of each search on one system; compilation left out."""
    found = {}
    n = len(truth.X)
    for method, starts in (("separate", 2048), ("projection", 256)):
        try:
            identify.recover(system, samples=n, method=method, starts=starts, seed=1)
        except identify.RecoveryError as error:
            if method not in error.evidence:  # it does not apply
                continue
        started = time.process_time()
        with suppress(identify.RecoveryError):
            identify.recover(system, samples=n, method=method, starts=starts, seed=2)
        found[method] = starts / (time.process_time() - started)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=10, help="for each case (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=1.0, help="share of the seconds for each case (default: %(default)s)")
    parser.add_argument("--scipy-seconds", type=float, default=SCIPY_SECONDS, help="for each instance and method (default: %(default)s)")
    parser.add_argument("--case", action="append", help="only this one, as in 8,8,10; may be repeated")
    parser.add_argument("--quick", action="store_true", help="the smallest case, two instances")
    options = parser.parse_args(arguments)
    cases = dict(list(CASES.items())[:1]) if options.quick else CASES
    if options.case:
        chosen = [tuple(map(int, text.split(","))) for text in options.case]
        cases = {sizes: CASES[sizes] for sizes in CASES if sizes in chosen}
    count = 2 if options.quick else options.instances
    print(machine("numpy", "scipy", "jax"), f"activation {ACTIVATION}, both layers.", sep="\n", end="\n\n")
    print("| (inputs, samples, width) | limit s | recover: recovered | median s | longest s | method | SciPy lm | SciPy trf |")
    print("|---|---|---|---|---|---|---|---|")
    wrong = 0
    rates, noisy = [], []
    for sizes, limit in cases.items():
        planted = instances(sizes, count)
        seconds = limit * options.budget
        found = [ours(system, truth, seconds) for system, truth in planted]
        plain = {
            method: [scipy_multistart(system, truth, min(options.scipy_seconds, seconds), method) for system, truth in planted]
            for method in ("lm", "trf")
        }
        methods = ", ".join(sorted({one.method for one in found}))
        times = [one.seconds for one in found]
        cells = [f"{sum(o.success for o in each)}/{count} in {min(options.scipy_seconds, seconds):g} s" for each in plain.values()]
        row = (sizes, f"{seconds:g}", f"{sum(o.success for o in found)}/{count}", significant(statistics.median(times)))
        print(f"| {' | '.join(map(str, row))} | {significant(max(times))} | {methods} | {' | '.join(cells)} |", flush=True)
        speed = starts_per_second(*planted[0])
        scipy = sum(o.starts for o in plain["lm"]) / sum(o.seconds for o in plain["lm"])
        rates.append((sizes, speed, scipy))
        noisy.append((sizes, [with_noise(*pair, seconds, seed) for seed, pair in enumerate(planted)]))
        wrong += sizes == (5, 4, 12) and sum(o.success for o in found) < count
    print("\n| (inputs, samples, width) | SciPy lm, starts per s | separate | projection |\n|---|---|---|---|")
    for sizes, speed, scipy in rates:
        cells = [
            f"{significant(speed[m])} ({significant(speed[m] / scipy)} times)" if m in speed else "–" for m in ("separate", "projection")
        ]
        print(f"| {sizes} | {significant(scipy)} | {' | '.join(cells)} |")
    print(f"\nRelative noise {NOISE:g} on the target:\n")
    print(f"| (inputs, samples, width) | recovered | within {BARS:g} error bars | largest error, in bars |\n|---|---|---|---|")
    for sizes, ratios in noisy:
        known = [ratio for ratio in ratios if np.isfinite(ratio)]
        within = sum(ratio <= BARS for ratio in known)
        print(f"| {sizes} | {len(known)}/{count} | {within}/{count} | {significant(max(known)) if known else '–'} |")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

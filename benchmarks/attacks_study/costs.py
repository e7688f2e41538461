"""What a check for splits costs, in units of an iteration.

``python benchmarks/attacks.py --cost`` prints a markdown table for 784-1000-1 and the settings that Haim et al. report for MNIST, in double
precision. *one by one*: Lanczos for one candidate after another, of a few candidates, times their number. Compiling is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np

import identify
from identify.attacks import HAIM_PRESETS, haim, random_network
from identify.attacks.objectives import Attack, Objective
from identify.attacks.splits import checked
from identify.splitting.lanczos import alone
from identify.splitting.matrices import products_of, smallest
from identify.splitting.minimise import best_step

SIZES, NETWORK, FEW = (20, 100, 500), (784, 1000, 1), 3
RULES = ("best", "published")


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """CPU seconds of one call, after a first that compiles."""
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def iteration(attack: Attack, n: int, steps: int) -> float:
    """CPU seconds of one iteration: the difference of two runs, of which the shorter has all that is done once."""

    def run(count: int) -> Callable[[], object]:
        return lambda: identify.reconstruct(attack, candidates=n, steps=count)

    return (seconds(run(2 * steps)) - seconds(run(steps))) / steps


def one_by_one(objective: Objective, X: np.ndarray, c: np.ndarray, j: int) -> None:
    """The smallest eigenvalue of one candidate, by products of that candidate alone."""
    product = products_of(objective, X, c, j)
    alone(lambda v: product(v[None])[0], X.shape[1])


def parts(attack: Attack, n: int) -> dict[str, float]:
    """CPU seconds by part, for n candidates after a few iterations."""
    one = iteration(attack, n, max(400 // n, 3))
    begun = identify.reconstruct(attack, candidates=n, steps=3).trials[0]
    objective, X, c = attack.objective(n), begun.X, begun.c
    with jax.enable_x64(True):
        point = {"X": jax.device_put(X), "c": jax.device_put(c)}
        product, (_, vectors) = products_of(objective, X, c), smallest(objective, X, c)
        rows = {
            "iteration": one,
            "product of Lanczos, all candidates": seconds(lambda: product(vectors)),
            "Lanczos, all at once": seconds(lambda: smallest(objective, X, c)),
            "Lanczos, one by one": seconds(lambda: [one_by_one(objective, X, c, j) for j in range(FEW)]) / FEW * n,
            "line search of one split": seconds(lambda: best_step(objective, X, c, 0, vectors[0])),
        }
        for rule in RULES:
            check = partial(checked, objective, point, n, identify.Splitting(rule=rule), 2 * n)
            rows[f"check, {rule}, {len(check()[2])} splits"] = seconds(check)
    return rows


def cost(sizes: Sequence[int] = SIZES) -> None:
    attack = haim(random_network(NETWORK, first_scale=0.03), **HAIM_PRESETS["mnist-1"])
    print("| candidates | part | CPU seconds | iterations |\n|---|---|---|---|", flush=True)
    for n in sizes:
        rows = parts(attack, n)
        for name, took in rows.items():
            print(f"| {n} | {name} | {took:.2g} | {took / rows['iteration']:.2g} |", flush=True)

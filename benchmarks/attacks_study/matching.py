"""Sample splitting on an objective that is not a stationarity equation: gradient matching.

``python benchmarks/attacks.py --matching`` takes one gradient of a batch of digits of 64 pixels at a GELU network, and minimises
1 − cosine of the whole gradient plus total variation (Geiping et al., NeurIPS 2020): signs of the gradient, Adam, candidates kept in the
range of pixels. *labels known*: each candidate has the label of a digit and the same weight, as in the paper. *labels unknown*: a candidate
has a free multiplier for each output. Every arm gets the same CPU seconds: iterations are set from a measured speed. Found means a relative
error below 0.1, one to one; *chance* puts 2n held-out digits in place of candidates.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from sklearn.datasets import load_digits

import identify
from identify.attacks import Attack, score
from identify.attacks.objectives import decaying

SIZES, WIDTH, CLASSES, PIXELS, SEEDS, TUNED_ON = (5, 10, 20), 200, 10, 64, 3, 1000
BUDGET, LEAST, CHECKS = 4.0, 400, 5
VARIATION, LAST, FOUND = 1e-4, 0.01, 0.1
STEP, MULTIPLIER_STEP = 0.03, 0.003


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Matching:
    """1 − cosine(target, sum of weighted gradients) + total variation: with labels of the loss, without them of every output."""

    parameters: dict[str, Array]
    target: dict[str, Array]
    labels: Array
    """One-hot, (k, C); zero if they are not known."""
    shares: Array
    is_labelled: bool = field(metadata={"static": True})

    def __call__(self, X: Array, c: Array) -> Array:
        def weighted(theta: dict[str, Array]) -> Array:
            outputs = jax.nn.gelu(X @ theta["W1"].T + theta["b1"], approximate=False) @ theta["W2"].T + theta["b2"]
            scalars = (self.labels * jax.nn.log_softmax(outputs)).sum(axis=1, keepdims=True) if self.is_labelled else outputs
            return (c * scalars).sum()

        own = jax.grad(weighted)(self.parameters)
        inner, size, length = (
            sum((part[name] * other[name]).sum() for name in own)
            for part, other in ((own, self.target), (own, own), (self.target, self.target))
        )
        images = X.reshape(-1, 8, 8)
        variation = sum(jnp.abs(jnp.diff(images, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
        return 1 - inner / jnp.sqrt(size * length + 1e-30) + VARIATION * (self.shares * variation).mean()

    def inherit(self, parents: Any, shares: Any) -> Matching:
        return replace(self, labels=self.labels[parents], shares=self.shares[parents] * shares * len(parents) / len(self.labels))


class Memory(NamedTuple):
    moments: Any
    step: Array


_MOMENTS = optax.scale_by_adam()


def _update(gradient: Any, memory: Memory, point: Any) -> tuple[Any, Memory]:
    """Adam on signs, images kept in the range of pixels; multipliers by Adam, or not at all if their step is zero."""
    moves, moments = _MOMENTS.update(gradient | {"X": jnp.sign(gradient["X"])}, memory.moments, point)
    X = jnp.clip(point["X"] - jnp.asarray(STEP, point["X"].dtype) * moves["X"], 0, 1)
    return {"X": X - point["X"], "c": -memory.step * moves["c"]}, Memory(moments, memory.step)


def matching(parameters: dict[str, Array], target: dict[str, Array], classes: np.ndarray | None) -> Attack:
    """The attack; ``classes`` are the labels of the batch, and are repeated for more candidates than samples."""

    def objective(k: int) -> Matching:
        with jax.enable_x64(True):
            labels = np.zeros((k, CLASSES)) if classes is None else np.eye(CLASSES)[np.resize(classes, k)]
            return Matching(parameters, target, jnp.asarray(labels), jnp.ones(k), classes is not None)

    def start(rng: np.random.Generator, k: int) -> tuple[np.ndarray, np.ndarray]:
        X = np.clip(0.3 + 0.3 * rng.standard_normal((k, PIXELS)), 0, 1)
        return X, np.full((k, 1), 1 / k) if classes is not None else 0.1 * rng.standard_normal((k, CLASSES)) / k

    rate = 0.0 if classes is not None else MULTIPLIER_STEP

    def init(point: Any) -> Memory:
        return Memory(_MOMENTS.init(point), jnp.asarray(rate, point["X"].dtype))

    return Attack("gradient matching", objective, start, optax.GradientTransformation(init, _update), 10_000, settings={"rate": rate})


def batch(n: int, seed: int) -> tuple[dict[str, Array], dict[str, Array], np.ndarray, np.ndarray, np.ndarray]:
    """Parameters, the gradient of minus the mean loss, the digits, their classes, and others."""
    data, rng = load_digits(), np.random.default_rng([seed, n])
    order = rng.permutation(len(data.data))
    X, classes = data.data[order[:n]] / 16, data.target[order[:n]]
    shapes = {"W1": (WIDTH, PIXELS), "b1": (WIDTH,), "W2": (CLASSES, WIDTH), "b2": (CLASSES,)}
    with jax.enable_x64(True):
        parameters = {name: jnp.asarray(rng.standard_normal(shape) / shape[-1] ** 0.5) for name, shape in shapes.items()}
        own = Matching(parameters, parameters, jnp.asarray(np.eye(CLASSES)[classes]), jnp.ones(n), True)

        def mean(theta: dict[str, Array]) -> Array:
            outputs = jax.nn.gelu(X @ theta["W1"].T + theta["b1"], approximate=False) @ theta["W2"].T + theta["b2"]
            return (own.labels * jax.nn.log_softmax(outputs)).sum() / n

        target = jax.grad(mean)(parameters)
    return parameters, target, X, classes, data.data[order[n:]] / 16


def arms(n: int) -> dict[str, tuple[int, Callable[[int], identify.Splitting | None]]]:
    """By name: how many candidates, and when they are split for a number of iterations."""

    def splitting(steps: int) -> identify.Splitting:
        return identify.Splitting(every=max(steps // CHECKS, 1), most=max(n // 3, 2), cap=2)

    return {"n": (n, lambda steps: None), "n, split": (n, splitting), "2n": (2 * n, lambda steps: None)}


def affordable(made: Callable[[int], Attack], k: int, splitting: Callable[[int], Any], budget: float) -> int:
    """As many iterations as fit into the CPU seconds, with their checks, by the time of shorter runs."""

    def seconds(steps: int, least: int, k: int, splitting: Any) -> float:
        began = time.process_time()
        identify.reconstruct(made(steps), candidates=k, steps=least, precision="float32", splitting=splitting, seed=TUNED_ON)
        return time.process_time() - began

    places, checks = k, 0.0
    if splitting(LEAST) is not None:  # a run of any length has as many checks; after the first its iterations are those of 2k
        places = 2 * k
        checks = min(seconds(LEAST, LEAST, k, splitting(LEAST)) for _ in range(2))
    once = min(seconds(LEAST, LEAST, places, None) for _ in range(2))
    pace = max(seconds(LEAST, 5 * LEAST, places, None) - once, 1e-2) / (4 * LEAST)
    steps = max(int((budget - max(checks, once)) / pace) + LEAST, LEAST)
    seconds(steps, LEAST, k, splitting(LEAST))  # compiles for the rates of that run
    return steps


def compared(sizes: Sequence[int] = SIZES, quick: bool = False) -> None:
    print("| labels | n | arm | found | mean L2 | objective | iterations | splits | CPU seconds |\n|" + "---|" * 9, flush=True)
    for known in (True, False):
        for n in sizes[:1] if quick else sizes:
            batches = [batch(n, seed) for seed in range(2 if quick else SEEDS)]
            for arm, (k, splitting) in arms(n).items():
                attacks = [matching(parameters, target, classes if known else None) for parameters, target, _, classes, _ in batches]
                steps = affordable(partial(decaying, attacks[0], LAST), k, splitting, BUDGET / (6 if quick else 1))
                rows = []
                for seed, (own, (_, _, X, _, _)) in enumerate(zip(attacks, batches, strict=True)):
                    began = time.process_time()
                    trial = identify.reconstruct(
                        decaying(own, LAST, steps), candidates=k, steps=steps, precision="float32", splitting=splitting(steps), seed=seed
                    ).trials[0]
                    took = time.process_time() - began
                    rows.append((*_scores(trial.X, X), trial.value, trial.iterations, len(trial.splits), took))
                found, total = sum(row[0] for row in rows), n * len(rows)
                middle = [float(np.mean([row[i] for row in rows])) for i in range(1, 6)]
                shown = f"{middle[0]:.2f} | {middle[1]:.2g} | {middle[2]:,.0f} | {middle[3]:.1f} | {middle[4]:.1f}"
                print(f"| {'known' if known else 'unknown'} | {n} | {arm} | {found}/{total} | {shown} |", flush=True)
            chance = [_scores(rest[: 2 * n], X) for _, _, X, _, rest in batches]
            found = sum(row[0] for row in chance)
            print(f"| {'known' if known else 'unknown'} | {n} | chance | {found}/{n * len(batches)} | "
                  f"{np.mean([row[1] for row in chance]):.2f} | | | | |", flush=True)  # fmt: skip


def _scores(candidates: np.ndarray, X: np.ndarray) -> tuple[int, float]:
    errors = score(candidates, X).errors
    return int((errors < FOUND).sum()), float(np.minimum(errors, 10).mean())

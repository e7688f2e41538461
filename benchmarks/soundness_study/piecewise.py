"""Random small piecewise-linear instances in dyadic numbers, generic and degenerate, and their truth from the complete oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from identify.theory.oracle.cells import count_all
from identify.theory.oracle.pieces import Question
from soundness_study.networks import Instance

ACTIVATIONS = ("relu", "leaky_relu(1/4)", "abs")
LARGEST = 4
GRID = 16
"""Samples are multiples of 1/16, so that they lie on kinks only when that is arranged."""
NODES, LEAVES = 10_000, 300


def draw(seed: int, index: int) -> Instance:
    """Instance number ``index``: the activation goes round, everything else is random, with an update of the first layer."""
    rng = np.random.default_rng([seed, 0x91, index])
    while True:
        instance = _draw(rng, index)
        if np.any(instance.updates(instance.X, instance.c)[0]):
            return instance


def _draw(rng: np.random.Generator, index: int) -> Instance:
    d, n = (int(rng.choice([1, 2, 2, 3, 3])) for _ in range(2))
    m, C = int(rng.integers(2, 13) if rng.random() < 0.75 else rng.integers(13, 31)), int(rng.choice([1, 1, 2]))
    activation = ACTIVATIONS[index % len(ACTIVATIONS)]
    numbers: dict[str, Any] = {
        "W": rng.integers(-LARGEST, LARGEST + 1, (m, d)),
        "b": rng.integers(-LARGEST, LARGEST + 1, m) if rng.integers(2) else None,
        "A": rng.choice([-1, 1], (C, m)) * rng.integers(1, LARGEST + 1, (C, m)),
        "X": rng.integers(-LARGEST * GRID, LARGEST * GRID + 1, (n, d)) / GRID,
        "c": rng.choice([-1, 1], (n, C)) * rng.integers(1, LARGEST + 1, (n, C)),
    }
    numbers = {name: None if part is None else part.astype(float) for name, part in numbers.items()}
    kinds = []
    for degeneracies in (NETWORK, DATA):
        if rng.random() < 0.35:
            name = str(rng.choice(list(degeneracies)))
            before = {key: None if value is None else value.copy() for key, value in numbers.items()}
            degeneracies[name](rng, **numbers)
            if any(value is not None and (before[key] != value).any() for key, value in numbers.items()):
                kinds.append(name)
    return Instance(index, activation, **numbers, layers=str(rng.choice(["first", "both"])), kinds=tuple(kinds))


def truth(instance: Instance) -> dict[str, Any]:
    """The truth, as JSON values."""
    question = Question.of(instance.sigma, instance.W, instance.b, instance.A, instance.X, instance.c, instance.layers)
    found = count_all(question, nodes=NODES, leaves=LEAVES, whole=False)
    most = max((family.dimension for family in found.families), default=0)
    how = f"families of dimension {most}" if most else f"{len(found.isolated)} solutions"
    return {
        "category": found.category.value,
        "how": how if found.complete else f"{how}, search not complete",
        "local": found.local,
        "solutions": len(found.isolated),
        "dimension": most,
        "group": "scaling" if question.is_homogeneous else "none",
    }


# --- degeneracies: each changes the arrays in place ------------------------------------------------------------------------


def _two(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.permutation(rows)[:2] if rows > 1 else np.zeros(2, int)


def _copied_neuron(factor: float) -> Callable[..., None]:
    def change(rng, W, b, **_):
        j, k = _two(rng, len(W))
        W[j] = factor * W[k]
        if b is not None:
            b[j] = factor * b[k]

    return change


def _dead_neurons(rng, W, X, b, **_):
    for j in rng.permutation(len(W))[: max(1, len(W) // 2)]:
        if b is None:
            W[j] *= -np.sign(W[j] @ X[0]) or 1
        else:
            b[j] = -np.abs(X @ W[j]).max() - 1


def _zero_neuron(rng, W, **_):
    W[rng.integers(len(W))] = 0


def _zero_second_layer(rng, A, **_):
    A[:, rng.integers(A.shape[1])] = 0


def _proportional_outputs(rng, A, **_):
    A[-1] = 2 * A[0]


def _moved(factor: float, shift: float = 0.0) -> Callable[..., None]:
    def change(rng, X, **_):
        i, k = _two(rng, len(X))
        X[i] = factor * X[k]
        X[i, 0] += shift

    return change


def _collinear_samples(rng, X, **_):
    X[-1] = 2 * X[len(X) // 2] - X[0]


def _zero_sample(rng, X, **_):
    X[rng.integers(len(X))] = 0


def _samples_on_kinks(rng, W, b, X, **_):
    x = X[rng.integers(len(X))]
    for j in rng.permutation(len(W))[:2]:
        if b is not None:
            b[j] = -W[j] @ x
        elif len(x) > 1:
            W[j] = 0
            W[j, :2] = x[1], -x[0]


def _equal_multipliers(rng, c, **_):
    c[:] = c[0]


def _opposite_multipliers(rng, c, **_):
    i, k = _two(rng, len(c))
    c[i] = -c[k]


def _zero_multiplier(rng, c, **_):
    if len(c) > 1:
        c[rng.integers(len(c))] = 0


NETWORK: dict[str, Callable[..., None]] = {
    "duplicate neurons": _copied_neuron(1),
    "parallel neurons": _copied_neuron(2),
    "opposite neurons": _copied_neuron(-1),
    "dead neurons": _dead_neurons,
    "zero neuron": _zero_neuron,
    "zero a_j": _zero_second_layer,
    "proportional outputs": _proportional_outputs,
}
DATA: dict[str, Callable[..., None]] = {
    "duplicate samples": _moved(1),
    "opposite samples": _moved(-1),
    "parallel samples": _moved(2),
    "equal patterns": _moved(1, 1 / GRID),
    "collinear samples": _collinear_samples,
    "zero sample": _zero_sample,
    "samples on kinks": _samples_on_kinks,
    "equal multipliers": _equal_multipliers,
    "opposite multipliers": _opposite_multipliers,
    "zero multiplier": _zero_multiplier,
}

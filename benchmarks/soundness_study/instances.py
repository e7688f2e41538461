"""Random small instances in integers, generic and degenerate, and the questions asked about each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.symbolic.msolve import PRIME
from soundness_study.equations import Problem
from soundness_study.oracle import Draw

SUPPORTS = tuple(s for size in (1, 2, 3) for s in combinations(range(5), size) if s[-1] >= 2)
"""The powers of every polynomial of degree 2 to 4 with at most three terms."""
FORMS = ("data", "samples", "configuration")
"""This network and this data; this network, generic data; generic network, generic data."""
LAYERS = ("both", "first", "second")
LARGEST = 4
"""Weights, data and multipliers are integers up to this size."""


@dataclass(frozen=True, eq=False)
class Instance:
    """A problem as it was drawn (samples may coincide), and the names of its degeneracies."""

    index: int
    problem: Problem
    kinds: tuple[str, ...]

    @property
    def merged(self) -> Problem:
        """Coincident samples merged, samples without multiplier dropped."""
        p = self.problem
        atoms: dict[tuple, np.ndarray] = {}
        for x, c in zip(p.X.tolist(), p.c, strict=True):
            atoms[tuple(x)] = atoms.get(tuple(x), 0) + c
        kept = {x: c for x, c in atoms.items() if any(c)}
        return Problem(p.s, p.W, p.b, p.A, list(kept), list(kept.values()), p.layers)

    def describe(self) -> dict[str, Any]:
        """Sizes and numbers, as JSON values."""
        p = self.problem
        d, _, m, C = p.sizes
        numbers = {name: None if part is None else part.tolist() for name, part in zip("WbAXc", (p.W, p.b, p.A, p.X, p.c), strict=True)}
        sizes = {"inputs": d, "samples": len(self.merged.X), "width": m, "outputs": C, "bias": p.b is not None, "layers": p.layers}
        return {"activation": str(Activation(p.s)), **sizes, "kinds": list(self.kinds), "numbers": numbers}


def draw(seed: int, index: int) -> Instance:
    """Instance number ``index``: the activation goes round, everything else is random, with a target that is not zero."""
    rng = np.random.default_rng([seed, index])
    while True:
        problem, kinds = _draw(rng, SUPPORTS[index % len(SUPPORTS)])
        if any(problem.target(problem.X, problem.c)):
            return Instance(index, problem, tuple(kinds))


def _draw(rng: np.random.Generator, support: tuple[int, ...]) -> tuple[Problem, list[str]]:
    d, n = (int(size) for size in rng.choice([1, 2, 2, 3, 3], 2))
    m = int(rng.integers(1, 7))
    C, has_bias = int(rng.integers(1, 3)), bool(rng.integers(2))
    numbers = {name: rng.integers(-LARGEST, LARGEST + 1, shape) for name, shape in _shapes(d, n, m, C).items()}
    numbers["c"] = rng.choice([-1, 1], (n, C)) * rng.integers(1, LARGEST + 1, (n, C))
    kinds = []
    for degeneracies in (NETWORK, DATA):
        if rng.random() < 0.5:
            name = str(rng.choice(list(degeneracies)))
            before = {key: value.copy() for key, value in numbers.items()}
            degeneracies[name](rng, **numbers)
            if any((before[key] != numbers[key]).any() for key in numbers):
                kinds.append(name)
    s = [0] * (support[-1] + 1)
    for k in support:
        s[k] = int(rng.choice([-3, -2, -1, 1, 1, 2, 3]))
    b = numbers["b"] if has_bias else None
    return Problem(tuple(s), numbers["W"], b, numbers["A"], numbers["X"], numbers["c"], str(rng.choice(LAYERS))), kinds


def _shapes(d: int, n: int, m: int, C: int) -> dict[str, tuple[int, ...]]:
    return {"W": (m, d), "b": (m,), "A": (C, m), "X": (n, d), "c": (n, C)}


# --- degeneracies: each changes the arrays in place ------------------------------------------------------------------------


def _two(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.permutation(rows)[:2] if rows > 1 else np.zeros(2, int)


def _duplicate_neurons(rng, W, b, **_):
    j, k = _two(rng, len(W))
    W[j], b[j] = W[k], b[k]


def _parallel_neurons(rng, W, b, **_):
    j, k = _two(rng, len(W))
    W[j], b[j] = 2 * W[k], 2 * b[k]


def _opposite_neurons(rng, W, b, **_):
    j, k = _two(rng, len(W))
    W[j], b[j] = -W[k], -b[k]


def _neurons_on_a_line(rng, W, **_):
    W[:] = np.outer(rng.integers(-2, 3, len(W)), W[0])


def _zero_neuron(rng, W, **_):
    W[rng.integers(len(W))] = 0


def _zero_biases(rng, b, **_):
    b[:] = 0


def _zero_second_layer(rng, A, **_):
    A[:, rng.integers(A.shape[1])] = 0


def _proportional_outputs(rng, A, **_):
    A[-1] = 2 * A[0]


def _coincident_samples(rng, X, **_):
    i, k = _two(rng, len(X))
    X[i] = X[k]


def _opposite_samples(rng, X, **_):
    i, k = _two(rng, len(X))
    X[i] = -X[k]


def _parallel_samples(rng, X, **_):
    i, k = _two(rng, len(X))
    X[i] = 2 * X[k]


def _collinear_samples(rng, X, **_):
    X[-1] = 2 * X[len(X) // 2] - X[0]


def _zero_sample(rng, X, **_):
    X[rng.integers(len(X))] = 0


def _sparse_samples(rng, X, **_):
    X[rng.random(X.shape) < 0.5] = 0


def _equal_multipliers(rng, c, **_):
    c[:] = c[0]


def _opposite_labels(rng, c, **_):
    i, k = _two(rng, len(c))
    c[i] = -c[k]


def _zero_multiplier(rng, c, **_):
    c[rng.integers(len(c))] = 0


def _multipliers_on_a_line(rng, c, **_):
    c[:, -1] = -c[:, 0]


NETWORK: dict[str, Callable[..., None]] = {
    "duplicate neurons": _duplicate_neurons,
    "parallel neurons": _parallel_neurons,
    "opposite neurons": _opposite_neurons,
    "neurons on a line": _neurons_on_a_line,
    "zero neuron": _zero_neuron,
    "zero biases": _zero_biases,
    "zero a_j": _zero_second_layer,
    "proportional outputs": _proportional_outputs,
}
DATA: dict[str, Callable[..., None]] = {
    "coincident samples": _coincident_samples,
    "opposite samples": _opposite_samples,
    "parallel samples": _parallel_samples,
    "collinear samples": _collinear_samples,
    "zero sample": _zero_sample,
    "sparse samples": _sparse_samples,
    "equal multipliers": _equal_multipliers,
    "opposite labels": _opposite_labels,
    "zero multiplier": _zero_multiplier,
    "multipliers on a line": _multipliers_on_a_line,
}


# --- what is asked, of the checker and of the oracle -----------------------------------------------------------------------


def system_of(instance: Instance) -> KKTSystem:
    """The instance for the checker; its target is exact."""
    p = instance.problem
    d, _, m, C = p.sizes
    A = p.A.astype(float)
    net = TwoLayerNetwork(p.W.astype(float), A[0] if C == 1 else A, Activation(p.s), bias=None if p.b is None else p.b.astype(float))
    shapes = {"W": (m, d), "bias": (m,), "a": A[0].shape if C == 1 else A.shape}
    seen = {"W": p.layers != "second", "bias": p.layers != "second" and p.b is not None, "a": p.layers != "first"}
    target = np.array(p.target(p.X, p.c), dtype=float)
    parts, start = {}, 0
    for name in (name for name, is_seen in seen.items() if is_seen):
        size = int(np.prod(shapes[name]))
        parts[name], start = target[start : start + size].reshape(shapes[name]), start + size
    system = KKTSystem.gradient(net, **parts)
    residual = system.residual(*data_of(instance))
    if residual:
        raise AssertionError(f"instance {instance.index}: two evaluations of the equations differ by {residual}")
    return system


def data_of(instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    """Samples and multipliers as they were drawn."""
    X, c = instance.problem.X.astype(float), instance.problem.c.astype(float)
    return X, c[:, 0] if c.shape[1] == 1 else c


def configuration_of(instance: Instance) -> Configuration:
    d, n, m, C = instance.merged.sizes
    p = instance.problem
    return Configuration(inputs=d, samples=n, width=m, outputs=C, activation=Activation(p.s), bias=p.b is not None, layers=p.layers)


def question(instance: Instance, form: str, rng: np.random.Generator) -> tuple[Problem, Draw | None]:
    """What the oracle gets: a problem, and how to draw it again where it is about generic numbers."""
    p = instance.merged
    if form == "data":
        return p, None

    def again(rng: np.random.Generator, size: int) -> Problem:
        def numbers(part):
            return rng.integers(-size, size + 1, part.shape).tolist()

        X, c = numbers(p.X), numbers(p.c)
        if form == "samples":
            return Problem(p.s, p.W, p.b, p.A, X, c, p.layers)
        return Problem(p.s, numbers(p.W), None if p.b is None else numbers(p.b), numbers(p.A), X, c, p.layers)

    return again(rng, PRIME // 2), again

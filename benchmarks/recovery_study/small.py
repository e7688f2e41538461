"""Small shapes: networks of one to ten neurons in a layer, and as many samples as one likes, so that few theorems about sizes apply."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import softmax

from identify.problem.network import Network
from identify.problem.system import KKTSystem
from recovery_study.other_questions import Asked, initial_network, labels_of, rounding_of, trained_network
from recovery_study.targets import rounded

ACTIVATIONS = (
    "relu",
    "leaky_relu",
    "gelu",
    "tanh",
    "silu",
    "softplus",
    "sin",
    "sigmoid",
    "z + z^2/2 + z^3",
    "z^2",
    "1 + z + z^2 + z^3",
    "z^3",
)
DATA = ("normal", "normal", "normal", "normal", "duplicate", "dependent", "opposite", "blank", "one pattern", "large")
MULTIPLIERS = ("normal", "normal", "normal", "softmax", "dependent", "proportional", "weak")
TARGETS = ("exact", "exact", "exact", "exact", "float32", "float16")
MOST_SAMPLES = 12


def _one(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def small(rng: np.random.Generator) -> Asked | None:
    """Updates of some layers of a small network; None for a target of zeros."""
    depth, C = int(rng.integers(2, 5)), int(rng.integers(1, 5))
    sizes = (int(rng.integers(1, 9)), *(int(rng.integers(1, 11)) for _ in range(depth - 1)), C)
    n = min(int(rng.geometric(0.3)), MOST_SAMPLES)
    labels: dict[str, Any] = {"activation": _one(rng, ACTIVATIONS), "size": "-".join(map(str, sizes)) + f", {n}"}
    labels |= {"data": _one(rng, DATA), "multipliers": _one(rng, MULTIPLIERS), "target": _one(rng, TARGETS)}
    labels |= {"bias": _one(rng, ("all", "all", "hidden", "none", "some")), "layers": _one(rng, ("all", "all", "all", "some", "one"))}
    asked, samples = _asked_for(rng, n)
    labels["samples"] = asked
    net = _network(rng, sizes, labels)
    X = _data(rng, labels["data"], n, sizes[0])
    c = _multipliers(rng, labels["multipliers"], net, X)
    layers = _layers(rng, labels["layers"], depth)
    ones = {k: (np.ones_like(net.weights[k - 1]), None if (b := net.biases[k - 1]) is None else np.ones_like(b)) for k in layers}
    observed = KKTSystem.gradient(net, layers=ones)
    exact = observed.with_target(observed.right_hand_side(X, c))
    system = exact
    if labels["target"] != "exact":
        system = exact.with_target(np.concatenate([rounded(labels["target"], part).reshape(-1) for part in exact.parts.values()]))
    return Asked(system, X, c, samples, system.residual(X, c), labels)


def _asked_for(rng: np.random.Generator, n: int) -> tuple[str, int | None]:
    return _one(
        rng, (("not given", None), ("not given", None), ("given", n), ("given", n), ("one more", n + 1), ("one less", max(n - 1, 1)))
    )


def _network(rng: np.random.Generator, sizes: tuple[int, ...], labels: dict[str, Any]) -> Network:
    weights = [rng.standard_normal((out, into)) * np.sqrt(2 / into) for into, out in pairwise(sizes)]
    biases: list[np.ndarray | None] = [0.5 * rng.standard_normal(len(W)) for W in weights]
    match labels["bias"]:
        case "hidden":
            biases[-1] = None
        case "none":
            biases = [None] * len(weights)
        case "some":
            biases = [b if rng.random() < 0.5 else None for b in biases]
    return Network(weights, biases=biases, activation=labels["activation"])


def _data(rng: np.random.Generator, kind: str, n: int, d: int) -> np.ndarray:
    X = rng.standard_normal((n, d))
    if kind == "large":
        return 30 * X
    if n == 1:
        return np.zeros_like(X) if kind == "blank" else X
    match kind:
        case "duplicate":
            X[1] = X[0]
        case "dependent":
            X[-1] = X[:-1].sum(axis=0)
        case "opposite":
            X[1] = -X[0]
        case "blank":
            X[0] = 0
        case "one pattern":
            X[1] = X[0] * (1 + 0.01 * rng.standard_normal(d))
    return X


def _multipliers(rng: np.random.Generator, kind: str, net: Network, X: np.ndarray) -> np.ndarray:
    n, C = len(X), net.n_outputs
    c = rng.standard_normal((n, C))
    match kind:
        case "softmax" if C > 1:
            c = (np.eye(C)[rng.integers(C, size=n)] - softmax(np.asarray(net(X)).reshape(n, C), axis=1)) / n
        case "dependent" if n > 1:
            c[-1] = c[:-1].sum(axis=0)
        case "proportional":
            c = np.outer(rng.standard_normal(n), c[0])
        case "weak":
            c[0] *= 10.0 ** -int(rng.integers(2, 9))
    return c[:, 0] if C == 1 else c


def _layers(rng: np.random.Generator, kind: str, depth: int) -> list[int]:
    every = list(range(1, depth + 1))
    if kind == "one":
        return [_one(rng, every)]
    return every if kind == "all" else sorted(rng.choice(every, size=int(rng.integers(1, depth + 1)), replace=False).tolist())


def small_head(rng: np.random.Generator) -> Asked:
    """A dense layer of two to six classes behind a softmax loss."""
    m, C, n = int(rng.integers(1, 9)), int(rng.integers(2, 8)), min(int(rng.geometric(0.4)), 8)
    data, target, lifted = _one(rng, DATA), _one(rng, TARGETS), bool(rng.random() < 0.7)
    A, b = rng.standard_normal((C, m)), 0.5 * rng.standard_normal(C)
    H, y = _data(rng, data, n, m), rng.integers(C, size=n)
    c = (np.eye(C)[y] - softmax(H @ A.T + b, axis=1)) / n
    exact = c.T @ np.hstack([H, np.ones((n, 1))])
    G = np.hstack([rounded(target, exact[:, :-1]), rounded(target, exact[:, -1:])]) if target != "exact" else exact
    asked, samples = _asked_for(rng, n)
    system = KKTSystem.linear_head(A, b, W=G[:, :-1], bias=G[:, -1] if lifted else None)
    labels = {"activation": "softmax", "size": f"{m}-{C}, {n}", "data": data, "target": target, "samples": asked}
    return Asked(system, H, c, samples, system.residual(H, c), labels | {"bias": "all" if lifted else "none"})


def small_steps(rng: np.random.Generator) -> Asked | None:
    """Two or three steps of training of a small network."""
    depth, n = int(rng.integers(2, 4)), min(int(rng.geometric(0.4)), 6)
    loss = _one(rng, ("softmax", "square", "logistic"))
    sizes = (
        int(rng.integers(1, 8)),
        *(int(rng.integers(1, 11)) for _ in range(depth - 1)),
        1 if loss == "logistic" else int(rng.integers(2, 5)),
    )
    activation, data = _one(rng, ("gelu", "relu", "tanh", "silu", "softplus")), _one(rng, DATA)
    asked, samples = _asked_for(rng, n)
    steps, rate = int(rng.integers(1, 4)), _one(rng, (0.01, 0.05))
    net, X, y = initial_network(rng, sizes, activation), _data(rng, data, n, sizes[0]), labels_of(rng, loss, n, sizes[-1])
    final, c = trained_network(net, X, y, [np.arange(n)] * steps, rate, 0.0, 0.0, loss)
    if all(np.array_equal(W, final.parameters[name]) for name, W in net.parameters.items()):
        return None
    system = KKTSystem.steps(net, final, steps=steps, loss=_one(rng, (None, loss)), learning_rate=rate)
    labels = {"activation": activation, "size": "-".join(map(str, sizes)) + f", {n}", "data": data, "multipliers": loss}
    return Asked(system, X, c, samples, rounding_of(net, final, 2.0**-53), labels | {"target": "exact", "samples": asked})


QUESTIONS = {"small layers": small, "small head": small_head, "small steps": small_steps}

"""Planted updates: networks, batches and multipliers of many kinds, and targets that are not what they should be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Any

import numpy as np

from identify.problem.network import Network, ShapeError
from identify.problem.system import KKTSystem
from identify.problem.updates import Update

ACTIVATIONS = (
    *("relu", "leaky_relu", "abs", "gelu", "gelu_tanh", "tanh", "silu", "sigmoid", "softplus", "sin", "hardtanh"),
    *("z + z^2/2 + z^3", "z^2", "1 + z + z^2 + z^3"),
)
SIZES = (  # inputs, widths, outputs, samples: wide and narrow, n above and below d, one output and many
    *((12, (40,), 4, 3), (12, (40,), 1, 3), (20, (30, 20), 5, 4), (6, (40, 30), 3, 8), (16, (24, 20, 12), 4, 5), (10, (12,), 3, 4)),
    *((10, (9, 8), 3, 4), (5, (30,), 2, 7), (16, (40, 24), 4, 1), (8, (16, 5), 2, 6)),
)
BIASES = ("all", "hidden", "none", "not in the first")
LAYERS = ("all", "first two", "first", "second", "not the first")
DATA = ("normal", "pixels", "duplicate", "opposite", "blank", "proportional", "dependent", "nearly equal", "one pattern", "tiny and huge")
MULTIPLIERS = ("normal", "softmax", "weak", "zero", "scaled")
NETWORKS = ("as drawn", "dead neurons", "equal neurons", "low rank")
TARGETS = (
    *("exact", "float32", "float16", "noise", "sign flipped", "rows missing", "columns missing", "one entry", "signs"),
    *("another network", "another activation", "permuted neurons"),
    *("one sample more asked for", "one sample fewer asked for"),
)
HONEST = {"exact", "float32", "float16", "noise", "sign flipped", "rows missing", "columns missing", "one sample more asked for"}
"""Targets that are sums of gradients of this network, up to rounding or noise, with enough samples."""
OTHER = {"relu": "leaky_relu", "gelu": "silu", "tanh": "sigmoid", "softplus": "gelu"}


@dataclass(frozen=True, eq=False)
class Planted:
    """A system and the data behind it; ``samples``: the number that is asked for, None for none."""

    index: int
    system: KKTSystem
    X: np.ndarray
    c: np.ndarray
    samples: int | None
    labels: dict[str, Any] = field(default_factory=dict)


def draw(seed: int, index: int) -> Planted:
    """Instance ``index``, of which the target is not zero."""
    attempts = (_draw(np.random.default_rng([seed, index, k]), index) for k in count())
    return next(planted for planted in attempts if planted is not None)


def _draw(rng: np.random.Generator, index: int) -> Planted | None:
    """Three of the labels are drawn freely, the others are the usual ones, so that each trouble is met by itself too."""
    labels: dict[str, Any] = {"activation": _one(rng, ACTIVATIONS), "size": _one(rng, SIZES), "bias": BIASES[0], "layers": LAYERS[0]}
    labels |= {"data": DATA[0], "multipliers": MULTIPLIERS[0], "network": NETWORKS[0], "target": TARGETS[0]}
    free = {"bias": BIASES, "layers": LAYERS, "data": DATA, "multipliers": MULTIPLIERS, "network": NETWORKS, "target": TARGETS}
    for name in rng.choice([*free, "data", "target"], size=3).tolist():
        labels[name] = _one(rng, free[name])
    d, widths, C, n = labels["size"]
    net = _network(rng, labels, d, widths, C)
    X = _samples(rng, labels["data"], n, d, net)
    c = _multipliers(rng, labels["multipliers"], net, X)
    if labels["data"] == "tiny and huge":
        labels["exponent"] = int(rng.integers(-12, 13))
        c = c * 10.0 ** labels["exponent"]
    try:
        system = _observed(net, labels["layers"], X, c)
    except ShapeError:  # every sample is blank, or every neuron dead
        return None
    samples = {"one sample more asked for": n + 1, "one sample fewer asked for": max(n - 1, 1)}.get(labels["target"])
    system = _tampered(rng, labels["target"], system, X, c, labels["layers"])
    c = -c if labels["target"] == "sign flipped" else c
    labels["size"] = "-".join(map(str, (d, *widths, C))) + f", {n}"
    return Planted(index, system, X, c, samples, labels)


def _one(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _network(rng: np.random.Generator, labels: dict[str, Any], d: int, widths: tuple[int, ...], C: int) -> Network:
    sizes = (d, *widths, C)
    weights = [rng.standard_normal((out, into)) * np.sqrt(2 / into) for into, out in pairwise(sizes)]
    biases: list[np.ndarray | None] = [0.3 * rng.standard_normal(len(W)) for W in weights]
    match labels["bias"]:
        case "hidden":
            biases[-1] = None
        case "none":
            biases = [None] * len(weights)
        case "not in the first":
            biases[0] = None
    match labels["network"]:
        case "dead neurons":
            weights[1][:, : widths[0] // 3] = 0
        case "equal neurons":
            weights[0][1::3] = weights[0][0 : len(weights[0][1::3]) * 3 : 3]
            if biases[0] is not None:
                biases[0][1::3] = biases[0][0 : len(biases[0][1::3]) * 3 : 3]
        case "low rank":
            weights[0] = weights[0][:, : d // 2] @ rng.standard_normal((d // 2, d)) / np.sqrt(d)
    return Network(weights, biases=biases, activation=labels["activation"])


def _samples(rng: np.random.Generator, kind: str, n: int, d: int, net: Network) -> np.ndarray:
    X = rng.standard_normal((n, d))
    if kind == "pixels":
        return np.clip(X, 0, None) * (rng.random((n, d)) < 0.7)
    if kind == "tiny and huge":
        return X
    if n == 1:
        return np.zeros_like(X) if kind == "blank" else X
    match kind:
        case "duplicate":
            X[1] = X[0]
        case "opposite":
            X[1] = -X[0]
        case "blank":
            X[0] = 0
        case "proportional":
            X[1] = 2 * X[0]
        case "dependent":
            X[-1] = X[:-1].sum(axis=0)
        case "nearly equal":
            X[1] = X[0] + 10.0 ** -int(rng.integers(3, 10)) * X[1]
        case "one pattern":
            X[1] = X[0] * (1 + 0.01 * rng.standard_normal(d))
    return X


def _multipliers(rng: np.random.Generator, kind: str, net: Network, X: np.ndarray) -> np.ndarray:
    n, C = len(X), net.n_outputs
    c = rng.standard_normal((n, C))
    match kind:
        case "softmax" if C > 1:
            outputs = np.asarray(net(X)).reshape(n, C)
            p = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            c = (np.eye(C)[rng.integers(C, size=n)] - p / p.sum(axis=1, keepdims=True)) / n
        case "weak":
            c[0] *= 10.0 ** -int(rng.integers(3, 15))
        case "zero":
            c[0] = 0
        case "scaled":
            c *= 10.0 ** rng.uniform(-3, 3, size=(n, 1))
    return c[:, 0] if C == 1 else c


def _observed(net: Network, layers: str, X: np.ndarray, c: np.ndarray) -> KKTSystem:
    """The exact updates of the observed layers, weights and biases as far as the network has them."""
    depth = len(net.weights)
    numbers = {
        "all": range(1, depth + 1),
        "first two": (1, 2),
        "first": (1,),
        "second": (2,),
        "not the first": range(2, depth + 1),
    }[layers]
    ones = {k: (np.ones_like(net.weights[k - 1]), None if (b := net.biases[k - 1]) is None else np.ones_like(b)) for k in numbers}
    system = KKTSystem.gradient(net, layers=ones)
    return system.with_target(system.right_hand_side(X, c))


def _tampered(rng: np.random.Generator, kind: str, system: KKTSystem, X: np.ndarray, c: np.ndarray, layers: str) -> KKTSystem:
    t = system.target
    net = system.network
    match kind:
        case "float32":
            return system.with_target(t.astype(np.float32).astype(float))
        case "float16":
            scale = np.abs(t).max() or 1.0
            return system.with_target((t / scale).astype(np.float16).astype(float) * scale)
        case "noise":
            size = 10.0 ** -int(rng.integers(3, 12))
            return system.with_target(t + size * np.sqrt(np.mean(t**2)) * rng.standard_normal(len(t)))
        case "rows missing" | "columns missing":
            return _in_part(rng, kind, system)
        case "one entry":
            t = t.copy()
            t[rng.integers(len(t))] += np.abs(t).max()
            return system.with_target(t)
        case "another network":
            weights = [W + 0.3 * np.std(W) * rng.standard_normal(W.shape) for W in net.weights]
            other = Network(weights, biases=net.biases, activation=list(net.activations))
            return system.with_target(_observed(other, layers, X, c).target)
        case "another activation":
            name = OTHER.get(str(net.activations[0]), "softplus")
            other = Network(net.weights, biases=net.biases, activation=name)
            return system.with_target(_observed(other, layers, X, c).target)
        case "permuted neurons":
            first = system.updates[0]
            if first.W is None:
                return system.with_target(rng.permutation(t))
            order = rng.permutation(len(first.W))
            moved = Update(first.W[order], None if first.bias is None else first.bias[order])
            return replace(system, updates=(moved, *system.updates[1:]))
        case "signs":
            return system.with_target(np.sign(t) * np.mean(np.abs(t)))
        case "sign flipped":
            return system.with_target(-t)
    return system


def _in_part(rng: np.random.Generator, kind: str, system: KKTSystem) -> KKTSystem:
    """Without a quarter of the rows, or of the columns, of each layer that has eight or more of them."""
    layers = {k: [None if part is None else part.copy() for part in update] for k, update in system.layers.items()}
    for W, b in layers.values():
        if W is None:
            continue
        size = W.shape[kind == "columns missing"]
        gone = rng.choice(size, size // 4 if size >= 8 else 0, replace=False)
        if kind == "columns missing":
            W[:, gone] = np.nan
        else:
            W[gone] = np.nan
            if b is not None:
                b[gone] = np.nan
    return KKTSystem.gradient(system.network, layers={k: (W, b) for k, (W, b) in layers.items()})

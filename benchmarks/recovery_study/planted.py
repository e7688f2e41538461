"""Planted updates: networks, batches and multipliers of many kinds, and targets that are not what they should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

import numpy as np

from identify.problem.network import Network, ShapeError
from identify.problem.system import KKTSystem
from recovery_study import other_questions, small
from recovery_study.targets import TARGETS, tampered

MIXED = "mixed"
"""Another activation in each layer."""
ACTIVATIONS = (
    *("relu", "leaky_relu", "abs", "gelu", "gelu_tanh", "tanh", "silu", "sigmoid", "softplus", "sin", "hardtanh", "mish", "erf", "exp"),
    *("relu6", MIXED, "z + z^2/2 + z^3", "z^2", "1 + z + z^2 + z^3"),
)
SIZES = (  # inputs, widths, outputs, samples: wide and narrow, n above and below d, one output and many
    *((12, (40,), 4, 3), (12, (40,), 1, 3), (20, (30, 20), 5, 4), (6, (40, 30), 3, 8), (16, (24, 20, 12), 4, 5), (10, (12,), 3, 4)),
    *((10, (9, 8), 3, 4), (5, (30,), 2, 7), (16, (40, 24), 4, 1), (8, (16, 5), 2, 6)),
    *(
        (12, (24, 20, 18, 16, 14), 4, 4),
        (30, (25, 20), 10, 12),
        (4, (40, 30), 3, 12),
        (20, (6, 5), 4, 8),
        (10, (5,), 3, 7),
        (30, (60,), 10, 20),
    ),
)
EQUAL = ((10, (20, 20, 20), 3, 4), (16, (16, 16), 3, 4), (12, (24, 24, 24, 24), 4, 5))
"""Of the same kind, with layers of the same shape."""
BIASES = ("all", "hidden", "none", "not in the first")
LAYERS = ("all", "first two", "first", "second", "not the first", "last", "first and last", "weights")
DATA = ("normal", "pixels", "duplicate", "opposite", "blank", "proportional", "dependent", "nearly equal", "one pattern", "tiny and huge")
DATA = (*DATA, "small and large inputs")
MULTIPLIERS = ("normal", "softmax", "weak", "zero", "scaled")
NETWORKS = ("as drawn", "dead neurons", "equal neurons", "low rank")
QUESTIONS = {"layers": 0.7, "known map": 0.03, "softmax head": 0.03, "several steps": 0.04}
SMALL = {"small layers": 0.16, "small head": 0.03, "small steps": 0.01}
"""What is asked: updates of layers of a network, one of :mod:`other_questions`, or one of :mod:`small`; how often."""
ASKED = {**other_questions.ASKED, **small.QUESTIONS}


@dataclass(frozen=True, eq=False)
class Planted:
    """A system and the data behind it; ``samples``: the number that is asked for, None for none; ``own``: the residual of these data."""

    index: int
    system: Any
    X: np.ndarray
    c: np.ndarray
    samples: int | None
    own: float
    labels: dict[str, Any] = field(default_factory=dict)


def draw(seed: int, index: int, questions: Mapping[str, float] = QUESTIONS | SMALL) -> Planted:
    """Instance ``index``, of which the target is not zero."""
    attempts = (_draw(np.random.default_rng([seed, index, k]), index, questions) for k in count())
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is drawn anew
        return next(planted for planted in attempts if planted is not None)


def _draw(rng: np.random.Generator, index: int, questions: Mapping[str, float]) -> Planted | None:
    """Three of the labels are drawn freely, the others are the usual ones, so that each trouble is met by itself too."""
    question = str(rng.choice(list(questions), p=np.array(list(questions.values())) / sum(questions.values())))
    usual = {
        "bias": BIASES[0],
        "layers": LAYERS[0],
        "data": DATA[0],
        "multipliers": MULTIPLIERS[0],
        "network": NETWORKS[0],
        "samples": "not given",
    }
    if question != "layers":
        try:
            asked = ASKED[question](rng)
        except ShapeError:  # a target of zeros, or numbers too large
            return None
        return asked and Planted(index, *asked[:-1], labels={"question": question, **usual, **asked[-1]})
    labels: dict[str, Any] = {"question": question, "activation": _one(rng, ACTIVATIONS), "size": _one(rng, (*SIZES, *EQUAL))}
    labels |= usual | {"target": TARGETS[0]}
    free = {"bias": BIASES, "layers": LAYERS, "data": DATA, "multipliers": MULTIPLIERS, "network": NETWORKS, "target": TARGETS}
    for name in rng.choice([*free, "data", "target"], size=3).tolist():
        labels[name] = _one(rng, free[name])
    if labels["target"] == "permuted layers":
        labels["size"] = _one(rng, EQUAL)
    d, widths, C, n = labels["size"]
    net = _network(rng, labels, d, widths, C)
    X = _samples(rng, labels["data"], n, d, net)
    c = _multipliers(rng, labels["multipliers"], net, X)
    if labels["data"] == "tiny and huge":
        labels["exponent"] = int(rng.integers(-12, 13))
        c = c * 10.0 ** labels["exponent"]
    samples = {"one sample more asked for": n + 1, "one sample fewer asked for": max(n - 1, 1)}.get(labels["target"])
    try:
        system = _observed(net, labels["layers"], X, c)
        changed = tampered(rng, labels["target"], system, lambda net: _observed(net, labels["layers"], X, c))
    except ShapeError:  # every sample is blank, every neuron dead, or a number too large
        return None
    if changed is None:  # no two layers that could be exchanged
        return None
    c = -c if labels["target"] == "sign flipped" else c
    labels["size"] = "-".join(map(str, (d, *widths, C))) + f", {n}"
    return Planted(index, changed, X, c, samples, changed.residual(X, c), labels)


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
    activation: Any = labels["activation"]
    if activation == MIXED:
        activation = [_one(rng, ACTIVATIONS[: ACTIVATIONS.index(MIXED)]) for _ in widths]
    return Network(weights, biases=biases, activation=activation)


def _samples(rng: np.random.Generator, kind: str, n: int, d: int, net: Network) -> np.ndarray:
    X = rng.standard_normal((n, d))
    if kind == "pixels":
        return np.clip(X, 0, None) * (rng.random((n, d)) < 0.7)
    if kind == "tiny and huge":
        return X
    if kind == "small and large inputs":
        return X * 10.0 ** int(rng.integers(-6, 7))
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
        "last": (depth,),
        "first and last": (1, depth),
        "weights": range(1, depth + 1),
    }[layers]
    has_bias = {k: layers != "weights" and net.biases[k - 1] is not None for k in numbers}
    ones = {k: (np.ones_like(net.weights[k - 1]), np.ones(len(net.weights[k - 1])) if has_bias[k] else None) for k in numbers}
    system = KKTSystem.gradient(net, layers=ones)
    return system.with_target(system.right_hand_side(X, c))

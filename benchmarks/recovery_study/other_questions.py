"""Planted updates that are not those of layers of a network: behind a known map, behind a softmax loss alone, several steps of training."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit, softmax

from identify.problem.network import Network
from identify.problem.system import KKTSystem
from recovery_study.targets import rounded, spoiled

SPOILED = ("exact", "float32", "float16", "bfloat16", "int8", "noise", "one entry", "signs", "sign flipped", "Adam")
ASKED_FOR = ("one sample more asked for", "one sample fewer asked for")
MAPS = {"dense": (6, 40), "narrow dense": (6, 12), "convolutions": (25, 108)}
"""Known maps: entries of a sample, features."""
DATA = ("normal", "normal", "normal", "duplicate", "nearly equal", "dependent", "blank")
STEPS = ("exact", "exact", "exact", "float32", "bfloat16", "rate not known", "mini-batches", *ASKED_FOR)
UNTRUE = (
    "another rate",
    "more steps than said",
    "another loss",
    "momentum unsaid",
    "weight decay unsaid",
    "mini-batches unsaid",
    "data change",
)
LOSSES = ("softmax", "softmax", "square", "logistic")
UNIT = {"float32": 2.0**-24, "bfloat16": 2.0**-8}


class Asked(NamedTuple):
    """As in :class:`recovery_study.planted.Planted`."""

    system: Any
    X: np.ndarray
    c: np.ndarray
    samples: int | None
    own: float
    labels: dict[str, Any]


def _one(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def _samples(rng: np.random.Generator, kind: str, n: int, d: int) -> np.ndarray:
    X = rng.random((n, d)) * 2 - 1
    match kind:
        case "duplicate":
            X[-1] = X[0]
        case "nearly equal":
            X[-1] = X[0] + 10.0 ** -int(rng.integers(2, 8)) * X[-1]
        case "dependent" if n > 2:
            X[-1] = X[:-1].sum(axis=0)
        case "blank" if n > 1:
            X[0] = 0
    return X


def _asked_for(target: str, n: int) -> int | None:
    return {"one sample more asked for": n + 1, "one sample fewer asked for": max(n - 1, 1)}.get(target)


def _relative(missed: np.ndarray, of: np.ndarray) -> float:
    return float(np.linalg.norm(missed) / np.linalg.norm(of))


def known_map(rng: np.random.Generator) -> Asked:
    """A dense layer behind a map of one sample; "another map" says that the analyst has other parameters of it."""
    kind, target = _one(rng, list(MAPS)), _one(rng, (*SPOILED, *ASKED_FOR, "another map"))
    (d, features), data = MAPS[kind], _one(rng, DATA)
    n, outputs = int(rng.integers(1, 5)), int(rng.integers(2, 9))
    activation = _one(rng, ("tanh", "gelu", "relu"))
    made = int(rng.integers(2**32))
    phi, other = (_map(kind, d, features, activation, seed) for seed in (made, made + 1))
    X, U = _samples(rng, data, n, d), rng.standard_normal((n, outputs))
    with jax.enable_x64(True):
        H = np.array([np.asarray((other if target == "another map" else phi)(jnp.asarray(x))).reshape(-1) for x in X])
    exact = U.T @ np.hstack([H, np.ones((n, 1))])
    G = spoiled(rng, target, exact)
    G = exact if G is None else G
    c = -U if target == "sign flipped" else U
    system = KKTSystem.features(phi, d, W=G[:, :-1], bias=G[:, -1], box=(-1, 1))
    own = _relative(G - (-exact if target == "sign flipped" else exact), G)
    labels = {"activation": activation, "size": f"{kind} {d}-{features}-{outputs}, {n}", "data": data, "target": target}
    return Asked(system, X, c, _asked_for(target, n), own, labels)


def _map(kind: str, d: int, features: int, activation: str, seed: int) -> Callable[[Any], Any]:
    rng = np.random.default_rng(seed)
    sigma = {"tanh": jnp.tanh, "gelu": partial(jax.nn.gelu, approximate=False), "relu": jax.nn.relu}[activation]
    if kind != "convolutions":
        W, b = rng.standard_normal((features, d)) / d**0.5, 0.5 * rng.standard_normal(features)
        return lambda x: sigma(W @ x + b)
    first, bias = rng.uniform(-0.5, 0.5, (6, 1, 2, 2)), rng.uniform(-0.5, 0.5, (6, 1, 1))
    second = rng.uniform(-0.2, 0.2, (12, 6, 2, 2))

    def phi(x: Any) -> Any:
        h = sigma(jax.lax.conv(x.reshape(1, 1, 5, 5), first, (1, 1), "VALID")[0] + bias)
        return sigma(jax.lax.conv(h[None], second, (1, 1), "VALID")[0])

    return phi


def softmax_head(rng: np.random.Generator) -> Asked:
    """One dense layer behind a softmax loss; "multipliers of another loss" are free numbers, "another layer" has other weights."""
    target = _one(rng, (*SPOILED, *ASKED_FOR, "multipliers of another loss", "another layer"))
    data, weights = _one(rng, DATA), _one(rng, ("normal", "scaled"))
    (features, classes), n = _one(rng, ((20, 10), (40, 30), (12, 4), (8, 12))), int(rng.integers(1, 6))
    A, b = rng.standard_normal((classes, features)) / features**0.5, 0.1 * rng.standard_normal(classes)
    H, y = _samples(rng, data, n, features), rng.integers(classes, size=n)
    known = A + 0.3 * np.std(A) * rng.standard_normal(A.shape) if target == "another layer" else A
    c = (np.eye(classes)[y] - softmax(H @ A.T + b, axis=1)) / n
    if weights == "scaled":  # clipped gradients
        c = c * 10.0 ** rng.uniform(-2, 2, (n, 1))
    if target == "multipliers of another loss":
        c = rng.standard_normal((n, classes))
    exact = c.T @ np.hstack([H, np.ones((n, 1))])
    G = spoiled(rng, target, exact)
    G = exact if G is None else G
    system = KKTSystem.linear_head(known, b, W=G[:, :-1], bias=G[:, -1])
    labels = {"activation": "softmax", "size": f"{features}-{classes}, {n}", "data": data, "multipliers": weights, "target": target}
    return Asked(system, H, c, _asked_for(target, n), _relative(G - exact, G), labels)


def several_steps(rng: np.random.Generator) -> Asked | None:
    """Full-batch gradient descent, or batches; the untrue kinds are trainings of which the analyst is told something else."""
    target, data, loss = _one(rng, (*STEPS, *UNTRUE)), _one(rng, DATA), _one(rng, LOSSES)
    activation, rate, steps = _one(rng, ("gelu", "relu", "tanh")), _one(rng, (0.005, 0.02, 0.05)), int(rng.integers(2, 6))
    n, sizes = int(rng.integers(1, 5)), (14, 60, 40, 1 if loss == "logistic" else 4)
    net = initial_network(rng, sizes, activation)
    if target in UNIT:
        net = _in_format(net, target)
    X, y = _samples(rng, data, n, sizes[0]), labels_of(rng, loss, n, sizes[-1])
    batches = [np.arange(n)] * steps
    if target in ("mini-batches", "mini-batches unsaid"):
        if n < 3:
            return None
        n, X, y, steps = 4, np.vstack([X, X[: 4 - n] + 0.3])[:4], np.concatenate([y, y[: 4 - n]])[:4], 4
        batches = [part for _ in range(2) for part in rng.permutation(4).reshape(2, 2)]
    if target == "more steps than said":
        batches = batches + batches[:1] * int(rng.integers(1, 4))
    momentum = 0.9 if target == "momentum unsaid" else 0.0
    decay = 1e-2 if target == "weight decay unsaid" else 0.0
    trained = {"softmax": "square", "square": "softmax", "logistic": "square"}[loss] if target == "another loss" else loss
    final, c = trained_network(net, X, y, batches, rate, momentum, decay, trained)
    if target == "data change":
        final, _ = trained_network(
            final, _samples(rng, "normal", n, sizes[0]), labels_of(rng, loss, n, sizes[-1]), batches[:1], rate, 0.0, 0.0, loss
        )
    if target in UNIT:
        final = _in_format(final, target)
    if all(np.array_equal(W, final.parameters[name]) for name, W in net.parameters.items()):
        return None
    told: dict[str, Any] = {"steps": steps, "loss": _one(rng, (None, loss)), "learning_rate": rate}
    if target == "another rate":
        told["learning_rate"] = rate * _one(rng, (0.5, 0.9, 1.1, 2.0))
    if target == "rate not known":
        told |= {"learning_rate": None, "loss": loss}
    if target == "mini-batches":
        told = {**told, "epochs": 2, "batch_size": 2, "steps": None}
    labels = {"activation": activation, "size": "-".join(map(str, sizes)) + f", {n}", "data": data, "multipliers": loss, "target": target}
    system = KKTSystem.steps(net, final, **told)
    return Asked(system, X, c, _asked_for(target, n), rounding_of(net, final, UNIT.get(target, 2.0**-53)), labels)


def initial_network(rng: np.random.Generator, sizes: tuple[int, ...], activation: str) -> Network:
    pairs = list(pairwise(sizes))
    weights = [rng.uniform(-1, 1, (m, d)) / d**0.5 for d, m in pairs]
    return Network(weights, biases=[rng.uniform(-1, 1, m) / d**0.5 for d, m in pairs], activation=activation)


def _in_format(net: Network, kind: str) -> Network:
    return net.with_parameters({name: rounded(kind, np.asarray(part)) for name, part in net.parameters.items()})


def labels_of(rng: np.random.Generator, loss: str, n: int, C: int) -> np.ndarray:
    """One row each: classes as unit vectors, signs, or numbers."""
    if loss == "softmax":
        return np.eye(C)[rng.integers(C, size=n)]
    return rng.choice([-1.0, 1.0], (n, 1)) if loss == "logistic" else rng.standard_normal((n, C))


def trained_network(
    net: Network, X: np.ndarray, y: np.ndarray, batches: list[np.ndarray], rate: float, momentum: float, decay: float, loss: str
) -> tuple[Network, np.ndarray]:
    """The network after the steps, and the multipliers of all samples at the first one."""
    velocity = {name: np.zeros_like(part) for name, part in net.parameters.items()}
    first = _multipliers(net, X, y, loss)
    for batch in batches:
        c = _multipliers(net, X[batch], y[batch], loss) / len(batch)
        ones = {k: (np.ones_like(W), np.ones(len(W))) for k, W in enumerate(net.weights, 1)}
        observed = KKTSystem.gradient(net, layers=ones)
        updates = observed.with_target(observed.right_hand_side(X[batch], c if c.shape[1] > 1 else c[:, 0])).layers
        theta = {}
        for name, part in net.parameters.items():
            update = updates[int(name[1:])][0 if name[0] == "W" else 1]
            velocity[name] = momentum * velocity[name] - np.asarray(update) + decay * part
            theta[name] = part - rate * velocity[name]
        net = net.with_parameters(theta)
    return net, first if first.shape[1] > 1 else first[:, 0]


def _multipliers(net: Network, X: np.ndarray, y: np.ndarray, loss: str) -> np.ndarray:
    """Minus the derivative of the loss of each sample by the outputs."""
    o = np.asarray(net(X)).reshape(len(X), -1)
    if loss == "softmax":
        return y - softmax(o, axis=1)
    return y * expit(-y * o) if loss == "logistic" else 2 * (y - o) / o.shape[1]


def rounding_of(net: Network, final: Network, unit: float) -> float:
    """What rounding of the final network leaves of a residual, relative to the change, with room for each step's own."""
    size = max(np.linalg.norm(part) / max(np.linalg.norm(part - net.parameters[name]), 1e-300) for name, part in final.parameters.items())
    return float(10 * unit * size)


ASKED: dict[str, Callable[[np.random.Generator], Asked | None]] = {
    "known map": known_map,
    "softmax head": softmax_head,
    "several steps": several_steps,
}

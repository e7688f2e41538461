"""Targets that are not what they should be: rounded, noisy, in part, of something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from identify.problem.network import Network
from identify.problem.system import KKTSystem
from identify.problem.updates import Update

ROUNDED = ("float32", "float16", "bfloat16", "int8")
TARGETS = (
    *("exact", *ROUNDED, "noise", "sign flipped", "rows missing", "columns missing", "one entry", "signs", "largest entries only"),
    *("another network", "another activation", "permuted neurons", "permuted layers", "network in float32", "network in bfloat16"),
    *("two steps for one", "weight decay unsaid", "Adam", "one sample more asked for", "one sample fewer asked for"),
)
HONEST = {"exact", *ROUNDED, "noise", "sign flipped", "rows missing", "columns missing", "one sample more asked for"}
HONEST |= {"rate not known", "mini-batches"}
"""Targets that are sums of gradients of this network, up to rounding or noise, with enough samples."""
OTHER = {"relu": "leaky_relu", "gelu": "silu", "tanh": "sigmoid", "softplus": "gelu"}
RATE, DECAY, TINY = 0.05, 0.01, 1e-8


def rounded(kind: str, values: np.ndarray) -> np.ndarray:
    """One array in a number format, as it is sent: half precision by its largest entry, eight bits in equal steps."""
    scale = np.abs(values).max(initial=0.0) or 1.0
    match kind:
        case "float32":
            return values.astype(np.float32).astype(float)
        case "bfloat16":
            return values.astype(bfloat16).astype(float)
        case "float16":
            return (values / scale).astype(np.float16).astype(float) * scale
        case "int8":
            return np.round(values / scale * 127) * (scale / 127)
    raise ValueError(kind)


def spoiled(rng: np.random.Generator, kind: str, t: np.ndarray) -> np.ndarray | None:
    """What needs the numbers only, of any shape; None for other kinds."""
    match kind:
        case "exact":
            return t
        case "float32" | "float16" | "bfloat16" | "int8":
            return rounded(kind, t)
        case "noise":
            size = 10.0 ** -int(rng.integers(3, 12))
            return t + size * np.sqrt(np.mean(t**2)) * rng.standard_normal(t.shape)
        case "one entry":
            t = t.copy()
            t.flat[rng.integers(t.size)] += np.abs(t).max()
            return t
        case "signs":
            return np.sign(t) * np.mean(np.abs(t))
        case "sign flipped":
            return -t
        case "largest entries only":
            return np.where(np.abs(t) >= np.quantile(np.abs(t), 0.8), t, 0.0)
        case "Adam":
            return t / (np.abs(t) + TINY * np.abs(t).max())
    return None


def tampered(
    rng: np.random.Generator,
    kind: str,
    system: KKTSystem,
    observed: Callable[[Network], KKTSystem],
) -> KKTSystem | None:
    """``observed``: the exact updates of a network with the planted data. None if this system does not allow the change."""
    net, t = system.network, system.target
    if kind in ROUNDED:  # each tensor by itself, as it is sent
        return system.with_target(np.concatenate([rounded(kind, part).reshape(-1) for part in system.parts.values()]))
    values = spoiled(rng, kind, t)
    if values is not None:
        return system.with_target(values)
    match kind:
        case "rows missing" | "columns missing":
            return _in_part(rng, kind, system)
        case "another network":
            weights = [W + 0.3 * np.std(W) * rng.standard_normal(W.shape) for W in net.weights]
            return system.with_target(observed(_with(net, weights)).target)
        case "another activation":
            name = OTHER.get(str(net.activations[0]), "softplus")
            return system.with_target(observed(Network(net.weights, biases=net.biases, activation=name)).target)
        case "network in float32" | "network in bfloat16":
            known = [rounded(kind.rpartition(" ")[2], W) for W in net.weights]
            return observed(_with(net, known)).with_target(t)
        case "two steps for one":
            step = RATE * np.sqrt(sum(np.sum(W**2) for W in net.weights)) / np.linalg.norm(t)
            return system.with_target((t + observed(_moved(net, system, step)).target) / 2)
        case "weight decay unsaid":
            kept = [part for pair in zip(net.weights, net.biases, strict=True) for part in pair]
            sent = [part for update in system.updates for part in update]
            decay = np.concatenate([p.reshape(-1) for p, s in zip(kept, sent, strict=True) if s is not None and p is not None])
            return system.with_target(t - DECAY * np.linalg.norm(t) / np.linalg.norm(decay) * decay)
        case "permuted neurons":
            first = system.updates[0]
            if first.W is None:
                return system.with_target(rng.permutation(t))
            order = rng.permutation(len(first.W))
            moved = Update(first.W[order], None if first.bias is None else first.bias[order])
            return replace(system, updates=(moved, *system.updates[1:]))
        case "permuted layers":
            return _exchanged(system)
    return system


def _with(net: Network, weights: list[np.ndarray]) -> Network:
    return Network(weights, biases=net.biases, activation=list(net.activations))


def _moved(net: Network, system: KKTSystem, step: float) -> Network:
    """After one step of gradient descent on the observed parameters."""
    pairs = [
        (W if u.W is None else W + step * u.W, b if u.bias is None or b is None else b + step * u.bias)
        for W, b, u in zip(net.weights, net.biases, system.updates, strict=True)
    ]
    return Network([W for W, _ in pairs], biases=[b for _, b in pairs], activation=list(net.activations))


def _exchanged(system: KKTSystem) -> KKTSystem | None:
    """With the updates of two layers of the same shape exchanged."""
    shapes: dict[Any, int] = {}
    for k, update in enumerate(system.updates):
        if update.W is None:
            continue
        other = shapes.setdefault((update.W.shape, update.bias is None), k)
        if other != k:
            updates = list(system.updates)
            updates[k], updates[other] = updates[other], updates[k]
            return replace(system, updates=tuple(updates))
    return None


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

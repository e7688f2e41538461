"""One attempt at the batch behind some of the layers: what it is given, and what every way ends with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from identify.base.limits import Clock
from identify.conditions.networks.parts import Way
from identify.problem.partial import Sent
from identify.problem.precision import DIGITS_KEPT, SLACK, format_of
from identify.problem.signals import forward
from identify.problem.symmetry import symmetry_of
from identify.problem.system import KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.dense import _refined_multipliers
from identify.recovery.separation.precision import LARGEST
from identify.recovery.solution import Failure, Obstacle, Recovery, ResidualError


class WhyParts(StrEnum):
    """Why a way was chosen; the values are the sentences, with the numbers still open."""

    FEATURES = "the update of layer {layer} counts the samples, and the layers below it are a known map of one sample"
    WITHIN = "the update of layer {layer} counts the samples, and that of the first layer spans them"
    HEAD = "layers from {layer} on were observed: their inputs come first, then the samples that have these"
    BACKWARD = "only the first layer was observed: its signals are those of a network of two layers"
    DEPENDENT = "the update of layer 2 has rank {rank}, too small for {samples} samples, and spans their signals: the first layer's follow"
    ZEROS = "only the first layer was observed: signals are zero at inactive neurons"
    ROW = "one sample: the rows of the first update are multiples of it"
    SIGNALS = "only biases were observed: for one sample their updates are its signals"


@dataclass(frozen=True, eq=False)
class Asked:
    """One attempt."""

    system: KKTSystem
    way: Way
    samples: int
    ranks: dict[int, int]
    seed: int
    tolerance: float | None
    evidence: dict[str, Any]
    clock: Clock
    progress: Callable[[str], None]


def is_in_parts(system: KKTSystem) -> bool:
    """Whether neither the first two layers were observed nor, of two layers, the first; or some of their rows or columns were not sent."""
    if system.is_partial:
        return True
    first, second = system.updates[0].W, system.updates[1].W
    return first is None or (second is None and system.network.depth > 2)


def matrix_of(system: KKTSystem, layer: int) -> Float[np.ndarray, "out columns"]:
    """The known rows and columns of the update of a layer, with its bias column if that was observed."""
    W, bias = system.updates[layer - 1]
    assert W is not None
    W = W.reshape(-1, W.shape[-1])
    sent = Sent.of(W)
    known = W[np.ix_(*sent)]
    return known if bias is None else np.hstack([known, bias[sent.rows, None]])


def sent_of(system: KKTSystem, layer: int) -> Sent:
    """The known rows and columns of an observed layer of weights."""
    W = system.updates[layer - 1].W
    assert W is not None
    return Sent.of(W.reshape(-1, W.shape[-1]))


def multipliers_from(
    system: KKTSystem,
    X: Float[np.ndarray, "n d"],
    signals: Float[np.ndarray, "n out"],
    layer: int,
    rows: Bool[np.ndarray, " width"] | None = None,
) -> Float[np.ndarray, "n C"]:
    """The multipliers behind the signals of a layer: each sample's are linear in its own, by its slopes above.

    ``rows``: of which neurons the signals are; None: of all.
    """
    net = system.network
    if not np.isfinite(signals).all():
        return np.full((len(X), net.n_outputs), np.nan)
    before = forward(net.weights, net.biases, net.activations, X).before
    c = []
    for i, signal in enumerate(signals):
        through = np.eye(net.n_outputs)
        for k in range(net.depth - 1, layer - 1, -1):
            through = net.activations[k - 1](before[k - 1][i], order=1)[:, None] * (net.weights[k].T @ through)
        c.append(np.linalg.lstsq(through if rows is None else through[rows], signal, rcond=None)[0])
    return np.array(c).reshape(len(X), net.n_outputs)


def completed(
    asked: Asked, X: Float[np.ndarray, "found d"], c: Float[np.ndarray, "found C"], bars: Float[np.ndarray, " found"], found: Recovery
) -> Recovery:
    """The data with multipliers that fit all observed layers together, and what they leave of the updates."""
    system, n, evidence = asked.system, asked.samples, {**found.evidence, **asked.evidence}
    residual, known = float("nan"), found.uniqueness
    if len(X) == n:
        c = _refined_multipliers(system, X, c)
        residual = system.residual(X, c)
        carried = float(np.max(np.where(np.isfinite(bars), bars, 0.0) / np.linalg.norm(X, axis=1)))
        noise = evidence.get("precision", {}).get("noise", 0.0)
        usual = max(SLACK * noise, format_of(system.target) ** DIGITS_KEPT, SLACK * carried)
        allowed = min(usual, LARGEST) if asked.tolerance is None else asked.tolerance
        evidence["precision"] = {"noise": noise, "allowed": allowed}
        if not residual <= allowed:
            obstacle = Obstacle(Failure.RESIDUAL, {"samples": n, "residual": residual, "allowed": allowed})
            raise ResidualError.of(obstacle, "the updates belong to another network, or there are more samples", **evidence)
    elif known.reason is not UniquenessReason.PARTIAL:
        numbers = {"found": len(X), "samples": n}
        known = Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.PARTIAL, numbers=numbers)
    ambiguity = symmetry_of(system)
    if ambiguity.group != "none" and len(X) == n:
        norms = np.linalg.norm(X, axis=1)
        X, c = ambiguity.canonical(X, c)
        bars = bars * np.linalg.norm(X, axis=1) / norms
    if system.network.n_outputs == 1:
        c = c[:, 0]
    bars = np.maximum(bars, np.linalg.norm(np.spacing(np.abs(X)), axis=1) / 2)
    return Recovery(X, c, residual, bars, found.method, ambiguity, found.seed, evidence, known)

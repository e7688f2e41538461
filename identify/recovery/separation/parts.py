r"""The batch behind some of the layers of an update: whatever was observed, without the first two layers together.

Which way serves, and whether any does, :func:`identify.exposed` says by counts, and this follows it
(:func:`identify.conditions.networks.parts.ways`):

* a layer l whose update counts the samples: the layers below are a *known map* of one sample, :math:`\tilde h^{l-1}(x)\in
  \operatorname{row}(G_l)`. With the first layer's update, x is sought in its row space only;
* too few equations for that, but layers above: what enters layer l is found as the samples of the network that begins there, and
  then x from :math:`h^{l-1}(x)`, one sample at a time;
* the first layer of a deeper network alone: its signals are those of a network of two layers, with the second layer's signals as
  multipliers;
* biases alone: their updates are the signals of a single sample, and the ratio of two of them its slopes.

When the samples are known, their multipliers are a linear least-squares problem in all observed layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares

from identify.base.limits import Clock
from identify.conditions.networks.parts import Parts, Way, excluded, ways
from identify.problem.exposure import ExposedBy, Finding, Method
from identify.problem.features import FeatureSystem
from identify.problem.network import Network
from identify.problem.precision import DIGITS_KEPT, SLACK, format_of
from identify.problem.signals import forward
from identify.problem.system import KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.dense import _ambiguity, _refined_multipliers
from identify.recovery.separation.feature_batch import separated_features
from identify.recovery.separation.inversion import INVERSIONS, INVERTED, SAME, SPREADS, inverted_through
from identify.recovery.separation.one_layer import separated_from_one_layer
from identify.recovery.separation.precision import LARGEST, signal_rank
from identify.recovery.solution import (
    Failure,
    Family,
    InapplicableError,
    NotDeterminedError,
    Obstacle,
    Recovery,
    RecoveryError,
    ResidualError,
)


class WhyParts(StrEnum):
    """Why a way was chosen; the values are the sentences, with the numbers still open."""

    FEATURES = "the update of layer {layer} counts the samples, and the layers below it are a known map of one sample"
    WITHIN = "the update of layer {layer} counts the samples, and that of the first layer spans them"
    HEAD = "layers from {layer} on were observed: what enters them comes first, then the samples that have it"
    BACKWARD = "only the first layer was observed: its signals are those of a network of two layers"
    ROW = "one sample: the rows of the first update are multiples of it"
    SIGNALS = "only biases were observed: for one sample their updates are its signals"


FAMILIES = {
    ExposedBy.KERNEL: Family.KERNEL,
    ExposedBy.BOTTLENECK: Family.BOTTLENECK,
    ExposedBy.CELL: Family.REGION,
    ExposedBy.FEW_EQUATIONS: Family.PARTS,
}
"""What excludes that data are determined, as a recovery calls it."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What to try with the observed layers, and for how many samples."""

    ways: list[Way]
    samples: int
    ranks: dict[int, int]

    @classmethod
    def of(cls, system: KKTSystem, samples: int | None, evidence: dict[str, Any]) -> Plan:
        """Raises :class:`NotDeterminedError` if a family of other data has these updates, :class:`InapplicableError` without a way."""
        net = system.network
        ranks = {}
        for k, update in system.layers.items():
            if update.W is not None:
                matrix = _matrix(system, k)
                ranks[k] = signal_rank(np.linalg.svd(matrix, compute_uv=False), format_of(matrix.reshape(-1)), matrix.shape)
        evidence["ranks"] = list(ranks.values())
        n = samples or max(ranks.values(), default=1)
        seen = {k: (update.W is not None, update.bias is not None) for k, update in system.layers.items()}
        parts = Parts(net.sizes, net.activations, tuple(b is not None for b in net.biases), seen, n, is_softmax=False)
        _refuse_families(parts, evidence)
        # a layer whose rank is smaller, such as the last one behind a softmax loss, does not count these samples
        counting = {k: (weights and ranks[k] >= n, bias) for k, (weights, bias) in seen.items()}
        found = ways(replace(parts, seen=counting))
        if not found:
            raise InapplicableError.of(Failure.PARTS, evidence, observed=", ".join(system.parts), samples=n)
        return cls(found, n, ranks)


def _refuse_families(parts: Parts, evidence: dict[str, Any]) -> None:
    no = excluded(Parts(parts.sizes, parts.activations, parts.biases, parts.seen, parts.samples, parts.sizes[-1] > 1))
    if no is None:
        return
    n, d = parts.samples, parts.inputs
    numbers = {"samples": n, **no.numbers}
    raise NotDeterminedError.of(FAMILIES[no.reason], _dimension(no, n, d), evidence, **numbers)


def _dimension(no: Finding, n: int, d: int) -> int:
    """Of the family, at least."""
    if no.reason is ExposedBy.FEW_EQUATIONS:
        return no.numbers["unknowns"] - no.numbers["equations"]
    return n * int(d - no.numbers.get("width", 0))


def _matrix(system: KKTSystem, layer: int) -> Float[np.ndarray, "out columns"]:
    """The update of a layer, with its bias column if that was observed."""
    W, bias = system.updates[layer - 1]
    assert W is not None
    W = W.reshape(-1, W.shape[-1])
    return W if bias is None else np.hstack([W, bias[:, None]])


def is_in_parts(system: KKTSystem) -> bool:
    """Whether neither the first two layers were observed nor, of two layers, the first."""
    first, second = system.updates[0].W, system.updates[1].W
    return first is None or (second is None and system.network.depth > 2)


def separated_from_parts(
    system: KKTSystem,
    *,
    samples: int | None,
    seed: int,
    tolerance: float | None,
    evidence: dict[str, Any],
    clock: Clock,
    progress: Callable[[str], None],
    above: Callable[..., Recovery],
) -> Recovery:
    """Recover the batch from whatever layers were observed.

    Parameters
    ----------
    system
        Updates of any layers, but not of the first two together.
    samples
        n; None reads it off the ranks of the updates, and is one sample if only biases were observed.
    seed, tolerance, evidence, clock, progress
        As for the other separations.
    above
        Recovers the samples of another system; it is given the network that begins at a layer.

    Raises
    ------
    NotDeterminedError
        When a family of other data has these updates.
    InapplicableError
        When no method applies to these layers.
    ResidualError
        When no sample was found, or those that were found do not reproduce the updates.
    """
    progress("singular values of the updates")
    plan = Plan.of(system, samples, evidence)
    best: Recovery | None = None
    failure: RecoveryError | None = None
    for way in plan.ways:
        own = dict(evidence)
        asked = Asked(system, way, plan.samples, plan.ranks, seed, tolerance, own, clock, progress)
        try:
            found = above_layers(asked, above) if way.method in (Method.HEAD, Method.HEAD_QUADRICS) else RUN[way.method](asked)
        except (InapplicableError, ResidualError) as error:
            failure = failure or error
            continue
        if best is None or found.n_samples > best.n_samples:
            best = found
        if best.n_samples == plan.samples or not clock.go_on():
            break
    if best is not None:
        evidence.update(best.evidence)
        return best
    assert failure is not None
    raise failure


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


def own_map(net: Network, layer: int) -> Callable[[Any], Any]:
    """What enters a layer, as a function of JAX of one sample."""

    def phi(x: Any) -> Any:
        for W, b, sigma in list(zip(net.weights, net.biases, net.activations, strict=False))[: layer - 1]:
            z = W @ x
            x = sigma.jax(z if b is None else z + b)
        return x

    return phi


def behind_own_layers(asked: Asked) -> Recovery:
    """With the layers below as a known map; in coordinates of the row space of the first update, if that counts the samples too."""
    system, n, layer = asked.system, asked.samples, asked.way.layer
    net = system.network
    phi, start, basis = own_map(net, layer), np.zeros(net.n_inputs), np.eye(net.n_inputs)
    within = asked.ranks.get(1) == n
    asked.evidence["chosen"] = (WhyParts.WITHIN if within else WhyParts.FEATURES).value.format(layer=layer)
    if within:
        start, basis = _row_coordinates(system, n)

    def chart(t: Any) -> Any:
        return phi(start + t @ basis)

    update = system.updates[layer - 1]
    assert update.W is not None
    behind = FeatureSystem(chart, len(basis), update.W.reshape(-1, update.W.shape[-1]), update.bias)
    found = separated_features(
        behind,
        samples=n,
        seed=asked.seed,
        tolerance=asked.tolerance,
        evidence=asked.evidence,
        clock=asked.clock,
        progress=asked.progress,
    )
    X = start + found.X @ basis
    signals = found.c.reshape(len(X), -1)
    return _completed(asked, X, _from_layer(system, X, signals, layer), found.error_bars, found)


def _row_coordinates(system: KKTSystem, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A point and a basis (as rows) of the samples that the first update allows: all of its row space, or an affine subspace of it."""
    d, lifted = system.network.n_inputs, system.updates[0].bias is not None
    rows = np.linalg.svd(_matrix(system, 1), full_matrices=False)[2][:n]
    if not lifted:
        return np.zeros(d), rows
    last = rows[:, d]
    start = (last / (last @ last)) @ rows[:, :d]
    basis = np.linalg.svd(last[None])[2][1:] @ rows[:, :d]
    return start, np.linalg.qr(basis.T)[0].T


def above_layers(asked: Asked, above: Callable[..., Recovery]) -> Recovery:
    """What enters the lowest observed layer, as samples of the network that begins there; then the samples behind it."""
    system, base, evidence = asked.system, asked.way.layer, asked.evidence
    net = system.network
    evidence["chosen"] = WhyParts.HEAD.value.format(layer=base)
    head = Network(net.weights[base - 1 :], biases=net.biases[base - 1 :], activation=net.activations[base - 1 :])
    updates = {k - base + 1: tuple(update) for k, update in system.layers.items() if k >= base}
    found = above(KKTSystem.gradient(head, layers=updates), samples=asked.samples, evidence=evidence)
    asked.progress("samples from their features")
    rng = np.random.default_rng(asked.seed)
    inverted = {k: each for k, h in enumerate(found.X) if (each := inverted_through(net, base, h, rng)) is not None}
    kept = list(inverted)
    if not kept:
        numbers = {"samples": asked.samples, "starts": INVERSIONS}
        raise ResidualError.of(Obstacle(Failure.NO_SAMPLE, numbers), "no sample has the features that were found", **evidence)
    X = np.array([each.x for each in inverted.values()])
    bars = found.error_bars[kept] * np.array([each.factor for each in inverted.values()])
    ambiguous = sum(each.is_ambiguous for each in inverted.values())
    evidence["inversion"] = {"features": len(found.X), "inverted": len(kept), "ambiguous": ambiguous}
    c = found.c.reshape(len(found.X), -1)[kept]
    complete = _completed(asked, X, c, bars, found)
    if not ambiguous:
        return complete
    numbers = {"points": asked.samples + ambiguous, "samples": asked.samples}
    return replace(complete, uniqueness=Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.OTHER_POINTS, numbers=numbers))


def from_first_layer(asked: Asked) -> Recovery:
    """The first layer of a deeper network alone."""
    system = asked.system
    net, first = system.network, system.updates[0]
    asked.evidence["chosen"] = WhyParts.BACKWARD.value
    two = Network(net.weights[:2], biases=[net.biases[0], None], activation=net.activations[0])
    found = separated_from_one_layer(
        KKTSystem.gradient(two, layers={1: tuple(first)}),
        samples=asked.samples,
        seed=asked.seed,
        tolerance=asked.tolerance,
        evidence=asked.evidence,
        go_on=asked.clock.go_on,
        progress=asked.progress,
    )
    signals = found.c.reshape(len(found.X), -1)
    return _completed(asked, found.X, _from_layer(system, found.X, signals, 2), found.error_bars, found)


def from_row(asked: Asked) -> Recovery:
    """One sample: the first update has rank one, and its rows are multiples of the sample."""
    system, evidence = asked.system, asked.evidence
    evidence["chosen"] = WhyParts.ROW.value
    U, values, right = np.linalg.svd(_matrix(system, 1), full_matrices=False)
    d = system.network.n_inputs
    x, noise = right[0, :d] / right[0, d], values[1] / values[0] if len(values) > 1 else 0.0
    bar = max(noise, format_of(system.target)) * float(np.hypot(np.linalg.norm(x), 1.0)) ** 2
    signal = U[:, 0] * values[0] * right[0, d]
    c = _from_layer(system, x[None], signal[None], 1)
    numbers = {"samples": 1, "starts": 0, "converged": 0}
    known = Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.SEPARATED, numbers=numbers)
    evidence["precision"] = {"noise": noise}
    found = Recovery(x[None], c, 0.0, np.array([bar]), "row", _ambiguity(system), asked.seed, evidence, known)
    return _completed(asked, x[None], c, found.error_bars, found)


def from_signals(asked: Asked) -> Recovery:
    """One sample from the updates of the first two biases: the slopes of the first layer are their ratio."""
    system, evidence = asked.system, asked.evidence
    net, rng = system.network, np.random.default_rng(asked.seed)
    evidence["chosen"] = WhyParts.SIGNALS.value
    first, second = system.updates[0].bias, system.updates[1].bias
    assert first is not None and second is not None
    arriving = net.weights[1].T @ second
    sigma, W, b = net.activations[0], net.weights[0], net.biases[0]
    weight = 1 / max(float(np.linalg.norm(first)), np.finfo(float).tiny)
    asked.progress("one sample from its slopes")

    def misfit(x: np.ndarray) -> np.ndarray:
        return weight * (arriving * sigma(W @ x + b, order=1) - first)

    def derivative(x: np.ndarray) -> np.ndarray:
        return weight * (arriving * sigma(W @ x + b, order=2))[:, None] * W

    solutions = []
    for trial in range(INVERSIONS):
        start = SPREADS[trial % len(SPREADS)] * rng.standard_normal(net.n_inputs)
        ended = least_squares(misfit, start, jac=derivative, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15)
        if np.linalg.norm(ended.fun) <= max(INVERTED, SLACK * format_of(system.target)):
            solutions.append((ended.x, ended.jac))
    distinct = [x for k, (x, _) in enumerate(solutions) if all(np.linalg.norm(x - y) > SAME * np.linalg.norm(x) for y, _ in solutions[:k])]
    numbers = {"samples": 1, "starts": INVERSIONS, "converged": len(solutions), "solutions": len(distinct)}
    evidence["separation"] = numbers | {"found": min(len(distinct), 1)}
    if not distinct:
        advice = "biases alone show one sample only; the updates are those of more samples, or of another network"
        raise ResidualError.of(Obstacle(Failure.NO_SAMPLE, numbers), advice, **evidence)
    x, jacobian = solutions[0]
    smallest = float(np.linalg.svd(jacobian, compute_uv=False)[-1])
    bar = format_of(system.target) * len(first) ** 0.5 / smallest if smallest else np.inf
    status, reason = UniquenessStatus.EVIDENCE, UniquenessReason.ONE_SOLUTION
    if len(distinct) > 1:
        status, reason = UniquenessStatus.UNKNOWN, UniquenessReason.SEVERAL_SOLUTIONS
    c = _from_layer(system, x[None], second[None], 2)
    known = Uniqueness(status, reason, numbers=numbers)
    found = Recovery(x[None], c, 0.0, np.array([bar]), "signals", _ambiguity(system), asked.seed, evidence, known)
    return _completed(asked, x[None], c, found.error_bars, found)


RUN: dict[Method, Callable[[Asked], Recovery]] = {
    Method.FEATURES: behind_own_layers,
    Method.BACKWARD: from_first_layer,
    Method.QUADRICS: from_first_layer,
    Method.ROW: from_row,
    Method.SIGNALS: from_signals,
}
"""Ways that need no other recovery."""


def _from_layer(
    system: KKTSystem, X: Float[np.ndarray, "n d"], signals: Float[np.ndarray, "n out"], layer: int
) -> Float[np.ndarray, "n C"]:
    """The multipliers behind the signals of a layer: each sample's are linear in its own, by its slopes above."""
    net = system.network
    if not np.isfinite(signals).all():
        return np.full((len(X), net.n_outputs), np.nan)
    before = forward(net.weights, net.biases, net.activations, X).before
    c = []
    for i, signal in enumerate(signals):
        through = np.eye(net.n_outputs)
        for k in range(net.depth - 1, layer - 1, -1):
            through = net.activations[k - 1](before[k - 1][i], order=1)[:, None] * (net.weights[k].T @ through)
        c.append(np.linalg.lstsq(through, signal, rcond=None)[0])
    return np.array(c).reshape(len(X), net.n_outputs)


def _completed(
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
    ambiguity = _ambiguity(system)
    if ambiguity.group != "none" and len(X) == n:
        norms = np.linalg.norm(X, axis=1)
        X, c = ambiguity.canonical(X, c)
        bars = bars * np.linalg.norm(X, axis=1) / norms
    if system.network.n_outputs == 1:
        c = c[:, 0]
    bars = np.maximum(bars, np.linalg.norm(np.spacing(np.abs(X)), axis=1) / 2)
    return Recovery(X, c, residual, bars, found.method, ambiguity, found.seed, evidence, known)

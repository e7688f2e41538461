r"""The batch behind some of the layers of an update: whatever was observed, without the first two layers together.

Which way serves, and whether any does, :func:`identify.exposed` says by counts, and this follows it
(:func:`identify.conditions.networks.parts.ways`):

* a layer l whose update counts the samples: the layers below are a *known map* of one sample, :math:`\tilde h^{l-1}(x)\in
  \operatorname{row}(G_l)`. With the first layer's update, x is sought in its row space only;
* too few equations for that, but layers above: what enters layer l is found as the samples of the network that begins there, and
  then x from :math:`h^{l-1}(x)`, one sample at a time;
* the first layer of a deeper network alone: its signals are those of a network of two layers, with the second layer's signals as
  multipliers;
* the same of ReLU, with too few neurons for quadrics: signals are zero at inactive neurons;
* biases alone: their updates are the signals of a single sample, and the ratio of two of them its slopes.

When the samples are known, their multipliers are a linear least-squares problem in all observed layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from identify.base.limits import Clock
from identify.conditions.networks.parts import HEADS, Parts, Way, excluded, ways
from identify.problem.exposure import ExposedBy, Finding, Method
from identify.problem.features import FeatureSystem
from identify.problem.network import Network
from identify.problem.precision import format_of
from identify.problem.system import KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.alone import from_first_layer, from_row, from_signals, from_zeros
from identify.recovery.separation.attempt import Asked, WhyParts, completed, matrix_of, multipliers_from, sent_of
from identify.recovery.separation.feature_batch import separated_features
from identify.recovery.separation.inversion import INVERSIONS, inverted_through
from identify.recovery.separation.precision import left_behind, rank_among, signal_rank
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

FAMILIES = {
    ExposedBy.KERNEL: Family.KERNEL,
    ExposedBy.COLUMNS: Family.COLUMNS,
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
        values, ranks, units = {}, {}, {}
        for k, update in system.layers.items():
            if update.W is not None:
                matrix = matrix_of(system, k)
                values[k], units[k] = np.linalg.svd(matrix, compute_uv=False), format_of(matrix.reshape(-1))
                ranks[k] = signal_rank(values[k], units[k], matrix.shape)
        evidence["ranks"] = list(ranks.values())
        n = samples or max(ranks.values(), default=1)
        if not n:
            raise RecoveryError("target: every number of the weights' updates is zero, so there is nothing to recover the samples from")
        evidence["behind"] = [left_behind(own, n, units[k], matrix_of(system, k)) for k, own in values.items()]
        ranks = {k: rank_among(values[k], units[k], rank, n) if rank else 0 for k, rank in ranks.items()}
        seen = {k: (update.W is not None, update.bias is not None) for k, update in system.layers.items()}
        partial = {k: sent.counts for k, sent in system.sent.items()}
        parts = Parts(net.sizes, net.activations, tuple(b is not None for b in net.biases), seen, n, is_softmax=False, sent=partial)
        _refuse_families(parts, evidence)
        # a layer whose rank is smaller, such as the last one behind a softmax loss, does not count these samples
        counting = {k: (weights and ranks[k] >= n, bias) for k, (weights, bias) in seen.items()}
        found = ways(replace(parts, seen=counting))
        if any(way.method is Method.FORWARD for way in found):  # which refused before: the layers above the second one may still serve
            found = ways(replace(parts, seen=counting | {2: (False, counting[2][1])}))
        if not found:
            raise InapplicableError.of(Failure.PARTS, evidence, observed=", ".join(system.parts), samples=n)
        return cls(found, n, ranks)


def _refuse_families(parts: Parts, evidence: dict[str, Any]) -> None:
    no = excluded(replace(parts, is_softmax=parts.sizes[-1] > 1))
    if no is None:
        return
    n, d = parts.samples, parts.inputs
    numbers = {"samples": n, **no.numbers}
    raise NotDeterminedError.of(FAMILIES[no.reason], _dimension(no, n, d), evidence, **numbers)


def _dimension(no: Finding, n: int, d: int) -> int:
    """Of the family, at least."""
    if no.reason is ExposedBy.FEW_EQUATIONS:
        return no.numbers["unknowns"] - no.numbers["equations"]
    if no.reason is ExposedBy.COLUMNS:
        return n * (no.numbers["missing"] - no.numbers["width"])
    return n * int(d - no.numbers.get("width", 0))


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
        Updates of any layers, but not of the first two together; or with rows or columns that were not sent.
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
            found = above_layers(asked, above) if way.method in HEADS else RUN[way.method](asked)
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


def own_map(net: Network, layer: int, columns: np.ndarray) -> Callable[[Any], Any]:
    """What enters a layer, in its known columns, as a function of JAX of one sample."""

    def phi(x: Any) -> Any:
        for W, b, sigma in list(zip(net.weights, net.biases, net.activations, strict=False))[: layer - 1]:
            z = W @ x
            x = sigma.jax(z if b is None else z + b)
        return x if columns.all() else x[np.flatnonzero(columns)]

    return phi


def behind_own_layers(asked: Asked) -> Recovery:
    """With the layers below as a known map; in coordinates of the row space of the first update, if that counts the samples too."""
    system, n, layer = asked.system, asked.samples, asked.way.layer
    net = system.network
    sent = sent_of(system, layer)
    phi, start, basis = own_map(net, layer, sent.columns), np.zeros(net.n_inputs), np.eye(net.n_inputs)
    within = asked.ranks.get(1) == n and n > (system.updates[0].bias is not None)  # a single point leaves nothing to search
    asked.evidence["chosen"] = (WhyParts.WITHIN if within else WhyParts.FEATURES).value.format(layer=layer)
    if within:
        start, basis = _row_coordinates(system, n)

    def chart(t: Any) -> Any:
        return phi(start + t @ basis)

    matrix, lifted = matrix_of(system, layer), system.updates[layer - 1].bias is not None
    behind = FeatureSystem(chart, len(basis), matrix[:, :-1] if lifted else matrix, matrix[:, -1] if lifted else None)
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
    return completed(asked, X, multipliers_from(system, X, signals, layer, sent.rows), found.error_bars, found)


def _row_coordinates(system: KKTSystem, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A point and a basis (as rows) of the samples that the first update allows: all of its row space, or an affine subspace of it.

    Entries whose columns are not known are free.
    """
    lifted, known = system.updates[0].bias is not None, sent_of(system, 1).columns
    d = int(known.sum())
    rows = np.linalg.svd(matrix_of(system, 1), full_matrices=False)[2][:n]
    start, basis = np.zeros(d), rows
    if lifted:
        last = rows[:, d]
        start = (last / (last @ last)) @ rows[:, :d]
        basis = np.linalg.qr((np.linalg.svd(last[None])[2][1:] @ rows[:, :d]).T)[0].T
    if known.all():
        return start, basis
    whole, free = np.zeros(len(known)), np.eye(len(known))[~known]
    whole[known] = start
    inside = np.zeros((len(basis), len(known)))
    inside[:, known] = basis
    return whole, np.vstack([inside, free])


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
    inverted = {k: each for k, h in enumerate(found.X) if (each := inverted_through(net, base, h, rng, asked.clock.go_on))}
    kept = list(inverted)
    if not kept:
        numbers = {"samples": asked.samples, "starts": INVERSIONS}
        raise ResidualError.of(Obstacle(Failure.NO_SAMPLE, numbers), "no sample has the features that were found", **evidence)
    X = np.array([each.x for each in inverted.values()])
    bars = found.error_bars[kept] * np.array([each.factor for each in inverted.values()])
    ambiguous = sum(each.is_ambiguous for each in inverted.values())
    evidence["inversion"] = {"features": len(found.X), "inverted": len(kept), "ambiguous": ambiguous}
    c = found.c.reshape(len(found.X), -1)[kept]
    complete = completed(asked, X, c, bars, found)
    if ambiguous:
        reason, numbers = UniquenessReason.OTHER_POINTS, {"points": asked.samples + ambiguous, "samples": asked.samples}
    elif all(each.is_settled for each in inverted.values()):
        return complete
    else:
        least = min(inverted.values(), key=lambda each: each.converged)
        reason, numbers = UniquenessReason.FEW_STARTS, {"starts": least.starts, "converged": least.converged}
    return replace(complete, uniqueness=Uniqueness(UniquenessStatus.UNKNOWN, reason, numbers=numbers))


RUN: dict[Method, Callable[[Asked], Recovery]] = {
    Method.FEATURES: behind_own_layers,
    Method.BACKWARD: from_first_layer,
    Method.QUADRICS: from_first_layer,
    Method.ZEROS: from_zeros,
    Method.ROW: from_row,
    Method.SIGNALS: from_signals,
}
"""Ways that need no other recovery."""

"""The batch behind weights at a stationary point of weight decay, if the loss is the usual one: closed separation and its result.

The equations of the system leave the multipliers free. Samples that the loss explains solve them all the same, so the loss is an
assumption of the search alone, and the residual confirms it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from identify.base.limits import refuse_above
from identify.problem.precision import format_of
from identify.problem.system import KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.closed import AT_ONCE, MOST_STARTS, PATIENCE, ClosedSearch, result_numbers
from identify.recovery.separation.closed_jointly import refined
from identify.recovery.separation.closures import Closure
from identify.recovery.separation.factors import factors_of
from identify.recovery.separation.kept import Kept
from identify.recovery.separation.neurons import distinct_neurons
from identify.recovery.separation.precision import allowed_residual, left_behind, signal_rank
from identify.recovery.separation.settling import ambiguity_of
from identify.recovery.separation.subspace import Subspace
from identify.recovery.solution import Failure, InapplicableError, Obstacle, Recovery, ResidualError

METHOD = "closed separation"
"""The name in :attr:`Recovery.method`."""
WHY = "with weight decay and the {loss} loss multipliers are functions of the samples"


def has_closure(system: KKTSystem) -> bool:
    """Whether the usual loss gives the multipliers of smooth networks of two layers, all of whose first layer is stationary."""
    net = system.network
    usual = system.loss is None or system.loss == "logistic"
    whole = net.depth == 2 and system.updates[0].W is not None and not system.is_partial
    return system.regime == "weight-decay" and usual and whole and net.activations[0].kind != "piecewise-linear"


def why_closed(system: KKTSystem, why: str | None) -> str:
    """Why it is tried; ``why``: why forward separation would not be."""
    own = WHY.format(loss=Closure(system.network.n_outputs, 1.0).loss)
    return own if why is None else f"{why}; {own}"


def separated_by_loss(
    system: KKTSystem,
    *,
    samples: int | None,
    seed: int,
    tolerance: float | None = None,
    evidence: dict[str, Any] | None = None,
    go_on: Callable[[], bool] = lambda: True,
    progress: Callable[[str], None] = lambda step: None,
    kept: Kept = Kept(),  # noqa: B008 (immutable)
    patience: int = PATIENCE,
) -> Recovery:
    """Recover the batch by closed separation.

    Parameters
    ----------
    system
        One for which :func:`has_closure`.
    samples
        n; None reads it off the rank of the first layer.
    seed, tolerance, evidence, go_on, kept
        As for :func:`~identify.recovery.separation.one_layer.separated_from_one_layer`.
    patience
        Rounds without a new sample after which the search ends, at least 1.

    Raises
    ------
    InapplicableError
        When neurons that differ are too few for the unknowns of one sample, or samples are more than the rank of the first layer.
    ResidualError
        When no sample was found, only some were although other points solve their equations, or all do not make the weights.
    TooLargeError
        Before allocating what would not fit in memory.

    Notes
    -----
    Cost: O(m n (n + C)) for each step of each start, and O(m (n + C)) for each of 16384 points that are screened in a round.
    """
    evidence, net = {} if evidence is None else evidence, system.network
    assert system.updates[0].W is not None and system.decay is not None
    bias = system.updates[0].bias
    update = system.updates[0].W if bias is None else np.column_stack([system.updates[0].W, bias])
    unit = format_of(*system.parts.values())
    factors = factors_of(update, unit)
    rank = signal_rank(factors[1], unit, update.shape)
    n, m, C = samples or rank, len(update), net.n_outputs
    if n > rank:
        raise InapplicableError.of(Failure.LOW_RANK, evidence, samples=n, rank=rank)
    own = evidence | {"ranks": [rank], "behind": [left_behind(factors[1], n, unit, update)]}
    output, offset = net.weights[1], np.zeros(m) if net.biases[0] is None else net.biases[0]
    space = Subspace.of(update, n, unit, factors)
    neurons = distinct_neurons(np.column_stack([net.weights[0], offset]), output, space.relative_noise)
    equations, unknowns = neurons - n + 1, n - (bias is not None)
    if equations < unknowns:
        raise InapplicableError.of(Failure.FEW_NEURONS, own, neurons=neurons, equations=equations, unknowns=unknowns)
    refuse_above(8 * m * max(MOST_STARTS * 4 * (n + C), 8 * AT_ONCE), f"closed separation of {n} samples at width {m}")
    # in other units than those of the loss targets are multiples of decay·θ
    scale = float(np.linalg.norm(system.updates[0].W) / (system.decay * np.linalg.norm(net.weights[0])))
    search = ClosedSearch(
        update,
        space,
        net.weights[0],
        offset,
        net.activations[0],
        output,
        np.zeros(C) if net.biases[1] is None else net.biases[1],
        Closure(C, scale / n),
        scale * system.decay,
        bias is not None,
        unit,
        ambiguity_of(system),
        seed,
        patience,
        go_on=go_on,
        progress=progress,
        kept=kept,
    )
    search.run()
    return _finished(system, search, result_numbers(search, neurons), tolerance, own)


def _finished(system: KKTSystem, search: ClosedSearch, numbers: dict[str, Any], tolerance: float | None, evidence: dict) -> Recovery:
    """Largest signals first, with a residual that the precision allows."""
    found, space, n, net = search.found, search.space, search.n_samples, system.network
    chosen = found.chosen
    evidence["separation"] = numbers | {"samples": n, "found": len(chosen)}
    others = len(found.inputs) - len(chosen)
    if not len(chosen) or (len(chosen) < n and (others or numbers["equations"] == numbers["unknowns"])):
        obstacle = Obstacle(Failure.NO_SAMPLE, {"samples": n, "starts": found.starts})
        raise ResidualError.of(obstacle, "the loss is another one, or the weights are not stationary", **evidence)
    inputs, bars = found.inputs[chosen], found.bars[chosen]
    better = refined(system, search) if len(chosen) == n else None
    if better is not None:
        inputs, own = better
        bars = np.hypot(own * search.doubt(), search.outside(inputs))
    X = inputs @ space.right[:, : net.n_inputs]
    c = search.closure.multipliers(net.outputs(X), found.labels[chosen])
    sizes = np.linalg.norm(found.signals[chosen], axis=1) * np.linalg.norm(found.inputs[chosen], axis=1)
    order = np.argsort(-sizes, kind="stable")
    X, c, bars, sizes = X[order], c[order], bars[order], sizes[order]
    residual = system.residual(X, c)
    lengths = np.maximum(np.hypot(np.linalg.norm(X, axis=1), search.is_lifted), np.finfo(float).tiny)
    noise = space.relative_noise
    allowed = allowed_residual(noise, search.unit_roundoff, sizes, bars / lengths) if tolerance is None else tolerance
    evidence["precision"] = {"noise": noise, "allowed": allowed}
    if len(chosen) == n and not residual <= allowed:
        obstacle = Obstacle(Failure.RESIDUAL, {"samples": n, "residual": residual, "allowed": allowed})
        raise ResidualError.of(obstacle, "the loss is another one, or the weights are not stationary", **evidence)
    bars = np.maximum(bars, np.linalg.norm(np.spacing(np.abs(X)), axis=1) / 2)
    known = _uniqueness(evidence["separation"])
    return Recovery(X, c[:, 0] if net.n_outputs == 1 else c, residual, bars, METHOD, search.ambiguity, search.seed, evidence, known)


def _uniqueness(numbers: dict[str, Any]) -> Uniqueness:
    """What the search says of other data with multipliers of this loss."""
    if numbers["found"] < numbers["samples"]:
        status, reason = UniquenessStatus.UNKNOWN, UniquenessReason.PARTIAL
    elif numbers["points"] > numbers["samples"] or numbers["mixed"] or numbers["equations"] == numbers["unknowns"]:
        status, reason = UniquenessStatus.UNKNOWN, UniquenessReason.AMONG_POINTS
    else:
        status, reason = UniquenessStatus.EVIDENCE, UniquenessReason.CLOSED
    return Uniqueness(status, reason, numbers=numbers)

"""The batch behind one layer, or behind biases, of a network of any depth, by the signals alone; the samples follow from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from identify.base.limits import Clock
from identify.conditions.networks.parts import MOST_BY_ZEROS, SURPLUS, Way, is_halved
from identify.problem.exposure import Method
from identify.problem.network import Network
from identify.problem.precision import SLACK, format_of
from identify.problem.symmetry import symmetry_of
from identify.problem.system import KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.attempt import Asked, WhyParts, completed, matrix_of, multipliers_from, sent_of
from identify.recovery.separation.factors import factors_of
from identify.recovery.separation.inversion import INVERSIONS, INVERTED, SAME, SPREADS, descended
from identify.recovery.separation.one_layer import separated_from_one_layer
from identify.recovery.separation.precision import left_behind, signal_rank
from identify.recovery.separation.zeros import by_zeros
from identify.recovery.solution import Failure, InapplicableError, Obstacle, Recovery, ResidualError
from identify.recovery.starts import ENOUGH_CONVERGED


def from_first_layer(asked: Asked) -> Recovery:
    """The first layer of a deeper network alone; rows that were not sent are neurons that such a network does not have."""
    asked.evidence["chosen"] = WhyParts.BACKWARD.value
    return _with_signals_in(asked, np.eye(asked.system.network.sizes[2]))


def from_dependent_signals(
    system: KKTSystem,
    *,
    samples: int,
    seed: int,
    tolerance: float | None,
    evidence: dict[str, Any],
    clock: Clock,
    progress: Callable[[str], None],
) -> Recovery:
    """The first layer of a deeper network, and the column space of the second update, which has a smaller rank: signals lie in it."""
    second = matrix_of(system, 2)
    left, values, _ = factors_of(second, unit := format_of(*system.parts.values()))
    rank = signal_rank(values, unit, second.shape)
    evidence["chosen"] = WhyParts.DEPENDENT.value.format(rank=rank, samples=samples)
    way = Way(Method.BACKWARD, system.network.sizes[1] - samples, samples + rank, 1)
    asked = Asked(system, way, samples, {1: samples, 2: rank}, seed, tolerance, dict(evidence), clock, progress)
    found = _with_signals_in(asked, left[:, :rank])
    found.evidence["ranks"] = evidence["ranks"]
    evidence.update(found.evidence)
    return found


def _with_signals_in(asked: Asked, basis: Float[np.ndarray, "out k"]) -> Recovery:
    """By a network of two layers: signals of the second layer are combinations of these columns, with multipliers as coefficients."""
    system = asked.system
    net, lifted, matrix = system.network, system.updates[0].bias is not None, matrix_of(system, 1)
    known, bias = sent_of(system, 1).rows, net.biases[0]
    two = Network(
        [net.weights[0][known], basis.T @ net.weights[1][:, known]],
        biases=[None if bias is None else bias[known], None],
        activation=net.activations[0],
    )
    found = separated_from_one_layer(
        KKTSystem.gradient(two, layers={1: (matrix[:, :-1], matrix[:, -1]) if lifted else matrix}),
        samples=asked.samples,
        seed=asked.seed,
        tolerance=asked.tolerance,
        evidence=asked.evidence,
        go_on=asked.clock.go_on,
        progress=asked.progress,
    )
    signals = found.c.reshape(len(found.X), -1) @ basis.T
    return completed(asked, found.X, multipliers_from(system, found.X, signals, 2), found.error_bars, found)


def from_zeros(asked: Asked) -> Recovery:
    """The first layer of any network alone, by the zeros of its signals."""
    system, n, evidence = asked.system, asked.samples, asked.evidence
    net, update, rows = system.network, matrix_of(system, 1), sent_of(system, 1).rows
    evidence["chosen"] = WhyParts.ZEROS.value
    asked.progress("zeros of the signals")
    left, values, _ = np.linalg.svd(update, full_matrices=False)
    bias = net.biases[0]
    assert bias is not None
    rng = np.random.default_rng(asked.seed)
    batch, draws, hits = by_zeros(update, left[:, :n], net.weights[0][rows], bias[rows], rng, asked.clock.go_on)
    numbers = {"samples": n, "starts": draws, "converged": hits}
    evidence["separation"] = numbers | {"found": n if batch is not None else 0}
    if batch is None:
        advice = "too few neurons are inactive, the update is too noisy, or it belongs to another network"
        raise ResidualError.of(Obstacle(Failure.NO_SAMPLE, numbers), advice, **evidence)
    spare = max((update.shape[0] - n) * (update.shape[1] - n), 1)
    entry = max(float(np.linalg.norm(values[n:])) / spare**0.5, format_of(system.target) * float(np.linalg.norm(values)) / update.size**0.5)
    evidence["precision"] = {"noise": entry * update.size**0.5 / float(np.linalg.norm(values))}
    noise = entry * np.hypot(np.linalg.norm(batch.X, axis=1), net.n_inputs**0.5)
    bars = np.linalg.norm(batch.inverse, axis=1) * np.hypot(noise, np.finfo(float).eps * values[0])
    known = Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.SEPARATED, numbers=numbers)
    c = multipliers_from(system, batch.X, batch.signals, 1, rows)
    found = Recovery(batch.X, c, 0.0, bars, Method.ZEROS.value, symmetry_of(system), asked.seed, evidence, known)
    return completed(asked, batch.X, c, bars, found)


def has_zeros_for(system: KKTSystem, obstacle: Obstacle) -> bool:
    """Whether the first of two layers, of which quadrics say too little, may still show its batch by the zeros of its signals."""
    first, sigma = system.updates[0], system.network.activations[0]
    return obstacle.kind in (Failure.QUADRICS_NARROW, Failure.KERNEL) and first.bias is not None and is_halved(sigma)


def by_zeros_of_signals(
    system: KKTSystem,
    *,
    samples: int | None,
    seed: int,
    tolerance: float | None,
    evidence: dict[str, Any],
    clock: Clock,
    progress: Callable[[str], None],
) -> Recovery:
    """The same for the first of two layers. Raises :class:`InapplicableError` for more samples than draws can tell apart."""
    matrix, unit = matrix_of(system, 1), format_of(matrix_of(system, 1).reshape(-1))
    values = np.linalg.svd(matrix, compute_uv=False)
    rank = signal_rank(values, unit, matrix.shape)
    n, width = samples or rank, len(matrix)
    evidence["behind"] = [left_behind(values, n, unit, matrix)]
    if n > min(rank, MOST_BY_ZEROS) or width // 4 < n + SURPLUS:
        raise InapplicableError.of(Failure.PARTS, evidence, observed=", ".join(system.parts), samples=n)
    way = Way(Method.ZEROS, width // 4, n + SURPLUS, 1)
    return from_zeros(Asked(system, way, n, {1: rank}, seed, tolerance, evidence, clock, progress))


def from_row(asked: Asked) -> Recovery:
    """One sample: the first update has rank one, and its rows are multiples of the sample."""
    system, evidence = asked.system, asked.evidence
    evidence["chosen"] = WhyParts.ROW.value
    U, values, right = np.linalg.svd(matrix_of(system, 1), full_matrices=False)
    d = system.network.n_inputs
    x, noise = right[0, :d] / right[0, d], values[1] / values[0] if len(values) > 1 else 0.0
    bar = max(noise, format_of(system.target)) * float(np.hypot(np.linalg.norm(x), 1.0)) ** 2
    signal = U[:, 0] * values[0] * right[0, d]
    c = multipliers_from(system, x[None], signal[None], 1, sent_of(system, 1).rows)
    numbers = {"samples": 1, "starts": 0, "converged": 0}
    known = Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.SEPARATED, numbers=numbers)
    evidence["precision"] = {"noise": noise}
    evidence["separation"] = numbers | {"found": 1}
    found = Recovery(x[None], c, 0.0, np.array([bar]), "row", symmetry_of(system), asked.seed, evidence, known)
    return completed(asked, x[None], c, found.error_bars, found)


def from_signals(asked: Asked) -> Recovery:
    """One sample from the updates of the first two biases: the slopes of the first layer are their ratio."""
    system, evidence = asked.system, asked.evidence
    net, rng = system.network, np.random.default_rng(asked.seed)
    evidence["chosen"] = WhyParts.SIGNALS.value
    first, second = system.updates[0].bias, system.updates[1].bias
    assert first is not None and second is not None
    if np.isnan(second).any():
        raise InapplicableError.of(Failure.PARTS, evidence, observed=", ".join(system.parts), samples=1)
    known = ~np.isnan(first)
    arriving, first = (net.weights[1].T @ second)[known], first[known]
    offsets = net.biases[0]
    assert offsets is not None
    sigma, W, b = net.activations[0], net.weights[0][known], offsets[known]
    weight = 1 / max(float(np.linalg.norm(first)), np.finfo(float).tiny)
    asked.progress("one sample from its slopes")

    def misfit(x: np.ndarray) -> np.ndarray:
        return weight * (arriving * sigma(W @ x + b, order=1) - first)

    def derivative(x: np.ndarray) -> np.ndarray:
        return weight * (arriving * sigma(W @ x + b, order=2))[:, None] * W

    solutions: list[np.ndarray] = []
    starts = 0
    while starts < INVERSIONS and len(solutions) < ENOUGH_CONVERGED and (starts == 0 or asked.clock.go_on()):
        start = SPREADS[starts % len(SPREADS)] * rng.standard_normal(net.n_inputs)
        starts += 1
        x = descended(misfit, derivative, start, asked.clock.go_on)
        if np.linalg.norm(misfit(x)) <= max(INVERTED, SLACK * format_of(system.target)):
            solutions.append(x)
    distinct = [x for k, x in enumerate(solutions) if all(np.linalg.norm(x - y) > SAME * np.linalg.norm(x) for y in solutions[:k])]
    numbers = {"samples": 1, "starts": starts, "converged": len(solutions), "solutions": len(distinct)}
    evidence["separation"] = numbers | {"found": min(len(distinct), 1)}
    if not distinct:
        advice = "biases alone show one sample only; the updates are those of more samples, or of another network"
        raise ResidualError.of(Obstacle(Failure.NO_SAMPLE, numbers), advice, **evidence)
    x = solutions[0]
    smallest = float(np.linalg.svd(derivative(x), compute_uv=False)[-1])
    bar = format_of(system.target) * len(first) ** 0.5 / smallest if smallest else np.inf
    status, reason = UniquenessStatus.EVIDENCE, UniquenessReason.ONE_SOLUTION
    if len(distinct) > 1:
        status, reason = UniquenessStatus.UNKNOWN, UniquenessReason.SEVERAL_SOLUTIONS
    elif len(solutions) < ENOUGH_CONVERGED:
        status, reason = UniquenessStatus.UNKNOWN, UniquenessReason.FEW_STARTS
    c = multipliers_from(system, x[None], second[None], 2)
    known = Uniqueness(status, reason, numbers=numbers)
    found = Recovery(x[None], c, 0.0, np.array([bar]), "signals", symmetry_of(system), asked.seed, evidence, known)
    return completed(asked, x[None], c, found.error_bars, found)

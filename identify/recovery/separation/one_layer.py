r"""The batch behind the first layer's update of a network of two layers: which method, how many samples, multipliers, precision.

The signal of every sample lies in the column space of the update. For analytic and polynomial activations
:mod:`~identify.recovery.separation.columns` searches for one sample after the other; for piecewise-linear ones with two slopes
:mod:`~identify.recovery.separation.quadrics` finds all of them at once by linear algebra. An update of the second layer, if there is one,
has too few rows to count the samples; it fixes what the first leaves open (the scale or the sign of samples without a bias), and must fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from identify.base.limits import refuse_above
from identify.problem.activation import Activation, PiecewiseLinear
from identify.problem.ambiguity import Ambiguity
from identify.problem.precision import format_of
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.columns import MOST_NUMBERS, ColumnSearch
from identify.recovery.separation.dense import JOINTLY, _refined_multipliers
from identify.recovery.separation.factors import factors_of
from identify.recovery.separation.forward import Layer, Stack
from identify.recovery.separation.jointly import Observed, jointly
from identify.recovery.separation.kept import Kept
from identify.recovery.separation.neurons import distinct_neurons
from identify.recovery.separation.pieces import OneLayer, Pieces, samples_of
from identify.recovery.separation.precision import SIGNAL, allowed_residual, left_behind, rounding_of, signal_rank
from identify.recovery.separation.quadrics import Kernel, Quadrics, diagonalised, kernel_of, patterns, unknowns
from identify.recovery.separation.search import PATIENCE, STARTS
from identify.recovery.separation.settling import Batch, ambiguity_of, settled
from identify.recovery.separation.subspace import Subspace
from identify.recovery.solution import Failure, Family, InapplicableError, NotDeterminedError, Obstacle, Recovery, ResidualError

GAP = 10.0
"""Factor between the singular values of the kernel of the quadrics and the next from which on its dimension shows."""
FEW = 2
"""Singular values behind a gap and above rounding that are taken for samples, if those before them are not enough."""
IMPATIENCE = 6
"""Rounds without a sample after which another number of samples is tried."""
SOLVED = 1e-2
"""Singular value from which on a vector does not solve the quadrics, relative to the usual ones."""
ATTEMPTS = 4
"""Simultaneous diagonalisations with other random elements of the kernel."""


class Method(StrEnum):
    """How a batch is found; the values are the names in :attr:`Recovery.method`."""

    BACKWARD = "backward separation"
    QUADRICS = "quadrics"


class Why(StrEnum):
    """Why a method was chosen; the values are the sentences, with the numbers still open."""

    ALONE = "only the first of two layers was observed"
    NARROW = "the second update has {rows} rows, too few for {samples} samples"
    DEPENDENT = "the rows of the second update depend on each other: its rank is {rank}, too small for {samples} samples"


def why_one_layer(system: KKTSystem, samples: int | None) -> str | None:
    """Why the column space of the first update is all there is to go by; None if it is not, or there is no such update."""
    first, second = system.updates[0], system.updates[1]
    if system.network.depth != 2 or first.W is None:
        return None
    if second.W is None:
        return Why.ALONE.value
    matrix = _matrix(system)
    n = samples or _rank(matrix)
    rows = system.network.n_outputs
    if n > rows:
        return Why.NARROW.value.format(rows=rows, samples=n)
    W = np.reshape(second.W, (rows, -1))
    above = W if second.bias is None else np.hstack([W, np.reshape(second.bias, (rows, 1))])
    unit = format_of(above)
    values = factors_of(above, unit)[1]
    rank = signal_rank(values, unit, above.shape)
    # behind a softmax loss the rows add up to zero; other ranks are those of the samples if nothing but rounding is left behind them
    rest = values[rank:]
    if rank < n and (n == rows or (len(rest) and rest[0] <= rounding_of(above, unit, float(values[0])))):
        return Why.DEPENDENT.value.format(rank=rank, samples=n)
    return None


def _rank(matrix: Float[np.ndarray, "m D"]) -> int:
    unit = format_of(matrix)
    return signal_rank(factors_of(matrix, unit)[1], unit, matrix.shape)


def separated_from_one_layer(
    system: KKTSystem,
    *,
    samples: int | None,
    seed: int,
    tolerance: float | None = None,
    evidence: dict[str, Any] | None = None,
    go_on: Callable[[], bool] = lambda: True,
    progress: Callable[[str], None] = lambda step: None,
    kept: Kept = Kept(),  # noqa: B008 (immutable)
) -> Recovery:
    """Recover the batch by backward separation or by quadrics.

    Parameters
    ----------
    system
        Updates of a network of two layers, of which the weights of the first were observed.
    samples
        n; None reads it off the rank of the update.
    seed
        Of the random starts, and of the random elements of a kernel.
    tolerance
        Relative residual at which a recovery of all samples is accepted; None: what the number format and the noise of the update allow.
    evidence
        Takes the numbers of each step.
    go_on
        Asked between steps; on False the samples found so far are returned.
    kept
        Takes what was found; the search begins with what an earlier one left there.

    Raises
    ------
    InapplicableError
        When the network is too narrow for so many samples, or its activation has more than two slopes.
    NotDeterminedError
        For several samples, one output and a polynomial of degree 2: also with the updates of both biases, M_2 is all that they show.
    ResidualError
        When no sample was found, or those that were found do not reproduce the update.
    TooLargeError
        Before allocating what would not fit in memory.

    Notes
    -----
    Cost: O(m (n + C)^2) for each step of each start of a search; O(m N^2) for N = n(n+1)/2 + nC unknowns of the quadrics, memory
    48 N^2 bytes.
    """
    evidence = {} if evidence is None else evidence
    net, update = system.network, _matrix(system)
    unit = format_of(*system.parts.values())
    progress("singular values of the update")
    factors = factors_of(update, unit)
    rank = signal_rank(factors[1], unit, update.shape)
    shown = max(rank, int(np.sum(factors[1] > SIGNAL * unit * factors[1][0])))
    evidence["ranks"] = [rank]
    if samples is not None and samples > shown:
        raise InapplicableError.of(Failure.LOW_RANK, evidence, samples=samples, rank=shown)
    # samples that are nearly dependent look like one less, and noise
    numbers = [samples] if samples is not None else [rank, shown] if rank < shown <= rank + FEW else [rank]
    failure: ResidualError | None = None
    for n in numbers:
        if n > 1 and net.n_outputs == 1 and net.activations[0].kind == "polynomial" and net.activations[0].degree == 2:
            raise NotDeterminedError.of(Family.ROTATION, n * (n - 1) // 2, evidence)
        layer = OneLayer(
            update,
            Subspace.of(update, n, unit, factors),
            net.weights[0],
            np.zeros(len(update)) if net.biases[0] is None else net.biases[0],
            cast(PiecewiseLinear, net.activations[0]),
            net.weights[1],
            system.updates[0].bias is not None,
            unit,
        )
        own = evidence | {"behind": [left_behind(factors[1], n, unit, update)]}
        try:
            if isinstance(layer.activation, PiecewiseLinear):
                found = _by_quadrics(system, layer, seed, tolerance, own, go_on, progress)
            else:
                patience = PATIENCE if n == numbers[-1] else IMPATIENCE
                found = _by_columns(system, layer, seed, patience, tolerance, own, go_on, progress, kept)
        except ResidualError as error:
            failure = failure or error
            continue
        if found.n_samples == n or n == numbers[-1]:
            return found
    assert failure is not None
    raise failure


def _matrix(system: KKTSystem) -> Float[np.ndarray, "m D"]:
    """The first update, with its bias column if that was observed."""
    W, bias = system.updates[0]
    assert W is not None
    return W if bias is None else np.hstack([W, bias[:, None]])


def _by_columns(
    system: KKTSystem,
    layer: OneLayer,
    seed: int,
    patience: int,
    tolerance: float | None,
    evidence: dict[str, Any],
    go_on: Callable[[], bool],
    progress: Callable[[str], None],
    kept: Kept,
) -> Recovery:
    (m, d), C, n = layer.W.shape, len(layer.output), len(layer.space.values)
    ambiguity = ambiguity_of(system)
    each = n - layer.is_lifted + C - 1 - ambiguity.has_free_scale
    noise = layer.space.relative_noise if system.regime in SELF_TRAINED else 0.0  # other weights do not have that of the update
    distinct = distinct_neurons(np.column_stack([layer.W, layer.bias]), layer.output, noise)
    if distinct - n < each:
        raise InapplicableError.of(Failure.FEW_NEURONS, evidence, neurons=distinct, equations=distinct - n, unknowns=each)
    refuse_above(8 * (3 * STARTS * m * (n + C) + 4 * MOST_NUMBERS), f"separation of {n} samples at width {m}")
    search = ColumnSearch(
        layer.update,
        layer.space,
        layer.W,
        layer.bias,
        cast(Activation, layer.activation),
        layer.output,
        layer.is_lifted,
        layer.unit_roundoff,
        ambiguity_of(system, alone=True),
        seed,
        patience,
        go_on,
        progress,
        kept,
    )
    found = search.run()
    names = ("starts", "converged", "rounds", "rejected", "mixed", "hidden")
    numbers = {name: getattr(found, name) for name in names} | {"equations": distinct - n, "unknowns": each}
    X = found.inputs @ layer.space.right[:, :d]
    slopes = layer.activation(X @ layer.W.T + layer.bias, order=1)
    signals = found.signals @ layer.space.left.T
    batch = Batch(X, _multipliers(layer, slopes, signals), signals, slopes, np.array(found.bars), numbers)
    needed = 2 * n + C - layer.is_lifted  # docs/theory.md, "The first layer alone"
    if len(X) < n:
        status, reason = UniquenessStatus.UNKNOWN, UniquenessReason.PARTIAL
    elif distinct < needed:
        status, reason = UniquenessStatus.UNKNOWN, UniquenessReason.FEW_NEURONS
    else:
        status, reason = UniquenessStatus.EVIDENCE, UniquenessReason.SEPARATED
    shown = {"found": len(X), "samples": n, "starts": found.starts, "converged": found.converged, "neurons": distinct, "needed": needed}
    known = Uniqueness(status, reason, numbers=shown)
    batch = settled(system, batch, n, ambiguity)
    if len(X) == n:  # of samples that are nearly dependent, those of one rest on the others'
        c = _refined_multipliers(system, batch.X, batch.c)
        batch = replace(batch, c=c, signals=(c @ layer.output) * batch.slopes)
    if len(X) == n and layer.space.relative_noise > JOINTLY:
        progress("refining all samples together")
        batch = _refined(system, layer, batch, np.random.default_rng(seed), go_on)
    return _finished(system, layer, batch, Method.BACKWARD, known, ambiguity, seed, tolerance, evidence, go_on)


def _refined(system: KKTSystem, layer: OneLayer, batch: Batch, rng: np.random.Generator, go_on: Callable[[], bool]) -> Batch:
    """All samples by least squares on all updates together, with the error bars of that."""
    W, bias = system.updates[1]
    matrices, lifted, noise = [layer.update], [layer.is_lifted], layer.space.relative_noise
    if W is not None:
        W = W.reshape(layer.output.shape)
        matrices.append(W if bias is None else np.hstack([W, bias[:, None]]))
        lifted.append(bias is not None)
    stack = Stack([Layer(layer.W, layer.bias, layer.activation)], layer.output)
    spreads = [noise * float(np.linalg.norm(matrix)) / matrix.size**0.5 for matrix in matrices]
    X, c, bars = jointly(Observed(stack, matrices, lifted, spreads), batch.X, batch.c, rng, go_on)
    if bars is None:
        return batch
    slopes = layer.activation(X @ layer.W.T + layer.bias, order=1)
    return Batch(X, c, (c @ layer.output) * slopes, slopes, bars, batch.numbers | {"refined_jointly": True})


def _by_quadrics(
    system: KKTSystem,
    layer: OneLayer,
    seed: int,
    tolerance: float | None,
    evidence: dict[str, Any],
    go_on: Callable[[], bool],
    progress: Callable[[str], None],
) -> Recovery:
    values = sorted({float(slope) for slope in layer.activation.slopes})
    if len(values) != 2:
        raise InapplicableError.of(Failure.SLOPES, evidence, slopes=len(values))
    slopes = (values[0], values[1])
    space, C, n = layer.space, len(layer.output), len(layer.space.values)
    quadrics = Quadrics.of(space.left, layer.output, slopes, layer.spreads[0] * np.linalg.norm(1 / space.values))
    N, m = sum(unknowns(n, C, slopes)), len(quadrics.left)
    if m < N - n:
        raise InapplicableError.of(Failure.QUADRICS_NARROW, evidence, samples=n, unknowns=N, neurons=m, needed=N - n)
    refuse_above(8 * 6 * N * N, f"quadrics of {n} samples with {N} unknowns")
    progress("kernel of the quadrics")
    rng = np.random.default_rng(seed)
    kernel = kernel_of(quadrics, rng, go_on)
    numbers: dict[str, Any] = {"unknowns": N, "neurons": m}
    if kernel is None:
        obstacle = Obstacle(Failure.NO_SAMPLE, {"samples": n, "starts": 0})
        raise ResidualError.of(obstacle, "the budget is spent; allow more time", **evidence)
    numbers |= {"kernel": kernel.last, "next": kernel.next}
    evidence["quadrics"] = numbers
    if kernel.last > SOLVED:
        raise ResidualError.of(Obstacle(Failure.NO_KERNEL, {"samples": n, "last": kernel.last}), _advice(layer), **evidence)
    if not kernel.next > GAP * kernel.last:
        raise InapplicableError.of(Failure.KERNEL, evidence, samples=n, neurons=m, last=kernel.last, following=kernel.next)
    progress("simultaneous diagonalisation")
    best = _diagonalised(layer, quadrics, kernel, rng)
    # with all signals, samples are found although another one is a mixture of several with the same slopes
    good = np.zeros(n, dtype=bool) if best is None or not np.all(best.misfits <= 1) else np.array(best.wrong) == 0
    bad = int(np.sum(~good))
    numbers |= {"mixed": bad}
    if best is None or not good.any():
        raise ResidualError.of(
            Obstacle(Failure.NOT_PIECES, {"refused": bad, "samples": n}),
            _advice(layer),
            **evidence,
        )
    best = best[good]
    X, signals = best.inputs[:, : layer.W.shape[1]], best.signals
    ambiguity = ambiguity_of(system)
    numbers |= {"beside": best.beside}
    is_open = bool(np.isfinite(best.intervals[:, 1]).any() or (best.intervals[:, 0] > 0).any()) or not ambiguity.has_free_scale
    is_free = not layer.is_lifted and is_open
    batch = Batch(X, _multipliers(layer, best.slopes, signals), signals, best.slopes, best.bars, {}, is_free)
    batch = settled(system, batch, n, ambiguity)
    shown = {"samples": n, "unknowns": N, "last": kernel.last, "following": kernel.next}
    known = Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.KERNEL, numbers=shown)
    if batch.is_free:
        ambiguity = Ambiguity({"none": "positive scaling", "sign": "scaling"}.get(ambiguity.group, ambiguity.group), 1)
        known = Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.INTERVALS, numbers=shown)
    if bad:
        known = Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.PARTIAL, numbers=shown | {"found": n - bad})
    return _finished(system, layer, batch, Method.QUADRICS, known, ambiguity, seed, tolerance, evidence, go_on)


def _advice(layer: OneLayer) -> str:
    if len(layer.space.values) == min(layer.update.shape):
        return (
            "the update has full rank, so there may be more samples than it can show; or it belongs to another network or to permuted "
            "neurons, or is too noisy"
        )
    return "the update belongs to another network or to permuted neurons, the number of samples is wrong, or it is too noisy"


def _is_bad(misfit: float, wrong: int) -> bool:
    return wrong > 0 or not misfit <= 1


def _diagonalised(layer: OneLayer, quadrics: Quadrics, kernel: Kernel, rng: np.random.Generator) -> Pieces | None:
    """The samples of the first diagonalisation without a refusal, or of the one with fewest."""
    best, fewest = None, np.inf
    for _ in range(ATTEMPTS):
        pattern = patterns(layer.space.left, layer.output, quadrics.slopes, *diagonalised(kernel, rng))
        pieces = samples_of(layer, pattern)
        if pieces is None:
            continue
        bad = sum(map(_is_bad, pieces.misfits, pieces.wrong))
        if bad < fewest:
            best, fewest = pieces, bad
        if not bad:
            break
    return best


def _multipliers(
    layer: OneLayer, slopes: Float[np.ndarray, "found m"], signals: Float[np.ndarray, "found m"]
) -> Float[np.ndarray, "found C"]:
    """Of each sample, by least squares."""
    pairs = zip(slopes, signals, strict=True)
    c = [np.linalg.lstsq(own[:, None] * layer.output.T, signal, rcond=None)[0] for own, signal in pairs]
    return np.array(c).reshape(len(slopes), len(layer.output))


def _finished(
    system: KKTSystem,
    layer: OneLayer,
    batch: Batch,
    method: Method,
    known: Uniqueness,
    ambiguity: Ambiguity,
    seed: int,
    tolerance: float | None,
    evidence: dict[str, Any],
    go_on: Callable[[], bool],
) -> Recovery:
    """Largest signals first, one representative of each sample, and a residual that the precision allows."""
    n, found = len(layer.space.values), len(batch.X)
    evidence["separation"] = batch.numbers | {"samples": n, "found": found}
    if not found:
        obstacle = Obstacle(Failure.NO_SAMPLE, {"samples": n, "starts": batch.numbers["starts"]})
        raise ResidualError.of(obstacle, _advice(layer) if go_on() else "the budget is spent; allow more time", **evidence)
    residual = _residual(system, batch)
    lengths = np.linalg.norm(batch.X, axis=1)
    sizes = np.linalg.norm(batch.signals, axis=1) * np.hypot(lengths, layer.is_lifted)
    evidence["separation"]["smallest_signal"] = float(sizes.min() / sizes.max())
    noise = layer.space.relative_noise
    rows = np.maximum(np.hypot(lengths, layer.is_lifted), np.finfo(float).tiny)
    allowed = allowed_residual(noise, layer.unit_roundoff, sizes, batch.bars / rows) if tolerance is None else tolerance
    evidence["precision"] = {"noise": noise, "allowed": allowed}
    if found == n and not residual <= allowed:
        obstacle = Obstacle(Failure.RESIDUAL, {"samples": n, "residual": residual, "allowed": allowed})
        raise ResidualError.of(obstacle, "the updates belong to another network, or there are more samples", **evidence)
    X, c = ambiguity.canonical(batch.X, batch.c) if ambiguity.group != "none" and not batch.is_free else (batch.X, batch.c)
    bars = batch.bars * np.divide(np.linalg.norm(X, axis=1), lengths, out=np.ones(found), where=lengths > 0)
    order = np.argsort(-sizes, kind="stable")
    X, c, bars = X[order], c[order], np.maximum(bars, np.linalg.norm(np.spacing(np.abs(X)), axis=1) / 2)[order]
    return Recovery(X, c[:, 0] if system.network.n_outputs == 1 else c, residual, bars, method.value, ambiguity, seed, evidence, known)


def _residual(system: KKTSystem, batch: Batch) -> float:
    """Relative residual with the slopes of the batch: a sample next to a breakpoint may lie on its other side by rounding."""
    rest = system.target - system.right_hand_side(batch.X, batch.c)
    slopes = system.network.activations[0](
        batch.X @ system.network.weights[0].T + (0.0 if system.network.biases[0] is None else system.network.biases[0]), order=1
    )
    signals = (batch.c @ system.network.weights[1]) * (slopes - batch.slopes)
    W, bias = system.updates[0]
    assert W is not None
    correction = signals.T @ batch.X
    rest[: W.size] += correction.reshape(-1)
    if bias is not None:
        rest[W.size : W.size + len(bias)] += signals.sum(axis=0)
    return float(np.linalg.norm(rest) / np.linalg.norm(system.target))

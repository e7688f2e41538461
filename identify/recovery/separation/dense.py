r"""The batch behind the updates of dense layers: how many samples, each of them, their multipliers, and how precise all that is.

The rank of every layer's update is the number of samples (:math:`G_l = \sum_i u_i^l (\tilde h_i^{l-1})^\top` with independent factors),
so two
layers must agree on it. :mod:`~identify.recovery.separation.peel` finds the samples one after the other. Their signals follow from the
duals, :math:`u_i = U y_i / (\eta_i\cdot\Sigma^{-1} y_i)`, and the multipliers from the signals by the layers above,
:math:`u_i^l = D_l W_{l+1}^\top \cdots W_L^\top \gamma_i`, a small least-squares problem for each sample.

Two layers may be too few: samples with the same slopes in every neuron of the first hidden layer enter :math:`G_1` and :math:`G_2` through
their span alone. If more layers were observed, the search is repeated with their equations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve

from identify.base.limits import refuse_above
from identify.problem.lattice import Lattice
from identify.problem.partial import Sent
from identify.problem.precision import format_of
from identify.problem.rank import Rest
from identify.problem.signals import Forward
from identify.problem.symmetry import symmetry_of
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.factors import factors_of_all
from identify.recovery.separation.forward import Layer, Stack
from identify.recovery.separation.jointly import Observed
from identify.recovery.separation.kept import Kept
from identify.recovery.separation.largest import Largest
from identify.recovery.separation.neurons import refuse_equal_neurons
from identify.recovery.separation.noisy import FITS, Explained, from_rows
from identify.recovery.separation.peel import Peeled, Peeling
from identify.recovery.separation.precision import (
    SIGNAL,
    allowed_residual,
    left_behind_layer,
    rank_among,
    rank_of_quantised,
    shown_rank,
)
from identify.recovery.separation.search import FEW, PATIENCE
from identify.recovery.separation.subspace import Subspace
from identify.recovery.solution import Failure, InapplicableError, Obstacle, Recovery, RecoveryError, ResidualError

METHOD = "forward separation"
MOST_LAYERS = 4
"""Hidden layers whose equations are used, at most."""
MOST_MULTIPLIERS = 6000
"""Multipliers whose normal equations are formed."""
RIDGE, REFINEMENTS = 1e-13, 5
"""Added to their diagonal relative to it, and steps of refinement."""
JOINTLY = 1e-6
"""Relative noise of the updates from which on all samples are refined together."""
NOISY, LOUD = 1e-4, 1e-2
"""Relative noise from which on they are also searched together, and above which some of them alone are not returned."""
CLEARLY = 10.0
"""A number of samples is not in doubt if the weakest signal is so many times the noise of an update."""
NOISE_ADVICE = "expected less noise, wider layers or fewer samples; the number of samples may be wrong: pass samples=n if it is known"


@dataclass(frozen=True, eq=False)
class Updates:
    """The observed updates of consecutive dense layers from the first on, with bias columns if they were observed."""

    matrices: list[Float[np.ndarray, "_ _"]]
    lifted: list[bool]
    stack: Stack
    """The whole network."""

    @classmethod
    def of(cls, system: KKTSystem) -> Updates:
        """Of a system of which at least the first two layers of weights were observed."""
        net, matrices, lifted = system.network, [], []
        for update in system.updates:
            if update.W is None:
                break
            W = update.W.reshape(-1, update.W.shape[-1])
            matrices.append(W if update.bias is None else np.hstack([W, update.bias[:, None]]))
            lifted.append(update.bias is not None)
        assert len(matrices) >= 2, "batch.py sends other systems elsewhere"
        biases = [np.zeros(len(W)) if b is None else b for W, b in zip(net.weights, net.biases, strict=True)]
        layers = [Layer(W, b, sigma) for W, b, sigma in zip(net.weights, biases, net.activations, strict=False)]
        return cls(matrices, lifted, Stack(layers, net.weights[-1]))


def separated(
    system: KKTSystem,
    *,
    samples: int | None,
    seed: int,
    tolerance: float | None = None,
    evidence: dict[str, Any] | None = None,
    go_on: Callable[[], bool] = lambda: True,
    progress: Callable[[str], None] = lambda step: None,
    kept: Kept = Kept(),  # noqa: B008 (immutable)
    all_of_them: bool = True,
) -> Recovery:
    """Recover the batch by forward separation.

    Parameters
    ----------
    system
        Updates of a network of any depth, of which at least the first two layers of weights were observed.
    samples
        n; None reads it off the ranks of the updates.
    seed
        Of the random starts.
    tolerance
        Relative residual at which a recovery of all samples is accepted; None: what the number format and the noise of the updates allow.
    evidence
        Takes the numbers of each step.
    go_on
        Asked between steps; on False the samples found so far are returned.
    kept
        Takes what was found; the search begins with what an earlier one left there.
    all_of_them
        Whether to refuse, before any search, a second update that does not count all samples, so that some cannot be found.

    Returns
    -------
    Recovery
        With all samples, or with those that could be told apart; ``evidence["separation"]`` counts the others and says why.

    Raises
    ------
    InapplicableError
        When one of the first two layers is too narrow for so many samples, or their signals in the second depend on each other.
    ResidualError
        When no sample was found, or all that were found do not reproduce the updates.

    Notes
    -----
    Cost: one singular value decomposition of each update; then about O(m k^2) for each step of each start and k samples that are not
    known yet, or some 300 m k if they are many (:mod:`~identify.recovery.separation.products`), and O(m n^2) for each sample that is
    found. Memory: 16 starts of m k numbers each, stated before anything is allocated.
    """
    evidence = {} if evidence is None else evidence
    updates = Updates.of(system)
    unit = format_of(*system.parts.values())
    progress("singular values of the updates")
    factors = factors_of_all(updates.matrices, unit)
    ranks = _ranks(updates, [values for _, values, _ in factors], unit, evidence)
    n = _samples(ranks, samples, updates, evidence)
    widest = max(len(layer.W) for layer in updates.stack.layers)
    refuse_above(8 * 3 * 16 * widest * min(n, system.network.n_inputs + 1), f"separation of {n} samples at width {widest}")
    counts = [rank_among(values, unit, rank, n) for (_, values, _), rank in zip(factors, ranks, strict=True)]
    noise = Subspace.of(updates.matrices[0], min(n, factors[0][0].shape[1]), unit, factors[0]).relative_noise
    evidence["behind"] = [
        left_behind_layer(factors[k][1], counts[k], unit, updates.matrices[k], k == len(updates.stack.layers))
        for k in range(min(2, len(counts)))
    ]
    if "levels" in evidence:  # quantised numbers, whose rank is seen in its own way
        evidence["behind"] = [Rest.NOISE]
    is_noisy = noise > max(NOISY, JOINTLY) and n >= min(ranks[:2])  # else what lies behind n are signals of other samples
    if is_noisy:
        if counts[0] < n <= min(updates.matrices[0].shape):
            raise InapplicableError.of(Failure.HIDDEN, evidence, samples=n, rank=ranks[0], noise=noise)
        above = int(np.sum(factors[1][1] > SIGNAL * unit * factors[1][1][0]))
        counts[1] = max(counts[1], min(n, above))  # a direction that its noise hides is part of it all the same, if there is one
    elif all_of_them and counts[1] < counts[0] == n and system.network.depth > 2:
        raise InapplicableError.of(Failure.DEPENDENT_SIGNALS, evidence, samples=n, rank=counts[1])
    refuse_equal_neurons(system.network, updates.lifted, n, counts[0], noise * (system.regime in SELF_TRAINED), evidence)
    usable = 1
    while usable + 1 < len(updates.matrices) and min(updates.matrices[usable + 1].shape) > n and counts[usable + 1] >= counts[1]:
        usable += 1
    most, ambiguity = min(usable, MOST_LAYERS), symmetry_of(system)
    spaces = [Subspace.of(*each[:2], unit, each[2]) for each in zip(updates.matrices[: most + 1], counts, factors, strict=False)]
    best: tuple[Peeling, Peeled] | None = None
    for hidden in range(1, most + 1):
        search = Peeling(
            updates.stack,
            hidden,
            list(spaces),
            updates.lifted[: most + 1],
            seed,
            unit,
            go_on=go_on,
            progress=progress,
            kept=kept,
            ambiguity=ambiguity,
            gives_up_on_mixtures=hidden < most,
            patience=FEW if is_noisy else PATIENCE,
        )
        result = search.run(None if best is None else best[1].coordinates)
        if best is None or len(result.coordinates) + result.together >= len(best[1].coordinates) + best[1].together:
            best = search, result
        if len(best[1].coordinates) + best[1].together == n or not go_on():
            break
    assert best is not None
    search, result = best
    if not len(result.coordinates) and not go_on():
        obstacle = Obstacle(Failure.NO_SAMPLE, {"samples": n, "starts": result.starts})
        raise ResidualError.of(obstacle, "the budget is spent; allow more time", **evidence)
    observed = Observed(updates.stack, updates.matrices, updates.lifted, _noise(updates, spaces))
    return _finished(system, observed, spaces[:2], search, result, n, samples is not None, is_noisy, unit, tolerance, seed, evidence, go_on)


def _ranks(updates: Updates, values: list[np.ndarray], unit: float, evidence: dict[str, Any]) -> list[int]:
    """How many samples each update shows."""
    ranks = []
    for k, (matrix, own, lifted) in enumerate(zip(updates.matrices, values, updates.lifted, strict=True)):
        weights = matrix[:, :-1] if lifted else matrix
        lattice, sent = (Lattice.of(weights), Largest.of(weights)) if k < 2 else (None, None)
        if lattice is not None and lattice.is_sign:
            raise InapplicableError.of(Failure.SIGNS, evidence, layer=k + 1, levels=lattice.used)
        if sent is not None:
            share, columns = float(np.mean(sent.seen)), int(np.sum(sent.seen.any(axis=0)))
            raise InapplicableError.of(Failure.SPARSE, evidence, layer=k + 1, share=share, columns=columns, inputs=weights.shape[1])
        rank = None
        if lattice is not None:
            evidence.setdefault("levels", []).append(lattice.levels)
            rank = rank_of_quantised(weights, lattice.step)
        ranks.append(shown_rank(own, matrix, unit, is_lifted=lifted) if rank is None else rank)
    if len(evidence.get("levels", [])) == 2:  # what is rounded to zero leaves a trace in the errors, above all in the first layer
        ranks[0] = min(ranks[:2])
    return ranks


def _noise(updates: Updates, spaces: list[Subspace]) -> list[float]:
    """The standard deviation of the noise in the entries of each update; those without a dimension to spare show none of their own."""
    relative = max(space.relative_noise for space in spaces)
    own = [float(np.sqrt(np.mean(space.spread**2))) for space in spaces]
    shared = [relative * np.linalg.norm(matrix) / matrix.size**0.5 for matrix in updates.matrices[len(spaces) :]]
    return [max(size, np.finfo(float).tiny) for size in [*own, *shared]]


def _samples(ranks: list[int], samples: int | None, updates: Updates, evidence: dict[str, Any]) -> int:
    """n, which the ranks of the first two updates count: the larger one, as samples may be dependent, or more than inputs."""
    evidence["ranks"] = ranks
    n = max(ranks[:2]) if samples is None else samples
    if not all(matrix.any() for matrix in updates.matrices[:2]):
        raise RecoveryError(
            "target: every number of one of the first two updates is zero, so nothing enters or leaves that layer", **evidence
        )
    if not n:  # nothing stands out of the noise
        raise InapplicableError.of(Failure.HIDDEN, evidence, samples=1, rank=0, noise=1.0)
    rows, columns = updates.matrices[1].shape
    deeper = max(ranks[2:], default=0)
    if samples is None and deeper > n and deeper >= min(rows, columns):  # they count more than the second can
        n = deeper
    if n >= columns or n > rows:
        raise InapplicableError.of(Failure.NARROW, evidence, samples=n, rows=rows, columns=columns)
    return n


def _finished(
    system: KKTSystem,
    observed: Observed,
    spaces: Sequence[Subspace],
    peeling: Peeling,
    found: Peeled,
    n: int,
    given: bool,
    is_noisy: bool,
    unit: float,
    tolerance: float | None,
    seed: int,
    evidence: dict[str, Any],
    go_on: Callable[[], bool],
) -> Recovery:
    net = system.network
    numbers = {
        name: getattr(found, name)
        for name in ("starts", "converged", "rounds", "rejected", "mixed", "impostors", "together", "held", "hidden")
    }
    evidence = dict(evidence)
    evidence["separation"] = numbers | {"samples": n, "found": len(found.coordinates), "hidden_layers": peeling.hidden}
    noise = max(space.relative_noise for space in peeling.subspaces)
    explained = None
    if len(found.coordinates):
        X = found.coordinates @ peeling.subspaces[0].right[:, : net.n_inputs]
        passed = net.forward(X)
        c, signal_sizes = _multipliers(system, peeling, found, passed)
        bars = np.array(found.bars)
    if len(found.coordinates) == n:
        c = _refined_multipliers(system, X, c, passed)
        if noise > JOINTLY:
            explained = Explained.near(observed, spaces, X, c, rough=False, go_on=go_on)
    if is_noisy and not found.together and not (explained is not None and explained.fits):
        rng = np.random.default_rng(seed)
        known = (X, c) if len(found.coordinates) else None

        def best_multipliers(X: np.ndarray) -> np.ndarray:
            return _refined_multipliers(system, X, np.zeros((len(X), net.n_outputs)))

        other = from_rows(observed, spaces, known, best_multipliers, rng, go_on)
        if other is not None and (explained is None or max(other.misfits) < max(explained.misfits)):
            explained = other
        if explained is not None and not explained.fits and (noise > LOUD or not len(found.coordinates) or len(found.coordinates) == n):
            failed = {"samples": n, "noise": noise, "misfit": max(explained.misfits), "allowed": FITS}
            raise ResidualError.of(Obstacle(Failure.NOISE, failed), NOISE_ADVICE, **evidence)
    if not len(found.coordinates) and (explained is None or not explained.fits):
        raise ResidualError.of(
            Obstacle(Failure.NO_SAMPLE, {"samples": n, **numbers}), _advice(found, system, evidence["behind"]), **evidence
        )
    if explained is not None and (explained.fits or not is_noisy):
        X, c, signal_sizes = explained.X, explained.c, np.linalg.norm(explained.signals(1), axis=1)
        bars = explained.bars(np.random.default_rng(seed)) if go_on() else np.full(n, np.nan)
        evidence["separation"]["refined_jointly"] = True
        evidence["separation"]["misfits"] = explained.misfits
    ambiguity = symmetry_of(system)
    if ambiguity.group != "none":
        X, c = ambiguity.canonical(X, c)
    order = np.argsort(-signal_sizes, kind="stable")
    X, c, signal_sizes, bars = X[order], c[order], signal_sizes[order], bars[order]
    evidence["separation"]["smallest_signal"] = float(signal_sizes[-1] / signal_sizes[0])
    passed = net.forward(X)
    residual = system.residual(X, c, passed=passed)
    row_sizes = np.maximum(np.hypot(np.linalg.norm(X, axis=1), observed.lifted[0]), np.finfo(float).tiny)
    allowed = allowed_residual(noise, unit, signal_sizes, bars / row_sizes) if tolerance is None else tolerance
    evidence["precision"] = {"noise": noise, "allowed": allowed}
    complete = len(X) == n
    fits = tolerance is None and explained is not None and is_noisy and explained.fits
    if complete and residual > allowed and not fits:
        obstacle = Obstacle(Failure.RESIDUAL, {"samples": n, "residual": residual, "allowed": allowed})
        raise ResidualError.of(obstacle, "the updates belong to another network, or there are more samples", **evidence)
    bars = np.maximum(bars, np.linalg.norm(np.spacing(np.abs(X)), axis=1) / 2)
    if net.n_outputs == 1:
        c = c[:, 0]
    alike = _alike(system, peeling.hidden, passed, n)  # with room for the samples that are missing
    evidence["separation"]["alike"] = alike.tolist()
    uniqueness = _uniqueness(found, n, len(X), alike)
    clear = max(float(space.values[-1]) / space.noise for space in spaces)
    if fits and not given and clear < CLEARLY:
        uniqueness = Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.NOISE, numbers={"samples": n, "clear": clear})
    return Recovery(X, c, residual, bars, METHOD, ambiguity, seed, evidence, uniqueness)


def _alike(system: KKTSystem, hidden: int, passed: Forward, n: int) -> Int[np.ndarray, " alike"]:
    r"""Samples for which the layers that were used may admit impostors, as counts of neurons tell.

    An impostor is a point whose hidden activations are a combination of those of a set E of samples. For almost every piecewise-linear
    network with these slopes there is none if at least n + |E| - 1 neurons see a sample of E, and, for two samples or more, at least
    |E| neurons have other slopes at some of E than at others. Both hold for all sets if every sample has 2n - 1 neurons that see it, and
    differs from its k-th nearest neighbour in more than k neurons, for every k. An impostor must also have signals, by its own slopes in
    all layers, so the neurons of all hidden layers tell samples apart. For other activations almost every network admits none if its
    first hidden layer has 2n - 1 neurons; deeper layers that were searched count for as many neurons as they have.
    """
    before, found = passed.before[:-1], len(passed.before[0])
    sigmas = system.network.activations
    if any(sigma.kind != "piecewise-linear" for sigma in sigmas[:hidden]):
        enough = sum(z.shape[1] for z in before[:hidden]) >= 2 * n - 1
        return np.arange(0 if enough else found)
    slopes = [sigma(z, order=1) for sigma, z in zip(sigmas, before, strict=True)]
    seen = sum(np.sum(own != 0, axis=1) for own in slopes[:hidden])
    apart = sum(np.array([np.sum(layer != own, axis=1) for own in layer]) for layer in slopes)
    nearest = np.sort(apart, axis=1)[:, 1:]
    missing = n - found
    crowded = (nearest <= np.arange(1, nearest.shape[1] + 1) + missing).any(axis=1)
    return np.flatnonzero(crowded | (seen < 2 * n - 1))


def _multipliers(
    system: KKTSystem, peeling: Peeling, found: Peeled, passed: Forward
) -> tuple[Float[np.ndarray, "found C"], Float[np.ndarray, " found"]]:
    """The multipliers of each sample, and the size of its contribution to the deepest update that counts the samples."""
    at = len(peeling.subspaces) - 1
    H = passed.entering[at]
    H = np.hstack([H, np.ones((len(H), 1))]) if peeling.lifted[at] else H
    c = np.array(found.multipliers)
    slopes = [sigma(z, order=1) for sigma, z in zip(system.network.activations, passed.before, strict=False)]
    sizes = [np.linalg.norm(peeling.stack.backward([own[i] for own in slopes], at) @ c[i]) for i in range(len(c))]
    return c, np.array(sizes) * np.linalg.norm(H, axis=1)


def _refined_multipliers(
    system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"], passed: Forward | None = None
) -> Float[np.ndarray, "n C"]:
    r"""Least-squares multipliers for all observed layers together, by iterative refinement.

    The updates are linear in them, :math:`G_l = \sum_i M_i^l \gamma_i (\tilde h_i^{l-1})^\top`, so their normal equations are Hadamard
    products of Gram matrices. In deep networks :math:`M_i^l` loses digits on the way down, which the upper layers still have.
    """
    net, (n, C) = system.network, c.shape
    if n * C > MOST_MULTIPLIERS:
        return c
    passed = net.forward(X) if passed is None else passed
    slopes = [sigma(z, order=1) for sigma, z in zip(net.activations, passed.before, strict=False)]
    through, layers, gram = np.tile(np.eye(C), (n, 1, 1)), [], np.zeros((n, C, n, C))
    for k in range(net.depth - 1, -1, -1):
        if k < net.depth - 1:
            through = slopes[k][:, :, None] * np.matmul(net.weights[k + 1].T, through)
        update = system.updates[k]
        if update.W is None and update.bias is None:
            continue
        pairs = [] if update.W is None else [(update.W.reshape(len(net.weights[k]), -1), passed.entering[k])]
        pairs += [] if update.bias is None else [(update.bias[:, None], np.ones((n, 1)))]
        seen = through
        if system.is_partial:
            known, H = (np.hstack(parts) for parts in zip(*pairs, strict=True))
            sent = Sent.of(known)
            pairs, seen = [(known[np.ix_(*sent)], H[:, sent.columns])], through[:, sent.rows]
        inner = sum((H @ H.T for _, H in pairs), np.zeros((n, n)))
        wide = seen.transpose(1, 0, 2).reshape(-1, n * C)
        gram += (wide.T @ wide).reshape(n, C, n, C) * inner[:, None, :, None]
        layers.append((seen, inner, sum((known @ H.T for known, H in pairs), np.zeros((seen.shape[1], n)))))

    def gradient(c: np.ndarray) -> np.ndarray:  # in coordinates of the samples: the updates themselves are read once
        total = np.zeros((n, C))
        for seen, inner, given in layers:
            missing = given - np.matmul(seen, c[:, :, None])[:, :, 0].T @ inner
            total += np.matmul(missing.T[:, None], seen)[:, 0]
        return total

    normal = gram.reshape(n * C, n * C)
    normal[np.diag_indices(n * C)] *= 1 + RIDGE
    try:
        factor = cho_factor(normal, overwrite_a=True)
    except ValueError:  # singular, or not finite
        return c
    missing, before = gradient(c), np.inf
    for _ in range(REFINEMENTS):
        step = cho_solve(factor, missing.reshape(-1)).reshape(n, C)
        gained = float(np.sum(step * missing))  # of the sum of squares, to first order
        if not 0 < gained < before:
            break
        c, missing, before = c + step, gradient(c + step), gained
    return c


def _uniqueness(found: Peeled, n: int, returned: int, alike: Int[np.ndarray, " alike"]) -> Uniqueness:
    numbers = {"found": returned, "samples": n, "starts": found.starts, "converged": found.converged, "alike": len(alike)}
    numbers["together"] = found.together
    if returned + found.together == n > returned:
        status = UniquenessStatus.UNKNOWN if len(alike) else UniquenessStatus.EVIDENCE
        return Uniqueness(status, UniquenessReason.ONE_REGION, numbers=numbers)
    if returned < n:
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.PARTIAL, numbers=numbers)
    if len(alike):
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.ALIKE, numbers=numbers)
    return Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.SEPARATED, numbers=numbers)


def _advice(found: Peeled, system: KKTSystem, behind: Sequence[Rest]) -> str:
    if all(rest is Rest.NONE for rest in behind):
        return "the updates have full rank, so there may be more samples than they count; expected wider layers or fewer samples"
    if found.mixed:
        more = "; observe more layers" if len(system.layers) < system.network.depth else ": the network is too narrow for so many"
        return f"these layers do not tell the samples from mixtures of each other{more}"
    if found.hidden:
        return "every signal that was found is below the noise of the updates"
    return "the updates belong to another network or to permuted layers, the number of samples is wrong, or the layers are too narrow"

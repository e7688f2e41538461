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

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from identify.base.limits import refuse_above
from identify.problem.activation import MAX_DEGREE, Activation
from identify.problem.ambiguity import Ambiguity
from identify.problem.precision import DIGITS_KEPT, SLACK, format_of
from identify.problem.rank import numerical_rank
from identify.problem.system import KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.forward import Layer
from identify.recovery.separation.peel import Deeper, Peeled, Peeling
from identify.recovery.separation.subspace import Subspace
from identify.recovery.solution import Failure, InapplicableError, Obstacle, Recovery, ResidualError

METHOD = "forward separation"
SIGNAL = 10.0
"""A singular value counts as signal above so many units of rounding, relative to the largest."""
MOST_LAYERS = 4
"""Hidden layers whose equations are used, at most."""
LARGEST = 0.1
"""Relative residual above which samples never count as a solution, unless a tolerance is given."""
ATTEMPTS = 3
"""Searches with other random starts, if the one before did not find all samples: one that is not there may have been taken for one."""
DROP = 3.0
"""Drop of the singular values that is a rank if noise is above rounding and two layers show it at the same place."""


@dataclass(frozen=True, eq=False)
class Updates:
    """The observed updates of consecutive dense layers from the first on, with bias columns if they were observed."""

    matrices: list[Float[np.ndarray, "_ _"]]
    lifted: list[bool]
    layers: list[Layer]
    """The hidden layers between them."""
    W_next: list[Float[np.ndarray, "_ _"]]
    """Weights of the layer after each hidden layer."""

    @classmethod
    def of(cls, system: KKTSystem) -> Updates:
        """Raises :class:`InapplicableError` unless the first two layers were observed."""
        net, matrices, lifted = system.network, [], []
        for update in system.updates:
            if update.W is None:
                break
            W = update.W.reshape(-1, update.W.shape[-1])
            matrices.append(W if update.bias is None else np.hstack([W, update.bias[:, None]]))
            lifted.append(update.bias is not None)
        if len(matrices) < 2:
            raise InapplicableError.of(Failure.TWO_LAYERS, observed=", ".join(system.parts))
        hidden = len(matrices) - 1
        biases = [np.zeros(len(W)) if b is None else b for W, b in zip(net.weights, net.biases, strict=True)]
        layers = [Layer(W, b, sigma) for W, b, sigma in zip(net.weights, biases, net.activations, strict=False)][:hidden]
        return cls(matrices, lifted, layers, list(net.weights[1 : hidden + 1]))

    def prefix(self, hidden: int) -> Updates:
        """With the equations of the first hidden layers only."""
        return Updates(self.matrices[: hidden + 1], self.lifted[: hidden + 1], self.layers[:hidden], self.W_next[:hidden])


def separated(
    system: KKTSystem,
    *,
    samples: int | None,
    seed: int,
    tolerance: float | None = None,
    evidence: dict[str, Any] | None = None,
    go_on: Callable[[], bool] = lambda: True,
    progress: Callable[[str], None] = lambda step: None,
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

    Returns
    -------
    Recovery
        With all samples, or with those that could be told apart; ``evidence["separation"]`` counts the others and says why.

    Raises
    ------
    InapplicableError
        When two layers were not observed, or one is too narrow for so many samples.
    ResidualError
        When no sample was found, or all that were found do not reproduce the updates.

    Notes
    -----
    Cost: one singular value decomposition of each update; then about O(m k^2) for each step of each start and k samples that are not
    known yet. Memory: 16 starts of m k numbers each, stated before anything is allocated.
    """
    evidence = {} if evidence is None else evidence
    updates = Updates.of(system)
    unit = format_of(np.concatenate([part.reshape(-1) for part in system.parts.values()]))
    progress("singular values of the updates")
    spectra = [np.linalg.svd(matrix, compute_uv=False) for matrix in updates.matrices]
    ranks = [_rank(values, unit) for values in spectra]
    n = _samples(ranks, samples, updates, evidence)
    widest = max(len(layer.W) for layer in updates.layers)
    refuse_above(8 * 3 * 16 * widest * min(n, system.network.n_inputs + 1), f"separation of {n} samples at width {widest}")
    usable = 1
    while usable + 1 < len(updates.matrices) and min(updates.matrices[usable + 1].shape) > n and ranks[usable + 1] >= n:
        usable += 1
    most, group = min(usable, MOST_LAYERS), _ambiguity(system).group
    counts = [min(n, ranks[0]), *([n] * most)]
    spaces = [Subspace.of(matrix, count, unit) for matrix, count in zip(updates.matrices, counts, strict=False)]
    best: Recovery | None = None
    failure: ResidualError | None = None
    for hidden, attempt in [(hidden, attempt) for hidden in range(1, most + 1) for attempt in range(ATTEMPTS)]:
        part = updates.prefix(hidden)
        deeper = None if hidden == most else Deeper(updates.layers[:most], updates.lifted[1 : most + 1], spaces[1:])
        search = Peeling(
            part.layers,
            part.W_next[-1],
            spaces[: hidden + 1],
            part.lifted,
            seed + attempt,
            unit,
            go_on=go_on,
            progress=progress,
            deeper=deeper,
            group=group,
            gives_up_on_mixtures=deeper is not None,
        )
        result = search.run()
        try:
            made = _finished(system, search, result, unit, tolerance, seed, evidence)
        except ResidualError as error:
            failure = failure or error
            if not go_on() and not len(result.coordinates):
                numbers = {"samples": n, "starts": result.starts}
                failure = ResidualError.of(Obstacle(Failure.NO_SAMPLE, numbers), "the budget is spent; allow more time", **evidence)
        else:
            best = made if best is None or made.n_samples > best.n_samples else best
            if len(result.coordinates) == n:
                return made
        if not go_on():
            break
    if best is not None:
        return best
    assert failure is not None
    raise failure


def _rank(values: Float[np.ndarray, " k"], unit: float) -> int:
    """How many singular values are signals: those above rounding, or if all are, those before the largest drop."""
    above = int(np.sum(values > SIGNAL * unit * values[0]))
    if above < len(values):
        return above
    rank, _ = numerical_rank(values)
    if rank < len(values):
        return rank
    drops = values[:-1] / values[1:]
    return int(drops.argmax()) + 1 if len(drops) and drops.max() >= DROP else len(values)


def _samples(ranks: list[int], samples: int | None, updates: Updates, evidence: dict[str, Any]) -> int:
    """n, which the ranks of the first two updates count: the larger one, as samples may be dependent, or more than inputs."""
    evidence["ranks"] = ranks
    n = max(ranks[:2]) if samples is None else samples
    rows, columns = updates.matrices[1].shape
    if n >= columns or n > rows:
        raise InapplicableError.of(Failure.NARROW, evidence, samples=n, rows=rows, columns=columns)
    return n


def _finished(
    system: KKTSystem, peeling: Peeling, found: Peeled, unit: float, tolerance: float | None, seed: int, evidence: dict[str, Any]
) -> Recovery:
    net, n = system.network, peeling.n_samples
    numbers = {name: getattr(found, name) for name in ("starts", "converged", "rounds", "rejected", "mixed", "hidden")}
    evidence = dict(evidence)
    evidence["separation"] = numbers | {"samples": n, "found": len(found.coordinates), "hidden_layers": len(peeling.layers)}
    if not len(found.coordinates):
        raise ResidualError.of(Obstacle(Failure.NO_SAMPLE, {"samples": n, **numbers}), _advice(found), **evidence)
    X = found.coordinates @ peeling.subspaces[0].right[:, : net.n_inputs]
    c, signal_sizes = _multipliers(system, peeling, found, X)
    ambiguity = _ambiguity(system)
    if ambiguity.group != "none":
        X, c = ambiguity.canonical(X, c)
    order = np.argsort(-signal_sizes, kind="stable")
    X, c, signal_sizes, bars = X[order], c[order], signal_sizes[order], np.array(found.bars)[order]
    evidence["separation"]["smallest_signal"] = float(signal_sizes[-1] / signal_sizes[0])
    residual = system.residual(X, c) if np.isfinite(c).all() else float("nan")
    noise = max(space.relative_noise for space in peeling.subspaces)
    shares = signal_sizes / np.linalg.norm(signal_sizes)
    carried = float(np.linalg.norm(shares * bars / np.linalg.norm(X, axis=1)))
    usual = max(SLACK * noise, unit**DIGITS_KEPT)
    allowed = min(max(usual, min(SLACK * carried, SLACK * usual)), LARGEST) if tolerance is None else tolerance
    evidence["precision"] = {"noise": noise, "allowed": allowed}
    complete = len(X) == n
    if complete and residual > allowed:
        obstacle = Obstacle(Failure.RESIDUAL, {"samples": n, "residual": residual, "allowed": allowed})
        raise ResidualError.of(obstacle, "the updates belong to another network, or there are more samples", **evidence)
    bars = np.maximum(bars, np.linalg.norm(np.spacing(np.abs(X)), axis=1) / 2)
    if net.n_outputs == 1:
        c = c[:, 0]
    alike = _alike(system, len(peeling.layers), X, n)  # with room for the samples that are missing
    evidence["separation"]["alike"] = alike.tolist()
    if not complete:  # what is missing may have been taken for one of these
        keep = np.ones(len(X), dtype=bool)
        keep[alike] = False
        X, c, bars = X[keep], c[keep], bars[keep]
        if not len(X):
            raise ResidualError.of(Obstacle(Failure.NO_SAMPLE, {"samples": n, **numbers}), _advice(found), **evidence)
    return Recovery(X, c, residual, bars, METHOD, ambiguity, seed, evidence, _uniqueness(found, n, len(X), alike))


def _alike(system: KKTSystem, hidden: int, X: Float[np.ndarray, "found d"], n: int) -> Int[np.ndarray, " alike"]:
    r"""Samples for which the layers that were used may admit impostors, as counts of neurons tell.

    An impostor is a point whose hidden activations are a combination of those of a set E of samples. For almost every piecewise-linear
    network with these slopes there is none if at least n + |E| - 1 neurons see a sample of E, and, for two samples or more, at least
    |E| neurons have other slopes at some of E than at others. Both hold for all sets if every sample has 2n - 1 neurons that see it, and
    differs from its k-th nearest neighbour in more than k neurons, for every k. For other activations almost every network admits
    none if its first hidden layer has 2n - 1 neurons. Deeper layers, if they were used, count for as many neurons as they have.
    """
    layers = system.network.forward(X).before[:hidden]
    if any(sigma.kind != "piecewise-linear" for sigma in system.network.activations[:hidden]):
        enough = sum(z.shape[1] for z in layers) >= 2 * n - 1
        return np.arange(0 if enough else len(X))
    slopes = np.hstack([sigma(z, order=1) for sigma, z in zip(system.network.activations, layers, strict=False)])
    seen = np.sum(slopes != 0, axis=1)
    apart = np.array([np.sum(slopes != own, axis=1) for own in slopes])
    nearest = np.sort(apart, axis=1)[:, 1:]
    missing = n - len(X)
    crowded = (nearest <= np.arange(1, nearest.shape[1] + 1) + missing).any(axis=1)
    return np.flatnonzero(crowded | (seen < 2 * n - 1))


def _multipliers(
    system: KKTSystem, peeling: Peeling, found: Peeled, X: Float[np.ndarray, "found d"]
) -> tuple[Float[np.ndarray, "found C"], Float[np.ndarray, " found"]]:
    """The multipliers of each sample, and the size of its contribution to the update of the layer that shows its signal."""
    net = system.network
    passed = net.forward(X)
    at = len(peeling.layers)  # signals are known at the layer with this index, from 0
    last = peeling.subspaces[-1]
    H = passed.entering[at]
    H = np.hstack([H, np.ones((len(H), 1))]) if peeling.lifted[-1] else H
    if peeling.is_deflating:
        signals = np.array(found.signals)
    elif len(X) < peeling.n_samples:  # what is missing would be fitted by the others
        return np.full((len(X), net.n_outputs), np.nan), np.full(len(X), np.nan)
    else:
        update = (last.left * last.values) @ last.right
        signals = np.linalg.lstsq(H.T, update.T, rcond=None)[0]
    sizes = np.linalg.norm(signals, axis=1) * np.linalg.norm(H, axis=1)
    if at == net.depth - 1:
        return signals, sizes
    multipliers = np.empty((len(X), net.n_outputs))
    for i, signal in enumerate(signals):
        through = np.eye(net.n_outputs)
        for k in range(net.depth - 1, at, -1):
            through = net.activations[k - 1](passed.before[k - 1][i], order=1)[:, None] * (net.weights[k].T @ through)
        multipliers[i] = np.linalg.lstsq(through, signal, rcond=None)[0]
    return multipliers, sizes


def _ambiguity(system: KKTSystem) -> Ambiguity:
    """What these updates leave open for each sample: nothing if a bias enters, a scale or a sign for activations that have it."""
    net = system.network
    if net.biases[0] is not None or any(update.bias is not None for update in system.updates[1:]):
        return Ambiguity("none", 1)
    degrees = [_homogeneity(sigma) for sigma in net.activations]
    known = [degree for degree in degrees if degree is not None]
    if len(known) == len(degrees):
        return Ambiguity("positive scaling", prod(known))
    z = np.linspace(0.1, 3.0, 30)
    return Ambiguity("sign" if all(np.allclose(sigma(-z), -sigma(z), rtol=1e-14, atol=0) for sigma in net.activations) else "none", 1)


def _homogeneity(sigma: Activation) -> int | None:
    """k if sigma(t z) = t^k sigma(z) for t > 0, as far as values at some points show; None otherwise."""
    z = np.linspace(-3.0, 3.0, 31)
    for k in range(1, MAX_DEGREE + 1):
        if np.allclose(sigma(2 * z), 2.0**k * sigma(z), rtol=1e-14, atol=0):
            return k
    return None


def _uniqueness(found: Peeled, n: int, returned: int, alike: Int[np.ndarray, " alike"]) -> Uniqueness:
    numbers = {"found": returned, "samples": n, "starts": found.starts, "converged": found.converged, "alike": len(alike)}
    if len(found.coordinates) < n:
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.PARTIAL, numbers=numbers)
    if len(alike):
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.ALIKE, numbers=numbers)
    return Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.SEPARATED, numbers=numbers)


def _advice(found: Peeled) -> str:
    if found.mixed:
        return "these layers do not tell the samples from mixtures of each other; observe more layers"
    if found.hidden:
        return "every signal that was found is below the noise of the updates"
    return "the updates belong to another network or to permuted layers, the number of samples is wrong, or the layers are too narrow"

"""The batch behind several steps of training: how many samples, starts, the path, training unrolled, and how precise the answer is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from identify.base.limits import refuse_above
from identify.problem.ambiguity import Ambiguity
from identify.problem.precision import format_of
from identify.problem.rank import numerical_rank
from identify.problem.steps import StepsSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.forward import Layer, Stack
from identify.recovery.separation.precision import SIGNAL
from identify.recovery.separation.subspace import Subspace
from identify.recovery.solution import Failure, InapplicableError, Obstacle, Recovery, ResidualError
from identify.recovery.steps.along import Along, effects
from identify.recovery.steps.batches import drawn, equal, shares_of
from identify.recovery.steps.frozen import Frozen
from identify.recovery.steps.orders import Orders
from identify.recovery.steps.spans import Spans
from identify.recovery.steps.start import MiddleSearch, in_twice_the_directions
from identify.recovery.steps.through import FEW, Solved, descend, thinned
from identify.recovery.steps.training import FREE, Training, middle

METHOD = "training unrolled"
NEAR = ((1e-2, 0.1), (3e-2, 0.1), (1e-1, 0.05))
"""For each search of starts, from the strictest: the cost up to which a point is near a sample, and how far two samples are apart."""
PATHS, SETTLED, CLOSE = 12, 1e-9, 3e-3
"""Paths that are followed one after the other, at most; the relative change of the samples after which they have settled, and the one after
which all equations converge if slopes do not jump."""
MOST_UNKNOWNS = 3000
"""Most unknowns of training unrolled: their normal equations are formed."""
SLACK = 30.0
"""The final network may be missed by this many times the rounding of its numbers: each step of training rounds, too."""
ZERO_SUM = 100.0
"""Changes of the last layer that sum to zero over the outputs, up to so many times rounding, are taken for those of a softmax loss."""
REGULAR = 1e-10
"""Reciprocal condition number from which on the equations fix the data to first order."""
AGAIN = 2
"""Rounds of paths and of training unrolled."""
ROUNDED = 0.42
"""Root mean square of the error of a rounded number, in units of the largest that it can be."""
ORDERS, BETTER = 24, 0.999
"""Orders of the batches from which the search for the true one starts; and costs relative to the lowest so far that are worth a trial."""


@dataclass(eq=False)
class Search:
    """One question on its way to an answer."""

    system: StepsSystem
    seed: int
    evidence: dict[str, Any]
    go_on: Callable[[], bool]
    progress: Callable[[str], None]

    def __post_init__(self) -> None:
        values = np.concatenate([part.reshape(-1) for part in self.system.final.parameters.values()])
        self.unit = format_of(values)
        self.rng = np.random.default_rng(self.seed)

    def counted(self, samples: int | None) -> tuple[int, dict[int, Any], np.ndarray]:
        """n, the changes of all layers, and an orthonormal basis of the row space of the first."""
        system = self.system
        for layer, (weights, bias) in system.changes().items():
            if weights is None and (bias is not None or layer in (1, 2, system.initial.depth)):
                raise InapplicableError.of(Failure.NOT_TRAINED, self.evidence, layer=layer)
        if all(bias is None for _, bias in system.changes().values()):
            raise InapplicableError.of(Failure.NO_BIAS, self.evidence)
        for n in range(1, 10_000) if samples is None and system.weight_decay and system.epochs is not None else [samples or 1]:
            changes = system.changes(system.kept(n))
            first = _joined(changes[1])
            _, values, rows = np.linalg.svd(first, full_matrices=False)
            rounding = self.unit * np.linalg.norm(system.final.weights[0]) / values[0]
            rank = int(np.sum(values > SIGNAL * max(rounding, self.unit) * values[0]))
            if rank < len(values):  # the largest drop at rounding, if there is one before
                rank = min(rank, numerical_rank(values)[0]) or rank
            if samples is not None or system.epochs is None or not system.weight_decay or n == rank:
                break
        self.evidence["ranks"] = [rank]
        if not rank:
            raise InapplicableError.of(Failure.ROUNDED, self.evidence)
        if samples is None and rank == len(values):
            raise InapplicableError.of(Failure.MANY, self.evidence, rank=rank)
        count = rank if samples is None else samples
        second = _joined(changes[2]).shape
        if count >= second[1] or count > second[0]:
            raise InapplicableError.of(Failure.NARROW, self.evidence, samples=count, rows=second[0], columns=second[1])
        self.rounding = _roundings(system, changes, self.unit)
        return count, changes, rows[: min(count, rank)]

    def starts(self, n: int, changes: dict[int, Any], rows: np.ndarray) -> Float[np.ndarray, "n r"]:
        """Points near all samples, by separation halfway."""
        system, share = self.system, middle(self.system.n_steps(n))
        halfway = [W + share * (V - W) for W, V in zip(system.initial.weights, system.final.weights, strict=True)]
        biases = [
            np.zeros(len(W)) if b is None or c is None else b + share * (c - b)
            for W, b, c in zip(halfway, system.initial.biases, system.final.biases, strict=True)
        ]
        layers = [Layer(W, b, sigma) for W, b, sigma in zip(halfway, biases, system.initial.activations, strict=False)]
        stack = Stack(layers, halfway[-1])
        spaces = [Subspace.of(_joined(changes[1]), len(rows)), Subspace.of(_joined(changes[2]), n)]
        lifted = [changes[k][1] is not None for k in (1, 2)]
        best: MiddleSearch | None = None
        for number, (loose, apart) in enumerate(NEAR):
            search = MiddleSearch(stack, list(spaces), lifted, self.seed + number, loose, apart, self.go_on)
            search.run()
            if best is None or len(search.taken) > len(best.taken):
                best = search
            if number == 0 and len(search.taken) < n:
                wide = MiddleSearch(stack, list(spaces), lifted, self.seed, loose, apart, self.go_on)
                wide.taken = list(in_twice_the_directions(wide, _joined(changes[2])))
                best = wide if len(wide.taken) == n else best
            if len(best.taken) == n or not self.go_on():
                break
        assert best is not None
        found = best.found
        self.evidence["starts"] = {"samples": n, "found": len(best.taken), "starts": found.starts, "rounds": found.rounds}
        if len(best.taken) < n:
            obstacle = Obstacle(Failure.FEW_FOUND, {"samples": n, "found": len(best.taken)})
            raise ResidualError.of(obstacle, "the training went too far from its middle, or is another one", **self.evidence)
        return np.array(best.taken) @ spaces[0].right @ rows.T

    def losses(self, changes: dict[int, Any]) -> Iterator[str]:
        """Those that may be behind the changes, the likeliest first."""
        system = self.system
        if system.loss is not None:
            yield system.loss
            return
        last = _joined(changes[system.initial.depth])
        if system.n_outputs == 1:
            yield "logistic"
        elif np.linalg.norm(last.sum(axis=0)) <= ZERO_SUM * self.rounding[-1] * np.linalg.norm(last):
            yield "softmax"
        yield FREE

    def labels(self, training: Training, eta: np.ndarray, changes: dict[int, Any], tops: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Labels, and first values of the other unknowns, by the change of the last layer, which is linear in the multipliers."""
        system, (n, C) = self.system, (training.n, training.system.n_outputs)
        weight = (effects(training)[:, None] * training.shares).sum(axis=0)
        total = np.linalg.lstsq(tops.T, _joined(changes[system.initial.depth]).T, rcond=None)[0] / weight[:, None]
        W, b = system.initial.weights[-1], system.initial.biases[-1]
        halfway = (W + system.final.weights[-1]) / 2
        outputs = tops[:, : W.shape[1]] @ halfway.T
        if b is not None:
            outputs = outputs + (b + np.asarray(system.final.biases[-1])) / 2
        rate = system.learning_rate or 1.0
        others: dict[str, Any] = {}
        labels = np.zeros((n, C))
        if training.loss == "softmax":
            labels = np.eye(C)[total.argmax(axis=1)]
            expected = labels - softmax(outputs, axis=1)
        elif training.loss == "logistic":
            labels = np.where(total > 0, 1.0, -1.0)
            expected = labels / (1 + np.exp(labels * outputs))
        elif training.loss == "square":
            others["targets"] = outputs + total / rate * C / 2
            expected = total / rate
        else:
            expected = total
            others["multipliers"] = np.broadcast_to(total / rate, (training.n_steps, n, C))
        if training.rate_is_free:
            others["rate"] = np.log(max(float(np.sum(total * expected) / np.sum(expected * expected)), np.finfo(float).tiny))
        return labels, others

    def along(self, training: Training, eta: np.ndarray, changes: dict[int, Any]) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Follow paths until the samples settle."""
        tops = training.halfway(eta)
        effect, kinks = effects(training), training.plan.has_kinks
        for number in range(PATHS if training.n_coordinates else 1):
            labels, others = self.labels(training, eta, changes, tops)
            path, _ = training.path(training.joined(eta, others), labels)
            if not np.isfinite(path.first).all() or not np.isfinite(path.entering).all():
                break
            tops = path.entering.mean(axis=0)
            if not training.n_coordinates:
                break
            moved = Along.of(training, path, effect, self.rng).solve(eta) if kinks else Spans(training, path).solve(eta)
            if not np.isfinite(moved).all():
                break
            change = np.linalg.norm(moved - eta) / np.linalg.norm(eta)
            eta = moved
            self.progress(f"path {number + 1}: samples moved by {change:.0e}")
            if change < (SETTLED if kinks else CLOSE) or not self.go_on():
                break
        labels, others = self.labels(training, eta, changes, tops)
        return eta, labels, others

    def through(self, training: Training, point: np.ndarray, labels: np.ndarray) -> Solved:
        """The last digits, from there: with the path held still, then, if that does not end at rounding, through training unrolled."""
        few, solve = len(point) <= FEW, partial(descend, enough=self.rounded, go_on=self.go_on)
        self.progress(f"all equations, {len(point)} unknowns")
        if len(point) > MOST_UNKNOWNS:
            refuse_above(8 * 3 * len(point) ** 2, f"equations in {len(point)} unknowns")
        solved: Solved | None = None
        if not few or not training.plan.has_kinks:
            solved = solve(Frozen.of(training, len(point), self.rng), point, labels)
            if not few or solved.residual <= SLACK * self.rounded or not self.go_on():
                return solved
            if self.residual(training, solved.point, labels) < self.residual(training, point, labels):
                point = solved.point
        return solve(thinned(training, len(point), self.rng), point, labels)

    @property
    def rounded(self) -> float:
        """The residual that rounding of the final network leaves."""
        return float(np.linalg.norm(self.rounding))

    def residual(self, training: Training, point: np.ndarray, labels: np.ndarray) -> float:
        """The residual of all equations."""
        return float(np.linalg.norm(training.missing(point, labels, all_of_them=True)))


def recovered(
    system: StepsSystem,
    *,
    samples: int | None,
    seed: int,
    tolerance: float | None = None,
    evidence: dict[str, Any] | None = None,
    go_on: Callable[[], bool] = lambda: True,
    progress: Callable[[str], None] = lambda step: None,
) -> Recovery:
    """Recover the batch behind several steps.

    Parameters
    ----------
    system
        The networks before and after, and how one was trained to the other.
    samples
        n; None reads it off the rank of the first layer's change, which several steps do not raise.
    seed
        Of random starts, and of the choice of equations.
    tolerance
        Relative residual at which the samples are accepted; None: what rounding of the final network explains.
    evidence
        Takes the numbers of each step.
    go_on
        Asked between steps.

    Returns
    -------
    Recovery
        ``c`` holds the multipliers of each sample, in the mean over the steps.

    Raises
    ------
    InapplicableError
        When the first two layers did not move, no bias did, or the second is too narrow.
    ResidualError
        When training from the best samples does not end at the final network.

    Notes
    -----
    Cost: starts as forward separation; for each path and row of the second layer O(m (n k)^2), k unknowns of a sample; training unrolled
    takes one pass with derivatives for each unknown and step.
    """
    evidence = {} if evidence is None else evidence
    search = Search(system, seed, evidence, go_on, progress)
    progress("rank of the first layer's change")
    n, changes, rows = search.counted(samples)
    progress("starts halfway")
    eta = search.starts(n, changes, rows)
    best: tuple[Training, Solved, np.ndarray, float] | None = None
    allowed = SLACK * search.rounded if tolerance is None else tolerance
    for loss in search.losses(changes):
        training = Training.of(system, changes, rows, n, loss, equal(system, n))
        if best is not None and training.plan.has_kinks and training.plan.size > FEW:
            break  # another loss is unlikely, and so many unknowns across kinks are not found
        solved = _batched(search, training, eta, changes, allowed)
        if best is None or solved[3] < best[3]:
            best = solved
        if best[3] <= allowed or not go_on():
            break
    assert best is not None
    return _finished(search, *best, allowed)


def _batched(
    search: Search, training: Training, eta: np.ndarray, changes: dict[int, Any], allowed: float
) -> tuple[Training, Solved, np.ndarray, float]:
    """Solve with full batches, or find the batches on the way."""
    system, n = search.system, training.n
    eta, labels, others = search.along(training, eta, changes)
    if system.batches_in_epoch(n) == 1 and system.order is None:
        for _ in range(AGAIN):
            solved = search.through(training, training.joined(eta, others), labels)
            residual = search.residual(training, solved.point, labels)
            if residual <= allowed or not search.go_on():
                break
            eta, labels, others = search.along(training, training.split(solved.point)[0], changes)
        return training, solved, labels, residual
    best: tuple[Training, Solved, np.ndarray, float] | None = None
    least = np.inf
    orders = Orders.of(training, training.joined(eta, others), labels, search.rng)
    for number in range(ORDERS):
        batches, cost = orders.descend(drawn(system, n, search.rng), search.go_on)
        search.progress(f"batches, start {number + 1}: cost {cost:.1e}")
        if cost < BETTER * least:
            least = cost
            fixed = replace(training, shares=shares_of(batches, n))
            nearby, own, unknowns = search.along(fixed, eta, changes)
            solved = search.through(fixed, fixed.joined(nearby, unknowns), own)
            residual = search.residual(fixed, solved.point, own)
            if best is None or residual < best[3]:
                best = fixed, solved, own, residual
                search.evidence["batches"] = batches
            if residual <= allowed:
                break
        if not search.go_on():
            break
    assert best is not None
    return best


def _finished(search: Search, training: Training, solved: Solved, labels: np.ndarray, residual: float, allowed: float) -> Recovery:
    system, n = search.system, training.n
    eta, _ = training.split(solved.point)
    _, gamma = training.path(solved.point, labels)
    X = training.samples(eta)
    evidence = search.evidence
    evidence |= {"loss": training.loss, "steps": training.n_steps, "precision": {"rounding": search.rounded, "allowed": allowed}}
    if training.rate_is_free:
        evidence["learning_rate"] = float(np.exp(training.split(solved.point)[1]["rate"]))
    if not residual <= allowed:
        numbers = {"samples": n, "residual": residual, "allowed": allowed}
        advice = (
            "the training was another one (learning rate, steps, batches, loss, momentum), or went too far for the starts"
            if search.go_on()
            else "the time is spent; allow more"
        )
        raise ResidualError.of(Obstacle(Failure.RESIDUAL, numbers), advice, **evidence | {"approximate": X})
    bars, regular = _bars(search, training, solved, labels, X)
    numbers = {"samples": n, "steps": training.n_steps, "residual": residual, "allowed": allowed, "rank": len(training.rows)}
    if regular:
        uniqueness = Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.TRAINED, numbers=numbers)
    else:
        uniqueness = Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.TRAINED_NEARLY, numbers=numbers)
    c = gamma.mean(axis=0)
    c = c[:, 0] if system.n_outputs == 1 else c
    return Recovery(X, c, residual, bars, METHOD, Ambiguity("none", 1), search.seed, evidence, uniqueness)


def _bars(search: Search, training: Training, solved: Solved, labels: np.ndarray, X: np.ndarray) -> tuple[Float[np.ndarray, " n"], bool]:
    """Standard errors of the samples by the noise of the final network, to first order; whether the equations fix everything.

    Rounding of each number is the noise, made larger as what the fit leaves shows: whoever trained the network rounded in every step.
    """
    n, system, equations, J = training.n, search.system, solved.equations, solved.jacobian
    if isinstance(equations, Frozen) and J.shape[1] <= FEW:  # its derivatives leave out what the data do to the path
        equations = thinned(training, J.shape[1], search.rng)
        J = equations.jacobian(solved.point, labels)
    entries = [search.unit * ROUNDED * np.sqrt(np.mean(W**2)) for W in system.final.weights]
    noise = np.array([e * s for e, s in zip(entries, training.scales, strict=True)])[equations.layer]
    used = noise > 0
    J, noise = J[used], noise[used]
    missing = equations.missing(solved.point, labels)[used] / noise
    larger = max(float(np.linalg.norm(missing) / np.sqrt(max(len(missing) - J.shape[1], 1))), 1.0)
    triangle = np.linalg.qr(J, mode="r")
    left, values, right = np.linalg.svd(triangle)
    regular = bool(np.all(values > REGULAR * values.max(initial=0.0)))
    pseudo = (right.T / np.maximum(values, np.finfo(float).tiny)) @ left.T
    spread = (J @ pseudo) * noise[:, None]  # rows of the orthogonal factor, with the noise of their equations
    within = np.sqrt(np.maximum(np.einsum("kj,ji,ki->k", pseudo, spread.T @ spread, pseudo, optimize=True), 0.0))
    within = np.linalg.norm(within[: training.n_coordinates].reshape(n, -1), axis=1)
    eta, _ = training.split(solved.point)
    change = training.after[0] - training.before[0] * system.kept(n)
    duals = np.linalg.norm(eta @ np.linalg.pinv(change), axis=1)
    beyond = duals * entries[0] * np.sqrt(max(training.rows.shape[1] - len(training.rows), 0))
    bars = larger * np.hypot(within, beyond)
    return np.maximum(bars, np.linalg.norm(np.spacing(np.abs(X)), axis=1) / 2), regular


def _joined(pair: tuple[np.ndarray | None, np.ndarray | None]) -> Float[np.ndarray, "m columns"]:
    W, b = pair
    assert W is not None
    return W if b is None else np.hstack([W, b[:, None]])


def _roundings(system: StepsSystem, changes: dict[int, Any], unit: float) -> list[float]:
    """The rounding of the parameters of each layer that moved, relative to its change."""
    out = []
    for k, (W, b) in changes.items():
        if W is not None:
            own = np.linalg.norm(system.final.weights[k - 1])
            out.append(float(unit * own / np.linalg.norm(_joined((W, b)))))
    return out

r"""The batch behind the update of one dense layer and a softmax loss: features and classes, one sample at a time.

If the update :math:`G = \sum_i \gamma_i \tilde h_i^\top` has rank n, the features of every sample lie in its row space, and its signal in
its column space. With the formula of the loss both are equations for *one* sample,

.. math:: e_y - \operatorname{softmax}(A h + b) \in \operatorname{col}(G), \qquad \tilde h \in \operatorname{row}(G),

C − 1 − n equations in n − 1 unknowns (n if the bias was not observed) and a class, whatever the weight of the sample. Levenberg-Marquardt
from random starts, for the classes in turn. A known sample has a row and a column, so it is taken out of both spaces
(:mod:`~identify.recovery.separation.subspace`), which leaves one equation more and one unknown less for each of the others.

More samples than half of the classes leave no equations to spare for one. Then all of them are sought together, by least squares in their
coordinates, with classes that the signals of the present features suggest.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float

from identify.base.limits import Clock
from identify.problem.ambiguity import Ambiguity
from identify.problem.heads import HeadSystem, signals_of, softmax_of
from identify.problem.precision import format_of
from identify.problem.rank import Rest
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.recovery.separation.head_bars import bars_of
from identify.recovery.separation.precision import allowed_residual, left_behind, signal_rank
from identify.recovery.separation.subspace import Subspace, complement
from identify.recovery.solution import Failure, InapplicableError, Obstacle, Recovery, ResidualError
from identify.recovery.starts import ENOUGH_CONVERGED

METHOD, TOGETHER = "softmax separation", "softmax, all samples together"
PATIENCE, ROUNDS = 24, 80
"""Descents for each class, and for each sample when all are sought together, without success after which the search ends."""
STEPS = 60
HIT, SAME = 1e-6, 1e-6
"""Relative misfit at which a descent is refined, and relative distance of two samples that are one."""
NEARLY = 100.0
"""A refined descent counts up to so many times the misfit that noise leaves a sample."""
SPREADS = (0.3, 1.0, 0.1, 3.0)
"""Of starts, relative to the size of the features that rows of the update suggest, in turn."""
TINY = 1e-100
"""Signals and coordinates that are smaller have no direction."""
LARGEST_LOGARITHM = 50.0
"""Of a weight, up or down."""
MOST_UNKNOWNS = 900
"""Of all samples together: more would make a single step of a descent, in which no signal is heard, longer than a second."""


@dataclass(eq=False)
class _Search:
    """What is known of the spaces and of the samples."""

    system: HeadSystem
    space: Subspace
    rng: np.random.Generator
    go_on: Callable[[], bool]
    H: list[np.ndarray] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    starts: int = 0
    converged: int = 0
    others: int = 0
    """Points that solve the equations of one sample, but whose row or column depends on those of the known samples."""

    @property
    def n(self) -> int:
        return len(self.space.values)

    def charts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A point and orthonormal directions of the features that are left, and orthonormal columns that their signals lie in."""
        lifted, m = self.system.is_lifted, self.system.n_inputs
        inputs, signals = self._duals()
        rows, columns = complement(inputs) @ self.space.right, self.space.left @ complement(signals).T
        if not lifted:
            return np.zeros(m), np.linalg.qr(rows.T)[0].T, columns
        last = rows[:, m]
        start = (last / (last @ last)) @ rows[:, :m]
        free = np.linalg.svd(last[None])[2][1:] @ rows[:, :m]
        return start, (np.linalg.qr(free.T)[0].T if len(free) else free), columns

    def _duals(self) -> tuple[np.ndarray, np.ndarray]:
        """For each known sample what the coordinates of all other inputs, and of all other signals, are orthogonal to."""
        none = np.zeros((0, self.n))
        if not self.H:
            return none, none
        H = np.array(self.H)
        eta = self.system.lifted(H) @ self.space.right.T
        signal = self.directions(H) @ self.space.left
        avoid = signal / self.space.values
        others = eta / self.space.values
        return avoid / np.linalg.norm(avoid, axis=1, keepdims=True), others / np.linalg.norm(others, axis=1, keepdims=True)

    def directions(self, H: np.ndarray) -> Float[np.ndarray, "known C"]:
        """Signals of features with the known classes, up to the weights."""
        return signals_of(self.system.probabilities(H), self.classes)

    def start(self, origin: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """A random row of the update as features, if the bias shows its scale, moved at random."""
        update, size = self.system.update, SPREADS[self.starts % len(SPREADS)]
        row = update[self.rng.integers(len(update))]
        point = np.zeros(len(basis))
        reach = float(np.linalg.norm(origin)) or 1.0
        if self.system.is_lifted and abs(row[-1]) > HIT * np.abs(update[:, -1]).max():
            moved = basis @ (row[:-1] / row[-1] - origin)
            point = moved * min(1.0, reach / max(float(np.linalg.norm(moved)), 1e-300))
        return point + size * max(reach, 1.0) * self.rng.standard_normal(len(basis)) / max(len(basis), 1) ** 0.5

    def descend(self, y: int, origin: np.ndarray, basis: np.ndarray, columns: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
        """Features whose signal for class y lies in the columns, and how far off it is, relative to its size."""
        system, slopes = self.system, self.system.weights @ basis.T
        outputs, one = system.weights @ origin + system.offsets, np.eye(system.n_outputs)[y]

        def misfit(t: np.ndarray) -> np.ndarray:
            g = signals_of(softmax_of(outputs + slopes @ t)[None], [y])[0]
            size = float(np.linalg.norm(g))
            return (g - columns @ (columns.T @ g)) / size if size > TINY else one  # a signal of zero has no direction

        def jacobian(t: np.ndarray) -> np.ndarray:
            p = softmax_of(outputs + slopes @ t)
            g = signals_of(p[None], [y])[0]
            size = float(np.linalg.norm(g))
            if not size > TINY:
                return np.zeros((len(p), len(basis)))
            g, J = g / size, -(p[:, None] * (slopes - p @ slopes)) / size
            J = J - np.outer(g, g @ J)
            return J - columns @ (columns.T @ J)

        if not len(basis):
            return origin, float(np.linalg.norm(misfit(start)))
        ended = scipy.optimize.least_squares(misfit, start, jac=jacobian, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=STEPS)
        return origin + ended.x @ basis, float(np.linalg.norm(ended.fun))

    def expected(self, h: np.ndarray) -> float:
        """The misfit that noise leaves an exact sample, as far as its column shows."""
        eta = self.system.lifted(h[None]) @ self.space.right.T
        return float(self.space.uncertainty(eta)[0] / np.linalg.norm(self.system.lifted(h[None])))

    def run(self) -> None:
        """Search until all samples are found, or nothing new is for a while, or there is no time."""
        order = np.argsort(-self.system.update[:, -1] if self.system.is_lifted else np.zeros(self.system.n_outputs), kind="stable")
        barren = 0
        whole = _Search(self.system, self.space, self.rng, self.go_on).charts()
        while len(self.H) < self.n and barren < PATIENCE and self.go_on():
            barren += 1
            for y in order.tolist():
                if len(self.H) == self.n or not self.go_on():
                    break
                charts = self.charts()
                self.starts += 1
                h, misfit = self.descend(y, *charts, self.start(*charts[:2]))
                if not misfit <= max(HIT, NEARLY * self.expected(h)):
                    continue
                h, misfit = self.descend(y, *whole, (h - whole[0]) @ whole[1].T)  # without the errors of those that are known
                if misfit <= max(SAME**2, NEARLY * self.expected(h)):
                    self.converged += 1
                    barren = 0 if self.take(h, y) else barren

    def take(self, h: np.ndarray, y: int) -> bool:
        """Whether a solution is a sample that was not known."""
        self.H.append(h)
        self.classes.append(y)
        H = np.array(self.H)
        parts = (self.system.lifted(H) @ self.space.right.T, self.directions(H) @ self.space.left)
        shows = all(np.linalg.norm(part[-1]) > TINY for part in parts)  # else it leaves no trace in the update
        if shows and min(np.linalg.svd(part / np.linalg.norm(part, axis=1, keepdims=True), compute_uv=False)[-1] for part in parts) > SAME:
            return True
        self.H.pop()
        self.classes.pop()
        distances = [np.linalg.norm(h - known) for known in self.H]
        self.others += int(shows and min(distances, default=np.inf) > SAME * max(float(np.linalg.norm(h)), 1.0))
        return False


class _SpentError(Exception):
    """The time is spent, in the middle of a descent."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """All samples in coordinates of the row space: positions along directions from a point, and the logarithms of the weights."""

    system: HeadSystem
    origin: np.ndarray
    basis: np.ndarray
    right: np.ndarray
    go_on: Callable[[], bool]

    def features(self, values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        T = values.reshape(n, -1)
        return self.origin + T[:, :-1] @ self.basis, np.exp(np.clip(T[:, -1], -LARGEST_LOGARITHM, LARGEST_LOGARITHM))

    def signals(self, values: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features, signals, and what their product is short of the update, in coordinates of the row space."""
        H, weights = self.features(values, len(classes))
        c = weights[:, None] * signals_of(self.system.probabilities(H), classes)
        return H, c, (c.T @ self.system.lifted(H) - self.system.update) @ self.right.T

    def jacobian(self, values: np.ndarray, classes: np.ndarray) -> np.ndarray:
        H, weights = self.features(values, len(classes))
        P = self.system.probabilities(H)
        slopes, lifted = self.system.weights @ self.basis.T, self.system.lifted(H) @ self.right.T
        moves = (np.hstack([self.basis, np.zeros((len(self.basis), 1))]) if self.system.is_lifted else self.basis) @ self.right.T
        blocks = []
        for i, y in enumerate(classes):
            g = weights[i] * signals_of(P[i][None], [int(y)])[0]
            J = -weights[i] * P[i][:, None] * (slopes - P[i] @ slopes)
            moved = J[:, None, :] * lifted[i][None, :, None] + g[:, None, None] * moves.T[None]
            blocks.append(np.concatenate([moved, (g[:, None] * lifted[i])[:, :, None]], axis=2).reshape(-1, len(self.basis) + 1))
        return np.hstack(blocks)

    def descend(self, values: np.ndarray, classes: np.ndarray, steps: int = STEPS) -> tuple[np.ndarray, float, np.ndarray]:
        """The best point of a descent by least squares, the misfit relative to the update, and the Jacobian there.

        The best point seen, not the last one: MINPACK may end at numbers that are not finite.
        """
        size = float(np.linalg.norm(self.system.update))
        least, best = np.inf, values

        def misfit(v: np.ndarray) -> np.ndarray:
            nonlocal least, best
            missed = self.signals(v, classes)[2].reshape(-1) / size
            if (cost := float(np.linalg.norm(missed))) < least:
                least, best = cost, v.copy()
            if not self.go_on() and v is not values:
                raise _SpentError
            return missed

        with suppress(_SpentError):
            scipy.optimize.least_squares(
                misfit,
                values,
                jac=lambda v: self.jacobian(v, classes) / size,
                method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=steps,
            )  # fmt: skip
        return best, least, self.jacobian(best, classes) / size

    def better_classes(self, values: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Those that signals of the present features suggest: minus the softmax they have everywhere else."""
        H, weights = self.features(values, len(classes))
        c = np.linalg.lstsq(self.system.lifted(H).T, self.system.update.T, rcond=None)[0]
        return np.argmax(c / weights[:, None] + self.system.probabilities(H), axis=1)


def separated_head(
    system: HeadSystem,
    *,
    samples: int | None,
    seed: int,
    tolerance: float | None = None,
    evidence: dict[str, Any] | None = None,
    clock: Clock | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Recovery:
    """Recover features and classes from the update of one dense layer behind a softmax loss.

    Parameters
    ----------
    system
        The layer and its update.
    samples
        n; None reads it off the rank of the update.
    seed, tolerance, evidence, clock, progress
        As for the other separations.

    Raises
    ------
    InapplicableError
        For as many samples as classes, or more: signals of a softmax have C - 1 dimensions.
    ResidualError
        When no sample was found, or those that were found do not reproduce the update.

    Notes
    -----
    Cost: of each step of each start O(C n^2); of all samples together O(C n^5).
    """
    evidence, clock = {} if evidence is None else evidence, Clock() if clock is None else clock
    unit = format_of(system.W, *([] if system.bias is None else [system.bias]))
    progress("singular values of the update")
    factors = np.linalg.svd(system.update, full_matrices=False)
    rank = signal_rank(factors[1], unit, system.update.shape)
    most = min(system.n_outputs - 1, system.update.shape[1])
    evidence["ranks"] = [rank]
    n = min(rank, most) if samples is None else samples
    if n > most:
        raise InapplicableError.of(Failure.CLASSES, evidence, samples=n, classes=system.n_outputs, most=most)
    evidence["behind"] = [Rest.NONE if n == most else left_behind(factors[1], n, unit, system.update)]
    space = Subspace.of(system.update, n, unit, factors)
    each = n - system.is_lifted
    search = _Search(system, space, np.random.default_rng(seed), clock.go_on)
    spare = system.n_outputs - 1 - n - each
    if spare >= 0:
        progress("features of one sample at a time")
        search.run()
    batch = _Batch(system, *_Search(system, space, search.rng, clock.go_on).charts()[:2], space.right, clock.go_on)
    if len(search.H) == n:
        found = _refined(batch, search)
        status, reason = UniquenessStatus.EVIDENCE, UniquenessReason.SEPARATED
        if search.others:
            status, reason = UniquenessStatus.UNKNOWN, UniquenessReason.OTHER_POINTS
        elif spare == 0 and (each or samples is None):  # as many equations as unknowns; of two classes, any batch looks like one sample
            status, reason = UniquenessStatus.UNKNOWN, UniquenessReason.UNDECIDED
        numbers = {"samples": n, "starts": search.starts, "converged": search.converged, "found": n, "points": n + search.others}
        known, method = Uniqueness(status, reason, numbers=numbers), METHOD
    else:
        if n * (each + 1) > MOST_UNKNOWNS:
            raise InapplicableError.of(Failure.TOGETHER, evidence, samples=n, unknowns=n * (each + 1), most=MOST_UNKNOWNS)
        progress("all features together")
        found, known = _together(batch, search, clock)
        method = TOGETHER
    return _finished(batch, space, found, known, method, seed, tolerance, unit, evidence)


@dataclass(frozen=True, eq=False)
class _Solved:
    """All samples where least squares ended."""

    values: np.ndarray
    classes: np.ndarray
    misfit: float
    jacobian: np.ndarray


def _refined(batch: _Batch, search: _Search) -> _Solved:
    """Those that were found one by one, with their weights, on the whole update."""
    H, classes = np.array(search.H), np.array(search.classes)
    signals = search.directions(H)
    update = batch.system.update
    c = np.linalg.lstsq(batch.system.lifted(H).T, update.T, rcond=None)[0]
    weights = np.einsum("nc,nc->n", c, signals) / np.einsum("nc,nc->n", signals, signals)
    logarithms = np.log(np.maximum(weights, np.finfo(float).tiny))
    values = np.hstack([(H - batch.origin) @ batch.basis.T, logarithms[:, None]]).reshape(-1)
    return _descended(batch, values, classes)


def _descended(batch: _Batch, values: np.ndarray, classes: np.ndarray, steps: int = STEPS) -> _Solved:
    values, misfit, jacobian = batch.descend(values, classes, steps)
    return _Solved(values, classes, misfit, jacobian)


def _together(batch: _Batch, search: _Search, clock: Clock) -> tuple[_Solved, Uniqueness]:
    """Least squares for all samples from random starts."""
    n, rng = search.n, search.rng
    best: _Solved | None = None
    solved: list[_Solved] = []
    noise = max(search.space.relative_noise, np.finfo(float).eps)
    for _ in range(ROUNDS):
        if not clock.go_on() or len(solved) == ENOUGH_CONVERGED:
            break
        search.starts += 1
        points = np.array([search.start(batch.origin, batch.basis) for _ in range(n)]).reshape(n, -1)
        values = np.hstack([points, np.full((n, 1), np.log(1.0 / n))]).reshape(-1)
        classes = _drawn_classes(batch, values, n, rng)
        for _ in range(4):
            found = _descended(batch, values, classes)
            if not np.isfinite(found.misfit):
                break
            better = batch.better_classes(found.values, classes)
            if np.array_equal(better, classes):
                break
            values, classes = found.values, better
        if best is None or found.misfit < best.misfit:
            best = found
        if found.misfit <= NEARLY * noise:
            solved.append(found)
    assert best is not None or not clock.go_on()
    if best is None:
        obstacle = Obstacle(Failure.NO_SAMPLE, {"samples": n, "starts": search.starts})
        raise ResidualError.of(obstacle, "the budget is spent; allow more time")
    distinct: list[np.ndarray] = []
    for each in solved:
        H = batch.features(each.values, n)[0]
        if all(_differ(H, other) for other in distinct):
            distinct.append(H)
    numbers = {"samples": n, "starts": search.starts, "converged": len(solved), "solutions": len(distinct)}
    if len(distinct) > 1:
        return best, Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.SEVERAL_SOLUTIONS, numbers=numbers)
    if (batch.system.n_outputs - 1) * n <= n * (n - batch.system.is_lifted + 1):  # no more equations than unknowns: any update has some
        return best, Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.UNDECIDED, numbers=numbers)
    if len(solved) >= ENOUGH_CONVERGED:
        return best, Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.ONE_SOLUTION, numbers=numbers)
    return best, Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.FEW_STARTS, numbers=numbers)


def _differ(H: np.ndarray, other: np.ndarray) -> bool:
    """Whether some sample of one batch is none of the other."""
    distances = np.linalg.norm(H[:, None] - other, axis=2).min(axis=1)
    return bool((distances > SAME * np.maximum(np.linalg.norm(H, axis=1), 1.0)).any())


def _drawn_classes(batch: _Batch, values: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """As many of each class as the update of the bias says of a mean loss, at the softmax of these features; in a random order."""
    system = batch.system
    if system.bias is None:
        return rng.choice(system.n_outputs, n)
    counts = np.maximum(n * system.bias + system.probabilities(batch.features(values, n)[0]).sum(axis=0), 0.0)
    if not np.isfinite(counts).all() or counts.sum() > n * system.n_outputs:  # weights that are no mean of losses
        return rng.choice(system.n_outputs, n)
    whole = np.floor(counts).astype(int)
    rest = counts - whole
    classes = np.repeat(np.arange(system.n_outputs), whole)
    missing = n - len(classes)
    if missing > 0:
        classes = np.concatenate([classes, rng.choice(system.n_outputs, missing, p=rest / rest.sum())])
    return rng.permutation(classes)[:n]


def _finished(
    batch: _Batch,
    space: Subspace,
    found: _Solved,
    known: Uniqueness,
    method: str,
    seed: int,
    tolerance: float | None,
    unit: float,
    evidence: dict[str, Any],
) -> Recovery:
    system, n = batch.system, len(found.classes)
    H, c, _ = batch.signals(found.values, found.classes)
    residual = system.residual(H, c)
    noise = max(space.relative_noise, unit)
    weights = np.exp(found.values.reshape(n, -1)[:, -1])
    bars = bars_of(system, space, H, found.classes, weights, batch.basis, found.jacobian, unit)
    sizes = np.linalg.norm(c, axis=1) * np.linalg.norm(system.lifted(H), axis=1)
    lengths = np.maximum(np.linalg.norm(H, axis=1), np.finfo(float).tiny)
    allowed = allowed_residual(noise, unit, sizes, bars / lengths) if tolerance is None else tolerance
    evidence["separation"] = {**known.numbers, "found": n}
    evidence["precision"] = {"noise": noise, "allowed": allowed}
    if not residual <= allowed:
        obstacle = Obstacle(Failure.RESIDUAL, {"samples": n, "residual": residual, "allowed": allowed})
        advice = "the loss is another one, the layer has other weights, there are more samples, or more starts are needed: another seed"
        raise ResidualError.of(obstacle, advice, **evidence)
    order = np.argsort(-sizes, kind="stable")
    bars = np.maximum(bars, np.linalg.norm(np.spacing(np.abs(H)), axis=1) / 2)
    return Recovery(H[order], c[order], residual, bars[order], method, Ambiguity("none", 1), seed, evidence, known)

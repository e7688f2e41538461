r"""A search, in floating point, for other points that solve the equations of a single sample: the generic theorems about *this* network.

Theorems A and A2 speak of almost every network. A network that was chosen, or trained on its data, may be one of the exceptions. Then a
point x' beside the samples solves :math:`\sigma(W x' + b) = \sum_i \eta_i h_i`, or the backward equations. A search from many random starts
finds such points if they attract as the samples do. Finding none is evidence; a point that is found takes the verdict back.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.base.least_squares import Rest, State, by_attempts, damped_steps, descend
from identify.base.limits import OPERATIONS_PER_SECOND
from identify.base.norms import exponent, scaled
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.separation import Route
from identify.problem.verdict import Arithmetic, Condition

REFERENCE = "random starts of Levenberg-Marquardt; evidence, no proof"
ROUNDS = 120
MOST_STARTS, FEWEST_STARTS = 256, 16
SECONDS = 0.4
"""That the search may take, by its estimate; less than :data:`FEWEST_STARTS` starts are not worth it."""
SOLVED = 1e-9
"""Residual, relative to the size of the features or the column, of a solution."""
APART = 1e-5
"""Distance from every sample, relative to its size, of another point."""
VANISHING = 1e-4
"""Size of the features or the column of a point, relative to the samples', below which it is taken as zero: such a point, at the zero
of a function or where it is flat, solves the equations but is no sample, because those of a solution are independent."""


def starts_affordable(question: NetworkQuestion) -> int:
    """How many starts the time allows."""
    k = 2 * question.samples + question.outputs + (0 if question.rows_can_count else question.inputs)
    each = ROUNDS * (2 * question.neurons * k * (k + question.inputs) + k**3) / OPERATIONS_PER_SECOND
    return int(min(MOST_STARTS, SECONDS / each))


def competitors(question: NetworkQuestion, route: Route) -> Condition:
    """Search from random starts; ``holds`` means that none was found."""
    starts = starts_affordable(question)
    if question.data is None or starts < FEWEST_STARTS:
        return _condition(None, "not searched for: it would take too long", {}, Arithmetic.NONE)
    problem = (_Forward if route is Route.FORWARD else _Backward)(question)
    rng = np.random.default_rng([question.seed, 0xC0])
    points = problem.start(rng, starts)
    residual, jacobian = problem.linear(points)
    cost = (residual**2).sum(axis=1)

    def attempt(rows: np.ndarray, damping: np.ndarray) -> np.ndarray:
        J = jacobian[rows]
        steps = damped_steps(J.transpose(0, 2, 1) @ J, np.einsum("smk,sm->sk", J, residual[rows]), damping)
        trial = points[rows] - steps
        ahead[0] = (trial, *problem.linear(np.where(np.isfinite(trial), trial, 0.0)))
        return np.where(np.isfinite(trial).all(axis=1), (ahead[0][1] ** 2).sum(axis=1), np.inf)

    def take(rows: np.ndarray, better: np.ndarray) -> None:
        for kept, new in zip((points, residual, jacobian), ahead[0], strict=True):
            kept[rows[better]] = new[better]

    ahead: list = [None]
    with np.errstate(over="ignore", invalid="ignore"):
        descend(by_attempts(attempt, take, Rest(enough=1e-28)), State.first(cost), rounds=ROUNDS)
    missed = np.linalg.norm(residual, axis=1)
    solved = (missed <= SOLVED) & (problem.sizes(points) > VANISHING)
    other = int((problem.distances(points[solved]) > APART).sum())
    evidence = {"starts": starts, "converged": int(solved.sum()), "others": int(other)}
    if other:
        statement = f"{other} of {starts} random starts ended at points that are no samples: this network may be an exception"
        return _condition(False, statement, evidence, Arithmetic.FLOAT)
    statement = f"{int(solved.sum())} of {starts} random starts converged, all of them to the samples"
    return _condition(True, statement, evidence, Arithmetic.FLOAT)


def _distance(x: np.ndarray, question: NetworkQuestion) -> float:
    """From the nearest sample, modulo the ambiguity; images under an odd function whose sign is fixed are no other data either."""
    assert question.data is not None
    X, _ = question.data
    match = "sign" if question.signs_are_fixed else question.ambiguity.group
    scale = np.ones(len(X))
    sizes = np.maximum((X**2).sum(axis=1), 1e-300)
    along = X @ x / sizes
    if match in ("positive scaling", "scaling", "even scaling"):
        scale = along if match != "positive scaling" else np.maximum(along, 0)
    elif match == "sign":
        scale = np.where(along < 0, -1.0, 1.0)
    return float((np.linalg.norm(x - scale[:, None] * X, axis=1) / np.sqrt(sizes) / np.maximum(np.abs(scale), 1e-300)).min())


class _Forward:
    """Unknowns: coordinates of x' in the row space (or all inputs), then the coefficients of its features."""

    def __init__(self, question: NetworkQuestion):
        assert question.system is not None and question.data is not None
        self.question, self.net, (self.X, self.c) = question, question.system.network, question.data
        p, q = question.affine
        if question.rows_can_count:
            self.base, self.moves = _span(self.X, p)
        else:
            self.base, self.moves = np.zeros(self.X.shape[1]), np.eye(self.X.shape[1])
        forward = self.net.forward(self.X)
        H = forward.entering[1]
        self.size = float(np.linalg.norm(H)) / np.sqrt(len(H))
        self.feature_base, self.features = _span(H, q)
        self.sigma = self.net.activations[0]

    def start(self, rng: np.random.Generator, starts: int) -> Float[np.ndarray, "starts k"]:
        spread = 1.0 if len(self.moves) == len(self.moves.T) else 1.5 / np.sqrt(max(len(self.X), 1))
        inside = rng.standard_normal((starts, len(self.moves))) * spread
        z, _ = self._pre(inside)
        eta = np.linalg.lstsq(self.features.T, (self.sigma(z) - self.feature_base).T, rcond=None)[0].T
        return np.hstack([inside, eta])

    def _pre(self, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        W, b = self.net.weights[0], self.net.biases[0]
        along = self.moves @ W.T
        return inside @ along + self.base @ W.T + (0.0 if b is None else b), along

    def linear(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k = len(self.moves)
        z, along = self._pre(points[:, :k])
        residual = self.sigma(z) - self.feature_base - points[:, k:] @ self.features
        J = np.empty((len(points), z.shape[1], points.shape[1]))
        J[:, :, :k] = self.sigma(z, order=1)[:, :, None] * along.T
        J[:, :, k:] = -self.features.T
        return residual / self.size, J / self.size

    def sizes(self, points: np.ndarray) -> Float[np.ndarray, " starts"]:
        """Of the features, or of the column, at each point."""
        inside = points[:, points.shape[1] - len(self.features) :]
        return np.linalg.norm(self.feature_base + inside @ self.features, axis=1) / self.size

    def distances(self, points: np.ndarray) -> Float[np.ndarray, " points"]:
        """From the nearest sample, relative to its size."""
        X = self.base + points[:, : len(self.moves)] @ self.moves
        return np.array([_distance(x, self.question) for x in X])


class _Backward(_Forward):
    """Unknowns: coordinates of x', the signal before the slopes (C numbers, or one for each neuron of the second layer), and the
    coefficients of the column; a last equation fixes their common scale."""

    def __init__(self, question: NetworkQuestion):
        super().__init__(question)
        signals = self.net.signals(self.X, scaled(self.c, -exponent(self.c)))  # linear in c, of which only ratios count here
        self.columns, self.next = signals[0], self.net.weights[1]
        self.size = float(np.linalg.norm(self.columns)) / np.sqrt(len(self.columns))
        self.unit = float(np.linalg.norm(signals[1])) / np.sqrt(len(self.columns))

    def sizes(self, points: np.ndarray) -> np.ndarray:
        zeta = points[:, points.shape[1] - len(self.columns) :]
        return np.linalg.norm(zeta @ self.columns, axis=1) / self.size

    def distances(self, points: np.ndarray) -> np.ndarray:
        """On the pieces of a sample all points have its column, and the update then shows the sample: there columns are compared."""
        if self.question.sigma.kind != "piecewise-linear":
            return super().distances(points)
        zeta = points[:, points.shape[1] - len(self.columns) :]
        whole = (zeta**2).sum(axis=1)
        return np.sqrt(np.maximum(whole - (zeta**2).max(axis=1, initial=0.0), 0.0) / np.maximum(whole, 1e-300))

    def start(self, rng: np.random.Generator, starts: int) -> np.ndarray:
        inside = rng.standard_normal((starts, len(self.moves))) * 1.5 / np.sqrt(max(len(self.X), 1))
        mixed = rng.standard_normal((starts, len(self.next) + len(self.columns)))
        return np.hstack([inside, mixed / np.linalg.norm(mixed, axis=1, keepdims=True)])

    def linear(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k, C = len(self.moves), len(self.next)
        z, along = self._pre(points[:, :k])
        gamma, zeta = points[:, k : k + C], points[:, k + C :]
        slope, r = self.sigma(z, order=1), gamma @ self.next * self.unit
        m = z.shape[1]
        residual = np.empty((len(points), m + 1))
        residual[:, :m] = (r * slope - zeta @ self.columns) / self.size
        residual[:, m] = (points[:, k:] ** 2).sum(axis=1) - 1
        J = np.zeros((len(points), m + 1, points.shape[1]))
        J[:, :m, :k] = (r * self.sigma(z, order=2))[:, :, None] * along.T / self.size
        J[:, :m, k : k + C] = slope[:, :, None] * self.next.T * (self.unit / self.size)
        J[:, :m, k + C :] = -self.columns.T / self.size
        J[:, m, k:] = 2 * points[:, k:]
        return residual, J


def _span(rows: np.ndarray, affine: int) -> tuple[np.ndarray, np.ndarray]:
    """A base point and directions of the span of the rows, or of their affine span."""
    return (rows[0], rows[1:] - rows[0]) if affine else (np.zeros(rows.shape[1]), rows)


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("competitors", holds, statement, evidence, arithmetic, REFERENCE)

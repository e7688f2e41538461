r"""Observation of uniqueness: all complex solutions are counted exactly, or a search looks for others from random starts.

The search is Levenberg-Marquardt over the complex numbers, because the theorems hold there. Data sets are compared by their terms
:math:`c_i x_i^{\otimes k}`, k visible: two have the same terms, up to order, exactly if they agree modulo the ambiguity group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import factorial, gcd

import numpy as np
from scipy.optimize import linear_sum_assignment

from identify.conditions.witnesses.descent import descend
from identify.problem.gradients import jacobian
from identify.problem.interpolation import Monomials, interpolation_matrix
from identify.theory.cases import Case

EXACT_UNKNOWNS = 9
"""Largest size of a system whose solutions msolve counts, in a fraction of a second."""
STARTS = 60
SOLUTIONS = 6
"""Number of converged starts at which the search stops."""
ZERO = 1e-12
"""Relative residual below which a start has converged."""
APART = 1e-4
"""Relative distance above which data sets differ."""
WELL_CONDITIONED = 1e-4
"""Ratio of singular values above which moments are computed from the target."""
BOUND = 1e3
"""Size of a term, relative to the planted ones, above which its sequence diverges to infinity."""

Function = Callable[[np.ndarray], np.ndarray]


def zero_of(function: Function, derivative: Function, start: np.ndarray) -> tuple[np.ndarray, float]:
    """A zero near a start, by Levenberg-Marquardt over the complex numbers, and the norm of the function there."""
    points, sizes = zeros_of(function, derivative, start[None])
    return points[0], float(sizes[0])


def zeros_of(function: Function, derivative: Function, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for several starts side by side."""
    return descend(lambda at: (np.stack([*map(function, at)]), np.stack([*map(derivative, at)])), starts, enough=ZERO / 10)


@dataclass(frozen=True, eq=False)
class Solutions:
    """The result of a search: data sets that solve the equations, the number of starts, and the distances from the planted data."""

    found: tuple[tuple[np.ndarray, np.ndarray], ...]
    distances: np.ndarray
    starts: int

    @property
    def others(self) -> int:
        """How many differ from the planted data modulo the group."""
        return int((self.distances > APART).sum())

    def __str__(self) -> str:
        same = len(self.found) - self.others
        return f"{self.starts} complex starts: {len(self.found)} converged, {same} to the planted data, {self.others} to others"


def search(case: Case, *, near: float | None = None, starts: int = STARTS, solutions: int = SOLUTIONS) -> Solutions:
    """Solve (S) from random complex starts, or from starts at relative distance ``near`` from the planted data."""
    rng = np.random.default_rng([case.seed, 0x5EE])
    function, derivative = equations(case)
    n, C = case.c.shape
    planted = np.hstack([case.X, case.c])
    found: list[tuple[np.ndarray, np.ndarray]] = []
    distances: list[float] = []
    tried = 0
    with np.errstate(all="ignore"):
        while tried < starts and len(found) < solutions:
            together = min(solutions - len(found), starts - tried)  # fewer are not enough
            parts = rng.standard_normal((together, 2, *planted.shape))
            moves = (parts[:, 0] + 1j * parts[:, 1]) / np.sqrt(2)
            at = moves if near is None else planted + near * moves
            tried += together
            for point, size in zip(*zeros_of(function, derivative, at.reshape(together, -1)), strict=True):
                X, c = point.reshape(n, -1)[:, :-C], point.reshape(n, -1)[:, -C:]
                distance = distance_of_terms(case, X, c) if size <= ZERO else np.inf
                if distance < BOUND:
                    found.append((X, c))
                    distances.append(distance)
    return Solutions(tuple(found), np.array(distances), tried)


def equations(case: Case) -> tuple[Function, Function]:
    """A function of the unknowns in one vector that vanishes if and only if (S) holds, and its Jacobian.

    The residual of (S) relative to the target; in coordinates of the moments, which are better conditioned, if the network determines them.
    """
    net, n, observed = case.system.network, len(case.X), case.system.observed
    derivatives = [net.activation.floats(order) for order in range(net.activation.degree + 2)]
    degrees, outputs = case.system.degrees, net.n_outputs
    weights = np.concatenate([Monomials.of(net.n_inputs, k).weights() for k in degrees])
    matrix = interpolation_matrix(net.W, net.A, net.offsets, derivatives, observed, degrees) * np.tile(weights, outputs)
    values = np.linalg.svd(matrix, compute_uv=False)
    shown = matrix.shape[0] >= matrix.shape[1] and values[-1] > WELL_CONDITIONED * values[0]
    change = np.linalg.pinv(matrix) if shown else np.eye(len(matrix))
    change = change / np.linalg.norm(change @ case.system.target)
    target = change @ case.system.target

    def split(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = point.reshape(n, -1)
        return rows[:, :-outputs], rows[:, -outputs:]

    def function(point: np.ndarray) -> np.ndarray:
        return change @ case.target_of(*split(point)) - target

    def derivative(point: np.ndarray) -> np.ndarray:
        return change @ jacobian(net.W, net.A, net.offsets, derivatives, observed, *split(point))

    return function, derivative


def distance_of_terms(case: Case, X: np.ndarray, c: np.ndarray) -> float:
    """The largest difference between terms of two data sets in their best order, relative to the largest planted term."""
    planted, other = terms(case, case.X, case.c), terms(case, X, c)
    gaps = np.linalg.norm(planted[:, None] - other[None], axis=2)
    if not np.isfinite(gaps).all():
        return np.inf
    rows, columns = linear_sum_assignment(gaps)
    return float(gaps[rows, columns].max() / np.linalg.norm(planted, axis=1).max())


def terms(case: Case, X: np.ndarray, c: np.ndarray) -> np.ndarray:
    """For each sample the entries of c_i x_i^(tensor k), all visible k, which the group keeps."""
    columns: list[np.ndarray] = []
    for k in case.system.degrees:
        monomials = combinations_with_replacement(range(X.shape[1]), k)
        columns.extend(np.prod(X[:, list(variables)], axis=1)[:, None] * c for variables in monomials)
    return np.concatenate(columns, axis=1)


def only_these_data(case: Case) -> tuple[bool | None, str]:
    """Whether (S) has no other data set of as many samples modulo the group: by an exact count if that is quick, otherwise by a search."""
    n, d = case.X.shape
    if case.is_exact and n * (d + case.c.shape[1]) <= EXACT_UNKNOWNS and n > 1:
        counted = count_exactly(case)
        if counted is not None:
            return counted
    found = search(case)
    if not found.found:
        return None, str(found)
    return found.others == 0, str(found)


def count_exactly(case: Case) -> tuple[bool, str] | None:
    """The number of complex solutions against the size of one orbit; None without msolve, or if msolve fails."""
    from identify.symbolic.msolve import msolve_program
    from identify.symbolic.posing import kkt_equations
    from identify.symbolic.solve import SolveLimitError

    if msolve_program() is None:
        return None
    n = len(case.X)
    try:
        solved = kkt_equations(case.system, samples=n).solve(method="msolve")
    except SolveLimitError:
        return None
    if solved.degree is None:
        return False, f"Gröbner basis: a solution set of dimension {solved.dimension}"
    orbit = factorial(n) * (1 if solved.gauge is not None else root_order(case.system.degrees) ** n)
    return solved.degree == orbit, f"Gröbner basis: {solved.degree} complex solutions, one orbit has {orbit}"


def root_order(degrees: Sequence[int]) -> int:
    """The number of complex t with t^(k-l) = 1 for all degrees k, l; 0 if all t satisfy this."""
    return gcd(*(k - degrees[0] for k in degrees))


def is_isolated(case: Case) -> tuple[bool | None, str]:
    """Whether starts near the planted data end at them, and not at other solutions beside them."""
    for radius in (1e-2, 1e-3):
        near = search(case, near=radius, starts=12)
        if near.found:
            break
    text = f"from distance {radius:g}, {near.starts} starts: {len(near.found)} converged, {near.others} of them to other solutions"
    if not near.found:
        return None, text
    return near.others == 0, f"{text}, at distances up to {near.distances.max():.1g}" if near.others else text

r"""Gauss-Newton through the unrolled training: the last digits, and everything that is not known beside the data.

All equations are used, or as many of them as are plenty for the unknowns. If slopes jump, a sample near a kink spoils the equations
of one neuron, and the others a little. They are weighted layer by layer as for a Cauchy distribution, so that most equations, which are
right, move the sample to the right side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cholesky, qr, solve_triangular
from scipy.linalg.blas import dsyrk

from identify.recovery.steps.along import cauchy, width
from identify.recovery.steps.training import PLENTY, Plan, Training, plenty

STEPS = 40
SHORT = 1e-14
"""Relative length of a step after which another one changes rounding only."""
PATIENCE = 12
"""Steps without a smaller residual after which the descent ends."""
RIDGE = 1e-12
LEAST_GAIN = 0.9
SAME_JACOBIAN = 0.3
"""A Jacobian is used again as long as each step leaves less of the residual."""
FEW = 600
"""Unknowns up to which steps are solved by orthogonal factors."""
LEAST, MOST, LARGEST, RAISED, LOWERED = 1e-13, 1e-2, 1e4, 10.0, 5.0
"""Damping, relative to the diagonal of the normal equations: none at first, then from the first on; steps that are damped by the second
are taken although the cost rises, if it is finite; with more than the third the descent ends."""


@runtime_checkable
class Equations(Protocol):
    """Training unrolled, or with its path held still."""

    @property
    def plan(self) -> Plan: ...

    @property
    def layer(self) -> Int[np.ndarray, " equations"]:
        """The layer of each equation, from 0."""
        ...

    def missing(self, p: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, " equations"]: ...

    def jacobian(self, p: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, "equations unknowns"]: ...


@dataclass(frozen=True, eq=False)
class Solved:
    """The end of a descent."""

    point: Float[np.ndarray, " unknowns"]
    residual: float
    """Relative to the changes, in the root mean square over layers; of the equations that were used."""
    jacobian: Float[np.ndarray, "equations unknowns"]
    """The Jacobian at one of the last points."""
    steps: int
    equations: Equations
    """The equations that were used."""


def thinned(training: Training, unknowns: int, rng: np.random.Generator, most: int | None = None) -> Training:
    """The same with fewer equations, if there are many more than unknowns: of each layer a share. ``most``: so many at most."""
    sizes = [size if moves else 0 for size, moves in zip(training.counts, training.moves, strict=True)]
    wanted = plenty(unknowns) if most is None else max(PLENTY * unknowns, most)
    if sum(sizes) <= wanted and all(training.moves):
        return training
    starts = np.cumsum([0, *training.counts])
    share = min(1.0, wanted / sum(sizes))
    chosen = [
        begin + np.sort(rng.choice(size, min(size, int(share * size) + 1), replace=False))
        for begin, size in zip(starts, sizes, strict=False)
        if size
    ]
    return replace(training, chosen=np.concatenate(chosen))


def descend(
    equations: Equations,
    point: Float[np.ndarray, " unknowns"],
    labels: Float[np.ndarray, "n C"],
    *,
    enough: float,
    steps: int = STEPS,
    go_on: Callable[[], bool] = lambda: True,
) -> Solved:
    """Steps until the residual is at most ``enough``, a step changes rounding only, or nothing is gained; the best point."""
    layers = [equations.layer == k for k in np.unique(equations.layer)]
    has_kinks = equations.plan.has_kinks
    missing, J, damping = equations.missing(point, labels), equations.jacobian(point, labels), 0.0
    best = Solved(point, float(np.linalg.norm(missing)), J, 0, equations)
    if not len(point):
        return best
    linear: _Factored | None = None
    since = 0
    for done in range(1, steps + 1):
        if best.residual <= enough or since > PATIENCE or not go_on() or not np.isfinite(best.residual):
            break
        usual = np.full(len(missing), np.inf)
        if has_kinks:
            depends = np.abs(J).max(axis=1) > 0
            for own in layers:
                usual[own] = np.median(np.abs(missing[own & depends])) if (own & depends).any() else 0.0
        linear = _Factored.of(J, missing, cauchy(missing, usual) if has_kinks else None, linear)
        before = _cost(missing, usual, np.abs(missing))
        while True:
            change = linear.step(damping)
            trial = equations.missing(point - change, labels)
            if np.isfinite(trial).all() and _cost(trial, usual, np.abs(missing)) <= before:
                damping = damping / LOWERED if damping > LEAST else 0.0
                break
            damping = max(RAISED * damping, LEAST)
            if has_kinks and damping > MOST and np.isfinite(trial).all():
                break  # across a kink the cost rises on the way to the right side
            if damping > LARGEST:
                return best
        point, earlier, missing = point - change, float(np.linalg.norm(missing)), trial
        size = float(np.linalg.norm(missing))
        if size > SAME_JACOBIAN * earlier:
            J = equations.jacobian(point, labels)
        since = 0 if size < LEAST_GAIN * best.residual else since + 1
        if size < best.residual:
            best = Solved(point, size, J, done, equations)
        if np.linalg.norm(change) <= SHORT * np.linalg.norm(point):
            break
    return best


@dataclass(frozen=True, eq=False)
class _Factored:
    """One linearisation, for steps with any damping: by orthogonal factors, which do not square the condition number, if they are few."""

    J: np.ndarray
    weights: np.ndarray | None
    scale: np.ndarray
    triangle: np.ndarray

    @classmethod
    def of(cls, J: np.ndarray, missing: np.ndarray, weights: np.ndarray | None, earlier: _Factored | None) -> _Factored:
        """``weights`` of the equations, None for equal ones. ``earlier``: another one, which serves again if nothing else has changed."""
        k, tiny = J.shape[1], np.finfo(float).tiny
        if k > FEW and earlier is not None and earlier.J is J and weights is None and earlier.weights is None:
            return replace(earlier, triangle=_completed(earlier.triangle[:, :k], (missing @ J) / earlier.scale))
        root = None if weights is None else np.sqrt(weights)[:, None]
        weighted = J if root is None else root * J
        scale = np.maximum(np.sqrt(np.einsum("ek,ek->k", weighted, weighted)), tiny)
        if k <= FEW:
            right = missing[:, None] if root is None else root * missing[:, None]
            triangle = qr(np.hstack([weighted / scale, right]), mode="r", overwrite_a=True, check_finite=False)[0][: k + 1, :]
            return cls(J, weights, scale, triangle)
        gram = dsyrk(1.0, weighted.T) / scale / scale[:, None]  # the upper half
        gram[np.diag_indices(k)] += RIDGE
        factor = cholesky(gram, check_finite=False)
        return cls(J, weights, scale, _completed(factor, ((missing if weights is None else weights * missing) @ J) / scale))

    def step(self, damping: float) -> Float[np.ndarray, " unknowns"]:
        """The step that solves the equations to first order, damped relative to the sizes of the columns."""
        k = len(self.scale)
        both = self.triangle
        if damping or len(both) < k:
            both = qr(np.vstack([both, np.sqrt(max(damping, RIDGE**2)) * np.eye(k, k + 1)]), mode="r", check_finite=False)[0]
        try:
            return solve_triangular(both[:k, :k], both[:k, k], check_finite=False) / self.scale
        except np.linalg.LinAlgError:
            return np.full(k, np.nan)


def _completed(factor: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The triangle of the equations with what they miss as a last column, from that of their normal equations."""
    return np.hstack([factor, solve_triangular(factor, right, trans=1, check_finite=False)[:, None]])


def _cost(missing: np.ndarray, usual: np.ndarray, before: np.ndarray) -> float:
    """Minus the logarithm of the likelihood for a Cauchy distribution of these widths, up to a constant; squares for infinite widths."""
    if np.isinf(usual).any():
        return float(missing @ missing)
    with np.errstate(over="ignore"):  # a step that went far costs infinitely much
        return float(np.sum(np.log1p((missing / width(usual, before)) ** 2)))

"""Inner methods: Levenberg-Marquardt for the residual of (S), L-BFGS for any objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from identify.base.compiled import bounded
from identify.base.errors import WrongTypeError
from identify.base.least_squares import Rest, State
from identify.splitting.matrices import Objective, traceable
from identify.splitting.objective import KKTObjective
from identify.splitting.traced import damped_step, descend

Inner = Callable[[Objective, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""``inner(objective, X, c)`` returns a better (X, c) with the same number of candidates, close to a stationary point."""

AT_ONCE = 4
"""Points at which an objective is evaluated at once."""
RIDGE = 1e-12
"""Damping of the multipliers, which keeps those of coincident candidates determined."""


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Levenberg-Marquardt for a :class:`KKTObjective`, with the multipliers solved for after every step.

    Parameters
    ----------
    steps
        Largest number of steps, taken or not.
    capacity
        Number of candidates in the compiled code; fewer are padded with silent ones, so that growing does not
        compile again. None: the given number.
    tolerance
        Stops if the objective is below this.
    radius
        Candidates stay within this distance of the origin (units of the inputs). With too few candidates the infimum often
        lies at infinity: x diverges along a line while c tends to zero, and does not return.
    gain
        Stops if a step that is taken lowers the objective by less than this fraction.

    Notes
    -----
    Cost per step O(equations · k^2 (d + C)^2), by normal equations.
    """

    steps: int = 300
    capacity: int | None = None
    tolerance: float = 1e-26
    radius: float = np.inf
    gain: float = 0.0

    def __call__(self, objective: Objective, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k C"]) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(objective, KKTObjective):
            raise WrongTypeError(f"objective: received {type(objective).__name__}, expected a KKTObjective; use lbfgs for any other")
        k = len(X)
        spare = max((self.capacity or k) - k, 0)
        rest = Rest(self.tolerance, 1, 1 - self.gain)
        with jax.enable_x64(True):
            padded = [jnp.asarray(np.pad(np.asarray(part, float), ((0, spare), (0, 0)))) for part in (X, c)]
            X, c = _levenberg_marquardt(objective, *padded, np.arange(k + spare) < k, self.radius, rest, self.steps)
            return np.asarray(X)[:k], np.asarray(c)[:k]


@bounded
@jax.jit
def _levenberg_marquardt(objective, X, c, live, radius, rest, steps):
    (k, d), outputs = X.shape, c.shape[1]

    def refit(X, c):
        """Least squares in the multipliers (variable projection), as a correction to c, so that no precision of c is lost."""
        F = (objective.atoms(X) * live[None, :, None]).reshape(-1, k * outputs)
        return c - damped_step(F.T @ F, F.T @ objective.residual(X, c), RIDGE).reshape(k, outputs)

    def attempt(here, damping):
        X, c, gradient, matrix = here
        move = -damped_step(matrix, gradient, damping).reshape(k, d + outputs)
        X = X + move[:, :d]
        X = X * jnp.minimum(1.0, radius / jnp.maximum(jnp.linalg.norm(X, axis=1, keepdims=True), 1e-300))
        c = refit(X, c + move[:, d:])
        J = (objective.jacobian(X, c).reshape(-1, k, d + outputs) * live[None, :, None]).reshape(-1, k * (d + outputs))
        r = objective.residual(X, c)
        return (X, c, J.T @ r, J.T @ J), r @ r

    unknowns = k * (d + outputs)
    start = X, c, jnp.zeros(unknowns), jnp.eye(unknowns)
    (X, c, *_), _ = descend(attempt, start, jax.tree.map(lambda part: part[0], State.first(np.full(1, np.inf))), rest, steps + 1)
    return X, c


@bounded
@jax.jit
def _value(objective, X, c):
    return objective(X, c)


@bounded
@jax.jit
def _gradient(objective, X, c):
    return jax.grad(objective, argnums=(0, 1))(X, c)


def value(objective: Objective, X, c) -> float:
    """The objective at (X, c): in NumPy if it can (small arrays, and no compilation for every number of candidates)."""
    if isinstance(objective, KKTObjective):
        return float(objective(X, c))
    with jax.enable_x64(True):
        return float(_value(traceable(objective), jax.device_put(X), jax.device_put(c)))


@bounded
@jax.jit
def _values(objective, Xs, c):
    return jax.lax.map(lambda X: objective(X, c), Xs, batch_size=AT_ONCE)


def values(objective: Objective, Xs: Float[np.ndarray, "steps k d"], c: Float[np.ndarray, "k C"]) -> Float[np.ndarray, " steps"]:
    """The objective at several X with the same multipliers, in one compiled call, some at once."""
    if isinstance(objective, KKTObjective):
        return np.array([float(objective(X, c)) for X in Xs])
    with jax.enable_x64(True):
        return np.asarray(_values(traceable(objective), jax.device_put(Xs), jax.device_put(c)))


def gradient_size(objective: Objective, X, c) -> float:
    """Largest entry of the gradient in X and c."""
    if isinstance(objective, KKTObjective):
        parts = objective.gradient(X, c)
    else:
        with jax.enable_x64(True):
            parts = _gradient(traceable(objective), jax.device_put(X), jax.device_put(c))
    return max(float(np.abs(np.asarray(part)).max(initial=0.0)) for part in parts)


@bounded
@partial(jax.jit, static_argnames="shapes")
def _value_and_gradient(objective, point, shapes):
    (k, d), (_, outputs) = shapes
    return jax.value_and_grad(lambda p: objective(p[: k * d].reshape(k, d), p[k * d :].reshape(k, outputs)))(point)


def lbfgs(
    objective: Objective, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k C"], *, steps: int = 2000, gradient: float = 1e-9
) -> tuple[np.ndarray, np.ndarray]:
    """Limited-memory BFGS (SciPy) on any objective, to a largest entry of the gradient of ``gradient``."""
    traced, shapes = traceable(objective), (X.shape, c.shape)

    def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
        with jax.enable_x64(True):
            value, slope = _value_and_gradient(traced, jax.device_put(point), shapes)
            return float(value), np.asarray(slope)

    start = np.concatenate([np.asarray(X, float).reshape(-1), np.asarray(c, float).reshape(-1)])
    options = {"maxiter": steps, "maxfun": 2 * steps, "gtol": gradient, "ftol": 0.0}
    end = minimize(evaluate, start, jac=True, method="L-BFGS-B", options=options).x
    return end[: X.size].reshape(X.shape), end[X.size :].reshape(c.shape)

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

from identify.base.errors import WrongTypeError
from identify.splitting.matrices import Objective, traceable
from identify.splitting.objective import KKTObjective

Inner = Callable[[Objective, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""``inner(objective, X, c)`` returns a better (X, c) with the same number of candidates, close to a stationary point."""

RIDGE = 1e-12
"""Ridge relative to atoms of unit norm, which keeps the multipliers of coincident candidates determined."""
LAST_DAMPING = 1e10


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Levenberg-Marquardt for a :class:`KKTObjective`, with the multipliers solved for after every step.

    Parameters
    ----------
    steps
        Largest number of steps, accepted or not.
    capacity
        Number of candidates in the compiled code; fewer are padded with silent ones, so that growing does not
        compile again. None: the given number.
    stationary
        Stops if the residual has a cosine below this with every column of the Jacobian.
    tolerance
        Stops if the objective is below this.
    radius
        Candidates stay within this distance of the origin (units of the inputs). With too few candidates the infimum often
        lies at infinity: x diverges along a line while c tends to zero, and does not return.
    gain
        Stops if an accepted step lowers the objective by less than this fraction.

    Notes
    -----
    Cost per step O(equations · k^2 (d + C)^2), by normal equations of unit columns.
    """

    steps: int = 300
    capacity: int | None = None
    stationary: float = 1e-9
    tolerance: float = 1e-26
    radius: float = np.inf
    gain: float = 0.0

    def __call__(self, objective: Objective, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k C"]) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(objective, KKTObjective):
            raise WrongTypeError(f"objective: received {type(objective).__name__}, expected a KKTObjective; use lbfgs for any other")
        k = len(X)
        spare = max((self.capacity or k) - k, 0)
        with jax.enable_x64(True):
            padded = [jnp.asarray(np.pad(np.asarray(part, float), ((0, spare), (0, 0)))) for part in (X, c)]
            live = np.arange(k + spare) < k
            X, c = _levenberg_marquardt(objective, *padded, live, self.steps, self.stationary, self.tolerance, self.radius, self.gain)
            return np.asarray(X)[:k], np.asarray(c)[:k]


@jax.jit
def _levenberg_marquardt(objective, X, c, live, steps, stationary, tolerance, radius, gain):
    (k, d), outputs = X.shape, c.shape[1]

    def unit(J):
        norms = jnp.linalg.norm(J, axis=0)
        norms = jnp.where(norms > 0, norms, 1.0)
        return J / norms, norms

    def solve(H, g, damping):
        return -jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(H + damping * jnp.eye(len(H))), g)

    def refit(X, c):
        """Least squares in the multipliers (variable projection), as a correction to c, so that no precision of c is lost."""
        F, norms = unit((objective.atoms(X) * live[None, :, None]).reshape(-1, k * outputs))
        r = objective.residual(X, c)
        return c + (solve(F.T @ F, F.T @ r, RIDGE) / norms).reshape(k, outputs)

    def linearise(X, c):
        J = objective.jacobian(X, c).reshape(-1, k, d + outputs) * live[None, :, None]
        J, norms = unit(J.reshape(-1, k * (d + outputs)))
        r = objective.residual(X, c)
        return r @ r, J.T @ J, J.T @ r, norms

    def body(state):
        X, c, (value, H, g, norms), damping, step, _ = state
        move = (solve(H, g, damping) / norms).reshape(k, d + outputs)
        new_X = X + move[:, :d]
        new_X = new_X * jnp.minimum(1.0, radius / jnp.maximum(jnp.linalg.norm(new_X, axis=1, keepdims=True), 1e-300))
        new_c = refit(new_X, c + move[:, d:])
        new = linearise(new_X, new_c)
        better = new[0] < value
        X, c, linear = jax.tree.map(lambda a, b: jnp.where(better, a, b), (new_X, new_c, new), (X, c, (value, H, g, norms)))
        stalled = better & (new[0] > (1 - gain) * value)
        return X, c, linear, jnp.where(better, jnp.maximum(damping / 3, 1e-14), damping * 2.5), step + 1, stalled

    def goes_on(state):
        _, _, (value, _, g, _), damping, step, stalled = state
        moving = jnp.abs(g).max() > stationary * jnp.sqrt(value)
        return (step < steps) & (value > tolerance) & moving & (damping < LAST_DAMPING) & ~stalled

    fitted = refit(X, c)
    return jax.lax.while_loop(goes_on, body, (X, fitted, linearise(X, fitted), jnp.array(1e-1), 0, False))[:2]


@jax.jit
def _value(objective, X, c):
    return objective(X, c)


@jax.jit
def _gradient(objective, X, c):
    return jax.grad(objective, argnums=(0, 1))(X, c)


def value(objective: Objective, X, c) -> float:
    """The objective at (X, c): in NumPy if it can (small arrays, and no compilation for every number of candidates)."""
    if isinstance(objective, KKTObjective):
        return float(objective(X, c))
    with jax.enable_x64(True):
        return float(_value(traceable(objective), jnp.asarray(X), jnp.asarray(c)))


def gradient_size(objective: Objective, X, c) -> float:
    """Largest entry of the gradient in X and c."""
    if isinstance(objective, KKTObjective):
        parts = objective.gradient(X, c)
    else:
        with jax.enable_x64(True):
            parts = _gradient(traceable(objective), jnp.asarray(X), jnp.asarray(c))
    return max(float(np.abs(np.asarray(part)).max(initial=0.0)) for part in parts)


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
            value, slope = _value_and_gradient(traced, jnp.asarray(point), shapes)
            return float(value), np.asarray(slope)

    start = np.concatenate([np.asarray(X, float).reshape(-1), np.asarray(c, float).reshape(-1)])
    options = {"maxiter": steps, "maxfun": 2 * steps, "gtol": gradient, "ftol": 0.0}
    end = minimize(evaluate, start, jac=True, method="L-BFGS-B", options=options).x
    return end[: X.size].reshape(X.shape), end[X.size :].reshape(c.shape)

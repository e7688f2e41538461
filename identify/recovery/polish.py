r"""Step 5, polish: Levenberg-Marquardt on (S) itself.

Residual and Jacobian are the closed forms of :mod:`identify.problem.system` and :mod:`identify.problem.gradients`, compiled by
JAX in 64 bits, and beyond some size the products of :mod:`identify.recovery.gauss_newton`. Rows are weighted by the noise of the
target (:mod:`identify.recovery.noise`).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from identify.base.least_squares import Rest, State, by_attempts, descend
from identify.problem.gradients import Observed, jacobian, weighted_gradients
from identify.recovery.equations import Equations
from identify.recovery.gauss_newton import CONVERGED, MAX_STEPS, gauss_newton

FIRST_DAMPING = 1e-12
"""Relative to Jacobian columns of unit norm: the start is close to the solution."""
MATRIX_FLOPS = 1e8
"""Equations · unknowns^2 up to which the Jacobian is factorised in every step."""


@partial(jax.jit, static_argnames="observed")
def _linearise(observed: Observed, W, A, offsets, derivatives, target, weights, X, c):
    """Weighted residual, weighted Jacobian with columns of unit norm, the norms, and the square of the residual's norm."""
    parts = weighted_gradients(W, A, offsets, derivatives[0], derivatives[1], X, c)
    r = jnp.concatenate([part.reshape(-1) for part, seen in zip(parts, observed, strict=True) if seen]) - target
    J = jacobian(W, A, offsets, derivatives, observed, X, c, multiply=jnp.matmul, xp=jnp) * weights[:, None]
    norms = jnp.linalg.norm(J, axis=0)
    norms = jnp.where(norms > 0, norms, 1.0)
    r = r * weights
    return r, J / norms, norms, r @ r


@jax.jit
def _step(r, J, norms, damping):
    """The damped Gauss-Newton step, by the triangular factor of the stacked matrix and one refinement."""
    R = jnp.linalg.qr(jnp.concatenate([J, jnp.sqrt(damping) * jnp.eye(J.shape[1])]), mode="r")

    def solve(right):
        return jax.scipy.linalg.solve_triangular(R, jax.scipy.linalg.solve_triangular(R, right, trans=1))

    step = solve(-J.T @ r)
    return (step + solve(-J.T @ (r + J @ step) - damping * step)) / norms


def polish(
    equations: Equations, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], int]:
    """Levenberg-Marquardt from (X, c); returns the best point and the number of steps.

    Stops when a step gains less than a thousandth of the squared residual, or none. Cost of a step O(equations · unknowns^2); beyond 1e8
    operations O(unknowns^3) once, and some dozens of products with the Jacobian.
    """
    if not equations.is_small(X.size + c.size, MATRIX_FLOPS):
        return gauss_newton(equations, X, c)
    net = equations.network
    with jax.enable_x64(True):  # NumPy's arrays throughout: whatever JAX does outside of the two programs would be a program of its own
        derivatives = tuple(tuple(map(np.float64, net.activation.floats(k))) for k in range(3))
        linearise = partial(_linearise, equations.observed, net.W, net.A, net.offsets, derivatives, equations.target, equations.weights)
        shape, split, steps = (len(X), -1), X.shape[1], 0
        here = np.hstack([X, c]), *linearise(X, c)
        there = here

        def attempt(_rows: np.ndarray, damping: np.ndarray) -> np.ndarray:
            nonlocal there, steps
            point, *linear, _ = here
            trial = point + np.asarray(_step(*linear, damping[0])).reshape(shape)
            there = trial, *linearise(trial[:, :split], trial[:, split:])
            steps += 1
            return np.array([float(there[-1])])

        def take(_rows: np.ndarray, better: np.ndarray) -> None:
            nonlocal here
            here = there if better[0] else here

        state = State.first(np.array([float(here[-1])]), FIRST_DAMPING)
        rest = Rest(equations.rounding, 1, 1 - CONVERGED)
        descend(by_attempts(attempt, take, rest), state, rounds=MAX_STEPS)
    point = here[0]
    return point[:, :split], point[:, split:], steps

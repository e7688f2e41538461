r"""Step 5, polish: Levenberg-Marquardt on (S) itself, and first-order error bars at the result.

Residual and Jacobian are the closed forms of :mod:`identify.stationarity` and :mod:`identify.exact.jacobian`, compiled by
JAX in 64 bits. Rows are weighted by the noise of the target: a gradient computed in floating point carries errors in
proportion to the terms of its sums, so that neurons with large slopes are noisier by orders of magnitude, while
deliberate noise is uniform. :func:`noise_weights` lets the residual decide between the two, by likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from identify.conditions.diagnostics.sensitivity import changes, left_inverse, triangular_factor
from identify.exact.jacobian import jacobian
from identify.limits import memory_allowed
from identify.recovery.reduce import ReducedNetwork
from identify.stationarity import Observed, flatten, weighted_gradients

MAX_STEPS = 20
FIRST_DAMPING = 1e-9
"""Relative to Jacobian columns of unit norm: the start is close to the solution."""
LAST_DAMPING = 1e3
CONVERGED = 1e-3
"""Relative decrease of the squared residual below which the iteration stops."""


@dataclass(frozen=True, eq=False)
class Equations:
    """(S) as a least-squares problem: a network, the observed rows, their target, and a weight for every row."""

    network: ReducedNetwork
    observed: Observed
    target: Float[np.ndarray, " equations"]
    weights: Float[np.ndarray, " equations"]

    @classmethod
    def of(cls, network: ReducedNetwork, observed: Observed, target: np.ndarray, weights: np.ndarray | None = None) -> Equations:
        """With equal weights unless others are given."""
        return cls(network, observed, target, np.ones(len(target)) if weights is None else weights)

    def residual(self, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, " equations"]:
        """Right-hand side minus target, unweighted."""
        net, sigma = self.network, self.network.activation
        parts = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)
        return flatten(parts, self.observed) - self.target

    def jacobian(self, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "equations unknowns"]:
        """Unweighted Jacobian of the right-hand side, in NumPy."""
        net = self.network
        return jacobian(net.W, net.A, net.offsets, [net.activation.floats(k) for k in range(3)], self.observed, X, c)


@partial(jax.jit, static_argnames="observed")
def _linearise(observed: Observed, W, A, offsets, derivatives, target, weights, X, c):
    """Weighted residual, and weighted Jacobian with columns of unit norm, and the norms."""
    parts = weighted_gradients(W, A, offsets, derivatives[0], derivatives[1], X, c)
    r = jnp.concatenate([part.reshape(-1) for part, seen in zip(parts, observed, strict=True) if seen]) - target
    J = jacobian(W, A, offsets, derivatives, observed, X, c, multiply=jnp.matmul, xp=jnp) * weights[:, None]
    norms = jnp.linalg.norm(J, axis=0)
    norms = jnp.where(norms > 0, norms, 1.0)
    return r * weights, J / norms, norms


@jax.jit
def _step(J, r, damping):
    """The damped Gauss-Newton step, by the triangular factor of the stacked matrix and one refinement."""
    R = jnp.linalg.qr(jnp.concatenate([J, jnp.sqrt(damping) * jnp.eye(J.shape[1])]), mode="r")

    def solve(right):
        return jax.scipy.linalg.solve_triangular(R, jax.scipy.linalg.solve_triangular(R, right, trans=1))

    step = solve(-J.T @ r)
    return step + solve(-J.T @ (r + J @ step) - damping * step)


def polish(
    equations: Equations, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"], int]:
    """Levenberg-Marquardt from (X, c); returns the best point and the number of steps.

    Stops when a step gains less than a thousandth of the squared residual, or none. Cost per step O(equations · unknowns^2).
    """
    net = equations.network
    with jax.enable_x64(True):
        derivatives = tuple(tuple(jnp.asarray(s) for s in net.activation.floats(k)) for k in range(3))
        arrays = [jnp.asarray(part) for part in (net.W, net.A, net.offsets)]
        linearise = partial(
            _linearise, equations.observed, *arrays, derivatives, jnp.asarray(equations.target), jnp.asarray(equations.weights)
        )
        shape = (len(X), -1)
        point = np.hstack([X, c])
        split = X.shape[1]
        r, J, norms = linearise(X, c)
        cost, damping, steps = float(r @ r), FIRST_DAMPING, 0
        while steps < MAX_STEPS and damping <= LAST_DAMPING and cost > 0:
            steps += 1
            trial = point + np.asarray(_step(J, r, damping) / norms).reshape(shape)
            new = linearise(trial[:, :split], trial[:, split:])
            new_cost = float(new[0] @ new[0])
            if not new_cost < cost:
                damping *= 100
                continue
            gain = 1 - new_cost / cost
            point, (r, J, norms), cost, damping = trial, new, new_cost, damping / 10
            if gain < CONVERGED:
                break
    return point[:, :split], point[:, split:], steps


def noise_weights(equations: Equations, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> tuple[np.ndarray, str]:
    """Weights of the rows for the likelier of two noise models at the given solution, and its name.

    ``"uniform"``: the same noise in every number of the target. ``"relative"``: in proportion to the root sum of squares
    of the terms that were added up, as floating-point summation leaves it. Gaussian likelihood of the residual.
    """
    net, sigma = equations.network, equations.network.activation
    Z = X @ net.W.T + net.offsets
    slopes = ((c @ net.A) * sigma(Z, order=1)) ** 2
    per_neuron = slopes.T @ (X**2).sum(axis=1, keepdims=True) / max(X.shape[1], 1)
    sizes = (np.repeat(per_neuron, X.shape[1], axis=1), slopes.sum(axis=0), (c**2).T @ sigma(Z) ** 2)
    scale = np.sqrt(flatten(sizes, equations.observed))
    floor = 1e-6 * np.median(scale)
    scale = np.maximum(scale, floor if floor > 0 else 1.0)
    relative = np.exp(np.log(scale).mean()) / scale
    r = equations.residual(X, c)
    uniform_size, relative_size = np.linalg.norm(r), np.linalg.norm(relative * r)
    # both sets of weights have geometric mean 1, so the likelihoods differ only through the sums of squares
    return (relative, "relative") if relative_size < uniform_size else (np.ones(len(r)), "uniform")


def error_bars(
    equations: Equations, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"], *, hold_scale: bool = False
) -> Float[np.ndarray, " n"]:
    r"""First-order standard errors :math:`\hat\sigma\,\|(J^+)_{x_i}\|_F` of the samples, in the units of the inputs.

    J is the weighted Jacobian. The noise level is :math:`\hat\sigma = \|r\| / \sqrt{\text{equations} - \text{unknowns}}`
    with r the weighted residual, and at least the rounding of double precision. ``hold_scale``: for one visible degree, the
    error across the line of each sample. Infinite where the Jacobian is rank deficient, NaN where it does not fit in memory.
    Cost O(equations · unknowns^2).
    """
    n, d = X.shape
    unknowns = n * (d + c.shape[1])
    rows = len(equations.target)
    if 24 * rows * unknowns > memory_allowed():
        return np.full(n, np.nan)
    r = equations.residual(X, c) * equations.weights
    freedom = max(rows - unknowns + n * hold_scale, 1)
    rounding = 2.0**-53 * np.linalg.norm(equations.target * equations.weights) / np.sqrt(rows)
    noise = max(np.linalg.norm(r) / np.sqrt(freedom), rounding)
    T = changes(X, c, hold_scale)
    inverse = left_inverse(triangular_factor(equations.jacobian(X, c) * equations.weights[:, None], T), T)
    if inverse is None:
        return np.full(n, np.inf)
    return noise * np.linalg.norm(inverse[:, :d], axis=(1, 2))

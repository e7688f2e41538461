r"""Splitting matrices of any smooth objective on weighted candidates, and their smallest eigenvalues.

Replacing candidate j by two with half its multiplier at :math:`x_j \pm \varepsilon v` keeps the objective and its gradient,
and changes it to second order by :math:`\tfrac12 \varepsilon^2 v^T S_j v` with the splitting matrix

.. math:: S_j = \partial_\eta\, \partial_u^2\; L\bigl((1-\eta)\, c_j \text{ at } x_j,\; \eta\, c_j \text{ at } u\bigr)
          \Big|_{\eta = 0,\, u = x_j}.

A negative eigenvalue gives descent at points with zero gradient, even if the Hessian in (X, c) is positive
semidefinite (Shen et al. 2026, arXiv:2602.08723; for neurons: Liu, Wu & Wang 2019, arXiv:1910.02366).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from identify.base.compiled import bounded
from identify.splitting.lanczos import Product, alone, lowest

Objective = Callable[[Any, Any], Any]
r"""``objective(X, c)``: a scalar, for X of shape (k, d) and c of shape (k, C) and any k; in JAX, twice differentiable.

Pass data that should not become compiled constants through ``jax.tree_util.Partial``. An objective with constants for each candidate
(bounds on multipliers, weights of a prior) has a method ``inherit(parents, shares)``: the objective of the candidates that
come from ``parents`` with those ``shares`` of their multipliers, traceable in the shares. One with closed forms has
``splitting_matrices(X, c)``, and ``splitting_product(X, c, V, rho)``: S_j v_j for some of the candidates, rho the ``pull(X, c)`` of all.
"""

EXACT_BELOW = 100
"""Largest input dimension for which matrices are formed; above, Lanczos uses products."""
MOST, CONVERGED = 100, 1e-8
"""Steps of Lanczos for all candidates at once, and relative residual at which they end."""


def traceable(function: Callable[..., Any]) -> Any:
    """A function as a pytree, so that ``jit`` takes it as an argument; a callable pytree is returned unchanged."""
    return jax.tree_util.Partial(function) if jax.tree_util.all_leaves([function]) else function


def inherit(objective: Objective, parents, shares) -> Objective:
    """The objective of the candidates that come from ``parents`` with those ``shares`` of their multipliers."""
    return objective.inherit(parents, shares) if hasattr(objective, "inherit") else objective


def _product(objective: Objective, X, c, j, v):
    """S_j v, by the definition."""

    def separated(eta, u):
        parents = jnp.append(jnp.arange(len(X)), j)
        shares = jnp.append(jnp.ones(len(X)).at[j].set(1 - eta), eta)
        return inherit(objective, parents, shares)(jnp.concatenate([X, u[None]]), c[parents] * shares[:, None])

    def curvature(eta):
        return jax.jvp(lambda u: jax.grad(separated, argnums=1)(eta, u), (X[j],), (v,))[1]

    return jax.jvp(curvature, (jnp.zeros(()),), (jnp.ones(()),))[1]


_compiled_product = bounded(jax.jit(_product))


@bounded
@jax.jit
def _compiled_products(objective, X, c, V):
    """All S_j v_j by the definition, with 2k candidates.

    Half of each candidate can move: to first order in the parts eta that move, each term depends on the place of its own half only, so
    the Hessian of their sum is block diagonal, with the S_j as blocks.
    """
    k = len(X)
    parents = jnp.concatenate([jnp.arange(k), jnp.arange(k)])

    def moved(eta, U):
        shares = jnp.concatenate([1 - eta, eta])
        return inherit(objective, parents, shares)(jnp.concatenate([X, U]), c[parents] * shares[:, None])

    def potentials(U):
        return jax.jvp(lambda eta: moved(eta, U), (jnp.zeros(k),), (jnp.ones(k),))[1]

    return jax.jvp(jax.grad(potentials), (X,), (V,))[1]


@bounded
@jax.jit
def _compiled_at_once(objective, X, c):
    columns = jax.lax.map(lambda e: _compiled_products(objective, X, c, jnp.broadcast_to(e, X.shape)), jnp.eye(X.shape[1]))
    return columns.transpose(1, 2, 0)


@bounded
@jax.jit
def _matrices(objective, X, c):
    columns = jax.vmap(_product, in_axes=(None, None, None, None, 0))
    return jax.vmap(columns, in_axes=(None, None, None, 0, None))(objective, X, c, jnp.arange(len(X)), jnp.eye(X.shape[1]))


def splitting_matrices(objective: Objective, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k C"]) -> Float[np.ndarray, "k d d"]:
    """Every S_j by its definition, with automatic differentiation: of any objective, and the oracle for closed forms.

    Cost: k d Hessian-vector products.
    """
    with jax.enable_x64(True):
        S = np.asarray(_matrices(traceable(objective), jnp.asarray(X, float), jnp.asarray(c, float)))
    return (S + S.swapaxes(1, 2)) / 2


def smallest(
    objective: Objective, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k C"], *, exact_below: int = EXACT_BELOW
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k d"]]:
    """Smallest eigenvalue of every S_j, and its unit eigenvector; the value is NaN if entries of S_j are not doubles.

    Up to ``exact_below`` inputs by a full decomposition; above, by Lanczos with one product of all candidates in each step, some
    twenty to sixty; no d x d matrix is formed. Closed forms are used if the objective has them. A candidate that does not converge
    in 100 steps is left to ARPACK, and its matrix is formed if that fails too.
    """
    X, c = np.asarray(X, float), np.asarray(c, float)
    if not X.size:
        return np.zeros(len(X)), np.zeros(X.shape)
    if X.shape[1] <= exact_below:
        closed = getattr(objective, "splitting_matrices", None)
        S = closed(X, c) if closed else _at_once(objective, X, c)
        known = np.isfinite(S).all(axis=(1, 2))
        values, vectors = np.linalg.eigh(np.where(known[:, None, None], S, 0.0))
        return np.where(known, values[:, 0], np.nan), _signed(vectors[:, :, 0])
    product, (k, d) = products_of(objective, X, c), X.shape
    values, vectors, converged = lowest(product, k, d, steps=MOST, tolerance=CONVERGED)
    for j in np.flatnonzero(~converged):
        values[j], vectors[j] = alone(_of_one(objective, X, c, int(j)), d)
    return values, _signed(vectors)


def _at_once(objective: Objective, X: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Every S_j, by d products of all candidates."""
    with jax.enable_x64(True):
        S = np.asarray(_compiled_at_once(traceable(objective), jax.device_put(X), jax.device_put(c)))
    return (S + S.swapaxes(1, 2)) / 2


def products_of(objective: Any, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k C"], one: int | None = None) -> Product:
    """V -> the S_j v_j of all candidates, or of ``one``: by the closed form if the objective has one, else by the definition."""
    if hasattr(objective, "splitting_product"):
        rho: Any = objective.pull(X, c)
        if one is not None:
            objective, X, c = inherit(objective, np.array([one]), np.ones(1)), X[[one]], c[[one]]
        return lambda V: np.asarray(objective.splitting_product(X, c, V, rho))
    with jax.enable_x64(True):
        arguments: Any = traceable(objective), jax.device_put(X), jax.device_put(c)
        if one is not None:
            return lambda V: _product_of_one(arguments, one, V[0])[None]

    def product(V: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(_compiled_products(*arguments, jax.device_put(V)))

    return product


def _of_one(objective: Objective, X: np.ndarray, c: np.ndarray, j: int) -> Callable[[np.ndarray], np.ndarray]:
    product = products_of(objective, X, c, j)
    return lambda v: product(v[None])[0]


def _product_of_one(arguments: Any, j: int, v: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(_compiled_product(*arguments, j, jax.device_put(v)))


def _signed(vectors: np.ndarray) -> np.ndarray:
    """The vector with a positive largest entry: the sign of an eigenvector is arbitrary, and runs should repeat."""
    lead = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    return np.where(lead < 0, -vectors, vectors)

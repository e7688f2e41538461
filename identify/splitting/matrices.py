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
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

Objective = Callable[[Any, Any], Any]
r"""``objective(X, c)``: a scalar, for X of shape (k, d) and c of shape (k, C) and any k; in JAX, twice differentiable.

Pass data that should not become compiled constants through ``jax.tree_util.Partial``. An objective with constants for each candidate
(bounds on multipliers, weights of a prior) has a method ``inherit(parents, shares)``: the objective of the candidates that
come from ``parents`` with those ``shares`` of their multipliers, traceable in the shares. One with closed forms has
``splitting_matrices(X, c)``, and ``splitting_product(X, c, V, rho)``: S_j v_j for some of the candidates, rho the ``pull(X, c)`` of all.
"""

EXACT_BELOW = 100
"""Largest input dimension for which matrices are formed; above, Lanczos uses products."""


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


_compiled_product = jax.jit(_product)


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
    """Smallest eigenvalue of every S_j, and its unit eigenvector.

    Up to ``exact_below`` inputs by a full decomposition; above, by Lanczos (ARPACK) with Hessian-vector products, about
    twenty to a hundred for each candidate: no d x d matrix is formed. Closed forms are used if the
    objective has them. If Lanczos does not converge, the matrix is formed after all.
    """
    X, c = np.asarray(X, float), np.asarray(c, float)
    if not X.size:
        return np.zeros(len(X)), np.zeros(X.shape)
    if X.shape[1] <= exact_below:
        closed = getattr(objective, "splitting_matrices", None)
        S = closed(X, c) if closed else splitting_matrices(objective, X, c)
        values, vectors = np.linalg.eigh(S)
        return values[:, 0], _signed(vectors[:, :, 0])
    pairs = [_lanczos(_products_of(objective, X, c, j), X.shape[1]) for j in range(len(X))]
    return np.array([value for value, _ in pairs]), _signed(np.array([vector for _, vector in pairs]).reshape(X.shape))


def _products_of(objective: Any, X, c, j: int) -> Callable[[np.ndarray], np.ndarray]:
    """v -> S_j v."""
    if hasattr(objective, "splitting_product"):
        one = slice(j, j + 1)
        rho = objective.pull(X, c)
        alone: Any = inherit(objective, np.array([j]), np.ones(1))
        return lambda v: np.asarray(alone.splitting_product(X[one], c[one], v[None], rho)[0])
    with jax.enable_x64(True):
        arguments = traceable(objective), jax.device_put(X), jax.device_put(c), j

    def product(v: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(_compiled_product(*arguments, jax.device_put(v)))

    return product


def _lanczos(product: Callable[[np.ndarray], np.ndarray], d: int) -> tuple[float, np.ndarray]:
    """Smallest eigenpair of a symmetric operator; the start is fixed, so that results repeat."""
    start = np.cos(np.arange(1.0, d + 1))
    if not product(start).any():
        return 0.0, start / np.linalg.norm(start)
    try:
        values, vectors = eigsh(LinearOperator((d, d), matvec=product, dtype=float), k=1, which="SA", v0=start, tol=1e-8)
    except ArpackNoConvergence:
        S = np.array([product(e) for e in np.eye(d)])
        values, vectors = np.linalg.eigh((S + S.T) / 2)
    return float(values[0]), vectors[:, 0]


def _signed(vectors: np.ndarray) -> np.ndarray:
    """The vector with a positive largest entry: the sign of an eigenvector is arbitrary, and runs should repeat."""
    lead = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None], axis=1)
    return np.where(lead < 0, -vectors, vectors)

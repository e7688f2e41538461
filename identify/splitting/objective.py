r"""The squared residual of (S) as an objective on weighted candidates, with value, gradient and curvature in closed form.

.. math:: L(X, c) = \frac{\|\omega\,(\sum_i c_i \nabla_\theta f(\theta; x_i) - t)\|^2}{\|\omega\, t\|^2}

with row weights :math:`\omega`. With :math:`\rho = \omega^2 (\sum_i c_i \nabla_\theta f(x_i) - t)`, split into the rows
:math:`\rho^W, \rho^b, \rho^a` of the layers, everything below follows from the potential of one candidate,

.. math:: h(x) = \sum_j g_j \sigma'(z_j)\, (\rho^W_j\cdot x + \rho^b_j) + \sum_j (c\cdot\rho^a_j)\, \sigma(z_j),
          \qquad g = A^T c,\; z = W x + b,

because :math:`\nabla_x L = 2\nabla h / \|\omega t\|^2` and the splitting matrix is :math:`2\nabla^2 h / \|\omega t\|^2`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.problem.activation import horner
from identify.problem.gradients import Observed, jacobian, unflatten, weighted_gradients

if TYPE_CHECKING:
    from identify.recovery.equations import Equations


class Pull(NamedTuple):
    """rho by layer, of shapes (m, d), (m,) and (C, m): derivatives of L at a candidate depend on the others only through it."""

    W: Any
    bias: Any
    a: Any


class _Slopes(NamedTuple):
    """Factors of the potential of every candidate: z, g, rho^W x + rho^b and c·rho^a, each of shape (k, m)."""

    Z: Any
    g: Any
    y: Any
    b: Any


@dataclass(frozen=True, eq=False)
class KKTObjective:
    """(S) as a scalar objective (dimensionless: 1 without candidates, 0 at a solution).

    A JAX pytree, so that it passes through ``jit`` as an argument; its methods take NumPy and JAX arrays alike.
    ``derivatives`` holds the coefficients of the activation and of its first three derivatives.
    """

    W: Float[np.ndarray, "m d"]
    A: Float[np.ndarray, "C m"]
    offsets: Float[np.ndarray, " m"]
    target: Float[np.ndarray, " equations"]
    weights: Float[np.ndarray, " equations"]
    scale: float
    derivatives: tuple[tuple[float, ...], ...]
    observed: Observed

    @classmethod
    def of(cls, equations: Equations) -> KKTObjective:
        """The objective of the given equations.

        Raises
        ------
        ValueError
            When the weighted target is zero or not finite, so that there is no relative residual.
        """
        net = equations.network
        scale = float(np.sum((equations.weights * equations.target) ** 2))
        if not 0 < scale < np.inf:
            raise InputError(f"target: received a weighted target of squared norm {scale:g}, expected a finite positive one; rescale it")
        derivatives = tuple(net.activation.floats(order) for order in range(4))
        return cls(net.W, net.A, net.offsets, equations.target, equations.weights, scale, derivatives, equations.observed)

    @property
    def n_inputs(self) -> int:
        return self.W.shape[1]

    def __call__(self, X, c):
        """L(X, c). Cost O(k m (d + C))."""
        r = self.residual(X, c)
        return r @ r

    def residual(self, X, c):
        """Weighted residual divided by the norm of the weighted target: L is its squared norm."""
        parts = weighted_gradients(self.W, self.A, self.offsets, self.derivatives[0], self.derivatives[1], X, c)
        xp = jnp if isinstance(parts[0], jax.Array) else np
        seen = [part.reshape(-1) for part, rows in zip(parts, self.observed, strict=True) if rows]
        return (xp.concatenate(seen) - self.target) * (self.weights / self.scale**0.5)

    def gradient(self, X, c):
        """Gradients in X and in c. Cost O(k m (d + C))."""
        rho = self.pull(X, c)
        Z, g, y, b = self._slopes(X, c, rho)
        s0, s1, s2 = (horner(self.derivatives[order], Z) for order in range(3))
        in_X = (g * s2 * y + b * s1) @ self.W + (g * s1) @ rho.W
        return 2 * in_X, 2 * ((s1 * y) @ self.A.T + s0 @ rho.a.T)

    def splitting_matrices(self, X, c):
        """S_j for every candidate, shape (k, d, d). Cost O(k m d^2)."""
        rho = self.pull(X, c)
        slopes = self._slopes(X, c, rho)
        own, mixed = self._curvatures(slopes)
        W = self.W
        both = (mixed[:, None, :] * W.T) @ rho.W
        return 2 * ((own[:, None, :] * W.T) @ W + both + both.swapaxes(1, 2))

    def splitting_product(self, X, c, V, rho: Pull | None = None):
        """S_j v_j for one vector per candidate, shape (k, d), without forming a matrix. Cost O(k m d).

        With ``rho``, the :meth:`pull` of all candidates, X, c and V may be some of them only.
        """
        rho = self.pull(X, c) if rho is None else rho
        slopes = self._slopes(X, c, rho)
        own, mixed = self._curvatures(slopes)
        in_W, in_rho = V @ self.W.T, V @ rho.W.T
        return 2 * ((own * in_W + mixed * in_rho) @ self.W + (mixed * in_W) @ rho.W)

    def pull(self, X, c) -> Pull:
        """rho: the residual weighted once more, by layer, zero for rows that are not observed."""
        rho = self.residual(X, c) * (self.weights / self.scale**0.5)
        return Pull(*unflatten(rho, (self.W.shape, self.offsets.shape, self.A.shape), self.observed, np.zeros))

    def jacobian(self, X, c):
        """Jacobian of :meth:`residual` in (x_1, c_1, ..., x_k, c_k)."""
        J = jacobian(self.W, self.A, self.offsets, self.derivatives, self.observed, X, c, multiply=jnp.matmul, xp=jnp)
        return J * (self.weights / self.scale**0.5)[:, None]

    def atoms(self, X):
        """The columns of :meth:`jacobian` that belong to the multipliers, shape (equations, k, C): they do not depend on c."""
        Z = X @ self.W.T + self.offsets
        slope = horner(self.derivatives[1], Z).T[:, :, None] * self.A.T[:, None, :]
        value = horner(self.derivatives[0], Z).T
        _m, k, outputs = slope.shape
        own = value[None, :, :, None] * jnp.eye(outputs)[:, None, None, :]
        parts = (slope[:, None] * X.T[None, :, :, None], slope, own)
        seen = [part.reshape(-1, k, outputs) for part, rows in zip(parts, self.observed, strict=True) if rows]
        return jnp.concatenate(seen) * (self.weights / self.scale**0.5)[:, None, None]

    def _slopes(self, X, c, rho: Pull) -> _Slopes:
        return _Slopes(X @ self.W.T + self.offsets, c @ self.A, X @ rho.W.T + rho.bias, c @ rho.a)

    def _curvatures(self, slopes: _Slopes):
        """Weights of w w^T and of w rho^T + rho w^T in the Hessians of the potentials."""
        Z, g, y, b = slopes
        s2, s3 = (horner(self.derivatives[order], Z) for order in (2, 3))
        return g * s3 * y + b * s2, g * s2


jax.tree_util.register_dataclass(
    KKTObjective, data_fields=["W", "A", "offsets", "target", "weights", "scale", "derivatives"], meta_fields=["observed"]
)

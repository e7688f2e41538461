"""(S) for floating-point iterations: unknowns and equations scaled to size one, one scale gauge for each free scale."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.base.norms import row_sizes, size
from identify.conditions.witnesses.equations import Equations


class Scaled:
    """F(u) = 0 for the data whose right-hand side is that of given data.

    The unknowns u are those data's coordinates and multipliers, each kind divided by its root mean square; every
    equation is divided by the norm of its derivative at the given data, so that one entry of F is the relative change
    of the data that it stands for. ``gauge``: rows l_i with the equations l_i·z_i = const, to fix the scale of sample i
    if (S) leaves it free.
    """

    def __init__(self, equations: Equations, point: Float[np.ndarray, "n columns"], gauge: Float[np.ndarray, "n k"] | None = None) -> None:
        self.equations = equations
        self.shape = point.shape
        n, k = len(point), equations.W.shape[1]
        kinds = np.split(point, [k], axis=1)
        self.scale = np.hstack([np.full(part.shape, _size(part)) for part in kinds]).ravel()
        self.start = point.ravel() / self.scale
        self.target = equations.value(point)
        norms = row_sizes(equations.jacobian(point) * self.scale)
        self.weights = 1 / np.where(norms > 0, norms, 1.0)
        self.gauge = np.zeros((0, point.size))
        if gauge is not None:
            self.gauge = np.zeros((n, *self.shape))
            self.gauge[np.arange(n), np.arange(n), :k] = gauge
            self.gauge = self.gauge.reshape(n, -1) * self.scale
        self.gauge_target = self.gauge @ self.start

    def point(self, u: np.ndarray) -> Float[np.ndarray, "n columns"]:
        """Coordinates and multipliers, one row for each sample."""
        return (u * self.scale).reshape(self.shape)

    def value(self, u: np.ndarray) -> np.ndarray:
        return np.append(self.weights * (self.equations.value(self.point(u)) - self.target), self.gauge @ u - self.gauge_target)

    def jacobian(self, u: np.ndarray) -> np.ndarray:
        return np.vstack([self.weights[:, None] * self.equations.jacobian(self.point(u)) * self.scale, self.gauge])

    def batch(self, u: Float[np.ndarray, "starts unknowns"]) -> tuple[np.ndarray, np.ndarray]:
        """F and its Jacobian at many points at once: the columns of a Jacobian belong to one sample each, and F is linear in those of c."""
        (n, columns), k = self.shape, self.equations.W.shape[1]
        points = (u * self.scale).reshape(-1, columns)
        J = self.equations.jacobian(points).reshape(-1, len(u), n, columns).transpose(1, 0, 2, 3)
        values = np.einsum("bero,bro->be", J[..., k:], points.reshape(len(u), n, columns)[..., k:])
        J = self.weights[:, None] * J.reshape(len(u), -1, n * columns) * self.scale
        F = self.weights * (values - self.target)
        held = np.broadcast_to(self.gauge, (len(u), *self.gauge.shape))
        return np.hstack([F, u @ self.gauge.T - self.gauge_target]), np.concatenate([J, held], axis=1)

    def error(self, u: np.ndarray) -> float:
        """The largest entry of F; infinite if it overflows."""
        worst = float(np.abs(self.value(u)).max())
        return worst if np.isfinite(worst) else np.inf


def _size(part: np.ndarray) -> float:
    return size(part) / np.sqrt(max(part.size, 1)) or 1.0

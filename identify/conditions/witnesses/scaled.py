"""(S) for floating-point iterations: unknowns and equations scaled to size one, one scale gauge for each free scale."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.conditions.witnesses.equations import Equations


class Scaled:
    """F(u) = 0 for the data whose right-hand side is that of given data.

    The unknowns u are those data's coordinates and multipliers, each kind divided by its root mean square; every
    equation is divided by the norm of its derivative at the given data, so that one entry of F is the relative change
    of the data that it stands for. ``gauge``: rows l_i with the equations l_i·z_i = const, to fix the scale of sample i
    where (S) leaves it free.
    """

    def __init__(self, equations: Equations, point: Float[np.ndarray, "n columns"], gauge: Float[np.ndarray, "n k"] | None = None) -> None:
        self.equations = equations
        self.shape = point.shape
        n, k = len(point), equations.W.shape[1]
        kinds = np.split(point, [k], axis=1)
        self.scale = np.hstack([np.full(part.shape, _size(part)) for part in kinds]).ravel()
        self.start = point.ravel() / self.scale
        self.target = equations.value(point)
        norms = np.linalg.norm(equations.jacobian(point) * self.scale, axis=1)
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

    def error(self, u: np.ndarray) -> float:
        """The largest entry of F; infinite where it overflows."""
        worst = float(np.abs(self.value(u)).max())
        return worst if np.isfinite(worst) else np.inf


def _size(part: np.ndarray) -> float:
    return float(np.sqrt(np.mean(part**2))) or 1.0 if part.size else 1.0

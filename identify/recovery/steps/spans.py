r"""The path taken as known, and all signals free: every row of the second layer's change is a combination of hidden activations along it.

A signal :math:`u_{ik}(t)` that is a polynomial in t of degree below K, beside the weight of the sample in step t, leaves

.. math:: \Delta_k = \sum_i \sum_{a < K} c_{kia} H_{ia}, \qquad H_{ia} = \sum_t w_{ti}\, \phi_a(t)\, \tilde h(W_1(t) x_i + b_1(t)),

the same :math:`H_{ia}` for all neurons k. Their coefficients are eliminated (variable projection, Golub & Pereyra 1973, in the form of
Kaufman 1975), and normal equations are products of small matrices. What the signals really are plays no part, only the span of the
:math:`H_{ia}`: so the steps come from farther than those for all equations, if slopes do not jump.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr

from identify.recovery.steps.training import Path, Training

DEGREES = 3
"""K, if there are so many steps."""
INNER = 3
"""Gauss-Newton steps for one path, at most."""
DEPENDENT = 1e-9
"""Combinations of hidden activations that are smaller than this, relative to the largest, are left out."""
RIDGE, FIRST, RAISED, MOST = 1e-12, 1e-4, 10.0, 1e3
"""Damping relative to the diagonal: always, at first when a step does not help, its growth, and its bound."""


@dataclass(frozen=True, eq=False)
class Spans:
    """These equations for one path."""

    training: Training
    path: Path

    @cached_property
    def moments(self) -> Float[np.ndarray, "n K T"]:
        """Weights of the steps in each combination, for each sample."""
        t = np.linspace(-1.0, 1.0, self.training.n_steps)
        polynomials = np.linalg.qr(np.vander(t, min(DEGREES, len(t)), increasing=True))[0].T
        return polynomials[None] * self.training.shares.T[:, None]

    @cached_property
    def targets(self) -> Float[np.ndarray, "rows columns"]:
        """Rows with the same second moments as those of the change."""
        training = self.training
        change = training.after[1] - training.before[1] * training.system.kept(training.n)
        reduced = np.asarray(np.linalg.qr(change, mode="r")) if change.shape[0] > change.shape[1] else change
        return reduced / np.linalg.norm(change)

    def solve(self, eta: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n r"]:
        """Coordinates after damped Gauss-Newton steps; those that were given if nothing is gained."""
        cost, damping = self._cost(eta), 0.0
        for _ in range(INNER):
            gram, gradient = self._normal(eta)
            while True:
                damped = gram + np.diag(np.diag(gram) * (RIDGE + damping) + np.finfo(float).tiny)
                trial = eta + np.linalg.solve(damped, gradient).reshape(len(eta), -1) @ self.training.basis.T
                after = self._cost(trial)
                if after < cost:
                    break
                damping = max(RAISED * damping, FIRST)
                if damping > MOST:
                    return eta
            eta, cost, damping = trial, after, damping / RAISED if damping > FIRST else 0.0
        return eta

    def _combined(self, eta: Float[np.ndarray, "n r"]) -> tuple[Float[np.ndarray, "n K columns"], Float[np.ndarray, "T n m"]]:
        """The H, and what enters the first activation."""
        training = self.training
        sigma, offset = training.system.initial.activations[0], training.offsets[0]
        z = np.einsum("ir,tmr->tim", eta, self.path.first, optimize=True) + (0.0 if offset is None else offset)
        h = sigma(z)
        h = np.concatenate([h, np.ones((*h.shape[:2], 1))], axis=2) if training.lifted[1] else h
        return np.einsum("iat,tim->iam", self.moments, h, optimize=True), z

    @staticmethod
    def _orthonormal(rows: Float[np.ndarray, "nK columns"]) -> Float[np.ndarray, "columns rank"]:
        """A basis of their span."""
        sizes = np.maximum(np.linalg.norm(rows, axis=1), np.finfo(float).tiny)
        factor, triangle, _ = qr((rows / sizes[:, None]).T, mode="economic", pivoting=True, check_finite=False)
        pivots = np.abs(np.diag(triangle))
        return factor[:, pivots > DEPENDENT * pivots[0]]

    def _cost(self, eta: Float[np.ndarray, "n r"]) -> float:
        combined = self._combined(eta)[0]
        if not np.isfinite(combined).all():
            return np.inf
        basis = self._orthonormal(combined.reshape(-1, combined.shape[2]))
        return float(np.linalg.norm(self.targets - (self.targets @ basis) @ basis.T))

    def _normal(self, eta: Float[np.ndarray, "n r"]) -> tuple[Float[np.ndarray, "unknowns unknowns"], Float[np.ndarray, " unknowns"]]:
        training = self.training
        combined, z = self._combined(eta)
        (n, degrees, columns), q, targets = combined.shape, training.basis.shape[1], self.targets
        rows = combined.reshape(-1, columns)
        basis = self._orthonormal(rows)
        sizes = np.maximum(np.linalg.norm(rows, axis=1), np.finfo(float).tiny)
        fitted = np.linalg.lstsq((rows / sizes[:, None]).T, targets.T, rcond=DEPENDENT)[0] / sizes[:, None]
        slopes = training.system.initial.activations[0](z, order=1)
        moved = np.einsum("iat,tim,tmq->miaq", self.moments, slopes, self.path.first @ training.basis, optimize=True)
        flat = np.concatenate([moved.reshape(len(moved), -1), np.zeros((columns - len(moved), n * degrees * q))])
        flat -= basis @ (basis.T @ flat)
        missed = targets - (targets @ basis) @ basis.T
        weights = fitted @ missed
        moved = flat.reshape(columns, n, degrees, q)
        gradient = np.einsum("iam,miaq->iq", weights.reshape(n, degrees, columns), moved, optimize=True).reshape(-1)
        products = (fitted @ fitted.T).reshape(n, degrees, n, degrees)
        gram = np.zeros((n, q, n, q))
        for a in range(degrees):
            left = np.ascontiguousarray(moved[:, :, a]).reshape(columns, n * q)
            for b in range(a, degrees):
                right = left if a == b else np.ascontiguousarray(moved[:, :, b]).reshape(columns, n * q)
                part = (left.T @ right).reshape(n, q, n, q) * products[:, a, :, b].reshape(n, 1, n, 1)
                gram += part if a == b else part + part.transpose(2, 3, 0, 1)
        return gram.reshape(n * q, n * q), gradient

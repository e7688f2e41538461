r"""The equations for the multipliers of a KKT point: margins or closures (step 2 of :mod:`identify.planting.kkt_points`).

The neurons are eigenvectors that move with the multipliers; n equations, margins :math:`y_i f(x_i) = 1` or the logistic closure,
determine them. They are solved by Newton's method and a homotopy.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import exp, factorial, log, prod

import numpy as np
import scipy
from jaxtyping import Float

from identify.planting.eigenvectors import equations, row_norms, solve_each

MEAN_MARGIN = 3.0  # if decay can be chosen: near 1 samples sit close to the fold at which non-zero solutions end
MAX_SUBSETS = 10


@dataclass(frozen=True, eq=False)
class MultiplierEquations:
    """Step 2, for samples scaled to unit norm. The geometry depends on kappa = lambda / decay alone.

    Unknowns: x_i = log(|s| kappa_i |x_i|^p), log decay, and z for each neuron. A neuron is rho v and a = sign rho^p q, with
    v = sign sum_i gamma_i z_i^(p-1) x_i, q = |v|^2 = sign sum_i gamma_i z_i^p and rho = (p q)^(-1/(2p-2)). Margins are
    homogeneous in kappa, of degree -(p+1)/(p-1).
    """

    gram: Float[np.ndarray, "n n"]
    powers: Float[np.ndarray, " n"]  # |x_i|^p
    labels: Float[np.ndarray, " n"]
    degree: int
    factor: float
    regime: str
    decay: float | None

    def gamma(self, x: np.ndarray) -> np.ndarray:
        return np.sign(self.factor) * self.labels * np.exp(x)

    def log_kappa(self, x: np.ndarray) -> np.ndarray:
        return x - np.log(abs(self.factor) * self.powers)

    def parts(self, x, z, signs) -> tuple[np.ndarray, np.ndarray]:
        """y_i f_j(x_i), one row per neuron, and q."""
        p = self.degree
        q = signs * (z**p @ self.gamma(x))
        return self.factor * self.labels * self.powers * (signs * (p**p * q) ** (-1 / (p - 1)))[:, None] * z**p, q

    def correct(self, x, z, signs) -> tuple[np.ndarray, np.ndarray, bool]:
        """Newton's method for the neurons at fixed multipliers: z, Jacobians, and whether every neuron stayed on its path."""
        start = z
        for _ in range(8):
            F, J = equations(self.gram, self.gamma(x), signs, z, self.degree)
            step = solve_each(J, F)
            z = z - step
            size = np.max(row_norms(step) / row_norms(z))
            if size < 1e-13:
                break
        on_path = size < 1e-10 and np.max(row_norms(z - start) / row_norms(z)) < 0.1
        return z, equations(self.gram, self.gamma(x), signs, z, self.degree)[1], bool(on_path)

    def residual(self, state, z, signs, J) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """n + 1 equations for (x, log decay), their Jacobian, and the derivatives of z by x."""
        p, n, x = self.degree, len(self.labels), state[:-1]
        parts, q = self.parts(x, z, signs)
        force = self.gamma(x) * z ** (p - 1)
        dz = np.linalg.solve(J, signs[:, None, None] * self.gram * force[:, None, :])
        dq = signs[:, None] * (force * z + p * np.einsum("mi,mik->mk", force, dz))
        ratio = np.divide(parts, z, out=np.zeros_like(z), where=z != 0)
        margins = parts.sum(axis=0)
        slope = p * np.einsum("mi,mik->ik", ratio, dz) - np.einsum("mi,mk->ik", parts, dq / q[:, None]) / (p - 1)
        if self.regime == "max-margin":
            R, dR = np.append(margins - 1, 0), np.eye(n + 1)
            dR[:n, :n] = slope
            return R, dR, dz
        R, dR = np.append(state[n] + self.log_kappa(x) + log(n) + np.logaddexp(0, margins), 0), np.eye(n + 1)
        dR[:n, :n] += scipy.special.expit(margins)[:, None] * slope
        dR[:n, n] = 1
        if self.decay is None:
            R[n], dR[n, :n], dR[n, n] = margins.mean() - MEAN_MARGIN, slope.mean(axis=0), 0
        return R, dR, dz

    def start(self, x, z, signs) -> tuple[np.ndarray, np.ndarray]:
        """(x, log decay) and z rescaled, so that the equations hold on average."""
        p, log_decay, level = self.degree, 0.0, 1.0 if self.regime == "max-margin" else MEAN_MARGIN
        e, mean = (p - 1) / (p + 1), max(self.parts(x, z, signs)[0].sum(axis=0).mean(), 1e-3)
        if self.regime == "weight-decay":
            # With all margins m, log decay = e log m - log(1 + exp m) - base: two solutions m below one maximum.
            base = self.log_kappa(x).mean() + e * log(mean) + log(len(x))
            if self.decay is None:
                log_decay = e * log(level) - np.logaddexp(0, level) - base
            else:
                log_decay = log(self.decay)

                def excess(m):
                    return e * log(m) - np.logaddexp(0, m) - base - log_decay

                level = scipy.optimize.brentq(lambda m: e - m * scipy.special.expit(m), 1e-3, 10)
                level = scipy.optimize.brentq(excess, level, 1e4) if excess(level) > 0 else level
        shift = e * log(mean / level)
        return np.append(x + shift, log_decay), z * exp(-shift / (p - 2))

    def solve(self, x, z, signs) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Homotopy residual = (1 - h) * residual at the start, h from 0 to 1: (x, log decay), z, None.

        If it gets stuck: the last point, and for each neuron the smallest singular value of its equations (0 at a fold).
        """
        with np.errstate(all="ignore"):
            state, z = self.start(x, z, signs)
            z, J, _ = self.correct(state[:-1], z, signs)
            first = self.residual(state, z, signs, J)[0]
            h, step = 0.0, 1.0
            while h < 1:
                new = self.newton(state, z, signs, (1 - h - step) * first)
                if new:
                    state, z, J = new
                    h, step = h + step, min(2 * step, 1 - h - step)
                elif step > 1e-3:
                    step /= 2
                else:
                    return state, z, np.linalg.svd(J, compute_uv=False)[:, -1]
        return state, z, None

    def newton(self, state, z, signs, target) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Newton's method for residual = target; None if it fails or a neuron jumps to another path."""
        size = np.inf
        for _ in range(15):
            z, J, on_path = self.correct(state[:-1], z, signs)
            if not on_path:
                return None
            R, dR, dz = self.residual(state, z, signs, J)
            if not (np.isfinite(dR).all() and np.isfinite(R).all()):
                return None
            if size < 1e-11:
                return (state, z, J) if np.abs(target - R).max() < 1e-9 * max(1, np.abs(target).max()) else None
            step = np.linalg.lstsq(dR, target - R)[0]
            size = np.abs(step).max()
            if size > 1:
                return None
            state, z = state + step, z + dz @ step[:-1]
        return None

    def subsets(self, x, z, signs, width: int) -> list[np.ndarray]:
        """Those of 100 random subsets that determine the p-th moment best and respond to every sample, best first."""
        rng = np.random.default_rng(0)
        parts = np.maximum(self.parts(x, z, signs)[0], 0)
        v = (signs[:, None] * self.gamma(x) * z ** (self.degree - 1)) @ np.linalg.cholesky(self.gram)
        rows = moment_rows(v, self.degree)
        scored = []
        for chosen in np.unique([np.sort(rng.permutation(len(z))[:width]) for _ in range(100)], axis=0):
            service = parts[chosen].sum(axis=0)
            scored.append((conditioning(rows[chosen]) * service.min() / service.max(), chosen))
        return [chosen for _, chosen in sorted(scored, key=lambda pair: -pair[0])[:MAX_SUBSETS]]


def moment_rows(V: Float[np.ndarray, "m r"], p: int) -> Float[np.ndarray, "m r N"]:
    """For each u = v/|v| the map M -> M(u, ..., u, .) on symmetric tensors, in the orthonormal basis of symmetrised monomials."""
    U = V / row_norms(V)[:, None]
    index = np.array(list(combinations_with_replacement(range(U.shape[1]), p)))
    rows = np.zeros((*U.shape, len(index)))
    for position in range(p):
        rows[:, index[:, position], np.arange(len(index))] += U[:, np.delete(index, position, axis=1)].prod(axis=2)
    return rows * np.sqrt([factorial(p) / prod(factorial(k) for k in np.bincount(row)) for row in index]) / p


def conditioning(rows: Float[np.ndarray, "m r N"]) -> float:
    """Inverse condition number of the interpolation matrix in these coordinates, 0 below rounding."""
    values = np.linalg.svd(rows.reshape(-1, rows.shape[2]), compute_uv=False)
    return float(values[-1] / values[0]) if values[-1] > 1e-12 * values[0] else 0.0

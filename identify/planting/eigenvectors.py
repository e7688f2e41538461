r"""Real Z-eigenvectors of a symmetric tensor with a known decomposition (step 1 of :mod:`identify.planting.kkt_points`).

For :math:`T = \sum_i \gamma_i x_i^{\otimes p}` with Gram matrix G of the :math:`x_i`, the eigenvectors are the solutions of
:math:`z = \pm G (\gamma \circ z^{p-1})`, found by following all complex ones from orthonormal samples, for which they are explicit.
"""

from __future__ import annotations

from itertools import product
from math import log10

import numpy as np
import scipy
from jaxtyping import Complex, Float

from identify.base.errors import InputError

MAX_PATHS = 5000
MAX_DIGITS = 12
"""Most digits with which a number of eigenvectors is written out."""


class PlantingError(InputError):
    """No exactly stationary network with the requested sizes was found; the message names an alternative.

    Attributes
    ----------
    available
        Number of neurons that are possible; None if the search did not get that far.
    """

    def __init__(self, message: str, available: int | None = None):
        super().__init__(message)
        self.available = available


def count_eigenvectors(n: int, p: int) -> int:
    """((p - 1)^n - 1)/(p - 2), the number of complex ones; raises PlantingError for more than are followed."""
    if n * log10(p - 1) < MAX_DIGITS and (count := ((p - 1) ** n - 1) // (p - 2)) <= MAX_PATHS:
        return count
    many = f"{count}" if n * log10(p - 1) < MAX_DIGITS else f"about 10^{n * log10(p - 1):.0f}"
    raise PlantingError(
        f"samples: {n} samples at degree {p} have {many} complex eigenvectors, and at most {MAX_PATHS} are followed; "
        "take fewer samples or a lower degree"
    )


def eigenvectors(gram: np.ndarray, gamma: np.ndarray, p: int) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, " m"]]:
    """Step 1: all real solutions of z = sign G (gamma z^(p-1)), z != 0, up to scale, and their signs (1 for odd p)."""
    n = len(gamma)
    with np.errstate(all="ignore"):
        for attempt in range(3):
            z = _follow(gram, gamma, p, phase=np.exp(1j * (1.1 + attempt)), tolerance=0.05 / 10**attempt)
            z = z / (z @ np.cos(1 + np.arange(n)))[:, None]  # a linear form that no eigenvector is likely to annihilate
            twins = scipy.spatial.cKDTree(np.hstack([z.real, z.imag])).query_pairs(1e-7)
            if len(z) == count_eigenvectors(n, p) and not twins:
                break
        z = np.delete(z, sorted({j for _, j in twins}), axis=0)
        z = z[row_norms(z.imag) < 1e-7 * row_norms(z)].real
        z /= row_norms(z)[:, None]
        mu = np.sum(z * ((gamma * z ** (p - 1)) @ gram), axis=1)
        z *= np.abs(mu)[:, None] ** (-1 / (p - 2))
    signs = np.sign(mu)
    return (z * signs[:, None], np.ones(len(z))) if p % 2 else (z, signs)


def _orthonormal(gamma: Complex[np.ndarray, " n"], p: int) -> Complex[np.ndarray, "P n"]:
    """All complex solutions of z = gamma z^(p-1) up to scale: zero, or a root of z^(p-2) = 1 / gamma, for each sample."""
    digits = [k for k in product(range(p - 1), repeat=len(gamma)) if next(filter(None, k), 0) == 1]  # 0: zero; k: root k - 1
    roots = np.append(0, np.exp(2j * np.pi * np.arange(p - 2) / (p - 2)))
    return roots[np.array(digits)] * gamma ** (-1 / (p - 2))


def _follow(gram: np.ndarray, gamma: np.ndarray, p: int, phase: complex, tolerance: float) -> Complex[np.ndarray, "P n"]:
    """Solutions of z = G(t) (gamma z^(p-1)) from G(0) = phase * identity to G(1) = gram; each path has its own step."""
    start = phase * np.eye(len(gamma))
    change = gram - start
    z = _orthonormal(phase * gamma, p)
    t, h, one = np.zeros(len(z)), np.full(len(z), 0.1), np.ones(1)
    for _ in range(5000):
        k = np.flatnonzero((t < 1) & (h > 1e-8))
        if not len(k):
            break
        now, new = t[k], np.minimum(t[k] + h[k], 1)
        _, J = equations(start + now[:, None, None] * change, gamma, one, z[k], p)
        guess = z[k] + (new - now)[:, None] * solve_each(J, (gamma * z[k] ** (p - 1)) @ change)
        end = guess
        for _ in range(3):
            F, J = equations(start + new[:, None, None] * change, gamma, one, end, p)
            step = solve_each(J, F)
            end = end - step
        far = row_norms(end - guess) / (tolerance * row_norms(end))
        good = (far < 1) & (row_norms(step) < 1e-9 * row_norms(end))
        z[k[good]], t[k[good]] = end[good], new[good]
        h[k] *= np.where(good, np.where(far < 0.1, 2, 1), 0.5)
    return z[t == 1]


def equations(gram: np.ndarray, gamma: np.ndarray, signs: np.ndarray, z: np.ndarray, p: int) -> tuple[np.ndarray, np.ndarray]:
    """z - sign G (gamma z^(p-1)) and its Jacobian, for every row of z."""
    power = signs[:, None] * gamma * z ** (p - 2)
    return z - (gram @ (power * z)[..., None])[..., 0], np.eye(len(gamma)) - (p - 1) * gram * power[:, None, :]


def solve_each(J: np.ndarray, F: np.ndarray) -> np.ndarray:
    return np.linalg.solve(J, F[..., None])[..., 0]


def row_norms(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows, axis=1)

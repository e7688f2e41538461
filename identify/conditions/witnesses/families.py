r"""Families of data with the same target in closed form.

* *rotation* (degree 2, one output): with :math:`D = \mathrm{diag}(c)`, every P with :math:`P^\top D P = D` sends
  :math:`\tilde X = [X, 1]` to :math:`P\tilde X`, which has the same :math:`\tilde X^\top D \tilde X`, that is the same
  moments of degree 0, 1 and 2. Dividing each row by its last entry :math:`\rho_i` gives samples with multipliers
  :math:`c_i\rho_i^2`. The Cayley transform of :math:`S = s D^{-1} K`, K skew, is such a P for every small s.
* *scaling* (two visible degrees k < p and more samples than moments of degree k): :math:`t_i = q_i^{-1/(p-k)}` with
  :math:`\sum_i (q_i - 1) c_i x_i^{\otimes k} = 0`, a linear family in q.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from identify.conditions.setting import Setting
from identify.problem.interpolation import Monomials
from identify.problem.verdict import Witness


def rotation(setting: Setting) -> Witness:
    """The rotation family, for degree 2, one output and at least two samples."""
    X, c = numbers(setting)
    n = len(X)
    tall = X if setting.instance.degrees == (2,) else np.hstack([X, np.ones((n, 1))])
    fixed = n - np.linalg.matrix_rank(tall)
    dimension = n * (n - 1) // 2 - fixed * (fixed - 1) // 2
    draw = np.random.default_rng(setting.seed).standard_normal((n, n))
    skew = (draw - draw.T) * np.abs(c).mean() / np.sqrt(n)

    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        S = s * skew / c
        P = np.linalg.solve(np.eye(n) - S, np.eye(n) + S)
        rho = P.sum(axis=1, keepdims=True)
        return P @ X / rho, c * rho**2

    return _with_example(
        setting,
        "rotation",
        int(dimension),
        "X' = P X / ρ, c' = c ρ², with ρ = P·1 and P = (I − S)⁻¹(I + S), S = s·diag(c)⁻¹K, K any skew-symmetric matrix; every "
        "such data set has the same moments of degree 0, 1 and 2",
        family,
    )


def scaling(setting: Setting) -> Witness:
    """The scaling family, for two visible degrees and more samples than moments of the lower one."""
    X, c = numbers(setting)
    low, p = setting.instance.degrees
    powers = Monomials.of(X.shape[1], low).values(X, lambda value: value)
    matrix = (c[:, :, None] * powers[:, None, :]).reshape(len(X), -1)
    kernel = np.linalg.svd(matrix.T)[2][-1]
    kernel = kernel / np.abs(kernel).max()

    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        t = (1 + s * kernel) ** (-1 / (p - low))
        return t[:, None] * X, t[:, None] ** float(-p) * c

    return _with_example(
        setting,
        "scaling",
        len(X) - matrix.shape[1],
        f"(t_i x_i, t_i^−{p} c_i) with t_i = q_i^(−1/{p - low}) and Σ_i (q_i − 1) c_i x_i^(⊗{low}) = 0: the moments of degree {low} and "
        f"{p} stay the same",
        family,
    )


def _with_example(setting: Setting, kind: str, dimension: int, description: str, family: Callable) -> Witness:
    """A witness with one other member of its family, far enough to be seen, and the change of target that rounding makes."""
    original = family(0.0)
    example = family(0.3)
    system = setting.system
    residual = None
    if system is not None:
        t = system.right_hand_side(*original)
        residual = float(np.linalg.norm(system.right_hand_side(*example) - t) / np.linalg.norm(t))
    return Witness(kind, dimension, description, family, original, example, residual)


def numbers(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Data to show the family with: those given, or a random instance, for a statement about generic or unknown data."""
    if setting.data is not None:
        return setting.data
    rng = np.random.default_rng(setting.seed)
    instance = setting.instance
    X = rng.standard_normal((instance.n_samples, instance.n_inputs))
    return X, rng.choice([-1.0, 1.0], (instance.n_samples, 1)) * rng.uniform(0.5, 1.5, (instance.n_samples, instance.n_outputs))

r"""Families of data with the same target in closed form.

* *rotation* (degree 2, one output): with :math:`D = \mathrm{diag}(c)`, every P with :math:`P^\top D P = D` sends
  :math:`\tilde X = [X, 1]` to :math:`P\tilde X`, which has the same :math:`\tilde X^\top D \tilde X`, that is the same
  moments of degree 0, 1 and 2. Dividing each row by its last entry :math:`\rho_i` gives samples with multipliers
  :math:`c_i\rho_i^2`. The Cayley transform of :math:`S = s D^{-1} K`, K skew, is such a P for every small s.
* *scaling* (two visible degrees k < p and more samples than moments of degree k): :math:`t_i = q_i^{-1/(p-k)}` with
  :math:`\sum_i (q_i - 1) c_i x_i^{\otimes k} = 0`, a linear family in q.

Dimensions come from exact ranks. By Witt's theorem the rotations of :math:`\tilde X` of rank r are all matrices of the same
kernel with the same :math:`\tilde X^\top D \tilde X`, also where that is singular: a family of dimension :math:`nr - r(r+1)/2`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from identify.base.limits import OutOfTimeError, TooLargeError
from identify.base.norms import relative_size
from identify.conditions.setting import Setting
from identify.exact.modular import Arithmetic, RankResult, certified_rank
from identify.problem.interpolation import Monomials, moment_count
from identify.problem.system import KKTSystem
from identify.problem.verdict import Witness

LARGEST = 1000
"""Samples, at most, for which a member of a family is computed."""


@dataclass(frozen=True)
class Dimension:
    """The dimension of a family modulo the ambiguity, and how it is known: ``error_bound`` belongs to ``MONTE_CARLO``."""

    value: int
    arithmetic: Arithmetic = Arithmetic.PROOF
    error_bound: float = 0.0
    is_lower_bound: bool = False

    def __str__(self) -> str:
        return f"at least {self.value}" if self.is_lower_bound else str(self.value)


def _exact(rank: RankResult, dimension: Callable[[int], int], least: int) -> Dimension:
    """The dimension that belongs to a rank; the lower bound where that rank is not established."""
    if not rank.arithmetic.is_rigorous:
        return Dimension(least, is_lower_bound=True)
    return Dimension(dimension(rank.rank), rank.arithmetic, rank.error_bound)


def rotation_dimension(setting: Setting) -> Dimension:
    """The dimension of the rotation family. Cost: a rank modulo a prime of the samples."""
    instance, n = setting.instance, setting.instance.n_samples
    lifts = instance.degrees != (2,)
    most = min(n, instance.coordinates + lifts)
    is_whole = setting.is_lifted or not lifts  # other degrees than these show less, and leave more

    def dimension(r: int) -> int:
        return n * r - r * (r + 1) // 2

    if setting.data_are_unknown:
        return Dimension(n - 1, is_lower_bound=True)
    if not instance.data_are_given:
        return Dimension(dimension(most), is_lower_bound=not is_whole)

    def samples(q: int, rng: np.random.Generator) -> np.ndarray:
        point = instance.at(q, rng)
        return point.lifted_X if lifts else point.X

    try:
        rank = certified_rank(samples, most, seed=setting.seed + 19, minors=instance.minor_bound(most))
    except (TooLargeError, OutOfTimeError):
        return Dimension(n - 1, is_lower_bound=True)
    found = _exact(rank, dimension, n - 1)
    return Dimension(found.value, found.arithmetic, found.error_bound, found.is_lower_bound or not is_whole)


def scaling_dimension(setting: Setting) -> Dimension:
    """The dimension of the scaling family: n less the rank of the terms of the lower degree."""
    instance, n = setting.instance, setting.instance.n_samples
    low = instance.degrees[:1]
    moments = moment_count(instance.n_inputs, low, instance.n_outputs)
    if not instance.data_are_given:
        return Dimension(n - moments)
    try:
        rank = certified_rank(
            lambda q, rng: instance.at(q, rng).features(low, multipliers=True, rng=rng),
            moments,
            seed=setting.seed + 23,
            minors=instance.minor_bound(moments),
        )
    except (TooLargeError, OutOfTimeError):
        return Dimension(n - moments, is_lower_bound=True)
    return _exact(rank, lambda r: n - r, n - moments)


def rotation(setting: Setting) -> tuple[Witness, Dimension]:
    """The rotation family, for degree 2, one output and at least two samples."""
    description = (
        "X' = P X / ρ, c' = c ρ², with ρ = P·1 and P = (I − S)⁻¹(I + S), S = s·diag(c)⁻¹K, K any skew-symmetric matrix; every "
        "such data set has the same moments of degree 0, 1 and 2"
    )
    dimension = rotation_dimension(setting)
    if setting.instance.n_samples > LARGEST:
        return Witness("rotation", dimension.value, description), dimension
    X, c = numbers(setting)
    n = len(X)
    draw = np.random.default_rng(setting.seed).standard_normal((n, n))
    skew = (draw - draw.T) * np.abs(c).mean() / np.sqrt(n)

    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        S = s * skew / c
        P = np.linalg.solve(np.eye(n) - S, np.eye(n) + S)
        rho = P.sum(axis=1, keepdims=True)
        return P @ X / rho, c * rho**2

    return _with_example(setting, "rotation", dimension.value, description, family), dimension


def scaling(setting: Setting) -> tuple[Witness, Dimension]:
    """The scaling family, for two visible degrees and more samples than moments of the lower one."""
    low, p = setting.instance.degrees
    description = (
        f"(t_i x_i, t_i^−{p} c_i) with t_i = q_i^(−1/{p - low}) and Σ_i (q_i − 1) c_i x_i^(⊗{low}) = 0: the moments of degree {low} and "
        f"{p} stay the same"
    )
    dimension = scaling_dimension(setting)
    if setting.instance.n_samples > LARGEST:
        return Witness("scaling", dimension.value, description), dimension
    X, c = numbers(setting)
    powers = Monomials.of(X.shape[1], low).values(X, lambda value: value)
    matrix = (c[:, :, None] * powers[:, None, :]).reshape(len(X), -1)
    kernel = np.linalg.svd(matrix.T)[2][-1]
    kernel = kernel / np.abs(kernel).max()

    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        t = (1 + s * kernel) ** (-1 / (p - low))
        return t[:, None] * X, t[:, None] ** float(-p) * c

    return _with_example(setting, "scaling", dimension.value, description, family), dimension


def _with_example(setting: Setting, kind: str, dimension: int, description: str, family: Callable) -> Witness:
    """A witness with one other member of its family, far enough to be seen, and the change of target that rounding makes."""
    original = family(0.0)
    example = family(0.3)
    system = setting.system
    residual = None if system is None else change_of_target(system, example, original)
    return Witness(kind, dimension, description, family, original, example, residual)


def change_of_target(system: KKTSystem, data: tuple, reference: tuple) -> float | None:
    """The relative difference of the targets of two data sets, in doubles; None if it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        t = system.right_hand_side(*reference)
        change = relative_size(system.right_hand_side(*data) - t, t)
    return change if np.isfinite(change) else None


def numbers(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Data to show the family with: those given, or a random instance, for a statement about generic or unknown data."""
    if setting.data is not None:
        return setting.data
    rng = np.random.default_rng(setting.seed)
    instance = setting.instance
    X = rng.standard_normal((instance.n_samples, instance.n_inputs))
    return X, rng.choice([-1.0, 1.0], (instance.n_samples, 1)) * rng.uniform(0.5, 1.5, (instance.n_samples, instance.n_outputs))

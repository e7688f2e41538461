r"""How many samples the first-layer target shows: one numerical rank, for check, recover and audit.

The rows of the target, lifted by the bias target if that is observed, are :math:`T = G \tilde X` with one row of
:math:`\tilde X` for each sample (x, or (x, 1)). So n is at least the rank of T, and equal to it when the samples are independent;
with a bias the lifted rows count, because x, 2x and y are dependent while (x, 1), (2x, 1) and (y, 1) are not. Floating point:
evidence, never proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.problem.system import KKTSystem

GAP = 100.0
"""Drop of the singular values of the target that is taken as its rank, if it is the largest drop."""
ROUNDING = 2.0**-52
"""Singular values below this, relative to the largest, count as rounding: no drop is seen among them."""

SURE = 4.0
"""Units of rounding up to which what is left is rounding beyond doubt: a gradient that is computed in a format leaves less than one
unit of it (float32: ``tests/recovery/test_counting.py``). More than that may be another sample that is hardly seen."""
LOUD = 100.0
"""Singular values are not rounding above so many units of that, relative to the largest."""
EDGE, FLAT, LEAST_NOISE = 1.05, 1.5, 10
"""Singular values of noise exceed their limit by the first factor at most, the mean of their fourth powers its own by the second; and so
many of them have to be seen."""
NARROW_EDGE, LEAST_NARROW, LONG = 1.2, 4, 4
"""Fewer are enough, from the second number on, if noise leaves them so many times as many dimensions on the other side: then its limits
are close to each other, and all lie between these, up to the first factor."""


class Rest(StrEnum):
    """What singular values behind a rank are."""

    NONE = "none"
    ROUNDING = "rounding"
    NOISE = "noise"
    """Above rounding, with the singular values of independent entries."""
    OPEN = "open"
    """Above rounding, and too few, or too different, to tell noise from further samples with weaker signals."""


def rest_behind(values: Float[np.ndarray, " k"], rank: int, shape: tuple[int, int], rounding: float) -> Rest:
    """What a matrix with these singular values leaves behind a rank.

    ``shape``: without its rows and columns of zeros. ``rounding``: the largest singular value that rounding explains.
    """
    rest = values[rank : min(shape)]
    if not len(rest):
        return Rest.NONE
    if rest[0] <= rounding:
        return Rest.ROUNDING
    p, q = min(shape) - rank, max(shape) - rank
    if p < LEAST_NOISE:
        spread = np.linalg.norm(rest / rest[0]) / (p * q) ** 0.5
        low, high = spread * (q**0.5 - p**0.5), spread * (q**0.5 + p**0.5)
        is_noise = p >= LEAST_NARROW and q >= LONG * p and NARROW_EDGE * high >= 1 and rest[-1] / rest[0] >= low / NARROW_EDGE
    else:
        is_noise = _is_noise((rest / rest[0]) ** 2, p, q) or ((begins := noise_rank(values, shape)) is not None and begins <= rank)
    return Rest.NOISE if is_noise else Rest.OPEN


def is_count_open(behind: Sequence[str]) -> bool:
    """Whether the updates may hold further samples: the rest of one may, and that of no other is seen to be noise."""
    return Rest.OPEN in behind and Rest.NOISE not in behind


def noise_rank(values: Float[np.ndarray, " k"], shape: tuple[int, int]) -> int | None:
    r"""How many singular values stand out of noise that is alike in all entries; None if they do not end in such noise.

    Those of m x D entries of standard deviation s reach from :math:`s|\sqrt D - \sqrt m|` to :math:`s(\sqrt D + \sqrt m)` (Marchenko and
    Pastur 1967; Bai and Yin 1993), and the fourth powers have a mean of :math:`1 + m/D` times the squared mean of the squares, m <= D. So
    the rank is the first number behind which both hold. ``shape``: of the update without its rows and columns of zeros.
    """
    m, D = min(shape), max(shape)
    if len(values[:m]) < LEAST_NOISE or not values[0] > 0:
        return None
    squares = (values[:m] / values[0]) ** 2
    energy, fourth = np.cumsum(squares[::-1])[::-1], np.cumsum(squares[::-1] ** 2)[::-1]
    beyond = range(len(squares) - max(LEAST_NOISE, len(squares) // 4))
    return next((k for k in beyond if _fits_noise(squares[k], energy[k], fourth[k], m - k, D - k)), None)


def _is_noise(squares: Float[np.ndarray, " p"], p: int, q: int) -> bool:
    """The same for all of these squared singular values of p x q entries."""
    return _fits_noise(squares[0], squares.sum(), (squares**2).sum(), p, q)


def _fits_noise(largest: float, energy: float, fourth: float, p: int, q: int) -> bool:
    """Whether the largest of p squared singular values, their sum, and that of their squares are those of noise in p x q entries."""
    spread = energy / (p * q)
    return bool(largest <= EDGE**2 * spread * (p**0.5 + q**0.5) ** 2 and fourth * p <= FLAT * (1 + p / q) * energy**2)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The numerical rank of the lifted first-layer target, and its singular values and right singular vectors.

    Attributes
    ----------
    rank
        The position of the largest drop, if that is by a factor of :data:`GAP` or more; else the number of singular values.
    gap
        That drop (dimensionless). At full rank: the smallest singular value in units of rounding.
    values
        Singular values, largest first.
    directions
        Right singular vectors, one for each row; None when only the values were asked for.
    shape
        Of the lifted target without its zero rows and columns: neurons, and inputs (plus one with observed biases).
    """

    rank: int
    gap: float
    values: Float[np.ndarray, " k"]
    directions: Float[np.ndarray, "k D"] | None
    shape: tuple[int, int]

    @classmethod
    def of(cls, system: KKTSystem, *, directions: bool = False) -> Spectrum:
        """Cost O(m D min(m, D)).

        Raises
        ------
        InputError
            When the first layer was not observed.
        """
        rows = target_rows(system)
        # silent inputs (the blank border of images) and dead neurons would add exact zeros behind the noise, and hide where that begins
        inputs, neurons = rows.any(axis=0), rows.any(axis=1)
        if not inputs.any():
            inputs, neurons = np.ones_like(inputs), np.ones_like(neurons)
        live = rows[neurons][:, inputs]
        vectors = None
        if directions:
            _, values, own = np.linalg.svd(live, full_matrices=False)
            vectors = np.zeros((len(own), rows.shape[1]))
            vectors[:, inputs] = own
        else:
            values = np.linalg.svd(live, compute_uv=False)
        rank, gap = numerical_rank(values)
        return cls(rank, gap, values, vectors, (live.shape[0], live.shape[1]))

    @property
    def is_full(self) -> bool:
        """Whether every singular value counts, so that more samples would not show."""
        return self.rank == len(self.values)

    def behind(self, samples: int, level: float) -> Spectrum:
        """The spectrum with that many samples as its rank, if all singular values behind them are below ``level``, relative to the largest.

        Rounding to few bits leaves a gap below :data:`GAP`, and its own singular values may drop far more: for someone who knows the number
        of samples the first of these places is where the noise begins.
        """
        if samples >= len(self.values) or samples == self.rank or not self.values[samples] <= level * self.values[0]:
            return self
        return replace(self, rank=samples, gap=float(self.values[samples - 1] / max(self.values[samples], np.finfo(float).tiny)))

    def rest(self, samples: int, unit: float) -> Rest:
        """What is left behind so many samples. ``unit``: unit roundoff of the numbers of the target."""
        return rest_behind(self.values, min(samples, self.rank), self.shape, SURE * unit * float(self.values[0]))

    @property
    def noise(self) -> float | None:
        """Noise relative to the target, from the singular values behind the rank; None at full rank, which does not show it.

        Noise that is alike in all entries fills the (m - r)(D - r) dimensions that the target leaves, and has the same mean square there.
        """
        m, D = self.shape
        if self.is_full or not self.values[0]:
            return None
        outside = np.sum((self.values[self.rank :] / self.values[0]) ** 2) / ((m - self.rank) * (D - self.rank))
        return float(np.sqrt(outside * m * D / np.sum((self.values / self.values[0]) ** 2)))


def target_rows(system: KKTSystem) -> Float[np.ndarray, "m D"]:
    """The first-layer target, one row for each neuron, with the bias target as a last column if it is observed."""
    first = system.updates[0]
    if first.W is None:
        raise InputError("samples: the first layer was not observed, so the number of samples cannot be estimated; pass samples=n")
    return first.W if first.bias is None else np.hstack([first.W, first.bias[:, None]])


def numerical_rank(values: Float[np.ndarray, " k"]) -> tuple[int, float]:
    """The rank that a decreasing list of singular values shows, and the gap behind it, as in :class:`Spectrum`; 0 for zeros."""
    if not len(values) or not values[0]:
        return 0, float("inf")
    floor = values[0] * ROUNDING
    floored = np.maximum(values, floor)
    drops = floored[:-1] / floored[1:]
    if not len(drops) or drops.max() < GAP:
        return len(values), float(floored[-1] / floor)
    at = int(drops.argmax())
    return at + 1, float(drops[at])

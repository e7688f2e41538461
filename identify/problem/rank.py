r"""How many samples the first-layer target shows: one numerical rank, for check, recover and audit.

The rows of the target, lifted by the bias target if that is observed, are :math:`T = G \tilde X` with one row of
:math:`\tilde X` for each sample (x, or (x, 1)). So n is at least the rank of T, and equal to it when the samples are independent;
with a bias the lifted rows count, because x, 2x and y are dependent while (x, 1), (2x, 1) and (y, 1) are not. Floating point:
evidence, never proof.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.problem.system import KKTSystem

GAP = 100.0
"""Drop of the singular values of the target that is taken as its rank, if it is the largest drop."""
ROUNDING = 2.0**-52
"""Singular values below this, relative to the largest, count as rounding: no drop is seen among them."""


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

"""How precisely a target is known, and so at which residual data may count as reproducing it.

Two traces tell: what the singular values of the first-layer target leave behind its numerical rank is noise; and numbers that a
shorter format holds exactly were rounded to it. Neither is a proof. A target of full rank shows no noise, so there the number
format alone is left, and someone who knows better says so (``tolerance`` of a recovery).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from identify.problem.rank import Spectrum
from identify.problem.system import SELF_TRAINED, KKTSystem

LARGEST = 1e-2
"""Relative residual above which data never count as a solution, unless a tolerance is given."""
SLACK = 10.0
"""A residual may exceed the noise by this factor: the noise of other rows than those that show it is not known."""
DIGITS_KEPT = 2 / 3
"""Share of the digits of a number format that is left after cancellation, at least."""
FULL_MANTISSAS = 0.25
"""Share of the numbers that must use the last bit of a format: of rounded numbers a half does, of small integers hardly any."""


class Source(StrEnum):
    """Where an estimate of the precision comes from."""

    FORMAT = "the number format of the target"
    GAP = "the singular values behind the rank of the first-layer target"
    MOMENTS = "the residual of the least-squares fit of the moments"


@dataclass(frozen=True)
class Precision:
    """An estimate of the relative noise of a target.

    Attributes
    ----------
    noise
        Root mean square of the errors of the target relative to that of the target (dimensionless).
    unit
        Unit roundoff of the number format that holds the target: 1.1e-16 for doubles.
    source
        What the estimate rests on.
    """

    noise: float
    unit: float
    source: Source

    @property
    def allowed(self) -> float:
        """The largest relative residual at which data reproduce the target to this precision."""
        return min(max(SLACK * self.noise, self.unit**DIGITS_KEPT), LARGEST)

    @classmethod
    def of(cls, system: KKTSystem, spectrum: Spectrum | None = None) -> Precision:
        """From the number format, and from the spectrum of the first-layer target, if it is given and shows noise."""
        unit = roundoff(system)
        noise = None if spectrum is None else spectrum.noise
        if noise is None:
            return cls(unit, unit, Source.FORMAT)
        return cls(max(noise, unit), unit, Source.GAP)


def roundoff(system: KKTSystem) -> float:
    """Unit roundoff of the shortest number format that holds the target, relative to it.

    A lazy target is a difference of parameters and carries their rounding; that of a self-trained network is a multiple of its parameters.
    """
    net = system.network
    if system.regime == "gradient":
        return format_of(system.target)
    unit = format_of(np.concatenate([net.W.reshape(-1), net.A.reshape(-1), net.offsets]))
    if system.regime in SELF_TRAINED:
        return unit
    size = np.linalg.norm(net.W) + np.linalg.norm(net.A) + np.linalg.norm(net.offsets)
    return float(np.clip(unit * size / np.linalg.norm(system.target), unit, LARGEST))


def format_of(numbers: Float[np.ndarray, " k"]) -> float:
    """Unit roundoff of float16, bfloat16, float32 or float64: the shortest that holds all of these numbers and is used by them."""
    numbers = numbers[numbers != 0]
    mantissas = np.frexp(numbers)[0]
    for bits in (8, 11, 24):
        scaled = mantissas * 2.0**bits
        whole = np.rint(scaled)
        if np.array_equal(scaled, whole) and np.mean(whole % 2 != 0) >= FULL_MANTISSAS:
            return 2.0**-bits
    return 2.0**-53

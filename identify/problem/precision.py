"""How precisely a target is known, and so at which residual data may count as reproducing it.

Two traces tell: what the singular values of the first-layer target leave behind its numerical rank is noise; and numbers that a
shorter format holds exactly were rounded to it. Neither is a proof. A target of full rank shows no noise, so there the number
format alone is left, and someone who knows better says so (``tolerance`` of a recovery).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

from identify.base.norms import relative_size
from identify.problem.rank import Spectrum
from identify.problem.system import SELF_TRAINED, KKTSystem

LARGEST = 1e-2
"""Relative residual above which data never count as a solution, unless a tolerance is given."""
SLACK = 10.0
"""A residual may exceed the noise by this factor: the noise of other rows than those that show it is not known."""
ROUNDED = 10.0
"""Singular values of rounded numbers are at most so many units of rounding, relative to the largest."""
DIGITS_KEPT = 2 / 3
"""Share of the digits of a number format that is left after cancellation, at least."""
AT_FIRST, AT_ONCE = 2**10, 2**16
"""Numbers whose last bits are looked at together, at first and later."""
LEAST_BITS = 8
"""Fewest bits of a mantissa that is taken for a number format: those of bfloat16."""
FULL_MANTISSAS = 0.35
"""Share of the numbers that use the last bit of a format for sure: of rounded numbers a half does, of small integers hardly any."""
LIKELIER = 6
"""Bits by which few numbers must be likelier to be rounded relative to their sizes than to have so many digits behind the point."""
SCALED_BITS = 26
"""Bits of the longest mantissa that is looked for in numbers relative to the largest one."""
DOUBLE = 2.0**-53


class Source(StrEnum):
    """The source of an estimate of the precision."""

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
    def of(cls, system: KKTSystem, spectrum: Spectrum | None = None, samples: int | None = None) -> Precision:
        """From the number format, and from the spectrum of the first-layer target, if it is given and shows noise.

        ``samples``: their number, if it is known: what lies behind it is rounding if it is as small as that of the number format.
        """
        unit = roundoff(system)
        if spectrum is not None and samples is not None:
            spectrum = spectrum.behind(samples, ROUNDED * unit)
        noise = None if spectrum is None else spectrum.noise
        if noise is None:
            return cls(unit, unit, Source.FORMAT)
        return cls(max(noise, unit), unit, Source.GAP)


def roundoff(system: KKTSystem) -> float:
    """Unit roundoff of the shortest number format that holds the target, relative to it.

    A lazy target is a difference of parameters and carries their rounding; that of a self-trained network is a multiple of its parameters.
    """
    if system.regime == "gradient":
        return format_of(*([system.target] if system.is_partial else system.parts.values()))
    parts = system.network.parameters.values()
    unit = format_of(*parts)
    if system.regime in SELF_TRAINED:
        return unit
    return float(np.clip(unit * sum(relative_size(part, system.target) for part in parts), unit, LARGEST))


def format_of(*parts: Float[np.ndarray, "..."]) -> float:
    """Unit roundoff of the shortest mantissa that holds all of these numbers and is used by them; 1.1e-16 if there is none below a double.

    Float32 (24 bits), float16 (11), bfloat16 (8), and any other number of bits from 8 on, of the numbers as they are or of each part
    relative to its largest number, as short formats are often sent. Of rounded numbers half use the last bit whatever their exponent; small
    integers, and what has so many digits behind the point, have their last bit at one place, so that smaller ones use fewer bits.
    """
    unit = _unit_of(parts)
    if unit != DOUBLE:
        return unit
    relative = []
    for part in sorted(parts, key=np.size):  # few numbers are enough to say no
        numbers = _relative_to_largest(part)
        if numbers is None:
            return DOUBLE
        relative.append(numbers)
    return _unit_of(relative)


def _unit_of(parts: Sequence[Float[np.ndarray, "..."]]) -> float:
    lowest, tops = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for part in parts:
        flat = part.reshape(-1)
        for start, end in _chunks(len(flat)):
            numbers = flat[start:end]
            fractions, exponents = np.frexp(numbers[numbers != 0])
            mantissas = np.abs(fractions * 2.0**53).astype(np.int64)
            lowest.append(mantissas & -mantissas)
            tops.append(exponents.astype(np.int64))
            if (lowest[-1] == 1).any():  # one number needs all bits of a double, whatever the others need
                return DOUBLE
    bits_last = np.concatenate(lowest)
    if not len(bits_last):
        return DOUBLE
    last = int(bits_last.min())
    bits = 54 - last.bit_length()
    if bits < LEAST_BITS:
        return DOUBLE
    used = float(np.mean(bits_last == last))
    return 2.0**-bits if used >= FULL_MANTISSAS or _is_floating(np.concatenate(tops), bits_last) else DOUBLE


def _chunks(size: int) -> list[tuple[int, int]]:
    """A short first piece, in which most doubles show themselves, and long ones."""
    starts = [0, *range(AT_FIRST, size, AT_ONCE)]
    return list(pairwise([*starts, size]))


def _is_floating(tops: Int[np.ndarray, " k"], lowest: Int[np.ndarray, " k"]) -> bool:
    """Whether few numbers are likelier rounded relative to their sizes than at one place: each unused bit halves the likelihood."""
    unused = np.log2(lowest.astype(float)).astype(np.int64)
    places = tops + unused
    return bool(np.sum(places - places.min()) >= np.sum(unused - unused.min()) + LIKELIER)


def _relative_to_largest(part: Float[np.ndarray, "..."]) -> Float[np.ndarray, " k"] | None:
    """The numbers over the largest, if short mantissas hold them up to the rounding of the product and the quotient; else None."""
    flat = part.reshape(-1)
    largest = float(np.abs(flat).max(initial=0.0))
    if not 0 < largest < np.inf:
        return np.zeros(0) if largest == 0 else None
    found = []
    for start, end in _chunks(len(flat)):
        fractions, exponents = np.frexp(flat[start:end] / largest)
        short = np.round(fractions * 2.0**SCALED_BITS) / 2.0**SCALED_BITS
        if not (np.abs(fractions - short) <= 2.0**-51).all():
            return None
        found.append(np.ldexp(short, exponents))
    return np.concatenate(found)

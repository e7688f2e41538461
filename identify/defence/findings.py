"""The statement of a curve of a defence in one sentence: from which level on it hides, and whether its estimates were confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Advised(StrEnum):
    """Whether a defence hides the samples, by the first-order estimate."""

    FROM = "from a level on"
    AT = "at some levels"
    ONE_STEP = "against an attack that takes the change for one step only"
    NEVER = "at none of the levels"
    UNKNOWN = "no error bars"


@dataclass(frozen=True)
class Advice:
    """The weakest level at which no sample is determined to a smaller relative error than ``error``, to first order.

    Attributes
    ----------
    defence
        The name of the curve.
    kind
        Whether there is such a level.
    error
        Relative root mean square error of a sample (dimensionless).
    level
        That level; None if there is none.
    levels
        All levels that hide the samples, if levels have no order (``AT``).
    """

    defence: str
    kind: Advised
    error: float
    level: float | int | str | None = None
    levels: tuple[float | int | str, ...] = ()

    def __str__(self) -> str:
        return f"{self.defence}: {self.text}"

    @property
    def text(self) -> str:
        """What follows from it, without the name of the defence."""
        if self.kind is Advised.UNKNOWN:
            return f"not known at which level no sample is determined better than {self.error:g}: no error bars"
        if self.kind is Advised.ONE_STEP:
            return (
                f"from {self.level} on separation that takes the change for one step finds no sample better than "
                f"{self.error:g}, to first order; the first layer's change holds the span of the samples exactly, and an attack that "
                "unrolls the training does not meet this limit"
            )
        if self.kind is Advised.NEVER:
            return f"at every level some sample is determined better than {self.error:g}, to first order"
        level = f"about {self.level:.2g}" if isinstance(self.level, float) else self.level
        where = f"with {'; '.join(map(str, self.levels))}" if self.kind is Advised.AT else f"from {level} on"
        return f"{where} no sample is determined better than {self.error:g}, to first order; this does not prove privacy"

    def to_dict(self) -> dict[str, Any]:
        """Fields and the sentence, as JSON values."""
        return {"kind": self.kind.name, "error": self.error, "level": self.level, "levels": list(self.levels), "sentence": str(self)}


class Prediction(StrEnum):
    """How recoveries compare with typical errors."""

    CONFIRMED = "as estimated"
    BETTER = "more precise than estimated"
    WORSE = "less precise than estimated"
    MISSED = "recover missed samples that are determined by the estimate"
    NOTHING_RECOVERED = "nothing to compare: no recovery for which the estimate is meant to hold"
    NOT_TRIED = "not tried"


FACTOR = 3.0
"""Up to this factor, either way, an estimate counts as confirmed."""


@dataclass(frozen=True)
class Calibration:
    """Recovered errors over typical ones: the smallest and the largest median ratio over the levels at which recovery was tried.

    ``missed``: samples, over all these levels, that recover did not find although they are determined by the estimate.
    """

    kind: Prediction
    smallest: float | None = None
    largest: float | None = None
    missed: int = 0

    @classmethod
    def of(cls, ratios: Sequence[float], missed: int = 0) -> Calibration:
        if not ratios:
            return cls(Prediction.MISSED if missed else Prediction.NOTHING_RECOVERED, missed=missed)
        low, high = min(ratios), max(ratios)
        if missed:
            return cls(Prediction.MISSED, low, high, missed)
        kind = Prediction.WORSE if high > FACTOR else Prediction.BETTER if low < 1 / FACTOR else Prediction.CONFIRMED
        return cls(kind, low, high)

    def __str__(self) -> str:
        kind = f"{self.kind} ({self.missed})" if self.missed else str(self.kind)
        if self.smallest is None:
            return f"spot checks: {kind}"
        return f"spot checks: {kind}; errors of recover are {self.smallest:.2g} to {self.largest:.2g} times the typical ones"

    def to_dict(self) -> dict[str, Any]:
        """Fields and the sentence, as JSON values."""
        return {"kind": self.kind.name, "smallest": self.smallest, "largest": self.largest, "missed": self.missed, "sentence": str(self)}

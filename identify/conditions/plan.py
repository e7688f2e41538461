"""In which order conditions are evaluated, what each costs, and when to stop: cheapest first, until the question is decided.

Costs are estimated from sizes alone, so that the same question gives the same report; only a budget that is spent can change it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from identify.base.limits import OutOfTimeError, TooLargeError, seconds_left
from identify.conditions import decomposition, generic_global, interpolation, local, reduction, scale
from identify.conditions.generic_global import Secant
from identify.conditions.setting import Setting
from identify.conditions.witnesses import witness
from identify.exact.modular import Arithmetic, certified_rank_seconds
from identify.exact.slices import interpolation_seconds
from identify.problem.verdict import Condition

CHEAP = 0.5
"""Seconds: conditions estimated below are evaluated even where the question is decided already."""
REFERENCES = {
    "reduction": reduction.REFERENCE,
    "interpolation": interpolation.REFERENCE,
    "decomposition": decomposition.KRUSKAL,
    "scale": scale.REFERENCE,
    "generic-global": generic_global.REFERENCE,
    "local": local.REFERENCE,
    "witness": witness.FIBRE,
}


@dataclass
class Plan:
    """What must be evaluated, and what was found so far."""

    demanded: Collection[str] = ()
    progress: Callable[[str], None] | None = None
    found: dict[str, Condition] = field(default_factory=dict)

    def evaluate(self, name: str, seconds: float, evaluate: Callable[[], Condition], unneeded: str = "") -> Condition:
        """The condition; or, where it is not needed (``unneeded`` says why) or not affordable, a record with its estimated cost."""
        left = seconds_left()
        if seconds > CHEAP and unneeded and name not in self.demanded:
            result = _skipped(name, f"not needed, because {unneeded}", seconds)
        elif left is not None and seconds > left:
            result = _skipped(name, f"not affordable: {left:.2g} s of the budget are left", seconds)
        else:
            if self.progress is not None and seconds > CHEAP:
                self.progress(f"{name} (about {_readable(seconds)})")
            try:
                result = evaluate()
            except (TooLargeError, OutOfTimeError) as error:
                result = _skipped(name, f"not affordable: {error}", seconds)
        self.found[name] = result
        return result


def estimated_seconds(name: str, setting: Setting) -> float:
    """An estimate of the CPU time of one condition on one core, from the sizes of its largest matrix."""
    instance = setting.instance
    if name == "interpolation":
        return interpolation_seconds(instance)
    if name == "local":
        return certified_rank_seconds(*sorted((instance.n_unknowns, instance.image_bound), reverse=True))
    if name == "generic-global" and setting.scope.data == "generic data":
        return certified_rank_seconds(instance.n_rows, Secant.of(setting).needed)
    return 0.0


def _skipped(name: str, why: str, seconds: float) -> Condition:
    statement = f"not evaluated: {why}; estimated cost {_readable(seconds)}"
    return Condition(name, None, statement, {"estimated_seconds": float(f"{seconds:.2g}")}, Arithmetic.NONE, REFERENCES[name])


def _readable(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"

"""In which order conditions are evaluated, what each costs, and when to stop: cheapest first, until the question is decided.

Costs are estimated from sizes alone, so that the same question gives the same report; only a budget that is spent can change it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar

from identify.base.limits import OutOfTimeError, TooLargeError, about, readable_seconds, seconds_left
from identify.base.steps import Ended, Outcome, Step, attempt
from identify.conditions import (
    completion,
    decomposition,
    generic_global,
    interpolation,
    local,
    macaulay,
    multiplicity,
    one_sample,
    reduction,
    scale,
)
from identify.conditions.generic_global import Secant
from identify.conditions.setting import Setting
from identify.conditions.witnesses import witness
from identify.exact.modular import Arithmetic, certified_rank_seconds, multiplication_seconds, rank_seconds
from identify.exact.slices import interpolation_seconds
from identify.problem.interpolation import moment_count
from identify.problem.verdict import Condition

Value = TypeVar("Value")
CHEAP = 0.5
"""Seconds: conditions estimated below are evaluated even where the question is decided already."""
REFERENCES = {
    "reduction": reduction.REFERENCE,
    "interpolation": interpolation.REFERENCE,
    "completion": completion.REFERENCE,
    "decomposition": decomposition.KRUSKAL,
    "scale": scale.REFERENCE,
    "generic-global": generic_global.REFERENCE,
    "macaulay": macaulay.REFERENCE,
    "one-sample": one_sample.REFERENCE,
    "multiplicity": multiplicity.REFERENCE,
    "local": local.REFERENCE,
    "witness": witness.FIBRE,
}


@dataclass
class Plan:
    """What must be evaluated, and what was found so far."""

    demanded: Collection[str] = ()
    progress: Callable[[str], None] | None = None
    diagnosed: bool = True
    """Whether the report has diagnostics, which decide nothing: someone reads it."""
    found: dict[str, Condition] = field(default_factory=dict)

    def evaluate(
        self,
        name: str,
        seconds: float,
        evaluate: Callable[[], Condition],
        unneeded: str = "",
        patience: float = math.inf,
        *,
        adds_nothing: bool = False,
    ) -> Condition:
        """The condition; or, where it is not needed (``unneeded`` says why) or not affordable, a record with its estimated cost.

        ``patience``: seconds that it may take if it was not demanded and there is no budget. ``adds_nothing``: whatever it says follows
        from what is proved already, so that a cheap one is evaluated for a report that someone reads only.
        """
        is_demanded, left = name in self.demanded, seconds_left()
        step = Step[Plan](name, lambda plan: evaluate(), lambda plan: seconds)
        if left is None and seconds > patience and not is_demanded and not unneeded:
            ended = Ended(Outcome.TOO_LONG, seconds=seconds)
        else:
            is_told = seconds <= CHEAP and (self.diagnosed or not adds_nothing)
            is_needed = is_told or not unneeded or is_demanded
            ended = attempt(step, self, left=left, is_needed=is_needed, tell=self._tell)
        result = ended.value if ended.outcome is Outcome.DONE else _skipped(name, ended, unneeded)
        self.found[name] = result
        return result

    @staticmethod
    def unless_late(find: Callable[[], Value], otherwise: Value) -> Value:
        """What a question between conditions finds; ``otherwise`` if the time or the memory for it runs out."""
        try:
            return find()
        except (OutOfTimeError, TooLargeError):
            return otherwise

    def _tell(self, name: str, seconds: float) -> None:
        if self.progress is not None and seconds > CHEAP:
            self.progress(f"{name} ({about(seconds)})")


def estimated_seconds(name: str, setting: Setting) -> float:
    """An estimate of the CPU time of one condition on one core, from the sizes of its largest matrix."""
    instance = setting.instance
    n, d, C = instance.n_samples, instance.coordinates, instance.n_outputs
    if name == "reduction":
        return _reduction_seconds(setting)
    if name in ("decomposition", "scale") and instance.data_are_given and setting.independence is Arithmetic.NONE:
        lists = 2 if name == "decomposition" else len(instance.degrees) - 1 if not setting.is_lifted else 0
        forms = min(n, moment_count(d, instance.degrees, C))
        return lists * (multiplication_seconds(n, d, forms) + rank_seconds(n, forms))
    if name == "interpolation":
        return interpolation_seconds(instance)
    if name == "macaulay":
        return macaulay.macaulay_seconds(setting)
    if name == "one-sample":
        return 2e-6 * instance.width * instance.n_inputs
    if name == "completion":
        return completion.completion_seconds(setting)
    if name == "local" and not setting.data_are_unknown:
        return certified_rank_seconds(*sorted((instance.n_unknowns, instance.image_bound), reverse=True))
    if name == "generic-global" and setting.scope.data == "generic data":
        needed = Secant.of(setting).needed
        return 0.0 if needed > instance.image_bound else certified_rank_seconds(instance.n_rows, needed)
    return 0.0


def _reduction_seconds(setting: Setting) -> float:
    """Two ranks where the samples may be independent, of the samples and of the slopes; or singular values of the target."""
    instance = setting.instance
    n, m, space = instance.n_samples, instance.width, instance.n_inputs + int(instance.observed.bias)
    if not instance.observed.W or n > min(space, m):
        return 0.0
    if setting.data_are_unknown:
        return 4 * multiplication_seconds(m, space, min(m, space))
    return multiplication_seconds(n, space, m) + rank_seconds(n, space) + certified_rank_seconds(m, n)


def _skipped(name: str, ended: Ended, unneeded: str) -> Condition:
    if ended.outcome is Outcome.UNNEEDED:
        why = f"not needed, because {unneeded}"
    elif ended.outcome is Outcome.TOO_LONG and ended.left is None:
        why = f"it takes long, and no time was set; pass budget=SECONDS, or conditions={name!r}"
    elif ended.outcome is Outcome.TOO_LONG:
        why = f"not affordable: {ended.left:.2g} s of the budget are left"
    else:
        why = f"not affordable: {ended.why}"
    statement = f"not evaluated: {why}; estimated cost {readable_seconds(ended.seconds)}"
    return Condition(name, None, statement, {"estimated_seconds": float(f"{ended.seconds:.2g}")}, Arithmetic.NONE, REFERENCES.get(name, ""))

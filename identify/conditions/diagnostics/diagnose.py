"""Which diagnostics apply to a question: structure, stationarity, what stays undetermined, conditioning.

They say how good the numbers are and how they hang together, and never decide a verdict, nor prevent one: whatever goes wrong
here is reported as not evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from identify.base.limits import seconds_left
from identify.conditions.diagnostics import conditioning, quality, structure, undetermined
from identify.conditions.setting import Setting
from identify.problem.system import SELF_TRAINED
from identify.problem.verdict import Arithmetic, Condition


def diagnose(setting: Setting, conditions: Mapping[str, Condition]) -> tuple[Condition, ...]:
    """The diagnostics of a given network, and of its data if they are given; none for generic networks.

    ``setting``: in full coordinates. ``conditions``: those evaluated already, by name, whose ranks are used rather than computed
    again. Each takes at most about 10 s, and within :func:`identify.base.limits.limit_time` no more than what is left.
    """
    system = setting.system
    if system is None or not setting.instance.network_is_given:
        return ()
    data = setting.data if setting.instance.data_are_given else None
    found = [_guarded("structure", lambda: structure.structure(setting))]
    if system.regime in SELF_TRAINED:
        if data is not None:
            found.append(_guarded("stationarity", lambda: quality.stationarity_quality(system, *data)))
        ranks = conditions.get("interpolation")
        found.append(_guarded("undetermined", lambda: undetermined.undetermined(system, ranks, data=data)))
    if data is not None:
        price = conditioning.seconds(system, len(data[0]))
        found.append(_guarded("conditioning", lambda: conditioning.conditioning(system, *data), price))
    return tuple(found)


REFERENCES = {
    "structure": structure.REFERENCE,
    "stationarity": quality.REFERENCE,
    "undetermined": undetermined.REFERENCE,
    "conditioning": conditioning.REFERENCE,
}


def _guarded(name: str, evaluate: Callable[[], Condition], seconds: float = 0.0) -> Condition:
    left = seconds_left()
    if left is not None and (left <= 0 or seconds > left):
        price = f"; estimated cost {seconds:.0f} s" if seconds >= 1 else ""
        return _not_evaluated(name, f"not affordable: {left:.2g} s of the budget are left{price}")
    try:
        return evaluate()
    except Exception as error:  # a diagnostic that fails must not take away a verdict that stands
        return _not_evaluated(name, f"{type(error).__name__}: {error}")


def _not_evaluated(name: str, why: str) -> Condition:
    return Condition(name, None, f"not evaluated: {why}", {}, Arithmetic.NONE, REFERENCES[name])

"""Which diagnostics apply to a question: structure, stationarity, what stays undetermined, conditioning.

They say how good the numbers are and how they hang together, and never decide a verdict, nor prevent one: whatever goes wrong
here is reported as not evaluated.
"""

from __future__ import annotations

from collections.abc import Callable

from identify.conditions import conditioning, quality, structure, undetermined
from identify.conditions.plan import Plan
from identify.conditions.setting import Setting
from identify.report.verdict import Arithmetic, Condition
from identify.stationarity import SELF_TRAINED


def diagnose(setting: Setting, plan: Plan) -> tuple[Condition, ...]:
    """The diagnostics of a given network, and of its data where they are given; none for generic networks.

    ``setting``: in full coordinates. ``plan``: what was found already, whose ranks are used rather than computed again, and the
    budget: diagnostics come after it is spent only as records that say so. Each takes at most about 10 s.
    """
    system = setting.system
    if system is None or not setting.instance.network_is_given:
        return ()
    data = setting.data if setting.instance.data_are_given else None
    found = [_guarded("structure", lambda: structure.structure(setting), plan)]
    if system.regime in SELF_TRAINED:
        if data is not None:
            found.append(_guarded("stationarity", lambda: quality.stationarity_quality(system, *data), plan))
        ranks = plan.found.get("interpolation")
        found.append(_guarded("undetermined", lambda: undetermined.undetermined(system, ranks, data=data), plan))
    if data is not None:
        price = conditioning.seconds(system, len(data[0]))
        found.append(_guarded("conditioning", lambda: conditioning.conditioning(system, *data), plan, price))
    return tuple(found)


REFERENCES = {
    "structure": structure.REFERENCE,
    "stationarity": quality.REFERENCE,
    "undetermined": undetermined.REFERENCE,
    "conditioning": conditioning.REFERENCE,
}


def _guarded(name: str, evaluate: Callable[[], Condition], plan: Plan, seconds: float = 0.0) -> Condition:
    left = plan.seconds_left
    if left is not None and (left <= 0 or seconds > left):
        why = f"{max(left, 0.0):.2g} s of the budget of {plan.budget:g} s are left"
        return _not_evaluated(name, f"{why}; estimated cost {seconds:.0f} s" if seconds >= 1 else why)
    try:
        return evaluate()
    except Exception as error:  # a diagnostic that fails must not take away a verdict that stands
        return _not_evaluated(name, f"{type(error).__name__}: {error}")


def _not_evaluated(name: str, why: str) -> Condition:
    return Condition(name, None, f"not evaluated: {why}", {}, Arithmetic.NONE, REFERENCES[name])

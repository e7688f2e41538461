"""Which diagnostics apply to a question: structure, stationarity, what stays undetermined, conditioning.

They say how good the numbers are and how they hang together, and never decide a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from identify.conditions.conditioning import conditioning
from identify.conditions.quality import stationarity_quality
from identify.conditions.setting import Setting
from identify.conditions.structure import structure
from identify.conditions.undetermined import undetermined
from identify.report.verdict import Condition
from identify.stationarity import SELF_TRAINED


def diagnose(setting: Setting, conditions: Sequence[Condition] = ()) -> tuple[Condition, ...]:
    """The diagnostics of a given network, and of its data where they are given; none for generic networks.

    ``setting``: in full coordinates. ``conditions``: those evaluated already, whose ranks are used rather than computed again.
    """
    system = setting.system
    if system is None or not setting.instance.network_is_given:
        return ()
    data = setting.data if setting.instance.data_are_given else None
    found = [structure(setting)]
    if system.regime in SELF_TRAINED:
        if data is not None:
            found.append(stationarity_quality(system, *data))
        found.append(undetermined(system, next((c for c in conditions if c.name == "interpolation"), None)))
    if data is not None:
        found.append(conditioning(system, *data))
    return tuple(found)

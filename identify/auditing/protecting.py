"""What an owner could do about it: the defences, for known data."""

from __future__ import annotations

from typing import Any

import numpy as np

from identify.auditing.findings import Basis, Finding
from identify.auditing.work import Work
from identify.defence.advise import defences
from identify.defence.curves import DefenceCurve
from identify.limits import TooLargeError
from identify.report.html import Picture, show
from identify.stationarity import SELF_TRAINED

DEFENCES: dict[str, Any] = {
    "noise": (1e-9, 1e-6, 1e-4, 1e-2),
    "rounding": (24, 11, 8),
    "width": None,
    "weights": None,
    "degree": None,
    "batch": None,
}
"""Levels of each; None as :func:`identify.defences` chooses them."""


def advice(work: Work) -> None:
    """What an owner could do, one defence after the other while there is time."""
    if work.data is None or work.system is None:
        return
    X, c = work.data
    names = ("noise", "rounding") if work.regime in SELF_TRAINED else tuple(DEFENCES)
    done, left_out, rows = {}, [], [("defence", "level", "verdict, these data", "digits left", "observed error")]
    for name in names:
        if work.is_spent:
            left_out.append(name)
            continue
        chosen: dict[str, Any] = {other: DEFENCES[other] if other == name else () for other in names}
        try:
            made = defences(
                work.system,
                X,
                c,
                **chosen,
                spot_checks=1,
                seed=work.seed,
                budget=max(work.left / 20, 0.2),
                progress=lambda step: work.progress(f"defence: {step}"),
            )
        except TooLargeError:
            left_out.append(name)
            continue
        done[name] = made[name]
        curve = made[name]
        for k, level in enumerate(curve.levels):
            seen = curve.observed[k][~np.isnan(curve.observed[k])]
            observed = "–" if not len(seen) else "not recovered" if np.isinf(seen).any() else show(float(seen.max()))
            rows.append((name, show(level), str(curve.verdicts[k] or "–"), str(curve.digits(k)) if curve.verdicts[k] else "–", observed))
    if left_out:
        work.said["defences"] = f"left out for lack of time or memory: {', '.join(left_out)}"
    if not done:
        return
    work.add(
        Finding(
            "defences",
            "What would a defence do?",
            "; ".join(f"{name} {show(curve.levels[-1])}: {curve.statement(-1)}" for name, curve in done.items()),
            "this network, the given data; verdicts exact, for the target before noise or rounding",
            Basis.FLOAT,
            (
                "digits in the table are those of the worst sample, by a first-order estimate",
                "error bars that a defence raises are no proof of privacy, nor is a recovery that does not succeed",
            ),
            {name: curve.to_dict() for name, curve in done.items()},
            table=tuple(rows),
            draw=lambda: tuple(_picture(curve) for curve in done.values()),
        )
    )


def _picture(curve: DefenceCurve) -> Picture:
    return Picture(curve.name.capitalize(), curve.plot(), f"errors of the samples against {curve.axis}", curve.axis)

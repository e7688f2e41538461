"""The defences that an owner could use, for known or recovered data: of polynomial networks, and of updates of any others."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np

from identify.auditing.batch import update_of
from identify.auditing.findings import PRIVACY, Basis, Finding
from identify.auditing.work import Work
from identify.base.limits import limit_time
from identify.conditions.check import INCONSISTENT
from identify.conditions.diagnostics.error_bars import cost
from identify.defence.advise import defences
from identify.defence.curves import CHANCE_SCOPE, ESTIMATE_SCOPE, INFORMED_SCOPE, OBSERVED_SCOPE, DefenceCurve
from identify.defence.information import seconds as information_seconds
from identify.defence.sending import labels_of
from identify.problem.data import check_data
from identify.problem.refusals import is_polynomial
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.problem.verdict import Verdict
from identify.recovery.recover import TOLERANCE
from identify.report.html import Cell, Picture, as_sentence

ADVICE = "What would a defence do?"
LEVELS: dict[str, Any] = {
    "noise": (1e-9, 1e-6, 1e-4, 1e-2),
    "rounding": (24, 11, 8, 4),
    "width": None,
    "weights": None,
    "degree": None,
    "batch": None,
}
"""Levels of each defence; None: those that :func:`identify.defences` chooses."""
NETWORK_LEVELS: dict[str, Any] = {
    "dp_sgd": (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    "formats": None,
    "withheld": None,
    "steps": None,
    "batch": None,
}
"""The same for networks of any depth and activation."""
TITLES = {"dp_sgd": "DP-SGD"}
"""Titles of pictures that are not the name of the defence."""
NETWORK_SPOT_CHECKS = {"dp_sgd": 1, "formats": 1}
"""Recoveries for each of these; the others have estimates alone."""
SPOT_CHECKS = 2
OPERATIONS_PER_SECOND, LEAST = 5e9, 0.2
"""Constants for an estimate of the time of error bars, and the least seconds for which a defence starts."""


class Whose(StrEnum):
    """The data that defences are about."""

    GIVEN = "the given data"
    RECOVERED = "the recovered samples, which need not be the data"


def whose_data(work: Work) -> tuple[np.ndarray, np.ndarray] | None:
    """The data of the defences: the given ones, or the recovered ones if they solve the equations."""
    if work.data is not None or work.found is None or not work.found.residual <= TOLERANCE:
        return work.data
    disproved = any(report.verdict is Verdict.NOT_UNIQUE and not report.leaves_samples for report in work.reports.values())
    return None if disproved or work.subject.X is not None else (work.found.X, work.found.c)


def without_data(work: Work) -> None:
    """The finding that gives the reason if there is nothing about defences."""
    if whose_data(work) is None:
        why = "the given data do not solve the equations" if work.subject.X is not None else "no data are given, and none were recovered"
        if work.subject.X is None and work.found is not None:
            why = "no data are given, and the recovered samples need not be the data"
        work.not_evaluated("defences", ADVICE, f"{why}; it takes the data (--data)")


def advice_seconds(name: str, work: Work) -> float:
    """Seconds of the error bars: once for noise and rounding, and about once more for each level of the others."""
    data = whose_data(work)
    if data is None or work.system is None or not _applies(name, work):
        return 0.0
    operations, *_ = cost(work.system, len(data[0]))
    return max(operations / OPERATIONS_PER_SECOND, LEAST)


def advice(name: str, work: Work) -> None:
    """The effect of one defence, for as many levels as there is time."""
    data = whose_data(work)
    if data is None or work.system is None or not _applies(name, work):
        return
    levels: dict[str, Any] = {other: LEVELS[other] if other == name else () for other in LEVELS if _applies(other, work)}
    known = Whose.GIVEN if work.data is not None else Whose.RECOVERED
    _measured(name, work, work.system, data, levels, SPOT_CHECKS, known)


def the_batch(work: Work) -> tuple[KKTSystem, np.ndarray, np.ndarray] | None:
    """The update of a network of any depth, and the samples behind it, if all of them were recovered."""
    system, found = update_of(work), work.batch
    if system is None or found is None or not found.residual <= INCONSISTENT:
        return None
    return system, found.X, found.c


def network_advice_seconds(name: str, work: Work) -> float:
    """Seconds of the error bars, for each of some levels."""
    batch = the_batch(work)
    if batch is None:
        return 0.0
    times = 1 if name == "dp_sgd" else 5
    return max(times * information_seconds(batch[0], len(batch[1])), LEAST)


def network_advice(name: str, work: Work) -> None:
    """The effect of one defence on the update of a network of any depth, for the recovered samples."""
    batch = the_batch(work)
    if batch is None:
        return
    system, X, c = batch
    net = system.network
    if name == "steps" and labels_of(net, *check_data(X, c, net.n_inputs, net.n_outputs)) is None:
        return
    others = dict.fromkeys(("noise", "rounding", "weights", "width", "clipping", *NETWORK_LEVELS), ())
    levels = others | {name: NETWORK_LEVELS[name]}
    _measured(name, work, system, (X, c), levels, NETWORK_SPOT_CHECKS.get(name, 0), Whose.RECOVERED)


def _measured(
    name: str, work: Work, system: KKTSystem, data: tuple[np.ndarray, np.ndarray], levels: dict[str, Any], checks: int, known: Whose
) -> None:
    """Adds the curve of one defence to those that are there."""
    with limit_time(work.left):
        made = defences(
            system,
            *data,
            **levels,
            spot_checks=checks,
            seed=work.seed,
            budget=None,
            progress=lambda step: work.progress(f"defence: {step}"),
        )
    work.curves[name] = made[name]
    deep = not is_polynomial(system.network)
    said = _together({other: curve.advice().text for other, curve in work.curves.items()} if deep else _summaries(work.curves, hides=True))
    further = _together({other: str(curve.calibration()) for other, curve in work.curves.items()} if deep else {})
    work.add(
        Finding(
            "defences",
            ADVICE,
            "; ".join(said or _together(_summaries(work.curves, hides=False))),
            f"this network, {known}; verdicts exact, for the target before noise or rounding",
            Basis.FLOAT,
            (
                *[f"{other}: {curve.axis}" for other, curve in work.curves.items() if curve.hides],
                *[f"{other}: {text}" for other, text in _summaries(work.curves, hides=False).items()],
                *further,
                *[f"{other}: {curve.cut}" for other, curve in work.curves.items() if curve.cut],
                f"digits and error bars: {ESTIMATE_SCOPE}",
                *[f"no unbiased estimator is below: {INFORMED_SCOPE}"] * deep,
                *[f"chance of any attack: {CHANCE_SCOPE}"] * ("dp_sgd" in work.curves),
                f"observed errors: {OBSERVED_SCOPE}",
                PRIVACY,
            ),
            {"data": known} | {other: curve.to_dict() for other, curve in work.curves.items()},
            table=_table(work.curves),
            draw=lambda: tuple(_picture(curve, known) for curve in work.curves.values()),
        )
    )


def _applies(name: str, work: Work) -> bool:
    return name in ("noise", "rounding") or work.regime not in SELF_TRAINED


def _summaries(curves: dict[str, DefenceCurve], *, hides: bool) -> dict[str, str]:
    return {name: curve.summary() for name, curve in curves.items() if curve.hides is hides}


def _together(texts: dict[str, str]) -> list[str]:
    """What is said of each defence by its name; those of which the same is said together."""
    names: dict[str, list[str]] = {}
    for name, text in texts.items():
        names.setdefault(text, []).append(TITLES.get(name, name))
    return [f"{', '.join(alike)}: {text}" for text, alike in names.items()]


def _table(curves: dict[str, DefenceCurve]) -> tuple[tuple[Cell, ...], ...]:
    rows: list[tuple[Cell, ...]] = [("defence", "level", "verdict", "digits left", "observed error")]
    for name, curve in curves.items():
        for k, level in enumerate(curve.levels):
            seen = curve.observed[k][~np.isnan(curve.observed[k])]
            observed = None if not len(seen) else "not recovered" if np.isinf(seen).any() else float(seen.max())
            verdict, digits = f"{curve.generic[k]}, generic data", None
            if curve.verdicts[k] is not None:
                verdict, digits = str(curve.verdicts[k]), curve.digits(k)
            rows.append((name, level, verdict, digits, observed))
    return tuple(rows)


def _picture(curve: DefenceCurve, known: Whose) -> Picture:
    """The picture of a curve, with the scope of everything that it shows."""
    about = f"this network and {known}"
    if curve.hides:
        verdict = f"Verdict without it, exact, for {about}: {curve.verdicts[0]}"
    else:
        verdict = f"Verdicts above: exact, for each network, and {known} or generic data"
    spots = " Points: result of recover for one perturbed target." if np.isfinite(curve.observed).any() else ""
    caption = f"{verdict}. Line and band: first-order estimates for {about}.{spots} {curve.cut}".strip()
    return Picture(TITLES.get(curve.name, as_sentence(curve.name)), curve.plot(), f"errors of the samples against {curve.axis}", caption)


DEFENCES: dict[str, Callable[[Work], float]] = {name: partial(advice_seconds, name) for name in LEVELS}
"""The defences, each with an estimate of its time."""
NETWORK_DEFENCES: dict[str, Callable[[Work], float]] = {name: partial(network_advice_seconds, name) for name in NETWORK_LEVELS}
"""The same for networks of any depth."""

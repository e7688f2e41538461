"""Verdicts of ``check`` about planted data: held against each other, against the recovery, and against other data found by descents."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from traceback import extract_tb
from typing import Any

import numpy as np

from identify.base.errors import IdentifyError
from identify.conditions.check import check
from identify.problem.ambiguity import Ambiguity
from identify.problem.system import KKTSystem
from identify.problem.verdict import Report, Verdict
from recovery_study.judged import Outcome, shown
from recovery_study.planted import Planted
from recovery_study.second import family, other_data

SECONDS, SEARCH = 2.0, 0.2
"""Of each verdict, and of a search for other data."""
REPRODUCED = 1e-6
"""Relative difference of the updates of a witness and of the data."""


def checked(planted: Planted, line: dict[str, Any]) -> dict[str, Any]:
    """The verdicts and what contradicts; ``line``: of the recovery."""
    system = planted.system
    if not isinstance(system, KKTSystem):
        return {"contradictions": []}
    X, c = shown(planted)
    c = c if system.network.n_outputs > 1 else c[:, 0]
    if not len(X):
        return {"contradictions": []}
    found: list[str] = []
    reports: dict[str, Report | None] = {}
    for form, asked in {"samples": {"samples": len(X)}, "data": {"data": (X, c)}}.items():
        began = process_time()
        try:
            reports[form] = check(system, budget=SECONDS, seed=planted.index, **asked)
        except IdentifyError as error:
            reports[form] = None
            line[f"check refused {form}"] = f"{type(error).__name__}: {error}"
        except Exception as error:
            reports[form] = None
            where = [f"{Path(part.filename).name}:{part.lineno}" for part in extract_tb(error.__traceback__)][-5:]
            found.append(f"check({form}) raised {type(error).__name__}: {error} {where}")
        if (spent := process_time() - began) > 2 * SECONDS + 3:
            found.append(f"check({form}) took {spent:.1f} s for a budget of {SECONDS}")
    verdicts = {form: None if report is None else report.verdict for form, report in reports.items()}
    about = reports["data"]
    supported = line.get("status") in ("PROVED", "EVIDENCE")
    right = line["outcome"] == Outcome.RIGHT
    if about is not None:
        ambiguity = ambiguity_of(about)
        generic = verdicts["samples"]
        usual = planted.labels["data"] == "normal" and planted.labels["multipliers"] == "normal"
        if usual and generic and _contradict(generic, about):
            found.append(f"generic data are {generic}, these are {about.verdict}")
        if about.verdict is Verdict.NOT_UNIQUE:
            moves = about.witness is None or about.witness.moves_samples is not False  # not their multipliers alone
            if right and supported and line["recovered"] == len(X) and moves:
                found.append(f"NOT_UNIQUE, but the recovery is {line['status']} {line['reason']}")
            found.extend(_witnessed(system, about, (X, c)))
        if about.verdict in (Verdict.UNIQUE, Verdict.LOCALLY_UNIQUE) and (other := family(system, X, c, ambiguity)):
            found.append(f"{about.verdict}, but a family: {other}")
        strong = about.verdict is Verdict.UNIQUE or (right and supported and line["recovered"] == len(X))
        if strong and not _is_saturated(planted) and (other := other_data(system, X, c, ambiguity, planted.index, SEARCH)):
            found.append(f"{about.verdict}, recovery {line.get('status')} {line.get('reason')}, but other data: {other}")
    return {"verdicts": verdicts, "contradictions": found}


def _contradict(generic: Verdict, about: Report) -> bool:
    """Whether a verdict about generic data excludes one about data that are generic; isolated data may have others far away."""
    if Verdict.NOT_UNIQUE not in (generic, about.verdict):
        return False
    both = {generic, about.verdict}
    isolated = about.witness is not None and about.witness.dimension == 0
    return Verdict.UNIQUE in both or (Verdict.LOCALLY_UNIQUE in both and not isolated)


def _is_saturated(planted: Planted) -> bool:
    """Whether pre-activations are so large that derivatives of an analytic activation may be below rounding."""
    curved = any(sigma.kind == "analytic" for sigma in planted.system.network.activations)
    return curved and planted.labels["data"] == "large"


def ambiguity_of(report: Report) -> Ambiguity:
    """What the verdict is up to: the scale of a sample may be open although a bias behind it fixes the sum of all multipliers."""
    names = {line.partition(":")[0] for line in report.ambiguity}
    if "scale of each sample" in names:
        return Ambiguity("positive scaling" if any("t > 0" in line for line in report.ambiguity) else "scaling", 1)
    return Ambiguity("sign" if "sign of each sample" in names else "none", 1)


def _witnessed(system: KKTSystem, report: Report, data: tuple[np.ndarray, np.ndarray]) -> list[str]:
    witness = report.witness
    if witness is None or witness.example is None:
        return []
    target = system.right_hand_side(*data)
    away = float(np.linalg.norm(system.right_hand_side(*witness.example) - target) / np.linalg.norm(target))
    if not away <= REPRODUCED:
        return [f"a witness {witness.kind} with another update: {away:.1e}"]
    return []

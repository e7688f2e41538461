"""Badges of audits of planted updates: none may call wrong samples the data, and none may call data safe that it holds in its hands."""

from __future__ import annotations

import warnings
from pathlib import Path
from time import process_time
from traceback import extract_tb
from typing import Any

from identify.auditing.audit import audit
from identify.auditing.result import Standing
from identify.base.errors import IdentifyError
from identify.problem.symmetry import symmetry_of
from identify.problem.system import KKTSystem
from recovery_study.judged import Outcome, judged, shown, warned
from recovery_study.planted import Planted
from recovery_study.second import family


def audited(planted: Planted, seconds: float) -> dict[str, Any]:
    """One line, as of :func:`~recovery_study.judged.examine`: of what the headline and the badge say together."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        line = _audited(planted, seconds)
    return line | {"warned": warned(said)}


def _audited(planted: Planted, seconds: float) -> dict[str, Any]:
    line: dict[str, Any] = {"index": planted.index, **planted.labels}
    began = process_time()
    try:
        found = audit(planted.system, samples=planted.samples, budget=seconds)
    except IdentifyError as error:
        return line | {"outcome": Outcome.REFUSED, "error": type(error).__name__, "message": str(error), "cpu": process_time() - began}
    except Exception as error:  # whatever it is, the study goes on and lists it
        where = [f"{Path(part.filename).name}:{part.lineno}" for part in extract_tb(error.__traceback__)][-6:]
        return line | {"outcome": Outcome.CRASHED, "error": type(error).__name__, "message": str(error), "where": where}
    line |= {"cpu": process_time() - began, "standing": found.standing.name, "headline": found.headline}
    if found.recovery is None:
        return line | {"outcome": Outcome.REFUSED}
    numbers = judged(planted, found.recovery)
    line |= numbers | {"status": found.recovery.uniqueness.status, "recovered": found.recovery.n_samples}
    complete = numbers["right"] == numbers["shown"] == found.recovery.n_samples
    if found.standing is Standing.NOT_DETERMINED:
        witness = None if found.report is None else found.report.witness
        has_others = (witness is not None and witness.moves_samples) or not complete or _is_open(planted)
        return line | {"outcome": Outcome.DOUBT if has_others else Outcome.WRONG}
    if found.standing is Standing.NOT_DECIDED or "these need not be the data" in found.headline:
        return line | {"outcome": Outcome.DOUBT}
    return line | {"outcome": Outcome.RIGHT if numbers["right"] == found.recovery.n_samples else numbers["outcome"]}


def _is_open(planted: Planted) -> bool:
    """Whether descents find other data near the planted ones, so that these are not determined although a recovery met them."""
    if not isinstance(planted.system, KKTSystem):
        return True
    X, c = shown(planted)
    c = c if planted.system.network.n_outputs > 1 else c[:, 0]
    return family(planted.system, X, c, symmetry_of(planted.system)) is not None

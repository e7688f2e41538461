"""Recovered data held against the planted ones: right, said to be doubtful, or wrong without a word of doubt."""

from __future__ import annotations

import warnings
from enum import StrEnum
from pathlib import Path
from time import process_time
from traceback import extract_tb
from typing import Any

import numpy as np

from identify.base.errors import IdentifyError
from identify.recovery.recover import recover
from identify.recovery.solution import Recovery
from recovery_study.planted import Planted

BARS, ROUNDING = 12.0, 1e-9
"""Errors up to so many bars, or up to this size relative, are right."""
SLACK = 3.0
"""Data reproduce a target as well as the planted ones with a residual up to so many of theirs."""


class Outcome(StrEnum):
    RIGHT = "right"
    """Supported data, each of them a planted sample."""
    FEWER = "fewer"
    """Supported data that are fewer than the planted ones, and reproduce the target as well: true of the number that the claim names."""
    DOUBT = "doubt"
    """Data that are said to be possibly others."""
    REFUSED = "refused"
    """One typed error."""
    WRONG = "WRONG"
    """Supported data that are not the planted ones."""
    CRASHED = "CRASHED"
    """An error that no user should see."""


def warned(said: list[warnings.WarningMessage]) -> list[str]:
    """Each warning once, with its place."""
    return sorted({f"{Path(each.filename).name}:{each.lineno}: {each.message}" for each in said})


def examine(planted: Planted, seconds: float) -> dict[str, Any]:
    """One line: the labels, the outcome, the numbers behind it, and what was warned of on the way."""
    line: dict[str, Any] = {"index": planted.index, **planted.labels}
    began = process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = recover(planted.system, samples=planted.samples, budget=seconds)
        except IdentifyError as error:
            line |= {"outcome": Outcome.REFUSED, "error": type(error).__name__, "message": str(error)}
        except Exception as error:  # whatever it is, the study goes on and lists it
            where = [f"{Path(part.filename).name}:{part.lineno}" for part in extract_tb(error.__traceback__)]
            line |= {"outcome": Outcome.CRASHED, "error": type(error).__name__, "message": str(error), "where": where[-6:]}
        else:
            line |= {"status": found.uniqueness.status, "reason": found.uniqueness.reason.name, "recovered": found.n_samples}
            line |= {"method": found.method, "residual": found.residual, **judged(planted, found)}
    line["cpu"] = process_time() - began
    line["warned"] = warned(said)
    return line


def judged(planted: Planted, found: Recovery) -> dict[str, Any]:
    """The outcome, the errors in bars and relative, and how many samples show in the target."""
    X, c = shown(planted)
    match = found.match(X, c)
    errors, bars = np.full((2, len(X)), np.inf)
    norms = np.linalg.norm(X, axis=1)
    blank = norms == 0
    scale = np.where(blank, norms.max() or 1.0, norms)
    taken = match.order >= 0
    errors[taken] = np.where(blank, np.linalg.norm(np.nan_to_num(match.X), axis=1) / scale, match.errors)[taken]
    relative = np.where(blank[taken], found.error_bars[match.order[taken]] / scale[taken], found.relative_error_bars[match.order[taken]])
    bars[taken] = np.nan_to_num(relative, posinf=np.inf)
    right = taken & (errors <= np.maximum(BARS * bars, ROUNDING))
    numbers: dict[str, Any] = {"shown": len(X), "right": int(right.sum()), "errors": errors.tolist()}
    numbers["ratios"] = [float(e / b) for e, b in zip(errors[right], bars[right], strict=True) if 0 < b < np.inf]
    if found.uniqueness.is_supported and right.sum() == found.n_samples:
        return {"outcome": Outcome.RIGHT, **numbers}
    if not found.uniqueness.is_supported or found.uniqueness.is_lower_bound:  # of full rank no number is to spare that would show noise
        return {"outcome": Outcome.DOUBT, **numbers}
    fewer = found.n_samples < len(X) and found.residual <= max(SLACK * planted.own, ROUNDING)
    fewer &= planted.samples != len(X)  # nobody gave the number
    return {"outcome": Outcome.FEWER if fewer else Outcome.WRONG, **numbers}


def shown(planted: Planted) -> tuple[np.ndarray, np.ndarray]:
    """The planted samples that enter the target: distinct, with multipliers that are not zero (sums of doubles, if they are not exact)."""
    X, c = planted.X, np.reshape(planted.c, (len(planted.X), -1))
    first = [int(np.flatnonzero((x == X).all(axis=1))[0]) for x in X]
    merged = np.zeros_like(c)
    np.add.at(merged, first, c)
    keep = [k for k in sorted(set(first)) if np.abs(merged[k]).max() > 0]
    return X[keep], merged[keep]

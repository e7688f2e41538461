"""The effect of a defence as tables: exact verdicts, estimated errors and observed errors, level by level."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Float

from identify.base.errors import UnknownNameError
from identify.conditions.diagnostics.error_bars import digits
from identify.problem.verdict import Verdict, jsonable
from identify.report.curves import draw_defence

VERDICT_SCOPE = (
    "exact, for this network and for these data or generic data, as the column says, and for the target before noise or rounding; "
    "UNDECIDED may only mean that a condition would have taken longer than the budget"
)
ESTIMATE_SCOPE = (
    "a first-order estimate for this network and these data in double precision; it is not a proof, and means little where it comes near 1"
)
HIDDEN = 0.1
"""Relative error above which no digit of a sample is left."""
OBSERVED_SCOPE = "what recover found from one perturbed target; another method or more time may find more"


@dataclass(frozen=True, eq=False)
class DefenceCurve:
    """One defence from weak to strong. Errors are relative to the norm of the sample (dimensionless).

    Attributes
    ----------
    name, axis
        The defence, and the meaning of its levels, with their unit.
    levels
        Numbers, or activations as strings.
    hides
        Whether the defence only changes the observation of one target; its verdicts are then those of the target without it.
    verdicts, generic
        Exact verdicts at each level: for this network and these data, and for this network and generic data. None if that
        was not asked: no data are known, or (``generic``) the network was trained on its data.
    change
        Distance of the observed target from the exact one, relative to its norm (dimensionless); nan without data.
    bound, typical
        First-order estimates of the error of each sample: its maximum, and its root mean square for a change of that size in
        a random direction. Infinite if the Jacobian is rank deficient, nan without data.
    observed
        Errors of the samples that :func:`identify.recover` returned, modulo the ambiguity; infinite if it did not succeed, nan
        if it was not tried.
    stopped
        Reasons why it did not succeed, by position of the level.
    cut
        Levels that were left out for lack of time, in words; empty if there are none.
    """

    name: str
    axis: str
    levels: tuple[float | int | str, ...]
    hides: bool
    verdicts: tuple[Verdict | None, ...]
    generic: tuple[Verdict | None, ...]
    change: Float[np.ndarray, " levels"]
    bound: Float[np.ndarray, "levels n"]
    typical: Float[np.ndarray, "levels n"]
    observed: Float[np.ndarray, "levels n"]
    stopped: dict[int, str] = field(default_factory=dict)
    cut: str = ""

    def digits(self, at: int) -> int:
        """Decimal digits of the worst sample that the bound leaves at the level at this position, from 0 to 15; 0 without data."""
        errors = self.bound[at][~np.isnan(self.bound[at])]
        return digits(float(errors.max())) if len(errors) else 0

    def statement(self, at: int) -> str:
        """The precision that the level at this position leaves, in the words of a report."""
        verdict = self.verdicts[at]
        if verdict is None:
            return f"{self.generic[at]} for generic data, and no error bars without data"
        if verdict is Verdict.NOT_UNIQUE:
            return "not determined: other data give exactly this target; parts of the data may be determined all the same"
        known = ~np.isnan(self.bound[at])
        digits_left, recoverable = self.digits(at), int((self.typical[at][known] < 1).sum())
        words = {Verdict.UNIQUE: "identifiable", Verdict.LOCALLY_UNIQUE: "locally identifiable"}
        word = words.get(verdict, "undecided in exact arithmetic")
        if digits_left and verdict in words:
            return f"{word}, to {digits_left} digit{'s' * (digits_left > 1)}"
        if digits_left:
            return f"{word}; to first order the target holds {digits_left} digit{'s' * (digits_left > 1)}"
        word += " in exact arithmetic" * (verdict in words)
        if recoverable:
            return f"{word}, but no digit of the worst sample is sure; typical errors of {recoverable} of {known.sum()} samples are below 1"
        return f"{word}, but not recoverable by this estimate, which does not prove that nothing is"

    def summary(self) -> str:
        """The level at which it begins to matter: by the first-order estimate for noise and rounding, by the verdicts otherwise."""
        if not self.hides:
            runs = _runs(self.levels, self.verdicts)
            return runs + f"; generic data {_runs(self.levels, self.generic)}" * (None in self.verdicts)
        without = f"{self.verdicts[0]} without it; "
        if not np.isfinite(self.bound).any():
            return without + "no error bars, because the Jacobian is rank deficient"
        worst, every = self._from(self.bound.max(axis=1)), self._from(self.typical.min(axis=1))
        if not worst:
            return without + "to first order every sample keeps a digit at all these levels"
        typical = f"typical errors of all samples exceed a tenth from {every} on" if every else "some typical errors stay below a tenth"
        return without + f"to first order no digit of the worst sample is sure from {worst} on, and {typical}"

    def _from(self, errors: Float[np.ndarray, " levels"]) -> str:
        """The weakest level with an error above a tenth: of those listed, or for noise, to which errors are proportional, any."""
        if isinstance(self.levels[0], float):
            nearest = int(np.abs(np.log10(10 * errors)).argmin())
            return f"about {float(self.levels[nearest]) * HIDDEN / errors[nearest]:.1g}"
        return next((f"{level} bits" for level, error in zip(self.levels, errors, strict=True) if error > HIDDEN), "")

    def plot(self) -> bytes:
        """The curve as PNG bytes. Needs the ``demo`` extra; ``MissingExtraError`` without matplotlib."""
        return draw_defence(
            self.levels,
            self.axis,
            bound=self.bound,
            typical=self.typical,
            observed=self.observed,
            verdicts=(self.verdicts, self.generic),
            strips=not self.hides,
        )

    def to_dict(self) -> dict[str, Any]:
        """The curve as JSON values, one row for each level; numbers that are not finite are null."""
        rows = [
            {
                "level": level,
                "verdict_these_data": self.verdicts[k],
                "verdict_generic_data": self.generic[k],
                "change": self.change[k],
                "bound": self.bound[k],
                "typical": self.typical[k],
                "observed": self.observed[k],
                "stopped": self.stopped.get(k),
                "statement": self.statement(k),
            }
            for k, level in enumerate(self.levels)
        ]
        content = {"name": self.name, "axis": self.axis, "verdicts_of_the_target_without_it": self.hides, "summary": self.summary()}
        return jsonable(content | {"cut": self.cut, "rows": rows})

    def explain(self, width: int = 100) -> str:
        """The curve as a table of text, for the worst sample at each level, and the level at which the answer changes."""
        rows: list[tuple[str, ...]] = [("level", "these data", "generic data", "typical", "at most", "digits", "observed")]
        for k, level in enumerate(self.levels):
            verdicts = (str(verdict) if verdict is not None else "–" for verdict in (self.verdicts[k], self.generic[k]))
            errors = (_worst(self.typical[k]), _worst(self.bound[k]), str(self.digits(k)) if self.verdicts[k] is not None else "–")
            rows.append((f"{level:g}" if isinstance(level, float) else str(level), *verdicts, *errors, self._observed(k)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.name}: {self.axis}"]
        lines += ["  " + "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows]
        previous = None
        for k, row in enumerate(rows[1:]):
            state = (self.verdicts[k], self.generic[k], self.digits(k) > 0, self.statement(k) if not self.digits(k) else "")
            if state != previous:
                lines += textwrap.wrap(f"{row[0]}: {self.statement(k)}", width, initial_indent="  - ", subsequent_indent="    ")
            previous = state
        lines += textwrap.wrap(self.cut, width, initial_indent="  - ", subsequent_indent="    ") if self.cut else []
        return "\n".join(lines)

    def _observed(self, at: int) -> str:
        return "none" if at in self.stopped else _worst(self.observed[at])


@dataclass(frozen=True, eq=False)
class Defences:
    """Curves by name: ``found["noise"]``. ``notes`` name the question, and the defences that do not apply."""

    curves: tuple[DefenceCurve, ...]
    notes: tuple[str, ...]
    seed: int
    versions: dict[str, str] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> DefenceCurve:
        for curve in self.curves:
            if curve.name == name:
                return curve
        raise UnknownNameError("curve", name, (curve.name for curve in self.curves))

    def explain(self, width: int = 100) -> str:
        """All curves as text; exact, estimated and observed columns are marked."""
        scopes = (f"Verdicts: {VERDICT_SCOPE}.", f"Typical, at most: {ESTIMATE_SCOPE}.", f"Observed: {OBSERVED_SCOPE}.")
        out = ["What defences do. Errors are those of the worst sample, relative to its norm."]
        for text in (*scopes, *self.notes):
            out += textwrap.wrap(text, width, initial_indent="  - ", subsequent_indent="    ")
        return "\n\n".join(["\n".join(out), *(curve.explain(width) for curve in self.curves)])

    def to_dict(self) -> dict[str, Any]:
        """All curves as JSON values."""
        return {
            "curves": [curve.to_dict() for curve in self.curves],
            "scope": {"verdicts": VERDICT_SCOPE, "estimates": ESTIMATE_SCOPE, "observed": OBSERVED_SCOPE},
            "notes": list(self.notes),
            "seed": self.seed,
            "versions": self.versions,
        }

    def to_json(self) -> str:
        """All curves as a JSON text; the same seed gives the same text unless a budget was spent."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        return f"Defences({', '.join(f'{curve.name}: {len(curve.levels)} levels' for curve in self.curves)})"


def _worst(errors: Float[np.ndarray, " n"]) -> str:
    known = errors[~np.isnan(errors)]
    return "–" if not len(known) else "no bound" if np.isinf(known).any() else f"{known.max():.1e}"


def _runs(levels: Sequence[float | int | str], verdicts: Sequence[Verdict | None]) -> str:
    """Verdicts, and the levels of each."""
    runs = [(verdict, list(group)) for verdict, group in groupby(zip(levels, verdicts, strict=True), key=lambda pair: pair[1])]
    ends = [(verdict, [str(level) for level, _ in group]) for verdict, group in runs if verdict is not None]
    return ", ".join(f"{verdict} at {found[0]}" + f" to {found[-1]}" * (len(found) > 1) for verdict, found in ends) or "no verdict"

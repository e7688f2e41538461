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
from identify.base.options import positive
from identify.conditions.diagnostics.error_bars import digits
from identify.defence.findings import Advice, Advised, Calibration, Prediction
from identify.defence.levels import Tried
from identify.defence.privacy import excluding_multiplier
from identify.problem.verdict import Verdict, jsonable
from identify.report.curves import draw_defence

VERDICT_SCOPE = (
    "exact, for this network and for these data or generic data, as the column says, and for the target before noise or rounding; "
    "UNDECIDED may only mean that a condition would have taken longer than the budget"
)
ESTIMATE_SCOPE = (
    "a first-order estimate for this network and these data in double precision; it is not a proof, and means little when it comes near 1"
)
PROPORTIONAL = ("noise", "dp_sgd")
"""Defences whose levels are sizes of Gaussian noise."""
UNORDERED = ("withheld", "degree")
"""Defences whose levels are not from weak to strong."""
ESTIMATED = 0.3
"""Typical error up to which the first-order estimate is compared with recoveries."""
HIDDEN = 0.1
"""Relative error above which no digit of a sample is left."""
INFORMED_SCOPE = (
    "for the best sample, a lower bound on the root mean square error of every unbiased estimator, even of one who knows all other "
    "samples and all multipliers: d / sqrt(trace of its Fisher information) (Guo et al. 2022); prior knowledge of the data can do better"
)
CHANCE_SCOPE = (
    "at most so often does any attack find a sample to a tenth, if all that it knows beforehand is that the sample is uniform in a ball "
    "(Balle, Cherubin & Hayes 2022); attackers who know more have less to find"
)
OBSERVED_SCOPE = "the result of recover for one perturbed target; another method or more time may find more"


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
        First-order estimates of the error of each sample: its maximum (other than polynomial networks: what Gaussian noise of that size
        exceeds with a chance of at most 1 in 1000), and its root mean square for a change of that size in a random direction. Infinite if
        the Jacobian is rank deficient, nan without data. A change that follows from the data moves a sample by both.
    observed
        Errors of the samples that :func:`identify.recover` returned, modulo the ambiguity; infinite if it did not succeed, nan
        if it was not tried.
    stopped
        Reasons why it did not succeed, by position of the level.
    cut
        Levels that were left out for lack of time, in words; empty if there are none.
    informed
        Networks of any depth, Gaussian noise: a lower bound on the root mean square error of every unbiased estimator of a sample, even
        of one who knows all other samples and all multipliers. nan if that is not known.
    rho, chance
        DP-SGD: zero-concentrated differential privacy for one sample, and with it the largest chance of any attack to find a sample,
        uniform in a ball, to a tenth of its radius (1: nothing is excluded). nan for other defences.
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
    informed: Float[np.ndarray, "levels n"] | None = None
    rho: Float[np.ndarray, " levels"] | None = None
    chance: Float[np.ndarray, " levels"] | None = None
    missing: float | None = None
    """DP-SGD: the information in nats on which ``chance`` rests."""
    approximate: tuple[bool, ...] = ()
    """For each level, whether verdicts and errors are those of a simpler problem that is near; empty: at none."""
    tried: Tried = Tried.PROMISING
    """The attempts whose errors were observed."""

    def advice(self, error: float = HIDDEN) -> Advice:
        """The weakest level at which no sample is determined to a smaller error than this, relative to its norm, to first order.

        Parameters
        ----------
        error
            Relative root mean square error, above 0, dimensionless.

        Returns
        -------
        Advice
            For Gaussian noise, to which errors are proportional, any level; for others one of those listed.
        """
        error = positive("error", error)
        best = np.array([row[~np.isnan(row)].min(initial=np.inf) for row in self.typical])
        known = ~np.isnan(self.typical).all(axis=1)
        if not known.any():
            return Advice(self.name, Advised.UNKNOWN, error)
        finite = known & np.isfinite(best) & (best > 0)
        if self.name in PROPORTIONAL and finite.any():
            at = int(np.flatnonzero(finite)[np.abs(np.log(best[finite] / error)).argmin()])
            return Advice(self.name, Advised.FROM, error, float(self.levels[at]) * error / float(best[at]))
        hidden = tuple(self.levels[k] for k in np.flatnonzero(known & (best > error)))
        if not hidden:
            return Advice(self.name, Advised.NEVER, error)
        if self.name == "steps":
            return Advice(self.name, Advised.ONE_STEP, error, hidden[0])
        unordered = self.name in UNORDERED
        return Advice(self.name, Advised.AT if unordered else Advised.FROM, error, hidden[0], hidden if unordered else ())

    def calibration(self) -> Calibration:
        """Whether recoveries came out as the typical errors say: the median over the samples, at each level at which it was tried."""
        ratios, missed = [], 0
        for observed, typical in zip(self.observed, self.typical, strict=True):
            promised = np.isfinite(typical) & (typical > 0) & (typical < ESTIMATED)
            both = np.isfinite(observed) & promised
            missed += int((np.isinf(observed) & promised).sum())
            if both.any():
                ratios.append(float(np.median(observed[both] / typical[both])))
        return Calibration(Prediction.NOT_TRIED) if np.isnan(self.observed).all() else Calibration.of(ratios, missed)

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
        unit = {"rounding": " bits", "weights": " bits", "steps": " steps"}.get(self.name, "")
        return next((f"{level}{unit}" for level, error in zip(self.levels, errors, strict=True) if error > HIDDEN), "")

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
            informed=self.informed,
            excluded=self.excluded,
        )

    @property
    def excluded(self) -> float | None:
        """DP-SGD: the noise multiplier from which on any attack finds such a sample with a chance of at most one per cent."""
        return None if self.rho is None or self.missing is None else excluding_multiplier(self.missing)

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
            | ({"approximate": self.approximate[k]} if self.approximate else {})
            | {name: part[k] for name, part in self._further.items()}
            for k, level in enumerate(self.levels)
        ]
        content: dict[str, Any] = {
            "name": self.name,
            "axis": self.axis,
            "verdicts_of_the_target_without_it": self.hides,
            "summary": self.summary(),
        }
        if self.tried is Tried.UNROLLED:
            content["observed_by"] = self.tried.value
        if self._further:
            content |= {"advice": self.advice().to_dict(), "calibration": self.calibration().to_dict()}
            content |= {} if self.excluded is None else {"excluded_from": self.excluded, "missing_nats": self.missing}
        return jsonable(content | {"cut": self.cut, "rows": rows})

    @property
    def _further(self) -> dict[str, np.ndarray]:
        """The columns that only some curves have."""
        named = {"informed": self.informed, "rho": self.rho, "chance": self.chance}
        return {name: part for name, part in named.items() if part is not None}

    def explain(self, width: int = 100) -> str:
        """The curve as a table of text, for the worst sample at each level, and the level at which the answer changes."""
        further = {"informed": "Fisher", "rho": "rho", "chance": "chance"}
        heads = ("model",) * bool(self.approximate) + tuple(further[name] for name in self._further)
        rows: list[tuple[str, ...]] = [("level", "these data", "generic data", *heads, "typical", "at most", "digits", "observed")]
        for k, level in enumerate(self.levels):
            verdicts = (str(verdict) if verdict is not None else "–" for verdict in (self.verdicts[k], self.generic[k]))
            errors = (_worst(self.typical[k]), _worst(self.bound[k]), str(self.digits(k)) if self.verdicts[k] is not None else "–")
            others = [_best(part[k]) if part.ndim > 1 else f"{part[k]:.1e}" for part in self._further.values()]
            others = ([("exact", "near")[self.approximate[k]]] if self.approximate else []) + others
            rows.append((f"{level:g}" if isinstance(level, float) else str(level), *verdicts, *others, *errors, self._observed(k)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.name}: {self.axis}"]
        lines += ["  " + "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in rows]
        previous = None
        for k, row in enumerate(rows[1:]):
            state = (self.verdicts[k], self.generic[k], self.digits(k) > 0, self.statement(k) if not self.digits(k) else "")
            if state != previous:
                lines += textwrap.wrap(f"{row[0]}: {self.statement(k)}", width, initial_indent="  - ", subsequent_indent="    ")
            previous = state
        sentences = [self.cut] * bool(self.cut) + ([str(self.advice()), str(self.calibration())] if self._further else [])
        if self.approximate:
            sentences.append("model near: the equations of one step at the mean of the path stand for those of several steps")
        if self.tried is Tried.UNROLLED:
            sentences.append(f"observed: {self.tried}")
        if self.excluded is not None:
            guess = "any attack without prior knowledge (a sample uniform in a ball) is excluded, but for a chance of 1 %"
            sentences.append(f"{guess}, from about {self.excluded:.2g} on")
        for text in sentences:
            lines += textwrap.wrap(text, width, initial_indent="  - ", subsequent_indent="    ")
        return "\n".join(lines)

    def _observed(self, at: int) -> str:
        known = self.observed[at][~np.isnan(self.observed[at])]
        finite = known[np.isfinite(known)]
        if at in self.stopped or (len(known) and not len(finite)):
            return "none"
        return _worst(finite) + f" ({len(finite)} of {len(known)})" * (len(finite) < len(known))


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
        scopes = [f"Verdicts: {VERDICT_SCOPE}.", f"Typical, at most: {ESTIMATE_SCOPE}.", f"Observed: {OBSERVED_SCOPE}."]
        out = ["The effect of defences. Errors are those of the worst sample, relative to its norm."]
        if any(curve.informed is not None for curve in self.curves):
            scopes.append(f"Fisher: {INFORMED_SCOPE}.")
        if any(curve.rho is not None for curve in self.curves):
            scopes.append(f"Chance: {CHANCE_SCOPE}.")
        for text in (*scopes, *self.notes):
            out += textwrap.wrap(text, width, initial_indent="  - ", subsequent_indent="    ")
        return "\n\n".join(["\n".join(out), *(curve.explain(width) for curve in self.curves)])

    def advice(self, error: float = HIDDEN) -> tuple[Advice, ...]:
        """For each curve, the weakest level at which no sample is determined to a smaller relative error than this, to first order."""
        return tuple(curve.advice(error) for curve in self.curves)

    def to_dict(self) -> dict[str, Any]:
        """All curves as JSON values."""
        return {
            "curves": [curve.to_dict() for curve in self.curves],
            "scope": {
                "verdicts": VERDICT_SCOPE,
                "estimates": ESTIMATE_SCOPE,
                "observed": OBSERVED_SCOPE,
                "informed": INFORMED_SCOPE,
                "chance": CHANCE_SCOPE,
            },
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


def _best(errors: Float[np.ndarray, " n"]) -> str:
    known = errors[~np.isnan(errors)]
    return f"{known.min():.1e}" if len(known) else "–"


def _runs(levels: Sequence[float | int | str], verdicts: Sequence[Verdict | None]) -> str:
    """Verdicts, and the levels of each."""
    runs = [(verdict, list(group)) for verdict, group in groupby(zip(levels, verdicts, strict=True), key=lambda pair: pair[1])]
    ends = [(verdict, [str(level) for level, _ in group]) for verdict, group in runs if verdict is not None]
    return ", ".join(f"{verdict} at {found[0]}" + f" to {found[-1]}" * (len(found) > 1) for verdict, found in ends) or "no verdict"

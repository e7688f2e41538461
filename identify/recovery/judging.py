"""Whether recovered data are the only ones, judged by the exact conditions, and by the starts of a search if those do not decide.

The conditions speak of the target that the recovered numbers give exactly, in that network. It differs from the given target by the
residual; when that is more than the precision of the target explains, nothing is claimed. Nor is it when a proof rests on digits of the
recovered numbers that their error bars do not confirm (:mod:`identify.recovery.robust`).
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from identify.base.errors import InputError
from identify.base.limits import OutOfTimeError, Stopped, TooLargeError
from identify.base.norms import exponent, scaled
from identify.conditions.check import decide
from identify.conditions.networks.known import Known
from identify.problem.interpolation import moment_count
from identify.problem.precision import Precision, Source
from identify.problem.rank import Rest, is_count_open
from identify.problem.system import KKTSystem
from identify.problem.uniqueness import Uniqueness, UniquenessReason, UniquenessStatus
from identify.problem.verdict import Arithmetic, Report, Verdict
from identify.recovery.robust import Neighbourhood, carries_over, rests_on_exact_numbers, scope_that_carries_over
from identify.recovery.solution import Recovery
from identify.recovery.starts import ENOUGH_CONVERGED

SECONDS = 1.0
"""Wall-clock time for the conditions, at most: those that would take longer are left out."""
BATCH_SECONDS = 2.0
"""The same for a batch of any network; two passes in intervals are part of it."""
REACH = 3.0
"""Samples whose distance is so many standard errors are hardly told apart."""
COMPLETE = (UniquenessReason.SEPARATED, UniquenessReason.KERNEL, UniquenessReason.CLOSED, UniquenessReason.AMONG_POINTS)
"""Reasons with which separation returns all samples, and nothing speaks against them."""


def judged(system: KKTSystem, recovery: Recovery, precision: Precision, left: float | None) -> Uniqueness:
    """The uniqueness of recovered data, as far as it is known, at a cost of about a second at most.

    ``left``: seconds of the budget, None without one.
    """
    missed = precision.source is not Source.FORMAT and recovery.residual > precision.allowed
    if missed:
        numbers = {"residual": recovery.residual, "allowed": precision.allowed}
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.RESIDUAL, numbers=numbers)
    numbers = {"samples": recovery.n_samples, "residual": recovery.residual}
    report, undecided = _report(system, recovery, SECONDS if left is None else min(SECONDS, left))
    if report is not None and report.verdict is Verdict.NOT_UNIQUE:
        return Uniqueness(UniquenessStatus.NOT_UNIQUE, UniquenessReason.WITNESS, report.scope, report.witness, numbers)
    if report is not None and report.verdict is Verdict.UNIQUE:
        if not carries_over(system, recovery, report):
            return _withheld(recovery, report)
        return Uniqueness(UniquenessStatus.PROVED, UniquenessReason.DECIDED, report.scope, numbers=numbers)
    return _by_starts(recovery, undecided)


def judged_batch(system: KKTSystem, recovery: Recovery, left: float | None) -> Uniqueness:
    """The same for a batch that separation found: its own evidence, unless a theorem says more."""
    own = recovery.uniqueness
    if own.reason not in COMPLETE or recovery.residual > Precision.of(system).allowed:
        return own
    seconds, began = BATCH_SECONDS if left is None else min(BATCH_SECONDS, left), time.monotonic()
    near = Neighbourhood.of(system, recovery, seconds)
    known = Known() if near is None else near.known
    if "hidden_layers" in recovery.evidence.get("separation", {}):  # of one layer it is that with the slopes of the search
        known = replace(known, residual=recovery.residual)
    report, undecided = _report(system, recovery, seconds - (time.monotonic() - began), known)
    numbers = {"samples": recovery.n_samples, "residual": recovery.residual}
    if report is not None and report.verdict is Verdict.NOT_UNIQUE and not report.leaves_samples:
        return Uniqueness(UniquenessStatus.NOT_UNIQUE, UniquenessReason.WITNESS, report.scope, report.witness, numbers)
    if report is None or report.verdict is not Verdict.UNIQUE:
        is_supported = _has_equations_to_spare(system, recovery.n_samples)
        return own if is_supported else replace(own, status=UniquenessStatus.UNKNOWN, reason=undecided)
    near = Neighbourhood.of(system, recovery) if near is None else near
    proved = None if near is None else scope_that_carries_over(near, report)
    return own if proved is None else Uniqueness(UniquenessStatus.PROVED, UniquenessReason.DECIDED, proved, numbers=numbers)


def _has_equations_to_spare(system: KKTSystem, samples: int) -> bool:
    """Whether a data set that solves the equations says something: for polynomials of two layers, the moments may be no more than unknowns.

    Then most targets, also those of more samples, have solutions. Other networks have many more equations than unknowns.
    """
    net = system.network
    if net.depth != 2 or net.activations[0].kind != "polynomial":
        return True
    degrees = range(net.activations[0].degree + 1) if net.biases[0] is not None else net.activations[0].support
    return moment_count(net.n_inputs, list(degrees), net.n_outputs) > samples * (net.n_inputs + net.n_outputs)


def doubted(recovery: Recovery, *, is_counted: bool) -> Recovery:
    """The same recovery, without support for it if the updates may hold further samples, or some are as near as their error bars reach.

    ``is_counted``: whether the number of samples was given. If it was not, and every update has full rank, it is a lower bound.
    """
    behind = recovery.evidence.get("behind", ())
    if recovery.uniqueness.is_supported and is_count_open(behind):
        reason, numbers = UniquenessReason.REST, {"samples": recovery.n_samples}
        shown = max(recovery.evidence.get("ranks", ()), default=0)
        if is_counted and shown > recovery.n_samples:
            reason, numbers = UniquenessReason.LEFT_OUT, numbers | {"shown": shown}
        return replace(recovery, uniqueness=Uniqueness(UniquenessStatus.UNKNOWN, reason, numbers=numbers))
    if recovery.uniqueness.is_supported and behind and not is_counted and all(rest is Rest.NONE for rest in behind):
        known = recovery.uniqueness
        recovery = replace(recovery, uniqueness=replace(known, numbers=known.numbers | {"at_least": recovery.n_samples}))
    size = int(exponent(recovery.X))
    X, bars = scaled(recovery.X, -size), scaled(recovery.error_bars, -size)
    if not recovery.uniqueness.is_supported or len(X) < 2:
        return recovery
    squares = np.sum(X**2, axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * X @ X.T, 0.0))
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    exact = np.linalg.norm(X - X[nearest], axis=1)  # products cancel for samples so near each other
    close = int(np.sum(exact <= REACH * np.nan_to_num(np.maximum(bars, bars[nearest]), nan=0.0, posinf=np.inf)))
    if not close:
        return recovery
    numbers = {"samples": recovery.n_samples, "close": close}
    return replace(recovery, uniqueness=Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.CLOSE, numbers=numbers))


def _report(system: KKTSystem, recovery: Recovery, seconds: float, known: Known | None = None) -> tuple[Report | None, UniquenessReason]:
    """The report about the recovered data, and why it does not decide if it does not."""
    if seconds <= 0:
        return None, UniquenessReason.TIME
    try:
        report = decide(system, data=(recovery.X, recovery.c), seed=recovery.seed, budget=seconds, known=known)
    except TooLargeError:
        return None, UniquenessReason.MEMORY
    except OutOfTimeError:
        return None, UniquenessReason.TIME
    except InputError:  # coincident samples whose multipliers have no exact sum, labels that do not fit: no question about exact data
        return None, UniquenessReason.UNDECIDED
    except KeyboardInterrupt:
        recovery.evidence["interrupted"] = Stopped.INTERRUPTED
        return None, UniquenessReason.INTERRUPTED
    if report.verdict is Verdict.LOCALLY_UNIQUE:
        return report, UniquenessReason.ISOLATED
    late = any(each.arithmetic is Arithmetic.NONE and "estimated_seconds" in each.evidence for each in report.conditions)
    return report, UniquenessReason.TIME if late else UniquenessReason.UNDECIDED


def _withheld(recovery: Recovery, report: Report) -> Uniqueness:
    """The rest of a proof that does not hold for all data within the error bars."""
    if np.isinf(recovery.error_bars).any():
        return _by_starts(recovery, UniquenessReason.FREE)
    condition = rests_on_exact_numbers(report)
    if condition is None:
        return _by_starts(recovery, UniquenessReason.ROUNDED)
    known = _by_starts(recovery, UniquenessReason.EXACT_ONLY)
    return replace(known, numbers=known.numbers | {"condition": condition})


def _by_starts(recovery: Recovery, undecided: UniquenessReason) -> Uniqueness:
    """The evidence of the random starts of a search, when the conditions do not decide."""
    starts = recovery.evidence.get("uniqueness")
    if starts is None:
        return Uniqueness(UniquenessStatus.UNKNOWN, undecided, numbers={"samples": recovery.n_samples, "residual": recovery.residual})
    numbers = {name: starts[name] for name in ("starts", "converged", "solutions")}
    if starts["solutions"] > 1:
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.SEVERAL_SOLUTIONS, numbers=numbers)
    if starts["converged"] >= ENOUGH_CONVERGED:
        return Uniqueness(UniquenessStatus.EVIDENCE, UniquenessReason.ONE_SOLUTION, numbers=numbers)
    if undecided is UniquenessReason.UNDECIDED:
        return Uniqueness(UniquenessStatus.UNKNOWN, UniquenessReason.FEW_STARTS, numbers=numbers)
    return Uniqueness(UniquenessStatus.UNKNOWN, undecided, numbers=numbers)

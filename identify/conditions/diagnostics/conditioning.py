"""Conditioning: to how many digits the data are determined near a solution, when the target is perturbed.

:mod:`identify.conditions.diagnostics.error_bars` as a diagnostic of a report. Floating point, so it supports no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from identify.base.limits import memory_allowed, readable
from identify.conditions.diagnostics.error_bars import ErrorBars, NotFiniteError, cost, error_bars, times
from identify.conditions.diagnostics.perturbations import FLOAT32, RESIDUAL, stated_perturbations
from identify.conditions.diagnostics.sensitivity import leaves_scale_free
from identify.exact.modular import Arithmetic
from identify.problem.data import check_data
from identify.problem.system import KKTSystem
from identify.problem.verdict import Condition

REFERENCE = "first-order perturbation of a least-squares solution (Golub & Van Loan 2013, section 5.3)"
MAX_FLOPS = 1e11
FLOPS_PER_SECOND = 1e10
"""Assumed for the estimate of the time: one core of a present machine."""
MAX_COORDINATES = 2000
"""Up to this many numbers, error bars of every coordinate are part of the evidence."""


def conditioning(
    system: KKTSystem,
    X: Float[np.ndarray, "n d"],
    c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"],
    *,
    perturbations: Mapping[str, float | np.ndarray] | None = None,
) -> Condition:
    """How many digits of each sample the target determines: :func:`error_bars`, as a diagnostic of a report.

    Parameters
    ----------
    system, X, c, perturbations
        As for :func:`error_bars`. The statement is about the first perturbation; by default about rounding to single
        precision, or about the residual of these data where that leaves fewer digits.

    Returns
    -------
    Condition
        ``holds``: every sample keeps at least one digit. Digits are floor(-log10(error bar / norm of the sample)) of the worst
        sample, at most 15. ``evidence["error_bars"]`` has bounds to first order on the error of each sample, in the units of the
        inputs; random errors are smaller, about ``evidence["typical_error_bars"]``; ``coordinate_error_bars`` are given for up to
        2000 numbers. ``undetermined_directions``: along so many directions a relative change of size 1 of the data changes the
        target by less than the perturbation. Not evaluated above about 10 s of work, or the memory allowed.

    Raises
    ------
    ValueError
        For data or perturbations of the wrong shape.
    """
    X, c = check_data(X, c, system.network.n_inputs, system.network.n_outputs)
    if perturbations is not None:
        stated_perturbations(perturbations, system)  # refused input is an error, before any reason not to look
    refused = _refusal(system, len(X))
    if refused is not None:
        return refused
    try:
        bars = error_bars(system, X, c, perturbations=perturbations)
    except NotFiniteError:
        statement = "not evaluated: the numbers overflow double precision; rescale inputs or weights"
        return Condition("conditioning", None, statement, {}, Arithmetic.NONE, REFERENCE)
    evidence = _evidence(system, X, bars)
    first = next(iter(bars.perturbations))
    if perturbations is None and bars.digits(RESIDUAL) < bars.digits(first):
        first = RESIDUAL
    holds = bars.is_bounded and bars.digits(first) > 0
    return Condition("conditioning", holds, _statement(bars, first, perturbations is None), evidence, Arithmetic.FLOAT, REFERENCE)


def _evidence(system: KKTSystem, X: np.ndarray, bars: ErrorBars) -> dict:
    values, names = bars.singular_values, list(bars.perturbations)
    evidence: dict = {"digits": {name: bars.digits(name) for name in names}, "perturbations": bars.perturbations}
    spectrum = {"sigma_min": values[-1], "sigma_max": values[0], "condition_number": _over(values[0], values[-1])}
    if len(values) > 1:
        spectrum |= {"sigma_next": values[-2], "gap": _over(values[-2], values[-1])}
    evidence |= {name: float(value) for name, value in spectrum.items()} | {"resolution": bars.resolution}
    evidence["undetermined_directions"] = {name: int((values <= size).sum()) for name, size in bars.perturbations.items()}
    evidence |= {"equations": system.n_equations, "unknowns": system.n_unknowns(len(X))}
    if leaves_scale_free(system):
        evidence["scale_freedom"] = len(X)
    if not bars.is_bounded:
        return evidence
    relative = {name: bars.relative(name) for name in names}
    evidence["worst_sample"] = int((bars.per_sample / bars.scale).argmax())
    evidence["worst_relative_error_bar"] = {name: float(values.max()) for name, values in relative.items()}
    evidence["error_bars"] = {name: bars.samples(name).tolist() for name in names}
    evidence["typical_error_bars"] = {name: times(bars.typical, size).tolist() for name, size in bars.perturbations.items()}
    if X.size * len(names) <= MAX_COORDINATES:
        evidence["coordinate_error_bars"] = {name: bars.coordinates(name).tolist() for name in names}
    return evidence


def _over(a: float, b: float) -> float:
    return float(a / b) if b else np.inf


def _statement(bars: ErrorBars, first: str, usual: bool) -> str:
    """Digits and why. A report puts "identifiable, to" before it, if its verdict says so."""
    if not bars.is_bounded:
        values = bars.singular_values
        count = int((values <= bars.resolution * values[0]).sum())
        return (
            f"no digit: to precision {bars.resolution:.1g} the Jacobian is rank deficient, and to first order {count} of {len(values)} "
            "directions of change have no bound"
        )
    worst = int((bars.per_sample / bars.scale).argmax())
    error, size = float(bars.relative(first).max()), bars.perturbations[first]
    what = {FLOAT32: "rounding the target to float32", RESIDUAL: f"the residual of these data, {size:.1e} of the target,"}
    subject = what[first] if usual and first in what else f"the perturbation {first!r}"
    text = f"{_count(bars.digits(first))}: {subject} moves X[{worst}], the worst sample, by at most {error:.1e} of its norm, to first order"
    if usual and first == RESIDUAL:
        text += f"; rounding the target to float32 alone would leave {_count(bars.digits(FLOAT32))}"
    return text


def _count(number: int) -> str:
    return f"{number or 'no'} digit" + "s" * (number > 1)


def seconds(system: KKTSystem, samples: int) -> float:
    """An estimate of the time on one core; 0 if it would not be evaluated."""
    flops = cost(system, samples)[0]
    return flops / FLOPS_PER_SECOND if flops <= MAX_FLOPS else 0.0


def _refusal(system: KKTSystem, samples: int) -> Condition | None:
    """Not evaluated, with the estimate, if it would take long; None if it would not."""
    equations, unknowns = system.n_equations, system.n_unknowns(samples)
    flops, memory, _ = cost(system, samples)
    if flops <= MAX_FLOPS and memory <= memory_allowed():
        return None
    time = flops / FLOPS_PER_SECOND
    evidence = {"unknowns": unknowns, "equations": equations, "estimated_seconds": float(f"{time:.2g}"), "estimated_bytes": memory}
    price = f"about {time:.0f} s and {readable(memory)}"
    statement = f"not evaluated: {unknowns} unknowns in {equations} equations ({price}); error_bars(system, X, c) computes it all the same"
    return Condition("conditioning", None, statement, evidence, Arithmetic.NONE, REFERENCE)

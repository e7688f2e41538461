"""The measures of a sweep: the verdict, the thresholds, or whether planted data are recovered; the batch behind an update.

Verdicts and thresholds are those of :func:`identify.check` and :func:`identify.largest_identifiable`, with their scope. Recovery is a
statistic: success is judged against planted data, and proves nothing about other instances.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from identify.base.norms import size as norm
from identify.sweeps.task import AnyTask, Outcome, Task
from identify.sweeps.updates import batch_of

SOLVED = 3.0
"""Factor of the relative noise below which a relative residual counts as solved."""


def verdict(task: Task) -> dict[str, Any]:
    """``check`` of the configuration; for the self-trained regimes, of one planted instance."""
    from identify.conditions.check import decide

    report = decide(task.configuration, seed=task.seed)
    return {
        "verdict": report.verdict.value,
        "scope": str(report.scope),
        "proved": "; ".join(one.name for one in report.conditions if one.is_proved),
        "reasons": "; ".join(report.reasons),
        "notes": "; ".join(report.notes),
    }


def thresholds(task: Task) -> dict[str, Any]:
    """``largest_identifiable``: up to how many generic samples a generic network of these sizes determines them."""
    from identify.conditions.thresholds import largest_identifiable

    largest = largest_identifiable(task.configuration, seed=task.seed).to_dict()
    return {name: largest[name] for name in RESULTS["thresholds"]}


def recovery(task: Task) -> dict[str, Any]:
    """Plant an instance, perturb its target, recover, and compare with the planted data, modulo the ambiguity."""
    from identify.problem.precision import LARGEST
    from identify.recovery.recover import TOLERANCE, recover
    from identify.recovery.solution import RecoveryError

    assert task.noise is not None and task.samples is not None and task.tolerance is not None and task.method is not None
    system, truth = task.configuration.plant(task.seed)
    if task.noise:
        direction = np.random.default_rng([task.seed, 1]).standard_normal(system.n_equations)
        size = task.noise * norm(system.target) / np.linalg.norm(direction)
        system = system.with_target(system.target + size * direction)
    try:
        recovered = recover(
            system,
            samples=task.samples,
            method=task.method,
            starts=task.starts,
            seed=task.seed,
            budget=task.budget,
            tolerance=min(max(TOLERANCE, SOLVED * task.noise), LARGEST) if task.noise else None,
            judge=False,
        )
    except RecoveryError as error:
        return {"success": False, "relative_error": None, "residual": None, "solved_by": "", "not_recovered": str(error)}
    worst = float(recovered.match(truth.X, truth.c).errors.max())
    success = worst <= task.tolerance
    return {"success": success, "relative_error": worst, "residual": recovered.residual, "solved_by": recovered.method, "not_recovered": ""}


MEASURES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "verdict": verdict,
    "thresholds": thresholds,
    "recovery": recovery,
    "update": batch_of,
}
"""Every measure, by name."""
RESULTS = {
    "verdict": ("verdict", "scope", "proved", "reasons", "notes"),
    "thresholds": (
        *("unique", "unique_by_moments", "unique_by_generic_global", "unique_by_separation"),
        *("locally_unique", "not_identifiable", "arithmetic"),
    ),
    "recovery": ("success", "relative_error", "residual", "solved_by", "not_recovered"),
    "update": ("counted", "recovered", "status", "error_bar", "residual", "solved_by", "not_recovered"),
}
"""Columns of each measure, in the order of the table."""


def run_task(task: AnyTask) -> Outcome:
    """Measure; an error becomes part of the outcome. Executors run this function."""
    from identify.conditions.judgement import versions
    from identify.problem.verdict import jsonable

    started = time.perf_counter()
    state, result, error = "done", {}, ""
    try:
        result = jsonable(MEASURES[task.measure](task))
    except Exception as reason:  # whatever went wrong in one task must not end the sweep
        state, error = "failed", f"{type(reason).__name__}: {reason}"
    return Outcome(task=task, state=state, result=result, error=error, seconds=time.perf_counter() - started, versions=versions())

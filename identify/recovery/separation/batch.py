"""The batch behind an update of any network: which separation serves, and what all of them share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.base.limits import Clock, limit_time, time_limit
from identify.base.options import METHODS, choice, positive, whole
from identify.problem.data import check_pair
from identify.problem.features import FeatureSystem
from identify.problem.heads import HeadSystem
from identify.problem.steps import StepsSystem
from identify.problem.system import KKTSystem
from identify.recovery.separation.alone import by_zeros_of_signals, from_dependent_signals, has_zeros_for
from identify.recovery.separation.attempt import is_in_parts
from identify.recovery.separation.dense import separated
from identify.recovery.separation.heads import separated_head
from identify.recovery.separation.kept import Kept
from identify.recovery.separation.one_layer import separated_from_one_layer, why_one_layer
from identify.recovery.separation.with_loss import has_closure, separated_by_loss, why_closed
from identify.recovery.solution import Failure, InapplicableError, Recovery, RecoveryError, ResidualError

FORWARD = "the updates of the first two layers were observed"
"""Why forward separation was chosen, in the evidence."""


def is_beyond_polynomials(system: KKTSystem) -> bool:
    """Whether the theorems about two layers and polynomials do not apply, so that the batch is found by separation."""
    net = system.network
    if system.is_partial:
        return True
    return net.depth != 2 or net.has_output_bias or any(sigma.kind != "polynomial" for sigma in net.activations)


def by_separation(
    system: KKTSystem | FeatureSystem | HeadSystem | StepsSystem,
    samples: int | None,
    method: str,
    starts: int | None,
    seed: int,
    budget: float | None,
    tolerance: float | None,
    checkpoint: str | Path | None,
    data: Any,
    progress: Callable[[str], None],
) -> Recovery:
    """Networks of any depth and activation, dense layers behind a known map, and several steps; ``method``: ``"auto"`` or ``"separate"``.

    The arguments are those of :func:`identify.recover`.
    """
    choice("method", choice("method", method, METHODS), ("auto", "separate"))
    if isinstance(system, FeatureSystem):
        if checkpoint is not None:
            raise InputError("checkpoint: received a folder, but a map has no contents to know it by; leave it out, and set a budget")
        starts = None if starts is None else whole("starts", starts, advice=", or None for as many as are needed")
        known = None if data is None else check_pair("data", data, system)
    elif isinstance(system, HeadSystem):
        for name, value in (("starts", starts), ("checkpoint", checkpoint)):
            if value is not None:
                raise InputError(
                    f"{name}: received {value!r}, which has no meaning for one layer behind a loss; leave it out, and set a budget"
                )
        known = None if data is None else check_pair("data", data, system)
    elif isinstance(system, StepsSystem):
        for name, value in (("starts", starts), ("checkpoint", checkpoint)):
            if value is not None:
                raise InputError(f"{name}: received {value!r}, which has no meaning for several steps; leave it out, and set a budget")
        known = None if data is None else check_pair("data", data, system.initial)
    else:
        if checkpoint is not None and is_in_parts(system):
            raise InputError("checkpoint: received a folder, but only the search from the first layers keeps its samples; leave it out")
        if starts is not None:
            raise InputError(f"starts: received {starts!r}, but separation takes as many as it needs; leave it out, and set a budget")
        known = None if data is None else check_pair("data", data, system.network)
    evidence: dict[str, Any] = {}
    with (
        limit_time(None if budget is None else positive("budget", budget, unit="seconds")),
        np.errstate(over="ignore", invalid="ignore", divide="ignore"),  # a start beyond doubles, or of zeros, has no cost and is dropped
    ):
        clock = Clock(deadline=time_limit())
        asked: dict[str, Any] = {
            "samples": None if samples is None else whole("samples", samples, advice=", or None to read it off the ranks"),
            "seed": seed,
            "tolerance": None if tolerance is None else positive("tolerance", tolerance),
            "evidence": evidence,
            "progress": progress,
        }
        try:
            if isinstance(system, FeatureSystem):
                from identify.recovery.separation.feature_batch import separated_features  # loads JAX, as the next one does

                found = separated_features(system, starts=starts, clock=clock, **asked)
            elif isinstance(system, HeadSystem):
                found = separated_head(system, clock=clock, **asked)
            elif isinstance(system, StepsSystem):
                from identify.recovery.steps.recovered import recovered

                found = recovered(system, go_on=clock.go_on, **asked)
            else:
                kept = Kept.of(None if checkpoint is None else Path(checkpoint), system, asked["samples"])
                found = _of_dense_layers(system, clock, kept, asked)
        except RecoveryError as error:
            if clock.interrupted:
                error.evidence["interrupted"] = clock.interrupted
            raise
    if clock.interrupted:
        found.evidence["interrupted"] = clock.interrupted
    if known is not None:
        found.evidence["errors"] = found.match(*known).errors.tolist()
    return found


def _of_dense_layers(system: KKTSystem, clock: Clock, kept: Kept, asked: dict[str, Any]) -> Recovery:
    """By the layers that were observed; ``evidence["chosen"]`` says why."""

    def above(head: KKTSystem, **own: Any) -> Recovery:
        return _of_dense_layers(head, clock, Kept(), asked | own)

    if is_in_parts(system):
        return _from_parts(system, clock=clock, above=above, **asked)
    why = why_one_layer(system, asked["samples"])
    closed = _by_the_loss(system, why, clock, kept, asked) if has_closure(system) else None
    if closed is not None and closed.n_samples == closed.evidence["separation"]["samples"]:
        return closed
    asked["evidence"].setdefault("chosen", FORWARD if why is None else why)
    try:
        found = _by_the_updates(system, why, clock, kept, asked)
    except RecoveryError:
        if closed is None:
            raise
        return closed
    return found if closed is None or found.n_samples >= closed.n_samples else closed


def _by_the_loss(system: KKTSystem, why: str | None, clock: Clock, kept: Kept, asked: dict[str, Any]) -> Recovery | None:
    """With the multipliers of the usual loss; None, with the reason in the evidence, if they do not give any sample."""
    until = None if clock.deadline is None else (time.monotonic() + clock.deadline) / 2  # others are tried after it

    def go_on() -> bool:
        return clock.go_on() and (until is None or time.monotonic() < until)

    try:
        return separated_by_loss(system, go_on=go_on, kept=kept, **asked | {"evidence": {"chosen": why_closed(system, why)}})
    except (InapplicableError, ResidualError) as error:
        asked["evidence"]["closed"] = error.obstacle.kind.name
        return None


def _by_the_updates(system: KKTSystem, why: str | None, clock: Clock, kept: Kept, asked: dict[str, Any]) -> Recovery:
    """With free multipliers."""

    def above(head: KKTSystem, **own: Any) -> Recovery:
        return _of_dense_layers(head, clock, Kept(), asked | own)

    if why is None:
        try:
            return separated(system, go_on=clock.go_on, kept=kept, **asked)
        except InapplicableError as error:
            if error.obstacle.kind is Failure.DEPENDENT_SIGNALS:
                samples, forward = error.obstacle.numbers["samples"], asked["evidence"]["chosen"]
                try:
                    return from_dependent_signals(system, clock=clock, **asked | {"samples": samples})
                except RecoveryError:  # the samples whose signals are independent of the others
                    asked["evidence"]["chosen"] = forward
                    return separated(system, go_on=clock.go_on, kept=kept, all_of_them=False, **asked)
            if error.obstacle.kind is not Failure.NARROW or len(system.layers) < 3:
                raise
            try:  # a deeper layer may count the samples, where the second does not
                return _from_parts(system, clock=clock, above=above, **asked)
            except RecoveryError:
                raise error from None
    try:
        return separated_from_one_layer(system, go_on=clock.go_on, kept=kept, **asked)
    except InapplicableError as error:
        if not has_zeros_for(system, error.obstacle):
            raise
        try:
            return by_zeros_of_signals(system, clock=clock, **asked)
        except RecoveryError:
            raise error from None


def _from_parts(system: KKTSystem, **asked: Any) -> Recovery:
    from identify.recovery.separation.parts import separated_from_parts  # loads JAX

    return separated_from_parts(system, **asked)

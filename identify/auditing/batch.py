"""The batch behind one update of a network that no theorem is about: ranks that count the samples, and the samples themselves."""

from __future__ import annotations

from functools import partial

import numpy as np

from identify.auditing.findings import Basis, Finding
from identify.auditing.recovering import LEAST_SEARCH, RECOVERY, pictures, symmetries
from identify.auditing.work import Work
from identify.base.errors import InputError
from identify.base.limits import TooLargeError
from identify.problem.network import from_parameters
from identify.problem.system import SELF_TRAINED, KKTSystem
from identify.recovery.recover import recover
from identify.recovery.separation.with_loss import has_closure
from identify.recovery.solution import Recovery, RecoveryError
from identify.report.html import show

SHARE = 0.5
"""Part of the remaining time."""


def update_of(work: Work) -> KKTSystem | None:
    """The equations of the observed updates; None in regimes in which the parameters themselves are the target."""
    subject = work.subject
    if work.regime in SELF_TRAINED:
        return None
    if subject.system is not None:
        return subject.system
    net = from_parameters(subject.layers, subject.activation)
    if work.regime == "lazy":
        assert subject.initial is not None
        return KKTSystem.lazy(from_parameters(subject.initial, subject.activation), net)
    assert subject.gradient is not None
    minus = {name: -part for name, part in subject.gradient.items()}
    layers = {k: (minus.get(f"W{k}"), minus.get(f"b{k}")) for k in range(1, net.depth + 1)}
    return KKTSystem.gradient(net, layers={k: pair for k, pair in layers.items() if any(part is not None for part in pair)})


def decayed(work: Work) -> KKTSystem | None:
    """The equations of a stationary point of weight decay whose multipliers the usual loss gives, if the decay is known."""
    subject = work.subject
    if work.regime != "weight-decay":
        return None
    if subject.system is not None:
        system = subject.system
    elif subject.decay is not None:
        system = KKTSystem.weight_decay(from_parameters(subject.layers, subject.activation), decay=subject.decay)
    else:
        return None
    return system if has_closure(system) else None


def batch_seconds(work: Work) -> float:
    """The step keeps to its part of the time by itself, except for compiling."""
    return LEAST_SEARCH * (work.regime not in SELF_TRAINED or decayed(work) is not None)


def batch(work: Work) -> None:
    """Separation, within a part of the remaining time: of an update, or of weights at a stationary point."""
    update = update_of(work)
    system = decayed(work) if update is None else update
    if system is None:
        return
    what = "updates" if update is not None else "stationary weights"
    observed = f"the {what} of {', '.join(system.parts)}"
    try:
        found = recover(system, samples=work.samples, seed=work.seed, budget=SHARE * work.left, progress=work.progress)
    except (RecoveryError, TooLargeError) as error:
        evidence = getattr(error, "evidence", {})
        work.note_interrupt(evidence.get("interrupted"))
        ranks = evidence.get("ranks")
        details = [] if not ranks else [_counted(ranks, system)]
        if work.regime == "lazy":
            details.append("several steps of training between the two networks are another question: give their number (--steps)")
        work.separation = f"separation of the {what} did not recover any sample: {error}"
        work.add(
            Finding(
                "recovery",
                RECOVERY,
                f"not recovered: separation of the {what} did not find any sample",
                f"this network, {observed}",
                Basis.OBSERVED,
                (*details, str(error), "a search that finds nothing proves nothing"),
                {"method": "separate", "ranks": ranks},
            )
        )
        return
    wanted, ranks = found.evidence["separation"]["samples"], found.evidence["ranks"]
    work.batch = found if update is not None and found.n_samples == wanted else None
    counted = (_counted(ranks, system),) if ranks else ()
    add_recovery(
        work, found, wanted=wanted, behind="the update" if update is not None else "the weights", observed=observed, counted=counted
    )


def add_recovery(work: Work, found: Recovery, *, wanted: int, behind: str, observed: str, counted: tuple[str, ...]) -> None:
    """The finding about samples that were recovered; ``behind`` and ``observed`` say from what."""
    work.found = found
    work.note_interrupt(found.evidence.get("interrupted"))
    subject = work.subject
    answer = f"{len(found.X)} of {wanted} samples behind {behind} were recovered, by {found.method}; residual {show(found.residual)}"
    values = {"method": found.method, "ranks": found.evidence["ranks"], "samples": wanted, "found": len(found.X)}
    values |= {"residual": found.residual, "error_bars": found.error_bars, "relative_error_bars": found.relative_error_bars}
    values |= {"X": found.X, "c": found.c, "uniqueness": found.uniqueness.to_dict()}
    largest = float(found.relative_error_bars.max())
    details = [
        *counted,
        f"whether these are the only such data: {found.uniqueness}",
        f"largest error bar {show(largest)} relative, to first order",
    ]
    try:
        labels = found.labels if _has_classes(found) else None
    except InputError:
        labels = None
    if labels is not None:
        values["labels"] = labels
        details.append("the multipliers are those of a softmax loss, and tell the class of each sample")
    if "interrupted" in found.evidence:
        work.said["recovery"] = f"cut short: {found.evidence['interrupted']}"
    original, shown, errors = None, found.X, None
    if subject.X is not None:
        match = found.match(subject.X, np.zeros((len(subject.X), subject.n_outputs)))
        original, shown, errors = subject.X, match.X, match.errors
        there = errors[np.isfinite(errors)]
        values["errors"] = errors
        answer += f"; beside the {len(errors)} given samples the largest relative error of {len(there)} is {show(float(there.max()))}"
    draw = partial(pictures, subject.mean, original, shown, errors, "recovered")
    scope = f"this network, {observed}, {symmetries(found)}"
    work.add(Finding("recovery", RECOVERY, answer, scope, Basis.OBSERVED, tuple(details), values, draw=draw))


def _has_classes(found: Recovery) -> bool:
    """Whether there is more than one output."""
    return found.c.ndim > 1 and bool(np.isfinite(found.c).all())


def _counted(ranks: list[int], system: KKTSystem) -> str:
    """What the ranks of the updates say of the number of samples."""
    layers = [k for k, update in system.layers.items() if update.W is not None]
    if len(ranks) == 1:
        which = "the first layer" if layers[0] == 1 else f"layer {layers[0]}"
        update = "" if system.regime in SELF_TRAINED else "the update of "
        return f"the rank of {update}{which} is {ranks[0]}: no fewer samples"
    return f"the ranks of the updates are {', '.join(map(str, ranks))}, layer by layer: no fewer samples than the largest"

"""The steps of an audit of two networks, one of which was trained to the other in several steps.

No theorem is about several steps, so nothing is proved; training unrolled, from the samples to the final network, is evidence.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Float

from identify.auditing.attacking import ATTACK, DETERMINED, attack, attack_seconds, equations, is_recovered
from identify.auditing.batch import add_recovery
from identify.auditing.findings import PRIVACY, Basis, Finding
from identify.auditing.protecting import ADVICE
from identify.auditing.recovering import LEAST_SEARCH, RECOVERY, pictures
from identify.auditing.unseen import UNSEEN, unseen, unseen_seconds
from identify.auditing.vertices import IMAGES, images, images_seconds
from identify.auditing.work import NOTHING, Step, Work
from identify.base.limits import TooLargeError
from identify.defence.sending import as_format
from identify.problem.network import Network
from identify.problem.precision import format_of
from identify.problem.steps import StepsSystem
from identify.recovery.recover import recover
from identify.recovery.solution import RecoveryError
from identify.report.html import Cell, show

SHARE = 0.6
"""Part of the remaining time."""
PATIENCE = 2.0
"""How much longer than the recovery that of a rounded network may take."""
FORMATS = ("float32", "float16", "bfloat16")
"""In which the final network could have been sent."""
SENDING = "in which number format the final network is sent"
BEHIND, OBSERVED = "the steps", "the networks before and after them"


def system_of(work: Work) -> StepsSystem:
    """Both networks, and how one was trained to the other."""
    assert work.subject.steps is not None
    return work.subject.steps


def verdict(work: Work) -> None:
    """That nothing is proved, and what holds after any number of steps all the same."""
    work.add(
        Finding(
            "verdict",
            DETERMINED,
            "nothing is proved: no theorem says when several steps of training determine their samples",
            "these two networks",
            Basis.REFUSED,
            (
                "the rows of the first layer's change are combinations of the samples, after any number of steps of gradient descent",
                "a recovery below that finds nothing is not a sign of safety",
            ),
        )
    )


def batch_seconds(work: Work) -> float:
    """The step keeps to its part of the time by itself, except for compiling."""
    return LEAST_SEARCH


def batch(work: Work) -> None:
    """The samples behind the steps, within a part of the remaining time."""
    began = time.monotonic()
    try:
        found = recover(system_of(work), samples=work.samples, seed=work.seed, budget=SHARE * work.left, progress=work.progress)
    except (RecoveryError, TooLargeError) as error:
        _not_recovered(work, error)
        return
    work.seconds["recovery"] = time.monotonic() - began
    counted = [f"the rank of the first layer's change is {rank}: no fewer samples" for rank in found.evidence["ranks"]]
    counted += [f"loss: {found.evidence['loss']}"]
    if "learning_rate" in found.evidence:
        counted.append(f"learning rate, fitted: {found.evidence['learning_rate']:.6g}")
    if "batches" in found.evidence:
        counted.append("batches, by the samples' numbers from 0: " + "; ".join(_numbered(batch) for batch in found.evidence["batches"]))
    add_recovery(work, found, wanted=found.n_samples, behind=BEHIND, observed=OBSERVED, counted=tuple(counted))


def _numbered(batch: list[int]) -> str:
    return " ".join(map(str, batch))


def _not_recovered(work: Work, error: RecoveryError | TooLargeError) -> None:
    """The finding that says so, with the nearest samples if there are any: they are not an answer, but may be close to the data."""
    evidence, subject = getattr(error, "evidence", {}), work.subject
    work.note_interrupt(evidence.get("interrupted"))
    near: Float[np.ndarray, "n d"] | None = evidence.get("approximate")
    answer = "not recovered: no samples were found from which this training ends at the final network"
    values = {"method": "training unrolled", "ranks": evidence.get("ranks"), "approximate": near}
    details, draw = [str(error), "a search that finds nothing proves nothing"], None
    if near is not None and np.isfinite(near).all():
        answer += "; the nearest ones are shown, which are not an answer but may be close to the data"
        original, shown, errors = None, near, None
        if subject.X is not None:
            distances = np.linalg.norm(subject.X[:, None] - near[None], axis=2)
            original, shown = subject.X, near[distances.argmin(axis=1)]
            errors = distances.min(axis=1) / np.maximum(np.linalg.norm(subject.X, axis=1), np.finfo(float).tiny)
            values["errors"] = errors
            answer += f"; beside the given samples their relative errors are {show(float(errors.min()))} to {show(float(errors.max()))}"
        draw = partial(pictures, subject.mean, original, shown, errors, "nearest", "the nearest samples, which are not an answer")
    work.add(Finding("recovery", RECOVERY, answer, f"this network, {OBSERVED}", Basis.OBSERVED, tuple(details), values, draw=draw))


def sending_seconds(work: Work) -> float:
    """The least time in which a shorter format is tried."""
    return LEAST_SEARCH * is_recovered(work)


def sending(work: Work) -> None:
    """How precise the samples would be if the final network had been sent with fewer digits: to first order, and tried.

    The error of the final network is then rounding, so error bars are to those that were found as the units of rounding are.
    """
    found, system = work.found, system_of(work)
    if found is None or not is_recovered(work):
        work.add(Finding("defences", ADVICE, "not evaluated: the samples were not recovered", NOTHING, Basis.NONE))
        return
    observed = _unit(system.final)
    bars = found.relative_error_bars
    rows: list[tuple[Cell, ...]] = [("format", "largest error bar, to first order", "largest error of a recovery")]
    said, tried = [], []
    for name in FORMATS:
        sent = system.final.with_parameters({part: as_format(values, name) for part, values in system.final.parameters.items()})
        unit = _unit(sent)
        if unit <= observed:
            continue
        expected = float(bars.max() * unit / observed)
        error = _tried(work, sent) if work.left > work.seconds["recovery"] else None
        seen = None if error is None else "not recovered" if np.isinf(error) else error
        rows.append((name, expected if expected < 1 else "above 1: nothing is left", seen))
        said.append(f"{name}: {_in_words(expected, error)}")
        tried.append({"format": name, "error_bar": expected, "error": None if error is None or np.isinf(error) else error})
        if work.is_interrupted:
            break
    answer = (
        f"sent with fewer digits, the network gives less precise samples: {'; '.join(said)}"
        if said
        else ("the network was sent in the shortest of these formats: " + ", ".join(FORMATS))
    )
    details = (
        "error bars grow with the unit of rounding, to first order",
        "a change of the first layer that is not sent leaves no row space to search; identify.exposed is about the other layers",
        PRIVACY,
    )
    scope = "these networks, the recovered samples, which need not be the data"
    values = {"axis": SENDING, "formats": [row["format"] for row in tried]}
    values |= {name: [row[name] for row in tried] for name in ("error_bar", "error")}
    work.add(Finding("defences", ADVICE, answer, scope, Basis.FLOAT, details, values, table=tuple(rows) if said else ()))


def _unit(net: Network) -> float:
    """The unit of rounding of its numbers."""
    return format_of(np.concatenate([part.reshape(-1) for part in net.parameters.values()]))


def _tried(work: Work, sent: Network) -> float | None:
    """The largest relative error of a recovery from this final network; inf if it does not succeed, None if the time is too short."""
    assert work.found is not None
    found, again = work.found, replace(system_of(work), final=sent)
    try:
        budget = min(SHARE * work.left, PATIENCE * work.seconds["recovery"])
        other = recover(again, samples=found.n_samples, seed=work.seed, budget=budget, progress=work.progress)
    except (RecoveryError, TooLargeError) as error:
        interrupted = getattr(error, "evidence", {}).get("interrupted")
        work.note_interrupt(interrupted)
        return float("inf") if interrupted is None else None
    return float(other.match(found.X, found.c).errors.max())


def _in_words(expected: float, error: float | None) -> str:
    if error is not None and np.isinf(error):
        return "not recovered"
    bar = f"error bars of {show(expected)} relative" if expected < 1 else "error bars as large as the samples"
    return bar if error is None else f"{bar}, a recovery is off by {show(error)}"


STEPS: tuple[Step, ...] = (
    Step("equations", equations, decisive=True),
    Step("the verdict", verdict, finding="verdict", question=DETERMINED),
    Step("the batch behind the steps", batch, batch_seconds, "recovery", RECOVERY),
    Step("samples and the neurons that never saw them", unseen, unseen_seconds, "unseen", UNSEEN),
    Step("images in the first layer", images, images_seconds, "images", IMAGES),
    Step("attack", attack, attack_seconds, "attack", ATTACK),
    Step("defence: number formats", sending, sending_seconds, "defences", ADVICE),
)

"""What some of the layers of an update show: the answer by counts, and the inputs of the last layer when nothing else was sent."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import numpy as np

from identify.auditing.batch import update_of
from identify.auditing.findings import Basis, Finding
from identify.auditing.recovering import LEAST_SEARCH, pictures
from identify.auditing.work import Work
from identify.base.errors import InputError
from identify.base.limits import TooLargeError
from identify.conditions.exposed import exposed
from identify.problem.exposure import Exposed
from identify.problem.exposure import Finding as ExposureFinding
from identify.problem.heads import HeadSystem
from identify.problem.partial import Sent
from identify.problem.precision import roundoff
from identify.problem.system import KKTSystem
from identify.recovery.recover import recover
from identify.recovery.separation.precision import shown_rank
from identify.recovery.solution import RecoveryError
from identify.report.html import show

EXPOSED, FEATURES = "What do these layers show?", "Can the inputs of the last layer be recovered?"
SHARE = 0.3
"""Part of the remaining time."""
WORDS = {
    "count": "the number of samples",
    "labels": "their labels",
    "row_space": "their span",
    "features": "the inputs of the lowest observed layer",
    "samples": "the samples",
}


def is_whole(system: KKTSystem) -> bool:
    """Whether the updates of all weights were sent, in all their rows and columns."""
    return all(update.W is not None for update in system.updates) and not system.is_partial


def counted_samples(work: Work, system: KKTSystem) -> int | None:
    """The number that was given, that of the data, or the largest rank of the observed updates; None if none is known."""
    if work.samples is not None or work.subject.X is not None:
        return work.samples or len(work.subject.X if work.subject.X is not None else ())
    return max((rank for rank, _ in _ranks(system).values()), default=0) or None


def differing_counts(system: KKTSystem) -> tuple[int, ...]:
    """The ranks of all layers, if a later one is larger than that of the first, which could be larger; empty if not.

    One step from independent samples gives the first layer their number. After several steps its rank is the same, and that of the
    others grows, because hidden activations move.
    """
    ranks = _ranks(system)
    first, most = ranks.get(1, (0, 0))
    return tuple(rank for rank, _ in ranks.values()) if first < most and any(rank > first for rank, _ in ranks.values()) else ()


def _ranks(system: KKTSystem) -> dict[int, tuple[int, int]]:
    """How many samples the update of each layer shows, and how many it could show."""
    ranks, unit = {}, roundoff(system)
    for k, update in system.layers.items():
        if update.W is None:
            continue
        W = update.W.reshape(-1, update.W.shape[-1])
        sent = Sent.of(W)
        known = W[np.ix_(*sent)] if update.bias is None else np.hstack([W[np.ix_(*sent)], update.bias[sent.rows, None]])
        if known.any():
            values = np.linalg.svd(known, compute_uv=False)
            ranks[k] = shown_rank(values, known, unit, is_lifted=update.bias is not None), len(values)
    return ranks


def shown(work: Work) -> None:
    """The row of :func:`identify.exposed` for the layers that were sent, if these are not all."""
    system = update_of(work)
    if system is None or is_whole(system):
        return
    n = counted_samples(work, system)
    if n is None:
        work.not_evaluated("exposed", EXPOSED, "biases do not show the number of samples; pass samples=n")
        return
    net = system.network
    several = net.n_outputs > 1
    row = exposed(net, system.layers, samples=n).rows[0]
    findings = row.findings()
    by_status = {status: [WORDS[name] for name, found in findings.items() if found.status is status] for status in Exposed}
    said = [
        f"{word}: {', '.join(names)}"
        for word, status in (("determined", Exposed.PROVED_GENERIC), ("possible", Exposed.POSSIBLE), ("not determined", Exposed.NO))
        if (names := by_status[status])
    ]
    details = [f"{', '.join(names)}: {answer}: {reason}" for (answer, reason), names in _rows(findings).items()]
    details += [f"the samples: {row.limits()}"] if row.limits() else []
    details += ["labels and counts are those of a softmax loss; samples do not need it"] if several else []
    work.add(
        Finding(
            "exposed",
            EXPOSED,
            f"for {n} samples, {'; '.join(said)}",
            f"almost every network of these sizes, the updates of {', '.join(system.parts)}",
            Basis.PROOF,
            tuple(details),
            row.to_dict() | {"samples_assumed": n},
            table=(
                ("quantity", "answer", "reason"),
                *((", ".join(names), answer, reason) for (answer, reason), names in _rows(findings).items()),
            ),
        )
    )


def _rows(findings: dict[str, ExposureFinding]) -> dict[tuple[str, str], list[str]]:
    """Quantities by answer and reason."""
    rows: dict[tuple[str, str], list[str]] = {}
    for name, found in findings.items():
        rows.setdefault((found.status.word, found.explain().partition(": ")[2]), []).append(WORDS[name])
    return rows


def features_seconds(work: Work) -> float:
    """The step keeps to its part of the time by itself."""
    return LEAST_SEARCH * (_head_of(work) is not None)


def _head_of(work: Work) -> HeadSystem | None:
    """The last layer, if it alone was sent, the samples were not recovered, and its features may follow from it."""
    system = update_of(work)
    if system is None or work.found is not None or system.is_partial or list(system.layers) != [system.network.depth]:
        return None
    net, update = system.network, system.updates[-1]
    if update.W is None or net.n_outputs < 2:
        return None
    W = update.W.reshape(net.n_outputs, -1)
    return KKTSystem.linear_head(net.weights[-1], net.biases[-1], W=W, bias=update.bias)


def features(work: Work) -> None:
    """What enters the last layer, by the formula of a softmax loss."""
    head = _head_of(work)
    if head is None:
        return
    scope = "the last layer of this network, a softmax loss"
    try:
        found = recover(head, samples=work.samples, seed=work.seed, budget=SHARE * work.left, progress=work.progress)
    except (RecoveryError, TooLargeError) as error:
        work.note_interrupt(getattr(error, "evidence", {}).get("interrupted"))
        answer = "not recovered: no features were found whose signals are those of a softmax loss"
        work.add(Finding("features", FEATURES, answer, scope, Basis.OBSERVED, (str(error), "a search that finds nothing proves nothing")))
        return
    work.note_interrupt(found.evidence.get("interrupted"))
    largest = show(float(found.relative_error_bars.max()))
    answer = (
        f"{found.n_samples} vectors of {found.X.shape[1]} features, each with its class, by {found.method}; largest error bar {largest}"
    )
    values = {"method": found.method, "residual": found.residual, "X": found.X, "c": found.c, "uniqueness": found.uniqueness.to_dict()}
    with suppress(InputError):
        values["labels"] = found.labels
    draw = partial(pictures, None, None, found.X, None, "recovered")
    details = (
        f"whether these are the only such data: {found.uniqueness}",
        "whether samples follow from them depends on the layers below",
    )
    work.add(Finding("features", FEATURES, answer, scope, Basis.OBSERVED, details, values, draw=draw))

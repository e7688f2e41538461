"""Samples by the ReLU neurons that never saw them, after several steps of training whose batch was not recovered."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from identify.attacks.decoding import patterns
from identify.attacks.rows import told
from identify.attacks.smoothing import RELU
from identify.auditing.findings import Basis, Finding
from identify.auditing.recovering import pictures
from identify.auditing.work import NOTHING, Work
from identify.base.errors import InputError

UNSEEN = "Do samples show by the neurons that never saw them?"
SHARE = 0.3
"""Part of the remaining time, at most; a search that ends earlier gives the same result every time."""
STARTS = 60
NEAR = 1e-3
"""Relative error below which a given sample counts as found."""
SECONDS = 1.0
"""For which the step starts."""


def unseen_seconds(work: Work) -> float:
    """The step keeps to its part of the time by itself."""
    return SECONDS


def unseen(work: Work) -> None:
    """Samples whose columns in the change of the first layer have far more zeros than chance explains."""
    system, subject = work.subject.steps, work.subject
    if system is None or (work.found is not None and work.found.uniqueness.is_supported):
        return
    before, after = system.initial, system.final
    if after.activations[0] != RELU or "b1" not in after.parameters:
        return
    changes = [after.parameters[name] - before.parameters[name] for name in ("W1", "b1")]
    known = told(np.column_stack(changes))
    if known is None:
        why = "no directions of it stand out of its rounding: as many samples as neurons or inputs, or weight decay"
        work.add(Finding("unseen", UNSEEN, f"nothing to search in the change of the first layer: {why}", NOTHING, Basis.NONE))
        return
    budget = SHARE * work.left
    try:
        found = patterns(
            after,
            initial=before,
            noise=known.noise,
            dimension=known.dimension,
            starts=STARTS,
            seed=work.seed,
            budget=budget,
            progress=work.progress,
        )
    except InputError as error:
        work.not_evaluated("unseen", UNSEEN, str(error))
        return
    if found.interrupted:
        work.said["unseen"] = f"cut short: {found.starts} of {STARTS} starts"
    scope, shown = "the networks before and after training", found.X[found.credible]
    values = {"X": shown, "credible": len(shown), "dimension": found.dimension, "independent": found.independent, "chance": found.chance}
    if not len(shown):
        answer = (
            f"samples do not show by the neurons that never saw them: of {found.dimension} columns of the change of the first layer "
            f"{found.independent} have more zeros than chance explains"
        )
        unsafe = "a longer search may find more, so this is not a sign of safety"
        work.add(Finding("unseen", UNSEEN, answer, scope, Basis.OBSERVED, (unsafe,), values))
        return
    answer = (
        f"{len(shown)} of {found.dimension} samples show by the neurons that never saw them: their columns in the change of the first "
        "layer have more zeros than chance explains"
    )
    original, beside, errors = None, shown, None
    if subject.X is not None:
        distances = cdist(subject.X, shown)
        errors = distances.min(axis=1) / np.maximum(np.linalg.norm(subject.X, axis=1), np.finfo(float).tiny)
        original, beside = subject.X, shown[distances.argmin(axis=1)]
        values["errors"] = errors
        answer += f"; {int((errors < NEAR).sum())} of {len(errors)} given samples are among them, to a relative error below {NEAR:g}"
    details = (
        f"by chance a column has at most {found.chance} zeros in {found.distinct} distinct neurons; those of all samples have at least "
        f"{found.met.min()}",
        "neither labels nor the settings of training were used",
        "this is evidence, and no proof: the sparsest columns need not be those of the samples",
    )
    draw = partial(pictures, subject.mean, original, beside, errors, "samples", "samples by the neurons that never saw them")
    work.add(Finding("unseen", UNSEEN, answer, scope, Basis.OBSERVED, details, values, draw=draw))

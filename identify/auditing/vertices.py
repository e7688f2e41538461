"""Images in the first layer: points of its row space at which more inputs are at a limit than chance explains."""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from identify.attacks.limits import vertices
from identify.attacks.rows import told
from identify.auditing.findings import Basis, Finding
from identify.auditing.reading import Subject
from identify.auditing.recovering import pictures
from identify.auditing.work import NOTHING, Work
from identify.base.errors import InputError
from identify.problem.network import from_parameters

IMAGES = "Do images show in the first layer?"
SHARE = 0.3
"""Part of the remaining time, at most; a search that ends earlier gives the same result every time."""
STARTS = 400
CLEAR = 3
"""Limits above the largest number by chance from which on a point is shown: three starts in four are not the control, so one more is no
rarity (``python benchmarks/weights.py control``)."""
NEAR = 0.1
"""Relative error below which a given sample counts as found."""
SECONDS = 1.0
"""For which the step starts."""


def limits_of(subject: Subject) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"], str]:
    """Limits of the network's inputs, and their origin."""
    mean = np.zeros(subject.n_inputs) if subject.mean is None else subject.mean
    less = "" if subject.mean is None else ", less the given mean"
    if subject.low is not None and subject.high is not None:
        return subject.low - mean, subject.high - mean, f"the given limits of the inputs{less}"
    if subject.X is not None and np.ptp(subject.X + mean) > 0:
        low, high = (float(end(subject.X + mean)) for end in (np.min, np.max))
        return low - mean, high - mean, f"inputs between {low:g} and {high:g}, the range of the given data{less}"
    return 0.0 - mean, 1.0 - mean, f"inputs between 0 and 1, which is assumed{less}"


def images_seconds(work: Work) -> float:
    """The step keeps to its part of the time by itself."""
    return SECONDS


def images(work: Work) -> None:
    """Vertices of the row space of the first layer, or of its change or gradient, if its size can be told."""
    subject = work.subject
    if work.found is not None and work.found.uniqueness.is_supported:
        return
    layer, whose = _first_layer(subject)
    known = None if layer is None else told(layer)
    if layer is None or known is None or known.dimension < 2:
        why = (
            "it was not given as a whole"
            if layer is None
            else "no directions of it stand out of values that may be random initial ones, which says nothing about other methods"
        )
        work.add(Finding("images", IMAGES, f"nothing to search in {whose}: {why}", NOTHING, Basis.NONE))
        return
    low, high, origin = limits_of(subject)
    d = subject.n_inputs
    parts = subject.layers | {"W1": layer[:, :d]} | ({"b1": layer[:, d]} if layer.shape[1] > d else {})
    try:
        found = vertices(
            from_parameters(parts, subject.activation),
            low,
            high,
            noise=known.noise,
            dimension=known.dimension,
            starts=STARTS,
            seed=work.seed,
            budget=SHARE * work.left,
            progress=work.progress,
        )
    except InputError as error:
        work.not_evaluated("images", IMAGES, str(error))
        return
    if found.interrupted:
        work.said["images"] = f"cut short: {found.starts} of {STARTS} starts"
    clear = found.X[found.credible & (found.met >= found.chance + CLEAR)]
    scope = f"{whose}, {origin}"
    values = {"X": clear, "clear": len(clear), "chance": found.chance, "dimension": found.dimension, "noise": known.noise}
    if not len(clear):
        answer = f"no point of the row space of {whose} meets clearly more limits of the inputs than chance explains"
        unsafe = "images without a background are not found in this way, so this is not a sign of safety"
        work.add(Finding("images", IMAGES, answer, scope, Basis.OBSERVED, (unsafe,), values))
        return
    answer = (
        f"{len(clear)} points of the row space of {whose} meet more limits of the inputs than chance explains: evidence that training "
        "images are among them, and others possibly as well"
    )
    original, shown, errors = None, clear, None
    if subject.X is not None:
        distances = cdist(subject.X, clear)
        nearest = distances.argmin(axis=1)
        errors = distances.min(axis=1) / np.maximum(np.linalg.norm(subject.X, axis=1), np.finfo(float).tiny)
        original, shown = subject.X, clear[nearest]
        values["errors"] = errors
        answer += f"; {int((errors < NEAR).sum())} of {len(errors)} given samples are among them, to a relative error below {NEAR:g}"
    details = (
        f"by chance, with shuffled limits, points meet at most {found.chance}; those shown meet at least {CLEAR} more",
        f"the first layer has {known.dimension} directions above the noise of its initial values",
        "combinations of similar images may be among the points, and images that are not found are not safe",
    )
    draw = partial(pictures, subject.mean, original, shown, errors, "points", f"points of the row space of {whose}")
    work.add(Finding("images", IMAGES, answer, scope, Basis.OBSERVED, details, values, draw=draw))


def _first_layer(subject: Subject) -> tuple[Float[np.ndarray, "m ..."] | None, str]:
    """The first layer, or its change or gradient, with its bias as last column; and what it is."""
    if subject.gradient is not None:
        parts, whose = subject.gradient, "the gradient of the first layer"
    elif subject.initial is not None:
        parts = {name: subject.layers[name] - subject.initial[name] for name in ("W1", "b1") if name in subject.layers}
        whose = "the change of the first layer"
    else:
        parts, whose = subject.layers, "the first layer"
    W, b = parts.get("W1"), parts.get("b1")
    if W is None or np.isnan(W).any() or (b is not None and np.isnan(b).any()):
        return None, whose
    return W if b is None else np.column_stack([W, b]), whose

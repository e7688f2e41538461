"""Random small analytic instances in dyadic numbers, and their truth in a box from ball arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from identify.theory.oracle.boxes import AnalyticQuestion, InBox, enclose_all
from soundness_study.networks import Instance, Truth

ACTIVATIONS = ("tanh", "gelu", "sigmoid", "softplus", "silu", "sin", "erf", "gelu_tanh")
CATEGORIES = {InBox.UNIQUE: Truth.IN_BOX, InBox.OTHERS: Truth.OTHERS, InBox.FAMILY: Truth.FAMILY, InBox.OPEN: Truth.OPEN}
BOXES = 4000


def draw(seed: int, index: int) -> Instance:
    """Instance number ``index``: the activation goes round, everything else is random; n and d at most 2."""
    rng = np.random.default_rng([seed, 0xA7A, index])
    n, has_bias = int(rng.integers(1, 3)), bool(rng.integers(2))
    d = 2 if n == 2 and not has_bias else int(rng.integers(1, 3))
    m, C = int(rng.integers(1, 7)), int(rng.choice([1, 1, 2]))
    while True:
        X = rng.integers(-4, 5, (n, d)) / 2
        lifted = np.hstack([X, np.ones((n, 1))]) if has_bias else X
        if np.linalg.matrix_rank(lifted) == n:
            break
    W = rng.choice([-1, 1], (m, d)) * rng.integers(1, 9, (m, d)) / 8
    b = rng.integers(-8, 9, m) / 8 if has_bias else None
    A = rng.choice([-1, 1], (C, m)) * rng.integers(1, 9, (C, m)) / 8
    c = rng.choice([-1, 1], (n, C)) * rng.integers(1, 9, (n, C)) / 8
    return Instance(index, ACTIVATIONS[index % len(ACTIVATIONS)], W, b, A, X, c, str(rng.choice(["first", "both"])))


def truth(instance: Instance) -> dict[str, Any]:
    """The truth in the box, as JSON values."""
    question = AnalyticQuestion.of(instance.sigma, instance.W, instance.b, instance.A, instance.X, instance.c, instance.layers)
    found = enclose_all(question, boxes=BOXES)
    return {
        "category": CATEGORIES[found.category].value,
        "how": f"{len(found.candidates)} candidates for a sample, {found.unsettled} boxes not settled, dimension {found.dimension}",
        "local": found.dimension or (None if found.category is InBox.OPEN else 0),
        "solutions": None,
        "dimension": found.dimension,
        "group": "sign" if question.has_sign else "none",
    }

r"""Families of data with the same update, in closed form, for piecewise-linear networks.

* *region*: two samples with the same slopes in every layer. There the network is affine, so that the updates see of the two no more
  than :math:`\gamma_1 (x_1, 1)^\top + \gamma_2 (x_2, 1)^\top`. With :math:`x_1' = (1 - s) x_1 + s x_2`,
  :math:`\gamma_1' = \gamma_1 / (1 - s)` and :math:`\gamma_2' = \gamma_2 - s \gamma_1 / (1 - s)` that sum stays as it is, and regions are
  convex, so that :math:`x_1'` is in the region for :math:`0 \le s < 1`.
* *invisible*: a sample at which every neuron of the first layer has slope zero. Moving it changes nothing as long as it meets no kink.

Both are exact: pieces are known exactly, and no sample is on a kink.
"""

from __future__ import annotations

import numpy as np

from identify.base.norms import relative_size
from identify.conditions.networks.question import NetworkQuestion
from identify.problem.verdict import Arithmetic, Condition, Witness

REFERENCE = "a piecewise-linear network is affine in each of its regions (docs, theory)"


def families(question: NetworkQuestion) -> tuple[Condition, Witness | None]:
    """Look for either family at given data. Cost: exact signs in all layers."""
    if question.data is None:
        return _condition(None, "the data are needed: pass data=(X, c)", {}, Arithmetic.NONE), None
    if not question.equations_are_complete:
        statement = "not looked for: equations beyond (S) are in force, and a family that solves (S) alone would prove nothing"
        return _condition(None, statement, {}, Arithmetic.NONE), None
    pieces = question.pieces
    if pieces is None:
        return _condition(None, "families in closed form are known for piecewise-linear networks only", {}, Arithmetic.NONE), None
    X, c = question.data
    off_kinks = ~np.hstack(pieces.on_kink).any(axis=1)
    for i in np.flatnonzero(off_kinks & ~(np.array(pieces.table(0)) != 0)[pieces.codes(0)].any(axis=1)):
        return _found(question, _invisible(question, int(i)), {"sample": int(i)})
    _, first, counts = np.unique(regions := pieces.regions(), return_index=True, return_counts=True)
    if (counts > 1).any():
        shared = regions[first[int(counts.argmax())]]
        together = np.flatnonzero(regions == shared)
        return _found(question, _region(X, c, *together[:2].tolist()), {"samples": together.tolist()})
    return _condition(False, "none: no two samples have the same slopes in every layer", {}, Arithmetic.PROOF), None


def _region(X: np.ndarray, c: np.ndarray, first: int, second: int) -> Witness:
    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        Y, e = X.copy(), c.copy()
        Y[first] = (1 - s) * X[first] + s * X[second]
        e[first] = c[first] / (1 - s)
        e[second] = c[second] - s / (1 - s) * c[first]
        return Y, e

    description = (
        f"samples {first} and {second} have the same slopes in every layer, so that they may move along the line through them: "
        "x' = (1 − s) x + s y, with multipliers γ/(1 − s) and δ − s γ/(1 − s), for 0 ≤ s < 1"
    )
    return Witness("region", 2, description, family)


def _invisible(question: NetworkQuestion, i: int) -> Witness:
    assert question.system is not None and question.data is not None
    net, (X, c) = question.system.network, question.data
    points = np.array([float(t) for t in net.activations[0].breakpoints])
    bias = 0.0 if net.biases[0] is None else net.biases[0]
    room = np.abs((net.weights[0] @ X[i] + bias)[:, None] - points).min(axis=1)
    steps = room / np.maximum(np.abs(net.weights[0][:, 0]), 1e-300)
    step = min(float(steps.min()) / 2, max(float(np.linalg.norm(X[i])), 1.0))

    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        Y = X.copy()
        Y[i, 0] += s * step
        return Y, c.copy()

    description = f"no neuron of the first layer has a slope at sample {i}: it may move in every direction until it meets a kink"
    return Witness("invisible", X.shape[1], description, family)


def _found(question: NetworkQuestion, witness: Witness, evidence: dict) -> tuple[Condition, Witness]:
    assert question.system is not None and witness.family is not None
    original, example = witness.family(0.0), witness.family(0.5)
    residual = relative_size(
        question.system.right_hand_side(*example) - question.system.right_hand_side(*original), question.system.right_hand_side(*original)
    )
    shown = Witness(witness.kind, witness.dimension, witness.description, witness.family, original, example, residual)
    return _condition(True, witness.description, evidence | {"dimension": witness.dimension}, Arithmetic.PROOF), shown


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("witness", holds, statement, evidence, arithmetic, REFERENCE)

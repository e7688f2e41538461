r"""Theorem "some layers": counts of neurons for layers of any number, and for updates of which some rows and columns were not sent.

The counts are those of :mod:`~identify.conditions.networks.parts`, which :func:`identify.exposed` shows too. Here they are a condition of a
report: at given data the ranks that they name are proved, and that the multipliers follow from the samples. If only what enters the
lowest observed layer is determined, the statement says so; samples that move along the kernel of the first layer are a witness.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from identify.base.norms import relative_size
from identify.conditions.networks.parts import Need, Parts, excluded, features_needs, samples_needs
from identify.conditions.networks.question import NetworkQuestion
from identify.conditions.networks.separation import needs
from identify.exact.rings import sample_of, shaped
from identify.problem.activation import PiecewiseLinear
from identify.problem.exposure import ExposedBy
from identify.problem.verdict import Arithmetic, Condition, Witness

REFERENCE = "Theorem 'some layers' (docs, theory); Leshno, Lin, Pinkus & Schocken 1993; Pinkus 1999, Theorem 5.1"


def parts_of(question: NetworkQuestion) -> Parts:
    """The sizes and the observed parts, as the counts take them."""
    seen = {k: pair for k, pair in enumerate(question.observed, 1) if any(pair)}
    counts = {k: sent.counts for k, sent in question.sent.items()}
    return Parts(question.sizes, question.activations, question.biases, seen, question.samples, is_softmax=False, sent=counts)


def is_its_own_question(question: NetworkQuestion) -> bool:
    """Whether no route through the first two layers applies, so that a report says what this theorem makes of it."""
    return not question.is_self_trained and (question.is_partial or not needs(question))


def decided_by_sizes(question: NetworkQuestion) -> bool:
    """Whether this theorem, or a family along the kernel of the first layer, decides without numbers."""
    return some_layers(question).is_proved or kernel_family(question) is not None


def may_add(question: NetworkQuestion) -> bool:
    """Whether layers beyond the second were observed, so that this theorem may prove what counts of the first two do not."""
    return not question.is_self_trained and any(weights for weights, _ in question.observed[2:])


def some_layers(question: NetworkQuestion) -> Condition:
    """Evaluate the theorem. Cost: two passes in intervals, and the ranks of n columns, if data are given; nothing otherwise."""
    parts = parts_of(question)
    evidence: dict = {"samples": question.samples, "sent": {k: list(counts) for k, counts in parts.sent.items()}}
    if question.is_self_trained:
        return _condition(None, "is about networks that do not depend on their data, unlike this one", evidence, Arithmetic.NONE)
    enough = list(samples_needs(parts))
    if not enough:
        return _of_features(question, parts, evidence)
    proved = [need for need in enough if _ranks_are_proved(question, need)]
    if not proved:
        return _condition(None, "the ranks of the updates are not proved to be n at these data", evidence, Arithmetic.NONE)
    proved.sort(key=lambda need: need.reason is not ExposedBy.FORWARD or len(need.ranks) > 1 + (need.ranks[0] == 1))
    need = next((each for each in proved if multipliers_follow(question, parts, each)), None)
    if need is None:
        statement = f"the samples are determined ({_words(parts, proved[0])}), but their multipliers may not follow from them"
        return _condition(False, statement, evidence, Arithmetic.PROOF)
    evidence |= {"route": need.reason.name, "rank_of_layers": list(need.ranks), "layer": need.layer, "base": need.base}
    evidence |= {"neurons": need.neurons_counted(parts), "needed": need.needed}
    whose = "these data" if question.data is not None else "every data set with this rank"
    ranks = f"; rank {' and '.join(f'G_{layer}' for layer in need.ranks)} = n" * bool(need.ranks)
    statement = f"{_words(parts, need)}{ranks}: for almost every network no other data have the update of {whose}"
    return _condition(True, statement, evidence, Arithmetic.PROOF)


def _words(parts: Parts, need: Need) -> str:
    layer = need.layer if need.reason is not ExposedBy.BACKWARD else need.neurons
    known = "whose update is known " if parts.sent else ""
    route = {
        ExposedBy.FORWARD: f"the inputs of layer {layer} lie in the row space of its update",
        ExposedBy.BACKWARD: f"signals lie in the column space of the update of layer {layer}",
        ExposedBy.ONE_SIGNAL: "the biases' updates are the signals of one sample",
        ExposedBy.JOINT: "all samples together",
    }[need.reason]
    return f"{route}: {need.neurons_counted(parts)} neurons {known}in hidden layer {need.neurons}, {need.needed} are enough"


def _of_features(question: NetworkQuestion, parts: Parts, evidence: dict) -> Condition:
    """What is determined instead of the samples: the vectors that enter the lowest observed layer of weights."""
    base = min(parts.weighted, default=1)
    needed = list(features_needs(parts, base)) if base > 1 else []
    if needed and any(_ranks_are_proved(question, need) for need in needed):
        evidence["features"] = base - 1
        statement = (
            f"not the samples, but the features h^{base - 1} that enter layer {base} are determined ({_words(parts, needed[0])}); a sample "
            "is known through the layers below only"
        )
        return _condition(False, statement, evidence, Arithmetic.PROOF)
    return _condition(False, "too few neurons, or layers that are not analytic or lack biases", evidence, Arithmetic.PROOF)


def _ranks_are_proved(question: NetworkQuestion, need: Need) -> bool:
    """At given data, whether the updates that the count names are proved to have rank n."""
    return question.data is None or all(question.has_rank(layer - 1) for layer in need.ranks)


def multipliers_follow(question: NetworkQuestion, parts: Parts, need: Need) -> bool:
    """Whether multipliers are proved to follow from the samples: at these data, or for almost all weights."""
    last, width = parts.depth, parts.sizes[-1]
    reads_last = parts.sees_weights(last) and parts.rows(last) == width
    if question.data is not None:
        at = question.passes()
        if reads_last and at.ring.is_full(question.lifted(at, last - 1)):
            return True
        return need.layer in need.ranks and all(_hears(question, need.layer, i) for i in range(question.samples))
    through = range(1, last)
    if reads_last and parts.samples <= parts.columns(last) + parts.affine(last) and all(map(parts.is_analytic, through)):
        return True
    if need.layer not in need.ranks:
        return False
    slopes = [
        slope
        for sigma in question.activations[need.layer - 1 :]
        if isinstance(sigma, PiecewiseLinear)
        for slope in (*sigma.slopes, *sigma.kinks)
    ]
    between = [parts.sizes[k] for k in range(need.layer + 1, last)]
    return all(slopes) and parts.rows(need.layer) >= width and all(size >= width for size in between)


def _hears(question: NetworkQuestion, layer: int, i: int) -> bool:
    """Whether the known signals of a layer, of one of the given samples, tell its multipliers."""
    at = question.passes()
    assert question.system is not None
    signals = at.ring.read(np.eye(question.outputs))
    for k in range(question.depth - 1, layer - 1, -1):
        signals = at.ring.times(at.ring.dot(signals, question.system.network.weights[k]), sample_of(at.slopes[k - 1], i))
    if layer in question.sent:
        rows = question.sent[layer].rows
        signals = shaped(signals, lambda values: values[:, rows])
    return at.ring.is_full(signals.T)


KERNELS = (ExposedBy.KERNEL, ExposedBy.COLUMNS)


def kernel_family(question: NetworkQuestion) -> tuple[Condition, Witness] | None:
    """Samples that move along the kernel of the first layer, if nothing that was observed shows more of them: exact, at any data."""
    if not question.equations_are_complete or question.is_self_trained:
        return None
    parts = parts_of(question)
    found = excluded(replace(parts, is_softmax=True))
    if found is None or found.reason not in KERNELS:
        return None
    width, free = parts.sizes[1], parts.lacks(1) if found.reason is ExposedBy.COLUMNS else parts.inputs
    dimension = parts.samples * (free - width)
    through = "W_1 x" if found.reason is ExposedBy.KERNEL else "W_1 x and the entries of x whose columns are known"
    description = (
        f"all that was observed depends on a sample x through {through}: x moves along the kernel of "
        f"{'W_1' if found.reason is ExposedBy.KERNEL else f'the other {free} columns of W_1'}, whose {width} rows are fewer"
    )
    witness = Witness("kernel", dimension, description)
    if question.data is not None and question.system is not None:
        witness = _with_example(question, witness, parts)
    evidence = {"kind": "kernel", "dimension": dimension, "residual": witness.residual}
    return Condition("witness", True, description, evidence, Arithmetic.PROOF, REFERENCE), witness


def _with_example(question: NetworkQuestion, witness: Witness, parts: Parts) -> Witness:
    system, data = question.system, question.data
    assert system is not None and data is not None
    (X, c), W = data, system.network.weights[0]
    moving = ~question.sent[1].columns if parts.lacks(1) else np.ones(W.shape[1], bool)
    direction = np.zeros(W.shape[1])
    direction[moving] = np.linalg.svd(W[:, moving])[2][-1] * np.linalg.norm(X) / len(X) ** 0.5  # in the kernel: more columns than rows

    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        return X + s * direction, c

    target = system.right_hand_side(X, c)
    residual = relative_size(system.right_hand_side(*family(1.0)) - target, target)
    return replace(witness, family=family, original=(X, c), example=family(1.0), residual=residual)


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("some-layers", holds, statement, evidence, arithmetic, REFERENCE)

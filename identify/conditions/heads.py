r"""Is the batch behind one dense layer and a softmax loss determined by the update of that layer?

*Count*: signals of a softmax have the sum zero, so updates of n samples have a rank of at most C − 1, and as many samples as classes have
more parameters than there are numbers. *Softmax counts*: for almost every layer, C >= 2n + l + 1 classes are enough (l of them in the
batch; one more if the bias's update is not known). *Local*: the derivative in features and weights has full rank, in balls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb

from identify.conditions.judgement import verdict_of_head, versions
from identify.conditions.plan import Plan
from identify.exact.enclosures import SAFETY, UNIT, Enclosure, has_full_column_rank
from identify.problem.heads import HeadSystem
from identify.problem.verdict import Arithmetic, Condition, Report

REFERENCE = "Theorem 'softmax-head' (docs, theory)"
AGREES = 1e-6
"""Relative difference up to which multipliers are taken for those of a softmax."""


def classes_needed(samples: int, present: int, lifted: bool) -> int:
    """So many classes that almost every layer determines the batch, of which ``present`` classes are in it."""
    return 2 * samples + present + 2 - int(lifted)


@dataclass(frozen=True, eq=False)
class HeadQuestion:
    """What a report about one layer was asked."""

    system: HeadSystem
    samples: int
    data: tuple[np.ndarray, np.ndarray] | None


def check_head(system: HeadSystem, samples: int, seed: int, data: tuple[np.ndarray, np.ndarray] | None, plan: Plan) -> Report:
    """The report of :func:`identify.check`; ``data``: features and multipliers."""
    found, n, C, m = plan.found, samples, system.n_outputs, system.n_inputs
    lifted, given = system.is_lifted, data is not None
    found["count"] = _count(system, n)
    classes = None if data is None else _classes(system, *data)
    ranks = data is None or (classes is not None and _ranks(system, data[0], classes))
    found["separation"] = _generic(system, n, classes, given, ranks)
    found["local"] = _local(system, n, data, classes, ranks)
    is_row = n == 1 and lifted and (classes is not None or not given)
    verdict, scope, reasons, explained = verdict_of_head(found, data_are_given=given, is_one_row=is_row)
    subject = {"regime": "gradient", "inputs": m, "outputs": C, "samples": n, "loss": "softmax", "observed": "W b" if lifted else "W"}
    subject |= {"equations": system.n_equations, "unknowns": system.n_unknowns(n)}
    notes = (
        f"among batches of at most {n} samples of distinct features, each with a class and a positive weight of its own",
        "data are the inputs of this layer: whether those of the network follow from them depends on the layers below",
    )
    return Report(
        verdict=verdict,
        scope=scope,
        reasons=reasons,
        ambiguity=("the order of the samples",),
        conditions=tuple(found[name] for name in ("separation", "local", "count")),
        subject=subject,
        equations=system.describe(),
        notes=(*notes, *explained),
        seed=seed,
        versions=versions(),
        question=HeadQuestion(system, n, data),
    )


def _count(system: HeadSystem, n: int) -> Condition:
    parameters, equations = system.n_unknowns(n), system.n_equations
    evidence = {"parameters": parameters, "equations": equations, "excess": max(parameters - equations, 0)}
    enough = "counting does not exclude uniqueness" if parameters <= equations else f"{parameters - equations} too few"
    statement = f"{parameters} entries of features and weights of samples, {equations} independent numbers in the update: {enough}"
    reference = "dimension of generic fibres (constant rank theorem)"
    return Condition("count", parameters <= equations, statement, evidence, Arithmetic.PROOF, reference)


def _classes(system: HeadSystem, H: np.ndarray, c: np.ndarray) -> np.ndarray | None:
    """Of each sample, if these multipliers are those of a softmax at these features."""
    y = c.argmax(axis=1)
    direction = np.eye(system.n_outputs)[y] - system.probabilities(H)
    weights = np.einsum("nc,nc->n", c, direction) / np.einsum("nc,nc->n", direction, direction)
    agrees = np.linalg.norm(c - weights[:, None] * direction, axis=1) <= AGREES * np.linalg.norm(c, axis=1)
    return y if bool((agrees & (weights > 0)).all()) else None


def _generic(system: HeadSystem, n: int, classes: np.ndarray | None, given: bool, ranks: bool) -> Condition:
    present = n if classes is None else len(set(classes.tolist()))
    needed, C = classes_needed(n, present, system.is_lifted), system.n_outputs
    evidence: dict[str, Any] = {"classes": C, "needed": needed, "samples": n, "present": present}
    if given and not ranks:
        statement = "multipliers are not those of a softmax at these features, or the rank of the update is not proved to be n"
        return Condition("separation", None, statement, evidence, Arithmetic.NONE, REFERENCE)
    holds = needed <= C and n <= system.n_inputs + system.is_lifted
    words = "for almost every layer no other batch has this update" if holds else "too few for this theorem"
    statement = f"{C} classes, {needed} are enough for {n} samples of {present} classes if the rank of the update is n: {words}"
    return Condition("separation", holds, statement, evidence, Arithmetic.PROOF, REFERENCE)


def _logits(system: HeadSystem, H: np.ndarray) -> list[list[arb]]:
    """A h in balls, without b, for each sample."""
    z = Enclosure.of(H).dot(system.weights.T)
    return [[arb(float(m), float(r)) for m, r in zip(*row, strict=True)] for row in zip(z.mid, z.rad, strict=True)]


def _signals(system: HeadSystem, H: np.ndarray, classes: np.ndarray) -> tuple[Enclosure, list[list[arb]]]:
    """Signals without their weights in balls, and the softmax."""
    softmax = []
    for own in _logits(system, H):
        z = [a + float(b) for a, b in zip(own, system.offsets, strict=True)]
        largest = max(float(each.mid()) for each in z)
        e = [(each - largest).exp() for each in z]
        total = sum(e, arb(0))
        softmax.append([each / total for each in e])
    signals = [[arb(int(o == y)) - p for o, p in enumerate(own)] for y, own in zip(classes.tolist(), softmax, strict=True)]
    return _enclosed(signals), softmax


def _enclosed(values: list[list[arb]]) -> Enclosure:
    mid = np.array([[float(v.mid()) for v in row] for row in values])
    rad = np.array([[float(v.rad()) for v in row] for row in values])
    return Enclosure(mid, SAFETY * (rad + UNIT * np.abs(mid)) + 1e-300)


def _ranks(system: HeadSystem, H: np.ndarray, classes: np.ndarray) -> bool:
    """Whether features and signals are each proved to be independent."""
    signals, _ = _signals(system, H, classes)
    return has_full_column_rank(Enclosure.of(system.lifted(H).T)) and has_full_column_rank(signals.T)


def _local(system: HeadSystem, n: int, data: Any, classes: np.ndarray | None, ranks: bool) -> Condition:
    """Full rank of the derivative, in coordinates of the features: near the data, features of solutions are in their span."""
    reference = "Theorem D (docs, theory): inverse and implicit function theorem"
    if data is None or classes is None or not ranks:
        statement = "needs data that are those of a softmax, of independent features and signals"
        return Condition("local", None, statement, {}, Arithmetic.NONE, reference)
    H, C, lifted = data[0], system.n_outputs, int(system.is_lifted)
    (gamma, softmax), outputs, moves = _signals(system, H, classes), _logits(system, H), list[tuple[int, int, list[arb] | None]]()
    for i in range(n):
        others = [k for k in range(n) if k != i or not lifted]
        p = softmax[i]
        for k in others:
            z = [a - b * lifted for a, b in zip(outputs[k], outputs[i], strict=True)]
            mean = sum((a * b for a, b in zip(p, z, strict=True)), arb(0))
            moves.append((i, k, [-(a * (b - mean)) for a, b in zip(p, z, strict=True)]))
        moves.append((i, i, None))
    mid, rad = np.zeros((C, n, len(moves))), np.zeros((C, n, len(moves)))
    for column, (i, k, change) in enumerate(moves):
        own = Enclosure(gamma.mid[i], gamma.rad[i])
        if change is None:  # the weight of the sample
            mid[:, i, column], rad[:, i, column] = own
            continue
        bent = _enclosed([change])
        mid[:, i, column], rad[:, i, column] = bent.mid[0], bent.rad[0]
        mid[:, k, column] += own.mid
        rad[:, k, column] += own.rad + UNIT * np.abs(mid[:, k, column])
        if lifted:
            mid[:, i, column] -= own.mid
            rad[:, i, column] += own.rad + UNIT * np.abs(mid[:, i, column])
    columns = len(moves)
    matrix = Enclosure(mid.reshape(C * n, columns), SAFETY * rad.reshape(C * n, columns))
    if has_full_column_rank(matrix):
        statement = f"rank {columns} of {columns} in the span of the features: the data are isolated"
        return Condition("local", True, statement, {"needed": columns, "rank": columns}, Arithmetic.PROOF, reference)
    return Condition("local", None, "full rank of the derivative is not proved in balls", {"needed": columns}, Arithmetic.NONE, reference)

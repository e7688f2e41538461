r"""Theorem A: counts of neurons that make the data behind an update unique, for almost every first layer of an analytic network.

Let :math:`\sigma` be real-analytic, not a polynomial. Forward separation: if :math:`G_2` has rank n, the features of every sample x' of
every solution are :math:`\sigma(w_j\cdot x' + b_j) = \sum_i \eta_i \sigma(w_j\cdot x_i + b_j)`. For a point :math:`(x', \eta)` with x' not
among the samples the difference of both sides is an analytic function of :math:`(w_j, b_j)`, and not zero, because
:math:`\sigma` of distinct points are independent functions. So m neurons that solve it lie in a set of codimension m,
and the union over all :math:`(x', \eta)` has measure zero if these have fewer than m dimensions. Backward separation is alike, with
:math:`(a_j\cdot\gamma')\,\sigma'(w_j\cdot x'+b_j) = \sum_i (a_j\cdot\delta_i)\,\sigma'(w_j\cdot x_i+b_j)` and one common scale.

The order of the quantifiers matters: for every data set, almost every network. A network that was drawn without regard to the data is
generic for them with probability one; one that was trained on them need not be.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from identify.conditions.networks.question import NetworkQuestion
from identify.problem.activation import PiecewiseLinear
from identify.problem.verdict import Arithmetic, Condition

REFERENCE = "Theorem A (docs, theory); Leshno, Lin, Pinkus & Schocken 1993; Pinkus 1999, Theorem 5.1"


class Route(Enum):
    """Which equations of a single sample are used; the value says it in words."""

    FORWARD = "features in the row space of the second layer's update"
    BACKWARD = "a column in the column space of the first layer's update"


@dataclass(frozen=True)
class Need:
    """How many neurons one route needs, and of which layers' updates (from 1) the rank must be n."""

    route: Route
    neurons: int
    ranks: tuple[int, ...]
    any_multipliers: bool
    """Whether the multipliers may depend on the network, as those of a loss do."""


def needs(question: NetworkQuestion) -> list[Need]:
    """Every route that the observed layers allow, with its number of neurons; see the module for the count of dimensions."""
    n, C, (rows, features) = question.samples, question.outputs, question.affine
    point = min(n - rows, question.inputs)
    found = []
    if question.features_can_count:
        found.append(Need(Route.FORWARD, question.inputs + n - features + 1, (2,), True))
        if question.rows_can_count:
            found.append(Need(Route.FORWARD, point + n - features + 1, (1, 2), True))
    if question.rows_can_count:
        deep = question.depth > 2
        signals = question.sizes[2] if deep else C
        found.append(Need(Route.BACKWARD, point + signals * (n + 1), (1,), True))
        if not deep:
            found.append(Need(Route.BACKWARD, point + C + n, (1,), False))
    return sorted(found, key=lambda need: (need.neurons, not need.any_multipliers))


def separation(question: NetworkQuestion) -> Condition:
    """Evaluate Theorem A. Cost: two passes in intervals, and the ranks of n columns, if data are given; nothing otherwise."""
    evidence: dict = {"neurons": question.neurons, "samples": question.samples}
    if question.sigma.kind != "analytic":
        return _condition(None, f"is about analytic activations, the first one is {question.sigma.kind}", evidence, Arithmetic.NONE)
    if question.is_self_trained:
        return _condition(None, "is about networks that do not depend on their data, unlike this one", evidence, Arithmetic.NONE)
    every = needs(question)
    if not every:
        statement = "no observed layer is wide enough for a rank of n, or the first two were not observed"
        return _condition(None, statement, evidence, Arithmetic.NONE)
    evidence["needed"] = {_key(need): need.neurons for need in every}
    enough = [need for need in every if need.neurons <= question.neurons]
    if not enough:
        statement = f"{question.neurons} neurons, {every[0].neurons} are enough: nothing follows below that number"
        return _condition(False, statement, evidence, Arithmetic.PROOF)
    follow = multipliers_follow(question)
    if not follow and (question.data is None or not question.multipliers_are_determined):
        statement = (
            f"the deeper layers may leave the multipliers open: by fewer than C = {question.outputs} neurons, slopes of zero, or because "
            "they do not see the images of a sample under the ambiguity as they see the sample"
        )
        return _condition(False, statement, evidence, Arithmetic.PROOF)
    if question.data is not None:
        counted = question.counted
        evidence["ranks_proved"] = [layer for layer in (1, 2) if counted[layer - 1]]
        enough = [need for need in enough if all(counted[layer - 1] for layer in need.ranks)]
        if not enough:
            return _condition(None, "the ranks of the updates are not proved to be n at these data", evidence, Arithmetic.NONE)
        if not question.biases[0] and not _apart_without_bias(question):
            statement = "without biases in the first layer it is about samples none of which is zero or the opposite of another"
            return _condition(None, statement, evidence, Arithmetic.NONE)
    need = next((need for need in enough if need.any_multipliers), enough[0])
    evidence |= {"route": need.route.name, "rank_of_layers": list(need.ranks), "any_multipliers": need.any_multipliers}
    apart = not question.biases[0] and 1 not in need.ranks  # independent samples are neither zero nor opposite
    evidence["leaves_out_opposite_samples"] = apart and question.data is None
    pieces = any(sigma.kind == "piecewise-linear" for sigma in question.activations[1:])
    evidence["with_this_pattern"] = pieces and not follow  # of the deeper layers, which show the multipliers of these data
    whose = "these data"
    if question.data is None:
        whose = "every data set with this rank" + ", none of its samples zero or the opposite of another," * apart
    ranks = " and ".join(f"G_{layer}" for layer in need.ranks)
    statement = (
        f"{question.neurons} neurons, {need.neurons} are enough ({need.route.value}; rank {ranks} = n): for almost every network"
        f"{' with this pattern of the deeper layers' * evidence['with_this_pattern']} no other data have the update of {whose}"
    )
    if not need.any_multipliers:
        more = next(other.neurons for other in every if other.route is Route.BACKWARD and other.any_multipliers)
        statement += f"; multipliers are taken as given beforehand: for those of a loss, which depend on the network, {more} are enough"
    return _condition(True, statement, evidence, Arithmetic.PROOF)


def multipliers_follow(question: NetworkQuestion) -> bool:
    """Whether signals of the second layer determine the multipliers for almost all weights: no layer in between is narrower than C,
    no slope there is zero on an interval, and images of samples under the ambiguity are seen as the samples are."""
    slopes = [slope for sigma in question.activations[1:] if isinstance(sigma, PiecewiseLinear) for slope in (*sigma.slopes, *sigma.kinks)]
    return question.orbits_are_whole and all(slopes) and all(size >= question.outputs for size in question.sizes[2:-1])


def _apart_without_bias(question: NetworkQuestion) -> bool:
    """No sample is zero, or the opposite of another."""
    assert question.data is not None
    X = question.data[0]
    known = {row.tobytes() for row in X + 0.0}
    return bool(X.any(axis=1).all()) and not any((0.0 - row).tobytes() in known for row in X)


def _key(need: Need) -> str:
    words = need.route.name.lower() + " with rank of " + " and ".join(f"G_{layer}" for layer in need.ranks)
    return words if need.any_multipliers else words + ", multipliers given beforehand"


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("separation", holds, statement, evidence, arithmetic, REFERENCE)

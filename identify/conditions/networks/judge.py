"""Which conditions are evaluated for a network of any activation and depth, and what they prove together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy

from identify.base.limits import is_affordable
from identify.base.norms import relative_size
from identify.base.options import CONDITIONS
from identify.conditions.judgement import HERE, verdict_of_network, versions
from identify.conditions.networks.competitors import competitors
from identify.conditions.networks.enumeration import enumeration, enumeration_seconds
from identify.conditions.networks.families import families
from identify.conditions.networks.isolated import isolated, isolated_seconds
from identify.conditions.networks.joint import applies as may_try_jointly
from identify.conditions.networks.joint import joint, joint_seconds
from identify.conditions.networks.pattern import pattern
from identify.conditions.networks.quadrics import quadrics, quadrics_seconds
from identify.conditions.networks.question import NetworkQuestion, passes_seconds
from identify.conditions.networks.realisation import may_decide, realisation, realisation_seconds
from identify.conditions.networks.rulings import rulings, rulings_seconds
from identify.conditions.networks.second import second_seconds, second_solution
from identify.conditions.networks.separation import Route, separation
from identify.conditions.networks.some_layers import is_its_own_question, kernel_family, may_add, some_layers
from identify.conditions.plan import Plan
from identify.problem.verdict import Arithmetic, Condition, Report, Witness

PATIENCE = 30.0
"""Seconds that the derivative may take, by its estimate, if no budget was given: it proves no more than LOCALLY_UNIQUE."""
OVERFLOWN = 1e100
"""Stands for a misfit beyond doubles, and bounds the others, so that a descent turns back."""
FOLLOWED = 200
"""Unknowns up to which a member of a family is computed."""


def judge_network(
    question: NetworkQuestion,
    subject: dict,
    equations: tuple[str, ...],
    notes: tuple[str, ...],
    plan: Plan,
    sample: NetworkQuestion | None = None,
) -> Report:
    """Evaluate the conditions, cheapest first, and draw the verdict.

    ``sample``: for generic data of networks that are analytic throughout, one random instance, at which ranks are taken.
    """
    found, witness = plan.found, None
    found["count"] = counted = count(question)
    piecewise = question.sigma.kind == "piecewise-linear" and not question.is_partial
    if question.sigma.kind == "analytic" and not question.is_partial:
        plan.evaluate("separation", passes_seconds(question), lambda: separation(question))
    if piecewise:
        plan.evaluate("pattern", passes_seconds(question), lambda: pattern(question))

    def closed() -> Condition:
        nonlocal witness
        condition, witness = families(question)
        if witness is None and is_affordable(rulings_seconds(question)):
            along, line = rulings(question)
            if along is not None:
                condition, witness = along, line
        return condition

    def by_trying(every: Callable[[NetworkQuestion], tuple[Condition, Witness | None]]) -> Condition:
        """What a complete list of data sets says."""
        nonlocal witness
        condition, second = every(question)
        if question.equations_are_complete and second is not None and witness is None:
            witness = second
            found["witness"] = Condition(
                "witness",
                True,
                second.description,
                {"kind": second.kind, "other": condition.evidence["other"]},
                Arithmetic.PROOF,
                condition.reference,
            )
        return condition

    if piecewise:
        plan.evaluate("witness", 0.0, closed)
    settled = "a family of data with the same update was found" if witness is not None else ""
    if piecewise:
        plan.evaluate("quadrics", quadrics_seconds(question), lambda: quadrics(question), settled)
        tried = settled or ("the question is decided without it" if found["quadrics"].is_proved else "")
        seconds, follows = enumeration_seconds(question), found["quadrics"].is_proved
        plan.evaluate("enumeration", seconds, lambda: enumeration(question), tried, adds_nothing=follows)
        is_asked = not tried or "realisation" in plan.demanded
        if is_asked and plan.unless_late(lambda: may_decide(question, found["enumeration"]), False):
            plan.evaluate("realisation", realisation_seconds(question), lambda: by_trying(realisation))
        is_open = not tried and witness is None and not any(found[name].is_proved for name in HERE if name in found)
        is_asked = is_open or "joint-slopes" in plan.demanded
        if is_asked and plan.unless_late(lambda: may_try_jointly(question), False):  # in a report only if it can add something
            plan.evaluate("joint-slopes", joint_seconds(question), lambda: by_trying(joint))
    if witness is None and (moving := plan.unless_late(lambda: kernel_family(question), None)) is not None:
        found["witness"], witness = moving
    exact: list[str] = [name for name in HERE if name in found and found[name].is_proved]
    settled = settled or ("another data set with the same update was found" if witness is not None else "")
    proved: list[str] = exact + [name for name in ("separation", "pattern") if name in found and found[name].is_proved]
    if is_its_own_question(question) or "some-layers" in plan.demanded:
        plan.evaluate("some-layers", passes_seconds(question), lambda: some_layers(question), settled)
        proved += ["some-layers"] if found["some-layers"].is_proved else []
    elif not proved and not settled and may_add(question) and is_affordable(passes_seconds(question)):
        deeper = plan.unless_late(lambda: some_layers(question), None)
        if deeper is not None and deeper.is_proved:  # it is part of the report only if it adds something
            found["some-layers"] = deeper
            proved.append("some-layers")
    if proved and not exact and proved[0] != "some-layers":
        route = Route[found[proved[0]].evidence.get("route", Route.FORWARD.name)]
        plan.evaluate("competitors", 0.0, lambda: competitors(question, route))
    doubted = "competitors" in found and found["competitors"].holds is False
    unneeded = settled or ("the question is decided without it" if exact or (proved and not doubted) else "")
    if not counted.holds and question.data is None:
        unneeded = "the count decides"
    at = question if sample is None else sample
    plan.evaluate("local", isolated_seconds(at), lambda: isolated(at), unneeded, PATIENCE, adds_nothing=bool(exact))
    if witness is None and question.data is not None and question.equations_are_complete:
        witness = plan.unless_late(lambda: _fibre(question, found), None)
    undecided = witness is None and question.data is not None and not question.is_partial and not (proved and not doubted)
    if undecided and is_affordable(second_seconds(question)):
        other = plan.unless_late(lambda: second_solution(question), None)
        if other is not None:
            found["witness"], witness, _ = other
    if "witness" not in found or (witness is not None and not found["witness"].is_proved):
        found["witness"] = _witness_condition(witness, found["local"])
    verdict, scope, reasons, explained = verdict_of_network(
        found,
        question.scope,
        data_are_given=question.data is not None,
        counts_apply=question.equations_are_complete and not question.is_self_trained,
        witnessed=witness is not None,
    )
    at_most = f"among data sets of at most {question.samples} distinct samples with non-zero multipliers"
    return Report(
        verdict=verdict,
        scope=scope,
        reasons=reasons,
        ambiguity=question.ambiguity.describe(),
        conditions=tuple(found[name] for name in CONDITIONS if name in found),
        subject=subject,
        equations=equations,
        notes=(at_most, *explained, *notes),
        witness=witness,
        seed=question.seed,
        versions=versions(),
        question=question,
    )


def count(question: NetworkQuestion) -> Condition:
    """C6: a map into a space of dimension r has fibres of positive dimension where the data have more than r parameters.

    Multipliers that no observed layer shows do not count: beside them the samples may be determined.
    """
    free = question.samples * question.ambiguity.has_free_scale
    parameters, equations = question.unknowns - free - question.open_multipliers, question.equations
    evidence = {"parameters": parameters, "equations": equations, "excess": max(parameters - equations, 0)}
    evidence |= {"open_multipliers": question.open_multipliers} if question.open_multipliers else {}
    reference = "dimension of generic fibres (constant rank theorem)"
    if parameters <= equations:
        statement = f"{parameters} parameters, {equations} equations: counting does not exclude uniqueness"
        return Condition("count", True, statement, evidence, Arithmetic.PROOF, reference)
    statement = f"{parameters} parameters, but {equations} equations: {parameters - equations} too few"
    return Condition("count", False, statement, evidence, Arithmetic.PROOF, reference)


def _witness_condition(witness: Witness | None, local: Condition) -> Condition:
    """What became of the search for a family beyond those in closed form."""
    reference = "constant rank theorem"
    if witness is None:
        return Condition("witness", False, "none found", {}, Arithmetic.NONE, reference)
    evidence = {"kind": witness.kind, "dimension": witness.dimension} | {k: v for k, v in local.evidence.items() if k == "error_bound"}
    return Condition("witness", True, witness.description, evidence, local.arithmetic, reference)


def _fibre(question: NetworkQuestion, found: dict[str, Condition]) -> Witness | None:
    """The manifold of data with the same update through given data at which the derivative is proved to have full row rank."""
    local = found["local"]
    if local.holds is not False or not local.arithmetic.is_rigorous:
        return None
    dimension = int(local.evidence["dimension"])
    description = (
        f"the derivative of (S) has rank {local.evidence['rank']} at these data, the largest that it can have, and {dimension} columns "
        "more: they lie in a manifold of data with the same update (constant rank theorem)"
    )
    plain = Witness("fibre", dimension, description)
    if question.unknowns > FOLLOWED:
        return plain
    system, data = question.system, question.data
    assert system is not None and data is not None
    X, c = data
    target = system.right_hand_side(X, c)
    rng = np.random.default_rng([question.seed, 0xF1])
    start = np.concatenate([X.reshape(-1), c.reshape(-1)])
    size = np.linalg.norm(start) / np.sqrt(len(start))

    def data_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return values[: X.size].reshape(X.shape), values[X.size :].reshape(c.shape)

    def missed(values: np.ndarray) -> np.ndarray:
        off = (system.right_hand_side(*data_of(values)) - target) / scale
        return np.clip(np.nan_to_num(off, nan=OVERFLOWN), -OVERFLOWN, OVERFLOWN)

    scale = max(float(np.linalg.norm(target)), 1e-300)
    for step in (0.1, 0.01):
        moved = scipy.optimize.least_squares(
            missed,
            start + step * size * rng.standard_normal(len(start)),
            xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=100,
        )  # fmt: skip
        other = data_of(moved.x)
        residual = relative_size(system.right_hand_side(*other) - target, target)
        if residual < 1e-9 and all(np.isfinite(part).all() for part in other):
            return replace(plain, original=data, example=other, residual=residual)
    return plain

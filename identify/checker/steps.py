"""The steps of a certificate in order, and whether together they prove the claim.

Part of the checker: imports the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from identify.checker import completion, degenerate, families, macaulay, moments, multiple, secant, second, solution, tangents, univariate
from identify.checker.examination import Examination
from identify.checker.networks import steps as of_networks
from identify.checker.networks.examination import NetworkExamination
from identify.checker.reading import Rejected, keys, need
from identify.checker.solved import KEY
from identify.checker.watch import watch

SUFFICIENT = {
    "UNIQUE": (
        {"interpolation", "decomposition", "scale"},
        {"completion", "decomposition", "scale"},
        {"macaulay", "scale"},
        {"one-sample"},
        {"generic-global"},
    ),
    "LOCALLY_UNIQUE": ({"local"},),
    "NOT_UNIQUE": ({"witness"},),
    "SOLUTION": ({"solution"},),
}
"""For each verdict the sets of facts that prove it; any one of the sets will do."""
STEPS: dict[str, tuple[Callable[..., str], tuple[str, ...]]] = {
    "reduction": (moments.reduction, ("neurons",)),
    "interpolation": (moments.interpolation, ("rows",)),
    "completion": (completion.completion, ("flattenings", "forms", "degree", "rows")),
    "single-sample": (moments.single_sample, ()),
    "kruskal": (moments.kruskal, ("degree_sets", "kruskal_ranks")),
    "generic-decomposition": (moments.generic_decomposition, ("tensor_dimension",)),
    "scale": (moments.scale, ("degrees",)),
    "macaulay": (macaulay.macaulay, ("layers", "basis", "degree", "lowest", "rows")),
    "multiple-points": (multiple.multiple_points, ("layers", "basis")),
    "one-sample": (univariate.one_sample, ()),
    "generic-global": (secant.generic_global, ("rows", "gauss", "moments")),
    "local": (tangents.local, ("rows",)),
    "count": (tangents.count, ("coordinates", "parameters", "bound")),
    "fibre": (tangents.fibre, ("rank", "dimension", "rows")),
    "part": (degenerate.part, ("samples", "span", "multipliers", "rank", "dimension")),
    "multipliers": (degenerate.multipliers, ("columns",)),
    "rotation": (families.rotation, ("example",)),
    "scaling": (families.scaling, ("dimension", "example")),
    "multiple": (univariate.multiple, ()),
    "second-solution": (second.second_solution, ("coordinates", "X", "c", "radius", "rows")),
    "solution": (solution.solution, ("rows", "X", "c", "X_radii", "c_radii")),
}
"""Every kind of step: how it is checked, and its keys."""
SOLVABLE = ("generic-global", "local")
"""Steps that may have solutions in place of an elimination."""


def run(examination: Examination | NetworkExamination, steps: Any) -> Iterator[str]:
    """One sentence for each step; raises Rejected at the first that fails, or when together they do not prove the claim."""
    need(type(steps) is list and len(steps) <= len(STEPS), "steps: expected a short list")
    is_of_network = isinstance(examination, NetworkExamination)
    kinds = of_networks.STEPS if is_of_network else STEPS
    for number, step in enumerate(steps, 1):
        need(type(step) is dict and type(step.get("kind")) is str and step["kind"] in kinds, f"step {number}: no such kind")
        check, names = kinds[step["kind"]]
        solved = (KEY,) if not is_of_network and step["kind"] in SOLVABLE and KEY in step else ()
        keys(f"step {number}", step, ("kind", *names, *solved))
        need(not solved or type(step[KEY]) is list, f"step {number}: {KEY}: expected a list")
        watch().look()
        try:
            said = _checked(examination, check, [step[name] for name in (*names, *solved)])
            yield f"{step['kind']}: {said}"
        except Rejected as reason:
            raise type(reason)(f"step {number}, {step['kind']}: {reason}") from None
    claim, facts = examination.claim, examination.facts
    sufficient = of_networks.SUFFICIENT if is_of_network else SUFFICIENT
    need(any(needed <= facts for needed in sufficient[claim.verdict]), f"the steps do not suffice for {claim.verdict}")
    if isinstance(examination, NetworkExamination):
        need(not examination.claim.scales_are_fixed or "scales" in facts, "the steps do not show that scales are known")
        need(not examination.claim.signs_are_fixed or "signs" in facts, "the steps do not show that signs are known")
    need(
        is_of_network or claim.data != "this target" or "reduction" in facts, "the steps do not show that data of this size fit the target"
    )


def _checked(examination: Examination | NetworkExamination, check: Callable[..., str], values: list[Any]) -> str:
    if isinstance(examination, NetworkExamination):
        return of_networks.checked(examination, check, values)
    return check(examination, *values)

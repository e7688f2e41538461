"""Theorems on the uniqueness of the data: globally by moments (C1, C2 and C3), isolated (C4), globally for generic data (C5)."""

from __future__ import annotations

from dataclasses import replace

from identify.conditions import generic_global, local
from identify.conditions.decomposition import KRUSKAL, decomposition
from identify.conditions.interpolation import interpolation
from identify.conditions.reduction import reduce
from identify.conditions.scale import scale
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.theory.cases import Case, changed, draw
from identify.theory.search import is_isolated, only_these_data
from identify.theory.theorem import Seen, Theorem


def _by_moments(case: Case) -> Seen:
    where = reduce(case.of_these_data)[1]
    terms = decomposition(where)
    found = {"interpolation": interpolation(where), "decomposition": terms, "scale": scale(where, terms)}
    failing = ", ".join(name for name, condition in found.items() if not condition.is_proved)
    unique, evidence = only_these_data(case)
    return Seen(not failing, unique, f"{f'not proved: {failing}' if failing else 'all three proved'}; {evidence}")


def _narrower(config: Configuration, seed: int) -> Case | None:
    """The widest network below the given width that does not determine every moment."""
    for width in range(config.neurons - 1, 0, -1):
        case = draw(replace(config, width=width), seed)
        if not interpolation(reduce(case.of_these_data)[1]).is_proved:
            return case
    return None


def _isolated(case: Case) -> Seen:
    found = local.local(case.of_these_data)
    isolated, evidence = is_isolated(case)
    return Seen(found.is_proved, isolated, f"Jacobian of rank {found.evidence['rank']} of {found.evidence['needed']}; {evidence}")


def _generic_global(case: Case) -> Seen:
    setting = case.of_generic_data
    found = generic_global.generic_global(setting, reduce(setting)[1])
    unique, evidence = only_these_data(case)
    ranks = found.evidence
    rank = f"rank {ranks['rank']}" if "rank" in ranks else f"not applicable, available {ranks['available']}"
    return Seen(found.is_proved, unique, f"Jacobian of {len(case.X) + 1} samples: {rank} of {ranks['needed']}; {evidence}")


_GROUP = "up to the order of the samples and the ambiguity group"

THEOREMS = (
    Theorem(
        name="moments",
        title="Interpolation, decomposition and scale prove uniqueness",
        statement=r"If the target determines the visible moments (C1), these have only one decomposition with at most $n$ terms (C2), "
        r"and the terms fix each sample up to the group (C3), the data are unique among data sets of at most $n$ samples.",
        hypotheses=(
            "interpolation holds (C1); if reduction holds too, all three are evaluated in coordinates on the span of the samples",
            "decomposition holds (C2)",
            "scale holds (C3)",
        ),
        conclusion=f"no other data set of at most n samples has this target, {_GROUP}",
        scope="this network, this data",
        reference=f"Shen, Wang, Qian & Lei 2026, arXiv:2602.08723; decomposition: {KRUSKAL}",
        condition=None,
        configuration=Configuration(inputs=2, samples=2, width=3, activation=Activation.parse("z + z^2 + z^3")),
        examine=_by_moments,
        draw=draw,
        nearest=(("too narrow for C1", _narrower),),
    ),
    Theorem(
        name="local",
        title="A Jacobian of full rank isolates the data",
        statement=r"If the Jacobian of (S) in $(x, c)$ has full column rank at the data, modulo the tangent space of the ambiguity group, "
        r"they are an isolated solution.",
        hypotheses=("the Jacobian at the data has full column rank modulo the tangent of the group",),
        conclusion="no other data near these have the same target, up to the group",
        scope="this network, this data",
        reference=local.REFERENCE,
        condition="local",
        configuration=Configuration(inputs=3, samples=3, width=3, activation=Activation.parse("z + z^3")),
        examine=_isolated,
        draw=draw,
        nearest=(("one sample too many", changed(samples=1)),),
    ),
    Theorem(
        name="generic-global",
        title="One rank proves generic data unique",
        statement=r"Let $V$ be the projective closure of $\{[\nabla_\theta \sum_o \gamma_o f_o(\theta; x)]\}$, of dimension $v$. "
        r"If $n + 1$ general tangent spaces of the cone over $V$ are independent (the Jacobian of $n + 1$ random samples has rank "
        r"$(n+1)(v+1)$), the Gauss map of $V$ is non-degenerate, and a general point of $V$ comes from one sample only, up to the group, "
        r"a general sum of $n$ points of $V$ has only one decomposition, and comes from one data set of $n$ samples only.",
        hypotheses=(
            "generic data for this network, regime gradient or lazy (a network trained on its own data is not generic for them)",
            "the Jacobian of n + 1 random samples has rank (n + 1)(v + 1)",
            "the Gauss map of V is non-degenerate",
            "a general point of V comes from one sample only, up to the group",
        ),
        conclusion="almost no data set of n samples shares its target with another, over the complex numbers and hence the real ones, "
        f"{_GROUP}",
        scope="this network, generic data",
        reference=f"{generic_global.REFERENCE}; arXiv:2210.13524",
        condition="generic-global",
        configuration=Configuration(inputs=2, samples=2, width=3, activation=Activation.parse("z + z^2 + z^3")),
        examine=_generic_global,
        draw=draw,
        nearest=(("one neuron too few", changed(width=-1)), ("one sample too many", changed(samples=1))),
    ),
)

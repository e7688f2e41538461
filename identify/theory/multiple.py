"""Theorems on data that solve their equations more than once: isolated all the same, and alone if a corank counts them."""

from __future__ import annotations

from dataclasses import replace

from identify.conditions import macaulay, multiplicity
from identify.conditions.local import local
from identify.conditions.reduction import reduce
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.theory.cases import Case, case_of, draw
from identify.theory.search import is_isolated, search
from identify.theory.theorem import Draw, Seen, Theorem


def _counted(case: Case) -> Seen:
    found = macaulay.macaulay(reduce(case.of_these_data)[1])
    others = search(case, starts=20, solutions=2)
    seen = others.others == 0 if others.found else None
    return Seen(found.is_proved and "multiplicities" in found.evidence, seen, f"{found.statement}; {others}")


def _isolated(case: Case) -> Seen:
    where = reduce(case.of_these_data)[1]
    found, rank = multiplicity.multiplicity(where), local(where)
    seen, evidence = is_isolated(case)
    return Seen(found.is_proved and rank.holds is False, seen, f"{rank.statement}; {found.statement}; {evidence}")


def _with_zero(neurons: int = 0) -> Draw:
    """One sample is zero, where σ(w·x) has no linear term; ``neurons``: more than samples, if not as configured."""

    def drawn(config: Configuration, seed: int) -> Case | None:
        if config.layers != "second" or config.bias or 1 in config.activation.support or config.samples < 2:
            return None
        config = replace(config, width=config.samples + neurons) if neurons else config
        case = draw(config, seed)
        X = case.X.copy()
        X[0] = 0
        return case_of(config, case.system.network, X, case.c, seed)

    return drawn


_QUADRATIC = Configuration(inputs=2, samples=2, width=6, outputs=2, layers="second", activation=Activation.parse("1 + z^2 + z^3"))

THEOREMS = (
    Theorem(
        name="multiplicity",
        title="A local dual space that comes to rest isolates the data",
        statement=r"Write (S) as polynomials in the displacement $\delta$ of the data (one coordinate of each sample, that is not zero, "
        r"held if scales are free). Let $h_k$ be the number of monomials of order at most $k$ in $\delta$, less the rank of all multiples "
        r"$\delta^\beta f$, $|\beta| < k$, of the equations without their terms beyond order $k$. If $h_k = h_{k-1}$ for some $k$, the "
        r"data are an isolated solution, over the complex numbers too, and $h_k$ is its multiplicity.",
        hypotheses=(
            "polynomial activations, two layers, given data",
            "h_k = h_(k-1) for some k; modulo a prime this is enough, and h_k bounds the multiplicity from above",
        ),
        conclusion="no other data near these have the same target, although the Jacobian is deficient",
        scope="this network, this data",
        reference=multiplicity.REFERENCE,
        condition="multiplicity",
        configuration=_QUADRATIC,
        examine=_isolated,
        draw=_with_zero(),
        nearest=(("fewer equations than unknowns", _with_zero(1)),),
    ),
    Theorem(
        name="multiple-points",
        title="A corank counts samples with their multiplicities",
        statement=r"Let sample $x_i$ solve the equations of a single sample with multiplicity $\mu_i$, and let its local dual space not "
        r"grow beyond order $k_i - 1$. If their Macaulay matrix has corank $\sum_i \mu_i$ in a degree $D \ge g \sum_i k_i + L$, their only "
        r"solutions are the $n$ samples, up to the group.",
        hypotheses=(
            "the equations do not have multipliers: one output, or those of the second layer alone; g and L as for macaulay, g ≥ 1",
            "corank Σ μ_i in degree D ≥ g Σ k_i + L, a multiple of g; the μ_i over the rationals",
            "no sample is zero, unless g = 1 and L = 0",
            "the other hypotheses of macaulay",
        ),
        conclusion="no other data set of at most n samples has this target, up to the order of the samples and the ambiguity group",
        scope="this network, this data",
        reference=macaulay.REFERENCE,
        condition="macaulay",
        configuration=_QUADRATIC,
        examine=_counted,
        draw=_with_zero(),
        nearest=(("as many equations of a sample as unknowns", _with_zero(2)),),
    ),
)

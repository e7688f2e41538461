r"""The steps that rest on counts of sizes alone: separation (Theorem A), and more unknowns than equations.

Theorem A. Let :math:`\sigma` be analytic and no polynomial. A sample x' of another solution satisfies one equation for each of the m
neurons of the first layer, in as many unknowns as x' and its coefficients have. For fixed unknowns each equation is an analytic function of
that neuron's weights, and not zero, because :math:`\sigma` of distinct points are independent functions (Pinkus 1999, Theorem 5.1).
So if there are fewer unknowns than neurons, networks with a solution beside the samples have measure zero.

Part of the checker: imports the standard library, and the checker's own modules.
"""

from __future__ import annotations

from typing import Any

from identify.checker.networks.activations import Analytic, Piecewise
from identify.checker.networks.claim import (
    ANY,
    BEFOREHAND,
    GENERIC,
    GENERIC_DATA,
    PATTERN,
    RANK,
    RANK_APART,
    THIS,
    THIS_DATA,
    NetworkClaim,
)
from identify.checker.networks.examination import NetworkExamination
from identify.checker.reading import choice, need


def unknowns_of(claim: NetworkClaim, route: str, layers: list[int], multipliers: str) -> int:
    """Dimension of what a competitor is made of: its sample, and coefficients of its features or of its column."""
    first, second = claim.affine
    sample = min(claim.n - first, claim.d) if 1 in layers else claim.d
    if route == "forward":  # coefficients of n features, of sum 1 if the second bias is known
        return sample + claim.n - second
    signals = claim.sizes[2]
    if multipliers == ANY:  # a signal of the competitor and of each sample, up to one common factor
        return sample + signals * (claim.n + 1) - 1
    return sample + signals + claim.n - 1  # its multipliers, and one coefficient for each sample, up to one common factor


def separation(e: NetworkExamination, route: Any, layers: Any) -> str:
    """Theorem A, see the module; ``layers``: those whose update has rank n."""
    c = e.claim
    need(c.verdict == "UNIQUE", "proves uniqueness only")
    e.need_scope((GENERIC, RANK), (GENERIC, RANK_APART), (GENERIC, THIS_DATA), (PATTERN, THIS_DATA))
    need(isinstance(c.activations[0], Analytic), "needs an analytic activation in the first layer, and no polynomial")
    need(not c.is_self_trained, "needs a network that does not depend on its data")
    choice("route", route, ("forward", "backward"))
    choice("layers", layers, ([2], [1, 2]) if route == "forward" else ([1],))
    need(2 not in layers or c.features_can_count, f"the update of layer 2 was not observed, or cannot have rank {c.n}")
    need(1 not in layers or c.rows_can_count, f"the update of layer 1 was not observed, or cannot have rank {c.n}")
    choice("ranks", c.ranks, [layers])
    need(c.multipliers == ANY or (route == "backward" and c.depth == 2), "multipliers: they may be any")
    unknowns = unknowns_of(c, route, layers, c.multipliers)
    need(c.m > unknowns, f"{c.m} neurons for {unknowns} unknowns")
    _need_multipliers(e)
    if c.needs_data:
        need(set(layers) <= e.ranks, f"the ranks of the updates are not proved to be {c.n}")
    if not c.biases[0] and 1 not in layers:  # independent samples are neither zero nor opposite
        if c.needs_data:
            e.need_apart()
        else:
            need(c.data == RANK_APART, "without biases in the first layer it is about samples none of which is zero or opposite")
    elif not c.needs_data:
        need(c.data == RANK, "data: no sample needs to be left out")
    e.facts.add("separation")
    known = " with multipliers given before the network" if c.multipliers == BEFOREHAND else ""
    return f"{c.m} neurons, and {unknowns} unknowns of another solution{known}"


def _need_multipliers(e: NetworkExamination) -> None:
    """Multipliers follow from the samples and their signals: for almost all weights, or for those of the given network.

    In the second case deeper layers that are piecewise-linear have the pattern that they have.
    """
    c, deeper = e.claim, e.claim.activations[1:]
    need(c.orbits_are_whole, "deeper layers see images of a sample otherwise, so that their multipliers are not known")
    narrow, flat = any(size < c.C for size in c.sizes[2:-1]), any(sigma.slopes_vanish for sigma in deeper)
    if not (narrow or flat):
        need(c.network == GENERIC, "network: the pattern does not matter")
        return
    need(c.needs_data, f"a hidden layer has fewer than {c.C} neurons, or a deeper one a slope of zero")
    e.need_multipliers()
    by_pattern = any(isinstance(sigma, Piecewise) for sigma in deeper)
    need(c.network == (PATTERN if by_pattern else GENERIC), "network: the pattern of the deeper layers matters, if they have one")


def count(e: NetworkExamination, unknowns: Any, equations: Any) -> str:
    """More unknowns than equations: generic data lie in a manifold of data with the same update (constant rank theorem)."""
    c = e.claim
    need(c.verdict == "NOT_UNIQUE", "proves non-uniqueness only")
    e.need_scope((GENERIC, GENERIC_DATA), (THIS, GENERIC_DATA))
    need(c.is_complete and not c.is_self_trained, "equations beyond (S) are in force, or the network depends on its data")
    choice("unknowns", unknowns, [c.n * (c.d + c.C - c.has_free_scale)])
    choice("equations", equations, [c.equations])
    need(unknowns > equations, "there are as many equations as unknowns")
    e.facts.add("witness")
    return f"{unknowns} unknowns, {equations} equations"

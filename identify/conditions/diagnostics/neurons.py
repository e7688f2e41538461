r"""Neurons that repeat others, have no equations, or died in training.

Neurons are compared as lifted vectors :math:`\tilde w_j = (w_j, b_j)`, exactly. Two neurons repeat each other's equations
when :math:`\tilde w_k = t\,\tilde w_j` with t in the group that leaves the moments alone (any t for :math:`\sigma = z^p`, a sign
for odd or even :math:`\sigma`, t = 1 otherwise) and, with several outputs and first-layer rows, their second-layer weights are
parallel.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import Float

from identify.conditions.diagnostics.directions import groups, near_parallel, primitive
from identify.conditions.diagnostics.findings import LISTED, Findings
from identify.problem.activation import horner, root_group
from identify.problem.network import Network
from identify.problem.system import KKTSystem

ANGLE = 1e-3
"""Radians within which neurons count as nearly parallel."""
DEAD = (1e-8, 1e-2)
"""Parts of the largest weights below which a neuron counts as dead, to that precision."""
MAX_PAIRS = 2e10
"""Neurons are compared by angle while m^2 D is below; beyond, only exact duplicates are looked for."""


def look_at_neurons(system: KKTSystem, found: Findings) -> None:
    """Duplicate, parallel, redundant, silent and dead neurons. Cost O(m^2 D), and O(m D) beyond 2e10 of these."""
    net = system.network
    lifted = lifted_neurons(net)
    alive = lifted.any(axis=1)
    compared = float(net.width) ** 2 * lifted.shape[1] <= MAX_PAIRS
    duplicates = groups((j, lifted[j].tobytes()) for j in np.flatnonzero(alive).tolist())
    near = near_parallel(lifted, ANGLE) if compared else duplicates
    candidates = sorted(j for cluster in near for j in cluster)
    parallel = groups((j, primitive(lifted[j])) for j in candidates)
    silent, partly = _silent(system)
    redundant = _redundant(system, lifted, [j for j in [*candidates, *np.flatnonzero(~alive).tolist()] if j not in silent])
    found.evidence |= {
        "neurons": net.width,
        "duplicate_neurons": duplicates[:LISTED],
        "redundant_neurons": redundant,
        "silent_neurons": sorted(silent)[:LISTED],
        "partly_silent_neurons": dict(list(partly.items())[:LISTED]),
    }
    if compared:
        found.evidence |= {
            "distinct_directions": int(alive.sum()) - sum(len(cluster) - 1 for cluster in parallel),
            "distinct_directions_up_to_angle": int(alive.sum()) - sum(len(cluster) - 1 for cluster in near),
            "angle": ANGLE,
            "parallel_neurons": parallel[:LISTED],
            "nearly_parallel_neurons": near[:LISTED],
        }
    else:
        found.remarks.append(f"{net.width} neurons are too many to compare all directions: only duplicates were looked for")
    if redundant:
        found.defect(f"neurons that only repeat the equations of others: {redundant} of {net.width}")
    if silent:
        found.defect(f"neurons without any equation, whatever the data: {len(silent)} of {net.width}")
    if partly:
        found.defect(f"neurons that lack the rows of one layer, through zero weights: {len(partly)} of {net.width}")
    if parallel and not redundant:
        found.remarks.append(f"parallel neurons, with equations that differ: {sum(map(len, parallel))} of {net.width}")
    if near and not parallel:
        found.remarks.append(f"neurons within {ANGLE:g} rad of others (floating point): {sum(map(len, near))} of {net.width}")
    _dead(net, lifted, len(silent), found)


def lifted_neurons(net: Network) -> Float[np.ndarray, "m D"]:
    """(w_j, b_j), or w_j if the network has no bias; no negative zeros, so that equal rows have equal bytes."""
    return (net.W if net.bias is None else np.hstack([net.W, net.bias[:, None]])) + 0.0


def _dead(net: Network, lifted: np.ndarray, silent: int, found: Findings) -> None:
    """Neurons all of whose weights are small beside the largest of their layer, as weight decay leaves those that died."""
    sizes = np.zeros(net.width)
    for layer in (lifted, net.A.T):
        norms = np.abs(layer).max(axis=1)
        sizes = np.maximum(sizes, norms / (norms.max() or 1.0))
    counts = {tolerance: int((sizes <= tolerance).sum()) for tolerance in DEAD}
    found.evidence["dead_neurons_to_precision"] = {f"{tolerance:g}": count for tolerance, count in counts.items()}
    if counts[DEAD[0]] > silent:
        found.defect(f"neurons that died, with all weights below {DEAD[0]:g} of the largest: {counts[DEAD[0]]} of {net.width}", False)
    elif counts[DEAD[1]] > silent:
        found.remarks.append(
            f"neurons with all weights below {DEAD[1]:g} of the largest (floating point): {counts[DEAD[1]]} of {net.width}"
        )


def _silent(system: KKTSystem) -> tuple[set[int], dict[int, str]]:
    """Neurons whose rows vanish whatever the data: all of them, or those of one layer; and which rows those are."""
    net, sigma, seen = system.network, system.network.activation, system.observed
    first = seen.W or seen.bias
    silent, partly = set(), {}
    no_input, no_output = (~np.any(values, axis=axis) for values, axis in ((net.W, 1), (net.A, 0)))
    for j in np.flatnonzero(no_input | no_output).tolist():
        slope = value = True
        if no_input[j]:
            b = Fraction(float(net.offsets[j]))
            slope, value = bool(horner(sigma.derivative(1), b)), bool(horner(sigma.coefficients, b))
        has_first, has_second = first and slope and not no_output[j], seen.a and value
        if not has_first and not has_second:
            silent.add(j)
        elif first and not has_first:
            partly[j] = "first-layer rows vanish: " + ("a_j = 0" if no_output[j] else "w_j = 0")
        elif seen.a and not has_second:
            partly[j] = "second-layer row vanishes: w_j = 0"
    return silent, partly


def _redundant(system: KKTSystem, lifted: np.ndarray, neurons: list[int]) -> int:
    """How many of these neurons have only equations that are multiples of another one's."""
    net, seen, sigma = system.network, system.observed, system.network.activation
    group = root_group((*((0,) if sigma.constant and seen.a else ()), *sigma.support))

    def own(j: int) -> tuple:
        if group == "scaling":
            return primitive(lifted[j])
        lead = lifted[j][np.flatnonzero(lifted[j])[:1]]
        flip = -1.0 if group == "sign" and (lead < 0).any() else 1.0
        return tuple((flip * lifted[j]).tolist())

    first = net.n_outputs > 1 and (seen.W or seen.bias)
    count = 0
    for cluster in groups((j, own(j)) for j in neurons):
        outputs = {primitive(net.A[:, j]) for j in cluster} - {()} if first else set()
        count += len(cluster) - max(len(outputs), 1)
    return count

r"""Structure of a given network and its samples: what is duplicate, silent, unseen, hidden, or decoupled.

Neurons are compared as lifted vectors :math:`\tilde w_j = (w_j, b_j)`, exactly. Two neurons repeat each other's equations
when :math:`\tilde w_k = t\,\tilde w_j` with t in the group that leaves the moments alone (any t for :math:`\sigma = z^p`, a sign
for odd or even :math:`\sigma`, t = 1 otherwise) and, with several outputs and first-layer rows, their second-layer weights are
parallel. A sample and a neuron meet where :math:`g_{ij}\sigma'(z_{ij})` (first-layer rows) or :math:`\sigma(z_{ij})` (second-layer
rows) is not zero. With H the factors :math:`g_{ij}\sigma'(z_{ij})`, every change Y of the samples that is orthogonal to the rows of
W and has H Y = 0 leaves (S) as it is: :math:`(n - \mathrm{rank} H)(d - \mathrm{rank} W)` numbers are hidden, and
:math:`n (d - \mathrm{rank} W)` where the first-layer weights were not observed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from identify.activation import horner, root_group
from identify.conditions.directions import blocks, groups, near_parallel, primitive
from identify.conditions.setting import Setting
from identify.exact.instance import Residues
from identify.exact.modular import Arithmetic, certified_rank, multiply, random_prime, residues
from identify.network import TwoLayerNetwork
from identify.report.verdict import Condition
from identify.stationarity import KKTSystem

REFERENCE = "exact linear algebra of the equations (elementary)"
ANGLE = 1e-3
"""Radians within which neurons count as nearly parallel."""
LISTED = 20
"""At most so many clusters, neurons or pairs are listed; counts are always complete."""
PRIMES = 2


@dataclass
class _Found:
    """What is collected: numbers, defects and remarks in words, and whether a defect rests on zeros modulo primes."""

    evidence: dict = field(default_factory=dict)
    defects: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    is_proof: bool = True

    def defect(self, sentence: str, is_proof: bool = True) -> None:
        self.defects.append(sentence)
        self.is_proof &= is_proof


def structure(setting: Setting) -> Condition:
    """Duplicate, parallel and silent neurons, unseen samples, blocks, and what the row space of W hides.

    The setting has a system; where data are given, in full coordinates, the samples are looked at too. ``holds``: no
    neuron repeats another or lacks rows, every sample is seen and acts alone, nothing decouples or hides. It supports no
    verdict. Cost O(m^2 d) floating-point operations, and ranks modulo a prime of matrices m by d and m by n.
    """
    system = setting.system
    assert system is not None
    found = _Found()
    _neurons(system, found)
    rank_W, rank_is_proof = _row_space(setting, system.network, found)
    has_data = setting.instance.data_are_given and setting.data is not None
    if has_data:
        _samples(setting, found)
        _incidence(setting, found)
    _hidden(setting, system, rank_W, rank_is_proof, has_data, found)
    fine = "every neuron has equations of its own" + (", and every sample is seen, in one block" if has_data else "")
    statement = "; ".join([*(found.defects or [fine]), *found.remarks])
    arithmetic = Arithmetic.PROOF if found.is_proof else Arithmetic.EVIDENCE
    return Condition("structure", not found.defects, statement, found.evidence, arithmetic, REFERENCE)


def _neurons(system: KKTSystem, found: _Found) -> None:
    net = system.network
    lifted = (net.W if net.bias is None else np.hstack([net.W, net.bias[:, None]])) + 0.0
    alive = lifted.any(axis=1)
    near = near_parallel(lifted, ANGLE)
    candidates = sorted(j for cluster in near for j in cluster)
    parallel = groups((j, primitive(lifted[j])) for j in candidates)
    duplicates = groups((j, lifted[j].tobytes()) for j in np.flatnonzero(alive).tolist())
    silent, partly = _silent(system)
    redundant = _redundant(system, lifted, [j for j in [*candidates, *np.flatnonzero(~alive).tolist()] if j not in silent])
    found.evidence |= {
        "neurons": net.width,
        "distinct_directions": int(alive.sum()) - sum(len(cluster) - 1 for cluster in parallel),
        "distinct_directions_up_to_angle": int(alive.sum()) - sum(len(cluster) - 1 for cluster in near),
        "angle": ANGLE,
        "duplicate_neurons": duplicates[:LISTED],
        "parallel_neurons": parallel[:LISTED],
        "nearly_parallel_neurons": near[:LISTED],
        "redundant_neurons": redundant,
        "silent_neurons": sorted(silent)[:LISTED],
        "partly_silent_neurons": dict(list(partly.items())[:LISTED]),
    }
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


def _row_space(setting: Setting, net: TwoLayerNetwork, found: _Found) -> tuple[int, bool]:
    """Rank of W, and whether it is proved."""
    needed = min(net.W.shape)
    result = certified_rank(lambda q, rng: residues(net.W, q), needed, seed=setting.seed + 11)
    values = np.linalg.svd(net.W / (np.abs(net.W).max() or 1.0), compute_uv=False)
    numerical = {tolerance: int((values > tolerance * values[0]).sum()) for tolerance in (1e-8, 1e-2)}
    found.evidence |= {
        "rank_W": result.rank,
        "inputs": net.n_inputs,
        "numerical_rank_W": {f"{tolerance:g}": r for tolerance, r in numerical.items()},
    }
    lower = [(tolerance, r) for tolerance, r in numerical.items() if r < result.rank]
    if lower:
        found.remarks.append(f"to precision {lower[0][0]:g} W has rank {lower[0][1]} of {net.n_inputs} (floating point)")
    return result.rank, result.is_full or not net.W.any()


def _samples(setting: Setting, found: _Found) -> None:
    assert setting.data is not None
    X = setting.data[0] + 0.0
    parallel = groups((i, primitive(X[i])) for cluster in near_parallel(X, ANGLE) for i in cluster)
    coincident = groups((i, row.tobytes()) for i, row in enumerate(X))
    index = {row.tobytes(): i for i, row in enumerate(X)}
    opposite = [(i, k) for i, row in enumerate(-X + 0.0) if (k := index.get(row.tobytes(), i)) > i]
    found.evidence |= {
        "samples": len(X),
        "coincident_samples": coincident[:LISTED],
        "opposite_samples": opposite[:LISTED],
        "parallel_samples": parallel[:LISTED],
    }
    group = "none" if setting.is_lifted else root_group(setting.instance.degrees)
    merged = coincident + {"none": [], "sign": [list(pair) for pair in opposite], "scaling": parallel}[group]
    count = len({i for cluster in merged for i in cluster})
    if count:
        found.defect(f"samples that coincide with others up to the ambiguity, and so act as fewer: {count} of {len(X)}")
    elif opposite or parallel:
        apart = {i for pair in opposite for i in pair} or {i for cluster in parallel for i in cluster}
        what = "opposite" if opposite else "parallel"
        found.remarks.append(f"{what} samples, which these equations see apart: {len(apart)} of {len(X)}")


def _incidence(setting: Setting, found: _Found) -> None:
    """Unseen samples and blocks. Non-zero modulo a prime is a proof, zero modulo two is evidence."""
    rng = np.random.default_rng([setting.seed, 0x1AC])
    instance = setting.instance
    meets = np.zeros((instance.width, instance.n_samples), dtype=bool)
    tried = 0
    while tried < PRIMES and not meets.all():
        try:
            meets |= incidence(instance.at(random_prime(rng), rng))
        except ZeroDivisionError:
            continue
        tried += 1
    parts = blocks(meets)
    unseen = np.flatnonzero(~meets.any(axis=0)).tolist()
    joined = [(rows, columns) for rows, columns in parts if rows and columns]
    found.evidence |= {
        "unseen_samples": unseen[:LISTED],
        "neurons_that_meet_no_sample": int((~meets.any(axis=1)).sum()),
        "blocks": [{"neurons": len(rows), "samples": columns[:LISTED]} for rows, columns in joined[:LISTED]],
    }
    if unseen:
        found.defect(f"samples that no neuron sees: {unseen[:LISTED]}", False)
    if len(joined) > 1:
        sizes = ", ".join(f"{len(columns)} by {len(rows)}" for rows, columns in joined[:LISTED])
        found.defect(f"samples and neurons split into {len(joined)} blocks ({sizes}) that share no equation", False)


def incidence(point: Residues) -> np.ndarray:
    """(m, n): whether neuron j has an equation that sample i enters, modulo a prime."""
    seen = point.observed
    meets = np.zeros((len(point.W), len(point.X)), dtype=bool)
    if seen.W or seen.bias:
        meets |= point.slopes() != 0
    if seen.a:
        Z = point.reduce(multiply(point.X, point.W.T, point.q) + point.offsets)
        meets |= (horner(point.derivatives[0], Z, point.reduce) != 0).T & point.c.any(axis=1)
    return meets


def _hidden(setting: Setting, system: KKTSystem, rank_W: int, rank_is_proof: bool, has_data: bool, found: _Found) -> None:
    """What of the samples lies outside the row space of W, and whether the equations see it."""
    d, n = system.network.n_inputs, setting.instance.n_samples
    if rank_W == d:
        return
    where = f"W has rank {rank_W} of {d}: of what the samples have outside its row space"
    missing, is_proof = n, rank_is_proof
    if system.observed.W:
        if not has_data:
            found.remarks.append(f"{where}, only the first-layer rows see anything")
            return
        slopes = certified_rank(lambda q, rng: setting.instance.at(q, rng).slopes(), n, seed=setting.seed + 12)
        missing = n - slopes.rank
        found.evidence["rank_slopes"] = slopes.rank
        is_proof &= slopes.rank >= min(n, system.network.width)
    found.evidence["hidden_dimension"] = missing * (d - rank_W)
    if missing:
        found.defect(f"{where}, {missing * (d - rank_W)} numbers are in no equation", is_proof)

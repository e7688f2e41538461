r"""C5, generic global uniqueness: for generic data, one rank proves that no other data set gives the same target.

A data set of n samples writes the target as a sum of n points of the cone over :math:`V`, the variety of gradients of one sample
(:mod:`identify.exact.secant`). By Massarenti & Mella (Theorem 1.5), a general such sum has no other decomposition if V has
a non-degenerate Gauss map and n + 1 general tangent spaces of the cone are independent. It remains that a point of V comes
from one sample only, modulo the ambiguity. Each of the three is a rank at one random point modulo a prime, which proves the generic
statement. This closes the gap between the width that makes data isolated and the width that makes every moment visible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from identify.conditions.setting import Setting
from identify.exact.instance import Residues
from identify.exact.modular import Arithmetic, certified_rank, random_prime
from identify.exact.secant import n_scales, second_fundamental_rank
from identify.exact.slices import interpolation_rank
from identify.problem.verdict import Condition

REFERENCE = "Massarenti & Mella 2024 (Bronowski's conjecture), Theorem 1.5; Terracini 1911"
ATTEMPTS = 3
"""Random points tried for a rank that is expected to be full."""


def generic_global(setting: Setting, reduced: Setting) -> Condition:
    """Evaluate C5, in coordinates on the span of the samples and in all coordinates: either suffices. Cost O((n (d + C))^3)."""
    if setting.scope.data != "generic data":
        statement = "speaks of generic data only; the data of this statement are not generic for the network, or are given"
        return _condition(None, statement, {}, Arithmetic.NONE)
    tried = []
    for where in [reduced, setting] if reduced.instance is not setting.instance else [setting]:
        tried.append(_in_coordinates(where))
        if tried[-1].holds:
            break
    return tried[-1]


@dataclass(frozen=True)
class Secant:
    """The dimensions of C5: ``tangent`` = v + 1 parameters for each sample, ``needed`` = (n + 1)(v + 1)."""

    tangent: int
    needed: int
    available: int

    @classmethod
    def of(cls, setting: Setting) -> Secant:
        instance = setting.instance
        tangent = instance.coordinates + instance.n_outputs - setting.scales_per_sample
        return cls(tangent, (instance.n_samples + 1) * tangent, instance.image_bound)


def _in_coordinates(setting: Setting) -> Condition:
    instance, secant = setting.instance, Secant.of(setting)
    evidence: dict = {"needed": secant.needed, "available": secant.available, "coordinates": instance.coordinates}
    if secant.needed > secant.available:
        statement = (
            f"{instance.n_samples + 1} samples, one more than here, have {secant.needed} parameters, "
            f"but the target at most {secant.available} independent numbers: the theorem says nothing here"
        )
        return replace(_condition(False, statement, evidence, Arithmetic.PROOF), applies=False)
    instance.refuse_if_too_large(secant.needed, "the Jacobian of one more sample")
    found = tangent_rank(setting, instance.n_samples + 1)
    evidence |= {"rank": found.rank, "primes": list(found.primes)}
    if not found.is_full:
        statement = f"the Jacobian of {instance.n_samples + 1} random samples has rank {found.rank} of {secant.needed}"
        return _condition(False, statement, evidence, Arithmetic.EVIDENCE)
    obstacle = one_sample_obstacle(setting, evidence)
    if obstacle is not None:
        return _condition(False, obstacle, evidence, Arithmetic.EVIDENCE)
    statement = (
        f"the Jacobian of {instance.n_samples + 1} random samples has full rank {secant.needed}, the Gauss map is non-degenerate, and a "
        "gradient comes from one sample only: generic data are the only ones with their target"
    )
    return _condition(True, statement, evidence, Arithmetic.PROOF)


def tangent_rank(setting: Setting, samples: int):
    """The rank of the Jacobian of that many random samples, modulo the scale of each."""
    needed = samples * Secant.of(setting).tangent

    def build(q: int, rng: np.random.Generator, rows: int | None = None) -> np.ndarray:
        point = setting.instance.at(q, rng)
        point = point if rows is None else point.some_neurons(rows, rng)
        return without_scales(setting, point.at_random_point(rng, samples).jacobian(), samples)

    return certified_rank(build, needed, seed=setting.seed + 5, trials=ATTEMPTS, some_rows=lambda q, rng: build(q, rng, needed))


def without_scales(setting: Setting, jacobian: np.ndarray, samples: int) -> np.ndarray:
    """Without one column for each sample if its scale is free: (x, -p c) is in the kernel, so the others span as much."""
    if not setting.scales_per_sample:
        return jacobian
    return np.delete(jacobian, np.arange(1, samples + 1) * (jacobian.shape[1] // samples) - 1, axis=1)


def one_sample_obstacle(setting: Setting, evidence: dict) -> str | None:
    """What prevents C5 at a single sample, or None; what was computed is added to the evidence."""
    instance, tangent = setting.instance, Secant.of(setting).tangent
    rng = np.random.default_rng([setting.seed, 0xC5])
    degrees = instance.degrees
    group = gcd(*(k - degrees[0] for k in degrees))
    evidence |= {"gauss_needed": tangent - 1, "scales_needed": group}
    for _ in range(ATTEMPTS):
        q = random_prime(rng)
        try:
            point: Residues = instance.at(q, rng).at_random_point(rng, 1)
        except ZeroDivisionError:
            continue
        gauss, dimension = second_fundamental_rank(point, rng)
        scales = n_scales(point)
        evidence |= {"gauss_rank": gauss, "scales": scales, "one_sample_prime": q}
        if gauss == tangent - 1 and dimension == tangent and scales == group:
            return None
    if scales is None and moments_are_visible(setting):
        evidence["scales"] = "all moments are visible"
        return None if gauss == tangent - 1 and dimension == tangent else "the Gauss map was not found to be non-degenerate"
    if gauss < tangent - 1 or dimension < tangent:
        return f"the second fundamental form of one sample has rank {gauss} of {tangent - 1}: the Gauss map may be degenerate"
    return "one gradient may come from several samples: their scales are not determined by it"


def moments_are_visible(setting: Setting) -> bool:
    """Whether the interpolation matrix has full column rank: then a gradient determines its sample modulo the ambiguity."""
    instance = setting.instance
    if instance.n_rows < instance.n_moments:
        return False
    return interpolation_rank(instance, seed=setting.seed).is_full


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("generic-global", holds, statement, evidence, arithmetic, REFERENCE)

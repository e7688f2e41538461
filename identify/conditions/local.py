"""C4, local uniqueness: the Jacobian of (S) has full column rank modulo the tangent space of the ambiguity group.

Then the solution is isolated (inverse function theorem): no other data near these give the same target. With generic
data it holds at almost all data sets.
"""

from __future__ import annotations

from identify.conditions.setting import Setting
from identify.exact.modular import Arithmetic, certified_rank
from identify.problem.verdict import Condition

REFERENCE = "inverse function theorem"


def local(setting: Setting) -> Condition:
    """Evaluate C4 in the coordinates of the setting. Cost O(rows · unknowns^2) modulo a prime."""
    instance = setting.instance
    unknowns, group = instance.n_unknowns, instance.n_samples * setting.scales_per_sample
    needed = unknowns - group
    evidence: dict = {"needed": needed, "unknowns": unknowns, "equations": instance.n_rows, "coordinates": instance.coordinates}
    if group:
        evidence["scale_freedom"] = group
    if setting.data_are_unknown:
        return Condition("local", None, "the data are needed: pass data=(X, c)", evidence, Arithmetic.NONE, REFERENCE)
    instance.refuse_if_too_large(unknowns, "the Jacobian")
    minors = None if instance.data_are_given else instance.minor_bound(needed)
    result = certified_rank(
        lambda q, rng: instance.at(q, rng).jacobian(),
        needed,
        seed=setting.seed,
        most=instance.image_bound,
        minors=minors,
        some_rows=lambda q, rng: instance.at(q, rng).some_neurons(needed, rng).jacobian(),
    )
    evidence |= {"rank": result.rank, "primes": list(result.primes)}
    if result.arithmetic is Arithmetic.MONTE_CARLO:
        evidence["error_bound"] = result.error_bound
    if result.is_full:
        statement = f"rank {result.rank} of {needed}: the data are isolated"
    else:
        statement = f"rank {result.rank} of {needed}: {needed - result.rank} directions of change are invisible to first order"
    return Condition("local", result.is_full, statement, evidence, result.arithmetic, REFERENCE)

r"""C1, interpolation: the target determines every visible moment of the data.

(S) is linear in the moments :math:`M_k = \sum_i c_i x_i^{\otimes k}`; when the interpolation matrix has full column
rank N they are determined, for *all* data. For a generic network and :math:`\sigma = z^p` its rank is the expected
:math:`\min(mD, N)` by the Alexander-Hirschowitz theorem on double points, with a short list of exceptions.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, comb

from identify.conditions.setting import Setting
from identify.exact.instance import Instance
from identify.exact.slices import interpolation_rank
from identify.problem.verdict import Arithmetic, Condition

REFERENCE = (
    "Shen, Wang, Qian & Lei 2026 (width condition); Alexander & Hirschowitz 1995; Brambilla & Ottaviani 2008, 2011 "
    "(polynomial interpolation)"
)
EXCEPTIONS = {(3, 5, 7): 34, (4, 3, 5): 14, (4, 4, 9): 34, (4, 5, 14): 69}
"""(p, D, m): the rank where it is one less than expected (Alexander & Hirschowitz 1995)."""
SEARCH_LIMIT = 800
"""Largest N for which the width that would suffice is computed rather than counted."""


def generic_rank(degree: int, inputs: int, width: int) -> int:
    r"""Rank of the first-layer interpolation matrix for :math:`\sigma = z^p`, no bias, and a generic network.

    Parameters
    ----------
    degree, inputs, width
        p >= 2, D >= 1, m >= 1.

    Examples
    --------
    >>> [generic_rank(3, 5, m) for m in (6, 7, 8)]
    [30, 34, 35]
    """
    total = comb(inputs + degree - 1, degree)
    if degree == 2:
        return total - comb(max(inputs - width, -1) + 1, 2)
    return EXCEPTIONS.get((degree, inputs, width), min(width * inputs, total))


def generic_width(degree: int, inputs: int) -> int:
    """The smallest width with full generic rank for sigma = z^p: the width threshold of Shen et al. (2026).

    Examples
    --------
    >>> generic_width(3, 5), generic_width(4, 5), generic_width(2, 4)
    (8, 15, 4)
    """
    total = comb(inputs + degree - 1, degree)
    width = ceil(total / inputs)
    while generic_rank(degree, inputs, width) < total:
        width += 1
    return width


def interpolation(setting: Setting) -> Condition:
    """Evaluate C1 in the coordinates of the setting. Cost modulo a prime: :func:`identify.exact.slices.expected_work`."""
    instance = setting.instance
    N, rows = instance.n_moments, instance.n_rows
    evidence: dict = {"rank": min(N, rows), "needed": N, "equations": rows, "coordinates": instance.coordinates}
    if setting.system is not None:
        evidence["width"] = instance.width
        evidence["effective_width"] = setting.system.network.distinct_directions()
    if rows < N:
        evidence["rank_is_upper_bound"] = True
        evidence.update(width_needed(instance))
        statement = (
            f"{rows} independent equations at most, for {N} moments: the moments of the data are not determined by the "
            f"target alone; {_advice(evidence)}"
        )
        return Condition("interpolation", False, statement, evidence, Arithmetic.PROOF, REFERENCE)
    result = interpolation_rank(instance, seed=setting.seed)
    evidence |= {"rank": result.rank, "primes": list(result.primes)}
    if result.is_full:
        if setting.data_are_unknown and setting.independence is Arithmetic.ASSUMED:
            statement, arithmetic = f"rank {N} of {N} on the numerical row space of the target", Arithmetic.ASSUMED
        else:
            statement, arithmetic = f"rank {N} of {N}: the target determines every visible moment of the data", Arithmetic.PROOF
        return Condition("interpolation", True, statement, evidence, arithmetic, REFERENCE)
    evidence |= width_needed(instance)
    statement = (
        f"rank {result.rank} of {N}: a {N - result.rank}-dimensional space of moments is invisible to this target; {_advice(evidence)}"
    )
    return Condition("interpolation", False, statement, evidence, Arithmetic.EVIDENCE, REFERENCE)


def width_needed(instance: Instance) -> dict:
    """The width at which a generic network of this kind has full interpolation rank, and how it is known."""
    D = instance.coordinates + int(instance.observed.bias)
    if instance.activation.is_monomial and instance.n_outputs == 1 and instance.observed.W and instance.has_bias == instance.observed.bias:
        return {"width_needed": generic_width(instance.activation.degree, D), "width_needed_by": "Alexander-Hirschowitz theorem"}
    N = instance.n_moments
    width = ceil(N * instance.width / instance.n_rows)
    if N > SEARCH_LIMIT:
        return {"width_needed": width, "width_needed_by": "count of equations, a lower bound"}
    for candidate in range(width, 2 * width + instance.n_inputs + 2):
        generic = replace(instance, width=candidate, W=None, A=None, offsets=None, X=None, c=None, basis=None)
        if interpolation_rank(generic, seed=candidate, trials=1).is_full:
            return {"width_needed": candidate, "width_needed_by": "exact rank of a random network"}
    return {"width_needed": None, "width_needed_by": f"none up to {candidate} found"}


def _advice(evidence: dict) -> str:
    if evidence["width_needed"] is None:
        return "no larger width was found to help"
    return f"a generic network needs width {evidence['width_needed']} ({evidence['width_needed_by']})"

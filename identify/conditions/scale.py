r"""C3, scale and sign: the moments fix each sample within its line, up to the ambiguity group.

Given the terms :math:`c_i x_i^{\otimes k}` for the degrees k of condition C2, what is left per sample is
:math:`(t_i x_i, t_i^{-k} c_i)` with :math:`t_i^{k-l} = 1` for all of these degrees. The moment of another degree l keeps
its value exactly when :math:`\sum_i (t_i^{l-k} - 1)\, c_i x_i^{\otimes l} = 0`. Where the :math:`c_i x_i^{\otimes l}` are linearly
independent this forces :math:`t_i^{l-k} = 1` for every sample; the degrees for which they are must generate the whole
group. With lifted inputs (x, 1) the last coordinate fixes the scale at once.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from identify.conditions.setting import Setting
from identify.exact.instance import Instance
from identify.exact.modular import Arithmetic, certified_rank
from identify.problem.activation import root_group
from identify.problem.interpolation import moment_count
from identify.problem.verdict import Condition

REFERENCE = "comparison of degrees (elementary); the group is listed under ambiguity"


def scale(setting: Setting, decomposition: Condition) -> Condition:
    """Evaluate C3, given C2 (its evidence lists the degrees that it fixes)."""
    instance = setting.instance
    degrees, n = instance.degrees, instance.n_samples
    known = decomposition.evidence.get("fixed_degrees", [instance.activation.degree])
    evidence: dict = {"degrees": list(degrees), "group": setting.ambiguity.group}
    if setting.is_lifted:
        return _condition(True, "the constant coordinate of (x, 1) fixes the scale of each sample", evidence)
    if setting.scales_per_sample:
        fixed = "; the margins fix its size" if setting.ambiguity.group != "scaling" else ""
        return _condition(True, f"one visible degree: each sample is determined up to its scale{fixed}", evidence)
    fixing, arithmetic = list(known), Arithmetic.PROOF
    primes: list[int] = []
    for k in degrees:
        if k in known or root_group(sorted(fixing)) == root_group(degrees):
            continue
        if k and setting.independence is not Arithmetic.NONE:
            fixing.append(k)
            arithmetic = Arithmetic.ASSUMED if setting.independence is Arithmetic.ASSUMED else arithmetic
        elif setting.data_are_unknown or n > moment_count(instance.coordinates, (k,), instance.n_outputs):
            continue
        elif not instance.data_are_given:  # generic points of a cone that spans its space: as many as fit are independent
            fixing.append(k)
        else:
            result = certified_rank(partial(_terms, instance, k), n, seed=setting.seed + k)
            if result.is_full:
                fixing.append(k)
                primes += result.primes
    evidence |= {"fixing_degrees": sorted(fixing), "primes": primes}
    if root_group(sorted(fixing)) == root_group(degrees):
        statement = f"the moments of degree {', '.join(map(str, sorted(fixing)))} fix the scale of each sample"
        return _condition(True, statement, evidence, arithmetic)
    statement = f"{n} samples are too many for the other moments (degrees {', '.join(map(str, degrees))}) to fix every scale"
    return _condition(False, statement, evidence, Arithmetic.EVIDENCE)


def _terms(instance: Instance, degree: int, q: int, rng: np.random.Generator) -> np.ndarray:
    return instance.at(q, rng).features((degree,), multipliers=True, rng=rng)


def _condition(holds: bool, statement: str, evidence: dict, arithmetic: Arithmetic = Arithmetic.PROOF) -> Condition:
    return Condition("scale", holds, statement, evidence, arithmetic, REFERENCE)

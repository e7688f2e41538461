r"""C3, scale and sign: the lower moments fix each sample within its line, up to the ambiguity group.

Given the terms :math:`c_i x_i^{\otimes p}`, what is left per sample is :math:`(t_i x_i, t_i^{-p} c_i)`. The moment of a
lower degree k keeps its value exactly when :math:`\sum_i (t_i^{k-p} - 1)\, c_i x_i^{\otimes k} = 0`. Where the
:math:`c_i x_i^{\otimes k}` are linearly independent this forces :math:`t_i^{p-k} = 1` for every sample; the degrees for
which they are must generate the whole group. With lifted inputs (x, 1) the last coordinate fixes the scale at once.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from identify.activation import root_group
from identify.conditions.setting import Setting
from identify.exact.instance import Instance
from identify.exact.interpolation import moment_count
from identify.exact.modular import Arithmetic, certified_rank
from identify.report.verdict import Condition

REFERENCE = "comparison of degrees (elementary); the group is listed under ambiguity"


def scale(setting: Setting) -> Condition:
    """Evaluate C3."""
    instance = setting.instance
    degrees, p, n = instance.degrees, instance.activation.degree, instance.n_samples
    evidence: dict = {"degrees": list(degrees), "group": setting.ambiguity.group}
    if setting.is_lifted:
        return _condition(True, "the constant coordinate of (x, 1) fixes the scale of each sample", evidence)
    if len(degrees) == 1:
        fixed = "; the margins fix its size" if setting.ambiguity.group != "scaling" else ""
        return _condition(True, f"one visible degree: each sample is determined up to its scale{fixed}", evidence)
    fixing: list[int] = []
    primes: list[int] = []
    for k in degrees[:-1]:
        if k and setting.independence is not Arithmetic.NONE or n == 1:
            fixing.append(k)
        elif not setting.data_are_unknown and n <= moment_count(instance.coordinates, (k,), instance.n_outputs):
            result = certified_rank(partial(_tensor_powers, instance, k), n, seed=setting.seed + k)
            if result.is_full:
                fixing.append(k)
                primes += result.primes
    evidence |= {"fixing_degrees": fixing, "primes": primes}
    assumed = setting.independence is Arithmetic.ASSUMED
    if fixing and root_group((*fixing, p)) == root_group(degrees):
        statement = f"the moments of degree {', '.join(map(str, fixing))} fix the scale of each sample"
        return _condition(True, statement, evidence, Arithmetic.ASSUMED if assumed else Arithmetic.PROOF)
    statement = f"{n} samples are too many for the lower moments (degrees {', '.join(map(str, degrees[:-1]))}) to fix every scale"
    return _condition(False, statement, evidence, Arithmetic.EVIDENCE)


def _tensor_powers(instance: Instance, degree: int, q: int, rng: np.random.Generator) -> np.ndarray:
    return instance.at(q, rng).tensor_powers(degree)


def _condition(holds: bool, statement: str, evidence: dict, arithmetic: Arithmetic = Arithmetic.PROOF) -> Condition:
    return Condition("scale", holds, statement, evidence, arithmetic, REFERENCE)

r"""C6, counts: a map into a space of dimension r cannot determine more than r numbers.

The target is a linear image of the moments, so the set of all targets has dimension at most the number N of moments and
at most the number of independent equations. If the data have more parameters, modulo the ambiguity group, every
generic data set lies in a family of positive dimension with the same target.
"""

from __future__ import annotations

from identify.conditions.setting import Setting
from identify.exact.modular import Arithmetic
from identify.problem.verdict import Condition

REFERENCE = "dimension of the image and of generic fibres (generic smoothness in characteristic 0)"


def count(setting: Setting) -> Condition:
    """Evaluate C6 by counting; it holds when counting does not exclude uniqueness."""
    instance = setting.instance
    parameters = instance.n_samples * (instance.coordinates + instance.n_outputs - setting.scales_per_sample)
    bound = instance.image_bound
    evidence = {"parameters": parameters, "moments": instance.n_moments, "equations": instance.n_rows, "excess": max(parameters - bound, 0)}
    if parameters <= bound:
        statement = f"{parameters} parameters, at most {bound} independent numbers in the target: counting does not exclude uniqueness"
        return Condition("count", True, statement, evidence, Arithmetic.PROOF, REFERENCE)
    statement = f"{parameters} parameters, but at most {bound} independent numbers in the target: {parameters - bound} too few"
    return Condition("count", False, statement, evidence, Arithmetic.PROOF, REFERENCE)

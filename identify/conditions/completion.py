r"""Completion: the target and the number of samples together determine the visible moments, if the target alone does not.

Moments of at most n samples with this target are y + K s, y those of the data and K a basis of the kernel of the interpolation
matrix. Their flattenings have rank at most n, so minors of size n + 1 vanish. s = 0 is a solution of these equations; if their Macaulay
matrix has corank one in some degree, it is the only one, and every such data set has the moments y. Then decomposition and scale decide,
as after interpolation.
"""

from __future__ import annotations

import numpy as np

from identify.base.errors import OutOfTimeError
from identify.base.limits import TooLargeError
from identify.conditions.macaulay import point_of
from identify.conditions.setting import Setting
from identify.exact.completion import flattenings, minors, minors_seconds, monomials
from identify.exact.instance import Instance
from identify.exact.macaulay import coranks, step_seconds
from identify.exact.modular import Arithmetic
from identify.problem.verdict import Condition

REFERENCE = "determinantal equations of secant varieties (Landsberg 2012, ch. 7); Macaulay 1916"
LARGEST = 1200
"""Monomials in the invisible moments, of degree n + 1 at most, for which minors are computed."""
SAMPLES = 6
"""Samples up to which the determinants are computed: their number of terms grows as 2^n."""
MORE = 2
"""Degrees beyond n + 1 that are looked at, as long as the corank falls and each takes less than :data:`LONGEST`."""
LONGEST = 5.0
"""Seconds."""


def invisible(instance: Instance) -> int:
    """The least number of moments that the target does not show, by counting."""
    return max(instance.n_moments - instance.n_rows, 0)


def may_complete(setting: Setting) -> bool:
    """Whether sizes allow to look at the minors."""
    instance = setting.instance
    n, unseen = instance.n_samples, max(invisible(instance), 1)
    if setting.data_are_unknown or n > SAMPLES or instance.n_moments > LARGEST:
        return False
    if monomials(n, unseen) > LARGEST:
        return False
    return bool(flattenings(instance.degrees, instance.coordinates, instance.n_outputs, n))


def completion(setting: Setting) -> Condition:
    """Evaluate it in the coordinates of the setting. Cost: :func:`completion_seconds`."""
    instance = setting.instance
    n = instance.n_samples
    if not may_complete(setting):
        return _condition(None, "the minors of the moments are too many, or there are none", {}, Arithmetic.NONE)
    rng = np.random.default_rng([setting.seed, 0xC0BE])
    point = point_of(instance, rng)
    evidence: dict = {"needed": 1, "primes": [point.q], "coordinates": instance.coordinates, "size": n + 1}
    parts = flattenings(instance.degrees, instance.coordinates, instance.n_outputs, n)
    found = minors(point, parts, rng, largest=LARGEST)
    if found is None:
        return _condition(None, "the minors of the moments are too many", evidence, Arithmetic.NONE)
    module, forms = found
    evidence |= {"invisible_moments": module.variables, "equations": len(forms), "degrees": [], "coranks": []}
    statement = "no degree was looked at"
    try:
        for step in coranks(module, [forms], point.q):
            evidence["degrees"].append(step.degree)
            evidence["coranks"].append(step.corank)
            if step.corank == 1:
                evidence |= {"degree": step.degree, "corank": 1}
                moments = "one moment is" if module.variables == 1 else f"{module.variables} moments are"
                statement = (
                    f"corank 1 in degree {step.degree}: {moments} invisible to the target, but data sets of at most {n} "
                    "samples with this target have the same moments"
                )
                return _condition(True, statement, evidence, Arithmetic.PROOF)
            statement = f"corank {step.corank} in degree {step.degree}, 1 needed: other moments of {n} samples may give the same target"
            size = module.count(step.degree + 1)
            falls = len(evidence["coranks"]) < 2 or step.corank < evidence["coranks"][-2]
            if step.degree >= n + 1 + MORE or not falls or step_seconds(size, size, size) > LONGEST:
                break
    except (TooLargeError, OutOfTimeError) as error:
        statement = f"{statement}; {error}"
    return _condition(False, statement, evidence, Arithmetic.EVIDENCE)


def completion_seconds(setting: Setting) -> float:
    """An estimate of the CPU time from sizes alone: of the minors, and of the degrees that are looked at; 0 if they are not."""
    if not may_complete(setting):
        return 0.0
    n, size = setting.instance.n_samples, max(invisible(setting.instance), 1)
    count = monomials(n, size)
    return minors_seconds(n, size) + step_seconds(count, count, count)


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("completion", holds, statement, evidence, arithmetic, REFERENCE)

r"""One sample, first layer observed: one unknown, decided exactly.

The rows of the update are multiples of the sample, so a competitor is :math:`x' = t x` (with observed biases t = 1). If the second layer
is observed, :math:`\gamma'_o\,\sigma(w_j\cdot x' + b_j) = \gamma_o\,\sigma(w_j\cdot x + b_j)` has rank one, so
:math:`\gamma' = \lambda\gamma`; with one output that holds anyway. The rest of the equations is :math:`\lambda\, v(t) = v(1)` for a
vector v of polynomials. So t is a common root of the :math:`v_i(t)\, v_k(1) - v_k(t)\, v_i(1)`, k any index with
:math:`v_k(1) \ne 0`, and :math:`v_k(t) \ne 0`; and each such root is a solution. The greatest common divisor of these polynomials has
finitely many roots, and Sturm's theorem counts the real ones.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from flint import fmpq, fmpq_poly

from identify.conditions.setting import Setting
from identify.conditions.witnesses.families import change_of_target
from identify.exact.modular import Arithmetic
from identify.exact.univariate import a_real_root, common_divisor, composed, fractions_of, real_roots, without_roots_of
from identify.problem.activation import root_group
from identify.problem.verdict import Condition, Witness

REFERENCE = "rank of the update of one sample (elementary); Sturm 1829 (real roots)"
DRAWN = 999
"""Size of the integers that stand for generic numbers."""


def applies(setting: Setting) -> bool:
    """Whether the question is about one sample in one unknown."""
    instance = setting.instance
    return (
        instance.n_samples == 1
        and instance.observed.W
        and not instance.observed.bias
        and setting.independence is Arithmetic.PROOF
        and not setting.data_are_unknown
        and (instance.observed.a or instance.n_outputs == 1)
    )


def one_sample(setting: Setting) -> Condition:
    """Decide it, in exact rational arithmetic. Cost O(m) greatest common divisors of polynomials of degree p."""
    instance = setting.instance
    if not applies(setting):
        return _condition(None, "speaks of one sample, with an observed first layer and one output or both layers", {}, Arithmetic.NONE)
    v = _vector(setting)
    lead = next((k for k, f in enumerate(v) if f(1) != 0), None)
    if lead is None:
        return _condition(None, "the second layer of the target is zero, and shows no multiplier", {}, Arithmetic.NONE)
    common = common_divisor(f * v[lead](1) - v[lead] * f(1) for f in v)
    if common.degree() < 0:
        return _condition(None, "every multiple of the sample gives this target", {}, Arithmetic.NONE)
    solutions = without_roots_of(common, v[lead])
    others = without_roots_of(solutions, fmpq_poly([-1, 1]))
    if not instance.has_bias and root_group(instance.degrees) in ("sign", "scaling"):
        others = without_roots_of(others, fmpq_poly([1, 1]))
    count = real_roots(others)
    evidence = {"polynomial": fractions_of(solutions), "other_factor": fractions_of(others), "other_real_solutions": count}
    if others.degree() == 0:
        return _condition(True, "no other multiple of the sample gives this target, real or complex", evidence, Arithmetic.PROOF)
    if setting.scope.data != "this data":
        statement = f"{others.degree()} other complex multiples of a random sample give the same target"
        return _condition(False, statement, evidence, Arithmetic.EVIDENCE)
    if not count:
        statement = f"no other real multiple of the sample gives this target ({others.degree()} complex ones do)"
        return _condition(True, statement, evidence, Arithmetic.PROOF)
    t = a_real_root(others)
    evidence["scale"] = t
    statement = f"{count} other real multiple{'s' * (count > 1)} of the sample, with other multipliers, give this target: one is {t:.6g} x"
    return _condition(False, statement, evidence, Arithmetic.PROOF)


def _vector(setting: Setting) -> list[fmpq_poly]:
    """v, of the given numbers, or of random integers in place of generic ones."""
    instance = setting.instance
    rng = np.random.default_rng([setting.seed, 0x15A])
    sigma, slope = instance.activation.coefficients, instance.activation.derivative()

    def numbers(given: np.ndarray | None, *shape: int) -> np.ndarray:
        return _exactly(rng.integers(-DRAWN, DRAWN + 1, shape) if given is None else given)

    m, d, C = instance.width, instance.n_inputs, instance.n_outputs
    W, A, x, c = numbers(instance.W, m, d), numbers(instance.A, C, m), numbers(instance.X, 1, d)[0], numbers(instance.c, 1, C)[0]
    offsets = numbers(instance.offsets, m) if instance.has_bias else _exactly(np.zeros(m))
    z, g = W @ x, c @ A
    first = [fmpq_poly([0, 1]) * composed(slope, a, b) * _scalar(k) for a, b, k in zip(z, offsets, g, strict=True) if k]
    second = [composed(sigma, a, b) for a, b in zip(z, offsets, strict=True)] if instance.observed.a else []
    return second + first if any(f(1) != 0 for f in second) or not second else []


def another_multiple(setting: Setting, found: Condition) -> tuple[Condition, Witness] | None:
    """The other data, in doubles, if ``found`` has proved that there are some; None also if more than (S) is in force."""
    refuted = found.holds is False and found.arithmetic.is_rigorous
    if not refuted or setting.system is None or setting.data is None or not setting.equations_are_complete:
        return None
    X, c = setting.data
    t, count = found.evidence["scale"], found.evidence["other_real_solutions"]
    lead = next(f for f in _vector(setting) if f(1) != 0)
    value = lead(1) / lead(_scalar(Fraction(t)))
    example = t * X, float(Fraction(int(value.p), int(value.q))) * c
    description = (
        "a multiple of the sample, with other multipliers, has exactly the same target: the factor is a real root of a polynomial over "
        f"the rationals, of which Sturm's theorem counts {count}; the numbers shown are rounded"
    )
    residual = change_of_target(setting.system, example, setting.data)
    witness = Witness("multiple", 0, description, None, setting.data, example, residual)
    evidence = {"kind": witness.kind, "dimension": 0, "residual": residual, "count": count, "polynomial": found.evidence["other_factor"]}
    statement = f"other data give the same target: {count} other multiple{'s' * (count > 1)} of the sample, counted exactly"
    return Condition("witness", True, statement, evidence, Arithmetic.PROOF, REFERENCE), witness


def _exactly(values: np.ndarray) -> np.ndarray:
    out = np.empty(values.shape, dtype=object)
    for index, value in np.ndenumerate(values):
        out[index] = Fraction(value.item())
    return out


def _scalar(value: Fraction) -> fmpq:
    return fmpq(value.numerator, value.denominator)


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("one-sample", holds, statement, evidence, arithmetic, REFERENCE)

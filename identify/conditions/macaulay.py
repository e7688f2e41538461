r"""Separation: every sample of every solution solves a small polynomial system, and a corank bounds the number of its solutions.

If the first-layer update has rank n, every sample :math:`x'` of every data set with at most n samples and this target satisfies
:math:`(A^\top\gamma')\circ\sigma'(Wx' + b) \in \operatorname{col}(G_1)`, in coordinates on the row space of :math:`G_1`; if the second
update has rank n, it satisfies :math:`\sigma(Wx' + b) \in \operatorname{row}(G_2)`. The n given samples are solutions. They are n
independent functionals on the forms of each degree that vanish on all multiples of the equations. If there are no more in some degree, each
solution is a combination of these, and that forces it to be one of the given samples, up to the group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from math import comb

import numpy as np
from flint import fmpq, fmpq_mat

from identify.base.errors import OutOfTimeError
from identify.base.limits import TooLargeError, readable_seconds
from identify.conditions.multiple_points import Points, are_simple, multiple_points
from identify.conditions.scale import scale
from identify.conditions.setting import Setting
from identify.exact.instance import Instance, Residues
from identify.exact.macaulay import Generators, Module, Step, coranks, step_seconds
from identify.exact.modular import Arithmetic, multiply, random_prime, rank
from identify.exact.single import first_layer, second_layer, weight_of
from identify.problem.activation import horner
from identify.problem.verdict import Condition

REFERENCE = "Macaulay 1916 (inverse systems); separation of samples by the column space of the update (this package)"
LONGEST = 60.0
"""Seconds: a degree that is expected to take longer is not looked at."""
MORE = 3
"""Degrees that are looked at beyond the one in which general equations of these sizes reach corank n; beyond the first if none does."""
DISTINCT = 0.6
"""Of the products of a basis with single variables, how many are distinct monomials (measured: 0.48 to 0.6)."""
DEGREES = 24
"""Degrees that an estimate looks at."""


def applies(setting: Setting) -> bool:
    """Whether sizes and observed layers give equations of a single sample."""
    shape = Shape.of(setting)
    return not setting.data_are_unknown and bool(shape.first or shape.second)


def macaulay(setting: Setting) -> Condition:
    """Evaluate Theorem C, in the coordinates of the setting. Cost: :func:`macaulay_seconds`."""
    instance, shape = setting.instance, Shape.of(setting)
    if setting.data_are_unknown:
        return _open("the data are needed: pass data=(X, c)")
    if not applies(setting):
        return _open("the equations of a single sample need independent samples and the first layer, or as many outputs as samples")
    point = point_of(instance, np.random.default_rng([setting.seed, 0x3ACA]))
    fixed = _multipliers(setting, point, shape)
    if fixed is None:
        return _open("the target does not determine the multipliers, given the samples")
    if not scale(setting, _fixing(fixed)).is_proved:
        return _open("the other moments do not fix the scale of each sample")
    if not shape.first:
        is_a_point = shape.module.weight == 1 and not shape.module.lowest  # zero is one like others, with the constant as a monomial
        if not is_a_point and not point.X.any(axis=1).all():
            return _open("a sample is zero, and no functional on the monomials of the equations stands for it")
        if rank(point.lifted_X if instance.has_bias else point.X, point.q) == instance.n_samples:
            shape = replace(shape, needed=max(2, shape.module.lowest + shape.module.weight))
    return _counted(setting, point, shape)


def point_of(instance: Instance, rng: np.random.Generator) -> Residues:
    """The instance modulo a random prime that divides no coefficient of the activation."""
    while True:
        q = random_prime(rng)
        if all(s.denominator % q and (s.numerator % q or not s) for s in instance.activation.coefficients):
            return instance.at(q, rng)


@dataclass(frozen=True)
class Shape:
    """Sizes of the system of a single sample.

    Attributes
    ----------
    first, second
        Forms that the first and the second layer give, at most; 0 if the layer does not give any.
    needed
        The least degree in which n functionals prove that there are no other solutions.
    start
        The first degree in which every form has a multiple.
    """

    module: Module
    first: int
    second: int
    first_degree: int
    second_degree: int
    needed: int
    start: int

    @classmethod
    def of(cls, setting: Setting) -> Shape:
        instance = setting.instance
        n, N, activation = instance.n_samples, instance.coordinates, instance.activation
        independent = setting.independence is Arithmetic.PROOF
        first = max(instance.width - n, 0) if instance.observed.W and independent else 0
        second = max(instance.width - n, 0) if instance.observed.a and n <= instance.n_outputs else 0
        p, slopes, values = activation.degree, [k - 1 for k in activation.support], list(activation.support)
        if activation.constant:
            values = [0, *values]
        outputs = min(instance.n_outputs, instance.width) if first else 1
        if instance.has_bias:
            needed = 2 if independent or n == 1 else max(n, 2)
            return cls(Module(max(N, 1), outputs), first, second, p - 1, p, needed, p if second else p - 1)
        weight = weight_of(slopes + [k - 1 for k in values] * bool(second)) if first else weight_of(values)
        lowest = _regularity(N, outputs, first, slopes[0]) if first else _regularity(N, 1, second, values[0])
        if weight == 0:
            lowest = 0
        needed = max(2, lowest + weight) if independent or n == 1 else max(2, n * max(weight, 1) + lowest)
        starts = [p - 1 + max(lowest - slopes[0], 0)] * bool(first) + [p + max(lowest - values[0], 0)] * bool(second)
        return cls(Module(N, outputs, weight, lowest), first, second, p - 1, p, needed, max(starts, default=p))

    def corank(self, degree: int) -> int:
        """The corank in that degree if the equations were general ones of these sizes; not positive if they have no solutions then."""
        m = self.module
        parts = [(self.first, self.first_degree), (self.second, self.second_degree)]
        parts = [(count, size) for count, size in parts if count]
        if m.outputs > 1:
            taken = sum(count * (m.outputs if size == self.second_degree else 1) * self._monomials(degree - size) for count, size in parts)
            return m.count(degree) - taken
        series = {0: 1}
        for count, size in parts:
            series = _times(series, count, size, degree)
        left_out = self._monomials(degree) - m.count(degree)
        return sum(value * self._monomials(degree - s) for s, value in series.items()) - left_out

    def _monomials(self, degree: int) -> int:
        m = self.module
        return Module(m.variables, 1, m.weight).count(degree) if degree >= 0 else 0


def _times(series: dict[int, int], count: int, size: int, most: int) -> dict[int, int]:
    """(1 - t^size)^count times a polynomial, up to t^most."""
    out: dict[int, int] = {}
    for s, value in series.items():
        for k in range(min(count, (most - s) // size) + 1):
            out[s + k * size] = out.get(s + k * size, 0) + value * (-1) ** k * comb(count, k)
    return out


def _regularity(variables: int, outputs: int, forms: int, degree: int) -> int:
    """The degree from which that many general forms of that degree leave no monomials; ``degree`` if there are too few."""
    if not degree or forms < variables + outputs - 1:
        return degree
    for k in range(degree, DEGREES):
        left = outputs * comb(variables + k - 1, k) - forms * comb(variables + k - degree - 1, k - degree)
        if outputs == 1:
            terms = _times({0: 1}, forms, degree, k)
            left = sum(value * comb(variables + k - s - 1, k - s) for s, value in terms.items())
        if left <= 0:
            return k
    return degree


def macaulay_seconds(setting: Setting) -> float:
    """An estimate of the CPU time from sizes alone: of the degrees that general equations of these sizes need; 0 if it does not apply."""
    if not applies(setting) or setting.instance.coordinates == 0:
        return 0.0
    return _expected(setting, Shape.of(setting))[1]


def _expected(setting: Setting, shape: Shape) -> tuple[int | None, float]:
    """The degree in which general equations of these sizes have corank n, if any, and the CPU time up to there."""
    instance = setting.instance
    total, left, border, found = 0.0, None, 0, None
    variables = shape.module.variables + bool(shape.module.weight)
    first = shape.start
    for degree in range(first, first + DEGREES):
        size = max(shape.corank(degree), instance.n_samples)
        columns = shape.module.count(degree)
        rows = columns
        if left is not None:
            columns = min(columns, int(DISTINCT * variables * left) + 1)
            rows = variables * border
        total += step_seconds(rows, columns, columns)
        left, border = size, max(columns - size, 0)
        if size == instance.n_samples and degree >= shape.needed:
            found = degree
        if found is not None or total > LONGEST:
            break
    return found, total


def _counted(setting: Setting, point: Residues, shape: Shape) -> Condition:
    """The coranks, degree by degree."""
    n, q = setting.instance.n_samples, point.q
    evidence: dict = {"needed": n, "coordinates": setting.instance.coordinates, "primes": [q]}
    if setting.instance.coordinates == 0:
        return _condition(True, "the update of the first layer and of its biases shows the only sample", evidence, Arithmetic.PROOF)
    expected, seconds = _expected(setting, shape)
    if seconds > LONGEST:
        return _open(f"not looked at: general equations of these sizes take more than {readable_seconds(LONGEST)}", evidence)
    last = (shape.start if expected is None else expected) + MORE
    forms = generators(setting.instance, point, shape)
    if forms is None:
        return _open("the updates do not have rank n modulo the prime", evidence)
    module, parts = forms
    evidence |= {
        "equations": sum(map(len, parts)),
        "variables": module.variables,
        "multipliers": module.outputs,
        "weight": module.weight,
        "lowest": module.lowest,
        "degrees": [],
        "coranks": [],
        "matrices": [],
    }
    why = "no degree was looked at"
    counted = cache(lambda: _points(setting, point, shape, module))
    try:
        for step in coranks(module, parts, q):
            _note(evidence, step)
            if step.corank == n and step.degree >= shape.needed:
                evidence |= {"degree": step.degree, "corank": n}
                these = "this sample" if n == 1 else f"these {n} samples"
                group = ", up to the ambiguity" if module.weight != 1 else ""
                statement = f"corank {n} in degree {step.degree}: the equations of a single sample have no solution but {these}{group}"
                return _condition(True, statement, evidence, Arithmetic.PROOF)
            if step.corank > n:  # are these the samples, counted more than once?
                points = counted()
                if points is not None and step.degree >= points.least_degree(module.weight, module.lowest):
                    if step.corank == sum(points.multiplicities) and (module.weight < 2 or step.degree % module.weight == 0):
                        return _by_multiplicities(points, step, evidence)
                elif points is not None:
                    last = max(last, min(points.least_degree(module.weight, module.lowest) + module.weight, module.highest))
            why = f"corank {step.corank} in degree {step.degree}, {n} needed: the equations of a single sample may have other solutions"
            if step.degree >= last:
                break
            if _seconds_of_next(module, step) > LONGEST:
                why += f"; the next degree takes more than {readable_seconds(LONGEST)}"
                break
    except (TooLargeError, OutOfTimeError) as error:
        why = f"{why}; {error}"
    if not evidence["coranks"]:
        return _open(why, evidence)
    return _condition(False, why, evidence, Arithmetic.EVIDENCE)


def _points(setting: Setting, point: Residues, shape: Shape, module: Module) -> Points | None:
    outputs = independent_outputs(setting.instance, point) if shape.first else [0]
    if len(outputs) == 1 and are_simple(point, outputs[0], bool(shape.first), bool(shape.second)):
        return None
    return multiple_points(setting, outputs, bool(shape.first), bool(shape.second), module.weight, module.lowest)


def _by_multiplicities(points: Points, step: Step, evidence: dict) -> Condition:
    """The samples are all solutions, some of them more than once."""
    times = ", ".join(map(str, points.multiplicities))
    evidence |= {"degree": step.degree, "corank": step.corank}
    evidence |= {"multiplicities": list(points.multiplicities), "orders": list(points.orders)}
    statement = (
        f"corank {step.corank} in degree {step.degree}: the equations of a single sample have no solution but these samples, which "
        f"solve them {times} times"
    )
    return _condition(True, statement, evidence, Arithmetic.PROOF)


def _note(evidence: dict, step: Step) -> None:
    evidence["degrees"].append(step.degree)
    evidence["coranks"].append(step.corank)
    evidence["matrices"].append([step.rows, step.columns])


def _seconds_of_next(module: Module, step: Step) -> float:
    variables = module.variables + bool(module.weight)
    columns = min(int(DISTINCT * variables * step.corank) + 1, module.count(step.degree + 1))
    return step_seconds(variables * (step.columns - step.corank), columns, columns)


def generators(instance: Instance, point: Residues, shape: Shape) -> tuple[Module, list[Generators]] | None:
    """The forms modulo the prime, and the module in which their multiples are taken; None if a rank is too small modulo the prime."""
    chosen = independent_outputs(instance, point) if shape.first else [0]
    module = Module(shape.module.variables, len(chosen), shape.module.weight, shape.module.lowest)
    parts = []
    if shape.first:
        parts.append(first_layer(point, chosen))
    if shape.second:
        of_second = second_layer(point, len(chosen))
        if of_second is not None or not shape.first:
            parts.append(of_second)
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or not all(map(len, found)):
        return None
    return module, found


def independent_outputs(instance: Instance, point: Residues) -> list[int]:
    """Rows of A that span all of them over the rationals: as few as possible."""
    outputs = list(range(len(point.A)))
    chosen: list[int] = []
    for o in outputs:
        if rank(point.A[[*chosen, o]], point.q) > len(chosen):
            chosen.append(o)
    if len(chosen) == len(outputs) or instance.A is None or len(chosen) == point.A.shape[1]:
        return chosen
    exact = fmpq_mat(len(instance.A), instance.A.shape[1], [fmpq(*value.as_integer_ratio()) for value in instance.A.ravel().tolist()])
    return chosen if exact.rank() == len(chosen) else outputs


def _multipliers(setting: Setting, point: Residues, shape: Shape) -> list[int] | None:
    """The degrees whose terms are determined once each sample is known up to the group of the equations; None if they may not be."""
    instance, degrees = setting.instance, list(setting.instance.degrees)
    if not shape.first:
        return degrees  # the values of the neurons at the samples are independent
    q, known = point.q, degrees if instance.has_bias else list(instance.activation.support)
    z = (multiply(point.X, point.W.T, q) + point.offsets) % q
    slopes = horner(point.derivatives[1], z, point.reduce)
    if all(rank(point.A[:, live != 0], q) == len(point.A) for live in slopes):
        return known
    weights = shape.module.weight, weight_of(degrees)
    same = instance.has_bias or weights[0] == weights[1]
    if instance.observed.a and same and rank(_multiplier_columns(point), q) == point.c.size:
        return degrees
    return None


def _multiplier_columns(point: Residues) -> np.ndarray:
    """The columns of the Jacobian that belong to the multipliers."""
    size, C = point.X.shape[1] + point.c.shape[1], point.c.shape[1]
    jacobian = point.jacobian()
    return jacobian[:, [i * size + k for i in range(len(point.X)) for k in range(size - C, size)]]


def _fixing(degrees: list[int]) -> Condition:
    return _condition(True, "", {"fixed_degrees": degrees}, Arithmetic.PROOF)


def _open(statement: str, evidence: dict | None = None) -> Condition:
    return _condition(None, statement, evidence or {}, Arithmetic.NONE)


def _condition(holds: bool | None, statement: str, evidence: dict, arithmetic: Arithmetic) -> Condition:
    return Condition("macaulay", holds, statement, evidence, arithmetic, REFERENCE)

r"""C7, witnesses of non-uniqueness: other data with the same target.

Kinds, tried in this order:

* *rotation* and *scaling*: families in closed form (:mod:`identify.conditions.witnesses.families`).
* *fibre*: the Jacobian has the largest rank that it can have anywhere, yet not full column rank. By the constant rank
  theorem the data then lie in a manifold of data with the same target; a curve in it is followed in floating point to
  show it (:mod:`identify.conditions.witnesses.curve`). Given data may have less rank than any data near them; then the same is
  asked of a part of them, which moves while all else stays (:mod:`identify.conditions.witnesses.parts`).
* *multipliers*: the gradients of given samples are dependent (:mod:`identify.conditions.witnesses.dependent`).

Isolated second solutions are another matter: see :mod:`identify.conditions.witnesses.second`.
"""

from __future__ import annotations

from identify.base.limits import OPERATIONS_PER_SECOND
from identify.conditions.count import count
from identify.conditions.setting import Setting
from identify.conditions.witnesses.curve import WORK_LIMIT, NoCurve, follow
from identify.conditions.witnesses.dependent import REFERENCE as DEPENDENT
from identify.conditions.witnesses.dependent import dependent_gradients
from identify.conditions.witnesses.families import LARGEST, Dimension, rotation, scaling
from identify.conditions.witnesses.parts import MAX_UNKNOWNS, moving_part
from identify.exact.modular import Arithmetic, certified_rank, certified_rank_seconds
from identify.problem.interpolation import moment_count
from identify.problem.verdict import Condition, Witness

ROTATION = "invariance of a quadratic form under its orthogonal group; Cayley 1846 for the parametrisation"
SCALING = "linear dependence of the lower moments (elementary)"
FIBRE = "constant rank theorem"
SHOWN = 1000
"""Samples of generic data up to which a family in closed form is shown by an example; where counting decides, more need none."""
CURVE_FACTORISATIONS, PARTS = 60, 8
"""For estimates: operations of the factorisations along a curve relative to rows · columns^2, and parts of the data that are tried."""


def witness(setting: Setting, jacobian_rank: Condition) -> tuple[Condition, Witness | None]:
    """Look for a proof that the data are not determined by (S); ``jacobian_rank`` is the condition ``local``."""
    instance = setting.instance
    n, degrees = instance.n_samples, instance.degrees
    if not setting.equations_are_complete:
        statement = "not looked for: equations beyond (S) are in force, and a family that solves (S) alone would prove nothing"
        return Condition("witness", None, statement, {}, Arithmetic.NONE, FIBRE), None
    if setting.data_are_unknown:
        statement = "not looked for: a family through data needs data, and whether any produce this target is not known; pass data=(X, c)"
        return Condition("witness", None, statement, {}, Arithmetic.NONE, FIBRE), None
    if n > SHOWN and setting.scope.data == "generic data" and count(setting).holds is False:
        return _by_count(setting)
    if instance.activation.degree == 2 and instance.n_outputs == 1 and n >= 2:
        return _family_condition(*rotation(setting), ROTATION)
    if len(degrees) == 2 and not setting.is_lifted and n > moment_count(instance.n_inputs, degrees[:1], instance.n_outputs):
        return _family_condition(*scaling(setting), SCALING)
    if jacobian_rank.holds is None and setting.scope.data == "generic data" and count(setting).holds is False:
        return _by_count(setting)
    if jacobian_rank.holds is not False:
        statement = "none: the data are isolated" if jacobian_rank.holds else "none found"
        return Condition("witness", False, statement, {}, jacobian_rank.arithmetic, FIBRE), None
    condition, fibre = _fibre(setting, jacobian_rank)
    if fibre is not None:
        return condition, fibre
    multipliers = dependent_gradients(setting)
    if multipliers is not None:
        return _condition(multipliers, Arithmetic.PROOF, DEPENDENT, condition.evidence), multipliers
    part = moving_part(setting)
    if part is not None:
        found, evidence, arithmetic = part
        return _condition(found, arithmetic, FIBRE, evidence), found
    return condition, None


def witness_seconds(setting: Setting, jacobian_rank: Condition) -> float:
    """An estimate of the CPU time of :func:`witness`, from sizes and from whether the Jacobian is deficient."""
    instance = setting.instance
    n, C = instance.n_samples, instance.n_outputs
    if not setting.equations_are_complete or setting.data_are_unknown:
        return 0.0
    if jacobian_rank.holds is not False:
        return min(n, LARGEST) ** 3 / OPERATIONS_PER_SECOND
    rows, columns = max(instance.n_rows, 1), instance.n_unknowns
    jacobian = certified_rank_seconds(max(rows, columns), min(rows, columns))
    followed = rows * columns**2 if rows * columns**2 <= WORK_LIMIT else 0
    total = jacobian + CURVE_FACTORISATIONS * followed / OPERATIONS_PER_SECOND
    if setting.scope.data != "this data":
        return total
    parts = PARTS * jacobian if columns <= MAX_UNKNOWNS else 0.0
    return total + certified_rank_seconds(max(rows, n * C), min(rows, n * C)) + parts


def _by_count(setting: Setting) -> tuple[Condition, Witness]:
    """Generic fibres have at least the dimension that the count leaves over; the rank, and a curve, are not needed for that."""
    counted = count(setting)
    description = (
        f"generic data lie in a family of data sets with the same target, of dimension at least {counted.evidence['excess']} (modulo the "
        f"ambiguity): {counted.statement}; evaluate the condition local for its dimension, and for a curve in it"
    )
    found = Witness("fibre", counted.evidence["excess"], description)
    return _condition(found, Arithmetic.PROOF, FIBRE, {"dimension_is_lower_bound": True}), found


def _fibre(setting: Setting, jacobian_rank: Condition) -> tuple[Condition, Witness | None]:
    """Compare the rank at the data with an upper bound on the rank anywhere."""
    instance = setting.instance
    here, needed = jacobian_rank.evidence["rank"], jacobian_rank.evidence["needed"]
    bound = instance.image_bound
    evidence: dict = {"rank": here, "needed": needed, "largest_possible": bound}
    arithmetic = Arithmetic.PROOF
    if here < bound:

        def anywhere(q, rng):
            return instance.at(q, rng).at_random_point(rng).jacobian()

        generic = certified_rank(anywhere, needed, seed=setting.seed + 7, minors=instance.minor_bound(needed))
        bound = min(bound, generic.rank)
        evidence |= {"largest_possible": bound, "primes": list(generic.primes), "error_bound": generic.error_bound}
        arithmetic = Arithmetic.MONTE_CARLO if generic.arithmetic is Arithmetic.MONTE_CARLO else Arithmetic.EVIDENCE
    if here < bound or not arithmetic.is_rigorous:
        statement = (
            f"the Jacobian has rank {here} here and {bound} at generic data: a deficient rank at one point proves nothing"
            if here < bound
            else "the error bound of the generic rank is not small enough to conclude"
        )
        return Condition("witness", None, statement, evidence, Arithmetic.EVIDENCE, FIBRE), None
    dimension = needed - here
    description = (
        f"the data lie in a smooth {dimension}-dimensional family of data sets with the same target (modulo the ambiguity): "
        f"the target has only {here} independent derivatives for {needed} parameters, at these data and at generic ones; "
    )
    curve = follow(setting, dimension)
    if isinstance(curve, NoCurve):
        found = Witness("fibre", dimension, description + curve)
    else:
        found = Witness("fibre", dimension, description + "one curve in it was followed numerically", *curve)
    return _condition(found, arithmetic, FIBRE, evidence), found


def _family_condition(found: Witness, dimension: Dimension, reference: str) -> tuple[Condition, Witness]:
    evidence: dict = {"dimension_is_lower_bound": True} if dimension.is_lower_bound else {}
    if dimension.arithmetic is Arithmetic.MONTE_CARLO:
        evidence["error_bound"] = dimension.error_bound
    return _condition(found, dimension.arithmetic, reference, evidence), found


def _condition(found: Witness, arithmetic: Arithmetic, reference: str, evidence: dict | None = None) -> Condition:
    least = "at least " if evidence and evidence.get("dimension_is_lower_bound") else ""
    statement = f"other data give the same target: a {found.kind} family of dimension {least}{found.dimension}"
    extra = {"kind": found.kind, "dimension": found.dimension} | ({} if found.residual is None else {"residual": found.residual})
    return Condition("witness", True, statement, extra | (evidence or {}), arithmetic, reference)

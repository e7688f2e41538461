r"""C7, witnesses of non-uniqueness: other data with the same target.

Three kinds, tried in this order:

* *rotation* (degree 2, one output): with :math:`D = \mathrm{diag}(c)`, every P with :math:`P^\top D P = D` sends
  :math:`\tilde X = [X, 1]` to :math:`P\tilde X`, which has the same :math:`\tilde X^\top D \tilde X`, that is the same
  moments of degree 0, 1 and 2. Dividing each row by its last entry :math:`\rho_i` gives samples with multipliers
  :math:`c_i\rho_i^2`. The Cayley transform of :math:`S = s D^{-1} K`, K skew, is such a P for every small s.
* *scaling* (two visible degrees k < p and more samples than moments of degree k): :math:`t_i = q_i^{-1/(p-k)}` with
  :math:`\sum_i (q_i - 1) c_i x_i^{\otimes k} = 0`, a linear family in q.
* *fibre*: the Jacobian has the largest rank that it can have anywhere, yet not full column rank. By the constant rank
  theorem the data then lie in a manifold of data with the same target.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from identify.conditions.count import image_bound
from identify.conditions.setting import Setting
from identify.exact.interpolation import Monomials, moment_count
from identify.exact.modular import Arithmetic, certified_rank
from identify.report.verdict import Condition, Witness

ROTATION = "invariance of a quadratic form under its orthogonal group; Cayley 1846 for the parametrisation"
SCALING = "linear dependence of the lower moments (elementary)"
FIBRE = "constant rank theorem"


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
    if instance.activation.degree == 2 and instance.n_outputs == 1 and n >= 2:
        found = _rotation(setting)
        return _condition(found, Arithmetic.PROOF, ROTATION), found
    if len(degrees) == 2 and not setting.is_lifted and n > moment_count(instance.n_inputs, degrees[:1], instance.n_outputs):
        found = _scaling(setting)
        return _condition(found, Arithmetic.PROOF, SCALING), found
    if jacobian_rank.holds is not False:
        statement = "none: the data are isolated" if jacobian_rank.holds else "none found"
        return Condition("witness", False, statement, {}, jacobian_rank.arithmetic, FIBRE), None
    return _fibre(setting, jacobian_rank)


def _fibre(setting: Setting, jacobian_rank: Condition) -> tuple[Condition, Witness | None]:
    """Compare the rank at the data with an upper bound on the rank anywhere."""
    instance = setting.instance
    here, needed = jacobian_rank.evidence["rank"], jacobian_rank.evidence["needed"]
    bound = image_bound(setting)
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
    found = Witness(
        "fibre",
        dimension,
        f"the data lie in a smooth {dimension}-dimensional family of data sets with the same target (modulo the ambiguity): "
        f"the target has only {here} independent derivatives for {needed} parameters, at these data and at generic ones",
    )
    return _condition(found, arithmetic, FIBRE, evidence), found


def _rotation(setting: Setting) -> Witness:
    X, c = _numbers(setting)
    n = len(X)
    tall = X if setting.instance.degrees == (2,) else np.hstack([X, np.ones((n, 1))])
    fixed = n - np.linalg.matrix_rank(tall)
    dimension = n * (n - 1) // 2 - fixed * (fixed - 1) // 2
    draw = np.random.default_rng(setting.seed).standard_normal((n, n))
    skew = (draw - draw.T) * np.abs(c).mean() / np.sqrt(n)

    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        S = s * skew / c
        P = np.linalg.solve(np.eye(n) - S, np.eye(n) + S)
        rho = P.sum(axis=1, keepdims=True)
        return P @ X / rho, c * rho**2

    return _with_example(
        setting,
        "rotation",
        int(dimension),
        "X' = P X / ρ, c' = c ρ², with ρ = P·1 and P = (I − S)⁻¹(I + S), S = s·diag(c)⁻¹K, K any skew-symmetric matrix; every "
        "such data set has the same moments of degree 0, 1 and 2",
        family,
    )


def _scaling(setting: Setting) -> Witness:
    X, c = _numbers(setting)
    low, p = setting.instance.degrees
    powers = Monomials.of(X.shape[1], low).values(X, lambda value: value)
    matrix = (c[:, :, None] * powers[:, None, :]).reshape(len(X), -1)
    kernel = np.linalg.svd(matrix.T)[2][-1]
    kernel = kernel / np.abs(kernel).max()

    def family(s: float) -> tuple[np.ndarray, np.ndarray]:
        t = (1 + s * kernel) ** (-1 / (p - low))
        return t[:, None] * X, t[:, None] ** float(-p) * c

    return _with_example(
        setting,
        "scaling",
        len(X) - matrix.shape[1],
        f"(t_i x_i, t_i^−{p} c_i) with t_i = q_i^(−1/{p - low}) and Σ_i (q_i − 1) c_i x_i^(⊗{low}) = 0: the moments of degree {low} and "
        f"{p} stay the same",
        family,
    )


def _with_example(setting: Setting, kind: str, dimension: int, description: str, family: Callable) -> Witness:
    """A witness with one other member of its family, far enough to be seen, and the change of target that rounding makes."""
    original = family(0.0)
    example = family(0.3)
    system = setting.system
    residual = None
    if system is not None:
        t = system.right_hand_side(*original)
        residual = float(np.linalg.norm(system.right_hand_side(*example) - t) / np.linalg.norm(t))
    return Witness(kind, dimension, description, family, original, example, residual)


def _numbers(setting: Setting) -> tuple[np.ndarray, np.ndarray]:
    """Data to show the family with: those given, or a random instance, for a statement about generic or unknown data."""
    if setting.data is not None:
        return setting.data
    rng = np.random.default_rng(setting.seed)
    instance = setting.instance
    X = rng.standard_normal((instance.n_samples, instance.n_inputs))
    return X, rng.choice([-1.0, 1.0], (instance.n_samples, 1)) * rng.uniform(0.5, 1.5, (instance.n_samples, instance.n_outputs))


def _condition(found: Witness, arithmetic: Arithmetic, reference: str, evidence: dict | None = None) -> Condition:
    statement = f"other data give the same target: a {found.kind} family of dimension {found.dimension}"
    extra = {"kind": found.kind, "dimension": found.dimension} | ({} if found.residual is None else {"residual": found.residual})
    return Condition("witness", True, statement, extra | (evidence or {}), arithmetic, reference)

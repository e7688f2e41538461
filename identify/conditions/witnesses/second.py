r"""A second solution, certified: other data, isolated from the given ones, with exactly the same target.

Found by least squares from random starts, proved in ball arithmetic. (S) is :math:`\mathcal A\,M(X, c) = t` with the
interpolation matrix :math:`\mathcal A`. When its rank is the number U of unknowns (modulo free scales, for which one
coordinate of each sample is held fixed), U of its rows are a basis of its row space over Q; since t belongs to data,
the other equations follow from those U, which are a square system. Krawczyk's test then proves a zero of all of (S) in
a box. The box is no image of the given data when one of its samples has, in every point of the box, other terms
:math:`\gamma\otimes x^{\otimes k}` than each given sample: the group keeps these terms, and permutations exchange them.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

import numpy as np
import scipy
from flint import fmpq_mat

from identify.conditions.local import group_dimension
from identify.conditions.setting import Setting
from identify.conditions.witnesses.box import BITS, Proof, certify, free_entries, put
from identify.conditions.witnesses.curve import distance
from identify.conditions.witnesses.equations import Equations, Frame, rationals
from identify.conditions.witnesses.krawczyk import REFERENCE
from identify.conditions.witnesses.scaled import Scaled
from identify.exact.modular import Arithmetic, pivots, random_prime
from identify.problem.verdict import Condition, Witness

MAX_UNKNOWNS = 60
MAX_ENTRIES = 40_000
"""Entries of an interpolation matrix whose rank over Q is computed."""
CLOSE = 1e-9
"""A search has converged when every equation holds to this relative error; the proof comes after it."""
APART = 1e-3
"""Relative distance from the given data below which a candidate counts as found again."""


def second_solution(setting: Setting, *, starts: int = 64, seconds: float | None = None) -> tuple[Condition, Witness] | None:
    """Look for another isolated real solution for given data, and prove it.

    Parameters
    ----------
    setting
        With given data, and (S) as the only equations; anything else is answered with None at once, as are systems
        whose equations do not come down to as many as unknowns (at most 60).
    starts
        Random starts of the search, at least 1.
    seconds
        No further start after this time; None for all starts, so that the answer does not depend on the machine.

    Returns
    -------
    tuple of Condition and Witness, or None
        The condition ``witness`` with a proof, and both data sets. None proves nothing.
    """
    square = square_rows(setting)
    if square is None:
        return None
    deadline = None if seconds is None else monotonic() + seconds
    rng = np.random.default_rng([setting.seed, 0x2ED])
    with np.errstate(all="ignore"):  # a search that overflows has failed
        search = _Search(setting)
        for start in range(1, starts + 1):
            if deadline is not None and monotonic() > deadline:
                return None
            candidate = search.descend(rng)
            if candidate is None or not distance(setting.ambiguity, candidate, search.data) > APART:
                continue
            proof = certify(setting, square.rows, *candidate)
            if proof is not None:
                order = setting.ambiguity.match(proof.X, proof.c, *search.data).order
                return _found(search, square, proof, order, start)
    return None


@dataclass(frozen=True)
class Square:
    """As many equations as unknowns, of which all others are linear combinations; ``prime``: of their non-zero minor."""

    rows: tuple[int, ...]
    prime: int


def square_rows(setting: Setting) -> Square | None:
    """A basis over Q of the row space of the interpolation matrix, if it is as large as the number of unknowns."""
    instance, system = setting.instance, setting.system
    if system is None or setting.data is None or setting.scope.data != "this data":
        return None
    if not setting.equations_are_complete or system.regime == "max-margin":  # far solutions may violate the margins
        return None
    unknowns = instance.n_unknowns - instance.n_samples * group_dimension(setting)
    rows = instance.width * (instance.coordinates + 1 + instance.n_outputs)
    if not 0 < instance.n_unknowns <= MAX_UNKNOWNS or instance.image_bound < unknowns or rows * instance.n_moments > MAX_ENTRIES:
        return None
    rng = np.random.default_rng([setting.seed, 0xBA5])
    q = random_prime(rng)
    try:
        basis, _ = pivots(instance.at(q, rng).interpolation(), q)
    except ZeroDivisionError:
        return None
    if len(basis) != unknowns:
        return None
    if instance.image_bound > unknowns:
        frame = Frame.of_data(setting, rationals(setting.data[0]))
        matrix = Equations.rationals(system, frame).interpolation(instance.degrees)
        if fmpq_mat(matrix.tolist()).rank() != unknowns:
            return None
    return Square(tuple(basis), q)


class _Search:
    """Least squares in floats, from random starts, in orthonormal coordinates."""

    def __init__(self, setting: Setting) -> None:
        assert setting.system is not None and setting.data is not None
        self.system, self.data = setting.system, setting.data
        X, c = self.data
        self.frame = Frame.of_data(setting, X).orthonormal()
        self.scaled = Scaled(Equations.floats(self.system, self.frame), np.hstack([self.frame.coordinates(X), c]))
        self.scales_are_free = bool(group_dimension(setting))

    def descend(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
        """One descent from random samples, with the multipliers that suit them best; None unless it ends at a solution."""
        scaled, (n, columns) = self.scaled, self.scaled.shape
        k = len(self.frame.directions)
        start = rng.standard_normal((n, columns)) * 10 ** rng.uniform(-0.3, 0.3, (n, 1))
        start[:, k:] = 0
        u, is_multiplier = start.ravel(), np.tile(np.arange(columns) >= k, n)
        free = free_entries(start[:, :k], columns, self.scales_are_free)

        def value(v: np.ndarray) -> np.ndarray:
            return np.nan_to_num(scaled.value(put(u, free, v)), nan=1e100, posinf=1e100, neginf=-1e100)

        def jacobian(v: np.ndarray) -> np.ndarray:
            return np.nan_to_num(scaled.jacobian(put(u, free, v))[:, free])

        try:
            u[is_multiplier] = np.linalg.lstsq(scaled.jacobian(u)[:, is_multiplier], -scaled.value(u), rcond=None)[0]
            found = scipy.optimize.least_squares(
                value, u[free], jac=jacobian, method="lm", max_nfev=200, xtol=1e-15, ftol=1e-15, gtol=1e-15
            )
        except (ValueError, np.linalg.LinAlgError):
            return None
        u = put(u, free, found.x)
        point = scaled.point(u)
        return (self.frame.points(point[:, :k]), point[:, k:]) if scaled.error(u) <= CLOSE else None


def _found(search: _Search, square: Square, proof: Proof, order: np.ndarray, start: int) -> tuple[Condition, Witness]:
    example = proof.X[order], proof.c[order]
    t, again = (search.system.right_hand_side(*data) for data in (search.data, example))
    residual = float(np.linalg.norm(again - t) / np.linalg.norm(t))
    description = (
        "these data and an isolated second solution have exactly the same target, and no permutation or symmetry takes one to the "
        f"other; it was found from random start {start} and proved to lie in a box of relative radius {proof.radius:.1e} around the "
        "numbers shown"
    )
    witness = Witness("second solution", 0, description, None, search.data, example, residual)
    evidence = {
        "kind": witness.kind,
        "dimension": 0,
        "residual": residual,
        "equations": list(square.rows),
        "prime": square.prime,
        "radius": proof.radius,
        "contraction": proof.contraction,
        "bits": BITS,
        "start": start,
    }
    statement = "other data give the same target: a second solution, proved by Krawczyk's test, outside the orbit of these data"
    return Condition("witness", True, statement, evidence, Arithmetic.PROOF, REFERENCE), witness

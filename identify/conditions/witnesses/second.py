r"""A second solution, certified: other data, isolated from the given ones, with exactly the same target.

Found by least squares from random starts, some at once, proved in ball arithmetic. (S) is :math:`\mathcal A\,M(X, c) = t` with the
interpolation matrix :math:`\mathcal A`. When its rank is the number U of unknowns (modulo free scales, for which one
coordinate of each sample is held fixed), U of its rows are a basis of its row space over Q; since t belongs to data,
the other equations follow from those U, which are a square system. Krawczyk's test then proves a zero of all of (S) in
a box. The box is no image of the given data when one of its samples has, in every point of the box, other terms
:math:`\gamma\otimes x^{\otimes k}` than each given sample: the group keeps these terms, and permutations exchange them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

import numpy as np
from flint import fmpq_mat

from identify.base.limits import OPERATIONS_PER_SECOND
from identify.conditions.setting import Setting
from identify.conditions.witnesses.box import BITS, Proof, certify, free_entries
from identify.conditions.witnesses.curve import distance
from identify.conditions.witnesses.descent import descend
from identify.conditions.witnesses.equations import Equations, Frame, rationals
from identify.conditions.witnesses.families import change_of_target
from identify.conditions.witnesses.krawczyk import REFERENCE
from identify.conditions.witnesses.scaled import Scaled
from identify.exact.instance import Instance
from identify.exact.modular import Arithmetic, pivots, random_prime
from identify.problem.verdict import Condition, Witness

MAX_UNKNOWNS = 60
MAX_ENTRIES = 40_000
"""Entries of an interpolation matrix whose rank over Q is computed."""
STARTS, FIRST_STARTS, MORE_STARTS = 64, 8, 56
"""Random starts in all, and how many descend at once: few at first, because the first ones often find a second solution."""
ENOUGH = 1e-13
"""The norm of the scaled equations at which a descent ends."""
CLOSE = 1e-9
"""A search has converged when every equation holds to this relative error; the proof comes after it."""
APART = 1e-3
"""Relative distance from the given data below which a candidate counts as found again."""
TYPICAL_STEPS, STEP_SECONDS, EVALUATION_SECONDS, RATIONAL_SECONDS = 60, 1e-5, 2e-8, 3e-8
"""Of a descent, for estimates: steps, seconds for a step of a start whatever its size, for an entry of a Jacobian, and for an operation
on rational numbers."""


def second_solution(setting: Setting, *, starts: int = STARTS, seconds: float | None = None) -> tuple[Condition, Witness] | None:
    """Look for another isolated real solution for given data, and prove it.

    Parameters
    ----------
    setting
        With given data, and (S) as the only equations; anything else is answered with None at once, as are systems
        whose equations do not come down to as many as unknowns (at most 60).
    starts
        Random starts of the search, at least 1.
    seconds
        The search ends after this time; None for all starts, so that the answer does not depend on the machine.

    Returns
    -------
    tuple of Condition and Witness, or None
        The condition ``witness`` with a proof, and both data sets. None proves nothing.

    Notes
    -----
    Cost: :func:`second_seconds`.
    """
    square = square_rows(setting)
    if square is None:
        return None
    deadline = None if seconds is None else monotonic() + seconds
    rng = np.random.default_rng([setting.seed, 0x2ED])

    def go_on() -> bool:
        return deadline is None or monotonic() < deadline

    with np.errstate(all="ignore"):  # a search that overflows has failed
        search = _Search(setting)
        known, done = [search.data], 0
        while done < starts and go_on():
            size = min(FIRST_STARTS if not done else MORE_STARTS, starts - done)
            for number, candidate in search.descend(rng, size, go_on):
                if min(distance(setting.ambiguity, candidate, each) for each in known) <= APART or not go_on():
                    continue
                known.append(candidate)
                proof = certify(setting, square.rows, *candidate)
                if proof is not None:
                    order = setting.ambiguity.match(proof.X, proof.c, *search.data).order
                    return _found(search, square, proof, order, done + number)
            done += size
    return None


def second_seconds(setting: Setting) -> float:
    """An estimate of the CPU time of :func:`second_solution` if it finds none, from sizes alone; 0 if it is left out."""
    if not may_have_second(setting):
        return 0.0
    instance = setting.instance
    unknowns, rows = instance.n_unknowns, _row_count(instance)
    evaluation = rows * unknowns * (EVALUATION_SECONDS + 2 * unknowns / OPERATIONS_PER_SECOND)
    basis = rows * instance.n_moments * unknowns * RATIONAL_SECONDS * (instance.image_bound > unknowns)
    return STARTS * TYPICAL_STEPS * (evaluation + STEP_SECONDS) + basis


@dataclass(frozen=True)
class Square:
    """As many equations as unknowns, of which all others are linear combinations; ``prime``: of their non-zero minor."""

    rows: tuple[int, ...]
    prime: int


def may_have_second(setting: Setting) -> bool:
    """Whether a second solution is looked for, as far as the question and its sizes tell."""
    instance, system = setting.instance, setting.system
    if system is None or setting.data is None or setting.scope.data != "this data":
        return False
    if not setting.equations_are_complete or system.regime == "max-margin":  # far solutions may violate the margins
        return False
    unknowns = instance.n_unknowns - instance.n_samples * setting.scales_per_sample
    fits = 0 < instance.n_unknowns <= MAX_UNKNOWNS and _row_count(instance) * instance.n_moments <= MAX_ENTRIES
    return fits and instance.image_bound >= unknowns


def _row_count(instance: Instance) -> int:
    return instance.width * (instance.coordinates + 1 + instance.n_outputs)


def square_rows(setting: Setting) -> Square | None:
    """A basis over Q of the row space of the interpolation matrix, if it is as large as the number of unknowns."""
    if not may_have_second(setting):
        return None
    instance, system = setting.instance, setting.system
    assert system is not None and setting.data is not None
    unknowns = instance.n_unknowns - instance.n_samples * setting.scales_per_sample
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
        self.scales_are_free = bool(setting.scales_per_sample)

    def descend(
        self, rng: np.random.Generator, starts: int, go_on: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
        """Descents from random samples, with the multipliers that suit them best: the solutions where they end, with their numbers."""
        scaled, (n, columns) = self.scaled, self.scaled.shape
        k = len(self.frame.directions)
        draws = rng.standard_normal((starts, n, columns)) * 10 ** rng.uniform(-0.3, 0.3, (starts, n, 1))
        draws[:, :, k:] = 0
        is_multiplier = np.tile(np.arange(columns) >= k, n)
        free = np.stack([free_entries(start[:, :k], columns, self.scales_are_free) for start in draws])
        points = draws.reshape(starts, -1)
        F, J = scaled.batch(points)
        finite = np.isfinite(F).all(axis=1) & np.isfinite(J).all(axis=(1, 2))
        points[np.ix_(finite, is_multiplier)] = (np.linalg.pinv(J[finite][:, :, is_multiplier]) @ -F[finite][:, :, None])[:, :, 0]
        points, _ = descend(scaled.batch, points, enough=ENOUGH, free=free, go_on=go_on)
        for number, u in enumerate(points, start=1):
            if scaled.error(u) <= CLOSE:
                point = scaled.point(u)
                yield number, (self.frame.points(point[:, :k]), point[:, k:])


def _found(search: _Search, square: Square, proof: Proof, order: np.ndarray, start: int) -> tuple[Condition, Witness]:
    example = proof.X[order], proof.c[order]
    residual = change_of_target(search.system, example, search.data)
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

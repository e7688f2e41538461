r"""The complete search for a target whose rank is the number n of samples: one sample at a time, for any number of outputs.

If :math:`\operatorname{rank} G_1 = n`, the vectors :math:`D_i A^\top \gamma_i` of every solution are a basis of the column space of
:math:`G_1 = U R`, so the states s_j of the neurons at each sample satisfy :math:`s_j\,(A^\top\gamma)_j = (U\zeta)_j`, linear in
:math:`(\gamma, \zeta)`. The search tries states neuron by neuron and keeps the subspace of solutions; n candidates with independent
:math:`\zeta_i` then give all samples at once, by linear algebra.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement, pairwise, product
from typing import TYPE_CHECKING, NamedTuple

from flint import fmpq, fmpq_mat

from identify.theory.oracle.polyhedra import ONE, ZERO, Row, Vector, dot, rank, solutions

if TYPE_CHECKING:
    from identify.theory.oracle.pieces import Atom, Question

SLOPES = tuple(sorted({fmpq(p, q) for q in (1, 2, 5) for p in range(-3 * q, 3 * q + 1)} | {fmpq(p, 64) for p in range(-8, 9)}))
"""Directions of multipliers that are tried if a whole plane of them is possible."""


class Candidate(NamedTuple):
    """States of the neurons (None: any), and a basis of all (γ, ζ) that they allow."""

    states: dict[int, int | None]
    basis: list[Vector]


class Group(NamedTuple):
    """Candidates with the same ζ, up to a factor; or one for which ζ is not determined: None."""

    candidates: tuple[Candidate, ...]
    zeta: Vector | None


class Solution(NamedTuple):
    """Data with the target, and the dimension of a family that they belong to.

    ``groups`` are None for a family in which only multipliers move, and else the candidates of the samples that move.
    """

    atoms: list[Atom]
    dimension: int
    groups: tuple[Group, ...] | None


def separated(question: Question, n: int, step: Callable[[], None]) -> Iterator[Solution | None]:
    """All data sets of n samples, which is the rank of the target of the first layer; None for some that cannot be described.

    ``step`` counts nodes, and may stop the search.
    """
    form, _ = fmpq_mat(question.first).rref()
    R = [[form[r, k] for k in range(form.ncols())] for r in range(n)]
    pivots = [next(k for k, value in enumerate(row) if value) for row in R]
    U = [[row[k] for k in pivots] for row in question.first]  # G_1 = U R
    narrow: dict[tuple[fmpq, ...], list[Candidate]] = {}
    wide: list[Group] = []
    for candidate in _candidates(question, U, n, step):
        signals = [v[len(question.A) :] for v in candidate.basis]
        if rank(signals) == 1:
            narrow.setdefault(_direction(next(v for v in signals if any(v))), []).append(candidate)
        else:
            wide.append(Group((candidate,), None))
    groups = [*(Group(tuple(found), list(zeta)) for zeta, found in narrow.items()), *wide]
    for chosen in combinations_with_replacement(groups, n):
        if any(first is second and first.zeta for first, second in pairwise(chosen)):
            continue
        step()
        zetas = [group.zeta for group in chosen if group.zeta is not None]
        if len(zetas) == n:
            yield from _assembled(question, R, chosen, zetas)
        elif _spans(question, chosen, n):
            yield _with_a_plane(question, R, chosen, step)


def _direction(zeta: Vector) -> tuple[fmpq, ...]:
    lead = next(v for v in zeta if v)
    return tuple(v / lead for v in zeta)


def _candidates(question: Question, U: list[Vector], n: int, step: Callable[[], None]) -> Iterator[Candidate]:
    C = len(question.A)
    whole = [[ONE if k == r else ZERO for k in range(C + n)] for r in range(C + n)]

    def visit(depth: int, basis: list[Vector], states: dict[int, int | None]) -> Iterator[Candidate]:
        step()
        if not any(any(v[C:]) for v in basis):
            return
        if depth == len(question.neurons):
            yield Candidate(states, basis)
            return
        j = question.neurons[depth]
        a = [row[j] for row in question.A]
        if not any(dot(a, v[:C]) or dot(U[j], v[C:]) for v in basis):
            yield from visit(depth + 1, basis, states | {j: None})
            return
        for k, state in enumerate(question.states):
            values = [state.slope * dot(a, v[:C]) - dot(U[j], v[C:]) for v in basis]
            yield from visit(depth + 1, _cut(basis, values), states | {j: k})

    yield from visit(0, whole, {})


def _cut(basis: list[Vector], values: list[fmpq]) -> list[Vector]:
    """The part of a subspace on which a linear form with these values vanishes."""
    at = next((k for k, value in enumerate(values) if value), None)
    if at is None:
        return basis
    pivot = basis[at]
    return [
        [v - value / values[at] * u for v, u in zip(vector, pivot, strict=True)] if value else vector
        for k, (vector, value) in enumerate(zip(basis, values, strict=True))
        if k != at
    ]


def _spans(question: Question, chosen: Sequence[Group], n: int) -> bool:
    """Whether ζ can be independent: every subset of the samples has enough room (Rado's condition)."""
    C = len(question.A)
    for mask in product((False, True), repeat=n):
        room = [v[C:] for each, inside in zip(chosen, mask, strict=True) if inside for v in each.candidates[0].basis]
        if rank(room) < sum(mask):
            return False
    return True


def _assembled(question: Question, R: list[Vector], chosen: Sequence[Group], zetas: Sequence[Vector]) -> list[Solution]:
    """The data with these ζ_i up to factors: the samples, then what the second layer says of the multipliers."""
    n = len(chosen)
    Z = fmpq_mat(n, n, [zetas[k][r] for r in range(n) for k in range(n)])
    if not Z.det():
        return []
    Y = Z.inv() * fmpq_mat(R)
    rows = [[Y[i, k] for k in range(Y.ncols())] for i in range(n)]
    if question.b is None:
        options = [[row, [-v for v in row]] for row in rows]
    else:
        options = [[[v / row[-1] for v in row[:-1]]] if row[-1] else [] for row in rows]
    kept = [[x for x in each if fits(question, x, group)] for each, group in zip(options, chosen, strict=True)]
    return [solution for X in product(*kept) for solution in multipliers(question, list(X))]


def fits(question: Question, x: Vector, group: Group) -> bool:
    """Whether a sample is in the states of a candidate."""
    pattern = question.pattern(x)
    return any(all(k is None or pattern[j] == k for j, k in candidate.states.items()) for candidate in group.candidates)


def multipliers(question: Question, X: list[Vector]) -> list[Solution]:
    """All multipliers for known samples: linear equations, from the definition of the updates."""
    from identify.theory.oracle.pieces import Atom

    C, n = len(question.A), len(X)
    columns = []
    for x in X:
        for o in range(C):
            unit = tuple(ONE if o == k else ZERO for k in range(C))
            columns.append(_flat(question, question.updates([Atom(tuple(x), unit)])))
    target = _flat(question, (question.first, question.second))
    hull = solutions([Row([column[e] for column in columns], -value) for e, value in enumerate(target)], n * C)
    if hull is None:
        return []
    point = hull.point
    for direction in hull.directions:
        point = [p + v / 1024 for p, v in zip(point, direction, strict=True)]
    atoms = [Atom(tuple(x), tuple(point[i * C : (i + 1) * C])) for i, x in enumerate(X)]
    return [Solution(atoms, len(hull.directions), None)]


def _flat(question: Question, updates: tuple[list[Vector], list[Vector]]) -> Vector:
    parts = updates if question.layers == "both" else updates[:1]
    return [v for part in parts for row in part for v in row]


def _with_a_plane(question: Question, R: list[Vector], chosen: Sequence[Group], step: Callable[[], None]) -> Solution | None:
    """If the multipliers of a sample may have any direction: a member of the family, in open cells; None if none is found."""
    if question.layers != "first":
        return None
    room = [_independent([v[len(question.A) :] for v in group.candidates[0].basis]) for group in chosen]
    for slope in SLOPES:
        step()
        zetas = []
        for i, (group, vectors) in enumerate(zip(chosen, room, strict=True)):
            if group.zeta is None:
                first, second = vectors[i % 2], vectors[1 - i % 2]
                zetas.append([u + slope * v for u, v in zip(first, second, strict=True)])
            else:
                zetas.append(group.zeta)
        for solution in _assembled(question, R, chosen, zetas):
            if all(is_inside(question, atom.x) for atom in solution.atoms):
                return Solution(solution.atoms, solution.dimension + 1, tuple(chosen))
    return None


def _independent(vectors: list[Vector]) -> list[Vector]:
    out: list[Vector] = []
    for v in vectors:
        if rank([*out, v]) > len(out):
            out.append(v)
    return out


def is_inside(question: Question, x: Sequence[fmpq]) -> bool:
    """Whether no neuron that is seen is at a breakpoint."""
    lifted = question.lifted(x)
    ends = {end.at for state in question.states for end in (state.low, state.high) if end is not None}
    return all(dot(question.weights(j), lifted) not in ends for j in question.neurons)

r"""All data sets of at most n samples with the target of a small two-layer piecewise-linear network: a complete search, exact.

Once the state of every neuron at every sample is fixed, (S) is linear in :math:`M_i = \gamma_i (x_i, 1)^\top`, and for one output so
are the conditions that put a sample in its cell, when the sign of :math:`\gamma_i` is fixed too. The search goes through the
neurons, tries the states of all samples, and leaves out what the equations of the first layer exclude; each leaf is a polyhedron,
whose dimension is found exactly. A target of rank n is split into single samples first, for any number of outputs
(:mod:`identify.theory.oracle.separated`). No theorem about uniqueness is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, permutations, product
from typing import NamedTuple

from identify.base.errors import IdentifyError, InternalError
from identify.theory.oracle.pieces import Atom, Question
from identify.theory.oracle.polyhedra import ONE, ZERO, Hull, Row, Vector, dot, feasible, rank
from identify.theory.oracle.separated import Group, fits, is_inside, multipliers, separated

NODES = 60_000
"""Nodes of a search, beyond which it is given up."""
LEAVES = 4_000
"""Polyhedra of a search, likewise."""


class Category(StrEnum):
    """What is true of the data: modulo order, and modulo scales and signs that change no update."""

    UNIQUE = "unique"
    OTHERS = "finitely many"
    FAMILY = "positive-dimensional"
    OPEN = "open"


class Family(NamedTuple):
    """Solutions of a positive dimension: at least ``dimension``, one of them, and whether the given data are in their closure."""

    dimension: int
    member: tuple[Atom, ...]
    reaches_data: bool


@dataclass(frozen=True)
class Count:
    """Every data set with the target: isolated ones, families, and whether the search was complete."""

    isolated: tuple[tuple[Atom, ...], ...]
    families: tuple[Family, ...]
    complete: bool
    nodes: int

    @property
    def category(self) -> Category:
        if self.families:
            return Category.FAMILY
        if len(self.isolated) > 1:
            return Category.OTHERS
        return Category.UNIQUE if self.complete else Category.OPEN

    @property
    def local(self) -> int | None:
        """The largest dimension of a family that the given data belong to, or are a limit of; None if that is not known."""
        found = max((family.dimension for family in self.families if family.reaches_data), default=0)
        return found if found or self.complete else None


class Budget:
    """Nodes and leaves that are left."""

    def __init__(self, nodes: int, leaves: int) -> None:
        self.nodes, self.leaves, self.used = nodes, leaves, 0

    def step(self) -> None:
        self.used += 1
        if self.used > self.nodes:
            raise OutOfBudgetError

    def leaf(self) -> None:
        self.leaves -= 1
        if self.leaves < 0:
            raise OutOfBudgetError


class OutOfBudgetError(IdentifyError):
    """The search is given up; what it found is kept."""


def count_all(question: Question, *, nodes: int = NODES, leaves: int = LEAVES, whole: bool = True) -> Count:
    """All data sets of at most n samples with the target of ``question``, n being the number of its distinct samples.

    Parameters
    ----------
    question
        Up to about d = 3, n = 3, m = 12, C = 2.
    nodes, leaves
        Nodes and polyhedra after which a search is given up.
    whole
        Whether to go on when a family through the data is known at once, and the category with it.

    Returns
    -------
    Count
        Not ``complete`` after a search that was given up, or that met solutions it cannot describe: with two outputs, a target whose
        rank is not n, or planes of possible multipliers and the second layer observed.

    Notes
    -----
    Cost: milliseconds for a target of rank n, else exponential in n, up to some seconds for n = 3.
    """
    return Search(question, Budget(nodes, leaves)).run(whole)


class Search:
    """The state of one search."""

    def __init__(self, question: Question, budget: Budget) -> None:
        self.question, self.budget = question, budget
        self.data = distinct(question)
        self.isolated: dict[tuple[Atom, ...], None] = {}
        self.families: list[Family] = []
        self.complete = True
        self.columns = len(question.first[0])
        self.size = len(question.W[0]) + (not question.is_homogeneous)

    def run(self, whole: bool) -> Count:
        self._pairs_in_one_cell()
        self._dependent_gradients()
        if whole or not self.families:
            self._search()
        else:
            self.complete = False
        own = ordered(self.question, self.data)
        reached = any(family.reaches_data for family in self.families)
        if self.complete and own not in self.isolated and not reached:
            raise InternalError("a complete search has not found the given data")
        self.isolated.setdefault(own, None)
        if reached:
            self.isolated.pop(own)
        return Count(tuple(self.isolated), tuple(self.families), self.complete, self.budget.used)

    def _search(self) -> None:
        n, q = len(self.data), self.question
        lowest = max(rank(q.first), 1)
        try:
            if lowest == n and (q.b is not None or q.is_homogeneous):
                self._separated()
            elif len(q.A) == 1:
                for samples in range(lowest, n + 1):
                    self._joint(samples)
            else:
                self.complete = False
        except OutOfBudgetError:
            self.complete = False

    # --- families that are seen at once -----------------------------------------------------------------------------------

    def _pairs_in_one_cell(self) -> None:
        """Two samples in one cell: (x_1, c_1), (x_2, c_2) can be exchanged for (1 - e) x_1 + e x_2, with c_1 / (1 - e), and x_2."""
        for first, second in combinations(self.data, 2):
            if self._seen(first) != self._seen(second):
                continue
            rest = [atom for atom in self.data if atom is not first and atom is not second]
            for e in (ONE / 8, ONE / 16, ONE / 32):
                moved = Atom(
                    tuple((1 - e) * u + e * v for u, v in zip(first.x, second.x, strict=True)), tuple(v / (1 - e) for v in first.c)
                )
                kept = Atom(second.x, tuple(v - e / (1 - e) * u for u, v in zip(first.c, second.c, strict=True)))
                if any(kept.c):
                    self._add_family(1, [moved, kept, *rest], True)
                    break

    def _dependent_gradients(self) -> None:
        """Multipliers that change nothing at these samples: those of a sample that no neuron sees, of opposite ones, and so on."""
        q = self.question
        same = [each for each in multipliers(q, [list(atom.x) for atom in self.data]) if each.dimension]
        for each in same:
            moved = list(each.atoms)
            if ordered(q, moved) == ordered(q, self.data):
                raise InternalError("the multipliers of a family are those of the data")
            self._add_family(each.dimension, moved, True)

    def _seen(self, atom: Atom) -> tuple[int, ...]:
        pattern = self.question.pattern(atom.x)
        return tuple(pattern[j] for j in self.question.neurons)

    def _add_family(self, dimension: int, member: Sequence[Atom], reaches: bool) -> None:
        if not self.question.is_solved_by(member):
            raise InternalError("a member of a family does not have the target")
        self.families.append(Family(dimension, tuple(member), reaches))

    def _add_isolated(self, atoms: Sequence[Atom]) -> None:
        if not self.question.is_solved_by(atoms):
            raise InternalError("a solution does not have the target")
        self.isolated.setdefault(ordered(self.question, atoms), None)

    # --- a target of rank n -------------------------------------------------------------------------------------------------

    def _separated(self) -> None:
        given = sorted(self.question.canonical(atom).x for atom in self.data)
        for each in separated(self.question, len(self.data), self.budget.step):
            if each is None:
                self.complete = False
            elif each.dimension:
                same = sorted(self.question.canonical(atom).x for atom in each.atoms) == given
                self._add_family(each.dimension, each.atoms, same if each.groups is None else self._moves_data(each.groups))
            else:
                self._add_isolated(each.atoms)

    def _moves_data(self, groups: Sequence[Group]) -> bool:
        """Whether the given data, inside their cells, are samples of these candidates."""
        q = self.question
        if not all(is_inside(q, atom.x) for atom in self.data):
            return False
        return any(all(fits(q, list(atom.x), each) for atom, each in zip(order, groups, strict=True)) for order in permutations(self.data))

    # --- one output, any rank -----------------------------------------------------------------------------------------------

    def _joint(self, samples: int) -> None:
        """The whole search for data sets of exactly that many samples."""
        q = self.question
        determined = q.b is not None or q.is_homogeneous
        for pattern, matrix in self._patterns(samples, determined):
            if matrix is not None:
                self._check(matrix, pattern)
            else:
                self.budget.leaf()
                for signs in product((1, -1), repeat=samples):
                    self._polyhedron(pattern, signs)

    def _patterns(self, samples: int, determined: bool) -> Iterator[tuple[dict[int, tuple[int, ...]], list[Vector] | None]]:
        """States of all samples at each neuron that the first layer's equations allow: a leaf, or M when these determine it."""
        q = self.question
        states = range(len(q.states))
        goals = {j: [v / q.A[0][j] for v in q.first[j]] for j in q.neurons if q.A[0][j]}
        order = [j for j in q.neurons if j in goals] + [j for j in q.neurons if j not in goals]

        def visit(depth: int, rows: list[Vector], chosen: dict[int, tuple[int, ...]], tied: list[bool], even: list[bool]):
            self.budget.step()
            if determined and len(rows) == samples:
                yield chosen, [row[samples:] for row in rows]
                return
            if depth == len(order):
                yield chosen, None
                return
            j = order[depth]
            for tried in product(states, repeat=samples):
                if any(tie and a > b for tie, a, b in zip(tied, tried, tried[1:], strict=False)):
                    continue
                if any(free and q.states[k].slope < 0 for free, k in zip(even, tried, strict=True)):
                    continue
                new = rows if j not in goals else _reduced(rows, [q.states[k].slope for k in tried] + goals[j], samples)
                if new is None:
                    continue
                ties = [tie and a == b for tie, a, b in zip(tied, tried, tried[1:], strict=False)]
                signs = [free and not q.states[k].slope for free, k in zip(even, tried, strict=True)]
                yield from visit(depth + 1, new, chosen | {j: tried}, ties, signs)

        yield from visit(0, [], {}, [True] * (samples - 1), [q.is_even] * samples)

    def _check(self, matrix: list[Vector], pattern: dict[int, tuple[int, ...]]) -> None:
        """M is known: are its rows samples in the states that were assumed, and are they solutions?"""
        q = self.question
        if not all(any(row) for row in matrix):
            return
        if q.is_homogeneous:
            options = [[Atom(tuple(row), (ONE,)), Atom(tuple(-v for v in row), (-ONE,))] for row in matrix]
        else:
            if not all(row[-1] for row in matrix):
                return
            options = [[Atom(tuple(v / row[-1] for v in row[:-1]), (row[-1],))] for row in matrix]
        fitting = []
        for i, each in enumerate(options):
            states = [(atom, q.pattern(atom.x)) for atom in each]
            fitting.append([atom for atom, found in states if all(found[j] == chosen[i] for j, chosen in pattern.items())])
        for atoms in product(*fitting):
            if q.is_solved_by(atoms) and len({q.canonical(atom).x for atom in atoms}) == len(atoms):
                self._add_isolated(atoms)

    def _polyhedron(self, pattern: dict[int, tuple[int, ...]], signs: Sequence[int]) -> None:
        """A leaf whose equations leave M free: the polyhedron of all M with the target in these cells."""
        n = len(signs)
        equations, positive, nonnegative = self._constraints(pattern, signs)
        hull = feasible(equations, positive, nonnegative, n * self.size)
        if hull is None or self._has_coincident_samples(hull, signs) or self._vanishes(hull, n):
            return
        atoms = self._atoms(hull.point, signs)
        if hull.directions:
            self._add_family(
                len(hull.directions), self._another(hull, signs, atoms), self._reaches(equations, positive + nonnegative, signs)
            )
        else:
            self._add_isolated(atoms)

    def _constraints(self, pattern: dict[int, tuple[int, ...]], signs: Sequence[int]) -> tuple[list[Row], list[Row], list[Row]]:
        q, n, s = self.question, len(signs), self.size
        equations: list[Row] = []
        positive: list[Row] = []
        nonnegative: list[Row] = []
        for j, chosen in pattern.items():
            states, weights = [q.states[k] for k in chosen], q.weights(j)[:s]
            if q.A[0][j]:
                for column in range(self.columns):
                    coefficients = [states[i].slope if k == column else ZERO for i in range(n) for k in range(s)]
                    equations.append(Row(coefficients, -q.first[j][column] / q.A[0][j]))
            if q.layers == "both":
                coefficients = [state.slope * w for state in states for w in weights]
                if not q.is_homogeneous:
                    for i, state in enumerate(states):
                        coefficients[i * s + s - 1] += state.intercept
                equations.append(Row(coefficients, -q.second[0][j]))
            for i, state in enumerate(states):
                for end, side in ((state.low, 1), (state.high, -1)):
                    if end is None:
                        continue
                    gap = list(weights)
                    if not q.is_homogeneous:
                        gap[-1] -= end.at
                    row = Row([ZERO] * (i * s) + [signs[i] * side * v for v in gap] + [ZERO] * ((n - 1 - i) * s), ZERO)
                    if state.is_point:
                        equations.append(row)
                    else:
                        (nonnegative if end.closed else positive).append(row)
        if not q.is_homogeneous:
            positive += [Row([ZERO] * (i * s + s - 1) + [signs[i] * ONE] + [ZERO] * ((n - 1 - i) * s), ZERO) for i in range(n)]
        return equations, positive, nonnegative

    def _atoms(self, point: Vector, signs: Sequence[int]) -> list[Atom]:
        parts = [point[i * self.size : (i + 1) * self.size] for i in range(len(signs))]
        if self.question.is_homogeneous:
            return [Atom(tuple(sign * v for v in part), (sign * ONE,)) for part, sign in zip(parts, signs, strict=True)]
        return [Atom(tuple(v / part[-1] for v in part[:-1]), (part[-1],)) for part in parts]

    def _vanishes(self, hull: Hull, n: int) -> bool:
        """Whether a sample is zero everywhere: no sample of a homogeneous network (others have a multiplier that is not zero)."""
        vectors = [hull.point, *hull.directions]
        return any(not any(v[k] for v in vectors for k in range(i * self.size, (i + 1) * self.size)) for i in range(n))

    def _has_coincident_samples(self, hull: Hull, signs: Sequence[int]) -> bool:
        """Whether two samples are the same everywhere: then the data are those of fewer samples."""
        n, s = len(signs), self.size
        vectors = [hull.point, *hull.directions]
        for i, k in combinations(range(n), 2):
            parts = [(v[i * s : i * s + s], v[k * s : k * s + s]) for v in vectors]
            minors = [
                p[a] * r[b] - p[b] * r[a] + v[a] * u[b] - v[b] * u[a]
                for p, u in parts
                for v, r in parts
                for a, b in combinations(range(s), 2)
            ]
            if not any(minors) and self._same_side(hull.point, i, k, signs):
                return True
        return False

    def _same_side(self, point: Vector, i: int, k: int, signs: Sequence[int]) -> bool:
        """For parallel M_i and M_k: whether their samples are the same (modulo scale, and sign if that changes nothing)."""
        if not self.question.is_homogeneous or self.question.is_even:
            return True
        s = self.size
        return signs[i] * signs[k] * dot(point[i * s : i * s + s], point[k * s : k * s + s]) > 0

    def _another(self, hull: Hull, signs: Sequence[int], atoms: list[Atom]) -> list[Atom]:
        """A member of the family that is not the given data: the interior point, or one beside it."""
        q = self.question
        if ordered(q, atoms) != ordered(q, self.data):
            return atoms
        for direction in hull.directions:
            for step in (ONE / 2**k for k in range(4, 40)):
                point = [p + step * v for p, v in zip(hull.point, direction, strict=True)]
                if q.is_homogeneous or all(point[(i + 1) * self.size - 1] for i in range(len(signs))):
                    moved = self._atoms(point, signs)
                    if q.is_solved_by(moved) and ordered(q, moved) != ordered(q, self.data):
                        return moved
        raise InternalError("a family without a second member")

    def _reaches(self, equations: list[Row], rows: list[Row], signs: Sequence[int]) -> bool:
        """Whether the given data, in some order, lie in the closure."""
        if len(signs) != len(self.data):
            return False
        options = []
        for atom in self.data:
            vectors = [atom.c[0] * u for u in atom.x]
            if self.question.is_homogeneous:
                options.append([(1 if atom.c[0] > 0 else -1, vectors)])
            else:
                options.append([(1 if atom.c[0] > 0 else -1, [*vectors, atom.c[0]])])
            if self.question.is_even:
                options[-1].append((options[-1][0][0], [-v for v in vectors]))
        for order in permutations(options):
            for chosen in product(*order):
                if tuple(sign for sign, _ in chosen) != tuple(signs):
                    continue
                point = [v for _, vector in chosen for v in vector]
                if all(row.at(point) == 0 for row in equations) and all(row.at(point) >= 0 for row in rows):
                    return True
        return False


def _reduced(rows: list[Vector], new: Vector, unknowns: int) -> list[Vector] | None:
    """Rows in reduced echelon form with another one; None if they have no solution."""
    for row in rows:
        factor = new[next(k for k in range(unknowns) if row[k])]
        if factor:
            new = [v - factor * u for v, u in zip(new, row, strict=True)]
    pivot = next((k for k in range(unknowns) if new[k]), None)
    if pivot is None:
        return None if any(new) else rows
    new = [v / new[pivot] for v in new]
    out = []
    for row in rows:
        factor = row[pivot]
        out.append([v - factor * u for v, u in zip(row, new, strict=True)] if factor else row)
    return sorted([*out, new], key=lambda row: next(k for k in range(unknowns) if row[k]))


def distinct(question: Question) -> list[Atom]:
    """The given data as (S) sees them: coincident samples merged, samples without a multiplier left out."""
    merged: dict[tuple, list] = {}
    for x, c in zip(question.X, question.c, strict=True):
        key = tuple(x)
        merged[key] = [u + v for u, v in zip(merged.get(key, [ZERO] * len(c)), c, strict=True)]
    return [Atom(x, tuple(c)) for x, c in merged.items() if any(c)]


def ordered(question: Question, atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    """A name for data: canonical samples in order."""
    return tuple(sorted(question.canonical(atom) for atom in atoms))

"""Families of solutions through the data, found by counting: constant rank, also of a part of the data that moves alone.

Let some samples move within their span, and their multipliers within theirs, while everything else stays. That is the same problem
in fewer coordinates. Where its Jacobian has, at the data, the largest rank it has anywhere, yet too small a rank, the constant
rank theorem gives a real family through the data. Where only the largest rank is too small, the theorem on the dimension of
fibres gives a complex one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
from flint import fmpz_mat, nmod_mat

from identify.symbolic.msolve import PRIME
from soundness_study.equations import Problem


def linear_family(problem: Problem) -> str | None:
    """Other multipliers for the same samples: a real, linear family, as the equations are linear in the multipliers.

    For the group of all scalings a zero sample moves one of its multipliers, which is no other solution.
    """
    rank, multipliers = problem.rank(PRIME, only_multipliers=True), problem.c.size
    zero = sum(not any(x) for x in problem.X) if problem.roots == 0 else 0
    if rank == multipliers - zero:
        return None
    return f"the gradients of the samples are dependent: rank {rank} for {multipliers} multipliers"


def excess(problem: Problem, at_data: bool = True, rng: np.random.Generator | None = None) -> int:
    """Parameters, modulo the ambiguity group, minus the rank of the Jacobian at the data (or at random data)."""
    d, n, _, C = problem.sizes
    if not at_data:
        assert rng is not None
        X, c = (rng.integers(0, PRIME, part.shape).tolist() for part in (problem.X, problem.c))
        problem = replace(problem, X=X, c=c)
    return n * (d + C - (problem.roots == 0)) - problem.rank(PRIME)


def family_of_a_part(problem: Problem, rng: np.random.Generator) -> str | None:
    """A family through the data in which some of the samples move within their span, or None."""
    complex_only = None
    for part, what in _parts(problem):
        here, anywhere = excess(part), excess(part, False, rng)
        if 0 < anywhere == here:
            return f"constant rank of {what}"
        if anywhere > 0 and complex_only is None:
            complex_only = f"dimension of complex fibres, of {what}"
    return complex_only


def _parts(problem: Problem) -> Iterator[tuple[Problem, str]]:
    n = len(problem.X)
    for size in range(n, 0, -1):
        for chosen in map(list, combinations(range(n), size)):
            part = replace(problem, X=problem.X[chosen], c=problem.c[chosen])
            for on_span in (part, _on_span_of_samples(part)):
                for moved in (on_span, _on_line_of_multipliers(on_span)):
                    if moved is not None:
                        d, k, _, C = moved.sizes
                        yield moved, f"{k} samples in {d} dimensions with multipliers in {C}"


def _on_span_of_samples(problem: Problem) -> Problem | None:
    """Coordinates on the span of the samples: linear without biases, affine with them. None where it is everything, or a point."""
    origin = problem.X[0] if problem.b is not None else 0 * problem.X[0]
    directions = _basis(problem.X - origin)
    if not 0 < len(directions) < problem.X.shape[1]:
        return None
    coordinates = _solve(directions, problem.X - origin)
    b = None if problem.b is None else problem.b + problem.W @ origin
    return replace(problem, W=problem.W @ np.array(directions).T, b=b, X=coordinates)


def _on_line_of_multipliers(problem: Problem | None) -> Problem | None:
    """One output, where the multipliers of all samples are parallel."""
    if problem is None or problem.c.shape[1] == 1 or _rank(problem.c) > 1:
        return None
    line = problem.c[:1]
    return replace(problem, A=line @ problem.A, c=_solve(line, problem.c))


def _rank(rows) -> int:
    return fmpz_mat([[int(v) for v in row] for row in rows]).rank()


def _basis(rows: np.ndarray) -> np.ndarray:
    """Rows that are independent and span the others."""
    chosen: list[int] = []
    for i in range(len(rows)):
        if _rank(rows[[*chosen, i]]) > len(chosen):
            chosen.append(i)
    return rows[chosen]


def _solve(directions: np.ndarray, points: np.ndarray) -> list[list[int]]:
    """Coordinates of the points on independent directions, as residues modulo :data:`PRIME`."""
    gram = directions @ directions.T
    inner = directions @ points.T
    left, right = (nmod_mat(*part.shape, [int(v) % PRIME for v in part.reshape(-1)], PRIME) for part in (gram, inner))
    return [[int(v) for v in row] for row in left.solve(right).transpose().tolist()]

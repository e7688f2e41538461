r"""Full column rank of a Jacobian that is too large to eliminate here, from solutions for right-hand sides that nobody could choose.

A matrix J has independent columns exactly when :math:`J^\top y = b` has a solution for every b. If it does not, a random b modulo q has one
with probability at most 1/q (Freivalds 1979; Kaltofen, Nehring & Saunders 2011). The right-hand sides are drawn from the
SHA-256 of everything that determines J, so that a certificate cannot be made to fit them (Fiat & Shamir 1986): as many of them as bring
the probability below :math:`2^{-128}`. The products :math:`J^\top y` are the gradient of :math:`y \cdot F` for F the right-hand side of
(S), in closed form, so that no matrix is ever there: O(n m (d + C)) for each.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import ceil, log2
from typing import Any

from flint import nmod_mat

from identify.checker.matrices import MULTIPLIED_PER_SECOND, Point
from identify.checker.reading import canonical_hash, integer, need
from identify.checker.watch import watch

BITS = 128
"""A right-hand side with a solution by chance: probability below 2^-128 for all of them together."""
KEY = "solutions"
"""Of a step: one solution for each right-hand side, a residue for each of its rows."""
ENTRIES_PER_SECOND = 2e6
"""Numbers of a matrix of samples by neurons that are computed in plain Python, on one core (measured)."""


def seed_of(body: dict[str, Any]) -> str:
    """The hash of all that a certificate says but for the solutions themselves."""
    steps = body["steps"]
    if type(steps) is list:
        steps = [{name: value for name, value in step.items() if name != KEY} if type(step) is dict else step for step in steps]
    return canonical_hash({name: body[name] for name in ("claim", "numbers", "point")} | {"steps": steps})


def number_needed(q: int) -> int:
    """Of right-hand sides modulo q."""
    return ceil(BITS / log2(q))


def right_hand_side(seed: str, number: int, size: int, q: int) -> list[int]:
    """Residues from SHAKE-256, each of 64 bits before it is reduced."""
    stream = hashlib.shake_256(f"{seed}/{number}".encode("ascii")).digest(8 * size)
    return [int.from_bytes(stream[at : at + 8], "big") % q for at in range(0, 8 * size, 8)]


def need_solutions(point: Point, equations: Sequence[tuple[str, int, int]], solutions: Any, seed: str, free_scale: bool) -> None:
    """Refuse unless the columns are independent, all of them or, if scales are free, all but the last of each sample.

    (There (x, -p c) is in the kernel, so the others span as much.)
    """
    q, n, m, size = point.q, len(point.X), len(point.W), point.d + len(point.A)
    need(type(solutions) is list and len(solutions) == number_needed(q), f"{KEY}: expected {number_needed(q)}")
    seconds = len(solutions) * n * m * (5 / ENTRIES_PER_SECOND + 3 * size / MULTIPLIED_PER_SECOND)
    watch().begin(f"{len(solutions)} products with the Jacobian of {n} samples", seconds)
    gradient = Gradient(point)
    kept = [k for k in range(n * size) if not free_scale or k % size != size - 1]
    for number, solution in enumerate(solutions):
        need(type(solution) is list and len(solution) == len(equations), f"{KEY}: expected a number for each row")
        for value in solution:
            integer(KEY, value, 0, q - 1)
        found = gradient.along(equations, solution)
        need([found[k] for k in kept] == right_hand_side(seed, number, len(kept), q), f"{KEY}: {number + 1} is not a solution")


class Gradient:
    """The gradient of y . F in the data: F = (sum_i g_ij sigma'(z_ij) x_i, sum_i g_ij sigma'(z_ij), sum_i c_i sigma(z_ij))_j."""

    def __init__(self, point: Point):
        q, m, n = point.q, len(point.W), len(point.X)
        self.point, self.W = point, nmod_mat(m, point.d, [v for row in point.W for v in row], q)
        self.X = nmod_mat(n, point.d, [v for row in point.X for v in row], q)
        self.A = nmod_mat(len(point.A), m, [v for row in point.A for v in row], q)
        self.c = nmod_mat(n, len(point.A), [v for row in point.c for v in row], q)
        z = _entries(self.X * self.W.transpose())
        at = [v + point.b[k % m] for k, v in enumerate(z)]
        self.s = [[point.sigma(k, v) for v in at] for k in range(3)]
        self.g = _entries(self.c * self.A)

    def along(self, equations: Sequence[tuple[str, int, int]], y: Sequence[int]) -> list[int]:
        """In the order of the columns (x_1, c_1, x_2, ...)."""
        point, q, m, n, C = self.point, self.point.q, len(self.point.W), len(self.point.X), len(self.point.A)
        on_W, on_b, on_a = [0] * (m * point.d), [0] * m, [0] * (C * m)
        for (part, j, t), value in zip(equations, y, strict=True):
            if part == "W":
                on_W[j * point.d + t] = value
            elif part == "bias":
                on_b[j] = value
            else:
                on_a[t * m + j] = value
        Y, on_second = nmod_mat(m, point.d, on_W, q), nmod_mat(C, m, on_a, q)
        slopes = [v + on_b[k % m] for k, v in enumerate(_entries(self.X * Y.transpose()))]  # y_j . x_i, and of the bias
        values = _entries(self.c * on_second)
        s0, s1, s2 = self.s
        along_w = [(g * u * h + v * r) % q for g, u, h, v, r in zip(self.g, s2, slopes, values, s1, strict=True)]
        along_y = [g * r % q for g, r in zip(self.g, s1, strict=True)]
        in_x = nmod_mat(n, m, along_w, q) * self.W + nmod_mat(n, m, along_y, q) * Y
        steep = nmod_mat(n, m, [r * h % q for r, h in zip(s1, slopes, strict=True)], q)
        in_c = steep * self.A.transpose() + nmod_mat(n, m, s0, q) * on_second.transpose()
        return [int(v) for x, c in zip(in_x.table(), in_c.table(), strict=True) for v in (*x, *c)]


def _entries(matrix: nmod_mat) -> list[int]:
    return list(map(int, matrix.entries()))

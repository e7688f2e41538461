"""The matrices of a certificate, each built row by row from the definition, and their ranks modulo a prime.

Part of the checker: imports the standard library, python-flint, and the checker's own reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from math import comb
from operator import mul
from typing import Any

from flint import fmpq_mat, nmod_mat

from identify.checker.reading import need_small

MAX_ENTRIES = 2 * 10**8
"""Entries of the largest matrix that is built (8 bytes each)."""


MAX_RATIONALS = 10**5
"""Entries of the largest matrix whose rank is taken over the rationals."""


class Exact:
    """A modulus that leaves every number as it is: for rationals and balls in place of residues."""

    def __rmod__(self, value):
        return value


@dataclass
class Point:
    """Network and data modulo q (or in another ring, with q = ``Exact()``), in coordinates of dimension d."""

    q: Any
    d: int
    W: list[list[int]]
    A: list[list[int]]
    b: list[int]
    X: list[list[int]]
    c: list[list[int]]
    s: list[int]

    def sigma(self, k: int, z: int) -> int:
        """The k-th derivative of the activation."""
        value = 0
        for j in range(len(self.s) - 1, k - 1, -1):
            factor = self.s[j]
            for i in range(k):
                factor *= j - i
            value = (value * z + factor) % self.q
        return value

    def slopes(self, j: int) -> list[int]:
        """The factor of x_i in the first-layer equation of neuron j: g_ij sigma'(w_j x_i + b_j)."""
        z = [dot(self.W[j], x) + self.b[j] for x in self.X]
        return [sum(g * a[j] for g, a in zip(c, self.A, strict=True)) * self.sigma(1, v) % self.q for c, v in zip(self.c, z, strict=True)]

    def on_span(self, affine: bool) -> Point:
        """x = z_1 x_1 + ... + z_n x_n; where bias rows are observed x = x_n + z_1 (x_1 - x_n) + ..., one dimension less."""
        last = self.X[-1] if affine else [0] * self.d
        directions = [[u - v for u, v in zip(x, last, strict=True)] for x in (self.X[:-1] if affine else self.X)]
        size = len(directions)
        W = [[dot(w, v) % self.q for v in directions] for w in self.W]
        b = [(dot(w, last) + value) % self.q for w, value in zip(self.W, self.b, strict=True)]
        return replace(self, d=size, W=W, b=b, X=[[int(i == k) for k in range(size)] for i in range(len(self.X))])

    def moment_rows(self, equations: Sequence[tuple[str, int, int]], degrees: Sequence[int]) -> Iterator[dict[int, int]]:
        """Equations as linear forms in the y_e = sum_i c_i x_i^e/e!, from sigma(w x + b) = sum_e sigma^(|e|)(b) w^e x^e/e!.

        Second-layer rows are that series, those of the first layer are its derivatives: by b, and by the t-th weight.
        """
        monomials = {k: list(combinations_with_replacement(range(self.d), k)) for k in range(max(degrees) + 1)}
        names = [(o, e) for o in range(len(self.A)) for k in degrees for e in monomials[k]]
        column = {name: at for at, name in enumerate(names)}
        neuron = -1
        power: dict[tuple[int, ...], int] = {}
        for part, j, t in equations:
            if j != neuron:
                neuron, power = j, {(): 1}
                for k in range(1, max(degrees) + 1):
                    for e in monomials[k]:
                        power[e] = power[e[:-1]] * self.W[j][e[-1]] % self.q
            row: dict[int, int] = {}
            for k in degrees:
                factor = self.sigma(k + (part == "bias"), self.b[j])
                if part == "a":
                    row |= {column[t, e]: factor * power[e] % self.q for e in monomials[k]}
                    continue
                if part == "bias":
                    terms = [(e, factor * power[e]) for e in monomials[k]]
                else:
                    terms = [(tuple(sorted((*e, t))), factor * (e.count(t) + 1) * power[e]) for e in (monomials[k - 1] if k else ())]
                for o, a in enumerate(self.A):
                    row |= {column[o, e]: a[j] * value % self.q for e, value in terms}
            yield row

    def jacobian_rows(self, equations: Sequence[tuple[str, int, int]]) -> Iterator[dict[int, int]]:
        """Derivatives of the equations sum_i g_ij sigma'(z_ij) x_it, sum_i g_ij sigma'(z_ij), sum_i c_it sigma(z_ij) by (x_i, c_i)."""
        for part, j, t in equations:
            row: list[int] = []
            for x, c in zip(self.X, self.c, strict=True):
                z = dot(self.W[j], x) + self.b[j]
                value, slope, curvature = (self.sigma(k, z) for k in range(3))
                a = [weights[j] for weights in self.A]
                g = dot(a, c)
                if part == "W":
                    row += [g * (curvature * w * x[t] + slope * (k == t)) for k, w in enumerate(self.W[j])] + [v * slope * x[t] for v in a]
                elif part == "bias":
                    row += [g * curvature * w for w in self.W[j]] + [v * slope for v in a]
                else:
                    row += [c[t] * slope * w for w in self.W[j]] + [value * (o == t) for o in range(len(a))]
            yield {at: value % self.q for at, value in enumerate(row)}


def dot(u: Sequence, v: Sequence):
    return sum(map(mul, u, v))


def rank_of_rows(rows: Iterator[dict[int, int]], count: int, columns: int, q: int) -> int:
    """Rank modulo q of a matrix given by its rows."""
    need_fit(count, columns)
    matrix = nmod_mat(count, columns, q)
    for i, row in enumerate(rows):
        for j, value in row.items():
            if value:
                matrix[i, j] = value
    return int(matrix.rank())


def rational_rank(rows: Iterator[dict[int, Any]], count: int, columns: int) -> int:
    """Rank over the rationals of a matrix given by its rows."""
    need_small(count * columns <= MAX_RATIONALS, f"a matrix of {count} by {columns} rationals is too large")
    matrix = fmpq_mat(count, columns)
    for i, row in enumerate(rows):
        for j, value in row.items():
            matrix[i, j] = value
    return int(matrix.rank())


def need_fit(rows: int, columns: int) -> None:
    need_small(rows * columns <= MAX_ENTRIES, f"a matrix of {rows} by {columns} is too large")


def dense_rank(rows: Sequence[Sequence[int]], q: int) -> int:
    """Rank modulo q of a list of rows."""
    return rank_of_rows((dict(enumerate(v % q for v in row)) for row in rows), len(rows), len(rows[0]) if rows else 0, q)


def monomial_count(d: int, k: int) -> int:
    return comb(d + k - 1, k) if d else int(k == 0)


def residue(value: float, q: int) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator * pow(denominator, -1, q) % q

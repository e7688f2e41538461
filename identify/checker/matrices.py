"""The matrices of a certificate, each built row by row from the definition, and their ranks modulo a prime.

Part of the checker: imports the standard library, python-flint, and the checker's own reading.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, islice
from math import comb
from operator import mul
from typing import Any

from flint import fmpq_mat, nmod_mat

from identify.checker.reading import need_small
from identify.checker.watch import watch

Row = list[int] | dict[int, int]

MAX_ENTRIES = 2 * 10**8
"""Entries of the largest matrix that is built (8 bytes each)."""


BLOCK = 256
"""Rows and columns that python-flint is given at once: a few hundredths of a second."""
AT_ONCE = 1000
"""Columns up to which a matrix is one block."""
BUILT_PER_SECOND, MULTIPLIED_PER_SECOND = 1.5e6, 1.5e9
"""Entries computed in plain Python and given to python-flint, and multiplications there, on one core (measured)."""
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
        """x = z_1 x_1 + ... + z_n x_n; if bias rows are observed x = x_n + z_1 (x_1 - x_n) + ..., one dimension less."""
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

    def jacobian_rows(self, equations: Sequence[tuple[str, int, int]]) -> Iterator[list[int]]:
        """Derivatives of the equations sum_i g_ij sigma'(z_ij) x_it, sum_i g_ij sigma'(z_ij), sum_i c_it sigma(z_ij) by (x_i, c_i)."""
        q, neuron = self.q, -1
        for part, j, t in equations:
            if j != neuron:  # what its equations share
                neuron, w, a = j, self.W[j], [weights[j] for weights in self.A]
                at = [[self.sigma(k, z) for k in range(3)] for z in (dot(w, x) + self.b[j] for x in self.X)]
                g = [dot(a, c) for c in self.c]
                along = [[g_i * curvature * v % q for v in w] for g_i, (_, _, curvature) in zip(g, at, strict=True)]
                steep = [g_i * slope % q for g_i, (_, slope, _) in zip(g, at, strict=True)]
                by_c = [[v * slope % q for v in a] for _, slope, _ in at]
            row: list[int] = []
            for i, x in enumerate(self.X):
                if part == "W":
                    factor, start = x[t], len(row)
                    row += [v * factor % q for v in along[i]]
                    row[start + t] = (row[start + t] + steep[i]) % q
                    row += [v * factor % q for v in by_c[i]]
                elif part == "bias":
                    row += along[i] + by_c[i]
                else:
                    value, slope, _ = at[i]
                    factor = self.c[i][t] * slope
                    row += [factor * v % q for v in w] + [value * (o == t) for o in range(len(a))]
            yield row


def dot(u: Sequence, v: Sequence):
    return sum(map(mul, u, v))


def rank_of_rows(rows: Iterator[Row], count: int, columns: int, q: int) -> int:
    """Rank modulo q of a matrix given by its rows, each a list, or a dictionary of what is not zero."""
    need_fit(count, columns)
    watch().begin(f"rank of a {count} by {columns} matrix", rank_seconds(count, columns))
    if columns > AT_ONCE:
        return _rank_by_blocks(rows, columns, q)
    return int(nmod_mat(count, columns, [v for row in rows for v in _dense(row, columns)], q).rank()) if count and columns else 0


def rank_seconds(rows: int, columns: int) -> float:
    """An estimate of the CPU time of :func:`rank_of_rows`."""
    low = min(rows, columns)
    return rows * columns / BUILT_PER_SECOND + low * low * (max(rows, columns) - low / 3 * 2) / MULTIPLIED_PER_SECOND


def _rank_by_blocks(rows: Iterator[Row], columns: int, q: int) -> int:
    """Elimination by square blocks, so that it can be stopped, and keeps the upper half only.

    Some rows at a time are reduced by the blocks that are done; if their next square is invertible it becomes one of these, otherwise the
    rows wait. The rank of what still waits at the end, in the columns that are left, comes on top.
    """
    order = list(range(columns))
    random.Random(0).shuffle(order)  # neighbouring columns may be zero in neighbouring rows
    spans = [order[start : start + BLOCK] for start in range(0, columns, BLOCK)]
    done: list[list[nmod_mat]] = []
    waiting: list[tuple[int, list[nmod_mat]]] = []
    for some in iter(lambda: [_dense(row, columns) for row in islice(rows, BLOCK)], []):
        tiles = [nmod_mat(len(some), len(span), [row[k] for row in some for k in span], q) for span in spans]
        tiles = _reduced(tiles, done, 0)
        if len(done) < len(spans) and len(some) == len(spans[len(done)]):
            try:
                inverse = tiles[0].inv()
            except ZeroDivisionError:
                pass
            else:
                done.append([inverse * tile for tile in tiles[1:]])
                continue
        waiting.append((len(done), tiles))
    rest = [_reduced(tiles, done, start) for start, tiles in waiting]
    width, height = columns - len(done) * BLOCK, sum(tiles[0].nrows() for tiles in rest if tiles)
    if width <= 0 or not height:
        return min(columns, len(done) * BLOCK)
    joined = [v for tiles in rest for row in zip(*(tile.table() for tile in tiles), strict=True) for part in row for v in part]
    return len(done) * BLOCK + int(nmod_mat(height, width, joined, q).rank())


def _reduced(tiles: list[nmod_mat], done: list[list[nmod_mat]], start: int) -> list[nmod_mat]:
    """The tiles of some rows, from column block ``start`` on, less what the blocks that are done say of them; those are left out."""
    for above in done[start:]:
        watch().look()
        factor, *tiles = tiles
        tiles = [tile - factor * other for tile, other in zip(tiles, above, strict=True)]
    return tiles


def _dense(row: Row, columns: int) -> list[int]:
    if isinstance(row, list):
        return row
    out = [0] * columns
    for k, value in row.items():
        out[k] = value
    return out


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
    return rank_of_rows(([v % q for v in row] for row in rows), len(rows), len(rows[0]) if rows else 0, q)


def monomial_count(d: int, k: int) -> int:
    return comb(d + k - 1, k) if d else int(k == 0)


def residue(value: float, q: int) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator * pow(denominator, -1, q) % q

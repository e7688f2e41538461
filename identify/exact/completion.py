r"""Moments of at most n samples that have the given target: polynomial equations in the moments that the target does not show.

Let y be the moments of the given data and K a basis of the kernel of the interpolation matrix: other data have moments y + K s. The
matrices :math:`\sum_i \gamma_i \otimes \varphi_S(x_i) \otimes \varphi_T(x_i)` of moments, for sets of degrees S and T whose sums are all
visible, have rank at most n for at most n samples, so their minors of size n + 1 vanish: forms of degree n + 1 in s and one variable more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import comb

import numpy as np
from jaxtyping import Int

from identify.base.limits import refuse_above, refuse_late, refuse_when_spent
from identify.exact.elimination import centred, to_flint, to_numpy
from identify.exact.instance import Residues
from identify.exact.kernel import Kernel
from identify.exact.macaulay import Generators, Module
from identify.exact.modular import multiply
from identify.problem.interpolation import Monomials

SPARE = 8
"""Minors beyond the number of monomials of their degree: random combinations of all minors, so they span what all of them span."""


@dataclass(frozen=True)
class Flattening:
    """Two sets of degrees, of rows and of columns, whose sums are all visible; rows carry the multipliers."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def shape(self, coordinates: int, outputs: int) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return outputs * _size(coordinates, self.rows), _size(coordinates, self.columns)


def flattenings(degrees: tuple[int, ...], coordinates: int, outputs: int, n: int) -> list[Flattening]:
    """Those with more than n rows and columns, of which no larger one contains them."""
    visible, top = set(degrees), max(degrees)
    found: list[Flattening] = []
    for start, step, count in product(range(top + 1), range(1, top + 1), range(1, top + 2)):
        rows = tuple(range(start, start + step * count, step))
        columns = tuple(k for k in range(top + 1) if all(k + r in visible for r in rows))
        if rows[-1] > top or not columns or (count == 1 and step > 1):
            continue
        rows = tuple(r for r in range(top + 1) if all(k + r in visible for k in columns))
        candidate = Flattening(rows, columns)
        if candidate not in found and min(candidate.shape(coordinates, outputs)) > n:
            found.append(candidate)
    return found


def minors(point: Residues, parts: list[Flattening], rng: np.random.Generator, *, largest: int) -> tuple[Module, Generators] | None:
    """Forms in the coordinates of the kernel, each a random combination of minors of one of the matrices.

    None if the kernel is zero, or if there are more than ``largest`` monomials of degree n + 1.

    Cost: for M monomials of degree at most n + 1 in the coordinates, M^2 determinants of size n + 1 and the inverse of an M by M matrix.
    """
    q, n = point.q, len(point.X)
    kernel = _kernel(point)
    size = len(kernel)
    if not size or monomials(n, size) > largest:
        return None
    refuse_above(minors_bytes(n, size), "the minors of moments")
    refuse_late(minors_seconds(n, size), "the minors of moments")
    moments = np.vstack([_moments(point), kernel])
    blocks = [Monomials.of(size, k) for k in range(n + 2)]
    count = sum(map(len, blocks))
    places = rng.integers(0, q, (count, size))
    values = np.hstack([part.values(places, point.reduce) for part in blocks])
    inverse = to_numpy(to_flint(values, q).inv())
    dets = np.empty((count + SPARE, count), dtype=np.int64)
    at = np.hstack([np.ones((count, 1), dtype=np.int64), places])
    flattened = [_matrices(point, part, moments) for part in parts]
    for number in range(count + SPARE):
        refuse_when_spent("the minors of moments")
        matrices = flattened[number % len(parts)]
        left = rng.integers(0, q, (n + 1, matrices.shape[1]))
        right = rng.integers(0, q, (matrices.shape[2], n + 1))
        small = np.stack([multiply(multiply(left, matrix, q), right, q) for matrix in matrices]).reshape(size + 1, -1)
        dets[number] = determinants(multiply(at, small, q).reshape(count, n + 1, n + 1), q)
    coefficients = centred(multiply(inverse, dets.T, q).T, q)
    ends = np.cumsum([0, *map(len, blocks)])
    return Module(size), Generators(n + 1, {k: coefficients[:, ends[k] : ends[k + 1]] for k in range(n + 2)})


def monomials(n: int, size: int) -> int:
    """The number of monomials of degree at most n + 1 in that many coordinates."""
    return comb(size + n + 1, n + 1)


def minors_seconds(n: int, size: int) -> float:
    """An estimate of the CPU time of :func:`minors` for n samples and a kernel of that dimension."""
    count = monomials(n, size)
    return 1e-3 * count + 4e-9 * count**2 * 2 ** (n + 1) * (n + 1) + 2 * count**3 / 1e9


def minors_bytes(n: int, size: int) -> int:
    """Bytes of its largest arrays."""
    count = monomials(n, size)
    return 8 * count * (4 * count + 2 ** (n + 2))


def determinants(matrices: Int[np.ndarray, "count k k"], q: int) -> Int[np.ndarray, " count"]:
    """Determinants modulo q of many small matrices, by expansion along the rows: no division."""
    k = matrices.shape[1]
    partial = {0: np.ones(len(matrices), dtype=np.int64)}
    for row in range(k):
        following: dict[int, np.ndarray] = {}
        for used, value in partial.items():
            for column in range(k):
                if used >> column & 1:
                    continue
                sign = -1 if (used >> column).bit_count() % 2 else 1
                term = sign * (value * matrices[:, row, column] % q)
                key = used | 1 << column
                following[key] = (following[key] + term) % q if key in following else term % q
        partial = following
    return partial[(1 << k) - 1]


def _kernel(point: Residues) -> Int[np.ndarray, "size N"]:
    """A basis of the kernel of the interpolation matrix modulo q."""
    matrix = point.interpolation()
    kernel = Kernel(matrix.shape[1], point.q)
    kernel.add(np.arange(matrix.shape[1]), centred(matrix, point.q))
    out = np.zeros((len(kernel.free), matrix.shape[1]), dtype=np.int64)
    out[np.arange(len(out)), kernel.free] = 1
    for resolved, values in kernel.blocks:
        out[:, resolved] = values
    return out % point.q


def _moments(point: Residues) -> Int[np.ndarray, "1 N"]:
    """The moments of the data, each divided by e!, in the order of the columns of the interpolation matrix."""
    q, d = point.q, point.X.shape[1]
    columns = []
    for k in point.degrees:
        monomials = Monomials.of(d, k)
        inverse = np.array([pow(int(f), -1, q) for f in monomials.factorials()], dtype=np.int64)
        columns.append(monomials.values(point.X, point.reduce) * inverse % q)
    return multiply(point.c.T.copy(), np.hstack(columns), q).reshape(1, -1)


def _matrices(point: Residues, part: Flattening, moments: np.ndarray) -> Int[np.ndarray, "vectors rows columns"]:
    """The flattening of each vector of moments: rows by output and monomial."""
    d, q, C = point.X.shape[1], point.q, len(point.A)
    starts = dict(zip(point.degrees, np.cumsum([0, *(_size(d, (k,)) for k in point.degrees)]).tolist(), strict=False))
    per_output = moments.shape[1] // C
    tables = {k: (Monomials.of(d, k).codes(d + 1), Monomials.of(d, k).factorials().astype(np.int64)) for k in point.degrees}
    out = []
    for o in range(C):
        bands = []
        for r in part.rows:
            band = []
            for c in part.columns:
                codes, factorials = tables[r + c]
                rows, columns = Monomials.of(d, r).index, Monomials.of(d, c).index
                index = np.hstack([np.repeat(rows, len(columns), axis=0), np.tile(columns, (len(rows), 1))])
                at = np.searchsorted(codes, Monomials(r + c, np.sort(index, axis=1)).codes(d + 1))
                values = moments[:, o * per_output + starts[r + c] + at] * factorials[at] % q
                band.append(values.reshape(len(moments), len(rows), len(columns)))
            bands.append(np.concatenate(band, axis=2))
        out.append(np.concatenate(bands, axis=1))
    return np.concatenate(out, axis=1)


def _size(coordinates: int, degrees: tuple[int, ...]) -> int:
    return sum(comb(coordinates + k - 1, k) if coordinates else int(k == 0) for k in degrees)

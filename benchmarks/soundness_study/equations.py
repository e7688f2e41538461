"""The stationarity equations of one instance, written from their definition, as polynomials over the integers.

They are linear in the moments sum_i c_i x_i^e, so each is a polynomial in one sample, to be integrated against the data; the
echelon form of these linear equations is what the algebra programs get. Everything is in Python integers: residues modulo
a prime are integers that are reduced at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd, prod

import numpy as np
from flint import fmpz_mat, fmpz_mpoly_ctx, nmod_mat
from sympy import Symbol

from identify.symbolic.export import Terms

Moment = tuple[int, tuple[int, ...]]
"""An output o and exponents e: the moment sum_i c_io x_i^e."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, the data that make its target, and which layers are seen. Integers throughout.

    ``s`` are the coefficients of the activation; ``b`` is None without biases; ``A`` has one row and ``c`` one column for each output.
    """

    s: tuple[int, ...]
    W: np.ndarray
    b: np.ndarray | None
    A: np.ndarray
    X: np.ndarray
    c: np.ndarray
    layers: str

    def __post_init__(self) -> None:
        for name in ("W", "b", "A", "X", "c"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.array(value, dtype=object))

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """d, n, m, C."""
        return self.X.shape[1], len(self.X), len(self.W), len(self.A)

    @property
    def degrees(self) -> tuple[int, ...]:
        """Degrees of the moments that can occur in the equations."""
        first, p = self.layers == "first", len(self.s) - 1
        if self.b is not None:
            return tuple(range(p + 1))
        return tuple(k for k in range(p + 1) if self.s[k] and (k or not first))

    @property
    def roots(self) -> int:
        """The order g of the group of complex t that act on a sample by (t x, t^-k c), k a visible degree; 0 for every t."""
        return gcd(*(k - self.degrees[0] for k in self.degrees))

    def target(self, X, c) -> list[int]:
        """The observed gradients, evaluated as they stand: first-layer weights, biases, second layer."""
        Z = X @ self.W.T + (0 if self.b is None else self.b)
        slopes = (c @ self.A) * sum(k * v * Z ** (k - 1) for k, v in enumerate(self.s) if k)
        parts = []
        if self.layers != "second":
            parts += [slopes.T @ X] + ([] if self.b is None else [slopes.sum(axis=0)])
        if self.layers != "first":
            parts.append(c.T @ sum(v * Z**k for k, v in enumerate(self.s)))
        return [int(value) for part in parts for value in part.reshape(-1)]

    @cached_property
    def rows(self) -> list[dict[Moment, int]]:
        """The coefficients of the moments in every equation, in the order of :meth:`target`, from expanded polynomials."""
        d, _, m, C = self.sizes
        ring = fmpz_mpoly_ctx.get([f"x{k}" for k in range(d)], "degrevlex")
        x = ring.gens()
        z = [sum((int(w) * g for w, g in zip(self.W[j], x, strict=True)), ring.constant(0)) for j in range(m)]
        if self.b is not None:
            z = [f + int(offset) for f, offset in zip(z, self.b, strict=True)]
        slope = [sum((k * v * f ** (k - 1) for k, v in enumerate(self.s) if k), ring.constant(0)) for f in z]
        value = [sum((v * f**k for k, v in enumerate(self.s)), ring.constant(0)) for f in z]
        out = []
        if self.layers != "second":
            out += [self._weighted(slope[j] * g, j) for j in range(m) for g in x]
            out += [] if self.b is None else [self._weighted(slope[j], j) for j in range(m)]
        if self.layers != "first":
            out += [{(o, _exponents(e)): int(v) for e, v in value[j].to_dict().items()} for o in range(C) for j in range(m)]
        return out

    def _weighted(self, f, j: int) -> dict[Moment, int]:
        terms = f.to_dict().items()
        return {(o, _exponents(e)): int(v) * int(row[j]) for o, row in enumerate(self.A) for e, v in terms if row[j]}

    @cached_property
    def moments(self) -> list[Moment]:
        """The moments that occur, of highest degree first."""
        return sorted({key for row in self.rows for key in row}, key=lambda key: (-sum(key[1]), key))

    def echelon(self, modulus: int | None) -> list[list[int]]:
        """The reduced echelon form of the equations in the moments, right-hand sides from the data as the last column."""
        values = [sum(int(c) * _power(x, e) for x, c in zip(self.X, self.c[:, o], strict=True)) for o, e in self.moments]
        matrix = []
        for row in self.rows:
            coefficients = [row.get(key, 0) for key in self.moments]
            matrix.append([*coefficients, sum(u * v for u, v in zip(coefficients, values, strict=True))])
        if modulus is None:
            form, _, rank = fmpz_mat(matrix).rref()
        else:
            form, rank = nmod_mat(len(matrix), len(matrix[0]), [v % modulus for row in matrix for v in row], modulus).rref()
        return [[int(v) for v in row] for row in form.tolist()[:rank]]

    def polynomials(self, samples: int, modulus: int | None, form: Sequence[int] | None = None) -> list[Terms]:
        """The equations for that many samples in :func:`unknowns`, with form(x_i) = 1 for each sample where a ``form`` is given."""
        x, c = unknowns(self.sizes, samples)
        out: list[Terms] = []
        for row in self.echelon(modulus):
            terms: Terms = [
                (v, (*((x[i][q], k) for q, k in enumerate(e) if k), (c[i][o], 1)))
                for v, (o, e) in zip(row, self.moments, strict=False)
                if v
                for i in range(samples)
            ]
            out.append(primitive([*terms, (-row[-1], ())] if row[-1] else terms))
        if form is not None:
            out += [[*((v, ((symbol, 1),)) for v, symbol in zip(form, sample, strict=True)), (-1, ())] for sample in x]
        return out

    def rank(self, modulus: int, only_multipliers: bool = False) -> int:
        """Rank of the Jacobian of the equations at the data, in (x_i, c_i), or in the c_i alone."""
        d, _, _, C = self.sizes
        rows = [row[:-1] for row in self.echelon(modulus)]
        derivatives = []
        for o, e in self.moments:
            line = []
            for x, c in zip(self.X, self.c, strict=True):
                if not only_multipliers:
                    line += [int(c[o]) * e[q] * _power(x, _lowered(e, q)) if e[q] else 0 for q in range(d)]
                line += [_power(x, e) if k == o else 0 for k in range(C)]
            derivatives.append(line)
        left = nmod_mat(len(rows), len(self.moments), [v % modulus for row in rows for v in row], modulus)
        right = nmod_mat(len(self.moments), len(derivatives[0]), [v % modulus for row in derivatives for v in row], modulus)
        return (left * right).rank()

    def normalised(self, form: Sequence[int], modulus: int) -> Problem:
        """For the group of all scalings: the same data with form(x_i) = 1, as residues."""
        k = self.degrees[0]
        factors = [sum(u * int(v) for u, v in zip(form, x, strict=True)) % modulus for x in self.X]
        X = [[int(v) * pow(f, -1, modulus) % modulus for v in x] for f, x in zip(factors, self.X, strict=True)]
        c = [[int(v) * pow(f, k, modulus) % modulus for v in row] for f, row in zip(factors, self.c, strict=True)]
        return replace(self, X=X, c=c)


def unknowns(sizes: tuple[int, int, int, int], samples: int) -> tuple[list[list[Symbol]], list[list[Symbol]]]:
    """Symbols of the samples and of their multipliers."""
    d, _, _, C = sizes
    x = [[Symbol(f"x_{i + 1}_{q + 1}") for q in range(d)] for i in range(samples)]
    c = [[Symbol(f"c_{i + 1}_{o + 1}") for o in range(C)] for i in range(samples)]
    return x, c


def primitive(terms: Terms) -> Terms:
    """The polynomial without common factors of its coefficients."""
    content = gcd(*(v for v, _ in terms)) or 1
    return [(v // content, monomial) for v, monomial in terms]


def _power(x, exponents: Sequence[int]) -> int:
    return prod(int(v) ** k for v, k in zip(x, exponents, strict=True))


def _lowered(exponents: Sequence[int], at: int) -> tuple[int, ...]:
    return tuple(k - (q == at) for q, k in enumerate(exponents))


def _exponents(flint) -> tuple[int, ...]:
    return tuple(int(k) for k in flint)

r"""The equations of a single sample, as forms modulo a prime: every sample of every solution satisfies them.

If the first-layer update has rank n, then :math:`(A^\top\gamma)\circ\sigma'(Wx + b)` lies in its column space for every sample x of every
data set with at most n samples; if the second-layer update has rank n, then :math:`\sigma(Wx + b)` lies in its row space. A basis of the
space is known from the given data, and each further neuron gives one equation.
"""

from __future__ import annotations

from math import gcd

import numpy as np

from identify.exact.elimination import centred, to_flint, to_numpy
from identify.exact.instance import Residues
from identify.exact.macaulay import Generators
from identify.exact.modular import multiply, pivots, rank
from identify.problem.activation import horner
from identify.problem.interpolation import Monomials


def first_layer(point: Residues, outputs: list[int]) -> Generators | None:
    r"""One form for each live neuron beyond n: degree p - 1 in x, linear in the multipliers of ``outputs``, whose rows of A span all.

    None if the slopes have rank below n modulo the prime.
    """
    q, live = point.q, point.A.any(axis=0)
    slopes = point.slopes()[live]
    basis = _basis(slopes, q)
    if basis is None:
        return None
    blocks = {}
    for k in _sizes(point, 1):
        values = _values(point, k, 1)[live]
        blocks[k] = np.hstack([values * A[live, None] % q for A in point.A[outputs]])
    return _combined(blocks, slopes, basis, len(point.derivatives[1]) - 1, q)


def second_layer(point: Residues, outputs: int) -> Generators | None:
    """One form of degree p in x for each neuron beyond n, times each of ``outputs`` multipliers; None if the rank is below n."""
    q = point.q
    z = (multiply(point.X, point.W.T, q) + point.offsets).T % q
    values = horner(point.derivatives[0], z, point.reduce)
    basis = _basis(values, q)
    if basis is None or rank(point.c, q) < len(point.X):
        return None
    one = _combined({k: _values(point, k, 0) for k in _sizes(point, 0)}, values, basis, len(point.derivatives[0]) - 1, q)
    eye = np.eye(outputs, dtype=np.int64)
    return Generators(one.degree, {k: np.kron(eye, block) for k, block in one.blocks.items()})


def weight_of(sizes: list[int]) -> int:
    """The weight of the homogenising variable for monomials of these sizes: the gcd of their differences, 0 for one size."""
    return gcd(*(k - sizes[0] for k in sizes))


def _sizes(point: Residues, order: int) -> list[int]:
    """The degrees in x of the derivative of that order: all with a bias, otherwise those of its coefficients."""
    coefficients = point.derivatives[order]
    return [k for k, value in enumerate(coefficients) if value or point.offsets.any()]


def _values(point: Residues, size: int, order: int) -> np.ndarray:
    r""":math:`\sigma^{(size + order)}(b_j)\, w_j^e / e!` for all monomials e of that size."""
    monomials, q = Monomials.of(point.W.shape[1], size), point.q
    inverse = np.array([pow(int(f), -1, q) for f in monomials.factorials()], dtype=np.int64)
    at_bias = horner(point.derivatives[size + order], point.offsets, point.reduce)[:, None]
    return monomials.values(point.W, point.reduce) * at_bias % q * inverse % q


def _basis(columns: np.ndarray, q: int) -> list[int] | None:
    """Rows of an invertible square part of a matrix with n columns; None if they are dependent."""
    rows, found = pivots(columns, q)
    return rows if len(found) == columns.shape[1] else None


def _combined(blocks: dict[int, np.ndarray], columns: np.ndarray, basis: list[int], degree: int, q: int) -> Generators:
    """The functions of the neurons, in the combinations that vanish on the given columns."""
    rest = np.setdiff1d(np.arange(len(columns)), basis)
    inverse = to_numpy(to_flint(columns[basis], q).inv())
    factors = multiply(columns[rest], inverse, q)
    out = {k: centred((block[rest] - multiply(factors, block[basis], q)) % q, q) for k, block in blocks.items()}
    return Generators(degree, out)

"""The derivative of an update in many digits: whether a direction in which doubles see no change is one in which there is none.

Multipliers that add up to zero but for their last digits, or saturated neurons, leave singular values far below rounding that are not zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf

from identify.problem.activation import Activation, Polynomial
from identify.problem.system import KKTSystem

DIGITS, STEP, ZERO = 500, -200, -350
"""Digits of the arithmetic, and powers of ten: of the step of a difference, and of a squared pivot that counts as zero, relative."""


def is_deficient(system: KKTSystem, X: np.ndarray, c: np.ndarray) -> bool:
    """Whether the derivative of the update by the data has less than full column rank, up to the scale of unknowns.

    By differences in 500 digits and pivots of its Gram matrix.
    """
    with mp.workdps(DIGITS):
        v = [mpf(float(each)) for each in np.concatenate([X.reshape(-1), np.reshape(c, -1)])]
        h = mpf(10) ** STEP
        columns = []
        for k in range(len(v)):
            ahead, behind = (_update(system, [*v[:k], v[k] + sign * h, *v[k + 1 :]], X.shape) for sign in (1, -1))
            columns.append([(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)])
        sizes = [mp.sqrt(mp.fsum(each * each for each in column)) for column in columns]
        if not all(sizes):
            return True
        columns = [[each / size for each in column] for column, size in zip(columns, sizes, strict=True)]
        gram = [[mp.fdot(one, other) for other in columns] for one in columns]
        return _smallest_pivot(gram) < mpf(10) ** ZERO


def _smallest_pivot(gram: list[list[Any]]) -> Any:
    """Of the Cholesky factorisation with pivots; the diagonal is 1."""
    left = list(range(len(gram)))
    smallest = mpf(1)
    while left:
        k = max(left, key=lambda i: gram[i][i])
        smallest = min(smallest, gram[k][k])
        left.remove(k)
        if gram[k][k] <= 0:
            return mpf(0)
        for i in left:
            factor = gram[i][k] / gram[k][k]
            for j in left:
                gram[i][j] -= factor * gram[k][j]
    return smallest


def _update(system: KKTSystem, v: list[Any], shape: tuple[int, int]) -> list[Any]:
    """The observed numbers of (S) at these unknowns, by its definition."""
    net, (n, d) = system.network, shape
    C = net.n_outputs
    total: list[Any] = [mpf(0)] * system.n_equations
    for i in range(n):
        h, entering, slopes = v[i * d : (i + 1) * d], [], []
        for W, b, sigma in zip(net.weights, net.biases, (*net.activations, None), strict=True):
            entering.append(h)
            z = [mp.fdot(map(float, row), h) + (0 if b is None else float(b[j])) for j, row in enumerate(W)]
            if sigma is not None:
                value, slope = functions(sigma)
                slopes.append([slope(each) for each in z])
                h = [value(each) for each in z]
        u = v[n * d + i * C : n * d + (i + 1) * C]
        parts: list[Any] = []
        for k in range(net.depth - 1, -1, -1):
            W, bias = system.updates[k]
            own = [] if W is None else [a * b for a in u for b in entering[k]]
            parts = own + ([] if bias is None else list(u)) + parts
            if k:
                u = [s * mp.fdot((float(row[j]) for row in net.weights[k]), u) for j, s in enumerate(slopes[k - 1])]
        total = [a + b for a, b in zip(total, parts, strict=True)]
    return total


def functions(sigma: Activation) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """An activation and its slope in many digits."""
    if isinstance(sigma, Polynomial):
        powers = list(enumerate(mpf(each.numerator) / each.denominator for each in sigma.coefficients))
        return (
            lambda z: mp.fsum(a * z**k for k, a in powers),
            lambda z: mp.fsum(k * a * z ** (k - 1) for k, a in powers if k),
        )
    return NAMED[str(sigma).partition("(")[0]]


def _logistic(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


NAMED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "relu": (lambda z: max(z, mpf(0)), lambda z: mpf(z > 0)),
    "leaky_relu": (lambda z: z if z > 0 else mpf(0.01) * z, lambda z: mpf(1) if z > 0 else mpf(0.01)),
    "tanh": (mp.tanh, lambda z: 1 - mp.tanh(z) ** 2),
    "sin": (mp.sin, mp.cos),
    "sigmoid": (_logistic, lambda z: _logistic(z) * _logistic(-z)),
    "softplus": (lambda z: mp.log1p(mp.exp(z)), _logistic),
    "silu": (lambda z: z * _logistic(z), lambda z: _logistic(z) * (1 + z * _logistic(-z))),
    "gelu": (
        lambda z: z * mp.ncdf(z),
        lambda z: mp.ncdf(z) + z * mp.npdf(z),
    ),
}
"""By the names that activations print as."""

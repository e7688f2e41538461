"""The derivative of an update in many digits: whether a direction in which doubles see no change is one in which there is none.

Multipliers that add up to zero but for their last digits, or saturated neurons, leave singular values far below rounding that are not zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath import mp, mpf

from identify.problem.activation import Activation, PiecewiseLinear, Polynomial
from identify.problem.system import KKTSystem

DIGITS, STEP, ZERO = 500, -200, -350
"""Digits of the arithmetic, and powers of ten: of the step of a difference, and of a squared pivot that counts as zero, relative."""


def is_deficient(system: KKTSystem, X: np.ndarray, c: np.ndarray, free: int = 0) -> bool:
    """Whether the derivative of the update by the data lacks more than ``free`` of its full column rank.

    By differences in 500 digits and pivots of its Gram matrix. ``free``: dimension of the ambiguity that all data have.
    """
    with mp.workdps(DIGITS):
        v = [mpf(float(each)) for each in np.concatenate([X.reshape(-1), np.reshape(c, -1)])]
        h = mpf(10) ** STEP
        columns = []
        for k in range(len(v)):
            ahead, behind = (_update(system, [*v[:k], v[k] + sign * h, *v[k + 1 :]], X.shape) for sign in (1, -1))
            columns.append([(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)])
        sizes = [mp.sqrt(mp.fsum(each * each for each in column)) for column in columns]
        columns = [[each / size for each in column] for column, size in zip(columns, sizes, strict=True) if size]
        gram = [[mp.fdot(one, other) for other in columns] for one in columns]
        return len(v) - _rank(gram) > free


def _rank(gram: list[list[Any]]) -> int:
    """By the Cholesky factorisation with pivots; the diagonal is 1."""
    left = list(range(len(gram)))
    while left:
        k = max(left, key=lambda i: gram[i][i])
        if gram[k][k] < mpf(10) ** ZERO:
            break
        left.remove(k)
        for i in left:
            factor = gram[i][k] / gram[k][k]
            for j in left:
                gram[i][j] -= factor * gram[k][j]
    return len(gram) - len(left)


def _update(system: KKTSystem, v: list[Any], shape: tuple[int, int]) -> list[Any]:
    """The observed numbers of (S) at these unknowns, by its definition."""
    net, (n, d) = system.network, shape
    C = net.n_outputs
    known = ~np.isnan(np.concatenate([part.reshape(-1) for part in system.parts.values()]))
    total: list[Any] = [mpf(0)] * len(known)
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
    return [each for each, is_known in zip(total, known, strict=True) if is_known]


def functions(sigma: Activation) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """An activation and its slope in many digits."""
    if isinstance(sigma, Polynomial):
        powers = list(enumerate(mpf(each.numerator) / each.denominator for each in sigma.coefficients))
        return (
            lambda z: mp.fsum(a * z**k for k, a in powers),
            lambda z: mp.fsum(k * a * z ** (k - 1) for k, a in powers if k),
        )
    if isinstance(sigma, PiecewiseLinear):
        parts = (sigma.breakpoints, sigma.slopes, sigma.intercepts)
        ends, slopes, constants = ([mpf(each.numerator) / each.denominator for each in part] for part in parts)

        def piece(z: Any) -> int:
            return sum(z > end for end in ends)

        return lambda z: slopes[piece(z)] * z + constants[piece(z)], lambda z: slopes[piece(z)]
    return NAMED[str(sigma)]


def _logistic(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


def _softplus(z: Any) -> Any:
    return mp.log1p(mp.exp(z))


def _bent(z: Any) -> Any:
    """The argument of tanh in the approximate GELU."""
    return mp.sqrt(2 / mp.pi) * (z + mpf(44715) / 10**6 * z**3)


def _bent_slope(z: Any) -> Any:
    return mp.sqrt(2 / mp.pi) * (1 + 3 * mpf(44715) / 10**6 * z**2)


def _slope_of_product(z: Any, inner: Any, slope: Any) -> Any:
    """Of z times the logistic function of an inner one."""
    return _logistic(inner) + z * _logistic(inner) * _logistic(-inner) * slope


NAMED: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "tanh": (mp.tanh, lambda z: 1 - mp.tanh(z) ** 2),
    "sin": (mp.sin, mp.cos),
    "sigmoid": (_logistic, lambda z: _logistic(z) * _logistic(-z)),
    "softplus": (_softplus, _logistic),
    "silu": (lambda z: z * _logistic(z), lambda z: _logistic(z) * (1 + z * _logistic(-z))),
    "gelu": (lambda z: z * mp.ncdf(z), lambda z: mp.ncdf(z) + z * mp.npdf(z)),
    "gelu_tanh": (lambda z: z * _logistic(2 * _bent(z)), lambda z: _slope_of_product(z, 2 * _bent(z), 2 * _bent_slope(z))),
    "erf": (mp.erf, lambda z: 2 / mp.sqrt(mp.pi) * mp.exp(-z * z)),
    "exp": (mp.exp, mp.exp),
    "mish": (lambda z: z * mp.tanh(_softplus(z)), lambda z: mp.tanh(_softplus(z)) + z * mp.sech(_softplus(z)) ** 2 * _logistic(z)),
}
"""By the names that activations print as."""

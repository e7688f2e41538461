r"""Networks that were arranged so that two different data sets have exactly the same update: nobody may call either unique.

**Piecewise-linear.** Let the samples be independent, :math:`v_i = c_i (x_i, 1)`, and :math:`v'_k = \sum_i T_{ki} v_i` other data in
their span. A neuron with slopes s_i at the first and s'_k at the second data has the same row for both if and only if
:math:`T^\top s' = s`; as :math:`\sigma(z) = z\,\sigma'(z)`, the second layer follows. With bases S, S' of slopes,
:math:`T^\top = S S'^{-1}`; that a neuron has these slopes is an open condition on its weights, met by as many neurons as one likes.
Two outputs: multipliers on a line.

**Polynomial.** With the second layer observed and :math:`\sigma = z^k + z^{k+1}`, a neuron :math:`w = t v` has the same row for any
two data sets if t is minus the quotient of two moments, rational for every direction v. With the first or both layers observed,
without biases, let the data differ in one sample on the first axis, :math:`\alpha e_1` against :math:`\beta e_1`: the rows agree if
w_1 is a double root of :math:`\sum_k s_k (c\,\alpha^k - c' \beta^k) w_1^k`, and the coefficients s_k can be chosen for any double
roots; the other entries of w, and the other samples, are arbitrary.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import lcm
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from identify.problem.activation import Polynomial
from identify.theory.oracle.polyhedra import Row, feasible
from soundness_study.networks import Instance, Truth

SLOPES = {"relu": (0, 1), "leaky_relu(1/4)": (Fraction(1, 4), 1), "leaky_relu(1/2)": (Fraction(1, 2), 1), "abs": (-1, 1)}
TRIES = 100_000


def draw(seed: int, index: int) -> Instance:
    """Instance number ``index``, with its second solution: the constructions go round."""
    rng = np.random.default_rng([seed, 0x41D, index])
    makers = (*[piecewise_linear] * 4, polynomial_second_layer, polynomial_double_roots)
    for _ in range(TRIES):
        made = makers[index % len(makers)](rng, index)
        if made is not None and is_exact(made):
            return made
    raise ValueError(f"instance {index}: nothing could be arranged")


def is_exact(instance: Instance) -> bool:
    """Whether both data sets have the same update, which is not zero and which float64 holds, and differ."""
    assert instance.other is not None
    first, second = instance.observed(instance.X, instance.c), instance.observed(*instance.other)
    same = all((u == v).all() for u, v in zip(first, second, strict=True))
    held = all(Fraction(float(v)) == v for part in first for v in part.ravel().tolist())
    return same and held and any(part.any() for part in first) and not np.array_equal(instance.X, instance.other[0])


def truth(instance: Instance) -> dict[str, Any]:
    """What is known: there is another solution."""
    homogeneous = instance.b is None and instance.activation in SLOPES
    how = "another data set has exactly the same update"
    group = "scaling" if homogeneous else "none"
    return {"category": Truth.OTHERS.value, "how": how, "local": None, "solutions": 2, "dimension": 0, "group": group}


# --- piecewise-linear ------------------------------------------------------------------------------------------------------


def piecewise_linear(rng: np.random.Generator, index: int) -> Instance | None:
    """n from 2 to 5, d up to 8, and neurons of at least n patterns whose slopes are independent."""
    activation = list(SLOPES)[index // 6 % len(SLOPES)]
    has_bias = bool(index // 2 % 2)
    n = int(rng.integers(3 if has_bias else 2, 6))
    d = int(rng.integers(n - has_bias, 9))
    C = int(rng.choice([1, 1, 2]))
    slopes = SLOPES[activation]
    S, other = (rng.choice(np.array(slopes, dtype=object), (n, n)) for _ in range(2))
    T = _quotient(S, other)
    if T is None or _is_monomial(T):
        return None
    c = rng.choice([-1, 1], n) * rng.integers(1, 4, n).astype(object)
    moved = T @ _fractions(c) if has_bias else _fractions(rng.choice([-1, 1], n).astype(object))
    if not all(moved.tolist()) or any(v.denominator & (v.denominator - 1) for v in moved.tolist()):
        return None
    Z = T * _fractions(c) / moved[:, None]  # z' = Z z
    if any(sum(map(bool, row)) == 1 and (sum(row) > 0 or activation == "abs") for row in Z.tolist()):
        return None  # a sample of both data sets
    patterns = _patterns(Z, T, slopes)
    wanted = _independent([s for s, _ in patterns], n)
    if wanted is None:
        return None
    m = int(rng.integers(2 * n, 4 * n + 5))
    chosen = wanted + [int(k) for k in rng.integers(0, len(patterns), m - n)]
    X, right = _samples(rng, n, d, has_bias)
    scale = lcm(*(v.denominator for v in (Z @ X).ravel().tolist()))
    neurons = [_neuron(rng, right, X, has_bias, Z, patterns[k][1], scale) for k in chosen]
    X = X * scale
    W = np.array([w for w, _ in neurons], dtype=object)
    b = np.array([offset for _, offset in neurons], dtype=object) if has_bias else None
    line = _fractions(rng.choice([-2, -1, 1, 2], C).astype(object))
    A = rng.choice([-2, -1, 1, 2], (C, len(W))).astype(object)
    if not all((line @ A).tolist()):
        return None
    layers = str(rng.choice(["first", "both"]))
    other_data = (Z @ _fractions(X), moved[:, None] * line)
    return Instance(index, activation, W, b, A, X, c[:, None] * line, layers, ("piecewise-linear",), other_data)


def _quotient(S: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """T with T^T s' = s for the rows s of S and s' of the other basis; None unless both are bases."""
    left, right = (fmpq_mat([[_fmpq(v) for v in row] for row in part.tolist()]) for part in (S, other))
    if not left.det() or not right.det():
        return None
    T = right.inv() * left
    return np.array([[_fraction(T[i, k]) for k in range(len(S))] for i in range(len(S))], dtype=object)


def _is_monomial(T: np.ndarray) -> bool:
    return all(sum(map(bool, row)) == 1 for row in T.tolist())


def _patterns(Z: np.ndarray, T: np.ndarray, slopes: tuple) -> list[tuple[list, list[fmpq]]]:
    """Slopes at the first data that some z has, with those at the second data that T asks for, and such a z."""
    n, found = len(Z), []
    for other in product(slopes, repeat=n):
        s = (T.T @ np.array(other, dtype=object)).tolist()
        if not any(other) or not set(s) <= set(slopes):
            continue
        rows = [Row([_fmpq(1 if v == slopes[1] else -1) * (k == i) for k in range(n)], fmpq(0)) for i, v in enumerate(s)]
        rows += [Row([_fmpq((1 if v == slopes[1] else -1) * z) for z in Z[i]], fmpq(0)) for i, v in enumerate(other)]
        hull = feasible([], rows, [], n)
        if hull is not None:
            found.append((s, hull.point))
    return found


def _independent(rows: list, n: int) -> list[int] | None:
    """Numbers of n rows that are independent."""
    kept: list[int] = []
    for k, row in enumerate(rows):
        matrix = fmpq_mat([[_fmpq(v) for v in rows[j]] for j in kept] + [[_fmpq(v) for v in row]])
        if matrix.rank() > len(kept):
            kept.append(k)
    return kept if len(kept) == n else None


def _samples(rng: np.random.Generator, n: int, d: int, has_bias: bool) -> tuple[np.ndarray, np.ndarray]:
    """Independent samples in small integers, and a right inverse of (x, 1)."""
    while True:
        X = rng.integers(-2, 3, (n, d)).astype(object)
        lifted = np.hstack([X, np.ones((n, 1), dtype=int)]) if has_bias else X
        matrix = fmpq_mat([[_fmpq(v) for v in row] for row in lifted.tolist()])
        gram = matrix * matrix.transpose()
        if gram.det():
            inverse = matrix.transpose() * gram.inv()
            return _fractions(X), np.array([[_fraction(inverse[i, k]) for k in range(n)] for i in range(lifted.shape[1])], dtype=object)


def _neuron(
    rng: np.random.Generator, right: np.ndarray, X: np.ndarray, has_bias: bool, Z: np.ndarray, z: list[fmpq], scale: int
) -> tuple[list, object]:
    """Integer weights with the signs of z at all samples times ``scale``; moved at random as far as the signs allow."""
    base = right @ np.array([_fraction(v) for v in z], dtype=object)
    lifted = np.hstack([X, _fractions(np.ones((len(X), 1), dtype=object))]) if has_bias else X
    both = np.vstack([lifted, Z @ lifted])
    values = both @ base
    step = _fractions(rng.integers(-8, 9, len(base)).astype(object)) / 4 * max(map(abs, base.tolist()))
    while not all(v * w > 0 for v, w in zip(values.tolist(), (both @ (base + step)).tolist(), strict=True)):
        step = step / 2
    size = max(map(abs, (base + step).tolist()))
    for grid in (8, 16, 64, 512, 4096, 2**16):
        w = np.frompyfunc(round, 1, 1)((base + step) / size * grid)
        if all(v * u > 0 for v, u in zip(values.tolist(), (both @ w).tolist(), strict=True)):
            break
    else:
        whole = (base + step) * lcm(*(v.denominator for v in (base + step).tolist()))
        w = np.frompyfunc(int, 1, 1)(whole)
    return (w[:-1].tolist(), w[-1] * scale) if has_bias else (w.tolist(), None)


# --- polynomials -----------------------------------------------------------------------------------------------------------


def polynomial_second_layer(rng: np.random.Generator, index: int) -> Instance | None:
    """Any two data sets of n and at most n samples; neurons in directions in which the quotient of moments is dyadic."""
    d, n = int(rng.integers(2, 9)), int(rng.integers(1, 6))
    k = int(rng.choice([1, 2]))
    X, moved = (rng.integers(-2, 3, (n, d)) for _ in range(2))
    c, other = (rng.choice([-2, -1, 1, 2], n) for _ in range(2))
    directions = rng.integers(-2, 3, (20_000, d))
    low, high = ((c * (directions @ X.T) ** p).sum(1) - (other * (directions @ moved.T) ** p).sum(1) for p in (k, k + 1))
    quotients = {}
    seen = (low != 0) & (high != 0)
    for v, p, q in zip(directions[seen].tolist(), low[seen].tolist(), high[seen].tolist(), strict=True):
        t = Fraction(-p, q)
        if t.denominator & (t.denominator - 1) == 0 and t.denominator <= 16 and abs(t) <= 8:
            quotients[tuple(v)] = t
    if len(quotients) < 3 * n + d or len({tuple(x) for x in X.tolist()} | {tuple(x) for x in moved.tolist()}) < 2 * n:
        return None
    m = min(len(quotients), 60)
    kept = [list(quotients)[j] for j in rng.permutation(len(quotients))[:m]]
    W = np.array([[quotients[v] * u for u in v] for v in kept], dtype=object)
    A = rng.choice([-2, -1, 1, 2], (1, m)).astype(object)
    activation = str(Polynomial([0] * k + [1, 1]))
    given, other_data = ((x.astype(object), y[:, None].astype(object)) for x, y in ((X, c), (moved, other)))
    return Instance(index, activation, W, None, A, *given, "second", ("polynomial, second layer",), other_data)


def polynomial_double_roots(rng: np.random.Generator, index: int) -> Instance | None:
    """One sample on the first axis can be exchanged for another, with another multiplier; first or both layers, without biases."""
    d, n = int(rng.integers(2, 9)), int(rng.integers(1, 6))
    roots = rng.choice([-2, -1, 1, 2], int(rng.choice([1, 2])), replace=False).tolist()
    coefficients = np.array([Fraction(0), Fraction(0), Fraction(1)], dtype=object)  # w^2
    for root in roots:
        for _ in range(2):
            coefficients = np.convolve(coefficients, np.array([Fraction(-root), Fraction(1)], dtype=object))
    a, b = (int(v) for v in rng.choice([-2, -1, 1, 2], 2, replace=False))
    first, second = (int(v) for v in rng.choice([-3, -2, -1, 1, 2, 3], 2))
    differences = [first * a**k - second * b**k for k in range(len(coefficients))]
    if any(v and not difference for v, difference in zip(coefficients.tolist(), differences, strict=True)):
        return None
    s = [v / difference if v else Fraction(0) for v, difference in zip(coefficients.tolist(), differences, strict=True)]
    common = lcm(*(v.denominator for v in s))
    m = int(rng.integers(2 * n + 2, 4 * n + 12))
    W = rng.integers(-2, 3, (m, d)).astype(object)
    W[:, 0] = rng.choice([0, *roots], m)
    X = rng.integers(-1, 2, (n, d)).astype(object)
    X[0] = [a, *[0] * (d - 1)]
    if len({tuple(x) for x in X.tolist()}) < n or not all(map(any, X.tolist())):
        return None
    c = rng.choice([-2, -1, 1, 2], (n, 1)).astype(object)
    c[0] = first
    moved, other = X.copy(), c.copy()
    moved[0, 0], other[0] = b, second
    A = rng.choice([-2, -1, 1, 2], (1, m)).astype(object)
    activation = str(Polynomial([v * common for v in s]))
    layers = str(rng.choice(["first", "both"]))
    return Instance(index, activation, W, None, A, X, c, layers, ("polynomial, double roots",), (moved, other))


# --- numbers ---------------------------------------------------------------------------------------------------------------


def _fmpq(value) -> fmpq:
    value = Fraction(value)
    return fmpq(value.numerator, value.denominator)


def _fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))


def _fractions(values: np.ndarray) -> np.ndarray:
    return np.frompyfunc(Fraction, 1, 1)(values)

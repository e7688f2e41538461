"""KKT systems by plain SymPy: symbols, the weighted sum of the network's outputs, and ``sympy.diff``. An independent oracle."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from sympy import Add, Expr, Rational, Symbol, diff

INPUTS, SIZES = (1, 2, 3), (1, 2)
REGIMES = ("gradient", "lazy", "weight-decay", "max-margin")
LAYERS = ("both", "first", "second")
SUPPORTS = tuple(s for size in (1, 2, 3) for s in combinations(range(5), size) if s[-1] >= 2)
"""The powers with non-zero coefficients of every polynomial of degree 2 to 4 with at most three terms."""
COEFFICIENTS = {"ones": (Fraction(1),) * 3, "rational": (Fraction(-2, 3), Fraction(5, 2), Fraction(7))}


class Case(NamedTuple):
    """One combination of activation, sizes, regime and layers."""

    support: tuple[int, ...]
    coefficients: str
    inputs: int
    samples: int
    width: int
    bias: bool
    outputs: int
    regime: str
    layers: str

    @property
    def sigma(self) -> tuple[Fraction, ...]:
        values = [Fraction(0)] * (self.support[-1] + 1)
        for k, value in zip(self.support, COEFFICIENTS[self.coefficients], strict=False):
            values[k] = value
        return tuple(values)

    def __str__(self) -> str:
        bias = "bias" if self.bias else "nobias"
        sizes = "x".join(map(str, self[2:5]))
        return f"z{''.join(map(str, self.support))}-{self.coefficients}-{sizes}-{bias}-{self.outputs}-{self.regime}-{self.layers}"


FACTORS = (SUPPORTS, tuple(COEFFICIENTS), INPUTS, SIZES, SIZES, (False, True), (1, 2), REGIMES, LAYERS)


def pairs(case: Case) -> set:
    """Every pair of values of two factors."""
    return set(combinations(enumerate(case), 2))


def pairwise_sample(seed: int = 0) -> list[Case]:
    """Random cases in which every pair of values of two factors occurs, chosen greedily: of equal ones the smallest network."""
    rng, sizes = np.random.default_rng(seed), [len(values) for values in FACTORS]
    first, second = map(np.array, zip(*combinations(range(len(FACTORS)), 2), strict=True))
    missing = np.zeros((len(FACTORS), len(FACTORS), max(sizes), max(sizes)), bool)
    for f, g in zip(first, second, strict=True):
        missing[f, g, : sizes[f], : sizes[g]] = True
    cases: list[Case] = []
    while missing.any():
        drawn = rng.integers(sizes, size=(2000, len(FACTORS)))
        new = missing[first, second, drawn[:, first], drawn[:, second]].sum(axis=1)
        best = drawn[np.lexsort((np.prod(drawn[:, 2:5] + 1, axis=1), -new))[0]]
        missing[first, second, best[first], best[second]] = False
        cases.append(Case(*(values[k] for values, k in zip(FACTORS, best.tolist(), strict=True))))
    return cases


def grid(stem: str, *shape: int) -> np.ndarray:
    out = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        out[index] = Symbol(stem + "".join(f"_{k + 1}" for k in index))
    return out


def rational(value) -> Rational:
    """A fraction, or a float as the fraction that it is."""
    return Rational(*Fraction(value).as_integer_ratio())


class Plain:
    """Symbols and derivatives for one network and number of samples."""

    def __init__(self, sigma: tuple[Fraction, ...], d: int, n: int, m: int, bias: bool, outputs: int):
        one = outputs == 1
        self.x, self.w, self.b = grid("x", n, d), grid("w", m, d), grid("b", m)
        self.a = grid("a", m).reshape(1, m) if one else grid("a", outputs, m)
        self.y = grid("y", n)
        self.multipliers = grid("lambda", n).reshape(n, 1) if one else grid("gamma", n, outputs)
        self.unknowns = (*self.x.ravel(), *self.multipliers.ravel())

        def output(i: int, o: int) -> Expr:
            z = [sum(self.w[j, k] * self.x[i, k] for k in range(d)) + (self.b[j] if bias else 0) for j in range(m)]
            return Add(*(self.a[o, j] * Add(*(rational(s) * z[j] ** k for k, s in enumerate(sigma))) for j in range(m)))

        self.outputs = [[output(i, o) for o in range(outputs)] for i in range(n)]
        weight = [[self.multipliers[i, o] * (self.y[i] if one else 1) for o in range(outputs)] for i in range(n)]
        total = Add(*(weight[i][o] * self.outputs[i][o] for i in range(n) for o in range(outputs)))
        self.derivatives = {
            "w": [(v, diff(total, v)) for v in self.w.ravel()],
            "b": [(v, diff(total, v)) for v in self.b] if bias else [],
            "a": [(v, diff(total, v)) for v in self.a.ravel()],
        }

    def equations(self, regime: str, layers: str) -> list[Expr]:
        """Derivative minus target for each trained parameter, then complementary slackness (max-margin, one output)."""
        seen = {"both": "wba", "first": "wb", "second": "a"}[layers]
        target = {
            "gradient": lambda v: Symbol("t" + v.name),
            "lazy": lambda v: Symbol("t" + v.name),
            "weight-decay": lambda v: Symbol("decay") * v,
            "max-margin": lambda v: v,
        }[regime]
        out = [derivative - target(v) for group in seen for v, derivative in self.derivatives[group]]
        if regime == "max-margin" and len(self.outputs[0]) == 1:
            out += [self.multipliers[i, 0] * (self.y[i] * self.outputs[i][0] - 1) for i in range(len(self.x))]
        return out


@lru_cache(maxsize=4)
def plain_network(sigma, d, n, m, bias, outputs) -> Plain:
    return Plain(sigma, d, n, m, bias, outputs)


def plain(case: Case) -> Plain:
    return plain_network(case.sigma, case.inputs, case.samples, case.width, case.bias, case.outputs)

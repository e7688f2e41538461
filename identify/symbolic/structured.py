"""Structured expressions: SymPy equations in which the activation stays one factor, made one at a time.

Values of the activation at w_j . x_i are shared between equations. If every weight is a symbol, sums and products are put
together in SymPy's canonical order without sorting each anew (:class:`Canonical`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np
from sympy import Add, Expr, Integer, Mul, Pow, Rational, Symbol

from identify.problem.activation import Activation
from identify.problem.gradients import Observed
from identify.problem.system import KKTSystem
from identify.symbolic.names import DataNames, Names

DECAY = Symbol("decay")


@dataclass(frozen=True, eq=False)
class Structured:
    """Weights, targets and multipliers as SymPy objects, and the equations built from them."""

    activation: Activation
    names: Names
    observed: Observed
    regime: str
    numbers: KKTSystem | None

    @property
    def labels(self) -> np.ndarray | None:
        """Given labels, as numbers."""
        return None if self.numbers is None else self.numbers.labels

    @cached_property
    def target_symbols(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = self.names
        ta = n.grid("ta", n.width).reshape(1, -1) if n.outputs == 1 else n.grid("ta", n.outputs, n.width)
        return n.grid("tw", n.width, n.inputs), n.grid("tb", n.width), ta

    @cached_property
    def weights(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """W, A, offsets as SymPy objects."""
        n = self.names
        if self.numbers is None:
            return n.w, n.a, n.b if n.b is not None else np.full(n.width, Integer(0))
        net = self.numbers.network
        return rationals(net.W), rationals(net.A), rationals(net.offsets)

    @cached_property
    def targets(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Targets as SymPy objects, in the order W, bias, a; zero if a layer was not observed."""
        n = self.names
        if self.numbers is not None:
            s = self.numbers
            parts = [None if part is None else rationals(part) for part in (s.target_W, s.target_bias, s.target_a)]
        elif self.regime in ("gradient", "lazy"):
            parts = list(self.target_symbols)
        else:
            factor = DECAY if self.regime == "weight-decay" else Integer(1)
            W, A, offsets = self.weights
            parts = [factor * W, factor * offsets, factor * A]
        shapes = ((n.width, n.inputs), (n.width,), (n.outputs, n.width))
        tW, tb, ta = (
            np.full(shape, Integer(0)) if part is None or not seen else part.reshape(shape)
            for part, shape, seen in zip(parts, shapes, self.observed, strict=True)
        )
        return tW, tb, ta

    @cached_property
    def signed(self) -> np.ndarray:
        """The factors of the signed multipliers, shape (n, C) of tuples: (lambda_i, y_i), (c_i,) or (gamma_i_o,)."""
        return signed_factors(self.names, self.labels)

    @cached_property
    def _neurons(self) -> dict[int, dict[tuple, Any]]:
        return {}

    def _shared(self, j: int) -> dict[tuple, Any]:
        """The common part of the equations of neuron j. Kept for the last neuron only: all of them would fill the memory."""
        if j not in self._neurons:
            self._neurons.clear()
        return self._neurons.setdefault(j, {})

    def _sigma(self, i: int, j: int, order: int) -> Expr:
        """The derivative of that order of the activation at w_j . x_i + b_j, as one structured expression."""
        shared = self._shared(j)
        made = shared.get((i, order))
        if made is None:
            pre = shared.get((i, "pre"))
            if pre is None:
                W, _, offsets = self.weights
                pre = shared[i, "pre"] = self._dot(W[j], self.names.x[i], offsets[j])
            coefficients = self.activation.derivative(order)
            if self._canonical is None:
                made = Add(*(rational(s) * pre**k for k, s in enumerate(coefficients) if s))
            else:
                parts = [part for k, s in enumerate(coefficients) if s for part in self._scaled_power(rational(s), pre, k)]
                made = self._canonical.make(Add, ("sigma", order), parts) if len(parts) > 1 else parts[0]
            shared[i, order] = made
        return made

    def _scaled_power(self, s: Rational, pre: Expr, k: int) -> list[Expr]:
        """The terms of s pre^k, as SymPy writes it: a number is multiplied into a sum, not into a power of one."""
        assert self._canonical is not None
        if k == 0 or not pre.is_Add:
            return [s * pre**k]
        terms = pre.args if k == 1 else (Pow(pre, Integer(k), evaluate=False),)
        return list(terms) if s == 1 else [Mul._from_args((s, *Mul.make_args(term)), True) for term in terms]

    def margin(self, i: int) -> Expr:
        """y_i f(x_i)."""
        _, A, _ = self.weights
        label = self.signed[i, 0][1] if self.names.y is not None else Integer(1)
        return label * Add(*(A[0, j] * self._sigma(i, j, 0) for j in range(self.names.width)))

    def equation(self, index: int) -> Expr:
        n, (tW, tb, ta) = self.names, self.targets
        count = n.width * n.inputs if self.observed.W else 0
        if index < count:
            j, k = divmod(index, n.inputs)
            return self._sum([self._first_layer(i, j, (n.x[i, k],)) for i in range(n.samples)], tW[j, k])
        index -= count
        if self.observed.bias:
            if index < n.width:
                return self._sum([self._first_layer(i, index, ()) for i in range(n.samples)], tb[index])
            index -= n.width
        if self.observed.a:
            if index < n.outputs * n.width:
                o, j = divmod(index, n.width)
                return self._sum([self._product("a", self.signed[i, o], self._sigma(i, j, 0)) for i in range(n.samples)], ta[o, j])
            index -= n.outputs * n.width
        if self.regime == "max-margin":
            excess = self.margin(index) - 1
            return excess if self.labels is not None else n.multipliers[index, 0] * excess
        return n.multipliers[index, 0] + Rational(2, n.samples) * (self.margin(index) - n.responses[index])

    def _first_layer(self, i: int, j: int, factors: tuple) -> Expr:
        _, A, _ = self.weights
        n = self.names
        if n.outputs == 1:
            shared = self._shared(j)
            around = shared.get((i, "around")) if factors else None
            if around is not None:
                before, after = around
                return Mul._from_args(before + factors + after, True)
            made = self._product("wx" if factors else "b", (A[0, j], *self.signed[i, 0], *factors), self._sigma(i, j, 1))
            if factors and self._canonical is not None and factors[0] in made.args:
                at = made.args.index(factors[0])
                shared[i, "around"] = made.args[:at], made.args[at + 1 :]  # the same for every k
            return made
        mixed = Add(*(A[o, j] * self.signed[i, o][0] for o in range(n.outputs)))
        return self._product("wx", (mixed, *factors), self._sigma(i, j, 1))

    @cached_property
    def _canonical(self) -> Canonical | None:
        """Fast construction, if every part is a symbol of its own."""
        return Canonical() if self.numbers is None and self.names.outputs == 1 else None

    def _dot(self, weights: np.ndarray, x: np.ndarray, offset) -> Expr:
        if self._canonical is None:
            terms = [w * v for w, v in zip(weights, x, strict=True)]
        else:
            terms = [Mul._from_args(pair, True) for pair in zip(weights.tolist(), x.tolist(), strict=True)]  # w sorts before x
        if offset != 0:
            terms.append(offset)
        return Add(*terms) if self._canonical is None or len(terms) == 1 else self._canonical.make(Add, ("dot",), terms)

    def _product(self, kind: str, factors: tuple[Expr, ...], sigma: Expr) -> Expr:
        """The product of symbols (one of each stem, named by ``kind``) and a value of sigma."""
        if self._canonical is None:
            return Mul(*factors, sigma)
        if not sigma.is_Mul:
            return self._canonical.make(Mul, (kind,), [*factors, sigma])
        return self._canonical.make(Mul, (kind, "monomial"), [*sigma.args, *factors])

    def _sum(self, terms: list[Expr], target: Expr) -> Expr:
        parts = [*terms, -target]
        if self._canonical is None or target == 0:
            return Add(*parts)
        return self._canonical.make(Add, (len(terms[0].args), terms[0].args[0].is_Number), parts)


def signed_factors(names: DataNames, labels: np.ndarray | None) -> np.ndarray:
    """The factors of the signed multipliers, shape (n, C) of tuples, with labels as numbers if these are given."""
    out = np.empty(names.multipliers.shape, dtype=object)
    for i, o in np.ndindex(*out.shape):
        out[i, o] = (names.multipliers[i, o],)
        if names.y is not None:
            out[i, o] += (names.y[i] if labels is None else Integer(int(labels[i])),)
    return out


def rational(value: Fraction) -> Rational:
    return Rational(value.numerator, value.denominator)


def rationals(values: np.ndarray) -> np.ndarray:
    """Doubles as exact SymPy rationals."""
    out = np.empty(values.shape, dtype=object)
    for index, value in np.ndenumerate(values):
        out[index] = Rational(*float(value).as_integer_ratio())
    return out


class Canonical:
    """Sums and products in SymPy's canonical argument order, without sorting each anew.

    The order depends on the names of the symbols. All equations of one kind share it, because their symbols differ in
    indices that do not affect it; so the first of a kind is sorted by SymPy, and the others follow. About ten times
    faster than evaluating each sum and product. Only for arguments among which SymPy has nothing to combine.
    """

    def __init__(self) -> None:
        self._orders: dict[tuple, Callable[[list[Expr]], tuple] | None] = {}

    def make(self, cls: Any, kind: tuple, parts: list[Expr]) -> Expr:
        """``cls(*parts)``, for the parts of one ``kind``."""
        key = (cls, len(parts), kind)
        if key not in self._orders:
            made = cls(*parts)
            place = {part: k for k, part in enumerate(parts)}
            plain = made.func is cls and len(made.args) == len(parts) and all(part in place for part in made.args)
            self._orders[key] = itemgetter(*(place[part] for part in made.args)) if plain else None
        pick = self._orders[key]
        return cls(*parts) if pick is None else cls._from_args(pick(parts), True)

r"""Structured equations of a network of any depth, layer by layer, made one at a time.

Two layers: pre-activations are written out, as sums over the inputs. More layers: the pre-activations :math:`z_i^l`, the values
:math:`h_i^l = \sigma_l(z_i^l)` and the signals :math:`u_i^l = \sigma_l'(z_i^l) \circ (W_{l+1}^\top u_i^{l+1})` of every hidden layer are
symbols with equations of their own, so that the size of each equation is that of a row of weights. Layers are counted from 0 here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from sympy import Add, Expr, Ge, Le, Mul, Rational

from identify.problem.activation import Activation, PiecewiseLinear
from identify.problem.system import KKTSystem
from identify.symbolic.functions import sigma
from identify.symbolic.lazy import Lazy
from identify.symbolic.names import LayerNames
from identify.symbolic.pieces import bounds, conditions, constraints, in_cell, n_constraints, through_indicators
from identify.symbolic.structured import DECAY, rational, rationals, signed_factors

KEPT = 4096
"""Values of activations that equations share, as many as are kept."""


class Layers(NamedTuple):
    """The activations of the hidden layers, and for each layer of weights whether its weights and its bias are observed."""

    activations: tuple[Activation, ...]
    seen: tuple[tuple[bool, bool], ...]


class Group(NamedTuple):
    """Equations or inequalities of one kind, made by their number."""

    title: str
    size: int
    make: Callable[[int], Expr]


@dataclass(frozen=True, eq=False)
class LayerEquations:
    """Weights, targets, multipliers and hidden quantities as SymPy objects, and the equations built from them."""

    layers: Layers
    names: LayerNames
    regime: str
    numbers: KKTSystem | None
    pattern: Sequence[np.ndarray] | None

    # --- numbers and symbols ---------------------------------------------------------------------------------------------

    @cached_property
    def weights(self) -> Lazy:
        """W of each layer."""
        return Lazy(self.names.depth, self._weights)

    @cached_property
    def biases(self) -> Lazy:
        """b of each layer, or None."""
        return Lazy(self.names.depth, self._bias)

    @cached_property
    def targets(self) -> Lazy:
        """The targets of the weights and the bias of each layer; None for those that were not observed."""
        return Lazy(self.names.depth, self._targets)

    def _weights(self, layer: int) -> np.ndarray:
        return self.names.weights(layer) if self.numbers is None else rationals(self.numbers.network.weights[layer])

    def _bias(self, layer: int) -> np.ndarray | None:
        if self.numbers is None:
            return self.names.bias(layer) if self.names.biases[layer] else None
        given = self.numbers.network.biases[layer]
        return None if given is None else rationals(given)

    def _targets(self, layer: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        n, (of_weights, of_bias) = self.names, self.layers.seen[layer]
        if self.numbers is None:
            tW, tb = self._symbolic_targets(layer)
        else:
            tW, tb = (None if part is None else rationals(part) for part in self.numbers.updates[layer])
        return (np.reshape(tW, (n.sizes[layer + 1], n.sizes[layer])) if of_weights and tW is not None else None, tb if of_bias else None)

    def _symbolic_targets(self, layer: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The targets of a layer with symbolic weights."""
        n, b = self.names, self.biases[layer]
        if self.regime in ("gradient", "lazy"):
            return n.weights(layer, target=True), n.bias(layer, target=True) if b is not None else None
        factor = DECAY if self.regime == "weight-decay" else Rational(1)
        return factor * self.weights[layer], None if b is None else factor * b

    @cached_property
    def signed(self) -> np.ndarray:
        return signed_factors(self.names, None if self.numbers is None else self.numbers.labels)

    @cached_property
    def hidden(self) -> dict[tuple[str, int], np.ndarray]:
        """The arrays of z, h and u of each hidden layer (beyond two layers), and of the slopes s."""
        n = self.names
        out: dict[tuple[str, int], np.ndarray] = {}
        for k, each in enumerate(self.layers.activations):
            if n.depth > 2:
                out |= {(kind, k): n.hidden(kind, k) for kind in "zhu"}
            if isinstance(each, PiecewiseLinear) and self.pattern is None:
                many = len(each.breakpoints)
                out["s", k] = n.hidden("s", k, many) if many > 1 else n.hidden("s", k)
        return out

    # --- values, for one sample i and one neuron j of a layer ----------------------------------------------------------------

    def indicators(self, layer: int, i: int, j: int) -> list[Expr]:
        """The indicators of a piecewise-linear activation, outside a cell."""
        return list(np.atleast_1d(self.hidden["s", layer][i, j]))

    def affine(self, layer: int, i: int, j: int) -> Expr:
        """(W_l h_i + b_l)_j."""
        W, b = self.weights[layer], self.biases[layer]
        terms = [w * self.entering(layer, i, k) for k, w in enumerate(W[j]) if w != 0]
        return Add(*terms) if b is None else Add(*terms, b[j])

    def before(self, layer: int, i: int, j: int) -> Expr:
        """The pre-activation of a hidden layer, or an output."""
        symbols = self.hidden.get(("z", layer))
        return self.affine(layer, i, j) if symbols is None else symbols[i, j]

    def entering(self, layer: int, i: int, k: int) -> Expr:
        """An input of a layer."""
        if layer == 0:
            return self.names.x[i, k]
        symbols = self.hidden.get(("h", layer - 1))
        return self.sigma(layer - 1, i, k, 0) if symbols is None else symbols[i, k]

    @cached_property
    def _kept(self) -> dict[tuple[int, int, int, int], Expr]:
        return {}

    def sigma(self, layer: int, i: int, j: int, order: int) -> Expr:
        """The activation of a hidden layer, or its derivative."""
        made = self._kept.get((layer, i, j, order))
        if made is None:
            each, z = self.layers.activations[layer], self.before(layer, i, j)
            if not isinstance(each, PiecewiseLinear):
                made = sigma(each, z, order)
            elif self.pattern is not None:
                made = in_cell(each.lines, int(self.pattern[layer][i, j]), rational)(z, order)
            else:
                made = through_indicators(each.lines, self.indicators(layer, i, j), rational)(z, order)
            if len(self._kept) > KEPT:
                self._kept.clear()
            self._kept[layer, i, j, order] = made
        return made

    def behind(self, layer: int, i: int, j: int) -> Expr:
        """(W_{l+1}^T u_i^{l+1})_j: how the weighted outputs change with the value of a hidden neuron."""
        above = self.weights[layer + 1][:, j]
        return Add(*(w * self.signal(layer + 1, i, o) for o, w in enumerate(above)))

    def signal(self, layer: int, i: int, j: int) -> Expr:
        """u_i: at the outputs the signed multiplier."""
        if layer == self.names.depth - 1:
            return Mul(*self.signed[i, j])
        symbols = self.hidden.get(("u", layer))
        return self.behind(layer, i, j) * self.sigma(layer, i, j, 1) if symbols is None else symbols[i, j]

    def margin(self, i: int) -> Expr:
        """y_i f(x_i)."""
        label = self.signed[i, 0][1] if self.names.y is not None else Rational(1)
        return label * self.affine(self.names.depth - 1, i, 0)

    # --- equations -------------------------------------------------------------------------------------------------------------

    @cached_property
    def stationarity(self) -> list[Group]:
        """One group for each observed part."""
        n, out = self.names, []
        classical = [("first layer", "first-layer biases"), ("second layer", "output biases")]
        for k, (of_weights, of_bias) in enumerate(self.layers.seen):
            titles = (f"layer {k + 1}", f"biases of layer {k + 1}") if n.is_numbered else classical[k]
            if of_weights:
                out.append(Group(titles[0], n.sizes[k + 1] * n.sizes[k], partial(self._of_weights, k)))
            if of_bias:
                out.append(Group(titles[1], n.sizes[k + 1], partial(self._of_bias, k)))
        return out

    def _of_weights(self, layer: int, at: int) -> Expr:
        j, k = divmod(at, self.names.sizes[layer])
        terms = [Mul(self.signal(layer, i, j), self.entering(layer, i, k)) for i in range(self.names.samples)]
        target = self.targets[layer][0]
        assert target is not None
        return Add(*terms, -target[j, k])

    def _of_bias(self, layer: int, j: int) -> Expr:
        target = self.targets[layer][1]
        assert target is not None
        return Add(*(self.signal(layer, i, j) for i in range(self.names.samples)), -target[j])

    def sides(self, *, margins: bool, closure: bool) -> list[Group]:
        """Margins or slackness, and the closure of the square loss."""
        n, out = self.names, []
        if margins:
            given = self.numbers is not None and self.numbers.labels is not None
            title = "margins" if given else "complementary slackness"
            out.append(Group(title, n.samples, lambda i: (self.margin(i) - 1) * (1 if given else n.multipliers[i, 0])))
        if closure:
            out.append(Group("closure of the square loss", n.samples, self._closure))
        return out

    def _closure(self, i: int) -> Expr:
        n = self.names
        return n.multipliers[i, 0] + Rational(2, n.samples) * (self.margin(i) - n.responses[i])

    @cached_property
    def definitions(self) -> list[Group]:
        """The definitions of z, h and u of the hidden layers, if these are symbols."""
        n, out = self.names, []
        for k, m in enumerate(n.widths if n.depth > 2 else ()):
            makers = {"pre-activations": self._defined_before, "values": self._defined_value, "signals": self._defined_signal}
            out += [Group(f"{title} of layer {k + 1}", n.samples * m, partial(make, k)) for title, make in makers.items()]
        return out

    def _defined_before(self, layer: int, at: int) -> Expr:
        i, j = divmod(at, self.names.widths[layer])
        return self.hidden["z", layer][i, j] - self.affine(layer, i, j)

    def _defined_value(self, layer: int, at: int) -> Expr:
        i, j = divmod(at, self.names.widths[layer])
        return self.hidden["h", layer][i, j] - self.sigma(layer, i, j, 0)

    def _defined_signal(self, layer: int, at: int) -> Expr:
        i, j = divmod(at, self.names.widths[layer])
        return self.hidden["u", layer][i, j] - self.sigma(layer, i, j, 1) * self.behind(layer, i, j)

    @cached_property
    def slopes(self) -> list[Group]:
        """The constraints on the slopes."""
        n, out = self.names, []
        for k, m in enumerate(n.widths):
            each = self.layers.activations[k]
            if ("s", k) in self.hidden and isinstance(each, PiecewiseLinear):
                count = n_constraints(each.lines)
                title = f"slopes of layer {k + 1}" if n.is_numbered else "slopes"
                out.append(Group(title, n.samples * m * count, partial(self._constraint, k)))
        return out

    def _constraint(self, layer: int, at: int) -> Expr:
        place, which = divmod(at, n_constraints(self._lines(layer)))
        return constraints(self._lines(layer), self.indicators(layer, *divmod(place, self.names.widths[layer])), rational)[which]

    def _lines(self, layer: int) -> Any:
        each = self.layers.activations[layer]
        assert isinstance(each, PiecewiseLinear)
        return each.lines

    # --- inequalities ------------------------------------------------------------------------------------------------------------

    @cached_property
    def feasibility(self) -> list[Group]:
        """lambda_i >= 0 and y_i f(x_i) >= 1 (max-margin)."""
        n = self.names
        of_multipliers = Group("multipliers", n.samples, lambda i: Ge(n.multipliers[i, 0], 0))
        return [of_multipliers, Group("margins", n.samples, lambda i: Ge(self.margin(i), 1))]

    @cached_property
    def signs(self) -> list[Group]:
        """The signs that belong to the slopes, or the ends of the pieces of a cell."""
        n, out = self.names, []
        for k, m in enumerate(n.widths):
            each = self.layers.activations[k]
            if not isinstance(each, PiecewiseLinear):
                continue
            if self.pattern is None:
                count = 2 * len(each.breakpoints)
                out.append(Group("slopes", n.samples * m * count, partial(self._sign, k)))
            else:
                ends = [len(bounds(each.lines, int(piece))) for piece in self.pattern[k].ravel()]
                starts = np.concatenate([[0], np.cumsum(ends)])
                out.append(Group("pieces", int(starts[-1]), partial(self._end, k, starts)))
        return out

    def _sign(self, layer: int, at: int) -> Expr:
        place, which = divmod(at, 2 * len(self._lines(layer).breakpoints))
        i, j = divmod(place, self.names.widths[layer])
        signs = conditions(self._lines(layer), self.indicators(layer, i, j), self.before(layer, i, j), rational)
        return _relation(*signs[which])

    def _end(self, layer: int, starts: np.ndarray, at: int) -> Expr:
        assert self.pattern is not None
        place = int(np.searchsorted(starts, at, side="right")) - 1
        i, j = divmod(place, self.names.widths[layer])
        t, above = bounds(self._lines(layer), int(self.pattern[layer][i, j]))[at - int(starts[place])]
        return _relation(self.before(layer, i, j), above, t)


def _relation(value: Expr, at_least: bool, bound: Fraction = Fraction(0)) -> Expr:
    """The relation without evaluation: a dead neuron, whose pre-activation is a number, has one too."""
    return (Ge if at_least else Le)(value, rational(bound), evaluate=False)

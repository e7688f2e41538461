"""The KKT system of any network that is not a polynomial one of two layers, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sympy import Expr

from identify.base.errors import InputError
from identify.problem.activation import Activation, PiecewiseLinear
from identify.problem.ambiguity import Ambiguity
from identify.problem.gradients import Observed
from identify.problem.refusals import Unsupported
from identify.problem.symmetry import group_of
from identify.problem.system import KKTSystem
from identify.problem.words import equations_in_words, layers_in_words
from identify.symbolic.cells import checked_pattern, pattern_at
from identify.symbolic.layers import Group, LayerEquations, Layers
from identify.symbolic.lazy import Lazy
from identify.symbolic.names import LayerNames, Lengths
from identify.symbolic.structured import DECAY
from identify.symbolic.system import Part, SymbolicSystem

if TYPE_CHECKING:
    from identify.symbolic.jacobian import SymbolicJacobian
    from identify.symbolic.polynomials import Polynomials


COUNTLESS = 10**30
"""Stands for every larger number of terms: the number of those of a deep network has itself a number of digits that grows with depth."""


@dataclass(frozen=True, eq=False, repr=False)
class LayeredSystem(SymbolicSystem):
    """The KKT system of a network with piecewise-linear or analytic activations, more than two layers, or an observed output bias.

    Unknowns are the data and the multipliers; for more than two layers z, h and u of the hidden layers, which have equations of their
    own; and the slopes s of piecewise-linear activations (:mod:`identify.symbolic.pieces`). :meth:`cell` puts numbers for the slopes.
    """

    layers: Layers
    names: LayerNames
    regime: str
    numbers: KKTSystem | None = None
    pattern: Sequence[np.ndarray] | None = None
    """In a cell: the piece of each neuron, (n, neurons) for each hidden layer, counted from 0 at the left."""

    # --- what the system consists of -----------------------------------------------------------------------------------

    @property
    def activations(self) -> tuple[Activation, ...]:
        return self.layers.activations

    @property
    def seen(self) -> tuple[tuple[bool, bool], ...]:
        return self.layers.seen

    @cached_property
    def structured(self) -> LayerEquations:
        """The builder of structured expressions."""
        return LayerEquations(self.layers, self.names, self.regime, self.numbers, self.pattern)

    @cached_property
    def unknown_parts(self) -> dict[Part, np.ndarray]:
        """Data and multipliers, then layer by layer z, h, u, then the slopes."""
        hidden = self.structured.hidden
        parts = {Part("x"): self.names.x, Part("c"): self.names.multipliers}
        return parts | {Part(*place): hidden[place] for place in sorted(hidden, key=lambda place: (place[0] == "s", place[1]))}

    @cached_property
    def parameter_parts(self) -> dict[Part, np.ndarray]:
        n, parts = self.names, {}
        if n.y is not None and self.labels is None:
            parts[Part("y")] = n.y
        if self.numbers is None:
            layers = range(n.depth)
            parts |= self._by_layer("", n.weights, n.bias, [(True, n.biases[k]) for k in layers])
            if self.has_targets:
                parts |= self._by_layer("t", partial(n.weights, target=True), partial(n.bias, target=True), self.seen)
            if self.regime == "weight-decay":
                parts[Part("decay")] = np.array([DECAY])
        if self.has_square_closure:
            parts[Part("responses")] = n.responses
        return parts

    def _by_layer(self, mark: str, weights: Any, bias: Any, wanted: Sequence[tuple[bool, bool]]) -> dict[Part, np.ndarray]:
        """Weights and biases, or their targets; in the classical notation of two layers the first bias comes last but for its target."""
        both = [(Part(f"{mark}W", k), weights, of_weights) for k, (of_weights, _) in enumerate(wanted)]
        beside = [(Part(f"{mark}b", k), bias, of_bias) for k, (_, of_bias) in enumerate(wanted)]
        if self.names.is_numbered or mark:
            order = [part for pair in zip(both, beside, strict=True) for part in pair]
        else:
            order = [*both, *beside]
        return {part: make(part.layer) for part, make, is_wanted in order if is_wanted}

    @property
    def _groups(self) -> list[Group]:
        sides = self.structured.sides(margins=self.has_margins, closure=self.has_square_closure)
        return [*self.structured.stationarity, *sides, *self.structured.definitions, *self.structured.slopes]

    @property
    def n_stationarity(self) -> int:
        return sum(group.size for group in self.structured.stationarity)

    @cached_property
    def equations(self) -> Lazy:
        """Stationarity layer by layer, weights before biases; margins, slackness or closure; then what defines z, h and u, layer by
        layer; then the constraints on the slopes."""
        return _lazy(self._groups)

    @cached_property
    def inequalities(self) -> Lazy:
        """lambda_i >= 0 and y_i f(x_i) >= 1 (max-margin); the signs that belong to the slopes; in a cell the ends of its pieces."""
        return _lazy([*(self.structured.feasibility if self.has_margins else ()), *self.structured.signs])

    @property
    def feasibility(self) -> Lazy:
        """The first of these: lambda_i >= 0 and y_i f(x_i) >= 1, in the max-margin regime."""
        return _lazy(self.structured.feasibility if self.has_margins else ())

    def groups(self) -> list[tuple[str, int]]:
        return [(group.title, group.size) for group in self._groups]

    def describe(self) -> tuple[str, ...]:
        """The equations in words and formulas."""
        n, closure = self.names, bool(self.side_conditions)
        if n.is_numbered:
            return layers_in_words(self.regime, self.seen, n.biases, n.outputs, False, closure)
        observed = Observed(*self.seen[0], self.seen[1][0])
        return equations_in_words(self.regime, observed, n.biases[0], n.outputs, False, closure)

    @property
    def group(self) -> Ambiguity:
        """The symmetries of the equations that follow from those of the activations (:func:`identify.problem.symmetry.group_of`)."""
        return group_of(self.activations, self.names.biases, self.seen)

    def signed_multiplier(self, sample: int, output: int = 0) -> tuple[Expr, ...]:
        """The factors of one signed multiplier: (lambda_i, y_i), (c_i,) or (gamma_i_o,)."""
        return self.structured.signed[sample, output]

    # --- activation cells ----------------------------------------------------------------------------------------------

    def cell(self, pattern: ArrayLike | Sequence[ArrayLike]) -> LayeredSystem:
        if any(sigma.kind != "piecewise-linear" for sigma in self.activations):
            raise self.refuse("cell", Unsupported.CELLS)
        return replace(self, pattern=checked_pattern(pattern, self.activations, self.names.samples, self.names.widths))

    def pattern_at(self, X: ArrayLike) -> tuple[np.ndarray, ...]:
        if any(sigma.kind != "piecewise-linear" for sigma in self.activations):
            raise self.refuse("pattern_at", Unsupported.CELLS)
        if self.numbers is None:
            raise InputError("pattern_at: the weights are symbols; give numbers by kkt_equations(KKTSystem, samples=n)")
        return pattern_at(self.numbers.network, X, self.names.samples)

    # --- expanded polynomials --------------------------------------------------------------------------------------------

    def n_terms(self) -> int:
        """An upper bound on the number of terms of the expanded stationarity equations (targets apart).

        Raises
        ------
        UnsupportedError
            For an analytic activation: its equations are not polynomial, so that nothing can be expanded.
        """
        self._require_polynomials("n_terms")
        n, exact = self.names, self.numbers is not None
        slopes = sum(symbols.size for part, symbols in self.unknown_parts.items() if part.kind == "s") // n.samples
        degrees = [1 if isinstance(sigma, PiecewiseLinear) else sigma.degree for sigma in self.activations]

        def most(terms: int, degree: int) -> int:
            """No more than there are monomials, if weights are numbers and nothing but the sample is unknown."""
            return min(terms, comb(n.inputs + degree, n.inputs) if exact and not slopes else COUNTLESS, COUNTLESS)

        entering, derived, degree = [1], [], 1
        for k, sigma in enumerate(self.activations):
            before = most(n.sizes[k] * entering[-1] + n.biases[k], degree)
            if isinstance(sigma, PiecewiseLinear):
                many = 1 if self.pattern is not None else 1 + len(sigma.breakpoints)
                value, slope = many * (before + 1), many
            else:
                value, slope = (sum(comb(before + p - order - 1, p - order) for p in (0, *sigma.support) if p >= order) for order in (0, 1))
            derived.append(most(slope, degree * (degrees[k] - 1)))
            degree = min(degree * degrees[k], COUNTLESS)
            entering.append(most(value, degree))
        signal, total = 1, 0
        for k in reversed(range(n.depth)):
            of_weights, of_bias = self.seen[k]
            total += n.samples * n.sizes[k + 1] * signal * (n.sizes[k] * of_weights * entering[k] + of_bias)
            if k:
                signal = min(n.sizes[k + 1] * signal * derived[k - 1], n.outputs * most(COUNTLESS, degree))
        return total

    def expand(self) -> Polynomials:
        """The equations as polynomials in data, multipliers, slopes and parameters; z, h and u are eliminated.

        Raises
        ------
        TooLargeError
            When the terms would not fit in memory; the structured form of :attr:`equations` always does.
        UnsupportedError
            For an analytic activation: its equations are not polynomial.
        """
        from identify.symbolic.polynomials import Polynomials

        self._require_polynomials("expand")
        return Polynomials.of(self)

    def _require_polynomials(self, question: str) -> None:
        if any(sigma.kind == "analytic" for sigma in self.activations):
            raise self.refuse(question, Unsupported.POLYNOMIALS)

    def jacobian(self) -> SymbolicJacobian:
        """Derivatives of the structured equations by all unknowns, each taken when it is asked for."""
        from identify.symbolic.jacobian import SymbolicJacobian

        return SymbolicJacobian.structured(self)

    # --- words ---------------------------------------------------------------------------------------------------------------

    def sizes(self) -> dict[str, Any]:
        n = self.names
        width: int | list[int] = n.widths[0] if len(n.widths) == 1 else list(n.widths)
        bias: bool | list[bool] = n.biases[0] if not n.is_numbered else list(n.biases)
        return {"inputs": n.inputs, "samples": n.samples, "width": width, "outputs": n.outputs, "bias": bias}

    def size_in_words(self) -> str:
        n, names = self.names, ", ".join(dict.fromkeys(map(str, self.activations)))
        widths = "-".join(map(str, n.widths))
        cell = "" if self.pattern is None else ", one activation cell"
        return f"sigma = {names}, {n.inputs} inputs, {n.samples} samples, {widths} neurons, {n.outputs} outputs{cell}"

    def estimated_lengths(self, *, tex: bool) -> tuple[list[int], int]:
        """About how many characters one equation of each group takes, and one inequality, on average."""
        n, lengths = self.names, Lengths.of(self.names, self.numbers is not None, tex)
        symbol = max(lengths.x, lengths.mark + len(str(n.samples)) + len(str(max(n.widths)))) + (5 if tex else 1) * n.is_numbered
        bracket = 20 if tex else 4
        weights = [lengths.weight(out, inside) + 4 * (tex and n.is_numbered) for inside, out in zip(n.sizes, n.sizes[1:], strict=False)]
        deep = self.has_intermediates

        def affine(k: int) -> int:
            each = lengths.x if k == 0 else symbol if deep else sigma(k - 1, 0)
            return n.sizes[k] * (weights[k] + each + 4) + n.biases[k] * weights[k]

        def sigma(k: int, order: int) -> int:
            each = self.activations[k]
            inner = symbol if deep else affine(k)
            if isinstance(each, PiecewiseLinear):
                many = len(each.breakpoints)
                if self.pattern is not None:
                    zero = sum(slope == 0 for slope in each.slopes) / len(each.slopes)
                    return 1 if order else int(inner * (1 - zero))
                return many * (symbol + (0 if order else inner + bracket) + 6 * (many > 1))
            if each.kind == "analytic":
                return inner + len(str(each)) + bracket
            return sum((inner if p > order else 0) + bracket for p in each.support if p >= order)

        def behind(k: int) -> int:
            next_signal = lengths.multiplier if k + 2 == n.depth else symbol
            return n.sizes[k + 2] * (weights[k + 1] + next_signal + 3)

        each: list[int] = []
        for k, (of_weights, of_bias) in enumerate(self.seen):
            signal = lengths.multiplier if k + 1 == n.depth else symbol if deep else behind(k) + sigma(k, 1) + bracket // 2
            entering = lengths.x if k == 0 else symbol if deep else sigma(k - 1, 0)
            each += [n.samples * (signal + entering + 4)] * of_weights + [n.samples * (signal + 3)] * of_bias
        margin = affine(n.depth - 1) + lengths.x + bracket
        each += [margin] * (self.has_margins or self.has_square_closure)
        for k in range(len(n.widths)) if deep else ():
            each += [symbol + affine(k), symbol + sigma(k, 0), symbol + sigma(k, 1) + behind(k) + bracket]
        each += [2 * symbol + 8] * (len(self.groups()) - len(each))
        kinds = [(2 * n.samples, (margin + lengths.x) // 2)] if self.has_margins else []
        for k, m in enumerate(n.widths):
            sigma_k = self.activations[k]
            if isinstance(sigma_k, PiecewiseLinear):
                one = (symbol if deep else affine(k)) + (5 if self.pattern is not None else symbol + 8 + bracket)
                kinds.append((n.samples * m * 2 * len(sigma_k.breakpoints), one))
        count = sum(size for size, _ in kinds)
        return each, sum(size * length for size, length in kinds) // max(count, 1)


def _lazy(groups: Sequence[Group]) -> Lazy:
    starts = np.cumsum([0, *(group.size for group in groups)])

    def make(index: int) -> Expr:
        which = int(np.searchsorted(starts, index, side="right")) - 1
        return groups[which].make(index - int(starts[which]))

    return Lazy(int(starts[-1]), make)

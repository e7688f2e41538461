"""The polynomial KKT system of a network of two layers, in the notation of the theorems: w_j, b_j, a_j."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Expr, Ge, Symbol

from identify.planting.configuration import is_lifted
from identify.problem.activation import Activation
from identify.problem.ambiguity import Ambiguity
from identify.problem.gradients import Observed, visible_degrees
from identify.problem.system import KKTSystem
from identify.problem.words import equations_in_words
from identify.symbolic.lazy import Lazy
from identify.symbolic.names import Lengths, Names
from identify.symbolic.structured import DECAY, Structured
from identify.symbolic.system import Part, SymbolicSystem

if TYPE_CHECKING:
    from identify.symbolic.jacobian import SymbolicJacobian
    from identify.symbolic.moments import MomentForm
    from identify.symbolic.polynomials import Polynomials
    from identify.symbolic.solve import Solution


@dataclass(frozen=True, eq=False, repr=False)
class PolynomialSystem(SymbolicSystem):
    """The KKT system of two layers with a polynomial activation: polynomials in the data and the multipliers."""

    activation: Activation
    names: Names
    observed: Observed
    regime: str
    numbers: KKTSystem | None = None

    # --- what the system consists of -------------------------------------------------------------------------------

    @property
    def activations(self) -> tuple[Activation]:
        return (self.activation,)

    @property
    def seen(self) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
        return (self.observed.W, self.observed.bias), (self.observed.a, False)

    @property
    def unknown_parts(self) -> dict[Part, np.ndarray]:
        """The data x_i_k, then the multipliers."""
        return {Part("x"): self.names.x, Part("c"): self.names.multipliers}

    @property
    def parameter_parts(self) -> dict[Part, np.ndarray]:
        n, parts = self.names, {}
        if n.y is not None and self.labels is None:
            parts[Part("y")] = n.y
        if self.numbers is None:
            parts |= {Part("W"): n.w, Part("W", 1): n.a}
            if n.b is not None:
                parts[Part("b")] = n.b
            if self.has_targets:
                places = (Part("tW"), Part("tb"), Part("tW", 1))
                of_targets = zip(places, self.structured.target_symbols, self.observed, strict=True)
                parts |= {place: target for place, target, seen in of_targets if seen}
            if self.regime == "weight-decay":
                parts[Part("decay")] = np.array([DECAY])
        if self.has_square_closure:
            parts[Part("responses")] = n.responses
        return parts

    @property
    def n_stationarity(self) -> int:
        """Number of stationarity equations."""
        n = self.names
        return n.width * (n.inputs * self.observed.W + self.observed.bias + n.outputs * self.observed.a)

    @cached_property
    def equations(self) -> Lazy:
        """Stationarity by layer and neuron, then one side equation for each sample: complementary slackness (max-margin), the
        margin if labels were given, or the closure of the square loss."""
        slack = self.names.samples if self.has_margins or self.has_square_closure else 0
        return Lazy(self.n_stationarity + slack, self.structured.equation)

    @cached_property
    def inequalities(self) -> tuple[Expr, ...]:
        """Relations lambda_i >= 0 and y_i f(x_i) >= 1 (max-margin)."""
        if not self.has_margins:
            return ()
        n = self.names
        return (*(Ge(value, 0) for value in n.multipliers[:, 0]), *(Ge(self.structured.margin(i), 1) for i in range(n.samples)))

    def describe(self) -> tuple[str, ...]:
        """The equations in words and formulas."""
        n = self.names
        return equations_in_words(self.regime, self.observed, n.bias, n.outputs, False, bool(self.side_conditions))

    @cached_property
    def structured(self) -> Structured:
        """The builder of structured expressions."""
        return Structured(self.activation, self.names, self.observed, self.regime, self.numbers)

    # --- expanded polynomials ----------------------------------------------------------------------------------------

    def n_terms(self) -> int:
        """An upper bound on the number of terms of the expanded stationarity equations (targets apart)."""
        n = self.names
        size = n.inputs + int(n.bias)

        def terms(order: int) -> int:
            powers = [k - order for k in (0, *self.activation.support) if k >= order]
            if n.bias and self.numbers is not None:  # lower powers merge: the bias is a number
                return comb(size - 1 + max(powers), max(powers))
            return sum(comb(size + k - 1, k) for k in powers)

        first = n.width * (n.inputs * self.observed.W + self.observed.bias) * n.samples * n.outputs * terms(1)
        return first + n.width * n.outputs * self.observed.a * n.samples * terms(0)

    def expand(self) -> Polynomials:
        """The equations as expanded polynomials (:class:`identify.symbolic.polynomials.Polynomials`).

        Raises
        ------
        TooLargeError
            When the terms would not fit in memory; the structured form of :attr:`equations` always does.
        """
        from identify.symbolic.polynomials import Polynomials

        return Polynomials.of(self)

    # --- derived views -----------------------------------------------------------------------------------------------

    @property
    def degrees(self) -> tuple[int, ...]:
        """Degrees of the visible moments."""
        return visible_degrees(self.activation, self.names.bias, self.observed)

    @property
    def group(self) -> Ambiguity:
        """The ambiguity group of the stationarity equations."""
        return Ambiguity.of(self.degrees, is_lifted(self.degrees), None)

    def signed_multiplier(self, sample: int, output: int = 0) -> tuple[Expr, ...]:
        """The factors of one signed multiplier: (lambda_i, y_i), (c_i,) or (gamma_i_o,)."""
        return self.structured.signed[sample, output]

    def groups(self) -> list[tuple[str, int]]:
        """Titles and sizes of the groups of equations, in order."""
        n = self.names
        sizes = (n.width * n.inputs, n.width, n.outputs * n.width)
        titles = ("first layer", "first-layer biases", "second layer")
        out = [(title, size) for title, size, seen in zip(titles, sizes, self.observed, strict=True) if seen]
        if self.has_margins:
            out.append(("margins" if self.labels is not None else "complementary slackness", n.samples))
        if self.has_square_closure:
            out.append(("closure of the square loss", n.samples))
        return out

    def sizes(self) -> dict[str, Any]:
        n = self.names
        return {"inputs": n.inputs, "samples": n.samples, "width": n.width, "outputs": n.outputs, "bias": n.bias}

    def size_in_words(self) -> str:
        n = self.names
        return f"sigma = {self.activation}, {n.inputs} inputs, {n.samples} samples, {n.width} neurons, {n.outputs} outputs"

    def estimated_lengths(self, *, tex: bool) -> tuple[list[int], int]:
        n, lengths = self.names, Lengths.of(self.names, self.numbers is not None, tex)
        weight = lengths.weight(n.width, n.inputs)
        dot = n.inputs * (lengths.x + weight + 3) + n.bias * (weight + 3)

        def sigma(order: int) -> int:
            powers = [k - order for k in self.activation.support if k >= order]
            return sum((dot if k else 0) + 12 + 6 * tex for k in powers)

        first = n.samples * (weight * n.outputs + lengths.multiplier + lengths.x + sigma(1) + 10)
        second = n.samples * (lengths.multiplier + sigma(0) + 10)
        margin = n.width * (weight + sigma(0) + 10)
        each = [first] * (self.observed.W + self.observed.bias) + [second] * self.observed.a
        return each + [margin] * (len(self.groups()) - len(each)), margin

    # Thin doors to the modules that stand on this one; each loads what it needs when it is opened.

    def jacobian(self) -> SymbolicJacobian:
        """Derivatives of the expanded equations by the unknowns, sparse."""
        from identify.symbolic.jacobian import SymbolicJacobian

        return SymbolicJacobian.of(self.expand())

    def moment_form(self) -> MomentForm:
        """The stationarity equations written linearly in the moments of the data."""
        from identify.symbolic.moments import MomentForm

        return MomentForm.of(self)

    def ambiguity(self) -> tuple[dict[Symbol, Expr], ...]:
        """Substitutions that leave the stationarity equations as they are (:func:`identify.symbolic.invariance.generators`)."""
        from identify.symbolic.invariance import generators

        return generators(self)

    def is_invariant(self, substitution: dict[Symbol, Expr]) -> bool:
        """Whether the substitution leaves every stationarity equation as it is, checked as polynomials."""
        from identify.symbolic.invariance import is_invariant

        return is_invariant(self, substitution)

    def solve(self, *, gauge: str | None = "auto", time_limit: float = 60.0, method: str = "auto") -> Solution:
        """Exact solution of a small system: dimension, degree, real solutions in boxes (:func:`identify.symbolic.solve.solve`)."""
        from identify.symbolic.solve import solve

        return solve(self, gauge=gauge, time_limit=time_limit, method=method)

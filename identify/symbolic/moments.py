r"""The moment form: the same system, linear in the moments :math:`M_e = \sum_i c_i x_i^e` of the data.

The coefficients are those of the interpolation matrix, computed here by the same function as in the exact and the numeric
view, with polynomials in the weights as entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import factorial
from typing import Any

import numpy as np
from flint import fmpq
from sympy import Add, Expr, Mul, Symbol

from identify.problem.interpolation import Monomials, interpolation_matrix
from identify.symbolic.polynomials import to_expression
from identify.symbolic.ring import polynomials_in, ring_of, ring_values
from identify.symbolic.two_layers import PolynomialSystem


@dataclass(frozen=True, eq=False)
class MomentForm:
    """Every stationarity equation as sum_e A_e M_e - t, with A depending on the network only.

    Attributes
    ----------
    moments
        Symbols ``M_e1_..._ed`` (with the output in front for several outputs), one for each column.
    exponents
        The exponent vector e of each column, and its output.
    matrix
        Coefficients as python-flint polynomials in the weights, shape (equations, N).
    """

    system: PolynomialSystem
    moments: tuple[Symbol, ...]
    exponents: tuple[tuple[int, tuple[int, ...]], ...]
    matrix: np.ndarray
    targets: tuple[Any, ...]

    @classmethod
    def of(cls, system: PolynomialSystem) -> MomentForm:
        context, generators = ring_of(system)
        W, A, offsets, _, _, *targets = ring_values(system, context, generators)
        order = system.activation.degree + 2
        derivatives = [[fmpq(s.numerator, s.denominator) for s in system.activation.derivative(k)] for k in range(order)]
        matrix = interpolation_matrix(W, A, offsets, derivatives, system.observed, system.degrees)
        moments: list[Symbol] = []
        exponents: list[tuple[int, tuple[int, ...]]] = []
        for o in range(system.names.outputs):
            for k in system.degrees:
                for row in Monomials.of(system.names.inputs, k).index:
                    e = tuple(int(v) for v in np.bincount(row, minlength=system.names.inputs))
                    column = len(moments)
                    weight = fmpq(1, int(np.prod([factorial(v) for v in e], dtype=object)))
                    matrix[:, column] = matrix[:, column] * weight
                    stem = ["M", *([str(o + 1)] if system.names.outputs > 1 else []), *map(str, e)]
                    moments.append(Symbol("_".join(stem)))
                    exponents.append((o, e))
        flat = [value for part, seen in zip(targets, system.observed, strict=True) if seen for value in part.ravel()]
        return cls(system, tuple(moments), tuple(exponents), matrix, tuple(flat))

    @cached_property
    def definitions(self) -> dict[Symbol, Expr]:
        """Each moment in terms of the data: sum_i c_i x_i^e."""
        n = self.system.names
        out = {}
        for symbol, (o, e) in zip(self.moments, self.exponents, strict=True):
            terms = [Mul(*self.system.signed_multiplier(i, o), *(x**p for x, p in zip(n.x[i], e, strict=True))) for i in range(n.samples)]
            out[symbol] = Add(*terms)
        return out

    @cached_property
    def equations(self) -> tuple[Expr, ...]:
        """The equations in the moment symbols; each vanishes at a solution."""
        variables = self.system.variables
        out = []
        for row, target in zip(self.matrix, self.targets, strict=True):
            terms = [to_expression(a, variables) * M for a, M in zip(row, self.moments, strict=True) if a]
            out.append(Add(*terms, -to_expression(target, variables)))
        return tuple(out)

    def agrees(self) -> bool:
        """Whether replacing the moments by their definitions gives the stationarity equations, identically as polynomials."""
        context, generators = ring_of(self.system)
        _, _, _, X, c, *_ = ring_values(self.system, context, generators)
        values = []
        for o, e in self.exponents:
            total = context.constant(fmpq(0))
            for i in range(len(X)):
                term = c[i, o]
                for x, power in zip(X[i], e, strict=True):
                    term = term * x**power
                total = total + term
            values.append(total)
        written = polynomials_in(self.system, context, generators)[: self.system.n_stationarity]
        for row, target, equation in zip(self.matrix, self.targets, written, strict=True):
            total = -1 * target
            for coefficient, value in zip(row, values, strict=True):
                total = total + coefficient * value
            if total != equation:
                return False
        return True

    def __repr__(self) -> str:
        return f"MomentForm({len(self.targets)} equations, linear in {len(self.moments)} moments of degree {self.system.degrees})"

r"""``kkt_equations``: the polynomial KKT system of a two-layer network, written out.

Equations are kept structured: :math:`a_j \sum_i \lambda_i y_i\, \sigma'(w_j\cdot x_i)\, x_{i,k} - t_{j,k}` with the derivative of the
activation as one factor; SymPy expressions are made when they are looked at. Expansion never touches expression trees: the
right-hand side of (S) is evaluated in python-flint's multivariate polynomials (:mod:`identify.symbolic.ring`), by the one
definition in :mod:`identify.problem.gradients`, and handed out as SymPy polynomials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from sympy import Expr, Ge, Symbol

from identify.base.errors import InputError, WrongTypeError
from identify.base.limits import refuse_above
from identify.base.options import whole
from identify.planting.configuration import Configuration, is_lifted
from identify.problem.activation import Activation
from identify.problem.ambiguity import Ambiguity
from identify.problem.features import refuse_features
from identify.problem.gradients import Observed, visible_degrees
from identify.problem.refusals import require_polynomial
from identify.problem.system import KKTSystem, equations_in_words
from identify.symbolic.names import Names
from identify.symbolic.structured import DECAY, Structured

if TYPE_CHECKING:
    from identify.symbolic.jacobian import SymbolicJacobian
    from identify.symbolic.moments import MomentForm
    from identify.symbolic.polynomials import Polynomials
    from identify.symbolic.solve import Solution
    from identify.symbolic.structure import Structure

BYTES_PER_SYMBOL = 1000
MAX_CHARACTERS = 1_000_000
"""Longer texts are written only on demand; a megabyte is hundreds of pages."""


@dataclass(frozen=True)
class SideCondition:
    """A condition that is not a polynomial equation: an inequality, or a transcendental closure."""

    name: str
    text: str
    latex: str


class Lazy(Sequence[Any]):
    """A tuple whose members are made when they are asked for: kept when taken by index, not when iterated over."""

    def __init__(self, size: int, make: Callable[[int], Any]):
        self._size, self._make = size, make
        self._made: dict[int, Any] = {}

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self[k] for k in range(*index.indices(self._size)))
        k = range(self._size)[index]
        if k not in self._made:
            self._made[k] = self._make(k)
        return self._made[k]

    def __iter__(self) -> Iterator[Any]:
        return (self._made[k] if k in self._made else self._make(k) for k in range(self._size))

    def __repr__(self) -> str:
        shown = [str(self[k]) for k in range(min(3, self._size))]
        return f"({', '.join(shown)}{', ...' if self._size > 3 else ''}: {self._size} in all)"


@dataclass(frozen=True, eq=False)
class SymbolicSystem:
    """The KKT system of :func:`kkt_equations`; every equation is an expression that vanishes at a solution."""

    activation: Activation
    names: Names
    observed: Observed
    regime: str
    numbers: KKTSystem | None = None

    # --- what the system consists of -------------------------------------------------------------------------------

    @property
    def unknowns(self) -> tuple[Symbol, ...]:
        """The data x_i_k, then the multipliers."""
        return self.names.unknowns

    @cached_property
    def parameters(self) -> tuple[Symbol, ...]:
        """Symbols that stand for known numbers: labels, weights, targets. Empty where numbers were given."""
        parts: list[np.ndarray] = [] if self.names.y is None or self.labels is not None else [self.names.y]
        if self.numbers is None:
            parts += [part for part in (self.names.w, self.names.a, self.names.b) if part is not None]
            if self.regime in ("gradient", "lazy"):
                parts += [part for part, seen in zip(self.structured.target_symbols, self.observed, strict=True) if seen]
            if self.regime == "weight-decay":
                parts.append(np.array([DECAY]))
        if self.has_square_closure:
            parts.append(self.structured.responses)
        return tuple(symbol for part in parts for symbol in part.ravel())

    @property
    def labels(self) -> np.ndarray | None:
        """Given labels, as numbers."""
        return None if self.numbers is None else self.numbers.labels

    @property
    def n_stationarity(self) -> int:
        """Number of stationarity equations."""
        n = self.names
        return n.width * (n.inputs * self.observed.W + self.observed.bias + n.outputs * self.observed.a)

    @property
    def has_margins(self) -> bool:
        """Whether complementary slackness belongs to the system, or margins where labels were given."""
        return self.regime == "max-margin" and self.names.outputs == 1

    @property
    def has_square_closure(self) -> bool:
        """Whether the polynomial closure of the square loss belongs to the system."""
        return self.numbers is not None and self.numbers.loss == "square"

    @cached_property
    def equations(self) -> Lazy:
        """Stationarity by layer and neuron, then one side equation for each sample: complementary slackness (max-margin), the
        margin where labels were given, or the closure of the square loss."""
        slack = self.names.samples if self.has_margins or self.has_square_closure else 0
        return Lazy(self.n_stationarity + slack, self.structured.equation)

    @cached_property
    def inequalities(self) -> tuple[Expr, ...]:
        """Relations lambda_i >= 0 and y_i f(x_i) >= 1 (max-margin)."""
        if not self.has_margins:
            return ()
        n = self.names
        return (*(Ge(value, 0) for value in n.multipliers[:, 0]), *(Ge(self.structured.margin(i), 1) for i in range(n.samples)))

    @property
    def side_conditions(self) -> tuple[SideCondition, ...]:
        """Conditions in force that are not polynomial: named, never silently dropped."""
        if self.regime != "weight-decay" or (self.numbers is not None and self.numbers.loss != "logistic"):
            return ()
        text = "c_i = y_i / (n (1 + exp(y_i f(x_i)))) with y_i = sign c_i, for the mean logistic loss"
        return (SideCondition("closure", text, r"c_i = \frac{y_i}{n\,(1 + e^{y_i f(x_i)})},\quad y_i = \operatorname{sign} c_i"),)

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

    @cached_property
    def variables(self) -> tuple[Symbol, ...]:
        """Unknowns, then parameters: the variables of the expanded polynomials."""
        return self.unknowns + self.parameters

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

    # Thin doors to the modules that stand on this one; each loads what it needs when it is opened.

    def jacobian(self) -> SymbolicJacobian:
        """Derivatives of the expanded equations by the unknowns, sparse."""
        from identify.symbolic.jacobian import SymbolicJacobian

        return SymbolicJacobian.of(self.expand())

    def moment_form(self) -> MomentForm:
        """The stationarity equations written linearly in the moments of the data."""
        from identify.symbolic.moments import MomentForm

        return MomentForm.of(self)

    def structure(self) -> Structure:
        """The bipartite graph of equations and unknowns, with its matching and blocks."""
        from identify.symbolic.structure import Structure

        return Structure.of(self, self.jacobian().pattern())

    def ambiguity(self) -> tuple[dict[Symbol, Expr], ...]:
        """Substitutions that leave the stationarity equations as they are (:func:`identify.symbolic.invariance.generators`)."""
        from identify.symbolic.invariance import generators

        return generators(self)

    def is_invariant(self, substitution: dict[Symbol, Expr]) -> bool:
        """Whether the substitution leaves every stationarity equation as it is, checked as polynomials."""
        from identify.symbolic.invariance import is_invariant

        return is_invariant(self, substitution)

    def lambdify(self, backend: str = "numpy") -> Callable[..., Any]:
        """The equations as a function of two vectors (:func:`identify.symbolic.numeric.lambdify`)."""
        from identify.symbolic.numeric import lambdify

        return lambdify(self, backend)

    def to_latex(self, limit: int | None = 6, *, max_characters: int | None = MAX_CHARACTERS) -> str:
        """The system in an ``align*`` environment; groups are cut after ``limit`` equations, with a count.

        Raises :class:`~identify.symbolic.writing.TooLongError`, before any work, when that would take more than ``max_characters``.
        """
        from identify.symbolic.writing import to_latex

        return to_latex(self, limit, max_characters=max_characters)

    def to_text(self, limit: int | None = None, *, max_characters: int | None = MAX_CHARACTERS) -> str:
        """One line for each equation; ``limit`` and ``max_characters`` as for :meth:`to_latex`."""
        from identify.symbolic.writing import to_text

        return to_text(self, limit, max_characters=max_characters)

    def to_dict(self, *, max_characters: int | None = MAX_CHARACTERS) -> dict[str, Any]:
        """JSON values: sizes, names of the symbols, and every equation as text that SymPy reads; refusals as :meth:`to_latex`."""
        from identify.symbolic.writing import to_dict

        return to_dict(self, max_characters=max_characters)

    def solve(self, *, gauge: str | None = "auto", time_limit: float = 60.0, method: str = "auto") -> Solution:
        """Exact solution of a small system: dimension, degree, real solutions in boxes (:func:`identify.symbolic.solve.solve`)."""
        from identify.symbolic.solve import solve

        return solve(self, gauge=gauge, time_limit=time_limit, method=method)

    def export(
        self,
        format: str,
        *,
        equations: Sequence[Expr] | None = None,
        saturate: bool = True,
        modulus: int | None = None,
        path: str | Path | None = None,
    ) -> str:
        """The system as a file for an algebra program (:func:`identify.symbolic.export.export`), also written to ``path``."""
        from identify.symbolic.export import export

        return export(self, format, equations=equations, saturate=saturate, modulus=modulus, path=path)

    def _repr_latex_(self) -> str | None:
        """For notebooks, which show the plain text of a system that is too long."""
        try:
            return self.to_latex()
        except InputError:
            return None

    def __len__(self) -> int:
        return len(self.equations)

    def __repr__(self) -> str:
        n = self.names
        lines = [
            f"SymbolicSystem({self.regime}: {len(self)} equations in {len(self.unknowns)} unknowns, {len(self.parameters)} parameters)",
            f"  sigma = {self.activation}, {n.inputs} inputs, {n.samples} samples, {n.width} neurons, {n.outputs} outputs",
        ]
        lines += [f"  {line}" for line in self.describe()]
        return "\n".join(lines)


@overload
def kkt_equations(problem: Configuration) -> SymbolicSystem: ...
@overload
def kkt_equations(problem: KKTSystem, *, samples: int) -> SymbolicSystem: ...
def kkt_equations(problem: Configuration | KKTSystem, *, samples: int | None = None) -> SymbolicSystem:
    """The KKT system of a configuration with symbols for weights and data, or of a system with its exact numbers.

    Parameters
    ----------
    problem
        A :class:`Configuration`, or a :class:`KKTSystem`, whose floats are taken as the exact rationals that they are.
    samples
        n, for a KKTSystem.

    Examples
    --------
    >>> eqs = kkt_equations(Configuration(inputs=2, samples=1, width=1, activation="z^3", layers="first", regime="max-margin"))
    >>> eqs.equations[0]
    3*a_1*lambda_1*x_1_1*y_1*(w_1_1*x_1_1 + w_1_2*x_1_2)**2 - w_1_1
    """
    if isinstance(problem, Configuration):
        if samples is not None:
            raise InputError("samples: a Configuration already says how many samples there are; leave it out")
        require_polynomial("kkt_equations", problem)
        refuse_many(problem.inputs, problem.samples, problem.neurons, problem.outputs)
        names = Names(problem.inputs, problem.samples, problem.neurons, problem.outputs, problem.bias, False)
        return SymbolicSystem(problem.activation, names, problem.observed, problem.regime)
    refuse_features("kkt_equations", problem)
    if not isinstance(problem, KKTSystem):
        raise WrongTypeError(f"kkt_equations: received {type(problem).__name__}, expected a Configuration or a KKTSystem")
    samples = whole("samples", samples)
    if problem.labels is not None and len(problem.labels) != samples:
        raise InputError(f"samples: {samples}, but the system has {len(problem.labels)} labels; expected one label for each sample")
    net = problem.network
    require_polynomial("kkt_equations", net)
    refuse_many(net.n_inputs, samples, net.width, net.n_outputs)
    signed = problem.labels is None and problem.regime != "max-margin"
    names = Names(net.n_inputs, samples, net.width, net.n_outputs, net.has_bias, signed)
    return SymbolicSystem(net.activation, names, problem.observed, problem.regime, problem)


def refuse_many(d: int, n: int, m: int, C: int) -> None:
    """Raise TooLargeError for more symbols than memory has room for: data, network and target."""
    count = n * (d + 2 * C) + 2 * m * (d + C + 1)
    refuse_above(BYTES_PER_SYMBOL * count, f"a system with {count} symbols")

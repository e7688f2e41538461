r"""``kkt_equations``: the KKT system of a network, written out.

Equations are kept structured: :math:`a_j \sum_i \lambda_i y_i\, \sigma'(w_j\cdot x_i)\, x_{i,k} - t_{j,k}` with the derivative of the
activation as one factor; SymPy expressions are made when they are looked at. Expansion never touches expression trees: the
right-hand side of (S) is evaluated in python-flint's multivariate polynomials (:mod:`identify.symbolic.ring`), by the one
definition in :mod:`identify.problem.signals`, and handed out as SymPy polynomials.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sympy import Expr, Symbol

from identify.base.errors import InputError
from identify.problem.activation import Activation
from identify.problem.ambiguity import Ambiguity
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.problem.system import KKTSystem
from identify.symbolic.lazy import Lazy
from identify.symbolic.names import DataNames

if TYPE_CHECKING:
    from identify.symbolic.given import GivenSystem
    from identify.symbolic.jacobian import SymbolicJacobian
    from identify.symbolic.moments import MomentForm
    from identify.symbolic.polynomials import Polynomials
    from identify.symbolic.structure import Structure

MAX_CHARACTERS = 1_000_000
"""Longer texts are written only on demand; a megabyte is hundreds of pages."""


@dataclass(frozen=True)
class SideCondition:
    """A condition that is not a polynomial equation: an inequality, or a transcendental closure."""

    name: str
    text: str
    latex: str


class Part(NamedTuple):
    """The meaning of a group of unknowns or of parameters; layers are counted from 0."""

    kind: str
    """Unknowns: x, c (multipliers), z, h, u, s. Parameters: y, W, b, their targets tW, tb, decay, responses."""
    layer: int = 0


class SymbolicSystem(ABC):
    """The KKT system of :func:`kkt_equations`; every equation is an expression that vanishes at a solution.

    Two layers with a polynomial activation are a :class:`~identify.symbolic.two_layers.PolynomialSystem`: polynomials in the data and
    the multipliers. Every other network is a :class:`~identify.symbolic.layered.LayeredSystem`, with slopes of piecewise-linear
    activations, and pre-activations and signals of deeper networks, as further unknowns.
    """

    names: DataNames
    regime: str
    numbers: KKTSystem | None

    # --- what each kind of system says of itself -----------------------------------------------------------------------

    @property
    @abstractmethod
    def activations(self) -> Sequence[Activation]:
        """One for each hidden layer."""

    @property
    @abstractmethod
    def seen(self) -> Sequence[tuple[bool, bool]]:
        """Whether the updates of the weights and of the bias of each layer are observed."""

    @property
    @abstractmethod
    def unknown_parts(self) -> dict[Part, np.ndarray]:
        """The unknowns as arrays of symbols."""

    @property
    @abstractmethod
    def parameter_parts(self) -> dict[Part, np.ndarray]:
        """The parameters as arrays of symbols."""

    @property
    @abstractmethod
    def equations(self) -> Lazy:
        """Every equation, as an expression that vanishes; made on access."""

    @property
    @abstractmethod
    def inequalities(self) -> Sequence[Expr]:
        """Relations that hold at a solution."""

    @property
    @abstractmethod
    def n_stationarity(self) -> int:
        """Number of stationarity equations, which come first."""

    @property
    @abstractmethod
    def group(self) -> Ambiguity:
        """The ambiguity group of the stationarity equations."""

    @abstractmethod
    def groups(self) -> list[tuple[str, int]]:
        """Titles and sizes of the groups of equations, in order."""

    @abstractmethod
    def describe(self) -> tuple[str, ...]:
        """The equations in words and formulas."""

    @abstractmethod
    def signed_multiplier(self, sample: int, output: int = 0) -> tuple[Expr, ...]:
        """The factors of one signed multiplier: (lambda_i, y_i), (c_i,) or (gamma_i_o,)."""

    @abstractmethod
    def n_terms(self) -> int:
        """An upper bound on the number of terms of the expanded stationarity equations (targets apart)."""

    @abstractmethod
    def expand(self) -> Polynomials:
        """The equations as expanded polynomials in :attr:`variables` (:class:`identify.symbolic.polynomials.Polynomials`).

        Raises
        ------
        TooLargeError
            When the terms would not fit in memory; the structured form of :attr:`equations` always does.
        UnsupportedError
            For an activation that is analytic: its equations are not polynomial.
        """

    @abstractmethod
    def jacobian(self) -> SymbolicJacobian:
        """Derivatives of the equations by the unknowns, sparse."""

    @abstractmethod
    def sizes(self) -> dict[str, Any]:
        """The sizes as JSON values."""

    @abstractmethod
    def size_in_words(self) -> str:
        """Activation and sizes, for headings."""

    @abstractmethod
    def estimated_lengths(self, *, tex: bool) -> tuple[list[int], int]:
        """About how many characters one equation of each group takes, and one inequality."""

    # --- what follows from that ----------------------------------------------------------------------------------------

    pattern: Sequence[np.ndarray] | None = None
    """The pieces of the activations, for a system of one activation cell."""

    @property
    def has_intermediates(self) -> bool:
        """Whether pre-activations, values and signals of hidden layers are unknowns with equations of their own: beyond two layers."""
        return len(self.seen) > 2

    @cached_property
    def unknowns(self) -> tuple[Symbol, ...]:
        """The data x_i_k, then the multipliers, then what else the equations contain."""
        return tuple(symbol for part in self.unknown_parts.values() for symbol in part.ravel())

    @cached_property
    def parameters(self) -> tuple[Symbol, ...]:
        """Symbols that stand for known numbers: labels, weights, targets. Empty if numbers were given."""
        return tuple(symbol for part in self.parameter_parts.values() for symbol in part.ravel())

    @cached_property
    def free_unknowns(self) -> tuple[Symbol, ...]:
        """The unknowns that no equation defines by others: data, multipliers, and slopes."""
        return tuple(symbol for part, symbols in self.unknown_parts.items() if part.kind in ("x", "c", "s") for symbol in symbols.ravel())

    @cached_property
    def variables(self) -> tuple[Symbol, ...]:
        """The free unknowns, then the parameters: the variables of the expanded polynomials."""
        return self.free_unknowns + self.parameters

    @property
    def labels(self) -> np.ndarray | None:
        """Given labels, as numbers."""
        return None if self.numbers is None else self.numbers.labels

    @property
    def has_multipliers(self) -> bool:
        """Whether samples with multipliers are among the unknowns, as in every system of a network."""
        return True

    @property
    def heading(self) -> str:
        """The first line of a file for another program."""
        n, names = self.names, ", ".join(dict.fromkeys(map(str, self.activations)))
        width = self.sizes()["width"]
        widths = "-".join(map(str, width)) if isinstance(width, list) else str(width)
        return f"KKT system ({self.regime}): {n.inputs} inputs, {n.samples} samples, {widths} neurons, {n.outputs} outputs, sigma = {names}"

    @property
    def heading_in_words(self) -> str:
        """The first line of a file for an SMT solver."""
        return f"KKT system ({self.regime}): {self.size_in_words()}"

    @property
    def symmetries(self) -> tuple[str, ...]:
        """The ambiguity of the stationarity equations in words."""
        return tuple(self.group.describe())

    @property
    def has_margins(self) -> bool:
        """Whether complementary slackness belongs to the system, or margins if labels were given."""
        return self.regime == "max-margin" and self.names.outputs == 1

    @property
    def has_square_closure(self) -> bool:
        """Whether the polynomial closure of the square loss belongs to the system."""
        return self.numbers is not None and self.numbers.loss == "square"

    @property
    def has_targets(self) -> bool:
        """Whether targets are symbols of their own: with symbolic weights, when they are not multiples of these."""
        return self.numbers is None and self.regime in ("gradient", "lazy")

    @property
    def side_conditions(self) -> tuple[SideCondition, ...]:
        """Conditions in force that are not polynomial: named, never silently dropped."""
        if self.regime != "weight-decay" or (self.numbers is not None and self.numbers.loss != "logistic"):
            return ()
        text = "c_i = y_i / (n (1 + exp(y_i f(x_i)))) with y_i = sign c_i, for the mean logistic loss"
        return (SideCondition("closure", text, r"c_i = \frac{y_i}{n\,(1 + e^{y_i f(x_i)})},\quad y_i = \operatorname{sign} c_i"),)

    def refuse(self, question: str, reason: Unsupported | None = None) -> UnsupportedError:
        """The error for a question about polynomial networks of two layers, or for another reason."""
        if reason is None and len(self.seen) != 2:
            reason = Unsupported.DEPTH
        if reason is None:
            polynomial = all(sigma.kind == "polynomial" for sigma in self.activations)
            reason = Unsupported.OUTPUT_BIAS if polynomial else Unsupported.ACTIVATION
        kinds, texts = [sigma.kind for sigma in self.activations], list(map(str, self.activations))
        return UnsupportedError(question, reason, kinds=kinds, activations=texts, depth=len(self.seen))

    # Thin doors to the modules that stand on this one; each loads what it needs when it is opened.

    def cell(self, pattern: ArrayLike | Sequence[ArrayLike]) -> SymbolicSystem:
        """The system within one activation cell of a piecewise-linear network, polynomial in data and multipliers.

        Parameters
        ----------
        pattern
            The piece of each neuron at each sample, (n, neurons), counted from 0 at the left: for ReLU 1 if the neuron is active. For
            more hidden layers a sequence of such arrays. :meth:`pattern_at` gives those of known data.

        Raises
        ------
        InputError
            For shapes that are not those of the hidden layers, or a piece that an activation does not have.
        UnsupportedError
            If an activation is not piecewise-linear: only these have cells.
        """
        raise self.refuse("cell", Unsupported.CELLS)

    def pattern_at(self, X: ArrayLike) -> tuple[np.ndarray, ...]:
        """The pieces in which the pre-activations of known data (n, d) lie, in rational arithmetic; for a system with numbers.

        Raises
        ------
        OnBreakpointError
            If a pre-activation is a breakpoint, at which two cells meet.
        UnsupportedError
            If an activation is not piecewise-linear.
        """
        raise self.refuse("pattern_at", Unsupported.CELLS)

    def moment_form(self) -> MomentForm:
        """The stationarity equations written linearly in the moments of the data (two layers, polynomial activation)."""
        raise self.refuse("moment_form")

    def structure(self) -> Structure:
        """The bipartite graph of equations and unknowns, with its matching and blocks.

        Raises InputError when writing all equations to find their unknowns would take minutes, and TooLargeError when the expanded
        equations or the graph would not fit in memory.
        """
        from identify.symbolic.structure import Structure

        return Structure.of(self, self.jacobian().pattern())

    def ambiguity(self) -> tuple[dict[Symbol, Expr], ...]:
        """Substitutions that leave the stationarity equations as they are (two layers, polynomial activation)."""
        raise self.refuse("ambiguity")

    def is_invariant(self, substitution: dict[Symbol, Expr]) -> bool:
        """Whether the substitution leaves every stationarity equation as it is (two layers, polynomial activation)."""
        raise self.refuse("is_invariant")

    def lambdify(self, backend: str = "numpy") -> Callable[..., Any]:
        """The equations as a function ``f(unknowns, parameters)`` of two vectors (:func:`identify.symbolic.numeric.lambdify`).

        ``unknowns`` are in the order of :attr:`unknowns` (:meth:`point` makes them from data), ``parameters`` in that of
        :attr:`parameters` (leave them out if there are none). It returns one vector: the value of each equation, zero at a solution.
        """
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

    @classmethod
    def from_sympy(cls, equations: Sequence[Any], unknowns: Sequence[Any], parameters: Sequence[Any] = ()) -> GivenSystem:
        """Polynomial equations of one's own, as a system with the same verbs: structure, Jacobian, exports, solutions.

        Parameters
        ----------
        equations
            SymPy expressions that vanish at a solution, or ``Eq(left, right)``; polynomials in the unknowns and parameters with rational
            coefficients. A float is taken as the rational that it is.
        unknowns, parameters
            Symbols, or their names: ASCII letters, digits and ``_``, beginning with a letter. Together they contain every symbol of the
            equations.

        Raises
        ------
        InputError
            For equations that are not polynomial, symbols that are neither unknowns nor parameters, or names that programs cannot read.

        Examples
        --------
        >>> from sympy import symbols
        >>> x, y = symbols("x y")
        >>> system = SymbolicSystem.from_sympy([x**2 + y**2 - 5, x * y - 2], [x, y])
        >>> system.structure().structural_rank, system.solve(method="sympy").degree
        (2, 4)
        """
        from identify.symbolic.given import GivenSystem

        return GivenSystem.of(equations, unknowns, parameters)

    def solve(self, *, gauge: str | None = "auto", time_limit: float = 60.0, method: str = "auto") -> Any:
        """All solutions of a small system: dimension, degree, real ones in boxes (two layers, polynomial activation)."""
        raise self.refuse("solve")

    def export(
        self,
        format: str,
        *,
        equations: Sequence[Expr] | None = None,
        saturate: bool = True,
        modulus: int | None = None,
        another_than: tuple[ArrayLike, ArrayLike] | None = None,
        path: str | Path | None = None,
    ) -> str:
        """The system as a file for an algebra program or an SMT solver (:func:`identify.symbolic.export.export`)."""
        from identify.symbolic.export import export

        return export(self, format, equations=equations, saturate=saturate, modulus=modulus, another_than=another_than, path=path)

    def point(self, X: ArrayLike, multipliers: ArrayLike, parameters: ArrayLike = ()) -> np.ndarray:
        """The vector of all unknowns at given data (:func:`identify.symbolic.numeric.point`)."""
        from identify.symbolic.numeric import point

        return point(self, X, multipliers, parameters)

    def _repr_latex_(self) -> str | None:
        """For notebooks, which show the plain text of a system that is too long."""
        try:
            return self.to_latex()
        except InputError:
            return None

    def __len__(self) -> int:
        return len(self.equations)

    def __repr__(self) -> str:
        lines = [
            f"SymbolicSystem({self.regime}: {len(self)} equations in {len(self.unknowns)} unknowns, {len(self.parameters)} parameters)",
            f"  {self.size_in_words()}",
        ]
        lines += [f"  {line}" for line in self.describe()]
        return "\n".join(lines)

"""Polynomial equations that the caller states: the verbs of :class:`SymbolicSystem` for systems that are not those of a network."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sympy import Eq, Expr, Float, Poly, PolynomialError, Rational, Symbol, lambdify, sympify

from identify.base.errors import InputError
from identify.base.options import choice, positive
from identify.problem.activation import Activation
from identify.problem.ambiguity import Ambiguity
from identify.problem.refusals import Unsupported, UnsupportedError
from identify.symbolic.lazy import Lazy
from identify.symbolic.programs import SolutionSet, answered, is_rounded, name_of, program_for
from identify.symbolic.system import Part, SymbolicSystem

if TYPE_CHECKING:
    from identify.symbolic.export import Problem
    from identify.symbolic.jacobian import SymbolicJacobian
    from identify.symbolic.msolve import Interval
    from identify.symbolic.polynomials import Polynomials

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, eq=False, kw_only=True)
class Roots(SolutionSet):
    """All solutions of stated equations.

    Attributes
    ----------
    dimension
        Complex dimension: 0 for finitely many solutions, -1 for none.
    degree
        Number of complex solutions; None in positive dimension.
    real
        Every real solution, by the name of the unknown: an exact rational interval (low, high) that holds no other. Empty in positive
        dimension.
    method
        ``"msolve"`` or ``"sympy"``.
    seconds
        Wall-clock time.
    is_rounded
        Whether coefficients are floats with the digits of rounded numbers: their equations, if there are more than unknowns, have no exact
        solution in general.
    """

    real: tuple[dict[str, Interval], ...]

    @property
    def midpoints(self) -> tuple[dict[str, float], ...]:
        """Every real solution in double precision."""
        return tuple({name: float((low + high) / 2) for name, (low, high) in box.items()} for box in self.real)

    @property
    def counted(self) -> str:
        """The number of solutions in words."""
        return self._counted(f"{len(self.real)} real")

    def _repr_html_(self) -> str:
        from identify.report.notebook import of_roots

        return of_roots(self)

    def __repr__(self) -> str:
        return f"Roots({self.counted}; {self._effort})"


class GivenSystem(SymbolicSystem):
    """Equations of one's own, made by :meth:`SymbolicSystem.from_sympy`."""

    regime = "given"
    numbers = None
    names: Any = None

    def __init__(self, equations: Sequence[Expr], unknowns: Sequence[Symbol], parameters: Sequence[Symbol]) -> None:
        self._equations = tuple(equations)
        self._unknowns, self._parameters = tuple(unknowns), tuple(parameters)

    @classmethod
    def of(cls, equations: Sequence[Any], unknowns: Sequence[Any], parameters: Sequence[Any]) -> GivenSystem:
        """Checked equations; see :meth:`SymbolicSystem.from_sympy`."""
        sought, known = _symbols("unknowns", unknowns), _symbols("parameters", parameters)
        if not sought:
            raise InputError("unknowns: received none, expected at least one symbol")
        names = [symbol.name for symbol in (*sought, *known)]
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(f"unknowns, parameters: {', '.join(twice)} named twice, expected each symbol once")
        by_name = {symbol.name: symbol for symbol in (*sought, *known)}
        made = [_expression(index, equation, by_name) for index, equation in enumerate(equations)]
        if not made:
            raise InputError("equations: received none, expected at least one")
        return cls(made, sought, known)

    @property
    def activations(self) -> Sequence[Activation]:
        return ()

    @property
    def seen(self) -> Sequence[tuple[bool, bool]]:
        return ()

    @property
    def has_multipliers(self) -> bool:
        return False

    @property
    def heading(self) -> str:
        return self.size_in_words()

    @property
    def heading_in_words(self) -> str:
        return self.size_in_words()

    @property
    def symmetries(self) -> tuple[str, ...]:
        return ()

    @property
    def unknown_parts(self) -> dict[Part, np.ndarray]:
        return {Part("x"): np.array(self._unknowns, dtype=object)}

    @property
    def parameter_parts(self) -> dict[Part, np.ndarray]:
        return {Part("parameter"): np.array(self._parameters, dtype=object)} if self._parameters else {}

    @cached_property
    def equations(self) -> Lazy:
        """The equations, floats as the rationals that they are."""
        return Lazy(len(self._equations), self._equations.__getitem__)

    @property
    def inequalities(self) -> Sequence[Expr]:
        return ()

    @property
    def n_stationarity(self) -> int:
        return len(self._equations)

    @property
    def group(self) -> Ambiguity:
        raise self.refuse("group")

    def groups(self) -> list[tuple[str, int]]:
        return [("equations", len(self._equations))]

    def describe(self) -> tuple[str, ...]:
        return ()

    def signed_multiplier(self, sample: int, output: int = 0) -> tuple[Expr, ...]:
        raise self.refuse("signed_multiplier")

    def n_terms(self) -> int:
        return sum(len(polynomial.terms()) for polynomial in self._polynomials)

    @cached_property
    def _polynomials(self) -> tuple[Poly, ...]:
        return tuple(Poly(equation, *self.variables, domain="QQ") for equation in self._equations)

    def expand(self) -> Polynomials:
        """The equations as polynomials in all symbols (:class:`identify.symbolic.polynomials.Polynomials`)."""
        from flint import fmpq

        from identify.symbolic.polynomials import Polynomials
        from identify.symbolic.ring import ring_of

        context, _ = ring_of(self)
        made = []
        for polynomial in self._polynomials:
            terms = {tuple(map(int, powers)): fmpq(int(c.p), int(c.q)) for powers, c in polynomial.terms() if c}
            made.append(context.from_dict(terms))
        places = tuple(range(len(made)))
        return Polynomials(self, tuple(made), ((self.variables, places),), tuple((0, k) for k in places))

    def jacobian(self) -> SymbolicJacobian:
        """Derivatives of the expanded equations by the unknowns, sparse."""
        from identify.symbolic.jacobian import SymbolicJacobian

        return SymbolicJacobian.of(self.expand())

    def lambdify(self, backend: str = "numpy") -> Callable[..., Any]:
        """A function ``f(unknowns, parameters)`` of two vectors, which returns the value of each equation as one vector.

        ``backend``: ``"numpy"`` or ``"jax"``.
        """
        choice("backend", backend, ("numpy", "jax"))
        compiled = lambdify([self._unknowns, self._parameters], list(self._equations), modules=backend, cse=True)
        xp: Any = np
        if backend == "jax":
            import jax.numpy as xp

        def residual(unknowns, parameters=()):
            """The value of every equation, in order; zero at a solution."""
            if np.shape(unknowns) != (len(self.unknowns),) or np.shape(parameters) != (len(self.parameters),):
                raise InputError(
                    f"unknowns, parameters: received shapes {np.shape(unknowns)} and {np.shape(parameters)}, expected "
                    f"({len(self.unknowns)},) and ({len(self.parameters)},), in the order of .unknowns and .parameters"
                )
            return xp.stack([xp.asarray(value, float) for value in compiled(unknowns, parameters)])

        return residual

    def solve(self, *, gauge: str | None = "auto", time_limit: float = 60.0, method: str = "auto") -> Roots:
        """All solutions: dimension, degree, real ones in boxes, each checked in ball arithmetic.

        Parameters
        ----------
        gauge
            Has no meaning here: nothing is added to the equations.
        time_limit
            Seconds of wall-clock time for the algebra program, which is then stopped.
        method
            ``"msolve"``, ``"sympy"``, or ``"auto"``: msolve if it is installed.

        Raises
        ------
        InputError
            For parameters without numbers, or an unknown method.
        SolveLimitError
            At the time limit or out of memory.

        Notes
        -----
        As for :func:`identify.symbolic.solve.solve`. Cost: exponential in the number of unknowns.
        """
        from identify.symbolic.export import problem_of

        limit = positive("time_limit", time_limit, unit="seconds")
        if self._parameters:
            shown = ", ".join(symbol.name for symbol in self._parameters)
            raise InputError(f"solve: the parameters {shown} are symbols; expected numbers: substitute them in the equations")
        program, start = program_for(method), time.monotonic()
        problem, names = _renamed(problem_of(self))
        answer = answered(problem, program, start + limit)
        return Roots(
            dimension=answer.dimension,
            degree=answer.degree,
            real=tuple({name: box[plain] for plain, name in names.items()} for box in answer.boxes),
            method=name_of(program),
            seconds=time.monotonic() - start,
            is_rounded=any(is_rounded(Fraction(int(c.p), int(c.q))) for polynomial in self._polynomials for c in polynomial.coeffs()),
        )

    def sizes(self) -> dict[str, Any]:
        return {"equations": len(self._equations), "unknowns": len(self._unknowns), "parameters": len(self._parameters)}

    def size_in_words(self) -> str:
        return f"{len(self._equations)} equations in {len(self._unknowns)} unknowns, {len(self._parameters)} parameters"

    def estimated_lengths(self, *, tex: bool) -> tuple[list[int], int]:
        longest = max(len(str(equation)) for equation in self._equations)
        return [longest * (2 if tex else 1)], 0

    def refuse(self, question: str, reason: Unsupported | None = None) -> UnsupportedError:
        return UnsupportedError(question, Unsupported.GIVEN, kinds=(), activations=(), depth=None, received=self.size_in_words())

    def __repr__(self) -> str:
        return f"SymbolicSystem({self.size_in_words()})"


def _renamed(problem: Problem) -> tuple[Problem, dict[str, str]]:
    """The problem in unknowns x_1, x_2, ..., and their names: some names mean something to the programs."""
    plain = {symbol: Symbol(f"x_{k}") for k, symbol in enumerate(problem.unknowns, 1)}
    polynomials = tuple([(c, tuple((plain[s], power) for s, power in monomial)) for c, monomial in terms] for terms in problem.polynomials)
    names = {new.name: old.name for old, new in plain.items()}
    return replace(problem, unknowns=tuple(plain.values()), polynomials=polynomials), names


def _symbols(argument: str, given: Sequence[Any]) -> tuple[Symbol, ...]:
    made = []
    for value in [given] if isinstance(given, (str, Symbol)) else given:
        name = value.name if isinstance(value, Symbol) else value
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise InputError(f"{argument}: received {value!r}, expected symbols named like x, x_1 or alpha (ASCII letters, digits and _)")
        made.append(value if isinstance(value, Symbol) else Symbol(name))
    return tuple(made)


def _expression(index: int, equation: Any, known: dict[str, Symbol]) -> Expr:
    """An equation as an expression that vanishes, in the symbols that were named, with rational numbers."""
    try:
        value = sympify(equation, locals=known, rational=False)
    except (TypeError, ValueError, SyntaxError, AttributeError) as error:
        raise InputError(f"equations[{index}]: SymPy cannot read it ({type(error).__name__}); expected a polynomial expression") from None
    value = value.lhs - value.rhs if isinstance(value, Eq) else value
    if not isinstance(value, Expr):
        raise InputError(f"equations[{index}]: received {value}, expected an expression that vanishes, or Eq(left, right)")
    foreign = sorted(str(symbol) for symbol in value.free_symbols if known.get(symbol.name) != symbol)
    if foreign:
        raise InputError(f"equations[{index}]: contains {', '.join(foreign)}; expected only the symbols in unknowns and parameters")
    exact = value.xreplace({number: Rational(number) for number in value.atoms(Float)})
    try:
        Poly(exact, *known.values(), domain="QQ")
    except PolynomialError as error:
        raise InputError(f"equations[{index}]: {error}; expected a polynomial with rational coefficients") from None
    return exact

"""The algebra programs that solve small systems: which one, its answer, checked in ball arithmetic, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from flint import arb, ctx, fmpq

from identify.base.errors import InputError
from identify.base.options import choice
from identify.symbolic.export import Problem
from identify.symbolic.groebner import solve_with_sympy
from identify.symbolic.msolve import Answer, Interval, WrongSolutionError, msolve_program, solve_with_msolve

METHODS = ("auto", "msolve", "sympy")
BITS = 128
"""Precision of the boxes at first."""
ROUNDED = ", but its numbers look rounded: equations with rounded numbers have no exact solution in general; identify.recover solves them"
ROUNDED_BITS = 20
"""Significant bits from which on a number that is not an integer looks rounded; those of float32 have 24."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SolutionSet:
    """How many solutions a system has.

    Attributes
    ----------
    dimension
        Complex dimension: 0 for finitely many solutions, -1 for none.
    degree
        Number of complex solutions; None in positive dimension.
    method
        ``"msolve"`` or ``"sympy"``.
    seconds
        Wall-clock time.
    is_rounded
        Whether numbers have the digits of rounded ones: such equations, if there are more than unknowns, have no exact solution in general.
    """

    dimension: int
    degree: int | None
    method: str
    seconds: float = field(repr=False)
    is_rounded: bool = False

    def _counted(self, real: str) -> str:
        """The count in words; ``real`` says how many of finitely many solutions are real."""
        if self.dimension < 0:
            return f"no solution{ROUNDED * self.is_rounded}"
        if self.dimension > 0:
            return f"dimension {self.dimension}, infinitely many solutions"
        return f"{self.degree} complex solution{'s' * (self.degree != 1)}, {real}"

    @property
    def _effort(self) -> str:
        return f"{self.method}, {self.seconds:.2g} s"


def program_for(method: str) -> str | None:
    """The path of msolve, or None for SymPy. Raises :class:`InputError` for an unknown method, or msolve that is not installed."""
    choice("method", method, METHODS)
    program = None if method == "sympy" else msolve_program()
    if method == "msolve" and program is None:
        raise InputError('method: msolve is not installed; pip install "kkt-identify[algebra]", or use method="sympy" for tiny systems')
    return program


def name_of(program: str | None) -> str:
    """The name of the program, as in ``SolutionSet.method``."""
    return "sympy" if program is None else "msolve"


def answered(problem: Problem, program: str | None, deadline: float, bits: int = BITS) -> Answer:
    """The answer of the program at this path, or of SymPy, with boxes to about ``bits`` bits, all of them checked.

    ``deadline`` is in seconds of :func:`time.monotonic`. Raises SolveLimitError there, and :class:`WrongSolutionError`.
    """
    answer = solve_with_sympy(problem, deadline, bits) if program is None else solve_with_msolve(problem, program, deadline, bits)
    check_boxes(problem, answer, bits)
    return answer


def is_rounded(number: Fraction) -> bool:
    """Whether a number looks like one that was rounded: not an integer, and with more digits than people write."""
    return number.denominator > 1 and abs(number.numerator) >> ROUNDED_BITS > 0


def check_boxes(problem: Problem, answer: Answer, bits: int) -> None:
    """Every equation, evaluated in ball arithmetic on every box, must enclose zero: a guard against misread input or output.

    Raises
    ------
    WrongSolutionError
        For a box that holds no solution. Cost: one evaluation of the system for each box.
    """
    with ctx.workprec(2 * bits):
        for box in answer.boxes:
            values = {name: _ball(interval) for name, interval in box.items()}
            for index, terms in enumerate(problem.polynomials):
                total = arb(0)
                for c, monomial in terms:
                    product = arb(c)
                    for symbol, power in monomial:
                        product *= values[symbol.name] ** power
                    total += product
                if not total.contains(0):
                    raise WrongSolutionError(f"solve: equation {index} is {total.mid().str(6)} on a box of the program, expected zero")


def _ball(interval: Interval) -> arb:
    low, high = (arb(fmpq(end.numerator, end.denominator)) for end in interval)
    return low.union(high)

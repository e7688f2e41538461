r"""Exact solution of small systems: dimension, degree, and every real solution in a box, grouped by the ambiguity.

Solutions with all multipliers :math:`c_i \ne 0` are counted; a solution with :math:`c_i = 0` is one of fewer samples.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from sympy import Expr, Integer, Symbol

from identify.base.errors import InputError
from identify.base.options import choice, positive, valid_seed
from identify.problem.data import check_data
from identify.symbolic.export import Terms, problem_of
from identify.symbolic.msolve import Interval, SolveLimitError
from identify.symbolic.programs import BITS, SolutionSet, answered, is_rounded, name_of, program_for
from identify.symbolic.two_layers import PolynomialSystem

__all__ = ["RealSolution", "Solution", "SolveLimitError", "gauge_equations", "solve"]

MOST_BITS = 4096
SLACK_BITS = 24
"""Orbits are accepted when boxes this many times (in bits) as wide give the same ones."""


@dataclass(frozen=True, eq=False)
class RealSolution:
    """One real solution, in a box that contains no other: exact rational intervals (low, high).

    Attributes
    ----------
    X
        Interval of x_{i,k}, by sample and input.
    c
        Interval of the signed multiplier, by sample and output.
    feasible
        Whether the inequalities lambda_i >= 0 hold; True for systems without.
    """

    X: tuple[tuple[Interval, ...], ...]
    c: tuple[tuple[Interval, ...], ...]
    feasible: bool = True

    @property
    def midpoint(self) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"] | Float[np.ndarray, "n C"]]:
        """X and c in double precision."""
        X, c = (np.array([[float((low + high) / 2) for low, high in row] for row in part]) for part in (self.X, self.c))
        return X, c[:, 0] if c.shape[1] == 1 else c

    def contains(self, X, c) -> bool:
        """Whether the numbers, as the exact rationals that they are, lie in the box."""
        points = check_data(X, c, len(self.X[0]), len(self.c[0]))
        if len(points[0]) != len(self.X):
            return False
        pairs = zip((self.X, self.c), points, strict=True)
        return all(
            low <= Fraction(float(value)) <= high
            for box, point in pairs
            for intervals, values in zip(box, point, strict=True)
            for (low, high), value in zip(intervals, values, strict=True)
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Solution(SolutionSet):
    """The solution set of a system with all multipliers non-zero.

    Attributes
    ----------
    dimension
        Complex dimension: 0 for finitely many solutions, -1 for none.
    degree
        Number of complex solutions, copies in the same orbit included; None in positive dimension.
    real
        Every real solution; empty in positive dimension.
    orbits
        Indices of real solutions that are equal modulo permutations of samples and the ambiguity of the equations.
    gauge
        Coefficients of the linear form l with l(x_i) = 1 that fixes the scale of each sample, or None.
    is_rounded
        Whether numbers of the target have the digits of rounded ones: such equations have no exact solution in general.
    method
        ``"msolve"`` or ``"sympy"``.
    seconds
        Wall-clock time.
    """

    real: tuple[RealSolution, ...]
    orbits: tuple[tuple[int, ...], ...]
    gauge: tuple[int, ...] | None = None

    @property
    def n_orbits(self) -> int:
        """Number of real solutions modulo the ambiguity."""
        return len(self.orbits)

    @property
    def midpoints(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """X and c of every real solution, in double precision."""
        return tuple(solution.midpoint for solution in self.real)

    @property
    def counted(self) -> str:
        """The number of solutions in words."""
        return self._counted(f"{len(self.real)} real in {self.n_orbits} orbit{'s' * (self.n_orbits != 1)}")

    def _repr_html_(self) -> str:
        from identify.report.notebook import of_solution

        return of_solution(self)

    def __repr__(self) -> str:
        return f"Solution({self.counted}{', modulo scale' * (self.gauge is not None)}; {self._effort})"


def gauge_equations(system: PolynomialSystem, seed: int = 0) -> tuple[Expr, ...]:
    """One equation l(x_i) = 1 for each sample that fixes its scale; none if the ambiguity group is not ``"scaling"``.

    l has random coefficients from -99 to 99, none zero, the same for every sample, so that permutations of solutions remain
    solutions. The data are then found modulo scale; solutions in which l(x_i) = 0 for some sample are missed (none for generic data).
    ``seed`` is an integer from 0 to 2^53 - 1.
    """
    form = _form(system, valid_seed(seed))
    if form is None:
        return ()
    return tuple(sum((k * x for k, x in zip(form, row, strict=True)), Integer(-1)) for row in system.names.x)


def solve(system: PolynomialSystem, *, gauge: str | None = "auto", time_limit: float = 60.0, method: str = "auto") -> Solution:
    """All solutions of a small system with exact numbers: the dimension, the degree, and the real ones in boxes.

    Parameters
    ----------
    system
        From ``kkt_equations(KKTSystem, samples=n)``. Its floats are the exact rationals that they are: a target that was rounded
        has no exact solution in general (dimension -1), unlike the integer instances of
        ``Configuration.plant(seed, integers=True)``.
    gauge
        ``"auto"`` adds :func:`gauge_equations` if each sample has a free scale (one visible degree, no margins); solutions are
        then counted modulo scale, and the result says so. None adds nothing: there the dimension is at least the number of samples.
    time_limit
        Seconds of wall-clock time for the algebra program, which is then stopped.
    method
        ``"msolve"``, ``"sympy"``, or ``"auto"``: msolve if it is installed.

    Returns
    -------
    Solution
        With msolve, the dimension is computed modulo the prime 2^30 + 3 and is that over the rationals for all but finitely many
        primes; degree and real solutions are over the rationals, from a parametrization that msolve lifts from several primes.
        Every box is checked to satisfy all equations in ball arithmetic. Orbits compare boxes of at least 128 bits.

    Raises
    ------
    ValueError
        For symbolic weights or targets, an unknown method or gauge, a time limit that is not positive, or msolve not installed.
    SolveLimitError
        At the time limit or out of memory (IDENTIFY_MEMORY), with the dimension and degree modulo a prime if they were reached.
    TooLargeError
        When the expanded equations would not fit in memory.

    Notes
    -----
    Logistic closures and inequalities are not polynomial equations: real solutions satisfy all else, and ``feasible`` says whether
    multipliers are non-negative. Coincident samples are not excluded: if two samples with multipliers of constant sum can stand
    for one, the dimension is positive.

    Cost: exponential in the number of unknowns. msolve takes 0.1 s for n = 3 and seconds to minutes for n = 4, all n! relabellings
    of a solution included; SymPy manages n = 2 with two inputs.

    Examples
    --------
    >>> from identify import KKTSystem, TwoLayerNetwork
    >>> from identify.symbolic.posing import kkt_equations
    >>> net = TwoLayerNetwork([[1, 0], [0, 1]], [1, 1], "z + z^2 + z^3")
    >>> system = kkt_equations(KKTSystem.gradient(net, W=[[6, 12], [17, 34]], a=[3, 14]), samples=1)
    >>> solution = solve(system)
    >>> solution.dimension, solution.degree, solution.n_orbits
    (0, 1, 1)
    >>> solution.real[0].contains([[1.0, 2.0]], [1.0])
    True
    """
    if gauge is not None:
        choice("gauge", gauge, ("auto",))
    time_limit = positive("time_limit", time_limit, unit="seconds")
    if system.numbers is None:
        raise InputError("solve: the weights and targets are symbols; give numbers by kkt_equations(KKTSystem, samples=n)")
    program = program_for(method)
    start = time.monotonic()
    form = _form(system) if gauge == "auto" else None
    problem = problem_of(system)
    if form is not None:
        problem = replace(problem, polynomials=(*_gauge_terms(system, form), *problem.polynomials))
    bits = BITS
    while True:
        answer = answered(problem, program, start + time_limit, bits)
        real = tuple(_real_solution(system, box) for box in answer.boxes)
        orbits = _orbits(system, real, Fraction(0))
        if orbits == _orbits(system, real, Fraction(1, 2 ** (bits - SLACK_BITS))):
            break
        bits *= 2
        if bits > MOST_BITS:
            raise SolveLimitError(f"solve: two real solutions agree to {MOST_BITS // 2} bits; they may be one of multiplicity two", 0)
    return Solution(
        dimension=answer.dimension,
        degree=answer.degree,
        real=real,
        orbits=orbits,
        method=name_of(program),
        seconds=time.monotonic() - start,
        gauge=form,
        is_rounded=_target_is_rounded(system),
    )


def _target_is_rounded(system: PolynomialSystem) -> bool:
    if system.numbers is None:
        return False
    return any(is_rounded(Fraction(float(value))) for value in system.numbers.target)


def _form(system: PolynomialSystem, seed: int = 0) -> tuple[int, ...] | None:
    """The coefficients of l, if scales are free."""
    if system.group.group != "scaling" or system.has_margins:
        return None
    rng = np.random.default_rng(seed)
    n = system.names.inputs
    return tuple(int(k) for k in rng.choice([-1, 1], n) * rng.integers(1, 100, n))


def _gauge_terms(system: PolynomialSystem, form: tuple[int, ...]) -> list[Terms]:
    return [[*((k, ((x, 1),)) for k, x in zip(form, row, strict=True)), (-1, ())] for row in system.names.x]


# --- boxes ---------------------------------------------------------------------------------------------------------------


def _real_solution(system: PolynomialSystem, box: dict[str, Interval]) -> RealSolution:
    def interval(factor) -> Interval:
        if isinstance(factor, Symbol):
            return box[factor.name]
        return Fraction(int(factor)), Fraction(int(factor))

    n = system.names
    c = []
    feasible = True
    for i in range(n.samples):
        row = []
        for o in range(n.outputs):
            factors = [interval(factor) for factor in system.signed_multiplier(i, o)]
            feasible = feasible and (not system.has_margins or factors[0][1] > 0)
            row.append(factors[0] if len(factors) == 1 else _times(*factors))
        c.append(tuple(row))
    return RealSolution(tuple(tuple(box[x.name] for x in row) for row in n.x), tuple(c), feasible)


def _times(u: Interval, v: Interval) -> Interval:
    products: list[Fraction] = [a * b for a in u for b in v]
    return min(products), max(products)


def _meet(u: Interval, v: Interval, slack: Fraction) -> bool:
    """Whether two intervals intersect, when each is widened by ``slack`` relative to its size."""
    room = slack * max(Fraction(1), abs(u[0]), abs(v[0]))
    return u[0] <= v[1] + room and v[0] <= u[1] + room


# --- orbits --------------------------------------------------------------------------------------------------------------


def _orbits(system: PolynomialSystem, real: Sequence[RealSolution], slack: Fraction) -> tuple[tuple[int, ...], ...]:
    """Real solutions, grouped modulo permutations and the group of the equations."""
    group, degree = system.group.group, system.group.degree
    orbits: list[list[int]] = []
    for index, solution in enumerate(real):
        for orbit in orbits:
            if _equivalent(solution, real[orbit[0]], group, degree, slack):
                orbit.append(index)
                break
        else:
            orbits.append([index])
    return tuple(tuple(orbit) for orbit in orbits)


def _equivalent(left: RealSolution, right: RealSolution, group: str, degree: int, slack: Fraction) -> bool:
    """Whether the samples of one are those of the other, one to one, modulo the group."""
    samples = [list(zip(each.X, each.c, strict=True)) for each in (left, right)]
    alike = np.array([[_same_sample(u, v, group, degree, slack) for v in samples[1]] for u in samples[0]])
    rows, columns = linear_sum_assignment(~alike)
    return bool(alike[rows, columns].all())


Sample = tuple[tuple[Interval, ...], tuple[Interval, ...]]


def _same_sample(left: Sample, right: Sample, group: str, degree: int, slack: Fraction) -> bool:
    """Whether (t x, t^(-degree) c) meets the other sample for some t in the group."""
    (x, c), (y, e) = left, right
    one = Fraction(1)
    scales: list[Interval] = [(one, one)]
    if group == "sign":
        scales.append((-one, -one))
    if group == "scaling":
        lead = max(range(len(x)), key=lambda k: abs(x[k][0]))
        if x[lead][0] <= 0 <= x[lead][1]:
            return False
        scales = [_times(y[lead], (1 / x[lead][1], 1 / x[lead][0]))]
    for t in scales:
        power = (one, one)
        for _ in range(degree):
            power = _times(power, t)
        if all(_meet(_times(t, a), b, slack) for a, b in zip(x, y, strict=True)) and all(
            _meet(a, _times(power, b), slack) for a, b in zip(c, e, strict=True)
        ):
            return True
    return False

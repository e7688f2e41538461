"""One statement under examination: its numbers, the point at which ranks are taken, and what is proved so far.

Part of the checker: imports the standard library, python-flint, and the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import Any

from flint import fmpq, fmpz

from identify.checker.matrices import Exact, Point, dense_rank, monomial_count, rank_of_rows, residue
from identify.checker.reading import DATA, NETWORK, Claim, Rejected, integer, integers, keys, need
from identify.checker.solved import BITS, need_solutions

Equation = tuple[str, int, int]
"""(part, neuron, coordinate or output)."""


class Examination:
    """What the steps share. They add to ``facts``, and ``fixed``: degrees k with every c_i x_i^(tensor k) known, sample by sample."""

    def __init__(self, claim: Claim, numbers: dict[str, Any], point: Any, seed: str = ""):
        self.claim, self.numbers, self.seed = claim, numbers, seed
        self.facts: set[str] = set()
        self.fixed: set[int] = set()
        self.neurons: list[int] = []
        """Of which the slopes are independent, once ``reduction`` is proved."""
        self.reduced: Point | None = None
        self.points: tuple[int, int] | None = None
        """The sums of the multiplicities of the samples and of their orders, once ``multiple-points`` is proved."""
        self.proved: Any = None
        """Numbers that the step ``solution`` found, for whoever asked for the certificate."""
        if claim.data == "this data":
            self._check_data()
        self._full: Point | None = None if point is None else self._read(point)

    @property
    def full(self) -> Point:
        """The point in all coordinates."""
        if self._full is None:
            raise Rejected("needs a point and a prime")
        return self._full

    @property
    def point(self) -> Point:
        """The point, in coordinates on the span of the samples once that is known."""
        return self.reduced or self.full

    def need_data(self) -> None:
        need(self.claim.data in ("generic data", "this data"), "needs data")

    def moments(self, d: int, outputs: int | None = None) -> int:
        return (self.claim.C if outputs is None else outputs) * sum(monomial_count(d, k) for k in self.claim.degrees)

    def largest_rank(self, d: int, outputs: int | None = None) -> int:
        """Moments, or equations: for sigma = s z^p one second-layer row of each neuron follows from the first layer (Euler)."""
        c = self.claim
        C = c.C if outputs is None else outputs
        euler = c.sees_W and c.sees_a and not any(c.s[:-1]) and c.sees_bias == c.bias
        return min(self.moments(d, C), c.m * (d * c.sees_W + c.sees_bias + C * c.sees_a - euler))

    def parameters(self, d: int) -> int:
        """Unknowns x_i, c_i modulo the scales that (S) leaves free."""
        return self.claim.n * (d + self.claim.C - self.claim.has_free_scale)

    def n_equations(self, d: int) -> int:
        c = self.claim
        return c.m * (d * c.sees_W + c.sees_bias + c.C * c.sees_a)

    def equations(self, rows: Any, d: int) -> list[Equation]:
        """Row numbers as equations: first-layer weights by neuron, biases, second layer by output."""
        c = self.claim
        first, biases = c.m * d * c.sees_W, c.m * c.sees_bias
        found = []
        for row in integers("rows", rows, self.n_equations(d)):
            if row < first:
                found.append(("W", row // d, row % d))
            elif row < first + biases:
                found.append(("bias", row - first, 0))
            else:
                found.append(("a", (row - first - biases) % c.m, (row - first - biases) // c.m))
        return found

    def rank_of_moments(self, rows: Any, point: Point) -> tuple[int, int]:
        """Rank of these rows of the interpolation matrix, and the number N of its columns."""
        N, equations = self.moments(point.d), self.equations(rows, point.d)
        need(len(equations) >= N, f"fewer than {N} rows")
        return rank_of_rows(point.moment_rows(equations, self.claim.degrees), len(equations), N, point.q), N

    def rank_of_jacobian(self, point: Point, equations: Sequence[Equation]) -> int:
        return rank_of_rows(point.jacobian_rows(equations), len(equations), len(point.X) * (point.d + self.claim.C), point.q)

    def need_rank_of_jacobian(self, point: Point, equations: Sequence[Equation], needed: int, solutions: Any = None) -> str:
        """Refuse unless these rows have that rank, the largest there is; returns what is to be said of how that is known."""
        if solutions is None:
            found = self.rank_of_jacobian(point, equations)
            need(found == needed, f"these rows of the Jacobian have rank {found}, not {needed}")
            return ""
        need_solutions(point, equations, solutions, self.seed, self.claim.has_free_scale)
        return f" ({len(solutions)} right-hand sides drawn from the SHA-256 of the rest have solutions; by chance: below 2^-{BITS})"

    def at(self, q: int, drawn: dict[str, Any]) -> Point:
        """The given numbers modulo q, and for what is generic the residues ``drawn``."""
        c = self.claim
        need(all(s.denominator % q for s in c.s), f"point: {q} divides a denominator of the activation")

        def part(name):
            given = self.numbers[name]
            if given is None:
                return drawn[name]
            return [[residue(v, q) for v in row] if type(row) is list else residue(row, q) for row in given]

        s = [v.numerator * pow(v.denominator, -1, q) % q for v in c.s]
        return Point(q, c.d, part("W"), part("A"), part("bias") or [0] * c.m, part("X") or [], part("c") or [], s)

    def in_ring(self, number: Callable, coefficient: Callable) -> Point:
        """The given network and data as elements of another ring."""
        c, given = self.claim, self.numbers
        W, A, X, gamma = ([[number(v) for v in row] for row in given[name]] for name in ("W", "A", "X", "c"))
        b = [number(v) for v in given["bias"] or [0.0] * c.m]
        return Point(Exact(), c.d, W, A, b, X, gamma, [coefficient(s) for s in c.s])

    def rational_point(self) -> Point:
        """The given network and data as the rational numbers that they are."""
        return self.in_ring(rational, lambda s: fmpq(s.numerator, s.denominator))

    def _read(self, content: Any) -> Point:
        c, drawn = self.claim, {}
        need(c.data != "any data", "point: one point says nothing of all data")
        keys("point", content, ("prime", *NETWORK, *DATA))
        q = integer("prime", content["prime"], 2**20, 2**63)
        need(q % 2 and fmpz(q).is_prime(), f"point: {q} is not an odd prime")
        for name in NETWORK + DATA:
            wanted = name not in c.given and c.exists(name) and (name in NETWORK or c.data == "generic data")
            drawn[name] = c.array(name, content[name], wanted, lambda key, value: integer(key, value, 0, q - 1))
        return self.at(q, drawn)

    def _check_data(self) -> None:
        """Distinct samples, multipliers that are not zero, and labels that are theirs, with margins 1 to a hundredth."""
        c, X, multipliers = self.claim, self.numbers["X"], self.numbers["c"]
        need(len({tuple(x) for x in X}) == c.n, "X: two samples coincide")
        need(all(any(row) for row in multipliers), "c: a multiplier is zero")
        if c.labels is None:
            return
        signs = [1 if row[0] > 0 else -1 for row in multipliers]
        need(sorted(signs) == sorted(c.labels), "labels: not the signs of c")
        for x, y in zip(X, signs, strict=True):
            margin = fmpq(0)
            exact = [rational(v) for v in x]
            for j, w in enumerate(self.numbers["W"]):
                z = sum((rational(u) * v for u, v in zip(w, exact, strict=True)), rational(self.numbers["bias"][j] if c.bias else 0.0))
                value = fmpq(0)
                for s in reversed(c.s):
                    value = value * z + fmpq(s.numerator, s.denominator)
                margin += rational(self.numbers["A"][0][j]) * value
            need(abs(margin * y - 1) <= fmpq(1, 100), "labels: a margin is not 1")


def rational(value: float) -> fmpq:
    """A double as the rational number that it is."""
    return fmpq(*value.as_integer_ratio())


def powers(x: Sequence[int], degrees: Sequence[int], q: int) -> list[int]:
    """x^(tensor k) modulo q for each degree k, by monomials."""
    found = []
    for k in degrees:
        for e in combinations_with_replacement(range(len(x)), k):
            value = 1
            for t in e:
                value = value * x[t] % q
            found.append(value)
    return found


def rank_of_samples(e: Examination, lifted: bool) -> int:
    """Rank of the x_i, or of the (x_i, 1)."""
    e.need_data()
    return dense_rank([x + [1] * lifted for x in e.full.X], e.full.q)

"""One exact instance of (S): what is given is taken exactly, what is generic is drawn at random modulo each prime.

An :class:`Instance` says which of network and data are given; :meth:`Instance.at` produces its :class:`Residues`
modulo a prime, from which the exact matrices are built. Reduction to the span of the data (condition C0) happens on
residues, hence exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, log2

import numpy as np
from jaxtyping import Float, Int

from identify.base.limits import refuse_above, refuse_when_spent
from identify.exact.modular import MinorBound, multiply, residue, residues
from identify.problem.activation import Activation, horner
from identify.problem.gradients import Observed, jacobian, visible_degrees
from identify.problem.interpolation import interpolation_matrix, moment_count, rows_per_neuron

SPARE_ROWS = 20
"""Rows beyond the least number that shows full column rank."""
PIECE = 2**21
"""Entries of a Jacobian that are computed at once."""
SPARE_FORMS = 8
"""Linear forms beyond the least number that shows independence."""


@dataclass(frozen=True, eq=False)
class Residues:
    """Network and data modulo a prime."""

    q: int
    W: Int[np.ndarray, "m d"]
    A: Int[np.ndarray, "C m"]
    offsets: Int[np.ndarray, " m"]
    X: Int[np.ndarray, "n d"]
    c: Int[np.ndarray, "n C"]
    derivatives: tuple[tuple[int, ...], ...]
    observed: Observed
    degrees: tuple[int, ...]

    def reduce(self, value: np.ndarray) -> np.ndarray:
        return value % self.q

    @property
    def lifted_X(self) -> Int[np.ndarray, "n D"]:
        """(x_i, 1)."""
        return np.hstack([self.X, np.ones((len(self.X), 1), dtype=np.int64)])

    def slopes(self) -> Int[np.ndarray, "m n"]:
        """The factor g_ij sigma'(z_ij) of x_i in the first-layer equation of neuron j."""
        refuse_above(6 * 8 * len(self.X) * len(self.W), f"the slopes of {len(self.W)} neurons at {len(self.X)} samples")
        Z = self.reduce(multiply(self.X, self.W.T, self.q) + self.offsets)
        return self.reduce(multiply(self.c, self.A, self.q) * horner(self.derivatives[1], Z, self.reduce)).T

    def interpolation(self) -> Int[np.ndarray, "equations N"]:
        """The interpolation matrix modulo q."""
        self._refuse_above(moment_count(self.W.shape[1], self.degrees, len(self.A)), "the interpolation matrix")
        return interpolation_matrix(self.W, self.A, self.offsets, self.derivatives, self.observed, self.degrees, self.reduce)

    def jacobian(self) -> Int[np.ndarray, "equations unknowns"]:
        """The Jacobian modulo q."""
        columns, m = self.X.size + self.c.size, len(self.W)
        self._refuse_above(columns, "the Jacobian")
        out = np.empty((m * self.equations_per_neuron, columns), dtype=np.int64)
        in_W, in_bias, in_a = self._by_layer(out, m)
        step = max(PIECE // (self.equations_per_neuron * max(columns, 1)), 1)
        for start in range(0, m, step):  # some neurons at a time: a Jacobian is the sum of several arrays of its size
            refuse_when_spent("the Jacobian")
            some = slice(start, min(start + step, m))
            in_W[some], in_bias[some], in_a[:, some] = self._by_layer(self._jacobian(some), some.stop - start)
        return out

    def _by_layer(self, rows: np.ndarray, neurons: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Views of the rows of a Jacobian, by neuron and parameter; second-layer rows by output and neuron."""
        first, bias, second = self.W.shape[1] * self.observed.W, int(self.observed.bias), len(self.A) * self.observed.a
        W, b, a = np.split(rows, [neurons * first, neurons * (first + bias)])
        columns = rows.shape[1]
        return W.reshape(neurons, first, columns), b.reshape(neurons, bias, columns), a.reshape(second, neurons, columns)

    def _jacobian(self, neurons: slice) -> Int[np.ndarray, "equations unknowns"]:
        return jacobian(
            self.W[neurons],
            self.A[:, neurons],
            self.offsets[neurons],
            self.derivatives,
            self.observed,
            self.X,
            self.c,
            multiply=lambda A, B: multiply(A, B, self.q),
            reduce=self.reduce,
        )

    def _refuse_above(self, columns: int, what: str) -> None:
        rows = len(self.W) * self.equations_per_neuron
        refuse_above(3 * 8 * rows * columns, f"{what} ({rows} by {columns})")

    @property
    def equations_per_neuron(self) -> int:
        """Observed equations of each neuron."""
        return self.W.shape[1] * self.observed.W + self.observed.bias + len(self.A) * self.observed.a

    def features(self, degrees: Sequence[int], multipliers: bool, rng: np.random.Generator) -> Int[np.ndarray, "n L"]:
        r"""Random linear forms of the vectors (x_i^(tensor k)), k in ``degrees``, times gamma_i if ``multipliers``.

        A form is :math:`\sum_k a_k (u x)^k` with random a and u, and these span all forms. There are a few more than samples, or
        than entries: any samples are independent as vectors if they are in the forms. Cost O(n^2 d), without the vectors.
        """
        n, d = self.X.shape
        size = sum(moment_count(d, (k,), self.c.shape[1] if multipliers else 1) for k in degrees)
        L = min(size, n) + SPARE_FORMS
        refuse_above(5 * 8 * n * L, f"{n} vectors of powers, by {L} linear forms")
        z = multiply(self.X, rng.integers(0, self.q, (d, L)), self.q)
        out = np.zeros((n, L), dtype=np.int64)
        for k in range(max(degrees), -1, -1):
            out = self.reduce(out * z)
            if k in degrees:
                out = self.reduce(out + rng.integers(0, self.q, L))
        return self.reduce(out * multiply(self.c, rng.integers(0, self.q, (self.c.shape[1], L)), self.q)) if multipliers else out

    def at_random_point(self, rng: np.random.Generator, samples: int | None = None) -> Residues:
        """The same network in the same coordinates, with random data (as many samples as now, or that many)."""
        n = len(self.X) if samples is None else samples
        return replace(self, X=rng.integers(0, self.q, (n, self.X.shape[1])), c=rng.integers(0, self.q, (n, self.c.shape[1])))

    def some_neurons(self, rows: int, rng: np.random.Generator) -> Residues:
        """A random part of the network whose neurons have a few more than that many equations; all of it if there are not as many."""
        return self.some_neurons_and_which(rows, rng)[0]

    def some_neurons_and_which(self, rows: int, rng: np.random.Generator) -> tuple[Residues, Int[np.ndarray, " neurons"]]:
        """The same, and the numbers of these neurons."""
        count = ceil((rows + SPARE_ROWS) / self.equations_per_neuron) + 1
        if count >= len(self.W):
            return self, np.arange(len(self.W))
        chosen = np.sort(rng.choice(len(self.W), count, replace=False))
        return replace(self, W=self.W[chosen], A=self.A[:, chosen], offsets=self.offsets[chosen]), chosen

    def rows_of(self, neurons: Int[np.ndarray, " neurons"]) -> list[int]:
        """The numbers of all equations of these neurons: rows of the Jacobian, in order."""
        numbers = np.arange(len(self.W) * self.equations_per_neuron)[:, None]
        W, bias, a = self._by_layer(numbers, len(self.W))
        return np.concatenate([W[neurons].ravel(), bias[neurons].ravel(), a[:, neurons].ravel()]).tolist()

    def on_span(self, point: np.ndarray, directions: np.ndarray, X: np.ndarray) -> Residues:
        """The same problem in coordinates z with x = point + z·directions; ``X`` are the samples in these coordinates."""
        return replace(
            self,
            W=multiply(self.W, directions.T, self.q),
            offsets=self.reduce(self.offsets + multiply(self.W, point[:, None], self.q)[:, 0]),
            X=X,
        )

    def on_span_of_data(self) -> Residues:
        """Coordinates on the span of the samples: linear, or affine if the bias rows are observed."""
        n = len(self.X)
        if self.observed.bias:
            point, directions = self.X[-1], self.reduce(self.X[:-1] - self.X[-1])
            return self.on_span(point, directions, np.eye(n, n - 1, dtype=np.int64))
        return self.on_span(np.zeros_like(self.X[0]), self.X, np.eye(n, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Instance:
    """Sizes, and the exact numbers that are given; None stands for generic.

    ``span`` is how coordinates are reduced: ``"full"`` (not at all) or ``"data"`` (the span of the samples).
    """

    activation: Activation
    n_inputs: int
    n_samples: int
    width: int
    n_outputs: int
    has_bias: bool
    observed: Observed
    W: Float[np.ndarray, "m d"] | None = None
    A: Float[np.ndarray, "C m"] | None = None
    offsets: Float[np.ndarray, " m"] | None = None
    X: Float[np.ndarray, "n d"] | None = None
    c: Float[np.ndarray, "n C"] | None = None
    basis: Float[np.ndarray, "n D"] | None = None
    """Rows of the target that are taken to span the samples, if the data are unknown."""
    span: str = "full"

    @property
    def network_is_given(self) -> bool:
        return self.W is not None

    @property
    def data_are_given(self) -> bool:
        return self.X is not None

    @cached_property
    def degrees(self) -> tuple[int, ...]:
        """Degrees of the visible moments."""
        return visible_degrees(self.activation, self.has_bias, self.observed)

    @property
    def coordinates(self) -> int:
        """Dimension of the space in which the samples are sought."""
        if self.span == "full":
            return self.n_inputs
        return self.n_samples - int(self.observed.bias)

    @property
    def image_bound(self) -> int:
        """An upper bound, by counting, on the dimension of the set of targets (and so on every rank of the Jacobian)."""
        return min(self.n_moments, self.n_rows)

    @property
    def n_moments(self) -> int:
        """N in these coordinates."""
        return moment_count(self.coordinates, self.degrees, self.n_outputs)

    @property
    def n_rows(self) -> int:
        """An upper bound on the number of independent equations, in these coordinates."""
        whole_first_layer = self.observed.W and (self.observed.bias or not self.has_bias)
        homogeneous = self.activation.is_monomial and whole_first_layer
        return self.width * rows_per_neuron(self.coordinates, self.observed, self.n_outputs, homogeneous)

    @property
    def n_unknowns(self) -> int:
        """n (d + C) in these coordinates."""
        return self.n_samples * (self.coordinates + self.n_outputs)

    def reduced(self) -> Instance:
        """The same instance in coordinates on the span of its samples."""
        return replace(self, span="data")

    def refuse_if_too_large(self, columns: int, what: str) -> None:
        """Raise TooLargeError if even the fewest rows that show full rank for that many columns do not fit in memory."""
        rows = min(self.width * (self.coordinates + 1 + self.n_outputs), columns + SPARE_ROWS + self.coordinates)
        refuse_above(24 * rows * max(columns, 1), f"{what} ({rows} by {columns})")

    def at(self, q: int, rng: np.random.Generator) -> Residues:
        """The instance modulo q; generic parts are drawn from ``rng``."""
        m, d, n, C = self.width, self.n_inputs, self.n_samples, self.n_outputs
        refuse_above(3 * 8 * (m + n) * (d + C), f"a network with {m} neurons and {n} samples of {d} numbers")

        def part(given, shape):
            return rng.integers(0, q, shape) if given is None else residues(given, q)

        W, A = part(self.W, (m, d)), part(self.A, (C, m))
        offsets = part(self.offsets, (m,)) if self.has_bias else np.zeros(m, dtype=np.int64)
        X, c = part(self.X, (n, d)), part(self.c, (n, C))
        p = self.activation.degree
        derivatives = tuple(tuple(residue(s, q) for s in self.activation.derivative(order)) for order in range(p + 2))
        full = Residues(q, W, A, offsets, X, c, derivatives, self.observed, self.degrees)
        if self.span == "full":
            return full
        if self.basis is None:
            return full.on_span_of_data()
        return self._on_basis(full)

    def _on_basis(self, full: Residues) -> Residues:
        """Coordinates on the span of ``basis``; the samples are unknown there, and drawn at random."""
        assert self.basis is not None
        q = full.q
        rows = residues(self.basis, q)
        if self.observed.bias and not rows[:, -1].any():
            raise ZeroDivisionError(f"the bias column vanishes modulo {q}")
        point = np.zeros(self.n_inputs, dtype=np.int64)
        if self.observed.bias:
            lead = int(np.argmax(rows[:, -1] != 0))
            centre = rows[lead] * pow(int(rows[lead, -1]), -1, q) % q
            rest = np.delete(rows, lead, axis=0)
            rows = (rest - rest[:, -1:] * centre) % q
            point, rows = centre[:-1], rows[:, :-1]
        X = full.X[:, : len(rows)] if len(rows) <= full.X.shape[1] else full.X
        return full.on_span(point, rows, X)

    def minor_bound(self, size: int) -> MinorBound:
        """Bounds on minors of that size of the Jacobian and the interpolation matrix, for Monte Carlo error bounds."""
        p = self.activation.degree
        given = [part for part in (self.W, self.A, self.offsets, self.X, self.c) if part is not None]
        bits = dyadic_bits(np.concatenate([part.ravel() for part in given])) if given else 0.0
        sizes = log2(self.n_inputs + 2) + log2(self.n_outputs + 1) + log2(p + 1)
        numbers = sum(log2(abs(s.numerator) + 1) + log2(s.denominator) for s in self.activation.coefficients)
        entry = (2 * p + 2) * (bits + sizes) + numbers
        return MinorBound(degree=size * (2 * p + 2.0), bits=size * (entry + log2(size + 1)))


def dyadic_bits(values: Float[np.ndarray, "*shape"]) -> float:
    """Bits of numerators and denominators of the doubles: a bound on the integers they become over one power of two."""
    values = np.abs(np.asarray(values, dtype=float))
    values = values[values > 0]
    if not values.size:
        return 0.0
    exponents = np.frexp(values)[1]
    return float(max(exponents.max(), 0) + max(53 - exponents.min(), 0))

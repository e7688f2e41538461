"""From a first layer to the matrix whose column space is searched, and from columns to samples: the linear algebra of decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

from identify.attacks.binary import BinarySearch, distinct
from identify.attacks.sparse import SparseSearch
from identify.base.errors import InputError
from identify.base.norms import exponent, scaled
from identify.problem.network import Network

SAID = 3.0
"""A neuron takes part if the norm of its row is at least so many times that of its noise."""
LEAST = 1e-6
"""Size of a weight of the second layer, relative to the largest, that counts as zero."""
LARGE = 20.0
"""Rows that are longer than so many medians are left out: there the second layer is near zero."""
ROUNDING = 1e-15
"""Noise of doubles, relative to the largest weight."""
PARALLEL, SIGMAS = 1e-6, 4.0
"""Distance of unit rows that count as one: at least, and in standard deviations of their noise."""
KINK = 1e-3
"""Relative distance from its kink below which a neuron says nothing."""
FAR = 1e100
"""Beyond which a coordinate of a sample is cut."""
CHOICES = 500
"""Sets of columns that are compared with the neurons, at most."""
INDEPENDENT = 1e-6
"""Relative singular value from which on columns are independent."""
SAME = 1e-2
"""Relative distance below which the samples of two choices are the same."""
Search = BinarySearch | SparseSearch


@dataclass(frozen=True, eq=False)
class Decoded:
    """The part of :class:`~identify.attacks.decoding.Patterns` that one search gives."""

    X: Float[np.ndarray, "n d"]
    active: Bool[np.ndarray, "m n"]
    agreement: Float[np.ndarray, " n"]
    met: Int[np.ndarray, " n"]
    exact: Int[np.ndarray, " n"]
    vectors: int
    independent: int
    is_open: bool


@dataclass(frozen=True, eq=False)
class Columns:
    """Y = left to_rows: the rows of the layer of neurons that say something, over the second layer if the columns are binary."""

    neurons: Int[np.ndarray, " q"]
    """Neurons that take part."""
    left: Float[np.ndarray, "q r"]
    """Orthonormal columns."""
    to_rows: Float[np.ndarray, "r D"]
    back: Float[np.ndarray, "r r"]
    """From coordinates of the columns of ``left`` to those of Y."""
    noise: Float[np.ndarray, " q"]
    kept: Int[np.ndarray, " p"]
    """Distinct rows, by their place among the neurons that take part."""
    tolerance: float | None
    """Of binary columns; None if zeros are searched."""
    m: int

    @classmethod
    def of(
        cls,
        layer: Float[np.ndarray, "m D"],
        a: Float[np.ndarray, " m"] | None,
        basis: Float[np.ndarray, "r D"],
        noise: float,
        tolerance: float,
    ) -> Columns:
        k, r = exponent(layer), len(basis)
        inside, noise = scaled(layer, -k) @ basis.T, max(float(scaled(noise, -k)), ROUNDING)
        over = np.ones(len(layer)) if a is None else scaled(a, -exponent(a))
        says = (np.linalg.norm(inside, axis=1) > SAID * noise * r**0.5) & (np.abs(over) > LEAST * np.abs(over).max())
        rows = np.divide(inside, over[:, None], out=np.zeros_like(inside), where=says[:, None])
        sizes = np.linalg.norm(rows, axis=1)
        if a is not None and says.any():
            says &= sizes < LARGE * np.median(sizes[says])
        neurons = np.flatnonzero(says)
        if len(neurons) < r:
            raise InputError(
                f"network: only {len(neurons)} neurons have a row above the noise and a second layer that is not zero; expected at least "
                f"{r}, one for each dimension"
            )
        left, scale, right = np.linalg.svd(rows[neurons], full_matrices=False)
        scale = np.maximum(scale, np.finfo(float).tiny)
        error = noise / np.abs(over[neurons])
        if a is None:
            lengths = np.linalg.norm(left, axis=1)
            unit = left / lengths[:, None]
            unit *= np.sign(unit[np.arange(len(unit)), np.abs(unit).argmax(axis=1)])[:, None]
            spread = SIGMAS * noise / scale[-1] / np.median(lengths)
            kept = distinct(unit, max(PARALLEL, spread))
        else:
            kept = distinct(left, tolerance / len(neurons) ** 0.5)
        to_rows = (scale[:, None] * right) @ basis  # up to a common factor, which samples do not have
        return cls(neurons, left, to_rows, right.T / scale, error, kept, None if a is None else tolerance, len(layer))

    def search(self, rows: Float[np.ndarray, "p r"] | None = None) -> Search:
        rows = self.left[self.kept] if rows is None else rows
        if self.tolerance is not None:
            return BinarySearch(rows, self.noise[self.kept], self.back, self.tolerance)
        lengths = np.linalg.norm(rows, axis=1)
        return SparseSearch(rows / lengths[:, None], self.noise[self.kept] / lengths, self.back)

    def control(self, rng: np.random.Generator) -> Search:
        """The search in a random matrix of the same singular values."""
        rows = self.left[self.kept]
        _, scale, right = np.linalg.svd(rows, full_matrices=False)
        return self.search((np.linalg.qr(rng.standard_normal(rows.shape))[0][:, : len(scale)] * scale) @ right)

    def decoded(self, search: Search, least: int, ends: Sequence[Network]) -> Decoded:
        """The samples of those columns, of all that meet at least so many rows, that agree with the neurons best."""
        points, met = search.ordered()
        points, r = points[met >= least], self.left.shape[1]
        chosen = independent(points)
        vectors, rank, is_open = len(points), len(chosen), False
        if rank == r - 1:
            missing = self.missing(points[chosen], search, ends)
            if missing is not None:
                points = np.vstack([points, missing])
                chosen.append(len(points) - 1)
        if len(chosen) < r:
            points = points[:0]
        else:
            choice, is_open = self.best_choice(points, chosen, search, ends)
            points = points[choice]
        X, shares = self.samples(points), self.agreement(points, ends)
        order = np.argsort(-shares, kind="stable")
        points, active = points[order], np.zeros((self.m, len(points)), bool)
        active[self.neurons] = self.entries(points)[0].T
        met, exact = search.near(points).sum(axis=1), search.exact(points).sum(axis=1)
        return Decoded(X[order], active, shares[order], met, exact, vectors, rank, is_open)

    def entries(self, points: Float[np.ndarray, "k r"]) -> tuple[Bool[np.ndarray, "k q"], Bool[np.ndarray, "k q"]]:
        """In which neurons the columns say that their sample is active, and in which they say anything."""
        values = points @ self.left.T
        if self.tolerance is not None:
            return values > 0.5, np.abs(np.abs(values - 0.5) - 0.5) < self.tolerance
        lengths = np.linalg.norm(self.left, axis=1)
        zero = SparseSearch(self.left / lengths[:, None], self.noise / lengths, self.back).near(points)
        return ~zero, np.ones_like(zero)

    def samples(self, points: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n d"]:
        """Samples of r independent columns; none if there are fewer."""
        return _affine(np.linalg.solve(points.T, self.to_rows)) if len(points) else np.zeros((0, self.to_rows.shape[1] - 1))

    def on(self, X: Float[np.ndarray, "n d"], ends: Sequence[Network]) -> tuple[Bool[np.ndarray, "ends n q"], Bool[np.ndarray, "n q"]]:
        """Which neurons the samples activate in each network, and of which they are at the kink in none."""
        points, on = np.column_stack([X, np.ones(len(X))]), []
        clear = np.ones((len(X), len(self.neurons)), bool)
        for net in ends:
            lifted = np.column_stack([net.parameters["W1"], net.parameters["b1"]])[self.neurons]
            lifted = scaled(lifted, -exponent(lifted))
            z = points @ lifted.T
            on.append(z > 0)
            clear &= np.abs(z) > KINK * np.linalg.norm(points, axis=1)[:, None] * np.linalg.norm(lifted, axis=1)
        return np.array(on), clear

    def agreement(self, points: Float[np.ndarray, "n r"], ends: Sequence[Network]) -> Float[np.ndarray, " n"]:
        """Share of the neurons that a sample activates as its column says; of zeros alone, and not at both ends, if these are searched."""
        said, counts = self.entries(points)
        on, clear = self.on(self.samples(points), ends)
        counts &= clear
        if self.tolerance is None:
            counts &= ~said
        return ((on.all(axis=0) == said) & counts).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)

    def missing(self, points: Float[np.ndarray, "k r"], search: Search, ends: Sequence[Network]) -> Float[np.ndarray, " r"] | None:
        """The last column, from the sample that the others leave; None if its neurons do not give one."""
        alone = np.linalg.svd(points)[2][-1:] if len(points) else np.eye(1)
        on = np.logical_or.reduce(self.on(_affine(alone @ self.to_rows), ends)[0][:, 0])
        c = search.of_pattern(on[self.kept])
        return c if c is not None and len(independent(np.vstack([points, c]))) > len(points) else None

    def best_choice(
        self, points: Float[np.ndarray, "k r"], chosen: list[int], search: Search, ends: Sequence[Network]
    ) -> tuple[list[int], bool]:
        """The r columns that are most exact and whose samples agree with the neurons best, and whether others are as good.

        All choices if they are not too many; else exchanges of one column, as long as one is better.
        """
        k, r = points.shape
        exact = search.exact(points).mean(axis=1)

        def total(choice: list[int]) -> float:
            """Sum of the shares of neurons that agree and of rows that are exact, to nine digits; -1 for dependent columns."""
            if len(independent(points[choice])) < r:
                return -1.0
            return round(float(self.agreement(points[choice], ends).sum() + exact[choice].sum()), 9)

        best, top = list(chosen), total(chosen)
        level: list[list[int]] = []
        choices = [list(choice) for choice in combinations(range(k), r)] if comb(k, r) <= CHOICES else []
        while not choices:
            moves = [[*best[:i], j, *best[i + 1 :]] for i in range(r) for j in range(k) if j not in best][:CHOICES]
            totals = [total(move) for move in moves]
            if max(totals, default=-1.0) > top:
                best, top = moves[int(np.argmax(totals))], max(totals)
            else:
                choices = moves
                break
        for choice in choices:
            value = total(choice)
            if value > top:
                best, top, level = choice, value, []
            elif value == top and set(choice) != set(best):
                level.append(choice)
        X = self.samples(points[best])
        return best, any(_differ(X, self.samples(points[choice])) for choice in level)


def independent(points: Float[np.ndarray, "k r"]) -> list[int]:
    """The first columns that are independent."""
    chosen: list[int] = []
    for i in range(len(points)):
        if len(chosen) < points.shape[1]:
            scale = np.linalg.svd(points[[*chosen, i]], compute_uv=False)
            if scale[-1] > INDEPENDENT * scale[0]:
                chosen.append(i)
    return chosen


def _affine(V: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n d"]:
    """The samples x of rows that are multiples of (x, 1)."""
    last = np.where(V[:, -1:] == 0, np.finfo(float).tiny, V[:, -1:])
    with np.errstate(over="ignore"):
        return np.clip(V[:, :-1] / last, -FAR, FAR)


def _differ(X: Float[np.ndarray, "n d"], other: Float[np.ndarray, "n d"]) -> bool:
    """Whether one has a sample that the other does not."""
    distances = np.linalg.norm(X[:, None] - other[None], axis=2).min(axis=1)
    return bool((distances > SAME * np.linalg.norm(X, axis=1)).any())

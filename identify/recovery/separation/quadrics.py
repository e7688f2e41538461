r"""Quadrics: the signals behind one update of a piecewise-linear network with two slopes, by linear algebra alone.

Let :math:`\sigma'` take the values :math:`\alpha, \beta` only, and let the update of the first of two layers have rank n and an orthonormal
basis U of its column space. The signal :math:`v = Uz` of a sample with multipliers :math:`\gamma` and :math:`r = A^\top\gamma` satisfies

.. math:: (v_j - \alpha r_j)(v_j - \beta r_j) = 0 \quad\text{for every neuron } j,

linear equations in :math:`(zz^\top, z\gamma^\top, \gamma\gamma^\top)`, without the second block if :math:`\alpha + \beta = 0`, without the
third if :math:`\alpha\beta = 0`. The n samples give n solutions whose first blocks are independent. If the kernel has no other, a
competitor's :math:`zz^\top`, of rank one, is a combination of the :math:`z_iz_i^\top`, and so one of them: the data are unique. They are
found by simultaneous diagonalisation of two elements of the kernel. Their slopes, rounded to :math:`\{\alpha, \beta\}`, make everything
else linear, so that errors of the kernel do not matter.

The matrix has one row for each neuron and N = n(n+1)/2 + ... columns. It is never formed: its rows are folded block by block into a
triangle, and the kernel of the triangle is found by inverse iteration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import qr, solve_triangular

from identify.recovery.separation.subspace import ROUNDING

LIVE = 1e-9
"""Size of a row of the column space, relative to the largest, from which on its neuron counts."""
LOUD = 30.0
"""The same relative to its noise."""
ITERATIONS = 4
ROUNDS = 4
"""Of rounding slopes and fitting multipliers."""
ATTEMPTS = 6
"""Pairs of random elements of the kernel that are tried; the one whose pencil has the best conditioned eigenvectors is taken."""


@dataclass(frozen=True, eq=False)
class Quadrics:
    """The quadrics of one column space.

    Attributes
    ----------
    left
        U, rows of neurons that no sample activates left out.
    back
        :math:`A^\\top`, of the same neurons.
    slopes
        The two values of the derivative.
    """

    left: Float[np.ndarray, "m n"]
    back: Float[np.ndarray, "m C"]
    slopes: tuple[float, float]
    live: Bool[np.ndarray, " all"]

    @classmethod
    def of(
        cls,
        left: Float[np.ndarray, "all n"],
        output: Float[np.ndarray, "C all"],
        slopes: tuple[float, float],
        noise: Float[np.ndarray, " all"] | float = 0.0,
    ) -> Quadrics:
        """``noise``: standard deviations of the rows of the column space."""
        size = np.linalg.norm(left, axis=1)
        live = (size > np.maximum(LIVE * size.max(), LOUD * noise)) & (np.abs(output).max(axis=0) > 0)
        return cls(left[live], output.T[live], slopes, live)

    @property
    def blocks(self) -> tuple[int, int, int]:
        """Numbers of unknowns in the three blocks."""
        return unknowns(self.left.shape[1], self.back.shape[1], self.slopes)

    def rows(self, chosen: slice, scales: tuple[float, float, float]) -> Float[np.ndarray, "rows N"]:
        """Some rows, of unit length; off-diagonal entries of symmetric blocks count twice, so that norms are those of matrices."""
        U, R = self.left[chosen], self.back[chosen]
        total, product = sum(self.slopes), float(np.prod(self.slopes))
        parts = [_squares(U) / scales[0]]
        if total:
            parts.append((U[:, :, None] * R[:, None, :]).reshape(len(U), -1) * (-total / scales[1]))
        if product:
            parts.append(_squares(R) * (product / scales[2]))
        M = np.hstack(parts)
        return M / np.maximum(np.linalg.norm(M, axis=1), np.finfo(float).tiny)[:, None]

    def scales(self) -> tuple[float, float, float]:
        """Root mean squares of the entries of the blocks: unknowns are measured in these, so that no block is small."""
        u, r = np.sum(self.left**2, axis=1), np.sum(self.back**2, axis=1)
        sizes = [np.sqrt(np.sum(p) / max(count, 1)) for p, count in zip((u * u, u * r, r * r), self.blocks, strict=True)]
        return sizes[0], sizes[1] * abs(sum(self.slopes)) or 1.0, sizes[2] * abs(float(np.prod(self.slopes))) or 1.0

    def triangle(self, scales: tuple[float, float, float], go_on: Callable[[], bool]) -> Float[np.ndarray, "N N"] | None:
        """The triangular factor of the matrix; None if ``go_on`` says no. Cost O(m N^2), memory 3 N^2 numbers."""
        N, m = sum(self.blocks), len(self.left)
        R = np.zeros((0, N))
        for start in range(0, m, N):
            if not go_on():
                return None
            stacked = np.vstack([R, self.rows(slice(start, start + N), scales)])
            R = qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0][:N]
        return np.vstack([R, np.zeros((N - len(R), N))])


@dataclass(frozen=True, eq=False)
class Kernel:
    """Elements of the kernel, block by block, and the singular values that say how well it is determined."""

    squares: Float[np.ndarray, "n n n"]
    mixed: Float[np.ndarray, "n n C"] | None
    multipliers: Float[np.ndarray, "n C C"] | None
    last: float
    """The largest of the n singular values of the kernel, in units of the root mean square of all."""
    next: float
    """The smallest beyond them."""


def unknowns(n: int, C: int, slopes: tuple[float, float]) -> tuple[int, int, int]:
    """Numbers of unknowns in the three blocks for n samples and C outputs."""
    alpha, beta = slopes
    return n * (n + 1) // 2, n * C if alpha + beta else 0, C * (C + 1) // 2 if alpha * beta else 0


def _squares(rows: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "m _"]:
    i, j = np.triu_indices(rows.shape[1])
    return rows[:, i] * rows[:, j] * np.where(i == j, 1.0, np.sqrt(2.0))


def _matrices(packed: Float[np.ndarray, "n _"], k: int) -> Float[np.ndarray, "n k k"]:
    i, j = np.triu_indices(k)
    out = np.zeros((len(packed), k, k))
    out[:, i, j] = packed / np.where(i == j, 1.0, np.sqrt(2.0))
    out[:, j, i] = out[:, i, j]
    return out


def kernel_of(quadrics: Quadrics, rng: np.random.Generator, go_on: Callable[[], bool]) -> Kernel | None:
    """The n elements of the kernel, or what comes closest; None if ``go_on`` says no."""
    n, C, blocks, scales = quadrics.left.shape[1], quadrics.back.shape[1], quadrics.blocks, quadrics.scales()
    R = quadrics.triangle(scales, go_on)
    if R is None:
        return None
    usual = np.linalg.norm(R) / len(R) ** 0.5
    vectors = _smallest(R, n, rng)
    last = np.linalg.norm(R @ vectors, 2) / usual
    lifted = qr(np.vstack([R, usual * vectors.T]), mode="r", overwrite_a=True, check_finite=False)[0][: len(R)]
    beyond = _smallest(lifted, 2, rng)
    following = np.linalg.norm(lifted @ beyond, -2) / usual
    squares, mixed, multipliers = np.split(vectors.T, np.cumsum(blocks)[:2], axis=1)
    return Kernel(
        _matrices(squares / scales[0], n),
        (mixed / scales[1]).reshape(-1, n, C) if blocks[1] else None,
        _matrices(multipliers / scales[2], C) if blocks[2] else None,
        float(last),
        float(following),
    )


def _smallest(R: Float[np.ndarray, "N N"], k: int, rng: np.random.Generator) -> Float[np.ndarray, "N k"]:
    """Right singular vectors of the k smallest singular values of a triangle, by inverse iteration."""
    T = R.copy()
    at = np.arange(len(T))
    diagonal = T[at, at]
    least = ROUNDING * np.abs(diagonal).max()
    T[at, at] = np.where(np.abs(diagonal) < least, least, diagonal)
    X = np.linalg.qr(rng.standard_normal((len(T), k)))[0]
    for _ in range(ITERATIONS if k > 2 else 3 * ITERATIONS):
        for transposed in (1, 0):
            X = np.linalg.qr(solve_triangular(T, X, trans=transposed, check_finite=False))[0]
    return X


@dataclass(frozen=True, eq=False)
class Pattern:
    """Slopes and multipliers of every sample, up to a common sign of both if the slopes are opposite."""

    slopes: Float[np.ndarray, "n all"]
    multipliers: Float[np.ndarray, "n C"]
    signals: Float[np.ndarray, "n all"]
    """The exact product of both with A: each a signal up to scale."""


def diagonalised(kernel: Kernel, rng: np.random.Generator) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, "n C"]]:
    """The z_i, of unit length, as columns, and the multipliers that belong to them."""
    Z = kernel.squares
    best, condition = np.eye(len(Z)), np.inf
    for _ in range(ATTEMPTS if len(Z) > 1 else 1):
        one, two = np.tensordot(rng.standard_normal((2, len(Z))), Z, 1)
        try:
            P = np.real(np.linalg.eig(np.linalg.solve(two.T, one.T).T)[1])
            size = float(np.linalg.cond(P))
        except np.linalg.LinAlgError:
            continue
        if size < condition:
            best, condition = P, size
    P = best / np.linalg.norm(best, axis=0)
    dual = np.linalg.pinv(P)
    weights = np.einsum("ia,kab,ib->ki", dual, Z, dual, optimize=True)
    combine = np.linalg.pinv(weights)
    if kernel.mixed is not None:
        return P, np.einsum("ik,kac,ai->ic", combine, kernel.mixed, P, optimize=True)
    assert kernel.multipliers is not None
    values, vectors = np.linalg.eigh(np.tensordot(combine, kernel.multipliers, 1))
    return P, vectors[:, :, -1] * np.sqrt(np.maximum(values[:, -1:], 0.0))


def patterns(
    left: Float[np.ndarray, "all n"],
    output: Float[np.ndarray, "C all"],
    slopes: tuple[float, float],
    z: Float[np.ndarray, "n n"],
    gamma: Float[np.ndarray, "n C"],
) -> Pattern:
    """Slopes rounded to the two values, and the multipliers that then fit the column space best, until they agree."""
    chosen = np.empty((len(gamma), len(left)))
    gamma = gamma.copy()
    signals = np.empty_like(chosen)
    for i, multipliers in enumerate(gamma):
        v, before = left @ z[:, i], None
        for _ in range(ROUNDS):
            r = multipliers @ output
            # away from r = 0, which tells nothing, the nearer of the two
            own = np.where(np.abs(v - slopes[0] * r) <= np.abs(v - slopes[1] * r), *slopes)
            if before is not None and np.array_equal(own, before):
                break
            before = own
            factor, triangle = np.linalg.qr(own[:, None] * output.T)
            outside = factor - left @ (left.T @ factor)  # sines, not cosines: these do not see small angles
            right = np.linalg.svd(outside - left @ (left.T @ outside), full_matrices=False)[2]
            multipliers = np.linalg.lstsq(triangle, right[-1], rcond=None)[0]
            exact = own * (multipliers @ output)
            v = left @ (left.T @ exact)
        chosen[i], gamma[i], signals[i] = own, multipliers, own * (multipliers @ output)
    return Pattern(chosen, gamma, signals)

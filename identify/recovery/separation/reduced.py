r"""The least-squares problem of all samples together in coordinates that make it well conditioned.

A change of the samples is split, :math:`\delta X = T B + Y`, into its part in the span of the samples (rows of B orthonormal) and the rest.
The n^2 numbers T and the multipliers are what the updates fix badly: the first update stays as it is when samples are exchanged for
combinations of each other and signals with them. Their normal equations are small, and Hadamard products of Gram matrices: with
:math:`\delta u_i = A_i\delta`, :math:`\delta h_i = B_i\delta` the block of samples i, j from one layer is

.. math:: (h_i\cdot h_j)\,A_i^\top A_j + (u_i\cdot u_j)\,B_i^\top B_j
    + (A_i^\top u_j)(B_j^\top h_i)^\top + (B_i^\top h_j)(A_j^\top u_i)^\top .

For Y the first update alone gives normal equations :math:`U U^\top \otimes I`, with the signals U of the first layer as rows. Both
factors together precondition the whole problem; what is left out is how Y moves the network, which is small beside what it does to the
first update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LEAST = 1e-14
"""Eigenvalues of the small normal equations are at least so large, relative to the largest: rounding leaves no less."""


@dataclass(frozen=True, eq=False)
class Point:
    """What the network makes of all samples: for each layer of weights what enters it, signals, and of hidden layers slopes, curvatures
    and what arrives before the slopes on the way back."""

    weights: Sequence[Float[np.ndarray, "_ _"]]
    entering: Sequence[Float[np.ndarray, "n _"]]
    signals: Sequence[Float[np.ndarray, "n _"]]
    slopes: Sequence[Float[np.ndarray, "n _"]]
    curvatures: Sequence[Float[np.ndarray, "n _"]]
    arriving: Sequence[Float[np.ndarray, "n _"]]


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Well-conditioned coordinates of changes of the samples and of the multipliers."""

    basis: Float[np.ndarray, "r d"]
    small: Float[np.ndarray, "k k"]
    """Columns: changes (T, multipliers) of all samples that are orthonormal for the small normal equations."""
    outside: Float[np.ndarray, "n n"]
    """The same for the rest of the samples."""
    n_outputs: int

    @classmethod
    def of(
        cls,
        basis: Float[np.ndarray, "r d"],
        matrix: Float[np.ndarray, "k k"],
        signals: Float[np.ndarray, "n m"],
        n_outputs: int,
    ) -> Coordinates:
        """From the small normal equations, and the signals of the first layer in units of its noise. Cost O(n^3 (n + C)^3)."""
        values, vectors = np.linalg.eigh(matrix)
        sizes, directions = np.linalg.eigh(signals @ signals.T)
        small, outside = (v / np.sqrt(np.maximum(own, LEAST * own[-1])) for own, v in ((values, vectors), (sizes, directions)))
        return cls(basis, small, outside, n_outputs)

    @property
    def size(self) -> int:
        return len(self.small) + len(self.outside) * self.basis.shape[1]

    def change(self, v: Float[np.ndarray, " size"]) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]:
        """The change of samples and multipliers with these coordinates."""
        k, n, r = len(self.small), len(self.outside), len(self.basis)
        both = (self.small @ v[:k]).reshape(n, r + self.n_outputs)
        Y = self.outside @ v[k:].reshape(n, -1)
        return both[:, :r] @ self.basis + Y - (Y @ self.basis.T) @ self.basis, both[:, r:]

    def transposed(self, dX: Float[np.ndarray, "n d"], dc: Float[np.ndarray, "n C"]) -> Float[np.ndarray, " size"]:
        """The transpose of :meth:`change`."""
        T = dX @ self.basis.T
        small = np.concatenate([T, dc], axis=1).reshape(-1) @ self.small
        return np.concatenate([small, (self.outside.T @ (dX - T @ self.basis)).reshape(-1)])


def normal_equations(
    at: Point, basis: Float[np.ndarray, "r d"], lifted: Sequence[bool], noise: Sequence[float]
) -> Float[np.ndarray, "k k"]:
    """Those of (T, multipliers) from the first layers, sample by sample: r + C unknowns for each."""
    (n, d), r, C = at.entering[0].shape, len(basis), at.signals[-1].shape[1]
    moved = [np.concatenate([np.broadcast_to(basis.T, (n, d, r)), np.zeros((n, d, C))], axis=2)]
    bends = []
    for k, slope in enumerate(at.slopes):
        dz = np.matmul(at.weights[k], moved[-1])
        moved.append(slope[:, :, None] * dz)
        bends.append((at.curvatures[k] * at.arriving[k])[:, :, None] * dz)
    changed = [np.concatenate([np.zeros((n, C, r)), np.broadcast_to(np.eye(C), (n, C, C))], axis=2)]
    for k in range(len(at.slopes) - 1, -1, -1):
        changed.append(at.slopes[k][:, :, None] * np.matmul(at.weights[k + 1].T, changed[-1]) + bends[k])
    changed.reverse()
    total = np.zeros((n, r + C, n, r + C))
    for k, (has_bias, spread) in enumerate(zip(lifted, noise, strict=True)):
        A, B, u, h = changed[k], moved[k], at.signals[k], at.entering[k]
        gram = h @ h.T + has_bias
        total += _pairs(A) * (gram / spread**2)[:, None, :, None] + _pairs(B) * (u @ u.T / spread**2)[:, None, :, None]
        crossed = np.einsum("iqj,jri->iqjr", _with(A, u), _with(B, h)) / spread**2
        total += crossed + crossed.transpose(2, 3, 0, 1)
    return total.reshape(n * (r + C), n * (r + C))


def _pairs(A: Float[np.ndarray, "n m q"]) -> Float[np.ndarray, "n q n q"]:
    wide = A.transpose(1, 0, 2).reshape(A.shape[1], -1)
    n, _, q = A.shape
    return (wide.T @ wide).reshape(n, q, n, q)


def _with(A: Float[np.ndarray, "n m q"], rows: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n q n"]:
    """A_i^T row_j."""
    return np.matmul(A.transpose(0, 2, 1), rows.T)

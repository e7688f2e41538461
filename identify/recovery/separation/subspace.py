r"""The row and column space of one layer's update, and what is left of them when some samples are known.

With n samples the update of a layer is :math:`G = \sum_i u_i \tilde h_i^\top`. If its rank is n, the singular value decomposition
:math:`G = U\Sigma R` gives every sample coordinates: its lifted input is :math:`\tilde h_i = R^\top\eta_i`, its signal
:math:`u_i = U y_i`, and from :math:`\tilde h_i^\top G^+ u_k = \delta_{ik}` follows

.. math:: \delta_i\cdot\eta_k = 0 \quad (k \ne i), \qquad \delta_i \propto \Sigma^{-1} y_i .

So a known sample is taken out (*deflation*, Wedderburn's rank reduction) by one linear condition: the inputs of all others lie in
:math:`\{\eta : \delta_i\cdot\eta = 0\}`, their signals in :math:`\{y : y\cdot\Sigma^{-1}\eta_i = 0\}`. The update and its one
decomposition stay as they are, so small signals are not lost in a subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr

ROUNDING = 2.0**-52
ABOVE_ROUNDING = 30.0
"""Noise of so many units of rounding is not rounding."""
DECOMPOSITION = 0.25
"""Backward error of a singular value decomposition, in units of rounding of the largest singular value (measured)."""


@dataclass(frozen=True, eq=False)
class Subspace:
    r"""The leading n singular triples of one update, and what the samples known so far say of the others.

    Attributes
    ----------
    left, values, right
        U, the diagonal of Sigma, R.
    noise
        Spectral norm of the part of the update that is not signal, in its units: the first singular value beyond n, at least rounding.
    spread
        Standard deviation of the noise in the entries of each row. Noise well above rounding is taken to be alike in all entries;
        rounding is
        relative to each entry, so rows of large numbers carry more of it.
    relative_noise
        Root mean square of the noise relative to that of the update (dimensionless).
    avoid
        One unit row for each known sample, to which the coordinates of all other inputs are orthogonal: the dual
        :math:`\Sigma^{-1} y_i` of its signal's coordinates.
    """

    left: Float[np.ndarray, "m n"]
    values: Float[np.ndarray, " n"]
    right: Float[np.ndarray, "n columns"]
    noise: float
    spread: Float[np.ndarray, " m"]
    relative_noise: float
    avoid: Float[np.ndarray, "known n"]

    @classmethod
    def of(
        cls,
        update: Float[np.ndarray, "m columns"],
        samples: int,
        unit: float = ROUNDING / 2,
        factors: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    ) -> Subspace:
        """The leading ``samples`` triples. ``unit``: unit roundoff of the numbers of the update. ``factors``: those of
        :func:`~identify.recovery.separation.factors.factors_of`, if they are there already. Cost O(m D min(m, D)) without it."""
        U, values, R = factors if factors and samples <= len(factors[2]) else np.linalg.svd(update, full_matrices=False)
        values = np.maximum(values, ROUNDING**2 * values[0])  # a direction that is not there at all is divided by, too
        rest = values[samples:]
        noise = max(rest.max(initial=0.0), 4 * ROUNDING * values[0])
        m, columns = update.shape
        free = max((m - samples) * (columns - samples), 1)  # entries of noise that are alike fill the dimensions beyond the signal
        size = np.linalg.norm(values) / update.size**0.5
        outside = np.linalg.norm(rest) / free**0.5
        if outside > ABOVE_ROUNDING * unit * size:
            spread = np.full(m, outside)
        else:
            own = np.linalg.norm(update, axis=1) / columns**0.5
            spread = np.hypot(max(unit, outside / size) * own, DECOMPOSITION * ROUNDING * values[0] / max(m, columns) ** 0.5)
        known = np.zeros((0, samples))
        return cls(U[:, :samples], values[:samples], R[:samples], float(noise), spread, float(max(outside / size, unit)), known)

    @property
    def n_unknown(self) -> int:
        """How many samples are not known yet."""
        return len(self.values) - len(self.avoid)

    def without(self, signal: Float[np.ndarray, " n"]) -> Subspace:
        """With one more known sample: the coordinates of its signal, up to scale."""
        return replace(self, avoid=np.vstack([self.avoid, _unit(signal / self.values)]))

    def uncertainty(self, coordinates: Float[np.ndarray, "starts n"]) -> Float[np.ndarray, " starts"]:
        r"""How far a vector with these coordinates in the row space may lie off the true one: :math:`\nu\,\|\Sigma^{-1}\eta\|`.

        The computed rows are :math:`\Sigma^{-1}U^\top(G + E)`, so noise E moves the k-th by at most :math:`\|E\| / \sigma_k`.
        """
        return self.noise * np.linalg.norm(coordinates / self.values, axis=-1)

    def deviation(self, coordinates: Float[np.ndarray, "starts n"]) -> Float[np.ndarray, " starts"]:
        """Standard deviation of each entry of such a vector outside the row space."""
        return np.linalg.norm((coordinates / self.values) @ (self.left * self.spread[:, None]).T, axis=-1)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def complement(rows: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "rest n"]:
    """An orthonormal basis, row by row, of the vectors that are orthogonal to these independent rows."""
    if not len(rows):
        return np.eye(rows.shape[1])
    return qr(rows.T)[0][:, len(rows) :].T

r"""The thin singular value decomposition of an update, from a sketch if its rank is small.

A batch leaves few singular values above rounding, and LAPACK computes all of them. A product with some random columns spans the range of
the update (Halko, Martinsson and Tropp 2011), a product back its rows, and a small decomposition gives the triples. What they leave of the
update is computed as well, so nothing rests on chance. In the bases U and R, completed, the update is

.. math:: \begin{pmatrix} \Sigma + E_{11} & E_{12} \\ E_{21} & E_{22} \end{pmatrix},

so by its Schur complement all other singular values are at most about :math:`\|E_{22}\| + \|E_{21}\| \|E_{12}\| / \sigma_n`. The
sketch counts only if that is as small as the rounding of a decomposition, and far below the last triple. Otherwise it is widened, or
LAPACK decomposes the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr
from scipy.linalg.blas import dgemm

from identify.recovery.separation.subspace import ROUNDING

NARROW, WIDENED, SHARE = 32, 4, 4
"""Columns of the first sketch, the factor to the next one, and the part of all columns up to which sketches are faster than LAPACK."""
MORE = 8
"""Columns beyond a rank that is expected, so that chance seldom costs a digit (Halko, Martinsson and Tropp 2011 take 5 to 10)."""
REST = 4 * ROUNDING
"""Size of a rest that is rounding, relative to the largest singular value: the least noise of a :class:`Subspace`."""
CLEAR = 1e3
"""Triples that a sketch keeps exceed such a rest by this factor, so that no doubt is possible how many there are."""
SEEN, ALONE = 8, 2.0
"""Directions in which the largest singular value of a rest is looked for, and the factor by which it may be larger than what is seen."""

Factors = tuple[Float[np.ndarray, "m k"], Float[np.ndarray, " all"], Float[np.ndarray, "k columns"]]
"""U, all singular values, and R; after a sketch U and R hold the first triples only, and the other values share what these leave."""


def factors_of(matrix: Float[np.ndarray, "m columns"], unit: float, expected: int | None = None) -> Factors:
    """The decomposition. ``unit``: unit roundoff of the numbers; those of short formats leave no rest that small, so LAPACK has them.

    ``expected``: a rank that it is likely to have; the first sketch is hardly wider. Cost O(m D k) for the sketch of k columns that
    succeeds, O(m D min(m, D)) if none does.
    """
    widths = [NARROW * WIDENED**k for k in range(min(matrix.shape).bit_length())]
    if expected is not None:
        widths = [expected + MORE, *(width for width in widths if width > expected + MORE)]
    for width in widths:
        if unit > ROUNDING or width * SHARE > min(matrix.shape):
            break
        found = _sketched(matrix, width)
        if found is not None:
            return found
    return np.linalg.svd(matrix, full_matrices=False)


def factors_of_all(matrices: Sequence[Float[np.ndarray, "_ _"]], unit: float) -> list[Factors]:
    """Those of the updates of one batch, which as a rule all have its size as their rank: the first rank is expected of others."""
    found: dict[int, Factors] = {}
    expected = None
    for k in sorted(range(len(matrices)), key=lambda k: matrices[k].size):
        found[k] = factors_of(matrices[k], unit, expected)
        rank = len(found[k][2])
        if expected is None and rank < min(matrices[k].shape):
            expected = rank
    return [found[k] for k in range(len(matrices))]


def _sketched(matrix: Float[np.ndarray, "m columns"], width: int) -> Factors | None:
    """The triples that a sketch of so many columns finds; None if what they leave may be more than rounding."""
    some = np.random.default_rng(width).standard_normal((matrix.shape[1], width))
    Q = qr(matrix @ some, mode="economic", check_finite=False)[0]
    rows = qr((Q.T @ matrix).T, mode="economic", check_finite=False)[0]
    U, values, right = np.linalg.svd(matrix @ rows, full_matrices=False)
    rank = int(np.sum(values > CLEAR * REST * values[0]))
    if rank in (0, width):
        return None
    U, values, R = U[:, :rank], values[:rank], right[:rank] @ rows.T
    rest = matrix.copy()
    _subtract(rest, U * values, R)  # what is left of the triples themselves are errors of theirs, as LAPACK makes them
    above, left = U.T @ rest, rest @ R.T
    across = U.T @ left
    left -= U @ across
    _subtract(rest, np.hstack([U, left]), np.vstack([above, R]))
    above -= across @ R
    beyond = float(np.linalg.norm(rest))
    missed = beyond if beyond <= REST * values[0] else ALONE * _largest(rest)
    if not missed + np.linalg.norm(above) * np.linalg.norm(left) / values[-1] <= REST * values[0]:
        return None
    others = min(matrix.shape) - rank
    return U, np.append(values, np.full(others, beyond / others**0.5)), R


def _subtract(into: Float[np.ndarray, "m columns"], A: Float[np.ndarray, "m k"], B: Float[np.ndarray, "k columns"]) -> None:
    """A B taken away in place: a product of the size of an update costs more to allocate than to compute."""
    dgemm(-1.0, B.T, np.ascontiguousarray(A).T, 1.0, into.T, overwrite_c=True)


def _largest(rest: Float[np.ndarray, "m columns"]) -> float:
    """The largest singular value, from below: of one that stands out all digits, of noise three quarters or more."""
    some = np.random.default_rng(SEEN).standard_normal((rest.shape[1], SEEN))
    return float(np.linalg.norm(rest.T @ qr(rest @ some, mode="economic", check_finite=False)[0], 2))

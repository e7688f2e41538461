r"""Whether any point lies on given sides of given hyperplanes through the origin: a linear program finds why not, fractions prove it.

No :math:`\xi` satisfies :math:`r_j\cdot\xi > 0` for the strict rows, :math:`\ge 0` for the weak ones and :math:`= 0` for the others if and
only if some combination :math:`\sum_j y_j r_j` vanishes, with :math:`y_j \ge 0` for all inequalities, and one of the strict ones positive
(Gordan 1873; Motzkin 1936). The multipliers of a linear program in floating point say which rows enter; these are few, and the
combination is solved for over the rationals.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
import scipy
from flint import fmpq

from identify.exact.rational_kernel import kernel_vectors

NOTHING = 1e-7
"""A margin that counts as none, for rows of norm 1."""


class Side(Enum):
    """Of one hyperplane."""

    STRICT = "> 0"
    WEAK = ">= 0"
    ON = "= 0"


def is_empty(rows: Sequence[Sequence[fmpq]], sides: Sequence[Side]) -> bool:
    """Whether it is proved that no point is on these sides; False says nothing. Cost: a linear program of as many rows, milliseconds."""
    kept = [(row, side) for row, side in zip(rows, sides, strict=True) if any(row) or side is Side.STRICT]
    if any(not any(row) for row, _ in kept):
        return True
    if not kept:
        return False
    matrix = np.array([[int(v.p) / int(v.q) for v in row] for row, _ in kept])
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-300)
    n, margin = matrix.shape[1], np.array([side is Side.STRICT for _, side in kept], dtype=float)
    on = np.array([side is Side.ON for _, side in kept])
    if not np.isfinite(matrix).all() or not margin.any():
        return False
    above = np.hstack([-matrix[~on], margin[~on, None]])
    level = np.hstack([matrix[on], np.zeros((on.sum(), 1))]) if on.any() else None
    found = scipy.optimize.linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=above, b_ub=np.zeros(len(above)), A_eq=level, b_eq=None if level is None else np.zeros(len(level)),
        bounds=[(-1, 1)] * n + [(0, 1)], method="highs",
    )  # fmt: skip
    if found.status != 0 or -found.fun > NOTHING:
        return False
    weights = np.abs(found.ineqlin.marginals)
    chosen = [k for k, y in zip(np.flatnonzero(~on).tolist(), weights, strict=True) if y > 1e-9 * max(weights.max(), 1e-300)]
    columns = [*chosen, *np.flatnonzero(on).tolist()]
    for vector in kernel_vectors([list(kept[k][0]) for k in columns], 0):
        for sign in (1, -1):
            y = [sign * v for v in vector[: len(chosen)]]
            if all(v >= 0 for v in y) and any(v > 0 and kept[k][1] is Side.STRICT for v, k in zip(y, chosen, strict=True)):
                return True
    return False

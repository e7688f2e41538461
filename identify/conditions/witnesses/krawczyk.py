r"""Proof that a square system has a zero in a box, in ball arithmetic (Krawczyk 1969).

For :math:`f: \mathbb R^U \to \mathbb R^U`, a box Y with midpoint y, an enclosure J of the derivatives of f on Y and any
matrix C: if :math:`K = y - C f(y) + (I - C J)(Y - y)` lies in the interior of Y, then f has exactly one zero in Y, and it
lies in K. Where f(y) is known up to a constant only, a ball, this holds for each f - t of the ball.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from flint import arb, arb_mat

REFERENCE = "Krawczyk 1969; Moore 1977 (existence); the other equations are linear combinations of those of the box"


def contraction(value: Callable, jacobian: Callable, centre: Sequence[arb], radii: Sequence[arb]) -> float | None:
    """Prove one zero within ``radii`` of ``centre``.

    Parameters
    ----------
    value, jacobian
        f and its derivative on a list of balls, as object arrays of balls of shapes (U,) and (U, U).
    centre, radii
        The box: U balls of radius zero each; radii positive.

    Returns
    -------
    float or None
        The factor, below 1, by which the box shrinks; None when nothing is proved. Cost O(U^3) at
        the precision of the flint context, and one evaluation of f and two of its derivative.
    """
    moved = image(value, jacobian, centre, radii)
    box = [arb(y, r) for y, r in zip(centre, radii, strict=True)]
    if moved is None or not all(ball.contains_interior(k) for ball, k in zip(box, moved, strict=True)):
        return None
    return max(float((k - y).abs_upper() / ball.rad()) for k, ball, y in zip(moved, box, centre, strict=True))


def image(value: Callable, jacobian: Callable, centre: Sequence[arb], radii: Sequence[arb]) -> list[arb] | None:
    """K, as in :func:`contraction`; None if the matrix cannot be inverted."""
    box = [arb(y, r) for y, r in zip(centre, radii, strict=True)]
    try:
        inverse = _midpoints(arb_mat(jacobian(list(centre)).tolist()).inv())
    except ZeroDivisionError:  # the matrix cannot be proved invertible
        return None
    size = len(box)
    step = inverse * arb_mat(size, 1, value(list(centre)).tolist())
    rest = arb_mat(np.eye(size, dtype=int).tolist()) - inverse * arb_mat(jacobian(box).tolist())
    spread = arb_mat(size, 1, [ball - y for ball, y in zip(box, centre, strict=True)])
    return (arb_mat(size, 1, list(centre)) - step + rest * spread).entries()


def refine(value: Callable, jacobian: Callable, start: Sequence[float], rounds: int = 8) -> list[arb] | None:
    """Newton's method on midpoints, at the precision of the flint context: no proof, a good centre. None if it breaks down."""
    y = [arb(float(v)) for v in start]
    for _ in range(rounds):
        try:
            inverse = _midpoints(arb_mat(jacobian(y).tolist()).inv())
        except ZeroDivisionError:
            return None
        step = inverse * arb_mat(len(y), 1, value(y).tolist())
        y = [(v - step[j, 0]).mid() for j, v in enumerate(y)]
        if not all(v.is_finite() for v in y):
            return None
    return y


def _midpoints(matrix: arb_mat) -> arb_mat:
    return arb_mat(matrix.nrows(), matrix.ncols(), [entry.mid() for entry in matrix.entries()])

"""Distances of candidates from images: relative errors modulo the ambiguity, and correlations. Floating point."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.base.limits import refuse_above
from identify.base.options import choice
from identify.problem.arrays import finite_array

GROUPS = ("none", "sign", "scaling")
PIECE = 1e9
"""Products that are computed at once: a fraction of a second."""
MATRICES = 3
"""Errors, as they are bounded, and as they are assigned: numbers for each candidate and image."""


def image_rows(name: str, value, d: int | None = None) -> Float[np.ndarray, "k d"]:
    """``value`` as finite float64 rows, one picture each; raises :class:`~identify.problem.network.ShapeError` for anything else."""
    return finite_array(name, value, (None, d), "images, one per row")


def check_group(group: str) -> None:
    choice("group", group, GROUPS)


def _units(rows: Float[np.ndarray, "k d"]) -> tuple[Float[np.ndarray, "k d"], Float[np.ndarray, " k"]]:
    """Rows at length 1 (zero stays zero) and their lengths, without overflow of the squares."""
    scale = np.abs(rows).max(axis=1)
    units = rows / np.where(scale > 0, scale, 1)[:, None]
    lengths = np.linalg.norm(units, axis=1)
    units /= np.where(lengths > 0, lengths, 1)[:, None]
    with np.errstate(over="ignore"):
        return units, scale * lengths


def _centred(rows: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k d"]:
    """Rows without their means at length 1; zero for a constant row, whose remainder would be rounding errors."""
    units, _ = _units(rows)
    remainders, lengths = _units(units - units.mean(axis=1, keepdims=True))
    return np.where(lengths[:, None] > 1e-13, remainders, 0)


def aligned(candidates: Float[np.ndarray, "k d"], images: Float[np.ndarray, "k d"], group: str) -> Float[np.ndarray, "k d"]:
    """Each candidate moved by the element of the group that brings it nearest to the image in the same row."""
    if group == "none":
        return candidates
    units, _ = _units(candidates)
    directions, lengths = _units(images)
    cosines = np.einsum("kd,kd->k", units, np.broadcast_to(directions, units.shape))
    if group == "sign":
        return np.where(cosines < 0, -1.0, 1.0)[:, None] * candidates
    return (cosines * lengths)[:, None] * units


def paired_errors(candidates: Float[np.ndarray, "k d"], images: Float[np.ndarray, "k d"]) -> Float[np.ndarray, " k"]:
    """Relative errors row by row; against a zero image 0 for a zero candidate and inf for any other."""
    lengths = _units(images)[1]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        gaps = _units(candidates - images)[1]
        ratios = gaps / lengths
    return np.where(gaps == 0, 0.0, np.where(np.isnan(ratios), np.inf, ratios))


def paired_correlations(candidates: Float[np.ndarray, "k d"], images: Float[np.ndarray, "k d"]) -> Float[np.ndarray, " k"]:
    """Normalised cross-correlations row by row."""
    return np.clip(np.einsum("kd,kd->k", _centred(candidates), _centred(images)), -1, 1)


def relative_errors(
    candidates: Float[np.ndarray, "m d"], images: Float[np.ndarray, "n d"], *, group: str = "none"
) -> Float[np.ndarray, "m n"]:
    r"""Relative errors :math:`\min_t \|t \hat x - x\| / \|x\|` of every candidate for every image (dimensionless).

    Parameters
    ----------
    candidates, images
        One per row, finite, in the same space.
    group
        Values of t: ``"none"`` 1, ``"sign"`` 1 or -1, ``"scaling"`` any real number.

    Raises
    ------
    ShapeError, ValueError
        For wrong shapes, values that are not finite, or an unknown group.
    TooLargeError
        Before the errors would not fit in memory.

    Notes
    -----
    Against a zero image the error is 0 for a zero candidate and inf for any other. Cost O(m n d) as one matrix product;
    memory O(m n + m d). Errors below 1e-3, for which that product cancels, are computed again from the differences.

    Examples
    --------
    >>> relative_errors([[3.0, 4.4], [-3.0, -4.0]], [[3.0, 4.0]], group="sign").round(2)
    array([[0.08],
           [0.  ]])
    """
    check_group(group)
    X = image_rows("candidates", candidates)
    Y = image_rows("images", images, X.shape[1])
    refuse_above(MATRICES * 8 * len(X) * len(Y), f"errors of {len(X)} candidates for {len(Y)} images")
    errors, at_once = np.empty((len(X), len(Y))), max(int(PIECE / Y.size), 1)
    for first in range(0, len(X), at_once):  # an interrupt is heard between two pieces
        errors[first : first + at_once] = _relative_errors(X[first : first + at_once], Y, group)
    return errors


def _relative_errors(X: Float[np.ndarray, "m d"], Y: Float[np.ndarray, "n d"], group: str) -> Float[np.ndarray, "m n"]:
    (units, sizes), (directions, lengths) = _units(X), _units(Y)
    cosines = units @ directions.T
    sines = np.sqrt(np.clip(1 - cosines**2, 0, None))
    if group == "scaling":
        errors = sines
    else:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            ratios = sizes[:, None] / lengths
            errors = np.hypot(ratios - (np.abs(cosines) if group == "sign" else cosines), sines)
    errors[:, lengths == 0] = np.where(sizes > 0, np.inf, 0.0)[:, None]
    close = (errors < 1e-3) & (lengths > 0)
    for i in np.flatnonzero(close.any(axis=0)):
        rows, image = np.flatnonzero(close[:, i]), Y[i : i + 1]
        errors[rows, i] = paired_errors(aligned(X[rows], image, group), image)
    return errors


def correlations(candidates: Float[np.ndarray, "m d"], images: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "m n"]:
    r"""Normalised cross-correlations in [-1, 1]: cosines between pictures whose own means are removed; 0 for constant pictures.

    The published distance :math:`\|z(\hat x) - z(x)\|^2` of standardised grey pictures is :math:`2 d (1 - \rho)`, up to the
    unbiased variance. Cost O(m n d). Raises :class:`~identify.problem.network.ShapeError` for wrong shapes and values that are not finite.
    """
    X = image_rows("candidates", candidates)
    return np.clip(_centred(X) @ _centred(image_rows("images", images, X.shape[1])).T, -1, 1)

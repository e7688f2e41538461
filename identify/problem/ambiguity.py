r"""Ambiguities that no equation can remove, and comparison of solutions modulo them (theory, section 3).

Samples may be permuted. Beyond that, a transformation :math:`(x_i, c_i) \mapsto (t x_i, t^{-k} c_i)`, sample by
sample, leaves every visible moment :math:`\sum_i c_i x_i^{\otimes k}` as it is exactly when :math:`t^{k-l} = 1` for all
visible degrees k, l. Over the reals that is nothing, a sign, or (for one visible degree) a free scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import scipy
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from identify.base.errors import InputError
from identify.base.norms import exponent, row_sizes, scaled
from identify.base.rows import equal_rows
from identify.problem.activation import root_group

FARTHEST = 1e100
"""Relative distances from this on are alike to an assignment, which adds them up."""

_Data = tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n C"]]


def free_scales(degrees: Sequence[int]) -> int:
    """How many numbers (S) alone leaves free for each sample: its scale, (t x_i, t^(-k) c_i), for a single visible degree k; else none."""
    return int(len(degrees) == 1)


@dataclass(frozen=True)
class Match:
    """Candidates aligned with a reference: ``order[i]`` is the candidate that stands for reference sample i."""

    order: Int[np.ndarray, " n"]
    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, "n C"]
    errors: Float[np.ndarray, " n"]
    """Relative errors ‖x - x_ref‖ / ‖x_ref‖ after alignment; inf for a reference sample without a candidate."""

    def _repr_html_(self) -> str:
        from identify.report.notebook import of_match

        return of_match(self)


@dataclass(frozen=True)
class Ambiguity:
    """The group up to which data can be determined: permutations, and ``group`` acting on each sample.

    Attributes
    ----------
    group
        ``"none"``, ``"sign"`` (t = 1, -1), ``"scaling"`` (every real t except 0), ``"positive scaling"`` (every t > 0), acting by
        (t x_i, t^(-k) c_i); or ``"even scaling"`` (every real t except 0), acting by (t x_i, abs(t)^(-k) c_i).
    degree
        k in that action (modulo 2 for a sign): the highest visible degree.
    label_counts
        Numbers of +1 and -1 labels when they are known: they restrict which sign patterns occur, but fix the signs
        only when all labels are equal, because samples with opposite labels can trade places.
    """

    group: str
    degree: int
    label_counts: tuple[int, int] | None = None

    @classmethod
    def of(
        cls, degrees: tuple[int, ...], lifted: bool, labels: Float[np.ndarray, " n"] | None = None, homogeneous: bool = False
    ) -> Ambiguity:
        """The group for the visible degrees.

        ``labels``: those whose margin equations y_i f(x_i) = 1 are in force. For a ``homogeneous`` network, f(t x) = t^p f(x),
        they reduce a free scale to a sign; otherwise the two signs may go with different scales, and the scale stays listed.
        """
        group = "none" if lifted else root_group(degrees)
        counts = None
        if labels is not None and group != "none":
            counts = (int(np.sum(labels > 0)), int(np.sum(labels < 0)))
            if group == "scaling" and homogeneous:
                group = "sign"
            if group == "sign" and degrees[-1] % 2 == 1 and 0 in counts:
                group = "none"
        return cls(group, degrees[-1], counts)

    @property
    def flips_multiplier(self) -> bool:
        """Whether a negative t changes the sign of c_i."""
        return self.group in ("sign", "scaling") and self.degree % 2 == 1

    @property
    def dimension_per_sample(self) -> int:
        """Continuous dimension of the group, per sample."""
        return int(self.has_free_scale)

    @property
    def has_free_scale(self) -> bool:
        """Whether t is any number, or any positive one."""
        return self.group in ("scaling", "positive scaling", "even scaling")

    def describe(self) -> tuple[str, ...]:
        """One line for each generator, in words."""
        lines = ["permutation of the samples"]
        c = "−c_i" if self.flips_multiplier else "c_i"
        if self.group == "scaling":
            lines.append(f"scale of each sample: (x_i, c_i) ~ (t x_i, t^−{self.degree} c_i) for every real t ≠ 0")
        if self.group == "even scaling":
            lines.append(f"scale of each sample: (x_i, c_i) ~ (t x_i, |t|^−{self.degree} c_i) for every real t ≠ 0")
        if self.group == "positive scaling":
            lines.append(f"scale of each sample: (x_i, c_i) ~ (t x_i, t^−{self.degree} c_i) for every t > 0")
        if self.group == "sign":
            lines.append(f"sign of each sample: (x_i, c_i) ~ (−x_i, {c})")
            if self.label_counts is not None and self.flips_multiplier:
                plus, minus = self.label_counts
                lines.append(f"the labels allow only sign patterns with {plus} positive and {minus} negative multipliers")
        return tuple(lines)

    def act(self, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"], t: Float[np.ndarray, " n"]) -> _Data:
        """(t_i x_i, t_i^(-degree) c_i), for t_i in the group."""
        t = np.asarray(t, dtype=float)[:, None]
        if self.group == "sign":
            factor = np.where(t < 0, (-1.0) ** self.degree, 1.0)
        else:
            factor = (np.abs(t) if self.group == "even scaling" else t) ** (-float(self.degree))
        return t * X, factor * c

    def canonical(self, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> _Data:
        """One representative of each orbit: unit norm under scaling; the largest multiplier (or entry) positive under signs."""
        t = np.ones(len(X))
        if self.has_free_scale:
            t = 1 / row_sizes(X)
        if self.group in ("sign", "scaling", "even scaling"):
            lead = c if self.flips_multiplier else X
            pick = np.take_along_axis(lead, np.abs(lead).argmax(axis=1)[:, None], axis=1)[:, 0]
            t = t * np.where(pick < 0, -1.0, 1.0)
        return (X, c) if self.group == "none" else self.act(X, c, t)

    def representatives(self, points: Float[np.ndarray, "points d"]) -> Float[np.ndarray, "points d"]:
        """One of all samples that the group exchanges: of unit length, positive along a fixed direction. Such charts are linear."""
        if self.has_free_scale:
            points = points / np.linalg.norm(points, axis=1, keepdims=True)
        if self.group in ("sign", "scaling", "even scaling"):
            along = points @ np.cos(np.arange(1.0, points.shape[1] + 1))
            points = points * np.where(along < 0, -1.0, 1.0)[:, None]
        return points

    def match(self, X: ArrayLike, c: ArrayLike, X_reference: ArrayLike, c_reference: ArrayLike) -> Match:
        """Assign candidates to reference samples one to one, at least total relative error, modulo the group.

        The number of candidates may differ from that of the reference. Cost O(n^2 d + n^3).
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a sample that no scale brings near the reference
            return self._match(np.asarray(X, float), np.asarray(c, float), np.asarray(X_reference, float))

    def _match(self, X: Float[np.ndarray, "candidates d"], c: Float[np.ndarray, "candidates *C"], Y: Float[np.ndarray, "n d"]) -> Match:
        given = X
        c = c.reshape(len(X), 1) if c.ndim == 1 else c
        above, below = exponent(Y), exponent(X) if self.has_free_scale else exponent(Y)
        X, Y = scaled(X, -below), scaled(Y, -above)
        norms = np.linalg.norm(Y, axis=1)
        inner = Y @ X.T
        if self.has_free_scale:
            t = inner / np.maximum((X**2).sum(axis=1), 1e-300)
            t = np.maximum(t, 1e-300) if self.group == "positive scaling" else np.where(t == 0, 1e-300, t)
        elif self.group == "sign":
            t = np.where(inner < 0, -1.0, 1.0)
        else:
            t = np.ones_like(inner)
        distance = np.array([np.linalg.norm(y - scale[:, None] * X, axis=1) for y, scale in zip(Y, t, strict=True)])
        cost = distance / np.maximum(norms, 1e-300)[:, None]
        rows, columns = scipy.optimize.linear_sum_assignment(np.minimum(np.nan_to_num(cost, nan=FARTHEST), FARTHEST))
        order = np.full(len(Y), -1)
        order[rows] = columns
        errors = np.full(len(Y), np.inf)
        errors[rows] = cost[rows, columns]
        aligned_X = np.full(Y.shape, np.nan)
        aligned_c = np.full((len(Y), c.shape[1]), np.nan)
        chosen_X, chosen_c = given[columns], c[columns]
        if self.group != "none":
            chosen_X, chosen_c = self.act(chosen_X, chosen_c, scaled(t[rows, columns], above - below))
        aligned_X[rows], aligned_c[rows] = chosen_X, chosen_c
        return Match(order, aligned_X, aligned_c, errors)


def normal_form(
    X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]
) -> tuple[Float[np.ndarray, "atoms d"], Float[np.ndarray, "atoms C"], int, int]:
    """Distinct samples with non-zero multipliers: the atoms of the measure that (S) sees.

    Samples with zero multiplier do not enter (S); coincident samples enter only through the sum of their multipliers,
    which is formed exactly. Returns the atoms, their multipliers, and the numbers of samples dropped and merged.

    Raises
    ------
    ValueError
        When such a sum is not a double, so that the data could not be taken as the exact numbers that they are.
    """
    first, group = equal_rows(X)
    summed = c[first].astype(float)
    for atom in np.flatnonzero(np.bincount(group, minlength=len(first)) > 1):
        for column in range(c.shape[1]):
            exact = sum((Fraction(value) for value in c[group == atom, column].tolist()), Fraction(0))
            summed[atom, column] = float(exact)
            if Fraction(float(summed[atom, column])) != exact:
                where = np.flatnonzero(group == atom).tolist()
                raise InputError(
                    f"c: the multipliers of the coincident samples {where} have a sum that is not a float64; merge these samples into one"
                )
    keep = np.abs(summed).max(axis=1) > 0
    dropped = int(len(first) - keep.sum())
    return X[first[keep]], summed[keep], dropped, len(X) - len(first)


NO_AMBIGUITY = Ambiguity("none", 1)
"""Nothing is left open but the order of the samples."""

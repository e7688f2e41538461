"""Scores of reconstruction attacks: candidates against the true images, one to one, compared with chance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from identify.attacks.intervals import Estimate, confidence, wilson
from identify.attacks.similarity import aligned, check_group, correlations, image_rows, paired_correlations, paired_errors, relative_errors
from identify.attacks.ssim import ImageShape, check_ssim, paired_ssim, ssim
from identify.base.algebra import assigned
from identify.base.errors import InputError
from identify.base.options import valid_seed, whole
from identify.problem.arrays import ShapeError, finite_array

__all__ = ["Chance", "Estimate", "ImageShape", "Score", "confidence", "correlations", "relative_errors", "score", "ssim", "wilson"]


@dataclass(frozen=True)
class Chance:
    """Scores of held-out images in place of candidates: one score for each draw, and means over the draws.

    The intervals are for the mean over draws, not for a single draw, and are too short if there are so few held-out images that
    the draws overlap.
    """

    draws: tuple[Score, ...]

    def recall(self, threshold: float = 0.1) -> Estimate:
        return Estimate.of([draw.recall(threshold) for draw in self.draws], (0, 1))

    def n_correlated(self, threshold: float = 0.9) -> Estimate:
        return Estimate.of([draw.n_correlated(threshold) for draw in self.draws], (0, np.inf))

    @property
    def mean_ssim(self) -> Estimate | None:
        """None if the images do not have a shape."""
        values = [draw.mean_ssim for draw in self.draws]
        return None if None in values else Estimate.of([value for value in values if value is not None], (-1, 1))


@dataclass(frozen=True, eq=False, repr=False)
class Score:
    """Each image beside the candidate assigned to it. Measures count support images only; their number is never zero."""

    order: Int[np.ndarray, " n"]
    """Row of the candidate assigned to each image, in the given array; -1 for none."""
    errors: Float[np.ndarray, " n"]
    """Relative L2 errors of the aligned candidates; inf without a candidate."""
    correlations: Float[np.ndarray, " n"]
    """Normalised cross-correlations of the aligned candidates; 0 without a candidate."""
    ssim: Float[np.ndarray, " n"] | None
    """Structural similarities of the aligned candidates, 0 without a candidate; None if the images do not have a shape."""
    support: Bool[np.ndarray, " n"]
    """The images that count: those with a multiplier, which alone can be recovered."""
    n_candidates: int
    """Number of candidates that took part."""
    dropped: int
    """Number of candidates that were left out because they were not finite."""
    group: str
    chance: Chance | None = None

    def recall(self, threshold: float = 0.1) -> float:
        """Share of the support images with a relative error below the threshold."""
        return float(np.mean(self.errors[self.support] < threshold))

    def n_correlated(self, threshold: float = 0.9) -> int:
        """Number of support images with a correlation above the threshold: weak evidence if images are small."""
        return int(np.sum(self.correlations[self.support] > threshold))

    @property
    def mean_ssim(self) -> float | None:
        """Mean over the support images, those without a candidate counted as 0; None if the images do not have a shape."""
        return None if self.ssim is None else float(np.mean(self.ssim[self.support]))

    def table(self, threshold: float = 0.1) -> str:
        """Markdown: one row for each measure, the attack beside chance."""
        chance, n = self.chance, int(self.support.sum())
        heading = "not measured" if chance is None else f"mean of {len(chance.draws)} draws (95 % interval of the mean)"
        hits = round(self.recall(threshold) * n)
        rows = [
            f"| measure, {n} images, {self.n_candidates} candidates | attack | chance: {heading} |",
            "|---|---|---|",
            f"| recall, relative L2 < {threshold:g} | {hits / n:.3g} ({hits} of {n}) | {chance.recall(threshold) if chance else '–'} |",
            f"| images with correlation > 0.9 | {self.n_correlated()} | {chance.n_correlated() if chance else '–'} |",
        ]
        if self.mean_ssim is not None:
            rows.append(f"| mean SSIM | {self.mean_ssim:.3g} | {chance.mean_ssim if chance else '–'} |")
        return "\n".join(rows)

    def __repr__(self) -> str:
        n = int(self.support.sum())
        return f"Score({round(self.recall() * n)} of {n} images below 0.1, {self.n_candidates} candidates, {self.dropped} dropped)"

    def __str__(self) -> str:
        return self.table()


def _assign(costs: Float[np.ndarray, "m n"]) -> Int[np.ndarray, " n"]:
    """Candidates for images, one to one, at least total cost; -1 for images left over."""
    order = np.full(costs.shape[1], -1)
    # A diverged candidate must not swamp, in the sum of doubles, the differences among the others.
    rows, columns = assigned(np.minimum(costs, 1e6), "assigning candidates to images")
    order[columns] = rows
    return order


def _finite_rows(candidates, d: int) -> tuple[Float[np.ndarray, "m d"], Int[np.ndarray, " m"], int]:
    """The candidates whose entries are all finite, their rows, and the number of the others."""
    array = np.asarray(candidates)
    if array.ndim != 2 or array.dtype.kind != "f":
        rows = image_rows("candidates", array, d)
        return rows, np.arange(len(rows)), 0
    finite = np.isfinite(array).all(axis=1)
    rows = image_rows("candidates", np.where(finite[:, None], array, 0), d)
    return rows[finite], np.flatnonzero(finite), int(np.sum(~finite))


def _read_support(support, n: int) -> Bool[np.ndarray, " n"]:
    mask = np.ones(n, bool) if support is None else np.array(support)
    if mask.dtype != bool or mask.shape != (n,):
        raise ShapeError(f"support: received {mask.dtype} of shape {mask.shape}, expected one True or False for each of the {n} images")
    if not mask.any():
        raise InputError("support: marks no image, expected at least one; no image enters the equations, and there is nothing to score")
    return mask


def score(
    candidates: Float[np.ndarray, "m d"],
    images: Float[np.ndarray, "n d"],
    *,
    mean: Float[np.ndarray, " d"] | None = None,
    shape: ImageShape | tuple[int, ...] | None = None,
    group: str = "none",
    support: Bool[np.ndarray, " n"] | None = None,
    held_out: Float[np.ndarray, "N d"] | None = None,
    trials: int = 20,
    seed: int = 0,
    stretch: bool = False,
    window: int = 3,
    data_range: float = 1.0,
) -> Score:
    """Score reconstructions: assign candidates to images one to one, and compare with held-out images in their place.

    The assignment has the least total relative error, modulo the group; one candidate never serves two images. Candidates
    with entries that are not finite are dropped and counted.

    Parameters
    ----------
    candidates
        Reconstructions of all runs together, in the space of the images.
    images
        The true images, in the input space of the network (usually with a mean subtracted).
    mean
        That mean: added back before SSIM, and only there.
    shape
        ``(height, width, channels)``, channels last, or an :class:`ImageShape`. None reads it from d and leaves SSIM out
        if d is neither a square nor three times a square, or if the picture is smaller than the window.
    group
        Ambiguity of each image: ``"none"``, ``"sign"`` or ``"scaling"``, as in :class:`identify.Ambiguity`.
        Each candidate is first moved to its nearest equivalent; all measures are of that one.
    support
        True for the images that the measures count. All images take part in the assignment.
    held_out
        Images like the true ones that were not in the training data, at least as many as candidates. In ``trials`` draws without
        replacement they take the place of the candidates, which gives the chance baseline.
    trials, seed
        Number of such draws, and their seed from 0 to 2^53 - 1.
    stretch
        Stretch each reconstruction from its least and greatest value to the data range before SSIM, as Haim et al. do.
    window, data_range
        As in :func:`ssim`.

    Raises
    ------
    ShapeError, ValueError
        For arrays, shapes, groups or windows that do not fit, an empty support, or too few held-out images.

    Notes
    -----
    Cost O((m + N) n d) and ``trials`` assignments, O(m n^2) each at worst; memory O((m + N)(n + d)).

    Examples
    --------
    >>> images = np.eye(4)[:2]
    >>> print(score(-images[::-1], images, group="sign"))
    | measure, 2 images, 2 candidates | attack | chance: not measured |
    |---|---|---|
    | recall, relative L2 < 0.1 | 1 (2 of 2) | – |
    | images with correlation > 0.9 | 2 | – |
    """
    check_group(group)
    check_ssim(window, data_range)
    Y = image_rows("images", images)
    n, d = Y.shape
    X, numbers, dropped = _finite_rows(candidates, d)
    shift = np.zeros(d) if mean is None else finite_array("mean", mean, (d,), "the mean that was subtracted from the images")
    pictures = ImageShape.of(d) if shape is None else ImageShape.read(shape, d)
    if shape is not None and pictures is not None:
        pictures.check_window(window)
    if pictures is not None and not pictures.holds(window):
        pictures = None
    judge = _Judge(Y, shift, _read_support(support, n), group, pictures, stretch, window, data_range)
    trials, seed = whole("trials", trials), valid_seed(seed)
    chance = None if held_out is None else _chance(judge, held_out, len(X), trials, seed)
    scored = judge.score(X, judge.costs(X))
    order = scored.order.copy()
    order[order >= 0] = numbers[order[order >= 0]]
    return replace(scored, order=order, dropped=dropped, chance=chance)


@dataclass(frozen=True, eq=False)
class _Judge:
    """The images and the rules, the same for the attack and for chance."""

    images: Float[np.ndarray, "n d"]
    shift: Float[np.ndarray, " d"]
    support: Bool[np.ndarray, " n"]
    group: str
    shape: ImageShape | None
    stretch: bool
    window: int
    data_range: float

    def costs(self, rows: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m n"]:
        return relative_errors(rows, self.images, group=self.group) if len(rows) else np.zeros((0, len(self.images)))

    def score(self, rows: Float[np.ndarray, "m d"], costs: Float[np.ndarray, "m n"]) -> Score:
        n = len(self.images)
        order = _assign(costs)
        hit = order >= 0
        errors, rho, likeness = np.full(n, np.inf), np.zeros(n), None if self.shape is None else np.zeros(n)
        if hit.any():
            truth = self.images[hit]
            moved = aligned(rows[order[hit]], truth, self.group)
            errors[hit], rho[hit] = paired_errors(moved, truth), paired_correlations(moved, truth)
            if self.shape is not None and likeness is not None:
                likeness[hit] = paired_ssim(self.shown(moved), truth + self.shift, self.shape, self.window, self.data_range)
        return Score(order, errors, rho, likeness, self.support, len(rows), 0, self.group)

    def shown(self, moved: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k d"]:
        """Reconstructions as pixels."""
        pixels = np.clip(moved, -1e150, 1e150) + self.shift  # finite differences, whatever diverged
        if not self.stretch:
            return pixels
        low, high = pixels.min(axis=1, keepdims=True), pixels.max(axis=1, keepdims=True)
        return self.data_range * ((pixels - low) / np.where(high > low, high - low, 1))


def _chance(judge: _Judge, held_out, m: int, trials: int, seed: int) -> Chance:
    """Scores of ``trials`` draws of m held-out images."""
    pool = image_rows("held_out", held_out, judge.images.shape[1])
    if len(pool) < m:
        raise InputError(
            f"held_out: received {len(pool)} images, expected at least as many as candidates ({m}), so that chance has as many "
            "tries as the attack; give more images, or fewer candidates"
        )
    trials = whole("trials", trials)
    rng, costs = np.random.default_rng(seed), judge.costs(pool)
    picks = [rng.choice(len(pool), m, replace=False) for _ in range(trials)]
    return Chance(tuple(judge.score(pool[pick], costs[pick]) for pick in picks))

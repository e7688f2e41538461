"""Settings and results of the runs of an attack: splitting, trials, and a reconstruction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from identify.attacks.similarity import image_rows, relative_errors
from identify.base.errors import InputError
from identify.base.limits import Stopped
from identify.base.options import choice, number
from identify.problem.arrays import finite_array
from identify.report.lineage import draw_lineage
from identify.splitting.minimise import Split

SPLITTING_RULES = ("best", "published")
SAME = 0.05
"""Relative distance within which candidates of two runs agree."""


@dataclass(frozen=True)
class Splitting:
    """When and how candidates are split (Shen et al. 2026).

    Parameters
    ----------
    every
        Iterations between two checks.
    most
        Largest number of candidates that one check splits: those with the most negative eigenvalues.
    cap
        Largest number of candidates, as a multiple of those at the start (above 1).
    threshold
        A candidate is split if its splitting matrix has an eigenvalue below minus this (units of the objective / input^2).
    rule
        ``"best"``: the candidates with the most negative eigenvalues, each at the best step of a line search, if that lowers the
        objective. ``"published"``: as the paper does it, with its thresholds and one step for all
        (:mod:`identify.splitting.published`); then ``most`` and ``threshold`` are not used.
    """

    every: int = 1000
    most: int = 4
    cap: float = 2.0
    threshold: float = 1e-7
    rule: str = "best"

    def __post_init__(self) -> None:
        choice("rule", self.rule, SPLITTING_RULES)
        if not (self.every >= 1 and self.most >= 1 and self.cap > 1 and self.threshold >= 0):
            raise InputError(f"splitting: received {self}, expected every >= 1, most >= 1, cap > 1 and threshold >= 0")


@dataclass(frozen=True, eq=False)
class Trial:
    """One run of an attack: its end point, and the objective on the way."""

    seed: int
    X: Float[np.ndarray, "k d"]
    c: Float[np.ndarray, "k q"]
    value: float
    distance: float
    """The first term of the objective: squared residual of stationarity."""
    history: Float[np.ndarray, "blocks 2"]
    """Numbers of completed iterations, and the objective there."""
    splits: tuple[Split, ...] = ()
    """The gain and the iteration of each split; ``resumed`` is the objective at the next check."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The hyper-parameters of this run."""
    agreement: float = np.nan
    """Share of the candidates that lie within 5 % of one of another run; nan with one run."""

    @property
    def iterations(self) -> int:
        return int(self.history[-1, 0])

    @property
    def parents(self) -> Int[np.ndarray, " k"]:
        """The candidate from which each was split; -1 for those of the start. A split leaves its first child in the place of the parent."""
        return np.concatenate([np.full(len(self.X) - len(self.splits), -1), [each.candidate for each in self.splits]]).astype(int)

    @property
    def ancestors(self) -> Int[np.ndarray, " k"]:
        """The candidate of the start from which each descends."""
        found = np.arange(len(self.X))
        for child, parent in enumerate(self.parents):
            if parent >= 0:
                found[child] = found[parent]
        return found

    @property
    def born(self) -> Int[np.ndarray, " k"]:
        """The iteration of the split that made each candidate; 0 for those of the start."""
        return np.concatenate([np.zeros(len(self.X) - len(self.splits)), [each.iteration for each in self.splits]]).astype(int)

    def lineage(
        self,
        X: Float[np.ndarray, "n d"] | None = None,
        *,
        mean: Float[np.ndarray, " d"] | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> bytes:
        """Draw which candidate was split when, and how near the candidates ended to the data, as PNG bytes.

        Every candidate is a line over the iterations, which branches at a split.

        Parameters
        ----------
        X
            The true data: a line has the colour of the relative error of its candidate for the nearest sample (dimensionless). None:
            of the size of its multiplier (units of the multipliers).
        mean
            What was subtracted from the inputs (units of the inputs), added for the pictures.
        shape
            Shape of a sample as an image: then each candidate is shown at the end of its line, with the nearest sample beside it.

        Raises
        ------
        ValueError
            Shapes that do not agree, more than 2000 candidates (60 with pictures), or (as
            :class:`~identify.base.extras.MissingExtraError`) no matplotlib.

        Notes
        -----
        Cost O(k n d). Needs the ``demo`` extra.
        """
        d = self.X.shape[1]
        offset = np.zeros(d) if mean is None else finite_array("mean", mean, (d,), "one number for each input")
        pictures = [] if shape is None else [("found", self.X + offset)]
        sizes = np.linalg.norm(self.c, axis=1)
        if X is None:
            largest = float(sizes[np.isfinite(sizes)].max(initial=0.0)) or 1.0
            values, label, span = sizes, "size of the multiplier at the end", (0.0, largest)
        else:
            errors = relative_errors(self.X, image_rows("X", X, d))
            values, label, span = errors.min(axis=1), "relative error for the nearest sample at the end", (0.0, 1.0)
            if shape is not None:
                pictures.append(("nearest", np.asarray(X, float)[errors.argmin(axis=1)] + offset))
        return draw_lineage(self.parents, self.born, self.iterations, values, label, span=span, images=pictures, shape=shape)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Runs of an attack, the one with the lowest objective first; after a random search, with the lowest residual of stationarity.

    ``X`` and ``c`` are those of the first. The order does not use the true data; a low objective does not mean that
    the candidates are the data: other candidates may fit as well, or better.
    """

    attack: str
    trials: tuple[Trial, ...]
    diverged: int = 0
    """Number of runs that were left out, because their numbers were not finite."""
    interrupted: Stopped | None = None

    @property
    def X(self) -> Float[np.ndarray, "k d"]:
        return self.trials[0].X

    @property
    def c(self) -> Float[np.ndarray, "k q"]:
        return self.trials[0].c

    @property
    def pooled(self) -> Float[np.ndarray, "all d"]:
        """Candidates of all runs."""
        return np.concatenate([trial.X for trial in self.trials])

    def agreed(self, within: float = SAME) -> tuple[Float[np.ndarray, "groups d"], Float[np.ndarray, " groups"]]:
        """Candidates of all runs in groups, and the share of the runs that found each: votes without the true data.

        A group has the candidates within ``within`` (relative, at least 0) of its first, which comes from the run with the lowest
        objective; the mean represents the group. Most votes first. Raises ValueError for a negative ``within``.
        """
        within = number("within", within)
        left = [(trial.seed, x) for trial in self.trials for x in trial.X]
        groups: list[tuple[float, np.ndarray]] = []
        while left:
            first = left[0][1]
            near = [np.linalg.norm(x - first) <= within * np.linalg.norm(first) for _, x in left]
            members = [each for each, is_near in zip(left, near, strict=True) if is_near]
            groups.append((len({seed for seed, _ in members}) / len(self.trials), np.mean([x for _, x in members], axis=0)))
            left = [each for each, is_near in zip(left, near, strict=True) if not is_near]
        groups.sort(key=lambda group: -group[0])
        return np.array([x for _, x in groups]), np.array([votes for votes, _ in groups])

    def __repr__(self) -> str:
        best = self.trials[0]
        return (
            f"Reconstruction({self.attack}: {len(best.X)} candidates, objective {best.value:.2g}, stationarity {best.distance:.2g}, "
            f"best of {len(self.trials)} runs)"
        )

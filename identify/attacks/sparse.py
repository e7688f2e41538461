r"""Vectors with many zeros in a column space: samples by the neurons that never saw them.

A neuron that a sample never activates is not moved by it, however long training takes: in :math:`\Delta = \sum_i u_i (x_i, 1)^\top`
its entry of :math:`u_i` is exactly zero. So the columns :math:`u_i` are vectors of the column space with far more zeros than the r - 1
that any r - 1 rows of a matrix of rank r can force, and the sparsest independent ones are the columns, unless others are sparser.
Two searches:

1. *Row sets* (Dimitrov et al. 2024, *NeurIPS* 37, for one gradient). Of r rows, r - 1 fix a vector: all r of them by one inverse. Found are
   samples that are unseen by the rows drawn, so the number of draws grows exponentially in r.
2. *Reweighting.* The vector of unit length with the least sum of logarithms of its entries, from random starts: the smallest
   eigenvector for weights :math:`1 / (v_j^2 + \epsilon^2)`, with a width that shrinks. At first it keeps away from what is known.

*Confirmation.* Each of the zeros that fix a vector must follow from the others: if one does not, the vector is one of a family. Those
that are confirmed are taken greedily, most zeros first, which gives the sparsest basis of all that were found (they form a matroid).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

WORK, MOST_SETS, LARGEST_SET = 2e6, 4000, 20
"""Row sets of a start: work over r^3, at most so many; and the dimension up to which they are drawn: beyond, hardly any finds a vector."""
ENDS, HELD = 40, (10, 40)
"""Starts of reweighting at a time, and the rounds, at least and at most, in which they keep away from known vectors."""
WIDTHS = 2 * np.concatenate([0.9 ** np.arange(90), 0.9**89 * 0.3 ** np.arange(1, 9)])
"""Width in each round, relative to the size of an entry."""
LATE = 30
"""Round from which a vector that is nearly known goes on."""
SIGMAS = 4.0
TOLERANCE = 1e-8
"""An entry is zero within so many standard deviations of its error, and at least this: entries are about one."""
MORE = 2
"""Zeros beyond the r - 1 that any rows force from which on a vector is looked at."""
ALONE = 0.95
"""Leverage of a row, from 0 to 1, from which on its zero is not confirmed by the others."""
INDEPENDENT = 1e-5
"""Relative singular value from which on vectors are independent."""
DIGITS = 6
"""To which vectors are compared before anything else."""
UNCONFIRMED = 300
"""Vectors of a start that are not confirmed, after which no more are tried."""
SINGULAR = 1e-13
AT_ONCE = 2e8
"""Products of a round of reweighting between two looks at the clock."""


@dataclass(eq=False)
class SparseSearch:
    """The search in one matrix. ``points`` are the sparsest independent vectors so far, as combinations of its columns."""

    rows: Float[np.ndarray, "p r"]
    """Distinct rows, each of unit length."""
    noise: Float[np.ndarray, " p"]
    """Standard deviation of the errors in a row, before the coordinates."""
    back: Float[np.ndarray, "r r"]
    """From these coordinates to those before them."""
    points: list[np.ndarray] = field(default_factory=list)
    met: list[int] = field(default_factory=list)
    starts: int = 0
    unchanged: int = 0
    """Starts since the points changed."""

    def __post_init__(self) -> None:
        self.white, self.to_white = np.linalg.qr(self.rows)

    @property
    def forced_rows(self) -> int:
        """Rows in which some vector of any matrix is zero."""
        return self.rows.shape[1] - 1

    @property
    def is_complete(self) -> bool:
        return len(self.points) == self.rows.shape[1]

    def near(self, c: Float[np.ndarray, "k r"]) -> Bool[np.ndarray, "k p"]:
        """Which entries are zero."""
        error = SIGMAS * np.linalg.norm(c @ self.back.T, axis=1)[:, None] * self.noise
        return np.abs(c @ self.rows.T) < np.maximum(error, TOLERANCE * np.linalg.norm(c, axis=1)[:, None])

    def exact(self, c: Float[np.ndarray, "k r"]) -> Bool[np.ndarray, "k p"]:
        """All of them: zeros have no other tolerance than the noise."""
        return self.near(c)

    def start(self, rng: np.random.Generator, go_on: Callable[[], bool] = lambda: True) -> None:
        self.starts += 1
        p, r = self.rows.shape
        if p <= r:
            return
        before = list(self.met)
        if r <= LARGEST_SET:
            self.take(self.forced(rng))
        if go_on():
            self.take(self.reweighted(rng, go_on))
        self.unchanged = self.unchanged + 1 if self.met == before else 0

    def forced(self, rng: np.random.Generator) -> Float[np.ndarray, "k r"]:
        """Vectors that are zero in all but one of r random rows."""
        p, r = self.rows.shape
        count = int(min(WORK / r**3, MOST_SETS))
        sets = self.rows[rng.integers(p, size=(count, r))] * r**0.5
        sets = sets[np.abs(np.linalg.det(sets)) > SINGULAR]
        return _unit(np.linalg.inv(sets).transpose(0, 2, 1).reshape(-1, r)) if len(sets) else np.zeros((0, r))

    def reweighted(self, rng: np.random.Generator, go_on: Callable[[], bool] = lambda: True) -> Float[np.ndarray, "k r"]:
        """Ends of descents from random vectors and random rows, or the points that they have reached when time is over."""
        r = self.rows.shape[1]
        held, away = int(rng.integers(*HELD)), np.eye(r)
        if 0 < len(self.points) < r:
            away = np.linalg.svd(np.array(self.points) @ self.to_white.T)[2][len(self.points) :]
        rows = self.white[rng.integers(len(self.white), size=ENDS)]  # a row is large in the columns that are not zero in it
        c = _unit(np.where(np.arange(ENDS)[:, None] % 2, rows, _unit(rng.standard_normal((ENDS, r)))) @ away.T @ away)
        for k in range(len(WIDTHS)):
            base = away if k < held else np.eye(r)
            for part in np.array_split(np.arange(ENDS), min(ENDS, 1 + int(ENDS * len(self.rows) * len(base) ** 2 / AT_ONCE))):
                if not go_on():
                    return _unit(np.linalg.solve(self.to_white, c.T).T)
                c[part] = self.step(c[part], k, base)
        return _unit(np.linalg.solve(self.to_white, c.T).T)

    def step(self, c: Float[np.ndarray, "k r"], k: int, base: Float[np.ndarray, "b r"]) -> Float[np.ndarray, "k r"]:
        """Unit vectors spanned by the base, in coordinates of ``white``, with the least sum of squares for the weights of round k at c."""
        rows = self.white @ base.T
        weights = 1 / ((c @ self.white.T) ** 2 + (WIDTHS[k] / len(self.rows) ** 0.5) ** 2)
        return np.linalg.eigh(np.matmul(rows.T * weights[:, None, :], rows))[1][:, :, 0] @ base

    def take(self, c: Float[np.ndarray, "k r"]) -> None:
        """The sparsest confirmed independent vectors of these and those that are known."""
        r = self.rows.shape[1]
        zeros = self.near(c).sum(axis=1)
        c, zeros = c[zeros >= r - 1 + MORE], zeros[zeros >= r - 1 + MORE]
        c = c * np.sign(c[np.arange(len(c)), np.abs(c).argmax(axis=1)])[:, None]
        first = np.unique(np.round(c, DIGITS), axis=0, return_index=True)[1]
        known = len(self.points)
        points, met = [*self.points, *c[first]], np.array([*self.met, *zeros[first]], int)
        chosen: list[int] = []
        failed = 0
        for i in np.argsort(-met, kind="stable"):
            if len(chosen) == r or failed > UNCONFIRMED:
                break
            scale = np.linalg.svd(np.array([*(points[k] for k in chosen), points[i]]), compute_uv=False)
            if scale[-1] <= INDEPENDENT * scale[0]:
                continue
            if i < known or self.is_confirmed(points[i]):
                chosen.append(int(i))
            else:
                failed += 1
        self.points, self.met = [points[i] for i in chosen], [int(met[i]) for i in chosen]

    def of_pattern(self, on: Bool[np.ndarray, " p"]) -> Float[np.ndarray, " r"] | None:
        """The vector that is zero in most rows outside these, if zeros fix one."""
        off, r = self.white[~on], self.rows.shape[1]
        if len(off) < r:
            return None
        c = np.linalg.svd(off)[2][-1:]
        for k in range(LATE, len(WIDTHS)):
            c = self.step(c, k, np.eye(r))
        c = _unit(np.linalg.solve(self.to_white, c.T).T)[0]
        return c if self.near(c[None]).sum() >= r - 1 + MORE and self.is_confirmed(c) else None

    def is_confirmed(self, c: Float[np.ndarray, " r"]) -> bool:
        """Whether the rows in which it is zero fix it, even without any one of them."""
        left, scale, _ = np.linalg.svd(self.rows[self.near(c[None])[0]], full_matrices=False)
        rank = int((scale > INDEPENDENT * scale[0]).sum()) if len(scale) else 0
        kept = min(self.rows.shape[1] - 1, left.shape[1])
        return rank >= len(c) - 1 and bool((left[:, :kept] ** 2).sum(axis=1).max() < ALONE)

    def ordered(self) -> tuple[Float[np.ndarray, "k r"], Int[np.ndarray, " k"]]:
        return np.array(self.points).reshape(-1, self.rows.shape[1]), np.array(self.met, int)


def _unit(c: Float[np.ndarray, "k r"]) -> Float[np.ndarray, "k r"]:
    return c / np.maximum(np.linalg.norm(c, axis=1)[:, None], np.finfo(float).tiny)

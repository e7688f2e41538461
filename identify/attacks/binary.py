r"""Vectors of zeros and ones in a column space: the combinatorial part of decoding a matrix factor with binary entries.

Of a matrix Y of rank r, find all c with :math:`Y c \in \{0, 1\}^m`. Any r independent rows of Y fix c, so the :math:`2^r` patterns of
zeros and ones on these rows hold every such c (Slawski, Hein & Lutsik 2013, *NeurIPS* 26, for the affine hull). They are enumerated;
each is tried on other rows first, and the best on all of them.

*Errors.* A vector that is 0 or 1 in most rows only is found from r rows in which it is. Row sets are drawn again and again (random
sample consensus: Fischler & Bolles 1981), so a share :math:`\epsilon` of errors needs about :math:`(1 - \epsilon)^{-r}` of them. Least
squares over the rows near 0 or 1, which are chosen anew until they stay, and then with weights that narrow, ends each candidate.

*Evidence.* Rows that are equal are one row here: a row confirms a vector only if it could have said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import qr

MOST = 24
"""Largest rank: 2^24 patterns for each row set."""
BLOCK = 13
"""Patterns are tried 2^13 at a time, between two looks at the clock."""
TRIED, TRIED_MORE = 12, 2.0
"""Rows on which every pattern is tried: so many, and so many more for each dimension."""
KEPT, KEPT_MORE = 8, 4
"""Patterns of a row set that are tried on all rows: so many, and so many more for each dimension."""
ROUNDS = 12
"""Of trimmed least squares, at most."""
SIGMAS, WIDEST = 3.0, 0.2
"""An entry is at 0 or 1 within the tolerance, or so many standard deviations of its error; beyond WIDEST it says nothing."""
NARROWING = 12
"""Steps of reweighting after them, in each of which errors weigh less: exact rows end with all the weight."""
FINE, TELLING = 0.02, 0.25
"""An entry is exact within this part of the tolerance, or the noise if that is at most the other part."""
MOSTLY = 0.6
"""Share of the rows in which a vector must be at 0 or 1."""
STILL = 0.9
"""Share of the rows near 0 or 1 that must be left after this: exact rows may be fewer than those within the tolerance of a bent vector."""
WITHIN = 1e-9


@dataclass(eq=False)
class BinarySearch:
    """The search in one matrix, one row set at a time."""

    rows: Float[np.ndarray, "p r"]
    """Distinct rows of Y, in coordinates in which its columns are about orthonormal."""
    noise: Float[np.ndarray, " p"]
    """Standard deviation of the errors in a row, before the coordinates."""
    back: Float[np.ndarray, "r r"]
    """From these coordinates to those before them."""
    tolerance: float
    points: list[np.ndarray] = field(default_factory=list)
    met: list[int] = field(default_factory=list)
    starts: int = 0
    unchanged: int = 0

    def __post_init__(self) -> None:
        self._near = self._bits = np.zeros((0, len(self.rows)), bool)

    def near(self, c: Float[np.ndarray, "k r"]) -> Bool[np.ndarray, "k p"]:
        """Which entries of Y c are at zero or one."""
        error = SIGMAS * np.linalg.norm(c @ self.back.T, axis=1)[:, None] * self.noise
        distance = np.abs(np.abs(c @ self.rows.T - 0.5) - 0.5)
        return (distance < np.maximum(error, self.tolerance)) & (error < WIDEST)

    def exact(self, c: Float[np.ndarray, "k r"]) -> Bool[np.ndarray, "k p"]:
        """Which of them are so down to the noise; none in rows whose noise is too large to tell."""
        error = SIGMAS * np.linalg.norm(c @ self.back.T, axis=1)[:, None] * self.noise
        distance = np.abs(np.abs(c @ self.rows.T - 0.5) - 0.5)
        return (distance < np.maximum(error, self.tolerance * FINE)) & (error < self.tolerance * TELLING)

    def start(self, rng: np.random.Generator, go_on: Callable[[], bool] = lambda: True) -> None:
        """All patterns on one row set, drawn at random and well conditioned; less if the clock ends it."""
        self.starts += 1
        p, r = self.rows.shape
        weights = np.exp(-rng.exponential(size=p)) if self.starts > 1 else np.ones(p)
        chosen = qr((self.rows * weights[:, None]).T, mode="economic", pivoting=True)[2][:r]
        to_points = np.linalg.pinv(self.rows[chosen], rcond=WITHIN)
        others = np.setdiff1d(np.arange(p), chosen)
        if not len(others):
            return
        tried = rng.permutation(others)[: int(TRIED + TRIED_MORE * r)]
        bits = self._best((self.rows[tried] @ to_points).astype(np.float32), go_on)
        for c in self._confirmed(bits @ to_points.T):
            self.add(*self.refined(c))

    def _best(self, maps: Float[np.ndarray, "t r"], go_on: Callable[[], bool]) -> Float[np.ndarray, "k r"]:
        """The patterns, not zero, with most of the tried rows at zero or one."""
        r = maps.shape[1]
        low = min(r, BLOCK)
        lower, upper = _patterns(low), r - low
        shared = maps[:, :low] @ lower.T
        keep, best, counts = KEPT + KEPT_MORE * r, np.zeros((0, r), np.float32), np.zeros(0, int)
        for number in range(1 << upper):
            if number and not go_on():
                break
            above = ((number >> np.arange(upper)) & 1).astype(np.float32)
            values = shared + (maps[:, low:] @ above)[:, None]
            count = (np.abs(np.abs(values - 0.5) - 0.5) < self.tolerance).sum(axis=0)
            if number == 0:
                count[0] = -1  # the zero vector
            order = np.argpartition(-count, keep)[:keep] if len(count) > keep else np.arange(len(count))
            if len(best) == keep:
                order = order[count[order] > counts.min()]
            new = np.column_stack([lower[order], np.tile(above, (len(order), 1))])
            best, counts = np.concatenate([best, new]), np.concatenate([counts, count[order]])
            last = np.argsort(-counts, kind="stable")[:keep]
            best, counts = best[last], counts[last]
        return best[counts >= 0].astype(float)

    def _confirmed(self, c: Float[np.ndarray, "k r"]) -> Float[np.ndarray, "k r"]:
        """Those with more rows at zero or one than unknowns."""
        return c[self.near(c).sum(axis=1) > self.rows.shape[1]]

    def refined(self, c: Float[np.ndarray, " r"]) -> tuple[Float[np.ndarray, " r"], int]:
        """The end of trimmed least squares from c, then of narrowing weights, and the number of its rows at zero or one."""
        near = self.near(c[None])[0]
        best, most = c, int(near.sum())
        for _ in range(ROUNDS):
            new = self.fitted(best, near)
            again = self.near(new[None])[0]
            if again.sum() < most:
                break
            best, most = new, int(again.sum())
            if (again == near).all():
                break
            near = again
        least = best
        for k in range(NARROWING):
            least = self.fitted(least, near, self.tolerance / 4 ** (k + 1))
        kept = int(self.near(least[None])[0].sum())
        return (least, kept) if kept >= STILL * most else (best, most)

    def fitted(self, c: Float[np.ndarray, " r"], near: Bool[np.ndarray, " p"], width: float | None = None) -> Float[np.ndarray, " r"]:
        """Least squares for the zeros and ones that c has in these rows; with a width, rows that are farther off weigh less."""
        rows = self.rows[near]
        values = rows @ c
        bits = values > 0.5
        error = self.noise[near] * np.linalg.norm(self.back @ c)
        weights = 1 / np.hypot(error, self.tolerance / 10 if width is None else np.hypot(values - bits, width))
        return np.linalg.lstsq(rows * weights[:, None], bits * weights, rcond=WITHIN)[0]

    def add(self, c: Float[np.ndarray, " r"], met: int) -> None:
        """Keep it, unless it is zero or equal to one that is known: of these the one with more rows stays."""
        near, bits = self.near(c[None])[0], self.bits(c)
        if not bits[near].any():
            return
        if self.points:
            both = self._near & near
            equal = both.any(axis=1) & ~((self._bits ^ bits) & both).any(axis=1)
            if equal.any():
                k = int(equal.argmax())
                if met > self.met[k]:
                    self.points[k], self.met[k], self._near[k], self._bits[k] = c, met, near, bits
                return
        self.points.append(c)
        self.met.append(met)
        self._near, self._bits = np.vstack([self._near, near]), np.vstack([self._bits, bits])

    def of_pattern(self, on: Bool[np.ndarray, " p"]) -> Float[np.ndarray, " r"]:
        """The vector that is one in these rows and zero in the others, with errors in some."""
        c = np.linalg.lstsq(self.rows, on.astype(float), rcond=WITHIN)[0]
        for k in range(NARROWING):
            weights = 1 / np.hypot(self.rows @ c - on, self.tolerance * 2.0 ** (2 - k))
            c = np.linalg.lstsq(self.rows * weights[:, None], on * weights, rcond=WITHIN)[0]
        return self.refined(c)[0]

    @property
    def forced_rows(self) -> int:
        """Rows that say nothing: some vector of any matrix is zero or one in r of them, and mixtures of true columns in about half."""
        return max(self.rows.shape[1], int(MOSTLY * len(self.rows)))

    @property
    def is_complete(self) -> bool:
        """Never: other vectors of zeros and ones may exist."""
        return False

    def bits(self, c: Float[np.ndarray, "*k r"]) -> Bool[np.ndarray, "*k p"]:
        return c @ self.rows.T > 0.5

    def ordered(self) -> tuple[Float[np.ndarray, "k r"], Int[np.ndarray, " k"]]:
        """All vectors, those with most rows at zero or one first."""
        order = np.argsort(-np.array(self.met, int), kind="stable")
        return np.array(self.points).reshape(-1, self.rows.shape[1])[order], np.array(self.met, int)[order]


def distinct(rows: Float[np.ndarray, "m r"], within: float) -> Int[np.ndarray, " p"]:
    """Rows that differ from zero and from each other by more than ``within``, the longest first."""
    kept: list[int] = []
    lengths = np.linalg.norm(rows, axis=1)
    for j in np.argsort(-lengths, kind="stable"):
        if lengths[j] > within and (not kept or np.linalg.norm(rows[kept] - rows[j], axis=1).min() > within):
            kept.append(int(j))
    return np.array(kept, int)


def _patterns(bits: int) -> Float[np.ndarray, "patterns bits"]:
    return ((np.arange(1 << bits)[:, None] >> np.arange(bits)) & 1).astype(np.float32)

r"""Samples as vertices: points of the affine hull of the data at which more inputs are at a limit than chance explains.

The rows :math:`(w_j, b_j)` of the first layer of a trained network span its data :math:`(x_i, 1)`, up to what training left of the initial
values, whatever the depth and the activation. The points x with (x, 1) in this row space are the affine hull of the samples, of
dimension r; without biases it is their linear span, which holds every multiple of a sample, and zero. The points with all inputs
between their limits are a polytope. At an ordinary vertex r inputs are at a limit. Many inputs of an image with a background are at one
(black, white), often more than r: the image is a *degenerate* vertex, and in a space in general position no other point has that many.
So the number of limits that a point meets is evidence that does not need the data, to be compared with the number at vertices of the
same space with shuffled limits, where no sample is one.

1. *Starts.* In few dimensions every other one is the farthest point in a random direction, by linear programming. The others are ends of
   iteratively reweighted least squares, as in :mod:`~identify.attacks.kinks`, from random weights. Some random inputs are held at
   their upper limit at first, rather those that known vertices do not have: most would end at the same few sparse points.
2. *Vertex.* r inputs of those near a limit, drawn at random, fix a point; of many draws the one with most inputs at a limit stays
   (random sample consensus: Fischler & Bolles 1981, *Comm. ACM* 24), then least squares over all of these.
3. *Confirmation.* A point on a face that several samples span has the limits that they share, and meets one more wherever the face ends:
   that one is confirmed by no other. So is one of leverage 1 in the least squares over all limits that a point meets.
4. *Tolerance.* A basis vector of size :math:`\sigma_i` in the weights has errors of noise / :math:`\sigma_i` in each input, so a point with
   coordinates v counts an input as at its limit within :math:`4\, \mathrm{noise}\, \|v / \sigma\|`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from identify.attacks.mlp import MLP
from identify.attacks.rows import row_space
from identify.base.errors import InputError
from identify.base.limits import Clock
from identify.base.norms import exponent, scaled
from identify.base.options import positive, valid_seed, whole
from identify.problem.arrays import input_limits
from identify.problem.network import Network, check_network

ROUNDS, HELD_ROUNDS = 40, (10, 21)
"""Rounds of reweighting, and how many of them, at least and at most, have random weights and inputs that are held."""
WIDEST, SHRINK, NARROWEST = 0.3, 0.87, 0.01
"""Width of the logarithms, relative to the range of the inputs: at first, from round to round, and at least."""
SPREAD = 1.0
"""Standard deviation of the logarithm of the random weights."""
MOST_HELD, AVOID = 4, 2.0
"""Inputs held at their upper limit, at most; each is drawn in proportion to a power, between zero and minus this, of the number of known
vertices that are bright there, plus one."""
NOTABLE = 3
"""A vertex is known in this sense if it meets so many limits more than r."""
FEW = 12
"""Dimensions up to which there are starts by linear programming."""
HOLD = 1e3
"""Weight of an input that is held, relative to the largest."""
DRAWS, DRAW_ROUNDS = 100, 4
DRAW_WORK = 2e7
"""Numbers in the matrices of all draws of a round, at most."""
FEWEST_DRAWS = 8
NEAR, NEARER = 0.03, 0.01
"""Distance from a limit at which an input is drawn a quarter as often as at the limit: in the first rounds of draws, and in the others."""
SIGMAS, LEAST_TOLERANCE, MOST_TOLERANCE = 4.0, 2e-3, 0.05
"""Tolerance in standard deviations of the noise, and its range relative to that of the inputs."""
OUTSIDE = 2.0
"""An input beyond its limits by that many tolerances counts against a vertex; twice."""
LIVE, LIVE_SIGMAS = 0.01, 1.5
"""Norm of a column of the basis below which an input does not vary, and says nothing: at least, and relative to its noise."""
ALONE = 0.95
"""Leverage, from 0 to 1, from which on an input at its limit is not confirmed by the others: without it they would not fix the point."""
FIXED = 1e-6
"""Relative singular value below which limits do not fix a direction."""
RIDGE = 1e-12
"""Added to the diagonals of normal equations, relative to their trace."""
SAME = 0.1
"""Relative distance below which two candidates count as one."""
CONTROL = 4
"""One start in so many is made with shuffled limits."""


@dataclass(frozen=True, eq=False)
class Vertices:
    """Distinct candidates, those with most inputs at a limit first.

    Attributes
    ----------
    X
        The candidates.
    met
        Number of inputs at a limit, within the tolerance, less two for each that is beyond: at least ``dimension`` at any vertex.
    leverage
        Largest leverage of an input at a limit, from 0 to 1: 1 if the others alone would not fix the point.
    chance
        The largest such number found with shuffled limits; -1 without a control.
    dimension
        r, of the affine hull; without biases of the row space.
    live
        Number of inputs that vary there.
    starts
        Starts that were made, control included.
    interrupted
        Whether the budget or a keyboard interrupt ended the search.
    """

    X: Float[np.ndarray, "k d"]
    met: Int[np.ndarray, " k"]
    leverage: Float[np.ndarray, " k"]
    chance: int
    dimension: int
    live: int
    starts: int
    seed: int
    interrupted: bool = False

    @property
    def credible(self) -> Bool[np.ndarray, " k"]:
        """Candidates that meet more limits than any vertex did by chance, each confirmed by the others: evidence, and no proof.

        The control is the smaller part of the starts, so a point that meets one or two more may be chance: an audit asks for three.
        """
        return (self.met > self.chance) & (self.leverage < ALONE)

    def __repr__(self) -> str:
        return (
            f"Vertices({len(self.X)} candidates in {self.dimension} dimensions, {int(self.credible.sum())} of them credible: more than "
            f"{self.chance} limits, each confirmed by the others; from {self.starts} starts)"
        )


def vertices(
    network: Network | MLP,
    low: ArrayLike,
    high: ArrayLike,
    *,
    noise: float = 0.0,
    dimension: int | None = None,
    starts: int = 2000,
    seed: int = 0,
    budget: float | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Vertices:
    """Points in the affine hull of the data, as the first layer has it, at which unusually many inputs are at a limit.

    Parameters
    ----------
    network
        Of any depth and activation; only its first layer is read.
    low, high
        Limits of the network's inputs: for pixels in [0, 1] minus a mean, 0 - mean and 1 - mean. One number, or (d,).
    noise, dimension
        The rest of the initial values in each weight (standard deviation, units of the weights), or the dimension of the row space of
        weights and biases instead: see :func:`~identify.attacks.rows.row_space`.
    starts
        Number of random starts, at least 1. One in four is a control, with shuffled limits, as long as there are four.
    seed
        Of these starts, from 0 to 2^53 - 1.
    budget
        Seconds of wall-clock time; when it is spent, or at a keyboard interrupt, the candidates so far are returned.

    Raises
    ------
    InputError
        For limits that do not enclose an interval, numbers out of range, or a first layer without a direction above its noise.

    Notes
    -----
    Cost of a start: O(40 d r^2) for r dimensions, and O(400 r^2 (r + d)) for a new vertex.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(0.2, 0.8, (3, 30)) * (rng.uniform(size=(3, 30)) < 0.4)
    >>> signals = rng.standard_normal((8, 3))
    >>> net = Network([signals @ X, np.ones((1, 8))], biases=[signals.sum(axis=1), None], activation="gelu")
    >>> found = vertices(net, 0, 1, starts=40)
    >>> [bool((abs(found.X - x).max(axis=1) < 1e-9).any()) for x in X]
    [True, True, True]
    """
    check_network("network", network)
    lowest, highest = input_limits(low, high, network.n_inputs)
    starts, seed = whole("starts", starts), valid_seed(seed)
    budget = None if budget is None else positive("budget", budget, unit="seconds")
    hull = _Hull.of(network, noise, dimension)
    live = np.linalg.norm(hull.basis, axis=0) > max(LIVE, LIVE_SIGMAS * float(np.linalg.norm(hull.errors)))
    if not live.any():
        raise InputError(f"noise: received {noise:g}, and beside so much noise no input varies in the row space; expected a smaller number")
    rng, clock = np.random.default_rng(seed), Clock(deadline=None if budget is None else time.monotonic() + budget)
    shuffle = rng.permutation(int(live.sum()))
    search, control = (
        _Search(
            hull.basis[:, live], hull.errors, hull.error, (lowest - hull.origin)[live][o], (highest - hull.origin)[live][o], hull.linear
        )
        for o in (slice(None), shuffle)
    )
    stopped = False
    for done in range(starts):
        if done and not clock.go_on():
            stopped = True
            break
        try:
            (control if done % CONTROL == CONTROL - 1 else search).start(rng)
        except KeyboardInterrupt:
            stopped = True
            break
        if done % 100 == 0:
            progress(f"vertices: {done} of {starts} starts, {len(search.points)} vertices")
    points, met = search.distinct()
    leverage = np.array([search.leverage(u) for u in points])
    return Vertices(
        points @ hull.basis + hull.origin,
        met,
        leverage,
        max(control.met, default=-1),
        len(hull.basis),
        int(live.sum()),
        search.starts + control.starts,
        seed,
        stopped,
    )


@dataclass(frozen=True, eq=False)
class _Hull:
    """The points origin + u basis, and the relative errors error + u errors of their coordinates in the row space."""

    basis: Float[np.ndarray, "r d"]
    origin: Float[np.ndarray, " d"]
    errors: Float[np.ndarray, "r directions"]
    error: Float[np.ndarray, " directions"]
    linear: bool = False

    @classmethod
    def of(cls, network: Network | MLP, noise: float, dimension: int | None) -> _Hull:
        W, b = network.parameters["W1"], network.parameters.get("b1")
        if b is None:
            rows = row_space(W, noise=noise, dimension=dimension)
            return cls(rows, np.zeros(W.shape[1]), np.diag(_relative(noise, W, rows)), np.zeros(len(rows)), True)
        lifted = np.column_stack([W, b])
        rows = row_space(lifted, noise=noise, dimension=dimension)
        errors, ones = _relative(noise, lifted, rows), rows[:, -1]
        if len(rows) < 2 or np.linalg.norm(ones) < LIVE:
            raise InputError(
                f"network: received a first layer of rank {len(rows)} above its noise, whose rows hold no line of points (x, 1); "
                "expected a trained network, or less noise"
            )
        first = ones / (ones @ ones)
        along = np.linalg.svd(ones[None])[2][1:]
        return cls(along @ rows[:, :-1], first @ rows[:, :-1], along * errors, first * errors)


@dataclass(eq=False)
class _Search:
    """Vertices with these limits, one start at a time; all arrays are those of the inputs that vary."""

    basis: Float[np.ndarray, "r p"]
    errors: Float[np.ndarray, "r directions"]
    error: Float[np.ndarray, " directions"]
    """Noise in the coordinates of a point u is error + u errors, relative to their sizes."""
    low: Float[np.ndarray, " p"]
    high: Float[np.ndarray, " p"]
    linear: bool = False
    """Whether the space holds zero and all multiples of a point: then zero is none, and one input of a start stays held."""
    points: list[np.ndarray] = field(default_factory=list)
    met: list[int] = field(default_factory=list)
    seen: list[np.ndarray] = field(default_factory=list)
    """Ends of starts: one that ended there before is not refined again."""
    starts: int = 0

    @property
    def range(self) -> float:
        return float((self.high - self.low).mean())

    def start(self, rng: np.random.Generator) -> None:
        self.starts += 1
        far = self.starts % 2 and len(self.basis) <= FEW
        u = self.farthest(rng) if far else self.reweighted(rng, self.held(rng))
        if any(np.linalg.norm(u - other) < 1e-3 * np.linalg.norm(u) for other in self.seen):
            return
        self.seen.append(u)
        u, met = self.vertex(u, rng)
        self.points.append(u)
        self.met.append(met)

    def farthest(self, rng: np.random.Generator) -> Float[np.ndarray, " r"]:
        """The point of the polytope, a little enlarged, that is farthest in a random direction; zero if there is none."""
        slack, rows = LEAST_TOLERANCE * self.range, self.basis.T
        limits = np.concatenate([self.high + slack, slack - self.low])
        found = linprog(rng.standard_normal(len(self.basis)), np.vstack([rows, -rows]), limits, bounds=(None, None), method="highs-ds")
        return np.zeros(len(self.basis)) if found.x is None else found.x

    def held(self, rng: np.random.Generator) -> Int[np.ndarray, " q"]:
        """Inputs to be held at their upper limit, rather those at which few known vertices are near it."""
        bright = np.zeros(len(self.low))
        for u, met in zip(self.points, self.met, strict=True):
            if met >= len(self.basis) + NOTABLE:
                bright += u @ self.basis > (self.low + self.high) / 2
        weights = (1 + bright) ** -(AVOID * rng.integers(0, 2))
        count = min(int(rng.integers(1, MOST_HELD + 1)), len(self.low))
        return rng.choice(len(self.low), count, replace=False, p=weights / weights.sum())

    def reweighted(self, rng: np.random.Generator, held: Int[np.ndarray, " q"]) -> Float[np.ndarray, " r"]:
        """The end of a start: least squares on the limits, with the weights of logarithms whose width shrinks."""
        u, random = np.zeros(len(self.basis)), np.exp(SPREAD * rng.standard_normal(len(self.low)))
        held_rounds = rng.integers(*HELD_ROUNDS)
        for k in range(ROUNDS):
            width, x = self.range * max(WIDEST * SHRINK**k, NARROWEST), u @ self.basis
            to_low = (random if k < held_rounds else 1.0) / (np.maximum(x - self.low, 0) ** 2 + width**2)
            to_high = 1 / (np.maximum(self.high - x, 0) ** 2 + width**2)
            if k >= held_rounds:
                held = held[:1] if self.linear else held[:0]
            if held.size:
                to_low[held], to_high[held] = 0.0, HOLD * (to_low + to_high).max()
            matrix = (self.basis * (to_low + to_high)) @ self.basis.T
            u = np.linalg.solve(_ridged(matrix), self.basis @ (to_low * self.low + to_high * self.high))
        return u

    def tolerances(self, u: Float[np.ndarray, "*k r"]) -> Float[np.ndarray, "*k"]:
        noise = SIGMAS * np.linalg.norm(self.error + u @ self.errors, axis=-1)
        return np.clip(noise, LEAST_TOLERANCE * self.range, MOST_TOLERANCE * self.range)

    def gaps(self, u: Float[np.ndarray, "*k r"]) -> Float[np.ndarray, "*k p"]:
        """Distances from the nearer limit, negative beyond it."""
        x = u @ self.basis
        return np.minimum(x - self.low, self.high - x)

    def count(self, u: Float[np.ndarray, "*k r"]) -> Int[np.ndarray, "*k"]:
        gaps, tolerance = self.gaps(u), self.tolerances(u)[..., None]
        met = (np.abs(gaps) < tolerance).sum(axis=-1) - 2 * (gaps < -OUTSIDE * tolerance).sum(axis=-1)
        return np.where(np.abs(u @ self.basis).max(axis=-1) < self.tolerances(u), -1, met) if self.linear else met

    def nearer(self, u: Float[np.ndarray, " r"]) -> Float[np.ndarray, " p"]:
        x = u @ self.basis
        return np.where(x - self.low < self.high - x, self.low, self.high)

    def vertex(self, u: Float[np.ndarray, " r"], rng: np.random.Generator) -> tuple[Float[np.ndarray, " r"], int]:
        """The vertex near u with most inputs at a limit, of those that were drawn, and their number."""
        r, p = self.basis.shape
        best, met = u, int(self.count(u))
        if r >= p:
            return best, met
        draws = int(np.clip(DRAW_WORK / (r * (r + p)), FEWEST_DRAWS, DRAWS))
        for k in range(DRAW_ROUNDS):
            near = self.range * (NEAR if k < DRAW_ROUNDS // 2 else NEARER)
            weights = -2 * np.log(np.abs(self.gaps(best)) + near)
            order = np.argpartition(-weights - rng.gumbel(size=(draws, p)), r - 1, axis=1)[:, :r]
            points = _solved(self.basis.T[order], self.nearer(best)[order])
            counts = self.count(points)
            if len(counts) and counts.max() > met:
                best, met = points[counts.argmax()], int(counts.max())
        for _ in range(DRAW_ROUNDS):
            at = np.abs(self.gaps(best)) < self.tolerances(best)
            if at.sum() < r:
                break
            new = np.linalg.lstsq(self.basis[:, at].T, self.nearer(best)[at], rcond=None)[0]
            if (count := int(self.count(new))) < met:
                break
            best, met = new, count
        return best, met

    def leverage(self, u: Float[np.ndarray, " r"]) -> float:
        """The largest leverage of an input that is at a limit; 1 if they do not fix the point."""
        rows = self.basis[:, np.abs(self.gaps(u)) < self.tolerances(u)]
        if np.linalg.matrix_rank(rows, FIXED * np.linalg.norm(rows)) < len(rows):
            return 1.0
        return float(np.einsum("ap,ap->p", rows, np.linalg.solve(_ridged(rows @ rows.T), rows)).max())

    def distinct(self) -> tuple[Float[np.ndarray, "k r"], Int[np.ndarray, " k"]]:
        """The vertices by the number of limits; of those within SAME of one another only the first."""
        points, met = np.array(self.points), np.array(self.met, int)
        sizes = np.linalg.norm(points @ self.basis, axis=1)
        kept: list[int] = []
        for i in np.argsort(-met, kind="stable"):
            if not kept or (np.linalg.norm((points[kept] - points[i]) @ self.basis, axis=1) > SAME * sizes[i]).all():
                kept.append(int(i))
        return points[kept], met[kept]


def _relative(noise: float, W: Float[np.ndarray, "m columns"], rows: Float[np.ndarray, "r columns"]) -> Float[np.ndarray, " r"]:
    """Errors of the rows of the basis, relative to their sizes in the weights; at most 1, which says nothing about a point."""
    k = exponent(W)
    sizes = np.linalg.norm(scaled(W, -k) @ rows.T, axis=0)
    return np.minimum(scaled(noise, -k) / np.maximum(sizes, np.finfo(float).tiny), 1.0)


def _ridged(matrix: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "r r"]:
    return matrix + RIDGE * np.trace(matrix) * np.eye(len(matrix))


def _solved(matrices: Float[np.ndarray, "k r r"], right: Float[np.ndarray, "k r"]) -> Float[np.ndarray, "found r"]:
    """The solutions of those systems that have one."""
    try:
        solutions = np.linalg.solve(matrices, right[..., None])[..., 0]
    except np.linalg.LinAlgError:  # one of them is singular
        regular = np.abs(np.linalg.slogdet(matrices)[0]) > 0
        solutions = np.linalg.solve(matrices[regular], right[regular][..., None])[..., 0]
    return solutions[np.isfinite(solutions).all(axis=1)]

"""Updates whose noise hides samples from a search for one at a time: all of them together, from rough starts, until noise is left.

In the span that the first update shows, n samples and their multipliers have n (n + C) unknowns, and their normal equations are cheap
(:mod:`~identify.recovery.separation.reduced`). Levenberg-Marquardt from random rows of the first update ends at the batch in a good part
of all starts, and what the batch leaves of each update tells whether it did: nothing that stands out of the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from identify.problem.activation import PiecewiseLinear
from identify.recovery.separation.bends import Fixed, Rounded, better_pieces, with_activations
from identify.recovery.separation.jointly import Observed, Passed, approached, bars, refined
from identify.recovery.separation.subspace import Subspace

FITS = 2.0
"""The spectral norm of what samples leave of an update is at most so many times that of its noise, if they explain it."""
STARTS, WITH_KNOWN = 12, 4
"""Random starts at most, and starts with the samples that are known already."""
CLEAR = 0.2
"""Rows of the first update are divided by their bias if it is above this part of the largest."""
WIDTHS = (1.0, 0.3, 0.1, 0.03, 0.01)
"""Of rounded kinks, relative to the root mean square of the pre-activations of a layer, one after the other."""
CHANGES = 16
"""Changes of pieces, one after the other."""
HASTY = 3
"""Slow steps in a row after which a descent on the way ends."""


@dataclass(frozen=True, eq=False)
class Explained:
    """Samples and multipliers, and how well they explain the updates.

    Attributes
    ----------
    observed
        The updates, of a network whose pieces are fixed if its activations are piecewise linear.
    misfits
        For each update with a subspace, the spectral norm of what the samples leave of it, in units of that of its noise.
    """

    observed: Observed
    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, "n C"]
    misfits: list[float]

    @property
    def fits(self) -> bool:
        """Whether noise is all that is left: a sample that is missing or wrong stands out of it as it does in the update."""
        return max(self.misfits) <= FITS

    def signals(self, layer: int) -> Float[np.ndarray, "n m"]:
        """Those of a layer, by its index, in the sizes of their contributions to its update."""
        at = Passed(self.observed, self.X, self.c)
        return at.backward[0][layer] * np.linalg.norm(_entering(at, layer), axis=1)[:, None]

    def bars(self, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
        """Standard errors of the samples. What a kink on the wrong side leaves beyond the noise counts as noise."""
        own = bars(Passed(self.observed, self.X, self.c), rng)
        has_kinks = any(isinstance(layer.activation, (PiecewiseLinear, Fixed)) for layer in self.observed.stack.layers)
        return own * max(1.0, *self.misfits) if has_kinks else own

    def _is_close(self, spaces: Sequence[Subspace]) -> bool:
        """Whether the samples explain something of each of them: what they leave is smaller than the smallest signal."""
        return all(misfit * space.noise < space.values[-1] for misfit, space in zip(self.misfits, spaces, strict=True))

    @classmethod
    def of(cls, observed: Observed, spaces: Sequence[Subspace], X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Explained:
        """As the samples stand."""
        at = Passed(observed, X, c)
        left = [np.linalg.norm(_rest(at, k), 2) / space.noise for k, space in enumerate(spaces)]
        return cls(observed, X, c, [float(norm) for norm in left])

    @classmethod
    def near(
        cls,
        observed: Observed,
        spaces: Sequence[Subspace],
        X: Float[np.ndarray, "n d"],
        c: Float[np.ndarray, "n C"],
        *,
        rough: bool,
        go_on: Callable[[], bool] = lambda: True,
    ) -> Explained:
        """The batch that descent reaches from these samples; ``rough``: if they may be far from it, so that kinks are rounded first."""
        layers = observed.stack.layers
        sigmas = [layer.activation for layer in layers if isinstance(layer.activation, PiecewiseLinear)]
        if len(sigmas) < len(layers):
            if rough:
                X, c = approached(observed, X, c, go_on)
                best = cls.of(observed, spaces, X, c)
                if not best._is_close(spaces):
                    return best
            end, _ = refined(observed, X, c, go_on)
            return cls.of(observed, spaces, end.X, end.c)
        if rough:
            sizes = [float(np.sqrt(np.mean(z**2))) for z in Passed(observed, X, c).before]
            for width in WIDTHS:
                rounded = [Rounded(sigma, width * size) for sigma, size in zip(sigmas, sizes, strict=True)]
                X, c = approached(replace(observed, stack=with_activations(observed.stack, rounded)), X, c, go_on, patience=HASTY)
        best = cls.of(observed, spaces, X, c)
        if not best._is_close(spaces):
            return best
        end, _ = refined(observed, X, c, go_on)
        best = cls.of(observed, spaces, end.X, end.c)
        fixed = [np.full((len(X), len(layer.W)), -1) for layer in layers]
        for _ in range(CHANGES):
            at, changed = Passed(best.observed, best.X, best.c), list(fixed)
            k = int(np.argmax(best.misfits[: len(layers)]))
            z, variance = at.before[k], observed.noise[k] ** 2
            changed[k] = better_pieces(sigmas[k], z, fixed[k], _rest(at, k), at.backward[1][k], _entering(at, k), variance)
            if np.array_equal(changed[k], fixed[k]) or not go_on():
                break
            own = replace(observed, stack=with_activations(observed.stack, [Fixed(*each) for each in zip(sigmas, changed, strict=True)]))
            end, _ = refined(own, best.X, best.c, go_on)
            found = cls.of(own, spaces, end.X, end.c)
            if not max(found.misfits) < max(best.misfits):
                break
            best, fixed = found, changed
        return best


def from_rows(
    observed: Observed,
    spaces: Sequence[Subspace],
    known: tuple[Float[np.ndarray, "known d"], Float[np.ndarray, "known C"]] | None,
    multipliers: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
    go_on: Callable[[], bool],
) -> Explained | None:
    """The best explanation from random rows of the first update, the first that fits if one does.

    ``known``: samples and their multipliers; the first starts have these, and rows of what they leave of the update for the others.
    ``multipliers``: those that explain the updates best, for given samples.
    """
    best, first, n = None, spaces[0], len(spaces[0].values)
    starts: list[tuple[np.ndarray, bool]] = []
    if known is not None and len(known[0]) < n:
        at = Passed(observed, *known)
        rows = _normalised(observed, _rest(at, 0) @ first.right.T @ first.right)
        missing = n - len(known[0])
        loose = [rows[rng.choice(len(rows), missing, replace=False)] for _ in range(WITH_KNOWN)] if len(rows) >= missing else []
        starts += [(np.vstack([known[0], own]), missing > 1) for own in loose]
    rows = _normalised(observed, (first.left * first.values) @ first.right)
    starts += [(rows[rng.choice(len(rows), n, replace=False)], True) for _ in range(STARTS if len(rows) >= n else 0)]
    for X, rough in starts:
        if not go_on():
            break
        found = Explained.near(observed, spaces, X, multipliers(X), rough=rough, go_on=go_on)
        if best is None or max(found.misfits) < max(best.misfits):
            best = found
        if best.fits:
            break
    return best


def _normalised(observed: Observed, rows: Float[np.ndarray, "m columns"]) -> Float[np.ndarray, "rows d"]:
    """Rows of an update as points: divided by their bias; without one, of a size that makes pre-activations of size one."""
    if observed.lifted[0]:
        rows = rows[np.abs(rows[:, -1]) > CLEAR * np.abs(rows[:, -1]).max()]
        return rows[:, :-1] / rows[:, -1:]
    sizes = np.sqrt(np.mean((rows @ observed.stack.layers[0].W.T) ** 2, axis=1))
    return rows[sizes > 0] / sizes[sizes > 0, None]


def _entering(at: Passed, k: int) -> np.ndarray:
    h = at.forward[0][k]
    return np.hstack([h, np.ones((len(h), 1))]) if at.observed.lifted[k] else h


def _rest(at: Passed, k: int) -> np.ndarray:
    """What the samples leave of one update."""
    return at.observed.matrices[k] - at.backward[0][k].T @ _entering(at, k)

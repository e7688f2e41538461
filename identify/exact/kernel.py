r"""The kernel of many equations modulo a prime, a few at a time: what decides the rank of a tall matrix.

The unknowns are split into resolved and free ones, and :math:`y_P = K^\top y_F`. More equations are substituted, which leaves their part in
the free unknowns and in those not seen before; elimination there resolves as many unknowns as equations are independent. So
equations beyond the rank cost one product with K, and no more memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from identify.exact.elimination import TILE, Elimination, centred, product, reduced

Forms = tuple[Int[np.ndarray, " seen"], Int[np.ndarray, "forms seen"]]
"""Unknowns, and the coefficients of linear forms in them."""
SPARE = 20
"""Rows beyond the columns that are eliminated first."""
FEW = 2**18
"""Entries that are eliminated at once, at least: of a matrix with few columns many rows."""


def tall_rank(matrix: Int[np.ndarray, "rows columns"], q: int) -> int:
    """Rank modulo q of a matrix with many rows: as many random ones as there are columns, then the others."""
    rows, columns = matrix.shape
    order = np.random.default_rng(rows).permutation(rows)
    kernel = Kernel(columns, q)
    step = max(columns + SPARE, FEW // columns)
    for start in range(0, rows, step):
        kernel.add(np.arange(columns), centred(matrix[order[start : start + step]], q))
        if kernel.is_zero:
            break
    return kernel.rank


@dataclass(eq=False)
class Kernel:
    """The kernel of some equations in ``size`` unknowns modulo q: the resolved unknowns as linear forms in the free ones."""

    size: int
    q: int
    free: Int[np.ndarray, " free"] = field(init=False)
    blocks: list[Forms] = field(init=False, default_factory=list)
    """Resolved unknowns, and their coefficients: (free, resolved)."""
    untouched: Int[np.ndarray, " size"] = field(init=False)

    def __post_init__(self):
        self.free = np.zeros(0, dtype=np.int64)
        self.untouched = np.ones(self.size, dtype=bool)

    @property
    def rank(self) -> int:
        return sum(len(resolved) for resolved, _ in self.blocks)

    @property
    def is_zero(self) -> bool:
        return self.rank == self.size

    def add(self, seen: Int[np.ndarray, " seen"], equations: Int[np.ndarray, "equations seen"]) -> None:
        """More equations, in the unknowns ``seen``; coefficients centred modulo q."""
        place = np.full(self.size, -1)
        place[seen] = np.arange(len(seen))
        new = seen[self.untouched[seen]]
        candidates = np.concatenate([new, self.free])  # new ones first: pivots there leave the blocks as they are
        elimination = Elimination(np.vstack([equations[:, place[new]].T, self._substituted(place, equations)]), self.q)
        pivots = elimination.run()
        order, count = elimination.order, len(pivots)
        forms = -elimination.work[count:, pivots]
        was_free = order - len(new)
        for i, (resolved, block) in enumerate(self.blocks):
            self.blocks[i] = resolved, self._updated(block, forms, was_free, count)
        self.blocks.append((candidates[order[:count]], forms))
        self.free = candidates[order[count:]]
        self.untouched[new] = False

    def _substituted(self, place: np.ndarray, equations: np.ndarray) -> np.ndarray:
        """The equations in the free unknowns, transposed."""
        out = np.zeros((len(self.free), len(equations)), dtype=np.int32)
        known = place[self.free] >= 0
        out[known] = equations[:, place[self.free[known]]].T
        for resolved, block in self.blocks:
            known = np.flatnonzero(place[resolved] >= 0)
            if len(known) and len(out):
                coefficients = equations[:, place[resolved[known]]].T.astype(np.float64)
                for rows in _tiles(len(out)):
                    out[rows] = reduced(out[rows] + product(block[rows][:, known], coefficients, self.q), self.q)
        return out

    def _updated(self, block: np.ndarray, forms: np.ndarray, was_free: np.ndarray, count: int) -> np.ndarray:
        """A block in the new free unknowns, after those among the old ones that are resolved now have been replaced by ``forms``."""
        replaced, kept = was_free[:count], was_free[count:]
        through = np.flatnonzero(replaced >= 0)
        factors = forms[:, through]
        out = np.zeros((len(kept), block.shape[1]), dtype=np.int32)
        out[kept >= 0] = block[kept[kept >= 0]]
        for columns in _tiles(block.shape[1]) if len(through) else ():
            values = block[replaced[through], columns].astype(np.float64)
            for rows in _tiles(len(out)):
                out[rows, columns] = reduced(out[rows, columns] + product(factors[rows], values, self.q), self.q)
        return out


def _tiles(size: int) -> list[slice]:
    return [slice(start, start + TILE) for start in range(0, size, TILE)]

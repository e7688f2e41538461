r"""The rank of a large interpolation matrix, slice by slice: the matrix itself is never there.

The first-layer equations of all neurons for input r see one slice of the moments, :math:`y_{f + e_r}` for monomials f of
one degree less, and the same matrix for every r (for the biases too, with :math:`e_r = 0`):

.. math:: t_{jr} = \sum_o A_{oj} \sum_f \frac{\sigma^{(|f|+1)}(b_j)}{f!}\, w_j^f\, y^{(o)}_{f + e_r} .

The kernel of the equations so far is kept as a parametrisation :math:`y_P = K^\top y_F` of the resolved moments P by the free ones F.
The next slice is eliminated on F and the moments that are new in it, which resolves as many as it has independent equations. So F
stays small, and K is what is stored: for 60 inputs and width 1000 it has at most about 7 600 rows, where the matrix has 39 710 columns.
The moments that are free at the end are the corank. All is exact modulo q.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from identify.activation import horner
from identify.exact.elimination import TILE, Elimination, centred, product, reduced
from identify.exact.instance import Residues
from identify.exact.interpolation import Monomials, moment_count

Group = tuple[Int[np.ndarray, " seen"], Int[np.ndarray, "equations seen"]]
"""Equations: the moments that they see, and their coefficients."""


def interpolation_rank(point: Residues) -> int:
    """Rank of the interpolation matrix modulo ``point.q``. Cost and memory: :func:`expected_work`."""
    kernel = Kernel(moment_count(point.W.shape[1], point.degrees, len(point.A)), point.q)
    for seen, equations in _groups(point):
        kernel.add(seen, equations)
        if kernel.is_zero:
            break
    return kernel.rank


def expected_work(inputs: int, degrees: Sequence[int], outputs: int, width: int) -> tuple[float, float]:
    """Multiplications, and the largest number of stored residues, if every slice has as many independent equations as it can have."""
    slopes = [k - 1 for k in degrees if k]
    equations = min(width, moment_count(inputs, slopes, outputs))
    free = resolved = 0
    work = stored = 0.0
    for r in range(inputs):
        new = moment_count(inputs - r, slopes, outputs)
        found = min(equations, free + new)
        work += (free + new) * equations * found + free * equations * min(resolved, inputs**2 * outputs)
        free += new - found
        work += free * resolved * max(found - new, 0)
        resolved += found
        stored = max(stored, free * resolved + (free + new) * equations)
    return work, stored


@dataclass(eq=False)
class Kernel:
    """The kernel of some equations in ``size`` unknowns modulo q: the resolved unknowns as linear forms in the free ones."""

    size: int
    q: int
    free: Int[np.ndarray, " free"] = field(init=False)
    blocks: list[Group] = field(init=False, default_factory=list)
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
        work = np.empty((len(new) + len(self.free), len(equations)), dtype=np.int32)
        work[: len(new)] = equations[:, place[new]].T
        work[len(new) :] = self._substituted(place, equations)
        candidates = np.concatenate([new, self.free])  # new ones first: pivots there leave the blocks as they are
        elimination = Elimination(work, self.q)
        pivots = elimination.run()
        order, count = elimination.order, len(pivots)
        forms = -work[count:, pivots]
        was_free = order - len(new)
        self.blocks = [(resolved, self._updated(block, forms, was_free, count)) for resolved, block in self.blocks]
        self.blocks.append((candidates[order[:count]], forms))
        self.free = candidates[order[count:]]
        self.untouched[new] = False

    def _substituted(self, place: np.ndarray, equations: np.ndarray) -> np.ndarray:
        """The equations in the free unknowns, transposed."""
        out = np.zeros((len(self.free), len(equations)))
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


def _groups(point: Residues) -> Iterator[Group]:
    """The observed equations: one group for each input, then for the biases, then for each output of the second layer."""
    d, C, q = point.W.shape[1], len(point.A), point.q
    monomials = {k: Monomials.of(d, k) for k in {k - i for k in point.degrees for i in (0, 1) if k >= i}}
    first = dict(zip(point.degrees, np.cumsum([0, *(len(monomials[k]) for k in point.degrees)]).tolist(), strict=False))
    per_output = sum(len(monomials[k]) for k in point.degrees)
    slopes = [k - 1 for k in point.degrees if k]
    if point.observed.W or point.observed.bias:
        values = np.hstack([_values(point, monomials[k], k + 1) for k in slopes])
        equations = _independent(np.hstack([point.reduce(A[:, None] * values) for A in point.A]), q)
    for r in range(d if point.observed.W else 0):
        seen = np.concatenate([first[k + 1] + _shifted(monomials[k], monomials[k + 1], r) for k in slopes])
        yield np.concatenate([o * per_output + seen for o in range(C)]), equations
    if point.observed.bias:
        seen = np.concatenate([first[k] + np.arange(len(monomials[k])) for k in slopes])
        yield np.concatenate([o * per_output + seen for o in range(C)]), equations
    if point.observed.a:
        values = centred(np.hstack([_values(point, monomials[k], k) for k in point.degrees]), q)
        for o in range(C):
            yield o * per_output + np.arange(per_output), values


def _values(point: Residues, monomials: Monomials, order: int) -> Int[np.ndarray, "m N"]:
    r""":math:`\sigma^{(order)}(b_j)\, w_j^f / f!` for all monomials f of one degree."""
    counts = (monomials.index[:, :, None] == np.arange(point.W.shape[1])).sum(axis=1) if monomials.degree > 1 else None
    factorials = np.ones(len(monomials), dtype=np.int64)
    if counts is not None:
        for k in range(2, monomials.degree + 1):
            factorials *= np.where(counts >= k, k, 1).prod(axis=1)
    inverse = np.array([pow(int(f), -1, point.q) for f in factorials])
    at_bias = horner(point.derivatives[order], point.offsets, point.reduce)[:, None]
    return point.reduce(point.reduce(monomials.values(point.W, point.reduce) * at_bias) * inverse)


def _shifted(lower: Monomials, upper: Monomials, r: int) -> Int[np.ndarray, " N"]:
    """Where the monomials times variable r are among those of the next degree; both lists are in lexicographic order."""
    index = np.sort(np.hstack([lower.index, np.full((len(lower), 1), r)]), axis=1)
    digits = (int(upper.index.max(initial=0)) + 1) ** np.arange(upper.degree - 1, -1, -1)
    return np.searchsorted(upper.index @ digits, index @ digits)


def _independent(equations: Int[np.ndarray, "m seen"], q: int) -> Int[np.ndarray, "rank seen"]:
    """As many of the equations as are independent, centred."""
    values = centred(equations, q)
    return values[np.sort(Elimination(np.ascontiguousarray(values.T), q).run(factors=False))]

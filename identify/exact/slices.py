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

from collections.abc import Iterator
from functools import partial

import numpy as np
from jaxtyping import Int

from identify.base.limits import refuse_above, refuse_late
from identify.exact.elimination import Elimination, centred
from identify.exact.instance import Instance, Residues
from identify.exact.kernel import Forms, Kernel
from identify.exact.modular import LARGE, MULTIPLICATIONS, RankResult, certified, certified_rank, certified_rank_seconds
from identify.problem.activation import horner
from identify.problem.interpolation import Monomials, moment_count


def interpolation_rank(instance: Instance, *, seed: int, trials: int = 2) -> RankResult:
    """The certified rank of the interpolation matrix: of the matrix where it is small, otherwise slice by slice.

    Raises TooLargeError and OutOfTimeError if :func:`expected_work` exceeds the limits.
    """
    N = instance.n_moments
    if N < LARGE:
        return certified_rank(partial(_matrix, instance), N, seed=seed, trials=trials, some_rows=partial(_matrix, instance, rows=N))
    what = f"the rank of an interpolation matrix with {N} columns"
    refuse_above(expected_work(instance)[1], what)
    refuse_late(interpolation_seconds(instance), what)

    def by_slices(q: int, rng: np.random.Generator) -> int:
        return slice_rank(instance.at(q, rng))

    return certified(by_slices, N, seed=seed, trials=trials, first=[by_slices])


def _matrix(instance: Instance, q: int, rng: np.random.Generator, rows: int | None = None) -> np.ndarray:
    point = instance.at(q, rng)
    return (point if rows is None else point.some_neurons(rows, rng)).interpolation()


def interpolation_seconds(instance: Instance) -> float:
    """An estimate of the CPU time of :func:`interpolation_rank` for a matrix of full rank."""
    if instance.n_moments < LARGE:
        return certified_rank_seconds(instance.n_rows, instance.n_moments)
    return 1e-6 * instance.n_moments + expected_work(instance)[0] / MULTIPLICATIONS


def slice_rank(point: Residues) -> int:
    """Rank of the interpolation matrix modulo ``point.q``, without the matrix."""
    kernel = Kernel(moment_count(point.W.shape[1], point.degrees, len(point.A)), point.q)
    for seen, equations in _groups(point):
        kernel.add(seen, equations)
        if kernel.is_zero:
            break
    return kernel.rank


def expected_work(instance: Instance) -> tuple[float, int]:
    """Multiplications, and bytes: of :func:`slice_rank`, if every group of equations has as high a rank as it can have."""
    d, C, degrees = instance.coordinates, instance.n_outputs, instance.degrees
    slopes = [k - 1 for k in degrees if k]
    below = moment_count(d, slopes, C)
    groups = [(moment_count(d - r, slopes, C), below) for r in range(d)] if instance.observed.W else []
    groups += [(0 if instance.observed.W else below, below)] * instance.observed.bias
    total, work, stored, free, resolved = instance.n_moments, 0.0, 0, 0, 0
    for new, seen in groups + [(moment_count(d, degrees), moment_count(d, degrees))] * C * instance.observed.a:
        if resolved == total:
            break
        new = min(new, total - resolved - free)
        found = min(instance.width, seen, free + new)
        work += found * (found * (free + new) + free * min(seen, resolved)) + (free + new - found) * resolved * max(found - new, 0)
        stored = max(stored, 4 * (free + new) * (resolved + found) + 16 * instance.width * seen)
        free, resolved = free + new - found, resolved + found
    return work, stored


def _groups(point: Residues) -> Iterator[Forms]:
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
        seen = np.concatenate([first[k + 1] + monomials[k].raised(monomials[k + 1], r) for k in slopes])
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
    inverse = np.array([pow(int(f), -1, point.q) for f in monomials.factorials()], dtype=np.int64)
    at_bias = horner(point.derivatives[order], point.offsets, point.reduce)[:, None]
    return point.reduce(point.reduce(monomials.values(point.W, point.reduce) * at_bias) * inverse)


def _independent(equations: Int[np.ndarray, "m seen"], q: int) -> Int[np.ndarray, "rank seen"]:
    """As many of the equations as are independent, centred."""
    values = centred(equations, q)
    return values[np.sort(Elimination(values.T, q).run(factors=False))]

r"""Full column rank modulo a small prime, by floating-point matrix products that are exact.

With residues below :math:`2^{22}` a product of blocks of 256 columns is a sum of 256 terms below :math:`2^{44}`, which double
precision holds exactly (Dumas, Giorgi & Pernet, *Dense linear algebra over word-size prime fields*, ACM TOMS 35, 2008). So the
elimination runs at the speed of BLAS, several times that of integer arithmetic. The prime is too small to make a *deficient* rank worth
much; full rank modulo any prime is a proof, and that is all that is asked here.
"""

from __future__ import annotations

import numpy as np
from flint import nmod_mat
from jaxtyping import Float, Int

BLOCK = 256
LARGEST = 2**22
STRIP = 1024
"""Columns updated at once: bounds the memory of a product."""


def has_full_column_rank(matrix: Int[np.ndarray, "rows columns"], q: int, rng: np.random.Generator) -> bool:
    """Whether the columns are independent modulo the prime q < 2^22; False also when pivots were not found.

    Cost: rows · columns² multiplications in double precision, memory for one copy of the matrix.
    """
    rows, columns = matrix.shape
    if rows < columns or q >= LARGEST:
        return False
    work = matrix[rng.permutation(rows)].astype(np.float64)
    for start in range(0, columns, BLOCK):
        stop = min(start + BLOCK, columns)
        if not _bring_pivots_up(work, start, stop, q):
            return False
        _eliminate(work, start, stop, q)
    return True


def _bring_pivots_up(work: Float[np.ndarray, "rows columns"], start: int, stop: int, q: int) -> bool:
    """Exchange rows so that the diagonal block is invertible; few rows are tried before all. False when the columns are dependent."""
    panel, size = work[start:, start:stop], stop - start
    for height in sorted({min(h, len(panel)) for h in (size, 2 * size, len(panel))}):
        form, rank = to_flint(panel[:height].T, q).rref()
        if rank == size:
            pivots = (to_numpy(form) != 0).argmax(axis=1)
            free = start + np.setdiff1d(np.arange(size), pivots)
            chosen = start + pivots[pivots >= size]
            work[np.concatenate([free, chosen])] = work[np.concatenate([chosen, free])]
            return True
    return False


def _eliminate(work: Float[np.ndarray, "rows columns"], start: int, stop: int, q: int) -> None:
    """The Schur complement of the diagonal block, in place in the rows below and the columns to the right."""
    if stop == work.shape[1]:
        return
    inverse = to_numpy(to_flint(work[start:stop, start:stop], q).inv()).astype(np.float64)
    factors = _reduced(work[stop:, start:stop] @ inverse, q)
    for left in range(stop, work.shape[1], STRIP):
        columns = slice(left, left + STRIP)
        work[stop:, columns] = _reduced(work[stop:, columns] - factors @ work[start:stop, columns], q)


def to_flint(matrix: np.ndarray, q: int) -> nmod_mat:
    """A matrix of residues, as integers or integral floats, in python-flint."""
    rows, columns = matrix.shape
    return nmod_mat(rows, columns, matrix.astype(np.int64).ravel().tolist(), q)


def to_numpy(matrix: nmod_mat) -> Int[np.ndarray, "rows columns"]:
    return np.array(list(map(int, matrix.entries())), dtype=np.int64).reshape(matrix.nrows(), matrix.ncols())


def _reduced(values: np.ndarray, q: int) -> np.ndarray:
    """Residues from 0 to q - 1 of integers below 2^53 in size, in place."""
    values -= np.floor(values * (1.0 / q)) * q
    values[values < 0] += q
    values[values >= q] -= q
    return values

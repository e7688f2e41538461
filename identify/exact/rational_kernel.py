"""Kernels of matrices of fractions: pivots modulo a prime, solutions over the rationals, each held against every row."""

from __future__ import annotations

import numpy as np
from flint import fmpq, fmpq_mat

from identify.base.limits import is_affordable
from identify.exact.modular import fraction_residues, pivots, random_prime, rank

SOLVE_SECONDS = 2.7e-10
"""Of one solution over the rationals, for each bit of the entries and each cube of the rank (measured up to rank 368)."""
BITS = 0.4
"""Of the entries of a solution, at most about, for each bit of the matrix and each column of its rank (measured: 0.08 to 0.4)."""
LONGEST = 14_000
"""Bits of an entry of a solution: Python, and so the checker of certificates, reads integers of at most 4300 digits."""
PATIENCE = 10.0
"""Seconds of solutions, by their estimate, after which no more are computed."""

FEW = (1.2, 4.0)
"""Rows for each column, of which first some and then more are asked whether the columns are independent."""


def kernel_vectors(columns: list[list[fmpq]], seed: int) -> list[list[fmpq]]:
    """Independent vectors in the kernel of the matrix with these columns.

    All of them, unless the rank is smaller modulo a prime, or they take too long. The rank and the pivots are those modulo a prime. What
    they say is solved for over the rationals, and held against every row. One solution is computed if :func:`limit_time` allows it, and
    as many more as take no more than PATIENCE; none that is longer than LONGEST.
    """
    if _are_independent_in_some_rows(columns, seed):
        return []
    table, q = _modulo_prime(columns, seed)
    if not len(table) or rank(table, q) == len(table):
        return []
    pivot_columns, pivot_rows = pivots(table, q)
    square = fmpq_mat([[columns[k][row] for k in pivot_columns] for row in pivot_rows])
    matrix = fmpq_mat(columns).transpose()
    bits = max(v.height_bits() for column in columns for v in column)
    if BITS * bits * len(pivot_columns) > LONGEST:
        return []
    seconds, found = SOLVE_SECONDS * bits * len(pivot_columns) ** 3, list[list[fmpq]]()
    for tried, free in enumerate(sorted(set(range(len(columns))) - set(pivot_columns))):
        if not is_affordable(seconds) or (tried and (tried + 1) * seconds > PATIENCE):
            break
        vector = [fmpq(0)] * len(columns)
        vector[free] = fmpq(1)
        if pivot_columns:
            solved = square.solve(fmpq_mat([[-columns[free][row]] for row in pivot_rows]))
            for k, v in zip(pivot_columns, solved.entries(), strict=True):
                vector[k] = v
        longest = max(v.height_bits() for v in vector)
        if longest <= LONGEST and not any((matrix * fmpq_mat([[v] for v in vector])).entries()):
            found.append(vector)
    return found


def _are_independent_in_some_rows(columns: list[list[fmpq]], seed: int) -> bool:
    """Whether few random rows show already, modulo the prime, that the columns are independent: most have no kernel, and many rows."""
    needed = len(columns)
    rows = [k for k, row in enumerate(zip(*columns, strict=True)) if any(row)]
    for few in FEW:
        asked = int(few * needed) + 20
        if len(rows) > 2 * asked:
            some = np.random.default_rng([seed, 0x15]).choice(rows, asked, replace=False).tolist()
            if rank_modulo_prime([[column[row] for row in some] for column in columns], seed) == needed:
                return True
    return False


def rank_modulo_prime(rows: list[list[fmpq]], seed: int) -> int:
    """The rank modulo a random prime: never more than the rank, which takes minutes over the rationals if the fractions are long."""
    return rank(*_modulo_prime(rows, seed))


def _modulo_prime(rows: list[list[fmpq]], seed: int) -> tuple[np.ndarray, int]:
    q = random_prime(np.random.default_rng([seed, 0x14]))
    return fraction_residues(rows, q), q

"""Kernels of matrices of fractions: pivots modulo a prime, solutions over the rationals, each held against every row."""

from __future__ import annotations

import numpy as np
from flint import fmpq, fmpq_mat

from identify.exact.modular import pivots, random_prime, rank


def kernel_vectors(columns: list[list[fmpq]], seed: int) -> list[list[fmpq]]:
    """Independent vectors in the kernel of the matrix with these columns: all of them, unless the rank is smaller modulo a prime.

    The rank and the pivots are those modulo a prime. What they say is solved for over the rationals, and held against every row.
    """
    q = random_prime(np.random.default_rng([seed, 0x14]))
    table = np.array([[int(v.p) * pow(int(v.q), -1, q) % q if v else 0 for v in column] for column in columns], dtype=np.int64)
    if not len(table) or rank(table, q) == len(table):
        return []
    pivot_columns, pivot_rows = pivots(table, q)
    square = fmpq_mat([[columns[k][row] for k in pivot_columns] for row in pivot_rows])
    matrix = fmpq_mat(columns).transpose()
    found = []
    for free in sorted(set(range(len(columns))) - set(pivot_columns)):
        vector = [fmpq(0)] * len(columns)
        vector[free] = fmpq(1)
        if pivot_columns:
            solved = square.solve(fmpq_mat([[-columns[free][row]] for row in pivot_rows]))
            for k, v in zip(pivot_columns, solved.entries(), strict=True):
                vector[k] = v
        if not any((matrix * fmpq_mat([[v] for v in vector])).entries()):
            found.append(vector)
    return found

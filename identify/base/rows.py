"""Equal rows of a matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def equal_rows(rows: np.ndarray) -> tuple[Int[np.ndarray, " distinct"], Int[np.ndarray, " n"]]:
    """The first of each set of equal rows, in order, and for each row the number of its set.

    Cost of reading the rows once: ``numpy.unique`` compares them entry by entry as it sorts. Zeros are equal whatever their sign.
    """
    numbers: dict[bytes, int] = {}
    first, group = list[int](), np.empty(len(rows), dtype=int)
    for i, row in enumerate(rows):
        known = numbers.setdefault((row + 0).tobytes(), len(first))
        if known == len(first):
            first.append(i)
        group[i] = known
    return np.array(first, dtype=int), group

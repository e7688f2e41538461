"""Proofs that no point is on given sides of hyperplanes, against the exact linear programs of the oracle."""

import numpy as np
import pytest
from flint import fmpq

from identify.exact.sides import Side, is_empty
from identify.theory.oracle.polyhedra import Row, feasible


@pytest.mark.parametrize("seed", range(60))
def test_against_exact_polyhedra(seed):
    """Small integers, so that many systems are empty only just."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 5)), int(rng.integers(1, 9))
    rows = [[fmpq(int(v)) for v in row] for row in rng.integers(-2, 3, (m, n))]
    sides = [list(Side)[k] for k in rng.choice(3, m, p=[0.6, 0.25, 0.15])]
    by_side = {side: [Row(row, fmpq(0)) for row, own in zip(rows, sides, strict=True) if own is side] for side in Side}
    nothing = feasible(by_side[Side.ON], by_side[Side.STRICT], by_side[Side.WEAK], n) is None
    assert not is_empty(rows, sides) or nothing
    assert is_empty(rows, sides) or not nothing


def test_there_are_both_kinds():
    one, two = fmpq(1), fmpq(2)
    assert is_empty([[one, two], [-one, -two]], [Side.STRICT, Side.WEAK])
    assert not is_empty([[one, two], [-one, -two]], [Side.WEAK, Side.WEAK])
    assert is_empty([[one, two], [-two, -two * 2]], [Side.STRICT, Side.ON])
    assert is_empty([[fmpq(0), fmpq(0)]], [Side.STRICT]) and not is_empty([], [])

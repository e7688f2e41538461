r"""The step for Theorem A2: counts of an activation pattern with one kink, at 0.

A competitor is :math:`x' = \sum_i \xi_i x_i` with features :math:`\sum_i \eta_i h(x_i)`. Neuron j, with slopes
:math:`s_{ij}` at the samples and s' at x', asks :math:`\tilde w_j\cdot\sum_i (s' \xi_i - \eta_i s_{ij}) \tilde x_i = 0`, a hyperplane
for its weights unless :math:`s' \xi_i = \eta_i s_{ij}` for all i. If for every support of :math:`\eta` more neurons are on a
hyperplane than :math:`(\xi, \eta)` has dimensions, the networks that have a competitor are a set of measure zero.

Part of the checker: imports the standard library, and the checker's own modules.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

from identify.checker.networks.activations import Piecewise
from identify.checker.networks.claim import ANY, PATTERN, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.reading import choice, need, need_small
from identify.checker.watch import watch

MAX_EDGES = 10**9
"""Edges that all searches for matchings may look at."""


def pattern(e: NetworkExamination, sets: Any) -> str:
    """See the module. ``sets``: counts for pairs, or matchings for all sets of samples."""
    c = e.claim
    need(c.verdict == "UNIQUE" and not c.is_self_trained, "proves uniqueness only, for a network that does not depend on its data")
    e.need_scope((PATTERN, THIS_DATA))
    choice("sets", sets, ("pairs", "all"))
    sigma = c.activations[0]
    need(isinstance(sigma, Piecewise) and sigma.is_homogeneous, "needs one kink, at 0, in the first layer")
    assert isinstance(sigma, Piecewise)
    need(c.multipliers == ANY, "multipliers: they may be any")
    need(e.ranks == {1, 2} and c.ranks == [], "the ranks of the first two updates are not proved")
    need(not any(at.on_kink for row in e.first_places for at in row), "a sample lies on a kink")
    e.need_multipliers()
    p, q = c.affine
    low, high = sigma.slopes
    zero = not (low and high)
    right = int(bool(high))  # the piece whose slope is not zero, if the other is
    seen = [sum(1 << j for j, at in enumerate(row) if at.piece == right) for row in e.first_places]
    if sets == "all":
        need(zero, "all sets are for activations with a slope of zero")
        need_small(c.n**4 * c.m <= MAX_EDGES, f"matchings of all sets of {c.n} samples: their number")
        need(_has_neighbours(seen, c.m, c.n - p - q + 1), "a set of samples is seen by too few neurons")
        for first in range(c.n):
            watch().look()
            others = [u ^ seen[first] for i, u in enumerate(seen) if i != first]
            need(_has_neighbours(others, c.m, 2 - max(p, q)), "a set of samples is told apart by too few neurons")
        e.facts.add("pattern")
        return "enough neurons see, and tell apart, every set of samples (matchings)"
    least = c.n - max(p, q) + 1
    needed = 2 * c.n - p - q + 1
    counted = min(u.bit_count() for u in seen) if zero else c.m
    need(counted >= needed, f"a sample is seen by {counted} neurons, needed {needed}")
    for u, v in combinations(seen, 2):
        apart = (u ^ v).bit_count()
        need(apart >= least, f"two samples are told apart by {apart} neurons, needed {least}")
        need(zero or c.m - apart >= least, f"two samples are seen alike by {c.m - apart} neurons, needed {least}")
    if not zero and sigma.parity != 1:  # otherwise the opposite of a sample is not another sample
        rarer = min(min(u.bit_count(), c.m - u.bit_count()) for u in seen)
        need(rarer >= 2 - max(p, q), f"a sample is seen with its rarer slope by {rarer} neurons")
    e.facts.add("pattern")
    return f"enough neurons see each sample ({needed}), and tell each two apart ({least})"


def _has_neighbours(rows: list[int], m: int, more: int) -> bool:
    """Whether every set F of rows, not empty, has at least \\|F\\| + more columns, of bits that are set (Hall 1935).

    It has if and only if, whichever row is taken ``more`` times more, all can be matched to columns of their own.
    """
    if more < 0:
        extra = ((1 << -more) - 1) << m
        return _has_neighbours([row | extra for row in rows], m - more, 0)
    base: dict[int, int] = {}
    if not all(_augmented(rows, i, base) for i in range(len(rows))):
        return False
    for i in range(len(rows) if more else 0):
        matched = dict(base)
        if not all(_augmented(rows, i, matched) for _ in range(more)):
            return False
    return True


def _augmented(rows: list[int], start: int, matched: dict[int, int]) -> bool:
    """One more column for a row, by an alternating path; ``matched``: the row of each column that is taken."""
    taken = sum(1 << j for j in matched)
    through: dict[int, int | None] = {start: None}  # the column, of its own, by which a row was reached
    came: dict[int, int] = {}  # the row from which a column was reached
    queue = [start]
    for row in queue:
        free = rows[row] & ~taken
        if free:
            column, holder = (free & -free).bit_length() - 1, row
            while True:
                before = through[holder]
                matched[column] = holder
                if before is None:
                    return True
                column, holder = before, came[before]
        held = rows[row] & taken
        while held:
            column = (held & -held).bit_length() - 1
            held &= held - 1
            owner = matched[column]
            if owner not in through:
                through[owner], came[column] = column, row
                queue.append(owner)
    return False

r"""The networks that a list of shapes allows.

A network is a sequence of matrices, each of which takes what the one before gives, all of them (out, in) or all (in, out), with at most one
bias for each. Read backwards and transposed, such a sequence is one again: shapes alone never tell the first layer from the last. The
order decides: the numbers in the names, or the order in the file if the inputs are at least as many as the outputs, too.
"""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from typing import NamedTuple

Shapes = dict[str, tuple[int, ...]]
LEAF = re.compile(r"leaf\d+")
"""The name of an array that has none."""
MAX_LAYERS, MAX_UNCLEAR = 12, 3
"""Deeper networks need names, as the ways to give biases to layers grow without bound. Vectors whose names do not say whether they are
biases leave two readings each."""


class Reading(NamedTuple):
    """Names of the weights from the first layer to the last, of their biases (None for none), and whether weights are (in, out)."""

    weights: tuple[str, ...]
    biases: tuple[str | None, ...]
    transposed: bool


def readings(shapes: Shapes, weights: tuple[str, ...] | None = None) -> list[Reading]:
    """Every network that uses all matrices; ``weights`` fixes their order, else the order of ``shapes`` counts.

    No more than one in simple cases; several if a person must choose.
    """
    given = weights is not None
    order = tuple(weights) if weights is not None else tuple(name for name, shape in shapes.items() if len(shape) == 2)
    vectors = [name for name, shape in shapes.items() if len(shape) == 1 and name not in order]
    if not order or len(order) > MAX_LAYERS or any(len(shapes[name]) not in (1, 2) for name in order):
        return []
    numbered = given or all(re.search(r"\d", name) for name in order)
    orders = [order] if numbered or len(order) == 1 else [order, order[::-1]]
    possible: list[Reading] = []
    for chain in orders:
        lasts: list[tuple[str, ...]] = [()]
        if len(chain) == 1 and not given:  # one output, whose weights are a vector
            lasts = [(name,) for name in vectors if not _is_bias(name)]
        for last in lasts:
            for transposed in (False, True):
                possible += _networks((*chain, *last), transposed, vectors, shapes)
    if len(possible) < 2:
        return possible
    # Equinox and most frameworks write (out, in): kernels come with names
    plain = [one for one in possible if not one.transposed]
    leaves = all(LEAF.fullmatch(name) for name in order)
    if leaves and len(plain) == 1:
        return plain
    if not numbered and len(possible) == 2:
        first = [one for one in possible if one.weights[0] == order[0]]
        if len(first) == 1 and _inputs(first[0], shapes) >= _outputs(first[0], shapes):
            return first
    return possible


def _networks(chain: tuple[str, ...], transposed: bool, vectors: list[str], shapes: Shapes) -> list[Reading]:
    """The networks of weights in that order."""
    sizes = [(1, *shapes[name]) if len(shapes[name]) == 1 else shapes[name][::-1] if transposed else shapes[name] for name in chain]
    if any(len(shapes[name]) == 1 for name in chain[:-1]) or any(a[0] != b[1] for a, b in pairwise(sizes)):
        return []
    outs = [size[0] for size in sizes]
    rest = [name for name in vectors if name not in chain]
    needed = [name for name in rest if _is_bias(name) or LEAF.fullmatch(name)]
    unclear = [name for name in rest if name not in needed and shapes[name][0] in outs][:MAX_UNCLEAR]
    possible = []
    for count in range(len(unclear) + 1):
        for taken in combinations(unclear, count):
            free = [name for name in rest if name in needed or name in taken]
            possible += [Reading(chain, way, transposed) for way in _biases(chain, outs, free, shapes)]
    return possible


def _biases(chain: tuple[str, ...], outs: list[int], free: list[str], shapes: Shapes) -> list[tuple[str | None, ...]]:
    """The ways to give each of these vectors to a layer, in order; one if order or numbers tell."""
    ways = [
        dict(zip(places, free, strict=True))
        for places in combinations(range(len(chain)), len(free))
        if all(shapes[name][0] == outs[place] for name, place in zip(free, places, strict=True))
    ]
    if len(ways) > 1:
        listed = list(shapes)
        after = [way for way in ways if all(listed.index(name) == listed.index(chain[k]) + 1 for k, name in way.items())]
        same = [way for way in ways if all(_numbers(name) == _numbers(chain[k]) != [] for k, name in way.items())]
        ways = after if len(after) == 1 else same if len(same) == 1 else ways
    return [tuple(way.get(k) for k in range(len(chain))) for way in ways]


def _is_bias(name: str) -> bool:
    return bool(re.search(r"(^|[^a-zA-Z])b(\d|_|$)|bias|intercept|offset", name, re.I))


def _numbers(name: str) -> list[str]:
    return re.findall(r"\d+", name)


def _inputs(reading: Reading, shapes: Shapes) -> int:
    return shapes[reading.weights[0]][0 if reading.transposed else 1]


def _outputs(reading: Reading, shapes: Shapes) -> int:
    last = shapes[reading.weights[-1]]
    return 1 if len(last) == 1 else last[1 if reading.transposed else 0]

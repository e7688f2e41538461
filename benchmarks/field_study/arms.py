"""What each arm makes of an update within its limit of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np

import identify as idf
from field_study import matching
from field_study.cells import NETS, Cell, Instance, first_only
from field_study.spear import TESTED, spear
from identify.recovery.separation.peel import Peeling

Answer = tuple[np.ndarray, dict[str, Any]]
"""Candidates, and numbers worth keeping."""


class DoesNotApplyError(Exception):
    """The arm is not made for this network."""


def by_spear(cell: Cell, given: Instance, *, sketched: bool = False) -> Answer:
    if NETS[cell.net].activation != "relu":
        raise DoesNotApplyError("signals of other activations than ReLU have no zeros")
    net, update = given.system.network, given.system.layers[1]
    if cell.samples > len(net.weights[0]) - TESTED:
        raise DoesNotApplyError("more samples than neurons")
    left = limit(cell)
    W, b = net.weights[0], net.biases[0]
    return spear(W, b, update.W, update.bias, cell.samples, seed=cell.seed, go_on=lambda: left() > 0, sketched=sketched)


def by_cosine(cell: Cell, given: Instance) -> Answer:
    return matching.cosine(given, NETS[cell.net].data, seed=cell.seed, seconds=limit(cell))


def by_distance(cell: Cell, given: Instance) -> Answer:
    return matching.euclidean(given, NETS[cell.net].data, seed=cell.seed, seconds=limit(cell))


def by_identify(cell: Cell, given: Instance) -> Answer:
    """As a user calls it, with the clock that the others have."""
    try:
        with patch.object(time, "monotonic", cell.clock):
            found = idf.recover(given.system, budget=cell.budget, seed=cell.seed)
    except idf.IdentifyError as error:
        return np.zeros((0, given.X.shape[1])), {"error": type(error).__name__}
    numbers = {"method": found.method, "status": found.uniqueness.status.value if found.uniqueness else None}
    inner = found.evidence.get("separation")
    if isinstance(inner, dict):
        numbers |= {name: inner[name] for name in ("starts", "converged", "together") if name in inner}
    return found.X, numbers


def by_first_layer(cell: Cell, given: Instance) -> Answer:
    return by_identify(cell, first_only(given))


def without_deflation(cell: Cell, given: Instance) -> Answer:
    with undeflated():
        return by_identify(cell, given)


@contextmanager
def undeflated() -> Iterator[None]:
    """Forward separation that searches the spaces of all samples when some are known. Samples that it finds again do not count."""

    def known(own: Peeling) -> tuple[np.ndarray, np.ndarray]:
        none = own.subspaces[0].avoid[:0]
        return none, none

    def remaining(own: Peeling) -> list[np.ndarray]:
        return [space.right for space in own.searched]

    with patch.object(Peeling, "known", known), patch.object(Peeling, "remaining", remaining):
        yield


def limit(cell: Cell) -> Callable[[], float]:
    """Seconds that are left."""
    began = cell.clock()
    return lambda: cell.budget - (cell.clock() - began)


ARMS: dict[str, Callable[[Cell, Instance], Answer]] = {
    "identify": by_identify,
    "identify, first layer only": by_first_layer,
    "identify, no deflation": without_deflation,
    "SPEAR": by_spear,
    "SPEAR, sketched": partial(by_spear, sketched=True),
    "gradient matching": by_cosine,
    "DLG": by_distance,
}
CHANCE = "chance"

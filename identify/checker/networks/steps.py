"""The kinds of steps of a certificate about a network of any activation and depth.

Part of the checker: imports the checker's own modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flint import ctx

from identify.checker.networks.bases import bases
from identify.checker.networks.claim import NetworkClaim, named_hashes
from identify.checker.networks.enumeration import enumeration
from identify.checker.networks.examination import BITS, NetworkExamination, ranks
from identify.checker.networks.families import invisible, region
from identify.checker.networks.generic import count, separation
from identify.checker.networks.images import images
from identify.checker.networks.joint import joint
from identify.checker.networks.local import constant_rank, fibre, fibre_in_span, local
from identify.checker.networks.other import other
from identify.checker.networks.parts import kernel, some_layers
from identify.checker.networks.pattern import pattern
from identify.checker.networks.quadrics import quadrics
from identify.checker.networks.realisation import realisation
from identify.checker.networks.second import second
from identify.checker.networks.signs import signs
from identify.checker.reading import need

SUFFICIENT: dict[str, tuple[set[str], ...]] = {
    "UNIQUE": ({"separation"}, {"some-layers"}, {"pattern"}, {"quadrics"}, {"enumeration"}, {"realisation"}, {"joint-slopes"}),
    "LOCALLY_UNIQUE": ({"local"},),
    "NOT_UNIQUE": ({"witness"},),
}
STEPS: dict[str, tuple[Callable[..., str], tuple[str, ...]]] = {
    "ranks": (ranks, ("layers", "seed")),
    "images": (images, ()),
    "signs": (signs, ("by",)),
    "separation": (separation, ("route", "layers")),
    "some-layers": (some_layers, ("layer", "spanned")),
    "pattern": (pattern, ("sets",)),
    "bases": (bases, ("route", "bases", "independent")),
    "quadrics": (quadrics, ("equations",)),
    "enumeration": (enumeration, ("equations",)),
    "realisation": (realisation, ()),
    "joint-slopes": (joint, ()),
    "local": (local, ("in_span", "seed")),
    "count": (count, ("unknowns", "equations")),
    "fibre": (fibre, ("dimension", "seed")),
    "fibre-in-span": (fibre_in_span, ("dimension", "seed")),
    "constant-rank": (constant_rank, ("rank", "in_span", "dimension", "seed")),
    "other": (other, ("X", "c")),
    "second": (second, ("system", "in_span", "free", "centre", "radii", "sample")),
    "region": (region, ("samples",)),
    "invisible": (invisible, ("sample",)),
    "kernel": (kernel, ()),
}
"""Every kind of step: how it is checked, and its keys."""


def opened(content: dict[str, Any]) -> NetworkExamination:
    """The statement of a certificate, once its numbers are as expected and the hashes of network and data are right."""
    claim = NetworkClaim(content["claim"])
    with ctx.workprec(BITS):
        examination = NetworkExamination(claim, content["numbers"], content["point"])
    for what, expected in named_hashes(content["claim"], content["numbers"]).items():
        need(content["sha256"][what] == expected, f"sha256: the {what} {'does' if what == 'network' else 'do'} not match the hash")
    return examination


def checked(examination: NetworkExamination, check: Callable[..., str], values: list[Any]) -> str:
    """One step, at the working precision."""
    with ctx.workprec(BITS):
        return check(examination, *values)

r"""The steps for families of data with the same update that are known in closed form, for piecewise-linear networks.

Part of the checker: imports the standard library, and the checker's own modules.
"""

from __future__ import annotations

from typing import Any

from identify.checker.networks.claim import THIS, THIS_DATA
from identify.checker.networks.examination import NetworkExamination
from identify.checker.networks.pieces import slope_at
from identify.checker.reading import integer, integers, need


def region(e: NetworkExamination, samples: Any) -> str:
    """Two samples with the same slopes in every layer: there the network is affine, and the update sees of them two sums only.

    These are those of the multipliers, and of the multipliers times the samples. The line between two points of a region is in it.
    """
    c = _complete(e)
    chosen = integers("samples", samples, c.n)
    need(len(chosen) == 2, "expected two samples")
    first, second = ([layer[i] for layer in e.places] for i in chosen)
    need(not any(at.on_kink for layer in (*first, *second) for at in layer), "a sample lies on a kink")
    need(first == second, "these samples are on different pieces")
    e.facts.add("witness")
    return f"samples {chosen[0]} and {chosen[1]} are on the same pieces in every layer"


def invisible(e: NetworkExamination, sample: Any) -> str:
    """A sample at which every neuron of the first layer has slope zero, off the kinks: moved a little, it changes nothing."""
    c = _complete(e)
    i = integer("sample", sample, 0, c.n - 1)
    sigma = e.piecewise(1)[0]
    places = e.first_places[i]
    need(not any(at.on_kink for at in places), "the sample lies on a kink")
    need(not any(slope_at(sigma, at) for at in places), "a neuron sees this sample")
    e.facts.add("witness")
    return f"no neuron of the first layer has a slope at sample {i}"


def _complete(e: NetworkExamination) -> Any:
    need(e.claim.verdict == "NOT_UNIQUE", "proves non-uniqueness only")
    e.need_scope((THIS, THIS_DATA))
    need(e.claim.is_complete, "equations beyond (S) are in force, and may restrict the family")
    return e.claim

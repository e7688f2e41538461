r"""The steps for updates of some layers: counts of neurons in front of any layer, and samples that move along the kernel of the first.

*Some layers.* Let :math:`G_l` have rank n. A sample x' of another solution has :math:`\tilde h^{l-1}(x')` in its row space. Take the layers
one after the other, those below fixed: each neuron of an analytic layer gives one equation, an analytic function of its own weights that
is not zero, because :math:`\sigma` of distinct points are independent functions (Pinkus 1999, Theorem 5.1). So no other point has the
:math:`h^j` of a sample if layer j has more neurons than x' has dimensions; in layer l - 1 coefficients are added to these.

*Kernel.* If the update of :math:`W_1` is not known, everything depends on x through :math:`W_1 x`. With fewer neurons than inputs, x moves
along its kernel.

Part of the checker: imports the standard library, and the checker's own modules.
"""

from __future__ import annotations

from typing import Any

from identify.checker.networks.activations import Analytic
from identify.checker.networks.claim import ANY, GENERIC, GENERIC_DATA, RANK, THIS, THIS_DATA, NetworkClaim
from identify.checker.networks.examination import NetworkExamination
from identify.checker.reading import choice, integer, need


def some_layers(e: NetworkExamination, layer: Any, spanned: Any) -> str:
    """The theorem for this layer; ``spanned``: whether the first update has rank n as well, so that samples are sought in its row space."""
    c = e.claim
    need(c.verdict == "UNIQUE", "proves uniqueness only")
    e.need_scope((GENERIC, RANK), (GENERIC, THIS_DATA))
    need(not c.is_self_trained, "needs a network that does not depend on its data")
    need(type(spanned) is bool, "spanned: expected yes or no")
    l = integer("layer", layer, 2, c.depth)  # noqa: E741
    weights, bias = c.observed[l - 1]
    lifted = int(weights and bias)
    need(
        weights and c.n <= min(c.sizes[l], c.sizes[l - 1] + lifted), f"the update of layer {l} was not observed, or cannot have rank {c.n}"
    )
    need(not spanned or c.rows_can_count, f"the update of layer 1 was not observed, or cannot have rank {c.n}")
    layers = [1, l] if spanned else [l]
    choice("ranks", c.ranks, [layers])
    need(c.multipliers == ANY, "multipliers: they may be any")
    below = c.activations[: l - 1]
    need(all(isinstance(sigma, Analytic) for sigma in below), "needs analytic activations below the layer, and no polynomials")
    need(all(c.biases[: l - 1]), "needs biases below the layer")
    point = min(c.n - c.affine[0], c.d) if spanned else c.d
    need(all(size > point for size in c.sizes[1 : l - 1]), f"a layer below has no more than {point} neurons")
    needed = point + c.n - lifted + 1
    need(c.sizes[l - 1] >= needed, f"{c.sizes[l - 1]} neurons in front of layer {l}, {needed} are needed")
    if c.needs_data:
        need(set(layers) <= e.ranks, f"the ranks of the updates are not proved to be {c.n}")
        e.need_multipliers()
    else:
        _need_multipliers(c, l)
    e.facts.add("some-layers")
    return f"{c.sizes[l - 1]} neurons in front of layer {l}, {needed} are enough"


def _need_multipliers(c: NetworkClaim, l: int) -> None:  # noqa: E741
    """For almost all weights: they are the signals, or follow from them or from the last update."""
    if l == c.depth:
        return
    last, bias = c.observed[-1]
    independent = all(isinstance(sigma, Analytic) for sigma in c.activations) and all(c.biases[:-1])
    if last and independent and c.n <= c.sizes[-2] + int(bias):
        return
    need(all(size >= c.C for size in c.sizes[l:-1]), f"a hidden layer has fewer than {c.C} neurons")
    need(not any(sigma.slopes_vanish for sigma in c.activations[l - 1 :]), "a slope of zero hides multipliers")


def kernel(e: NetworkExamination) -> str:
    """Samples move along the kernel of the first layer."""
    c = e.claim
    need(c.verdict == "NOT_UNIQUE", "proves non-uniqueness only")
    e.need_scope((THIS, THIS_DATA), (THIS, GENERIC_DATA), (GENERIC, GENERIC_DATA))
    need(c.is_complete and not c.is_self_trained, "equations beyond (S) are in force, or the network depends on its data")
    need(not c.observed[0][0], "the update of the first layer was observed")
    need(c.m < c.d, f"{c.m} neurons, and {c.d} inputs: the first layer may have no kernel")
    e.facts.add("witness")
    return f"{c.m} neurons in the first layer, {c.d} inputs"

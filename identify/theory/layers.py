r"""The theorem about some of the layers: any layer that counts the samples determines them, if the layers below have enough neurons.

Conclusions are observed by another solver: descents in the inputs alone to points whose features lie in the row space.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy

from identify.conditions.networks.parts import Parts, samples_needs
from identify.conditions.networks.separation import REFERENCE
from identify.planting.configuration import Configuration
from identify.problem.activation import Activation
from identify.problem.exposure import ExposedBy
from identify.problem.updates import layer_numbers
from identify.theory.networks import NetworkCase, planted
from identify.theory.theorem import Seen, Theorem

STARTS, SPREAD = 25, 2.0
"""Descents, and the standard deviation of the entries of their starts."""
SOLVED, APART, FAR = 1e-11, 1e-5, 50.0
"""Misfit of a solution, its least distance from a sample to be another point, and the size from which on a descent has left."""
SMALL = 1e-3
"""Size of features below which a misfit is not relative to them."""
FULL = 1e-9
"""Ratio of singular values above which a rank counts."""


def _parts(config: Configuration) -> Parts:
    sizes, numbers = (config.inputs, *config.widths, config.outputs), layer_numbers(config.layers, config.depth)
    biases = tuple(config.bias and k < config.depth for k in range(1, config.depth + 1))
    return Parts(sizes, config.activations, biases, {k: (True, biases[k - 1]) for k in numbers}, config.samples, is_softmax=False)


def _needed(parts: Parts, layer: int) -> int:
    """Neurons in front of a layer that are enough, if those below are."""
    point = min(parts.samples - parts.affine(1), parts.inputs) if parts.counts(1) else parts.inputs
    return point + parts.samples - parts.affine(layer) + 1


def _of_some_layers(config: Configuration, seed: int) -> NetworkCase | None:
    """An instance with an observed layer of 2 or more."""
    return planted(config, seed) if max(_parts(config).seen) > 1 else None


def _one_too_few(config: Configuration, seed: int) -> NetworkCase | None:
    """One neuron too few in front of the highest observed layer."""
    parts, widths = _parts(config), list(config.widths)
    layer = max(parts.seen)
    widths[layer - 2] = _needed(parts, layer) - 1
    return planted(replace(config, width=tuple(widths)), seed) if layer > 1 and widths[layer - 2] else None


def _some_layers(case: NetworkCase) -> Seen:
    parts, net, n = _parts(case.config), case.system.network, len(case.X)
    layer = max(parts.seen)
    needs = [need for need in samples_needs(parts) if need.reason is ExposedBy.FORWARD and need.layer == layer]
    used = [layer, *([1] if parts.counts(1) else [])]
    counted = all(_has_rank(case, k, n) for k in used)
    start, moves = np.zeros(parts.inputs), np.eye(parts.inputs)
    if parts.counts(1):
        affine = bool(parts.affine(1))
        start, moves = (case.X[0], case.X[1:] - case.X[0]) if affine else (start, case.X)
    below = list(zip(net.weights, net.biases, net.activations, strict=False))[: layer - 1]
    lifted = bool(parts.affine(layer))

    def vector(x: np.ndarray) -> np.ndarray:
        for W, b, sigma in below:
            x = sigma(W @ x if b is None else W @ x + b)
        return np.append(x, 1.0) if lifted else x

    outside = np.linalg.svd(np.array([vector(x) for x in case.X]))[2][n:]

    def misfit(t: np.ndarray) -> np.ndarray:
        h = vector(start + t @ moves)
        return outside @ h / max(float(np.linalg.norm(h)), SMALL)

    rng, converged, others = np.random.default_rng([case.seed, 0x1A]), 0, 0
    for _ in range(STARTS if len(moves) else 0):
        ended = scipy.optimize.least_squares(misfit, SPREAD * rng.standard_normal(len(moves)), xtol=1e-15, ftol=1e-15, gtol=1e-15)
        x = start + ended.x @ moves
        if np.linalg.norm(ended.fun) <= SOLVED and np.linalg.norm(x) < FAR:
            converged += 1
            others += bool(np.linalg.norm(case.X - x, axis=1).min() > APART)
    counts = f"{net.sizes[layer - 1]} neurons in front of layer {layer}, {_needed(parts, layer)} are enough"
    evidence = f"{counts}; {converged} of {STARTS} descents converged, {others} of them to points that are no samples"
    return Seen(counted and bool(needs), not others if converged else None, evidence)


def _has_rank(case: NetworkCase, layer: int, n: int) -> bool:
    W, bias = case.system.updates[layer - 1]
    assert W is not None
    G = np.column_stack([W.reshape(case.system.network.sizes[layer], -1), *([] if bias is None else [bias])])
    values = np.linalg.svd(G, compute_uv=False)
    return bool(len(values) >= n and values[n - 1] > FULL * values[0])


THEOREMS = (
    Theorem(
        name="some-layers",
        title="One layer that counts the samples determines them, if the layers below have enough neurons",
        statement=r"Let the activations of layers $1$ to $l - 1$ be real-analytic, no polynomials, and these layers have biases. For every "
        r"data set of distinct samples and almost every network: if $G_l$ has rank $n$, $m_j \ge d + 1$ for $j \le l - 2$ and "
        r"$m_{l-1} \ge d + n$, every sample of every data set of at most $n$ samples with the update $G_l$ is one of these. If $G_1$ has "
        r"rank $n$ too, $m_j \ge n$ and $m_{l-1} \ge 2n - 1$ are enough.",
        hypotheses=(
            "a layer l of 2 or more was observed, and its update has rank n",
            "the hidden layers below it are analytic, have biases, and do not depend on the data",
            "as many neurons as the counts say: one more for each bias whose update is not known",
        ),
        conclusion="no other point has features in the row space of the update",
        scope="generic network, all data of this rank",
        reference=REFERENCE,
        condition="some-layers",
        configuration=Configuration(
            inputs=2, samples=2, width=(3, 4, 4), outputs=3, bias=True, layers=(3,), activation=Activation.parse("tanh")
        ),
        examine=_some_layers,
        draw=_of_some_layers,
        nearest=(("one neuron too few", _one_too_few),),
    ),
)

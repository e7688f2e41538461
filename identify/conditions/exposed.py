"""``exposed``: which layers of an update determine the batch behind it, or its labels, its size, its span.

Nothing is computed but sizes: the theorems are about almost every network, and the families that exclude an answer exist for every one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from identify.base.errors import InputError, WrongTypeError
from identify.base.options import choice, whole
from identify.conditions.heads import classes_needed
from identify.conditions.networks.largest import largest
from identify.conditions.networks.parts import (
    MAYBE,
    NO,
    YES,
    Parts,
    excluded,
    features_needs,
    has_zeros,
    proof,
    samples_finding,
    ways,
)
from identify.planting.configuration import Configuration
from identify.problem.activation import PiecewiseLinear
from identify.problem.exposure import ExposedBy, ExposedRow, Exposure, Finding, Method
from identify.problem.network import Network
from identify.problem.partial import Sent
from identify.problem.system import SELF_TRAINED

SAMPLES = 8
"""In a batch, when neither the caller nor a configuration says."""
MOST = 1000
"""Samples up to which thresholds are sought."""
LOSSES = ("softmax",)
SETS = ("first", "first two", "middle", "last two", "last", "biases", "all")
"""Names of sets of layers, in the order of the table."""

Seen = dict[int, tuple[bool, bool]]


def exposed(
    network: Network | Configuration,
    layers: str | Collection[int] | Mapping[int, Any] | None = None,
    *,
    samples: int | None = None,
    loss: str | None = "softmax",
    sent: Mapping[int, tuple[int, int]] | None = None,
) -> Exposure:
    r"""Which layers of an update suffice: what some of them determine of the batch behind it, and why.

    Parameters
    ----------
    network
        A network of any depth and activation, of which only sizes, biases and activations matter; or a configuration.
    layers
        The observed layers: their numbers, weights and biases together; or a mapping from numbers to ``"both"``, ``"weights"`` or
        ``"bias"``, or to updates, such as ``system.layers``; or one of ``"first"``, ``"first two"``, ``"middle"``, ``"last two"``,
        ``"last"``, ``"biases"`` (of all layers, without weights) and ``"all"``. None: a table of all of these that differ.
    samples
        n, the number of samples in the batch, at least 1. None: that of the configuration, or 8.
    loss
        ``"softmax"``: multipliers are those of a softmax loss, which has a label for each sample, and C outputs give signals in C - 1
        dimensions. None: multipliers of any loss; so for one output.
    sent
        For layers of whose weights' update some rows (neurons) or columns (what enters) are not sent: by number from 1, how many rows and
        how many columns are. Updates among ``layers`` say it themselves.

    Returns
    -------
    Exposure
        For each set a row with findings about the number of samples, their labels, their span, the vectors that enter the lowest
        observed layer, and the samples. ``PROVED_GENERIC`` is a theorem about almost every network (one drawn without regard to the batch)
        and every batch whose updates have the rank n, which the updates show. ``NO`` is a theorem, too: other batches have the same
        updates, for whoever knows the network and the formula of the loss. Someone who knows what samples look like may still choose
        among them. ``POSSIBLE`` is everything else; if ``method`` is not None, :func:`identify.recover` takes these layers.

    Raises
    ------
    InputError
        For layers that the network does not have, biases that it does not have, or a number of samples below 1.

    Notes
    -----
    Cost: microseconds; nothing is computed but counts. Proofs: the theory, "Some of the layers".

    References
    ----------
    Pinkus 1999, Theorem 5.1, and Leshno, Lin, Pinkus & Schocken 1993 (independence of neurons).

    Examples
    --------
    >>> config = Configuration(inputs=64, samples=8, width=(128, 96), activation="gelu", outputs=10, bias=True)
    >>> exposed(config, "last")["last"].samples.explain()
    'yes: (F), (Φ): h^2 lies in row(G_3); 96 neurons in layer 2, 73 are enough for almost every network'
    >>> exposed(config, "last", samples=9)["last"].count.explain()
    'possible: no observed layer has a rank above 9: it shows 9 samples or more'
    """
    if not isinstance(network, (Network, Configuration)):
        raise WrongTypeError(
            f"network: received {type(network).__name__}, expected a Network or a Configuration; of a KKTSystem pass .network and .layers"
        )
    if isinstance(network, Configuration) and network.regime in SELF_TRAINED:
        raise InputError(
            f"network: received the regime {network.regime}, expected gradient or lazy: weights that were trained on their own data are no "
            "update of a network drawn without regard to them"
        )
    if loss is not None:
        choice("loss", loss, LOSSES)
    sizes, biases = _shape(network)
    if samples is None:
        n = network.samples if isinstance(network, Configuration) else SAMPLES
    else:
        n = whole("samples", samples)
    is_softmax = loss is not None and sizes[-1] > 1
    chosen = _sets(biases) if layers is None else [_asked(layers, biases)]
    partial = _partial({} if sent is None else sent, sizes) | _partial(_counts_of(layers), sizes)
    rows = []
    for name, seen in chosen:
        known = {k: counts for k, counts in partial.items() if seen.get(k, (False, False))[0]}
        rows.append(_row(name, Parts(sizes, network.activations, biases, seen, n, is_softmax, known)))
    text = repr(network) if isinstance(network, Network) else _words(network)
    return Exposure(text, n, "softmax" if is_softmax else None, tuple(rows))


def _shape(network: Network | Configuration) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    if isinstance(network, Network):
        return network.sizes, tuple(b is not None for b in network.biases)
    return (network.inputs, *network.widths, network.outputs), (*(network.bias for _ in network.widths), False)


def _words(config: Configuration) -> str:
    sizes = "-".join(map(str, _shape(config)[0]))
    return f"Network({sizes}, {config.activation}, {'biases in hidden layers' if config.bias else 'no biases'})"


def _named(name: str, biases: tuple[bool, ...]) -> Seen:
    """The set of that name; empty if the network has none."""
    depth = len(biases)
    numbers = {
        "first": range(1, 2),
        "first two": range(1, 3),
        "middle": range(2, depth),
        "last two": range(depth - 1, depth + 1),
        "last": range(depth, depth + 1),
        "all": range(1, depth + 1),
    }
    if name == "biases":
        return {k: (False, True) for k, has in enumerate(biases, 1) if has}
    return {k: (True, biases[k - 1]) for k in numbers[name]}


def _sets(biases: tuple[bool, ...]) -> list[tuple[str, Seen]]:
    """The named sets that are not empty, each of them once."""
    found: list[tuple[str, Seen]] = []
    whole_network = _named("all", biases)
    for name in SETS:
        seen = _named(name, biases)
        if seen and seen not in [other for _, other in found] and (name == "all" or seen != whole_network):
            found.append((name, seen))
    return found


def _counts_of(layers: Any) -> dict[int, tuple[int, int]]:
    """Known rows and columns of the updates among what was asked."""
    pairs = {k: _weights(value) for k, value in layers.items()} if isinstance(layers, Mapping) else {}
    return {k: Sent.of(W.reshape(-1, W.shape[-1])).counts for k, W in pairs.items() if W is not None}


def _weights(value: Any) -> np.ndarray | None:
    """Of an update."""
    W = value[0] if isinstance(value, tuple) else value
    return W if isinstance(W, np.ndarray) and W.ndim and W.dtype.kind == "f" else None


def _partial(counts: Mapping[int, tuple[int, int]], sizes: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """Those of layers that are not whole, checked."""
    found = {}
    for k, pair in counts.items():
        number = whole("sent", k, most=len(sizes) - 1)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InputError(f"sent[{number}]: received {pair!r}, expected two numbers, of the known rows and of the known columns")
        out, inside = sizes[number], sizes[number - 1]
        rows, columns = whole(f"sent[{number}]", pair[0], most=out), whole(f"sent[{number}]", pair[1], most=inside)
        if (rows, columns) != (out, inside):
            found[number] = rows, columns
    return found


def _asked(layers: Any, biases: tuple[bool, ...]) -> tuple[str, Seen]:
    if isinstance(layers, str):
        seen = _named(choice("layers", layers, SETS), biases)
        if not seen:
            raise InputError(f"layers: received {layers}, but this network has none; expected others")
        return layers, seen
    if not isinstance(layers, Collection) or not len(layers):
        raise InputError(f"layers: received {layers!r}, expected numbers of layers, a mapping from them, or one of {', '.join(SETS)}")
    parts = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, "both")
    seen = {}
    for number in sorted(whole("layers", number, most=len(biases)) for number in parts):
        value = parts[number]
        if isinstance(value, (tuple, np.ndarray)):  # an update
            W, bias = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
            seen[number] = W is not None, bias is not None
            continue
        which = choice(f"layers[{number}]", value, ("both", "weights", "bias"))
        if which == "bias" and not biases[number - 1]:
            raise InputError(f"layers[{number}]: received bias, but layer {number} has none; expected weights")
        seen[number] = which != "bias", which != "weights" and biases[number - 1]
    known = [name for name in SETS if _named(name, biases) == seen]
    return (known[0] if known else ", ".join(map(str, seen))), seen


def _row(name: str, parts: Parts) -> ExposedRow:
    samples = samples_finding(parts)
    within = largest(lambda n: excluded(parts.at(n)) is None, 0, MOST)
    return ExposedRow(
        name=name,
        layers=parts.seen,
        count=_count(parts, samples),
        labels=_labels(parts, samples),
        row_space=_row_space(parts, samples),
        features=_features(parts, samples),
        samples=samples,
        proved_up_to=largest(lambda n: samples_finding(parts.at(n)).status is YES, 0, MOST),
        excluded_from=None if within == MOST else within + 1,
    )


def _count(parts: Parts, samples: Finding) -> Finding:
    layer = max(parts.weighted, key=parts.cap, default=None)
    if layer is not None and parts.samples < parts.cap(layer):
        return Finding(YES, ExposedBy.RANK, {"layer": layer, "cap": parts.cap(layer) - 1})
    if samples.reason is ExposedBy.JOINT:
        return Finding(YES, ExposedBy.SAME)
    if layer is None:
        return Finding(MAYBE, ExposedBy.NO_RANK)
    return Finding(MAYBE, ExposedBy.FULL_RANK, {"cap": parts.cap(layer)})


def _row_space(parts: Parts, samples: Finding) -> Finding:
    if parts.counts(1) and not parts.lacks(1):
        return Finding(YES, ExposedBy.ROWS, {"samples": parts.samples})
    if samples.status is YES:
        return Finding(YES, ExposedBy.SAME)
    if parts.sees_weights(1) and not parts.counts(1):
        return Finding(MAYBE, ExposedBy.FULL_ROWS, {"cap": parts.cap(1), "samples": parts.samples})
    if samples.reason in (ExposedBy.KERNEL, ExposedBy.COLUMNS, ExposedBy.BOTTLENECK, ExposedBy.CELL) and parts.samples < parts.inputs:
        return Finding(NO, samples.reason, samples.numbers)
    if parts.sees_weights(1):
        return Finding(MAYBE, ExposedBy.SOME_COLUMNS, {"known": parts.columns(1), "inputs": parts.inputs})
    return Finding(MAYBE, ExposedBy.NO_ROWS)


def _features(parts: Parts, samples: Finding) -> Finding:
    base = min(parts.weighted, default=1)
    if base == 1 or samples.status is YES:
        return Finding(samples.status, ExposedBy.SAME)
    if parts.samples == 1 and parts.affine(base) and not parts.lacks(base):
        return Finding(YES, ExposedBy.ONE_ROW, {"layer": base, "vector": f"h^{base - 1}"})
    needs = list(features_needs(parts, base))
    if needs:
        return proof(parts, needs[0])
    above = Parts(
        parts.sizes[base - 1 :],
        parts.activations[base - 1 :],
        parts.biases[base - 1 :],
        {k - base + 1: seen for k, seen in parts.seen.items() if k >= base},
        parts.samples,
        parts.is_softmax,
        {k - base + 1: counts for k, counts in parts.sent.items() if k >= base},
    )
    found = ways(above) if above.depth > 1 else []
    if found:
        return replace(found[0].finding, method=None)
    if parts.is_softmax and base == parts.depth and base not in parts.sent:
        return _by_softmax(parts)
    if has_zeros(parts, base):
        return Finding(MAYBE, ExposedBy.ZEROS)
    return Finding(MAYBE, ExposedBy.SPAN, {"layer": base})


def _by_softmax(parts: Parts) -> Finding:
    """What enters the last layer, from the update of that layer alone."""
    n, C, m, lifted, layer = parts.samples, parts.sizes[-1], parts.sizes[-2], parts.affine(parts.depth), parts.depth
    total = (C - 1) * (m + lifted)
    if n * m > total:
        return Finding(NO, ExposedBy.FEW_EQUATIONS, {"unknowns": n * m, "equations": total})
    if not parts.counts(layer):
        return Finding(MAYBE, ExposedBy.NEEDS_LOSS)
    needed = classes_needed(n, n, bool(lifted))
    if needed <= C:
        return Finding(YES, ExposedBy.SOFTMAX, {"layer": layer, "classes": C, "needed": needed}, Method.SOFTMAX)
    each, spare = n - lifted, C - 1 - n
    if spare >= each:
        return Finding(MAYBE, ExposedBy.SOFTMAX_COUNT, {"equations": spare, "unknowns": each}, Method.SOFTMAX)
    numbers = {"equations": n * (C - 1), "unknowns": n * (each + 1)}
    return Finding(MAYBE, ExposedBy.SOFTMAX_TOGETHER, numbers, Method.SOFTMAX)


def _labels(parts: Parts, samples: Finding) -> Finding:
    if not parts.is_softmax:
        return Finding(MAYBE, ExposedBy.NO_LOSS)
    last, one = parts.depth, parts.samples == 1 and parts.depth not in parts.sent
    if one and parts.sees_bias(last):
        return Finding(YES, ExposedBy.ONE_LABEL, {"part": "bias"})
    if one and parts.sees_weights(last) and parts.sizes[-1] > 2:
        return Finding(YES, ExposedBy.ONE_LABEL, {"part": "column"})
    reads_last = parts.sees_weights(last) and last not in parts.sent and parts.samples <= parts.sizes[-2] + parts.affine(last)
    followed = reads_last or all(
        not isinstance(sigma, PiecewiseLinear) and size >= parts.sizes[-1]
        for sigma, size in zip(parts.activations, parts.sizes[1:-1], strict=True)
    )
    if samples.status is YES and followed:
        return Finding(YES, ExposedBy.WITH_SAMPLES)
    if reads_last and _features(parts, samples).status is YES:
        return Finding(YES, ExposedBy.WITH_SAMPLES)
    if samples.method is not None:
        return Finding(MAYBE, ExposedBy.WITH_SAMPLES)
    if parts.sees_bias(last) or parts.sees_weights(last):
        return Finding(MAYBE, ExposedBy.CLASSES)
    return Finding(MAYBE, ExposedBy.OPEN)

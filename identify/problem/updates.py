"""Observed updates, layer by layer: what users write for the target, completed and checked against the shapes of the network."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.base.options import LAYERS, SELF_TRAINED, choice, whole
from identify.problem.arrays import ShapeError
from identify.problem.network import Network, TwoLayerNetwork
from identify.problem.partial import check_known, known_array


class Update(NamedTuple):
    """The target for one layer: of its weights, in their shape, and of its bias; None for what was not observed.

    Rows and columns of the weights that were not sent are NaN, and so are such entries of the bias.
    """

    W: Float[np.ndarray, "out in"] | None
    bias: Float[np.ndarray, " out"] | None


def layer_numbers(layers: str | Collection[int], depth: int) -> tuple[int, ...]:
    """The numbers, from 1, that ``layers`` stands for: ``"both"`` for all, ``"first"``, ``"second"``, or some numbers."""
    if isinstance(layers, str):
        choice("layers", layers, LAYERS)
        return {"both": tuple(range(1, depth + 1)), "first": (1,), "second": (2,)}[layers]
    numbers = sorted({whole("layers", number, most=depth) for number in layers})
    if not numbers:
        raise InputError(f"layers: received none, expected some of 1 to {depth}, or one of {', '.join(LAYERS)}")
    return tuple(numbers)


def checked_updates(network: Network, given: list[Update]) -> tuple[Update, ...]:
    """Targets as arrays of the shapes of their parameters. Raises :class:`ShapeError` and :class:`UnsupportedError`."""
    names = [name for k in range(1, network.depth + 1) for name in names_of(network, k)]
    parts = [part for update in given for part in update]
    if all(part is None for part in parts):
        raise ShapeError("target: no layer was observed; pass W, a or both (minus the gradient for each trained layer)")
    checked = [checked_part(network, k, name, part) for k, (name, part) in enumerate(zip(names, parts, strict=True))]
    for k in range(0, len(checked), 2):
        check_known((names[k], names[k + 1]), checked[k], checked[k + 1])
    if not any(np.any(np.nan_to_num(part)) for part in checked if part is not None):
        raise ShapeError("target: every number is zero; expected a non-zero gradient or change")
    return tuple(map(Update, checked[::2], checked[1::2]))


def names_of(network: Network, layer: int) -> tuple[str, str]:
    """The names of the targets of a layer."""
    if isinstance(network, TwoLayerNetwork):
        return ("W", "bias") if layer == 1 else ("a", "output bias")
    return f"W{layer}", f"b{layer}"


def completed(network: Network, updates: Any) -> list[Update]:
    """An update for each layer, from a mapping by number or a sequence."""
    if isinstance(updates, Mapping):
        for number in updates:
            whole("layers", number, most=network.depth, advice=", the number of a layer")
        updates = [updates.get(k) for k in range(1, network.depth + 1)]
    if isinstance(updates, (str, np.ndarray)) or not isinstance(updates, Sequence) or len(updates) != network.depth:
        raise ShapeError(
            f"layers: received {type(updates).__name__}, expected a mapping from the number of a layer to (weights, bias), such as "
            "{1: (dW1, db1), 2: (dW2, None)}"
        )
    return [Update(None, None) if value is None else Update(*value) if _is_pair(value) else Update(value, None) for value in updates]


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2


def of_two_layers(network: Network, updates: list[Update], regime: str) -> tuple[Network, list[Update]]:
    """Held as a TwoLayerNetwork when nothing is lost: no output bias, or one without an update whose outputs do not matter."""
    if network.depth != 2 or isinstance(network, TwoLayerNetwork):
        return network, updates
    if network.has_output_bias and (updates[1].bias is not None or regime in SELF_TRAINED):
        return network, updates
    return network.two_layers(), updates


def checked_part(network: Network, index: int, name: str, part: Any) -> np.ndarray | None:
    """One target as an array of the shape of its parameters. Raises :class:`ShapeError`."""
    if part is None:
        return None
    layer, of_bias = divmod(index, 2)
    own = network.biases[layer] if of_bias else network.weights[layer]
    if own is None:
        raise ShapeError(
            f"{name}: received a target, but the network does not have biases there; pass {'bias=None' if name == 'bias' else 'None'}, "
            "or give the network its bias"
        )
    shape: tuple[int, ...] = network.a.shape if isinstance(network, TwoLayerNetwork) and (layer, of_bias) == (1, 0) else own.shape
    if layer == network.depth - 1 and network.n_outputs == 1 and not of_bias and _shape(part) in {(own.size,), own.shape}:
        part = np.reshape(part, shape)  # a row of numbers, or a matrix of one row
    meaning = "one number for each neuron" if of_bias else "the shape of the weights of that layer"
    return known_array(name, part, shape, f"a target with {meaning}")


def _shape(value: Any) -> tuple[int, ...]:
    try:
        return np.shape(value)
    except ValueError:  # rows of several lengths
        return ()

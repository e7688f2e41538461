"""Updates as they are sent in federated learning: arrays without names, in the order of the model's parameters.

A list or tuple of gradients, ``torch.nn.Parameter``s, or ``numpy.savez(path, *arrays)``. They are read if the shapes leave one sensible
reading: each matrix followed by its bias, every matrix taking what the one before it gives, all in one layout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identify.base.opening import shown

ANONYMOUS = re.compile(r"arr_\d+")
"""How NumPy names arrays that have no name."""
NOT_DENSE = {
    "running_mean": "batch normalisation mixes the samples of a batch, so that an update is not a sum over samples",
    "weight_g": "weight normalisation changes the gradient; save the weights themselves",
    "weight_v": "weight normalisation changes the gradient; save the weights themselves",
}
"""Parts of names that say what a layer is, and why it is not read."""
BY_DIMENSIONS = {
    1: "a normalisation, with a weight for each feature; KKTSystem.features takes the layers before a dense one as a known map",
    3: "a convolution in one dimension; KKTSystem.features takes it as a known map before a dense layer",
    4: "a convolution; KKTSystem.features takes it as a known map before a dense layer",
}
"""The kind of layer to which a weight with so many dimensions belongs."""


def numbered(arrays: Sequence[Any]) -> dict[str, Any]:
    """Arrays with the names that NumPy would give them; gradients that are None are left out."""
    return {f"arr_{k}": array for k, array in enumerate(arrays) if array is not None}


def is_numbered(arrays: Mapping[str, Any]) -> bool:
    """Whether no array has a name of its own."""
    return bool(arrays) and all(ANONYMOUS.fullmatch(name) for name in arrays)


def in_order(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The layers, if exactly one layout of the weights, (out, in) or (in, out), makes a chain of them; else None."""
    values = [np.asarray(array) for array in _sorted(arrays)]
    made = [found for found in (_chain(values, False), _chain(values, True)) if found is not None]
    return made[0] if len(made) == 1 else None


def shaped_like(arrays: Mapping[str, np.ndarray], model: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The parameters of a known model: all of them in order, or each at the only place that its shape fits; None if neither holds."""
    values, names = [np.asarray(array) for array in _sorted(arrays)], list(model)
    if len(values) == len(names):
        layouts = [[value.T if turn else value for value in values] for turn in (False, True)]
        fits = [all(part.shape == model[name].shape for part, name in zip(each, names, strict=True)) for each in layouts]
        if sum(fits) == 1:
            return dict(zip(names, layouts[fits.index(True)], strict=True))
        if sum(fits) == 2:  # every matrix is square
            return None
    places = [[name for name in names if value.shape in {model[name].shape, model[name].shape[::-1]}] for value in values]
    if any(len(fitting) != 1 for fitting in places) or len({name for (name,) in places}) < len(places):
        return None
    if any(value.ndim == 2 and value.shape[0] == value.shape[1] for value in values):
        return None
    return {name: value if value.shape == model[name].shape else value.T for (name,), value in zip(places, values, strict=True)}


def unread(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Layers that mix samples or are not dense, each with the reason why it is not read."""
    refused: dict[str, str] = {}
    for name, value in arrays.items():
        *before, part = re.split(r"[./]", name)
        layer = ".".join(before)
        why = NOT_DENSE.get(part) or (BY_DIMENSIONS.get(np.ndim(value)) if part in ("weight", "kernel") else None)
        if why is not None and (layer not in refused or part in NOT_DENSE):
            refused[layer] = f"{shown(name)}: {why}"
    return list(refused.values())


def _sorted(arrays: Mapping[str, Any]) -> list[Any]:
    return [arrays[name] for name in sorted(arrays, key=lambda name: int(name.rpartition("_")[2]))]


def _chain(values: Sequence[np.ndarray], turned: bool) -> dict[str, np.ndarray] | None:
    """W1, b1, W2, ... from matrices and the vectors behind them; None if they do not fit together."""
    made: dict[str, np.ndarray] = {}
    layer, before = 0, None
    for value in values:
        if value.ndim == 2:
            W = value.T if turned else value
            if before is not None and W.shape[1] != before:
                return None
            layer, before = layer + 1, len(W)
            made[f"W{layer}"] = W
        elif value.ndim == 1 and layer and f"b{layer}" not in made and len(value) == before:
            made[f"b{layer}"] = value
        else:
            return None
    return made if layer > 1 else None

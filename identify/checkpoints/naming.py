"""Which arrays of a file are the layers of its network: by their names, else by shapes that allow one network only."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import numpy as np

from identify.base.opening import ProblemFileError, listing, shown
from identify.base.options import natural
from identify.checkpoints.payloads import in_order, is_numbered, unread
from identify.checkpoints.shapes import Reading, readings

OWN_NAMES = re.compile(r"[Wb][1-9]\d*")
WEIGHTS, BIAS = ("weight", "kernel"), "bias"
"""How frameworks call them; a kernel is (inputs, outputs), a weight (outputs, inputs)."""
PARTS = (BIAS, "scale", "running_mean", "running_var", "weight_g", "weight_v")
"""Last parts of names that change what a network computes: if they belong to no dense layer, the network is not a plain one."""
OTHER = {"X", "x", "y", "c", "data", "images", "labels", "mean", "decay", "error_bars", "target_W", "target_a", "target_bias"}
"""Names that are never weights."""
MOST_TRIED = 10_000
"""Layers that are tried in search of an order."""
ADVICE = "choose with weights=[first, ..., last] (--weights, once for each layer), or save the layers as W1, b1, W2, ... with numpy.savez"


def layers(
    arrays: dict[str, np.ndarray], where: str, *, weights: Sequence[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights (out, in) and biases as ``W1``, ``b1``, ``W2``, ..., and the arrays that are none.

    Names are these, or those of a problem file (``W``, ``a``, ``bias``), or end in ``weight`` or ``kernel`` and ``bias``, as frameworks
    write them, in the order of their numbers. If they say nothing, the shapes must allow one network only. ``weights`` names the
    arrays that hold the weights, from the first layer to the last. Raises ProblemFileError if that leaves no network, or several.
    """
    if weights is not None:
        return _chosen(arrays, where, weights)
    own = {name: value for name, value in arrays.items() if OWN_NAMES.fullmatch(name)}
    if "W1" in own:
        return own, _without(arrays, own)
    if {"W", "a"} <= set(arrays):
        parts = {"W1": arrays["W"], "W2": np.atleast_2d(arrays["a"])} | ({"b1": arrays["bias"]} if "bias" in arrays else {})
        return parts, _without(arrays, ("W", "a", "bias"))
    if is_numbered(arrays):
        ordered = in_order(arrays)
        return (ordered, {}) if ordered is not None else _by_shape(arrays, where)
    named = _named(arrays)
    if not named:
        return _by_shape(arrays, where)
    mixing = unread(arrays)
    if mixing:
        raise ProblemFileError(where, f"has layers that are not dense: {'; '.join(mixing)}", "expected dense layers only")
    if len(named) < 2 or any(value.ndim != 2 for value in named.values()):
        expected = "W1, W2, ... and b1, ... for biases, or names that end in weight (or kernel) and bias"
        raise ProblemFileError(where, f"holds {listing(arrays)}", f"expected {expected}, two or more layers of weights with two dimensions")
    return _framework(arrays, where, {name: named[name] for name in _ordered(named, arrays, where)})


def _ordered(named: dict[str, np.ndarray], arrays: dict[str, np.ndarray], where: str) -> list[str]:
    """The order in which the layers act: the only one in which each takes what the one before it gives, or that of their numbers.

    Numbers alone do not tell it: Flax counts layers as they are made, and ``Dense(10)(Dense(64)(x))`` makes the last one first. They
    decide between several orders that the shapes allow, if names that differ in more than a number leave no choice.
    """
    names = sorted(named, key=natural)
    if len(chains := _chains(named, names)) == 1:
        return chains[0]
    numbered = _chains(named, names, in_order=True)
    if len(numbered) > 1:
        several = ", or ".join(", then ".join(map(shown, order)) for order in numbered)
        raise ProblemFileError(where, f"could be {several}", f"expected names whose numbers, or shapes, tell the order; {ADVICE}")
    return numbered[0] if numbered else names


def _chains(named: dict[str, np.ndarray], names: list[str], *, in_order: bool = False) -> list[list[str]]:
    """Up to two orders of all layers in which each takes what the one before it gives; two as well after :data:`MOST_TRIED` layers.

    ``in_order`` keeps names that differ in a number only in the order of their numbers.
    """
    kinds = {name: re.sub(r"\d+", "#", name) for name in names}
    stack: list[list[str]] = [[]]
    done: list[list[str]] = []
    for _ in range(MOST_TRIED):
        if not stack or len(done) == 2:
            return done
        order = stack.pop()
        if len(order) == len(names):
            done.append(order)
            continue
        left = [name for name in names if name not in order]
        first = {kinds[name]: name for name in reversed(left)}
        for name in reversed(left):
            if (order and len(named[order[-1]]) != named[name].shape[1]) or (in_order and first[kinds[name]] != name):
                continue
            stack.append([*order, name])
    return [names, names]


def _named(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with the names that frameworks give to weights, (out, in)."""
    return {name: value.T if name.endswith(WEIGHTS[1]) else value for name, value in arrays.items() if name.endswith(WEIGHTS)}


def _framework(arrays: dict[str, np.ndarray], where: str, found: dict[str, np.ndarray]) -> tuple[dict, dict]:
    """The layers ``found``, (out, in) and in order, with the biases whose names go with theirs."""
    order = list(found)
    for before, after in itertools.pairwise(order):
        if len(found[before]) != found[after].shape[1]:
            reason = f"{shown(after)} does not take the outputs of {shown(before)}"
            raise ProblemFileError(where, reason, f"the file holds {listing(arrays)}; {ADVICE}")
    named, used = {}, set(order)
    for k, name in enumerate(order, 1):
        bias = re.sub(f"({'|'.join(WEIGHTS)})$", BIAS, name)
        named[f"W{k}"] = found[name]
        if bias in arrays:
            named[f"b{k}"] = arrays[bias]
            used.add(bias)
    rest = _without(arrays, used)
    strange = {name: value for name, value in rest.items() if re.split(r"[./]", name)[-1] in PARTS}
    if strange:
        raise ProblemFileError(where, f"{listing(strange)} belong to no dense layer", "expected dense layers only")
    return named, rest


def _by_shape(arrays: dict[str, np.ndarray], where: str) -> tuple[dict, dict]:
    """The one network that the shapes allow."""
    usable = _usable(arrays)
    matrices = [name for name, value in usable.items() if value.ndim == 2]
    if all(re.search(r"\d", name) for name in matrices):
        usable = {name: usable[name] for name in sorted(usable, key=natural)}
    possible = readings({name: value.shape for name, value in usable.items()})
    if len(possible) != 1:
        expected = "W1, W2, ... and b1, ... for biases, names that end in weight (or kernel) and bias, or shapes of one network only"
        several = "; it could be " + ", or ".join(map(_told, possible[:4])) if possible else ""
        raise ProblemFileError(where, f"holds {listing(arrays)}{several}", f"expected {expected}; {ADVICE}")
    return _read(arrays, possible[0])


def _usable(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value for name, value in arrays.items() if name not in OTHER and value.dtype.kind in "iuf" and value.size}


def _chosen(arrays: dict[str, np.ndarray], where: str, weights: Sequence[str]) -> tuple[dict, dict]:
    missing = [name for name in weights if name not in arrays]
    if missing or len(set(weights)) < max(len(weights), 2):
        expected = f"expected two or more of the names in {where}: {listing(arrays)}"
        raise ProblemFileError("weights", f"received {list(weights)}", expected)
    known = _named({name: arrays[name] for name in weights})
    if len(known) == len(weights) and all(value.ndim == 2 for value in known.values()):
        return _framework(arrays, where, known)
    vectors = {name: value.shape for name, value in _usable(arrays).items() if value.ndim == 1 and name not in weights}
    possible = readings({**{name: arrays[name].shape for name in weights}, **vectors}, tuple(weights))
    if not possible:
        shapes = listing({name: arrays[name] for name in weights})
        raise ProblemFileError("weights", f"received {shapes}", "expected matrices each of which takes the outputs of the one before it")
    if len(possible) > 1:
        raise ProblemFileError(where, f"could be {', or '.join(map(_told, possible[:4]))}", "save the layers as W1, b1, W2, ... (out, in)")
    return _read(arrays, possible[0])


def _read(arrays: dict[str, np.ndarray], reading: Reading) -> tuple[dict, dict]:
    named: dict[str, np.ndarray] = {}
    for k, (name, bias) in enumerate(zip(reading.weights, reading.biases, strict=True), 1):
        value = arrays[name]
        named[f"W{k}"] = value[None] if value.ndim == 1 else value.T if reading.transposed else value
        if bias is not None:
            named[f"b{k}"] = arrays[bias]
    return named, _without(arrays, {*reading.weights, *reading.biases})


def _told(reading: Reading) -> str:
    layout = "(in, out)" if reading.transposed else "(out, in)"
    parts = [shown(name) + (f" + {shown(bias)}" if bias else "") for name, bias in zip(reading.weights, reading.biases, strict=True)]
    return f"{', then '.join(parts)}, each {layout}"


def _without(arrays: dict[str, np.ndarray], used) -> dict[str, np.ndarray]:
    return {name: value for name, value in arrays.items() if name not in used}

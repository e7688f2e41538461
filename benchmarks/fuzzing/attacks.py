"""Attacks, training and scores at numbers that no one means: beyond doubles, not finite, empty, of wrong shapes and types, without time.

Every input is one call, drawn from a seed. It has to end in an answer without NaN, or in an error of this package; nothing may warn.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import isfunction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import identify
from identify import attacks
from identify.attacks.rows import told
from identify.base.errors import IdentifyError

SHAPES = [(3, 4, 1), (4, 6, 5, 1), (3, 5, 3), (1, 2, 1)]
SIZES = [1.0, 1.0, 1.0, 0.0, 1e-320, 1e-300, 1e-200, 1e-150, 1e-38, 1e-6, 300.0, 1e6, 1e38, 1e77, 1e150, 1e154, 1e200, 1e300]
ACTIVATIONS = ["relu", "relu", "gelu", "tanh", "z + z^2/2", "z^3", "leaky_relu(0.1)"]
MANY = (10**400, 2**63)
NUMBERS = [
    0,
    0.0,
    -1,
    -0.0,
    1,
    0.5,
    1e-320,
    1e-9,
    1e300,
    float("nan"),
    float("inf"),
    -float("inf"),
    True,
    None,
    "1",
    "",
    *MANY,
    1j,
]
NUMBERS += [np.float32(0.5), np.array(1.0), np.array([]), np.array([1.0, 2.0]), [], [1, "x"], {}]
SAMPLES = 3
BUDGET = 2.0
ODD = 0.4
"""Share of calls in which some argument is replaced."""


@dataclass(frozen=True)
class Call:
    """A call, and what of its result has to be finite."""

    name: str
    function: Callable[..., Any]
    arguments: dict[str, Any]
    finite: tuple[str, ...] = ()
    or_infinite: tuple[str, ...] = ()
    """Infinite, but not NaN: errors of candidates that are far away."""

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={_shown(value)}' for name, value in self.arguments.items())})"


def calls(count: int, seed: int) -> Iterator[Call]:
    """Input k depends on the seed and on k only."""
    for number in range(count):
        call = None
        while call is None:
            call = _call(np.random.default_rng([seed, number]), number)
            number += count  # a network that is refused is not an input of an attack
        yield call


def judged(call: Call) -> str:
    """``refused``, ``answered``, or ``crash: reason``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = call.function(**call.arguments)
            text = f"{found!r}{found!s}"
    except IdentifyError as error:
        return "refused" if str(error) and str(error).isprintable() else f"crash: unclear: {error!r}"
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        return f"crash: {type(error).__name__}: {str(error)[:100]} at {_place(error)}"
    wrong = [name for name in call.finite if not np.isfinite(_part(found, name)).all()]
    wrong += [name for name in call.or_infinite if np.isnan(_part(found, name)).any()]
    return f"crash: not finite: {', '.join(wrong)}" if wrong or not text else "answered"


def _place(error: Exception) -> str:
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "identify" in Path(frame.filename).parts]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "another package"


def _part(found: Any, name: str) -> np.ndarray:
    """An attribute, by a path with dots; None counts as nothing, and "" is the result."""
    for each in name.split(".") if name else ():
        found = getattr(found, each)
    return np.array([] if found is None else found, float)


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 3:
        return (
            f"{value.shape} {value.dtype} up to {np.abs(value).max():.3g}" if value.dtype.kind in "fiu" else f"{value.shape} {value.dtype}"
        )
    if isinstance(value, attacks.Attack):
        return f"{value.name} {value.settings}"
    return value.__name__ if isfunction(value) else repr(value)[:120]


def _call(rng: np.random.Generator, number: int) -> Call | None:
    sizes = SHAPES[rng.integers(len(SHAPES))]
    activation = str(rng.choice(ACTIVATIONS))
    size = {name: float(rng.choice(SIZES)) for name in ("W1", "W2", "b", "X", "start", "rate")}
    has_bias = bool(rng.integers(2))
    try:
        net, other = (_network(rng, sizes, activation, size, has_bias) for _ in range(2))
        attack, labelled = _attack(rng, net, other, size)
    except IdentifyError:
        return None
    X = size["X"] * rng.standard_normal((SAMPLES, sizes[0]))
    match rng.integers(4):
        case 0:
            X[:] = X[0]
        case 1:
            X[:] = size["X"]
    several = sizes[-1] > 1
    y = rng.integers(sizes[-1], size=SAMPLES).astype(float) if several else np.where(rng.integers(2, size=SAMPLES), 1.0, -1.0)
    makers = [
        _reconstruct,
        _split,
        _diagnose,
        _stationarity,
        _corners,
        _vertices,
        _rows,
        _told,
        _inside,
        _train,
        _score,
        _random,
        _patterns,
        _made,
        _searched,
    ]
    call = makers[rng.integers(len(makers))](rng, net, attack, X, y, labelled, size, number)
    if rng.random() < ODD:
        for name in rng.choice(list(call.arguments), int(rng.integers(1, 3))):
            call.arguments[str(name)] = _odd(call.arguments[str(name)], rng)
        if any(call.arguments.get("steps") is many for many in MANY):  # as many as were asked for would be taken
            call.arguments["budget"] = BUDGET
    return call


def _odd(value: Any, rng: np.random.Generator) -> Any:
    """Another value in its place; for arrays, of another shape or with a number in it that is none."""
    if not isinstance(value, np.ndarray) or not value.size or rng.integers(3) == 0:
        return NUMBERS[rng.integers(len(NUMBERS))]
    value = np.array(value)
    match rng.integers(6):
        case 0:
            return value[:0]
        case 1:
            return value.T
        case 2:
            return value[..., None]
        case 3:
            return value.astype(str)
        case 4:
            return value[:-1]
        case _:
            value.flat[rng.integers(value.size)] = (np.nan, np.inf, 1e308, -5e-324)[rng.integers(4)]
            return value


def _network(rng: np.random.Generator, sizes: tuple[int, ...], activation: str, size: dict, has_bias: bool) -> identify.Network:
    layers = list(pairwise(sizes))
    W = [size["W2" if k else "W1"] * rng.standard_normal((out, into)) / into**0.5 for k, (into, out) in enumerate(layers)]
    match rng.integers(6):
        case 0:
            W[0][:] = W[0][0]
        case 1:
            W[0][0] = 0
    biases = [size["b"] * rng.standard_normal(out) for _, out in layers] if has_bias else None
    return identify.Network(W, biases=biases, activation=activation)


def _attack(rng: np.random.Generator, net: identify.Network, other: identify.Network, size: dict) -> tuple[attacks.Attack, bool]:
    """One of the published ones, and whether it takes labels."""
    options = {"rate": size["rate"] or 1e-3} if rng.integers(2) else {}
    match rng.integers(3):
        case 0:
            several = net.n_outputs > 1
            return (attacks.buzaglo(net, kind="multiclass", **options) if several else attacks.haim(net, **options)), True
        case 1:
            scale = {"start_scale": size["start"]} if rng.integers(2) and size["start"] else {}
            return attacks.buzaglo(net, kind="weight-decay", **options, **scale), False
    return attacks.loo(other if rng.integers(5) else net, net, **options), False


def _reconstruct(rng, net, attack, X, y, labelled, size, number) -> Call:
    arguments = {"attack": attack, "candidates": 4, "steps": 10, "trials": 2, "splitting": None, "budget": BUDGET, "seed": number}
    arguments["precision"] = ("float64", "float32")[rng.integers(2)]
    return Call("reconstruct", identify.reconstruct, arguments, ("X", "c"))


def _split(rng, net, attack, X, y, labelled, size, number) -> Call:
    splitting = identify.Splitting(every=5)
    arguments = {"attack": attack, "candidates": 4, "steps": 10, "splitting": splitting, "budget": BUDGET}
    return Call("reconstruct", identify.reconstruct, arguments, ("X", "c"))


def _diagnose(rng, net, attack, X, y, labelled, size, number) -> Call:
    arguments = {"attack": attack, "X": X, "labels": y if labelled else None, "signed": not labelled, "noise": 0.0, "budget": BUDGET}
    finite = ("stationarity.residual", "stationarity.multipliers", "kinks", "free", "hidden")
    return Call("diagnose", attacks.diagnose, arguments, finite, ("objective",))


def _stationarity(rng, net, attack, X, y, labelled, size, number) -> Call:
    arguments = {"attack": attack, "X": X, "labels": y if labelled else None, "signed": not labelled, "budget": None}
    return Call("stationarity", attacks.stationarity, arguments, ("residual", "multipliers"))


def _corners(rng, net, attack, X, y, labelled, size, number) -> Call:
    arguments = {"network": net, "low": -1.0, "high": 1.0, "noise": 0.0, "dimension": None, "kinks": 10.0, "starts": 10}
    return Call("corners", attacks.corners, arguments | {"seed": number, "budget": BUDGET}, ("X", "cost"))


def _vertices(rng, net, attack, X, y, labelled, size, number) -> Call:
    noise = float(rng.choice([0.0, 0.0, size["start"]]))
    arguments = {"network": net, "low": -1.0, "high": 1.0, "noise": noise, "dimension": None, "starts": 8, "seed": number, "budget": BUDGET}
    return Call("vertices", attacks.vertices, arguments, ("X", "leverage"))


def _patterns(rng, net, attack, X, y, labelled, size, number) -> Call:
    """One network, or two checkpoints that may have nothing to do with each other."""
    initial = None
    if rng.integers(2):
        changes = {name: size["start"] * rng.standard_normal(part.shape) for name, part in net.parameters.items()}
        initial = net.with_parameters({name: part + changes[name] for name, part in net.parameters.items()})
    arguments = {"network": net, "initial": initial, "noise": 0.0, "dimension": None, "tolerance": 0.05, "starts": 4}
    return Call("patterns", attacks.patterns, arguments | {"seed": number, "budget": BUDGET}, ("X",))


def _rows(rng, net, attack, X, y, labelled, size, number) -> Call:
    return Call("row_space", attacks.row_space, {"W1": net.parameters["W1"], "noise": size["start"], "dimension": None}, ("",))


def _told(rng, net, attack, X, y, labelled, size, number) -> Call:
    return Call("told", told, {"W1": net.parameters["W1"]}, ("",))


def _inside(rng, net, attack, X, y, labelled, size, number) -> Call:
    return Call("in_row_space", attacks.in_row_space, {"attack": attack, "noise": size["start"], "dimension": None}, ("basis",))


def _train(rng, net, attack, X, y, labelled, size, number) -> Call:
    loss = "logistic" if net.n_outputs == 1 else "cross-entropy"
    arguments = {"network": net, "X": X, "y": y, "loss": loss, "rate": size["rate"] or 1e-2, "steps": 20, "momentum": 0.0, "enough": 0.0}
    arguments |= {"decay": float(rng.choice([0.0, 1e-3, size["start"]])), "linearised": bool(rng.integers(2)), "budget": BUDGET}
    return Call("train", attacks.train, arguments, ("loss", "gradient", "margins"))


def _score(rng, net, attack, X, y, labelled, size, number) -> Call:
    found = float(rng.choice(SIZES)) * rng.standard_normal((SAMPLES + 1, X.shape[1]))
    if rng.integers(4) == 0:
        found[:] = found[0, 0]
    held_out = rng.standard_normal((6, X.shape[1])) if rng.integers(3) == 0 else None
    arguments = {"candidates": found, "images": X, "group": str(rng.choice(["none", "sign", "scaling"])), "held_out": held_out, "trials": 3}
    arguments |= {"mean": None, "support": None, "seed": number, "window": 3, "data_range": 1.0}
    return Call("score", attacks.score, arguments, ("correlations",), ("errors",))


def _random(rng, net, attack, X, y, labelled, size, number) -> Call:
    arguments = {"sizes": (3, 4, 1), "activation": "relu", "biases": "first", "first_scale": size["start"], "seed": number}
    return Call("random_network", attacks.random_network, arguments)


def _made(rng, net, attack, X, y, labelled, size, number) -> Call:
    """An attack with odd settings, and two steps of it."""
    several = net.n_outputs > 1
    make = attacks.buzaglo if several else attacks.haim
    arguments: dict[str, Any] = {"network": net, "start_scale": size["start"], "rate": size["rate"] or 0.1, "multiplier_rate": 1e-4}
    arguments |= {"bound": 0.2, "sharpness": 20.0, "steps": 100} | ({"kind": "multiclass"} if several else {})
    return Call(make.__name__, lambda **given: identify.reconstruct(make(**given), candidates=2, steps=2), arguments, ("X", "c"))


def _searched(rng, net, attack, X, y, labelled, size, number) -> Call:
    ends = (size["start"], size["rate"])
    arguments = {"make": lambda **drawn: attacks.buzaglo(net, kind="weight-decay", **drawn), "ranges": {"start_scale": ends}, "fixed": {}}
    return Call("RandomSearch", lambda **given: identify.reconstruct(attacks.RandomSearch(**given), candidates=2, steps=2), arguments)

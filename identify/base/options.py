"""The names that options may have, each list written once: for the checks, the command line, its help and its completion.

Plain tuples in a module of their own, so that a shell that completes a word need not load the libraries that do the work.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable
from difflib import get_close_matches
from math import inf
from numbers import Integral, Real
from typing import TypeVar

from identify.base.errors import InputError, WrongTypeError

Name = TypeVar("Name")

REGIMES = ("gradient", "lazy", "weight-decay", "max-margin")
SELF_TRAINED = ("weight-decay", "max-margin")
"""Regimes in which the network was trained on the data themselves."""
TRAINING_LOSSES = ("softmax", "logistic", "square")
"""The losses of training in several steps: softmax cross-entropy with one class for each sample; the logistic loss of one output; the mean
square over samples and outputs."""
LAYERS = ("both", "first", "second")
CONDITIONS = (
    *("interpolation", "completion", "decomposition", "scale", "generic-global", "macaulay", "one-sample"),
    *("quadrics", "enumeration", "realisation", "joint-slopes", "separation", "some-layers", "pattern", "competitors"),
    *("local", "multiplicity", "count", "witness", "reduction"),
)
"""The conditions, in the order of a report."""
METHODS = ("auto", "algebraic", "separate", "projection", "birth", "splitting", "joint")
"""The methods of a recovery: a choice by itself, the algebra, and every search."""
PROGRAMS = ("msolve", "singular", "macaulay2", "phcpack", "julia", "sage", "smtlib")
"""The programs for which a KKT system can be written."""
PRECISIONS = ("float64", "float32")
ATTACKS = ("haim", "multiclass", "weight-decay", "loo")
PICTURES = ("png", "svg")
AXES = (
    *("inputs", "samples", "width", "activation", "outputs", "bias", "layers", "regime"),
    *("seed", "noise", "method", "starts", "budget", "tolerance"),
)
"""The axes of a sweep."""
THEOREMS = (
    *("reduction", "interpolation", "interpolation-width", "scale", "jennrich", "kruskal", "reshaped-kruskal", "generic-decomposition"),
    *("perfect-decomposition", "several-outputs", "joint-moments", "moments", "local", "generic-global"),
    *("macaulay", "completion", "one-sample", "multiplicity", "multiple-points"),
    *("separation", "pattern", "bases", "quadrics", "enumeration", "isolation", "some-layers"),
    *("softmax-head", "realisation", "joint-slopes", "lines", "exchange", "count", "rotation", "fibre", "row-space", "splitting"),
)
"""The theorems, in the order of the theory."""
HAIM_PRESETS = {
    "cifar-1": {"start_scale": 8.86e-4, "rate": 0.555, "bound": 0.498, "sharpness": 19.1},
    "cifar-2": {"start_scale": 4.47e-3, "rate": 0.346, "bound": 0.494, "sharpness": 21.7},
    "mnist-1": {"start_scale": 0.0350, "rate": 0.0305, "bound": 0.447, "sharpness": 149.9},
    "mnist-2": {"start_scale": 1.74e-3, "rate": 0.282, "bound": 0.415, "sharpness": 19.2},
}
"""Settings of the runs that :func:`~identify.attacks.published.haim` reports as its best."""
BUZAGLO_PRESETS = {
    "multiclass-1": {"start_scale": 6.2e-5, "rate": 1.36e-3, "multiplier_rate": 0.479, "bound": 0.203, "sharpness": 39.5},
    "multiclass-2": {"start_scale": 3.6e-4, "rate": 2.4e-4, "multiplier_rate": 0.951, "bound": 0.040, "sharpness": 326.0},
    "weight-decay-1": {"start_scale": 0.0197, "rate": 0.952, "sharpness": 90.3},
    "weight-decay-2": {"start_scale": 0.0137, "rate": 0.872, "sharpness": 107.4},
    "weight-decay-3": {"start_scale": 3.5e-6, "rate": 0.949, "sharpness": 103.7},
}
"""Settings of :func:`~identify.attacks.published.buzaglo`; a name begins with the kind."""
LARGEST_SEED = 2**53 - 1
"""Results keep their seeds in JSON, and many readers of JSON round integers beyond this one."""


def choice(name: str, value: Name, options: Iterable[Name]) -> Name:
    """``value`` if it is one of ``options``; an :class:`InputError` that lists them otherwise, and names the nearest."""
    known = tuple(options)
    if not isinstance(value, Hashable) or value not in known:  # arrays are compared by their numbers
        raise InputError(f"{name}: {unknown(value, known)}")
    return value


def whole(
    name: str, value: object, *, least: int = 1, most: int | None = None, advice: str = "", error: type[InputError] = InputError
) -> int:
    """``value`` as an int if it is an integer in range (True and 2.0 are not); an ``error`` otherwise.

    ``advice`` ends the sentence about what was expected, as in ``", or None to estimate it"``.
    """
    if type(value) is int and value >= least and (most is None or value <= most):  # as nearly always, within loops
        return value
    integer = None if isinstance(value, bool) or not isinstance(value, Integral) else int(value)
    if integer is None or integer < least or (most is not None and integer > most):
        expected = f"an integer of at least {least}" if most is None else f"an integer from {least} to {most}"
        raise error(f"{name}: received {value!r}, expected {expected}{advice}")
    return integer


def valid_seed(value: object, *, name: str = "seed", runs: int = 1, error: type[InputError] = InputError) -> int:
    """``value`` as an int if it is a seed, from 0 to :data:`LARGEST_SEED`; an ``error`` otherwise.

    With ``runs`` all of value, value + 1, ... have to be seeds.
    """
    return whole(name, value, least=0, most=LARGEST_SEED - runs + 1, error=error)


def positive(
    name: str, value: object, *, below: float = inf, unit: str = "", advice: str = "", error: type[InputError] = InputError
) -> float:
    """``value`` as a float if it is a finite number above 0 and ``below`` a bound (True is not a number); an ``error`` otherwise."""
    real = _real(value)
    if real is None or not 0 < real < below:
        bound = "" if below == inf else f" below {below:g}"
        raise error(f"{name}: received {value!r}, expected a positive number{unit and f' of {unit}'}{bound}{advice}")
    return real


def number(
    name: str, value: object, *, least: float = 0.0, below: float = inf, advice: str = "", error: type[InputError] = InputError
) -> float:
    """``value`` as a float if it is a finite number from ``least`` on and ``below`` a bound (True is not one); an ``error`` otherwise."""
    real = _real(value)
    if real is None or not least <= real < below:
        bound = "" if below == inf else f" and below {below:g}"
        raise error(f"{name}: received {value!r}, expected a number of at least {least:g}{bound}{advice}")
    return real


def instance(name: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Raise :class:`WrongTypeError` for a value of another type, such as a path in place of what is in the file."""
    if not isinstance(value, kinds):
        raise WrongTypeError(f"{name}: received {type(value).__name__}, expected {expected}")


def _real(value: object) -> float | None:
    try:
        return None if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    except OverflowError:  # an integer beyond every float
        return None


def natural(name: str) -> list[tuple[int, str]]:
    """A key for sorting names with numbers in them, by the numbers: w_2 before w_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,9})", name)]


def unknown(value: object, known: Collection[object]) -> str:
    """The sentence about a value that is none of those known."""
    return f"received {value!r}, expected one of {', '.join(map(str, known))}{nearest(value, known)}"


def nearest(value: object, known: Iterable[object]) -> str:
    """The end of an error if a name was probably misspelt; nothing if no known one is near."""
    near = get_close_matches(str(value), map(str, known), n=1)
    return f"; did you mean {near[0]}?" if near else ""

"""The names of activations: which are known, their spellings and parameters, and which are refused, with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

from identify.problem.formulas import ActivationError, decimal
from identify.problem.functions import FORMULAS
from identify.problem.lines import HARD_SIGMOID, Lines

Parameter = Fraction | list[Fraction]


class Builder(NamedTuple):
    """The activations for which a name stands."""

    name: str
    """The canonical one."""
    make: Callable[..., Lines | str]
    """Parameters -> the pieces, or the name of an analytic function."""
    defaults: tuple[Fraction, ...] = ()
    shape: str = ""
    """The parameters as an error shows them."""
    lists: bool = False


def normal(name: str) -> str:
    """Lower case, without underscores, hyphens and blanks: ``LeakyReLU`` and ``leaky_relu`` are one name."""
    return re.sub(r"[_\-\s]", "", name).lower()


def _relu() -> Lines:
    return Lines.of([0], [0, 1])


def _leaky(slope: Fraction) -> Lines:
    return Lines.of([0], [slope, 1])


def _abs() -> Lines:
    return Lines.of([0], [-1, 1], 0, [0])


def _clip(low: Fraction, high: Fraction) -> Lines:
    return Lines.of([low, high], [0, 1, 0], low, [0, 0])


def _shrink(size: Fraction) -> Lines:
    return Lines.of([-size, size], [1, 0, 1], 0, [0, 0])


def _general(breakpoints, slopes, value=Fraction(0), kinks=None) -> Lines:
    return Lines.of(breakpoints, slopes, value, kinks)


_PIECEWISE = (
    Builder("relu", _relu),
    Builder("leaky_relu", _leaky, (Fraction(1, 100),), "slope for z < 0"),
    Builder("abs", _abs),
    Builder("relu6", lambda: _clip(Fraction(0), Fraction(6))),
    Builder("hard_tanh", _clip, (Fraction(-1), Fraction(1)), "low, high"),
    Builder("hard_sigmoid", lambda: HARD_SIGMOID),
    Builder("soft_shrink", _shrink, (Fraction(1, 2),), "size"),
    Builder("piecewise_linear", _general, (), "[breakpoints], [slopes], value at the first breakpoint, [slopes at breakpoints]", True),
)
_ALIASES = {
    "prelu": "leaky_relu",
    "absolute": "abs",
    "swish": "silu",
    "logistic": "sigmoid",
    "expit": "sigmoid",
    "exponential": "exp",
    "atan": "arctan",
    "gelu_new": "gelu_tanh",
    "gelu_approximate": "gelu_tanh",
}
_OWN = {builder.name: builder for builder in _PIECEWISE} | {name: Builder(name, lambda name=name: name) for name in FORMULAS}
BUILDERS: dict[str, Builder] = {normal(name): builder for name, builder in _OWN.items()} | {
    normal(alias): _OWN[name] for alias, name in _ALIASES.items()
}
"""By the normal form of every known spelling."""

_ONE_SIDED = "is analytic on each side of a point, but not there, and is none of the three kinds: polynomial, piecewise-linear, analytic"
_JUMPS = "is not continuous; expected a polynomial, or a continuous piecewise-linear or an analytic function"
_MIXES = "acts on several neurons together; expected a function of one number"
_LINEAR = (
    "is linear, and the gradients of a linear network reveal nothing of the data beyond sum_i c_i x_i; expected a function that is not"
)
REFUSED: dict[str, str] = {
    **dict.fromkeys(("elu", "selu", "celu", "softsign", "hardswish", "hardsilu", "squaredrelu", "relusquared", "relu2"), _ONE_SIDED),
    **dict.fromkeys(("hardshrink", "threshold", "step", "heaviside", "sign"), _JUMPS),
    **dict.fromkeys(("softmax", "logsoftmax", "softmin", "glu", "maxout", "crelu"), _MIXES),
    **dict.fromkeys(("identity", "linear"), _LINEAR),
    "rrelu": "has random slopes in training; expected a function, such as leaky_relu with the slope that was used",
}
"""By normal name."""


def known_names() -> list[str]:
    """Canonical names and aliases."""
    return [*_OWN, *_ALIASES]


def parameters(text: str, builder: Builder, inside: str | None) -> Sequence[Parameter]:
    """The numbers in the parentheses after a name, or the defaults. Raises :class:`ActivationError`."""
    if inside is None and not builder.lists:
        return builder.defaults
    parts = re.findall(r"\s*(\[[^\[\]]*\]|[^,\[\]]+)\s*(?:,|$)", inside or "") if (inside or "").strip() else []
    values = [_parameter(part) for part in parts]
    is_whole = re.sub(r"\s", "", ",".join(parts)) == re.sub(r"\s", "", inside or "").rstrip(",")
    read = [value for value in values if value is not None]
    if not is_whole or len(read) < len(parts) or not _fits(builder, read):
        expected = f"{builder.name}({builder.shape}), numbers" if builder.shape else f"'{builder.name}' alone: it has no parameters"
        raise ActivationError(f"activation {text!r}: received the parameters {inside!r}, expected {expected}")
    return read


def _fits(builder: Builder, values: Sequence[Parameter]) -> bool:
    if not builder.lists:
        return len(values) == len(builder.defaults) and not any(isinstance(value, list) for value in values)
    return 2 <= len(values) <= 4 and [isinstance(value, list) for value in values] == [True, True, False, True][: len(values)]


def _parameter(text: str) -> Parameter | None:
    """A number, or a list of numbers in brackets; None for other text."""
    if not text.startswith("["):
        return decimal(text.replace(" ", ""))
    numbers = [decimal(part.replace(" ", "")) for part in text[1:-1].split(",") if part.strip()]
    read = [number for number in numbers if number is not None]
    return read if len(read) == len(numbers) else None

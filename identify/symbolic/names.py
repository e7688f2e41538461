"""The symbols of a KKT system, with the names of the field: x_i_k, lambda_i, y_i, w_j_k, a_j, b_j; all indices from 1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from sympy import Symbol

GREEK = {"lambda": r"\lambda", "gamma": r"\gamma", "decay": r"\mu", "M": "M"}


@dataclass(frozen=True, kw_only=True)
class DataNames:
    """Symbols for the data of one system, and arrays of symbols of any shape.

    ``signed``: the multiplier of sample i is one unknown c_i of either sign; otherwise it is lambda_i y_i with the label
    y_i a parameter. For several outputs it is the vector gamma_i.
    """

    inputs: int
    samples: int
    outputs: int
    signed: bool

    def grid(self, stem: str, *shape: int) -> np.ndarray:
        """An array of symbols ``stem_i_j`` of the given shape."""
        out = np.empty(shape, dtype=object)
        for index in np.ndindex(*shape):
            out[index] = Symbol("_".join([stem, *(str(k + 1) for k in index)]))
        return out

    @cached_property
    def x(self) -> np.ndarray:
        return self.grid("x", self.samples, self.inputs)

    @cached_property
    def multipliers(self) -> np.ndarray:
        """lambda_i, c_i, or gamma_i_o: shape (n, C)."""
        if self.outputs > 1:
            return self.grid("gamma", self.samples, self.outputs)
        return self.grid("c" if self.signed else "lambda", self.samples).reshape(-1, 1)

    @cached_property
    def y(self) -> np.ndarray | None:
        """Labels, if the multiplier is lambda_i y_i."""
        return None if self.signed or self.outputs > 1 else self.grid("y", self.samples)

    @cached_property
    def responses(self) -> np.ndarray:
        """The responses y_i of the square loss."""
        return self.grid("y", self.samples)


@dataclass(frozen=True, kw_only=True)
class Names(DataNames):
    """Symbols for the sizes of one system of two layers, in the notation w_j_k, b_j, a_j."""

    width: int
    bias: bool

    @cached_property
    def w(self) -> np.ndarray:
        return self.grid("w", self.width, self.inputs)

    @cached_property
    def a(self) -> np.ndarray:
        """Second layer, shape (C, m)."""
        return self.grid("a", self.outputs, self.width) if self.outputs > 1 else self.grid("a", self.width).reshape(1, -1)

    @cached_property
    def b(self) -> np.ndarray | None:
        return self.grid("b", self.width) if self.bias else None


@dataclass(frozen=True, kw_only=True)
class LayerNames(DataNames):
    """Symbols for a network of any depth; layers are counted from 0 here, and from 1 in the names.

    Two layers without an output bias have the names of :class:`Names`. Others have the number of the layer in the stem:
    ``w2_j_k``, ``b2_j``, ``tw2_j_k``. What belongs to a sample has its number first: ``s_i_j`` (two layers), ``s1_i_j``, ``z1_i_j``.
    """

    widths: tuple[int, ...]
    biases: tuple[bool, ...]
    """Whether each layer of weights has a bias."""

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.inputs, *self.widths, self.outputs)

    @property
    def depth(self) -> int:
        """The number of layers of weights."""
        return len(self.biases)

    @property
    def is_numbered(self) -> bool:
        """Whether the number of a layer is part of the names of its symbols."""
        return self.depth > 2 or self.biases[-1]

    def weights(self, layer: int, target: bool = False) -> np.ndarray:
        """w, of shape (out, in), or its target."""
        out, inside = self.sizes[layer + 1], self.sizes[layer]
        mark = "t" if target else ""
        if self.is_numbered:
            return self.grid(f"{mark}w{layer + 1}", out, inside)
        if layer == 0:
            return self.grid(f"{mark}w", out, inside)
        return self.grid(f"{mark}a", inside).reshape(1, -1) if out == 1 else self.grid(f"{mark}a", out, inside)

    def bias(self, layer: int, target: bool = False) -> np.ndarray:
        """b, of shape (out,), or its target."""
        return self.grid(f"{'t' if target else ''}b{layer + 1 if self.is_numbered else ''}", self.sizes[layer + 1])

    def hidden(self, stem: str, layer: int, *more: int) -> np.ndarray:
        """The symbols of each sample for each neuron of a hidden layer: z, h, u, or s (``more`` symbols for each)."""
        return self.grid(f"{stem}{layer + 1 if self.is_numbered else ''}", self.samples, self.widths[layer], *more)


NUMBER = 34
"""Characters of a double as the fraction that it is, such as 3602879701896397/36028797018963968."""


class Lengths(NamedTuple):
    """About how many characters symbols take, as text or as LaTeX, separators included."""

    mark: int
    """The mark beside the indices of a symbol with two of them."""
    x: int
    multiplier: int
    numbers: bool

    @classmethod
    def of(cls, names: DataNames, numbers: bool, tex: bool) -> Lengths:
        mark = 6 if tex else 3
        multiplier = (2 if names.outputs == 1 else names.outputs) * (mark + 4 + len(str(names.samples)))
        return cls(mark, mark + len(str(names.samples)) + len(str(names.inputs)), multiplier, numbers)

    def weight(self, out: int, inside: int) -> int:
        return NUMBER if self.numbers else self.mark + len(str(out)) + len(str(inside))


def has_superscript(symbol: Symbol) -> bool:
    """Whether its LaTeX has one: that of a target, or of what belongs to a numbered layer."""
    stem = symbol.name.split("_")[0]
    return stem[-1].isdigit() or stem in ("tw", "tb", "ta")


def latex_name(symbol: Symbol) -> str:
    """``x_1_2`` as ``x_{1,2}``, with Greek stems, targets t^W, t^b, t^a, and numbers of layers as in ``w^{(2)}_{1,1}``."""
    stem, *index = symbol.name.split("_")
    letters = stem.rstrip("0123456789")
    number = stem[len(letters) :]
    if letters in ("tw", "tb", "ta"):
        inner = letters[1].replace("w", "W") + (f"_{{{number}}}" if number else "")
        stem = f"t^{{{inner}}}"
    elif number:
        stem = f"{letters}^{{({number})}}"
    stem = GREEK.get(stem, stem)
    return f"{stem}_{{{','.join(index)}}}" if index else stem

"""The symbols of a KKT system, with the names of the field: x_i_k, lambda_i, y_i, w_j_k, a_j, b_j; all indices from 1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sympy import Symbol

GREEK = {"lambda": r"\lambda", "gamma": r"\gamma", "decay": r"\mu", "M": "M"}


@dataclass(frozen=True)
class Names:
    """Symbols for the sizes of one system.

    ``signed``: the multiplier of sample i is one unknown c_i of either sign; otherwise it is lambda_i y_i with the label
    y_i a parameter. For several outputs it is the vector gamma_i.
    """

    inputs: int
    samples: int
    width: int
    outputs: int
    bias: bool
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
        """Labels, where the multiplier is lambda_i y_i."""
        return None if self.signed or self.outputs > 1 else self.grid("y", self.samples)

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

    @property
    def unknowns(self) -> tuple[Symbol, ...]:
        """x_1_1, ..., x_n_d, then the multipliers."""
        return (*self.x.ravel(), *self.multipliers.ravel())


def latex_name(symbol: Symbol) -> str:
    """``x_1_2`` as ``x_{1,2}``, with Greek stems and targets t^W, t^b, t^a."""
    stem, *index = symbol.name.split("_")
    if stem in ("tw", "tb", "ta"):
        stem = f"t^{{{stem[1].replace('w', 'W')}}}"
    stem = GREEK.get(stem, stem)
    return f"{stem}_{{{','.join(index)}}}" if index else stem

"""A question about a two-layer network in exact numbers, for an oracle that answers it completely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import numpy as np
from flint import fmpq

from identify.base.errors import InputError
from identify.problem.activation import Activation, Kind, as_activation
from identify.theory.oracle.polyhedra import Vector

Sigma = TypeVar("Sigma", bound=Activation)


@dataclass(frozen=True, eq=False)
class Posed(Generic[Sigma]):
    """A network, data that make the target, and which layers are seen: ``"first"`` (weights, and biases if there are any) or ``"both"``.

    ``b`` is None without biases; ``A`` has one row and ``c`` one column for each output. Numbers are taken exactly, floats as the
    dyadic rationals that they are.
    """

    kind: ClassVar[Kind]
    """Of the activations that the oracle knows."""

    sigma: Sigma
    W: list[Vector]
    b: Vector | None
    A: list[Vector]
    X: list[Vector]
    c: list[Vector]
    layers: str

    @classmethod
    def of(cls, activation: Any, W: Any, b: Any, A: Any, X: Any, c: Any, layers: str) -> Self:
        """From arrays of integers, floats or fractions."""
        sigma = as_activation(activation)
        if sigma.kind != cls.kind:
            raise InputError(f"activation: received {sigma}, expected one that is {cls.kind}")
        if layers not in ("first", "both"):
            raise InputError(f"layers: received {layers!r}, expected 'first' or 'both'")
        return cls(cast("Sigma", sigma), matrix(W), None if b is None else matrix([b])[0], matrix(A), matrix(X), matrix(c), layers)


def rational(value: Any) -> fmpq:
    """An integer, a fraction or a float as the rational number that it is."""
    if isinstance(value, fmpq):
        return value
    numerator, denominator = value.as_integer_ratio()
    return fmpq(int(numerator), int(denominator))


def matrix(rows: Any) -> list[Vector]:
    """Rows of such numbers."""
    return [[rational(v) for v in row] for row in np.array(rows, dtype=object).tolist()]

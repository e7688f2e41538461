"""Numbers, activations and networks as certificates write them: exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from identify.exact.instance import Instance
from identify.problem.activation import Activation, Analytic, PiecewiseLinear
from identify.problem.network import Network


def row_count(instance: Instance) -> int:
    """Equations, in the coordinates of the instance."""
    seen = instance.observed
    return instance.width * (instance.coordinates * seen.W + seen.bias + instance.n_outputs * seen.a)


def exact_doubles(values: Any) -> Any:
    """The floats again, in nested lists."""
    return float.fromhex(values) if isinstance(values, str) else [exact_doubles(value) for value in values]


def hexadecimal(values: np.ndarray | None) -> Any:
    """Floats as exact hexadecimal strings, in nested lists like the array."""
    if values is None:
        return None
    if values.ndim == 1:
        return [float(v).hex() for v in values]
    return [hexadecimal(row) for row in values]


def written(sigma: Activation) -> dict[str, Any]:
    """An activation as the checker reads it."""
    if isinstance(sigma, Analytic):
        return {"kind": sigma.kind, "name": sigma.name}
    if isinstance(sigma, PiecewiseLinear):
        lists = {name: [str(v) for v in getattr(sigma, name)] for name in ("breakpoints", "slopes", "kinks")}
        return {"kind": sigma.kind, "value": str(sigma.lines.value)} | lists
    return {"kind": sigma.kind, "coefficients": [str(s) for s in sigma.coefficients]}


def written_network(network: Network) -> dict[str, Any]:
    """Weights and biases as exact hexadecimal floats."""
    return {
        "weights": [hexadecimal(W) for W in network.weights],
        "biases": [hexadecimal(b) for b in network.biases],
    }

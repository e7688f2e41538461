r"""What may have happened to a target before an analyst sees it: rounding, unfinished training, rounded weights.

Each is a size relative to the norm of the target. Rounding the target to single precision is a bound; the others are norms of
actual changes: the residual of the given data, and how far the equations move when all weights are rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Real

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.base.norms import relative_size
from identify.problem.arrays import finite_array
from identify.problem.network import Network, TwoLayerNetwork
from identify.problem.system import SELF_TRAINED, KKTSystem

WEIGHT_BITS = (8, 16, 24)
FLOAT32, RESIDUAL = "float32 target", "residual of these data"


def default_perturbations(system: KKTSystem, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> dict[str, float]:
    """Norms of the perturbations of the target that are looked at by default, relative to its own."""
    t = system.target
    residual = t - system.right_hand_side(X, c)
    sizes = {
        FLOAT32: 2.0**-24,
        RESIDUAL: relative_size(residual, t),
    }
    for bits in WEIGHT_BITS:
        other = with_rounded_weights(system, bits)
        change = (_target_of(other, system, bits) - other.right_hand_side(X, c)) - residual
        sizes[f"weights of {bits} bits"] = relative_size(change, t)
    return sizes


def round_to_bits(values: Float[np.ndarray, "*shape"], bits: int) -> Float[np.ndarray, "*shape"]:
    """Nearest numbers with so many significant bits: 24 as float32, 11 as float16, 8 as bfloat16, exponents unbounded.

    Examples
    --------
    >>> round_to_bits(np.array([1.0, 1.0078125, 1.00390625, -3.3]), 8).tolist()
    [1.0, 1.0078125, 1.0, -3.296875]
    """
    fraction, exponent = np.frexp(values)
    largest = np.finfo(float).max
    with np.errstate(over="ignore"):
        return np.clip(np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits), -largest, largest)


def with_rounded_weights(system: KKTSystem, bits: int) -> KKTSystem:
    """The same target, with gradients taken at the network of rounded weights."""
    net = system.network
    bias = None if net.bias is None else round_to_bits(net.bias, bits)
    return replace(system, network=TwoLayerNetwork(round_to_bits(net.W, bits), round_to_bits(net.a, bits), net.activation, bias=bias))


def _target_of(rounded: KKTSystem, system: KKTSystem, bits: int) -> np.ndarray:
    """The target that an analyst forms who sees rounded weights only; a gradient is observed as it is."""
    if system.regime == "gradient":
        return system.target
    theta, theta_rounded = (_parameters(s.network, system) for s in (system, rounded))
    if system.regime in SELF_TRAINED:
        factor = 1.0 if system.decay is None else system.decay
        return system.target + factor * (theta_rounded - theta)
    return round_to_bits(theta + system.target, bits) - theta_rounded


def _parameters(net: Network, system: KKTSystem) -> np.ndarray:
    """The parameters of the observed rows, in the order of the target."""
    parts = zip((net.W, net.offsets, net.a), system.observed, strict=True)
    return np.concatenate([part.reshape(-1) for part, seen in parts if seen])


def stated_perturbations(perturbations: Mapping[str, float | np.ndarray], system: KKTSystem) -> dict[str, float]:
    """Relative norms of perturbations that the caller names."""
    if not perturbations:
        raise InputError("perturbations: received none, expected at least one by name; pass None for the usual ones")
    sizes = {}
    for name, value in perturbations.items():
        label = f"perturbations[{name!r}]"
        if np.ndim(value):
            change = finite_array(label, value, (system.n_equations,), "one number for each equation")
            sizes[name] = relative_size(change, system.target)
        elif isinstance(value, Real) and 0 <= value < np.inf:
            sizes[name] = float(value)
        else:
            raise InputError(f"{label}: received {value!r}, expected a relative size of at least 0, or one number for each equation")
    return sizes

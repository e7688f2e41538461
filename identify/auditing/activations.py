"""Activations that an audit knows by name, and the distance of polynomials from them in the range of the pre-activations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit, ndtr

from identify.problem.activation import Activation, ActivationError

RELU = "relu"
SMOOTH: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "sigmoid": expit,
    "softplus": lambda z: np.logaddexp(0, z),
    "silu": lambda z: z * expit(z),
    "gelu": lambda z: z * ndtr(z),
}
FUNCTIONS = {RELU: lambda z: np.maximum(z, 0)} | SMOOTH
DEGREES = (3, 5, 7)
"""Degrees of the polynomials that replace other activations."""
CANDIDATES = f"{', '.join(FUNCTIONS)}, or a polynomial such as 'z + z^2/2 + z^3'"


def read_activation(value: Activation | str) -> Activation | str:
    """A polynomial, or one of the names in ``FUNCTIONS``. Raises ActivationError for anything else."""
    name = value.strip().lower() if isinstance(value, str) else ""
    if name in FUNCTIONS:
        return name
    try:
        sigma = value if isinstance(value, Activation) else Activation.parse(value)
    except ActivationError as error:
        raise ActivationError(f"{error}; the names that an audit knows: {', '.join(FUNCTIONS)}") from None
    if sigma.kind == "polynomial":
        return sigma
    if str(sigma) in FUNCTIONS:  # another spelling, such as swish for silu
        return str(sigma)
    raise ActivationError(
        f"activation: received {sigma}, expected a polynomial or one of the names that an audit knows: {', '.join(FUNCTIONS)}"
    )


def approximations(name: str, interval: tuple[float, float]) -> list[tuple[Activation, float]]:
    """Polynomials of several degrees close to a named activation on an interval, and the largest deviation there of each."""
    function = FUNCTIONS[name]
    made = [Activation.approximate(function, degree, interval) for degree in DEGREES]
    return [(sigma, sigma.deviation(function, interval)) for sigma in made]

"""Activations as audits read them, and the distance of polynomials from them in the range of the pre-activations."""

from __future__ import annotations

from identify.problem.activation import Activation

DEGREES = (3, 5, 7)
"""Degrees of the polynomials that replace other activations."""
CANDIDATES = (
    "relu, tanh, sigmoid, softplus, silu, gelu, another name that Activation.parse knows, or a polynomial such as 'z + z^2/2 + z^3'"
)


def approximations(sigma: Activation, interval: tuple[float, float]) -> list[tuple[Activation, float]]:
    """Polynomials of several degrees close to an activation on an interval, and the largest deviation there of each."""
    made = [Activation.approximate(sigma, degree, interval) for degree in DEGREES]
    return [(close, close.deviation(sigma, interval)) for close in made]

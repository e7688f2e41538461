r"""Symmetries of the stationarity equations that follow from those of the activations, for networks of any kind and depth."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from identify.problem.activation import Activation, Analytic, PiecewiseLinear
from identify.problem.ambiguity import Ambiguity

ODD = ("tanh", "erf", "sin", "arctan", "tanh_shrink")
"""Analytic activations with f(-z) = -f(z)."""
EVEN = ("cos",)
EVEN_DERIVATIVE = ("sigmoid",)
"""With f'(-z) = f'(z), beside the odd ones."""


def group_of(activations: Sequence[Activation], biases: Sequence[bool], seen: Sequence[tuple[bool, bool]]) -> Ambiguity:
    r"""The group by which :math:`(x_i, c_i) \mapsto (t x_i, t^{-k} c_i)` leaves every observed update as it is, for each sample.

    ``biases`` and ``seen`` say for each layer whether it has a bias, and whether its weights and its bias are observed.

    Notes
    -----
    A first-layer bias leaves none. Without biases in hidden layers: a scale, positive, if every activation is homogeneous
    (piecewise-linear with breakpoint 0, or a monomial); a sign, if all are odd (the multiplier changes sign), or if the
    first is even (it does not). When the first of two layers alone is observed, only the derivative counts. The
    equations of special weights may have more symmetries than these.
    """
    alone = len(activations) == 1 and not any(seen[1])
    if biases[0]:
        return Ambiguity("none", 1)
    free = not any(biases[:-1]) and not seen[-1][1]
    degrees = [homogeneity(sigma, alone) for sigma in activations]
    even, odd = is_even(activations[0], alone), all(is_odd(sigma, alone) for sigma in activations)
    if free and all(degrees):
        degree = prod(degrees)
        if even and degree % 2:
            return Ambiguity("even scaling", degree)
        return Ambiguity("scaling" if even or odd else "positive scaling", degree)
    if even:
        return Ambiguity("sign", 2)
    return Ambiguity("sign" if odd and free else "none", 1)


def homogeneity(sigma: Activation, derivative_only: bool) -> int:
    """k with f(t z) = t^k f(z) for every t > 0; 0 without one."""
    if isinstance(sigma, PiecewiseLinear):
        return int(not any(sigma.breakpoints) and (derivative_only or sigma.lines.value == 0))
    if isinstance(sigma, Analytic):
        return 0
    return sigma.degree if len(sigma.support) == 1 and (derivative_only or sigma.constant == 0) else 0


def is_odd(sigma: Activation, derivative_only: bool = False) -> bool:
    """Whether f(-z) = -f(z), or at least f'(-z) = f'(z)."""
    return _has_parity(sigma, derivative_only, 1)


def is_even(sigma: Activation, derivative_only: bool = False) -> bool:
    """Whether f(-z) = f(z), or at least f'(-z) = -f'(z)."""
    return _has_parity(sigma, derivative_only, 0)


def _has_parity(sigma: Activation, derivative_only: bool, parity: int) -> bool:
    if isinstance(sigma, Analytic):
        return sigma.name in ((*ODD, *(EVEN_DERIVATIVE if derivative_only else ())) if parity else EVEN)
    if isinstance(sigma, PiecewiseLinear):
        sign = 1 if parity else -1
        points, slopes, kinks = sigma.breakpoints, sigma.slopes, sigma.kinks
        mirrored = [-t for t in reversed(points)] == list(points) and [sign * s for s in reversed(slopes)] == list(slopes)
        mirrored = mirrored and [sign * s for s in reversed(kinks)] == list(kinks)
        return mirrored and (derivative_only or sigma.exact(points[0]) == -sign * sigma.exact(points[-1]))
    return all(k % 2 == parity for k in sigma.support) and (derivative_only or not parity or sigma.constant == 0)

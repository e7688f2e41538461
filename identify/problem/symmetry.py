r"""Symmetries of the stationarity equations that follow from those of the activations, for networks of any kind and depth."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from identify.problem.activation import Activation, Analytic, PiecewiseLinear
from identify.problem.ambiguity import NO_AMBIGUITY, Ambiguity
from identify.problem.system import KKTSystem


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
        return NO_AMBIGUITY
    free = not any(biases[:-1]) and not seen[-1][1]
    degrees = [homogeneity(sigma, alone) for sigma in activations]
    even, odd = is_even(activations[0]), all(is_odd(sigma, alone) for sigma in activations)
    if free and all(degrees):
        degree = prod(degrees)
        if even and degree % 2:
            return Ambiguity("even scaling", degree)
        return Ambiguity("scaling" if even or odd else "positive scaling", degree)
    if even:
        return Ambiguity("sign", 2)
    return Ambiguity("sign", 1) if odd and free else NO_AMBIGUITY


def symmetry_of(system: KKTSystem) -> Ambiguity:
    """:func:`group_of` the observed updates of a network."""
    net = system.network
    observed = [(update.W is not None, update.bias is not None) for update in system.updates]
    return group_of(net.activations, [bias is not None for bias in net.biases], observed)


def homogeneity(sigma: Activation, derivative_only: bool) -> int:
    """k with f(t z) = t^k f(z) for every t > 0; 0 without one."""
    if isinstance(sigma, PiecewiseLinear):
        return int(not any(sigma.breakpoints) and (derivative_only or sigma.lines.value == 0))
    if isinstance(sigma, Analytic):
        return 0
    return sigma.degree if len(sigma.support) == 1 and (derivative_only or sigma.constant == 0) else 0


def is_odd(sigma: Activation, derivative_only: bool = False) -> bool:
    """Whether f(-z) = -f(z), or at least f'(-z) = f'(z)."""
    return sigma.parity == -1 and (derivative_only or bool(sigma(0.0) == 0))


def is_even(sigma: Activation) -> bool:
    """Whether f(-z) = f(z), and so f'(-z) = -f'(z)."""
    return sigma.parity == 1

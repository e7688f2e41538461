r"""Updates of a piecewise-linear (or polynomial) network in fractions, from their definition: to compare two data sets exactly.

:math:`h^l = \sigma(W_l h^{l-1} + b_l)`, :math:`u^L = \gamma`, :math:`u^l = \sigma'(z^l) \odot W_{l+1}^\top u^{l+1}`; the update of layer l
is :math:`\sum_i u_i^l (h_i^{l-1})^\top`. No piece is looked up and nothing is reduced modulo a prime, so that it can judge what was found
in other ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from flint import fmpq, fmpq_mat

from identify.base.limits import refuse_when_spent
from identify.problem.network import Network

Rationals = list[list[fmpq]]
Observed = Sequence[tuple[bool, bool]]


def rational(value: float | Fraction) -> fmpq:
    """A float, or a fraction, as the rational number that it is."""
    return fmpq(*value.as_integer_ratio())


def rationals(values: np.ndarray) -> Rationals:
    """A matrix."""
    return [[rational(float(v)) for v in row] for row in values]


def exact_updates(net: Network, X: Rationals, c: Rationals, observed: Observed) -> list[fmpq_mat]:
    """The observed updates, as column vectors for biases. Cost: as many products of fractions as a float pass has of floats."""
    weights = [fmpq_mat(rationals(W)) for W in net.weights]
    h, entering, slopes = fmpq_mat(X), [], []
    for W, b, sigma in zip(weights[:-1], net.biases[:-1], net.activations, strict=True):
        entering.append(h)
        refuse_when_spent("updates in fractions")
        offsets = [fmpq(0)] * W.nrows() if b is None else [rational(float(v)) for v in b]
        Z = [[v + offset for v, offset in zip(row, offsets, strict=True)] for row in (h * W.transpose()).tolist()]
        values, slope = ([[rational(sigma.exact(Fraction(int(v.p), int(v.q)), order)) for v in row] for row in Z] for order in range(2))
        h = fmpq_mat(values)
        slopes.append(slope)
    entering.append(h)
    u, signals = fmpq_mat(c), [fmpq_mat(c)]
    for W, slope in zip(reversed(weights[1:]), reversed(slopes), strict=True):
        weighted = (u * W).tolist()
        u = fmpq_mat([[v * s for v, s in zip(row, along, strict=True)] for row, along in zip(weighted, slope, strict=True)])
        signals.append(u)
    ones = fmpq_mat([[1]] * len(X))
    found = []
    for signal, inner, (W_seen, b_seen) in zip(reversed(signals), entering, observed, strict=True):
        found += [signal.transpose() * inner] * W_seen + [signal.transpose() * ones] * b_seen
    return found

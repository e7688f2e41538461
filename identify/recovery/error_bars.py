r"""First-order error bars of a recovery, for the way in which it was found.

The span of the samples comes from the rows of the first-layer target, the samples in it and the multipliers from the polish, the samples
off that span from :math:`t^W = G X` again. So with J the weighted Jacobian in coordinates of the span, noise off the span moves sample i by
:math:`\delta y_i = (G^+ \varepsilon)_i`, and the coordinates by

.. math:: \delta(z, c) = J^+\bigl(\varepsilon - K\,\delta Y\bigr),

where K is the change of the rows when the pre-activations change by :math:`w_j \cdot \delta y_i`. Noise on the span and off it is
independent, and so are the two parts of an error orthogonal: mean squares add.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.linalg import lstsq

from identify.base.limits import OPERATIONS_PER_SECOND, memory_allowed, refuse_late
from identify.conditions.diagnostics.sensitivity import changes, leaves_scale_free, left_inverse, triangular_factor
from identify.recovery.equations import Equations
from identify.recovery.gauss_newton import Linearised
from identify.recovery.noise import Noise
from identify.recovery.reduce import Reduced, slopes

MATRIX_FLOPS = 2e10
"""Equations · unknowns^2 up to which the Jacobian is factorised, and not a sketch of it."""
DRAWS = 64
"""Draws of the noise off the span: the mean square of its effect in the span is an estimate."""


def error_bars(reduced: Reduced, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"], noise: Noise) -> Float[np.ndarray, " n"]:
    r"""Standard errors of the samples to first order, in the units of the inputs. Floating point: an estimate, no bound.

    ``reduced`` is the system on the span of X. If (S) leaves the scale of a sample free: the error across its line. Infinite if
    the Jacobian is rank deficient, NaN if it does not fit in memory. With many unknowns the factor of the Jacobian
    comes from a sketch, which adds an error of some percent. Cost O(equations · unknowns^2), or O(unknowns^3): OutOfTimeError where
    :func:`identify.base.limits.limit_time` leaves less time.
    """
    system = reduced.system
    n, D = len(X), reduced.dimension + c.shape[1]
    k = n * D
    weights = noise.weights(reduced.dimension, system.observed)
    equations = Equations.of(reduced.network, system.observed, reduced.target, weights)
    if 72 * k**2 > memory_allowed():
        return np.full(n, np.nan)
    operations = 2 * len(equations.target) * k**2 if equations.is_small(k, MATRIX_FLOPS) else 6 * k**3
    refuse_late((operations + 4 * k**3) / OPERATIONS_PER_SECOND, "the pseudo-inverse of the Jacobian")
    hold = leaves_scale_free(system)
    Z = reduced.project(X)
    here, T = Linearised(equations, Z, c), changes(Z, c, hold)
    if equations.is_small(k, MATRIX_FLOPS):
        J, shrunk = equations.jacobian(Z, c) * weights[:, None], 1.0
    else:
        J = here.sketch(np.random.default_rng(0))
        # the inverse of J^T J is on average that of a Gaussian sketch times this (the mean of an inverse Wishart matrix)
        shrunk = (len(J) - k - 1) / len(J)
    inverse = left_inverse(triangular_factor(J, T), T)
    if inverse is None:
        return np.full(n, np.inf)
    squares = shrunk * np.linalg.norm(inverse[:, : reduced.dimension], axis=(1, 2)) ** 2
    if not reduced.is_trivial and system.target_W is not None:
        squares = squares + _off_the_span(reduced, here, inverse, shrunk, noise)
    return np.maximum(noise.level(system, X, c, n * hold) * np.sqrt(squares), rounding(X))


def rounding(X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Half a unit in the last place of each sample, at most: no recovered sample is closer to the data than that."""
    return 2.0**-53 * np.linalg.norm(X, axis=1)


def _off_the_span(
    reduced: Reduced, here: Linearised, inverse: Float[np.ndarray, "n D k"], shrunk: float, noise: Noise
) -> Float[np.ndarray, " n"]:
    """Mean squares, for noise of level 1, of the errors off the span and of what they do to the coordinates in it."""
    W, Q = reduced.system.network.W, reduced.Q
    n, d, r = len(here.X), *Q.shape
    spread = lstsq(slopes(reduced.network, here.X, here.c), np.diag(1 / noise.W))[0]
    # noise off the span times the weights there, R of W^T = Q R standing for these: the same distribution in fewer numbers
    root, outside = (np.asarray(np.linalg.qr(part.T, mode="r")) for part in (spread, W - (W @ Q) @ Q.T))
    J_plus = inverse.reshape(n * inverse.shape[1], -1)
    rng = np.random.default_rng(0)
    squares = np.zeros(n)
    for _ in range(DRAWS):
        dZ = root.T @ rng.standard_normal((len(root), len(outside))) @ outside
        rows = here.moved(dZ, np.zeros_like(here.c), np.zeros((len(W), r)))
        change = shrunk * (J_plus @ (J_plus.T @ here.transposed(rows).reshape(-1)))
        squares += (change.reshape(n, -1)[:, :r] ** 2).sum(axis=1)
    return (d - r) * (spread**2).sum(axis=1) + squares / DRAWS

r"""Error bars: how far data can move when the target is perturbed, to first order.

To first order :math:`\delta(x, c) = J^+ \delta t` with J the Jacobian of (S), modulo the ambiguity, so that
:math:`\|\delta x_i\| \le \|(J^+)_{x_i}\|_2\,\|\delta t\|` for every perturbation of that size: for data fitted to a perturbed
target by least squares this bound holds up to second order. Singular values are those of the relative change of the target
by relative changes of the samples and multipliers. Floating point, so it supports no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor, log10

import numpy as np
import scipy
from jaxtyping import Float

from identify.base.errors import InputError
from identify.base.limits import refuse_above
from identify.base.norms import exponent, row_sizes, scaled, size
from identify.conditions.diagnostics.gram import RESOLUTION, gram, reduced_gram
from identify.conditions.diagnostics.perturbations import default_perturbations, stated_perturbations
from identify.conditions.diagnostics.sensitivity import changes, leaves_scale_free, left_inverse, triangular_factor
from identify.problem.data import check_data
from identify.problem.gradients import jacobian
from identify.problem.system import KKTSystem

MAX_QR_FLOPS = 4e10
"""Beyond, J^T J is formed instead of J: faster, with half the digits."""
DOUBLE_DIGITS = 15


@dataclass(frozen=True, eq=False)
class ErrorBars:
    """First-order bounds on the errors of data that were fitted to a perturbed target. Infinite means that they are not bounded.

    Attributes
    ----------
    perturbations
        Norms of the perturbations relative to that of the target (dimensionless), by name.
    per_sample, per_coordinate, typical
        Bounds on the error of each sample and of each coordinate, and the size of random errors of each sample, for a
        perturbation of relative size 1, in the units of the inputs.
    singular_values
        Of the relative change of the target by relative changes of the samples and multipliers, the largest first.
    resolution
        Part of the largest singular value below which the others are not resolved.
    """

    perturbations: dict[str, float]
    per_sample: Float[np.ndarray, " n"]
    per_coordinate: Float[np.ndarray, "n d"]
    typical: Float[np.ndarray, " n"]
    singular_values: Float[np.ndarray, " k"]
    resolution: float
    scale: Float[np.ndarray, " n"]

    def samples(self, perturbation: str) -> Float[np.ndarray, " n"]:
        """Bound on the error of each sample, in the units of the inputs. KeyError for an unknown name."""
        return times(self.per_sample, self.perturbations[perturbation])

    def coordinates(self, perturbation: str) -> Float[np.ndarray, "n d"]:
        """Bound on the error of each coordinate, in the units of the inputs. KeyError for an unknown name."""
        return times(self.per_coordinate, self.perturbations[perturbation])

    def relative(self, perturbation: str) -> Float[np.ndarray, " n"]:
        """Bound on the error of each sample relative to its norm (dimensionless)."""
        return self.samples(perturbation) / self.scale

    def digits(self, perturbation: str) -> int:
        """Decimal digits that the worst sample keeps, from 0 to 15."""
        return digits(float(self.relative(perturbation).max()))

    @property
    def is_bounded(self) -> bool:
        """Whether the Jacobian has full column rank to double precision."""
        return bool(np.isfinite(self.per_sample).all())


def error_bars(
    system: KKTSystem,
    X: Float[np.ndarray, "n d"],
    c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"],
    *,
    perturbations: Mapping[str, float | np.ndarray] | None = None,
) -> ErrorBars:
    r"""Error bars of each sample and of each coordinate near a solution, for stated perturbations of the target.

    :math:`|\delta x_{iq}| \le \|(J^+)_{iq}\|_2 \, \|\delta t\|` and :math:`\|\delta x_i\| \le \|(J^+)_{x_i}\|_2 \, \|\delta t\|` to first
    order, J the Jacobian of (S) in (X, c). If (S) leaves the scale of a sample free, the error across its line.

    Parameters
    ----------
    system, X, c
        The equations, and data that solve them: given or recovered.
    perturbations
        What may happen to the target, by name: its size relative to the norm of the target (dimensionless, not negative), or
        the change itself, in the order of ``KKTSystem.target``. None: rounding of the target to single precision, the residual
        of these data (how far training stopped from a stationary point), and rounding of all weights to 8, 16 and 24
        significant bits.

    Raises
    ------
    ValueError
        For data or perturbations of the wrong shape, and for numbers that overflow.
    TooLargeError
        When the matrices do not fit in memory.

    Notes
    -----
    Cost O(equations · unknowns^2); above 4e10 operations O(m · unknowns^2 + unknowns^3), with half the digits.

    Examples
    --------
    >>> from identify.planting.configuration import Configuration
    >>> system, truth = Configuration(inputs=4, samples=3, width=15, activation="z + z^3").plant(0)
    >>> bars = error_bars(system, truth.X, truth.c)
    >>> bars.samples("float32 target").shape, bars.coordinates("float32 target").shape
    ((3,), (3, 4))
    """
    net = system.network
    X, c = check_data(X, c, net.n_inputs, net.n_outputs)
    sizes = None if perturbations is None else stated_perturbations(perturbations, system)
    _, memory, squared = cost(system, len(X))
    refuse_above(memory, f"the Jacobian of {system.n_equations} equations in {system.n_unknowns(len(X))} unknowns")
    k = -exponent(system.target)
    given, given_c = system, c
    system, c = system.rescaled(k), scaled(c, k)  # the relative errors stay the same, and no square of c or of the target underflows
    with np.errstate(all="ignore"):
        T = changes(X, c, leaves_scale_free(system))
        inverse, values, resolution = (_by_squares if squared else _by_rows)(system, X, c, T)
        sizes = default_perturbations(given, X, given_c) if sizes is None else sizes
        if inverse is None or not np.isfinite(inverse).all():
            unbounded = np.full(len(X), np.inf)
            return ErrorBars(sizes, unbounded, np.full(X.shape, np.inf), unbounded, values, resolution, reference_sizes(X))
        rows = inverse[:, : X.shape[1]]
        largest = np.abs(rows).max(axis=(1, 2), initial=1e-300)  # divided out, so that no square overflows
        rows = rows / largest[:, None, None]
        per_sample = largest * np.sqrt(np.maximum(np.linalg.eigvalsh(rows @ rows.transpose(0, 2, 1))[:, -1], 0))
        per_coordinate = largest[:, None] * np.linalg.norm(rows, axis=2)
        typical = largest * np.linalg.norm(rows, axis=(1, 2)) / np.sqrt(system.n_equations)
        return ErrorBars(sizes, per_sample, per_coordinate, typical, values, resolution, reference_sizes(X))


class NotFiniteError(InputError):
    """Numbers that overflow double precision on the way."""

    def __init__(self) -> None:
        super().__init__("X, c: with this network the Jacobian overflows double precision; rescale inputs or weights")


Factored = tuple[Float[np.ndarray, "n D k"] | None, Float[np.ndarray, " k"], float]
"""The left inverse, or None for a rank-deficient Jacobian; singular values; their resolution."""


def _by_rows(system: KKTSystem, X: np.ndarray, c: np.ndarray, T: np.ndarray) -> Factored:
    net = system.network
    J = jacobian(net.W, net.A, net.offsets, [net.activation.floats(k) for k in range(3)], system.observed, X, c)
    R = triangular_factor(J / size(system.target), T)
    if not np.isfinite(R).all():
        raise NotFiniteError
    values = np.zeros(len(T) * T.shape[2])
    found = np.linalg.svd(R, compute_uv=False)
    values[: len(found)] = found
    resolution = float(len(values) * np.finfo(float).eps)
    return left_inverse(R, T) if values[-1] > resolution * values[0] else None, values, resolution


def _by_squares(system: KKTSystem, X: np.ndarray, c: np.ndarray, T: np.ndarray) -> Factored:
    G = reduced_gram(gram(system, X, c, size(system.target)), T)
    if not np.isfinite(G).all():
        raise NotFiniteError
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(G)[::-1], 0))
    return left_inverse(scipy.linalg.cholesky(G), T) if values[-1] > RESOLUTION * values[0] else None, values, RESOLUTION


def times(bars: np.ndarray, amount: float) -> np.ndarray:
    """Bars for a perturbation of that size; what has no bound has none for size zero either."""
    return np.where(np.isfinite(bars), bars, 1.0) * amount + np.where(np.isfinite(bars), 0.0, np.inf)


def digits(relative_error: float) -> int:
    """Decimal digits that such a relative error leaves: floor(-log10), from 0 to 15.

    Examples
    --------
    >>> digits(2e-4), digits(0.5), digits(0.0)
    (3, 0, 15)
    """
    if relative_error <= 10.0**-DOUBLE_DIGITS:
        return DOUBLE_DIGITS
    return max(floor(-log10(relative_error)), 0) if relative_error < 1 else 0


def reference_sizes(X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """What errors are relative to: the norm of the sample; for one at the origin the root mean square norm, or else 1."""
    norms = row_sizes(X)
    typical = size(norms) / np.sqrt(len(norms)) or 1.0
    return np.where(norms > 0, norms, typical)


def cost(system: KKTSystem, samples: int) -> tuple[float, int, bool]:
    """Operations, bytes, and whether J^T J is formed instead of J."""
    equations, unknowns = system.n_equations, system.n_unknowns(samples)
    by_rows = 2.0 * equations * unknowns**2 + 4.0 * unknowns**3
    by_squares = 2.0 * system.network.width * unknowns**2 + 3.0 * unknowns**3
    if by_rows <= MAX_QR_FLOPS:
        return by_rows, 24 * equations * unknowns, False
    return by_squares, 48 * unknowns**2 + 24 * system.network.width * unknowns, True

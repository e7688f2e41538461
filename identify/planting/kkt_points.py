r"""Exactly stationary networks for given data: the instances on which statements about trained networks are tested.

Training reaches a stationary point only in the limit, and with few distinct neurons. For a monomial activation
:math:`\sigma(z) = s z^p`, :math:`p \ge 3`, stationary points can be constructed instead, to rounding error and with as many
neurons as there can be. Write :math:`\tilde x = (x, 1)` with a bias, :math:`\tilde x = x` without, :math:`c_i = \lambda_i y_i`
and :math:`T = s \sum_i c_i\, \tilde x_i^{\otimes p}`. Stationarity :math:`\mathrm{decay}\cdot\theta = \sum_i c_i \nabla f(x_i)`
(decay = 1 in the max-margin problem) does not couple neurons: each is :math:`\tilde w = r u` for a real Z-eigenpair of T,

.. math:: T(u, \dots, u, \cdot) = \mu u, \quad \|u\| = 1, \quad \mu \ne 0, \qquad
          r = \bigl(\mathrm{decay}^2 / (p \mu^2)\bigr)^{1/(2p-2)}, \quad a = r^p \mu / \mathrm{decay}.

1. *Eigenvectors.* With :math:`z_i = v \cdot \tilde x_i`, v the multiple of u for which :math:`T(v, \dots, v, \cdot) = \pm v`, an
   eigenpair is a zero of :math:`z = \pm G (\gamma \circ z^{p-1})`, :math:`\gamma = s c`, G the Gram matrix: n equations,
   whatever the number of inputs. For orthonormal data :math:`z_i` is 0 or a root :math:`\gamma_i^{-1/(p-2)}`. As G is
   invertible no solution is at infinity, so by Bézout's theorem there are always :math:`((p-1)^n - 1)/(p-2)` complex ones up
   to scale. Those of orthonormal data are followed along a complex segment to the wanted G; the real ends are the neurons.
2. *Multipliers.* Margins :math:`y_i f(x_i) = 1`, or the closure :math:`\lambda_i = 1/(n (1 + e^{y_i f(x_i)}))` of the mean
   logistic loss, are n equations for :math:`\log \lambda`, solved by Newton's method and a homotopy; the neurons move along.
3. *Assembly*, and a check of every equation in the original coordinates.

Such points need not be those that training finds. Constructed as eigenvectors, cf. Shen et al. 2026 for the equations;
Qi 2005 and Lim 2005 for Z-eigenvalues; Cartwright & Sturmfels 2013 for their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import exp
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.base.norms import relative_size
from identify.base.options import choice, positive, whole
from identify.planting.eigenvectors import PlantingError, count_eigenvectors, eigenvectors
from identify.planting.multipliers import MultiplierEquations, conditioning, moment_rows
from identify.problem.activation import Activation, as_activation
from identify.problem.arrays import ShapeError, finite_array
from identify.problem.data import check_labels
from identify.problem.gradients import weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import SELF_TRAINED

MIN_CONDITIONING = 0.01
MAX_STATIONARITY = 1e-13
MAX_MARGIN_ERROR = 1e-10


@dataclass(frozen=True, eq=False)
class KKTPoint:
    """A network and the data for which it is stationary; all quantities are dimensionless.

    Attributes
    ----------
    network, X, labels
        The network, its data, and their labels (+1 or -1).
    multipliers
        lambda_i > 0; for weight decay, minus the derivatives of the mean loss by the margins.
    available
        Number of real eigenvectors at the balanced multipliers from which the search starts: the number of pairwise non-parallel
        neurons that the data permit.
    stationarity
        Relative residual ‖t - sum_i c_i grad f(x_i)‖ / ‖t‖ over all layers, t = decay·theta (decay = 1 for max-margin).
    margins
        y_i f(x_i).
    """

    network: TwoLayerNetwork
    X: Float[np.ndarray, "n d"]
    multipliers: Float[np.ndarray, " n"]
    labels: Float[np.ndarray, " n"]
    available: int
    stationarity: float
    margins: Float[np.ndarray, " n"]

    @property
    def c(self) -> Float[np.ndarray, " n"]:
        """Signed multipliers lambda_i y_i."""
        return self.multipliers * self.labels

    def __repr__(self) -> str:
        return (
            f"KKTPoint({self.network!r}, {len(self.labels)} samples, {self.network.width} of {self.available} neurons, "
            f"margins {self.margins.min():.4g} to {self.margins.max():.4g}, stationarity {self.stationarity:.0e})"
        )


def max_margin_point(
    X: ArrayLike,
    labels: ArrayLike,
    activation: Activation | str,
    *,
    bias: bool = False,
    width: int | None = None,
) -> KKTPoint:
    r"""A KKT point of the max-margin problem for given data: :math:`\theta = \sum_i c_i \nabla f(x_i)`, all margins 1.

    Parameters
    ----------
    X, labels
        Data, linearly independent (with a bias: affinely independent), and their labels, +1 or -1.
    activation
        A monomial s z^p, p >= 3.
    bias
        Whether the first layer has a bias (which then counts as a parameter in the norm).
    width
        Number of neurons, chosen so that together they determine the p-th moment of the data well; None for all that
        remain when the multipliers move from balanced ones to those with margins 1. Pairs of neurons can vanish on the way.

    Raises
    ------
    PlantingError
        If the activation is not such a monomial, the data are dependent or too many, there are fewer than ``width``
        neurons, or no positive multipliers give margins 1.
    ShapeError
        For data or labels of the wrong shape or with values that are not allowed.

    Notes
    -----
    Cost: some hundred Newton steps of O(P n^3), P = ((p-1)^n - 1)/(p-2) <= 5000: below a second for p = 3, n <= 7. Path
    following is floating-point, so it is not proved that ``available`` counts every eigenvector. Stationarity and margins
    are verified.

    Examples
    --------
    >>> import numpy as np
    >>> max_margin_point(np.eye(3), [1, 1, -1], "z^3").network
    TwoLayerNetwork(3-7-1, sigma = z^3, no bias)
    """
    return _plant(X, labels, activation, bias, width, "max-margin", None)[0]


def weight_decay_point(
    X: ArrayLike,
    labels: ArrayLike,
    activation: Activation | str,
    *,
    decay: float | None = None,
    bias: bool = False,
    width: int | None = None,
) -> tuple[KKTPoint, float]:
    r"""A stationary point of mean logistic loss + (decay/2)·‖θ‖² for given data, and the decay.

    The multipliers satisfy the closure :math:`\lambda_i = 1/(n (1 + e^{y_i f(x_i)}))`. Margins are not prescribed: for data far
    from orthogonal some may be negative.

    Parameters
    ----------
    decay
        Weight decay, positive; None chooses the one for which the mean margin is 3. There is a non-zero solution only
        below a threshold that depends on the data; of two, the one with larger margins is sought.
    X, labels, activation, bias, width
        As for :func:`max_margin_point`, and so are errors and cost.

    Examples
    --------
    >>> import numpy as np
    >>> point, decay = weight_decay_point(np.eye(2), [1, -1], "z^3")
    >>> bool(np.allclose(point.multipliers, 1 / (2 * (1 + np.exp(point.margins)))))
    True
    """
    decay = None if decay is None else positive("decay", decay, advice=", or None to have one chosen")
    return _plant(X, labels, activation, bias, width, "weight-decay", decay)


def generic_point(
    rng: np.random.Generator,
    *,
    inputs: int,
    samples: int,
    width: int,
    activation: Activation | str,
    bias: bool,
    regime: str,
) -> tuple[KKTPoint, float | None]:
    r"""A stationary network of the given size for random data and labels, and its decay (None for max-margin).

    Data are X(t) = (1-t) X_0 + t X_1, X_1 standard normal scaled to about unit norm, X_0 its polar factor (orthonormal rows),
    with the largest t in 0.1, ..., 1 for which ``width`` neurons exist and determine the p-th moment well (condition number below
    100; if no t does, the best); such data fill an open set. With a bias X_0 is a regular simplex, whose lifted rows (x, 1)
    are orthogonal, and norms are about sqrt(n-1). Both classes occur if n >= 2, except that for an even degree all labels are
    equal if two classes do not do as well: near orthogonal data, eigenvectors then mix samples of one class only.

    Parameters
    ----------
    rng
        Source of all randomness; equal states give equal results.
    inputs, samples, width
        d, n and the number of neurons, positive; n <= d (with a bias n <= d + 1). At most 2^n - 1 neurons for odd degrees,
        (3^n - 1)/2 for even ones.
    activation, bias
        As for :func:`max_margin_point`.
    regime
        ``"max-margin"`` or ``"weight-decay"``.

    Raises
    ------
    PlantingError
        If no such network was found; ``available`` is the number of neurons that are possible.

    Examples
    --------
    >>> import numpy as np
    >>> size = dict(inputs=4, samples=3, width=7, activation="z^3", bias=False)
    >>> generic_point(np.random.default_rng(0), **size, regime="max-margin")[0].network
    TwoLayerNetwork(4-7-1, sigma = z^3, no bias)
    """
    choice("regime", regime, SELF_TRAINED)
    degree, _ = _monomial(activation)
    inputs, samples, width = whole("inputs", inputs), whole("samples", samples), whole("width", width)
    if samples > inputs + bias:
        raise _dependent(f"{samples} samples", inputs, bias)
    count_eigenvectors(samples, degree)
    most = 2**samples - 1 if degree % 2 else (3**samples - 1) // 2
    if width > most:
        raise _too_wide(width, most, samples, degree)
    failure: PlantingError | None = None
    for _ in range(6):
        ones = rng.integers(1, max(samples, 2))
        mixed = rng.permutation(np.where(np.arange(samples) < ones, 1.0, -1.0))
        X = rng.standard_normal((samples, inputs)) * np.sqrt((max(samples - 1, 1) if bias else 1) / inputs)
        start = _orthogonal(X, bias)
        enough = degree % 2 or (3**ones + 3 ** (samples - ones)) // 2 - 1 >= width
        choices = [mixed] * bool(enough) + [np.full(samples, mixed[0])] * (degree % 2 == 0)
        best: tuple[float, KKTPoint | None, float] = (-1.0, None, 0.0)
        for labels, t in product(choices, np.linspace(1, 0.1, 10)):
            try:
                point, decay = _plant((1 - t) * start + t * X, labels, activation, bias, width, regime, None)
            except PlantingError as error:
                failure = error
                continue
            best = max(best, (conditioning(_rows(point)), point, decay), key=lambda found: found[0])
            if best[0] > MIN_CONDITIONING:
                break
        if best[1] is not None:
            return best[1], best[2] if regime == "weight-decay" else None
    assert failure is not None
    raise failure


def _plant(
    X: ArrayLike, labels: ArrayLike, activation: Activation | str, bias: bool, width: int | None, regime: str, decay: float | None
) -> tuple[KKTPoint, float]:
    """Steps 1 to 3, with fewer or other neurons if some of them prevent a solution."""
    degree, factor = _monomial(activation)
    X, y = finite_array("X", X, (None, None), "samples, one per row"), check_labels(labels)
    n = len(X)
    if len(y) != n:
        raise ShapeError(f"labels: received {len(y)} for {n} samples; expected one label, +1 or -1, for each sample")
    width = None if width is None else whole("width", width)
    lifted = np.hstack([X, np.ones((n, 1))]) if bias else X
    norms = np.linalg.norm(lifted, axis=1)
    unit = lifted / np.where(norms, norms, 1)[:, None]
    if n > lifted.shape[1] or np.linalg.svd(unit, compute_uv=False)[-1] < 1e-6:
        raise _dependent(f"the {n} given samples", X.shape[1], bias)
    count_eigenvectors(n, degree)
    problem = MultiplierEquations(unit @ unit.T, norms**degree, y, degree, factor, regime, decay)
    # Balanced: the multipliers that equal margins ask for if the data are orthogonal, up to a common factor.
    x = degree * (degree - 1) / (degree + 1) * np.log(norms)
    z, signs = eigenvectors(problem.gram, problem.gamma(x), degree)
    available = len(z)
    if width and width > available:
        raise _too_wide(width, available, n, degree)
    for chosen in problem.subsets(x, z, signs, width) if width else [np.arange(available)]:
        start, neurons, kinds = x, z[chosen], signs[chosen]
        while len(neurons) >= (width or 1):
            state, neurons, margin = problem.solve(start, neurons, kinds)
            if margin is None:
                return _assemble(problem, state, neurons, kinds, unit, X, activation, bias, available)
            keep = margin > 3 * margin.min()  # a pair of neurons is about to meet and vanish: go on from here without it
            start, neurons, kinds = state[:-1], neurons[keep], kinds[keep]
    wish = "margins 1" if regime == "max-margin" else "the logistic closure" + (f" at decay {decay:g}" if decay else "")
    remedy = "a smaller decay or decay=None (above some decay only zero weights are stationary)" if decay else "another width"
    raise PlantingError(
        f"multipliers: none were found that are positive and give {wish} with {width or 'all surviving'} of the {available} "
        f"neurons available for these {n} samples; try samples closer to orthogonal and of similar norm, or {remedy}",
        available,
    )


def _assemble(
    problem: MultiplierEquations, state: Any, z: Any, signs: Any, unit: Any, X: Any, activation: Any, bias: bool, available: int
) -> tuple[KKTPoint, float]:
    """Weights and multipliers in the original coordinates; every equation is checked there."""
    p, d, x, decay = problem.degree, X.shape[1], state[:-1], exp(state[-1])
    q = signs * (z**p @ problem.gamma(x))
    rho = (p * q) ** (-1 / (2 * p - 2))
    w = (rho * signs)[:, None] * ((problem.gamma(x) * z ** (p - 1)) @ unit)
    net = TwoLayerNetwork(w[:, :d], signs * rho**p * q, activation, w[:, d] if bias else None)
    multipliers = decay * np.exp(problem.log_kappa(x))
    sigma, c = net.activation, (multipliers * problem.labels)[:, None]
    gradients = weighted_gradients(net.W, net.A, net.offsets, sigma.floats(), sigma.floats(1), X, c)
    groups = slice(None, None, 1 if bias else 2)
    target = decay * np.concatenate([part.ravel() for part in (net.W, net.offsets, net.A)[groups]])
    residual = target - np.concatenate([part.ravel() for part in gradients[groups]])
    stationarity = relative_size(residual, target)
    margins = problem.labels * net(X)
    wanted = np.ones(len(X)) if problem.regime == "max-margin" else np.log(1 / (len(X) * multipliers) - 1)
    error = float(np.max(np.abs(margins - wanted) / np.maximum(1, np.abs(wanted))))
    if not (stationarity <= MAX_STATIONARITY and error <= MAX_MARGIN_ERROR):
        raise PlantingError(
            f"precision: relative stationarity {stationarity:.0e} and margin error {error:.0e}, expected {MAX_STATIONARITY:.0e} "
            f"and {MAX_MARGIN_ERROR:.0e}; the samples are too close to dependent: take others",
            available,
        )
    return KKTPoint(net, X, multipliers, problem.labels, available, stationarity, margins), decay


def _rows(point: KKTPoint) -> Float[np.ndarray, "m n N"]:
    """:func:`moment_rows` in coordinates of the span of the (lifted) samples, which contains the neurons."""
    net, W, X = point.network, point.network.W, point.X
    if net.has_bias:
        W, X = np.hstack([W, net.offsets[:, None]]), np.hstack([X, np.ones((len(X), 1))])
    return moment_rows(W @ np.linalg.svd(X, full_matrices=False)[2].T, net.activation.degree)


def _orthogonal(X: Float[np.ndarray, "n d"], bias: bool) -> Float[np.ndarray, "n d"]:
    """Polar factor; with a bias that of the centred rows, scaled so that the rows (x, 1) are orthogonal."""
    n = len(X)
    if bias and n == 1:
        return X
    U, _, V = np.linalg.svd(X - X.mean(axis=0) if bias else X, full_matrices=False)
    return np.sqrt(n) * U[:, : n - 1] @ V[: n - 1] if bias else U @ V


def _monomial(activation: Activation | str) -> tuple[int, float]:
    sigma = as_activation(activation)
    if sigma.kind != "polynomial":
        why = "for other functions stationarity is not a tensor's eigenvalue problem"
    elif not sigma.is_monomial:
        why = "other polynomials are not homogeneous in the weights, so their neurons are not eigenvectors of one tensor"
    elif sigma.degree == 2:
        why = "for p = 2 they are eigenvectors of a matrix: at most n, orthogonal, and they leave a rotation of the data free"
    else:
        return sigma.degree, float(sigma.coefficients[-1])
    raise PlantingError(
        f"activation {sigma}: max-margin and weight-decay instances can be planted only for sigma = s*z^p, p >= 3, where "
        f"neurons are isolated eigenvectors of a tensor; {why}. Train a network, or take a gradient or lazy instance"
    )


def _dependent(what: str, inputs: int, bias: bool) -> PlantingError:
    kind, most = ("affinely", inputs + 1) if bias else ("linearly", inputs)
    return PlantingError(
        f"samples: {what} in {inputs} inputs are {kind} dependent, exactly or nearly; eigenvectors are followed for {kind} "
        f"independent samples, at most {most} here: take fewer samples or more inputs"
    )


def _too_wide(width: int, available: int, n: int, p: int) -> PlantingError:
    return PlantingError(
        f"width: {width} neurons asked for, {available} available: each is a real eigenvector of a tensor, and {n} independent "
        f"samples at degree {p} have {((p - 1) ** n - 1) // (p - 2)}, complex ones included, so trained monomial networks "
        f"cannot have more distinct neurons here. Ask for at most {available}, or take more samples",
        available,
    )

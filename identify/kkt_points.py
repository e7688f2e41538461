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
from itertools import combinations_with_replacement, product
from math import exp, factorial, log, prod

import numpy as np
from jaxtyping import Complex, Float
from scipy.optimize import brentq
from scipy.spatial import cKDTree
from scipy.special import expit

from identify.activation import Activation, ActivationError
from identify.network import ShapeError, TwoLayerNetwork, finite_array
from identify.stationarity import SELF_TRAINED, check_labels, choice, weighted_gradients

MAX_PATHS = 5000
MIN_CONDITIONING = 0.01
MEAN_MARGIN = 3.0  # where decay can be chosen: near 1 samples sit close to the fold at which non-zero solutions end
MAX_SUBSETS = 10
MAX_STATIONARITY = 1e-13
MAX_MARGIN_ERROR = 1e-10


class PlantingError(ValueError):
    """No exactly stationary network of the wanted kind was found; the message says what could be had instead.

    Attributes
    ----------
    available
        Number of neurons that could be had; None where the search did not get that far.
    """

    def __init__(self, message: str, available: int | None = None):
        super().__init__(message)
        self.available = available


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
        Number of real eigenvectors at the balanced multipliers the search starts from: how many pairwise non-parallel
        neurons the data offered.
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
    X: Float[np.ndarray, "n d"],
    labels: Float[np.ndarray, " n"],
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
        remain when the multipliers move from balanced ones to those that give margins 1, on which way pairs can vanish.

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
    following is floating-point: that ``available`` counts every eigenvector is evidence, not a proof. Stationarity and margins
    are verified.

    Examples
    --------
    >>> import numpy as np
    >>> max_margin_point(np.eye(3), [1, 1, -1], "z^3").network
    TwoLayerNetwork(3-7-1, sigma = z^3, no bias)
    """
    return _plant(X, labels, activation, bias, width, "max-margin", None)[0]


def weight_decay_point(
    X: Float[np.ndarray, "n d"],
    labels: Float[np.ndarray, " n"],
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
    if decay is not None and (isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 < decay < np.inf):
        raise ValueError(f"decay: received {decay!r}, expected a positive number, or None to have one chosen")
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
        If no such network was found; ``available`` is the number of neurons that could be had.

    Examples
    --------
    >>> import numpy as np
    >>> size = dict(inputs=4, samples=3, width=7, activation="z^3", bias=False)
    >>> generic_point(np.random.default_rng(0), **size, regime="max-margin")[0].network
    TwoLayerNetwork(4-7-1, sigma = z^3, no bias)
    """
    choice("regime", regime, SELF_TRAINED)
    degree, _ = _monomial(activation)
    for name, size in (("inputs", inputs), ("samples", samples), ("width", width)):
        _check_size(name, size)
    if samples > inputs + bias:
        raise _dependent(f"{samples} samples", inputs, bias)
    _count_paths(samples, degree)
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
            best = max(best, (_conditioning(_rows(point)), point, decay), key=lambda found: found[0])
            if best[0] > MIN_CONDITIONING:
                break
        if best[1] is not None:
            return best[1], best[2] if regime == "weight-decay" else None
    assert failure is not None
    raise failure


def _plant(X, labels, activation, bias, width, regime, decay) -> tuple[KKTPoint, float]:
    """Steps 1 to 3, with fewer or other neurons where some are in the way."""
    degree, factor = _monomial(activation)
    X, y = finite_array("X", X, (None, None), "samples, one per row"), check_labels(labels)
    n = len(X)
    if len(y) != n:
        raise ShapeError(f"labels: received {len(y)} for {n} samples; expected one label, +1 or -1, for each sample")
    if width is not None:
        _check_size("width", width)
    lifted = np.hstack([X, np.ones((n, 1))]) if bias else X
    norms = np.linalg.norm(lifted, axis=1)
    unit = lifted / np.where(norms, norms, 1)[:, None]
    if n > lifted.shape[1] or np.linalg.svd(unit, compute_uv=False)[-1] < 1e-6:
        raise _dependent(f"the {n} given samples", X.shape[1], bias)
    _count_paths(n, degree)
    problem = _Multipliers(unit @ unit.T, norms**degree, y, degree, factor, regime, decay)
    # Balanced: the multipliers that equal margins ask for where the data are orthogonal, up to a common factor.
    x = degree * (degree - 1) / (degree + 1) * np.log(norms)
    z, signs = _eigenvectors(problem.gram, problem.gamma(x), degree)
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


def _assemble(problem: _Multipliers, state, z, signs, unit, X, activation, bias, available) -> tuple[KKTPoint, float]:
    """Weights and multipliers in the original coordinates, where everything is checked."""
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
    stationarity = float(np.linalg.norm(residual) / np.linalg.norm(target))
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


@dataclass(frozen=True, eq=False)
class _Multipliers:
    """Step 2, for samples scaled to unit norm. The geometry depends on kappa = lambda / decay alone.

    Unknowns: x_i = log(|s| kappa_i |x_i|^p), log decay, and z for each neuron. A neuron is rho v and a = sign rho^p q, with
    v = sign sum_i gamma_i z_i^(p-1) x_i, q = |v|^2 = sign sum_i gamma_i z_i^p and rho = (p q)^(-1/(2p-2)). Margins are
    homogeneous in kappa, of degree -(p+1)/(p-1).
    """

    gram: Float[np.ndarray, "n n"]
    powers: Float[np.ndarray, " n"]  # |x_i|^p
    labels: Float[np.ndarray, " n"]
    degree: int
    factor: float
    regime: str
    decay: float | None

    def gamma(self, x: np.ndarray) -> np.ndarray:
        return np.sign(self.factor) * self.labels * np.exp(x)

    def log_kappa(self, x: np.ndarray) -> np.ndarray:
        return x - np.log(abs(self.factor) * self.powers)

    def parts(self, x, z, signs) -> tuple[np.ndarray, np.ndarray]:
        """y_i f_j(x_i), one row per neuron, and q."""
        p = self.degree
        q = signs * (z**p @ self.gamma(x))
        return self.factor * self.labels * self.powers * (signs * (p**p * q) ** (-1 / (p - 1)))[:, None] * z**p, q

    def correct(self, x, z, signs) -> tuple[np.ndarray, np.ndarray, bool]:
        """Newton's method for the neurons at fixed multipliers: z, Jacobians, and whether all neurons stayed where they were."""
        start = z
        for _ in range(8):
            F, J = _equations(self.gram, self.gamma(x), signs, z, self.degree)
            step = _solve(J, F)
            z = z - step
            size = np.max(_norm(step) / _norm(z))
            if size < 1e-13:
                break
        kept = size < 1e-10 and np.max(_norm(z - start) / _norm(z)) < 0.1
        return z, _equations(self.gram, self.gamma(x), signs, z, self.degree)[1], bool(kept)

    def residual(self, state, z, signs, J) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """n + 1 equations for (x, log decay), their Jacobian, and the derivatives of z by x."""
        p, n, x = self.degree, len(self.labels), state[:-1]
        parts, q = self.parts(x, z, signs)
        force = self.gamma(x) * z ** (p - 1)
        dz = np.linalg.solve(J, signs[:, None, None] * self.gram * force[:, None, :])
        dq = signs[:, None] * (force * z + p * np.einsum("mi,mik->mk", force, dz))
        ratio = np.divide(parts, z, out=np.zeros_like(z), where=z != 0)
        margins = parts.sum(axis=0)
        slope = p * np.einsum("mi,mik->ik", ratio, dz) - np.einsum("mi,mk->ik", parts, dq / q[:, None]) / (p - 1)
        if self.regime == "max-margin":
            R, dR = np.append(margins - 1, 0), np.eye(n + 1)
            dR[:n, :n] = slope
            return R, dR, dz
        R, dR = np.append(state[n] + self.log_kappa(x) + log(n) + np.logaddexp(0, margins), 0), np.eye(n + 1)
        dR[:n, :n] += expit(margins)[:, None] * slope
        dR[:n, n] = 1
        if self.decay is None:
            R[n], dR[n, :n], dR[n, n] = margins.mean() - MEAN_MARGIN, slope.mean(axis=0), 0
        return R, dR, dz

    def start(self, x, z, signs) -> tuple[np.ndarray, np.ndarray]:
        """(x, log decay) and z rescaled, so that the equations hold on average."""
        p, log_decay, level = self.degree, 0.0, 1.0 if self.regime == "max-margin" else MEAN_MARGIN
        e, mean = (p - 1) / (p + 1), max(self.parts(x, z, signs)[0].sum(axis=0).mean(), 1e-3)
        if self.regime == "weight-decay":
            # With all margins m, log decay = e log m - log(1 + exp m) - base: two solutions m below one maximum.
            base = self.log_kappa(x).mean() + e * log(mean) + log(len(x))
            if self.decay is None:
                log_decay = e * log(level) - np.logaddexp(0, level) - base
            else:
                log_decay = log(self.decay)

                def excess(m):
                    return e * log(m) - np.logaddexp(0, m) - base - log_decay

                level = brentq(lambda m: e - m * expit(m), 1e-3, 10)
                level = brentq(excess, level, 1e4) if excess(level) > 0 else level
        shift = e * log(mean / level)
        return np.append(x + shift, log_decay), z * exp(-shift / (p - 2))

    def solve(self, x, z, signs) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Homotopy residual = (1 - h) * residual at the start, h from 0 to 1: (x, log decay), z, None.

        Where it gets stuck: the last point, and for each neuron the smallest singular value of its equations (0 at a fold).
        """
        with np.errstate(all="ignore"):
            state, z = self.start(x, z, signs)
            z, J, _ = self.correct(state[:-1], z, signs)
            first = self.residual(state, z, signs, J)[0]
            h, step = 0.0, 1.0
            while h < 1:
                new = self.newton(state, z, signs, (1 - h - step) * first)
                if new:
                    state, z, J = new
                    h, step = h + step, min(2 * step, 1 - h - step)
                elif step > 1e-3:
                    step /= 2
                else:
                    return state, z, np.linalg.svd(J, compute_uv=False)[:, -1]
        return state, z, None

    def newton(self, state, z, signs, target) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Newton's method for residual = target; None where it fails or a neuron jumps."""
        size = np.inf
        for _ in range(15):
            z, J, kept = self.correct(state[:-1], z, signs)
            if not kept:
                return None
            R, dR, dz = self.residual(state, z, signs, J)
            if not (np.isfinite(dR).all() and np.isfinite(R).all()):
                return None
            if size < 1e-11:
                return (state, z, J) if np.abs(target - R).max() < 1e-9 * max(1, np.abs(target).max()) else None
            step = np.linalg.lstsq(dR, target - R)[0]
            size = np.abs(step).max()
            if size > 1:
                return None
            state, z = state + step, z + dz @ step[:-1]
        return None

    def subsets(self, x, z, signs, width: int) -> list[np.ndarray]:
        """Of 100 random subsets those that determine the p-th moment best and serve every sample, best first."""
        rng = np.random.default_rng(0)
        parts = np.maximum(self.parts(x, z, signs)[0], 0)
        v = (signs[:, None] * self.gamma(x) * z ** (self.degree - 1)) @ np.linalg.cholesky(self.gram)
        rows = _moment_rows(v, self.degree)
        scored = []
        for chosen in np.unique([np.sort(rng.permutation(len(z))[:width]) for _ in range(100)], axis=0):
            service = parts[chosen].sum(axis=0)
            scored.append((_conditioning(rows[chosen]) * service.min() / service.max(), chosen))
        return [chosen for _, chosen in sorted(scored, key=lambda pair: -pair[0])[:MAX_SUBSETS]]


def _eigenvectors(gram: np.ndarray, gamma: np.ndarray, p: int) -> tuple[Float[np.ndarray, "m n"], Float[np.ndarray, " m"]]:
    """Step 1: all real solutions of z = sign G (gamma z^(p-1)), z != 0, up to scale, and their signs (1 for odd p)."""
    n = len(gamma)
    with np.errstate(all="ignore"):
        for attempt in range(3):
            z = _follow(gram, gamma, p, phase=np.exp(1j * (1.1 + attempt)), tolerance=0.05 / 10**attempt)
            z = z / (z @ np.cos(1 + np.arange(n)))[:, None]  # a linear form that no eigenvector is likely to annihilate
            twins = cKDTree(np.hstack([z.real, z.imag])).query_pairs(1e-7)
            if len(z) == _count_paths(n, p) and not twins:
                break
        z = np.delete(z, sorted({j for _, j in twins}), axis=0)
        z = z[_norm(z.imag) < 1e-7 * _norm(z)].real
        z /= _norm(z)[:, None]
        mu = np.sum(z * ((gamma * z ** (p - 1)) @ gram), axis=1)
        z *= np.abs(mu)[:, None] ** (-1 / (p - 2))
    signs = np.sign(mu)
    return (z * signs[:, None], np.ones(len(z))) if p % 2 else (z, signs)


def _orthonormal(gamma: Complex[np.ndarray, " n"], p: int) -> Complex[np.ndarray, "P n"]:
    """All complex solutions of z = gamma z^(p-1) up to scale: zero, or a root of z^(p-2) = 1 / gamma, for each sample."""
    digits = [k for k in product(range(p - 1), repeat=len(gamma)) if next(filter(None, k), 0) == 1]  # 0: zero; k: root k - 1
    roots = np.append(0, np.exp(2j * np.pi * np.arange(p - 2) / (p - 2)))
    return roots[np.array(digits)] * gamma ** (-1 / (p - 2))


def _follow(gram: np.ndarray, gamma: np.ndarray, p: int, phase: complex, tolerance: float) -> Complex[np.ndarray, "P n"]:
    """Solutions of z = G(t) (gamma z^(p-1)) from G(0) = phase * identity to G(1) = gram; each path has its own step."""
    start = phase * np.eye(len(gamma))
    change = gram - start
    z = _orthonormal(phase * gamma, p)
    t, h, one = np.zeros(len(z)), np.full(len(z), 0.1), np.ones(1)
    while len(k := np.flatnonzero((t < 1) & (h > 1e-8))):
        now, new = t[k], np.minimum(t[k] + h[k], 1)
        _, J = _equations(start + now[:, None, None] * change, gamma, one, z[k], p)
        guess = z[k] + (new - now)[:, None] * _solve(J, (gamma * z[k] ** (p - 1)) @ change)
        end = guess
        for _ in range(3):
            F, J = _equations(start + new[:, None, None] * change, gamma, one, end, p)
            step = _solve(J, F)
            end = end - step
        far = _norm(end - guess) / (tolerance * _norm(end))
        good = (far < 1) & (_norm(step) < 1e-9 * _norm(end))
        z[k[good]], t[k[good]] = end[good], new[good]
        h[k] *= np.where(good, np.where(far < 0.1, 2, 1), 0.5)
    return z[t == 1]


def _equations(gram, gamma, signs, z, p: int) -> tuple[np.ndarray, np.ndarray]:
    """z - sign G (gamma z^(p-1)) and its Jacobian, for every row of z."""
    power = signs[:, None] * gamma * z ** (p - 2)
    return z - (gram @ (power * z)[..., None])[..., 0], np.eye(len(gamma)) - (p - 1) * gram * power[:, None, :]


def _solve(J: np.ndarray, F: np.ndarray) -> np.ndarray:
    return np.linalg.solve(J, F[..., None])[..., 0]


def _norm(rows: np.ndarray) -> np.ndarray:
    return np.linalg.norm(rows, axis=1)


def _moment_rows(V: Float[np.ndarray, "m r"], p: int) -> Float[np.ndarray, "m r N"]:
    """For each u = v/|v| the map M -> M(u, ..., u, .) on symmetric tensors, in the orthonormal basis of symmetrised monomials."""
    U = V / _norm(V)[:, None]
    index = np.array(list(combinations_with_replacement(range(U.shape[1]), p)))
    rows = np.zeros((*U.shape, len(index)))
    for position in range(p):
        rows[:, index[:, position], np.arange(len(index))] += U[:, np.delete(index, position, axis=1)].prod(axis=2)
    return rows * np.sqrt([factorial(p) / prod(factorial(k) for k in np.bincount(row)) for row in index]) / p


def _rows(point: KKTPoint) -> Float[np.ndarray, "m n N"]:
    """:func:`_moment_rows` in coordinates of the span of the (lifted) samples, which contains the neurons."""
    net, W, X = point.network, point.network.W, point.X
    if net.has_bias:
        W, X = np.hstack([W, net.offsets[:, None]]), np.hstack([X, np.ones((len(X), 1))])
    return _moment_rows(W @ np.linalg.svd(X, full_matrices=False)[2].T, net.activation.degree)


def _conditioning(rows: Float[np.ndarray, "m r N"]) -> float:
    """Inverse condition number of the interpolation matrix in these coordinates, 0 below rounding."""
    values = np.linalg.svd(rows.reshape(-1, rows.shape[2]), compute_uv=False)
    return float(values[-1] / values[0]) if values[-1] > 1e-12 * values[0] else 0.0


def _orthogonal(X: Float[np.ndarray, "n d"], bias: bool) -> Float[np.ndarray, "n d"]:
    """Polar factor; with a bias that of the centred rows, scaled so that the rows (x, 1) are orthogonal."""
    n = len(X)
    if bias and n == 1:
        return X
    U, _, V = np.linalg.svd(X - X.mean(axis=0) if bias else X, full_matrices=False)
    return np.sqrt(n) * U[:, : n - 1] @ V[: n - 1] if bias else U @ V


def _monomial(activation: Activation | str) -> tuple[int, float]:
    sigma = Activation.parse(activation) if isinstance(activation, str) else activation
    if not isinstance(sigma, Activation):
        raise ActivationError(f"activation: received {type(sigma).__name__}, expected an Activation or a text such as 'z^3'")
    if not sigma.is_monomial:
        why = "other polynomials are not homogeneous in the weights, so their neurons are not eigenvectors of one tensor"
    elif sigma.degree == 2:
        why = "for p = 2 they are eigenvectors of a matrix: at most n, orthogonal, and they leave a rotation of the data free"
    else:
        return sigma.degree, float(sigma.coefficients[-1])
    raise PlantingError(
        f"activation {sigma}: max-margin and weight-decay instances can be planted only for sigma = s*z^p, p >= 3, where "
        f"neurons are isolated eigenvectors of a tensor; {why}. Train a network, or take a gradient or lazy instance"
    )


def _check_size(name: str, size) -> None:
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise ValueError(f"{name}: received {size!r}, expected a positive integer")


def _count_paths(n: int, p: int) -> int:
    count = ((p - 1) ** n - 1) // (p - 2)
    if count > MAX_PATHS:
        raise PlantingError(
            f"samples: {n} samples at degree {p} have {count} complex eigenvectors, and at most {MAX_PATHS} are followed; "
            "take fewer samples or a lower degree"
        )
    return count


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

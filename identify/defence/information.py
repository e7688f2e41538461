r"""How precisely one update of a network of any depth determines its samples: the Fisher information of the data, and its inverse.

With independent Gaussian noise of standard deviation :math:`s_p` in each entry of part p of the target (the weights or the bias of a
layer), the Fisher information of all samples and multipliers together is :math:`F = J^\top S^{-2} J`, J the Jacobian of (S). To first order
least squares over all observed layers has the covariance :math:`F^{-1}`, and no unbiased estimator has a smaller one (Cramér-Rao).

J is never formed. For layer l, with A_i, B_i the derivatives of the signal :math:`u_i` and of :math:`h_i`, what enters the layer, by
sample i and its multipliers, the block of samples i and k is

.. math:: F_{ik} = \sum_l s^{-2}\bigl[(\tilde h_i\cdot\tilde h_k)\,A_i^\top A_k + (u_i\cdot u_k)\,B_i^\top B_k
          + A_i^\top u_k\, h_i^\top B_k + B_i^\top h_k\, u_i^\top A_k\bigr].

A sample is moved within the span of the samples and of the first layer's weights only. Across that span nothing but the first update sees a
change, :math:`\delta G_1 = \sum_i u_i\,\delta x_i^\top`, so its information is :math:`(u_i\cdot u_k)/s^2` in each of the other directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve, null_space

from identify.base.limits import OPERATIONS_PER_SECOND, refuse_above, refuse_late
from identify.conditions.networks.question import NetworkQuestion
from identify.problem.system import KKTSystem

DENSE = 5000
"""Unknowns up to which all of them are estimated together."""
RIDGE = 1e-12
"""Added to the information, for unknowns of one size: far below what is determined, above rounding."""
LOST = 1e-2
"""A sample is not determined if its variance would fall by more than this part if :data:`RIDGE` were doubled."""


@dataclass(frozen=True, eq=False)
class Information:
    """The first-order estimate for samples and multipliers at one point.

    Attributes
    ----------
    typical
        Root mean square error of each sample, in the units of the inputs; infinite if the update does not determine it to first order.
    largest
        The largest standard deviation of a sample in any direction.
    informed
        A lower bound on the root mean square error of every unbiased estimator of one sample, even of one who knows all other samples
        and all multipliers: :math:`d / \\sqrt{\\operatorname{tr} I_i}`, I_i the Fisher information of sample i alone.
    is_joint
        Whether all unknowns were estimated together. Otherwise the part of a sample outside the span of the samples is taken from the first
        update alone, which is an estimator, too: its error is no less than that of the best.
    """

    typical: Float[np.ndarray, " n"]
    largest: Float[np.ndarray, " n"]
    informed: Float[np.ndarray, " n"]
    is_joint: bool
    shift: Float[np.ndarray, " n"] | None = None
    """How far a stated change of the target moves each sample in the estimate; None if none was stated, or not all unknowns are estimated
    together."""


def seconds(system: KKTSystem, samples: int) -> float:
    """An estimate of the time of :func:`information`, from sizes alone."""
    return _work(*_sizes(system, samples), samples, system) / OPERATIONS_PER_SECOND


def information(
    system: KKTSystem,
    X: Float[np.ndarray, "n d"],
    c: Float[np.ndarray, "n C"],
    noise: dict[str, float],
    change: dict[str, np.ndarray] | None = None,
) -> Information:
    """The estimate at these data for noise of these standard deviations, by the names of ``system.parts``; all above 0.

    ``change``: of each part of the target, for :attr:`Information.shift`. If (S) leaves the scale of each sample free, errors are across
    its line. Piecewise-linear activations: with the pattern held.

    Raises
    ------
    TooLargeError, OutOfTimeError
        Before anything is allocated, when it would not fit in memory or in the time that is left.

    Notes
    -----
    Cost: for p = min(d, n + m) + C unknowns for each sample, m the first width, O((n p)^2 (sum of the widths) + (n p)^3) up to n p = 5000;
    beyond, O(n p · n (n + C) · (sum of the widths) + (n (n + C))^3). Numbers are squared on the way: samples that the update determines
    some 10^5 times less well than others count as not determined.
    """
    each, joint = _sizes(system, len(X))
    refuse_above(_memory(each, joint, len(X), system), "the Fisher information of the samples")
    refuse_late(_work(each, joint, len(X), system) / OPERATIONS_PER_SECOND, "the Fisher information of the samples")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        at = _Tangents.of(system, X, c, noise)
        return _together(at, change) if joint else _span_first(at)


def _sizes(system: KKTSystem, n: int) -> tuple[int, bool]:
    """Unknowns of each sample, and whether all are estimated together."""
    net = system.network
    each = min(net.n_inputs, n + net.widths[0]) + net.n_outputs
    return each, n * each <= DENSE or system.updates[0].W is None


def _work(each: int, joint: bool, n: int, system: KKTSystem) -> float:
    rows = n * (each if joint else min(each, n + system.network.n_outputs))
    return 2.0 * rows * n * each * sum(system.network.sizes[1:]) + 2.0 * rows**3 + 2.0 * (not joint) * rows**2 * n * each


def _memory(each: int, joint: bool, n: int, system: KKTSystem) -> int:
    rows = n * (each if joint else min(each, n + system.network.n_outputs))
    return 8 * (2 * rows * n * each + 3 * n * each * sum(system.network.sizes))


@dataclass(frozen=True, eq=False)
class _Tangents:
    """Both passes at the data in a frame of the span, and their derivatives by the unknowns of each sample."""

    basis: Float[np.ndarray, "d frame"]
    """A basis of the span of the samples and of the first weights."""
    inside: int
    """Unknowns of each sample that move it within the span of the samples, or are multipliers: the first ones."""
    moves: int
    """Unknowns of each sample that move it: beside its multipliers."""
    order: Float[np.ndarray, " unknowns"]
    """1 for an unknown that moves the sample, 0 for a multiplier."""
    layers: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float, float]]
    """For each observed layer, by its index, u, h, A, B, and the information of its weights and of its bias: 1 / s^2, or 0."""
    names: dict[int, tuple[str, str]]
    """The names of the weights and of the bias."""
    signals: Float[np.ndarray, "n m"]
    """The signals of the first layer."""

    @classmethod
    def of(cls, system: KKTSystem, X: np.ndarray, c: np.ndarray, noise: dict[str, float]) -> _Tangents:
        net, (n, d), C = system.network, X.shape, system.network.n_outputs
        weights, at, signals = list(net.weights), net.forward(X), net.signals(X, c)
        span, values, _ = np.linalg.svd(X.T, full_matrices=False)
        span = span[:, values > 1e-13 * values[0]]
        rest = weights[0] - (weights[0] @ span) @ span.T
        if span.shape[1] + len(rest) < d:
            frame = np.hstack([span, np.linalg.qr(rest.T)[0]])
        else:
            frame = np.hstack([span, null_space(span.T)])
        weights[0] = weights[0] @ frame
        Y, r, s = X @ frame, frame.shape[1], span.shape[1]
        held = NetworkQuestion.of_system(system, n, 0).scales
        within = [null_space(y[None, :s]) if held else np.eye(s) for y in Y]
        k = within[0].shape[1]
        p = k + C + r - s
        B = np.zeros((n, r, p))
        for matrix, part in zip(B, within, strict=True):
            matrix[:s, :k] = part
        B[:, np.arange(s, r), np.arange(k + C, p)] = 1.0
        entering, before = [B], []
        for W, z, sigma in zip(weights, at.before, net.activations, strict=False):
            before.append(W @ entering[-1])
            entering.append(sigma(z, order=1)[:, :, None] * before[-1])
        A = np.zeros((n, C, p))
        A[:, np.arange(C), k + np.arange(C)] = 1.0
        changes = [A]
        for layer in range(net.depth - 2, -1, -1):
            sigma, z, W = net.activations[layer], at.before[layer], weights[layer + 1]
            bent = sigma(z, order=2) * (signals[layer + 1] @ W)
            changes.append(sigma(z, order=1)[:, :, None] * (W.T @ changes[-1]) + bent[:, :, None] * before[layer])
        layers: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float, float]] = {}
        names: dict[int, tuple[str, str]] = {}
        parts = iter(system.parts)
        h = [Y, *at.entering[1:]]
        for index, update in enumerate(system.updates):
            own = ("" if update.W is None else next(parts), "" if update.bias is None else next(parts))
            names[index] = own
            of_weights, of_bias = (noise[name] ** -2.0 if name else 0.0 for name in own)
            if of_weights or of_bias:
                layers[index] = (signals[index], h[index], changes[-1 - index], entering[index], of_weights, of_bias)
        order = np.ones(p)
        order[k : k + C] = 0
        return cls(frame, k + C, p - C, order, layers, names, signals[0])

    @property
    def size(self) -> int:
        """d."""
        return len(self.basis)

    @property
    def frame(self) -> int:
        """Dimension of the span of the samples and of the first weights."""
        return self.basis.shape[1]

    @cached_property
    def across(self) -> Float[np.ndarray, "n n"]:
        """Information of the samples in each direction across the frame."""
        of_weights = self.layers[0][4] if 0 in self.layers else 0.0
        return of_weights * (self.signals @ self.signals.T)

    def own(self) -> Float[np.ndarray, " n"]:
        """The trace of the information of each sample, all others and all multipliers known."""
        total = (self.size - self.frame) * np.diag(self.across)
        moving = self.order > 0
        for u, h, A, B, w, b in self.layers.values():
            A, B = A[:, :, moving], B[:, :, moving]
            total = total + ((h**2).sum(axis=1) * w + b) * (A**2).sum(axis=(1, 2)) + w * (u**2).sum(axis=1) * (B**2).sum(axis=(1, 2))
            total = total + 2 * w * (np.einsum("na,nap->np", u, A) * np.einsum("na,nap->np", h, B)).sum(axis=1)
        return total

    @property
    def directions(self) -> int:
        """In which each sample can move: d, or one less if its scale is free."""
        return self.size - self.frame + self.moves

    def blocks(self, rows: int) -> Float[np.ndarray, "n rows n unknowns"]:
        """The information between the first ``rows`` unknowns of each sample and all unknowns."""
        n, p = len(self.signals), len(self.order)
        F = np.zeros((n, rows, n, p))
        for u, h, A, B, w, b in self.layers.values():
            inner, outer = w * (h @ h.T) + b, w * (u @ u.T)
            A_wide, B_wide = (part.transpose(1, 0, 2).reshape(part.shape[1], n * p) for part in (A, B))
            for i in range(n):
                F[i] += (A[i, :, :rows].T @ A_wide).reshape(rows, n, p) * inner[i][:, None]
                if w:
                    F[i] += (B[i, :, :rows].T @ B_wide).reshape(rows, n, p) * outer[i][:, None]
                    F[i] += w * (A[i, :, :rows].T @ u.T)[:, :, None] * (h[i] @ B_wide).reshape(n, p)
                    F[i] += w * (B[i, :, :rows].T @ h.T)[:, :, None] * (u[i] @ A_wide).reshape(n, p)
        return F


def _together(at: _Tangents, change: dict[str, np.ndarray] | None) -> Information:
    """The inverse of the information of all unknowns."""
    n, p = len(at.signals), len(at.order)
    covariance, doubt = _inverse(at.blocks(p).reshape(n * p, n * p))
    moved = None if change is None else _moved(at, covariance, change)
    blocks, doubt = _of_samples(covariance, doubt, n, at.order)
    others, rest = np.zeros(n), at.size - at.frame
    if rest:
        across, doubt_across = _inverse(at.across)
        others, doubt = np.diag(across), doubt + rest * doubt_across
    squares = np.trace(blocks, axis1=1, axis2=2) + rest * others
    return _stated(at, squares, np.maximum(np.linalg.eigvalsh(blocks)[:, -1], others), doubt, True, moved)


def _moved(at: _Tangents, covariance: np.ndarray, change: dict[str, np.ndarray]) -> Float[np.ndarray, " n"]:
    """How far the estimate of each sample moves when the target changes: F^(-1) J^T S^(-2) of the change."""
    n, p = len(at.signals), len(at.order)
    pulled = np.zeros((n, p))
    for index, (u, h, A, B, w, b) in at.layers.items():
        of_weights, of_bias = at.names[index]
        if w:
            R = w * change[of_weights].reshape(u.shape[1], -1)
            R = R if index else R @ at.basis
            pulled += np.einsum("na,nap->np", h @ R.T, A) + np.einsum("na,nap->np", u @ R, B)
        if b:
            pulled += b * np.einsum("a,nap->np", change[of_bias], A)
    squares = (((covariance @ pulled.reshape(-1)).reshape(n, p) * at.order) ** 2).sum(axis=1)
    if at.size > at.frame and 0 in at.layers and at.layers[0][4]:
        R = change[at.names[0][0]]
        squares += (np.linalg.lstsq(at.signals.T, R - (R @ at.basis) @ at.basis.T)[0] ** 2).sum(axis=1)
    return np.sqrt(squares)


def _span_first(at: _Tangents) -> Information:
    """The parts of the samples outside their span from the first update alone; the others with that error carried into them."""
    n, p, k = len(at.signals), len(at.order), at.inside
    F = at.blocks(k)
    outside, doubt_outside = _inverse(at.across)
    covariance, doubt = _inverse(F[:, :, :, :k].reshape(n * k, n * k))
    root = np.linalg.cholesky(outside)
    carried = covariance @ np.einsum("akbp,bc->akcp", F[:, :, :, k:], root).reshape(n * k, n * (p - k))
    blocks, doubt = _of_samples(covariance + carried @ carried.T, doubt, n, at.order[:k])
    own, rest = np.diag(outside), at.size - at.frame + p - k
    squares = np.trace(blocks, axis1=1, axis2=2) + rest * own
    return _stated(at, squares, np.linalg.eigvalsh(blocks)[:, -1] + own, doubt + rest * doubt_outside, False)


def _stated(
    at: _Tangents, squares: np.ndarray, largest: np.ndarray, doubt: np.ndarray, is_joint: bool, moved: np.ndarray | None = None
) -> Information:
    """Standard deviations, infinite for samples of which the equations leave a part open."""
    typical, largest = (np.where(doubt > LOST * squares, np.inf, np.sqrt(part)) for part in (squares, largest))
    return Information(typical, largest, at.directions / np.sqrt(at.own()), is_joint, moved)


def _of_samples(covariance: np.ndarray, doubt: np.ndarray, n: int, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The block of each sample, multipliers left out, and the part of its variance that is in doubt."""
    moving, k = order > 0, len(order)
    covariance = covariance.reshape(n, k, n, k)
    return np.array([covariance[i][:, i][np.ix_(moving, moving)] for i in range(n)]), doubt.reshape(n, k)[:, moving].sum(axis=1)


def _inverse(F: Float[np.ndarray, "k k"]) -> tuple[Float[np.ndarray, "k k"], Float[np.ndarray, " k"]]:
    r"""The inverse of a matrix of information, and by how much each variance falls when the ridge is doubled.

    With :math:`C = (F + \rho)^{-1}`, to first order by :math:`\rho\,(C^2)_{jj}`: all of the variance for an unknown in the kernel.
    """
    sizes = np.sqrt(np.diag(F))
    sizes[sizes == 0] = 1.0
    F = F / sizes[:, None] / sizes
    F[np.diag_indices(len(F))] += RIDGE
    covariance = cho_solve(cho_factor(F, lower=True), np.eye(len(F)))
    doubt = RIDGE * np.einsum("ij,ij->i", covariance, covariance) / sizes**2
    return covariance / sizes[:, None] / sizes, doubt

r"""Candidates from the first layer of a trained ReLU network alone: points at which many kinks and limits of the inputs meet.

At a stationary point :math:`(w_k, b_k) = a_k \sum_i c_i s_{ik} (x_i, 1)` with :math:`s_{ik} \in \partial\mathrm{relu}`. Training from a
small first layer ends with neurons that have samples on their kinks, :math:`w_k \cdot x_i + b_k = 0`, where the subgradient is free; the
data lie in the row space of :math:`W_1`; and many inputs of real images are at a limit of their range (black, white). So a
sample is a point of the row space at which unusually many of these hyperplanes meet: a vertex of their arrangement. This is
vertex enumeration by a randomised search, which minimises

.. math:: \sum_p \log\bigl(\min(|x_p - l_p|, |x_p - h_p|)^2 + \varepsilon^2\bigr)
          + \kappa \operatorname{mean}_k \log\bigl(\operatorname{dist}(x, \text{kink } k)^2 + \varepsilon^2\bigr)

by iteratively reweighted least squares with decreasing :math:`\varepsilon` (Candès, Wakin & Boyd 2008, *J. Fourier Anal. Appl.* 14), from
many starts. It proves nothing, and does not use multipliers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from identify.attacks.rows import row_space
from identify.attacks.smoothing import RELU
from identify.base.compiled import bounded, dropping
from identify.base.errors import InputError, OutOfTimeError
from identify.base.limits import Clock
from identify.base.norms import row_sizes
from identify.base.options import number, positive, valid_seed, whole
from identify.problem.arrays import input_limits
from identify.problem.network import Network, check_network

CHUNK, WORK = 1000, 2e9
"""Largest number of simultaneous starts, and of products in each of their steps; the budget is checked in between."""
ROUNDS, STEPS_PER_ROUND = 30, 3
STEPS = ROUNDS * STEPS_PER_ROUND
PIECE, GRACE = 0.25, 2.0
"""Seconds between two looks at the clock; those that the first starts may take beyond the budget."""
RANDOM_ROUNDS = 10
"""Number of first rounds in which the limits have random weights, so that starts lead to different points."""
SPREAD = 2.0
"""Standard deviation of the logarithm of these weights."""
LARGEST, SMALLEST = 0.1, 0.02
"""ε at the first and at the last round, relative to the range of the inputs."""
ALIVE = 0.1
"""Norm, relative to the largest, below which neurons are ignored."""
FAR = 1e6
"""Distance from zero, relative to the limits of the inputs, from which on a kink is ignored: it draws no point to it."""
SAME = 0.1
"""Relative distance below which two candidates count as one."""


@dataclass(frozen=True, eq=False)
class Corners:
    """Distinct candidates, those at which most hyperplanes meet first."""

    X: Float[np.ndarray, "k d"]
    cost: Float[np.ndarray, " k"]
    """Objective of the search at each candidate (dimensionless, of any sign)."""
    dimension: int
    """Dimension of the row space that was searched."""
    starts: int

    def __repr__(self) -> str:
        return f"Corners({len(self.X)} candidates in {self.dimension} dimensions, from {self.starts} starts)"


@dropping()
def corners(
    network: Network,
    low: ArrayLike,
    high: ArrayLike,
    *,
    noise: float = 0.0,
    dimension: int | None = None,
    kinks: float = 10.0,
    starts: int = 8000,
    seed: int = 0,
    budget: float | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> Corners:
    """Points in the row space of the first layer at which many kinks and input limits meet.

    Parameters
    ----------
    network
        ReLU; only its first layer is read.
    low, high
        Limits of the network's inputs: for pixels in [0, 1] minus a mean, 0 - mean and 1 - mean. One number, or (d,).
    noise, dimension
        The rest of the initial values in the weights, or the dimension itself: see :func:`~identify.attacks.rows.row_space`.
    kinks
        κ, the weight of all kinks together, in numbers of inputs; at least 0 (dimensionless).
    starts
        Number of random starts, at least 1.
    seed
        Of these starts, from 0 to 2^53 - 1.
    budget
        Seconds of wall-clock time; when it is spent, or at a keyboard interrupt, the candidates so far are returned.

    Raises
    ------
    ValueError
        For a network that is not ReLU, limits that do not enclose an interval, or numbers out of range.
    OutOfTimeError
        If the budget ends before any start does.

    Notes
    -----
    Cost O(starts · (d + m) r^2) for r dimensions, 90 times; memory O(1000 (d + m) r), less for large images.

    Examples
    --------
    >>> import numpy as np
    >>> from identify import Network
    >>> x = np.array([0.0, 0.0, 0.7, 0.0])
    >>> W1 = np.array([[1.0, 0, 1, 0], [1, 1, -1, 0]])
    >>> found = corners(Network([W1, np.ones((1, 2))], biases=[-W1 @ x, None], activation="relu"), 0, 1, starts=100)
    >>> found.dimension
    2
    """
    check_network("network", network)
    if network.activations[0] != RELU:
        raise InputError(f"network: received {network!r}, expected a ReLU network: the kinks are those of ReLU")
    lowest, highest = input_limits(low, high, network.n_inputs)
    starts, kinks, seed = whole("starts", starts), number("kinks", kinks), valid_seed(seed)
    budget = None if budget is None else positive("budget", budget, unit="seconds")
    basis = row_space(network.parameters["W1"], noise=noise, dimension=dimension)
    search, rng = _Search.of(network, basis, lowest, highest, kinks), np.random.default_rng(seed)
    clock = Clock(deadline=None if budget is None else time.monotonic() + budget)
    chunk = int(np.clip(WORK / (sum(network.parameters["W1"].shape) * len(basis) ** 2), 1, CHUNK))
    points: list[np.ndarray] = []
    costs: list[np.ndarray] = []
    with jax.enable_x64(True):
        for done in range(0, starts, chunk):
            if points and not clock.go_on():
                break
            weights = np.exp(SPREAD * rng.standard_normal((min(chunk, starts - done), network.n_inputs)))
            try:
                ended = _descended(search, jax.device_put(weights), clock, must=not points)
            except KeyboardInterrupt:
                if not points:
                    raise
                break
            if ended is None:
                break
            points.append(ended[0] @ basis)
            costs.append(ended[1])
            progress(f"corners: {done + len(weights)} of {starts} starts")
    X, cost = np.concatenate(points), np.concatenate(costs)
    kept = _distinct(X, cost)
    return Corners(X[kept], cost[kept], len(basis), len(X))


@partial(jax.tree_util.register_dataclass, data_fields=["basis", "low", "high", "normals", "offsets", "kinks"], meta_fields=[])
@dataclass(frozen=True)
class _Search:
    basis: Array
    low: Array
    high: Array
    normals: Array
    """Unit normals of the kinks, in coordinates of the basis."""
    offsets: Array
    kinks: Array

    @classmethod
    def of(cls, network: Network, basis: np.ndarray, low: np.ndarray, high: np.ndarray, kinks: float) -> _Search:
        W = network.parameters["W1"]
        sizes, b = row_sizes(W), network.parameters.get("b1", np.zeros(len(W)))
        far = FAR * np.abs([low, high]).max()
        alive = (sizes > ALIVE * sizes.max()) & (np.abs(b) / FAR <= sizes * (far / FAR))
        if not alive.any():
            raise InputError(f"network: all kinks of the first layer are more than {FAR:g} times as far away as the limits of the inputs")
        normals = W[alive] / sizes[alive, None]
        offsets = b[alive] / sizes[alive]
        with jax.enable_x64(True):
            return cls(*map(jax.device_put, (basis, low, high, normals @ basis.T, offsets, kinks / len(normals))))

    def moved(self, u: Float[Array, "k r"], weights: Float[Array, "k d"], first: Any, count: Any) -> tuple[Array, Array]:
        """Coordinates (k, r) after ``count`` steps from the ``first`` one on, and their costs (k,)."""
        scale = jnp.mean(self.high - self.low)

        def body(i, u):
            rounds = i // STEPS_PER_ROUND
            width = scale * LARGEST * (SMALLEST / LARGEST) ** (rounds / (ROUNDS - 1))
            return self._step(u, width, jnp.where(rounds < RANDOM_ROUNDS, weights, 1.0))

        u = jax.lax.fori_loop(first, first + count, body, u)
        return u, self._cost(u, scale * SMALLEST)

    def _step(self, u: Array, width: Array, weights: Array) -> Array:
        """The least squares problem with the weights of the logarithms at u; beyond a limit, with those at the limit."""
        x, z = u @ self.basis, u @ self.normals.T + self.offsets
        to_low = weights / (jnp.maximum(x - self.low, 0) ** 2 + width**2)
        to_high = 1 / (jnp.maximum(self.high - x, 0) ** 2 + width**2)
        to_kinks = self.kinks / (z**2 + width**2)
        matrix = jnp.einsum("ap,kp,bp->kab", self.basis, to_low + to_high, self.basis)
        matrix += jnp.einsum("pa,kp,pb->kab", self.normals, to_kinks, self.normals)
        right = (to_low * self.low + to_high * self.high) @ self.basis.T - (to_kinks * self.offsets) @ self.normals
        return jnp.linalg.solve(matrix, right[..., None])[..., 0]

    def _cost(self, u: Array, width: Array) -> Array:
        x, z = u @ self.basis, u @ self.normals.T + self.offsets
        limit = jnp.minimum(jnp.abs(x - self.low), jnp.abs(x - self.high))
        return jnp.log(limit**2 + width**2).sum(axis=1) + self.kinks * jnp.log(z**2 + width**2).sum(axis=1)


@bounded
@jax.jit
def _moved(search: _Search, u: Array, weights: Array, first: Any, count: Any) -> tuple[Array, Array]:
    return search.moved(u, weights, first, count)


def _descended(search: _Search, weights: Array, clock: Clock, must: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """Ends of some starts and their costs, in pieces between which the clock is asked; None if time is over before.

    If they ``must`` end, they may take a little more; OutOfTimeError if that would not do.
    """
    u: Any = jax.device_put(np.zeros((len(weights), len(search.basis))))
    cost: Any = None
    at, pace, last = 0, 0.0, 0.0
    while at < STEPS:
        began, count = time.monotonic(), min(max(int(PIECE / pace), 1), STEPS - at) if pace else 1
        u, cost = _moved(search, u, weights, at, count)
        cost = np.asarray(cost)  # here the steps are waited for
        at += count
        if at > 1:
            pace = (time.monotonic() - began) / count
        else:  # it compiled, which no clock ends
            last = max(time.monotonic(), clock.deadline or 0.0) + GRACE
        if at < STEPS and not clock.go_on():
            if not must:
                return None
            if clock.deadline is None or time.monotonic() > last:
                raise OutOfTimeError(
                    f"corners: time was over before {len(weights)} starts had ended, which take about {pace * STEPS:.2g} s; give a larger "
                    "budget, or a smaller dimension"
                )
    return np.asarray(u), cost


def _distinct(X: Float[np.ndarray, "k d"], cost: Float[np.ndarray, " k"]) -> list[int]:
    """Candidates by cost; of those within SAME of one another only the cheapest."""
    distinct: list[int] = []
    for i in np.argsort(cost):
        if np.isfinite(cost[i]) and (not distinct or (np.linalg.norm(X[distinct] - X[i], axis=1) > SAME * np.linalg.norm(X[i])).all()):
            distinct.append(int(i))
    return distinct

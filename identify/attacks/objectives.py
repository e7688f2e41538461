r"""The objective of a reconstruction attack: a distance between parameters and the gradients of weighted candidates.

With candidates :math:`x_j`, multipliers :math:`c_j`, scalars s of the network's outputs and a number M that is fixed at the start,

.. math:: L(X, c) = \sum_p \left\| t_p - \frac1M \sum_j \sum_q c_{jq} \nabla_{\theta_p} s_q(f(\theta; x_j), y_j) \right\|^2
          + \sum_j w_j\, \mathrm{prior}(x_j) + \sum_j \mathrm{penalty}(c_j, l_j).

M does not change, and shares w and bounds l pass to the children of a split candidate, so a split alone does not change the objective:
:mod:`identify.splitting` can minimise it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from identify.base.compiled import bounded
from identify.base.errors import InputError
from identify.base.norms import size
from identify.base.options import instance, positive, whole
from identify.problem.signals import Nonlinearity, backward, forward, updates_from
from identify.splitting.matrices import Objective as AnyObjective
from identify.splitting.matrices import traceable

ORDINARY = 1e-100, 1e100
"""Norms of targets whose squares, and those of small parts of them, are doubles."""

Parameters = dict[str, Array]
"""``W1``, ``b1``, ``W2``, ...: weights (out, in) and biases (out,) by layer; a bias that is absent is zero and not trained."""

Scalars = Callable[[Array, Array], Array]
"""Outputs (k, C) and labels (k, ...) of the candidates -> the scalars (k, q) whose parameter gradients are summed."""
Prior = Callable[[Array], Array]
"""Candidates (k, d) -> a penalty for each, (k,). A function, or a pytree that can be called."""
Penalty = Callable[[Array, Array], Array]
"""Multipliers (k, q) and their bounds (k,) -> a penalty for each candidate, (k,). Like a prior."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Objective:
    """L(X, c), with the constants of each candidate. A pytree: compiled once, whatever the numbers."""

    at: tuple[Parameters, ...]
    """Parameters at which gradients are taken; with two, the columns of c are divided between them, unless they are shared."""
    change: Parameters | None
    """Target of the sum of gradients; None: the parameters at which they are taken."""
    labels: Array
    bounds: Array
    shares: Array
    count: Array
    sharpness: Array
    outside: Array
    """Squared norm of the target that no candidate can reach: its first layer outside the rows of ``basis``."""
    prior: Prior
    penalty: Penalty
    nonlinearity: Callable[[Array, Array], Array]
    scalars: Scalars = field(metadata={"static": True})
    basis: Array | None = None
    """Candidates are coordinates for these rows (r, d); None: for the inputs."""
    weight: Array = field(default_factory=lambda: jnp.ones(()))
    """Factor of the first term, at least 0."""
    shared: bool = field(default=False, metadata={"static": True})
    """Whether the multipliers are those of the mean of the gradients at all parameters."""

    @property
    def target(self) -> Parameters:
        return self.at[0] if self.change is None else self.change

    def gradients(self, X: Float[Array, "k d"], c: Float[Array, "k q"]) -> Parameters:
        """The sum of weighted gradients, which is compared with the target."""

        parts = [
            by_name(updates_from(entering, deltas))
            for entering, deltas, _ in (self._signals(at, X, own) for at, own in zip(self.at, self._by_network(c), strict=True))
        ]
        return {name: sum(part[name] for part in parts[1:]) + parts[0][name] for name in self.target}

    def distance(self, X: Float[Array, "k d"], c: Float[Array, "k q"]) -> Array:
        """The first term of L: the squared residual of stationarity."""
        gradients = self.gradients(X, c)
        return sum((((self.target[name] - gradients[name]) ** 2).sum() for name in self.target), jnp.zeros((), X.dtype)) + self.outside

    def products(self, X: Float[Array, "k d"], c: Float[Array, "k q"]) -> Array:
        r"""The first term of L without any complete gradient, for few candidates and wide layers.

        The gradient by :math:`W_l` is :math:`\sum_j \delta_j h_j^\top`, h the input of the layer and δ the derivative by its
        pre-activations; its squared norm is :math:`\sum_{jk} (\delta_j \cdot \delta_k)(h_j \cdot h_k)`. Differences of large numbers:
        residuals below 1e-8 of the target are rounding.
        """
        signals = [self._signals(at, X, own) for at, own in zip(self.at, self._by_network(c), strict=True)]
        total = jnp.zeros((), X.dtype)
        for name, target in self.target.items():
            layer = int(name[1:]) - 1
            delta = jnp.concatenate([deltas[layer] for _, deltas, _ in signals])
            if name.startswith("b"):
                total += ((target - delta.sum(axis=0)) ** 2).sum()
                continue
            h = jnp.concatenate([entering[layer] for entering, *_ in signals])
            if len(h) * sum(target.shape) < target.size:
                seen = signals[0][2][layer] if self.change is None else h @ target.T
                total += (target**2).sum() - 2 * (delta * seen).sum() + ((delta @ delta.T) * (h @ h.T)).sum()
            else:
                total += ((target - delta.T @ h) ** 2).sum()
        return total + self.outside

    def _signals(self, parameters: Parameters, X: Array, c: Array) -> tuple[list[Array], list[Array], list[Array]]:
        """By layer: what enters, derivatives of the weighted sum by the pre-activations, and products with the weights."""
        weights, biases, sigma = self._layers(parameters)
        entering, before = forward(weights, biases, sigma, X)
        pull = jax.vjp(lambda outputs: self.scalars(outputs, self.labels), before[-1])[1]
        deltas = backward(weights, sigma, before, pull(c)[0] / self.count)
        products = [z if b is None else z - b for z, b in zip(before, biases, strict=True)]
        return entering, deltas, products

    def _layers(self, parameters: Parameters) -> tuple[list[Array], list[Array | None], list[Nonlinearity]]:
        def sigma(z: Array, order: int) -> Array:
            if order == 0:
                return self.nonlinearity(z, self.sharpness)
            return jax.jvp(lambda z: self.nonlinearity(z, self.sharpness), (z,), (jnp.ones_like(z),))[1]

        weights, biases = in_order(parameters)
        return weights, biases, [sigma] * (len(weights) - 1)

    def _outputs(self, parameters: Parameters, X: Array) -> Array:
        return forward(*self._layers(parameters), X).outputs

    def _by_network(self, c: Array) -> list[Array]:
        return [c / len(self.at)] * len(self.at) if self.shared else jnp.split(c, len(self.at), axis=1)

    def __call__(self, X: Float[Array, "k d"], c: Float[Array, "k q"]) -> Array:
        inputs = X if self.basis is None else X @ self.basis
        return self.weight * self.products(X, c) + (self.shares * self.prior(inputs)).sum() + self.penalty(c, self.bounds).sum()

    def pull(self, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k q"]) -> Parameters:
        """The derivative of the first term by the sum of the candidates' gradients: the residual times -2/M and its weight."""
        with jax.enable_x64(True):
            return _pull(self, jnp.asarray(X, float), jnp.asarray(c, float))

    def potentials(self, U: Float[Array, "k d"], c: Float[Array, "k q"], rho: Parameters) -> Float[Array, " k"]:
        r"""The potential, whose Hessians are the splitting matrices: the first-order change of L if a bit of candidate j moves to u_j.

        :math:`\sum_q c_{jq} \langle \rho, \nabla_\theta s_q(f(\theta; u_j), y_j) \rangle + w_j\, \mathrm{prior}(u_j)`, a derivative of the
        network in the direction :math:`\rho`: the other candidates enter through :math:`\rho` only.
        """

        def scalars(at: Parameters) -> Array:
            return self.scalars(self._outputs(at, U), self.labels)

        along = [jax.jvp(scalars, (at,), (rho,))[1] for at in self.at]
        inputs = U if self.basis is None else U @ self.basis
        mean = sum(along[1:], along[0]) / len(along) if self.shared else jnp.concatenate(along, axis=1)
        return (c * mean).sum(axis=1) + self.shares * self.prior(inputs)

    def splitting_product(
        self, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k q"], V: Float[np.ndarray, "k d"], rho: Parameters
    ) -> Array:
        """S_j v_j for all candidates. Cost of a few passes through the network."""
        with jax.enable_x64(True):
            return _products(self, jnp.asarray(X, float), jnp.asarray(c, float), jnp.asarray(V, float), rho)

    def splitting_matrices(self, X: Float[np.ndarray, "k d"], c: Float[np.ndarray, "k q"]) -> Float[np.ndarray, "k d d"]:
        """All S_j. Cost of d products."""
        with jax.enable_x64(True):
            S = np.asarray(_matrices(self, jnp.asarray(X, float), jnp.asarray(c, float)))
        return (S + S.swapaxes(1, 2)) / 2

    def inherit(self, parents, shares) -> Objective:
        """The objective of candidates that come from ``parents`` with those shares of their multipliers."""
        with jax.enable_x64(True):
            labels, bounds, own = _inherited(self.labels, self.bounds, self.shares, parents, shares)
            return replace(self, labels=labels, bounds=bounds, shares=own)


def in_order(parameters: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Weights and biases (None for a layer without) from the first layer to the last."""
    layers = range(1, sum(name.startswith("W") for name in parameters) + 1)
    return [parameters[f"W{k}"] for k in layers], [parameters.get(f"b{k}") for k in layers]


def by_name(updates: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """Updates of weights and biases as ``W1``, ``b1``, ``W2``, ..."""
    return {f"{letter}{k}": part for k, pair in enumerate(updates, 1) for letter, part in zip("Wb", pair, strict=True)}


@bounded
@jax.jit
def _inherited(labels: Array, bounds: Array, own: Array, parents: Any, shares: Any) -> tuple[Array, Array, Array]:
    """Constants of the children. Compiled as one: JAX keeps a program of its own for each operation outside of one, and each size."""
    return labels[parents], bounds[parents] * shares, own[parents] * shares


@bounded
@jax.jit
def _pull(objective: Objective, X: Array, c: Array) -> Parameters:
    gradients = objective.gradients(X, c)
    return {name: -2 * objective.weight / objective.count * (target - gradients[name]) for name, target in objective.target.items()}


@bounded
@jax.jit
def _products(objective: Objective, X: Array, c: Array, V: Array, rho: Parameters) -> Array:
    slopes = jax.grad(lambda U: objective.potentials(U, c, rho).sum())
    return jax.jvp(slopes, (X,), (V,))[1]


@bounded
@jax.jit
def _matrices(objective: Objective, X: Array, c: Array) -> Array:
    rho = _pull(objective, X, c)
    columns = jax.lax.map(lambda e: _products(objective, X, c, jnp.broadcast_to(e, X.shape), rho), jnp.eye(X.shape[1]))
    return columns.transpose(1, 2, 0)


def objective(
    at: tuple[Mapping[str, np.ndarray], ...],
    change: Mapping[str, np.ndarray] | None,
    labels: Float[np.ndarray, "k ..."],
    *,
    scalars: Scalars,
    prior: Prior,
    penalty: Penalty,
    bound: float = 0.0,
    nonlinearity: Callable[[Array, Array], Array],
    sharpness: float = 1.0,
    outputs: int = 1,
    shared: bool = False,
) -> Objective:
    """An :class:`Objective` for k candidates, one for each label; M = k · ``outputs``. Without ``change`` the target is ``at[0]``.

    Raises InputError for a target of zeros, which candidates without weight explain, and for one whose square overflows or underflows.
    """
    refuse_target(at[0] if change is None else change)

    def arrays(parameters: Mapping[str, np.ndarray]) -> Parameters:
        return {name: jax.device_put(value) for name, value in parameters.items()}

    k = len(labels)
    with jax.enable_x64(True):
        networks, goal = tuple(map(arrays, at)), None if change is None else arrays(change)
        parts = (labels, np.full(k, bound), np.ones(k), k * outputs, sharpness, 0.0, 1.0)
        own, bounds, shares, count, sharp, outside, weight = (jnp.asarray(part, float) for part in parts)
        held = [jax.tree.map(lambda leaf: jnp.asarray(leaf, float), traceable(part)) for part in (prior, penalty, nonlinearity)]
    return Objective(
        networks, goal, own, bounds, shares, count, sharp, outside, held[0], held[1], held[2], scalars, weight=weight, shared=shared
    )


def refuse_target(target: Mapping[str, np.ndarray]) -> None:
    """Raise InputError for a target that is zero, or whose squared norm over- or underflows, or nearly so."""
    sizes = {name: size(np.asarray(part, float)) for name, part in target.items()}
    norm = size(np.array(list(sizes.values())))
    if not norm:
        raise InputError("target: all numbers are zero, so candidates without weight explain them; expected a network that was trained")
    if not ORDINARY[0] <= norm <= ORDINARY[1]:
        parts = ", ".join(f"{name} {each:.2g}" for name, each in sizes.items())
        raise InputError(
            f"target: has the norm {norm:.2g} ({parts}), expected one between {ORDINARY[0]:g} and {ORDINARY[1]:g}, so that its square is a "
            "double; give the network in other units"
        )


@dataclass(frozen=True, eq=False)
class Attack:
    """An attack for :func:`identify.reconstruct`: an objective for any number of candidates, a start, an optimiser.

    Attributes
    ----------
    objective
        ``objective(k)``: the :class:`Objective` of k candidates, or any other callable on (X, c), of shapes (k, d) and (k, q), with a
        scalar value, that JAX traces and differentiates twice. It takes any number of candidates, and one with c = 0 adds nothing.
        If it has constants for each candidate, it is a pytree with a method ``inherit(parents, shares)``
        (:data:`identify.splitting.matrices.Objective`); if it has ``distance(X, c)``, that is reported as the first term.
    start
        ``start(rng, k)``: candidates (k, d) and multipliers (k, q).
    optimiser
        An optax transformation of the pytree ``{"X": ..., "c": ...}``.
    steps
        Iterations of the published setting.
    sharpness
        Completed iterations -> sharpness of the smoothed activation, if it changes; None: that of the objective.
    settings
        The hyper-parameters, for the record.
    pace
        Completed iterations -> factor of every step of the optimiser, such as a learning rate that decays; None: 1.
    basis
        Orthonormal rows (r, d) whose coordinates ``start`` and the objective take (:func:`~identify.attacks.rows.in_row_space`);
        None: they take the inputs themselves.
    """

    name: str
    objective: Callable[[int], AnyObjective]
    start: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
    optimiser: optax.GradientTransformation
    steps: int
    sharpness: Callable[[Array], Array] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    basis: Float[np.ndarray, "r d"] | None = None
    pace: Callable[[Array], Array] | None = None

    @property
    def n_inputs(self) -> int:
        return self.start(np.random.default_rng(0), 1)[0].shape[1] if self.basis is None else self.basis.shape[1]

    def coordinates(self, X: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "k r"]:
        """Inputs in the coordinates of the objective; their parts outside the basis are lost."""
        return X if self.basis is None else X @ self.basis.T

    def lifted(self, X: Float[np.ndarray, "k r"]) -> Float[np.ndarray, "k d"]:
        """Candidates as inputs of the network."""
        return X if self.basis is None else X @ self.basis


def sum_of_gradients(made: AnyObjective, what: str) -> Objective:
    """The objective, if it is an :class:`Objective`; ``what`` needs its target.

    Raises
    ------
    ValueError
        For any other objective.
    """
    if not isinstance(made, Objective):
        raise InputError(
            f"attack: received one with an objective of its own ({type(made).__name__}), expected one made by identify.attacks.objective, "
            f"which has a target that {what} needs"
        )
    return made


def require_attack(attack: object) -> None:
    """Raise WrongTypeError for anything but an :class:`Attack`."""
    instance("attack", attack, Attack, "an Attack, such as that of identify.attacks.haim")


def reweighted(attack: Attack, factor: float) -> Attack:
    """The same attack with the first term of its objective multiplied, against the prior and the penalty of multipliers.

    Parameters
    ----------
    factor
        Above 0. Learning rates are per objective, so the steps grow with it.
    """
    require_attack(attack)
    factor = positive("factor", factor)

    def objective(k: int) -> Objective:
        made = sum_of_gradients(attack.objective(k), "reweighted")
        with jax.enable_x64(True):
            return replace(made, weight=jnp.asarray(factor * float(made.weight), float))

    return replace(attack, objective=objective, settings=attack.settings | {"weight": factor})


def decaying(attack: Attack, last: float, steps: int) -> Attack:
    """The same attack with learning rates that fall to the part ``last``, in (0, 1], along half a cosine over ``steps`` iterations.

    They count from the start of the run: a split does not begin them anew.
    """
    require_attack(attack)
    steps = whole("steps", steps)
    if positive("last", last) > 1:
        raise InputError(f"last: received {last}, expected a part of the learning rates, above 0 and at most 1")

    return replace(attack, pace=_HalfCosine(last, steps), settings=attack.settings | {"last": last, "over": steps})


@dataclass(frozen=True)
class _HalfCosine:
    """Equal for equal numbers, so that what was compiled for one is used for the other."""

    last: float
    steps: int

    def __call__(self, done: Array) -> Array:
        return self.last + (1 - self.last) * (1 + jnp.cos(jnp.pi * jnp.minimum(done / self.steps, 1.0))) / 2

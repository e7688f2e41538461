r"""Training as a function of the data, in the coordinates of the first layer's row space.

The first layer moves by :math:`U(t) \tilde X` with :math:`\tilde x_i = R^\top\eta_i`, R an orthonormal basis of the row space of its
change. So gradient descent on the whole network *is* gradient descent on the network whose first layer is :math:`\tilde W_1 R^\top` and
whose inputs are the coordinates :math:`\eta_i`: few numbers, however large the samples are. The other parameters are observed.

The unknowns are a vector: coordinates of all samples (one less each if the bias fixes their scale), and what else is not known of the
training: the logarithm of the learning rate, targets of a square loss, multipliers of a loss without a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from identify.base.compiled import bounded
from identify.problem.activation import Activation
from identify.problem.signals import backward, forward, updates_from
from identify.problem.steps import StepsSystem
from identify.recovery.separation.subspace import complement

CHUNK = 32
"""Directions in which training is differentiated at once."""
FREE = "free"
"""The loss whose multipliers are unknown: each step and sample has its own."""
PLENTY, ENTRIES = 24, 5e7
"""Equations for each unknown, and entries of the Jacobian, above which equations are left out."""


def plenty(unknowns: int) -> int:
    """Number of equations above which more of them add time rather than precision."""
    return max(PLENTY * unknowns, int(ENTRIES / max(unknowns, 1)))


def middle(n_steps: int) -> float:
    """The share of the way at which several steps look like one: half of it. One step is a step from its start."""
    return 0.5 if n_steps > 1 else 0.0


@dataclass(frozen=True, eq=False)
class Path:
    """The course of training: parameters before each step, inputs of the last layer, signals times learning rate."""

    first: Float[np.ndarray, "T m r"]
    """The first layer's weights in coordinates, moved so that the path ends at the network that was observed."""
    entering: Float[np.ndarray, "T n _"]
    """The inputs of the last layer, with a 1 if its bias was trained."""
    signals: Float[np.ndarray, "T n k"]
    """The signals of the second layer."""


@dataclass(frozen=True)
class Plan:
    """A kind of training: what compiled functions depend on beside their arrays."""

    activations: tuple[Activation, ...]
    moves: tuple[bool, ...]
    lifted: tuple[bool, ...]
    loss: str
    n: int
    unknowns: int
    """Unknowns of one sample."""
    T: int
    C: int
    rate_is_free: bool
    nesterov: bool

    @property
    def has_kinks(self) -> bool:
        """Whether slopes jump."""
        return any(sigma.kind == "piecewise-linear" for sigma in self.activations)

    @property
    def extra(self) -> dict[str, tuple[int, ...]]:
        """The unknowns behind the coordinates, with their shapes, in their order."""
        parts: dict[str, tuple[int, ...]] = {}
        if self.rate_is_free:
            parts["rate"] = ()
        if self.loss == "square":
            parts["targets"] = (self.n, self.C)
        if self.loss == FREE:
            parts["multipliers"] = (self.T, self.n, self.C)
        return parts

    @property
    def places(self) -> dict[str, tuple[int, int]]:
        """The places at which they begin and end."""
        at, out = self.n * self.unknowns, {}
        for name, shape in self.extra.items():
            out[name] = at, at + int(np.prod(shape))
            at = out[name][1]
        return out

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return self.n * self.unknowns + sum(int(np.prod(shape)) for shape in self.extra.values())

    def split(self, p: Any, origin: Any, basis: Any) -> tuple[Any, dict[str, Any]]:
        """Coordinates (n, r) and the other unknowns of a vector; arrays of NumPy or JAX."""
        eta = origin + p[: self.n * self.unknowns].reshape(self.n, -1) @ basis.T
        return eta, {name: p[begin:end].reshape(self.extra[name]) for name, (begin, end) in self.places.items()}


@dataclass(frozen=True, eq=False)
class Training:
    """One way of training, with the unknowns that are sought.

    Attributes
    ----------
    before, after
        For each layer its weights, with the bias as a last column if that was trained; the first in coordinates.
    offsets
        Biases that were not trained; None elsewhere.
    moves
        Which layers were trained.
    origin, basis
        The coordinates of a sample with unknowns p are ``origin + basis @ p``.
    shares
        For each step and sample its weight in the mean of the batch.
    """

    system: StepsSystem
    before: Sequence[Float[np.ndarray, "_ _"]]
    after: Sequence[Float[np.ndarray, "_ _"]]
    offsets: Sequence[Float[np.ndarray, " _"] | None]
    moves: Sequence[bool]
    lifted: Sequence[bool]
    rows: Float[np.ndarray, "r columns"]
    origin: Float[np.ndarray, " r"]
    basis: Float[np.ndarray, "r unknowns"]
    n: int
    loss: str
    shares: Float[np.ndarray, "T n"]
    rate_is_free: bool = False
    chosen: Int[np.ndarray, " equations"] | None = field(default=None)
    """The equations that are used, of all; None for all of them."""

    @classmethod
    def of(
        cls, system: StepsSystem, changes: dict[int, Any], rows: Float[np.ndarray, "r columns"], n: int, loss: str, shares: np.ndarray
    ) -> Training:
        """``rows``: the basis R. ``changes``: what moved."""
        net, last = system.initial, system.final
        lifted = [changes[k][1] is not None for k in changes]
        before, after, offsets = [], [], []
        for k in range(net.depth):
            parts = []
            for source in (net, last):
                W, b = source.weights[k], source.biases[k]
                whole = np.hstack([W, b[:, None]]) if lifted[k] and b is not None else W
                parts.append(whole @ rows.T if k == 0 else whole)
            before.append(parts[0])
            after.append(parts[1])
            offsets.append(None if lifted[k] else net.biases[k])
        d = rows.shape[1] - lifted[0]
        origin, basis = np.zeros(len(rows)), np.eye(len(rows))
        if lifted[0]:
            unit = rows[:, d]
            origin = unit / (unit @ unit)
            basis = complement(unit[None] / np.linalg.norm(unit)).T
        moves = [changes[k][0] is not None for k in changes]
        rate_is_free = system.learning_rate is None and loss != FREE
        return cls(system, before, after, offsets, moves, lifted, rows, origin, basis, n, loss, shares, rate_is_free)

    @property
    def n_steps(self) -> int:
        return len(self.shares)

    @property
    def n_coordinates(self) -> int:
        """Unknowns that are coordinates of samples."""
        return self.n * self.basis.shape[1]

    @cached_property
    def plan(self) -> Plan:
        """The kind of training, on which compiled functions depend."""
        net = self.system.initial
        return Plan(
            net.activations,
            tuple(self.moves),
            tuple(self.lifted),
            self.loss,
            self.n,
            self.basis.shape[1],
            self.n_steps,
            self.system.n_outputs,
            self.rate_is_free,
            self.system.nesterov,
        )

    @cached_property
    def arrays(self) -> dict[str, Any]:
        system = self.system
        return {
            "before": list(self.before),
            "after": list(self.after),
            "offsets": list(self.offsets),
            "origin": self.origin,
            "basis": self.basis,
            "shares": self.shares,
            "scales": np.array(self.scales),
            "chosen": self.chosen,
            "factors": np.array(system.factors(self.n_steps)),
            "training": np.array([system.learning_rate or 1.0, system.momentum, system.weight_decay]),
        }

    def split(self, p: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Coordinates (n, r) and the other unknowns of a vector."""
        return self.plan.split(p, self.origin, self.basis)

    def joined(self, eta: Float[np.ndarray, "n r"], others: dict[str, Any]) -> Float[np.ndarray, " unknowns"]:
        """The vector of :meth:`split`."""
        return np.concatenate([((eta - self.origin) @ self.basis).reshape(-1), *(np.reshape(others[name], -1) for name in self.plan.extra)])

    def samples(self, eta: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n d"]:
        """In the units of the inputs."""
        return eta @ self.rows[:, : self.system.n_inputs]

    @cached_property
    def scales(self) -> list[float]:
        """By which the equations of a layer are multiplied: one over the size of its change; 0 for layers that stay."""
        return [1 / float(np.linalg.norm(b - a)) if moves else 0.0 for a, b, moves in zip(self.before, self.after, self.moves, strict=True)]

    @property
    def counts(self) -> list[int]:
        """Equations of each layer."""
        return [part.size for part in self.after]

    @property
    def layer(self) -> Int[np.ndarray, " equations"]:
        """The layer of each equation that is used, from 0."""
        layers = np.repeat(np.arange(len(self.counts)), self.counts)
        return layers if self.chosen is None else layers[self.chosen]

    def halfway(self, eta: Float[np.ndarray, "n r"]) -> Float[np.ndarray, "n _"]:
        """The inputs of the last layer of the network halfway, with a 1 if its bias was trained."""
        share = middle(self.n_steps)
        weights, biases = _parts(self.plan, [a + share * (b - a) for a, b in zip(self.before, self.after, strict=True)], self.offsets)
        top = forward(weights, biases, self.system.initial.activations, eta).entering[-1]
        return np.hstack([top, np.ones((self.n, 1))]) if self.lifted[-1] else top

    def missing(self, p: np.ndarray, labels: np.ndarray, *, all_of_them: bool = False) -> Float[np.ndarray, " equations"]:
        """The part of the final network that training from the data misses, layer by layer relative to its change."""
        arrays = self.arrays | ({"chosen": None} if all_of_them else {})
        with jax.enable_x64(True):
            return np.asarray(_missing(self.plan, arrays, p, labels))

    def missing_with(
        self, shares: Float[np.ndarray, "orders T n"], p: np.ndarray, labels: np.ndarray
    ) -> Float[np.ndarray, "orders equations"]:
        """The part that is missed for each of these weights of the samples."""
        with jax.enable_x64(True):
            return np.asarray(_missing_with(self.plan, self.arrays, shares, p, labels))

    def jacobian(self, p: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, "equations unknowns"]:
        """Its derivatives. Cost: one pass of training with its derivative for each unknown."""
        out = [np.zeros((0, len(self.layer)))]  # of one sample with a bias that moved nothing is unknown
        with jax.enable_x64(True):
            for begin in range(0, len(p), CHUNK):
                along = np.zeros((CHUNK, len(p)))
                own = np.arange(begin, min(begin + CHUNK, len(p)))
                along[own - begin, own] = 1.0
                out.append(np.asarray(_derivatives(self.plan, self.arrays, p, labels, along))[: len(own)])
        return np.concatenate(out).T

    def path(self, p: np.ndarray, labels: np.ndarray) -> tuple[Path, Float[np.ndarray, "T n C"]]:
        """The course of training, and the weighted multipliers of each step."""
        with jax.enable_x64(True):
            P, ((first, *_), top, signals, gamma) = _trained(self.plan, self.arrays, p, labels)
        share = np.arange(self.n_steps) / self.n_steps
        first = np.asarray(first) + share[:, None, None] * (self.after[0] - np.asarray(P[0]))
        return Path(first, np.asarray(top), np.asarray(signals)), np.asarray(gamma)


def _parts(plan: Plan, P: Sequence[Any], offsets: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Weights and biases of the network in coordinates; the bias of a lifted first layer is in them."""
    weights, biases = [], []
    for k, whole in enumerate(P):
        apart = plan.lifted[k] and k > 0
        weights.append(whole[:, :-1] if apart else whole)
        biases.append(whole[:, -1] if apart else offsets[k])
    return weights, biases


def _gradients(plan: Plan, arrays: dict[str, Any], P: Any, eta: Any, others: dict[str, Any], labels: Any, free: Any) -> Any:
    """The forward pass, and multipliers of each sample, with a function that gives signals for weights of the samples."""
    sigmas = [sigma.jax for sigma in plan.activations]
    weights, biases = _parts(plan, P, arrays["offsets"])
    passed = forward(weights, biases, sigmas, eta)
    o = passed.outputs
    if plan.loss == "softmax":
        gamma = labels - jax.nn.softmax(o, axis=1)
    elif plan.loss == "logistic":
        gamma = labels * jax.nn.sigmoid(-labels * o)
    elif plan.loss == "square":
        gamma = 2 * (others["targets"] - o) / plan.C
    else:
        gamma = free
    return passed, gamma, lambda weighted: backward(weights, sigmas, passed.before, weighted)


def _step(plan: Plan, arrays: dict[str, Any], eta: Any, others: dict[str, Any], labels: Any, carry: Any, given: Any) -> Any:
    """One step of gradient descent."""
    P, velocity = carry
    shares, free, factor = given
    passed, gamma, signals_of = _gradients(plan, arrays, P, eta, others, labels, free)
    signals = signals_of(shares[:, None] * gamma)
    _, momentum, decay = arrays["training"]
    rate = _rate(plan, arrays, others)
    updates = []
    for k, (by_weights, by_bias) in enumerate(updates_from(passed.entering, signals)):
        updates.append(jnp.concatenate([by_weights, by_bias[:, None]], axis=1) if plan.lifted[k] and k > 0 else by_weights)
    slopes = [decay * p - u for p, u in zip(P, updates, strict=True)]
    velocity = [momentum * v + factor * g if moves else v for v, g, moves in zip(velocity, slopes, plan.moves, strict=True)]
    ahead = [g + momentum * v for g, v in zip(slopes, velocity, strict=True)] if plan.nesterov else velocity
    moved = [p - rate * v if moves else p for p, v, moves in zip(P, ahead, plan.moves, strict=True)]
    top = passed.entering[-1]
    top = jnp.concatenate([top, jnp.ones((plan.n, 1))], axis=1) if plan.lifted[-1] else top
    return (moved, velocity), (P, top, rate * signals[1], shares[:, None] * gamma)


def _rate(plan: Plan, arrays: dict[str, Any], others: dict[str, Any]) -> Any:
    return jnp.exp(others["rate"]) if plan.rate_is_free else arrays["training"][0]


def _free(plan: Plan, others: dict[str, Any]) -> Any:
    return others["multipliers"] if plan.loss == FREE else jnp.zeros((plan.T, 1, 1))


def _run(plan: Plan, arrays: dict[str, Any], p: Any, labels: Any) -> tuple[list[Any], Any]:
    eta, others = plan.split(p, arrays["origin"], arrays["basis"])
    start = [jnp.asarray(part) for part in arrays["before"]]
    step = partial(_step, plan, arrays, eta, others, labels)
    given = jnp.asarray(arrays["shares"]), _free(plan, others), jnp.asarray(arrays["factors"])
    (P, _), path = jax.lax.scan(step, (start, [jnp.zeros_like(part) for part in start]), given)
    return P, path


def trained(plan: Plan, arrays: dict[str, Any], p: Any, labels: Any) -> tuple[list[Any], list[Any]]:
    """The parameters that training from these unknowns ends with, and for each layer those before each step."""
    P, (path, *_) = _run(plan, arrays, p, labels)
    return P, path


def along_path(plan: Plan, arrays: dict[str, Any], effect: Any, path: Any, p: Any, labels: Any) -> tuple[list[Any], list[Any], Any]:
    """The inputs of each layer at each step of a given path, with a 1 if its bias was trained; the signals of the samples there; and how
    much of them each step adds to the final parameters, for weights of the samples of one."""
    eta, others = plan.split(p, arrays["origin"], arrays["basis"])

    def one(P: Any, free: Any) -> Any:
        passed, gamma, signals_of = _gradients(plan, arrays, P, eta, others, labels, free)
        parts = enumerate(passed.entering)
        entering = [jnp.concatenate([h, jnp.ones((plan.n, 1))], axis=1) if plan.lifted[k] and k > 0 else h for k, h in parts]
        return entering, signals_of(gamma)

    entering, signals = jax.vmap(one)(path, _free(plan, others))
    return entering, signals, effect * _rate(plan, arrays, others)


def _rest(plan: Plan, arrays: dict[str, Any], p: Any, labels: Any) -> Any:
    P, _ = _run(plan, arrays, p, labels)
    flat = jnp.concatenate([((a - b) * s).reshape(-1) for a, b, s in zip(P, arrays["after"], arrays["scales"], strict=True)])
    return flat if arrays["chosen"] is None else flat[arrays["chosen"]]


_trained = bounded(partial(jax.jit, static_argnums=0)(_run))
_missing = bounded(partial(jax.jit, static_argnums=0)(_rest))


@bounded
@partial(jax.jit, static_argnums=0)
def _missing_with(plan: Plan, arrays: dict[str, Any], shares: Any, p: Any, labels: Any) -> Any:
    return jax.vmap(lambda own: _rest(plan, arrays | {"shares": own}, p, labels))(shares)


@bounded
@partial(jax.jit, static_argnums=0)
def _derivatives(plan: Plan, arrays: dict[str, Any], p: Any, labels: Any, along: Any) -> Any:
    return jax.vmap(lambda v: jax.jvp(lambda q: _rest(plan, arrays, q, labels), (p,), (v,))[1])(along)

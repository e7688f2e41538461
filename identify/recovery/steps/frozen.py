r"""The equations of training with its path taken as known: derivatives at the price of one step for each unknown of one sample.

Training from the present data gives a path :math:`\theta_t`. It is moved so that it ends at the network that was observed,
:math:`\theta_t + \tfrac tT (\theta_T^{\text{observed}} - \theta_T)`, and the gradients of all steps are taken there:

.. math:: \sum_t s_t \sum_i w_{ti}\, \nabla f(\theta_t; x_i)^\top\gamma_i(\theta_t) = \theta_T^{\text{observed}} - \rho\,\theta_0 .

At the data both sides agree, and to first order the path has no part in what is missed, as its ends are fixed. So Gauss-Newton steps
with the path held still contract like the square of the drift, and errors do not grow along the path, as they do through training
unrolled. With the path held still a sample enters the equations by itself, so that one pass with derivatives serves all samples.
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
from identify.recovery.steps.along import effects
from identify.recovery.steps.training import Plan, Training, along_path, plenty, trained


@dataclass(eq=False)
class Frozen:
    """These equations, for some neurons of each layer.

    Attributes
    ----------
    rows
        The neurons of each layer whose parameters are used.
    """

    training: Training
    rows: Sequence[Int[np.ndarray, " _"]]
    _last: _Position | None = field(default=None)

    @classmethod
    def of(cls, training: Training, unknowns: int, rng: np.random.Generator) -> Frozen:
        """All neurons, or as many as are plenty for the unknowns: the largest layers give way first."""
        wanted = plenty(unknowns)
        sizes = np.array([part.size if moves else 0 for part, moves in zip(training.after, training.moves, strict=True)])
        cap = float(sizes.max())
        while np.minimum(sizes, cap).sum() > wanted and cap > 1:
            cap *= 0.9
        rows = []
        for part, size in zip(training.after, sizes, strict=True):
            count = int(np.ceil(min(size, cap) / part.shape[1]))
            rows.append(np.sort(rng.choice(len(part), count, replace=False)))
        return cls(training, rows)

    @property
    def plan(self) -> Plan:
        return self.training.plan

    @cached_property
    def layer(self) -> Int[np.ndarray, " equations"]:
        """The layer of each equation, from 0."""
        sizes = [len(own) * part.shape[1] for own, part in zip(self.rows, self.training.after, strict=True)]
        return np.repeat(np.arange(len(sizes)), sizes)

    @cached_property
    def _effects(self) -> Float[np.ndarray, " T"]:
        return effects(self.training)

    def missing(self, p: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, " equations"]:
        """The part of the changes that the gradients along the path do not explain, layer by layer relative to the change."""
        training = self.training
        at = self._at(p, labels)
        kept, out = training.system.kept(training.n), []
        for k, own in enumerate(self.rows):
            change = training.after[k][own] - kept * training.before[k][own]
            made = np.einsum("ti,tia,tib->ab", at.weights, at.signals[k][:, :, own], at.entering[k], optimize=True)
            out.append(((made - change) * training.scales[k]).reshape(-1))
        return np.concatenate(out)

    def jacobian(self, p: np.ndarray, labels: np.ndarray) -> Float[np.ndarray, "equations unknowns"]:
        """Its derivatives for the present path. Cost: one step for each unknown of one sample, and O(equations · unknowns · T)."""
        training, plan = self.training, self.training.plan
        at = self._at(p, labels)
        along, places = _directions(plan)
        with jax.enable_x64(True):
            moved = _tangents(plan, training.arrays, self._effects, at.path, p, labels, along)
        d_entering, d_signals = ([np.asarray(part) for part in parts] for parts in moved)
        J = np.zeros((len(self.layer), len(p)))
        begin = 0
        for k, own in enumerate(self.rows):
            h, u, dh, scale = at.entering[k], at.signals[k][:, :, own], d_entering[k], training.scales[k]
            block = J[begin : begin + len(own) * h.shape[2]].reshape(len(own), h.shape[2], -1)
            begin += len(own) * h.shape[2]
            weighted = u * (at.weights * scale)[:, :, None]
            du = d_signals[k][:, :, :, own] * (at.weights * scale)[:, :, None]
            for i in range(plan.n if len(own) else 0):
                for colours, columns, t in places(i):
                    part = np.matmul(h[t, i].T, du[colours, t, i].transpose(2, 1, 0))
                    part += (weighted[t, i].T @ dh[colours, t, i].transpose(1, 2, 0).reshape(len(h[t]), -1)).reshape(part.shape)
                    block[:, :, columns] = part
            if plan.rate_is_free and len(own):
                block[:, :, plan.places["rate"][0]] = np.einsum("tia,tib->ab", weighted, h, optimize=True)
        return J

    def _at(self, p: np.ndarray, labels: np.ndarray) -> _Position:
        if self._last is None or self._last.point is not p:
            with jax.enable_x64(True):
                path, entering, signals, effect = _evaluated(self.training.plan, self.training.arrays, self._effects, p, labels)
            weights = np.asarray(effect)[:, None] * self.training.shares
            self._last = _Position(p, path, [np.asarray(h) for h in entering], [np.asarray(u) for u in signals], weights)
        return self._last


@dataclass(frozen=True, eq=False)
class _Position:
    """The path from a point, and what training adds along it."""

    point: Float[np.ndarray, " unknowns"]
    path: Any
    entering: list[np.ndarray]
    """The inputs of each layer at each step: (T, n, _)."""
    signals: list[np.ndarray]
    weights: Float[np.ndarray, "T n"]
    """The effect of each step on the final parameters, times the weight of each sample in it."""


def _directions(plan: Plan) -> tuple[np.ndarray, Any]:
    """Directions in which all samples move at once, and where what follows belongs: for each sample its directions, unknowns and steps."""
    q, everything = plan.unknowns, slice(None)
    named = {"targets": plan.C, "multipliers": plan.C}
    total = q + sum(size for name, size in named.items() if name in plan.extra)
    along = np.zeros((total, plan.size))
    for c in range(q):
        along[c, np.arange(plan.n) * q + c] = 1.0
    for name in named:
        if name in plan.extra:
            begin, end = plan.places[name]
            for o in range(plan.C):
                along[q + o, begin + o : end : plan.C] = 1.0

    def places(i: int) -> list[tuple[slice, slice, slice]]:
        out = [(slice(0, q), slice(i * q, (i + 1) * q), everything)]
        if "targets" in plan.extra:
            begin = plan.places["targets"][0] + i * plan.C
            out.append((slice(q, None), slice(begin, begin + plan.C), everything))
        for t in range(plan.T if "multipliers" in plan.extra else 0):
            begin = plan.places["multipliers"][0] + (t * plan.n + i) * plan.C
            out.append((slice(q, None), slice(begin, begin + plan.C), slice(t, t + 1)))
        return out

    return along, places


@bounded
@partial(jax.jit, static_argnums=0)
def _evaluated(plan: Plan, arrays: dict[str, Any], effect: Any, p: Any, labels: Any) -> Any:
    last, path = trained(plan, arrays, p, labels)
    share = jnp.arange(plan.T) / plan.T
    path = [part + share[:, None, None] * (b - a) for part, a, b in zip(path, last, arrays["after"], strict=True)]
    return path, *along_path(plan, arrays, effect, path, p, labels)


@bounded
@partial(jax.jit, static_argnums=0)
def _tangents(plan: Plan, arrays: dict[str, Any], effect: Any, path: Any, p: Any, labels: Any, along: Any) -> Any:
    return jax.vmap(lambda v: jax.jvp(lambda q: along_path(plan, arrays, effect, path, q, labels)[:2], (p,), (v,))[1])(along)

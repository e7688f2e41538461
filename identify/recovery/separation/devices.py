"""Conjugate gradients of :mod:`~identify.recovery.separation.products` on an accelerator, or on several devices: starts in equal parts.

The map is that of :class:`~identify.recovery.separation.products.Equations`, traced by JAX. Points, costs and gradients stay in double
precision on the host, and so does every decision. Starts, unknowns and rows of the subspaces are filled up with zeros, which change
nothing, so that sizes which fall with every known sample are compiled a few times only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from identify.base.compiled import bounded
from identify.recovery.least_squares import spread
from identify.recovery.separation import products
from identify.recovery.separation.forward import HiddenTangent

FILLED = 128
"""Unknowns and rows of subspaces are filled up to a multiple of this."""


def is_better() -> bool:
    """Whether JAX has an accelerator, or several devices: on one CPU, NumPy's products are faster."""
    return jax.default_backend() != "cpu" or len(jax.devices()) > 1


@dataclass(frozen=True, eq=False)
class OnDevices:
    """What does not change during a descent, on all devices, and the number of starts that is compiled for."""

    weights: list[Any]
    subspaces: list[Any]
    starts: int

    @classmethod
    def of(cls, tangent: HiddenTangent, subspaces: Sequence[Float32[np.ndarray, "_ _"]], starts: int) -> OnDevices:
        first, *others = tangent.weights
        filled = [_filled(first, (None, FILLED)), *others]
        parts = -(-starts // len(jax.devices())) * len(jax.devices())
        return cls([_everywhere(W) for W in filled], [_everywhere(_filled(R, (FILLED, None))) for R in subspaces], parts)

    @classmethod
    def solver(cls, tangent: products.Tangent, subspaces: Sequence[Float32[np.ndarray, "_ _"]], *, starts: int) -> products.Solve:
        """For :func:`identify.recovery.separation.products.descend`; of other maps than that of hidden activations NumPy computes steps."""
        return cls.of(tangent, subspaces, starts).steps if isinstance(tangent, HiddenTangent) else products.Equations.steps

    def steps(self, equations: products.Equations, damping: Float[np.ndarray, " starts"]) -> Float[np.ndarray, "starts unknowns"]:
        """What :meth:`~identify.recovery.separation.products.Equations.steps` computes, to single precision."""
        given = equations.tangent
        assert isinstance(given, HiddenTangent)
        starts, unknowns = equations.gradient.shape
        wide = (self.starts, FILLED)
        own = [
            [spread(_filled(part, (self.starts, None))) for part in given.slopes],
            [spread(_filled(part, (self.starts, None), 1.0)) for part in equations.sizes],
            [spread(_filled(part, (self.starts, None))) for part in equations.misfits],
            [spread(_filled(part, (self.starts, None))) for part in equations.costs],
            [spread(_filled(part, wide)) for part in equations.slants],
            spread(_filled(equations.gradient, wide)),
            spread(_filled(damping.astype(np.float32)[:, None], (self.starts, None), 1.0)),
        ]
        found = _steps(self.weights, self.subspaces, *own, float(unknowns))
        return np.asarray(found, dtype=float)[:starts, :unknowns]


@bounded
@jax.jit
def _steps(weights, subspaces, slopes, sizes, misfits, costs, slants, gradient, damping, unknowns):
    with jax.default_matmul_precision("highest"):  # some accelerators keep ten bits of single precision otherwise
        own = products.Equations(HiddenTangent(weights, slopes), subspaces, sizes, misfits, costs, slants, gradient)
        scale = jnp.maximum(jnp.linalg.norm(gradient, axis=1, keepdims=True), jnp.finfo(jnp.float32).tiny)
        signs: Any = jnp.broadcast_to(products.probe(gradient.shape[1]), gradient.shape)
        raised = damping * products.dots(signs, own.times(signs)) / unknowns
        accuracy = jnp.clip(jnp.sqrt(sum(costs)), products.TIGHT, products.LOOSE)

        def going(size, curvature):
            return (size > accuracy**2) & (curvature > 0)

        def more(here):
            return (here[0] < products.ITERATIONS) & here[-1]

        def once(here):
            count, x, rest, p, size, _ = here
            image = own.times(p) + raised * p
            curvature = products.dots(p, image)
            goes = going(size, curvature)
            length = jnp.where(goes, size / jnp.where(goes, curvature, 1), 0)
            x, rest = x + length * p, rest - length * image
            smaller = products.dots(rest, rest)
            p = rest + jnp.where(goes, smaller / jnp.maximum(size, jnp.finfo(jnp.float32).tiny), 0) * p
            return count + 1, x, rest, p, smaller, goes.any()

        rest = gradient / scale
        first = 0, jnp.zeros_like(rest), rest, rest, products.dots(rest, rest), True
        return jax.lax.while_loop(more, once, first)[1] * scale


def _filled(part: np.ndarray, to: tuple[int | None, int | None], value: float = 0.0) -> np.ndarray:
    """A matrix with more rows and columns: up to a multiple of these numbers."""
    missing = [0 if size is None else -length % size for length, size in zip(part.shape, to, strict=True)]
    return np.pad(part, [(0, more) for more in missing], constant_values=value) if any(missing) else part


def _everywhere(part: np.ndarray) -> Any:
    """One copy on each device."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("starts",))
    return jax.device_put(part, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))

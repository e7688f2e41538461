r"""A known map of one sample, compiled: its values and Jacobians at many points, in blocks of one size.

The map is given as a function of JAX. It is called in 64-bit mode with float64 arrays; a map that accepts float32 only (convolutions whose
weights are float32 arrays of JAX) is called with these, and then its values carry that rounding.

Known samples are taken out of the search through :class:`FeatureVectors`: with :math:`Q` the projection off the span of known
:math:`\tilde\varphi(x_i)`, the cost is

.. math:: F(x) = \|P_\perp\tilde\varphi(x)\|^2 / \|Q\tilde\varphi(x)\|^2 .

Known samples lie in the row space, so :math:`P_\perp Q = P_\perp`: only the size by which the misfit is divided changes. Every other
sample is a zero as before. At a known sample both sizes vanish, and their ratio tends to
:math:`\|P_\perp J\delta\|^2 / \|Q J\delta\|^2` along :math:`\delta`, which is close to one: the zero is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from identify.base.errors import WrongTypeError
from identify.problem.features import FeatureSystem, wrong_features
from identify.recovery.least_squares import spread

SMALL, BLOCK = 2**17, 16
"""A map with fewer entries in its Jacobian than the first is compiled for so many points at a time, otherwise for one; on each device."""


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """The map compiled for blocks of points."""

    block: int
    rounding: float
    """Unit roundoff of its arithmetic."""
    value: Callable[..., Any]
    jacobian: Callable[..., Any]
    kind: np.dtype
    bytes_needed: int
    """Memory that the compiled functions take beside their arguments, as the compiler says; 0 if it does not."""

    @classmethod
    def of(cls, system: FeatureSystem, phi: Callable[[Any], Any] | None = None) -> FeatureMap:
        """Traces the map of the system, or the given one in its place.

        Raises :class:`WrongTypeError` if JAX cannot, :class:`ShapeError` if its values do not fit the layer.
        """

        chosen = system.phi if phi is None else phi

        def flat(x: Any) -> Any:
            return jax.numpy.asarray(chosen(x.reshape(system.shape))).reshape(-1)

        with jax.enable_x64(True):
            kind, traced = _accepted(flat, system)
            if traced.size != system.n_features:
                raise wrong_features(system, traced.size)
            rounding = float(jax.numpy.finfo(traced.dtype).eps) / 2
            derivative = jax.jacfwd(flat)
            try:
                jax.eval_shape(derivative, jax.ShapeDtypeStruct((system.n_inputs,), kind))
            except TypeError:  # a rule for reverse mode alone
                derivative = jax.jacrev(flat)
            block = (BLOCK if system.n_inputs * system.n_features < SMALL else 1) * len(jax.devices())
            points = spread(np.zeros((block, system.n_inputs), kind))
            value, jacobian = (jax.jit(jax.vmap(part)).lower(points).compile() for part in (flat, derivative))
            needed = max(_temporary(value), _temporary(jacobian))
            return cls(block, max(rounding, float(np.finfo(kind).eps) / 2), value, jacobian, kind, needed)

    def values(self, points: Float[np.ndarray, "starts d"]) -> Float[np.ndarray, "starts features"]:
        return self._in_blocks(self.value, points)

    def jacobians(self, points: Float[np.ndarray, "starts d"]) -> Float[np.ndarray, "starts features d"]:
        return self._in_blocks(self.jacobian, points)

    def _in_blocks(self, compiled: Callable[..., Any], points: np.ndarray) -> np.ndarray:
        missing = -len(points) % self.block
        padded = np.concatenate([points, np.repeat(points[-1:], missing, axis=0)]).astype(self.kind)
        with jax.enable_x64(True):
            parts: list[Any] = [padded[k : k + self.block] for k in range(0, len(padded), self.block)]
            parts = [spread(part) for part in parts] if len(jax.devices()) > 1 else parts
            blocks = [np.asarray(compiled(part), dtype=float) for part in parts]
        return np.concatenate(blocks)[: len(points)]


def _temporary(compiled: Any) -> int:
    analysis = compiled.memory_analysis()
    return 0 if analysis is None else int(analysis.temp_size_in_bytes)


def _accepted(flat: Callable[[Any], Any], system: FeatureSystem) -> tuple[np.dtype, Any]:
    """The widest type of numbers that the map accepts, and what it returns for it."""
    failure: Exception | None = None
    for kind in (np.dtype(np.float64), np.dtype(np.float32)):
        try:
            traced = jax.eval_shape(flat, jax.ShapeDtypeStruct((system.n_inputs,), kind))
        except Exception as error:  # whatever a function of the caller raises
            failure = failure or error
            continue
        if jax.numpy.issubdtype(traced.dtype, jax.numpy.floating):
            return kind, traced
        failure = TypeError(f"it returns numbers of type {traced.dtype}")
    line = next(iter(str(failure).splitlines()), "")
    raise WrongTypeError(
        f"phi: JAX cannot trace it for a sample of shape {system.shape} ({type(failure).__name__}: {line}); expected a function "
        "of jax.numpy that maps one sample to its features"
    )


@dataclass(frozen=True, eq=False)
class FeatureVectors:
    """The vectors :math:`Q\\tilde\\varphi` of a batch of points (an :class:`~identify.recovery.separation.membership.Images`).

    Jacobians are those of :math:`\\tilde\\varphi` itself: with the whole row space as the subspace, normal equations are those of F.
    """

    map: FeatureMap
    lifted: bool
    known: Float[np.ndarray, "known columns"]
    """Orthonormal rows that span the vectors of known samples."""

    def values(self, points: np.ndarray) -> list[np.ndarray]:
        v = self.map.values(points)
        v[~np.isfinite(v).all(axis=1)] = np.nan  # products of infinities would warn
        v = np.hstack([v, np.ones((len(v), 1))]) if self.lifted else v
        for _ in range(2 if len(self.known) else 0):  # twice: one projection leaves rounding of what was taken out
            v = v - (v @ self.known.T) @ self.known
        return [v]

    def jacobians(self, points: np.ndarray) -> list[np.ndarray]:
        return [self.map.jacobians(points)]

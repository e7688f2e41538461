r"""Step 1, subspace reduction: the rows of the first-layer target lie in the span of the samples.

Projecting on an orthonormal basis Q of that span turns inputs of hundreds of dimensions into at most n:
:math:`x = Q z`, :math:`W \leftarrow W Q`. The biases stay as they are. How many samples there are, :mod:`identify.problem.rank` estimates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from identify.problem.network import TwoLayerNetwork
from identify.problem.rank import Spectrum
from identify.problem.system import KKTSystem

AT_INFINITY = 1e-14
"""Last coordinate of unit vectors at which it is rounding."""


@dataclass(frozen=True, eq=False)
class Reduced:
    """The system in coordinates z with x = origin + Q z, as plain arrays for the numerical steps.

    The origin is zero, except when the bias rows are observed: then the samples lie in an affine space of one dimension
    less, because the lifted samples (x, 1) span only n dimensions. It is orthogonal to the columns of Q.
    """

    system: KKTSystem
    Q: Float[np.ndarray, "d r"]
    origin: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, system: KKTSystem, samples: int, spectrum: Spectrum | None = None) -> Reduced:
        """Reduction to the span of that many samples, read off the first-layer target, when it is smaller than the space.

        ``spectrum``: that of the system, with its directions, if it is known already.
        """
        d, m = system.network.n_inputs, system.network.width
        affine = system.target_bias is not None
        if system.target_W is None or samples >= d + affine or samples > m:
            return cls.trivial(system)
        directions = Spectrum.of(system, directions=True).directions if spectrum is None else spectrum.directions
        assert directions is not None
        if affine and not np.linalg.norm(directions[:samples, -1]) > AT_INFINITY:
            return cls.trivial(system)  # no sample (x, 1) is a combination of these directions
        return cls(system, *_coordinates(directions[:samples].T, affine))

    @classmethod
    def trivial(cls, system: KKTSystem) -> Reduced:
        """All coordinates as they are."""
        d = system.network.n_inputs
        return cls(system, np.eye(d), np.zeros(d))

    @property
    def dimension(self) -> int:
        return self.Q.shape[1]

    @property
    def is_trivial(self) -> bool:
        """Whether there was nothing to reduce."""
        return self.dimension == self.system.network.n_inputs

    @property
    def network(self) -> TwoLayerNetwork:
        """The network on reduced inputs, of which there may be none; its biases are the offsets at the origin."""
        net = self.system.network
        return TwoLayerNetwork._of_arrays(net.W @ self.Q, net.A, net.activation, net.offsets + net.W @ self.origin)

    @property
    def target(self) -> Float[np.ndarray, " equations"]:
        """The target in reduced coordinates."""
        parts = []
        if self.system.target_W is not None:
            parts.append((self.system.target_W @ self.Q).reshape(-1))
        rest = self.system.target
        start = 0 if self.system.target_W is None else self.system.target_W.size
        return np.concatenate([*parts, rest[start:]])

    def project(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n r"]:
        """Reduced coordinates of samples."""
        return (X - self.origin) @ self.Q

    def lift(self, Z: Float[np.ndarray, "n r"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "n d"]:
        """Samples in full coordinates.

        Given z and c the first-layer equations are linear in the samples, t^W = G X; their least-squares solution uses
        all of them, and so is closer than origin + Q z when the target is noisy. In narrow networks G may be so ill-conditioned that
        it spoils the other layers; the one with the smaller residual is taken.
        """
        inside = self.origin + Z @ self.Q.T
        if self.is_trivial or self.system.target_W is None:
            return inside
        fitted = np.linalg.lstsq(slopes(self.network, Z, c), self.system.target_W, rcond=None)[0]
        return min(fitted, inside, key=lambda X: self.system.residual(X, c))

    def respan(self, X: Float[np.ndarray, "n d"]) -> Reduced:
        """The same system on the span of the samples found so far."""
        if self.is_trivial:
            return self
        affine = self.system.target_bias is not None
        rows = np.hstack([X, np.ones((len(X), 1))]) if affine else X
        return Reduced(self.system, *_coordinates(np.linalg.qr(rows.T)[0], affine))


def _coordinates(V: Float[np.ndarray, "D n"], affine: bool) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal directions and origin of the span of the columns of V, or of its points with last coordinate 1."""
    if not affine:
        return V, np.zeros(len(V))
    last = V[-1]
    directions = V @ np.linalg.svd(last[None, :])[2][1:].T
    return directions[:-1], (V @ last / (last @ last))[:-1]


def slopes(net: TwoLayerNetwork, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "m n"]:
    """G: the factor g_ij sigma'(z_ij) of x_i in the first-layer equation of neuron j."""
    return ((c @ net.A) * net.activation(X @ net.W.T + net.offsets, order=1)).T

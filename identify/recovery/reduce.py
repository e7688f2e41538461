r"""Step 1, subspace reduction: the rows of the first-layer target lie in the span of the samples.

Projecting on an orthonormal basis Q of that span turns inputs of hundreds of dimensions into at most n:
:math:`x = Q z`, :math:`W \leftarrow W Q`. The biases stay as they are. The numerical rank estimates n when n <= d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from identify.network import TwoLayerNetwork
from identify.stationarity import KKTSystem


@dataclass(frozen=True, eq=False)
class Reduced:
    """The system in coordinates z with x = Q z, as plain arrays for the numerical steps."""

    system: KKTSystem
    Q: Float[np.ndarray, "d r"]

    @classmethod
    def of(cls, system: KKTSystem, dimension: int) -> Reduced:
        """Reduction to the leading ``dimension`` right singular vectors of the first-layer target, where it helps."""
        d = system.network.n_inputs
        if system.target_W is None or dimension >= min(d, system.network.width):
            return cls(system, np.eye(d))
        return cls(system, np.linalg.svd(system.target_W, full_matrices=False)[2][:dimension].T)

    @property
    def dimension(self) -> int:
        return self.Q.shape[1]

    @property
    def network(self) -> TwoLayerNetwork:
        """The network on reduced inputs."""
        net = self.system.network
        return TwoLayerNetwork(net.W @ self.Q, net.a, net.activation, net.bias)

    @property
    def target(self) -> Float[np.ndarray, " equations"]:
        """The target in reduced coordinates."""
        parts = []
        if self.system.target_W is not None:
            parts.append((self.system.target_W @ self.Q).reshape(-1))
        rest = self.system.target
        start = 0 if self.system.target_W is None else self.system.target_W.size
        return np.concatenate([*parts, rest[start:]])

    def lift(self, Z: Float[np.ndarray, "n r"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "n d"]:
        """Samples in full coordinates.

        Given z and c the first-layer equations are linear in the samples, t^W = G X; their least-squares solution uses
        all equations, and so is closer than Q z when the target is noisy.
        """
        if self.dimension == self.system.network.n_inputs or self.system.target_W is None:
            return Z @ self.Q.T
        return np.linalg.lstsq(slopes(self.network, Z, c), self.system.target_W, rcond=None)[0]

    def respan(self, X: Float[np.ndarray, "n d"]) -> Reduced:
        """The same system on the span of the samples found so far."""
        if self.dimension == self.system.network.n_inputs:
            return self
        return Reduced(self.system, np.linalg.qr(X.T)[0])


def slopes(net: TwoLayerNetwork, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, "m n"]:
    """G: the factor g_ij sigma'(z_ij) of x_i in the first-layer equation of neuron j."""
    return ((c @ net.A) * net.activation(X @ net.W.T + net.offsets, order=1)).T


def estimate_samples(system: KKTSystem) -> tuple[int, float, Float[np.ndarray, " k"]]:
    """Numerical rank of the first-layer target, the gap behind it (ratio of singular values), and the singular values.

    The gap is looked for above the rounding level of single precision when the target was rounded to it.
    """
    if system.target_W is None:
        raise ValueError("samples: the first layer was not observed, so the number of samples cannot be estimated; pass samples=n")
    values = np.linalg.svd(system.target_W, compute_uv=False)
    single = np.array_equal(system.target, system.target.astype(np.float32).astype(np.float64))
    floor = values[0] * (1e-7 if single else 1e-15) * np.sqrt(system.target_W.shape[0])
    padded = np.append(values, 0.0)
    drops = np.maximum(padded[:-1], floor) / np.maximum(padded[1:], floor)
    at = int(drops.argmax())
    return at + 1, float(drops[at]), values

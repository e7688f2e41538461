r"""Data sets from single samples: backward separation of polynomial networks as narrow as they can be.

The images are those of :mod:`~identify.recovery.separation.columns`. With hardly more equations than unknowns there are other solutions
beside the samples, so nothing is taken out: all solutions are collected, and those that belong together are found as a clique.

Let the samples be independent, so that the first-layer target (with its bias column, if that is observed) is a
product :math:`T = G \tilde X` of rank n, with columns :math:`G_{\cdot i} = \psi(x_i, \gamma_i)`,
:math:`\psi_j = \sum_o \gamma_o A_{oj}\,\sigma'(w_j x + b_j)`. In coordinates where :math:`\tilde X` is square, the columns of
G span the column space of T. So *every sample by itself* solves

.. math:: P_\perp\, \psi(x, \gamma) = 0, \qquad P_\perp \text{ the projection along the column space of } T,

m - n equations of degree p - 1 in as many unknowns as one sample has, instead of one system for all samples. With m >= 2n
they have finitely many solutions in general, and Levenberg-Marquardt from random starts finds one after the other. Which
belong together the dual vectors tell: :math:`T u_k = \psi(y_k)` gives :math:`\tilde y_i u_k = 0` for two samples of one data
set, and :math:`\kappa_k = 1 / (\tilde y_k u_k)` scales the multipliers. (That the column space of a first-layer gradient shows
single samples was used for ReLU and sparsity by Dimitrov et al. 2024.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from identify.base.least_squares import FIRST_DAMPING
from identify.problem.network import TwoLayerNetwork
from identify.recovery.multistart import Proposal, Search
from identify.recovery.reduce import Reduced
from identify.recovery.separation.columns import SignalColumns
from identify.recovery.separation.forward import Chart
from identify.recovery.separation.membership import descend
from identify.recovery.solution import Failure, InapplicableError
from identify.recovery.starts import random_points

STEPS = 150
CHUNK = 512
"""Starts mapped at once."""
INDEPENDENT = 1e-10
"""Ratio of singular values of T below which its rank counts as smaller."""
COMPATIBLE = (1e-6, 1e-4, 1e-2)
"""Cosines between a sample and the dual vector of another that count as zero, tried in this order."""
SAME = 1e-5
"""Relative distance of samples that count as one."""
EXACT, SPREAD = 1e-18, 1e4
"""Costs up to the first are zeros; with noise in more equations than unknowns, those of samples are within the second of the least."""
MOST_CANDIDATES = 2000


@dataclass(frozen=True, eq=False)
class Columns:
    """T, an orthonormal basis of its column space, and how unknowns are read: ``lifted`` when T has a bias column."""

    network: TwoLayerNetwork
    T: Float[np.ndarray, "m n"]
    space: Float[np.ndarray, "n m"]
    lifted: bool
    degrees: tuple[int, ...]
    condition: float

    @classmethod
    def of(cls, reduced: Reduced, samples: int) -> Columns:
        """The column space of a reduced system.

        Raises
        ------
        InapplicableError
            When the target does not show the column space, or leaves too few equations for one sample.
        """
        system, net = reduced.system, reduced.network
        if system.target_W is None:
            raise InapplicableError.of(Failure.FIRST_LAYER)
        T = system.target_W @ reduced.Q
        lifted = system.target_bias is not None
        if system.target_bias is not None:
            T = np.hstack([T - system.target_bias[:, None] * (reduced.origin @ reduced.Q), system.target_bias[:, None]])
        m, space = T.shape
        if space != samples:
            raise InapplicableError.of(Failure.FEW_COORDINATES, samples=samples, coordinates=space)
        unknowns = reduced.dimension + net.n_outputs - 1 - int(len(system.degrees) == 1 and not net.offsets.any())
        if m - samples < unknowns:
            raise InapplicableError.of(Failure.FEW_NEURONS, neurons=m, equations=m - samples, unknowns=unknowns)
        U, values, _ = np.linalg.svd(T, full_matrices=False)
        if not values[-1] > INDEPENDENT * values[0]:
            raise InapplicableError.of(Failure.RANK)
        return cls(net, T, U.T, lifted, system.degrees, float(values[0] / values[-1]))

    @property
    def images(self) -> SignalColumns:
        """The signals of single samples, whose multipliers are unknown if there are several outputs."""
        net = self.network
        return SignalColumns(Chart.of(net.W, net.offsets, np.zeros(net.n_inputs), np.eye(net.n_inputs)), net.A, net.activation)

    def unknowns(self) -> int:
        return self.network.n_inputs + self.network.n_outputs * (self.network.n_outputs > 1)


def separate_operations(m: int, n: int, d: int, C: int) -> float:
    """Operations of one start."""
    return STEPS * (m * max(m - n, 1) * (d + C) + (d + C) ** 3)


def separate(reduced: Reduced, samples: int, search: Search) -> Iterator[Proposal]:
    """Data sets put together from samples that were found one by one, by per-sample column-space search.

    A second data set with this target would have to be made of such samples as well, so how often each of them was found
    tells how much may have been missed. Cost O(m (m - n) (d + C)) for each step of each start.
    """
    columns = Columns.of(reduced, samples)
    images = columns.images
    accepted = min((10 * search.tolerance * columns.condition) ** 2, 1e-4)
    candidates = Candidates(columns)
    evidence: dict = {"equations": len(columns.T) - samples, "unknowns_of_a_sample": columns.unknowns()}
    search.evidence["separate"] = evidence

    def chunk(rng: np.random.Generator, size: int) -> dict[str, np.ndarray]:
        points = random_points(columns.network, rng, size)
        if columns.network.n_outputs > 1:
            points = np.hstack([points, rng.standard_normal((size, columns.network.n_outputs))])
        reached = descend(images, [columns.space], points, steps=STEPS, enough=1e-28, damping=FIRST_DAMPING, go_on=search.go_on)
        good = reached.costs <= min(accepted, max(EXACT, SPREAD * reached.costs.min(initial=np.inf)))
        return {"points": reached.points[good], "costs": reached.costs[good]}

    for outcome in search.chunks("separate", chunk, CHUNK):
        candidates.add(outcome["points"], outcome["costs"])
        search.pieces = candidates.times
        evidence |= {"starts": search.starts_done, "candidates": len(candidates.points)}
        for Z, c in candidates.data_sets(samples):
            yield Proposal(Z, c)


class Candidates:
    """Distinct samples that were found, with their dual vectors."""

    def __init__(self, columns: Columns):
        self.columns = columns
        self.points: list[np.ndarray] = []
        self.times: list[int] = []
        self.proposed: set[tuple[int, ...]] = set()

    def add(self, points: Float[np.ndarray, "k unknowns"], costs: Float[np.ndarray, " k"]) -> None:
        """Count them, each with the known one that it is, if any."""
        for k in np.argsort(costs, kind="stable"):
            point = self._normalised(points[k])
            if not np.isfinite(point).all():
                continue
            if self.points:
                distances = np.linalg.norm(np.array(self.points) - point, axis=1)
                nearest = int(distances.argmin())
                if distances[nearest] <= SAME * np.linalg.norm(point):
                    self.times[nearest] += 1
                    continue
            if len(self.points) < MOST_CANDIDATES:
                self.points.append(point)
                self.times.append(1)

    def _normalised(self, point: np.ndarray) -> np.ndarray:
        """One representative under the scales that (S) leaves to a sample, and multipliers of unit length."""
        d, degrees = self.columns.network.n_inputs, self.columns.degrees
        x, gamma = point[:d].copy(), point[d:]
        free = not self.columns.network.offsets.any() and not self.columns.lifted
        if free and len(degrees) == 1:
            x /= np.linalg.norm(x)
        if free and all((k - degrees[0]) % 2 == 0 for k in degrees):
            x *= np.sign(x[np.abs(x).argmax()])
        if len(gamma):
            gamma = gamma / np.linalg.norm(gamma) * np.sign(gamma[np.abs(gamma).argmax()])
        return np.concatenate([x, gamma])

    def data_sets(self, samples: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Data sets of so many candidates that are compatible with each other, for the strictest tolerance that has one."""
        if len(self.points) < samples:
            return
        net, T = self.columns.network, self.columns.T
        points = np.array(self.points)
        Z, gamma = points[:, : net.n_inputs], points[:, net.n_inputs :]
        gamma = gamma if gamma.shape[1] else np.ones((len(Z), 1))
        psi = (gamma @ net.A) * net.activation(Z @ net.W.T + net.offsets, order=1)
        dual = np.linalg.lstsq(T, psi.T, rcond=None)[0].T
        tall = np.hstack([Z, np.ones((len(Z), 1))]) if self.columns.lifted else Z
        products = tall @ dual.T
        cosines = np.abs(products) / np.maximum(np.linalg.norm(tall, axis=1)[:, None] * np.linalg.norm(dual, axis=1), 1e-300)
        import networkx  # a third of a second, which those who never ask for cliques should not wait for

        for tolerance in COMPATIBLE:
            together = np.maximum(cosines, cosines.T) <= tolerance
            np.fill_diagonal(together, False)
            graph = networkx.from_numpy_array(together)
            found = [sorted(clique) for clique in networkx.find_cliques(graph) if len(clique) == samples]
            for chosen in found:
                if tuple(chosen) not in self.proposed:
                    self.proposed.add(tuple(chosen))
                    yield Z[chosen], gamma[chosen] / np.diag(products)[chosen, None]
            if found:
                return

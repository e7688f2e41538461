"""All samples of a closed separation by least squares on all equations together: noise that one sample alone meets averages out.

Unknowns are the coordinates of the samples in the row space; their multipliers follow from the loss. The first layer's equations are
those in its row space, since samples outside it are not moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import lstsq, qr, solve_triangular

from identify.problem.system import KKTSystem
from identify.recovery.separation.closed import ClosedSearch
from identify.recovery.separation.membership import is_regular
from identify.recovery.separation.subspace import ROUNDING

STEPS = 6
MOST_NUMBERS = 2**25
"""Entries of the Jacobian above which samples stay as they were found."""


@dataclass(frozen=True, eq=False)
class Joint:
    """The equations of all samples: what their gradients leave of each layer, in units of the layer's root mean square."""

    search: ClosedSearch
    labels: np.ndarray
    second: Float[np.ndarray, "C m"] | None
    second_bias: Float[np.ndarray, " C"] | None

    @classmethod
    def of(cls, system: KKTSystem, search: ClosedSearch) -> Joint:
        W, bias = system.updates[1]
        second = None if W is None else W.reshape(search.output.shape)
        return cls(search, search.found.labels[search.found.chosen], second, bias)

    def points(self, T: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n _"]:
        return np.column_stack([T, self.labels])

    def rest(self, T: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " equations"]:
        images = self.search.images(self.search.everywhere)
        g = images.values(self.points(T))[0]
        eta, (h, c) = self.search.everywhere.coordinates(T), self._features(T)
        first = self.search.space.left * self.search.space.values
        parts = [(first, g.T @ eta)]
        parts += [] if self.second is None else [(self.second, c.T @ h)]
        parts += [] if self.second_bias is None else [(self.second_bias, c.sum(axis=0))]
        return np.concatenate([((found - given) / self._unit(given)).ravel() for given, found in parts])

    def jacobian(self, T: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "equations unknowns"]:
        search, (n, k) = self.search, T.shape
        chart, images = search.everywhere, search.images(search.everywhere)
        points = self.points(T)
        g, dg = images.values(points)[0], images.jacobians(points)[0][:, :, :-1]
        eta, (h, c) = chart.coordinates(T), self._features(T)
        first = search.space.left * search.space.values
        blocks = [(np.einsum("imk,ir->mrik", dg, eta) + np.einsum("im,rk->mrik", g, chart.basis)) / self._unit(first)]
        if self.second is not None or self.second_bias is not None:
            dh = search.activation(chart.offset + T @ chart.slopes.T, order=1)[:, :, None] * chart.slopes
            dc = search.closure.tangent(images.outputs(T), np.matmul(search.output, dh))
            if self.second is not None:
                blocks.append((np.einsum("iok,im->omik", dc, h) + np.einsum("io,imk->omik", c, dh)) / self._unit(self.second))
            if self.second_bias is not None:
                blocks.append(dc.transpose(1, 0, 2) / self._unit(self.second_bias))
        return np.vstack([block.reshape(-1, n * k) for block in blocks])

    def _features(self, T: Float[np.ndarray, "n k"]) -> tuple[np.ndarray, np.ndarray]:
        search, chart = self.search, self.search.everywhere
        h = search.activation(chart.offset + T @ chart.slopes.T)
        return h, search.closure.multipliers(h @ search.output.T + search.output_bias, self.labels)

    @staticmethod
    def _unit(given: np.ndarray) -> float:
        return float(np.linalg.norm(given) / given.size**0.5) or 1.0


def refined(system: KKTSystem, search: ClosedSearch) -> tuple[Float[np.ndarray, "n r"], Float[np.ndarray, " n"]] | None:
    """Coordinates of the chosen samples in the row space, and their standard errors to first order; None if there are too many numbers.

    Cost O(m (n + C) n^4) for n samples.
    """
    joint, chart = Joint.of(system, search), search.everywhere
    T = chart.points(search.coordinates)
    C, m = search.output.shape
    if m * (len(T) + C) * T.size > MOST_NUMBERS:
        return None
    rest = joint.rest(T)
    for _ in range(STEPS):
        step = lstsq(joint.jacobian(T), -rest, check_finite=False)[0].reshape(T.shape)
        after = joint.rest(T + step)
        if not np.linalg.norm(after) < np.linalg.norm(rest):
            break
        T, rest = T + step, after
    triangle = qr(joint.jacobian(T), mode="r", check_finite=False)[0][: T.size]
    if not is_regular(triangle):
        return None
    noise = max(float(np.linalg.norm(rest)) / max(len(rest) - T.size, 1) ** 0.5, ROUNDING)
    inverse = solve_triangular(triangle, np.eye(T.size), check_finite=False).reshape(*T.shape, -1)
    return chart.coordinates(T), noise * np.sqrt((inverse**2).sum(axis=(1, 2)))

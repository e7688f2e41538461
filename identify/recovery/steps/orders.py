r"""The search for the order of the batches, from points near all samples; see :mod:`identify.recovery.steps.batches`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Float

from identify.recovery.steps.batches import shares_of, swapped
from identify.recovery.steps.through import thinned
from identify.recovery.steps.training import Training

EQUATIONS = 8000
"""Equations of the final network, about, that tell orders apart."""
AT_ONCE = 32
"""Orders that are tried at once."""
ROUNDS = 200
"""Exchanges one after the other, at most."""


@dataclass(frozen=True, eq=False)
class Orders:
    """Costs of orders at one point.

    Attributes
    ----------
    training
        With the equations that are used.
    span
        Orthonormal columns: the changes by samples nearby, to first order.
    """

    training: Training
    point: Float[np.ndarray, " unknowns"]
    labels: Float[np.ndarray, "n C"]
    span: Float[np.ndarray, "equations unknowns"]

    @classmethod
    def of(cls, training: Training, point: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Orders:
        """``training`` with equal weights of all samples."""
        some = thinned(training, len(point), rng, EQUATIONS)
        return cls(some, point, labels, np.linalg.qr(some.jacobian(point, labels))[0])

    def costs(self, orders: list[list[list[int]]]) -> Float[np.ndarray, " orders"]:
        """Sums of absolute values, in which equations of neurons near a kink do not prevail."""
        shares = np.array([shares_of(batches, self.training.n) for batches in orders])
        filled = np.concatenate([shares, np.repeat(shares[:1], AT_ONCE - len(shares), axis=0)])
        missing = self.training.missing_with(filled, self.point, self.labels)[: len(orders)]
        outside = missing - (missing @ self.span) @ self.span.T
        return np.abs(outside).sum(axis=1)

    def descend(self, batches: list[list[int]], go_on: Callable[[], bool]) -> tuple[list[list[int]], float]:
        """Exchange until no exchange helps: the order, and its cost. In each round the best of some exchanges that has one that helps."""
        cost = float(self.costs([batches])[0])
        for _ in range(ROUNDS):
            others, improved = swapped(self.training.system, batches, self.training.n), False
            while (few := list(islice(others, AT_ONCE))) and go_on():
                costs = self.costs(few)
                k = int(np.argmin(costs))
                if costs[k] < cost:
                    batches, cost, improved = few[k], float(costs[k]), True
                    break
            if not improved:
                break
        return batches, cost

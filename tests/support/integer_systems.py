"""Small instances in integers, so that their solutions are exact; the counts are those of the truth table in zoo.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from identify.problem.activation import Activation
from identify.problem.gradients import weighted_gradients
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.symbolic.posing import kkt_equations
from identify.symbolic.system import SymbolicSystem
from support.zoo import CUBE, CUBIC, ODD, TRUTH_TABLE


@dataclass(frozen=True)
class Planted:
    """One instance: sigma, layers, weights, data; dimension (modulo scale for z^3), and the number of real orbits."""

    activation: str
    layers: str
    W: list
    a: list
    X: list
    c: list
    dimension: int
    orbits: int

    @property
    def solutions(self) -> int | None:
        """Complex solutions with all multipliers non-zero, modulo scale for z^3; None for infinitely many."""
        return next(known.solutions for known in TRUTH_TABLE if str(known) == str(self))

    @property
    def system(self) -> SymbolicSystem:
        sigma = Activation.parse(self.activation)
        W, a, X, c = (np.array(part) for part in (self.W, self.a, self.X, self.c))
        s, ds = ([int(value) for value in sigma.derivative(order)] for order in (0, 1))
        tW, _, ta = weighted_gradients(W, a[None, :], np.zeros(len(W), int), s, ds, X, c[:, None])
        net = TwoLayerNetwork(W, a, sigma)
        problem = KKTSystem.gradient(net, W=tW, a=None if self.layers == "first" else ta[0])
        return kkt_equations(problem, samples=len(X))

    def __str__(self) -> str:
        return f"{self.activation.replace(' ', '')}-{self.layers}-{len(self.X[0])}x{len(self.X)}x{len(self.W)}"


SYSTEMS = {
    str(each): each
    for each in (
        Planted(CUBIC, "both", [[1, 2], [2, 0]], [2, 2], [[2, -2], [0, 1]], [-1, 1], 0, 3),
        Planted(CUBIC, "both", [[2, 1], [0, -1], [-1, -2]], [-1, -1, -1], [[2, 1], [2, 0]], [1, 2], 0, 1),
        Planted(CUBIC, "both", [[-1, 1, -1], [1, 0, 1], [-1, -2, -1]], [1, 1, 2], [[-1, 0, 2], [-2, 1, 2]], [2, 2], 0, 1),
        Planted(CUBIC, "both", [[1, -1], [-1, 2], [-2, -1]], [1, 2, 1], [[2, -2], [-1, 0], [0, -1]], [1, -1, -1], 0, 1),
        Planted(ODD, "both", [[0, 2], [2, -1], [-2, 1]], [2, 2, 1], [[1, 2], [2, 2]], [2, 2], 0, 1),
        Planted(ODD, "both", [[0, 1], [-2, 1], [0, 2], [-2, -2]], [1, 2, -1, 2], [[1, 0], [-2, -1], [1, 1]], [2, 2, 2], 3, 0),
        Planted(CUBE, "first", [[2, -1, -2], [-1, 0, 2], [0, -2, -1]], [1, 2, 2], [[2, -2, 2], [-2, 0, -1]], [-1, 1], 0, 1),
        Planted(CUBE, "first", [[2, 1], [0, -1], [-1, -2], [-2, -2]], [-1, 2, 1, 2], [[0, 1], [2, 1], [1, 0]], [1, 2, -1], 2, 0),
    )
}

"""How many equations the neurons of a layer give: equal ones give equal equations, and weight decay makes many equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from identify.problem.network import Network
from identify.recovery.solution import Failure, InapplicableError

EQUAL = 1e-5
"""Relative distance of neurons that count as one, up to sign, and relative size of those that count as none."""


def distinct_neurons(W: Float[np.ndarray, "m D"], output: Float[np.ndarray, "C m"] | None = None) -> int:
    """Neurons that differ, up to sign, of those that are not zero; with ``output`` by what leaves them, too. Cost O(m (D + C))."""
    neurons = W if output is None else np.column_stack([W, output.T])
    sizes = np.linalg.norm(neurons, axis=1)
    neurons = neurons[sizes > EQUAL * sizes.max(initial=0.0)]
    keys = neurons @ np.random.default_rng(0).standard_normal(neurons.shape[1])
    neurons = (neurons * np.where(keys < 0, -1.0, 1.0)[:, None])[np.argsort(np.abs(keys), kind="stable")]
    steps = np.linalg.norm(np.diff(neurons, axis=0), axis=1)
    return len(neurons) - int(np.sum(steps <= EQUAL * np.linalg.norm(neurons[1:], axis=1)))


def refuse_equal_neurons(net: Network, lifted: Sequence[bool], samples: int, rank: int, evidence: Mapping[str, Any]) -> None:
    """Raise InapplicableError if neurons of the first of two layers are equal and leave forward separation too few equations.

    Points that solve the equations are a family then, and samples no more than members of it. ``lifted``: whether the biases of both
    layers were observed; ``rank``: that of the first update.
    """
    if net.depth > 2:  # deeper layers give equations as well
        return
    W = net.weights[0] if net.biases[0] is None else np.column_stack([net.weights[0], net.biases[0]])
    neurons, unknowns = distinct_neurons(W), (samples - lifted[0]) if rank == samples else net.n_inputs
    equations = neurons + lifted[1] - samples
    if neurons < len(W) and equations < unknowns:
        raise InapplicableError.of(Failure.FEW_NEURONS, evidence, neurons=neurons, equations=equations, unknowns=unknowns)

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
NOISY = 4.0
"""Neurons that differ by so many times the noise of one count as one, too."""


def distinct_neurons(W: Float[np.ndarray, "m D"], output: Float[np.ndarray, "C m"] | None = None, noise: float = 0.0) -> int:
    """Neurons that differ, up to sign, of those that are not zero; with ``output`` by what leaves them, too.

    ``noise``: that of the weights, relative to their root mean square. Cost O(m (D + C)), and as much for each pair that is nearly equal.
    """
    neurons = W if output is None else np.column_stack([W, output.T])
    sizes = np.linalg.norm(neurons, axis=1)
    hidden = NOISY * noise * float(np.sqrt(np.mean(sizes**2)))
    neurons = neurons[sizes > EQUAL * sizes.max(initial=0.0) + hidden]
    direction = np.random.default_rng(0).standard_normal(neurons.shape[1])
    keys = np.abs(neurons @ direction) / np.linalg.norm(direction)  # of equal ones these are equal as well
    order = np.argsort(keys, kind="stable")
    neurons, keys = neurons[order], keys[order]
    counted, number = np.zeros(len(neurons), bool), 0
    for k, first in enumerate(neurons):
        if counted[k]:
            continue
        number, reach = number + 1, EQUAL * float(np.linalg.norm(first)) + hidden
        near = slice(k + 1, int(np.searchsorted(keys, keys[k] + reach, side="right")))
        distances = np.minimum(*(np.linalg.norm(neurons[near] + sign * first, axis=1) for sign in (-1, 1)))
        counted[near] |= distances <= reach
    return number


def refuse_equal_neurons(net: Network, lifted: Sequence[bool], samples: int, rank: int, noise: float, evidence: Mapping[str, Any]) -> None:
    """Raise InapplicableError if neurons of the first of two layers are equal and leave forward separation too few equations.

    Points that solve the equations are a family then, and samples no more than members of it. ``lifted``: whether the biases of both
    layers were observed; ``rank``: that of the first update; ``noise``: as above.
    """
    if net.depth > 2:  # deeper layers give equations as well
        return
    W = net.weights[0] if net.biases[0] is None else np.column_stack([net.weights[0], net.biases[0]])
    neurons, unknowns = distinct_neurons(W, noise=noise), (samples - lifted[0]) if rank == samples else net.n_inputs
    equations = neurons + lifted[1] - samples
    if neurons < len(W) and equations < unknowns:
        raise InapplicableError.of(Failure.FEW_NEURONS, evidence, neurons=neurons, equations=equations, unknowns=unknowns)

"""Activation cells of piecewise-linear networks: which piece each neuron is on, at each sample."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.problem.activation import Activation, PiecewiseLinear
from identify.problem.arrays import finite_array
from identify.problem.network import Network
from identify.problem.signals import forward


class OnBreakpointError(InputError):
    """A pre-activation that is a breakpoint, at which two cells meet; ``sample``, ``layer`` and ``neuron`` are counted from 1."""

    def __init__(self, sample: int, layer: int, neuron: int, breakpoint: Fraction) -> None:
        super().__init__(
            f"X: the pre-activation of neuron {neuron} of layer {layer} at sample {sample} is the breakpoint {breakpoint} between two "
            "cells; expected data off the breakpoints. Give the pattern of the cell that is meant"
        )
        self.sample, self.layer, self.neuron = sample, layer, neuron


def checked_pattern(pattern: Any, activations: Sequence[Activation], samples: int, widths: Sequence[int]) -> tuple[np.ndarray, ...]:
    """The pieces of each hidden layer as arrays of integers (n, neurons). Raises :class:`InputError`."""
    given = pattern if len(widths) > 1 or _is_one_of_one(pattern) else [pattern]
    if isinstance(given, np.ndarray) or not isinstance(given, Sequence) or len(given) != len(widths):
        raise InputError(
            f"pattern: received {type(pattern).__name__}, expected one array of pieces for each of the {len(widths)} hidden layers"
        )
    out = []
    for k, (pieces, sigma, m) in enumerate(zip(given, activations, widths, strict=True), 1):
        assert isinstance(sigma, PiecewiseLinear)
        last = len(sigma.breakpoints)
        try:
            array = np.asarray(pieces)
        except ValueError:  # rows of several lengths
            array = np.empty(0)
        if array.shape != (samples, m) or array.dtype.kind not in "bui" or array.min() < 0 or array.max() > last:
            raise InputError(
                f"pattern: received an array of {array.dtype} of shape {array.shape} for hidden layer {k}, expected integers from 0 to "
                f"{last} of shape {samples, m}, one row for each sample"
            )
        out.append(array.astype(int))
    return tuple(out)


def _is_one_of_one(pattern: Any) -> bool:
    """Whether it is a sequence of the arrays of one hidden layer."""
    return isinstance(pattern, (list, tuple)) and len(pattern) == 1 and np.ndim(pattern[0]) == 2


def pattern_at(net: Network, X: Any, samples: int) -> tuple[np.ndarray, ...]:
    """The pieces in which pre-activations lie, in rational arithmetic. Cost O(n · number of weights) operations with fractions."""
    X = finite_array("X", X, (samples, net.n_inputs), "samples, one per row")
    exact = np.frompyfunc(Fraction, 1, 1)
    biases = [None if b is None else exact(b) for b in net.biases]
    before = forward([exact(W) for W in net.weights], biases, [sigma.exact for sigma in net.activations], exact(X)).before
    out = []
    for k, (sigma, z) in enumerate(zip(net.activations, before, strict=False), 1):
        assert isinstance(sigma, PiecewiseLinear)
        pieces = np.zeros(z.shape, dtype=int)
        for (i, j), value in np.ndenumerate(z):
            if value in sigma.breakpoints:
                raise OnBreakpointError(i + 1, k, j + 1, value)
            pieces[i, j] = sum(t < value for t in sigma.breakpoints)
        out.append(pieces)
    return tuple(out)

"""Multipliers that the observed layers leave open: other ones give the same signals in all of them, and the samples stay as they are.

A layer narrower than the outputs, between the topmost observed one and the outputs, slopes of zero, or a row of the last update that was
not sent leave some. Then data with their multipliers are not determined, although the samples may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from identify.problem.network import Network
from identify.problem.system import SELF_TRAINED, KKTSystem

OPEN = 1e-9
"""Singular values and entries up to this size, relative, are zero."""


def kernels(system: KKTSystem, X: Float[np.ndarray, "n d"]) -> list[Float[np.ndarray, "dimension C"]]:
    """For each sample an orthonormal basis, row by row, of the multipliers that no known signal shows. Cost: a pass and n small SVDs."""
    net = system.network
    heard = _heard(system)
    if heard.get(net.depth, np.zeros(1, bool)).all():
        return [np.zeros((0, net.n_outputs))] * len(X)
    slopes = [sigma(z, order=1) for sigma, z in zip(net.activations, net.forward(X).before, strict=False)]
    found = []
    for i in range(len(X)):
        through, rows = np.eye(net.n_outputs), []
        for k in range(net.depth, 0, -1):
            if k < net.depth:
                through = slopes[k - 1][i][:, None] * (net.weights[k].T @ through)
            if k in heard:
                size = float(np.linalg.norm(through))
                rows.append(through[heard[k]] / (size or 1.0))
        stacked = np.vstack(rows)
        if not np.isfinite(stacked).all():  # beyond doubles nothing is known to be open
            found.append(np.zeros((0, net.n_outputs)))
            continue
        _, values, right = np.linalg.svd(stacked, full_matrices=True)
        rank = int(np.sum(values > OPEN * max(float(values.max(initial=0.0)), np.finfo(float).tiny)))
        found.append(right[rank:])
    return found


def undetermined_multipliers(system: KKTSystem, X: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, "n C"]:
    """Which multipliers of these samples are open: those that move along such a kernel."""
    return np.array([(np.abs(kernel) > OPEN).any(axis=0) for kernel in kernels(system, X)]).reshape(len(X), system.network.n_outputs)


def with_seen_outputs(system: KKTSystem) -> KKTSystem:
    """A system with the same samples: of an unobserved last layer with more outputs than neurons below, outputs that span the others.

    The observed layers see multipliers as W_L^T γ alone, and as many independent rows of W_L as there are neurons give every such vector.
    """
    net = system.network
    last, neurons = net.weights[-1], net.sizes[-2]
    if system.regime in SELF_TRAINED or any(part is not None for part in system.updates[-1]) or len(last) <= neurons:
        return system
    from scipy.linalg import qr  # which most questions do not need

    triangle, rows = qr(last.T, mode="r", pivoting=True)
    sizes = np.abs(np.diag(triangle))
    if not sizes[-1] > OPEN * sizes[0]:  # dependent neurons: fewer numbers are seen, and which, rounding would say
        return system
    rows = np.sort(rows[:neurons])
    bias = net.biases[-1]
    kept = Network(
        [*net.weights[:-1], last[rows]], biases=[*net.biases[:-1], None if bias is None else bias[rows]], activation=net.activations
    )
    return replace(system, network=kept)


def open_by_sizes(sizes: Sequence[int], top: int) -> int:
    """How many multipliers of each sample layers of these sizes leave open if the topmost observed one is ``top``, from 1."""
    return sizes[-1] - min(sizes[top:])


def _heard(system: KKTSystem) -> dict[int, Bool[np.ndarray, " width"]]:
    """Of which neurons of the observed layers, from 1, a part of the update is known."""
    heard = {}
    for k, update in system.layers.items():
        known = np.zeros(system.network.sizes[k], bool)
        for part in update:
            if part is not None:
                known |= ~np.isnan(part.reshape(system.network.sizes[k], -1)).all(axis=1)
        heard[k] = known
    return heard

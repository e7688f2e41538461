"""What the update of the first layer leaves open, scales and signs of samples, and how a second update fixes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from identify.problem.ambiguity import Ambiguity
from identify.problem.precision import format_of
from identify.problem.symmetry import group_of
from identify.problem.system import KKTSystem
from identify.recovery.separation.subspace import ROUNDING

INDEPENDENT = 1e-9
"""Ratio of singular values below which columns count as dependent."""
MOST_SIGNS = 16
"""Samples whose signs are tried one after the other, if no linear equations tell them."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples in the units of the inputs, with what their methods say of them."""

    X: Float[np.ndarray, "found d"]
    c: Float[np.ndarray, "found C"]
    signals: Float[np.ndarray, "found m"]
    slopes: Float[np.ndarray, "found m"]
    bars: Float[np.ndarray, " found"]
    numbers: dict[str, Any]
    is_free: bool = False
    """Whether the scale of each sample is open within an interval."""


def settled(system: KKTSystem, batch: Batch, samples: int, ambiguity: Ambiguity) -> Batch:
    """Scale or sign of each sample, as far as the second update fixes them, if all samples are there: it is linear in what is open.

    A free scale t enters it by c_i h(t x_i) / t = c_i (D_i W x_i + (D_i b + e_i) / t), linear in 1 / t, e the intercept of the piece;
    a sign by one of two columns.
    """
    net, second = system.network, system.updates[1].W
    if second is None or len(batch.X) < samples:
        return batch
    bias = 0.0 if net.biases[0] is None else net.biases[0]
    sigma, target = net.activations[0], second.reshape(net.n_outputs, -1)
    product = batch.X @ net.weights[0].T

    def columns(rows: np.ndarray) -> np.ndarray:
        return np.einsum("io,im->omi", batch.c, rows).reshape(target.size, -1)

    if batch.is_free:
        z = product + bias
        fixed = batch.slopes * product
        moving = columns(sigma(z) - fixed)
        wanted = target.reshape(-1) - columns(fixed).sum(axis=1)
        inverse = np.linalg.lstsq(moving, wanted, rcond=None)[0]
        rounding = max(format_of(target.reshape(-1)), ROUNDING) * np.linalg.norm(target)
        noise = np.hypot(np.linalg.norm(wanted - moving @ inverse), rounding) / max(len(wanted) - len(inverse), 1) ** 0.5
        error = noise * np.linalg.norm(np.linalg.pinv(moving), axis=1)
        t = np.where(inverse > 0, 1 / np.maximum(inverse, 1e-300), 1.0)
        bars = np.hypot(batch.bars, error * t * np.linalg.norm(batch.X, axis=1)) * t
        return Batch(batch.X * t[:, None], batch.c / t[:, None], batch.signals / t[:, None], batch.slopes, bars, batch.numbers)
    alone = ambiguity_of(system, alone=True)
    if alone.group != "sign" or ambiguity.group != "none":
        return batch
    flip = -1.0 if alone.flips_multiplier else 1.0
    plus, minus = columns(sigma(product)), flip * columns(sigma(-product))
    wanted = target.reshape(-1) - minus.sum(axis=1)
    share, _, rank, _ = np.linalg.lstsq(plus - minus, wanted, rcond=INDEPENDENT)
    if rank < len(share) <= MOST_SIGNS:  # such as sigmoid, where a sign changes a constant only
        every = (np.arange(2 ** len(share))[:, None] >> np.arange(len(share))) & 1
        U, values, right = np.linalg.svd(plus - minus, full_matrices=False)
        reduced = every @ (values[:rank, None] * right[:rank]).T - U[:, :rank].T @ wanted
        share = every[np.linalg.norm(reduced, axis=1).argmin()]
    signs = np.where(share > 0.5, 1.0, -1.0)[:, None]
    c = batch.c * np.where(signs < 0, flip, 1.0)
    slopes = batch.slopes if alone.flips_multiplier else signs * batch.slopes
    return Batch(signs * batch.X, c, signs * batch.signals, slopes, batch.bars, batch.numbers)


def ambiguity_of(system: KKTSystem, *, alone: bool = False) -> Ambiguity:
    """What the updates leave open for each sample; ``alone``: the first one by itself. That of the second bias holds for all together."""
    net = system.network
    second = not alone and system.updates[1].W is not None
    return group_of(net.activations, [bias is not None for bias in net.biases[:-1]] + [False], [(True, False), (second, False)])

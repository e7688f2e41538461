"""The first act of the demonstration: a batch of real images from one gradient of an ordinary ReLU classifier."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from identify.cli.acts import Act, Progress
from identify.cli.classifier import gradient, initialised, train
from identify.cli.images import DATA, Images
from identify.problem.network import Network
from identify.problem.system import KKTSystem
from identify.recovery.recover import recover
from identify.recovery.solution import RecoveryError

HIDDEN = (512, 256)
ACCURACY = 0.93
"""A classifier that counts as trained is right about this part of the images that it has not seen."""
HELD_OUT = 0.2
"""Part of the images that training does not see; the batch is among them."""
BUDGET = 10.0
"""Seconds for the recovery, which takes one, unless signals are hidden by rounding."""


def one_update(
    *,
    data: str = "digits",
    samples: int = 32,
    trained: bool = False,
    dtype: str = "float32",
    seed: int = 0,
    progress: Progress = lambda step: None,
    load: Callable[[], Images] | None = None,
) -> Act:
    """A batch of images from one gradient of the mean softmax cross-entropy of a ReLU classifier with two hidden layers.

    The classifier has PyTorch's default initialisation, or was trained from there on other images. Everything is computed in the given
    precision.
    """
    progress("reading the images")
    images = DATA[data]() if load is None else load()
    rng = np.random.default_rng(seed)
    rows = images.batch(rng, samples)
    X, y = images.X[rows].astype(dtype), images.y[rows]
    sizes = (X.shape[1], *HIDDEN, images.classes)
    layers, state = initialised(sizes, rng, dtype), "with PyTorch's default initialisation"
    if trained:
        others = rng.permutation(np.setdiff1d(np.arange(len(images.X)), rows))
        cut = max(int(HELD_OUT * len(images.X)) - samples, 0)
        unseen = np.concatenate([rows, others[:cut]])
        held_out = images.X[unseen], images.y[unseen]
        known = others[cut:]
        layers, right, steps = train(
            layers, images.X[known], images.y[known], held_out, accuracy=ACCURACY, rng=rng, dtype=dtype, progress=progress
        )
        state = f"trained for {steps} steps on {len(known)} other {images.noun}, and right about {right:.1%} of {len(unseen)} unseen ones"
    progress("one training step")
    parts = gradient(layers, X, y, dtype)
    net = Network([W for W, _ in layers], biases=[b for _, b in layers], activation="relu")
    system = KKTSystem.gradient(net, layers={k: (-W, -b) for k, (W, b) in enumerate(parts, 1)})
    c = _multipliers(net, X.astype(float), y)
    found, failure, began = None, None, time.perf_counter()
    try:
        found = recover(system, seed=seed, budget=BUDGET, progress=progress)
    except RecoveryError as error:
        failure = str(error)
    seconds = time.perf_counter() - began
    lead = (
        f"A ReLU classifier {'-'.join(map(str, sizes))}, {state}, and one {dtype} gradient of the mean cross-entropy on a batch of "
        f"{samples} {images.source}. Given: the network and the gradient. Not given: the number of images, and their labels."
    )
    signals = _signals(net, X.astype(float), c)
    return Act(
        f"Act 1: the batch behind one update{' of a trained classifier' * trained}",
        lead,
        system,
        None,
        X.astype(float),
        c,
        found,
        failure,
        noun=images.noun,
        labels=y,
        signals=signals,
        seconds=seconds,
    )


def _multipliers(net: Network, X: Float[np.ndarray, "n d"], y: np.ndarray) -> Float[np.ndarray, "n C"]:
    """Minus the derivative of the mean cross-entropy by the outputs."""
    outputs = net(X)
    parts = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return (np.eye(net.n_outputs)[y] - parts / parts.sum(axis=1, keepdims=True)) / len(X)


def _signals(net: Network, X: Float[np.ndarray, "n d"], c: Float[np.ndarray, "n C"]) -> Float[np.ndarray, " n"]:
    """What each sample adds to the update of the second layer, relative to the largest."""
    entering = np.hstack([net.forward(X).entering[1], np.ones((len(X), 1))])
    sizes = np.linalg.norm(net.signals(X, c)[1], axis=1) * np.linalg.norm(entering, axis=1)
    return sizes / sizes.max()

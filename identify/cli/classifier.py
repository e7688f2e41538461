"""An ordinary classifier, as PyTorch makes it by default: dense layers, ReLU, mean softmax cross-entropy; computed by JAX in one precision.

Weights and biases are drawn uniformly from ±1/sqrt(inputs), as ``torch.nn.Linear`` draws them. :func:`train` is plain stochastic gradient
descent with momentum. Gradients are those of automatic differentiation, none is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float, Int

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Weights (out, in) and bias of each layer."""
STEP, MOMENTUM, BATCH, BETWEEN, MOST = 0.05, 0.9, 64, 20, 2000
"""Learning rate, momentum, batch size; steps between two looks at the accuracy, and the largest number of steps."""


def initialised(sizes: Sequence[int], rng: np.random.Generator, dtype: str) -> Layers:
    """A classifier that has not been trained."""
    layers = []
    for inputs, outputs in pairwise(sizes):
        bound = 1 / np.sqrt(inputs)
        layers.append((rng.uniform(-bound, bound, (outputs, inputs)).astype(dtype), rng.uniform(-bound, bound, outputs).astype(dtype)))
    return layers


def gradient(layers: Layers, X: Float[np.ndarray, "n d"], y: Int[np.ndarray, " n"], dtype: str) -> Layers:
    """Gradient of the mean cross-entropy by the weights and the bias of each layer, in this precision."""
    import jax

    with jax.enable_x64(dtype == "float64"):
        parts = jax.jit(jax.grad(_loss))(layers, X.astype(dtype), y)
        return [(np.asarray(W), np.asarray(b)) for W, b in parts]


def train(
    layers: Layers,
    X: Float[np.ndarray, "N d"],
    y: Int[np.ndarray, " N"],
    held_out: tuple[Float[np.ndarray, "M d"], Int[np.ndarray, " M"]],
    *,
    accuracy: float,
    rng: np.random.Generator,
    dtype: str,
    progress: Callable[[str], None],
) -> tuple[Layers, float, int]:
    """Train until the classifier is right about this part of the images that are held out: its layers, that part, and the steps taken."""
    import jax

    with jax.enable_x64(dtype == "float64"):
        step, predicted = jax.jit(_step), jax.jit(lambda layers, X: _outputs(layers, X).argmax(axis=1))
        speed = jax.tree.map(np.zeros_like, layers)
        X, unseen = X.astype(dtype), held_out[0].astype(dtype)
        right = 0.0
        for steps in range(1, MOST + 1):
            rows = rng.integers(0, len(X), BATCH)
            layers, speed = step(layers, speed, X[rows], y[rows])
            if steps % BETWEEN == 0:
                right = float(np.mean(np.asarray(predicted(layers, unseen)) == held_out[1]))
                progress(f"training: {right:.0%} of unseen images right after {steps} steps")
                if right >= accuracy:
                    break
        return [(np.asarray(W), np.asarray(b)) for W, b in layers], right, steps


def _outputs(layers: Any, X: Any) -> Any:
    import jax

    for k, (W, b) in enumerate(layers):
        X = (jax.nn.relu(X) if k else X) @ W.T + b
    return X


def _loss(layers: Any, X: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return -jnp.take_along_axis(jax.nn.log_softmax(_outputs(layers, X)), y[:, None], axis=1).mean()


def _step(layers: Any, speed: Any, X: Any, y: Any) -> tuple[Any, Any]:
    import jax

    speed = jax.tree.map(lambda v, g: MOMENTUM * v - STEP * g, speed, jax.grad(_loss)(layers, X, y))
    return jax.tree.map(lambda part, v: part + v, layers, speed), speed

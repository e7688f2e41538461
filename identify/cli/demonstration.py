"""The two acts of the demonstration with a proof: digits from the weights of one network, and from one gradient of another.

The first constructs a network that is an exact KKT point of the max-margin problem for a handful of digits, and gets them
back from its weights alone. The second takes one gradient of the logistic loss on twenty digits, as a training step would
leak it. Both use scikit-learn's bundled 8x8 digits, and only public functions of the package.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from identify.cli.acts import Act, Progress
from identify.cli.images import small_digits
from identify.conditions.check import check
from identify.planting.kkt_points import max_margin_point
from identify.problem.activation import Activation
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Verdict
from identify.recovery.recover import recover
from identify.recovery.solution import RecoveryError

FIRST_SAMPLES = 5
SUBSETS = 2000
"""Number of random subsets of digits, of which the least correlated one is taken."""


def weights_alone(*, samples: int = FIRST_SAMPLES, seed: int = 0, progress: Progress = lambda step: None) -> Act:
    """Digits from the weights of an exact KKT point of the max-margin problem, sigma = z^3."""
    images, labels, mean = small_digits()
    rng = np.random.default_rng(seed)
    progress("choosing digits")
    norms = np.linalg.norm(images, axis=1)
    images = images / norms[:, None]
    draws = [rng.choice(len(images), samples, replace=False) for _ in range(SUBSETS)]
    mixed = [rows for rows in draws if abs(labels[rows].sum()) < samples]
    chosen = min(mixed, key=lambda rows: np.abs(images[rows] @ images[rows].T - np.eye(samples)).max())
    progress("constructing the KKT point")
    point = max_margin_point(images[chosen], labels[chosen], Activation.parse("z^3"))
    system = KKTSystem.max_margin(point.network, labels=point.labels)
    found = recover(system, samples=samples, seed=seed, progress=progress)
    progress("deciding uniqueness exactly")
    report = check(system, data=(found.X, found.c), seed=seed)
    lead = (
        f"A network {point.network.n_inputs}-{point.network.width}-1 with sigma = z^3 at an exact KKT point of the max-margin "
        f"problem on {samples} digits of unit norm (constructed, not found by gradient descent). Given: its weights and the "
        "labels, nothing else. The verdict is about the network and the data that were recovered from it."
    )
    return Act("Act 2: weights alone", lead, system, report, point.X, point.c, found, mean=mean, sizes=norms[chosen])


def one_gradient(
    *,
    samples: int = 20,
    width: int = 150,
    activation: str = "z + z^2/2 + z^3",
    dtype: str = "float32",
    seed: int = 0,
    progress: Progress = lambda step: None,
) -> Act:
    """Digits from one gradient of the mean logistic loss, computed by JAX in the given precision."""
    images, labels, mean = small_digits()
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(images), samples, replace=False)
    X, y = images[rows].astype(dtype).astype(float), labels[rows]
    d = X.shape[1]
    W = (rng.standard_normal((width, d)) / np.sqrt(d)).astype(dtype).astype(float)
    a = (rng.standard_normal(width) / np.sqrt(width)).astype(dtype).astype(float)
    net = TwoLayerNetwork(W, a, Activation.parse(activation))
    progress("one training step")
    gradient_W, gradient_a = logistic_gradient(net, X, y, dtype)
    system = KKTSystem.gradient(net, W=-gradient_W, a=-gradient_a)
    c = y / (1 + np.exp(y * net(X))) / samples
    progress("deciding uniqueness exactly")
    report = check(system, samples=samples, seed=seed)
    if report.verdict is Verdict.NOT_UNIQUE:
        report = check(system, data=(X, c), seed=seed)
    found, failure = None, None
    try:
        found = recover(system, samples=samples, seed=seed, progress=progress)
    except RecoveryError as error:
        failure = str(error)
    lead = (
        f"A random network {d}-{width}-1 with sigma = {net.activation}, and one {dtype} gradient of the mean logistic loss on {samples} "
        "digits. Given: the network, the gradient, and the number of digits."
    )
    return Act("Act 3: one gradient, and a proof", lead, system, report, X, c, found, failure, mean=mean)


def logistic_gradient(net: TwoLayerNetwork, X: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"], dtype: str):
    """Gradient of the mean logistic loss in W and a, by JAX's automatic differentiation in the given precision."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(dtype == "float64"):

        def loss(W, a):
            outputs = net.activation(jnp.asarray(X, dtype) @ W.T) @ a
            return jnp.mean(jax.nn.softplus(-jnp.asarray(y, dtype) * outputs))

        gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(jnp.asarray(net.W, dtype), jnp.asarray(net.a, dtype))
        return tuple(np.asarray(part, dtype=np.float64) for part in gradients)

"""Clients of several steps: networks, batches, and what training by automatic differentiation sends back."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

import identify as idf

SIZES, FUNCTIONS = (14, 60, 40, 4), {"gelu": lambda z: jax.nn.gelu(z, approximate=False), "relu": jax.nn.relu}


def drawn(seed, activation="gelu", sizes=SIZES, bias=True):
    rng = np.random.default_rng(seed)
    weights = [rng.uniform(-1, 1, (m, d)) / d**0.5 for d, m in itertools.pairwise(sizes)]
    biases = [rng.uniform(-1, 1, len(W)) / W.shape[1] ** 0.5 if bias else None for W in weights]
    return idf.Network(weights, biases=biases, activation=activation)


def client(net, X, y, batches, rate, momentum=0.0, decay=0.0, loss="softmax", frozen=()):
    """What a client sends back: gradient descent by automatic differentiation of the loss of each batch."""
    f = FUNCTIONS[str(net.activations[0])]

    def outputs(theta, x):
        for k in range(1, net.depth + 1):
            x = x @ theta[f"W{k}"].T + theta.get(f"b{k}", 0.0)
            x = f(x) if k < net.depth else x
        return x

    def objective(theta, x, t):
        o = outputs(theta, x)
        if loss == "softmax":
            return jnp.mean(jax.nn.logsumexp(o, axis=1) - o[jnp.arange(len(t)), t])
        return jnp.mean((o - t) ** 2) if loss == "square" else jnp.mean(jnp.log1p(jnp.exp(-t[:, None] * o)))

    theta, gradient = dict(net.parameters), jax.jit(jax.grad(objective))
    velocity = {name: np.zeros_like(part) for name, part in theta.items()}
    with jax.enable_x64(True):
        for batch in batches:
            slope = gradient(theta, X[batch], y[batch])
            for name in theta:
                if name not in frozen:
                    velocity[name] = momentum * velocity[name] + np.asarray(slope[name]) + decay * theta[name]
                    theta[name] = theta[name] - rate * velocity[name]
    return net.with_parameters(theta)


def batch_of(seed, n, sizes=SIZES):
    rng = np.random.default_rng(1000 + seed)
    return rng.standard_normal((n, sizes[0])), rng.integers(sizes[-1], size=n)

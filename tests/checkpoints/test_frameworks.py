"""Gradients as the frameworks compute them: the same network and data must lead to the same report and the same data."""

import subprocess
import sys
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import identify as idf

SIGMA = "z + z^2/2 + z^3"
D, N, M = 6, 4, 16


@pytest.fixture
def instance():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((N, D)), np.array([1.0, -1.0, 1.0, -1.0])
    return rng.standard_normal((M, D)) / np.sqrt(D), rng.standard_normal(M) / M, X, y


def gradient_by_jax(W, a, X, y):
    with jax.enable_x64(True):

        def loss(W, a):
            z = jax.device_put(X) @ W.T
            return jnp.mean(jax.nn.softplus(-y * ((z + z**2 / 2 + z**3) @ a)))

        return [np.asarray(part) for part in jax.grad(loss, (0, 1))(jax.device_put(W), jax.device_put(a))]


def gradient_by_torch(W, a, X, y):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    W, a, X, y = (torch.tensor(part) for part in (W, a, X, y))
    W.requires_grad_(), a.requires_grad_()
    z = X @ W.T
    torch.nn.functional.softplus(-y * ((z + z**2 / 2 + z**3) @ a)).mean().backward()
    return [W.grad.numpy(), a.grad.numpy()]


@pytest.mark.parametrize("gradient", [gradient_by_jax, gradient_by_torch])
def test_gradient_of_a_framework_is_minus_the_target(instance, gradient):
    W, a, X, y = instance
    net = idf.TwoLayerNetwork(W, a, SIGMA)
    dW, da = gradient(W, a, X, y)
    system = idf.KKTSystem.gradient(net, W=-dW, a=-da)
    c = y / (1 + np.exp(y * net(X))) / N
    assert system.residual(X, c) < 1e-14
    found = idf.recover(system, samples=N)
    assert found.match(X, c).errors.max() < 1e-9
    assert np.array_equal(np.sort(found.labels), np.sort(y))


def test_both_frameworks_give_the_same_report(instance):
    W, a, _, _ = instance
    net = idf.TwoLayerNetwork(W, a, SIGMA)
    reports = []
    for gradient in (gradient_by_jax, gradient_by_torch):
        dW, da = gradient(*instance)
        reports.append(idf.check(idf.KKTSystem.gradient(net, W=-dW, a=-da), samples=N).to_json())
    assert reports[0] == reports[1]
    assert '"verdict": "UNIQUE"' in reports[0]


SIZES = (24, 40, 32, 4)


@pytest.fixture
def classifier():
    """Weights of a ReLU classifier, in single precision, and a batch with its labels."""
    rng = np.random.default_rng(5)
    weights = [
        ((rng.uniform(-1, 1, (outputs, inputs)) / inputs**0.5).astype("float32"), (0.1 * rng.standard_normal(outputs)).astype("float32"))
        for inputs, outputs in pairwise(SIZES)
    ]
    return weights, rng.standard_normal((6, SIZES[0])).astype("float32"), rng.integers(0, SIZES[-1], 6)


def update_by_torch(weights, X, y):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = torch.nn.Sequential(
        *(torch.nn.Linear(24, 40), torch.nn.ReLU(), torch.nn.Linear(40, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    )
    with torch.no_grad():
        for layer, (W, b) in zip(model[::2], weights, strict=True):
            layer.weight.copy_(torch.tensor(W))
            layer.bias.copy_(torch.tensor(b))
    torch.nn.functional.cross_entropy(model(torch.tensor(X)), torch.tensor(y)).backward()
    return idf.Network.of(model), idf.gradients_of(model)


def cross_entropy(outputs, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], axis=1).mean()


def update_by_plain_jax(weights, X, y):
    params = {f"{letter}{k}": part for k, pair in enumerate(weights, 1) for letter, part in zip("Wb", pair, strict=True)}

    def loss(params):
        hidden = jax.nn.relu(jax.nn.relu(X @ params["W1"].T + params["b1"]) @ params["W2"].T + params["b2"])
        return cross_entropy(hidden @ params["W3"].T + params["b3"], y)

    return idf.Network.of(params, activation="relu"), idf.gradients_of(jax.grad(loss)(params), like=params)


def update_by_linen(weights, X, y):
    nn = pytest.importorskip("flax.linen", reason="flax is not installed")
    module = nn.Sequential([nn.Dense(40), nn.relu, nn.Dense(32), nn.relu, nn.Dense(4)])
    params = {f"layers_{2 * k}": {"kernel": W.T, "bias": b} for k, (W, b) in enumerate(weights)}
    grads = jax.grad(lambda params: cross_entropy(module.apply({"params": params}, X), y))(params)
    return idf.Network.of(params, activation="relu"), idf.gradients_of(grads, like=params)


def update_by_nnx(weights, X, y):
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.Linear(24, 40, rngs=rngs), nnx.relu, nnx.Linear(40, 32, rngs=rngs), nnx.relu, nnx.Linear(32, 4, rngs=rngs))
    for k, (W, b) in enumerate(weights):
        model.layers[2 * k].kernel[...], model.layers[2 * k].bias[...] = jax.device_put(W.T), jax.device_put(b)
    grads = nnx.grad(lambda model: cross_entropy(model(X), y))(model)
    return idf.Network.of(model), idf.gradients_of(grads, like=model)


def update_by_equinox(weights, X, y):
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    keys = jax.random.split(jax.random.key(0), 3)
    parts = [eqx.nn.Linear(inputs, outputs, key=key) for (inputs, outputs), key in zip(pairwise(SIZES), keys, strict=True)]
    parts = [
        eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, tuple(map(jnp.asarray, pair)))
        for layer, pair in zip(parts, weights, strict=True)
    ]
    relu = eqx.nn.Lambda(jax.nn.relu)
    model = eqx.nn.Sequential([parts[0], relu, parts[1], relu, parts[2]])
    grads = eqx.filter_grad(lambda model: cross_entropy(jax.vmap(model)(X), y))(model)
    return idf.Network.of(model), idf.gradients_of(grads, like=model)


UPDATES = [update_by_torch, update_by_plain_jax, update_by_linen, update_by_nnx, update_by_equinox]


@pytest.mark.parametrize("update", UPDATES)
def test_every_framework_gives_the_same_network_update_and_batch(classifier, update):
    _, X, y = classifier
    net, layers = update(*classifier)
    reference, expected = update_by_plain_jax(*classifier)
    assert all(np.array_equal(one, other) for one, other in zip(net.parameters.values(), reference.parameters.values(), strict=True))
    assert all(np.allclose(layers[k][i], expected[k][i], rtol=1e-4, atol=1e-7) for k in (1, 2, 3) for i in (0, 1))
    found = idf.recover(idf.KKTSystem.gradient(net, layers=layers))
    match = found.match(X, np.zeros((6, 4)))
    assert match.errors.max() < 1e-5
    assert np.array_equal(found.labels[match.order], y)


def test_no_framework_is_imported_until_a_model_of_it_is_read():
    code = """
import sys
import numpy as np
import identify as idf
params = {"W1": np.eye(2), "W2": np.ones((1, 2))}
idf.Network.of(params, activation="relu"), idf.gradients_of({"W1": 2 * np.eye(2)}, like=params)
try:
    idf.Network.of(object())
except idf.ShapeError:
    print(sorted({"torch", "flax", "equinox", "jax"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

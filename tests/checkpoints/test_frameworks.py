"""Gradients as the two frameworks compute them: the same network and data must lead to the same report and the same data."""

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
            z = jnp.asarray(X) @ W.T
            return jnp.mean(jax.nn.softplus(-y * ((z + z**2 / 2 + z**3) @ a)))

        return [np.asarray(part) for part in jax.grad(loss, (0, 1))(jnp.asarray(W), jnp.asarray(a))]


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

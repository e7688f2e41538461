"""Networks of two layers trained with weight decay to an exact stationary point, by NumPy alone."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

import identify as idf

DECAY = 1e-3
NEWTON_STEPS = 6
STEP = 1e-5
"""Of central differences of the gradient: Newton's method gains many digits with such a Hessian, too."""
STEPS = 5000
LBFGS = {"maxfun": 10000, "ftol": 1e-16, "gtol": 1e-9}


def loss_and_slopes(f, labels):
    """The mean loss, and its derivatives by the outputs."""
    n = len(f)
    if f.shape[1] == 1:
        signs = 2.0 * labels[:, None] - 1
        return np.logaddexp(0, -signs * f).mean(), -signs * expit(-signs * f) / n
    return -log_softmax(f, axis=1)[np.arange(n), labels].mean(), (softmax(f, axis=1) - np.eye(f.shape[1])[labels]) / n


def objective(theta, X, labels, W, A, decay):
    """Mean loss + (decay/2)·‖θ‖² of a tanh network with a bias in its first layer, and its gradient. ``A``: fixed, or its shape only."""
    cut, lifted = W.size, np.column_stack([X, np.ones(len(X))])
    W = theta[:cut].reshape(W.shape)
    is_trained = len(theta) > cut
    A = theta[cut:].reshape(A.shape) if is_trained else A
    h = np.tanh(lifted @ W.T)
    loss, u = loss_and_slopes(h @ A.T, labels)
    parts = [((u @ A) * (1 - h**2)).T @ lifted] + [u.T @ h] * is_trained
    return loss + decay / 2 * theta @ theta, np.concatenate([part.ravel() for part in parts]) + decay * theta


@cache
def stationary_network(n, d, classes, width, seed=0, decay=DECAY, newton=NEWTON_STEPS, first_only=False, steps=STEPS):
    """The network, the samples, their labels, and ‖gradient‖ / ‖decay θ‖. ``first_only``: the second layer stays as it was drawn."""
    rng = np.random.default_rng(seed)
    X, labels = rng.standard_normal((n, d)), rng.permutation(np.arange(n) % max(classes, 2))
    W, A = (rng.standard_normal(shape) / shape[1] ** 0.5 for shape in ((width, d + 1), (classes, width)))
    theta, given = np.concatenate([W.ravel()] + [A.ravel()] * (not first_only)), (X, labels, W, A, decay)
    theta = minimize(objective, theta, given, jac=True, method="L-BFGS-B", options=LBFGS | {"maxiter": steps}).x
    for _ in range(newton):
        moves = STEP * np.eye(len(theta))
        H = np.array([objective(theta + e, *given)[1] - objective(theta - e, *given)[1] for e in moves]) / (2 * STEP)
        theta = theta - np.linalg.solve((H + H.T) / 2 + 1e-9 * decay * np.eye(len(theta)), objective(theta, *given)[1])
    slope = objective(theta, *given)[1]
    A = A if first_only else theta[W.size :].reshape(A.shape)
    W = theta[: W.size].reshape(W.shape)
    net = idf.Network([W[:, :-1], A], biases=[W[:, -1], None], activation="tanh")
    return net, X, labels, float(np.linalg.norm(slope) / (decay * np.linalg.norm(theta)))

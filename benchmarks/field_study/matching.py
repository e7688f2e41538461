"""Gradient matching after the papers: images whose gradient is that of the update, with the labels given.

``cosine``: Geiping et al. with the settings of their package breaching (attack ``invertinggradients``): 1 − cosine of the whole gradient,
plus total variation, Adam on the sign of the gradient with step 0.1, divided by ten at 3/8, 5/8 and 7/8 of at most 24,000 iterations,
normal start, images kept in the range of pixels, in units normalised by mean and standard deviation of the data; float32. A restart has
at least 4800 iterations (their number for small images), if the time allows so many; up to three restarts, with the weights 0.2 (as in
breaching), 0.01 and 1e-4 (for small images) of total variation; the answer is the one of largest cosine.

``euclidean``: Zhu et al. (DLG), squared distance of gradients, L-BFGS, at most 1200 iterations (breaching's number), normal start, new
starts while time is left. The labels are given here, and not sought; float64, because float32 ends the line search early.

References
----------
Geiping, Bauermeister, Dröge, Moeller, "Inverting Gradients: How easy is it to break privacy in federated learning?", NeurIPS 2020;
Zhu, Liu, Han, "Deep Leakage from Gradients", NeurIPS 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from identify.problem.network import Network

WEIGHTS = (0.2, 1e-2, 1e-4)
"""Of total variation, one for each restart."""
MOST, LEAST, DLG_MOST = 24_000, 4800, 1200
STEP, DECAY = 0.1, (3 / 8, 5 / 8, 7 / 8)
CHUNK = 10
"""Iterations between looks at the clock."""
UNITS = {"digits": (0.1307, 0.3081), "patches": (0.5, 0.25)}
"""Mean and standard deviation of pixels."""


def _gradient(net: Network, y: np.ndarray, kind: type) -> Callable[[Any], list[Any]]:
    """Minus the gradient of the mean softmax loss of images, by every parameter."""
    parameters = [(jnp.asarray(W, kind), jnp.asarray(b, kind)) for W, b in zip(net.weights, net.biases, strict=True) if b is not None]
    own = jax.nn.one_hot(y, net.sizes[-1], dtype=kind)

    def loss(theta: Any, X: Any) -> Any:
        for k, (W, b) in enumerate(theta):
            X = X @ W.T + b
            if k + 1 < len(theta):
                X = jax.nn.relu(X) if net.activations[k].kind == "piecewise-linear" else net.activations[k].jax(X)
        return jnp.mean(jnp.sum(own * jax.nn.log_softmax(X), axis=1))

    return lambda X: jax.tree.leaves(jax.grad(loss)(parameters, X))


def _targets(system: Any, kind: type) -> list[Any]:
    return [jnp.asarray(part, kind) for update in system.layers.values() for part in update]


def _variation(X: Any, shape: tuple[int, int, int]) -> Any:
    images = X.reshape(-1, *shape)
    return jnp.mean(jnp.abs(jnp.diff(images, axis=1))) + jnp.mean(jnp.abs(jnp.diff(images, axis=2)))


def cosine(given: Any, data: str, *, seed: int, seconds: Callable[[], float]) -> tuple[np.ndarray, dict[str, Any]]:
    """Images, and how many iterations and restarts there were; ``seconds`` are those that are left."""
    kind, (mean, deviation) = np.float32, UNITS[data]
    gradient, target = _gradient(given.system.network, given.y, kind), _targets(given.system, kind)
    size = jnp.sqrt(sum(jnp.sum(t * t) for t in target))
    low, high = (0 - mean) / deviation, (1 - mean) / deviation

    def distance(X: Any) -> Any:
        own = gradient(X * deviation + mean)
        inner = sum(jnp.sum(t * g) for t, g in zip(target, own, strict=True))
        return 1 - inner / (size * jnp.sqrt(sum(jnp.sum(g * g) for g in own)))

    def loss(X: Any, weight: Any) -> Any:
        return distance(X) + weight * _variation(X, given.shape)

    @jax.jit
    def steps(X: Any, first: Any, second: Any, weight: Any, rates: Any, start: Any) -> Any:
        def one(carry: Any, rate_and_number: Any) -> Any:
            X, first, second = carry
            rate, t = rate_and_number
            g = jnp.sign(jax.grad(loss)(X, weight))
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
            move = (first / (1 - 0.9**t)) / (jnp.sqrt(second / (1 - 0.999**t)) + 1e-8)
            return (jnp.clip(X - rate * move, low, high), first, second), None

        return jax.lax.scan(one, (X, first, second), (rates, start + jnp.arange(1, CHUNK + 1, dtype=X.dtype)))[0]

    rng = np.random.default_rng(seed)

    def begun() -> Any:
        X = jnp.asarray(rng.standard_normal(given.X.shape), kind)
        return X, jnp.zeros_like(X), jnp.zeros_like(X)

    last = jax.jit(distance)
    state = begun()
    for _ in range(2):  # the first call compiles
        before = seconds()
        jax.block_until_ready(steps(*state, WEIGHTS[0], jnp.full(CHUNK, STEP, kind), 0.0))
        took = (before - seconds()) / CHUNK
    last(state[0]).block_until_ready()
    affordable = int(0.97 * seconds() / max(took, 1e-7))
    restarts = min(max(affordable // LEAST, 1), len(WEIGHTS))
    total = max(min(affordable // restarts, MOST) // CHUNK * CHUNK, CHUNK)
    best, done = (np.inf, np.asarray(state[0])), 0
    for weight in WEIGHTS[:restarts]:
        state = begun()
        for t in range(0, total, CHUNK):
            passed = (t + np.arange(CHUNK)) / total
            rates = STEP * 0.1 ** sum((passed >= at).astype(float) for at in DECAY)
            state = jax.block_until_ready(steps(*state, weight, jnp.asarray(rates, kind), float(t)))
            done += CHUNK
            if seconds() <= 0:
                break
        best = min(best, (float(last(state[0])), np.asarray(state[0])), key=lambda answer: answer[0])
        if seconds() <= 0:
            break
    numbers = {"iterations": done, "restarts": restarts, "planned for each": total, "distance": best[0]}
    return best[1].astype(float) * deviation + mean, numbers


class _Late(Exception):
    """The time is over."""


def euclidean(given: Any, data: str, *, seed: int, seconds: Callable[[], float]) -> tuple[np.ndarray, dict[str, Any]]:
    """Images, and how many iterations and starts there were."""
    with jax.enable_x64(True):
        mean, deviation = UNITS[data]
        gradient, target = _gradient(given.system.network, given.y, np.float64), _targets(given.system, np.float64)

        def loss(X: Any) -> Any:
            own = gradient(X.reshape(given.X.shape) * deviation + mean)
            return sum(jnp.sum((t - g) ** 2) for t, g in zip(target, own, strict=True))

        evaluate, rng = jax.jit(jax.value_and_grad(loss)), np.random.default_rng(seed)
        best: tuple[float, np.ndarray] = (np.inf, np.zeros(given.X.size))
        unit = sum(float(jnp.sum(t * t)) for t in target)
        iterations = starts = 0

        def scaled(x: np.ndarray) -> tuple[float, np.ndarray]:  # in units of the target, for the tolerances of the optimiser
            nonlocal best
            if seconds() <= 0:
                raise _Late
            value, slope = evaluate(jnp.asarray(x))
            if float(value) < best[0]:
                best = float(value), x.copy()
            return float(value) / unit, np.asarray(slope, float) / unit

        try:
            while seconds() > 0 and best[0] > 1e-24 * unit:
                starts += 1
                options = {"maxiter": DLG_MOST, "maxfun": 10**9, "maxcor": 100, "ftol": 0.0, "gtol": 0.0}
                result = scipy.optimize.minimize(scaled, rng.standard_normal(given.X.size), jac=True, method="L-BFGS-B", options=options)
                iterations += int(result.nit)
        except _Late:
            pass
        return best[1].reshape(given.X.shape) * deviation + mean, {"iterations": iterations, "starts": starts, "loss": best[0] / unit}

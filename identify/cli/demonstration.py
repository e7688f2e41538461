"""The demonstration: real digits from the weights of one network, and from one gradient of another.

Act 1 constructs a network that is an exact KKT point of the max-margin problem for a handful of digits, and gets them
back from its weights alone. Act 2 takes one gradient of the logistic loss on twenty digits, as a training step would
leak it. Both use scikit-learn's bundled 8x8 digits, and only public functions of the package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from identify.base.errors import InputError
from identify.base.extras import needed
from identify.base.files import together
from identify.checkpoints.problems import problem_arrays
from identify.conditions.check import check
from identify.planting.kkt_points import max_margin_point
from identify.problem.activation import Activation
from identify.problem.network import TwoLayerNetwork
from identify.problem.system import KKTSystem
from identify.problem.verdict import Report, Verdict
from identify.recovery.recover import recover
from identify.recovery.solution import Recovery, RecoveryError
from identify.report.html import Cell, Picture, Section, write_sections
from identify.report.plots import compare, family, image_shape

IMAGE = (8, 8)
FIRST_SAMPLES = 5
SUBSETS = 2000
"""Number of random subsets of digits; act 1 takes the least correlated one."""

Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Act:
    """One act: the given numbers, the verdict, and the recovered data (None, with a reason, if recovery failed)."""

    title: str
    lead: str
    system: KKTSystem
    report: Report
    X: Float[np.ndarray, "n d"]
    c: Float[np.ndarray, " n"]
    found: Recovery | None
    failure: str | None = None
    mean: Float[np.ndarray, " d"] | float = 0.0
    sizes: Float[np.ndarray, " n"] | float = 1.0
    """For display: the pixels are ``sizes[i] * x_i + mean``."""

    @property
    def errors(self) -> Float[np.ndarray, " n"] | None:
        """Relative error of each image, modulo the ambiguity."""
        return None if self.found is None else self.found.match(self.X, self.c).errors

    def pixels(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Samples as the images they were made from."""
        return np.reshape(self.sizes, (-1, 1)) * X + self.mean

    def pictures(self) -> tuple[Picture, ...]:
        """Original beside recovered images, or the family of data sets that share the target."""
        shape = image_shape(self.X.shape[1])
        if self.found is not None:
            match = self.found.match(self.X, self.c)
            png = compare(self.pixels(self.X), self.pixels(match.X), errors=match.errors, shape=shape)
            caption = f"Original (above) and recovered (below), with the relative error of each; the worst is {match.errors.max():.1e}."
            if self.found.ambiguity.flips_multiplier:
                caption += " The sign of each image is not determined; it is shown as in the original."
            return (Picture("The images", png, f"{len(self.X)} digit images above their recovered copies", caption),)
        witness = self.report.witness
        if witness is not None and witness.family is not None:
            steps = (0.0, 0.04, 0.08, 0.12)
            frames = [self.pixels(witness.family(s)[0])[:8] for s in steps]
            png = family(frames, [f"s = {s:g}" for s in steps], shape=shape)
            caption = (
                "Four different data sets (columns), each with multipliers of its own, that give exactly the same target: the "
                f"{witness.kind} family. The first 8 samples of each are shown."
            )
            return (Picture("Data sets with the same target", png, "digit images that change along a family", caption),)
        return ()


def load_digit_images() -> tuple[Float[np.ndarray, "1797 64"], Float[np.ndarray, " 1797"], Float[np.ndarray, " 64"]]:
    """scikit-learn's digits in [0, 1] minus their mean image, labels +1 (odd) and -1 (even), and the mean image."""
    needed("sklearn", "the demonstration")
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.data / 16
    mean = images.mean(axis=0)
    return images - mean, np.where(digits.target % 2, 1.0, -1.0), mean


def weights_alone(*, samples: int = FIRST_SAMPLES, seed: int = 0, progress: Progress = lambda step: None) -> Act:
    """Act 1: digits from the weights of an exact KKT point of the max-margin problem, sigma = z^3."""
    images, labels, mean = load_digit_images()
    rng = np.random.default_rng(seed)
    progress("choosing digits")
    norms = np.linalg.norm(images, axis=1)
    images = images / norms[:, None]
    draws = [rng.choice(len(images), samples, replace=False) for _ in range(SUBSETS)]
    mixed = [rows for rows in draws if abs(labels[rows].sum()) < samples]
    chosen = min(mixed, key=lambda rows: np.abs(images[rows] @ images[rows].T - np.eye(samples)).max())
    progress("constructing the KKT point")
    point = max_margin_point(images[chosen], labels[chosen], Activation.parse("z^3"))
    system = KKTSystem.max_margin(point.network, labels=point.labels)
    found = recover(system, samples=samples, seed=seed, progress=progress)
    progress("deciding uniqueness exactly")
    report = check(system, data=(found.X, found.c), seed=seed)
    lead = (
        f"A network {point.network.n_inputs}-{point.network.width}-1 with sigma = z^3 at an exact KKT point of the max-margin "
        f"problem on {samples} digits of unit norm (constructed, not found by gradient descent). Given: its weights and the "
        "labels, nothing else. The verdict is about the network and the data that were recovered from it."
    )
    return Act("Act 1: weights alone", lead, system, report, point.X, point.c, found, mean=mean, sizes=norms[chosen])


def one_gradient(
    *,
    samples: int = 20,
    width: int = 150,
    activation: str = "z + z^2/2 + z^3",
    dtype: str = "float32",
    seed: int = 0,
    progress: Progress = lambda step: None,
) -> Act:
    """Act 2: digits from one gradient of the mean logistic loss, computed by JAX in the given precision."""
    images, labels, mean = load_digit_images()
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(images), samples, replace=False)
    X, y = images[rows].astype(dtype).astype(float), labels[rows]
    d = X.shape[1]
    W = (rng.standard_normal((width, d)) / np.sqrt(d)).astype(dtype).astype(float)
    a = (rng.standard_normal(width) / np.sqrt(width)).astype(dtype).astype(float)
    net = TwoLayerNetwork(W, a, Activation.parse(activation))
    progress("one training step")
    gradient_W, gradient_a = logistic_gradient(net, X, y, dtype)
    system = KKTSystem.gradient(net, W=-gradient_W, a=-gradient_a)
    c = y / (1 + np.exp(y * net(X))) / samples
    progress("deciding uniqueness exactly")
    report = check(system, samples=samples, seed=seed)
    if report.verdict is Verdict.NOT_UNIQUE:
        report = check(system, data=(X, c), seed=seed)
    found, failure = None, None
    try:
        found = recover(system, samples=samples, seed=seed, progress=progress)
    except RecoveryError as error:
        failure = str(error)
    lead = (
        f"A random network {d}-{width}-1 with sigma = {net.activation}, and one {dtype} gradient of the mean logistic loss on {samples} "
        "digits. Given: the network, the gradient, and the number of digits."
    )
    return Act("Act 2: one gradient", lead, system, report, X, c, found, failure, mean=mean)


def logistic_gradient(net: TwoLayerNetwork, X: Float[np.ndarray, "n d"], y: Float[np.ndarray, " n"], dtype: str):
    """Gradient of the mean logistic loss in W and a, by JAX's automatic differentiation in the given precision."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(dtype == "float64"):

        def loss(W, a):
            outputs = net.activation(jnp.asarray(X, dtype) @ W.T) @ a
            return jnp.mean(jax.nn.softplus(-jnp.asarray(y, dtype) * outputs))

        gradients = jax.grad(loss, argnums=(0, 1))(jnp.asarray(net.W, dtype), jnp.asarray(net.a, dtype))
        return tuple(np.asarray(part, dtype=np.float64) for part in gradients)


def write(acts: list[Act], folder: str | Path) -> list[Path]:
    """Write ``report.html``, a PNG for every picture and the problem file of every act into ``folder``."""
    folder = Path(folder)
    try:
        with together(folder) as staged:
            return [folder / path.name for path in _written(acts, staged)]
    except OSError as error:
        raise InputError(f"out: {folder} cannot be written ({error.strerror}); choose another folder with --out") from None


def _written(acts: list[Act], folder: Path) -> list[Path]:
    sections, written = [], []
    for act in acts:
        pictures = act.pictures()
        table: tuple[tuple[Cell, ...], ...] = ()
        if act.found is not None and act.errors is not None:
            table = (
                ("samples recovered", "worst relative error", "median", "largest error bar", "residual"),
                (len(act.X), act.errors.max(), np.median(act.errors), act.found.error_bars.max(), act.found.residual),
            )
        lead = act.lead if act.failure is None else f"{act.lead} Not recovered: {act.failure}."
        sections.append(Section(act.title, lead, act.report, pictures, table))
        stem = act.title.split(":")[0].lower().replace(" ", "")
        for picture in pictures:
            written.append(folder / f"{stem}.png")
            written[-1].write_bytes(picture.png)
        written.append(folder / f"{stem}.npz")
        with written[-1].open("wb") as file:
            np.savez(file, **problem_arrays(act.system, act.X, act.c))
    title = "Digits from weights, digits from a gradient"
    lead = "A network's parameters and gradients reveal its training data: the verdict, its proof, and the recovered images."
    return [write_sections(folder / "report.html", sections, title=title, lead=lead), *written]

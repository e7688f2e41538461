"""The three published attacks: max-margin (Haim), multiclass and weight decay (Buzaglo), neural tangent kernel (Loo)."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from identify.attacks.descent import adam, momentum
from identify.attacks.objectives import Attack, Prior, objective
from identify.attacks.priors import Box, HighFrequency, Sparse, Sum, no_penalty
from identify.attacks.smoothing import sigmoid_relu, smoothed, softplus_relu
from identify.base.errors import InputError
from identify.base.options import choice, number, positive
from identify.problem.arrays import ShapeError
from identify.problem.network import Network, check_network, check_same_architecture

HINGE = 5.0
"""Weight of the penalty on multipliers below their bound."""
MOMENTUM = 0.9

HAIM_RANGES = {"start_scale": (1e-6, 0.1), "rate": (1e-5, 1.0), "bound": (0.01, 0.5), "sharpness": (10.0, 500.0)}
"""Ranges over which Haim et al. searched: ``start_scale`` and ``rate`` on a logarithmic scale, the others uniformly."""
KINDS = ("multiclass", "weight-decay")
ABOVE_ZERO = ("rate", "multiplier_rate", "sharpness")


def haim(
    network: Network,
    *,
    start_scale: float = 4.47e-3,
    rate: float = 0.346,
    multiplier_rate: float = 1e-4,
    bound: float = 0.494,
    sharpness: float = 21.7,
    steps: int = 50_000,
    prior: Prior | None = None,
) -> Attack:
    r"""Binary classification without weight decay (Haim et al. 2022): :math:`\theta = \tfrac1M \sum_j \lambda_j y_j \nabla f(x_j)`.

    The first half of the candidates has label -1, the second +1. Multipliers below ``bound`` are penalised; it stands for the scale
    of the parameters, which training leaves free.

    Parameters
    ----------
    network
        One output, and one activation for all hidden layers. Kinks are smoothed in the backward pass only; smooth activations are
        taken as they are.
    start_scale
        Standard deviation of the first candidates (units of the inputs), which are taken to lie in [-1, 1].
    rate, multiplier_rate
        Learning rates, with momentum 0.9.
    bound, sharpness
        Smallest multiplier; slope of the smoothed step at zero (both positive, dimensionless).
    prior
        Replaces the box [-1, 1].

    Raises
    ------
    ShapeError
        For a network with several outputs.
    """
    check_network("network", network)
    if network.n_outputs != 1:
        raise ShapeError(f"network: has {network.n_outputs} outputs, expected one; attacks.buzaglo is for several classes")
    settings = {"start_scale": start_scale, "rate": rate, "multiplier_rate": multiplier_rate, "bound": bound, "sharpness": sharpness}
    check_settings(settings)
    return Attack(
        "haim",
        lambda k: objective(
            (network.parameters,),
            None,
            np.where(np.arange(k) < k // 2, -1.0, 1.0),
            scalars=_signed,
            prior=Box() if prior is None else prior,
            penalty=_hinge,
            bound=bound,
            nonlinearity=smoothed(network.activation, sigmoid_relu),
            sharpness=sharpness,
        ),
        lambda rng, k: (start_scale * rng.standard_normal((k, network.n_inputs)), rng.uniform(0, 1, (k, 1))),
        momentum({"X": rate, "c": multiplier_rate}, MOMENTUM),
        steps,
        settings=settings,
    )


def buzaglo(
    network: Network,
    *,
    kind: str,
    start_scale: float = 0.0137,
    rate: float = 0.872,
    multiplier_rate: float = 1e-4,
    bound: float = 0.2,
    sharpness: float = 107.4,
    steps: int = 50_000,
    prior: Prior | None = None,
) -> Attack:
    r"""Several classes, and any loss with weight decay (Buzaglo et al. 2023).

    Parameters
    ----------
    kind
        ``"multiclass"``: gradients of the margin :math:`f_y - \max_{c \ne y} f_c`, labels in equal numbers, multipliers of at least
        ``bound``. ``"weight-decay"``: gradients of all outputs, multipliers of any sign and no labels; for one output this is the
        published objective for regression, for several it is the exact stationarity of cross-entropy with weight decay.
    network, start_scale, rate, multiplier_rate, bound, sharpness, steps, prior
        As for :func:`haim`.

    Raises
    ------
    ValueError
        For another kind, or one class.
    """
    check_network("network", network)
    choice("kind", kind, KINDS)
    C = network.n_outputs
    multiclass = kind == "multiclass"
    if multiclass and C == 1:
        raise InputError("kind: 'multiclass' needs several outputs, the network has one; attacks.haim is for two classes")
    settings = {"kind": kind, "start_scale": start_scale, "rate": rate, "multiplier_rate": multiplier_rate, "sharpness": sharpness}
    check_settings(settings | {"bound": bound})

    def start(rng: np.random.Generator, k: int) -> tuple[np.ndarray, np.ndarray]:
        c = rng.uniform(0, 1, (k, 1)) if multiclass else rng.standard_normal((k, C))
        return start_scale * rng.standard_normal((k, network.n_inputs)), c

    return Attack(
        f"buzaglo, {kind}",
        lambda k: objective(
            (network.parameters,),
            None,
            np.arange(k) * C // k if multiclass else np.zeros(k),
            scalars=_margin if multiclass else _outputs,
            prior=Box() if prior is None else prior,
            penalty=_hinge if multiclass else no_penalty,
            bound=bound,
            nonlinearity=smoothed(network.activation, sigmoid_relu),
            sharpness=sharpness,
        ),
        start,
        momentum({"X": rate, "c": multiplier_rate}, MOMENTUM),
        steps,
        settings=settings | ({"bound": bound} if multiclass else {}),
    )


def loo(
    initial: Network,
    final: Network,
    *,
    linearised: bool = False,
    both_kernels: bool = False,
    mean_kernel: bool = False,
    low: ArrayLike = -1.0,
    high: ArrayLike = 1.0,
    image: tuple[int, ...] | None = None,
    high_frequency: float = 0.0,
    sparsity: float = 0.0,
    rate: float = 0.02,
    steps: int = 80_000,
    prior: Prior | None = None,
) -> Attack:
    r"""Change of the parameters in lazy training (Loo et al. 2024).

    :math:`\theta_T - \theta_0 = \tfrac1{MC} \sum_j \alpha_j \cdot \nabla f(x_j)`. Multipliers have any sign, one for each output; labels
    are not used. The ReLU of a kink becomes softplus(βz)/β with a β that grows from 11 to 200 over 45,600 steps.

    Parameters
    ----------
    linearised
        Gradients at the initial parameters, exact for training of the linearised network; otherwise at the final ones.
    both_kernels
        A second set of multipliers for gradients at the initial parameters.
    mean_kernel
        One set of multipliers, for the mean of the gradients at the initial and the final parameters; not with the two above.
    low, high
        Range of the inputs, for the prior 0.1 · squared distance / number of inputs (one number, or one for each input).
    image, high_frequency
        Shape of the inputs as images, (height, width) or (height, width, channels), and the weight of the published penalty on what a
        blur removes (at least 0, dimensionless).
    sparsity
        Weight of the mean size of the multipliers (at least 0, dimensionless).
    rate
        Learning rate of Adam.
    prior
        Replaces the prior on the range, and ``high_frequency``.

    Raises
    ------
    ShapeError
        If the networks do not have the same layers and activations, or ``image`` is not a shape of their inputs.
    ValueError
        For weights below zero, or ``high_frequency`` without ``image``.
    """
    check_same_architecture(initial, final)
    names, C, d = initial.parameters, initial.n_outputs, initial.n_inputs
    change = {name: final.parameters[name] - initial.parameters[name] for name in names}
    check_settings({"high_frequency": high_frequency, "sparsity": sparsity, "rate": rate})
    if high_frequency and image is None:
        raise InputError("image: received None, expected (height, width) or (height, width, channels), which high_frequency needs")
    if image is not None and (len(image) not in (2, 3) or prod(image) != d):
        raise ShapeError(f"image: received {image}, expected (height, width) or (height, width, channels) with the product {d}")
    if prior is None:
        prior = Box(low, high, 0.1 / d)
        if image is not None and high_frequency:
            prior = Sum((prior, HighFrequency(tuple(image), 0.0015 * high_frequency / d)))
    if mean_kernel and (both_kernels or linearised):
        raise InputError("mean_kernel: received True beside linearised or both_kernels; expected one of the three")
    first = initial if linearised else final
    at = (first.parameters, initial.parameters) if both_kernels or mean_kernel else (first.parameters,)
    return Attack(
        "loo",
        lambda k: objective(
            at,
            change,
            np.zeros(k),
            scalars=_outputs,
            prior=prior,
            penalty=Sparse(sparsity / (k * C)) if sparsity else no_penalty,
            outputs=C,
            nonlinearity=smoothed(initial.activation, softplus_relu),
            sharpness=11.0,
            shared=mean_kernel,
        ),
        lambda rng, k: (0.2 * rng.standard_normal((k, d)), rng.uniform(-0.5, 0.5, (k, C if mean_kernel else C * len(at)))),
        adam(rate),
        steps,
        sharpness=_growing,
        settings={"rate": rate, "linearised": linearised, "both_kernels": both_kernels}
        | ({"mean_kernel": True} if mean_kernel else {})
        | {"high_frequency": high_frequency, "sparsity": sparsity},
    )


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise InputError for a setting that is not a number of at least 0; rates and the sharpness are above 0."""
    for name, value in settings.items():
        if name in ABOVE_ZERO:
            positive(name, value)
        elif name != "kind":
            number(name, value)


def _growing(step: Array) -> Array:
    """The sharpness of softplus that Loo et al. use: 11 at first, 200 after 45,600 steps."""
    return jnp.minimum(10.0 + 10.0 ** (step / 20_000), 200.0)


def _hinge(c: Float[Array, "k 1"], bounds: Float[Array, " k"]) -> Float[Array, " k"]:
    return HINGE * (jnp.maximum(bounds[:, None] - c, 0) ** 2).sum(axis=1)


def _signed(outputs: Float[Array, "k 1"], labels: Float[Array, " k"]) -> Float[Array, "k 1"]:
    return labels[:, None] * outputs


def _outputs(outputs: Float[Array, "k C"], labels: Array) -> Float[Array, "k C"]:
    return outputs


def _margin(outputs: Float[Array, "k C"], labels: Float[Array, " k"]) -> Float[Array, "k 1"]:
    own = labels[:, None] == jnp.arange(outputs.shape[1])
    return (jnp.where(own, outputs, 0.0).sum(axis=1) - jnp.where(own, -jnp.inf, outputs).max(axis=1))[:, None]

"""Multilayer perceptrons for the attacks: any depth, ReLU or polynomial, with smoothed activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from identify.problem.activation import Activation, horner
from identify.problem.network import ShapeError, TwoLayerNetwork, finite_array

Parameters = dict[str, Array]
"""``W1``, ``b1``, ``W2``, ...: weights (out, in) and biases (out,) by layer; a bias that is absent is zero and not trained."""
Nonlinearity = Callable[[Array], Array]

RELU = "relu"


@jax.custom_jvp
def sigmoid_relu(z: Array, sharpness: Array) -> Array:
    """ReLU with the derivative sigmoid(sharpness · z), which gives it curvature (Haim et al. 2022); sharpness > 0, dimensionless."""
    return jnp.maximum(z, 0.0)


@sigmoid_relu.defjvp
def _(primals, tangents):
    z, sharpness = primals
    # the value again through sigmoid_relu: with jnp.maximum here, outer derivatives would be those of the hard ReLU
    return sigmoid_relu(z, sharpness), jax.nn.sigmoid(sharpness * z) * tangents[0]


def softplus_relu(z: Array, sharpness: Array) -> Array:
    """softplus(sharpness · z) / sharpness, which smooths the values too (Loo et al. 2024)."""
    return jax.nn.softplus(sharpness * z) / sharpness


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Polynomial:
    """A polynomial activation, compared by value, or a pytree of its coefficients; the sharpness of a smoothing is not used."""

    coefficients: tuple[float, ...]

    def __call__(self, z: Array, sharpness: Array | None = None) -> Array:
        return horner(self.coefficients, z)


@dataclass(frozen=True, eq=False)
class MLP:
    """f(x) = W_L s(... s(W_1 x + b_1) ...) with one activation s, and C outputs.

    Parameters
    ----------
    parameters
        ``W1`` (h_1, d), ``W2`` (h_2, h_1), ..., ``WL`` (C, h); ``b1`` (h_1,), ... if there are biases. A last layer of shape (h,)
        is one output.
    activation
        ``"relu"``, or a polynomial.

    Raises
    ------
    ShapeError
        For layers that do not fit together, fewer than two of them, or unknown names.
    """

    parameters: dict[str, np.ndarray]
    activation: Activation | str = RELU

    def __post_init__(self) -> None:
        if isinstance(self.activation, str) and self.activation != RELU:
            object.__setattr__(self, "activation", Activation.parse(self.activation))
        object.__setattr__(self, "parameters", _checked(self.parameters))

    @classmethod
    def of(cls, network: TwoLayerNetwork) -> MLP:
        """A two-layer polynomial network."""
        parts = {"W1": network.W, "W2": network.A}
        return cls(parts | ({"b1": network.offsets} if network.has_bias else {}), network.activation)

    @property
    def depth(self) -> int:
        """Number of layers of weights."""
        return sum(name.startswith("W") for name in self.parameters)

    @property
    def n_inputs(self) -> int:
        return self.parameters["W1"].shape[1]

    @property
    def n_outputs(self) -> int:
        return len(self.parameters[f"W{self.depth}"])

    def with_parameters(self, parameters: Mapping[str, np.ndarray]) -> MLP:
        """The same architecture with other numbers."""
        return MLP(dict(parameters), self.activation)

    def nonlinearity(self) -> Nonlinearity:
        """The activation itself, in JAX."""
        return jax.nn.relu if isinstance(self.activation, str) else Polynomial(self.activation.floats())

    def __call__(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n C"]:
        """Outputs, in double precision. Cost O(n · number of weights)."""
        with jax.enable_x64(True):
            return np.asarray(forward({k: jnp.asarray(v) for k, v in self.parameters.items()}, jnp.asarray(X), self.nonlinearity())[0])

    def __repr__(self) -> str:
        sizes = [self.n_inputs, *(len(self.parameters[f"W{k}"]) for k in range(1, self.depth + 1))]
        return f"MLP({'-'.join(map(str, sizes))}, {self.activation})"


def forward(
    parameters: Parameters, X: Array, nonlinearity: Nonlinearity, moves: Sequence[Array] | None = None
) -> tuple[Array, list[Array], list[Array]]:
    """Outputs (n, C), the inputs of each layer, and their products with the weights.

    ``moves`` are added to the pre-activations of each layer, to differentiate by.
    """
    depth = sum(name.startswith("W") for name in parameters)
    entering, products = [], []
    for k in range(1, depth + 1):
        entering.append(X)
        products.append(X @ parameters[f"W{k}"].T)
        X = products[-1] + parameters.get(f"b{k}", 0.0)
        if moves is not None:
            X = X + moves[k - 1]
        if k < depth:
            X = nonlinearity(X)
    return X, entering, products


def _checked(parameters: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    depth = sum(name.startswith("W") for name in parameters)
    known = {f"{letter}{k}" for k in range(1, depth + 1) for letter in "Wb"}
    if depth < 2 or not {f"W{k}" for k in range(1, depth + 1)} <= set(parameters) <= known:
        raise ShapeError(
            f"parameters: received {', '.join(parameters) or 'none'}; expected W1, W2, ... (two or more), and b1, b2, ... for biases"
        )
    found, inputs = {}, None
    for k in range(1, depth + 1):
        weights = np.asarray(parameters[f"W{k}"])
        weights = weights[None] if k == depth and weights.ndim == 1 else weights
        found[f"W{k}"] = finite_array(f"W{k}", weights, (None, inputs), "one row for each neuron, one column for each input")
        inputs = len(weights)
        if f"b{k}" in parameters:
            found[f"b{k}"] = finite_array(f"b{k}", parameters[f"b{k}"], (inputs,), "one number for each neuron")
    return found

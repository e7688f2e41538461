"""Networks: the weights whose gradients are observed, of any depth.

:class:`Network` is a multilayer perceptron :math:`f(x) = W_L \\sigma(\\dots\\sigma(W_1 x + b_1)\\dots) + b_L`; :class:`TwoLayerNetwork` is
its case of two layers without an output bias, in the notation of the theorems about polynomial activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.problem.activation import Activation, ActivationError, as_activation
from identify.problem.arrays import ShapeError, dimensions, finite_array
from identify.problem.directions import distinct_directions
from identify.problem.refusals import Unsupported, refusal
from identify.problem.signals import Forward, backward, forward, updates_from
from identify.problem.spellings import coefficients_of


class Layer(NamedTuple):
    """One layer of weights, and the activation after it (None: the last layer)."""

    weights: Float[np.ndarray, "out in"]
    bias: Float[np.ndarray, " out"] | None
    activation: Activation | None


_OF_TWO_LAYERS = ("W", "a", "bias")


class Network:
    r"""A multilayer perceptron :math:`f(x) = W_L\, \sigma_{L-1}(\dots \sigma_1(W_1 x + b_1) \dots) + b_L` with C outputs, :math:`L \ge 2`.

    Parameters
    ----------
    weights
        :math:`W_1, \dots, W_L`, each (out, in), dimensionless. A last layer of shape (in,) is one output.
    biases
        :math:`b_1, \dots, b_L`, each (out,), or None for a layer without; None for a network without any.
    activation
        An :class:`Activation`, its text, its coefficients, or a polynomial of NumPy or SymPy, for all hidden layers; or a sequence with
        one for each.

    Raises
    ------
    ShapeError
        For fewer than two layers, layers that do not fit together, a size of zero, or values that are not finite.
    ActivationError
        For an activation that cannot be read, or another number of them than of hidden layers.

    Examples
    --------
    >>> net = Network([np.eye(2), np.ones((3, 2)), np.ones((1, 3))], biases=[None, [0, 0, 1], None], activation="relu")
    >>> net
    Network(2-2-3-1, relu, biases in layer 2)
    >>> net([[1.0, -2.0]])
    array([[4.]])
    """

    weights: tuple[Float[np.ndarray, "out in"], ...]
    biases: tuple[Float[np.ndarray, " out"] | None, ...]
    activations: tuple[Activation, ...]
    """One for each hidden layer."""

    W: Float[np.ndarray, "m d"]
    a: Float[np.ndarray, " m"] | Float[np.ndarray, "C m"]
    bias: Float[np.ndarray, " m"] | None
    activation: Activation

    def __init__(
        self,
        weights: Sequence[Any],
        *,
        biases: Sequence[Any] | None = None,
        activation: Any,
    ):
        if isinstance(weights, (np.ndarray, Mapping)) or not isinstance(weights, Sequence) or len(weights) < 2:
            received = f"{len(weights)} layers" if isinstance(weights, Sequence) else type(weights).__name__
            raise ShapeError(f"weights: received {received}, expected a list of two or more matrices (out, in)")
        depth = len(weights)
        given = [None] * depth if biases is None else list(biases)
        if len(given) != depth:
            raise ShapeError(f"biases: received {len(given)}, expected one for each of the {depth} layers, None for a layer without one")
        matrices: list[np.ndarray] = []
        vectors: list[np.ndarray | None] = []
        for k, (W, b) in enumerate(zip(weights, given, strict=True), 1):
            inputs = len(matrices[-1]) if matrices else None
            matrix = np.reshape(W, (1, -1)) if k == depth and dimensions(W) == 1 and np.size(W) else W
            matrices.append(finite_array(f"W{k}", matrix, (None, inputs), "one row for each neuron, one column for each input"))
            size = len(matrices[-1])
            vectors.append(None if b is None else finite_array(f"b{k}", b, (size,), "one number for each neuron"))
        if isinstance(activation, (str, Activation)):
            kinds = [as_activation(activation)] * (depth - 1)
        elif isinstance(activation, Sequence) and coefficients_of(activation) is None:
            kinds = [as_activation(value) for value in activation]
        else:
            kinds = [as_activation(activation)] * (depth - 1)
        if len(kinds) != depth - 1:
            raise ActivationError(f"activation: received {len(kinds)}, expected one, or one for each of the {depth - 1} hidden layers")
        self._set(tuple(matrices), tuple(vectors), tuple(kinds))
        if len(set(kinds)) == 1:
            object.__setattr__(self, "activation", kinds[0])

    def _set(self, weights: tuple[Any, ...], biases: tuple[Any, ...], activations: tuple[Activation, ...]) -> None:
        for name, value in (("weights", weights), ("biases", biases), ("activations", activations)):
            object.__setattr__(self, name, value)

    @classmethod
    def of(
        cls,
        model: Any,
        *,
        activation: Activation | str | Sequence[Activation | str] | None = None,
        stack: str | Sequence[str] | None = None,
    ) -> Network:
        """The network that a model of a framework is, or that arrays by name are.

        Parameters
        ----------
        model
            A ``torch.nn.Sequential`` of dense layers and activations; a ``Sequential`` of Flax NNX or Equinox, an ``equinox.nn.MLP``; any
            other module of these frameworks with ``stack``; a mapping of arrays by name, such as ``{"W1": ..., "b1": ...}``, a
            ``state_dict``, or the parameters of a Flax linen module; or a :class:`Network`, which is returned.
        activation
            As in the constructor. For a mapping, which does not say it, and for a stack in which activations are functions.
        stack
            The dense layers in the order in which they act, which a module does not say and the caller must know: the name of a part that
            lists them (``"body"``, ``"encoder.layers"``), or the names of all parts (``["fc1", "fc2"]``). Other parts of the
            model do not count: the samples are the inputs of the first of these layers.

        Raises
        ------
        ShapeError, ActivationError
            For a part that cannot be read, which the message names.

        Notes
        -----
        A framework is imported only when the model is one of its objects. If the names of arrays do not tell the order of the layers, their
        shapes must. ``np.allclose(net(X), model(X))`` checks what was read.

        Examples
        --------
        >>> Network.of({"W1": np.eye(2), "b1": [0, 1], "W2": [[1, 1]]}, activation="gelu")
        Network(2-2-1, gelu, biases in layer 1)
        """
        from identify.problem.models import network_of

        return network_of(model, activation, stack)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Weights, bias and activation of each layer, from the inputs to the outputs."""
        return tuple(Layer(*parts) for parts in zip(self.weights, self.biases, (*self.activations, None), strict=True))

    @property
    def depth(self) -> int:
        """L, the number of layers of weights."""
        return len(self.weights)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of inputs, of neurons of each hidden layer, and of outputs."""
        return (self.weights[0].shape[1], *map(len, self.weights))

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of neurons of the hidden layers."""
        return self.sizes[1:-1]

    @property
    def n_inputs(self) -> int:
        """d."""
        return self.weights[0].shape[1]

    @property
    def n_outputs(self) -> int:
        """C."""
        return len(self.weights[-1])

    @property
    def parameters(self) -> dict[str, Float[np.ndarray, "..."]]:
        """Weights and biases by name: ``W1``, ``b1``, ``W2``, ...; layers without a bias have none here."""
        named: dict[str, np.ndarray] = {}
        for k, (W, b) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            named |= {f"W{k}": W} if b is None else {f"W{k}": W, f"b{k}": b}
        return named

    def with_parameters(self, parameters: Mapping[str, Any]) -> Network:
        """A network with these weights and biases, by name as in :attr:`parameters`, and the same activations."""
        return from_parameters(parameters, self.activations)

    def outputs(self, X: ArrayLike) -> Float[np.ndarray, "n C"]:
        """Outputs in double precision. Cost O(n · number of weights)."""
        return self.forward(X).outputs

    def __call__(self, X: ArrayLike) -> np.ndarray:
        """Outputs at each sample, (n, C)."""
        return self.outputs(X)

    def forward(self, X: ArrayLike) -> Forward:
        """The inputs of each layer and their products with its weights, at each sample; see :mod:`identify.problem.signals`."""
        X = finite_array("X", X, (None, self.n_inputs), "samples, one per row")
        return forward(self.weights, self.biases, self.activations, X)

    def signals(self, X: ArrayLike, c: ArrayLike) -> list[Float[np.ndarray, "n out"]]:
        """:math:`u_i^l` for each layer l: the derivatives of :math:`\\sum_o c_{io} f_o(x_i)` by the pre-activations.

        ``c`` is (n,) for one output, or (n, C).
        """
        passed = self.forward(X)
        return backward(self.weights, self.activations, passed.before, self._multipliers("c", c, len(passed.outputs)))

    def _multipliers(self, name: str, value: ArrayLike, samples: int) -> Float[np.ndarray, "n C"]:
        shape = (samples,) if self.n_outputs == 1 and dimensions(value) == 1 else (samples, self.n_outputs)
        return finite_array(name, value, shape, "signed multipliers, one row per sample").reshape(samples, -1)

    def update(self, X: ArrayLike, gamma: ArrayLike) -> dict[int, tuple[Float[np.ndarray, "out in"], Float[np.ndarray, " out"] | None]]:
        r"""The update that samples cause, minus the gradient of a loss: of layer l :math:`\sum_i u_i^l\,(h_i^{l-1}, 1)^\top`.

        Parameters
        ----------
        X
            Samples, (n, d).
        gamma
            Signed multipliers, (n,) for one output or (n, C): *minus* the derivatives of the loss by the outputs at each sample. For the
            mean cross-entropy: ``(onehot(y) - softmax(net(X))) / n``.

        Returns
        -------
        dict
            By the number of the layer, from 1: weights, and bias if the layer has one (else None). It is what
            ``KKTSystem.gradient(net, layers=...)`` takes, whole or in part. Cost O(n · number of weights).

        Raises
        ------
        ShapeError
            For other shapes, or values that are not finite.

        Examples
        --------
        >>> net = Network([[[1.0, 2.0]], [[3.0]]], activation="z^2")
        >>> net.update([[1.0, 1.0]], [2.0])
        {1: (array([[36., 36.]]), None), 2: (array([[18.]]), None)}
        """
        passed = self.forward(X)
        c = self._multipliers("gamma", gamma, len(passed.outputs))
        updates = updates_from(passed.entering, backward(self.weights, self.activations, passed.before, c))
        return {k: (W, None if b is None else u) for k, ((W, u), b) in enumerate(zip(updates, self.biases, strict=True), 1)}

    @property
    def has_output_bias(self) -> bool:
        return self.biases[-1] is not None

    @property
    def width(self) -> int:
        """m, the number of neurons of a network with one hidden layer."""
        return len(self._first_layer("width"))

    @property
    def has_bias(self) -> bool:
        """Whether the first of two layers has a bias."""
        self._first_layer("has_bias")
        return self.biases[0] is not None

    @property
    def A(self) -> Float[np.ndarray, "C m"]:
        """Second-layer weights of a two-layer network, as a matrix whatever the number of outputs."""
        self._first_layer("A")
        return self.weights[1]

    @property
    def offsets(self) -> Float[np.ndarray, " m"]:
        """First-layer biases of a two-layer network, zero if it has none."""
        W, b = self._first_layer("offsets"), self.biases[0]
        return np.zeros(len(W)) if b is None else b

    def _first_layer(self, asked: str) -> Float[np.ndarray, "m d"]:
        if self.depth != 2:
            raise refusal(asked, Unsupported.DEPTH, self)
        return self.weights[0]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if "weights" not in self.__dict__ or name not in (*_OF_TWO_LAYERS, "activation"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            if name == "activation":
                raise refusal(name, Unsupported.LAYER_KINDS, self)
            W = self._first_layer(name)
            return {"W": W, "a": self.weights[1], "bias": self.biases[0]}[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def distinct_directions(self, tolerance: float = 1e-8) -> int:
        """Effective width: the number of pairwise non-parallel neurons (w_j, beta_j), dead ones left out.

        Two directions count as one when the sine of their angle is below ``tolerance``. Floating point: evidence,
        not a proof. Cost O(m^2 d).
        """
        lifted = self.W if self.bias is None else np.hstack([self.W, self.bias[:, None]])
        return distinct_directions(lifted, np.abs(self.A).max(axis=0) > 0, tolerance)

    def two_layers(self) -> TwoLayerNetwork:
        """The :class:`TwoLayerNetwork` with the same hidden layer; an output bias is left out, which changes no other gradient.

        Raises :class:`UnsupportedError` for a deeper network.
        """
        W = self._first_layer("two_layers")
        a = self.weights[1]
        return TwoLayerNetwork(W, a[0] if len(a) == 1 else a, self.activations[0], self.biases[0])

    def __repr__(self) -> str:
        names = dict.fromkeys(map(str, self.activations if len(set(self.activations)) > 1 else self.activations[:1]))
        with_bias = [str(k) for k, b in enumerate(self.biases, 1) if b is not None]
        if not with_bias:
            biases = "no biases"
        elif len(with_bias) == self.depth:
            biases = "biases"
        else:
            biases = f"biases in layer{'s' if len(with_bias) > 1 else ''} {', '.join(with_bias)}"
        return f"Network({'-'.join(map(str, self.sizes))}, {', '.join(names)}, {biases})"


@dataclass(frozen=True, eq=False, repr=False)
class TwoLayerNetwork(Network):
    r"""The network :math:`f(\theta; x) = \sum_j a_j\, \sigma(w_j \cdot x + \beta_j)`, with C outputs when ``a`` has C rows.

    Parameters
    ----------
    W
        First-layer weights, one neuron per row (dimensionless).
    a
        Second-layer weights: shape ``(m,)`` for one output, ``(C, m)`` for C outputs.
    activation
        An :class:`Activation`, a text for :meth:`Activation.parse`, coefficients, or a polynomial of NumPy or SymPy.
    bias
        First-layer biases, or None for a network without.

    Raises
    ------
    ShapeError
        If shapes do not match, a size is zero, or a value is not finite.

    Examples
    --------
    >>> TwoLayerNetwork([[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]], [1.0, -1.0, 2.0], "z^3")
    TwoLayerNetwork(2-3-1, sigma = z^3, no bias)
    """

    W: Float[np.ndarray, "m d"]
    a: Float[np.ndarray, " m"] | Float[np.ndarray, "C m"]
    activation: Activation
    bias: Float[np.ndarray, " m"] | None = None

    if TYPE_CHECKING:  # what the constructor takes, beside what it keeps

        def __init__(self, W: ArrayLike, a: ArrayLike, activation: Any, bias: ArrayLike | None = None) -> None: ...

    def __post_init__(self) -> None:
        activation = as_activation(self.activation)
        W = finite_array("W", self.W, (None, None), "first-layer weights, shape (m neurons, d inputs)")
        m = W.shape[0]
        rank = dimensions(self.a)
        a = finite_array("a", self.a, (m,) if rank < 2 else (None, m), f"second-layer weights, shape ({m},) or (C outputs, {m})")
        bias = None
        if self.bias is not None:
            bias = finite_array("bias", self.bias, (m,), f"first-layer biases, one for each of the {m} neurons")
        for name, value in (("activation", activation), ("W", W), ("a", a), ("bias", bias)):
            object.__setattr__(self, name, value)
        self._set((W, a.reshape(-1, m)), (bias, None), (activation,))

    @classmethod
    def _of_arrays(
        cls,
        W: Float[np.ndarray, "m d"],
        A: Float[np.ndarray, "C m"],
        activation: Activation,
        offsets: Float[np.ndarray, " m"],
    ) -> TwoLayerNetwork:
        """A network in the coordinates of a computation, which may be none: the arrays as they are, neither checked nor copied."""
        net = object.__new__(cls)
        for name, value in (("activation", activation), ("W", W), ("a", A), ("bias", offsets)):
            object.__setattr__(net, name, value)
        net._set((W, A), (offsets, None), (activation,))
        return net

    def __call__(self, X: ArrayLike) -> np.ndarray:
        """Outputs at each sample: shape ``(n,)`` for one output given as (m,), ``(n, C)`` otherwise."""
        out = self.outputs(X)
        return out[:, 0] if self.a.ndim == 1 else out

    def two_layers(self) -> TwoLayerNetwork:
        return self

    def __repr__(self) -> str:
        bias = "bias" if self.has_bias else "no bias"
        return f"TwoLayerNetwork({self.n_inputs}-{self.width}-{self.n_outputs}, sigma = {self.activation}, {bias})"


def from_parameters(
    parameters: Mapping[str, Any], activation: Activation | str | Sequence[Activation | str], *, argument: str = "parameters"
) -> Network:
    """A network from arrays named ``W1``, ``b1``, ``W2``, ... Raises :class:`ShapeError` for other names."""
    depth = sum(name.startswith("W") for name in parameters)
    known = {f"{letter}{k}" for k in range(1, depth + 1) for letter in "Wb"}
    if depth < 2 or not {f"W{k}" for k in range(1, depth + 1)} <= set(parameters) <= known:
        raise ShapeError(
            f"{argument}: received {', '.join(parameters) or 'none'}; expected W1, W2, ... (two or more), and b1, b2, ... for biases"
        )
    layers = range(1, depth + 1)
    return Network([parameters[f"W{k}"] for k in layers], biases=[parameters.get(f"b{k}") for k in layers], activation=activation)


def check_network(name: str, value: object) -> None:
    """Raise :class:`ShapeError` for what is not a network."""
    if not isinstance(value, Network):
        raise ShapeError(f"{name}: received {type(value).__name__}, expected a Network or a TwoLayerNetwork")


def check_same_architecture(initial: object, final: object) -> None:
    """Raise :class:`ShapeError` unless both are networks with the same shapes and activations."""
    check_network("initial", initial)
    check_network("final", final)
    assert isinstance(initial, Network)
    assert isinstance(final, Network)
    shapes = [{name: part.shape for name, part in net.parameters.items()} for net in (initial, final)]
    if shapes[0] != shapes[1]:
        raise ShapeError(f"final: {final!r} does not have the same architecture as initial: {initial!r}")
    if initial.activations != final.activations:
        listed = [", ".join(dict.fromkeys(map(str, net.activations))) for net in (final, initial)]
        raise ShapeError(f"final: its activation {listed[0]} is not that of initial: {listed[1]}")

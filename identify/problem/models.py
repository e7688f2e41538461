"""Networks and gradients from the objects of frameworks: PyTorch's models, and arrays by name.

No framework is imported here: an object tells by the module of its class which one it belongs to, and that one is loaded already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.problem.activation import Activation, ActivationError
from identify.problem.network import Network, ShapeError, from_parameters

Kinds = Activation | str | Sequence[Activation | str]

_SILENT = ("Flatten", "Identity", "Dropout", "AlphaDropout", "FeatureAlphaDropout")
"""Layers of PyTorch that compute nothing in evaluation; a flattened sample is a row."""
_PARAMETERS = {
    "LeakyReLU": ("negative_slope",),
    "Hardtanh": ("min_val", "max_val"),
    "Softshrink": ("lambd",),
}
"""By PyTorch's classes: the attributes that are the parameters of the activation of the same name."""


def network_of(model: Any, activation: Kinds | None) -> Network:
    """See :meth:`Network.of`."""
    if isinstance(model, Network):
        return model
    if _framework(model) == "torch" and not isinstance(model, Mapping):
        if activation is not None:
            raise InputError(
                "activation: received one beside a model, whose activations are read; leave it out, or pass model.state_dict()"
            )
        return _of_torch(model)
    if isinstance(model, Mapping):
        if activation is None:
            raise ActivationError("activation: arrays do not say it; expected the one the network computes with, such as 'relu'")
        return from_parameters(_layers(model), activation, argument="model")
    raise ShapeError(f"model: received {type(model).__name__}, expected a torch.nn.Sequential, arrays by name, or a Network")


def gradients_of(model: Any) -> dict[int, tuple[np.ndarray | None, np.ndarray | None]]:
    """*Minus* the gradients of a model's dense layers, by number, as :meth:`KKTSystem.gradient` takes them.

    Parameters
    ----------
    model
        A ``torch.nn.Sequential`` as for :meth:`Network.of`, after ``loss.backward()``.

    Returns
    -------
    dict
        ``{1: (dW, db), ...}``: for each layer minus the gradients by its weights and its bias; None for a parameter without a gradient,
        and no entry for a layer without any.

    Raises
    ------
    ShapeError
        For a model that cannot be read, or without any gradient.

    Examples
    --------
    ``idf.KKTSystem.gradient(idf.Network.of(model), layers=idf.gradients_of(model))``
    """
    if _framework(model) != "torch":
        raise ShapeError(f"model: received {type(model).__name__}, expected a torch.nn.Sequential")
    found: dict[int, tuple[np.ndarray | None, np.ndarray | None]] = {}
    for k, layer in enumerate((part for part in _parts(model) if _is(part, "Linear")), 1):
        weights, bias = _minus_gradient(layer.weight), _minus_gradient(layer.bias)
        if weights is not None or bias is not None:
            found[k] = weights, bias
    if not found:
        raise ShapeError("model: no dense layer has a gradient; call loss.backward() first")
    return found


def _minus_gradient(parameter: Any) -> np.ndarray | None:
    return None if parameter is None or parameter.grad is None else -_array(parameter.grad)


def _framework(value: Any) -> str:
    """The package that the class of an object, or one it derives from, is defined in; "" for none that matters."""
    packages = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    return "torch" if "torch" in packages else ""


def _is(part: Any, *names: str) -> bool:
    return any(base.__name__ in names and base.__module__.startswith("torch.nn.") for base in type(part).__mro__)


def _parts(model: Any) -> list[Any]:
    """The layers of a Sequential, of those inside it too, in the order in which they act."""
    if not _is(model, "Sequential"):
        raise ShapeError(
            f"model: received {type(model).__name__}, expected a torch.nn.Sequential: the order in which other modules act is not written "
            "down; put the layers into one, or pass model.state_dict() and activation="
        )
    parts = []
    for part in model:
        parts += _parts(part) if _is(part, "Sequential") else [part]
    return parts


def _of_torch(model: Any) -> Network:
    weights: list[np.ndarray] = []
    biases: list[np.ndarray | None] = []
    kinds: list[Activation] = []
    activation: Activation | None = None
    for part in _parts(model):
        name = type(part).__name__
        if _is(part, "Linear"):
            if weights and activation is None:
                raise ShapeError(
                    f"model: dense layers {len(weights)} and {len(weights) + 1} have no activation between them; multiply them"
                )
            if activation is not None:
                kinds.append(activation)
            activation = None
            weights.append(_array(part.weight))
            biases.append(None if part.bias is None else _array(part.bias))
        elif not _is(part, *_SILENT):
            if not weights or activation is not None:
                where = "before the first dense layer" if not weights else f"after the activation {activation}"
                raise ShapeError(f"model: has {name} {where}; expected dense layers with one activation between two of them")
            activation = _activation(part, name)
        elif name.endswith("Dropout") and part.training and part.p:
            raise ShapeError(f"model: {name} is in training, so samples pass different networks; call model.eval(), or take the layer out")
    if activation is not None:
        raise ShapeError(f"model: ends with {activation}; expected a dense layer at the end (take a softmax into the loss)")
    return Network(weights, biases=biases, activation=kinds)


def _activation(part: Any, name: str) -> Activation:
    """By the class's name, with its parameters as PyTorch holds them."""
    if name == "GELU":
        return Activation.parse("gelu_tanh" if part.approximate == "tanh" else "gelu")
    if name == "PReLU":
        if part.weight.numel() != 1:
            raise ActivationError(f"model: PReLU has {part.weight.numel()} slopes; expected one for all neurons")
        return Activation.parse(f"leaky_relu({_array(part.weight).item()!r})")
    if name == "Softplus" and part.beta != 1:
        raise ActivationError(f"model: Softplus has beta = {part.beta:g}; expected 1")
    numbers = [getattr(part, attribute) for attribute in _PARAMETERS.get(name, ())]
    return Activation.parse(f"{name}({', '.join(map(repr, numbers))})" if numbers else name)


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _layers(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays named ``W1``, ``b1``, ... as they are; names of frameworks are understood by :mod:`identify.checkpoints`."""
    named = {str(name): _array(part) if hasattr(part, "detach") else part for name, part in arrays.items()}
    if "W1" in named:
        return named
    from identify.checkpoints import layers

    found, rest = layers({name: np.asarray(part) for name, part in named.items()}, "model")
    if rest:
        raise ShapeError(f"model: has {', '.join(rest)} beside dense layers; expected weights and biases of dense layers only")
    return found

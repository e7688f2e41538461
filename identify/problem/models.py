"""Networks and gradients from the objects of frameworks: PyTorch, Flax and Equinox, and arrays by name.

No framework is imported here: an object tells by the module of its class which one it belongs to, and that one is loaded already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.problem import jax_stacks, torch_stacks
from identify.problem.activation import ActivationError
from identify.problem.arrays import ShapeError
from identify.problem.network import Network, from_parameters
from identify.problem.stacks import Dense, Kinds, Path, Steps, assembled, doubles, leaves, unwrapped

Stack = str | Sequence[str]
Gradients = dict[int, tuple[np.ndarray | None, np.ndarray | None]]
_EXPECTED = "expected a torch.nn.Sequential, a Sequential of Flax NNX or Equinox, an equinox.nn.MLP, arrays by name, or a Network"


def network_of(model: Any, activation: Kinds | None, stack: Stack | None = None) -> Network:
    """See :meth:`Network.of`."""
    if isinstance(model, Network):
        return model
    if isinstance(model, Mapping) and _framework(model) != "torch":
        if activation is None:
            raise ActivationError("activation: received None, and arrays do not name it; expected that of the network, such as 'relu'")
        return from_parameters(_layers(_flat(model, "model"), "model", stack), activation, argument="model")
    return assembled(_steps(model, stack), activation)


def gradients_of(model: Any, *, like: Any = None, stack: Stack | None = None) -> Gradients:
    """*Minus* the gradients of a model's dense layers, by number, as :meth:`KKTSystem.gradient` takes them.

    Parameters
    ----------
    model
        A PyTorch model as for :meth:`Network.of`, after ``loss.backward()``. Or the gradients themselves, with ``like``: the tree that
        ``nnx.grad``, ``equinox.filter_grad`` or ``jax.grad`` returns, or a mapping of arrays by name, such as that of ``torch.func.grad``.
    like
        The model, or the parameters, by which these gradients were taken, as for :meth:`Network.of`.
    stack
        As for :meth:`Network.of`.

    Returns
    -------
    dict
        ``{1: (dW, db), ...}``: for each layer minus the gradients by its weights (out, in) and its bias; None for a parameter without a
        gradient, and no entry for a layer without any.

    Raises
    ------
    ShapeError
        For a model that cannot be read, without any gradient, with gradients of other shapes, or with values that are not finite.

    Examples
    --------
    ``idf.KKTSystem.gradient(idf.Network.of(model), layers=idf.gradients_of(model))``

    >>> params = {"W1": np.eye(2), "W2": np.ones((1, 2))}
    >>> gradients_of({"W1": np.ones((2, 2))}, like=params)
    {1: (array([[-1., -1.],
           [-1., -1.]]), None)}
    """
    if like is None:
        if _framework(model) != "torch" or isinstance(model, Mapping):
            raise ShapeError(
                f"model: received {type(model).__name__}, expected a PyTorch model after loss.backward(); gradients of Flax, Equinox or "
                "JAX need the model beside them: gradients_of(grads, like=model)"
            )
        steps = torch_stacks.steps_of(model, stack)
        held = dict(_parameters(steps))
        gradients = {path: value.grad for path, value in held.items() if value is not None and value.grad is not None}
        advice = "call loss.backward() first"
    elif isinstance(like, Network) or (isinstance(like, Mapping) and _framework(like) != "torch"):
        return _by_name(model, like.parameters if isinstance(like, Network) else like, stack)
    else:
        steps, gradients = _steps(like, stack), dict(leaves(model))
        if _framework(like) == "torch":
            gradients = _by_parameter(gradients, like, steps)
        advice = "expected the gradients by the parameters of this model, in a tree of the same structure"
    _refuse_weights([(value, gradients.get(path)) for path, value in _parameters(steps)])
    layers: Gradients = {}
    for number, layer in enumerate((step for step in steps if isinstance(step, Dense)), 1):
        dW, db = (gradients.get(path) for path in layer.paths)
        for name, part, value in zip(layer.names, (dW, db), (layer.weights, layer.bias), strict=True):
            if part is not None and (value is None or np.shape(part) != np.shape(value)):
                expected = "none, because the layer has no such parameter" if value is None else str(tuple(value.shape))
                raise ShapeError(f"{layer.where}.{name}: received a gradient of shape {tuple(part.shape)}, expected {expected}")
        if dW is not None or db is not None:
            layers[number] = _minus(*layer.effective_gradients(dW, db), where=layer.where)
    if not layers:
        raise ShapeError(f"model: no dense layer has a gradient; {advice}")
    return layers


def _parameters(steps: Steps) -> list[tuple[Path, Any]]:
    dense = [step for step in steps if isinstance(step, Dense)]
    return [pair for layer in dense for pair in zip(layer.paths, (layer.weights, layer.bias), strict=True)]


def _by_parameter(found: Mapping[Path, Any], model: Any, steps: Steps) -> dict[Path, Any]:
    """Gradients by the paths of the layers; PyTorch names a parameter that has several paths by the first one only."""
    names: dict[int, list[Path]] = {}
    for name, value in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(value), []).append(tuple(name.split(".")))
    paths = {path: names.get(id(value), []) for path, value in _parameters(steps)}
    return {path: found[other] for path, others in paths.items() for other in others if other in found}


def _minus(weights: np.ndarray | None, bias: np.ndarray | None, where: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    for part in (weights, bias):
        if part is not None and not np.isfinite(part).all():
            bad = int(part.size - np.isfinite(part).sum())
            raise ShapeError(
                f"{where}: {bad} of {part.size} values of its gradient are NaN or infinite; expected finite numbers (in float16 take the "
                "gradient with a smaller loss scale)"
            )
    return (None if weights is None else -weights), (None if bias is None else -bias)


def _refuse_weights(pairs: list[tuple[Any, Any]]) -> None:
    """Raise :class:`ShapeError` if what should be gradients are the parameters themselves."""
    known = [(value, part) for value, part in pairs if value is not None and part is not None]
    if known and all(
        value is part or (np.shape(value) == np.shape(part) and np.array_equal(doubles(value, "like"), doubles(part, "gradients")))
        for value, part in known
    ):
        raise ShapeError("model: received the parameters themselves, expected their gradients, and the parameters as like=")


def _by_name(gradients: Any, parameters: Mapping[str, Any], stack: Stack | None) -> Gradients:
    """Gradients whose names are those of the parameters: the names decide which is which layer."""
    if not isinstance(gradients, Mapping):
        raise ShapeError(f"model: received {type(gradients).__name__}, expected gradients by name, as like= has the parameters")
    known, given = _flat(parameters, "like"), _flat(gradients, "model")
    strange = [name for name in given if name not in known]
    if strange or not given:
        raise ShapeError(f"model: received gradients of {', '.join(strange) or 'nothing'}; expected some of {', '.join(known)}")
    for name, part in given.items():
        if part.shape != known[name].shape:
            raise ShapeError(f"{name}: received a gradient of shape {part.shape}, expected {known[name].shape}")
    _refuse_weights([(known[name], part) for name, part in given.items()])
    absent = {name: np.broadcast_to(np.nan, value.shape) for name, value in known.items() if name not in given}
    named = _layers({name: given.get(name, absent.get(name)) for name in known}, "model", stack)
    missing = {id(value if value.base is None else value.base) for value in absent.values()}

    def given_as(name: str) -> np.ndarray | None:
        value = named.get(name)
        return None if value is None or id(value) in missing or id(value.base) in missing else value

    pairs = {k: (given_as(f"W{k}"), given_as(f"b{k}")) for k in range(1, sum(name.startswith("W") for name in named) + 1)}
    return {k: _minus(*pair, where=f"layer {k}") for k, pair in pairs.items() if any(value is not None for value in pair)}


def _framework(value: Any) -> str:
    """The framework that the class of an object, or one it derives from, is defined in; "" for none that matters."""
    for base in type(value).__mro__:
        package = ".".join(base.__module__.split(".")[:2])
        if package.startswith("torch"):
            return "torch"
        if package in ("flax.nnx", "flax.linen", "flax.training"):
            return package
        if package.startswith("equinox"):
            return "equinox"
    return ""


def _steps(model: Any, stack: Stack | None) -> Steps:
    framework = _framework(model)
    if framework == "torch":
        return torch_stacks.steps_of(model, stack)
    if framework in ("flax.nnx", "equinox"):
        return jax_stacks.steps_of(model, stack)
    if framework in ("flax.linen", "flax.training"):
        raise ShapeError(
            f"model: received {type(model).__name__}, and a module of Flax linen holds no parameters by itself; pass those of it, "
            "variables['params'] or state.params, and activation='relu'"
        )
    raise ShapeError(f"model: received {type(model).__name__}, {_EXPECTED}")


def _flat(arrays: Mapping[str, Any], argument: str) -> dict[str, np.ndarray]:
    """Arrays by name; those of a mapping inside another one, as Flax has them, with the keys on the way joined by ``/``."""
    named: dict[str, np.ndarray] = {}
    for key, part in arrays.items():
        value = unwrapped(part)
        if isinstance(value, Mapping):
            named |= {f"{key}/{name}": inner for name, inner in _flat(value, argument).items()}
        elif value is not None:
            named[str(key)] = doubles(value, f"{argument}: {key}")
    return named


def _layers(arrays: dict[str, Any], argument: str, stack: Stack | None) -> dict[str, np.ndarray]:
    """Arrays named ``W1``, ``b1``, ... as they are; names of frameworks are understood by :mod:`identify.checkpoints`."""
    if "W1" in arrays and stack is None:
        return arrays
    from identify.checkpoints import layers

    weights = None if stack is None else [_weights_named(arrays, name) for name in ([stack] if isinstance(stack, str) else stack)]
    named, rest = layers(arrays, argument, weights=weights)
    if rest:
        raise ShapeError(f"{argument}: has {', '.join(rest)} beside dense layers; expected weights and biases of dense layers only")
    return named


def _weights_named(arrays: Mapping[str, Any], name: str) -> str:
    """The array of weights that a name means: its own, or that of its layer."""
    if name in arrays:
        return name
    pattern = re.compile(rf"(.*[./])?{re.escape(str(name))}[./](weight|kernel)")
    candidates = [candidate for candidate in arrays if pattern.fullmatch(candidate)]
    if len(candidates) != 1:
        raise InputError(f"stack: {name} means {', '.join(candidates) or 'none'} of the arrays; expected one of {', '.join(arrays)}")
    return candidates[0]

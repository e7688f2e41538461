"""Dense layers and activations in the order in which they act, as models of frameworks hold them; the network that they are.

Each layer has a path, the names on the way to it from the model, so that its gradient is found in a tree of gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from identify.base.errors import InputError
from identify.problem.activation import Activation
from identify.problem.arrays import ShapeError
from identify.problem.network import Network

Kinds = Activation | str | Sequence[Activation | str]
Path = tuple[str, ...]
SMALL_FLOATS = ("bfloat16", "float8")
"""Beginnings of the names of formats that NumPy does not have itself, all of them exact in double precision."""
LISTED = 8
"""Names of parts in a message, at most."""
_OF_ONE_SAMPLE = ("LayerNorm", "RMSNorm", "GroupNorm", "InstanceNorm", "Conv", "AvgPool", "MaxPool")
"""In the names of classes of frameworks: normalisation within a sample, convolutions and pooling."""
MEANT = "expected dense layers with one activation between two of them"


@dataclass(frozen=True, eq=False)
class Dense:
    """A dense layer: its parameters as the framework holds them, and their names."""

    path: Path
    weights: Any
    bias: Any
    names: tuple[str, str]
    is_transposed: bool = False
    """Whether weights are (in, out)."""
    folded: Folded | None = None
    """The layer that acts on its outputs before the activation, and is read as a part of it."""

    @property
    def where(self) -> str:
        return ".".join(self.path) or "the layer"

    def read(self, weights: Any, bias: Any, *, what: str = "") -> tuple[np.ndarray | None, np.ndarray | None]:
        """Parameters, or gradients by them, as (out, in) and (out,) in double precision; None for None."""
        W = None if weights is None else doubles(weights, f"{self.where}.{self.names[0]}{what}")
        b = None if bias is None else doubles(bias, f"{self.where}.{self.names[1]}{what}")
        if W is not None and W.ndim != 2:
            raise ShapeError(f"{self.where}.{self.names[0]}: received shape {W.shape}, expected a matrix; pass a model of single layers")
        return (W if W is None or not self.is_transposed else W.T), b

    @property
    def paths(self) -> tuple[Path, Path]:
        """The paths of the weights and of the bias, which is that of the normalisation if the layer has none of its own."""
        own = (*self.path, self.names[1])
        return (*self.path, self.names[0]), own if self.folded is None or self.folded.bias_path is None else self.folded.bias_path

    @property
    def effective(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Weights and bias of the dense layer that this one is with what is folded into it."""
        W, b = self.read(self.weights, self.bias)
        assert W is not None
        if self.folded is None:
            return W, b
        own = 0.0 if b is None else (b if self.folded.bias_path is not None else self.folded.scale * b)
        return self.folded.scale[:, None] * W, own + self.folded.shift

    def effective_gradients(self, dW: Any, db: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Gradients by these, from those by the parameters: with W' = diag(s) W the chain rule gives dW = diag(s) dW'."""
        gW, gb = self.read(dW, db, what=" (gradient)")
        if self.folded is None:
            return gW, gb
        scale = self.folded.scale
        return None if gW is None else gW / scale[:, None], gb if gb is None or self.folded.bias_path is not None else gb / scale


@dataclass(frozen=True, eq=False)
class Folded:
    """A normalisation with known statistics: z is taken to scale · z + shift, neuron by neuron."""

    scale: np.ndarray
    shift: np.ndarray
    bias_path: Path | None
    """The path of its own bias, if that stands for the bias of a layer without one."""


@dataclass(frozen=True, eq=False)
class Between:
    """An activation."""

    path: Path
    activation: Activation


Steps = list[Dense | Between]


def doubles(value: Any, name: str) -> np.ndarray:
    """An array or tensor of real numbers as float64, exactly. Raises :class:`ShapeError` for anything else."""
    try:
        if hasattr(value, "detach"):
            kind = str(value.dtype).removeprefix("torch.")
            if value.is_complex() or value.is_meta or value.is_quantized:
                raise TypeError(f"{kind} on {value.device}")
            return np.asarray(value.detach().cpu().double().numpy())
        array = np.asarray(value)
        if array.dtype.kind not in "iuf" and not array.dtype.name.startswith(SMALL_FLOATS):
            raise TypeError(str(array.dtype))
        return array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        kind = getattr(value, "dtype", type(value).__name__)
        raise ShapeError(
            f"{name}: received {kind}, which cannot be read as numbers ({type(error).__name__}); expected an array of real floats, outside "
            "of compiled code"
        ) from None


def assembled(steps: Steps, activation: Kinds | None) -> Network:
    """The network of these steps. ``activation`` stands between dense layers if the model has none as a part of its own."""
    weights: list[np.ndarray] = []
    biases: list[np.ndarray | None] = []
    kinds: list[Activation] = []
    dense = [step for step in steps if isinstance(step, Dense)]
    if activation is not None:
        if len(dense) < len(steps):
            raise InputError(
                "activation: received one beside a model, whose activations are read; leave it out, or pass model.state_dict()"
            )
        made = [layer.effective for layer in dense]
        return Network([W for W, _ in made], biases=[b for _, b in made], activation=activation)
    between: Between | None = None
    for step in steps:
        if isinstance(step, Between):
            if not weights or between is not None:
                where = "before the first dense layer" if between is None else f"after the activation {between.activation}"
                raise ShapeError(f"model: has {step.activation} {where}; {MEANT}")
            between = step
            continue
        if weights and between is None:
            raise ShapeError(
                f"model: dense layers {len(weights)} and {len(weights) + 1} have no activation between them; multiply them, or name the "
                "one that the model applies as a function: activation='relu'"
            )
        kinds += [] if between is None else [between.activation]
        between = None
        W, b = step.effective
        weights.append(W)
        biases.append(b)
    if between is not None:
        raise ShapeError(f"model: ends with {between.activation}; expected a dense layer at the end (take a softmax into the loss)")
    return Network(weights, biases=biases, activation=kinds)


def beyond_dense(name: str, *, is_training: bool = False) -> str:
    """The refusal of a layer that is not part of a dense network, by the name of its class, with a way out."""
    if "BatchNorm" in name and is_training:
        return (
            " in training, in which samples mix, so that no equation is about one sample; take the gradient in evaluation, with known "
            "statistics: model.eval()"
        )
    if "BatchNorm" in name:
        return (
            ", in which samples mix unless its statistics are known; with these pass the layers before the next dense one as a known "
            "map, and the update of that layer: KKTSystem.features"
        )
    if any(kind in name for kind in _OF_ONE_SAMPLE):
        return (
            ", which acts on each sample by itself; pass the layers before the next dense one as a known map, and the update of that "
            "layer: KKTSystem.features"
        )
    return f"; {MEANT}"


def refuse_shared(held: Sequence[tuple[str, Any]]) -> None:
    """Raise :class:`ShapeError` if two layers have the same weights, so that their gradients are a sum."""
    first: dict[int, str] = {}
    for where, weights in held:
        if id(weights) in first:
            raise ShapeError(
                f"model: {first[id(weights)]} and {where} have the same weights, so their gradient is a sum; expected layers of their own"
            )
        first[id(weights)] = where


def part_of(model: Any, name: str) -> tuple[Any, Path]:
    """The part of a model that a dotted name means, and its path."""
    part, path = model, tuple(name.split("."))
    for number, key in enumerate(path):
        held = children(part)
        if key not in held:
            inside = f" in {'.'.join(path[:number])}" * bool(number)
            listed = ", ".join(list(held)[:LISTED]) or "no parts"
            raise ShapeError(f"stack: there is no {key}{inside}; expected the name of a part of the model, which has {listed}")
        part = held[key]
    return part, path


def named_parts(model: Any, stack: str | Sequence[str] | None) -> list[tuple[Any, Path]]:
    """The model itself, or the parts that ``stack`` names, in this order."""
    if stack is None:
        return [(model, ())]
    names = [stack] if isinstance(stack, str) else stack
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
        received = type(stack).__name__ if not isinstance(stack, Sequence) else ", ".join(type(name).__name__ for name in names) or "none"
        raise InputError(
            f"stack: received {received}; expected the name of a part such as 'body', or a list of names such as ['fc1', 'fc2'], in the "
            "order in which they act"
        )
    return [part_of(model, name) for name in names]


def children(value: Any) -> dict[str, Any]:
    """The contents of an object, by name: entries of mappings and lists, fields of dataclasses, attributes of others."""
    if isinstance(value, Mapping):
        return {str(key): part for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return {str(key): part for key, part in enumerate(value)}
    if isinstance(getattr(value, "_modules", None), dict):  # of PyTorch; its named_children leave out a part that acts twice
        return dict(value._modules)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in fields(value)}
    return {key: part for key, part in getattr(value, "__dict__", {}).items() if not key.startswith("_")}


def unwrapped(value: Any) -> Any:
    """The array inside a variable of Flax, other values as they are."""
    if any(base.__module__.startswith("flax.nnx") and base.__name__ == "Variable" for base in type(value).__mro__):
        return value.get_value() if hasattr(value, "get_value") else value.value
    return value


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The arrays in a tree by their paths; dots in the names of parameters, as PyTorch writes them, are steps too."""
    tree = unwrapped(tree)
    if hasattr(tree, "shape") and hasattr(tree, "dtype"):
        yield path, tree
    else:
        for key, part in children(tree).items():
            yield from leaves(part, (*path, *key.split(".")))

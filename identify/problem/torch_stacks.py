"""PyTorch's models as dense layers and activations. PyTorch is not imported: whoever passes a model has done so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from identify.problem.activation import Activation, ActivationError
from identify.problem.arrays import ShapeError
from identify.problem.stacks import Between, Dense, Folded, Path, Steps, beyond_dense, doubles, named_parts, refuse_shared

_SILENT = ("Flatten", "Identity", "Dropout", "AlphaDropout", "FeatureAlphaDropout")
"""Layers that compute nothing in evaluation; a flattened sample is a row."""
_PARAMETERS = {"LeakyReLU": ("negative_slope",), "Hardtanh": ("min_val", "max_val"), "Softshrink": ("lambd",)}
"""By class: the attributes that are the parameters of the activation of the same name."""
_CONTAINERS = ("Sequential", "ModuleList")
_PACKAGES = ("activation", "container", "dropout", "flatten", "linear")
"""Modules of ``torch.nn.modules`` whose layers may be read; all layers of the others do something else."""
_LAST = ("Softmax", "LogSoftmax", "Softmin", "Softmax2d")


def is_torch(part: Any, *names: str) -> bool:
    """Whether the class, or one that it derives from, is one of these of PyTorch."""
    return any(base.__name__ in names and base.__module__.startswith("torch.nn.") for base in type(part).__mro__)


def steps_of(model: Any, stack: str | Sequence[str] | None) -> Steps:
    """The dense layers and activations of a model, in the order in which they act."""
    steps: list[Any] = []
    for part, path in named_parts(model, stack):
        steps += _steps(part, path, is_named=stack is not None)
    steps = _folded(steps)
    refuse_shared([(step.where, step.weights) for step in steps if isinstance(step, Dense)])
    return steps


@dataclass(frozen=True, eq=False)
class _Normalised:
    """A batch normalisation in evaluation."""

    path: Path
    part: Any


def _folded(steps: list[Any]) -> Steps:
    """Batch normalisations with known statistics, each made a part of the dense layer in front of it."""
    made: Steps = []
    for step in steps:
        if not isinstance(step, _Normalised):
            made.append(step)
            continue
        before, where = made[-1] if made else None, ".".join(step.path)
        if not isinstance(before, Dense) or before.folded is not None:
            raise ShapeError(
                f"model: {where} is {type(step.part).__name__}, and not directly behind a dense layer, so it is a part of none; pass the "
                "layers in front of the next dense layer as a known map: KKTSystem.features"
            )
        made[-1] = replace(before, **_with_statistics(step.part, where, before, step.path))
    return made


def _with_statistics(part: Any, where: str, layer: Dense, path: Path) -> dict[str, Any]:
    """z -> w (z - mean) / sqrt(variance + eps) + offset, with the running statistics."""
    mean, variance = doubles(part.running_mean, where), doubles(part.running_var, where)
    scale = 1 / np.sqrt(variance + part.eps)
    offset = np.zeros(len(scale))
    if part.weight is not None:
        scale = scale * doubles(part.weight, f"{where}.weight")
    if len(scale) != len(layer.weights) or not np.isfinite(scale).all() or not scale.all():
        raise ShapeError(
            f"model: {where} takes neurons of {layer.where} to zero, or not one number for each; expected a scale for each, none of them 0"
        )
    bias, bias_path = layer.bias, None
    if part.bias is not None and bias is None:  # the gradient by its own bias is that by the bias of the folded layer
        bias, bias_path = part.bias, (*path, "bias")
    elif part.bias is not None:
        offset = doubles(part.bias, f"{where}.bias")
    return {"bias": bias, "folded": Folded(scale, offset - scale * mean, bias_path)}


def _steps(part: Any, path: Path, *, is_named: bool) -> list[Any]:
    where, name = ".".join(path), type(part).__name__
    if is_torch(part, "Sequential") or (is_named and is_torch(part, *_CONTAINERS)):
        if not is_named and _acts_otherwise(part, "Sequential"):
            raise ShapeError(
                f"model: {where or name} is a Sequential with a forward of its own, which may do anything; name the layers in the order in "
                "which they act: stack=['0', '1', ...]"
            )
        inside: list[Any] = []
        for key, child in part._modules.items():  # named_children leaves out a part that acts twice
            inside += _steps(child, (*path, key), is_named=is_named)
        return inside
    if not path:
        raise ShapeError(
            f"model: received {name}, expected a torch.nn.Sequential: the order in which other modules act is not written down; name the "
            "layers in this order, stack=['fc1', 'fc2'] or stack='body', and activation='relu' if it is applied as a function"
        )
    if is_torch(part, "Linear"):
        return [_dense(part, path)]
    if is_torch(part, *_SILENT):
        if is_torch(part, *_SILENT[2:]) and part.training and part.p:
            raise ShapeError(
                f"model: {where} is {name} in training, so each sample passes a network of its own, by a mask that no update shows; take "
                "the gradient in evaluation, model.eval(), or without it"
            )
        return []
    if is_torch(part, "BatchNorm1d") and not _acts_otherwise(part, "_BatchNorm") and not part.training and part.running_mean is not None:
        return [_Normalised(path, part)]
    return [Between(path, _activation(part, name, where))]


def _dense(part: Any, path: Path) -> Dense:
    where = ".".join(path)
    if _acts_otherwise(part, "Linear"):
        raise ShapeError(f"model: {where} is a Linear with a forward of its own; expected a plain torch.nn.Linear")
    if set(part._parameters) != {"weight", "bias"}:
        raise ShapeError(
            f"model: the weights of {where} are computed from other parameters (such as weight_norm); expected plain ones: remove the "
            "parametrisation, and take the gradient again"
        )
    if is_torch(part.weight, "UninitializedParameter"):
        raise ShapeError(f"model: {where} has no weights yet; call the model on a batch first")
    return Dense(path, part.weight, part.bias, ("weight", "bias"))


def _acts_otherwise(part: Any, name: str) -> bool:
    """Whether a class derived from PyTorch's has another forward pass."""
    original: Any = next(base for base in type(part).__mro__ if base.__name__ == name and base.__module__.startswith("torch.nn."))
    return type(part).forward is not original.forward or "forward" in vars(part)


def _activation(part: Any, name: str, where: str) -> Activation:
    """By the class's name, with its parameters as PyTorch holds them."""
    if is_torch(part, *_LAST):
        raise ShapeError(f"model: {where} is {name}; expected a dense layer at the end (take a softmax into the loss)")
    module = type(part).__module__
    if not module.startswith("torch.nn.modules.") or module.rpartition(".")[2] not in _PACKAGES:
        raise ShapeError(f"model: {where} is {name}{beyond_dense(name, is_training=part.training)}")
    if name == "GELU":
        return Activation.parse("gelu_tanh" if part.approximate == "tanh" else "gelu")
    if name == "PReLU":
        if part.weight.numel() != 1:
            raise ActivationError(f"model: {where} is PReLU with {part.weight.numel()} slopes; expected one for all neurons")
        return Activation.parse(f"leaky_relu({doubles(part.weight, where).item()!r})")
    if name == "Softplus" and part.beta != 1:
        raise ActivationError(f"model: {where} is Softplus with beta = {part.beta:g}; expected 1")
    numbers = [getattr(part, attribute) for attribute in _PARAMETERS.get(name, ())]
    try:
        return Activation.parse(f"{name}({', '.join(map(repr, numbers))})" if numbers else name)
    except ActivationError as error:
        raise ActivationError(f"model: {where} is {name}: {error}") from None

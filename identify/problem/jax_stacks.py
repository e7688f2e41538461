"""Models of Flax NNX and Equinox as dense layers and activations. Neither is imported: whoever passes a model has done so.

A linen module holds no parameters; those beside it are a mapping, which :mod:`identify.problem.models` reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from identify.problem.activation import Activation, ActivationError
from identify.problem.arrays import ShapeError
from identify.problem.stacks import Between, Dense, Path, Steps, beyond_dense, children, named_parts, part_of, refuse_shared, unwrapped

PACKAGES = ("flax.nnx.", "equinox.")
_CONTAINERS = ("Sequential", "List", "MLP")
_SAME = (("jax.nn", ("relu", "relu6", "sigmoid", "softplus", "silu", "hard_tanh", "hard_sigmoid", "log_sigmoid", "mish")),)
"""Functions whose names :meth:`Activation.parse` knows."""
_OTHERS = (
    ("jax.nn", "leaky_relu", "leaky_relu(0.01)"),
    ("jax.nn", "gelu", "gelu_tanh"),
    ("jax.numpy", "tanh", "tanh"),
    ("jax.numpy", "sin", "sin"),
    ("jax.numpy", "abs", "abs"),
    ("jax.lax", "tanh", "tanh"),
    ("jax.lax", "logistic", "sigmoid"),
    ("jax.lax", "sin", "sin"),
    ("jax.lax", "abs", "abs"),
    ("jax.lax", "erf", "erf"),
    ("jax.scipy.special", "erf", "erf"),
)
"""Module, name, and text of the activation; ``jax.nn.gelu`` is the approximation by tanh unless it is told otherwise."""


def is_from(part: Any, *names: str) -> bool:
    """Whether the class, or one that it derives from, is one of these of Flax NNX or Equinox."""
    return any(base.__name__ in names and base.__module__.startswith(PACKAGES) for base in type(part).__mro__)


def steps_of(model: Any, stack: str | Sequence[str] | None) -> Steps:
    """The dense layers and activations of a model, in the order in which they act."""
    steps: Steps = []
    for part, path in named_parts(model, stack):
        steps += _steps(part, path, is_named=stack is not None)
    kernels = [
        (step.where, getattr(part_of(model, step.where)[0], "kernel", None)) for step in steps if isinstance(step, Dense) and step.path
    ]
    refuse_shared([(where, kernel) for where, kernel in kernels if kernel is not None])  # Equinox tells the gradients of copies apart
    return steps


def _steps(part: Any, path: Path, *, is_named: bool) -> Steps:
    where, name = ".".join(path) or "the model", type(part).__name__
    if isinstance(part, (list, tuple)) or is_from(part, *_CONTAINERS):
        if not isinstance(part, (list, tuple)) and not is_named and _acts_otherwise(part):
            raise ShapeError(
                f"model: {where} is a {name} with a call of its own, which may do anything; name the layers in the order in which they "
                "act: stack=['layers.0', 'layers.1', ...]"
            )
        if is_from(part, "MLP"):
            return _of_mlp(part, path)
        held = part.layers if is_from(part, "Sequential") else part
        inside = (*path, "layers") if held is not part else path
        steps: Steps = []
        for key, child in enumerate(held):
            steps += _steps(child, (*inside, str(key)), is_named=is_named)
        return steps
    if not path:
        parts = ", ".join(list(children(part))[:8])
        raise ShapeError(
            f"model: received {name} with {parts or 'no parts'}, expected a Sequential or an equinox.nn.MLP: the order in which the parts "
            "of other modules act is not written down; name the layers in this order, stack=['fc1', 'fc2'], and activation='relu' if it "
            "is applied as a function"
        )
    if is_from(part, "Linear"):
        return [_dense(part, path)]
    if is_from(part, "Dropout"):
        silent = part.deterministic if hasattr(part, "deterministic") else part.inference
        if not silent and (part.rate if hasattr(part, "rate") else part.p):
            raise ShapeError(
                f"model: {where} is Dropout in training, so each sample passes a network of its own, by a mask that no update shows; take "
                "the gradient in evaluation, model.eval() (equinox.nn.inference_mode), or without it"
            )
        return []
    if is_from(part, "Identity"):
        return []
    if is_from(part, "Lambda"):
        part = part.fn
    return [] if is_identity(part) else [Between(path, activation_of(part, where))]


def _of_mlp(part: Any, path: Path) -> Steps:
    steps: Steps = []
    if not is_identity(part.final_activation):
        raise ShapeError("model: has a final activation; expected a dense layer at the end (take a softmax into the loss)")
    for k, layer in enumerate(part.layers):
        if k:
            steps.append(Between((*path, "activation"), activation_of(part.activation, ".".join((*path, "activation")))))
        steps.append(_dense(layer, (*path, "layers", str(k))))
    return steps


def _dense(part: Any, path: Path) -> Dense:
    where = ".".join(path)
    if _acts_otherwise(part):
        raise ShapeError(f"model: {where} is a Linear with a call of its own; expected a plain one")
    name = "kernel" if hasattr(part, "kernel") else "weight"
    weights, bias = unwrapped(getattr(part, name)), unwrapped(part.bias)
    if weights is None:
        raise ShapeError(f"model: {where} has no weights; expected the model, not its gradients or a part of it")
    return Dense(path, weights, bias, (name, "bias"), is_transposed=name == "kernel")


def _acts_otherwise(part: Any) -> bool:
    """Whether a class derived from one of the frameworks has another forward pass."""
    defining = next((base for base in type(part).__mro__ if "__call__" in vars(base)), None)
    return defining is not None and not defining.__module__.startswith(PACKAGES)


def is_identity(function: Any) -> bool:
    """Whether a function returns its argument, whatever it is."""
    from jax.nn import identity

    token = object()
    try:
        return function is identity or function(token) is token
    except Exception:  # every function refuses other things than arrays in its own way
        return False


@cache
def _known() -> list[tuple[Callable[..., Any], str]]:
    from importlib import import_module

    rows = [*((module, name, name) for module, names in _SAME for name in names), *_OTHERS]
    return [(getattr(import_module(module), name), text) for module, name, text in rows]


def activation_of(function: Any, where: str) -> Activation:
    """The activation that a function of JAX is, told by the function itself, not by its values."""
    options: dict[str, Any] = {}
    named = function
    if isinstance(function, partial) and not function.args:
        named, options = function.func, dict(function.keywords)
    text = next((text for known, text in _known() if known is named), None)
    if text == "gelu_tanh" and set(options) == {"approximate"}:
        return Activation.parse("gelu_tanh" if options["approximate"] else "gelu")
    if text == "leaky_relu(0.01)" and set(options) == {"negative_slope"}:
        return Activation.parse(f"leaky_relu({float(options['negative_slope'])!r})")
    if text is not None and not options:
        return Activation.parse(text)
    if any(base.__module__.startswith(PACKAGES) for base in type(function).__mro__):
        name = type(function).__name__
        raise ShapeError(f"model: {where} is {name}{beyond_dense(name)}")
    name = getattr(named, "__name__", type(named).__name__)
    raise ActivationError(
        f"model: {where} is the function {name}{f' with {options}' if options else ''}, which is not known; expected one of jax.nn such as "
        "relu, gelu or silu, or jax.numpy.tanh; or name the dense layers only, stack=[...], and the activation, activation='relu'"
    )

"""Problem files: one ``.npz`` archive with a network, a target, and the true data when they are known.

Keys of two layers: ``W``, ``a``, ``bias``, ``target_W``, ``target_a``, ``target_bias``. Of any depth: ``W1``, ``b1``, ``W2``, ... for the
weights and biases of each layer, ``target_W1``, ``target_b1``, ... for the updates that were observed (minus the gradient). In both
cases ``activation`` (text), ``regime`` (text), and optionally ``X``, ``c``, ``labels``, ``decay``, ``loss`` (text).
Targets may be left out for the self-trained regimes, where they are the parameters themselves. Files are read without pickles, and
written whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from identify.base.errors import InputError
from identify.base.files import replacing
from identify.base.opening import shown
from identify.base.options import REGIMES, choice, natural
from identify.checkpoints import ProblemFileError, layers, read_arrays
from identify.problem.activation import Activation
from identify.problem.data import check_data
from identify.problem.network import Network, TwoLayerNetwork, from_parameters
from identify.problem.refusals import refuse_recovery_only
from identify.problem.system import SELF_TRAINED, KKTSystem

BESIDE = ("labels", "decay", "X", "c")
ARRAYS = ("W", "a", "bias", "target_W", "target_a", "target_bias", *BESIDE)
TARGET = "target_"
TEXTS = ("activation", "regime", "loss")


@dataclass(frozen=True, eq=False)
class Problem:
    """Content of a problem file: the system, and the true data if it has them."""

    system: KKTSystem
    X: Float[np.ndarray, "n d"] | None = None
    c: Float[np.ndarray, " n"] | Float[np.ndarray, "n C"] | None = None

    @property
    def data(self) -> tuple[np.ndarray, np.ndarray] | None:
        """``(X, c)`` when both are known."""
        return None if self.X is None or self.c is None else (self.X, self.c)


def load_problem(path: str | Path, *, activation: Activation | str | None = None, trust: bool = False) -> Problem:
    """Read a problem file.

    Parameters
    ----------
    path
        An ``.npz`` archive with the keys of a problem, or another format of :func:`load_network` with the same names.
    activation
        For a file that does not name it, as formats of tensors cannot.
    trust
        Whether the file is known to be harmless: then a ``state_dict`` is also read with a PyTorch older than 2.10, which can run code
        that a file holds.

    Raises
    ------
    ProblemFileError
        For a file that cannot be read, is not an ``.npz`` archive, holds objects, or lacks or has unknown keys.
    UntrustedFileError
        For a ``state_dict`` that is not trusted, when PyTorch is older than 2.10.
    ShapeError, ActivationError
        For contents that do not fit together.
    TooLargeError
        When the archive would not fit in memory; nothing is allocated.
    """
    path = Path(path)
    contents = read_arrays(path, trust=trust)
    if activation is not None:
        if "activation" in contents:
            raise InputError("activation: received one, but the problem file names its own; leave it out")
        contents["activation"] = np.array(str(activation))
    if "W1" in contents:
        return _of_any_depth(path, contents)
    unknown = sorted(set(contents) - {*ARRAYS, *TEXTS}, key=natural)
    missing = [name for name in ("W", "a", "activation") if name not in contents]
    if unknown or missing:
        parts = [f"unknown keys {', '.join(map(shown, unknown))}"] * bool(unknown) + [f"no key {', '.join(missing)}"] * bool(missing)
        advice = f"a problem file has {', '.join((*ARRAYS, *TEXTS))}; identify audit takes other networks"
        raise ProblemFileError(path, " and ".join(parts), advice)
    get = contents.get
    sigma = Activation.parse(_text(path, "activation", contents["activation"]))
    net = TwoLayerNetwork(contents["W"], contents["a"], sigma, bias=get("bias"))
    targets = {1: (get("target_W"), get("target_bias")), 2: (get("target_a"), None)}
    return _with_data(path, _posed(path, net, targets, contents), contents)


def _of_any_depth(path: Path, contents: dict[str, np.ndarray]) -> Problem:
    """A problem whose layers are numbered."""
    layer = re.compile("[Wb][1-9][0-9]?")
    own = {name: value for name, value in contents.items() if layer.fullmatch(name)}
    targets = {name.removeprefix(TARGET): value for name, value in contents.items() if name.startswith(TARGET)}
    beside = {f"{TARGET}{name}" for name in targets if layer.fullmatch(name)} | {*BESIDE, *TEXTS}
    unknown = sorted(set(contents) - set(own) - beside, key=natural)
    lacks_targets = not targets and _regime(path, contents) not in SELF_TRAINED
    if unknown or "activation" not in contents or lacks_targets:
        wrong = [f"unknown keys {', '.join(map(shown, unknown))}"] * bool(unknown) + ["no key activation"] * ("activation" not in contents)
        wrong += ["no key target_W1, target_b1, ..."] * lacks_targets
        advice = f"a problem of numbered layers has W1, b1, W2, ..., target_W1, target_b1, target_W2, ..., {', '.join((*TEXTS, *BESIDE))}"
        raise ProblemFileError(path, " and ".join(wrong), advice)
    net = from_parameters(own, Activation.parse(_text(path, "activation", contents["activation"])), argument=str(path))
    layers = {k: (targets.pop(f"W{k}", None), targets.pop(f"b{k}", None)) for k in range(1, net.depth + 1)}
    if targets:
        advice = "expected targets for layers that the network has"
        raise ProblemFileError(path, f"has targets {', '.join(f'target_{name}' for name in targets)} beyond its {net.depth} layers", advice)
    return _with_data(path, _posed(path, net, layers, contents), contents)


def _posed(path: Path, net: Network, targets: Mapping[int, tuple[Any, Any]], contents: dict[str, np.ndarray]) -> KKTSystem:
    """The system with these targets; without any, that of a self-trained regime, whose targets are the parameters."""
    regime, labels = _regime(path, contents), contents.get("labels")
    loss = _text(path, "loss", contents["loss"]) if "loss" in contents else None
    decay = _number(path, "decay", contents["decay"]) if "decay" in contents else None
    if regime not in SELF_TRAINED or any(part is not None for pair in targets.values() for part in pair):
        return KKTSystem(net, targets, regime, labels=labels, loss=loss, decay=decay)
    if regime == "max-margin":
        return KKTSystem.max_margin(net, labels=labels)
    if decay is None:
        raise ProblemFileError(path, "has the regime weight-decay and no key decay", "add decay, or targets")
    return KKTSystem.weight_decay(net, decay=decay, loss=loss)


def _regime(path: Path, contents: dict[str, np.ndarray]) -> str:
    return choice("regime", _text(path, "regime", contents["regime"]), REGIMES) if "regime" in contents else "gradient"


def _with_data(path: Path, system: KKTSystem, contents: dict[str, np.ndarray]) -> Problem:
    if ("X" in contents) != ("c" in contents):
        raise ProblemFileError(path, f"has {'X' if 'X' in contents else 'c'} only", "expected both X and c, or neither")
    if "X" not in contents:
        return Problem(system)
    net = system.network
    X, c = check_data(contents["X"], contents["c"], net.n_inputs, net.n_outputs)
    return Problem(system, X, c[:, 0] if net.n_outputs == 1 else c)


def load_network(path: str | Path, *, weights: Sequence[str] | None = None, trust: bool = False) -> tuple[Network, dict[str, np.ndarray]]:
    """A network for the attacks, of any depth, and what else the file has (``X``, ``y``, ``mean``, ...).

    Parameters
    ----------
    path
        ``.npz`` with the keys ``W1``, ``b1``, ``W2``, ... (weights (out, in); biases if there are any), and ``activation`` (text; ReLU
        if it is missing); ``.safetensors``, PyTorch's ``state_dict`` (``.pt``, ``.pth``, ``.bin``, ``.ckpt``), Flax's ``.msgpack``
        with the names that frameworks give; Equinox's ``.eqx``; or ``.onnx``. If names say nothing, the shapes must allow one network.
    weights
        Names of the arrays that are the weights, from the first layer to the last, if names and shapes leave a choice.
    trust
        As for :func:`load_problem`.

    Raises
    ------
    ProblemFileError
        For a file that cannot be read, or with no network in it, or with several.
    UntrustedFileError
        For a ``state_dict`` that is not trusted, when PyTorch is older than 2.10.
    ShapeError, ActivationError, TooLargeError
        As :func:`load_problem`.
    """
    path = Path(path)
    arrays, rest = layers(read_arrays(path, trust=trust), str(path), weights=weights)
    activation = _text(path, "activation", rest.pop("activation")) if "activation" in rest else "relu"
    return from_parameters(arrays, activation), rest


def load_arrays(path: str | Path, *, trust: bool = False) -> dict[str, np.ndarray]:
    """Every array of a file in one of the formats of :func:`load_network`. Raises as :func:`load_problem`."""
    return read_arrays(Path(path), trust=trust)


def save_problem(path: str | Path, system: KKTSystem, X: ArrayLike | None = None, c: ArrayLike | None = None) -> Path:
    """Write a problem file; an existing one is replaced only when the new one is complete."""
    return save_arrays(path, problem_arrays(system, X, c))


def problem_arrays(system: KKTSystem, X: ArrayLike | None = None, c: ArrayLike | None = None) -> dict[str, Any]:
    """Content of a problem file, by key."""
    refuse_recovery_only("save_problem", system, takes_parts=True)
    net = system.network
    if not isinstance(net, TwoLayerNetwork):
        if len(set(net.activations)) > 1:
            names = ", ".join(map(str, net.activations))
            raise InputError(f"activation: received {names} in different layers, expected one for all, because a problem file holds one")
        numbered = {f"target_{name}": part for name, part in system.parts.items()}
        contents = dict(net.parameters) | numbered | {"activation": str(net.activations[0]), "regime": system.regime}
        optional: dict[str, Any] = {}
    else:
        contents = {"W": net.W, "a": net.a, "activation": str(net.activation), "regime": system.regime}
        optional = {"bias": net.bias, "target_W": system.target_W, "target_bias": system.target_bias, "target_a": system.target_a}
    optional |= {"labels": system.labels, "decay": system.decay, "loss": system.loss}
    if X is not None or c is not None:
        optional["X"], optional["c"] = check_data(X, c, net.n_inputs, net.n_outputs)
    return contents | {name: value for name, value in optional.items() if value is not None}


def save_arrays(path: str | Path, contents: dict[str, Any]) -> Path:
    """Write an ``.npz`` archive through a temporary file beside it."""
    path = Path(path)
    if path.suffix != ".npz":
        raise ProblemFileError(path, "is not the name of an archive", "expected a name that ends in .npz")
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **contents)
    except OSError as error:
        advice = "choose a folder that exists, is writable and has room"
        raise ProblemFileError(path, f"cannot be written ({error.strerror})", advice) from None
    return path


def _text(path: Path, name: str, value: np.ndarray) -> str:
    if value.dtype.kind != "U" or value.ndim:
        raise ProblemFileError(path, f"key {name} is {value.dtype} of shape {value.shape}", "expected a text")
    return str(value)


def _number(path: Path, name: str, value: np.ndarray) -> float:
    if value.dtype.kind not in "iuf" or value.size != 1:
        raise ProblemFileError(path, f"key {name} is {value.dtype} of shape {value.shape}", "expected one number")
    return float(value.reshape(()))

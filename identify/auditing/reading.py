"""The subject of an audit: the layers, the activation, and the regime and data if they are given."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from identify.auditing.activations import CANDIDATES
from identify.base.errors import InputError, MissingArgumentError, WrongTypeError
from identify.base.options import REGIMES, choice
from identify.checkpoints import layers
from identify.checkpoints.payloads import is_numbered, numbered, shaped_like
from identify.checkpoints.problems import Problem, load_arrays, load_problem
from identify.problem.activation import Activation, as_activation
from identify.problem.arrays import ShapeError, finite_array, input_limits
from identify.problem.network import Network, TwoLayerNetwork, from_parameters
from identify.problem.refusals import refuse_recovery_only
from identify.problem.steps import StepsSystem, check_training
from identify.problem.system import KKTSystem

KNOWN = ("activation", "decay", "X", "y", "c", "mean", "low", "high")
"""Names of arrays that an audit reads besides the layers."""
UNTOLD = (dict, OrderedDict, list, tuple, Network, TwoLayerNetwork)
"""Types of models whose names say nothing of them."""
MAX_SHOWN = 6
TELLING = ("data", "gradient", "initial", "regime")
"""Arguments any one of which tells the equation that weights solve."""
STEPS = "steps"
"""The regime of several steps of training, which no theorem is about."""
PUBLISHED = {"gradient": "gradient", "lazy": "initial"}
"""Regimes that follow from another argument."""
OUTPUT_BIAS = (
    "the bias of the output is left out: it gives one more equation, so that UNIQUE stands, but NOT_UNIQUE is about the other equations "
    "only, and margins are those without it"
)
"""Assumption of an audit of a polynomial network of two layers."""
ONE_STEP = "taken, because nothing was said of several steps (--steps)"
"""How the regime of two networks is known if nobody said it."""
AUDITED = {
    "gradient": "one gradient of",
    "lazy": "one update of",
    "steps": "several steps of",
    "weight-decay": "the weights of",
    "max-margin": "the weights of",
}
"""What a title says of a system."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Layers by name (``W1``, ``b1``, ``W2``, ...), and the other known quantities.

    Attributes
    ----------
    activation
        Of all hidden layers, of any kind.
    initial, gradient
        By the names of the layers; at most one of them.
    X, y, c, mean
        The data (n, d), labels, signed multipliers, and the mean that was subtracted from the data, if they are known.
    low, high
        Limits of the inputs before the mean was subtracted, if they are known.
    regime, decay
        The given values; None if the audit should find them.
    takes_one_step
        Whether two networks are taken for those of one step because nothing was said of the training between them.
    system
        The equations, if a problem has them.
    steps
        The training between ``initial`` and the layers, if there were several steps.
    notes
        Assumptions and changes in reading.
    unnamed
        How arrays without names were read, in one sentence; empty if all had names.
    """

    name: str
    layers: dict[str, np.ndarray]
    activation: Activation
    initial: dict[str, np.ndarray] | None = None
    gradient: dict[str, np.ndarray] | None = None
    X: Float[np.ndarray, "n d"] | None = None
    y: Float[np.ndarray, " n"] | None = None
    c: np.ndarray | None = None
    mean: Float[np.ndarray, " d"] | None = None
    low: Float[np.ndarray, " d"] | None = None
    high: Float[np.ndarray, " d"] | None = None
    regime: str | None = None
    decay: float | None = None
    takes_one_step: bool = False
    system: KKTSystem | None = None
    steps: StepsSystem | None = None
    notes: tuple[str, ...] = ()
    unnamed: str = ""

    @property
    def depth(self) -> int:
        return sum(name.startswith("W") for name in self.layers)

    @property
    def n_inputs(self) -> int:
        return self.layers["W1"].shape[1]

    @property
    def n_outputs(self) -> int:
        return len(self.layers[f"W{self.depth}"])

    @property
    def how(self) -> str:
        """How the regime is known, if it was not inferred from data."""
        return ONE_STEP if self.takes_one_step else "given"

    @property
    def is_polynomial(self) -> bool:
        return self.activation.kind == "polynomial"

    @property
    def is_provable(self) -> bool:
        """Whether the theorems apply: two layers and a polynomial activation, no several steps, and nothing missing in the update."""
        return self.is_polynomial and self.depth == 2 and self.steps is None and not self.is_partial

    @property
    def is_partial(self) -> bool:
        """Whether rows or columns of the update are not known."""
        parts = () if self.gradient is None else self.gradient.values()
        return (self.system is not None and self.system.is_partial) or any(np.isnan(part).any() for part in parts)

    @property
    def has_output_bias(self) -> bool:
        return bool(np.any(self.layers.get(f"b{self.depth}", 0.0)))

    def describe(self) -> str:
        """Sizes by layer, and the activation."""
        biases = "with biases" if any(name.startswith("b") for name in self.layers) else "without biases"
        return f"{self.sizes}, σ = {self.activation}, {biases}"

    @property
    def sizes(self) -> str:
        """Numbers of inputs, of neurons layer by layer, and of outputs."""
        return "-".join(map(str, [self.n_inputs, *(len(self.layers[f"W{k}"]) for k in range(1, self.depth + 1))]))


def read(
    model,
    *,
    initial=None,
    gradient=None,
    data=None,
    activation=None,
    regime: str | None = None,
    weights: Sequence[str] | None = None,
    trust: bool = False,
    training: Mapping[str, Any] | None = None,
) -> Subject:
    """The subject of an audit from paths or objects. ``trust``: as for :func:`identify.load_problem`, of all files.

    Raises
    ------
    ValueError
        For files that are not a network, layers that do not fit together, arguments that contradict one another, and an activation that
        neither the file nor the caller names.
    """
    if initial is not None and gradient is not None:
        raise InputError("initial, gradient: received both; expected the network before training (lazy), or one gradient, not both")
    if regime is not None:
        choice("regime", regime, REGIMES)
    for own, argument in PUBLISHED.items():
        given = {"initial": initial, "gradient": gradient}[argument] is not None
        if given and regime not in (None, own):
            raise InputError(f"regime: received {regime}, but {argument} makes it {own}; leave one of them out")
    if training is not None and not isinstance(model, StepsSystem):
        _check_training(training, initial, regime)
    named = _name(model)
    problem = _problem(model, activation, trust)
    others = [initial, gradient, weights, training]
    if isinstance(model, StepsSystem):
        if any(other is not None for other in (*others, regime, activation)):
            raise InputError(
                f"model: received {named}, which says it all; leave out initial, gradient, regime, weights, activation and training"
            )
        subject = _of_steps(named, model)
    elif problem is not None:
        if any(other is not None for other in others) or regime not in (None, problem.system.regime):
            raise InputError(
                f"model: {named} is a problem with its target and regime {problem.system.regime}; leave out initial, gradient, regime, "
                "weights and training"
            )
        subject = _of_problem(named, problem)
    else:
        unnamed: list[str] = []
        found, rest = _network("model", model, weights, trust, unnamed)
        is_told = any(given is not None for given in (initial, gradient, data, regime)) or "X" in rest
        subject = Subject(
            named,
            found,
            _activation(named, activation, rest, "" if is_told else "; and {data}, {gradient}, {initial} or {regime}, for the equation"),
            None if initial is None else _like("initial", initial, found, weights, trust, unnamed, complete=True),
            None if gradient is None else _like("gradient", gradient, found, weights, trust, unnamed, complete=False),
            regime=regime or ("lazy" if initial is not None else "gradient" if gradient is not None else None),
            takes_one_step=initial is not None and regime is None,
            decay=float(np.asarray(rest["decay"], float).item()) if np.size(rest.get("decay", ())) == 1 else None,
        )
        by_shape = _by_shape(unnamed, subject.gradient or found)
        subject = replace(subject, notes=(*filter(None, [by_shape]), *_unused(rest)), unnamed=by_shape)
        if type(model) in UNTOLD:
            subject = replace(subject, name=f"a network {subject.sizes} ({subject.activation})")
        if subject.regime in PUBLISHED and initial is None and gradient is None:
            argument = PUBLISHED[subject.regime]
            text = f"regime: {subject.regime} needs {{{argument}}}; give it, or another {{regime}}"
            raise MissingArgumentError(text, (argument, "regime"))
        if training is not None:
            assert subject.initial is not None
            ends = [from_parameters(parts, subject.activation) for parts in (subject.initial, subject.layers)]
            subject = _with_steps(subject, KKTSystem.steps(*ends, **training))
        if data is None and "X" in rest:
            data = rest
    return subject if data is None else _with_data(subject, data, trust)


def _name(model: Any) -> str:
    """What is audited, in the words of a title."""
    if isinstance(model, (str, Path)):
        return Path(model).name
    if isinstance(model, Problem):
        return _name(model.system)
    if isinstance(model, (KKTSystem, StepsSystem)):
        sigma = ", ".join(dict.fromkeys(map(str, model.network.activations)))
        which = STEPS if isinstance(model, StepsSystem) else model.regime
        return f"{AUDITED[which]} a network {'-'.join(map(str, model.network.sizes))} ({sigma})"
    return "the model" if type(model) in UNTOLD else type(model).__name__


def _check_training(training: Mapping[str, Any], initial: Any, regime: str | None) -> None:
    check_training(training)
    if initial is None:
        raise InputError("training: received it without initial; expected the network before these steps, too")
    if regime is not None:
        raise InputError(f"regime: received {regime}, but training says that there were several steps; leave one of them out")


def _of_steps(named: str, system: StepsSystem) -> Subject:
    subject = Subject(named, system.final.parameters, system.final.activation, system.initial.parameters)
    return _with_steps(subject, system)


def _with_steps(subject: Subject, system: StepsSystem) -> Subject:
    return replace(subject, steps=system, regime=STEPS, takes_one_step=False, notes=(*subject.notes, *system.describe()))


def _problem(model, activation, trust: bool) -> Problem | None:
    if isinstance(model, StepsSystem):
        return None
    refuse_recovery_only("audit", model, takes_parts=True)
    if isinstance(model, (Problem, KKTSystem)):
        if activation is not None:
            raise InputError("activation: received one beside a problem, which has its own; leave it out")
        return model if isinstance(model, Problem) else Problem(model)
    if isinstance(model, (str, Path)):
        names = set(load_arrays(model, trust=trust))
        if {"W", "a"} <= names or {name for name in names if name.startswith("target_")}:
            return load_problem(model, activation=activation, trust=trust)
    return None


def _of_problem(named: str, problem: Problem) -> Subject:
    system = _without_output_bias(problem.system)
    net, notes = system.network, () if system is problem.system else (OUTPUT_BIAS,)
    found = net.parameters
    subject = Subject(named, found, net.activation, regime=system.regime, decay=system.decay, system=system, notes=notes)
    if not subject.is_provable:
        updates = {f"W{k}": update.W for k, update in system.layers.items()} | {f"b{k}": update.bias for k, update in system.layers.items()}
        moved = {name: np.reshape(part, found[name].shape) for name, part in updates.items() if part is not None}
        if system.regime == "gradient":
            subject = replace(subject, gradient={name: -part for name, part in moved.items()})
        elif system.regime == "lazy":
            subject = replace(subject, layers={name: part + moved.get(name, 0.0) for name, part in found.items()}, initial=found)
    return subject if problem.X is None else replace(subject, X=problem.X, c=problem.c)


def _without_output_bias(system: KKTSystem) -> KKTSystem:
    """The system without the update of the output bias, if the theorems on polynomial networks of two layers apply to the rest."""
    net, (*lower, last) = system.network, system.updates
    others = [part for update in lower for part in update] + [last.W]
    if net.depth != 2 or net.activations[0].kind != "polynomial" or last.bias is None or all(part is None for part in others):
        return system
    return replace(system, updates=(*lower, last._replace(bias=None)))


def _unused(rest: Mapping[str, Any]) -> tuple[str, ...]:
    """Note that other contents of the file, besides dense layers, may be part of the function."""
    others = [name for name in rest if name not in KNOWN]
    if not others:
        return ()
    shown = ", ".join(others[:MAX_SHOWN]) + ("" if len(others) <= MAX_SHOWN else f" and {len(others) - MAX_SHOWN} more")
    return (f"not used: {shown}; if the network computes with it, all here is about another network",)


def _by_shape(unnamed: Sequence[str], layers: Mapping[str, np.ndarray]) -> str:
    """What was taken for what, if arrays had no names; empty if all had some."""
    if not unnamed:
        return ""
    read_as = ", ".join(f"{name} {'x'.join(map(str, part.shape))}" for name, part in list(layers.items())[:MAX_SHOWN])
    more = f" and {len(layers) - MAX_SHOWN} more" if len(layers) > MAX_SHOWN else ""
    return f"arrays without names ({', '.join(unnamed)}) were read by their shapes, as {read_as}{more}: check that this is their order"


def _network(
    argument: str, value, weights: Sequence[str] | None, trust: bool, unnamed: list[str]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Layers by name, with shapes that fit, and the other arrays. ``unnamed`` grows by the argument if its arrays have no names."""
    if isinstance(value, Network):
        return value.parameters, {"activation": value.activation}
    found, rest = layers(
        _arrays(argument, value, trust, unnamed), argument if not isinstance(value, (str, Path)) else str(value), weights=weights
    )
    return from_parameters(found, "relu", argument=argument).parameters, rest


def _arrays(argument: str, value, trust: bool, unnamed: list[str]) -> dict[str, np.ndarray]:
    found = _named_arrays(argument, value, trust)
    unnamed += [argument] * is_numbered(found)
    return found


def _named_arrays(argument: str, value, trust: bool) -> dict[str, np.ndarray]:
    if isinstance(value, (str, Path)):
        return load_arrays(value, trust=trust)
    if hasattr(value, "state_dict"):
        value = value.state_dict()
    if isinstance(value, (list, tuple)):
        value = numbered(value)
    if not isinstance(value, Mapping):
        expected = "a path, arrays by name or in the order of the parameters, a model with state_dict, or a network"
        raise WrongTypeError(f"{argument}: received {type(value).__name__}, expected {expected}")
    return dict(_leaves(value))


def _leaves(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Arrays by name; those of a mapping inside another one, as Flax has them, with the keys on the way joined by ``/``."""
    for key, part in tree.items():
        name = f"{prefix}{key}"
        if isinstance(part, Mapping):
            yield from _leaves(part, f"{name}/")
        else:
            yield name, np.asarray(part.detach().cpu() if hasattr(part, "detach") else part)


def _like(
    argument: str, value, found: dict[str, np.ndarray], weights: Sequence[str] | None, trust: bool, unnamed: list[str], *, complete: bool
) -> dict[str, np.ndarray]:
    """Arrays with the names and shapes of the layers, all of them or some."""
    if isinstance(value, Network):
        own = value.parameters
    else:
        arrays = _arrays(argument, value, trust, unnamed)
        placed = shaped_like(arrays, found) if is_numbered(arrays) and weights is None else None
        own = arrays if placed is None else placed
        if placed is None and (complete or not own or not set(own) <= set(found)):  # the names of some layers say which these are
            own = layers(own, str(value) if isinstance(value, (str, Path)) else argument, weights=weights)[0]
    unknown, missing = set(own) - set(found), set(found) - set(own)
    if unknown or (missing and complete):
        raise ShapeError(f"{argument}: has the layers {', '.join(own)}; expected {', '.join(found)}, those of the model")
    shaped = {name: np.reshape(part, found[name].shape) if np.size(part) == found[name].size else part for name, part in own.items()}
    return {
        name: finite_array(name, part, found[name].shape, f"{argument}, shaped like the model", may_lack=not complete)
        for name, part in shaped.items()
    }


def _activation(named: str, given, rest: Mapping[str, Any], more: str) -> Activation:
    value = given if given is not None else rest.get("activation")
    if isinstance(value, np.ndarray):
        value = str(value)
    if value is None:
        text = "activation: the weights do not determine it, and {model} does not name it; give the one it was trained with: {known}"
        raise MissingArgumentError(text + more, TELLING, model=named, known=CANDIDATES)
    return as_activation(value)


def _with_data(subject: Subject, data, trust: bool) -> Subject:
    """X, and what else there is of y, c, mean, low and high; labels of two classes as +1 and -1. Without y and c, X may be missing."""
    if isinstance(data, (str, Path)):
        data = load_arrays(data, trust=trust)
    elif isinstance(data, (tuple, list)) and len(data) == 2:
        data = dict(zip(("X", "y"), data, strict=True))
    elif not isinstance(data, Mapping):
        data = {"X": data}
    subject = _with_limits(subject, data)
    if "X" not in data and {"mean", "low", "high"} & set(data) and not {"y", "c"} & set(data):
        return subject
    if "X" not in data:
        raise ShapeError(f"data: holds {', '.join(map(str, data)) or 'nothing'}; expected X (n, d), and y (n,) if known")
    X = np.asarray(data["X"])
    X = X.reshape(len(X), -1) if X.ndim > 2 and len(X) else X
    X = finite_array("X", X, (None, subject.n_inputs), "samples, one per row")
    y, c, notes = None, subject.c, subject.notes
    if "y" in data:
        y = finite_array("y", data["y"], (len(X),), "one label for each sample")
        if subject.n_outputs == 1 and set(np.unique(y)) == {0.0, 1.0}:
            y, notes = 2 * y - 1, (*notes, "labels 0 and 1 were taken as -1 and +1")
    if "c" in data:
        shape = (len(X),) if np.ndim(data["c"]) < 2 else (len(X), subject.n_outputs)
        c = finite_array("c", data["c"], shape, "signed multipliers of the samples")
    return replace(subject, X=X, y=y, c=c, notes=notes)


def _with_limits(subject: Subject, data: Mapping[str, Any]) -> Subject:
    """The mean, and the limits of the inputs before it was subtracted: both or neither."""
    d, mean, low, high = subject.n_inputs, None, None, None
    if "mean" in data:
        mean = finite_array("mean", data["mean"], (d,), "the mean that was subtracted from every sample")
    if ("low" in data) != ("high" in data):
        raise InputError("low, high: received one of them, expected both limits of the inputs, or neither")
    if "low" in data:
        low, high = input_limits(data["low"], data["high"], d)
    return replace(subject, mean=mean, low=low, high=high)

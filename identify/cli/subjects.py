"""The subject of a command: the sizes of a configuration, or a problem file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from identify.base.errors import InputError

if TYPE_CHECKING:
    from identify.planting.configuration import Configuration, Truth
    from identify.problem.steps import StepsSystem


def configuration(inputs, samples, width, activation, outputs, bias, layers, regime) -> Configuration:
    given = {"--inputs": inputs, "--samples": samples, "--width": width, "--activation": activation}
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise InputError(f"{', '.join(missing)}: missing; give a problem file, or all of {', '.join(given)}")
    from identify.planting.configuration import Configuration

    return Configuration(
        inputs=inputs,
        samples=samples,
        width=width,
        activation=activation,
        outputs=outputs,
        bias=bias,
        layers=layers,
        regime=regime,
    )


def load(file: Path, inputs, width, activation, trust: bool = False):
    from identify.checkpoints.problems import load_problem

    given = {"--inputs": inputs, "--width": width}
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise InputError(f"{', '.join(extra)}: already in the problem file; omit it")
    return load_problem(file, activation=activation, trust=trust)


def of_steps(initial: Path, final: Path, activation, weights, trust: bool, **training) -> StepsSystem:
    """Two checkpoints and how one was trained to the other."""
    from identify.checkpoints.problems import load_network
    from identify.problem.activation import as_activation
    from identify.problem.network import Network
    from identify.problem.system import KKTSystem

    networks = [load_network(path, weights=weights, trust=trust)[0] for path in (initial, final)]
    if activation is not None:
        networks = [Network(net.weights, biases=net.biases, activation=as_activation(activation)) for net in networks]
    return KKTSystem.steps(*networks, **training)


def training_of(learning_rate, steps, epochs, batch_size, momentum, weight_decay, loss) -> dict[str, Any]:
    """What was said of several steps of training, as arguments of :meth:`KKTSystem.steps`."""
    given = {"learning_rate": learning_rate, "steps": steps, "epochs": epochs, "batch_size": batch_size}
    given |= {"momentum": momentum or None, "weight_decay": weight_decay or None, "loss": loss}
    return {name: value for name, value in given.items() if value is not None}


def of_no_steps(training: dict[str, Any], networks: str) -> InputError:
    """The error for words about several steps without the networks before and after them."""
    name = next(iter(training))
    return InputError(f"--{name.replace('_', '-')}: is about several steps of training; give {networks} too, or omit it")


def pair(truth: Truth) -> tuple:
    return truth.X, truth.c
